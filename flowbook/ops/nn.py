"""Functions of neural networks: softmax, cross entropies, layer normalisation, dropout."""

from __future__ import annotations

import math

import numpy as np

from flowbook.errors import ArgumentError, DTypeError, RunError, ShapeError
from flowbook.graph import context
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import Sample, as_tensor, op
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
from flowbook.ops import layout, reduction
from flowbook.ops.elementwise import exp, logical_not, logical_or, negative, sigmoid, where
from flowbook.ops.random import random_bernoulli
from flowbook.ops.rules import broadcast_float, cast_float, per_element, per_input_element, require_kind, shape_of
from flowbook.ops.samples import both, calls, draw, float_pairs, floats
from flowbook.ops.state import identity, ones_like

# ------------------------------------------------------------------------------------------------ softmax


def _along_axis(x, *, axis):
    normalize_axis(axis, x.rank)
    return TensorSpec(x.shape, float_dtype(x.dtype))


def _special():
    import scipy.special

    return scipy.special


def _softmax_samples():
    return both(
        floats((3, 4), (5,), (2, 3, 4), (0, 5), (4, 1)),
        floats((3, 4), (2, 3, 4), axis=0),
        floats((2, 3, 4), axis=1),
        calls(Sample((draw((3, 4), -900, 900),), {"axis": -1}, "large")),
    )


def _shifted(xp, x, axis):
    """A fresh array: x minus its maximum along the axis, so that exp cannot overflow."""
    return x - x.max(axis=axis, keepdims=True) if x.shape[axis] else x.copy()


@op(
    spec=_along_axis,
    cost=per_element(16),
    samples=_softmax_samples(),
    ulp=8,
    analytic=True,
    oracle=lambda x, *, axis=-1: _special().softmax(x, axis),
)
def softmax(xp, x, *, axis=-1):
    r"""Exponentials along ``axis`` that sum to one, :math:`e^{x_i} / \sum_j e^{x_j}`; large x cannot overflow.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.softmax(fb.constant([1000.0, 1000.0])))
    array([0.5, 0.5], dtype=float32)
    """
    y = _shifted(xp, cast_float(xp, x), axis)
    xp.exp(y, out=y)
    y /= y.sum(axis=axis, keepdims=True)
    return y


@softmax.gradient
def _(node, dy):
    (y,) = node.outputs
    return y * (dy - reduction.sum(dy * y, axis=node.attrs["axis"], keepdims=True))


@op(
    spec=_along_axis,
    cost=per_element(16),
    samples=_softmax_samples(),
    ulp=8,
    analytic=True,
    oracle=lambda x, *, axis=-1: _special().log_softmax(x, axis),
)
def log_softmax(xp, x, *, axis=-1):
    r"""Logarithm of `softmax`, :math:`x_i - \log \sum_j e^{x_j}`, without the loss of digits of ``log(softmax(x))``."""
    y = _shifted(xp, cast_float(xp, x), axis)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


@log_softmax.gradient
def _(node, dy):
    (y,) = node.outputs
    return dy - exp(y) * reduction.sum(dy, axis=node.attrs["axis"], keepdims=True)


# ------------------------------------------------------------------------------------------------ cross entropy


def _same_classes(labels, logits):
    for operand, what in ((labels, "labels"), (logits, "logits")):
        if promote(operand).kind != "f":
            raise DTypeError(
                f"{what} of softmax_cross_entropy are {promote(operand).name}, they have to be floating-point",
                hint="sparse_softmax_cross_entropy takes class numbers",
            )
    try:
        dims = TensorSpec(unify_shape(shape_of(labels), shape_of(logits)), logits.dtype).dims
    except ShapeError:
        raise ShapeError(
            f"labels {format_shape(shape_of(labels))} and logits {format_shape(shape_of(logits))} have to be alike",
            hint="sparse_softmax_cross_entropy takes class numbers",
        ) from None
    if not dims:
        raise ShapeError("softmax_cross_entropy needs at least one axis, the classes")
    return TensorSpec(dims[:-1], promote(labels, logits))


def _distributions():
    for shape in ((4, 3), (3,), (2, 3, 4), (0, 5)):
        weights = draw(shape, 0.1, 1.0, seed=1).array()
        yield Sample((weights / weights.sum(-1, keepdims=True), draw(shape, -3, 3).array()))
    yield Sample((draw((4, 3), 0.0, 1.0, seed=1).array(), draw((4, 3), -3, 3).array()), {}, "labels that do not sum to 1")


def _dense_oracle(labels, logits):
    return -(labels * _special().log_softmax(logits, -1)).sum(-1)


@op(spec=_same_classes, cost=per_input_element(18), samples=_distributions, ulp=64, oracle=_dense_oracle)
def softmax_cross_entropy(xp, labels, logits):
    r"""Cross entropy of the softmax of ``logits`` against the probabilities ``labels`` along the last axis,
    :math:`-\sum_k t_k \log \mathrm{softmax}(x)_k`. Both have the same shape; the result lacks the last axis.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.softmax_cross_entropy([[0.5, 0.5]], fb.constant([[3.0, 3.0]])))
    array([0.6931472], dtype=float32)
    """
    y = _shifted(xp, logits, -1)
    total = xp.log(xp.exp(y).sum(axis=-1, keepdims=True))
    y = total - y
    return (y * labels).sum(axis=-1)


@softmax_cross_entropy.gradient
def _(node, dy):
    labels, logits = node.inputs

    def dlabels():
        return layout.expand_dims(dy, axis=-1) * negative(log_softmax(logits))

    def dlogits():  # the sum is 1 when labels are probabilities; with it the rule holds for any labels
        weights = reduction.sum(labels, axis=-1, keepdims=True)
        return layout.expand_dims(dy, axis=-1) * (softmax(logits) * weights - labels)

    return dlabels, dlogits


def _class_numbers(labels, logits):
    if promote(labels).kind not in "iu":
        raise DTypeError(
            f"labels of sparse_softmax_cross_entropy are {promote(labels).name}, they have to be integers",
            hint="softmax_cross_entropy takes probabilities",
        )
    require_kind(logits, "f", "logits of sparse_softmax_cross_entropy")
    if not logits.rank:
        raise ShapeError("sparse_softmax_cross_entropy needs at least one axis of logits, the classes")
    try:
        return TensorSpec(unify_shape(shape_of(labels), logits.dims[:-1]), logits.dtype)
    except ShapeError:
        raise ShapeError(
            f"labels {format_shape(shape_of(labels))} do not fit logits {format_shape(logits.shape)}",
            hint="labels have the shape of logits without its last axis",
        ) from None


def _class_samples():
    for shape in ((4, 3), (5,), (2, 3, 4), (0, 5), (3, 1)):
        yield Sample((draw(shape[:-1], 0, shape[-1] - 1, "int64").array(), draw(shape, -3, 3, seed=1).array()))
    yield Sample((draw((6,), 0, 9, "uint8").array(), draw((6, 10), -900, 900).array()), {}, "large")


def _one_hot(labels, logits):
    return np.eye(logits.shape[-1])[np.asarray(labels, int)]


def _sparse_oracle(labels, logits):
    return -(_one_hot(labels, logits) * _special().log_softmax(logits, -1)).sum(-1)


def _checked_labels(xp, labels, classes):
    """Labels as one row, or ``RunError`` naming the first that is no class."""
    labels = xp.asarray(labels)
    flat = labels.reshape(-1)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= classes):
        at = int(xp.flatnonzero((flat < 0) | (flat >= classes))[0])
        place, rest = [], at
        for size in reversed(labels.shape):
            rest, index = divmod(rest, size)
            place.insert(0, index)
        raise RunError(
            f"label {int(flat[at])} at {place} is not a class: logits have {classes} classes",
            hint=f"labels run from 0 to {classes - 1}",
        )
    return flat


@op(spec=_class_numbers, cost=lambda i, o, a: 18.0 * (i[1].size or 0), samples=_class_samples, ulp=64, oracle=_sparse_oracle)
def sparse_softmax_cross_entropy(xp, labels, logits):
    r"""Cross entropy of the softmax of ``logits`` against class numbers, :math:`-\log \mathrm{softmax}(x)_t`.

    ``labels``: integers from 0 to classes - 1, in the shape of ``logits`` without its last axis; so is the result.
    A label outside raises ``RunError`` when it runs.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.sparse_softmax_cross_entropy([1, 0], fb.constant([[0.0, 0.0], [0.0, 100.0]])))
    array([  0.6931472, 100.       ], dtype=float32)
    """
    classes = logits.shape[-1]
    index = _checked_labels(xp, labels, classes)
    y = _shifted(xp, logits.reshape(index.size, classes), -1)
    picked = y[xp.arange(index.size), index]
    xp.exp(y, out=y)
    loss = xp.log(y.sum(axis=-1))
    loss -= picked
    return loss.reshape(logits.shape[:-1])


@sparse_softmax_cross_entropy.gradient
def _(node, dy):
    labels, logits = node.inputs
    return None, lambda: sparse_softmax_cross_entropy_grad(dy, labels, logits)


@op(
    spec=lambda dy, labels, logits: logits,
    cost=lambda i, o, a: 18.0 * (o[0].size or 0),
    samples=lambda: [
        Sample((draw(logits.shape[:-1], seed=2).array(), labels, logits), {}, note)
        for (labels, logits), _, note in _class_samples()
        if note != "large"
    ],
    ulp=64,
    hidden=True,
    oracle=lambda dy, labels, logits: (
        (_special().softmax(logits, -1) - _one_hot(labels, logits)) * dy[..., None]
    ),
)
def sparse_softmax_cross_entropy_grad(xp, dy, labels, logits):
    """``dy * (softmax(logits) - one_hot(labels))`` in one pass: what the cross entropy passes back to its logits."""
    classes = logits.shape[-1]
    index = _checked_labels(xp, labels, classes)
    y = softmax.opdef.kernel(xp, logits.reshape(index.size, classes))
    y[xp.arange(index.size), index] -= 1
    y *= dy.reshape(index.size, 1)
    return y.reshape(logits.shape)


@sparse_softmax_cross_entropy_grad.gradient
def _(node, g):
    dy, labels, logits = node.inputs

    def ddy():
        return reduction.sum(g * sparse_softmax_cross_entropy_grad(ones_like(dy), labels, logits), axis=-1)

    def dlogits():
        y, weighted = softmax(logits), g * layout.expand_dims(dy, axis=-1)
        return y * (weighted - reduction.sum(weighted * y, axis=-1, keepdims=True))

    return ddy, None, dlogits


@op(
    spec=broadcast_float,
    scalar="max(y, 0) - x * y + log1p(exp(-fabs(y)))",
    cost=per_element(28),
    samples=both(
        float_pairs(),
        calls(Sample((draw((4,), 0, 1), draw((4,), -900, 900)), {}, "large"), (draw((4,), dtype="bool"), (3, 4))),
    ),
    broadcasts=True,
    ulp=64,
    oracle=lambda labels, logits: np.logaddexp(0.0, logits) - np.multiply(labels, logits),
)
def sigmoid_cross_entropy(xp, labels, logits):
    r"""Cross entropy of the sigmoid of ``logits`` against probabilities ``labels``, element by element with
    broadcasting: :math:`-t\log\sigma(x) - (1-t)\log(1-\sigma(x))`, computed as
    :math:`\max(x, 0) - t x + \log(1 + e^{-|x|})`, which cannot overflow.

    Source of the stable form: TensorFlow's documentation of ``sigmoid_cross_entropy_with_logits``.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.sigmoid_cross_entropy(1.0, fb.constant([0.0, -100.0])))
    array([  0.6931472, 100.       ], dtype=float32)
    """
    kind = xp.result_type(labels, logits)
    labels, logits = (xp.asarray(each, dtype=kind if kind.kind == "f" else "float64") for each in (labels, logits))
    return xp.log1p(xp.exp(-xp.abs(logits))) + xp.maximum(logits, 0) - labels * logits


@sigmoid_cross_entropy.gradient
def _(node, dy):
    labels, logits = node.inputs
    return lambda: -dy * logits, lambda: dy * (sigmoid(logits) - labels)


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
def layer_norm(xp, x, scale, offset, *, axis=-1, epsilon=1e-5):
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
    samples=both(floats((3, 4), (2, 3, 5), (0, 5), axis=-1, epsilon=1e-5), floats((2, 3, 4), axis=(0, 1), epsilon=1e-2)),
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


def dropout(x, rate, *, training=True, seed=None, name=None):
    """x with a random share ``rate`` of its elements set to 0 and the others divided by ``1 - rate``.

    ``rate``: a number, 0 <= rate < 1. ``training``: a bool, or a bool tensor without axes; when false the result is
    x. ``seed``: see `fb.random`. Each run draws a new mask; the backward pass uses the forward's.
    Source: Srivastava et al., "Dropout", JMLR 15, 2014 (here in its inverted form, scaled while training).

    >>> import flowbook as fb
    >>> x = fb.constant([1.0, 2.0, 3.0])
    >>> fb.Session().run(fb.dropout(x, 0.5, training=False))
    array([1., 2., 3.], dtype=float32)
    """
    if isinstance(rate, (bool, Tensor)) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise ArgumentError(f"the rate of dropout is {rate!r}", hint="a number, 0 <= rate < 1")
    x = as_tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"dropout of {x.dtype.name}", hint="cast with fb.astype")
    if isinstance(training, Tensor):
        if training.dtype.kind != "b" or training.shape not in ((), None):
            raise ArgumentError(f"training is {training.spec}", hint="a bool, or a bool tensor without axes")
    elif not training:
        rate = 0.0
    if rate == 0:
        return identity(x, name=name)
    name = name or "dropout"
    graph = context.current().graph or x.graph
    with context.override(scope=graph.unique_scope(name)):
        keep = random_bernoulli(x, shape=None, p=1.0 - rate, seed=seed, name="keep")
        kept = x * (1.0 / (1.0 - rate))
        if isinstance(training, Tensor):
            keep = logical_or(keep, logical_not(training))
            kept = where(training, kept, x)
    return where(keep, kept, 0.0, name=name)
