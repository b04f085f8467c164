"""Watching a graph's runs for the views that show it, at a cost that is bounded.

A run is observed with cheap notes; a thread beside it makes messages of them, at display rate. In a training only some
steps are observed: after one whose watching took t seconds, none is for `SHARE` times t. So watching takes at most one
part in `SHARE` of the time, whatever the graph, and a run by itself, or a slow one, is always seen.
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from threading import Event, Lock
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import FlowError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Tensor
from flowbook.notebook.live.engine import Engine
from flowbook.notebook.protocol import Progress
from flowbook.runtime.events import FINISHED, READY, RELEASED, RUNNING
from flowbook.runtime.watch import WATCHES

if TYPE_CHECKING:
    from flowbook.notebook.live.graphview import GraphView
    from flowbook.runtime.trace import Trace

FRAME = 1 / 30  # seconds between two pictures
SHARE = 50  # watching takes one part in so many of the time
OFTEN = 0.1  # seconds between two steps of a training that are shown
RICH = 1.0  # and between two of which values are
NOTE = 2.5e-6  # seconds that noting one node takes: a run that is observed calls, and reads the clock
LARGE = 1 << 20  # bytes of a value; of larger ones a part is kept
KEPT = 64  # steps over which times are taken together
CURVE = 200  # points of a curve
SOON = 10.0  # seconds


class LiveRun:
    """The observer of one run. ``run``: its number among those of the graph that were observed, in whatever session;
    ``rich``: it keeps values, too."""

    def __init__(self, watch: GraphWatch, plan: Plan, run: int, rich: bool) -> None:
        self.watch = watch
        self.plan = plan
        self.run = run
        self.rich = rich
        self.zero = 0.0
        self.rows: list[tuple[int, int, float, int]] = []  # step, state, seconds, bytes
        self.kept: list[tuple[int, int, Any]] = []  # step, output, value
        self.given: dict[Tensor, Any] = {}
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
        size = 0
        for index, value in enumerate(outputs):
            size += getattr(value, "nbytes", 0)
            if self.rich:
                self.kept.append((step.index, index, _kept(value)))
        self.rows.append((step.index, FINISHED, seconds, size))

    def released(self, step: Step, seconds: float) -> None:
        self.rows.append((step.index, RELEASED, seconds, 0))

    def failed(self, step: Step, seconds: float, error: FlowError) -> None:
        self.failure = step.index, error.message

    def inside(self, step: Step, plan: Plan) -> _Nobody:
        return _Nobody()

    def ended(self) -> None:
        self.over.set()
        self.watch.finished(self)


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


class GraphWatch:
    """Watches the runs of one graph for its views."""

    def __init__(self, graph: Graph) -> None:
        self._graph = ref(graph)
        self.views: list[GraphView] = []
        self.last: LiveRun | None = None  # what pages that open later are shown
        self._joined = -SOON
        self._runs = count(1)
        self._trainings = 0  # on their way
        self._observed: set[LiveRun] = set()  # runs on their way
        self._engine = Engine("flowbook watch", self._show)
        self._lock = Lock()
        self._next = self._next_rich = 0.0
        self._wanted = False
        self._times: dict[int, deque[Any]] = {}
        self._timed = 0.0
        self._progressed = 0.0

    # -------------------------------------------------------------------------------------------- views

    def join(self, view: GraphView) -> None:
        """A view was displayed, or opened again."""
        graph = self._graph()
        with self._lock:
            if view not in self.views:
                self.views.append(view)
            self._joined = monotonic()
            if graph is not None:
                WATCHES[graph] = self

    def leave(self, view: GraphView) -> None:
        """A view has been closed."""
        with self._lock:
            self.views = [each for each in self.views if each is not view]
            graph = self._graph()
            if not self.views:
                self.last = None
                self._times.clear()
                if graph is not None:
                    WATCHES.pop(graph, None)

    def _visible(self) -> list[GraphView]:
        return [view for view in self.views if view.visible]

    def _expected(self, now: float) -> bool:
        """Whether a page is about to open a view: when all cells run, runs follow before it can."""
        return now - self._joined < SOON

    # -------------------------------------------------------------------------------------------- on the run's thread

    def begin(self, plan: Plan, run: int) -> LiveRun | None:
        """Whether to observe this run; decided in less than a microsecond when not."""
        now = monotonic()
        if now < self._next and not self._wanted:
            return None
        if not (self._visible() or self._expected(now)):
            graph = self._graph()
            if graph is not None:
                WATCHES.pop(graph, None)  # until somebody looks
            return None
        live = LiveRun(self, plan, next(self._runs), self._wanted or now >= self._next_rich)
        try:
            self._observed.add(live)
            self._wanted = False
            self._next = float("inf")  # one at a time; `_show` says when the next may be
            live.later = not self._engine.start()
            if not live.later:
                self._engine.put({"run": live})
            return live
        except BaseException:  # Ctrl-C: there will be no run, and nobody waits for it to be over
            live.ended()
            self._next = 0.0
            raise

    def finished(self, live: LiveRun) -> None:
        """An observed run is over."""
        if live in self._observed:
            self._observed.discard(live)
            if live.later:
                self._engine.put({"run": live})

    def traced(self, trace: Trace) -> None:
        """Show a run that was recorded."""
        if self._visible():
            self._engine.put({"trace": trace})

    def progress(
        self, done: int, steps: int, seconds: float, history: Mapping[str, list[float]], *, stopped: bool = False
    ) -> None:
        """A training goes on; shown ten times a second, and its end also where nobody looks just then, as a page that
        is looked at again would show a training that goes on. ``stopped``: it ends before its last step."""
        now = monotonic()
        over = stopped or done == steps
        if not over and ((now - self._progressed < OFTEN and done > 1) or not self._visible()):
            return
        self._progressed = now
        curves = {name: _curve(values) for name, values in history.items() if len(values) > 1}
        message = Progress(type="progress", done=done, steps=steps, seconds=seconds, curves=curves)
        if stopped:
            message["stopped"] = True
        self._engine.put({"progress": message, "over": over})

    def look(self) -> None:
        """The next run is worth seeing, with values: it is the last one of many."""
        self._wanted = True

    def training(self, change: int) -> None:
        """A loop of runs begins (1) or ends (-1): it can be interrupted."""
        with self._lock:
            self._trainings += change

    @property
    def active(self) -> int:
        """How many runs that are observed, and trainings, are on their way."""
        return self._trainings + len(self._observed)

    def interrupt(self) -> bool:
        """What the notebook's interrupt button does, when a run is on its way; returns whether one is."""
        if self.active > 0:
            _thread.interrupt_main()
        return self.active > 0

    # -------------------------------------------------------------------------------------------- beside it

    def _show(self, message: Mapping[str, Any]) -> None:
        if "run" in message:
            self._follow(message["run"])
        elif "trace" in message:
            for view in self._visible():
                view.show_trace(message["trace"])
        else:
            for view in [each for each in self.views if each.visible or (message["over"] and each.channels)]:
                view.tell(message["progress"])

    def _follow(self, live: LiveRun) -> None:
        """Tell the views of a run until it is over."""
        cost = 0.0
        try:
            over, columns = False, Columns(live)
            while not over:
                over = live.over.wait(FRAME)
                start = perf_counter()
                new = columns.new()
                for view in self._visible():
                    view.show_run(live, new, over)
                cost += perf_counter() - start
            start = perf_counter()
            if live.rich:
                for view in self._visible():
                    view.show_values(live)
            rich_cost = perf_counter() - start
            cost += self._add_times(live) + NOTE * len(live.plan.steps)
            self.last = live
            now = monotonic()
            if live.rich:
                self._next_rich = now + max(RICH, 2 * SHARE * rich_cost)
            self._next = now + max(OFTEN, SHARE * (cost + rich_cost))
        except Exception as error:  # what is shown may be wrong then, what is computed is not
            self._next = monotonic() + RICH
            for view in self._visible():
                view.notice(f"this run could not be shown: {type(error).__name__}: {error}", "warning")

    def _add_times(self, live: LiveRun) -> float:
        """Take the times of the steps of several runs together; returns how long that took."""
        start = perf_counter()
        took = np.full(len(live.plan.steps), np.nan, np.float32)
        begun: dict[int, float] = {}
        for step, state, seconds, _ in live.rows:
            if state == RUNNING:
                begun[step] = seconds
            elif state == FINISHED:
                took[step] = seconds - begun[step]
        times = self._times.setdefault(id(live.plan), deque(maxlen=KEPT))
        times.append((live.plan, took))  # it holds the plan, so the id stays its own
        while len(self._times) > 8:
            self._times.pop(next(iter(self._times)))
        if len(times) > 1 and monotonic() - self._timed > 5 * OFTEN:
            self._timed = monotonic()
            low, median, high = quartiles(np.stack([each for _, each in times]))
            for view in self._visible():
                view.show_times(live.plan, median, (high - low) / 2, len(times))
        return perf_counter() - start


class Columns:
    """Makes events of notes: with the nodes that became ready, and those whose values were released."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        self.steps = live.plan.steps
        self.pending = [len(step.waits) for step in self.steps]
        self.held = [len(step.outputs) for step in self.steps]
        self.maker = {slot: step.index for step in self.steps for slot in step.outputs}
        self.sent = 0

    def new(self) -> tuple[Any, Any, Any, Any]:
        """Of the notes since the last time: step, state, seconds, bytes."""
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


def quartiles(table: Any) -> Any:
    """The quartiles of each column, of its numbers; nan where there are none, as of a step that no run has reached.

    >>> quartiles(np.array([[1.0, np.nan], [3.0, np.nan]]))[1]
    array([ 2., nan], dtype=float32)
    """
    found = np.full((3, table.shape[1]), np.nan, np.float32)
    some = np.isfinite(table).any(axis=0)
    if some.any():
        found[:, some] = np.nanpercentile(table[:, some], (25, 50, 75), axis=0)
    return found


def _curve(values: Sequence[float]) -> list[float | None]:
    """At most `CURVE` points, the last one among them; what is not finite leaves a gap."""
    every = -(-len(values) // CURVE)
    points = list(values[(len(values) - 1) % every :: every])
    return [each if np.isfinite(each) else None for each in points]


_watches: WeakKeyDictionary[Graph, GraphWatch] = WeakKeyDictionary()


def watch_of(graph: Graph) -> GraphWatch:
    """The watch of a graph."""
    return _watches.setdefault(graph, GraphWatch(graph))
