"""A notebook as a front end keeps it, random events in it, and what has to be the same in the end as in a fresh run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.graph.check import check
from flowbook.notebook.frontend import FrontEnd
from tests.notebook.conftest import sent
from tests.notebook.outcome import feeds, trainings
from tests.notebook.writing import Pick, Source, edited, kind, source

EVENTS = ["run"] * 4 + ["edit"] * 4 + ["again", "insert", "insert", "delete", "undo", "use", "move"]


class Document:
    """The cells, as the front end has them: by id, from top to bottom."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.sources: dict[str, Source] = {}
        self.deleted: list[str] = []  # since the last cell ran
        self.count = 0

    def known(self, cell: str) -> list[str]:
        """The names that the cells above assign."""
        above = self.cells[: self.cells.index(cell)]
        return [name for each in above for name in self.sources[each].writes]

    def key(self, cell: str) -> str:
        return f"k{int(cell[:8], 16)}"

    def insert(self, pick: Pick) -> str:
        self.count += 1
        cell = f"{self.count:08x}-0000-4000-8000-{self.count:012x}"
        self.cells.insert(len(self.cells) if pick(range(3)) else pick(range(len(self.cells) + 1)), cell)
        self.sources[cell] = source(pick, self.key(cell), self.known(cell))
        return cell

    def edit(self, pick: Pick, cell: str) -> None:
        self.sources[cell] = edited(pick, self.sources[cell], self.key(cell), self.known(cell))

    def delete(self, cell: str) -> None:
        self.cells.remove(cell)
        del self.sources[cell]
        self.deleted.append(cell)

    def move(self, pick: Pick, cell: str) -> None:
        self.cells.remove(cell)
        self.cells.insert(pick(range(len(self.cells) + 1)), cell)

    def sent(self) -> list[str]:
        """What goes with the next request as ``deletedCells``."""
        deleted, self.deleted = self.deleted, []
        return deleted


class Run(NamedTuple):
    """The last run of a cell that the graph still holds."""

    source: Source
    reads: dict[str, Any]  # what the names were bound to before, and after
    bound: dict[str, Any]


def _keys(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_keys(each) for each in value]
    if isinstance(value, dict):
        return {name: _keys(each) for name, each in value.items()}
    if isinstance(value, fb.Tensor):
        return value.node.live.key, value.index
    return value.live.key if isinstance(value, fb.Node) else type(value).__name__


def same(a: Any, b: Any) -> bool:
    """Whether two names are bound to the same thing; handles of one key are, also a draft's that became another."""
    if isinstance(a, fb.Tensor) and isinstance(b, fb.Tensor):
        return a.node.live is b.node.live and a.index == b.index
    return a is b


class Shell:
    """An IPython shell with a graph, a front end and names of its own."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.graph = fb.Graph()
        self.front = FrontEnd(shell)
        self.names: dict[str, Any] = {**shell.user_ns, "fb": fb, "np": np}

    @contextmanager
    def current(self) -> Iterator[None]:
        """One shell plays several."""
        magics = self.shell.magics_manager.magics["cell"]["flow"].__self__
        outer, space = magics.front, self.shell.user_ns
        before = dict(space)
        outer.uninstall()
        magics.front = self.front
        self.front.install()
        try:
            space.clear()
            space.update(self.names)
            with self.graph.as_default():
                yield
            self.names = dict(space)
        finally:
            self.front.uninstall()
            magics.front = outer
            outer.install()
            space.clear()
            space.update(before)

    def run(self, text: str, cell: str | None, deleted: Sequence[str]) -> BaseException | None:
        """Run a cell; returns its error."""
        with self.current(), capture_output(), sent(self.shell, deleted):
            done = self.shell.run_cell(text, cell_id=cell)
        error: BaseException | None = done.error_in_exec or done.error_before_exec
        return error


def use(graph: fb.Graph) -> None:
    """Train a little in the notebook's session, so that variables have other values than their first ones."""
    session = fb.notebook.session(graph)
    for node in trainings(graph):
        with suppress(FlowError):  # stale, or sizes that do not fit: it changed nothing
            session.run(node, feeds(graph, 4))


class Notebook:
    """A document, and the shell it is run in; every event is followed by a look whether all is consistent."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = Shell(shell)
        self.document = Document()
        self.runs: dict[str, Run] = {}
        self.named: dict[str, set[str]] = {}  # who ever had a name
        self.owners: dict[str, str] = {}  # who defined what the graph has under a name of a cell
        self.undoable: tuple[str, str | None] | None = None  # the cell of the last commit, and the hash before it

    @property
    def graph(self) -> fb.Graph:
        return self.shell.graph

    def event(self, pick: Pick) -> None:
        document = self.document
        what = pick(EVENTS) if document.cells else "insert"
        cell = document.insert(pick) if what == "insert" else pick(document.cells)
        if what == "edit":
            document.edit(pick, cell)
        if what in ("edit", "insert", "run", "again"):
            if pick(range(6)):
                self.run(cell)
        elif what == "delete":
            self.delete(cell)
        elif what == "move":
            document.move(pick, cell)
        elif what == "undo":
            self.undo()
        elif what == "use":
            self.use()
        check(self.graph)

    def places(self) -> list[str | None]:
        """The cells that define something, by position."""
        return [owner.maker for owner in self.graph.owners]

    def send(self, text: str, cell: str | None) -> BaseException | None:
        """A request, as a front end sends it: with what was deleted since the last one."""
        return self.shell.run(text, cell, self.document.sent())

    def run(self, cell: str) -> BaseException | None:
        source = self.document.sources[cell]
        self.send("pass", None)
        hash_before, commit, names, places = self.graph.hash, self.graph.last_commit, self.shell.names, self.places()
        stale = any(node.stale for node in self.graph.nodes)
        error = self.send(source.text, cell)
        if error is not None:
            assert self.graph.hash == hash_before, "a cell that failed changed the graph"
            kept = {name for name in names if not name.startswith("_")} if source.magic else ()
            assert all(self.shell.names.get(name) is names[name] for name in kept), "bindings were not put back"
            if not source.magic:
                self.runs.pop(cell, None)  # what was bound to other things than nodes stays bound
            return error
        if self.graph.last_commit is not commit:
            self.undoable = cell, hash_before
        owner, after = source.owner(cell), self.places()
        self.named.setdefault(owner, set()).add(cell)
        shared = any(cell in cells and len(cells) > 1 for cells in self.named.values())
        if not shared:  # else it may take the place of the other one, or go back to its own
            assert [each for each in places if each in after] == [each for each in after if each in places], "moved"
        if self.owners.get(owner, cell) != cell:
            self.runs.pop(self.owners[owner], None)
        self.owners = {name: each for name, each in self.owners.items() if each != cell} | {owner: cell}
        run = Run(
            source,
            {name: names.get(name) for name in source.reads},
            {name: self.shell.names.get(name) for name in source.writes},
        )
        if not stale and self._same(cell, run):
            assert self.graph.hash == hash_before, "the same again changed the graph"
            assert _keys(run.bound) == _keys(self.runs[cell].bound)
            assert all(same(value, self.runs[cell].bound[name]) for name, value in run.bound.items() if not kind(name))
        self.runs[cell] = run
        return None

    def _same(self, cell: str, run: Run) -> bool:
        """Whether a run had nothing to change: the cell ran so before, and was not touched since then."""
        before = self.runs.get(cell)
        return (
            before is not None
            and before.source == run.source
            and all(value is before.reads[name] for name, value in run.reads.items())
        )

    def delete(self, cell: str) -> None:
        self.document.delete(cell)
        if self.undoable is not None:
            self.undoable = self.undoable[0], None  # what it had does not come back
        self.runs.pop(cell, None)

    def undo(self) -> None:
        self.send("pass", None)
        could = self.graph.last_commit is not None
        error = self.send("%flow undo", None)
        assert (error is None) == could, error
        if error is None:
            assert self.undoable is not None
            cell, hash_before = self.undoable
            assert hash_before in (self.graph.hash, None), "undo left something"
            self.runs.pop(cell, None)

    def use(self) -> None:
        use(self.graph)

    # -------------------------------------------------------------------------------------------- the end

    def bound(self) -> dict[str, Any]:
        """What each cell bound its names to, nodes by key."""
        return {cell: {name: _keys(value) for name, value in run.bound.items()} for cell, run in self.runs.items()}

    def fresh(self) -> Notebook:
        """The notebook run once from top to bottom in a shell of its own, without the cells that fail there."""
        while True:
            book = Notebook(self.shell.shell)
            book.document.cells, book.document.sources = [*self.document.cells], dict(self.document.sources)
            failing = [cell for cell in book.document.cells if book.run(cell) is not None]
            if not failing:
                return book
            for cell in failing:
                self.delete(cell)

    def settle(self) -> bool:
        """Run what a person would have to run; returns whether that was possible."""
        self.send("pass", None)
        cells = self.document.cells
        shared = len({self.document.sources[cell].owner(cell) for cell in cells}) < len(cells)  # the last one stays
        if not shared and all(not self._due(cell) or self._run_alone(cell) for cell in cells):
            return True
        for _ in cells:  # others may be in the way at first
            if not [cell for cell in cells if self.run(cell) is not None]:
                return True
        return not cells

    def _due(self, cell: str) -> bool:
        run, wanted = self.runs.get(cell), self._wanted(cell)
        if run is None or run.source != self.document.sources[cell]:
            return True
        if any(not same(run.reads.get(name), value) for name, value in wanted.items()):
            return True
        return any(node.stale for node in self.graph.owned(run.source.owner(cell)))

    def _run_alone(self, cell: str) -> bool:
        """Run a cell, unless another one assigned the names that it reads since then."""
        wanted = self._wanted(cell)
        return all(same(self.shell.names.get(name), wanted[name]) for name in wanted) and self.run(cell) is None

    def _wanted(self, cell: str) -> dict[str, Any]:
        """What the names that a cell reads are bound to by the cells above it."""
        bound: dict[str, Any] = {}
        for each in self.document.cells[: self.document.cells.index(cell)]:
            bound.update(self.runs[each].bound if each in self.runs else {})
        return {name: bound.get(name) for name in self.document.sources[cell].reads}
