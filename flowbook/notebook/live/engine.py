"""A thread that does one thing after the other, and is there only while there is something to do.

Where no thread can be started (a browser's Python, a process that has too many) things are done at once instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import ismethod
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from traceback import print_exc
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
        """Something to do; returns at once, unless there are no threads."""
        self._queue.put(message)
        if not self.start():
            self._drain()

    def start(self) -> bool:
        """Have a thread; whether there is one. A forked process begins with none."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return True
            self._thread = Thread(target=self._loop, name=self.name, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # can't start new thread
                self._thread = None
            return self._thread is not None

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

    def _drain(self) -> None:
        """Do all that waits, on this thread."""
        with self._lock:
            self._thread = current_thread()  # what is put in meanwhile waits its turn
        try:
            while True:
                try:
                    message = self._queue.get_nowait()
                except Empty:
                    break
                if message is not None:
                    self._do(message)
        finally:
            with self._lock:
                self._thread = None

    def _do(self, message: Mapping[str, Any]) -> None:
        work = self._work()
        if work is not None:
            try:
                work(message)
            except BaseException:  # an engine that has ended would leave a view dead, and its page waiting
                print_exc()
