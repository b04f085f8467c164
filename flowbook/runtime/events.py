"""Events: what happened in a run, node by node; the only thing that observers learn of it.

A node is *waiting* until its inputs are there, then *ready*, *running*, *finished*, and *released* once nobody needs
its values any more. Every change but the first is an event. They are kept as columns, so that millions fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

STATES = ("waiting", "ready", "running", "finished", "released")
WAITING, READY, RUNNING, FINISHED, RELEASED = range(len(STATES))


class Event(NamedTuple):
    """A node entered a state. ``bytes``: of its outputs when finished, given up when released, else 0.

    ``seconds`` count from the beginning of the run. ``step`` is the node's place in the order of its plan.
    """

    state: str
    node: str
    op: str
    device: str
    seconds: float
    bytes: int
    thread: int
    step: int


class NodeInfo(NamedTuple):
    """What a trace knows of a node without its graph.

    ``kind``: ``"step"`` for what was computed, else where the value came from (``"feed"``, ``"constant"``,
    ``"variable"``). ``owner`` is the cell that defines it, ``cell`` and ``line`` where it was written. ``inputs``: a
    name for each tensor, the text of a scalar, ``None`` where an optional one was left out. ``outputs``: pairs of
    dtype and shape as compiled. ``device`` is where it ran, ``requested`` what the graph asks for. ``waits`` and
    ``parent`` (the control-flow node whose body it is in, or -1) are places in ``Trace.nodes``.
    """

    name: str
    op: str
    kind: str
    owner: str | None
    device: str
    requested: str | None
    inputs: tuple[str | None, ...]
    outputs: tuple[tuple[str, tuple[int | str | None, ...] | None], ...]
    cell: str | None
    line: int | None
    forward: str | None
    parent: int
    step: int
    waits: tuple[int, ...]


class Events(Sequence[Event]):
    """The events of a run in the order in which they happened, as columns; items are made when asked for."""

    def __init__(self, nodes: Sequence[NodeInfo], columns: dict[str, Any]) -> None:
        self.nodes = nodes
        self.columns = columns

    COLUMNS = {"state": "uint8", "node": "int32", "seconds": "float64", "bytes": "int64", "thread": "int32"}

    @classmethod
    def of(cls, nodes: Sequence[NodeInfo], rows: Sequence[tuple[int, int, float, int, int]]) -> Events:
        """Events from rows of (state, node, seconds, bytes, thread)."""
        parts = zip(*rows, strict=True) if rows else [()] * len(cls.COLUMNS)
        pairs = zip(cls.COLUMNS.items(), parts, strict=True)
        return cls(nodes, {name: np.array(part, dtype) for (name, dtype), part in pairs})

    def __len__(self) -> int:
        return len(self.columns["state"])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        state, row, seconds, size, thread = (column[index].item() for column in self.columns.values())
        node = self.nodes[row]
        return Event(STATES[state], node.name, node.op, node.device, seconds, size, thread, node.step)

    def __iter__(self) -> Iterator[Event]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<Events: {len(self)} of {len(self.nodes)} nodes>"
