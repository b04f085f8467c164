"""Breakpoints: which nodes a stepper stops at, and on which values.

Without a condition one stops before the node, with a condition right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import ArgumentError, SessionError
from flowbook.graph.node import Node, Tensor
from flowbook.runtime.slots import bodies_of, body_nodes

Condition = Callable[[Any], Any]


def _nan(value: Any) -> bool:
    return value.dtype.kind == "f" and bool(np.isnan(value).any())


def _inf(value: Any) -> bool:
    return value.dtype.kind == "f" and bool(np.isinf(value).any())


CONDITIONS: dict[str, Condition] = {"nan": _nan, "inf": _inf, "nonfinite": lambda value: _nan(value) or _inf(value)}


class Breakpoint:
    """Stops ``Stepper.run`` before the nodes it matches, or with ``when`` right after them.

    ``pattern`` is compared with node names as in a shell (``*``, ``?``, ``[...]``); ``op:log`` with operation names.
    ``hits`` counts how often it stopped a run; ``enabled`` can be switched.
    """

    def __init__(self, pattern: str, when: Any, remove: Callable[[Breakpoint], None]) -> None:
        self.pattern = pattern
        self.when = when
        self.enabled = True
        self.hits = 0
        self._remove = remove
        self._condition: Condition | None = CONDITIONS[when] if isinstance(when, str) else when

    def matches(self, name: str, op: str) -> bool:
        """Whether a node of this name and operation is meant."""
        if self.pattern.startswith("op:"):
            return fnmatchcase(op, self.pattern[3:])
        return fnmatchcase(name, self.pattern)

    def holds(self, outputs: Sequence[Any]) -> bool:
        """Whether the condition is true of any of a node's values.

        Raises ``SessionError`` when a user's condition raises, or gives anything but one truth value.
        """
        assert self._condition is not None
        for value in outputs:
            array = np.asarray(value).view()
            array.flags.writeable = False
            try:
                if bool(self._condition(array)):
                    return True
            except Exception as error:
                raise SessionError(
                    f"the condition of breakpoint '{self.pattern}' failed: {type(error).__name__}: {error}",
                    hint="when=f, with f(value) one True or False; for an array np.any(...) or np.all(...)",
                ) from error
        return False

    def remove(self) -> None:
        """Take it out of its stepper; harmless when it is out already."""
        self._remove(self)

    def __repr__(self) -> str:
        when = "" if self.when is None else f", when {self.when if isinstance(self.when, str) else 'a condition holds'}"
        return f"<Breakpoint '{self.pattern}'{when}{'' if self.enabled else ', off'}>"


class Breakpoints:
    """The breakpoints of one stepper; ``changed`` is called when there is one more, or one less."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.all: list[Breakpoint] = []
        self._changed = changed

    def add(self, pattern: Any, when: Any, plan: Plan) -> Breakpoint:
        """A new one; ``ArgumentError`` for what is no pattern or condition, ``SessionError`` when no node matches."""
        found = Breakpoint(_as_pattern(pattern), _as_condition(when), self.remove)
        names = {step.name: step.op.name for step in plan.steps}
        bodies = [body for step in plan.steps for body in bodies_of(step)]
        names.update((node.name, node.op) for body in bodies for node in body_nodes(body))
        if not any(found.matches(name, op) for name, op in names.items()):
            close = get_close_matches(found.pattern, names, 3)
            raise SessionError(
                f"no node of this run matches '{found.pattern}'",
                hint=f"similar: {', '.join(close)}" if close else "patterns are such as 'layer1/*' or 'op:log'",
            )
        self.all.append(found)
        self._changed()
        return found

    def remove(self, breakpoint: Breakpoint) -> None:
        """Take one out, if it is here."""
        self.all = [each for each in self.all if each is not breakpoint]
        self._changed()

    def before(self, step: Step | None) -> bool:
        """Whether to stop before a step; counts the hits."""
        return step is not None and _hit([each for each in self._active(step) if each.when is None])

    def after(self, step: Step, outputs: Sequence[Any]) -> bool:
        """Whether to stop after a step that gave these values; counts the hits."""
        return _hit([each for each in self._active(step) if each.when is not None and each.holds(outputs)])

    def inside(self, step: Step | None) -> bool:
        """Whether one could stop in a body of this step."""
        bodies = bodies_of(step) if step is not None else []
        active = [each for each in self.all if each.enabled] if bodies else []
        return any(each.matches(node.name, node.op) for each in active for body in bodies for node in body_nodes(body))

    def _active(self, step: Step) -> list[Breakpoint]:
        return [each for each in self.all if each.enabled and each.matches(step.name, step.op.name)]


def _hit(found: list[Breakpoint]) -> bool:
    for each in found:
        each.hits += 1
    return bool(found)


def _as_pattern(pattern: Any) -> str:
    """The pattern as text; a tensor or node stands for its name."""
    if isinstance(pattern, (Tensor, Node)):
        node = pattern.node if isinstance(pattern, Tensor) else pattern
        return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in node.name)
    if not isinstance(pattern, str):
        raise ArgumentError(f"{pattern!r} is not a pattern", hint="such as 'layer1/*', 'op:log', or a tensor")
    return pattern


def _as_condition(when: Any) -> Any:
    if when is not None and not callable(when) and not (isinstance(when, str) and when in CONDITIONS):
        raise ArgumentError(
            f"when={when!r} is not known", hint=f"None, {', '.join(map(repr, CONDITIONS))}, or f(value) -> bool"
        )
    return when
