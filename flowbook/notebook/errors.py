"""How errors look in a notebook: what happened, where, and a hint. No traceback of ours.

IPython asks an exception that has ``_render_traceback_`` how to show it; loading the extension gives every
`FlowError` one. ``%tb`` shows the whole traceback afterwards. Other exceptions raised by a cell's code are shown as
usual, from the cell's own line on.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from flowbook.errors import FlowError
from flowbook.graph.node import PACKAGE
from flowbook.notebook.cells import inside
from flowbook.notebook.options import OptionError

RED, DIM, END = "\x1b[31m", "\x1b[2m", "\x1b[0m"
FULL = "_flowbook_full_traceback"


def install(shell: Any) -> None:
    """Let IPython show every `FlowError` briefly."""

    def render(error: FlowError) -> list[str]:
        if not _first_display(error) or getattr(error, FULL, False):
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


class Showing:
    """Around the code of a cell: whatever it raises is shown from the cell's own line on.

    ``file``: the name Python has for the cell's code; without it, errors of the user's expressions begin at the first
    frame that is neither ours nor IPython's. ``whole``: show everything.
    """

    def __init__(self, shell: Any, file: str | None, *, whole: bool) -> None:
        self.shell, self.file, self.whole = shell, file, whole

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or isinstance(error, OptionError):
            return
        if isinstance(error, FlowError):
            setattr(error, FULL, self.whole)
        elif not self.whole and isinstance(error, (Exception, KeyboardInterrupt)):
            if isinstance(error, SyntaxError):
                wrapper = CellSyntaxError(str(error))
                _show_as(wrapper, self.shell, error, None)
                raise wrapper from error
            start = inside(trace, self.file) if self.file is not None else outside(trace)
            if start is not None:
                _show_as(error, self.shell, error, start)


def _show_as(error: BaseException, shell: Any, shown: BaseException, start: TracebackType | None) -> None:
    """Let IPython show ``error`` as ``shown`` from a frame on; and ``%tb``, later, all of it."""

    def render() -> list[str]:
        return full(shell, shown, start if _first_display(error) else shown.__traceback__)

    error._render_traceback_ = render  # type: ignore[attr-defined]


def _first_display(error: BaseException) -> bool:
    """While an error is being handled this is its first display; later it is ``%tb``, which wants everything."""
    return sys.exc_info()[1] is error


class CellSyntaxError(Exception):
    """A cell that is not Python; the original `SyntaxError` is ``__cause__``.

    IPython would show a `SyntaxError` raised inside a magic with the whole way to it; this shows the cell's line.
    """
