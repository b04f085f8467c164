"""A graph as it is between two cells, for a view that looks from another thread.

While a cell runs, nodes come and go. So a snapshot counts only when no cell was in the middle of its work, before and
after it was taken, and the graph was not another one by then; else it is taken again.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, NamedTuple, TypeVar

import numpy as np

from flowbook.graph.graph import Graph
from flowbook.graph.node import Node
from flowbook.notebook.describe import describe_nodes
from flowbook.notebook.protocol import GraphNode
from flowbook.runtime.session import Session

T = TypeVar("T")
PATIENCE = 1.0  # seconds; when a cell takes longer, views are told after it
PAUSE = 0.005


class Snapshot(NamedTuple):
    """The nodes to show in program order, as messages, those of the cell itself, how many are left out, and the values
    that are there without a run: of constants, and of the variables of a session."""

    places: dict[Node, int]
    entries: list[GraphNode]
    own: list[Node]
    hidden: int
    given: dict[int, Any]


def snapshot(graph: Graph, cell: str | None, session: Session, *, whole: bool) -> Snapshot | None:
    """What ``cell`` made and what it reads, or the whole graph; ``None`` when a cell is still changing it.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as graph:
    ...     _ = fb.notebook.run_cell("x = fb.constant(1.0)", {"fb": fb}, name="a")
    ...     _ = fb.notebook.run_cell("y = fb.constant(2.0)", {"fb": fb}, name="b")
    >>> found = snapshot(graph, "b", fb.Session(graph), whole=False)
    >>> [each["name"] for each in found.entries], found.hidden
    (['y'], 1)
    """
    return settled(graph, lambda: _take(graph, cell, session, whole))


def settled(graph: Graph, take: Callable[[], T]) -> T | None:
    """What ``take`` gives while no cell is changing the graph; ``None`` when one does all the time."""
    end = monotonic() + PATIENCE
    while True:
        version, found = graph.version, None
        if graph._transaction is None:
            try:
                found = take()
            except Exception:  # in the middle of a change anything may be missing
                if graph.version == version and graph._transaction is None:
                    raise
        if found is not None and graph.version == version and graph._transaction is None:
            return found
        if monotonic() > end:
            return None
        sleep(PAUSE)


def _take(graph: Graph, cell: str | None, session: Session, whole: bool) -> Snapshot:
    own = [] if cell is None else graph.owned(cell)
    nodes = graph.nodes
    count = len(nodes)
    if not whole:
        read = {each for node in own for each in (*(t.node for t in node.input_tensors), *node.control_inputs)}
        outside = [each for each in read.difference(own) if each.record is not None]
        nodes = [*sorted(outside, key=lambda node: node.order), *own]
    given = {place: np.asarray(node.attrs["value"]) for place, node in enumerate(nodes) if node.op == "constant"}
    for place, node in enumerate(nodes):
        stored = session.variables.get(node.tensors[0]) if node.op == "variable" else None
        if stored is not None:
            given[place] = stored.value
    places = {node: place for place, node in enumerate(nodes)}
    return Snapshot(places, describe_nodes(nodes), own, count - len(nodes), given)
