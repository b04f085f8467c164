"""What a trace keeps of a value: all of it while it is small, else a sample and statistics."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

WHOLE_BYTES = 64 * 1024
SAMPLE_SIZE = 1024


class Statistics(NamedTuple):
    """Of all elements; ``minimum`` to ``std`` of the finite ones, ``None`` when there are none."""

    minimum: float | None
    maximum: float | None
    mean: float | None
    std: float | None
    nans: int
    infs: int
    zeros: int


class Summary(NamedTuple):
    """A value in a trace. ``array``: the value itself when ``whole``, else some of its elements, evenly spaced."""

    dtype: str
    shape: tuple[int, ...]
    whole: bool
    array: Any
    measured: Statistics | None  # None: computed from the whole array when asked for

    @property
    def statistics(self) -> Statistics:
        """Minimum, maximum, mean, standard deviation; how many nan, inf and zeros."""
        return self.measured if self.measured is not None else measure(self.array)

    @property
    def nbytes(self) -> int:
        """Bytes of the value."""
        return math.prod(self.shape) * int(np.dtype(self.dtype).itemsize)

    def __repr__(self) -> str:
        kept = "whole" if self.whole else f"{self.array.size} elements kept"
        return f"<Summary: {self.dtype} {self.shape}, {kept}>"


def summarize(value: Any, limit: int = WHOLE_BYTES) -> Summary:
    """What to keep of a value: a copy up to ``limit`` bytes, above it every n-th element and statistics.

    >>> summarize(np.zeros(4)), summarize(np.zeros(100_000))
    (<Summary: float64 (4,), whole>, <Summary: float64 (100000,), 1021 elements kept>)
    """
    array = np.asarray(value)
    if array.nbytes <= limit:
        return Summary(array.dtype.name, array.shape, True, array.copy(), None)
    every = -(-array.size // SAMPLE_SIZE)
    sample = array.reshape(-1)[::every].copy() if array.flags.c_contiguous else array.flat[::every]
    return Summary(array.dtype.name, array.shape, False, sample, measure(array))


def measure(array: Any) -> Statistics:
    """The statistics of an array.

    >>> measure(np.array([1.0, 0.0, np.nan, np.inf]))
    Statistics(minimum=0.0, maximum=1.0, mean=0.5, std=0.5, nans=1, infs=1, zeros=1)
    """
    zeros = int(array.size - np.count_nonzero(array))
    nans = infs = 0
    finite = array
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            if not np.isfinite(array.sum(dtype=np.float64)):  # one fast pass tells that there are none, nearly always
                nans, infs = int(np.isnan(array).sum()), int(np.isinf(array).sum())
                finite = array[np.isfinite(array)]
    if finite.size == 0:
        return Statistics(None, None, None, None, nans, infs, zeros)
    with np.errstate(all="ignore"):
        mean, std = float(finite.mean(dtype=np.float64)), float(finite.std(dtype=np.float64))
    return Statistics(float(finite.min()), float(finite.max()), mean, std, nans, infs, zeros)
