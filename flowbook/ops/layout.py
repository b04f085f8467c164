"""Changing the shape of one tensor and nothing else: reshape, transpose, axes of size 1, flip and pad."""

from __future__ import annotations

import math

from flowbook.errors import ArgumentError, DTypeError, ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape, normalize_axes, normalize_axis
from flowbook.ops.indexing import getitem
from flowbook.ops.rules import no_flops
from flowbook.ops.samples import calls

# ------------------------------------------------------------------------------------------------ reshape


def _reshape_spec(x, *, shape):
    dims = as_wanted(shape)
    sizes = [dim for dim in x.dims if type(dim) is int]
    symbols = [dim for dim in x.dims if type(dim) is not int]
    have, want = math.prod(sizes), math.prod([dim for dim in dims if dim != -1])
    fits = have == want if -1 not in dims else want and have % want == 0
    if symbols and have:  # the open sizes can make up for much, but not for a factor that the result lacks
        fits = -1 in dims or want % have == 0
    if not fits:
        raise ShapeError(
            f"{format_shape(x.shape)} cannot take the shape {dims}",
            hint="both need the same number of elements" if -1 not in dims else "the other sizes do not divide it",
        )
    rest = None
    if not symbols or have == 0:
        rest = have // want if want else None
    elif len(symbols) == 1 and have == want:
        rest = symbols[0]
    return TensorSpec(tuple([rest if dim == -1 else dim for dim in dims]), x.dtype)


def as_wanted(shape):
    """The ``shape`` of a reshape: sizes, of which one may be -1."""
    dims = (shape,) if type(shape) is int else shape
    if type(dims) is not tuple or any(type(dim) is not int or dim < -1 for dim in dims) or dims.count(-1) > 1:
        raise ShapeError(
            f"{shape!r} is not a shape to reshape to", hint="sizes; one of them may be -1, which keeps a named size"
        )
    return dims


@op(
    spec=_reshape_spec,
    cost=no_flops,
    samples=calls(
        Sample(((3, 4),), {"shape": (2, 6)}),
        Sample(((3, 4),), {"shape": (-1,)}),
        Sample(((2, 3, 4),), {"shape": (2, -1, 2)}),
        Sample(((3, 4),), {"shape": 12}),
        Sample(((),), {"shape": (1, 1)}),
        Sample(((1, 1),), {"shape": ()}),
        Sample(((0, 5),), {"shape": (5, 0)}),
        Sample(((0, 5),), {"shape": (-1, 5)}),
    ),
    analytic=True,
)
def reshape(xp, x, *, shape):
    """x with its elements, in row-major order, in another shape. One size may be -1: what is left.

    A named or unknown size cannot be written in ``shape``; -1 stands for it, and keeps its name where the other
    sizes show that it is unchanged. Raises ``ShapeError`` when the number of elements differs.

    >>> import flowbook as fb
    >>> fb.reshape(fb.placeholder(("batch", 28, 28)), (-1, 784)).shape
    ('batch', 784)
    """
    return xp.reshape(x, shape)


@op(
    spec=lambda x, like: TensorSpec(like.shape, x.dtype),
    cost=no_flops,
    samples=calls(((2, 6), (3, 4)), ((1,), ()), ((0, 2), (3, 0))),
    analytic=True,
    oracle=lambda x, like: x.reshape(like.shape),
    hidden=True,
)
def reshape_like(xp, x, like):
    """x in the shape of ``like``: `reshape` for a shape that is known in the run only."""
    return xp.reshape(x, like.shape)


def reshape_as(x, like):
    """x in the shape of ``like``, by the lightest node that does it; for gradient rules."""
    shape = like.shape
    if shape is None or 0 in shape or len([dim for dim in shape if type(dim) is not int]) > 1:
        return reshape(x, shape) if like.spec.known else reshape_like(x, like)
    return reshape(x, tuple([dim if type(dim) is int else -1 for dim in shape]))


def _reshape_back(node, dy):
    x, *like = node.inputs
    return [lambda: reshape_as(dy, x), *[None for _ in like]]


reshape.gradient(_reshape_back)
reshape_like.gradient(_reshape_back)

# ------------------------------------------------------------------------------------------------ order of axes


def _permutation(axes, rank):
    order = tuple([normalize_axis(axis, rank) for axis in axes]) if type(axes) is tuple else None
    if order is None or sorted(order) != list(range(rank)):
        raise ShapeError(f"axes {axes!r} are no order of the {rank} axes", hint="name each axis once")
    return order


def _transpose_spec(x, *, axes=None):
    order = range(x.rank)[::-1] if axes is None else _permutation(axes, x.rank)
    return TensorSpec(tuple([x.dims[axis] for axis in order]), x.dtype)


@op(
    spec=_transpose_spec,
    cost=no_flops,
    samples=calls(
        ((3, 4),),
        ((2, 3, 4),),
        ((),),
        Sample(((2, 3, 4),), {"axes": (2, 0, 1)}),
        Sample(((2, 3, 4),), {"axes": (0, -1, 1)}),
        Sample(((0, 5),), {"axes": (1, 0)}),
    ),
    analytic=True,
)
def transpose(xp, x, *, axes=None):
    """x with its axes in the order ``axes``; in reverse order without. ``x.T`` is the short form.

    >>> import flowbook as fb
    >>> fb.transpose(fb.placeholder(("batch", 3, 4)), (1, 0, 2)).shape
    (3, 'batch', 4)
    """
    return xp.transpose(x, axes)


@transpose.gradient
def _(node, dy):
    axes = node.attrs["axes"]
    if axes is None:
        return transpose(dy)
    order = _permutation(axes, len(axes))
    return transpose(dy, tuple(sorted(range(len(order)), key=order.__getitem__)))


def _matrix_transpose_spec(x):
    if x.rank < 2:
        raise ShapeError(f"{format_shape(x.shape)} holds no matrices to transpose", hint="the rank has to be 2 or more")
    return TensorSpec((*x.dims[:-2], x.dims[-1], x.dims[-2]), x.dtype)


@op(
    spec=_matrix_transpose_spec,
    cost=no_flops,
    samples=calls(((3, 4),), ((2, 3, 4),), ((0, 5),)),
    analytic=True,
)
def matrix_transpose(xp, x):
    """x with its last two axes exchanged."""
    return x.swapaxes(-1, -2)


@matrix_transpose.gradient
def _(node, dy):
    return matrix_transpose(dy)


def _flip_spec(x, *, axis=None):
    normalize_axes(axis, x.rank)
    return x


@op(
    spec=_flip_spec,
    cost=no_flops,
    samples=calls(
        ((3, 4),), ((),), Sample(((3, 4),), {"axis": -1}), Sample(((2, 3, 4),), {"axis": (0, -1)}), ((0, 5),)
    ),
    analytic=True,
)
def flip(xp, x, *, axis=None):
    """x in reverse order along ``axis``: an int, a tuple, or ``None`` for all axes."""
    return xp.flip(x, axis)


@flip.gradient
def _(node, dy):
    return flip(dy, axis=node.attrs["axis"])


# ------------------------------------------------------------------------------------------------ axes of size 1


def _squeezed(x, axis):
    """The axes that go."""
    if axis is not None:
        return normalize_axes(axis, x.rank)
    if any(type(dim) is not int for dim in x.dims):
        raise ShapeError(f"which sizes of {format_shape(x.shape)} are 1 is not known", hint="name them by axis=")
    return tuple([place for place, dim in enumerate(x.dims) if dim == 1])


def _squeeze_spec(x, *, axis=None):
    gone = _squeezed(x, axis)
    for place in gone:
        if type(x.dims[place]) is int and x.dims[place] != 1:
            raise ShapeError(f"axis {place} of {format_shape(x.shape)} has size {x.dims[place]}, not 1")
    return TensorSpec(tuple([dim for place, dim in enumerate(x.dims) if place not in gone]), x.dtype)


@op(
    spec=_squeeze_spec,
    cost=no_flops,
    samples=calls(
        ((3, 1, 4, 1),),
        ((),),
        Sample(((3, 1, 4, 1),), {"axis": -1}),
        Sample(((1, 3, 1),), {"axis": (0, -1)}),
        Sample(((1, 0),), {"axis": 0}),
    ),
    analytic=True,
)
def squeeze(xp, x, *, axis=None):
    """x without axes of size 1: those of ``axis`` (an int or a tuple), or all (then every size has to be known).

    >>> import flowbook as fb
    >>> x = fb.placeholder((3, 1, "n", 1))
    >>> fb.squeeze(x, 1).shape, fb.squeeze(x[:, :, 0]).shape
    ((3, 'n', 1), (3,))
    """
    return xp.squeeze(x, axis)


@squeeze.gradient
def _(node, dy):
    x, axis = node.inputs[0], node.attrs["axis"]
    return reshape_as(dy, x) if axis is None else expand_dims(dy, axis)


def _expand_dims_spec(x, *, axis):
    axes = axis if type(axis) is tuple else (axis,)
    new, rest = normalize_axes(axes, x.rank + len(axes)), iter(x.dims)
    return TensorSpec(tuple([1 if place in new else next(rest) for place in range(x.rank + len(axes))]), x.dtype)


@op(
    spec=_expand_dims_spec,
    cost=no_flops,
    samples=calls(
        Sample(((3, 4),), {"axis": 0}),
        Sample(((3, 4),), {"axis": -1}),
        Sample(((3, 4),), {"axis": (0, -2)}),
        Sample(((),), {"axis": 0}),
        Sample(((0, 5),), {"axis": 1}),
    ),
    analytic=True,
)
def expand_dims(xp, x, *, axis):
    """x with new axes of size 1, which are ``axis`` (an int or a tuple) of the result."""
    return xp.expand_dims(x, axis)


@expand_dims.gradient
def _(node, dy):
    return squeeze(dy, node.attrs["axis"])


# ------------------------------------------------------------------------------------------------ pad


def _widths(pad_width, rank):
    """(before, after) for each axis, from NumPy's three forms."""
    pairs = pad_width
    if type(pairs) is int:
        pairs = (pairs, pairs)
    if type(pairs) is tuple and len(pairs) == 2 and all(type(each) is int for each in pairs):
        pairs = (pairs,) * rank
    if type(pairs) is tuple and len(pairs) == 1:
        pairs *= rank
    good = type(pairs) is tuple and len(pairs) == rank
    if not good or not all(type(p) is tuple and [type(n) for n in p] == [int, int] and min(p) >= 0 for p in pairs):
        raise ShapeError(
            f"pad_width {pad_width!r} does not fit rank {rank}",
            hint="n, (before, after), or one such pair for each axis; none negative",
        )
    return pairs


def _pad_spec(x, *, pad_width, mode="constant", constant_values=0.0):
    if mode != "constant":
        raise ArgumentError(f"pad mode {mode!r} is not known", hint="'constant'")
    if type(constant_values) not in (bool, int, float):
        raise ArgumentError(f"constant_values has to be one number, not {constant_values!r}")
    if x.dtype.kind in "biu" and constant_values % 1 != 0:
        raise DTypeError(f"{constant_values} does not fit a tensor of {x.dtype.name}", hint="cast with fb.astype")
    pairs = _widths(pad_width, x.rank)
    dims = [
        dim + sum(pair) if type(dim) is int else dim if pair == (0, 0) else None for dim, pair in zip(x.dims, pairs)
    ]
    return TensorSpec(tuple(dims), x.dtype)


@op(
    spec=_pad_spec,
    cost=no_flops,
    samples=calls(
        Sample(((3, 4),), {"pad_width": 1}),
        Sample(((3, 4),), {"pad_width": (0, 2), "constant_values": -1.5}),
        Sample(((2, 3, 4),), {"pad_width": ((0, 0), (1, 2), (3, 0))}),
        Sample(((0, 5),), {"pad_width": ((1, 1), (0, 0))}),
        Sample(((),), {"pad_width": 1}),
    ),
    analytic=True,
)
def pad(xp, x, *, pad_width, mode="constant", constant_values=0.0):
    """x with ``constant_values`` around it. ``pad_width``: n, (before, after), or such a pair for each axis.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.pad(fb.constant([1, 2]), (1, 2)))
    array([0, 1, 2, 0, 0])
    """
    pairs = _widths(pad_width, x.ndim)
    shape = tuple([size + sum(pair) for size, pair in zip(x.shape, pairs)])
    result = xp.full(shape, constant_values, x.dtype)
    result[tuple([slice(before, before + size) for size, (before, _) in zip(x.shape, pairs)])] = x
    return result


@pad.gradient
def _(node, dy):
    pairs = _widths(node.attrs["pad_width"], node.inputs[0].spec.rank)
    return getitem(dy, index=tuple([(before, -after if after else None, None) for before, after in pairs]))


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
