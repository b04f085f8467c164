"""`Results`: what ``%flow run`` gives and shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import display

from flowbook.notebook.pictures import picture
from flowbook.notebook.values import MAX_ROWS, format_value, kind_of, parts_of, sparkline, table


class Results(dict[str, Any]):
    """The last values of a run by what they were asked for as; ``history`` has a list of numbers, one for each step,
    for every scalar; ``steps`` says how many ran."""

    def __init__(self, values: Mapping[str, Any], history: Mapping[str, list[float]], steps: int, asked: int) -> None:
        super().__init__(values)
        self.history = dict(history)
        self.steps = steps
        self.asked = asked
        self.on_display: Callable[[Results], None] | None = None  # shows it instead, where it follows the graph

    def __repr__(self) -> str:
        shown = self._parts()
        rows = []
        for name, value in shown[:MAX_ROWS]:
            curve = ""
            if self.steps > 1 and name in self.history:
                points = self.history[name]
                curve = f"{sparkline(points)}  {format_value(points[0])} to {format_value(points[-1])}"
            rows.append([name, kind_of(value), curve or format_value(value)])
        lines = [table(rows)] if rows else []
        if len(shown) > MAX_ROWS:
            lines.append(f"… and {len(shown) - MAX_ROWS} more")
        if self.steps < self.asked:
            lines.append(f"interrupted: {self.steps} of {self.asked} steps ran; the unfinished one changed nothing")
        return "\n".join(lines)

    def _parts(self) -> list[tuple[str, Any]]:
        return [part for name, value in self.items() for part in parts_of(name, value)]

    def _ipython_display_(self) -> None:
        """The pictures of large values, then the text."""
        found = picture(self._parts())
        if found is not None:
            data, metadata = found.bundle
            display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        if self.on_display is None:
            raise NotImplementedError  # IPython shows the text as it shows any result
        self.on_display(self)
