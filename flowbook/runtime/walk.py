"""A run on its way: the stack of frames, and the session's variables in step with it.

The stepper's public half (`stepper.py`) asks and answers; this half moves. The first frame is the run itself, each
further one a body that has been stepped into. Only the first writes variables: what a body writes reaches the session
when its control-flow node is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import SessionError
from flowbook.graph.node import Node, Tensor
from flowbook.runtime.frame import Frame
from flowbook.runtime.slots import bodies_of, body_nodes, unknown, written
from flowbook.runtime.writelog import WriteLog, same_bytes


class CopyNode(NamedTuple):
    """A copy between two devices' memories, which placement put into the run; no node of the graph."""

    name: str
    op: str
    device: str


class Walk:
    """The frames of a run and what it has written."""

    def __init__(self, root: Frame, log: WriteLog, initial: Mapping[Tensor, Any]) -> None:
        self.frames = [root]
        self.log = log
        self.initial = initial  # first values of variables that had none; stored with the first step

    @property
    def frame(self) -> Frame:
        """The innermost frame."""
        return self.frames[-1]

    @property
    def depth(self) -> int:
        """How many bodies it is in."""
        return len(self.frames) - 1

    @property
    def next(self) -> Step | None:
        """The step that comes next: at the end of a body the control-flow step that runs it."""
        step = self.frame.next
        return self.frames[-2].next if step is None and self.depth else step

    # -------------------------------------------------------------------------------------------- moving

    def forward(self) -> Step | None:
        """Do one step, or return ``None`` at the end. At the end of a body it leaves it."""
        if self.next is None:
            return None
        if self.frame.next is None:
            self.frames.pop()
        frame = self.frame
        position = frame.position
        try:
            step = frame.forward()
            if not self.depth:
                self.write(step)
        except BaseException:  # a node is done with its write, or not at all
            frame.position = position
            if not self.depth:
                self.log.undo(position)
            raise
        return step

    def write(self, step: Step) -> None:
        """Put into the session what a step of the first frame wrote; with the first step, the initial values too."""
        values = self.frames[0].values
        writes = {variable: values[slot] for variable, slot in written(step)}
        self.log.write(step.index, writes, self.initial if step.index == 0 else None)

    def backward(self) -> Step | None:
        """Undo one step, or return ``None`` at the start. At the beginning of a body it leaves it first."""
        while self.depth and self.frame.position == 0:
            self.frames.pop()
        frame = self.frame
        if frame.position == 0:
            return None
        index = frame.position - 1
        wrote = not self.depth and index in self.log
        try:
            if wrote:
                self.log.undo(index)
            frame.position = index
        except BaseException:
            frame.position = index if wrote and index not in self.log else index + 1
            raise
        return frame.plan.steps[index]

    def enter(self) -> bool:
        """Go into the body that the next step runs, if it has one."""
        child = self.frame.enter()
        if child is not None:
            self.frames.append(child)
        return child is not None

    def leave(self, depth: int) -> None:
        """Drop out of the bodies deeper than ``depth``, to before the control-flow step."""
        del self.frames[depth + 1 :]

    def move(self, depth: int, position: int) -> None:
        """Go to a position of the frame at ``depth``."""
        self.leave(depth)
        while self.frame.position > position:
            self.backward()
        while self.frame.position < position:
            self.forward()

    def go(self, what: Any) -> Step:
        """Go to right after the step that computes ``what``, into a body if it is there."""
        for depth in range(self.depth, -1, -1):
            table = self.frames[depth].table
            index = table.step(what)
            if index is not None:
                self.move(depth, index + 1)
                return table.plan.steps[index]
            holder = _holder(table.plan, what)
            if holder is not None:
                return self._go_inside(depth, holder, what)
        if self.tensor(what) is not None:
            raise SessionError(f"'{text(what)}' is given: no node of this run computes it", hint="d.value(t)")
        raise self.unknown(what)

    def _go_inside(self, depth: int, step: Step | None, what: Any) -> Step:
        while step is not None:
            self.move(depth, step.index)
            self.enter()
            table = self.frame.table
            index = table.step(what)
            depth += 1
            if index is not None:
                self.move(depth, index + 1)
                return table.plan.steps[index]
            holder, step = step, _holder(table.plan, what)
        self.leave(depth - 1)
        raise SessionError(f"'{text(what)}' is in a branch of '{holder.name}' that this run does not take")

    # -------------------------------------------------------------------------------------------- finding

    def tensor(self, what: Any) -> Tensor | None:
        """The tensor that ``what`` means in the innermost frame that knows it, or ``None``."""
        found = (frame.table.tensor(what) for frame in reversed(self.frames))
        return next((tensor for tensor in found if tensor is not None), None)

    def step_of(self, what: Any) -> tuple[Frame, Step]:
        """The step that computes ``what``, and its frame; ``SessionError`` when there is none."""
        for frame in reversed(self.frames):
            index = frame.table.step(what)
            if index is not None:
                return frame, frame.plan.steps[index]
        raise self.unknown(what)

    def slot_of(self, what: Any, editable: bool = False) -> tuple[Frame, int]:
        """The innermost frame that has a value for ``what``, and its slot there; ``SessionError`` when none has yet.

        For reading, the bodies that are done count too.
        """
        asked = self.tensor(what) if isinstance(what, str) else None
        for frame in reversed(self.frames) if editable else _with_bodies(self.frames):
            tensor = frame.table.tensor(what if asked is None else asked)
            index = frame.table.step(what) if tensor is None else None
            if tensor is not None:
                slot: int | None = frame.table.slot(tensor, frame.position)
            elif index is not None:
                slot = next(iter(frame.plan.steps[index].outputs), None)
            else:
                continue
            if slot is None:
                raise SessionError(f"'{text(what)}' has no output, so no value")
            if frame.table.maker.get(slot, -1) >= frame.position:
                raise self._too_early(what)
            return frame, slot
        if _holder(self.frames[0].plan, what) is not None:
            raise self._too_early(what)
        raise self.unknown(what)

    def _too_early(self, what: Any) -> SessionError:
        frame, step = self.frame, self.next
        following = "" if step is None else f", the next one is '{step.name}' ({step.op.name})"
        return SessionError(
            f"'{text(what)}' is not computed yet: {frame.position} of {len(frame.plan.steps)} nodes are{following}",
            hint=f"d.to('{text(what)}')",
        )

    def unknown(self, what: Any) -> SessionError:
        """The error for what is no part of this run."""
        close = [name for frame in reversed(self.frames) for name in frame.table.close(text(what))]
        return unknown(what, list(dict.fromkeys(close))[:3])

    # -------------------------------------------------------------------------------------------- editing

    def set(self, frame: Frame, slot: int, value: Any) -> int:
        """Pin a slot to a value; returns how many steps were done again. All or nothing."""
        if same_bytes(np.asarray(frame.values[slot]), value):
            return 0
        return self._edit(frame, slot, lambda: frame.pin(slot, value))

    def reset(self, frame: Frame, slot: int) -> int:
        """Give a pinned slot the value again that it has by itself."""
        return self._edit(frame, slot, lambda: frame.unpin(slot))

    def _edit(self, frame: Frame, slot: int, begin: Callable[[], Any]) -> int:
        depth = next(index for index, each in enumerate(self.frames) if each is frame)
        steps, _ = frame.dependents(slot)
        affected = [*(step.index for step in steps), frame.table.maker.get(slot, frame.position)]
        written = self._written(min(affected)) if depth == 0 else []
        self.log.check({each for step in written for each in self.log.replaced[step.index]}, "setting a value")
        frames, memos = list(self.frames), [each.memo() for each in self.frames]
        try:
            self._unwrite(written)
            count = frame.replace(slot, begin())
            self._rewrite(written)
            if any(step.index == frame.position for step in steps):
                self.leave(depth)  # the body it is in begins with other values now
            for parent in self.frames[:depth]:
                parent.forget_current()
        except BaseException:
            self.frames = frames
            for each, memo in zip(frames, memos, strict=True):
                each.recall(memo)
            self._unwrite(written)
            self._rewrite(written)
            raise
        return count

    def _written(self, first: int) -> list[Step]:
        """The steps from ``first`` on that have written variables."""
        frame = self.frames[0]
        return [step for step in frame.plan.steps[first : frame.position] if step.index in self.log]

    def _unwrite(self, steps: list[Step]) -> None:
        for step in reversed(steps):
            self.log.undo(step.index)

    def _rewrite(self, steps: list[Step]) -> None:
        for step in steps:
            self.write(step)


def node_of(step: Step) -> Node | CopyNode:
    """What a step is to a user."""
    return step.node if step.node is not None else CopyNode(step.name, step.op.name, step.device)


def text(what: Any) -> str:
    """What somebody asked for, as messages name it."""
    return what if isinstance(what, str) else str(getattr(what, "name", what))


def _holder(plan: Plan, what: Any) -> Step | None:
    """The first step with a body in which ``what`` is computed."""
    node = what.node if isinstance(what, Tensor) else what

    def is_meant(each: Node) -> bool:
        return each is node or (isinstance(what, str) and what in (each.name, *(t.name for t in each.outputs)))

    for step in plan.steps:
        if any(is_meant(each) for body in bodies_of(step) for each in body_nodes(body)):
            return step
    return None


def _with_bodies(frames: list[Frame]) -> Iterator[Frame]:
    """The frames, innermost first, then the bodies that are done."""
    yield from reversed(frames)
    stack = list(frames)
    while stack:
        frame = stack.pop()
        done = [child for index, child in frame.children.items() if index < frame.position]
        yield from done
        stack.extend(done)
