"""`LiveView`: one thing to look at, in as many pages as there are."""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import Mapping
from threading import RLock
from typing import Any

from flowbook.notebook.live.channels import Channel
from flowbook.notebook.live.memory import Memory
from flowbook.notebook.protocol import PROTOCOL, pack
from flowbook.notebook.sampling import ELEMENTS

LEAST, LARGEST = 64, 1 << 16  # elements of a chosen value that a page may ask for
MOST = 256  # views that are kept for pages that may come back; those seen longest ago go first


class LiveView:
    """What is common to all views: who looks, what they were told, and that they are told the same.

    A subclass answers messages (`answer`), and tells what is to be seen when the first page opens (`opened`).
    """

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.lock = RLock()
        self.memory = Memory()
        self.channels: dict[Channel, bool] = {}  # and whether anybody can see the page
        self.elements = ELEMENTS  # of a chosen value, that are sent at once
        self._pages: dict[Channel, set[str]] = {}  # by channel, those that were told everything
        self._greeted: set[Channel] = set()  # those that listen: before its hello a page would lose messages
        self._gone: deque[str] = deque(maxlen=MOST)  # and that went: what they still sent may come later

    @property
    def visible(self) -> bool:
        """Whether somebody sees it now."""
        return any(self.channels.values())

    # -------------------------------------------------------------------------------------------- pages

    def join(self, channel: Channel) -> None:
        """A page has opened it; it is told everything when it says hello."""
        with self.lock:
            self.channels[channel] = False

    def leave(self, channel: Channel) -> None:
        """A page has closed it."""
        with self.lock:
            known = self.channels.pop(channel, None)
            self._pages.pop(channel, None)
            self._greeted.discard(channel)
            if known is not None and not self.channels:
                self.closed()

    def receive(self, message: Any, channel: Channel) -> None:
        """A message of a page, on whatever thread it came. What is not of the protocol is left alone, and so is all but
        a greeting from where no page is."""
        kind = message.get("type") if isinstance(message, Mapping) else None
        if kind == "hello":
            self._hello(message, channel)
        elif channel not in self.channels:
            return
        elif kind == "bye":
            self._bye(message.get("page"), channel)
        elif kind == "watch":
            self.channels[channel] = bool(message.get("visible"))
            self.looked()
        elif isinstance(kind, str):
            self.answer(message)

    def _hello(self, message: Mapping[str, Any], channel: Channel) -> None:
        if message.get("protocol") != PROTOCOL:
            text = (
                f"This view speaks version {message.get('protocol')} of the protocol, the kernel version {PROTOCOL}. "
                "Reload the page; if that does not help, restart JupyterLab, too."
            )
            self._send(channel, {"type": "notice", "level": "error", "text": text}, [])
            return
        with self.lock:
            page = message.get("page")
            if isinstance(page, str):
                if page in self._gone or page in self._pages.get(channel, ()):
                    return
                self._pages.setdefault(channel, set()).add(page)
            self.channels[channel] = True
            self._greeted.add(channel)
            wanted = message.get("elements")
            if isinstance(wanted, int):
                self.elements = min(max(wanted, LEAST), LARGEST)
            self.looked()
            if self.memory.graph is None:
                self.opened()
            else:
                for each in list(self.memory.tell()):
                    self._send(channel, *pack(each))

    def _bye(self, page: Any, channel: Channel) -> None:
        """A page goes; with the last one its channel leaves. Of several that are not told apart, any goes."""
        with self.lock:
            pages = self._pages.get(channel, set())
            gone = page if isinstance(page, str) and page in pages else next(iter(pages), None)
            if gone is not None:
                pages.discard(gone)
                self._gone.append(gone)
            if not pages:
                self.leave(channel)

    # -------------------------------------------------------------------------------------------- telling

    def tell(self, message: Mapping[str, Any]) -> None:
        """Tell all pages, and remember it for those to come."""
        with self.lock:
            self.memory.take(message)
            if self._greeted:
                packed = pack(message)
                for channel in list(self._greeted):
                    self._send(channel, *packed)

    def _send(self, channel: Channel, message: Mapping[str, Any], buffers: list[bytes]) -> None:
        try:
            channel.send(message, buffers)
        except BaseException:  # its page is gone, and nothing that runs should suffer from that
            self.leave(channel)

    def notice(self, text: str, level: str = "info") -> None:
        """Something for the reader."""
        self.tell({"type": "notice", "level": level, "text": text})

    # -------------------------------------------------------------------------------------------- of a subclass

    def opened(self) -> None:
        """The first page is there: tell what is to be seen."""

    def looked(self) -> None:
        """Somebody looks, or looks away."""

    def closed(self) -> None:
        """The last page is gone: hold nothing of what was told. The next one that opens it is told anew."""
        self.memory = Memory()

    def answer(self, message: Mapping[str, Any]) -> None:
        """Do, soon, what the reader asks for; returns at once."""


class Views:
    """The views of a kernel, by id."""

    def __init__(self) -> None:
        self._views: OrderedDict[str, LiveView] = OrderedDict()
        self._lock = RLock()  # pages ask on threads of their own

    def add(self, view: LiveView) -> None:
        """Keep a view, so that pages find it; one that nobody looks at goes when there are too many."""
        with self._lock:
            self._views[view.id] = view
            if len(self._views) > MOST:
                gone = next((each for each in self._views.values() if not each.channels), None)
                if gone is not None:
                    del self._views[gone.id]

    def find(self, view: str) -> LiveView | None:
        """The view of this id, or ``None``."""
        with self._lock:
            found = self._views.get(view)
            if found is not None:
                self._views.move_to_end(view)
            return found

    def drop(self, view: LiveView) -> None:
        """Forget a view."""
        with self._lock:
            self._views.pop(view.id, None)


VIEWS = Views()
