"""`Stepper`: one run, one node at a time, both ways.

It drives the observed Plan: one step per node. Going back moves a position and takes variables back; going forward
again replays what was recorded, so host functions do not run twice and random numbers are the same. Values that a
user sets stay: everything that depends on them is computed again. `frame.py` and `writelog.py` keep values and the
session's variables, `walk.py` moves; here is what a user calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowbook.compile.plan import Step
from flowbook.errors import SessionError
from flowbook.graph.node import Node
from flowbook.runtime.breakpoints import Breakpoint, Breakpoints
from flowbook.runtime.feeding import as_value, flatten, prepare
from flowbook.runtime.frame import Frame
from flowbook.runtime.listing import listing
from flowbook.runtime.walk import CopyNode, Walk, node_of, text
from flowbook.runtime.writelog import WriteLog, same_bytes

if TYPE_CHECKING:
    from flowbook.runtime.session import Session
    from flowbook.runtime.trace import Recorder, Trace


class Edit(NamedTuple):
    """What setting a value did: nodes computed again, of those computed so far, of all; the fetches that changed."""

    name: str
    recomputed: int
    computed: int
    total: int
    changed: tuple[str, ...]
    seconds: float

    def __repr__(self) -> str:
        changed = f", changed {', '.join(self.changed)}" if self.changed else ""
        return f"<Edit of '{self.name}': {self.recomputed} of {self.computed} nodes computed again{changed}>"


class Stepper:
    """Steps through one run of a session; made by ``session.debug(fetches, feeds)``.

    Variables are written live, at the step that writes them, and initialised with the first step; ``back`` undoes
    both. The feeds are copied, and the run's random numbers are those of ``session.run`` at the same run counter.
    Between steps nothing is locked: the session can run other things. Control flow is one step, unless `step_into`.
    All values are kept, so it needs more memory than a run; the history itself is references.

    A node that raises leaves the stepper just before it: set an input to something better, and step again.
    Usable as a context manager; a closed stepper refuses to go on.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     y = fb.exp(x, name="y")
    ...     z = fb.add(y, 1.0, name="z")
    ...     d = fb.Session().debug(z, feeds={x: 0.0})
    >>> d.step(), float(d.value(y)), d.next
    (<Node 'y': exp float32 ()>, 1.0, <Node 'z': add float32 ()>)
    >>> d.set_value(x, 1.0)
    <Edit of 'x': 1 of 1 nodes computed again>
    >>> round(float(d.finish()), 4), d.back(), d.position
    (3.7183, <Node 'z': add float32 ()>, 1)
    """

    def __init__(self, session: Session, fetches: Any, feeds: Mapping[Any, Any] | None = None) -> None:
        elements, self._rebuild = flatten(session.graph, fetches)
        arrays = {tensor: np.array(array) for tensor, array in prepare(session.graph, feeds).items()}
        plan = session.plan(elements, arrays, observed=True)
        run = session.next_run(observed=True)
        with session.variables.lock:
            values, initial = session.begin(plan, arrays)
            used = [variable for variable, _ in (*plan.states, *plan.writes)]
            log = WriteLog(session.variables, session.variables.snapshot(used))
        self._walk = Walk(Frame(plan, run, values, elements), log, initial)
        self._fetched = [each.name for each in elements]
        self._busy = threading.Lock()
        self._reported = False  # `run` has stopped before the next node already
        self.session = session
        self._listeners: list[Callable[[], None]] = []
        self._breakpoints = Breakpoints(self._changed)
        self.closed = False

    def __enter__(self) -> Stepper:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up all values. Variables stay as they are now; to undo the writes, go back to the start before."""
        self.closed = True
        self._walk.leave(0)
        frame = self._walk.frame
        frame.values, frame.children, frame.pins = [None] * len(frame.values), {}, {}
        self._changed()

    def _check_open(self) -> None:
        if self.closed or self.session.closed:
            raise SessionError("this stepper is closed", hint="session.debug(fetches, feeds) makes a new one")

    @contextmanager
    def _moving(self) -> Iterator[Walk]:
        self._check_open()
        if self._busy.locked():
            raise SessionError("the stepper is running a node", hint="wait until it has finished")
        try:
            with self._busy:  # not acquire and release: Ctrl-C between two statements would leave it locked
                yield self._walk
        finally:
            self._changed()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each movement, edit or change of breakpoints, on the thread that made it.

        Returns the function that ends this.

        >>> import flowbook as fb
        >>> with fb.Graph().as_default():
        ...     d = fb.Session().debug(fb.exp(1.0))
        >>> end = d.listen(lambda: print(d.position))
        >>> node = d.step()
        1
        >>> end()
        """
        self._listeners = [*self._listeners, listener]

        def end() -> None:
            self._listeners = [each for each in self._listeners if each is not listener]

        return end

    def _changed(self) -> None:
        for each in self._listeners:
            each()

    # -------------------------------------------------------------------------------------------- where it is

    @property
    def position(self) -> int:
        """How many nodes are computed; inside a body, of that body."""
        return self._walk.frame.position

    @property
    def total(self) -> int:
        """How many nodes there are; inside a body, of that body."""
        return len(self._walk.frame.plan.steps)

    @property
    def depth(self) -> int:
        """How many bodies it has stepped into and not left."""
        return self._walk.depth

    @property
    def next(self) -> Node | CopyNode | None:
        """The node that the next step computes, or ``None``. At the end of a body it is the control-flow node."""
        step = self._walk.next
        return None if step is None else node_of(step)

    @property
    def done(self) -> tuple[Node | CopyNode, ...]:
        """The nodes computed so far, in order; inside a body, those of that body."""
        return tuple(node_of(step) for step in self._walk.frame.plan.steps[: self.position])

    def state(self, what: Any) -> str:
        """The state of a node: ``waiting``, ``ready``, ``running`` or ``finished``. A stepper releases nothing."""
        frame, step = self._walk.step_of(what)
        if step.index < frame.position:
            return "finished"
        inside = frame is not self._walk.frame
        if step.index == frame.position and (inside or self._busy.locked()):
            return "running"
        return "ready" if all(index < frame.position for index in step.waits) else "waiting"

    def where(self, around: int = 3) -> str:
        """A table of the nodes around the position: computed ones are marked ``*``, the next one ``>``."""
        return listing(self._walk.frames, around)

    def __repr__(self) -> str:
        if self.closed:
            return "<Stepper: closed>"
        step, frames = self._walk.next, self._walk.frames
        inside = f" of '{frames[-2].plan.steps[frames[-2].position].name}'" if self.depth else ""
        following = "at the end" if step is None else f"next '{step.name}' ({step.op.name})"
        return f"<Stepper: {self.position} of {self.total} nodes{inside}, {following}>"

    # -------------------------------------------------------------------------------------------- moving

    def step(self) -> Node | CopyNode | None:
        """Compute (or replay) one node and return it; ``None`` at the end. Control flow is one node.

        Raises what the node raises, with node, cell, line and the shapes it got; the stepper then stands before it.
        A copy between devices is a step too, and returns a `CopyNode`.
        """
        with self._moving() as walk:
            step = walk.forward()
            self._reported = False
            return None if step is None else node_of(step)

    def back(self) -> Node | CopyNode | None:
        """Undo one node and return it; ``None`` at the start. At the beginning of a body it leaves the body first.

        Raises ``SessionError`` when undoing a write would lose what another run wrote in between.
        """
        with self._moving() as walk:
            step = walk.backward()
            self._reported = False
            return None if step is None else node_of(step)

    def step_into(self) -> Node | CopyNode | None:
        """Enter the body that the next node runs, and return the node that comes next in it.

        Where the next node has no body it is like `step`.
        """
        with self._moving() as walk:
            self._reported = False
            step = walk.next if walk.enter() else walk.forward()
            return None if step is None else node_of(step)

    def step_out(self) -> Node | CopyNode | None:
        """Finish the body and return the control-flow node that runs it; outside a body, ``None``."""
        with self._moving() as walk:
            depth, step = walk.depth, None
            while depth and walk.depth >= depth:
                step = walk.forward()
            self._reported = False
            return None if step is None else node_of(step)

    def to(self, what: Any) -> Node | CopyNode:
        """Go to right after a node (given also as tensor or name), forwards or back, and return it.

        Breakpoints do not stop it. Raises ``SessionError`` for what this run does not compute.
        """
        with self._moving() as walk:
            self._reported = False
            return node_of(walk.go(what))

    def finish(self) -> Any:
        """Run to the end, past breakpoints, and return the fetches in their structure, as ``session.run`` does."""
        with self._moving() as walk:
            while walk.forward() is not None:
                pass
            frame = walk.frame
            if not frame.plan.steps:
                walk.log.write(-1, {}, walk.initial)
            values = [None if slot is None else np.array(frame.values[slot]) for slot in frame.plan.fetches]
            return self._rebuild(values)

    # -------------------------------------------------------------------------------------------- breakpoints

    @property
    def breakpoints(self) -> tuple[Breakpoint, ...]:
        """The breakpoints, in the order in which they were set."""
        return tuple(self._breakpoints.all)

    def breakpoint(self, pattern: Any, when: str | Callable[[Any], Any] | None = None) -> Breakpoint:
        """Make `run` stop at nodes whose name matches ``pattern`` (``layer1/*``; ``op:log`` for operations).

        Without ``when`` it stops before the node; with ``"nan"``, ``"inf"``, ``"nonfinite"`` or ``f(value) -> bool``
        right after it, when that is true of one of its values. Nodes in bodies count. Raises ``SessionError`` when no
        node matches.
        """
        self._check_open()
        return self._breakpoints.add(pattern, when, self._walk.frames[0].plan)

    def run(self, pause: Callable[[], bool] | None = None) -> Node | CopyNode | None:
        """Run on to the next breakpoint and return the node it stopped at; ``None`` at the end.

        ``pause`` is asked after each node, and stops the run with ``True``: it returns the node that comes next.
        """
        with self._moving() as walk:
            stop = None if self._reported else self._stop_before()
            moved = False
            while stop is None:
                if moved and pause is not None and pause() and walk.next is not None:
                    return node_of(walk.next)
                moved = True
                if not (self._breakpoints.inside(walk.frame.next) and walk.enter()) and walk.forward() is None:
                    return None
                stop = self._stop()
            return node_of(stop)

    def run_back(self) -> Node | CopyNode | None:
        """Go back to the previous breakpoint and return its node; ``None`` at the start.

        It goes back over control flow as one node, as `back` does.
        """
        with self._moving() as walk:
            stop = None
            while stop is None and walk.backward() is not None:
                stop = self._stop()
            return None if stop is None else node_of(stop)

    def _stop(self) -> Step | None:
        frame = self._walk.frame
        last = frame.plan.steps[frame.position - 1] if frame.position else None
        if last is not None and self._breakpoints.after(last, [frame.values[slot] for slot in last.outputs]):
            self._reported = False
            return last
        return self._stop_before()

    def _stop_before(self) -> Step | None:
        step = self._walk.frame.next
        self._reported = self._breakpoints.before(step)
        return step if self._reported else None

    # -------------------------------------------------------------------------------------------- values

    def value(self, what: Any) -> Any:
        """A copy of the value of a tensor, node or name.

        Feeds, constants and variables have one at once; a variable's is the one the run sees at this moment. Raises
        ``SessionError`` for what has not been computed yet.
        """
        self._check_open()
        frame, slot = self._walk.slot_of(what)
        return np.array(frame.values[slot])

    def set_value(self, what: Any, value: Any) -> Edit:
        """Set a feed, variable or computed tensor, and compute again at once what depends on it and was computed.

        ``value`` is cast ``same_kind`` and has to have the shape the tensor has in this run, else ``FeedError``. What
        was set stays, also when its node is undone and done again, until it is set once more or `reset_value`.
        Setting a variable that the run has not written yet is like feeding it, and changes this run only; after a
        write it changes what was written, in the session too. When a node raises, nothing has changed.
        """
        with self._moving() as walk:
            return self._set(what, *walk.slot_of(what, editable=True), value)

    def _set(self, what: Any, frame: Frame, slot: int, value: Any) -> Edit:
        walk = self._walk
        start, before = perf_counter(), list(walk.frames[0].values)
        spec = frame.plan.specs[slot]
        if spec is None or not spec.known:
            spec = frame.spec(slot)
        count = walk.set(frame, slot, np.array(as_value(f"the value for '{text(what)}'", spec, value)))
        return self._edited(what, frame, count, before, start)

    def _set_slot(self, what: Any, frame: Frame, slot: int, value: Any) -> Edit:
        """`set_value` of the very value that a view shows, also of a variable that has been written since."""
        with self._moving():
            return self._set(what, frame, slot, value)

    def _reset_slot(self, what: Any, frame: Frame, slot: int) -> Edit:
        """`reset_value` of the very value that a view has set, wherever the stepper is now."""
        with self._moving():
            return self._reset(what, frame, slot)

    def reset_value(self, what: Any) -> Edit:
        """Take back `set_value`: the tensor gets the value again that it has by itself."""
        with self._moving() as walk:
            return self._reset(what, *walk.slot_of(what, editable=True))

    def _reset(self, what: Any, frame: Frame, slot: int) -> Edit:
        start, before = perf_counter(), list(self._walk.frames[0].values)
        if slot not in frame.pins:
            raise SessionError(f"'{text(what)}' was not set")
        return self._edited(what, frame, self._walk.reset(frame, slot), before, start)

    def _edited(self, what: Any, frame: Frame, count: int, before: list[Any], start: float) -> Edit:
        root = self._walk.frames[0]
        changed = dict.fromkeys(
            name
            for name, slot in zip(self._fetched, root.plan.fetches, strict=True)
            if slot is not None
            and root.table.maker.get(slot, -1) < root.position
            and not same_bytes(np.asarray(before[slot]), np.asarray(root.values[slot]))
        )
        seconds = perf_counter() - start
        return Edit(text(what), count, frame.position, len(frame.plan.steps), tuple(changed), seconds)

    def trace(self) -> Trace:
        """What has been computed up to here, as a `Trace`: in order, with how long each node took, and no pauses."""
        return self._trace(whole=False)

    def _trace(self, *, whole: bool) -> Trace:
        """``whole``: with all of its values, however large, which it shares with the stepper."""
        from flowbook.runtime.recorder import Log, Recorder

        self._check_open()
        root = self._walk.frames[0]
        recorder = Recorder(root.plan, self.session.graph, log=Log(whole))
        _tell(recorder, root, 0.0)
        return recorder.trace()


def _tell(recorder: Recorder, frame: Frame, clock: float) -> None:
    """Tell a recorder what a frame has done, as if it had watched; the clock begins at ``clock``."""
    recorder.began(frame.values, clock)
    for step in frame.plan.steps[: frame.position]:
        recorder.started(step, clock)
        child = frame.children.get(step.index)
        if child is not None:
            _tell(recorder.inside(step, child.plan), child, clock)
        clock += frame.seconds.get(step.index, 0.0)
        recorder.finished(step, clock, [frame.values[slot] for slot in step.outputs])
