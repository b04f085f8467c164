"""`Trace`: what happened in a run, readable without its graph; and `Recorder`, the observer that makes one.

A trace is events plus sampled values plus what a view has to know of the nodes, all plain data. So it can be saved,
loaded where there is neither graph nor kernel, and replayed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from flowbook.errors import SessionError
from flowbook.graph import container
from flowbook.graph.node import Node, Tensor
from flowbook.runtime.events import FINISHED, RUNNING, STATES, WAITING, Events, NodeInfo
from flowbook.runtime.listing import table
from flowbook.runtime.recorder import Recorder
from flowbook.runtime.tracedata import Failure, TraceData, decode, encode

__all__ = ["Peak", "Recorder", "Timing", "Timings", "Trace"]


class Timing(NamedTuple):
    """One execution of one node; ``bytes`` are those of its outputs."""

    node: str
    op: str
    device: str
    seconds: float
    bytes: int


class Timings(list[Timing]):
    """Timings in the order of execution. Printed it is a table; its ``repr`` leaves out what was measured."""

    def __repr__(self) -> str:
        rows = [("node", "op", "device", "bytes")]
        rows.extend((each.node, each.op, each.device, str(each.bytes)) for each in self)
        return table(rows, right=[3])

    def __str__(self) -> str:
        rows = [("node", "op", "device", "microseconds", "bytes")]
        rows.extend((each.node, each.op, each.device, f"{each.seconds * 1e6:.1f}", str(each.bytes)) for each in self)
        return table(rows, right=[3, 4])


class Peak(NamedTuple):
    """The moment of most memory: its bytes, when it was, and which nodes' buffers were alive, largest first."""

    bytes: int
    seconds: float
    alive: tuple[tuple[str, int], ...]


class Trace:
    """What happened in one run: ``session.trace`` after ``session.run(..., trace=True)``.

    ``nodes``: a `NodeInfo` for each node that ran and each feed, constant and variable it used. ``events``: a
    sequence of `Event`. ``total``: seconds from beginning to end. ``failed``: the node at which the run ended and
    why, or ``None``.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((2,), name="x")
    ...     y = fb.exp(x, name="y")
    ...     session = fb.Session()
    >>> _ = session.run(y, {x: [0.0, 1.0]}, trace=True)
    >>> session.trace
    <Trace: 1 step, 3 events>
    >>> session.trace.timings()
    node  op   device  bytes
    y     exp  cpu:0       8
    >>> session.trace.value("x"), session.trace.states()
    (array([0., 1.], dtype=float32), {'y': 'finished'})
    """

    def __init__(self, data: TraceData, given: Mapping[int, Any] | None = None) -> None:
        self.data = data
        self.given = dict(given or {})  # large feeds and variables whole, by place in nodes; a file keeps samples
        self._places: dict[str, list[tuple[int, int]]] = {}
        for index, node in enumerate(data.nodes):
            for output in range(len(node.outputs) or 1):
                name = node.name if output == 0 else f"{node.name}:{output}"
                self._places.setdefault(name, []).append((index, output))

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """All nodes: those that ran in order, and where their values came from."""
        return self.data.nodes

    @property
    def events(self) -> Events:
        """All events, in order."""
        return self.data.events

    @property
    def total(self) -> float:
        """Seconds the run took."""
        return self.data.total

    @property
    def threads(self) -> tuple[str, ...]:
        """Names of the threads that ran nodes; events refer to them by place."""
        return self.data.threads

    @property
    def failed(self) -> Failure | None:
        """The node that was running when the run failed or was interrupted, and the message; else ``None``."""
        return self.data.failed

    def __repr__(self) -> str:
        steps = sum(node.kind == "step" for node in self.nodes)
        failed = f", failed at '{self.failed.node}'" if self.failed else ""
        return f"<Trace: {steps} step{'s' * (steps != 1)}, {len(self.events)} events{failed}>"

    def __str__(self) -> str:
        lines = [str(self.timings()), f"total {self.total * 1e6:.1f} microseconds, peak {self.peak.bytes} bytes"]
        if self.failed:
            lines.append(f"failed at '{self.failed.node}': {self.failed.message}")
        return "\n".join(lines)

    # -------------------------------------------------------------------------------------------- times

    def spans(self) -> list[tuple[int, float, float, int, int]]:
        """Each execution that finished, by its start: (place in ``nodes``, start, end, bytes, thread)."""
        started: dict[tuple[int, int], float] = {}
        found = []
        columns = (column.tolist() for column in self.events.columns.values())
        for state, node, seconds, size, thread in zip(*columns, strict=True):
            if state == RUNNING:
                started[node, thread] = seconds
            elif state == FINISHED and (node, thread) in started:
                found.append((node, started.pop((node, thread)), seconds, size, thread))
        return sorted(found, key=lambda span: span[1])

    def timings(self) -> Timings:
        """How long each node took, in the order in which they started; a body's nodes follow the one that ran it."""
        return Timings(
            Timing(self.nodes[node].name, self.nodes[node].op, self.nodes[node].device, end - start, size)
            for node, start, end, size, _ in self.spans()
        )

    def states(self, at: float | None = None) -> dict[str, str]:
        """The state of every node that was to run, by name, ``at`` seconds after the beginning (default: the end)."""
        columns = self.events.columns
        count = len(self.events) if at is None else int(np.searchsorted(columns["seconds"], at, "right"))
        found = {index: WAITING for index, node in enumerate(self.nodes) if node.kind == "step"}
        found.update(zip(columns["node"][:count].tolist(), columns["state"][:count].tolist(), strict=True))
        return {self.nodes[index].name: STATES[state] for index, state in found.items()}

    def memory(self) -> Any:
        """The bytes that the run held after each event: an int64 array.

        Buffers count once, however many tensors are views of them; feeds, constants and variables as they were
        before the run do not count.
        """
        buffers = self.data.buffers
        freed = buffers["died"] >= 0
        change = np.zeros(len(self.events), np.int64)
        np.add.at(change, buffers["born"], buffers["bytes"])
        np.subtract.at(change, buffers["died"][freed], buffers["bytes"][freed])
        return np.cumsum(change)

    @property
    def peak(self) -> Peak:
        """When the run held most memory (see `memory`), and which nodes' buffers were alive then."""
        held, buffers = self.memory(), self.data.buffers
        if not held.any():
            return Peak(0, 0.0, ())
        moment = int(held.argmax())
        here = (buffers["born"] <= moment) & ((buffers["died"] < 0) | (buffers["died"] > moment))
        pairs = zip(buffers["node"][here].tolist(), buffers["bytes"][here].tolist(), strict=True)
        alive = sorted(((self.nodes[node].name, size) for node, size in pairs if size), key=lambda pair: -pair[1])
        return Peak(int(held[moment]), self.events.columns["seconds"][moment].item(), tuple(alive))

    # -------------------------------------------------------------------------------------------- values

    def summary(self, what: Any) -> Any:
        """The `Summary` of a tensor's value (given as tensor, node or name): shape, dtype, statistics, elements.

        Raises ``SessionError`` for what this run did not compute.
        """
        name = what if isinstance(what, str) else getattr(what, "name", None)
        places = self._places.get(name, []) if isinstance(name, str) else []
        if isinstance(what, (Tensor, Node)) and len(places) > 1:
            owner = (what.node if isinstance(what, Tensor) else what).owner.name
            places = [place for place in places if self.nodes[place[0]].owner == owner] or places
        if not places:
            close = get_close_matches(str(name), self._places, 3)
            raise SessionError(f"'{name}' is not in this trace", hint=f"similar: {', '.join(close)}" if close else None)
        if len(places) > 1:
            found = [self.nodes[place[0]] for place in places]
            if all(node.parent >= 0 for node in found):  # gradients compute the bodies of control flow again
                bodies = ", ".join(f"'{self.nodes[node.parent].name}'" for node in found)
                raise SessionError(f"'{name}' is in the bodies of several nodes: {bodies}", hint="ask for these")
            cells = ", ".join(node.owner or "the script" for node in found)
            raise SessionError(f"'{name}' is in several cells: {cells}", hint="use the tensor itself")
        if places[0] not in self.data.values:
            raise SessionError(f"'{name}' has no value in this trace: it was not computed, or has no output")
        return self.data.values[places[0]]

    def value(self, what: Any) -> Any:
        """The value of a tensor, node or name: an array while it is small (64 KiB), else its `Summary`."""
        found = self.summary(what)
        return found.array.copy() if found.whole else found

    # -------------------------------------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trace to one file, atomically. It holds no code and no names of code."""
        container.write(path, "trace", *encode(self.data))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace; it needs no graph. Raises ``FileError`` for what is not a whole, sound trace file."""
        return cls(decode(*container.read(path, "trace"), os.fsdecode(path)))

    def to_chrome(self, path: str | os.PathLike[str]) -> None:
        """Write JSON that Perfetto (ui.perfetto.dev) and ``chrome://tracing`` show: one lane per device and thread."""
        from flowbook.runtime.chrome import write

        write(self, path)
