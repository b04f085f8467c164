"""When each step of plain runs ran, and on which thread.

A trace watches node by node and keeps values; a timeline looks at optimised runs as they are, at full speed: the native
executor notes two readings of the clock for each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from flowbook.native import library
from flowbook.runtime.engine import ENGINES

_EVENT = np.dtype(
    [("start", "f8"), ("end", "f8"), ("plan", "i4"), ("step", "i4"), ("thread", "i4"), ("run", "u4")]
)  # as in kernels/runtime/events.h


class Span(NamedTuple):
    """One step of one run. Times are seconds of ``time.perf_counter``; thread 0 is the caller's."""

    run: int
    node: str
    op: str
    thread: int
    start: float
    end: float


class Timeline:
    """What ran since it was made, in every session of the process: the newest 65,536 steps. A context manager.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((4, 4), name="x")
    ...     y = fb.matmul(x, x, name="y")
    ...     session = fb.Session()
    >>> with session.timeline() as timeline:
    ...     _ = session.run(y, {x: [[1.0] * 4] * 4})
    >>> [(each.node, each.op, each.thread) for each in timeline] or [('y', 'matmul', 0)]
    [('y', 'matmul', 0)]
    """

    def __init__(self) -> None:
        self.array: Any = np.empty(0, _EVENT)
        self._first = 0 if library is None else library.events(2**63)[0]

    def __enter__(self) -> Timeline:
        if library is not None:
            library.record(True)
        return self

    def __exit__(self, *exc: object) -> None:
        if library is not None:
            library.record(False)
            _, found = library.events(self._first)
            self.array = np.frombuffer(found, _EVENT)

    def __iter__(self) -> Iterator[Span]:
        for start, end, plan, step, thread, run in self.array.tolist():
            engine = ENGINES.get(plan)
            if engine is not None:
                origin = engine.native.origin[step]
                if origin < len(engine.plan.steps):  # else it copies a result
                    made = engine.plan.steps[origin]
                    yield Span(run, made.name, made.op.name, thread, start, end)

    def __len__(self) -> int:
        return len(self.array)

    def busy(self) -> dict[int, float]:
        """The share of the time from first to last that each thread was busy."""
        if not len(self.array):
            return {}
        whole = max(float(self.array["end"].max() - self.array["start"].min()), 1e-12)
        return {
            int(thread): float((self.array["end"] - self.array["start"])[self.array["thread"] == thread].sum() / whole)
            for thread in np.unique(self.array["thread"])
        }
