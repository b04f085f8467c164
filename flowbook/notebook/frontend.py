"""What the front end says of the cell that runs: its text, its id, and which cells were deleted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

from flowbook.graph.graph import Graph

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Code(NamedTuple):
    """A cell's Python, the file name it is known by, and the line of the cell where it begins."""

    source: str
    file: str
    first_line: int


class FrontEnd:
    """Follows one shell: which cell runs, and what each cell of the front end owns."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.cell_id: str | None = None
        self.raw: str | None = None
        self.owned: dict[str, tuple[Graph, str]] = {}  # by cell id

    def before_cell(self, info: Any) -> None:
        """IPython's ``pre_run_cell``: remember the cell, and drop what deleted cells defined."""
        self.raw = info.raw_cell
        cell_id = getattr(info, "cell_id", None)
        self.cell_id = _short(cell_id) if isinstance(cell_id, str) and cell_id else None
        for deleted in self._deleted():
            owned = self.owned.pop(_short(deleted), None)
            if owned is not None and owned not in self.owned.values():  # two cells may share a name
                graph, name = owned
                graph.remove_owner(name)

    def _deleted(self) -> list[str]:
        parent = getattr(self.shell, "parent_header", None)
        if not isinstance(parent, dict) or not parent:
            get_parent = getattr(self.shell, "get_parent", None)
            parent = get_parent() if get_parent is not None else {}
        metadata = parent.get("metadata") if isinstance(parent, dict) else None
        found = metadata.get("deletedCells") if isinstance(metadata, dict) else None
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []

    def code(self, line: str, body: str) -> Code:
        """The Python of a ``%%flow`` cell, with IPython's own syntax (``%run``, ``!ls``) translated.

        The file holds the cell as the person sees it, so line 1 is the magic's own line.
        """
        raw = self.raw or ""
        magic = _line_of_magic(raw)
        if magic is None or not raw.rstrip().endswith(body.rstrip()):
            raw, magic = f"%%flow {line}\n{body}", 1  # called in another way than by a cell
        rows = body.split("\n")
        blank = next((place for place, row in enumerate(rows) if row.strip()), 0)  # IPython drops these
        file = self.shell.compile.cache(raw, self._number(), raw_code=raw)
        return Code(self.shell.transform_cell(body), file, magic + 1 + blank)

    def _number(self) -> int:
        """The N of ``In[N]`` that IPython gave the cell which runs now: found by the file name of its code."""
        known: dict[str, int] = getattr(self.shell.compile, "_filename_map", {})
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in known:
                return known[frame.f_code.co_filename]
            frame = frame.f_back
        return int(self.shell.execution_count)

    @contextmanager
    def owning(self, graph: Graph, name: str) -> Iterator[None]:
        """While a cell runs: what it owned under another name goes first, and comes back if the cell fails."""
        cell = self.cell_id
        before = self.owned.get(cell) if cell is not None else None
        removed = None
        if before is not None and before != (graph, name) and list(self.owned.values()).count(before) == 1:
            old_graph, old_name = before
            if old_graph._owners.get(old_name) is not None and old_graph.owned(old_name):
                old_graph.remove_owner(old_name)
                removed = old_graph.last_commit
        try:
            yield
        except BaseException:
            if removed is not None:
                removed.journal.restore()
            raise
        if cell is not None:
            self.owned[cell] = (graph, name)


def _line_of_magic(raw: str) -> int | None:
    rows = raw.split("\n")
    return next((place for place, row in enumerate(rows, 1) if row.lstrip().startswith("%%flow")), None)


def _short(cell_id: str) -> str:
    """A cell id as people can read it: the first part of a UUID; a name that somebody chose stays whole."""
    return cell_id[:8] if _UUID.fullmatch(cell_id) else cell_id
