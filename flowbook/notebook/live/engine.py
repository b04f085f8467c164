"""A thread that does one thing after the other, and is there only while there is something to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any

IDLE = 30.0  # seconds


class Engine:
    """Calls ``work`` with each message that is put in, in order, on a thread of its own."""

    def __init__(self, name: str, work: Callable[[Mapping[str, Any]], None]) -> None:
        self.name = name
        self._work = work
        self._queue: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None

    @property
    def is_this(self) -> bool:
        """Whether the calling thread is the engine's."""
        return current_thread() is self._thread

    @property
    def waiting(self) -> bool:
        """Whether something is still to be done."""
        return not self._queue.empty()

    def put(self, message: Mapping[str, Any]) -> None:
        """Something to do; returns at once."""
        with self._lock:
            self._queue.put(message)
            if self._thread is None:
                self._thread = Thread(target=self._loop, name=self.name, daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while True:
            try:
                message = self._queue.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            self._work(message)
