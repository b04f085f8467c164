"""Channels: the ways by which messages of a view reach a page, and come back.

JupyterLab and Notebook 7 open a comm for each view that they draw, with the extension that is installed with flowbook
(`comm_opened`); other front ends show a widget (`widget.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

NAME = "flowbook-graph"  # of the distribution, the extension, and the comms
MIME = f"application/vnd.{NAME}.trace+json"


class Channel(Protocol):
    """One page that shows a view."""

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Send a packed message; from any thread, and without waiting for the page."""


class Room(Protocol):
    """What pages open: a view, or the panel."""

    def join(self, channel: Channel) -> None:
        """A page has opened it."""

    def leave(self, channel: Channel) -> None:
        """A page has closed it."""

    def receive(self, message: Any, channel: Channel) -> None:
        """A message of a page, on whatever thread it came."""


class CommChannel:
    """A channel over a Jupyter comm."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Publish it."""
        self.comm.send(message, buffers=list(buffers))
        answer_at_once(self.comm)


def answer_at_once(comm: Any) -> None:
    """Let messages of the page be handled while a cell runs, also with ipykernel 7.4.

    JupyterLab sends them on a thread of their own (a subshell). ipykernel 7.4 handles them where the comm last
    published instead, and for what is published while a cell runs, that is the queue behind the cell. Without this
    attribute they go where the page sent them.
    """
    getattr(comm, "__dict__", {}).pop("_reply_subshell_id", None)


def connect(comm: Any, room: Room) -> None:
    """Show ``room`` to the page at the other end of ``comm``, until one of them closes it."""
    channel = CommChannel(comm)
    comm.on_msg(lambda message: room.receive(message["content"]["data"], channel))
    comm.on_close(lambda message: room.leave(channel))
    room.join(channel)
    answer_at_once(comm)


def comm_opened(find: Callable[[Mapping[str, Any]], Room | None]) -> Callable[[Any, Any], None]:
    """The target of comms that pages open: ``find`` gives what their first message asks for, if it is there (still)."""

    def opened(comm: Any, message: Any) -> None:
        data = message["content"]["data"]
        room = find(data) if isinstance(data, Mapping) else None
        if room is None:
            comm.close()  # of another kernel, or long gone: the page falls back to what was saved
        else:
            connect(comm, room)

    return opened
