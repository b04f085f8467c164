"""Cross entropies: the losses of classification. All take labels, then logits."""

from __future__ import annotations

import numpy as np

from flowbook.errors import DTypeError, RunError, ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape, promote, unify_shape
from flowbook.ops import layout, reduction
from flowbook.ops.elementwise import negative, sigmoid
from flowbook.ops.nn import log_softmax, log_softmax_oracle, shifted, softmax, special
from flowbook.ops.rules import broadcast_float, per_element, per_input_element, require_kind, shape_of
from flowbook.ops.samples import both, calls, draw, float_pairs
from flowbook.ops.state import ones_like


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
    yield Sample(
        (draw((4, 3), 0.0, 1.0, seed=1).array(), draw((4, 3), -3, 3).array()), {}, "labels that do not sum to 1"
    )


def _dense_oracle(labels, logits):
    return -(labels * log_softmax_oracle(logits)).sum(-1)


@op(spec=_same_classes, cost=per_input_element(18), samples=_distributions, ulp=64, oracle=_dense_oracle)
def softmax_cross_entropy(xp, labels, logits):
    r"""Cross entropy of the softmax of ``logits`` against the probabilities ``labels`` along the last axis,
    :math:`-\sum_k t_k \log \mathrm{softmax}(x)_k`. Both have the same shape; the result lacks the last axis.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.softmax_cross_entropy([[0.5, 0.5]], fb.constant([[3.0, 3.0]])))
    array([0.6931472], dtype=float32)
    """
    y = shifted(xp, logits, -1)
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
    if logits.shape is None:  # labels say the shape, as far as anybody knows it
        return TensorSpec(shape_of(labels), logits.dtype)
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
    return -np.take_along_axis(log_softmax_oracle(logits), np.asarray(labels, int)[..., None], -1)[..., 0]


def _checked_labels(xp, labels, classes):
    """Labels as one row, or ``RunError`` naming the first that is no class."""
    labels = xp.asarray(labels)
    flat = labels.reshape(-1)
    if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= classes):
        at = int(xp.flatnonzero((flat < 0) | (flat >= classes))[0])
        place = [int(each) for each in np.unravel_index(at, labels.shape)]
        raise RunError(
            f"label {int(flat[at])} at {place} is not a class: logits have {classes} classes",
            hint=f"labels run from 0 to {classes - 1}",
        )
    return flat


@op(
    spec=_class_numbers,
    cost=lambda i, o, a: 18.0 * (i[1].size or 0),
    samples=_class_samples,
    ulp=64,
    oracle=_sparse_oracle,
)
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
    y = shifted(xp, logits.reshape(index.size, classes), -1)
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
    oracle=lambda dy, labels, logits: (special().softmax(logits, -1) - _one_hot(labels, logits)) * dy[..., None],
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
    scalar="log1p(exp(-fabs(y))) + (max(y, 0) - x * y)",
    cost=per_element(28),
    samples=both(
        float_pairs(),
        calls(Sample((draw((4,), 0, 1), draw((4,), -900, 900)), {}, "large"), (draw((4,), dtype="bool"), (3, 4))),
    ),
    broadcasts=True,
    ulp=64,
    oracle=lambda labels, logits: (
        np.logaddexp(0.0, -np.abs(logits)) + (np.maximum(logits, 0) - np.multiply(labels, logits))
    ),
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
    # In this order nothing is lost where the prediction is confident and right.
    return xp.log1p(xp.exp(-xp.abs(logits))) + (xp.maximum(logits, 0) - labels * logits)


@sigmoid_cross_entropy.gradient
def _(node, dy):
    labels, logits = node.inputs
    return lambda: -dy * logits, lambda: dy * (sigmoid(logits) - labels)
