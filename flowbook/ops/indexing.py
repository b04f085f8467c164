"""Taking parts out of tensors: ``t[...]``, and the op that puts gradients back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape
from flowbook.ops.gather import gather
from flowbook.ops.rules import no_flops, require_kind, require_shape
from flowbook.ops.samples import calls

# ------------------------------------------------------------------------------------------------ basic indexing

_FULL = (None, None, None)


@lru_cache(maxsize=1024)
def _python_index(index):
    """The index that NumPy takes, from the plain values a node keeps: ints, ``None``, ``"..."``, slices as tuples."""
    parts = [slice(*part) if type(part) is tuple else Ellipsis if part == "..." else part for part in index]
    return tuple(parts)


def _written_out(index, shape):
    """``index`` with full slices for its ellipsis, or for the axes it leaves out."""
    used = len([part for part in index if part is not None and part != "..."])
    if used > len(shape):
        raise ShapeError(f"{used} indices for a tensor of shape {format_shape(shape)}")
    rest = [_FULL] * (len(shape) - used)
    at = index.index("...") if "..." in index else len(index)
    return [*index[:at], *rest, *index[at + 1 :]]


def _slice_dim(part, dim):
    """What a slice leaves of a dimension; an unknown one stays itself only when all of it is taken."""
    if type(dim) is int:
        return len(range(*slice(*part).indices(dim)))
    start, stop, step = part
    forwards, backwards = start in (None, 0) and step in (None, 1), start is None and step == -1
    return dim if stop is None and (forwards or backwards) else None


def _getitem_spec(x, *, index):
    dims, axis = [], 0
    for part in _written_out(index, x.dims):
        if part is None:
            dims.append(1)
            continue
        size = x.dims[axis]
        if type(part) is tuple:
            dims.append(_slice_dim(part, size))
        elif type(size) is int and not -size <= part < size:
            raise ShapeError(f"index {part} is out of range for axis {axis} of shape {format_shape(x.shape)}")
        axis += 1
    return TensorSpec(tuple(dims), x.dtype)


_INDEX_SAMPLES = (
    Sample(((4, 5),), {"index": (1,)}),
    Sample(((4, 5),), {"index": ("...", -1)}),
    Sample(((4, 5),), {"index": ((1, None, 2), None, (None, None, -1))}),
    Sample(((2, 3, 4),), {"index": (0, "...", (None, -1, None))}),
    Sample(((2, 3, 4),), {"index": (None, "...", (2, 0, -1))}),
    Sample(((6,),), {"index": (3,)}),
    Sample(((),), {"index": (None,)}),
    Sample(((0, 5),), {"index": (_FULL, 2)}),
    Sample(((4, 5),), {"index": ((3, 1, None),)}, "an empty slice"),
)


@op(
    spec=_getitem_spec,
    cost=no_flops,
    samples=calls(*_INDEX_SAMPLES),
    analytic=True,
    oracle=lambda x, *, index: x[_python_index(index)],
    hidden=True,
)
def getitem(xp, x, *, index):
    """A part of x by basic indexing. ``index``: a tuple of ints, ``None``, ``"..."`` and (start, stop, step)."""
    return x[_python_index(index)]


@getitem.gradient
def _(node, dy):
    return place(dy, node.inputs[0], index=node.attrs["index"])


def _place_oracle(dy, like, *, index):
    """Through positions: number the entries of ``like``, and write each entry of dy where its number points."""
    result = np.zeros(like.size)
    result[np.arange(like.size).reshape(like.shape)[_python_index(index)]] = dy
    return result.reshape(like.shape)


def _place_spec(dy, like, *, index):
    if None not in (dy.shape, like.shape):
        require_shape(dy, _getitem_spec(like, index=index).shape, "what is placed")
    return TensorSpec(like.shape, dy.dtype)


@op(
    spec=_place_spec,
    cost=no_flops,
    samples=calls(
        Sample(((2, 5), (4, 5)), {"index": ((1, None, 2),)}),
        Sample(((4,), (4, 5)), {"index": ("...", -1)}),
        Sample(((1, 3), (3,)), {"index": (None, (None, None, -1))}),
        Sample(((), (6,)), {"index": (3,)}),
        Sample(((0,), (0, 5)), {"index": ("...", 2)}),
    ),
    analytic=True,
    oracle=_place_oracle,
    hidden=True,
)
def place(xp, dy, like, *, index):
    """Zeros in the shape of ``like``, with dy at ``index``: what undoes `getitem`."""
    result = xp.zeros(like.shape, dy.dtype)
    result[_python_index(index)] = dy
    return result


@place.gradient
def _(node, dy):
    return getitem(dy, index=node.attrs["index"]), None


# ------------------------------------------------------------------------------------------------ t[...]


def subscript(tensor, index):
    """``tensor[index]``: ints, slices, ``...`` and ``None`` as in NumPy; one array or tensor of integers gathers.

    Raises ``ArgumentError`` for masks and floats, ``ShapeError`` for a number that is out of range.

    >>> import flowbook as fb
    >>> m = fb.constant([[1, 2, 3], [4, 5, 6]])
    >>> fb.Session().run([m[0], m[:, -1], m[:, [2, 0]]])
    [array([1, 2, 3]), array([3, 6]), array([[3, 1], [6, 4]])]
    """
    parts = [_plain(part) for part in (index if isinstance(index, tuple) else (index,))]
    arrays = [position for position, part in enumerate(parts) if _is_array(part)]
    if len([part for part in parts if type(part) is str]) > 1:
        raise ArgumentError("an index holds one ellipsis at most")
    if not arrays:
        return getitem(tensor, index=tuple(parts))
    if len(arrays) > 1 or any(type(part) is int for part in parts):
        raise ArgumentError(
            "an index holds one array at most, and no numbers beside it", hint="index in steps: t[0][:, ids]"
        )
    position = arrays[0]
    indices, parts[position] = parts[position], _FULL
    axis = position - len(parts) if "..." in parts[:position] else position
    if any(part not in (_FULL, "...") for part in parts):
        tensor = getitem(tensor, index=tuple(parts))
    return gather(tensor, indices, axis=axis)


def _is_array(part):
    return isinstance(part, (Tensor, np.ndarray))


def _plain(part):
    """One part of a user's index as a plain value, or the array or tensor to gather with."""
    if part is None:
        return None
    if part is Ellipsis:
        return "..."
    if isinstance(part, slice):
        bounds = tuple([None if each is None else _integer(each) for each in (part.start, part.stop, part.step)])
        if bounds[2] == 0:
            raise ArgumentError("the step of a slice cannot be 0")
        return bounds
    if isinstance(part, list):
        part = np.asarray(part) if part else np.zeros(0, np.int64)
    if not _is_array(part):
        return _integer(part)
    if part.dtype.kind == "b":
        raise ArgumentError(
            "a mask gives a shape that is not known before the run", hint="fb.where(mask, x, 0.0) keeps the shape"
        )
    require_kind(TensorSpec((), part.dtype), "iu", "the index")
    return part


def _integer(value):
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Tensor):
        raise ArgumentError(
            f"the bounds of a slice are numbers; '{value.name}' is a tensor",
            hint="fb.gather takes positions that a run computes",
        )
    raise ArgumentError(f"{value!r} is not an index", hint="ints, slices, ..., None, or one array of integers")
