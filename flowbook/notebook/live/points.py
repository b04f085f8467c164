"""The breakpoints of a view: those of its stepper, with numbers, and kept for the steppers to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError
from flowbook.notebook import marks
from flowbook.notebook.live.edits import evaluate
from flowbook.notebook.live.numbers import Numbers
from flowbook.notebook.protocol import Breakpoint, Breakpoints
from flowbook.runtime.breakpoints import CONDITIONS
from flowbook.runtime.breakpoints import Breakpoint as Point
from flowbook.runtime.stepper import Stepper


class Points:
    """Sets and clears them as a reader says, and as the notebook's list of them (`marks.py`) knows them."""

    def __init__(self, stepper: Stepper, names: Callable[[], Mapping[str, Any]]) -> None:
        self.stepper = stepper
        self.names = names
        self._ids: dict[int, tuple[int, Point]] = {}

    def message(self, numbers: Numbers) -> Breakpoints:
        """All of them, and which nodes of this run they mean."""
        steps = [(place, info) for place, info in enumerate(numbers.infos) if info.kind == "step"]
        return Breakpoints(
            type="breakpoints",
            breakpoints=[
                Breakpoint(
                    id=self._id(point),
                    pattern=point.pattern,
                    when=self._label(point),
                    nodes=[place for place, info in steps if point.matches(info.name, info.op)],
                )
                for point in self.stepper.breakpoints
            ],
        )

    def set(self, pattern: str, when: str | None, old: int | None) -> None:
        """A new one, or another pattern or condition for an old one. ``when``: nan, inf, or an expression of ``x``."""
        test = condition(when, self.names)
        graph = self.stepper.session.graph
        found = self._find(old) if old is not None else None
        point = self.stepper.breakpoint(pattern, test)  # raises, and then the old one is still there
        if found is not None:
            self._remove(found)
        kept = marks.marks(graph)
        kept.breaks = [*kept.breaks, marks.Mark(point.pattern, test, when or "")]

    def clear(self, number: int) -> None:
        """Take one away."""
        self._remove(self._find(number))

    def _remove(self, point: Point) -> None:
        kept = marks.marks(self.stepper.session.graph)
        kept.breaks = [each for each in kept.breaks if (each.pattern, each.when) != (point.pattern, point.when)]
        point.remove()

    def _find(self, number: int) -> Point:
        for point in self.stepper.breakpoints:
            if self._id(point) == number:
                return point
        raise ArgumentError("this breakpoint is not there any more")

    def _id(self, point: Point) -> int:
        known = self._ids.setdefault(id(point), (len(self._ids) + 1, point))  # it holds the point, so ids stay unique
        return known[0]

    def _label(self, point: Point) -> str | None:
        if point.when is None or isinstance(point.when, str):
            return point.when
        kept = marks.marks(self.stepper.session.graph).breaks
        return next((each.label for each in kept if each.when is point.when), "a condition holds")


def condition(when: str | None, names: Callable[[], Mapping[str, Any]]) -> Any:
    """What a breakpoint is set with; ``when``: nan, inf, or an expression of ``x`` in the user's ``names``."""
    if when is None or not when.strip():
        return None
    if when.strip() in CONDITIONS:
        return when.strip()
    try:
        compile(when.strip(), "<condition>", "eval")
    except SyntaxError as error:
        raise ArgumentError(
            f"{when}: {error.msg}", hint="nan, inf, or an expression of x, such as abs(x).max() > 10"
        ) from None
    return lambda value: bool(np.any(evaluate(when, value, names())))  # of an array: for any of its elements
