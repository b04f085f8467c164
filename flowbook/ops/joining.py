"""Several tensors into one and back: concat and split, stack and unstack."""

from __future__ import annotations

import itertools

import numpy as np

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape, normalize_axis, promote, unify_shape
from flowbook.ops.rules import no_flops
from flowbook.ops.samples import calls


def _unify(shapes, what, free=None):
    """One shape that all have, or ``ShapeError`` naming two that differ; they may along the axis ``free``."""
    result = shapes[0]
    for shape in shapes[1:]:
        try:
            result = unify_shape(result, shape if free is None else (*shape[:free], result[free], *shape[free + 1 :]))
        except ShapeError:
            raise ShapeError(f"{what}: {format_shape(shapes[0])} and {format_shape(shape)}") from None
    return result


def _ranked(xs):
    """The dims of each operand; unknown ranks raise ``UnknownRankError``, no operands ``ArgumentError``."""
    if not xs:
        raise ArgumentError("at least one tensor is needed")
    return [x.dims if isinstance(x, TensorSpec) else () for x in xs]


# ------------------------------------------------------------------------------------------------ concat, split


def _concat_spec(*xs, axis=0):
    shapes = _ranked(xs)
    if not shapes[0]:
        raise ShapeError("0-d tensors cannot be joined along an axis", hint="fb.stack makes a new axis")
    axis = normalize_axis(axis, len(shapes[0]))
    for dims in shapes:
        if len(dims) != len(shapes[0]):
            raise ShapeError(f"ranks differ: {format_shape(shapes[0])} and {format_shape(dims)}")
    rest = _unify(shapes, f"concat needs equal sizes beside axis {axis}", free=axis)
    along = [dims[axis] for dims in shapes]
    total = sum(along) if all(type(dim) is int for dim in along) else along[0] if len(along) == 1 else None
    return TensorSpec((*rest[:axis], total, *rest[axis + 1 :]), promote(*xs))


@op(
    spec=_concat_spec,
    cost=no_flops,
    samples=calls(
        ((2, 3), (4, 3)),
        ((3,), (0,), (2,)),
        ((2, 3),),
        Sample(((2, 3), (2, 1), (2, 2)), {"axis": 1}),
        Sample(((2, 3, 1), (2, 3, 4)), {"axis": -1}),
        Sample(((2, 3), np.array([[1], [2]])), {"axis": 1}, "two dtypes"),
    ),
    analytic=True,
    numpy=(np.concatenate,),
    oracle=lambda *xs, axis=0: np.concatenate(xs, axis),
)
def concat(xp, *xs, axis=0):
    """The tensors of the list ``xs`` one after the other along an existing ``axis``; the other sizes are equal.

    dtypes are promoted. Raises ``ShapeError`` when other sizes differ.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.concat([fb.constant([1, 2]), [3]]))
    array([1, 2, 3])
    """
    return xp.concatenate(xs, axis=axis)


@concat.gradient
def _(node, dy):
    xs, axis = node.inputs, node.attrs["axis"]
    if len(xs) == 1:
        return dy
    sizes = [None if x.shape is None else x.shape[axis] for x in xs]
    if all(type(size) is int for size in sizes[:-1]):
        return split(dy, tuple(itertools.accumulate(sizes[:-1])), axis)
    return split_like([dy, *xs], axis=axis)


MOST_PARTS = 1 << 16  # outputs of one node; more is a mistake, or a file that means harm


def _check_parts(count, x, axis):
    if count > MOST_PARTS:
        raise ShapeError(
            f"axis {axis} of {format_shape(x.shape)} would come apart into {count} tensors",
            hint=f"a node has at most {MOST_PARTS} outputs; slicing, gather or reshape may do it in one",
        )


def _sections(x, cuts, axis):
    """The sizes of the parts, ``None`` where they depend on an unknown one."""
    size = x.dims[axis]
    if type(cuts) is int:
        _check_parts(cuts, x, axis)
        if cuts < 1 or (type(size) is int and size % cuts):
            raise ShapeError(
                f"axis {axis} of {format_shape(x.shape)} does not split into {cuts} equal parts",
                hint="a tuple of positions cuts anywhere",
            )
        return [size // cuts if type(size) is int else size if cuts == 1 else None] * cuts
    if type(cuts) is not tuple or not all(type(each) is int for each in cuts):
        raise ArgumentError(f"{cuts!r} says not where to split", hint="a number of parts, or a tuple of positions")
    edges = list(zip((None, *cuts), (*cuts, None)))
    if type(size) is int:
        sizes = [len(range(*slice(start, stop).indices(size))) for start, stop in edges]
        if sum(sizes) != size:
            raise ShapeError(f"the positions {cuts} do not ascend along axis {axis} of {format_shape(x.shape)}")
        return sizes
    return [size if edge == (None, None) else None for edge in edges]


def _split_spec(x, *, indices_or_sections, axis=0):
    axis = normalize_axis(axis, x.rank)
    sizes = _sections(x, indices_or_sections, axis)
    return tuple([TensorSpec((*x.dims[:axis], size, *x.dims[axis + 1 :]), x.dtype) for size in sizes])


@op(
    spec=_split_spec,
    cost=no_flops,
    samples=calls(
        Sample(((6, 2),), {"indices_or_sections": 3}),
        Sample(((6,),), {"indices_or_sections": (1, 4)}),
        Sample(((2, 6),), {"indices_or_sections": (2, 2, 9), "axis": -1}),
        Sample(((2, 3, 4),), {"indices_or_sections": 2, "axis": 2}),
        Sample(((6, 2),), {"indices_or_sections": (-2,)}),
        Sample(((0, 5),), {"indices_or_sections": 2}),
    ),
    analytic=True,
)
def split(xp, x, *, indices_or_sections, axis=0):
    """x cut along ``axis`` into a tuple of tensors: that many equal parts, or at the positions of a tuple.

    Raises ``ShapeError`` when equal parts do not come out even.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.split(fb.constant([1, 2, 3, 4]), (1, 3)))
    (array([1]), array([2, 3]), array([4]))
    """
    return tuple(xp.split(x, indices_or_sections, axis=axis))


@split.gradient
def _(node, *dys):
    return concat(dys, node.attrs["axis"])


def _split_like_spec(x, *likes, axis):
    axis = normalize_axis(axis, x.rank)
    return tuple([TensorSpec((*x.dims[:axis], like.dims[axis], *x.dims[axis + 1 :]), x.dtype) for like in likes])


def _split_like_oracle(x, *likes, axis):
    cuts = itertools.accumulate(like.shape[axis] for like in likes)
    return tuple(np.split(x, list(cuts)[:-1], axis))


@op(
    spec=_split_like_spec,
    cost=no_flops,
    samples=calls(
        Sample(((5, 2), (2, 2), (0, 2), (3, 2)), {"axis": 0}),
        Sample(((2, 5), (2, 4), (2, 1)), {"axis": -1}),
    ),
    analytic=True,
    oracle=_split_like_oracle,
    hidden=True,
)
def split_like(xp, *xs, axis):
    """The first tensor cut along ``axis`` into parts as long as the others: undoes `concat` of unknown sizes."""
    whole, *likes = xs
    cuts = list(itertools.accumulate(like.shape[axis] for like in likes))
    return tuple(xp.split(whole, cuts[:-1], axis=axis))


@split_like.gradient
def _(node, *dys):
    return concat(dys, node.attrs["axis"]), *[None for _ in dys]


# ------------------------------------------------------------------------------------------------ stack, unstack


def _stack_spec(*xs, axis=0):
    dims = _unify(_ranked(xs), "stack needs equal shapes")
    axis = normalize_axis(axis, len(dims) + 1)
    return TensorSpec((*dims[:axis], len(xs), *dims[axis:]), promote(*xs))


@op(
    spec=_stack_spec,
    cost=no_flops,
    samples=calls(
        ((3, 4), (3, 4)),
        ((), (), ()),
        ((3,), 1.5 * np.ones(3)),
        Sample(((3, 4), (3, 4), (3, 4)), {"axis": -1}),
        Sample(((3, 4),), {"axis": 1}),
        Sample(((0, 5), (0, 5)), {"axis": 1}),
        Sample(((), 2.5), {}, "weak scalar"),
    ),
    analytic=True,
    oracle=lambda *xs, axis=0: np.stack(xs, axis),
)
def stack(xp, *xs, axis=0):
    """The tensors of the list ``xs``, all of one shape, side by side along a new ``axis``.

    dtypes are promoted. Raises ``ShapeError`` when shapes differ.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.stack([fb.constant([1, 2]), [3, 4]], axis=1))
    array([[1, 3],
           [2, 4]])
    """
    return xp.stack(xs, axis=axis, dtype=xp.result_type(*xs))  # which keeps scalars weak


@stack.gradient
def _(node, dy):
    return unstack(dy, node.attrs["axis"])


def _unstack_spec(x, *, axis=0):
    axis = normalize_axis(axis, x.rank)
    count = x.dims[axis]
    if type(count) is not int or not count:
        raise ShapeError(
            f"axis {axis} of {format_shape(x.shape)} says not into how many tensors to take it apart",
            hint="its size has to be known, and not 0",
        )
    _check_parts(count, x, axis)
    return (TensorSpec(x.dims[:axis] + x.dims[axis + 1 :], x.dtype),) * count


@op(
    spec=_unstack_spec,
    cost=no_flops,
    samples=calls(((3, 4),), ((2,),), Sample(((2, 3, 4),), {"axis": -1}), Sample(((0, 2),), {"axis": 1})),
    analytic=True,
    oracle=lambda x, *, axis=0: tuple(np.moveaxis(x, axis, 0)),
)
def unstack(xp, x, *, axis=0):
    """The parts of x along ``axis``, without it, as a tuple. The size of the axis has to be known."""
    return tuple(xp.moveaxis(x, axis, 0))


@unstack.gradient
def _(node, *dys):
    return stack(dys, node.attrs["axis"])


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
