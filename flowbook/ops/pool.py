"""Pooling of images, (batch, height, width, channels), over windows of height and width."""

from __future__ import annotations

import numpy as np

from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec
from flowbook.ops.rules import reject_bool, require_kind
from flowbook.ops.samples import draw
from flowbook.ops.windows import Grid, axes, cells, pair, slide


def _axes(window, strides, padding):
    return axes(pair(window, "window"), window if strides is None else strides, padding)


def _pool_spec(x, *, window, strides, padding):
    rows, columns = slide(x, _axes(window, strides, padding))
    reject_bool(x)
    return TensorSpec((x.dims[0], rows, columns, x.dims[3]), x.dtype)


def _float_pool_spec(x, **attrs):
    require_kind(x, "f", "the input of avg_pool")
    return _pool_spec(x, **attrs)


def _window_flops(inputs, outputs, attrs):
    """One operation for each place of each window."""
    height, width = pair(attrs["window"], "window")
    return float(min(inputs[0].size, outputs[0].size) * height * width)


def _winner_flops(inputs, outputs, attrs):
    """Finding the largest, comparing, counting, and sharing: five at each place."""
    return 5 * _window_flops(inputs, outputs, attrs)


_CASES = (
    ((2, 4, 6, 3), {"window": 2}),
    ((2, 5, 7, 1), {"window": (2, 3), "padding": "same"}),
    ((1, 5, 5, 2), {"window": 3, "strides": 2, "padding": "same"}),
    ((1, 7, 6, 2), {"window": 3, "strides": (1, 2), "padding": "VALID"}),
    ((2, 4, 4, 1), {"window": 1, "strides": 3}),
    ((0, 4, 4, 1), {"window": 2}),
)


def _samples(*roles, ties=False):
    """Operands by role: x, or y (like the result)."""

    def make():
        for shape, attrs in _CASES:
            attrs = {"strides": None, "padding": "valid", **attrs}
            shapes = {"x": shape, "y": _pool_spec(TensorSpec(shape, np.dtype("float64")), **attrs).shape}
            yield Sample(tuple(draw(shapes[role], seed=seed).array() for seed, role in enumerate(roles)), attrs)
        if ties:
            attrs = {"window": 2, "strides": 1, "padding": "same"}
            operands = tuple(
                draw((1, 3, 4, 2), 0, 1, "int64", seed).array().astype("float64") for seed in range(len(roles))
            )
            yield Sample(operands, attrs, "ties")

    return make


def _patches(x, fill, window, strides=None, padding="valid"):
    """For oracles: a view of all windows, their elements in the last axis."""
    grid = Grid(x.shape, _axes(window, strides, padding))
    windows = grid.windows(np, np.array(grid.pad(np, x, fill))).transpose(0, 1, 2, 5, 3, 4)
    return windows.reshape(*windows.shape[:4], windows.shape[4] * windows.shape[5])


# ------------------------------------------------------------------------------------------------ maximum


@op(
    spec=_pool_spec,
    cost=_window_flops,
    samples=_samples("x", ties=True),
    oracle=lambda x, **attrs: _patches(x, -np.inf, **attrs).max(-1),
)
def max_pool(xp, x, *, window=2, strides=None, padding="valid"):
    """The largest number in each window; nan wins. Ties share the gradient equally.

    ``x``: (batch, height, width, channels). ``window`` and ``strides``: an int, or (height, width); ``strides=None``
    means side by side. ``padding`` is that of `conv2d`; what is added never wins.

    >>> import flowbook as fb
    >>> x = fb.constant([[[[1.0], [5.0]], [[3.0], [2.0]]]])
    >>> fb.Session().run(fb.max_pool(x, window=2)).ravel()
    array([5.], dtype=float32)
    """
    grid = Grid(x.shape, _axes(window, strides, padding))
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return _largest(xp, grid.pad(xp, x, lowest), grid.taps())


def _largest(xp, padded, taps):
    result = padded[taps[0]].copy()
    for tap in taps[1:]:
        xp.maximum(result, padded[tap], out=result)
    return result


def _winners(xp, x, window, strides, padding):
    """The grid, its taps, for each tap which windows have their maximum there, and in how many taps they have it."""
    grid = Grid(x.shape, _axes(window, strides, padding))
    taps = grid.taps()
    padded = grid.pad(xp, x, np.nan)  # which equals no maximum, not even -inf
    largest = _largest(xp, grid.pad(xp, x, -np.inf), taps)
    masks = [padded[tap] == largest for tap in taps]
    count = masks[0].astype("uint8" if len(taps) < 256 else "int32")
    for mask in masks[1:]:
        count += mask.view("uint8")
    return grid, taps, masks, count


@max_pool.gradient
def _(node, dy):
    x = node.inputs[0]
    return lambda: max_pool_grad(dy, x, **node.attrs)


def _oracle_max_pool_grad(dy, x, **attrs):
    flat = np.arange(1, x.size + 1).reshape(x.shape)
    places, values = _patches(flat, 0, **attrs), _patches(x, -np.inf, **attrs)
    winners = (values == values.max(-1, keepdims=True)) & (places > 0)
    share = dy[..., None] * winners / winners.sum(-1, keepdims=True)
    return np.bincount(places.ravel(), share.ravel(), x.size + 1)[1:].reshape(x.shape)


@op(
    spec=lambda dy, x, **attrs: TensorSpec(x.shape, dy.dtype),
    cost=_winner_flops,
    samples=_samples("y", "x", ties=True),
    ulp=8,
    hidden=True,
    oracle=_oracle_max_pool_grad,
)
def max_pool_grad(xp, dy, x, *, window, strides, padding):
    """What `max_pool` passes back: ``dy`` at the maximum of each window, split where several are equal."""
    grid, taps, masks, count = _winners(xp, x, window, strides, padding)
    share = dy / count.astype(dy.dtype)
    total = xp.zeros(grid.padded, dy.dtype)
    for tap, mask in zip(taps, masks, strict=True):
        if grid.overlapping:
            total[tap] += share * mask
        else:
            xp.multiply(share, mask, out=total[tap])
    return grid.crop(xp, total)


def _oracle_max_pool_take(g, x, **attrs):
    values = _patches(x, -np.inf, **attrs)
    winners = values == values.max(-1, keepdims=True)
    return (_patches(g, 0, **attrs) * winners).sum(-1) / winners.sum(-1)


@max_pool_grad.gradient
def _(node, g):
    x = node.inputs[1]
    return lambda: max_pool_take(g, x, **node.attrs), None


@op(
    spec=lambda g, x, *, window, strides, padding: TensorSpec(
        _pool_spec(x, window=window, strides=strides, padding=padding).shape, g.dtype
    ),
    cost=_winner_flops,
    samples=_samples("x", "x", ties=True),
    ulp=8,
    hidden=True,
    oracle=_oracle_max_pool_take,
)
def max_pool_take(xp, g, x, *, window, strides, padding):
    """``g`` at the place where each window of x has its maximum; the mean where several are equal."""
    grid, taps, masks, count = _winners(xp, x, window, strides, padding)
    padded = grid.pad(xp, g, 0)
    total = xp.zeros(count.shape, g.dtype)
    for tap, mask in zip(taps, masks, strict=True):
        total += padded[tap] * mask
    total /= count.astype(g.dtype)
    return total


@max_pool_take.gradient
def _(node, dy):
    x = node.inputs[1]
    return lambda: max_pool_grad(dy, x, **node.attrs), None


# ------------------------------------------------------------------------------------------------ mean


def _oracle_avg_pool(x, **attrs):
    return _patches(x, 0, **attrs).sum(-1) / _patches(np.ones(x.shape), 0, **attrs).sum(-1)


@op(spec=_float_pool_spec, cost=_window_flops, samples=_samples("x"), analytic=True, ulp=8, oracle=_oracle_avg_pool)
def avg_pool(xp, x, *, window=2, strides=None, padding="valid"):
    """The mean of each window; padding does not count. Arguments as in `max_pool`.

    >>> import flowbook as fb
    >>> x = fb.constant([[[[1.0], [5.0]], [[3.0], [3.0]]]])
    >>> fb.Session().run(fb.avg_pool(x, window=2)).ravel()
    array([3.], dtype=float32)
    """
    grid = Grid(x.shape, _axes(window, strides, padding))
    padded = grid.pad(xp, x, 0)
    taps = grid.taps()
    total = padded[taps[0]].copy()
    for tap in taps[1:]:
        total += padded[tap]
    total /= _cells(xp, grid, x)
    return total


def _cells(xp, grid, x):
    """How many elements each window has, padding not counted: (rows, columns, 1)."""
    rows, columns = cells(grid.along[0], grid.height), cells(grid.along[1], grid.width)
    return xp.asarray(np.multiply.outer(rows, columns)[..., None].astype(x.real.dtype))


@avg_pool.gradient
def _(node, dy):
    x = node.inputs[0]
    return lambda: avg_pool_grad(dy, x, **node.attrs)


def _oracle_avg_pool_grad(dy, like, **attrs):
    places = _patches(np.arange(1, like.size + 1).reshape(like.shape), 0, **attrs)
    share = np.where(places > 0, dy[..., None] / (places > 0).sum(-1, keepdims=True), 0)
    return np.bincount(places.ravel(), share.ravel(), like.size + 1)[1:].reshape(like.shape)


@op(
    spec=lambda dy, like, **attrs: TensorSpec(like.shape, dy.dtype),
    cost=_window_flops,
    samples=_samples("y", "x"),
    analytic=True,
    ulp=8,
    hidden=True,
    oracle=_oracle_avg_pool_grad,
)
def avg_pool_grad(xp, dy, like, *, window, strides, padding):
    """What `avg_pool` passes back: ``dy`` spread evenly over each window. The images, ``like``, give the shape only."""
    grid = Grid(like.shape, _axes(window, strides, padding))
    share = dy / _cells(xp, grid, dy)
    total = xp.zeros(grid.padded, dy.dtype)
    for tap in grid.taps():
        total[tap] += share
    return grid.crop(xp, total)


@avg_pool_grad.gradient
def _(node, g):
    return lambda: avg_pool(g, **node.attrs), None
