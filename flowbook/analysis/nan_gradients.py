"""What to say of a value that went wrong in a backward node: whose derivative it is, and whether where() is the trap.

The trap: ``where(x > 0, sqrt(x), 0)`` is finite at 0, but its gradient is not. The branch that is not taken gets the
gradient 0, the slope of sqrt there is infinite, and 0 times infinity is nan. Differentiating ``where`` is right and
does not help, since the product is made inside the branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from flowbook.analysis.nan_replay import Recording
from flowbook.analysis.nan_sources import region, sources
from flowbook.graph.node import Node, Tensor
from flowbook.runtime.slots import moved, resolved

# Derivatives that are not finite everywhere. Source: Abramowitz and Stegun, chapters 3 and 4.
DERIVATIVES = {
    "sqrt": "1 / (2 sqrt(x))",
    "log": "1 / x",
    "log2": "1 / (x log 2)",
    "log10": "1 / (x log 10)",
    "log1p": "1 / (1 + x)",
    "divide": "1 / y by x and -x / y^2 by y",
    "reciprocal": "-1 / x^2",
    "rsqrt": "-1 / (2 x^(3/2))",
    "power": "y x^(y-1) by x and x^y log(x) by y",
    "arcsin": "1 / sqrt(1 - x^2)",
    "arccos": "-1 / sqrt(1 - x^2)",
    "arctanh": "1 / (1 - x^2)",
    "arccosh": "1 / sqrt(x^2 - 1)",
    "norm": "x / norm(x)",
    "exp": "exp(x)",
    "exp2": "exp2(x) log 2",
    "tan": "1 / cos(x)^2",
    "square": "2 x",
    "sinh": "cosh(x)",
    "cosh": "sinh(x)",
    "mean": "1 / n",
    "var": "2 (x - mean(x)) / n",
    "std": "(x - mean(x)) / (n std(x))",
}
_NO_POLE = frozenset({"exp", "exp2", "square", "mean", "var", "std", "sinh", "cosh"})  # an eps would not help
SAFE = "choose a safe x before the function, too: where(ok, f(where(ok, x, 1.0)), 0.0)"


class Place(NamedTuple):
    """One element of one value of a run."""

    recording: Recording
    slot: int
    element: int

    @property
    def value(self) -> float:
        """The element."""
        return float(self.recording.array(self.slot).reshape(-1)[self.element])

    @property
    def finite(self) -> bool:
        """Whether it is neither nan nor infinite."""
        return bool(np.isfinite(self.value))


def inputs_of(place: Place, wanted: Callable[[Place], bool]) -> list[Place]:
    """For each value that an element is computed from, the first element there that is wanted.

    It looks into the body of a control-flow node, and out of it. A nan is looked for among nans first.
    """
    recording, slot, element = place
    step = recording.maker(slot)
    if step is None:
        return _from_outside(place)
    output = step.outputs.index(slot)
    child = recording.children.get(step.index)
    if child is not None:
        inner = child.plan.fetches[output]
        return [] if inner is None else [Place(child, inner, element)]
    operands = [recording.array(each) for each in step.inputs]
    results = [recording.array(each) for each in step.outputs]
    found = []
    for source, indices in zip(step.inputs, sources(step, operands, results, output, element), strict=False):
        if source is None or indices is None or source not in recording.table.names:
            continue  # a number in an expression was never a value of its own
        candidates = recording.array(source).reshape(-1)[indices]
        if candidates.dtype.kind != "f":
            continue
        order = np.argsort(~np.isnan(candidates), kind="stable")[:1]
        order = np.concatenate([order, np.flatnonzero(~np.isfinite(candidates))[:1], np.arange(len(indices))[:1]])
        options = (Place(recording, source, int(indices[at])) for at in order)
        choice = next((each for each in options if wanted(each)), None)
        if choice is not None:
            found.append(choice)
    return found


def _from_outside(place: Place) -> list[Place]:
    """What a body's capture stands for in the graph around it."""
    recording, slot, element = place
    outer, holder = recording.outer, recording.holder
    if outer is None or holder is None or slot not in {number for _, number in recording.plan.feeds}:
        return []
    given = recording.values[slot]
    source = next((each for each in holder.inputs if each is not None and outer.values[each] is given), None)
    return [] if source is None else [Place(outer, source, element)]


def forwards(node: Node | None) -> list[Node]:
    """The node itself, the node whose gradient it is part of, and so on: ``[d2, d1, forward]``."""
    chain = []
    while node is not None and node not in chain:
        chain.append(moved(node))
        node = node.forward
    return chain


def gradient_of(place: Place) -> str | None:
    """Whose gradient a backward node computes; ``None`` for a forward node.

    Of the 2nd order when what is differentiated is itself part of a gradient, and so on.
    """
    step = place.recording.maker(place.slot)
    chain = forwards(step.node if step is not None else None)
    if len(chain) < 2:
        return None
    root, order = chain[-1], len(chain) - 1
    which = "the gradient" if order == 1 else f"the gradient of order {order}"
    operands = [each if isinstance(each, Tensor) else None for each in root.inputs]
    names = ", ".join(
        shown.name if shown is not None else repr(given) for shown, given in zip(operands, root.inputs, strict=True)
    )
    text = f"in {which} of '{root.name}' = {root.op}({names})"
    if root.op in DERIVATIVES:
        text += f", whose derivative is {DERIVATIVES[root.op]}"
        parts = [
            f"{letter} = {value:.4g}"
            for letter, each in zip("xy", root.inputs, strict=False)
            if (value := _value_there(place, each)) is not None
        ]
        text += f", at {', '.join(parts)}" if parts else ""
    return text


def gradient_hint(place: Place) -> str | None:
    """What to do in the forward graph about a derivative that is not finite."""
    step = place.recording.maker(place.slot)
    chain = forwards(step.node if step is not None else None)
    root = chain[-1] if len(chain) > 1 else None
    if root is None or root.op not in DERIVATIVES or root.op in _NO_POLE:
        return None
    call = {"divide": "x / (y + eps)", "power": "power(x + eps, y)"}.get(root.op, f"{root.op}(x + eps)")
    return f"the derivative of '{root.name}' has no finite value there: keep away from that point, as {call} does"


def _value_there(place: Place, operand: object) -> float | None:
    """The value of a forward node's operand at the element, where their shapes are the same."""
    if isinstance(operand, (int, float)):
        return float(operand)
    recording = place.recording
    slot = recording.table.slots.get(resolved(operand)) if isinstance(operand, Tensor) else None
    value, here = recording.array(slot), recording.array(place.slot)
    if value is None or value.shape != here.shape or value.dtype.kind not in "iuf":
        return None
    return float(value.reshape(-1)[place.element])


def trap(path: list[Place]) -> tuple[Node, str] | None:
    """The forward ``where`` that did not take the branch in which a value went wrong, and where in it; or ``None``.

    Looks at each value on the way from the origin for a factor 0 that a ``where`` put in its gradient.
    """
    for place in path:
        step = place.recording.maker(place.slot)
        if step is None or step.node is None or step.node.forward is None or step.index in place.recording.children:
            continue
        operands = [place.recording.array(each) for each in step.inputs]
        results = [place.recording.array(each) for each in step.outputs]
        all_indices = sources(step, operands, results, step.outputs.index(place.slot), place.element)
        for source, indices in zip(step.inputs, all_indices, strict=False):
            if source is None or indices is None or operands[step.inputs.index(source)].dtype.kind != "f":
                continue
            found = next(
                filter(None, (_masked(Place(place.recording, source, int(each))) for each in indices[:9])), None
            )
            if found is not None:
                return found
    return None


def _masked(place: Place) -> tuple[Node, str] | None:
    """The forward ``where`` whose gradient put a 0 here, followed back along zeros."""
    waiting, seen = [place], {place[:2]}
    while waiting:
        recording, slot, element = here = waiting.pop()
        step = recording.maker(slot)
        if here.value != 0 or step is None:
            continue
        chain = forwards(step.node)
        if step.op.name == "where" and len(chain) > 1 and chain[-1].op == "where":
            condition = bool(recording.array(step.inputs[0]).reshape(-1)[_condition(here)])
            chosen = step.inputs[1 if condition else 2]
            if chosen is not None and chosen not in recording.table.names:
                return chain[-1], region(np.array([element]), recording.array(slot).shape)
        for each in inputs_of(here, lambda option: option.value == 0):
            if each[:2] not in seen:
                seen.add(each[:2])
                waiting.append(each)
    return None


def _condition(place: Place) -> int:
    """Which element of the condition of a ``where`` decides."""
    step = place.recording.maker(place.slot)
    assert step is not None
    operands = [place.recording.array(each) for each in step.inputs]
    return int(sources(step, operands, [place.recording.array(place.slot)], 0, place.element)[0][0])
