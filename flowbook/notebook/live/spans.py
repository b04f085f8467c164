"""When the nodes of a stepped run ran: as if it had run without pauses, one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowbook.notebook.live.numbers import Numbers, Part
from flowbook.notebook.protocol import Events
from flowbook.runtime.events import FINISHED, RUNNING


class Spans:
    """Gives the events that are new: of nodes that ran, or ran again, since it was asked last."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.count = 0
        self._seen: dict[tuple[int, int], float] = {}  # by frame and step: how long it took, when it was told

    def new(self, numbers: Numbers) -> Events | None:
        """The events since the last time; ``None`` when there are none."""
        rows: list[tuple[int, int, float, int]] = []
        children = {id(part.frame): part for part in numbers.parts}
        self._add(numbers.parts[0], children, rows)
        for part in numbers.parts[1:]:  # bodies on their way, which no finished node has told
            self._add(part, children, rows)
        if not rows:
            return None
        node, state, seconds, size = zip(*rows, strict=True)
        events = Events(
            type="events",
            run=numbers.parts[0].frame.run.counter,
            first=self.count,
            node=np.array(node, np.int32),
            state=np.array(state, np.uint8),
            seconds=np.array(seconds, np.float64),
            bytes=np.array(size, np.float64),
            thread=np.zeros(len(rows), np.int32),
        )
        self.count += len(rows)
        return events

    def _add(self, part: Part, parts: dict[int, Part], rows: list[Any]) -> None:
        frame = part.frame
        for step in frame.plan.steps[: frame.position]:
            took = frame.seconds.get(step.index, 0.0)
            key = id(frame), step.index
            if self._seen.get(key) == took:
                continue
            self._seen[key] = took
            node, start = part.node(step.index), self.clock
            rows.append((node, RUNNING, start, 0))
            child = frame.children.get(step.index)
            if child is not None and id(child) in parts:
                self._add(parts[id(child)], parts, rows)
            self.clock = max(self.clock, start + took)
            size = sum(int(getattr(frame.values[slot], "nbytes", 0)) for slot in step.outputs)
            rows.append((node, FINISHED, self.clock, size))
