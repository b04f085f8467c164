"""`StepperView`: the view of a run that somebody steps through, with buttons or from Python.

One thread, the engine, does all that the buttons say, so a cell that runs does not stop them, and a node that takes
long does not stop the kernel. Whoever moves the stepper, the engine tells the pages how it stands (`refresh`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from time import monotonic
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError
from flowbook.notebook.describe import describe_trace
from flowbook.notebook.live import answers
from flowbook.notebook.live.edits import change, effect, new_value
from flowbook.notebook.live.engine import Engine
from flowbook.notebook.live.liveview import LiveView
from flowbook.notebook.live.numbers import Numbers
from flowbook.notebook.live.points import Points
from flowbook.notebook.live.snapshot import settled
from flowbook.notebook.live.spans import Spans
from flowbook.notebook.protocol import PROTOCOL, Edited, GraphMessage, RunMessage, Story, Value
from flowbook.notebook.sampling import value_message
from flowbook.notebook.story import set_in, stories
from flowbook.runtime.frame import Frame
from flowbook.runtime.stepper import Stepper
from flowbook.runtime.summary import summarize

FRAME = 1 / 30  # seconds between two pictures while it runs
FEW = 256  # elements of a value that nobody has chosen
MANY = 400  # values at once; of more, no elements are sent
REFRESH = {"type": "refresh"}


class StepperView(LiveView):
    """Shows a `Stepper`, and drives it. ``names``: the user's, for conditions and new values."""

    def __init__(self, stepper: Stepper, title: str = "", names: Callable[[], Mapping[str, Any]] = dict) -> None:
        super().__init__()
        self.stepper = stepper
        self.title = title
        self.names = names
        self.changed: Callable[[], None] = lambda: None  # called when the picture is another one, on any thread
        self.points = Points(stepper, names)
        self._numbers: Numbers | None = None
        self._spans = Spans()
        self._told: dict[tuple[int, int], Any] = {}  # the very values that pages have
        self._selected: int | None = None
        self._undo: list[tuple[Frame, int, str, Any]] = []  # what was set: where, its name, what it had (None: its own)
        self._running = False
        self._moves = 0
        self._left = False  # all pages that there were are gone
        self._pause = Event()
        self._engine = Engine("flowbook stepper", self._work)
        self._end = stepper.listen(self._moved)

    # -------------------------------------------------------------------------------------------- the engine

    def answer(self, message: Mapping[str, Any]) -> None:
        if message["type"] in ("pause", "interrupt"):
            self._pause.set()
        else:
            self._engine.put(message)

    def _work(self, message: Mapping[str, Any]) -> None:
        """Do what a message says; on the engine's thread."""
        try:
            self._do(message)
        except BaseException as error:  # whatever a user's function raises, exit() too: it is for the reader
            self.notice(answers.told(error), "error")
        self._running = False
        if self.channels:
            self._picture()

    def _picture(self) -> None:
        """Tell how the run stands. Python may move the stepper meanwhile; after that this is called again."""
        moves = self._moves
        try:
            self.refresh()
        except Exception as error:
            if moves == self._moves and not self.stepper._busy.locked():
                self.notice(f"this run could not be shown: {answers.told(error)}", "error")

    def _moved(self) -> None:
        """The stepper is somewhere else: tell it soon. Called on whatever thread moved it."""
        self._moves += 1
        if self._engine.is_this:
            return
        if self.channels:
            if not self._engine.waiting:
                self._engine.put(REFRESH)
        elif not self._left:
            self.changed()  # a notebook may be executed where no page is, and keeps its run all the same

    def _do(self, message: Mapping[str, Any]) -> None:
        self._pause.clear()
        kind, stepper = message["type"], self.stepper
        action = {
            "step": stepper.step, "back": stepper.back, "into": stepper.step_into, "out": self._out,
            "over": self._over, "continue": self._continue, "stop": self._finish, "restart": self._restart,
            "undo": self._take_back,
        }.get(kind)  # fmt: skip
        if action is not None:
            action()
        elif kind == "run_to":
            self._run_to(message)
        elif kind == "select":
            self._select(message.get("node"))
        elif kind == "inspect":
            node, output = message["node"], message["output"]
            value = answers.part(node, output, self._value(node, output), message["slices"])
            self.tell({"type": "values", "values": [value]})
        elif kind == "set_value":
            self._set(message)
        elif kind == "set_breakpoint":
            self.points.set(message["pattern"], message.get("when"), message.get("id"))
        elif kind == "clear_breakpoint":
            self.points.clear(message["id"])
        elif kind == "check_gradient":
            self._check(message["node"])
        elif kind == "why":
            self._why(message["node"])
        elif kind == "export":
            title = self.title or "run"
            told = self.stories() if message["kind"] == "html" else []
            self.tell(answers.exported(message["kind"], stepper.trace(), stepper.session, title, told))

    # -------------------------------------------------------------------------------------------- moving

    def _continue(self) -> None:
        self._running = True
        self.stepper.run(self._ticker())

    def _ticker(self) -> Callable[[], bool]:
        """What to ask after each node: it draws when it is time to, and says whether to stop."""
        last = monotonic()

        def pause() -> bool:
            nonlocal last
            if monotonic() - last >= FRAME and self.channels:
                self.refresh()
                last = monotonic()
            return self._pause.is_set()

        return pause

    def _while(self, go_on: Callable[[], bool], move: Callable[[], Any]) -> None:
        self._running = True
        pause = self._ticker()
        while go_on() and move() is not None and not pause():
            pass

    def _finish(self) -> None:
        self._while(lambda: True, self.stepper.step)

    def _restart(self) -> None:
        self._while(lambda: True, self.stepper.back)

    def _over(self) -> None:
        """To the end of the scope that the next node is in; where it is in none, one node."""
        scope = self._scope()
        depth = self.stepper.depth
        self.stepper.step()
        if scope:
            self._while(
                lambda: self.stepper.depth > depth or f"{self._scope()}/".startswith(f"{scope}/"), self.stepper.step
            )

    def _out(self) -> None:
        if self.stepper.depth:
            self.stepper.step_out()
        else:
            self._over()

    def _scope(self) -> str:
        following = self.stepper.next
        return "" if following is None else following.name.rpartition("/")[0]

    def _run_to(self, message: Mapping[str, Any]) -> None:
        stepper = self.stepper
        if "position" in message:
            wanted = max(0, min(message["position"], self._known.length))
            while stepper.depth:
                stepper.back()
            self._while(lambda: stepper.position < wanted, stepper.step)
            self._while(lambda: stepper.position > wanted, stepper.back)
            return
        part, step, _ = self._known.holders[message["node"]]
        if step < 0:
            raise ArgumentError(f"'{self._known.infos[message['node']].name}' is given: no node computes it")
        if part.frame is self._known.parts[0].frame:
            self._run_to({"position": step + 1})
        else:
            stepper.to(part.frame.plan.steps[step].node)

    # -------------------------------------------------------------------------------------------- values

    @property
    def _known(self) -> Numbers:
        if self._numbers is None:
            self._numbers = Numbers(self.stepper)
        return self._numbers

    def _value(self, node: int, output: int) -> Any:
        found = self._told.get((node, output))
        if found is None:
            name = self._known.infos[node].name
            raise ArgumentError(f"'{name}' has no value yet", hint="run to it: key r")
        return found

    def _select(self, node: int | None) -> None:
        self._selected = node
        if node is not None:
            values = [self._message(node, output, each) for output, each in self._outputs(node)]
            if values:
                self.tell({"type": "values", "values": values})

    def _outputs(self, node: int) -> list[tuple[int, Any]]:
        count = len(self._known.infos[node].outputs)
        return [(each, self._told[node, each]) for each in range(count) if (node, each) in self._told]

    def _message(self, node: int, output: int, value: Any, elements: int | None = None) -> Value:
        limit = self.elements if elements is None else elements
        message = value_message(node, output, summarize(value), max(limit, 1))
        if not limit:
            message.pop("sample", None)
            message.pop("histogram", None)
        return message

    def _set(self, message: Mapping[str, Any]) -> None:
        node, output = message["node"], message["output"]
        tensor = self._known.tensor(node, output)
        if tensor is None:
            raise ArgumentError("a copy cannot be set", hint="set what it copies")
        now = self._value(node, output)
        frame, slot = self._slot(node, output)
        if frame.table.maker.get(slot, -1) >= frame.position:  # it had one, before the run went back
            raise ArgumentError(f"'{tensor.name}' has no value yet", hint="run to it: key r")
        value = new_value(now, message["expression"], message.get("index"), self.names())
        before = dict(self._told)
        had = np.array(now) if slot in frame.pins else None
        values = frame.values
        edit = self.stepper._set_slot(tensor, frame, slot, value)
        if frame.values is not values:  # else it is what it was
            self._undo.append((frame, slot, tensor.name, had))
        self._tell_edit(node, edit, before)

    def _slot(self, node: int, output: int) -> tuple[Frame, int]:
        """Where the value of a node is that can be set."""
        frame, slot = self._known.slots(node)[output]
        if slot is None or not any(frame is each for each in self.stepper._walk.frames):
            name = self._known.infos[node].name
            raise ArgumentError(f"'{name}' is in a body that is not stepped now", hint="step into it, and set it there")
        return frame, slot

    def _take_back(self) -> None:
        places = self._places()
        while self._undo and (id(self._undo[-1][0]), self._undo[-1][1]) not in places:
            self._undo.pop()  # taken back from Python, or of a body that began anew
        if not self._undo:
            raise ArgumentError("no value was set", hint="choose a node, and change its value in the panel beside")
        frame, slot, name, had = self._undo[-1]
        node, output = places[id(frame), slot]
        self._slot(node, output)
        before = dict(self._told)
        stepper = self.stepper
        edit = stepper._reset_slot(name, frame, slot) if had is None else stepper._set_slot(name, frame, slot, had)
        self._undo.pop()
        self._tell_edit(node, edit, before)

    def _places(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Node and output of the values that somebody has set, by frame and slot."""
        return {
            (id(frame), slot): (node, output)
            for node in self._known.holders
            for output, (frame, slot) in enumerate(self._known.slots(node))
            if slot is not None and slot in frame.pins
        }

    def _tell_edit(self, node: int, edit: Any, before: Mapping[tuple[int, int], Any]) -> None:
        """Say what an edit did: which nodes ran again, how their values changed, and what became of the fetches."""
        self.refresh(before)
        changed = [key for key, value in self._told.items() if key in before and before[key] is not value]
        effects = [
            effect(self._known.infos[key[0]].name, before[key], self._told[key])
            for key in ((each["node"], each["output"]) for each in self._known.fetches)
            if key in changed
        ]
        nodes = sorted({key[0] for key in changed} - {node})
        self.tell(Edited(
            type="edited", node=node, recomputed=edit.recomputed, count=edit.total, seconds=edit.seconds, nodes=nodes,
            effects=effects,
        ))  # fmt: skip

    # -------------------------------------------------------------------------------------------- questions

    def _check(self, place: int) -> None:
        part, step, _ = self._known.holders[place]
        made = part.frame.plan.steps[step].node if step >= 0 else None
        if made is None:
            raise ArgumentError(f"'{self._known.infos[place].name}' has no gradient rule to check")
        sources = part.frame.plan.steps[step].inputs
        values = {}
        for operand, slot in zip(made.current.inputs, sources, strict=False):
            if slot is not None and part.frame.values[slot] is None:
                raise ArgumentError(f"the inputs of '{made.name}' have no values yet", hint="run to it: key r")
            if slot is not None:
                values[operand] = part.frame.values[slot]
        self.tell(answers.checked(place, made, values))  # type: ignore[arg-type]

    def _why(self, node: int) -> None:
        outputs = self._outputs(node)
        bad = [each for each, value in outputs if np.asarray(value).dtype.kind == "f" and not np.isfinite(value).all()]
        tensor = self._known.tensor(node, bad[0] if bad else 0)
        if tensor is None or not outputs:
            raise ArgumentError(f"'{self._known.infos[node].name}' has no value to ask about")
        numbers = {info.name: place for place, info in reversed(list(enumerate(self._known.infos)))}
        stepper = self.stepper
        self.tell(answers.story(node, tensor, stepper.session, stepper._trace(whole=True), numbers, set_in(stepper)))

    def stories(self) -> list[Story]:
        """Why the values that are not finite are not, for a recording of the run as it stands."""
        stepper = self.stepper
        return stories(stepper._trace(whole=True), stepper.session.graph, stepper.session, set_in(stepper))

    # -------------------------------------------------------------------------------------------- telling

    def opened(self) -> None:
        self._left = False
        self._engine.put(REFRESH)

    def closed(self) -> None:
        super().closed()
        self._engine.rest()
        self._left = True
        self._numbers = None
        self._told = {}

    def refresh(self, before: Mapping[tuple[int, int], Any] | None = None) -> None:
        """Tell how the run stands: what is new since the last time. ``before``: values to compare new ones with."""
        if self.stepper.closed:
            if self.memory.graph is not None:
                self.notice("this stepper was closed", "ended")
            return
        with self.lock:
            if self.memory.graph is None or self._numbers is None or not self._numbers.current:
                self._tell_graph()
            numbers = self._known
            states = numbers.states()
            events = self._spans.new(numbers)
            if events is not None:
                self.tell(events)
            self._tell_values(numbers, states, before or {})
            self._tell_states(numbers, states)
            points = self.points.message(numbers)
            if points != self.memory.latest("breakpoints"):
                self.tell(points)
        self.changed()

    def _tell_graph(self) -> None:
        numbers = Numbers(self.stepper)
        trace, graph = numbers.recorder.trace(), self.stepper.session.graph
        nodes = settled(graph, lambda: describe_trace(trace, graph)) or describe_trace(trace)
        self._numbers, self._told, self._spans = numbers, {}, Spans()
        self.tell(GraphMessage(type="graph", protocol=PROTOCOL, title=self.title, live=True, nodes=nodes))
        order = [index for index, info in enumerate(numbers.infos) if info.kind == "step"]
        self.tell(RunMessage(
            type="run", run=self._known.run, order=np.array(order, np.int32),
            devices=[numbers.infos[index].device for index in order], threads=["stepper"], fetches=self._known.fetches,
        ))  # fmt: skip

    def _tell_values(self, numbers: Numbers, states: Any, before: Mapping[tuple[int, int], Any]) -> None:
        new = [each for each in numbers.values(states) if self._told.get(each[:2]) is not each[2]]
        messages = []
        for node, output, value, pinned in new:
            elements = self.elements if node == self._selected else FEW if len(new) <= MANY else 0
            message = self._message(node, output, value, elements)
            if pinned:
                message["set"] = True
            if (node, output) in before:
                message["change"] = change(before[node, output], value)
            messages.append(message)
            self._told[node, output] = value
        if messages:
            self.tell({"type": "values", "values": messages})

    def _tell_states(self, numbers: Numbers, states: Any) -> None:
        root = self.stepper._walk.frames[0]
        following = numbers.next()
        mode = "running" if self._running else "done" if following is None else "paused"
        known = self.memory.states
        (node,) = np.nonzero(states != known) if len(known) == len(states) else np.nonzero(states)
        message: dict[str, Any] = {
            "type": "states", "node": node.astype(np.int32), "state": states[node], "all": False, "mode": mode,
            "position": root.position, "count": len(root.plan.steps),
        }  # fmt: skip
        if following is not None:
            message["next"] = following
        if len(node) or {**message, "node": None, "state": None} != {**self.memory.status, "node": None, "state": None}:
            self.tell(message)
