"""`Recorder`: the observer that turns a run into a trace."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import FlowError
from flowbook.graph.graph import Graph
from flowbook.runtime.events import FINISHED, READY, RELEASED, RUNNING, Events, NodeInfo
from flowbook.runtime.slots import SlotTable
from flowbook.runtime.summary import WHOLE_BYTES, Summary, summarize
from flowbook.runtime.tracedata import Failure, TraceData

if TYPE_CHECKING:
    from flowbook.runtime.trace import Trace

BUDGET = 64 << 20  # bytes of values that one trace keeps whole; past it, small samples
SMALL_BYTES = 4096
GIVEN = 64 << 20  # bytes of what a run was given that are remembered whole, beside the samples, while the trace is here


class Log:
    """What the recorders of a run and of its bodies write to together."""

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole  # nobody writes these values: all are kept, none is copied
        self.zero: float | None = None
        self.nodes: list[NodeInfo] = []
        self.rows: list[tuple[int, int, float, int, int]] = []
        self.values: dict[tuple[int, int], Summary] = {}
        self.kept = 0
        self.given: dict[int, Any] = {}
        self.threads: dict[int, int] = {}
        self.thread_names: list[str] = []
        self.failed: Failure | None = None
        self.last = 0.0
        self.buffers: list[list[int]] = []  # node, bytes, born and died (places in rows; -1: alive at the end)
        self.alive: dict[int, list[int]] = {}  # by id of the buffer: how many slots hold it, place in buffers or -1

    def event(self, state: int, node: int, seconds: float, size: int = 0) -> None:
        """Something happened at this reading of the clock."""
        ident = threading.get_ident()
        thread = self.threads.get(ident)
        if thread is None:
            thread = self.threads[ident] = len(self.threads)
            self.thread_names.append(threading.current_thread().name)
        self.last = seconds - (self.zero or 0.0)
        self.rows.append((state, node, self.last, size, thread))

    def keep(self, node: int, output: int, value: Any) -> None:
        """Sample a value."""
        if self.whole:
            array = np.asarray(value)
            self.values[node, output] = Summary(array.dtype.name, array.shape, True, array, None)
            return
        self.values[node, output] = found = summarize(value, WHOLE_BYTES if self.kept < BUDGET else SMALL_BYTES)
        self.kept += found.array.nbytes

    def remember(self, node: int, value: Any) -> None:
        """Keep what the run was given whole, where `keep` took a sample, so that it can be computed again."""
        found = self.values[node, 0]
        room = GIVEN - sum(each.nbytes for each in self.given.values())
        if not found.whole and found.nbytes <= room:
            self.given[node] = np.array(value)

    def hold(self, value: Any, node: int) -> int:
        """A slot holds this value now; returns the id of its buffer. ``node`` -1: it is not the run's own."""
        buffer = value
        while isinstance(getattr(buffer, "base", None), np.ndarray):
            buffer = buffer.base
        entry = self.alive.get(id(buffer))
        if entry is None:
            entry = self.alive[id(buffer)] = [0, -1]
            if node >= 0:
                entry[1] = len(self.buffers)
                self.buffers.append([node, int(getattr(buffer, "nbytes", 0)), len(self.rows) - 1, -1])
        entry[0] += 1
        return id(buffer)

    def let_go(self, buffer: int) -> None:
        """A slot holds it no longer."""
        entry = self.alive[buffer]
        entry[0] -= 1
        if not entry[0]:
            del self.alive[buffer]
            if entry[1] >= 0:
                self.buffers[entry[1]][3] = len(self.rows) - 1


class Recorder:
    """Watches one run and makes a `Trace` of it; pass it to ``runtime.executor.execute``.

    A step's body is watched by a recorder of its own, made by `inside`, that writes to the same log.
    """

    def __init__(self, plan: Plan, graph: Graph, parent: int = -1, log: Log | None = None) -> None:
        self.plan = plan
        self.log = Log() if log is None else log
        self.base = len(self.log.nodes)
        self.table = SlotTable(plan, graph)
        self.bodies: dict[int, Recorder] = {}
        self.held: dict[int, int] = {}  # slot -> id of the buffer in it
        self.sizes: dict[int, int] = {}  # by step: bytes of its outputs
        self.left: list[int] = []  # by step: how many of its outputs are still held
        self.pending: list[int] = []  # by step: how many steps it still waits for
        self.sources: dict[int, int] = {}  # slot -> place in nodes
        self._add_nodes(parent)

    def _add_nodes(self, parent: int) -> None:
        plan, names = self.plan, self.table.names

        def text(slot: int | None) -> str | None:
            return None if slot is None else names.get(slot, repr(plan.initial[slot]))

        for step in plan.steps:
            inputs, outputs = tuple(map(text, step.inputs)), tuple(_spec(plan, slot) for slot in step.outputs)
            waits = tuple(self.base + index for index in step.waits)
            self.log.nodes.append(_info(step.node, step.name, step.op.name, "step", step.device)._replace(
                inputs=inputs, outputs=outputs, parent=parent, step=step.index, waits=waits
            ))  # fmt: skip
        fed = {slot for _, slot in plan.feeds}
        homes = {
            slot: step.attrs["source"] if step.op.name == "copy" else step.device
            for step in plan.steps
            for slot in step.inputs
        }
        for tensor, slot in self.table.slots.items():
            if slot in self.table.maker:
                continue
            kind = "feed" if slot in fed else "variable" if plan.initial[slot] is None else "constant"
            op = tensor.node.record.op.name if tensor.node.record is not None else kind
            self.sources[slot] = len(self.log.nodes)
            info = _info(tensor.node, tensor.name, op, kind, homes.get(slot, "cpu:0"))
            self.log.nodes.append(info._replace(outputs=(_spec(plan, slot),), parent=parent))

    # -------------------------------------------------------------------------------------------- observing

    def began(self, values: Sequence[Any], seconds: float) -> None:
        """Keep what the run starts from."""
        log = self.log
        if log.zero is None:
            log.zero = seconds
        self.left = [len(step.outputs) for step in self.plan.steps]
        self.pending = [len(step.waits) for step in self.plan.steps]
        self.held = {slot: log.hold(values[slot], -1) for slot in self.sources}
        for slot, node in self.sources.items():
            log.keep(node, 0, values[slot])
            if log.nodes[node].parent < 0 and log.nodes[node].kind != "constant":
                log.remember(node, values[slot])
        for step in self.plan.steps:
            if not step.waits:
                log.event(READY, self.base + step.index, seconds)

    def started(self, step: Step, seconds: float) -> None:
        """The step runs."""
        self.log.event(RUNNING, self.base + step.index, seconds)

    def finished(self, step: Step, seconds: float, outputs: list[Any]) -> None:
        """The step is done: keep its values; those that waited for it alone are ready."""
        log, node = self.log, self.base + step.index
        size = self.sizes[step.index] = sum(int(getattr(value, "nbytes", 0)) for value in outputs)
        log.event(FINISHED, node, seconds, size)
        for index, (slot, value) in enumerate(zip(step.outputs, outputs, strict=True)):
            self.held[slot] = log.hold(value, node)
            log.keep(node, index, value)
        body = self.bodies.get(step.index)
        if body is not None:
            body.ended()
        for successor in step.successors:
            self.pending[successor] -= 1
            if not self.pending[successor]:
                log.event(READY, self.base + successor, seconds)

    def released(self, step: Step, seconds: float) -> None:
        """Slots are given up; a node is released when all of its outputs are."""
        for slot in step.release:
            maker = self.table.maker.get(slot)
            if maker is not None:
                self.left[maker] -= 1
                if not self.left[maker]:
                    node = self.base + maker
                    self.log.event(RELEASED, node, seconds, self.sizes[maker])
            if slot in self.held:
                self.log.let_go(self.held.pop(slot))

    def ended(self) -> None:
        """The body's run is over, and its values are gone but for those that the node around it handed on."""
        while self.held:
            self.log.let_go(self.held.popitem()[1])

    def failed(self, step: Step, seconds: float, error: FlowError) -> None:
        """The run ends here; the innermost node that failed is the one to blame."""
        self.log.last = seconds - (self.log.zero or 0.0)
        if self.log.failed is None:
            self.log.failed = Failure(step.name, self.base + step.index, error.message)

    def inside(self, step: Step, plan: Plan) -> Recorder:
        """The recorder for a body that the step runs now; the same one for each iteration of a loop."""
        found = self.bodies.get(step.index)
        if found is None or found.plan is not plan:
            graph = self.table.graph  # its names are those of the body's plan all the same
            self.bodies[step.index] = found = Recorder(plan, graph, self.base + step.index, self.log)
        return found

    def trace(self) -> Trace:
        """The trace of what has happened so far."""
        from flowbook.runtime.trace import Trace  # it imports this file

        log = self.log
        nodes = tuple(log.nodes)
        now = {node: kind for kind, node, *_ in log.rows}
        running = [node for kind, node, *_ in log.rows if kind == RUNNING == now[node]]
        if log.failed is None and running:
            log.failed = Failure(nodes[running[-1]].name, running[-1], "interrupted")
        columns = np.array(log.buffers, np.int64).reshape(-1, 4).T.copy()
        buffers = dict(zip(("node", "bytes", "born", "died"), columns, strict=True))
        events, threads = Events.of(nodes, log.rows), tuple(log.thread_names)
        data = TraceData(nodes, events, buffers, dict(log.values), threads, log.last, log.failed)
        return Trace(data, log.given)


def _info(node: Any, name: str, op: str, kind: str, device: str) -> NodeInfo:
    record = node.record if node is not None else None
    origin = record.origin if record is not None else None
    forward = record.forward.name if record is not None and record.forward is not None else None
    cell, line = (origin.cell, origin.line) if origin else (None, None)
    requested = record.device if record is not None else None
    owner = node.owner.name if node is not None else None
    return NodeInfo(name, op, kind, owner, device, requested, (), (), cell, line, forward, -1, -1, ())


def _spec(plan: Plan, slot: int) -> tuple[str, Any]:
    spec = plan.specs[slot]
    assert spec is not None
    return spec.dtype.name, spec.shape
