"""Watching a graph's runs for the views that show it, at a cost that is bounded.

A run is observed with cheap notes; a thread beside it makes messages of them, at display rate. In a training only some
steps are observed: after one whose watching took t seconds, none is for `SHARE` times t. So watching takes at most one
part in `SHARE` of the time, whatever the graph. The first `FIRST` runs of a cell are seen in any case, and so are slow
runs, and the last step of a training.

While pages are open, but nobody can see them, runs are observed by the same rule and nothing is told: the last one is
kept for who looks again. While no page is open nothing is observed. All runs are counted, so a view that cannot show
the last one says how many there were since (`GraphView.tell_missed`).
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from threading import Lock
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from flowbook.compile.plan import Plan
from flowbook.graph.graph import Graph
from flowbook.notebook.live.engine import Engine
from flowbook.notebook.live.liverun import Columns, LiveRun
from flowbook.notebook.protocol import Progress
from flowbook.runtime.events import FINISHED, RUNNING
from flowbook.runtime.watch import WATCHES

if TYPE_CHECKING:
    from flowbook.notebook.live.graphview import GraphView
    from flowbook.runtime.trace import Trace

FRAME = 1 / 30  # seconds between two pictures
SHARE = 50  # watching takes one part in so many of the time
OFTEN = 0.1  # seconds between two steps of a training that are shown
RICH = 1.0  # and between two of which values are
NOTE = 2.5e-6  # seconds that noting one node takes: a run that is observed calls, and reads the clock
FIRST = 3  # runs of a cell that are seen, however soon they come
KEPT_BYTES = 64 << 20  # of values that wait for pages to come back, of all graphs together
KEPT = 64  # steps over which times are taken together
CURVE = 200  # points of a curve
SOON = 10.0  # seconds


class GraphWatch:
    """Watches the runs of one graph for its views."""

    def __init__(self, graph: Graph) -> None:
        self._graph = ref(graph)
        self.views: list[GraphView] = []
        self.last: LiveRun | None = None  # what pages that open later, or are looked at again, are shown
        self.runs = 0  # how many there were, observed or not
        self._numbers = count(1)
        self._asleep = False  # no page is open, and none is expected: runs are only counted
        self._left = 0.0
        self._joined = -SOON
        self._trainings = 0  # on their way
        self._observed: set[LiveRun] = set()  # runs on their way
        self._engine = Engine("flowbook watch", self._show)
        self._lock = Lock()
        self._next = self._next_rich = 0.0
        self._wanted = 0  # so many runs are observed whatever they cost
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
            self._asleep = False
            if graph is not None:
                WATCHES[graph] = self

    def leave(self, view: GraphView) -> None:
        """A view has been closed."""
        with self._lock:
            self.views = [each for each in self.views if each is not view]
            if not self.views:
                self._times.clear()
                self._sleep()
        self._bound()

    def _sleep(self) -> None:
        """Observe nothing until somebody comes. Runs are counted, if there is one that they make an earlier one."""
        self._asleep = True
        graph = self._graph()
        if graph is not None and self.last is None:
            WATCHES.pop(graph, None)

    def _bound(self) -> None:
        """Of runs that wait for pages to come back keep the values of those left last, as many as there may be."""
        if self._open():
            return
        self._left = monotonic()
        size = 0
        waiting = [each for each in _all_watches() if each.last is not None and each.last.rich and not each._open()]
        for each in sorted(waiting, key=lambda watch: -watch._left):
            if each.last is not None:
                size += each.last.size
                if size > KEPT_BYTES:
                    each.last.forget_values()

    def _open(self) -> bool:
        """Whether there is a page, seen or not."""
        return any(view.channels for view in self.views)

    def _visible(self) -> list[GraphView]:
        return [view for view in self.views if view.visible]

    def _expected(self, now: float) -> bool:
        """Whether a page is about to open a view: when all cells run, runs follow before it can."""
        return now - self._joined < SOON

    # -------------------------------------------------------------------------------------------- on the run's thread

    def begin(self, plan: Callable[[], Plan], run: int) -> LiveRun | None:
        """Whether to observe this run; decided in less than a microsecond when not."""
        number = self.runs = next(self._numbers)
        if self._asleep:
            return None
        now = monotonic()
        if now < self._next and not self._wanted:
            return None
        visible = bool(self._visible())
        if not (visible or self._open() or self._expected(now)):
            self._sleep()
            return None
        # What nobody sees is told nobody, so values cost little then; and they cannot be had later.
        rich = not visible or self._wanted > 0 or now >= self._next_rich
        live = LiveRun(self, plan(), number, rich)
        try:
            self._observed.add(live)
            self._wanted = max(0, self._wanted - 1)
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
        """Show a run that was recorded; where nobody looks, it is one that was not watched."""
        if self._visible():
            self._engine.put({"trace": trace})
        else:
            self.runs = next(self._numbers)

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

    def look(self, runs: int = 1) -> None:
        """The next runs are worth seeing, with values: the first ones of a cell, or the last one of many."""
        self._wanted = max(self._wanted, runs)

    def settle(self) -> None:
        """There will be no runs for a while: say where what is seen is not the last one."""
        if self._visible():
            self._engine.put({"settle": True})

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
        elif "settle" in message:
            for view in self._visible():
                view.tell_missed()
        else:
            for view in [each for each in self.views if each.visible or (message["over"] and each.channels)]:
                view.tell(message["progress"])

    def _follow(self, live: LiveRun) -> None:
        """Tell the views that somebody sees of a run until it is over; who looks later is told it from the start."""
        cost = 0.0
        try:
            over = False
            told: dict[GraphView, Columns] = {}
            while not over:
                over = live.over.wait(FRAME)
                if over:
                    self.last = live  # before it is asked who looks: who does after that finds it there
                start = perf_counter()
                told = {view: told.get(view) or Columns(live) for view in self._visible()}
                for view, columns in told.items():
                    view.show_run(live, columns, over)
                cost += perf_counter() - start
            start = perf_counter()
            if live.rich:
                for view in self.views:
                    if view.visible and view in told:
                        view.show_values(live)
                    elif view.channels and not view.visible:
                        view.release(live)
            rich_cost = perf_counter() - start
            cost += self._add_times(live) + NOTE * len(live.plan.steps) + live.spent
            now = monotonic()
            if told and live.rich:
                self._next_rich = now + max(RICH, 2 * SHARE * rich_cost)
            self._next = now + max(OFTEN, SHARE * (cost + rich_cost))
            self._bound()
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


def _all_watches() -> list[GraphWatch]:
    graphs = [found() for found in _watches.keyrefs()]  # a list: other threads add graphs
    return [watch for graph in graphs if graph is not None and (watch := _watches.get(graph)) is not None]


def watch_of(graph: Graph) -> GraphWatch:
    """The watch of a graph."""
    return _watches.setdefault(graph, GraphWatch(graph))
