"""Values as people want to see them: short, and the same text on every run.

Numbers have 4 significant digits; a small array is shown whole, a large one by its range and a row of bars: a vector
as a curve, anything else by how its elements are distributed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flowbook.graph.types import format_shape

MAX_ROWS = 80  # of a table
SMALL = 24  # elements that are shown one by one
BARS = "▁▂▃▄▅▆▇█"
BINS = 12  # of a distribution


class Text:
    """Something whose display is a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def format_number(value: Any) -> str:
    """A number with 4 significant digits; integers and bools in full.

    >>> format_number(3.14159), format_number(123456.0), format_number(np.int64(123456)), format_number(True)
    ('3.142', '1.235e+05', '123456', 'True')
    """
    value = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    if isinstance(value, (bool, int)):
        return str(value)
    if isinstance(value, complex):
        return f"{value:.4g}"
    return f"{value + 0.0:.4g}"  # + 0.0: no minus before zero


def format_value(value: Any) -> str:
    """A fetched value in one line, or in a few when it is a small matrix.

    >>> format_value(np.float32(0.25)), format_value(np.arange(3)), format_value(None)
    ('0.25', '[0, 1, 2]', 'done')
    >>> format_value(np.linspace(-1, 1, 100)), format_value(np.full((8, 8), 3))
    ('-1 to 1, mean 0  ▁▁▂▂▂▃▃▃▄▄▄▄▅▅▅▆▆▆▇▇▇▇██', 'all 3')
    """
    if value is None:
        return "done"
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        return repr(value)
    if array.ndim == 0:
        return format_number(array)
    if array.size <= SMALL and array.ndim <= 2:
        return _small(array)
    return summarize(array)


def _small(array: Any) -> str:
    if array.ndim == 1:
        return "[" + ", ".join(map(format_number, array)) + "]"
    rows = [[format_number(each) for each in row] for row in array]
    widths = [max(len(row[column]) for row in rows) for column in range(array.shape[1])] if rows else []
    lines = ["[" + ", ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) + "]" for row in rows]
    return "[" + "\n ".join(lines) + "]"


def summarize(array: Any) -> str:
    """Range, mean and bars of a large array, and what is not finite in it."""
    if array.size == 0:
        return "empty"
    if array.dtype.kind == "b":
        return f"{int(array.sum())} of {array.size} True"
    finite = array[np.isfinite(array)]
    parts = []
    if finite.size and array.dtype.kind != "c":
        low, high = finite.min(), finite.max()
        with np.errstate(over="ignore", invalid="ignore"):
            mean = finite.mean(dtype=np.float64)
        if not np.isfinite(mean):  # their sum is too large
            mean = (finite / finite.size).sum(dtype=np.float64)
        if low == high:
            parts.append(f"all {format_number(low)}" if finite.size == array.size else format_number(low))
        else:
            if abs(mean) < 1e-12 * max(abs(float(low)), abs(float(high))):
                mean = np.float64(0.0)
            parts.append(f"{format_number(low)} to {format_number(high)}, mean {format_number(mean)}")
    elif finite.size:
        size = np.abs(finite)
        parts.append(f"absolute values {format_number(size.min())} to {format_number(size.max())}")
    for what, count in (("nan", int(np.isnan(array).sum())), ("inf", int(np.isinf(array).sum()))):
        if count:
            parts.append(f"{count} {what}")
    bars = bars_of(array)
    return ", ".join(parts) + (f"  {bars}" if bars else "")


def bars_of(array: Any) -> str:
    """A large array as a row of bars: a vector as a curve, other arrays as a histogram from minimum to maximum.

    >>> bars_of(np.arange(8.0)), bars_of(np.arange(256.0).reshape(16, 16) ** 2), bars_of(np.zeros((8, 8)))
    ('▁▂▃▄▅▆▇█', '█▄▃▃▃▃▂▂▂▂▂▂', '')
    """
    if array.dtype.kind not in "iuf":
        return ""
    finite = array[np.isfinite(array)].astype(np.float64)
    if not finite.size or finite.min() == finite.max():
        return ""
    if array.ndim == 1:
        return sparkline(array)
    with np.errstate(over="ignore", invalid="ignore"):
        span = finite.max() - finite.min()
    if not np.isfinite(span):
        return ""
    counts = np.bincount(np.minimum(((finite - finite.min()) / span * BINS).astype(np.int64), BINS - 1), minlength=BINS)
    return sparkline([0, *counts])[1:]  # the empty bin before them: bars stand on zero


def kind_of(value: Any) -> str:
    """dtype and shape of a value.

    >>> kind_of(np.zeros((2, 3), np.float32)), kind_of(None)
    ('float32 (2, 3)', 'no value')
    """
    if value is None:
        return "no value"
    array = np.asarray(value)
    return f"{array.dtype.name} {format_shape(array.shape)}"


def parts_of(label: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values in a fetched structure, each with the expression that gives it.

    >>> list(parts_of("t", [1, {"a": 2}])), list(parts_of("t", 3))
    ([('t[0]', 1), ("t[1]['a']", 2)], [('t', 3)])
    """
    if isinstance(value, (list, tuple, dict)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts_of(f"{label}[{key!r}]", each)
    else:
        yield label, value


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """A curve as a row of bars; gaps are where it was not finite.

    >>> sparkline([1, 2, 3, 4])
    '▁▃▆█'
    """
    array = np.asarray(values, np.float64)
    if array.size > width:
        array = np.array([part.mean() for part in np.array_split(array, width)])
    finite = array[np.isfinite(array)]
    if not finite.size:
        return ""
    low, span = finite.min(), finite.max() - finite.min()
    scaled = (array - low) / span if span else np.zeros_like(array)
    return "".join(BARS[round(each * (len(BARS) - 1))] if np.isfinite(each) else " " for each in scaled)


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: str = "") -> str:
    """Rows of text in aligned columns; a cell of several lines goes on below itself.

    >>> print(table([["w", "float32"], ["bias", "int64"]], ["name", "dtype"]))
    name  dtype
    w     float32
    bias  int64
    """
    lines: list[list[str]] = [list(header)] if header else []
    for row in rows:
        parts = [cell.split("\n") for cell in row]
        for place in range(max(map(len, parts), default=0)):
            lines.append([part[place] if place < len(part) else "" for part in parts])
    if not lines:
        return ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        indent + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
