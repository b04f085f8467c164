"""What a cell shows: the picture (SVG), and the table and notices as text.

Two outputs. The first is one MIME bundle of text and picture: a terminal prints the text, a notebook draws the
picture instead. The second is for notebooks only: the notices that the picture cannot tell, and the table, folded.
"""

from __future__ import annotations

from html import escape
from typing import Any

from flowbook.graph.graph import Graph
from flowbook.graph.transaction import Commit
from flowbook.notebook.layout import LayoutError
from flowbook.notebook.outline import outline
from flowbook.notebook.svg import draw
from flowbook.notebook.text import cell_table, notices


class CellView:
    """The nodes of one cell as they are now; the display does not change when the graph does later.

    ``commit`` and ``kept`` (names of variables that kept their values) add what a re-run meant for other cells.
    Without a layout program, or for a picture too large, there is the table and a hint.
    """

    def __init__(self, graph: Graph, cell: str, commit: Commit | None = None, kept: list[str] | None = None) -> None:
        shown = outline(graph, cell, changes=_changes(commit))
        self.table = cell_table(shown)
        self.notices = [] if commit is None else notices(graph, commit, kept or [])
        self.svg: str | None = None
        if shown.boxes:
            try:
                self.svg = draw(shown)
            except LayoutError as error:
                self.notices.append(f"(no picture: {error})")

    @property
    def text(self) -> str:
        """The table and the notices."""
        return "\n".join([self.table, *self.notices])

    @property
    def html(self) -> str | None:
        """What to show below the picture; ``None`` where there is no picture, and so the text is shown."""
        if self.svg is None:
            return None
        lines = "".join(f"<div>{escape(each)}</div>" for each in self.notices)
        count, _, rows = self.table.partition("\n")
        return f"{lines}<details><summary>{escape(count)}</summary><pre>{escape(rows)}</pre></details>"

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle = {"text/plain": self.text}
        if self.svg is not None:
            bundle["image/svg+xml"] = self.svg
        return bundle


def _changes(commit: Commit | None) -> dict[str, str]:
    """What to mark in the picture of a cell that ran again: what it did not have before, and what is different."""
    if commit is None or not commit.again:
        return {}
    marks = dict.fromkeys(commit.added, "new")
    return marks | dict.fromkeys([*commit.changed, *commit.rewired], "changed")
