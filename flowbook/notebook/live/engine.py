"""A thread that does one thing after the other, and is there only while there is something to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import ismethod
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Any
from weakref import WeakMethod

IDLE = 30.0  # seconds


class Engine:
    """Calls ``work`` with each message that is put in, in order, on a thread of its own.

    Of a method it does not hold the object: an idle thread keeps nothing alive.
    """

    def __init__(self, name: str, work: Callable[[Mapping[str, Any]], None]) -> None:
        self.name = name
        self._work = WeakMethod(work) if ismethod(work) else lambda: work
        self._queue: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
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

    def rest(self) -> None:
        """There will be nothing to do for a while: the thread ends after what is still to be done."""
        with self._lock:
            if self._thread is not None:
                self._queue.put(None)

    def _loop(self) -> None:
        while True:
            try:
                message = self._queue.get(timeout=IDLE)
            except Empty:
                message = None
            if message is None:
                with self._lock:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            self._do(message)
            del message

    def _do(self, message: Mapping[str, Any]) -> None:
        work = self._work()
        if work is not None:
            work(message)
