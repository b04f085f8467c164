"""Picking entries by number: gather, embedding lookup and one-hot vectors, and the op that adds gradients back."""

from __future__ import annotations

import math

import numpy as np

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, as_dtype, normalize_axis
from flowbook.ops.rules import no_flops, per_element, per_input_element, require_kind, require_shape, shape_of
from flowbook.ops.samples import calls, draw


def _gather_spec(x, indices, *, axis=0):
    require_integers(indices)
    if shape_of(x) == ():
        raise ShapeError("a 0-d tensor has no entries to pick from")
    axis, between = normalize_axis(axis, x.rank), shape_of(indices)
    shape = None if between is None else x.dims[:axis] + between + x.dims[axis + 1 :]
    return TensorSpec(shape, x.dtype)


def require_integers(indices):
    """``DTypeError`` unless the operand, a spec or a weak scalar, holds integers."""
    spec = indices if isinstance(indices, TensorSpec) else TensorSpec((), np.dtype(type(indices)))
    require_kind(spec, "iu", "the index")


def _take(xp, x, indices, axis):
    indices = xp.asarray(indices, dtype=xp.int64)
    size = x.shape[axis]
    if indices.size and not (-size <= int(indices.min()) and int(indices.max()) < size):
        wrong = indices[(indices < -size) | (indices >= size)].reshape(-1)[0]
        raise ShapeError(
            f"index {int(wrong)} is out of range for axis {axis} of size {size}",
            hint=f"from {-size} to {size - 1}" if size else "the axis is empty",
        )
    return xp.take(x, indices, axis=axis)


_TWO_D = np.array([[1, 0, 1], [3, -1, 1]])
_ROW_SAMPLES = (
    Sample(((4, 5), np.array([3, 0, 0, 2]))),
    Sample(((4, 5), _TWO_D)),
    Sample(((4, 5), np.array(2))),
    Sample(((4, 5), np.zeros((0, 2), "int64"))),
    Sample(((4,), np.array([[1], [-4]], "int32"))),
    Sample(((3, 0), np.array([2, 0]))),
    Sample(((4, 5), -1), {}, "weak scalar index"),
)
_AXIS_SAMPLES = (
    Sample(((4, 5), _TWO_D), {"axis": 1}),
    Sample(((2, 4, 3), np.array([3, 1, 3], "uint8")), {"axis": -2}),
)


@op(
    spec=_gather_spec,
    cost=no_flops,
    samples=calls(*_ROW_SAMPLES, *_AXIS_SAMPLES),
    oracle=lambda x, indices, *, axis=0: x[(slice(None),) * (axis % x.ndim) + (indices,)],
)
def gather(xp, x, indices, *, axis=0):
    """The entries of x at ``indices`` along ``axis``; negative indices count from the end.

    The shape is that of x with the axis replaced by the shape of the indices, which are integers. An index out of
    range raises when it runs.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.gather(fb.constant([[1, 2], [3, 4], [5, 6]]), [2, -3]))
    array([[5, 6],
           [1, 2]])
    """
    return _take(xp, x, indices, axis)


@op(
    spec=_gather_spec,
    cost=no_flops,
    samples=calls(*_ROW_SAMPLES),
    oracle=lambda table, ids: table[ids],
)
def embedding_lookup(xp, table, ids):
    """The rows of ``table`` (entries, features...) that ``ids`` (integers, any shape) name.

    The shape is that of the ids, then the features. The gradient adds up what comes from every use of a row. An id
    out of range raises when it runs.

    >>> import flowbook as fb
    >>> table = fb.constant([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1]])
    >>> fb.Session().run(fb.embedding_lookup(table, fb.constant([2, 0])))
    array([[2. , 2.1],
           [0. , 0.1]], dtype=float32)
    """
    return _take(xp, table, ids, 0)


def _scatter(node, dy):
    x, indices = node.inputs
    return (lambda: scatter_add(dy, indices, x, axis=node.attrs.get("axis", 0))), None


gather.gradient(_scatter)
embedding_lookup.gradient(_scatter)


def _scatter_oracle(dy, indices, like, *, axis=0):
    result = np.zeros(like.shape)
    rows = np.moveaxis(result, axis, 0)
    parts = np.moveaxis(dy, range(axis % like.ndim, axis % like.ndim + np.ndim(indices)), range(np.ndim(indices)))
    for place in np.ndindex(np.shape(indices)):
        rows[np.asarray(indices)[place]] += parts[place]
    return result


def _scatter_spec(dy, indices, like, *, axis=0):
    if None not in (dy.shape, like.shape):
        require_shape(dy, _gather_spec(like, indices, axis=axis).shape, "what is added")
    return TensorSpec(like.shape, dy.dtype)


@op(
    spec=_scatter_spec,
    cost=per_input_element(),
    samples=calls(
        Sample(((4, 5), np.array([3, 0, 0, 2]), (4, 5))),
        Sample(((2, 3), _TWO_D, (4,))),
        Sample(((4, 2, 3), _TWO_D, (4, 5)), {"axis": 1}),
        Sample(((5,), 2, (4, 5)), {}, "weak scalar index"),
        Sample(((0, 5), np.zeros(0, "int64"), (4, 5))),
    ),
    oracle=_scatter_oracle,
    hidden=True,
)
def scatter_add(xp, dy, indices, like, *, axis=0):
    """Zeros in the shape of ``like``, with the parts of dy added at ``indices`` along ``axis``: undoes `gather`."""
    axis %= like.ndim
    before, size, after = math.prod(like.shape[:axis]), like.shape[axis], math.prod(like.shape[axis + 1 :])
    rows = xp.asarray(indices, dtype=xp.int64).reshape(-1) % max(size, 1)
    rows = (xp.arange(before)[:, None] * size + rows)[..., None]
    result = xp.zeros(before * size * after, dy.dtype)
    # Flat positions: NumPy's add.at has a fast path for one axis, several times as fast as adding whole rows.
    xp.add.at(result, (rows * after + xp.arange(after)).reshape(-1), dy.reshape(-1))
    return result.reshape(like.shape)


@scatter_add.gradient
def _(node, dy):
    return gather(dy, node.inputs[1], axis=node.attrs["axis"]), None, None


def numpy_take(a, indices, axis=None, **options):
    """``np.take`` on tensors: `gather`, once the axis is clear (NumPy's default flattens)."""
    if options or (axis is None and a.ndim != 1):
        what = ", ".join(options) if options else "without an axis"
        raise ArgumentError(f"np.take {what} builds no node", hint="fb.gather(x, indices, axis)")
    return gather(a, indices, axis=axis or 0)


def _one_hot_spec(indices, *, depth, dtype="float32", axis=-1):
    require_integers(indices)
    if type(depth) is not int or depth < 0:
        raise ArgumentError(f"depth {depth!r} is not a number of classes")
    axis = normalize_axis(axis, indices.rank + 1)
    return TensorSpec((*indices.dims[:axis], depth, *indices.dims[axis:]), as_dtype(dtype))


@op(
    spec=_one_hot_spec,
    cost=per_element(),
    samples=calls(
        Sample((np.array([2, 0, 1]),), {"depth": 3}),
        Sample((np.array([2, -1, 7]),), {"depth": 3}, "out of range"),
        Sample((draw((2, 3), 0, 4, "int32"),), {"depth": 5, "dtype": "int64", "axis": 1}),
        Sample((np.array(1, "uint8"),), {"depth": 4, "dtype": "bool", "axis": 0}),
        Sample((np.zeros((0, 2), "int64"),), {"depth": 3, "dtype": "float64"}),
    ),
    nondifferentiable="its input is integers",
    oracle=lambda i, *, depth, dtype="float32", axis=-1: np.stack([i == k for k in range(depth)], axis).astype(dtype),
)
def one_hot(xp, indices, *, depth, dtype="float32", axis=-1):
    """1 at the index along a new axis of size ``depth``, 0 elsewhere; an index out of range gives zeros only.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.one_hot(fb.constant([2, 0]), 3))
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    hot = xp.moveaxis(indices[..., None] == xp.arange(depth), -1, axis)
    return hot.astype(dtype)


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
