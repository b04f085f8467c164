"""What a view has told so far, in the form in which a page that opens now is told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flowbook.runtime.events import WAITING

LATEST = ("breakpoints", "timing", "progress")  # of these only the last one counts


class Memory:
    """Takes every message that goes out, and gives those that make up the present picture."""

    def __init__(self) -> None:
        self.graph: Mapping[str, Any] | None = None
        self._forget_run()
        self._latest: dict[str, Mapping[str, Any]] = {}

    def _forget_run(self) -> None:
        self.run: Mapping[str, Any] | None = None
        self.events: list[Mapping[str, Any]] = []
        self.status: dict[str, Any] = {}
        self.states = np.zeros(0 if self.graph is None else len(self.graph["nodes"]), np.uint8)

    def take(self, message: Mapping[str, Any]) -> None:
        """Remember what this message says."""
        kind = message["type"]
        if kind == "graph":
            self.graph = message
            self.values: dict[tuple[int, int], Mapping[str, Any]] = {}
            self._latest.pop("timing", None)
            self._latest.pop("breakpoints", None)
            self._forget_run()
        elif kind == "run":
            if self.run is None or message["run"] != self.run["run"]:
                self.events = []
            self.run = message
        elif kind == "events":
            if not message["first"]:  # also a run that was told in part is told anew from its beginning
                self.events = []
            self.events.append(message)
            self.states[message["node"]] = message["state"]  # in order: of several for one node the last stays
        elif kind == "states":
            if message["all"]:
                self.states[:] = WAITING
            self.states[message["node"]] = message["state"]
            self.status = {key: value for key, value in message.items() if key not in ("node", "state")}
        elif kind == "values":
            self.values.update(((each["node"], each["output"]), each) for each in message["values"])
        elif kind in LATEST:
            self._latest[kind] = message

    def latest(self, kind: str) -> Mapping[str, Any] | None:
        """The last message of a kind of which only the last one counts."""
        return self._latest.get(kind)

    def tell(self) -> Iterator[Mapping[str, Any]]:
        """The messages for a page that knows nothing."""
        if self.graph is None:
            return
        yield self.graph
        if self.run is not None:
            yield self.run
        yield from self.events
        if self.values:
            yield {"type": "values", "values": list(self.values.values())}
        if self.status:
            (node,) = np.nonzero(self.states)
            yield {**self.status, "all": True, "node": node.astype(np.int32), "state": self.states[node]}
        yield from self._latest.values()
