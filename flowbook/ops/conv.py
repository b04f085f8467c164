"""Convolution of images, (batch, height, width, channels), with filters, (height, width, channels, filters).

Each image patch becomes a row of a matrix ("im2col"), so that a convolution is one matrix product; the matrix is made
for a few images at a time, which keeps it in the cache. Source: Chellapilla, Puri and Simard, "High Performance
Convolutional Neural Networks for Document Processing", 2006.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowbook.errors import ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape, promote, unify_dim
from flowbook.ops.rules import reject_bool
from flowbook.ops.samples import draw
from flowbook.ops.windows import Grid, axes, slide

_CHUNK = 1 << 21  # numbers of the patch matrix at a time: 8 MB of float32


def _conv2d_spec(x, filters, *, strides=1, padding="same", dilations=1):
    if filters.rank != 4:
        raise ShapeError(
            f"filters have rank {filters.rank}", hint="filters are (height, width, input channels, output channels)"
        )
    rows, columns = slide(x, axes(filters.dims[:2], strides, padding, dilations))
    try:
        unify_dim(x.dims[3], filters.dims[2])
    except ShapeError:
        raise ShapeError(
            f"x {format_shape(x.shape)} has {x.dims[3]} channels, filters {format_shape(filters.shape)} take "
            f"{filters.dims[2]}",
            hint="filters are (height, width, input channels, output channels)",
        ) from None
    spec = TensorSpec((x.dims[0], rows, columns, filters.dims[3]), promote(x, filters))
    reject_bool(spec)
    return spec


def _flops(image, filters):
    """Two operations for each number of the result (``image``) and each weight of a filter."""
    return 2.0 * (image.size or 0) * (filters.size or 0) / max(filters.shape[3], 1)


_CASES: tuple[Any, ...] = (
    ((2, 5, 6, 3), (3, 3, 3, 4), {}),
    ((2, 5, 6, 3), (3, 2, 3, 4), {"padding": "valid"}),
    ((2, 7, 6, 2), (3, 3, 2, 3), {"strides": 2}),
    ((1, 8, 7, 2), (2, 3, 2, 3), {"strides": (2, 3), "padding": "VALID"}),
    ((1, 7, 7, 1), (3, 3, 1, 2), {"dilations": 2}),
    ((1, 9, 8, 2), (3, 2, 2, 2), {"strides": 2, "dilations": (2, 3), "padding": "same"}),
    ((2, 4, 4, 3), (1, 1, 3, 2), {}),
    ((2, 5, 5, 3), (1, 1, 3, 2), {"strides": 2, "padding": "valid"}),
    ((1, 2, 2, 1), (5, 5, 1, 1), {}),
    ((0, 5, 5, 1), (3, 3, 1, 2), {}),
)


def _samples(*roles):
    """Operands by role: x, w (filters), y (like the result)."""

    def make():
        for x, w, attrs in _CASES:
            specs = [TensorSpec(shape, promote(1.0)) for shape in (x, w)]
            shapes = {"x": x, "w": w, "y": _conv2d_spec(*specs, **attrs).shape}
            yield Sample(tuple(draw(shapes[role], seed=seed).array() for seed, role in enumerate(roles)), attrs)

    return make


def _walk(x, filters, attrs):
    """The definition, for oracles: each (output element, its filter, a view of the patch it sees), and the grid."""
    attrs = {"strides": 1, "padding": "same", **attrs}
    grid = Grid(x.shape, axes(filters.shape[:2], **attrs))
    padded = np.array(grid.pad(np, x, 0))
    windows = grid.windows(np, padded)
    places = np.ndindex(x.shape[0], grid.rows, grid.columns, filters.shape[3])
    return grid, padded, [(place, filters[..., place[3]], windows[place[:3]]) for place in places]


def _oracle(x, filters, **attrs):
    grid, _, walk = _walk(x, filters, attrs)
    result = np.zeros((x.shape[0], grid.rows, grid.columns, filters.shape[3]))
    for place, weights, patch in walk:
        result[place] = (patch * weights).sum()
    return result


def _oracle_grad_input(dy, filters, like, **attrs):
    grid, total, walk = _walk(np.zeros_like(like), filters, attrs)
    for place, weights, patch in walk:
        patch += dy[place] * weights
    return grid.crop(np, total)


def _oracle_grad_filters(x, dy, like, **attrs):
    _, _, walk = _walk(x, total := np.zeros_like(like), attrs)
    for place, weights, patch in walk:
        weights += dy[place] * patch
    return total


@op(
    spec=_conv2d_spec,
    cost=lambda inputs, outputs, attrs: _flops(outputs[0], inputs[1]),
    samples=_samples("x", "w"),
    analytic=True,
    ulp=256,
    oracle=_oracle,
)
def conv2d(xp, x, filters, *, strides=1, padding="same", dilations=1):
    """Convolution (cross-correlation) of images with filters.

    ``x``: (batch, height, width, channels). ``filters``: (height, width, channels, output channels). ``strides`` and
    ``dilations``: an int, or (height, width). ``padding="same"``: ceil(size / stride) results along each axis, the
    image padded with zeros, the odd one after (TensorFlow's rule); ``"valid"``: no padding.

    >>> import flowbook as fb
    >>> image, edge = fb.constant([[[[1.0], [2.0], [4.0]]]]), fb.constant([[[[-1.0]], [[1.0]]]])
    >>> fb.Session().run(fb.conv2d(image, edge, padding="valid")).ravel()
    array([1., 2.], dtype=float32)
    """
    grid = Grid(x.shape, axes(filters.shape[:2], strides, padding, dilations))
    weights = filters.reshape(math.prod(filters.shape[:3]), filters.shape[3])
    result = xp.empty((x.shape[0], grid.rows, grid.columns, filters.shape[3]), xp.result_type(x, filters))
    for part, patches in _patches(xp, x, grid):
        xp.matmul(patches, weights, out=result[part].reshape(patches.shape[0], weights.shape[1]))
    return result


def _patches(xp, x, grid):
    """Parts of the batch, each with the matrix of its image patches, one in a row."""
    windows = grid.windows(xp, grid.pad(xp, x, 0))
    for part in grid.chunks(_CHUNK):
        patches = windows[part]
        yield part, patches.reshape(math.prod(patches.shape[:3]), math.prod(patches.shape[3:]))


@conv2d.gradient
def _(node, dy):
    x, filters = node.inputs
    return (
        lambda: conv2d_grad_input(dy, filters, x, **node.attrs),
        lambda: conv2d_grad_filters(x, dy, filters, **node.attrs),
    )


@op(
    spec=lambda dy, filters, like, **attrs: TensorSpec(like.shape, promote(dy, filters)),
    cost=lambda inputs, outputs, attrs: _flops(*inputs[:2]),
    samples=_samples("y", "w", "x"),
    analytic=True,
    ulp=256,
    hidden=True,
    oracle=_oracle_grad_input,
)
def conv2d_grad_input(xp, dy, filters, like, *, strides=1, padding="same", dilations=1):
    """What `conv2d` passes back to its images: each element of ``dy`` spreads its filter over the patch it came from.
    The images, ``like``, give the shape only."""
    grid = Grid(like.shape, axes(filters.shape[:2], strides, padding, dilations))
    total = xp.zeros(grid.padded, xp.result_type(dy, filters))
    taps = grid.taps()
    weights = [each.T for each in filters.reshape(len(taps), *filters.shape[2:])]
    for part in grid.chunks(_CHUNK):
        images, rows = total[part], dy[part].reshape(math.prod(dy[part].shape[:3]), dy.shape[3])
        shape = (images.shape[0], grid.rows, grid.columns, like.shape[3])
        for tap, weight in zip(taps, weights, strict=True):  # by taps: the products stay small
            images[tap] += (rows @ weight).reshape(shape)
    return grid.crop(xp, total)


@conv2d_grad_input.gradient
def _(node, g):
    dy, filters, _ = node.inputs
    return (
        lambda: conv2d(g, filters, **node.attrs),
        lambda: conv2d_grad_filters(g, dy, filters, **node.attrs),
        None,
    )


@op(
    spec=lambda x, dy, like, **attrs: TensorSpec(like.shape, promote(x, dy)),
    cost=lambda inputs, outputs, attrs: _flops(inputs[1], outputs[0]),
    samples=_samples("x", "y", "w"),
    analytic=True,
    ulp=256,
    hidden=True,
    oracle=_oracle_grad_filters,
)
def conv2d_grad_filters(xp, x, dy, like, *, strides=1, padding="same", dilations=1):
    """What `conv2d` passes back to its filters: the patches, weighted by ``dy`` and summed. The filters, ``like``,
    give the shape only."""
    grid = Grid(x.shape, axes(like.shape[:2], strides, padding, dilations))
    total = xp.zeros((math.prod(like.shape[:3]), like.shape[3]), xp.result_type(x, dy))
    for part, patches in _patches(xp, x, grid):
        total += patches.T @ dy[part].reshape(patches.shape[0], like.shape[3])
    return total.reshape(like.shape)


@conv2d_grad_filters.gradient
def _(node, g):
    x, dy, _ = node.inputs
    return (
        lambda: conv2d_grad_input(dy, g, x, **node.attrs),
        lambda: conv2d(x, g, **node.attrs),
        None,
    )
