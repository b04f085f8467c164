"""`GraphView`: the view of what a cell made, or of the whole graph, and of the runs that compute it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, SessionError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.transaction import Commit
from flowbook.notebook import marks
from flowbook.notebook.live import answers
from flowbook.notebook.live.engine import Engine
from flowbook.notebook.live.following import FollowingView
from flowbook.notebook.live.liverun import Part
from flowbook.notebook.live.points import condition
from flowbook.notebook.live.snapshot import snapshot
from flowbook.notebook.protocol import PROTOCOL, Breakpoint, Breakpoints, GraphMessage, Value
from flowbook.notebook.sampling import value_message
from flowbook.runtime.session import Session
from flowbook.runtime.summary import Summary, measure, summarize
from flowbook.runtime.trace import Trace

FEW = 256  # elements of a value that nobody has chosen
STEPPING = {"step", "back", "into", "out", "over", "continue", "stop", "restart", "run_to", "undo", "set_value"}


class GraphView(FollowingView):
    """Shows nodes of a graph: those that ``cell`` defines and what they read, or (without a cell) all.

    ``session`` gives the session whose variables are shown, ``names`` what conditions of breakpoints may use.
    """

    def __init__(
        self,
        graph: Graph,
        session: Callable[[], Session],
        cell: str | None = None,
        names: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        super().__init__(graph)
        self.names = names
        self.cell = cell
        self.session = session
        self.whole = cell is None
        self.commit: Commit | None = None  # of the cell, the last time: what to mark
        self.maker: str | None = None  # the front end's id of the cell
        self.owed = False  # whether pages are still to be told the graph, as a cell was changing it
        self._retired = False
        self._selected: int | None = None
        self._marks: list[marks.Mark] = []  # by number, from 1; also those that are gone
        self._engine = Engine("flowbook view", self._work)

    # -------------------------------------------------------------------------------------------- the graph

    def looked(self) -> None:
        if self.visible and not self._retired:
            self.watch.join(self)
            self._engine.put({"type": "looked"})

    def opened(self) -> None:
        self._engine.put({"type": "graph"})

    def closed(self) -> None:
        super().closed()
        self._engine.rest()
        self._places = {}
        self._forget_runs()
        self.watch.leave(self)

    def update(self) -> None:
        """The graph may be another one now."""
        if self.channels and not self._retired:
            self._engine.put({"type": "graph"})

    def retire(self, why: str) -> None:
        """Stay as it is, and say why."""
        self._retired = True
        self.watch.leave(self)
        if self.channels:
            self.notice(why)

    def marked(self) -> None:
        """Breakpoints may be others now."""
        if self.channels and not self._retired:
            self._engine.put({"type": "marked"})

    def _tell_graph(self) -> None:
        if self._retired:
            return
        taken = snapshot(self.graph, self.cell, self.session(), whole=self.whole)
        self.owed = taken is None
        if taken is None:
            return  # `update` comes after the cell
        with self.lock:
            self._places = taken.places
            title = self.cell or "graph"
            message = GraphMessage(type="graph", protocol=PROTOCOL, title=title, live=True, nodes=taken.entries)
            if self.cell is not None:
                message["cell"] = self.cell
                message["focus"] = np.array([taken.places[node] for node in taken.own], np.int32)
                if not self.whole:
                    message["hidden"] = taken.hidden
            self._mark(message, taken.own)
            if self._same(message):
                return
            self._forget_runs()
            self.tell(message)
            self._tell_breakpoints()
        last = self.watch.last
        if last is not None:
            self.show_last(last)
        if last is None or not last.rich:
            self._tell_values({(place, 0): value for place, value in taken.given.items()})

    def _mark(self, message: GraphMessage, own: list[Node]) -> None:
        commit = self.commit
        if commit is None or not commit.again:
            return
        kinds = (("added", commit.added), ("changed", commit.changed), ("rewired", commit.rewired))
        changes = {name: kind for kind, names in kinds for name in names}
        for node in own:
            if node.name in changes:
                message["nodes"][self._places[node]]["change"] = changes[node.name]  # type: ignore[typeddict-item]
        if commit.removed:
            message["removed"] = list(commit.removed)

    def _same(self, message: GraphMessage) -> bool:
        """Whether pages have just this graph already."""
        known = self.memory.graph
        if known is None or known.keys() != message.keys():
            return False
        return all(
            np.array_equal(known[key], value) if isinstance(value, np.ndarray) else known[key] == value
            for key, value in message.items()
        )

    def _tell_breakpoints(self) -> None:
        found = marks.marks(self.graph).breaks
        entries = self.memory.graph["nodes"] if self.memory.graph is not None else []
        message = Breakpoints(
            type="breakpoints",
            breakpoints=[
                Breakpoint(
                    id=self._id(mark),
                    pattern=mark.pattern,
                    when=mark.label or None,
                    nodes=[place for place, each in enumerate(entries) if mark.matches(each["name"], each["op"])],
                )
                for mark in found
            ],
        )
        known = self.memory.latest("breakpoints")
        if message != known and (message["breakpoints"] or known is not None):
            self.tell(message)

    # -------------------------------------------------------------------------------------------- values

    def show_trace(self, trace: Trace) -> None:
        """Tell the values of a recorded run."""
        with self.lock:
            places = {(node.owner.name, node.name): place for node, place in self._places.items()}
            messages = []
            for (index, output), summary in trace.data.values.items():
                info = trace.nodes[index]
                place = places.get((info.owner or "", info.name)) if info.parent < 0 else None
                if place is not None and output < len(self._entry(place)["outputs"]):
                    messages.append(value_message(place, output, summary, FEW))
            if messages:
                self.tell({"type": "values", "values": messages})

    def _entry(self, place: int) -> Any:
        assert self.memory.graph is not None
        return self.memory.graph["nodes"][place]

    def _tell_values(self, found: Mapping[tuple[int, int], Any]) -> None:
        self._values.update(found)
        messages = [self._message(node, output, value) for (node, output), value in found.items()]
        if messages:
            self.tell({"type": "values", "values": messages})

    def _message(self, node: int, output: int, value: Any) -> Value:
        elements = self.elements if node == self._selected else FEW
        if isinstance(value, Part):
            dtype = self._entry(node)["outputs"][output]["dtype"]
            array = np.zeros(0, dtype) if value.array is None else value.array
            message = value_message(node, output, Summary(dtype, value.shape, False, array, measure(array)), elements)
            message["statistics"]["exact"] = False
            return message
        return value_message(node, output, summarize(value), elements)

    # -------------------------------------------------------------------------------------------- the reader

    def answer(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "interrupt":
            self.watch.interrupt()
        else:
            self._engine.put(message)

    def _work(self, message: Mapping[str, Any]) -> None:
        try:
            self._do(message)
        except BaseException as error:  # a condition may call exit(): the view goes on, whatever a message asks for
            self.notice(answers.told(error), "error")

    def _do(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "graph":
            self._tell_graph()
        elif kind == "marked":
            self._tell_breakpoints()
        elif kind == "looked":
            self.catch_up()
        elif kind == "show":
            self.whole = bool(message["whole"])
            self._tell_graph()
        elif kind == "select":
            self._selected = message.get("node")
            chosen = {key: value for key, value in self._values.items() if key[0] == self._selected}
            self._tell_values(chosen)
        elif kind == "inspect":
            value = self._values.get((message["node"], message["output"]))
            if value is None or isinstance(value, Part):
                raise ArgumentError("this value is not kept whole", hint="step through the run: %flow debug keeps all")
            part = answers.part(message["node"], message["output"], value, message["slices"])
            self.tell({"type": "values", "values": [part]})
        elif kind == "set_breakpoint":
            self._set_breakpoint(message)
        elif kind == "clear_breakpoint":
            self._clear_breakpoint(message["id"])
        elif kind == "check_gradient":
            self._check(message["node"])
        elif kind == "why":
            self._why(message["node"])
        elif kind == "export":
            session = self.session()
            trace = session.trace
            if trace is None:
                raise ArgumentError("no run was recorded yet", hint="%flow run FETCH --trace, or %flow debug FETCH")
            self.tell(answers.exported(message["kind"], trace, session, self.cell or "graph"))
        elif kind in STEPPING:
            raise ArgumentError(
                "this view shows the graph, not a run to step through", hint="%flow debug FETCH opens one"
            )

    def _set_breakpoint(self, message: Mapping[str, Any]) -> None:
        pattern, when, old = message["pattern"], message.get("when"), message.get("id")
        if not isinstance(pattern, str):
            raise ArgumentError(f"{pattern!r} is no pattern of names", hint="layer1/*, or op:log")
        test = condition(when, self.names)  # raises, and then the old one is still there
        if old is not None:
            self._clear_breakpoint(old)
        marks.breakpoint(pattern, test, label=when or "", graph=self.graph)
        self._tell_breakpoints()

    def _clear_breakpoint(self, number: int) -> None:
        mark = next((each for each in marks.marks(self.graph).breaks if self._id(each) == number), None)
        if mark is None:
            raise ArgumentError("this breakpoint is not there any more")
        marks.remove(mark, self.graph)
        self._tell_breakpoints()

    def _id(self, mark: marks.Mark) -> int:
        """Always the same number for a breakpoint, whatever others come and go: another page may mean it just now."""
        place = next((place for place, each in enumerate(self._marks) if each is mark), None)
        if place is None:
            place = len(self._marks)
            self._marks.append(mark)
        return place + 1

    def _node(self, place: int) -> Node:
        return next(node for node, each in self._places.items() if each == place)

    def _check(self, place: int) -> None:
        node = self._node(place)
        values: dict[Tensor, Any] = {}
        for each in node.input_tensors:
            value = self._values.get((self._places.get(each.node, -1), each.index))
            if value is None or isinstance(value, Part):
                raise ArgumentError(f"'{each.name}' has no value here", hint="run it first, or step: %flow debug")
            values[each] = value
        self.tell(answers.checked(place, node, values))

    def _why(self, place: int) -> None:
        node, session = self._node(place), self.session()
        if session.trace is None:
            raise ArgumentError(
                "no run was recorded to look into", hint=f"%flow why {node.name} --feed …, or %flow run --trace"
            )
        numbers = {each.name: number for each, number in self._places.items()}
        try:
            self.tell(answers.story(place, node.tensors[0], session, session.trace, numbers))
        except SessionError as error:  # of very large values the trace has only a part
            hint = f"%flow why {node.name} --feed …, or ask while stepping: %flow debug {node.name}"
            raise ArgumentError(error.message, hint=hint) from error
