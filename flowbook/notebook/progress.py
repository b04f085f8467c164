"""A progress bar in plain text, for long runs.

It is written to standard output with carriage returns, so a terminal and a notebook redraw one line. The last line
has the same width and content on every run, however long it took: what a notebook keeps is always the same.
"""

from __future__ import annotations

import sys
from time import perf_counter

MANY = 50  # steps; shorter runs show no bar
WIDTH = 30
EVERY = 0.1  # seconds between two updates


class Progress:
    """Shows how many of ``total`` steps are done. A context manager; ends its line on leaving."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.shown = -1.0

    def __enter__(self) -> Progress:
        return self

    def update(self, done: int) -> None:
        """Say how many steps are done; draws when it is time to."""
        self.done = done
        if self.total >= MANY:
            now = perf_counter()
            if now - self.shown >= EVERY:
                self.shown = now
                self._draw()

    def _draw(self, end: str = "") -> None:
        filled = WIDTH * self.done // self.total
        count = f"{self.done} of {self.total} steps".rjust(len(f"{self.total} of {self.total} steps"))
        sys.stdout.write(f"\r{'█' * filled}{'░' * (WIDTH - filled)} {count}{end}")
        sys.stdout.flush()

    def __exit__(self, *exc: object) -> None:
        if self.total >= MANY:
            self._draw("\n")
