"""What a view is sent of a value: statistics of all of it, a histogram, and as many elements as it can show.

What is left out is stated: which elements were kept, and how far off the others may be.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowbook.notebook.protocol import Histogram, Sample, Value
from flowbook.notebook.protocol import Statistics as Told
from flowbook.notebook.values import format_value
from flowbook.runtime.summary import Statistics, Summary

ELEMENTS = 4096  # of one value
BINS = 40


def value_message(node: int, output: int, summary: Summary, limit: int = ELEMENTS) -> Value:
    """A value as a view wants it, in at most ``limit`` elements."""
    statistics = summary.statistics
    value = Value(
        node=node,
        output=output,
        dtype=summary.dtype,
        shape=list(summary.shape),
        text=_short(summary, statistics),
        statistics=told(statistics, math.prod(summary.shape)),
    )
    histogram = histogram_of(summary.array, statistics, sampled=not summary.whole)
    if histogram is not None:
        value["histogram"] = histogram
    if summary.array.size:
        value["sample"] = grid(summary.array, limit) if summary.whole else _spaced(summary, limit)
    return value


def told(measured: Statistics, size: int) -> Told:
    """Statistics as a message; the norm comes from mean and deviation, as both are of all elements."""
    finite = size - measured.nans - measured.infs
    norm = None
    if measured.mean is not None and measured.std is not None:
        norm = _number(math.sqrt(finite) * math.hypot(measured.mean, measured.std))
    return Told(
        min=_number(measured.minimum),
        max=_number(measured.maximum),
        mean=_number(measured.mean),
        std=_number(measured.std),
        norm=norm,
        nans=measured.nans,
        infs=measured.infs,
        zeros=measured.zeros,
        exact=True,
    )


def histogram_of(array: Any, measured: Statistics, *, sampled: bool) -> Histogram | None:
    """The histogram of the finite elements; ``None`` where it would say nothing."""
    low, high = _number(measured.minimum), _number(measured.maximum)
    if low is None or high is None or not low < high or array.dtype.kind not in "iuf" or array.size < 8:
        return None
    numbers = array.reshape(-1).astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not math.isfinite(high - low):
        return None
    if not (np.diff(np.linspace(low, high, BINS + 1)) > 0).all():  # fewer numbers between them than there are bins
        return None
    counts, _ = np.histogram(numbers, BINS, (low, high))
    return Histogram(low=low, high=high, counts=counts.astype(np.int32), sampled=sampled)


def grid(array: Any, limit: int = ELEMENTS) -> Sample:
    """Every n-th element along each axis, the longest axes thinned first, until ``limit`` elements are left.

    >>> kept = grid(np.arange(64.0).reshape(8, 8), 16)
    >>> kept["shape"], kept["strides"], kept["error"]
    ([4, 4], [2, 2], 9.0)
    """
    shape, strides = list(array.shape), [1] * array.ndim
    sizes = list(shape)
    while math.prod(sizes) > limit:
        axis = max(range(len(sizes)), key=lambda each: sizes[each])
        strides[axis] += 1
        sizes[axis] = -(-shape[axis] // strides[axis])
    kept = array[tuple(slice(None, None, stride) for stride in strides)]
    return Sample(
        data=_floats(kept),
        shape=sizes,
        starts=[0] * array.ndim,
        strides=strides,
        error=0.0 if math.prod(sizes) == array.size else _error(array, kept, strides),
    )


def _error(array: Any, kept: Any, strides: list[int]) -> float:
    """How far an element is at most from the kept one that stands for it; of finite ones."""
    shown = kept
    for axis, (stride, size) in enumerate(zip(strides, array.shape, strict=True)):
        if stride > 1:
            shown = np.repeat(shown, stride, axis).take(range(size), axis)
    with np.errstate(all="ignore"):
        difference = np.abs(array.astype(np.float64) - shown.astype(np.float64))
    difference = difference[np.isfinite(difference)]
    return float(difference.max()) if difference.size else 0.0


def _spaced(summary: Summary, limit: int) -> Sample:
    """The elements that a trace kept of a large value."""
    array = summary.array
    size = math.prod(summary.shape)
    every = max(1, -(-size // max(array.size, 1)))
    while -(-size // every) > array.size:
        every += 1
    if array.size > limit:
        step = -(-array.size // limit)
        array, every = array[::step], every * step
    return Sample(data=_floats(array), shape=[array.size], starts=[0], strides=[every], every=every)


def _floats(array: Any) -> Any:
    small = array.dtype == np.float32 or array.dtype.itemsize <= 2  # these fit into float32 exactly
    return np.ascontiguousarray(array).astype(np.float32 if small else np.float64).reshape(-1)


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _short(summary: Summary, measured: Statistics) -> str:
    """A value in at most some twenty characters."""
    if summary.whole and summary.array.size == 1:
        return format_value(summary.array.reshape(()))
    if math.prod(summary.shape) == 0:
        return "empty"
    if measured.minimum is None:
        return "nan" if measured.nans else "-inf" if (summary.array < 0).all() else "inf"
    low, high = (f"{each + 0.0:.2g}" for each in (measured.minimum, measured.maximum or 0.0))
    text = low if low == high else f"{low} … {high}"
    bad = [f"{count} {name}" for count, name in ((measured.nans, "nan"), (measured.infs, "inf")) if count]
    return ", ".join([*bad, text])  # what is wrong first, as at a short edge the end is cut off
