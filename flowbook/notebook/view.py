"""What a cell shows: a MIME bundle of the table (text) and the picture (SVG)."""

from __future__ import annotations

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
        shown = outline(graph, cell)
        lines = [cell_table(shown)]
        if commit is not None:
            lines += notices(graph, commit, kept or [])
        self.svg: str | None = None
        if shown.boxes:
            try:
                self.svg = draw(shown)
            except LayoutError as error:
                lines.append(f"(no picture: {error})")
        self.text = "\n".join(lines)

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        bundle = {"text/plain": self.text}
        if self.svg is not None:
            bundle["image/svg+xml"] = self.svg
        return bundle
