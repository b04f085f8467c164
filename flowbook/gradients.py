"""`gradients`: reverse-mode differentiation that extends the graph.

The result is ordinary nodes, recorded as a derivation (`graph/derive.py`) that follows edits; so higher orders need
nothing more. The algorithm is in `graph/backprop.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowbook.errors import ArgumentError
from flowbook.graph import context
from flowbook.graph.backprop import backpropagate
from flowbook.graph.derive import derive
from flowbook.graph.node import Tensor, live

_UNCONNECTED = ("raise", "zeros", "none")


def gradients(
    ys: Tensor | Sequence[Tensor],
    xs: Tensor | Sequence[Tensor],
    grad_ys: Any = None,
    unconnected: str = "raise",
) -> list[Tensor | None]:
    """Derivatives of the sum of ``ys`` with respect to each of ``xs``, as new nodes: one tensor like each x.

    ``grad_ys``: what the derivative of each y starts from, shaped like it (default: ones). ``unconnected``: for an x
    that no y depends on, ``"raise"`` a ``GradientError``, give ``"zeros"``, or ``"none"`` for ``None``.

    >>> import flowbook as fb
    >>> x = fb.placeholder((), name="x_of_gradients")
    >>> dx, = fb.gradients(x * x * x, [x])
    >>> d2x, = fb.gradients(dx, [x])
    >>> [float(v) for v in fb.Session().run([dx, d2x], {x: 2.0})]
    [12.0, 12.0]
    """
    ys, xs = _tensors(ys, "ys"), _tensors(xs, "xs")
    if unconnected not in _UNCONNECTED:
        raise ArgumentError(f"unconnected={unconnected!r} is not known", hint="one of " + ", ".join(_UNCONNECTED))
    if grad_ys is not None:
        grad_ys = list(grad_ys) if isinstance(grad_ys, (list, tuple)) else [grad_ys]
        if len(grad_ys) != len(ys):
            raise ArgumentError(f"{len(grad_ys)} grad_ys for {len(ys)} ys")
    graph = ys[0].graph
    controls = context.current().controls if context.current().graph in (None, graph) else ()
    roots = [each.node for each in (*ys, *xs, *(grad_ys or ())) if isinstance(each, Tensor)]

    def build() -> list[Tensor | None]:
        starts = grad_ys and [live(each) if isinstance(each, Tensor) else each for each in grad_ys]
        inside = [live(x) if x.graph is graph else graph.capture(x) for x in xs]  # of a branch, when y is in it
        return backpropagate([live(y) for y in ys], inside, starts, unconnected)

    with context.override(controls=controls):
        return derive(graph, "gradients", build, roots)


def _tensors(values: Any, what: str) -> list[Tensor]:
    found = list(values) if isinstance(values, (list, tuple)) else [values]
    for each in found:
        if not isinstance(each, Tensor):
            raise ArgumentError(f"{what} holds {each!r}, which is not a tensor")
    if not found:
        raise ArgumentError(f"{what} is empty")
    return found
