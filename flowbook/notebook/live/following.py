"""`FollowingView`: a view that tells of a graph's runs, and knows which of them it has told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowbook.compile.plan import Plan
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node
from flowbook.notebook.live.liverun import Columns, LiveRun
from flowbook.notebook.live.liveview import LiveView
from flowbook.notebook.live.watching import watch_of
from flowbook.notebook.protocol import Events, RunMessage


class FollowingView(LiveView):
    """What is told of runs. A subclass numbers the nodes that it shows (`_places`), and tells values."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.watch = watch_of(graph)
        self._places: dict[Node, int] = {}
        self._known = 0  # runs up to this one were shown, or are none of what is here, or count among:
        self._unknown = 0  # those since the run that is shown of which nothing is known
        self._forget_runs()

    def _forget_runs(self) -> None:
        """Another graph is shown, or none, so no run yet."""
        self._numbers: tuple[Plan | None, Any] = (None, None)  # of the plan seen last: for each step its node's number
        self._values: dict[tuple[int, int], Any] = {}
        self._events = 0
        self._known = self._unknown = 0

    def _tell_values(self, found: Mapping[tuple[int, int], Any]) -> None:
        """Tell values, by node and output."""
        raise NotImplementedError

    def _number(self, plan: Plan) -> Any:
        """For each step of a plan the number of its node here, or -1."""
        if self._numbers[0] is not plan:
            known = self._places
            found = [-1 if step.node is None else known.get(step.node.live, -1) for step in plan.steps]
            self._numbers = plan, np.array(found, np.int32)
        return self._numbers[1]

    def show_run(self, live: LiveRun, columns: Columns, over: bool) -> None:
        """Tell of a run: the events that are new, and how it stands. ``columns`` makes them, for this view alone."""
        with self.lock:
            if self.memory.graph is None:
                return
            numbers = self._number(live.plan)
            order = numbers[numbers >= 0]
            if over and not live.rich:
                self._knows(live, bool(len(order)))
            if not len(order):
                return
            first = self.memory.run is None or self.memory.run["run"] != live.run
            if first or not columns.begun:  # or it is told a second time: there was nobody to tell for a while
                columns.restart()
                self._events = 0
                self._tell_run(live, numbers, None)
            if first and not over:  # what is over at once is told whole; else nothing of an earlier run stays
                self._tell_status(live, order, over, fresh=True)
            step, state, seconds, size = columns.new()
            node = numbers[step]
            here = node >= 0
            if here.any():
                count = int(here.sum())
                self.tell(Events(
                    type="events", run=live.run, first=self._events, node=node[here], state=state[here],
                    seconds=seconds[here], bytes=size[here], thread=np.zeros(count, np.int32),
                ))  # fmt: skip
                self._events += count
            self._tell_status(live, order, over)

    def _tell_run(self, live: LiveRun, numbers: Any, total: float | None) -> None:
        steps = [step for step in live.plan.steps if numbers[step.index] >= 0]
        message = RunMessage(
            type="run", run=live.run, order=numbers[numbers >= 0], devices=[step.device for step in steps],
            threads=["kernel"], fetches=[],
        )  # fmt: skip
        if total is not None:
            message["total"] = total
        if live.failure is not None and numbers[live.failure[0]] >= 0:
            message["failed"] = {"node": int(numbers[live.failure[0]]), "message": live.failure[1]}
        self.tell(message)

    def _tell_status(self, live: LiveRun, order: Any, over: bool, *, fresh: bool = False) -> None:
        done = 0 if fresh else int((self.memory.states[order] >= 3).sum())
        failed = live.failure is not None
        if over and live.rows:
            self._tell_run(live, self._number(live.plan), live.rows[-1][2] - live.zero)
        self.tell({
            "type": "states", "node": np.zeros(0, np.int32), "state": np.zeros(0, np.uint8), "all": fresh,
            "mode": ("failed" if failed else "done") if over else "running", "position": done, "count": len(order),
        })  # fmt: skip

    def show_values(self, live: LiveRun) -> None:
        """Tell the values that a run kept."""
        with self.lock:
            if self.memory.graph is None:
                return
            numbers = self._number(live.plan)
            self._knows(live, bool((numbers >= 0).any()))
            self._tell_values(self._found(live))

    def _found(self, live: LiveRun) -> dict[tuple[int, int], Any]:
        """The values that a run kept, by node and output."""
        numbers = self._number(live.plan)
        found = {(int(numbers[step]), output): value for step, output, value in live.kept if numbers[step] >= 0}
        for tensor, value in live.given.items():
            place = self._places.get(tensor.node.live)
            if place is not None:
                found[place, tensor.index] = np.asarray(value)
        return found

    def show_last(self, live: LiveRun) -> None:
        """Tell of a run that is over, and whether it is the last one."""
        with self.lock:
            self.show_run(live, Columns(live), True)
            if live.rich:
                self.show_values(live)
            self.tell_missed()

    def catch_up(self) -> None:
        """Somebody looks again: tell what there was meanwhile."""
        with self.lock:
            last = self.watch.last
            if last is not None and last.run > self._known:
                self.show_last(last)
            else:
                self.tell_missed()

    def tell_missed(self) -> None:
        """Say so where what is shown is not the last run, or no longer, when it is."""
        with self.lock:
            status = self.memory.status
            if self.memory.run is None or status.get("mode") in (None, "running"):
                return
            missed = self._unknown + max(0, self.watch.runs - self._known)
            if missed != status.get("missed", 0):
                message = {key: value for key, value in status.items() if key != "missed"}
                message |= {"node": np.zeros(0, np.int32), "state": np.zeros(0, np.uint8), "all": False}
                self.tell(message | ({"missed": missed} if missed else {}))

    def release(self, live: LiveRun) -> None:
        """Nobody looks, and a run has replaced values: do not hold the old ones, which are not asked for until then."""
        with self.lock:
            for key in self._found(live):
                self._values.pop(key, None)

    def _knows(self, live: LiveRun, here: bool) -> None:
        """A run was shown (``here``), or computes nothing that is here."""
        self._unknown = 0 if here else self._unknown + max(0, live.run - self._known - 1)
        self._known = max(self._known, live.run)

    def show_times(self, plan: Plan, median: Any, spread: Any, steps: int) -> None:
        """Tell how long nodes took over several steps, in seconds."""
        with self.lock:
            if self.memory.graph is not None:
                numbers = self._number(plan)
                here = (numbers >= 0) & np.isfinite(median)
                self.tell({
                    "type": "timing", "node": numbers[here], "median": median[here], "spread": spread[here],
                    "steps": steps,
                })  # fmt: skip
