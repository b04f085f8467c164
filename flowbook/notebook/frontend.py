"""What the front end says of the cell that runs: its text, its id, and which cells were deleted."""

from __future__ import annotations

import re
import sys
from collections.abc import Set
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakSet

from flowbook.errors import FlowError
from flowbook.graph.context import on_building
from flowbook.graph.graph import Graph, Owner
from flowbook.notebook import reactive
from flowbook.notebook.commands import kept_variables
from flowbook.notebook.live import opening
from flowbook.notebook.plain import PlainCell
from flowbook.notebook.text import notices

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
        self.running: list[PlainCell] = []  # a cell may run another
        self.graphs: WeakSet[Graph] = WeakSet()  # those in which cells defined something
        self.deleted: set[str] = set()  # ids of cells; an undo may bring back what one had

    def install(self) -> None:
        """Begin to listen."""
        self.shell.events.register("pre_run_cell", self.before_cell)
        self.shell.events.register("post_run_cell", self.after_cell)

    def uninstall(self) -> None:
        """Stop; a cell that runs ends now."""
        self.shell.events.unregister("pre_run_cell", self.before_cell)
        self.shell.events.unregister("post_run_cell", self.after_cell)
        while self.running:
            self.running.pop().end(None)
            reactive.leave()
        on_building(None)

    @property
    def cell_id(self) -> str | None:
        """The front end's id of the cell that runs, when it has one."""
        return self.running[-1].cell_id if self.running else None

    def before_cell(self, info: Any) -> None:
        """IPython's ``pre_run_cell``: remember the cell, and drop what deleted cells defined."""
        cell_id = getattr(info, "cell_id", None)
        cell_id = _short(cell_id) if isinstance(cell_id, str) and cell_id else None
        self.deleted.update(map(_short, self._deleted()))
        self.deleted.discard(cell_id or "")  # it is there again
        self._drop_deleted()
        cell = PlainCell(self.shell, info.raw_cell, cell_id, self.former)
        self.running.append(cell)
        on_building(cell.begin)
        reactive.enter(cell_id)
        opening.begin()

    def after_cell(self, result: Any) -> None:
        """IPython's ``post_run_cell``: end the cell's transaction, and drop what it does not define any more."""
        if not self.running:  # the extension was loaded by this very cell
            return
        try:
            self._end(self.running.pop(), result)
        finally:
            reactive.forget(self.deleted)
            reactive.leave()
            opening.drop(self.deleted)
            opening.follow()

    def _end(self, cell: PlainCell, result: Any) -> None:
        on_building(self.running[-1].begin if self.running else None)
        error = None if result is None else result.error_before_exec or result.error_in_exec
        try:
            commits = cell.end(error)
        except FlowError as failure:
            result.error_in_exec = failure  # a kernel reports it
            self.shell.showtraceback()
            return
        for graph, commit in commits:
            self.graphs.add(graph)
            if commit:
                for line in notices(graph, commit, kept_variables(graph, commit)):
                    print(line)
        if error is None and cell.cell_id is not None:
            for graph in self.graphs:
                for owner in self._made_by(graph, {cell.cell_id}):
                    if (graph, owner.name) not in cell.owns:
                        graph.remove_owner(owner.name)
        self._drop_deleted()  # after an undo

    def _drop_deleted(self) -> None:
        for graph in self.graphs:
            for owner in self._made_by(graph, self.deleted):
                if owner.nodes:
                    graph.remove_owner(owner.name)
                    graph.last_commit = None  # taking it back would bring nodes of a cell that is not there

    def _made_by(self, graph: Graph, cells: Set[str]) -> list[Owner]:
        """What these cells of the front end have in a graph. The graph knows: an undo changes it, too."""
        return [owner for owner in graph._owners.values() if owner.maker in cells]

    def former(self, graph: Graph, name: str) -> str | None:
        """The name that the cell which runs had in ``graph``, when it is another one now."""
        cell = self.cell_id
        before = self._made_by(graph, {cell}) if cell is not None else []
        if not before or any(owner.name == name for owner in before):
            return None
        return max(before, key=lambda owner: len(owner.nodes)).name  # an empty one has a place, too

    def owns(self, graph: Graph, name: str) -> None:
        """The cell that runs defined the cell ``name`` of ``graph``."""
        self.graphs.add(graph)
        if self.running:
            self.running[-1].owns.add((graph, name))

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
        raw = self.running[-1].raw if self.running else ""
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


def _line_of_magic(raw: str) -> int | None:
    rows = raw.split("\n")
    return next((place for place, row in enumerate(rows, 1) if row.lstrip().startswith("%%flow")), None)


def _short(cell_id: str) -> str:
    """A cell id as people can read it: the first part of a UUID; a name that somebody chose stays whole."""
    return cell_id[:8] if _UUID.fullmatch(cell_id) else cell_id
