"""Functions of neural networks: softmax, layer normalisation, dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, DTypeError, ShapeError
from flowbook.graph import context
from flowbook.graph.node import Tensor, as_plain
from flowbook.graph.opdef import Sample, as_tensor, located, op
from flowbook.graph.types import (
    TensorSpec,
    broadcast_shapes,
    float_dtype,
    format_shape,
    normalize_axes,
    normalize_axis,
    promote,
    unify_shape,
)
from flowbook.ops import reduction
from flowbook.ops.elementwise import exp, logical_not, logical_or, where
from flowbook.ops.random import random_bernoulli
from flowbook.ops.rules import cast_float, per_element, require_kind, shape_of
from flowbook.ops.samples import both, calls, draw, floats
from flowbook.ops.state import identity

# ------------------------------------------------------------------------------------------------ softmax


def _along_axis(x, *, axis):
    normalize_axis(axis, x.rank)
    return TensorSpec(x.shape, float_dtype(x.dtype))


def special():
    """SciPy's functions, which only oracles use."""
    import scipy.special

    return scipy.special


def _softmax_samples():
    return both(
        floats((3, 4), (5,), (2, 3, 4), (0, 5), (4, 1)),
        floats((3, 4), (2, 3, 4), axis=0),
        floats((2, 3, 4), axis=1),
        calls(Sample((draw((3, 4), -900, 900),), {"axis": -1}, "large")),
    )


def shifted(xp, x, axis):
    """A fresh array: x minus its maximum along the axis, so that exp cannot overflow."""
    return x - x.max(axis=axis, keepdims=True) if x.shape[axis] else x.copy()


@op(
    spec=_along_axis,
    cost=per_element(16),
    samples=_softmax_samples(),
    ulp=8,
    analytic=True,
    oracle=lambda x, *, axis=-1: special().softmax(x, axis),
)
def softmax(xp, x, *, axis=-1):
    r"""Exponentials along ``axis`` that sum to one, :math:`e^{x_i} / \sum_j e^{x_j}`; large x cannot overflow.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.softmax(fb.constant([1000.0, 1000.0])))
    array([0.5, 0.5], dtype=float32)
    """
    y = shifted(xp, cast_float(xp, x), axis)
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


@softmax.gradient
def _(node, dy):
    (y,) = node.outputs
    return y * (dy - reduction.sum(dy * y, axis=node.attrs["axis"], keepdims=True))


def log_softmax_oracle(x, *, axis=-1):
    return np.where(np.isnan(special().softmax(x, axis)), np.nan, special().log_softmax(x, axis))


@op(
    spec=_along_axis,
    cost=per_element(16),
    samples=_softmax_samples(),
    ulp=8,
    analytic=True,
    oracle=log_softmax_oracle,
)
def log_softmax(xp, x, *, axis=-1):
    r"""Logarithm of `softmax`, :math:`x_i - \log \sum_j e^{x_j}`, without the loss of digits of ``log(softmax(x))``."""
    y = shifted(xp, cast_float(xp, x), axis)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


@log_softmax.gradient
def _(node, dy):
    (y,) = node.outputs
    return dy - exp(y) * reduction.sum(dy, axis=node.attrs["axis"], keepdims=True)


# ------------------------------------------------------------------------------------------------ normalisation


def _layer_norm_spec(x, scale, offset, *, axis, epsilon):
    require_kind(x, "f", "the input of layer_norm")
    normalize_axes(axis, x.rank)
    both_fit = broadcast_shapes(x.shape, shape_of(scale), shape_of(offset))
    try:
        return TensorSpec(unify_shape(x.shape, both_fit), promote(x, scale, offset))
    except ShapeError:
        raise ShapeError(
            f"scale {format_shape(shape_of(scale))} and offset {format_shape(shape_of(offset))} do not broadcast "
            f"to x {format_shape(x.shape)}",
            hint="for axis=-1 both have the shape of the last axis",
        ) from None


def _standardize_spec(x, *, axis, epsilon):
    axes = normalize_axes(axis, x.rank)
    return x, TensorSpec(tuple(1 if i in axes else dim for i, dim in enumerate(x.dims)), x.dtype)


def _standardize(xp, x, axis, epsilon):
    """Fresh arrays: x with mean 0 and variance 1 along the axes, and the factor that scaled it."""
    axes = normalize_axes(axis, x.ndim)
    count = max(math.prod(x.shape[each] for each in axes), 1)
    y = x - x.sum(axis=axes, keepdims=True) / count
    factor = xp.multiply(y, y).sum(axis=axes, keepdims=True)
    factor /= count
    factor += epsilon
    factor = 1 / xp.sqrt(factor)
    y *= factor
    return y, factor


def _layer_norm_oracle(x, scale, offset, *, axis=-1, epsilon=1e-5):
    centred = x - x.mean(axis, keepdims=True)
    return centred / (x.var(axis, keepdims=True) + epsilon) ** 0.5 * scale + offset


@op(
    spec=_layer_norm_spec,
    cost=per_element(8),
    samples=calls(
        ((3, 4), (4,), (4,)),
        ((2, 3, 5), (5,), (5,)),
        ((0, 5), (5,), (5,)),
        ((2, 7), 1.0, 0.0),
        Sample(((3, 4), (3, 1), (3, 1)), {"axis": 0}),
        Sample(((2, 3, 4), (3, 4), (3, 4)), {"axis": (1, 2), "epsilon": 1e-2}),
    ),
    broadcasts=True,
    analytic=True,
    ulp=64,
    oracle=_layer_norm_oracle,
)
def layer_norm(xp, x, scale, offset, *, axis: int | tuple[int, ...] = -1, epsilon=1e-5):
    r"""x with mean 0 and variance 1 along ``axis`` (an int or a tuple), then scaled and shifted:
    :math:`\frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot \mathrm{scale} + \mathrm{offset}`.

    ``scale`` and ``offset`` broadcast to x; for the last axis both have its length.
    Source: Ba, Kiros and Hinton, "Layer Normalization", 2016 (arXiv:1607.06450).

    >>> import flowbook as fb
    >>> fb.Session().run(fb.layer_norm(fb.constant([[1.0, 3.0]]), 1.0, 10.0, epsilon=0.0))
    array([[ 9., 11.]], dtype=float32)
    """
    y, _ = _standardize(xp, x.astype(xp.result_type(x, scale, offset), copy=False), axis, epsilon)
    y *= scale
    y += offset
    return y


@layer_norm.gradient
def _(node, dy):
    x, scale, _ = node.inputs
    y, factor = standardize(x, **node.attrs)
    return lambda: _standardize_back(dy * scale, y, factor, node.attrs["axis"]), lambda: dy * y, dy


def _standardize_back(dy, y, factor, axis, extra=0.0):
    def mean(t):
        return reduction.mean(t, axis=axis, keepdims=True)

    return factor * (dy - mean(dy) - y * (mean(dy * y) + extra))


@op(
    spec=_standardize_spec,
    cost=per_element(6),
    samples=both(
        floats((3, 4), (2, 3, 5), (0, 5), axis=-1, epsilon=1e-5), floats((2, 3, 4), axis=(0, 1), epsilon=1e-2)
    ),
    analytic=True,
    ulp=64,
    hidden=True,
    oracle=lambda x, *, axis, epsilon: (
        (x - x.mean(axis, keepdims=True)) / (x.var(axis, keepdims=True) + epsilon) ** 0.5,
        (x.var(axis, keepdims=True) + epsilon) ** -0.5,
    ),
)
def standardize(xp, x, *, axis, epsilon):
    """x with mean 0 and variance 1 along the axes, and the factor 1/sqrt(variance + epsilon) that scaled it."""
    return _standardize(xp, x, axis, epsilon)


@standardize.gradient
def _(node, dy, dfactor):
    y, factor = node.outputs
    axis = node.attrs["axis"]
    return _standardize_back(dy, y, factor, axis, dfactor * factor * reduction.mean_weight(y, axis=axis))


# ------------------------------------------------------------------------------------------------ dropout


def check_training(training: Any) -> Any:
    """``training`` as a bool or a bool tensor without axes, or ``ArgumentError``."""
    training = as_plain(training)
    if isinstance(training, Tensor):
        if training.dtype.kind != "b" or training.shape not in ((), None):
            raise ArgumentError(f"training is {training.spec}", hint="a bool, or a bool tensor without axes")
    elif type(training) is not bool:
        raise ArgumentError(f"training is {training!r}", hint="a bool, or a bool tensor without axes")
    return training


@located("dropout")
def dropout(x: Any, rate: float, *, training: Any = True, seed: int | None = None, name: str | None = None) -> Tensor:
    """x with a random share ``rate`` of its elements set to 0 and the others divided by ``1 - rate``.

    ``rate``: a number, 0 <= rate < 1. ``training``: a bool, or a bool tensor without axes; when false the result is
    x. ``seed``: see `fb.random`. Each run draws a new mask; the backward pass uses the forward's.
    Source: Srivastava et al., "Dropout", JMLR 15, 2014 (here in its inverted form, scaled while training).

    >>> import flowbook as fb
    >>> x = fb.constant([1.0, 2.0, 3.0])
    >>> fb.Session().run(fb.dropout(x, 0.5, training=False))
    array([1., 2., 3.], dtype=float32)
    """
    rate, training = as_plain(rate), check_training(training)
    if type(rate) not in (int, float) or not 0 <= rate < 1:
        raise ArgumentError(f"the rate of dropout is {rate!r}", hint="a number, 0 <= rate < 1")
    x = as_tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"dropout of {x.dtype.name}", hint="cast with fb.astype")
    if rate == 0 or training is False:
        return identity(x, name=name)
    graph = context.current().graph or x.graph
    with context.override(scope=graph.unique_scope(name or "dropout")):
        keep = random_bernoulli(x, shape=None, p=1.0 - rate, seed=seed, name="keep")
        kept = x * (1.0 / (1.0 - rate))
        if isinstance(training, Tensor):
            keep = logical_or(keep, logical_not(training))
            kept = where(training, kept, x)
    result = where(keep, kept, 0.0, name=name or "dropout")
    if name is None:
        graph.leave_unnamed(result.node)
    return result
