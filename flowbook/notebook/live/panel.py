"""The side panel of JupyterLab: the notebook's graphs, variables, breakpoints, watches and devices.

A page has one for each kernel. It asks again from time to time while it can be seen, and is told only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from flowbook.devices import device
from flowbook.errors import ArgumentError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Tensor
from flowbook.notebook import marks
from flowbook.notebook.live import answers
from flowbook.notebook.live.channels import Channel
from flowbook.notebook.live.engine import Engine
from flowbook.notebook.live.points import condition
from flowbook.notebook.live.snapshot import settled
from flowbook.notebook.protocol import (
    PROTOCOL,
    PanelBreakpoint,
    PanelCell,
    PanelDevice,
    PanelGraph,
    PanelMessage,
    PanelRefused,
    PanelVariable,
    Spec,
)
from flowbook.notebook.values import format_value
from flowbook.runtime.session import Session


class Panel:
    """What the panels of all pages show. ``graphs``: those of the notebook, ``session``: the one of a graph,
    ``names``: what conditions of breakpoints may use, ``changed``: is called when marks of a graph are others."""

    def __init__(
        self,
        graphs: Callable[[], Iterable[Graph]],
        session: Callable[[Graph], Session],
        names: Callable[[], Mapping[str, Any]],
        changed: Callable[[Graph], None],
    ) -> None:
        self.graphs = graphs
        self.session = session
        self.names = names
        self.changed = changed
        self.channels: set[Channel] = set()
        self._lock = RLock()
        self._numbers: WeakKeyDictionary[Graph, int] = WeakKeyDictionary()
        self._known: dict[int, PanelGraph] = {}  # by number, of a graph that a cell is changing just now
        self._texts: dict[Tensor, tuple[Any, str]] = {}  # values that were written, and their texts
        self._before: dict[Tensor, tuple[Any, str]] = {}
        self._told: PanelMessage | None = None
        self._engine = Engine("flowbook panel", self._work)

    # -------------------------------------------------------------------------------------------- pages

    def join(self, channel: Channel) -> None:
        """A page has opened it."""
        with self._lock:
            self.channels.add(channel)
        self.receive({"type": "refresh", "all": True}, channel)

    def leave(self, channel: Channel) -> None:
        """A page has closed it."""
        with self._lock:
            self.channels.discard(channel)

    def receive(self, message: Any, channel: Channel) -> None:
        """A message of a page, on whatever thread; what is not of the protocol is left alone."""
        if isinstance(message, Mapping) and channel in self.channels:
            self._engine.put({**message, "channel": channel})

    def refresh(self) -> None:
        """Something may be another than before."""
        if self.channels:
            self._engine.put({"type": "refresh", "all": False})

    def _work(self, message: Mapping[str, Any]) -> None:
        try:
            self._do(message)
        except BaseException as error:  # the panel goes on, whatever a message asks for
            self._send(PanelRefused(type="refused", text=answers.told(error)))

    def _do(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "break":
            graph, pattern = self._graph(message["graph"]), _pattern(message)
            if message["clear"]:
                marks.breakpoint(pattern, clear=True, graph=graph)
            else:
                when = message.get("when")
                marks.breakpoint(pattern, condition(when, self.names), label=when or "", graph=graph)
            self.changed(graph)
        elif kind == "watch_values":
            marks.watch(_pattern(message), clear=message["clear"], graph=self._graph(message["graph"]))
        elif kind != "refresh":
            return
        now = self._now()
        if now != self._told or message.get("all"):
            self._told = now
            self._send(now)

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            for channel in list(self.channels):
                try:
                    channel.send(message, [])
                except BaseException:  # its page is gone
                    self.leave(channel)

    # -------------------------------------------------------------------------------------------- what there is

    def _graph(self, number: int) -> Graph:
        for graph, each in self._numbers.items():
            if each == number:
                return graph
        raise ArgumentError("this graph is not there any more")

    def _now(self) -> PanelMessage:
        found = []
        self._before, self._texts = self._texts, {}  # what is not there any more is not kept
        for graph in list(self.graphs()):
            number = self._numbers.setdefault(graph, len(self._numbers) + 1)
            told = settled(graph, lambda graph=graph, number=number: self._tell(graph, number))  # type: ignore[misc]
            told = self._known.get(number) if told is None else told
            if told is not None:
                self._known[number] = told
                found.append(told)
        return PanelMessage(type="panel", protocol=PROTOCOL, graphs=found, devices=self._devices())

    def _tell(self, graph: Graph, number: int) -> PanelGraph:
        cells = [
            PanelCell(name=owner.name, nodes=len(nodes), stale=sum(node.stale is not None for node in nodes))
            for owner in graph.owners
            if (nodes := list(owner.nodes.values()))
        ]
        kept = marks.marks(graph)
        return PanelGraph(
            id=number,
            name=f"graph {number}",
            nodes=len(graph.nodes),
            cells=cells,
            variables=[self._variable(each, self.session(graph)) for each in graph.variables],
            breakpoints=[PanelBreakpoint(pattern=each.pattern, when=each.label or None) for each in kept.breaks],
            watches=list(kept.watches),
        )

    def _variable(self, tensor: Tensor, session: Session) -> PanelVariable:
        stored = session.variables.get(tensor)
        shape = None if tensor.shape is None else list(tensor.shape)
        entry = PanelVariable(
            name=tensor.name,
            spec=Spec(dtype=tensor.dtype.name, shape=shape),
            text="not used yet" if stored is None else self._text(tensor, stored.value),
            bytes=0 if stored is None else int(stored.value.nbytes),
        )
        origin = tensor.node.origin
        if origin is not None:
            entry["cell"], entry["line"] = origin.cell, origin.line
        return entry

    def _text(self, tensor: Tensor, value: Any) -> str:
        known = self._before.get(tensor)
        if known is None or known[0] is not value:  # values are never changed in place
            known = value, format_value(value).replace("\n", " ")
        self._texts[tensor] = known
        return known[1]

    def _devices(self) -> list[PanelDevice]:
        return [PanelDevice(name=each.name, usable=each.usable, reason=each.reason) for each in device.devices()]


def _pattern(message: Mapping[str, Any]) -> str:
    """The pattern in a message; to the list of marks none would mean all."""
    if not isinstance(message["pattern"], str):
        raise ArgumentError(f"{message['pattern']!r} is no pattern of names", hint="layer1/*, or op:log")
    return str(message["pattern"])
