"""Large values as small pictures: matrices as heat maps, images as images, stacks as the first few of them.

One PNG for all values of an output. A picture cannot be compared between machines, so it comes beside the text and
says nothing that the text does not. Its ground is transparent and its letters grey: it suits a light and a dark page.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowbook.notebook.text import shorten
from flowbook.notebook.values import SMALL, format_number, kind_of

if TYPE_CHECKING:
    from PIL import Image

MOST = 6  # values in one picture
TILES = 8  # elements of a stack
SIDE = 128  # points: the longer side of a picture, and the most elements along it
WIDEST = 900  # points; what does not fit goes below
SCALE = 2  # pixels of a point, for sharp screens
GREY = (125, 133, 144, 255)
NOT_FINITE = (209, 36, 47)
COLD, MIDDLE, WARM = (33, 102, 172), (247, 247, 247), (178, 80, 24)  # negative, zero, positive
DARK, BRIGHT = (38, 50, 84), (250, 222, 130)  # one sign only


class Picture(NamedTuple):
    """A PNG, and its size in points."""

    png: bytes
    width: int
    height: int

    @property
    def bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Data and metadata for ``display(..., raw=True)``."""
        return {"image/png": self.png}, {"image/png": {"width": self.width, "height": self.height}}


def can_show(value: Any) -> bool:
    """Whether a value is worth a picture: two axes or more, neither of the shown ones thin, and many elements.

    >>> can_show(np.zeros((28, 28))), can_show(np.zeros((2, 3))), can_show(np.zeros(1000))
    (True, False, False)
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.size <= SMALL:
        return False
    shape = _tiles(value).shape if value.ndim >= 2 else ()
    return len(shape) >= 3 and min(shape[1:3]) >= 4


def picture(values: Iterable[tuple[str, Any]]) -> Picture | None:
    """The values that `can_show` says are worth it, in a row, each under its name; ``None`` when there are none.

    >>> found = picture([("w", np.arange(64.0).reshape(8, 8))])
    >>> found.png[:4], found.width > 64
    (b'\\x89PNG', True)
    """
    shown = [(label, value) for label, value in values if can_show(value)][:MOST]
    if not shown:
        return None
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(11 * SCALE)
    parts = [(_texts(label, value), _sheet(value)) for label, value in shown]
    probe = ImageDraw.Draw(Image.new("RGBA", (1, 1)))
    widths = [max(sheet.width, *(int(probe.textlength(text, font)) for text in texts)) for texts, sheet in parts]
    gap, line = 16 * SCALE, 15 * SCALE
    places, left, top, right, below = [], 0, 0, 0, 0
    for (_, sheet), wide in zip(parts, widths, strict=True):
        if left and left + wide > WIDEST * SCALE:
            left, top = 0, below + gap
        places.append((left, top))
        right, below = max(right, left + wide), max(below, top + 2 * line + sheet.height)
        left += wide + gap
    canvas = Image.new("RGBA", (right, below), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    for (texts, sheet), (left, top) in zip(parts, places, strict=True):
        for row, text in enumerate(texts):
            draw.text((left, top + row * line), text, GREY, font)
        canvas.paste(sheet, (left, top + 2 * line))
    return png(canvas)


def png(canvas: Image.Image) -> Picture:
    """A canvas of `SCALE` pixels a point as a picture."""
    file = io.BytesIO()
    canvas.save(file, "PNG")
    return Picture(file.getvalue(), -(-canvas.width // SCALE), -(-canvas.height // SCALE))


def ascii_only(text: str) -> str:
    """A text in the letters that the font of pictures has: µ as u, others as a question mark.

    >>> ascii_only("12 µs"), ascii_only("größe")
    ('12 us', 'gr??e')
    """
    return text.replace("µ", "u").replace("…", "..").encode("ascii", "replace").decode()


def _texts(label: str, value: Any) -> tuple[str, str]:
    """Name and spec, and what the colours mean."""
    head = ascii_only(f"{shorten(label, 30)}  {kind_of(value)}")
    finite = value[np.isfinite(value)]
    if value.dtype.kind == "b":
        return head, "dark False, bright True"
    if not finite.size:
        return head, "nothing finite"
    low, high = finite.min(), finite.max()
    if is_image(value):
        return head, f"{format_number(low)} to {format_number(high)}"
    if low < 0 < high:
        most = max(-float(low), float(high))
        return head, f"blue {format_number(-most)}, white 0, brown {format_number(most)}"
    return head, f"dark {format_number(low)}, bright {format_number(high)}"


def is_image(value: Any) -> bool:
    """Whether the last axis is red, green, blue: three channels of bytes, or of numbers from 0 to 1."""
    if value.ndim not in (3, 4) or value.shape[-1] != 3:
        return False
    return value.dtype == np.uint8 or (value.dtype.kind == "f" and bool(np.all((value >= 0) & (value <= 1))))


def _tiles(value: Any) -> Any:
    """A value as a stack of matrices or of images: (tiles, rows, columns) or (tiles, rows, columns, 3)."""
    if value.ndim == 2:
        return value[None]
    if is_image(value):
        return value[None] if value.ndim == 3 else value[:TILES]
    if value.ndim == 3:
        return value[..., 0][None] if value.shape[-1] == 1 else value[:TILES]
    if value.ndim == 4:  # images with channels last: the channels of the first, or the one channel of many
        return value[:TILES, ..., 0] if value.shape[-1] == 1 else np.moveaxis(value[0], -1, 0)[:TILES]
    return value.reshape(-1, *value.shape[-2:])[:TILES]


def _sheet(value: Any) -> Image.Image:
    from PIL import Image

    tiles = [_image(tile, value) for tile in _tiles(value)]
    gap = 3 * SCALE
    columns = min(len(tiles), 4)
    wide, high = tiles[0].size
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGBA", (columns * (wide + gap) - gap, rows * (high + gap) - gap), (0, 0, 0, 0))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * (wide + gap), index // columns * (high + gap)))
    return sheet


def _image(tile: Any, whole: Any) -> Image.Image:
    """One tile; of an axis with more than `SIDE` elements equally spaced ones are shown. Colours follow ``whole``."""
    from PIL import Image

    for axis in (0, 1):
        if tile.shape[axis] > SIDE:
            tile = tile.take(np.linspace(0, tile.shape[axis] - 1, SIDE).astype(int), axis)
    if tile.ndim == 3:
        pixels = tile if tile.dtype == np.uint8 else (tile * 255).astype(np.uint8)
    else:
        pixels = _colours(tile, whole)
    side = SIDE if whole.ndim == 2 else SIDE // 2
    factor = max(1, side * SCALE // max(tile.shape[:2]))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.resize((tile.shape[1] * factor, tile.shape[0] * factor), Image.Resampling.NEAREST)


def _colours(tile: Any, whole: Any) -> Any:
    """Colours by value: (rows, columns, 3) bytes. One scale for all tiles of a value."""
    tile, whole = tile.astype(np.float64), whole.astype(np.float64)
    finite = whole[np.isfinite(whole)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    good = np.isfinite(tile)
    with np.errstate(all="ignore"):
        if low < 0 < high:
            share = np.where(good, tile / max(-low, high), 0.0)[..., None]
            ends = np.where(share < 0, np.array(COLD, float), np.array(WARM, float))
            colours = np.array(MIDDLE, float) * (1 - np.abs(share)) + ends * np.abs(share)
        else:
            share = np.where(good, (tile - low) / ((high - low) or 1.0), 0.0)[..., None]
            colours = np.array(DARK, float) * (1 - share) + np.array(BRIGHT, float) * share
    colours[~good] = NOT_FINITE
    return np.clip(colours, 0, 255).astype(np.uint8)
