"""Plain Python cells own nodes, too: from the first node it builds, a cell is a transaction.

It begins by itself (`Graph.building`), so a cell that builds nothing costs nothing, and ends with the cell. When the
cell fails, its nodes go, and so do the bindings to them; other bindings stay, as Python users expect.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.transaction import Commit, Transaction
from flowbook.notebook.cells import identity

_ABSENT = object()


class PlainCell:
    """One run of a cell: ``cell_id`` is what the front end calls it, ``raw`` its text; ``former(graph, name)`` tells
    the name that it had in a graph, when it was another one."""

    def __init__(self, shell: Any, raw: str, cell_id: str | None, former: Callable[[Graph, str], str | None]) -> None:
        self.shell = shell
        self.raw = raw
        self.cell_id = cell_id
        self.former = former
        self.owns: set[tuple[Graph, str]] = set()  # what this run defined, by graph and name of the cell
        self.drafts: list[Transaction] = []
        self.bindings = dict(shell.user_ns)

    @property
    def name(self) -> str:
        """What the cell is called when it does not say."""
        return self.cell_id or identity(self.raw)

    def begin(self, graph: Graph) -> None:
        """``graph`` is about to get nodes that no ``%%flow`` cell owns."""
        again = (graph, self.name) in self.owns  # after another transaction inside this cell
        was = None if again else self.former(graph, self.name)
        draft = Transaction(graph, self.name, file=self._file(), extend=again, was=was, maker=self.cell_id, plain=True)
        draft.__enter__()
        self.owns.add((graph, self.name))
        self.drafts.append(draft)

    def _file(self) -> str | None:
        """The file name under which Python knows the code that runs now."""
        known = getattr(self.shell.compile, "_filename_map", {})
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename not in known:
            frame = frame.f_back
        return None if frame is None else frame.f_code.co_filename

    def end(self, error: BaseException | None) -> list[tuple[Graph, Commit]]:
        """Commit, or roll back when the cell failed; returns what was committed. Raises what committing raises."""
        done = []
        try:
            for draft in self.drafts:
                if draft.graph._transaction is draft:
                    draft.__exit__(None if error is None else type(error), error, None)
                if draft.commit is not None:
                    done.append((draft.graph, draft.commit))
                else:
                    self.owns.discard((draft.graph, self.name))
        except BaseException as failure:
            self.end(failure)
            raise
        if error is not None and self.drafts:
            self._unbind()
        return done

    def _unbind(self) -> None:
        """Put back the bindings to nodes that are gone."""
        names = self.shell.user_ns
        for name, value in list(names.items()):
            before = self.bindings.get(name, _ABSENT)
            if value is not before and _gone(value):
                if before is _ABSENT:
                    del names[name]
                else:
                    names[name] = before


def _gone(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_gone, value))
    if isinstance(value, dict):
        return any(map(_gone, value.values()))
    node = value.node if isinstance(value, Tensor) else value
    return isinstance(node, Node) and node.record is None and node.moved is None
