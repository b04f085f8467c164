"""What flows along an edge: dtype and shape. The only promotion rule and the only broadcast rule live here.

A *dimension* is an ``int`` (known), ``None`` (unknown) or a ``str`` (named: equal names are equal sizes). A *shape*
is a tuple of dimensions, or ``None`` when even the rank is unknown. dtypes are NumPy's ``numpy.dtype`` objects.

Promotion is NumPy 2's (NEP 50), with one difference: NumPy *scalars* (``np.float64(3)``) are weak too, like Python's
numbers, so that ``x / np.sqrt(64)`` keeps a float32 ``x`` float32. Arrays are never weak.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from flowbook.errors import DTypeError, ShapeError

Dim = int | str | None
Shape = tuple[Dim, ...]
DType = np.dtype[Any]
Scalar = bool | int | float

SUPPORTED = (
    "bool",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
)
DEFAULT_FLOAT = np.dtype("float32")
DEFAULT_INT = np.dtype("int64")


class UnknownRankError(Exception):
    """Raised when a spec rule needs the rank of a tensor that has none; the op builder then infers the dtype only."""


@lru_cache(maxsize=256)
def _as_dtype(dtype: Any) -> DType:
    try:
        result = None if dtype is None else np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result.name not in SUPPORTED:
        raise DTypeError(f"{dtype!r} is not a dtype of flowbook", hint="one of " + ", ".join(SUPPORTED))
    native: DType = result.newbyteorder("=")
    return native


def as_dtype(dtype: Any) -> DType:
    """The ``numpy.dtype`` for a name, a NumPy type or a Python type (``float`` is float64, as in NumPy).

    Raises ``DTypeError`` for what flowbook has no kernels for.

    >>> as_dtype("float32")
    dtype('float32')
    """
    try:
        return _as_dtype(dtype)
    except TypeError as error:  # an unhashable argument
        if isinstance(error, DTypeError):
            raise
        raise DTypeError(f"{dtype!r} is not a dtype", hint="one of " + ", ".join(SUPPORTED)) from None


class TensorSpec(NamedTuple):
    """Shape and dtype of a tensor: all that is known of a value before it exists.

    >>> TensorSpec(("batch", 3), as_dtype("float32"))
    float32 (batch, 3)
    """

    shape: Shape | None
    dtype: DType

    @property
    def dims(self) -> Shape:
        """The shape, when the rank is known; else ``UnknownRankError``."""
        if self.shape is None:
            raise UnknownRankError
        return self.shape

    @property
    def rank(self) -> int:
        """Number of dimensions, when known; else ``UnknownRankError``."""
        return len(self.dims)

    @property
    def known(self) -> bool:
        """Whether every dimension is an ``int``."""
        return self.shape is not None and all(type(dim) is int for dim in self.shape)

    @property
    def size(self) -> int | None:
        """Number of elements, when known."""
        if self.shape is None:
            return None
        total = 1
        for dim in self.shape:
            if type(dim) is not int:
                return None
            total *= dim
        return total

    @property
    def nbytes(self) -> int | None:
        """Bytes of the dense array, when known."""
        size = self.size
        return None if size is None else size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{self.dtype.name} {format_shape(self.shape)}"


def format_shape(shape: Shape | None) -> str:
    """A shape as people write it.

    >>> format_shape(("batch", None, 3)), format_shape(None), format_shape((5,))
    ('(batch, ?, 3)', '(unknown rank)', '(5,)')
    """
    if shape is None:
        return "(unknown rank)"
    texts = ["?" if dim is None else str(dim) for dim in shape]
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


def is_name(value: Any) -> bool:
    """Whether a value can name a node, a scope or a dimension: a text with something to see, on one line.

    >>> is_name("batch"), is_name(" "), is_name("two\\nlines"), is_name(3)
    (True, False, False, False)
    """
    if not isinstance(value, str) or not value.strip():
        return False
    return value.isprintable() or not any(each < " " or "\x7f" <= each < "\xa0" for each in value)


def as_shape(shape: Any) -> Shape | None:
    """A checked shape from what a user wrote: an int, a name, ``None`` (unknown rank), or a sequence of dimensions."""
    if shape is None:
        return None
    if isinstance(shape, (int, str, np.integer)):
        shape = (shape,)
    try:
        dims = tuple(shape)
    except TypeError:
        raise ShapeError(f"{shape!r} is not a shape", hint="a tuple of ints, names and None") from None
    checked: list[Dim] = []
    for dim in dims:
        if dim is None or (isinstance(dim, str) and is_name(dim)):
            checked.append(dim)
        elif isinstance(dim, (int, np.integer)) and not isinstance(dim, bool):
            if dim < 0:
                raise ShapeError(f"dimension {dim} of shape {dims} is negative", hint="None means an unknown size")
            checked.append(int(dim))
        else:
            raise ShapeError(f"{dim!r} is not a dimension", hint="an int, a name such as 'batch', or None")
    return tuple(checked)


def known_shape(shape: Any) -> tuple[int, ...]:
    """A shape whose dimensions are all ints, or ``ShapeError``."""
    dims = as_shape(shape)
    if dims is None or not all(type(dim) is int for dim in dims):
        raise ShapeError(f"shape {format_shape(dims)} has to be fully known here", hint="use ints")
    return dims  # type: ignore[return-value]


def beyond(array: Any, dtype: DType) -> int | None:
    """The first integer in an array that an integer dtype cannot hold, or ``None``.

    >>> beyond(np.array([1, 300]), as_dtype("uint8")), beyond(np.array([1, 2]), as_dtype("uint8"))
    (300, None)
    """
    info = np.iinfo(dtype)
    outside = (array < info.min) | (array > info.max)
    return int(array[outside][0]) if outside.any() else None


# ------------------------------------------------------------------------------------------------ dimensions


def unify_dim(a: Dim, b: Dim) -> Dim:
    """The size two dimensions have when they must be equal. Two ints that differ raise ``ShapeError``.

    A name that meets an int is that int from then on; two different names may still be equal sizes, which is
    checked when they are bound, so the result is unknown.

    >>> unify_dim("batch", 32), unify_dim(None, "batch"), unify_dim("m", "n")
    (32, 'batch', None)
    """
    if a == b or b is None:
        return a
    if a is None:
        return b
    if isinstance(a, int):
        if isinstance(b, int):
            raise ShapeError(f"dimension {a} meets {b}")
        return a
    return b if isinstance(b, int) else None


def unify_shape(a: Shape | None, b: Shape | None) -> Shape | None:
    """Two shapes that must be the same, merged dimension by dimension; ``ShapeError`` when they cannot be."""
    if a is None or a is b:
        return b
    if b is None:
        return a
    if len(a) != len(b):
        raise ShapeError(f"rank {len(a)} {format_shape(a)} meets rank {len(b)} {format_shape(b)}")
    return tuple(map(unify_dim, a, b))


def _broadcast_dim(a: Dim, b: Dim) -> Dim:
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int):
        if isinstance(b, int):
            raise ShapeError("")  # the caller knows the whole shapes
        return a
    return b if isinstance(b, int) else None


@lru_cache(maxsize=4096)
def broadcast_shapes(*shapes: Shape | None) -> Shape | None:
    """The shape that NumPy broadcasting gives, for known, named and unknown dimensions.

    >>> broadcast_shapes(("batch", 1), (3,)), broadcast_shapes((None, 3), (2, 1))
    (('batch', 3), (2, 3))

    Raises ``ShapeError`` with both shapes when two known sizes differ and neither is 1.
    """
    result: Shape = ()
    for shape in shapes:
        if shape is None:
            return None
        if shape == result:
            continue
        short, long = (result, shape) if len(result) < len(shape) else (shape, result)
        head = len(long) - len(short)
        try:
            result = long[:head] + tuple(map(_broadcast_dim, long[head:], short))
        except ShapeError:
            raise ShapeError(
                f"shapes {format_shape(result)} and {format_shape(shape)} do not broadcast",
                hint="sizes must be equal or 1, counted from the last axis",
            ) from None
    return result


def same_dim(a: Dim, b: Dim) -> bool:
    """Whether two dimensions are surely equal (two unknowns are not)."""
    return a is not None and a == b


def same_shape(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes are surely equal."""
    return a is not None and a == b and None not in a


def normalize_axis(axis: int, rank: int) -> int:
    """A non-negative axis, or ``ShapeError``.

    >>> normalize_axis(-1, 3)
    2
    """
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise ShapeError(f"axis {axis!r} is not an int")
    if not -rank <= axis < rank:
        hint = f"from {-rank} to {rank - 1}" if rank else "a scalar has no axes"
        raise ShapeError(f"axis {axis} is out of range for rank {rank}", hint=hint)
    return axis % rank


def normalize_axes(axis: int | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """The axes that ``axis`` names, sorted; ``None`` names all of them.

    >>> normalize_axes((-1, 0), 3), normalize_axes(None, 2)
    ((0, 2), (0, 1))
    """
    if axis is None:
        return tuple(range(rank))
    axes = sorted(normalize_axis(each, rank) for each in (axis if isinstance(axis, tuple) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"axis {axis} names an axis twice")
    return tuple(axes)


# ------------------------------------------------------------------------------------------------ promotion


@lru_cache(maxsize=4096)
def _promote(*kinds: Any) -> DType:
    """`kinds` are dtypes, or the Python types of weak scalars."""
    dtypes = [kind for kind in kinds if not isinstance(kind, type)]
    scalars = [kind(1) for kind in kinds if isinstance(kind, type)]
    if not dtypes:
        return weak_dtype(max(scalars, key=lambda scalar: (bool, int, float).index(type(scalar))))
    try:
        return as_dtype(np.result_type(*dtypes, *scalars))
    except TypeError:
        raise DTypeError(f"no common dtype of {', '.join(map(str, dtypes))}", hint="use astype") from None


def promote(*operands: TensorSpec | Scalar | DType | None) -> DType:
    """The dtype NumPy 2 computes in: dtypes by ``numpy.result_type``, Python and NumPy scalars weak.

    >>> f32, i64 = as_dtype("float32"), as_dtype("int64")
    >>> promote(f32, 2.0), promote(i64, True), promote(f32, i64), promote(1, 2.5)
    (dtype('float32'), dtype('int64'), dtype('float64'), dtype('float32'))
    """
    kinds: list[Any] = []
    for operand in operands:
        if type(operand) is TensorSpec:
            kinds.append(operand.dtype)
        elif isinstance(operand, np.dtype):
            kinds.append(operand)
        elif operand is not None:
            kinds.append(type(operand))
    return _promote(*kinds)


def weak_dtype(scalar: Scalar) -> DType:
    """The dtype of a scalar when nothing else decides: bool, int64, or float32.

    >>> weak_dtype(1.5), weak_dtype(3)
    (dtype('float32'), dtype('int64'))
    """
    if isinstance(scalar, bool):
        return np.dtype(bool)
    return DEFAULT_INT if isinstance(scalar, int) else DEFAULT_FLOAT


@lru_cache(maxsize=64)
def float_dtype(dtype: DType) -> DType:
    """The dtype a float function such as ``exp`` gives: floats keep theirs, integers and bools give float64.

    NumPy gives float16 for 8-bit and float32 for 16-bit integers; one rule is easier to remember, and the kernels
    keep to it.

    >>> float_dtype(np.dtype("int32")), float_dtype(np.dtype("float32"))
    (dtype('float64'), dtype('float32'))
    """
    return dtype if dtype.kind == "f" else np.dtype("float64")
