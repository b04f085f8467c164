"""A run once more, node by node, with all of its values, and nothing changed by it.

Nothing is committed, no variable is initialised, and the run counter stays where it is: the values of variables are
read, the plan is run on arrays of its own, and what it would write is dropped. With a recorded `Trace` the values that
it kept are used instead of being computed: feeds, variables as they were before that run, random numbers, results of
host functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import SessionError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.runtime.context import Run
from flowbook.runtime.executor import located, perform
from flowbook.runtime.feeding import prepare
from flowbook.runtime.session import Session
from flowbook.runtime.slots import SlotTable, bodies_of
from flowbook.runtime.summary import Summary, summarize
from flowbook.runtime.trace import Trace

Key = tuple[int, str | None, str]  # place of the node around it in the trace, cell, name


class Recording:
    """All values of one plan's run, by slot. ``children``: by step, the recording of the body it ran.

    ``outer`` and ``holder`` are the recording and the control-flow step around a body. ``stopped`` is the step at
    which the run failed, or ``None``.
    """

    def __init__(
        self,
        plan: Plan,
        graph: Graph,
        values: list[Any],
        elements: Sequence[Tensor | Node],
        outer: Recording | None = None,
        holder: Step | None = None,
    ) -> None:
        self.plan = plan
        self.values = values
        self.table = SlotTable(plan, graph, elements)
        self.outer = outer
        self.holder = holder
        self.children: dict[int, Recording] = {}
        self.stopped: Step | None = None

    def maker(self, slot: int) -> Step | None:
        """The step that computes a slot; ``None`` for what is given."""
        index = self.table.maker.get(slot)
        return None if index is None else self.plan.steps[index]

    def array(self, slot: int | None) -> Any:
        """The value in a slot as an array; ``None`` when there is none."""
        value = None if slot is None else self.values[slot]
        return None if value is None else np.asarray(value)

    @property
    def order(self) -> tuple[int, ...]:
        """Where in the run this recording began: the places of the control-flow steps around it."""
        return () if self.outer is None or self.holder is None else (*self.outer.order, self.holder.index)


def replay(
    session: Session,
    elements: Sequence[Tensor | Node],
    feeds: Mapping[Any, Any] | None,
    trace: Trace | None,
    counter: int,
) -> tuple[Recording, Exception | None]:
    """Run ``elements`` again; the recording, and what was raised (then the recording ends there)."""
    past = _Past(trace)
    arrays = prepare(session.graph, feeds)
    arrays.update(past.feeds(session.graph, arrays))
    plan = session.plan(elements, arrays, observed=True)
    if trace is None:
        values, _ = session.begin(plan, arrays)
    else:
        values = list(plan.initial)
        for tensor, slot in plan.feeds:
            values[slot] = arrays[tensor]
        for variable, slot in plan.states:
            values[slot] = past.state(variable, session)
    recording = Recording(plan, session.graph, values, elements)
    try:
        with np.errstate(all="ignore"):
            _play(recording, Run(session.graph, counter, session.devices, observed=True), past, -1)
    except SessionError:
        raise
    except Exception as error:
        return recording, error
    return recording, None


def _play(recording: Recording, run: Run, past: _Past, parent: int) -> None:
    """All steps of one plan; ``parent`` is the place in the trace of the node whose body it is."""
    values = recording.values
    for step in recording.plan.steps:
        place = past.place(parent, step)

        def body(plan: Plan, inputs: list[Any], run: Run, step: Step = step, place: int = place) -> list[Any]:
            start = list(plan.initial)
            for (_, slot), value in zip(plan.feeds, inputs, strict=True):
                start[slot] = value
            inside: Any = run.graph
            child = Recording(plan, inside, start, inside.outputs, recording, step)
            recording.children[step.index] = child
            _play(child, run, past, place)
            return [None if slot is None else child.values[slot] for slot in plan.fetches]

        try:
            kept = past.outputs(place, step)
            if kept and all(each is not None and each.whole for each in kept) and not bodies_of(step):
                for slot, summary in zip(step.outputs, kept, strict=True):
                    values[slot] = summary.array  # type: ignore[union-attr]
                continue
            perform(step, values, run, body)
        except Exception as error:
            recording.stopped = step
            if isinstance(error, (SessionError, _Ended)):
                raise
            raise located(error, step, values) from error
        for slot, found in zip(step.outputs, kept, strict=False):
            if step.op.structured and found is not None and not found.whole:
                _check(found, values[slot], step.name)


class _Ended(Exception):
    """The recorded run came no further."""


class _Past:
    """The values that a trace kept; without a trace, none."""

    def __init__(self, trace: Trace | None) -> None:
        self.trace = trace
        nodes = () if trace is None else trace.nodes
        self.places: dict[Key, int] = {(each.parent, each.owner, each.name): at for at, each in enumerate(nodes)}

    def place(self, parent: int, step: Step) -> int:
        """Where in the trace a step is; ``SessionError`` when the run was another one."""
        if self.trace is None:
            return -1
        owner = None if step.node is None else step.node.owner.name
        found = self.places.get((parent, owner, step.name))
        if found is None or self.trace.nodes[found].op != step.op.name:
            raise SessionError(
                f"'{step.name}' is not in this trace",
                hint="the graph has changed since, or that run did not compute it: trace it once more",
            )
        return found

    def outputs(self, place: int, step: Step) -> list[Summary | None]:
        """What was kept of a step's outputs; raises where the recorded run had ended before."""
        if self.trace is None:
            return []
        values = self.trace.data.values
        found = [values.get((place, output)) for output in range(len(step.outputs))]
        failed = self.trace.failed
        if failed is not None and (place == failed.place or (None in found and not bodies_of(step))):
            raise _Ended(failed.message)
        return found

    def kept(self, place: int) -> tuple[Summary, Any]:
        """What the trace has of a value that the run was given, and all of it, if it has that."""
        assert self.trace is not None
        summary = self.trace.data.values[place, 0]
        return summary, summary.array if summary.whole else self.trace.given.get(place)

    def feeds(self, graph: Graph, given: Mapping[Tensor, Any]) -> dict[Tensor, Any]:
        """What the recorded run was fed. Of what is large it kept a sample, so that has to be given again."""
        found: dict[Tensor, Any] = {}
        for at, each in enumerate(() if self.trace is None else self.trace.nodes):
            if each.kind == "feed" and each.parent < 0:
                summary, whole = self.kept(at)
                tensors = [t for node in graph.nodes if node.owner.name == each.owner for t in node.outputs]
                tensor = next((t for t in tensors if t.name == each.name), None)
                if tensor is None:
                    raise SessionError(f"'{each.name}', which that run was fed, is not in this graph")
                if whole is None:
                    _check(summary, given.get(tensor), each.name, "pass it in feeds again")
                found[tensor] = given[tensor] if whole is None else whole
        return found

    def state(self, variable: Tensor, session: Session) -> Any:
        """The value that a variable had before the recorded run."""
        assert self.trace is not None
        place = self.places.get((-1, variable.node.owner.name, variable.name))
        if place is None:
            raise SessionError(f"'{variable.name}' is not in this trace", hint="trace the run once more")
        summary, whole = self.kept(place)
        if whole is not None:
            return whole
        stored = session.variables.snapshot([variable])[variable]
        _check(summary, None if stored is None else stored.value, variable.name)
        assert stored is not None
        return stored.value


def _check(
    summary: Summary, value: Any, name: str, hint: str = "ask right after the run, with the session that ran it"
) -> None:
    """``SessionError`` when a value is not the one of which the trace kept a sample."""
    found = None if value is None else summarize(value, 0)
    if found is None or found.shape != summary.shape or found.array.tobytes() != summary.array.tobytes():
        raise SessionError(
            f"the trace kept only a sample of '{name}' ({summary.nbytes} bytes), and it has another value now",
            hint=hint,
        )
