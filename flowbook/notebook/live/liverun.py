"""What is noted of one run that is observed, and the events that views are told of these notes."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import FlowError
from flowbook.graph.node import Tensor
from flowbook.runtime.events import FINISHED, READY, RELEASED, RUNNING

if TYPE_CHECKING:
    from flowbook.notebook.live.watching import GraphWatch

LARGE = 1 << 20  # bytes of a value; of larger ones a part is kept


class LiveRun:
    """The observer of one run. ``run``: its number among those of the graph, in whatever session, also those that were
    not observed; ``rich``: it keeps values, too."""

    def __init__(self, watch: GraphWatch, plan: Plan, run: int, rich: bool) -> None:
        self.watch = watch
        self.plan = plan
        self.run = run
        self.rich = rich
        self.zero = 0.0
        self.rows: list[tuple[int, int, float, int]] = []  # step, state, seconds, bytes
        self.kept: list[tuple[int, int, Any]] = []  # step, output, value
        self.given: dict[Tensor, Any] = {}
        self.spent = 0.0  # seconds that keeping values took
        self.failure: tuple[int, str] | None = None
        self.over = Event()
        self.later = False  # there are no threads: it is shown when it is over

    def began(self, values: Sequence[Any], seconds: float) -> None:
        self.zero = seconds
        if self.rich:
            self.given = {tensor: values[slot] for tensor, slot in (*self.plan.feeds, *self.plan.states)}

    def started(self, step: Step, seconds: float) -> None:
        self.rows.append((step.index, RUNNING, seconds, 0))

    def finished(self, step: Step, seconds: float, outputs: list[Any]) -> None:
        self.rows.append((step.index, FINISHED, seconds, sum(getattr(value, "nbytes", 0) for value in outputs)))
        if self.rich:
            start = perf_counter()
            self.kept.extend((step.index, index, _kept(value)) for index, value in enumerate(outputs))
            self.spent += perf_counter() - start

    def released(self, step: Step, seconds: float) -> None:
        self.rows.append((step.index, RELEASED, seconds, 0))

    def failed(self, step: Step, seconds: float, error: FlowError) -> None:
        self.failure = step.index, error.message

    def inside(self, step: Step, plan: Plan) -> _Nobody:
        return _Nobody()

    def ended(self) -> None:
        self.over.set()
        self.watch.finished(self)

    @property
    def size(self) -> int:
        """Bytes that its values hold; of a piece of a larger array that is the whole array."""
        owners: dict[int, int] = {}
        for value in (*(each for _, _, each in self.kept), *self.given.values()):
            array = value.array if isinstance(value, Part) else value
            while isinstance(getattr(array, "base", None), np.ndarray):
                array = array.base
            owners[id(array)] = getattr(array, "nbytes", 0)
        return sum(owners.values())

    def forget_values(self) -> None:
        """Keep no values any more; it is over."""
        self.rich, self.kept, self.given = False, [], {}


class _Nobody:
    """Observes the bodies of control flow, of which these views show nothing."""

    def began(self, values: Sequence[Any], seconds: float) -> None: ...

    def started(self, step: Step, seconds: float) -> None: ...

    def finished(self, step: Step, seconds: float, outputs: list[Any]) -> None: ...

    def released(self, step: Step, seconds: float) -> None: ...

    def failed(self, step: Step, seconds: float, error: FlowError) -> None: ...

    def inside(self, step: Step, plan: Plan) -> _Nobody:
        return self


def _kept(value: Any) -> Any:
    """The value itself, as nobody changes it; of a large one some elements, so that memory is not held."""
    array = np.asarray(value)
    if array.nbytes <= LARGE:
        return array
    return Part(array.shape, array.reshape(-1)[:: -(-array.size // 4096)].copy() if array.flags.c_contiguous else None)


class Part:
    """Some elements of a large value, evenly spaced; ``None`` where even these would be dear."""

    def __init__(self, shape: tuple[int, ...], array: Any) -> None:
        self.shape = shape
        self.array = array


class Columns:
    """Makes events of notes: with the nodes that became ready, and those whose values were released."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        self.steps = live.plan.steps
        self.restart()

    def restart(self) -> None:
        """Begin again with the first note: for who was told nothing of this run, or only a part that is gone."""
        self.begun = False  # the first events were asked for
        self.pending = [len(step.waits) for step in self.steps]
        self.held = [len(step.outputs) for step in self.steps]
        self.maker = {slot: step.index for step in self.steps for slot in step.outputs}
        self.sent = 0

    def new(self) -> tuple[Any, Any, Any, Any]:
        """Of the notes since the last time: step, state, seconds, bytes."""
        self.begun = True
        rows = self.live.rows[self.sent :]
        self.sent += len(rows)
        made: list[tuple[int, int, float, int]] = []
        for row in rows:
            step, state, seconds, _ = row
            if state != RELEASED:
                made.append(row)
            if state == FINISHED:
                for successor in self.steps[step].successors:
                    self.pending[successor] -= 1
                    if not self.pending[successor]:
                        made.append((successor, READY, seconds, 0))
            elif state == RELEASED:
                for slot in self.steps[step].release:
                    maker = self.maker.get(slot)
                    if maker is not None:
                        self.held[maker] -= 1
                        if not self.held[maker]:
                            made.append((maker, RELEASED, seconds, 0))
        columns = zip(*made, strict=True) if made else ((), (), (), ())
        kinds = (np.int32, np.uint8, np.float64, np.float64)
        arrays = [np.array(each, kind) for each, kind in zip(columns, kinds, strict=True)]
        arrays[2] -= self.live.zero
        return tuple(arrays)  # type: ignore[return-value]
