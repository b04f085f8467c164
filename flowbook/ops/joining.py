"""Several tensors into one and back: concat and split, stack and unstack."""

from __future__ import annotations

import itertools

import numpy as np

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape, normalize_axis, promote, unify_shape
from flowbook.ops.rules import no_flops, shape_of
from flowbook.ops.samples import calls


def _unify(shapes, what):
    """One shape that all have, or ``ShapeError`` naming the two that differ."""
    result = shapes[0]
    for shape in shapes[1:]:
        try:
            result = unify_shape(result, shape)
        except ShapeError:
            raise ShapeError(f"{what}: {format_shape(result)} and {format_shape(shape)}") from None
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
    rest = _unify([(*dims[:axis], 1, *dims[axis + 1 :]) for dims in shapes], f"sizes differ beside axis {axis}")
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
    sizes = [shape_of(x.spec)[axis] for x in xs]
    if all(type(size) is int for size in sizes[:-1]):
        return split(dy, tuple(itertools.accumulate(sizes[:-1])), axis)
    return split_like([dy, *xs], axis=axis)


def _sections(x, cuts, axis):
    """The sizes of the parts, ``None`` where they depend on an unknown one."""
    size = x.dims[axis]
    if type(cuts) is int:
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
        return [len(range(*slice(start, stop).indices(size))) for start, stop in edges]
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
    cuts = node.attrs["indices_or_sections"]
    if type(cuts) is tuple and not _covers(cuts, node.inputs[0].spec.dims[node.attrs["axis"]]):
        raise 
    return concat(dys, node.attrs["axis"])
