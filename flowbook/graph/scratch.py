"""Nodes for a moment: what is built inside `scratch` is gone afterwards, also in the middle of a cell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph


@contextmanager
def scratch(graph: Graph, owner: str) -> Iterator[None]:
    """Forget the nodes built inside; they can be run there. ``owner`` is the cell they belong to meanwhile.

    While a ``%%flow`` cell is being run they belong to its draft, and are taken out of it again.
    """
    draft = graph._transaction
    if draft is None or draft.plain:
        with graph.transaction(owner, discard=True):
            yield
        return
    cell, journal = draft.owner, draft.journal
    tables = dict(cell.nodes), dict(cell.counters), list(cell.derivations), set(cell.functions), cell.seq
    functions, made, renamed = dict(graph.functions), len(journal.made), len(journal.renamed)
    try:
        yield
    finally:
        for node in journal.made[made:]:
            node.hold(None)
            if graph._variables.get(node.name) is node:
                del graph._variables[node.name]
        del journal.made[made:], journal.renamed[renamed:]
        cell.nodes, cell.counters, cell.derivations, cell.functions, cell.seq = tables
        graph.functions.clear()  # in place: bodies share the table
        graph.functions.update(functions)
        graph.version += 1
