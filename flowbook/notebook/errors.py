"""How errors look in a notebook: what happened, where, and a hint. No traceback of ours.

IPython asks an exception that has ``_render_traceback_`` how to show it; loading the extension gives every
`FlowError` one. ``%tb`` shows the whole traceback afterwards. Other exceptions raised by a cell's code are shown as
usual, from the cell's own line on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from flowbook.errors import FlowError
from flowbook.graph.node import PACKAGE

RED, DIM, END = "\x1b[31m", "\x1b[2m", "\x1b[0m"
FULL = "_flowbook_full_traceback"


def install(shell: Any) -> None:
    """Let IPython show every `FlowError` briefly."""

    def render(error: FlowError) -> list[str]:
        # While the error is being handled this is its first display; later it is %tb, which wants everything.
        if sys.exc_info()[1] is not error or getattr(error, FULL, False):
            return full(shell, error, error.__traceback__)
        return brief(shell, error)

    FlowError._render_traceback_ = render  # type: ignore[attr-defined]


def uninstall() -> None:
    """Show errors as Python does."""
    if hasattr(FlowError, "_render_traceback_"):
        del FlowError._render_traceback_


def brief(shell: Any, error: FlowError) -> list[str]:
    """The lines a user sees: the traceback of their own function when that raised, then our message."""
    head, *rest = str(error).split("\n")
    lines = [f"{RED}{type(error).__name__}{END}: {head}", *(_dim_label(row) for row in rest)]
    cause = error.__cause__
    trace = outside(cause.__traceback__) if cause is not None else None
    if cause is not None and trace is not None:
        return [*full(shell, cause, trace), "\n".join(["", *lines])]
    return ["\n".join(lines)]


def _dim_label(row: str) -> str:
    label, colon, text = row.partition(": ")
    return f"{DIM}{label}{colon}{END}{text}" if colon and label.strip().isalpha() else row


def full(shell: Any, error: BaseException, trace: TracebackType | None) -> list[str]:
    """IPython's own rendering of an exception."""
    if isinstance(error, SyntaxError):
        lines = shell.SyntaxTB.structured_traceback(type(error), error, [])
    else:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, trace)
    return list(lines)


def outside(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of flowbook it begins with."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
        trace = trace.tb_next
    return trace


def show_from(shell: Any, error: BaseException, trace: TracebackType | None) -> None:
    """Let IPython show an exception of the user's code from ``trace`` on, the first frame of the cell."""
    render: Callable[[], list[str]] = lambda: full(shell, error, trace)  # noqa: E731
    error._render_traceback_ = render  # type: ignore[attr-defined]
