"""A page without a browser: what it was told, unpacked, and a way to send what a reader clicks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flowbook.notebook.live.liveview import LiveView
from flowbook.notebook.protocol import PROTOCOL, unpack

PATIENCE = 20.0


class Gate:
    """A node's function that waits: ``inside`` is set when it has begun, and it goes on when ``free`` is."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.free = threading.Event()

    def __call__(self, value: Any) -> Any:
        self.inside.set()
        assert self.free.wait(PATIENCE)
        return value


class Page:
    """Opens a view, and follows it as the browser's store does: `state`, `values`, `status`."""

    def __init__(self, view: LiveView, *, hello: bool = True) -> None:
        self.view = view
        self.messages: list[dict[str, Any]] = []
        self.state: Any = np.zeros(0, np.uint8)
        self.values: dict[tuple[int, int], Any] = {}
        self.status: dict[str, Any] = {}
        self.graph: dict[str, Any] = {}
        view.join(self)
        if hello:
            self("hello", protocol=PROTOCOL)

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        found = unpack(message, buffers)
        if found["type"] == "graph":
            self.graph = found
            self.state = np.zeros(len(found["nodes"]), np.uint8)
            self.values = {}
        elif found["type"] == "events":
            for node, state in zip(found["node"], found["state"], strict=True):
                self.state[node] = state
        elif found["type"] == "states":
            if found["all"]:
                self.state[:] = 0
            self.state[found["node"]] = found["state"]
            self.status = found
        elif found["type"] == "values":
            self.values.update(((each["node"], each["output"]), each) for each in found["values"])
        self.messages.append(found)

    def __call__(self, kind: str, /, **members: Any) -> None:
        self.view.receive({"type": kind, **members}, self)

    def node(self, name: str) -> int:
        return [each["name"] for each in self.graph["nodes"]].index(name)

    def value(self, name: str) -> Any:
        """The value a reader sees for a node; None when there is none at this moment."""
        node = self.node(name)
        return self.values.get((node, 0)) if self.state[node] >= 3 else None

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Until something is true; fails when it takes too long."""
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < end, [[each["type"] for each in self.messages], self.status, self.notices()]
            time.sleep(0.002)
        return found

    def wait_for(self, kind: str, after: int = 0) -> dict[str, Any]:
        """The first message of a kind that came after so many others."""
        return self.wait(lambda: next((each for each in self.messages[after:] if each["type"] == kind), None))

    def do(self, kind: str, /, **members: Any) -> dict[str, Any]:
        """Send, and wait for how the run stands then."""
        count = len(self.messages)
        self(kind, **members)
        self.wait(lambda: any(each["type"] in ("states", "notice") for each in self.messages[count:]))
        return self.status

    def notices(self) -> list[str]:
        return [each["text"] for each in self.messages if each["type"] == "notice"]
