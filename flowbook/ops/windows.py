"""How windows slide over the height and width of images (batch, height, width, channels): shared by conv and pool.

The rule for ``padding="same"`` is TensorFlow's: ceil(size / stride) windows, and what padding that takes is split
evenly, the odd one after.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.types import Dim, TensorSpec


def pair(value: Any, what: str) -> tuple[int, int]:
    """Height and width from an int or two; ``ArgumentError`` for anything else."""
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2 or not all(type(each) is int and each > 0 for each in both):
        raise ArgumentError(f"{what} {value!r} is neither a positive int nor two (height, width)")
    return both[0], both[1]


class Axis(NamedTuple):
    """A window that slides along one axis."""

    size: Any  # an int, except in spec rules, where it may be open
    stride: int
    dilation: int
    same: bool

    def places(self, length: int) -> int:
        """How many places it has; ``ShapeError`` when it does not fit."""
        if self.same:
            return -(-length // self.stride)
        span = (self.size - 1) * self.dilation + 1
        if length < span:
            raise ShapeError(
                f"a window that spans {span} does not fit into {length}", hint="a smaller window, or padding='same'"
            )
        return (length - span) // self.stride + 1

    def slide(self, length: Dim) -> Dim:
        """The same, as far as known where sizes are open."""
        if isinstance(length, int) and (self.same or isinstance(self.size, int)):
            return self.places(length)
        return length if self.same and self.stride == 1 else None

    def padding(self, length: int, places: int) -> tuple[int, int]:
        """Elements to add before and after."""
        if not self.same:
            return 0, 0
        total = max((places - 1) * self.stride + (self.size - 1) * self.dilation + 1 - length, 0)
        return total // 2, total - total // 2


def axes(size: Any, strides: Any, padding: Any, dilations: Any = 1) -> tuple[Axis, Axis]:
    """The windows along height and width that the attributes of an op say."""
    mode = padding.lower() if isinstance(padding, str) else padding
    if mode not in ("same", "valid"):
        raise ArgumentError(f"padding {padding!r} is not known", hint="'same' or 'valid'")
    height, width = zip(size, pair(strides, "strides"), pair(dilations, "dilations"), strict=True)
    return Axis(*height, mode == "same"), Axis(*width, mode == "same")


def slide(x: TensorSpec, along: tuple[Axis, Axis]) -> tuple[Dim, Dim]:
    """Height and width of the result, as far as known."""
    if x.rank != 4:
        raise ShapeError(f"x has rank {x.rank}", hint="images are (batch, height, width, channels)")
    return along[0].slide(x.dims[1]), along[1].slide(x.dims[2])


class Grid:
    """Windows laid over an image of known size: how many (``rows``, ``columns``), and where (``taps``).

    A tap is one place inside the window: the slices of a padded image that hold what all windows see there.
    """

    def __init__(self, shape: tuple[int, ...], along: tuple[Axis, Axis]) -> None:
        _, self.height, self.width, _ = shape
        self.shape = shape
        self.along = vertical, horizontal = along
        self.rows, self.columns = vertical.places(self.height), horizontal.places(self.width)
        self.top, bottom = vertical.padding(self.height, self.rows)
        self.left, right = horizontal.padding(self.width, self.columns)
        self.padded = (shape[0], self.top + self.height + bottom, self.left + self.width + right, shape[3])
        self.inside = (
            slice(None),
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    def pad(self, xp: Any, x: Any, fill: Any) -> Any:
        """x with its padding; x itself when there is none."""
        if self.padded == self.shape:
            return x
        result = xp.full(self.padded, fill, x.dtype)
        result[self.inside] = x
        return result

    def crop(self, xp: Any, padded: Any) -> Any:
        """The inverse of `pad`."""
        return padded if self.padded == self.shape else xp.ascontiguousarray(padded[self.inside])

    def taps(self) -> list[tuple[slice, slice, slice]]:
        """The slices of all taps, row by row."""
        vertical, horizontal = self.along
        return [
            (slice(None), _places(vertical, i, self.rows), _places(horizontal, j, self.columns))
            for i in range(vertical.size)
            for j in range(horizontal.size)
        ]

    def windows(self, xp: Any, padded: Any) -> Any:
        """A view (batch, rows, columns, window height, window width, channels) of a padded image."""
        vertical, horizontal = self.along
        n, y, x, c = padded.strides
        shape = (self.padded[0], self.rows, self.columns, vertical.size, horizontal.size, self.padded[3])
        strides = (
            n,
            y * vertical.stride,
            x * horizontal.stride,
            y * vertical.dilation,
            x * horizontal.dilation,
            c,
        )
        return xp.lib.stride_tricks.as_strided(padded, shape, strides)

    def chunks(self, elements: int) -> list[slice]:
        """The batch in parts whose windows hold about ``elements`` numbers, so that they stay in a cache."""
        vertical, horizontal = self.along
        image = self.rows * self.columns * vertical.size * horizontal.size * self.shape[3]
        step = max(elements // max(image, 1), 1)
        return [slice(start, min(start + step, self.shape[0])) for start in range(0, self.shape[0], step)]

    @property
    def overlapping(self) -> bool:
        """Whether two windows can share an element."""
        return any((each.size - 1) * each.dilation >= each.stride for each in self.along)


def _places(axis: Axis, tap: int, count: int) -> slice:
    start = tap * axis.dilation
    return slice(start, start + count * axis.stride, axis.stride)


def cells(axis: Axis, length: int) -> list[int]:
    """For each place of the window, how many of its elements are not padding."""
    count = axis.places(length)
    before, _ = axis.padding(length, count)
    starts = [place * axis.stride - before for place in range(count)]
    return [sum(0 <= start + tap * axis.dilation < length for tap in range(axis.size)) for start in starts]
