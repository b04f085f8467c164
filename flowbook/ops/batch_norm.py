"""Batch normalisation: the op, its gradient, and what it is where it is known that nothing is trained.

The op gives back the statistics it used, for its gradient and for whoever keeps moving averages of them: the node that
`minimize` returns does (``train/averages.py``). In both kernels ``training`` is left out where every run trains.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, DTypeError, ShapeError
from flowbook.graph import context
from flowbook.graph.backprop import by_recomputation
from flowbook.graph.node import Tensor, as_plain
from flowbook.graph.opdef import REGISTRY, Sample, as_tensor, located, op
from flowbook.graph.types import TensorSpec, format_shape, unify_shape
from flowbook.ops import reduction
from flowbook.ops.elementwise import isfinite, logical_and, sqrt, where
from flowbook.ops.nn import check_training
from flowbook.ops.rules import per_element, require_kind, require_shape
from flowbook.ops.samples import draw

_PARAMETERS = ("moving_mean", "moving_variance", "scale", "offset")


def _channels(x, training, **parameters):
    """The shape of x and of a parameter, from operands that may not know all of it."""
    require_kind(x, "f", "the input of batch_norm")
    dims = x.dims
    if len(dims) < 2:
        raise ShapeError(f"batch_norm of shape {format_shape(x.shape)}", hint="x is (batch, ..., channels)")
    found = dims[-1:]
    for name, each in parameters.items():
        if not isinstance(each, TensorSpec):
            raise ShapeError(f"{name} of batch_norm is a number", hint="it has a number for each channel of x")
        if each.dtype != x.dtype:
            raise DTypeError(f"{name} is {each.dtype.name}, x is {x.dtype.name}", hint="cast one with fb.astype")
        try:
            found = unify_shape(found, each.shape)
        except ShapeError:
            raise ShapeError(
                f"{name} has shape {format_shape(each.shape)}, x has {format_shape(x.shape)}",
                hint=f"{name} has a number for each channel, the last axis of x",
            ) from None
    if training is not None and (training.dtype.kind != "b" or training.shape not in ((), None)):
        raise ArgumentError(f"training is {training}", hint="a bool, or a bool tensor without axes")
    return (*dims[:-1], *found), found


def _spec(x, moving_mean, moving_variance, scale, offset, training=None, *, momentum, epsilon):
    parameters = dict(zip(_PARAMETERS, (moving_mean, moving_variance, scale, offset), strict=True))
    shape, channels = _channels(x, training, **parameters)
    return TensorSpec(shape, x.dtype), TensorSpec(channels, x.dtype), TensorSpec(channels, x.dtype)


def _cases():
    """(x, mean, variance, scale, offset[, training]). Means are above 0, as tests use one array for two operands."""
    for shape in ((6, 3), (2, 3, 4, 5), (5, 1), (1, 4), (0, 3), (3, 0), (40, 17)):
        scale, offset = (draw(shape[-1:], seed=seed).array() for seed in (1, 2))
        mean, variance = (draw(shape[-1:], 0.5, 2.0, seed=seed).array() for seed in (3, 4))
        inputs = draw(shape).array(), mean, variance, scale, offset
        yield inputs
        if shape in ((6, 3), (2, 3, 4, 5), (0, 3)):
            yield (*inputs, np.array(True))
            yield (*inputs, np.array(False))


def _samples():
    return [Sample(inputs, {"epsilon": 0.1}) for inputs in _cases()]


def _batch(x, training):
    """Whether statistics are those of x. An empty one has none."""
    return x.size > 0 and (training is None or bool(training))


def _oracle(x, mean, variance, scale, offset, training=None, *, momentum=0.99, epsilon=1e-3):
    if x.size and (training is None or training):
        axes = tuple(range(x.ndim - 1))
        mean, variance = np.mean(x, axes), np.var(x, axes)
    return (x - mean) / np.sqrt(variance + epsilon) * scale + offset, mean, variance


def _wide(xp, *arrays):
    """In float64 at least: sums along all axes but the last are not pairwise."""
    return [each.astype(xp.result_type(each, xp.float64), copy=False) for each in arrays]


@op(spec=_spec, cost=per_element(8), samples=_samples, ulp=64, analytic=True, oracle=_oracle)
def batch_norm(xp, x, moving_mean, moving_variance, scale, offset, training=None, *, momentum=0.99, epsilon=1e-3):
    r"""x with mean 0 and variance 1 in each channel (the last axis) over the batch, then ``* scale + offset``.

    :math:`y = (x - \mu) / \sqrt{\sigma^2 + \epsilon} \cdot s + o`, in the shape and dtype of x, which is float
    (batch, ..., channels); the others are (channels,), of its dtype. ``training``: a bool, or a bool tensor without
    axes. When true, :math:`\mu` and :math:`\sigma^2` are mean and variance of x over all axes but the last; when false,
    or when x is empty, ``moving_mean`` and ``moving_variance``.

    Running it changes nothing. The node that `minimize` or `apply_gradients` returns does, for each batch_norm that
    trains and that its gradients went through: ``moving -= (moving - batch) * (1 - momentum)``, with the variance as
    the sum of squares divided by the count. It writes those that are Variables (let them be ``trainable=False``).

    Raises ``ShapeError``, ``DTypeError`` or ``ArgumentError`` for operands that do not fit.
    Source: Ioffe and Szegedy, "Batch Normalization", 2015 (arXiv:1502.03167).

    >>> import flowbook as fb
    >>> zeros, ones = fb.constant([0.0]), fb.constant([1.0])
    >>> y = fb.batch_norm(fb.constant([[1.0], [3.0]]), zeros, ones, ones, zeros, epsilon=0.0)
    >>> fb.Session().run(y).tolist()
    [[-1.0], [1.0]]
    """
    dtype, mean, variance = x.dtype, moving_mean, moving_variance
    x, scale, offset = _wide(xp, x, scale, offset)
    if _batch(x, training):
        axes = tuple(range(x.ndim - 1))
        mean = x.mean(axis=axes)
        variance = xp.square(x - mean).mean(axis=axes)
    else:
        mean, variance = _wide(xp, mean, variance)
    y = (x - mean) * (scale / xp.sqrt(variance + epsilon)) + offset
    return tuple(each.astype(dtype) for each in (y, mean, variance))


@batch_norm.gradient
def _(node, dy, dmean, dvariance):
    x, _, _, scale, _, *training = node.inputs
    _, mean, variance = node.outputs
    found = batch_norm_grad(dy, dmean, dvariance, x, mean, variance, scale, *training, epsilon=node.attrs["epsilon"])
    dx, dscale, doffset, dmoving_mean, dmoving_variance = found
    return dx, dmoving_mean, dmoving_variance, dscale, doffset, *[None for _ in training]


# ------------------------------------------------------------------------------------------------ gradient


def _grad_spec(dy, dmean, dvariance, x, mean, variance, scale, training=None, *, epsilon):
    shape, channels = _channels(
        x, training, dmean=dmean, dvariance=dvariance, mean=mean, variance=variance, scale=scale
    )
    require_shape(dy, shape, "the gradient")
    return TensorSpec(unify_shape(dy.shape, shape), x.dtype), *[TensorSpec(channels, x.dtype)] * 4


def _grad_samples():
    for x, mean, variance, scale, _, *training in _cases():
        if _batch(x, *training or (None,)):
            axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(axes), x.var(axes)
        dy = draw(x.shape, seed=5).array()
        dmean, dvariance = (draw(mean.shape, seed=seed).array() for seed in (6, 7))
        yield Sample((dy, dmean, dvariance, x, mean, variance, scale, *training), {"epsilon": 0.1})


def _grad_oracle(dy, dmean, dvariance, x, mean, variance, scale, training=None, *, epsilon):
    """The chain rule step by step, as in the paper."""
    zeros = np.zeros_like(mean)
    if not x.size:
        return dy, zeros, zeros, dmean, dvariance
    axes = tuple(range(x.ndim - 1))
    batch = training is None or training
    centred = x - (np.mean(x, axes) if batch else mean)
    deviation = np.sqrt(variance + epsilon)
    gain, product = scale / deviation, np.sum(dy * centred, axes)
    dvariance = dvariance - gain / (2 * deviation**2) * product
    dmean = dmean - gain * np.sum(dy, axes)
    dx, dscale, doffset = gain * dy, product / deviation, np.sum(dy, axes)
    if not batch:
        return dx, dscale, doffset, dmean, dvariance
    count = x.size / x.shape[-1]
    return dx + (dvariance * 2 * centred + dmean) / count, dscale, doffset, zeros, zeros


@op(
    spec=_grad_spec,
    cost=per_element(12),
    samples=_grad_samples,
    ulp=64,
    analytic=True,
    hidden=True,
    oracle=_grad_oracle,
)
def batch_norm_grad(xp, dy, dmean, dvariance, x, mean, variance, scale, training=None, *, epsilon):
    """What `batch_norm` passes back: (dx, dscale, doffset, dmoving_mean, dmoving_variance), from the gradients of y and
    of the statistics. Where these are the batch's, distances are those to the mean of x, not to ``mean``, which is that
    in the dtype of x."""
    dtype = x.dtype
    if not x.size:
        zeros = xp.zeros_like(dmean)
        return xp.zeros_like(x), zeros, zeros, dmean, dvariance
    dy, dmean, dvariance, x, mean, variance, scale = _wide(xp, dy, dmean, dvariance, x, mean, variance, scale)
    axes = tuple(range(x.ndim - 1))
    batch = _batch(x, training)
    centred = x - (x.mean(axis=axes) if batch else mean)
    factor = 1 / xp.sqrt(variance + epsilon)
    gain = scale * factor
    doffset, product = dy.sum(axis=axes), (dy * centred).sum(axis=axes)
    dx, dscale = dy * gain, product * factor
    dmean, dvariance = dmean - gain * doffset, 2 * dvariance - gain * factor**2 * product
    if batch:
        count = x.size // x.shape[-1]
        dx += (centred * dvariance + dmean) / count
        dmean, dvariance = xp.zeros_like(dmean), xp.zeros_like(dmean)
    return tuple(each.astype(dtype) for each in (dx, dscale, doffset, dmean, dvariance / 2))


def _grad_nodes(dy, dmean, dvariance, x, mean, variance, scale, training=None, *, epsilon):
    axes = tuple(range(x.spec.rank - 1))
    weight = reduction.mean_weight(x, axis=axes)
    some = isfinite(weight)  # it is nan when x is empty: then the variance does not matter
    batch = some if training is None else logical_and(some, training)
    variance = where(some, variance, 1.0)
    weight = where(batch, weight, 0.0)
    centred = x - where(batch, reduction.sum(x, axis=axes) * weight, mean)
    factor = 1.0 / sqrt(variance + epsilon)
    gain, standard = scale * factor, centred * factor
    doffset, dscale = reduction.sum(dy, axis=axes), reduction.sum(dy * standard, axis=axes)
    dmean, dvariance = dmean - gain * doffset, dvariance - 0.5 * gain * factor * dscale
    dx = dy * gain + (2.0 * centred * dvariance + dmean) * weight
    return dx, dscale, doffset, where(batch, 0.0, dmean), where(batch, 0.0, dvariance)


@batch_norm_grad.gradient
def _(node, *dys):
    return by_recomputation(node, _grad_nodes, dys)


# ------------------------------------------------------------------------------------------------ building


def _public(definition):
    """The function that users call: it gives y only, and what it is without training is made of elementwise ops, which
    become one pass with those around it."""
    generic = definition.builder

    @located("batch_norm")
    def builder(
        x: Any,
        moving_mean: Any,
        moving_variance: Any,
        scale: Any,
        offset: Any,
        training: Any = True,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        name: str | None = None,
    ) -> Tensor:
        momentum, epsilon, training = as_plain(momentum), as_plain(epsilon), check_training(training)
        if type(momentum) not in (int, float) or not 0 <= momentum <= 1:
            raise ArgumentError(f"momentum is {momentum!r}", hint="a number, 0 <= momentum <= 1")
        if type(epsilon) not in (int, float) or not epsilon >= 0:
            raise ArgumentError(f"epsilon is {epsilon!r}", hint="a number, 0 or above")
        parameters = moving_mean, moving_variance, scale, offset
        if training is False:
            return _inference([as_tensor(each) for each in (x, *parameters)], float(epsilon), name)
        chosen = () if training is True else (training,)
        made = generic(x, *parameters, *chosen, momentum=float(momentum), epsilon=float(epsilon), name=name)
        return made[0]

    builder.__name__ = builder.__qualname__ = definition.name
    builder.__doc__, builder.__module__ = definition.doc, definition.module
    parameters = [
        each.replace(default=True) if each.name == "training" else each
        for each in definition.signature.parameters.values()
    ]
    builder.__signature__ = definition.signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    builder.opdef = definition  # type: ignore[attr-defined]
    definition.builder = builder
    return builder


def _inference(operands: list[Tensor], epsilon: float, name: str | None) -> Tensor:
    _spec(*[each.spec for each in operands], momentum=0.0, epsilon=epsilon)
    x, moving_mean, moving_variance, scale, offset = operands
    graph = context.current().graph or x.graph
    with context.override(graph=graph, scope=graph.unique_scope(name or "batch_norm")):
        standard = (x - moving_mean) * (scale / sqrt(moving_variance + epsilon))
    result = REGISTRY["add"].builder(standard, offset, name=name or "batch_norm")
    if name is None:
        graph.leave_unnamed(result.node)
    return result


batch_norm = _public(REGISTRY["batch_norm"])

__all__ = ["batch_norm"]
