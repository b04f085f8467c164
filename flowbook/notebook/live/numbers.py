"""The nodes of a run that is stepped, numbered as a trace numbers them: what views know them by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from flowbook.graph.node import Tensor
from flowbook.notebook.protocol import Ref
from flowbook.runtime.events import FINISHED, READY, RUNNING, NodeInfo
from flowbook.runtime.frame import Frame
from flowbook.runtime.recorder import Recorder
from flowbook.runtime.stepper import Stepper


class Part(NamedTuple):
    """One frame of the run (the run itself, or a body) and the recorder that numbers its nodes."""

    frame: Frame
    recorder: Recorder

    def node(self, step: int) -> int:
        """The number of a step."""
        return self.recorder.base + step


class Numbers:
    """The numbering of a stepper's run at one moment; when a body is entered for the first time, it is another."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.parts: list[Part] = []
        root = stepper._walk.frames[0]
        self.recorder = Recorder(root.plan, stepper.session.graph)
        self._add(Part(root, self.recorder))
        self.holders: dict[int, tuple[Part, int, int]] = {}  # by node: the part, first slot, number of outputs
        for part in self.parts:
            for step in part.frame.plan.steps:
                self.holders[part.node(step.index)] = (part, step.index, -1)
            for slot, node in part.recorder.sources.items():
                self.holders[node] = (part, -1, slot)

    def _add(self, part: Part) -> None:
        self.parts.append(part)
        for index, child in sorted(part.frame.children.items()):
            self._add(Part(child, part.recorder.inside(part.frame.plan.steps[index], child.plan)))

    @property
    def infos(self) -> list[NodeInfo]:
        """The nodes, by number."""
        return self.recorder.log.nodes

    @property
    def current(self) -> bool:
        """Whether all bodies that there are have numbers."""
        known = {id(part.frame) for part in self.parts}
        return all(id(child) in known for part in self.parts for child in part.frame.children.values())

    @property
    def run(self) -> int:
        """The run counter."""
        return self.parts[0].frame.run.counter

    @property
    def length(self) -> int:
        """How many nodes the run has, without those of bodies."""
        return len(self.parts[0].frame.plan.steps)

    @property
    def fetches(self) -> list[Ref]:
        """What was asked for."""
        frame, recorder = self.parts[0]
        places: dict[int | None, tuple[int, int]] = {
            slot: (recorder.base + step.index, output)
            for step in frame.plan.steps
            for output, slot in enumerate(step.outputs)
        }
        places.update((slot, (node, 0)) for slot, node in recorder.sources.items())
        found = [places[slot] for slot in frame.plan.fetches if slot in places]
        return [Ref(node=node, output=output) for node, output in dict.fromkeys(found)]

    def slots(self, node: int) -> list[tuple[Frame, int | None]]:
        """Where the values of a node's outputs are."""
        part, step, slot = self.holders[node]
        return [(part.frame, each) for each in (part.frame.plan.steps[step].outputs if step >= 0 else (slot,))]

    def tensor(self, node: int, output: int) -> Tensor | None:
        """The tensor that a user calls this output of a node; ``None`` for that of a copy."""
        part, step, slot = self.holders[node]
        if step >= 0:
            made = part.frame.plan.steps[step]
            return None if made.node is None else made.node.tensors[output]
        return next((tensor for tensor, each in part.recorder.table.slots.items() if each == slot), None)

    def states(self) -> Any:
        """The state of each node, as places in ``STATES``."""
        found = np.zeros(len(self.infos), np.uint8)
        stack = self.stepper._walk.frames
        alive = {id(self.parts[0].frame)}
        for frame, recorder in self.parts:  # a body comes after what runs it
            if id(frame) not in alive:
                continue
            found[recorder.base : recorder.base + frame.position] = FINISHED
            for step in frame.plan.steps[frame.position :]:
                if step.index == frame.position and frame is not stack[-1] and any(frame is each for each in stack):
                    found[recorder.base + step.index] = RUNNING
                elif all(index < frame.position for index in step.waits):
                    found[recorder.base + step.index] = READY
            for index, child in frame.children.items():
                if index < frame.position or any(child is each for each in stack):
                    alive.add(id(child))
        return found

    def next(self) -> int | None:
        """The node that the next step computes."""
        frames = self.stepper._walk.frames
        for frame in reversed(frames):  # at the end of a body it is the node that runs it
            if frame.next is not None:
                part = next(part for part in self.parts if part.frame is frame)
                return part.node(frame.position)
        return None

    def values(self, states: Any) -> Iterator[tuple[int, int, Any, bool]]:
        """The values that are there: node, output, value, and whether a user has set it."""
        for frame, recorder in self.parts:
            for slot, node in recorder.sources.items():
                if frame.values[slot] is not None:
                    yield node, 0, frame.values[slot], slot in frame.pins
            for step in frame.plan.steps:
                node = recorder.base + step.index
                if states[node] == FINISHED:
                    for output, slot in enumerate(step.outputs):
                        yield node, output, frame.values[slot], slot in frame.pins
