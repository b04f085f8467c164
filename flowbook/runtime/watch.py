"""Who watches the runs of a graph, whichever session they are of: its views, from the first one that is displayed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from flowbook.compile.plan import Plan
from flowbook.graph.graph import Graph
from flowbook.runtime.executor import Observer

if TYPE_CHECKING:
    from flowbook.runtime.trace import Trace


class Watched(Observer, Protocol):
    """An observer of one run, and its observed Plan; it is told when the run is over, however it ended."""

    plan: Plan

    def ended(self) -> None:
        """The run is over; may be said twice."""


class Watch(Protocol):
    """Decides which runs are observed. It cannot change what they compute."""

    def begin(self, plan: Callable[[], Plan], run: int) -> Watched | None:
        """Run number ``run`` is about to begin: who is to be told, if anybody. ``plan`` makes its observed Plan."""

    def traced(self, trace: Trace) -> None:
        """A run that was recorded anyway has ended."""


# Empty until a view is displayed, and in a forked process, where no page is and the threads of the views are not.
WATCHES: WeakKeyDictionary[Graph, Watch] = WeakKeyDictionary()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WATCHES.clear)
