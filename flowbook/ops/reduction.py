"""Sums, means, extremes and other reductions over axes.

All take ``axis`` (an int, a tuple, or ``None`` for all axes) and ``keepdims`` (whether reduced axes stay, with size 1).
"""

from __future__ import annotations

import math

import numpy as np

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, as_dtype, float_dtype, format_shape, normalize_axes, normalize_axis
from flowbook.ops.broadcasting import broadcast_as
from flowbook.ops.elementwise import equal, exp, maximum, where
from flowbook.ops.layout import expand_dims
from flowbook.ops.rules import cast_float, no_flops, per_input_element, reject_bool
from flowbook.ops.samples import calls, draw

# ------------------------------------------------------------------------------------------------ rules


def _reduced(x, axis, keepdims):
    """The shape that is left."""
    if type(keepdims) is not bool:
        raise ArgumentError(f"keepdims has to be True or False, not {keepdims!r}")
    if axis is None and not keepdims:
        return ()
    axes = normalize_axes(axis, x.rank)
    if keepdims:
        return tuple([1 if place in axes else dim for place, dim in enumerate(x.dims)])
    return tuple([dim for place, dim in enumerate(x.dims) if place not in axes])


def _sum_spec(x, *, axis=None, keepdims=False):
    kind = x.dtype.kind
    dtype = x.dtype if kind == "f" else as_dtype("uint64" if kind == "u" else "int64")
    return TensorSpec(_reduced(x, axis, keepdims), dtype)


def _float_spec(x, *, axis=None, keepdims=False, **attrs):
    return TensorSpec(_reduced(x, axis, keepdims), float_dtype(x.dtype))


def _bool_spec(x, *, axis=None, keepdims=False):
    return TensorSpec(_reduced(x, axis, keepdims), as_dtype("bool"))


def _need_entries(x, axis):
    """``ShapeError`` when no entry is left to choose from."""
    if x.shape is not None and 0 in [x.shape[place] for place in normalize_axes(axis, x.rank)]:
        raise ShapeError(f"{format_shape(x.shape)} has no entries along axis {axis} to choose from")


def _extreme_spec(x, *, axis=None, keepdims=False):
    _need_entries(x, axis)
    return TensorSpec(_reduced(x, axis, keepdims), x.dtype)


def _arg_spec(x, *, axis=None, keepdims=False):
    if axis is not None:
        normalize_axis(axis, x.rank)
    _need_entries(x, axis)
    return TensorSpec(_reduced(x, axis, keepdims), as_dtype("int64"))


def _aligned(node, value):
    """A value in the shape of the result, so that it broadcasts against the input: reduced axes are put back."""
    axis, shape = node.attrs["axis"], node.inputs[0].shape
    if node.attrs["keepdims"] or axis is None:
        return value
    axes = None if shape is None else normalize_axes(axis, len(shape))
    return value if axes is not None and axes == tuple(range(len(axes))) else expand_dims(value, axis)


_AXES = (
    Sample(((3, 4),)),
    Sample(((3, 4),), {"axis": 0}),
    Sample(((3, 4),), {"axis": -1, "keepdims": True}),
    Sample(((2, 3, 4),), {"axis": 1}),
    Sample(((2, 3, 4),), {"axis": (0, -1)}),
    Sample(((2, 3, 4),), {"axis": (-1, 1), "keepdims": True}),
    Sample(((2, 3),), {"keepdims": True}),
    Sample(((2, 3),), {"axis": ()}),
    Sample(((),)),
    Sample(((0, 5),), {"axis": 1}),
)
_EMPTY = (Sample(((0, 5),)), Sample(((0, 5),), {"axis": 0}))
_INTEGERS = (
    Sample((draw((3, 4), -9, 9, "int64"),), {"axis": 0}),
    Sample((draw((3, 4), 0, 200, "uint8"),), {"axis": 1}),
)
_BOOLS = (
    Sample((draw((3, 4), dtype="bool"),)),
    Sample((draw((3, 4), dtype="bool"),), {"axis": 1, "keepdims": True}),
)

# ------------------------------------------------------------------------------------------------ sum, mean


@op(
    spec=_sum_spec,
    cost=per_input_element(),
    samples=calls(*_AXES, *_EMPTY, *_INTEGERS, *_BOOLS),
    ulp=8,
    analytic=True,
)
def sum(xp, x, *, axis=None, keepdims=False):
    """Sum over ``axis``. Floats keep their dtype; bools and integers add up in 64 bits. Nothing sums to 0.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.sum(fb.constant([[1, 2], [3, 4]]), axis=0))
    array([4, 6])
    """
    return xp.sum(x, axis=axis, keepdims=keepdims)


@sum.gradient
def _(node, dy):
    return broadcast_as(_aligned(node, dy), node.inputs[0])


def _mean_oracle(x, *, axis=None, keepdims=False):
    with np.errstate(all="ignore"):
        count = np.sum(np.ones(x.shape), axis=axis, keepdims=keepdims)
        return np.sum(x, axis=axis, keepdims=keepdims) / count


@op(
    spec=_float_spec,
    cost=per_input_element(),
    samples=calls(*_AXES, *_EMPTY, *_INTEGERS, *_BOOLS),
    ulp=8,
    analytic=True,
    oracle=_mean_oracle,
)
def mean(xp, x, *, axis=None, keepdims=False):
    """Arithmetic mean over ``axis``. Floats keep their dtype, others give float64; the mean of nothing is nan.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.mean(fb.constant([[1.0, 2.0], [3.0, 6.0]]), axis=1, keepdims=True))
    array([[1.5],
           [4.5]], dtype=float32)
    """
    x = cast_float(xp, x)
    if not x.size:  # NumPy would warn
        return xp.sum(x, axis=axis, keepdims=keepdims) * xp.nan
    return xp.mean(x, axis=axis, keepdims=keepdims)


@mean.gradient
def _(node, dy):
    x = node.inputs[0]
    return broadcast_as(_aligned(node, dy * _weight(x, node.attrs["axis"])), x)


def _weight(x, axis, correction=0):
    """What each entry counts for in a mean over ``axis``: a number where the sizes are known, else a node."""
    sizes = None if x.shape is None else tuple([x.shape[place] for place in normalize_axes(axis, x.spec.rank)])
    count = TensorSpec(sizes, x.dtype).size
    return mean_weight(x, axis=axis, correction=correction) if count is None else _reciprocal(count, correction)


def _reciprocal(count, correction):
    return 1.0 / (count - correction) if count > correction else math.nan


def _count(shape, axis):
    return math.prod([shape[place] for place in normalize_axes(axis, len(shape))])


@op(
    spec=lambda x, *, axis=None, correction=0: TensorSpec((), x.dtype),
    cost=no_flops,
    samples=calls(
        ((3, 4),),
        Sample(((2, 3, 4),), {"axis": (0, -1)}),
        Sample(((3, 4),), {"axis": 1, "correction": 1}),
        ((),),
    ),
    oracle=lambda x, *, axis=None, correction=0: 1 / (x.size / np.sum(x, axis=axis).size - correction),
    hidden=True,
)
def mean_weight(xp, x, *, axis=None, correction=0):
    """1 / (number of entries along ``axis`` - ``correction``), 0-d: for gradients where a size is open."""
    return xp.asarray(_reciprocal(_count(x.shape, axis), correction), dtype=x.dtype)


@mean_weight.gradient
def _(node, dy):
    return None  # it depends on the shape only


# ------------------------------------------------------------------------------------------------ spread


def _var_spec(x, *, axis=None, correction=0, keepdims=False):
    if type(correction) not in (int, float):
        raise ArgumentError(f"correction {correction!r} is not a number", hint="0, or 1 for the unbiased estimate")
    return _float_spec(x, axis=axis, keepdims=keepdims)


_SPREADS = calls(*_AXES, *_INTEGERS, Sample(((3, 4),), {"axis": 0, "correction": 1}))


@op(spec=_var_spec, cost=per_input_element(4), samples=_SPREADS, ulp=16)
def var(xp, x, *, axis=None, correction=0, keepdims=False):
    """Variance over ``axis``: the mean of the squared distance to the mean.

    The sum of squares is divided by n - ``correction``; 0 is the population's variance, 1 the unbiased estimate. Where
    n is not above it, the variance is nan. Floats keep their dtype, others give float64.
    """
    x = cast_float(xp, x)
    if _count(x.shape, axis) <= correction:  # NumPy would warn
        return xp.sum(x, axis=axis, keepdims=keepdims) * xp.nan
    return xp.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def _spread_gradient(node, dy, factor):
    x, axis = node.inputs[0], node.attrs["axis"]
    weight = _weight(x, axis, node.attrs["correction"])
    return _aligned(node, dy * (weight * factor)) * (x - mean(x, axis=axis, keepdims=True))


@var.gradient
def _(node, dy):
    return _spread_gradient(node, dy, 2.0)


@op(spec=_var_spec, cost=per_input_element(4), samples=_SPREADS, ulp=16)
def std(xp, x, *, axis=None, correction=0, keepdims=False):
    """Standard deviation over ``axis``: the root of `var`. Where it is 0, so is its gradient."""
    return xp.sqrt(var.opdef.kernel(xp, x, axis=axis, correction=correction, keepdims=keepdims))


@std.gradient
def _(node, dy):
    y = node.outputs[0]
    return _spread_gradient(node, dy / where(equal(y, 0), math.inf, y), 1.0)


# ------------------------------------------------------------------------------------------------ extremes

_TIES = (
    Sample((np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]),), {"axis": 1}, "ties"),
    Sample((np.array([[1.0, 3.0, 1.0], [3.0, 3.0, 1.0]]),), {"keepdims": True}, "ties"),
)
_NANS = (Sample((np.array([[1.0, np.nan, np.inf], [-np.inf, 2.0, 0.0]]),), {"axis": 1}, "special"),)
_EXTREMES = calls(*_AXES, *_INTEGERS, *_BOOLS, *_TIES, *_NANS)


@op(spec=_extreme_spec, cost=per_input_element(), samples=_EXTREMES, numpy=(np.amax,))
def max(xp, x, *, axis=None, keepdims=False):
    """Largest entry over ``axis``; nan wins. Ties share the gradient equally. Raises where there is no entry.

    >>> import flowbook as fb
    >>> x = fb.constant([1.0, 3.0, 3.0])
    >>> fb.Session().run([fb.max(x), *fb.gradients(fb.max(x), [x])])
    [array(3., dtype=float32), array([0. , 0.5, 0.5], dtype=float32)]
    """
    return xp.max(x, axis=axis, keepdims=keepdims)


@op(spec=_extreme_spec, cost=per_input_element(), samples=_EXTREMES, numpy=(np.amin,))
def min(xp, x, *, axis=None, keepdims=False):
    """Smallest entry over ``axis``; nan wins. Ties share the gradient equally. Raises where there is no entry."""
    return xp.min(x, axis=axis, keepdims=keepdims)


def _share(node, dy):
    x, axis = node.inputs[0], node.attrs["axis"]
    return _aligned(node, dy) * tie_share(x, axis=axis, largest=node.op == "max")


max.gradient(_share)
min.gradient(_share)


def _tie_share_oracle(x, *, axis=None, largest=True):
    peak = (np.max if largest else np.min)(x, axis=axis, keepdims=True)
    hit = np.where(np.isnan(peak), np.isnan(x), x == peak)
    return hit / np.sum(hit, axis=axis, keepdims=True)


@op(
    spec=lambda x, *, axis=None, largest=True: x,
    cost=per_input_element(4),
    samples=calls(
        ((3, 4),),
        Sample(((2, 3, 4),), {"axis": (0, -1), "largest": False}),
        Sample((np.array([[1.0, 3.0, 3.0], [2.0, 2.0, np.nan]]),), {"axis": 1}, "ties"),
    ),
    oracle=_tie_share_oracle,
    hidden=True,
)
def tie_share(xp, x, *, axis=None, largest=True):
    """1/k at the k entries over ``axis`` that are the largest (or smallest), 0 elsewhere. Piecewise constant."""
    peak = (xp.max if largest else xp.min)(x, axis=axis, keepdims=True)
    hit = ((x == peak) | (x != x)).astype(x.dtype)
    return hit / xp.sum(hit, axis=axis, keepdims=True)


@tie_share.gradient
def _(node, dy):
    return None


_ARGS = calls(
    *[each for each in _AXES if type(each.attrs.get("axis")) is not tuple], *_INTEGERS, *_BOOLS, *_TIES, *_NANS
)


@op(spec=_arg_spec, cost=per_input_element(), samples=_ARGS, nondifferentiable="its result is an index")
def argmax(xp, x, *, axis: int | None = None, keepdims=False):
    """Index (int64) of the largest entry along ``axis``, the first of several; ``None`` counts through all of x.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.argmax(fb.constant([[1, 5, 2], [7, 0, 7]]), axis=1))
    array([1, 0])
    """
    return xp.argmax(x, axis=axis, keepdims=keepdims)


@op(spec=_arg_spec, cost=per_input_element(), samples=_ARGS, nondifferentiable="its result is an index")
def argmin(xp, x, *, axis: int | None = None, keepdims=False):
    """Index (int64) of the smallest entry along ``axis``, the first of several; ``None`` counts through all of x."""
    return xp.argmin(x, axis=axis, keepdims=keepdims)


# ------------------------------------------------------------------------------------------------ logsumexp


def _logsumexp_oracle(x, *, axis=None, keepdims=False):
    from scipy.special import logsumexp

    return logsumexp(x, axis=axis, keepdims=keepdims)


def _logsumexp_spec(x, *, axis=None, keepdims=False):
    reject_bool(x)
    return _float_spec(x, axis=axis, keepdims=keepdims)


_FAR = np.array([[1000.0, 999.0, -1000.0], [-np.inf, -np.inf, -np.inf], [np.inf, 0.0, -np.inf]])


@op(
    spec=_logsumexp_spec,
    cost=per_input_element(15),
    samples=calls(*_AXES, *_INTEGERS, Sample((_FAR,), {"axis": 1}, "special")),
    ulp=8,
    oracle=_logsumexp_oracle,
)
def logsumexp(xp, x, *, axis=None, keepdims=False):
    r"""Logarithm of the sum of exponentials over ``axis``, :math:`m + \log \sum e^{x - m}` with :math:`m = \max x`.

    It does not overflow. A row of -inf gives -inf, and gradient 0; so does no entry at all.

    >>> import flowbook as fb
    >>> float(fb.Session().run(fb.logsumexp(fb.constant([1000.0, 1000.0]))))       # doctest: +ELLIPSIS
    1000.69...
    """
    x = cast_float(xp, x)
    if not x.size:
        return xp.log(xp.sum(x, axis=axis, keepdims=keepdims))
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else xp.squeeze(total, axis)


@logsumexp.gradient
def _(node, dy):
    x, y = node.inputs[0], node.outputs[0]
    floor = float(np.finfo(y.dtype).min)  # -inf - -inf would be nan, where the derivative is 0
    return _aligned(node, dy) * exp(x - maximum(_aligned(node, y), floor))


# ------------------------------------------------------------------------------------------------ logic


@op(
    spec=_bool_spec,
    cost=per_input_element(),
    samples=calls(*_BOOLS, *_EMPTY, Sample((draw((3, 4), 0, 1, "int64"),), {"axis": 0})),
    nondifferentiable="its result is bool",
)
def all(xp, x, *, axis=None, keepdims=False):
    """Whether every entry over ``axis`` is true (not zero). True where there is none."""
    return xp.all(x, axis=axis, keepdims=keepdims)


@op(
    spec=_bool_spec,
    cost=per_input_element(),
    samples=calls(*_BOOLS, *_EMPTY, Sample((draw((3, 4), 0, 1, "int64"),), {"axis": 0})),
    nondifferentiable="its result is bool",
)
def any(xp, x, *, axis=None, keepdims=False):
    """Whether some entry over ``axis`` is true (not zero). False where there is none."""
    return xp.any(x, axis=axis, keepdims=keepdims)


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
