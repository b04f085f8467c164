"""Shapes and dtypes: unification, broadcasting and promotion, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbook.errors import DTypeError, FlowError, ShapeError
from flowbook.graph.types import (
    SUPPORTED,
    TensorSpec,
    UnknownRankError,
    as_dtype,
    as_shape,
    broadcast_shapes,
    float_dtype,
    format_shape,
    known_shape,
    normalize_axes,
    normalize_axis,
    promote,
    same_shape,
    unify_dim,
    unify_shape,
    weak_dtype,
)

dims = st.one_of(st.integers(0, 4), st.none(), st.sampled_from(["a", "b"]))
shapes = st.one_of(st.none(), st.lists(dims, max_size=4).map(tuple))
known = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4).map(tuple)
SIZES = {"a": 3, "b": 2}


def fill(shape: Any, sizes: dict[str, int], unknown: Any) -> tuple[int, ...]:
    """A known shape that a shape may turn out to be; ``unknown`` gives the sizes of unknown dimensions."""
    return tuple(sizes[dim] if isinstance(dim, str) else next(unknown) if dim is None else dim for dim in shape)


def possible(shape: Any, actual: tuple[int, ...], sizes: dict[str, int]) -> bool:
    if shape is None:
        return True
    return len(shape) == len(actual) and all(
        dim is None or (sizes[dim] if isinstance(dim, str) else dim) == size
        for dim, size in zip(shape, actual, strict=True)
    )


# ------------------------------------------------------------------------------------------------ unification


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (3, 3, 3),
        (3, None, 3),
        (3, "n", 3),
        (None, None, None),
        (None, "n", "n"),
        ("n", "n", "n"),
        ("n", "m", None),
        (0, None, 0),
        (1, "n", 1),
    ],
)
def test_unify_dim(a, b, wanted) -> None:
    assert unify_dim(a, b) == unify_dim(b, a) == wanted


def test_unify_dim_refuses_two_sizes() -> None:
    with pytest.raises(ShapeError, match="dimension 2 meets 3"):
        unify_dim(2, 3)
    with pytest.raises(ShapeError, match="dimension 1 meets 3"):  # unifying is not broadcasting
        unify_dim(1, 3)


def attempt(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except ShapeError:
        return ShapeError


@given(shapes, shapes)
def test_unify_shape_is_symmetric_and_keeps_what_is_possible(a, b) -> None:
    both = attempt(unify_shape, a, b)
    assert both == attempt(unify_shape, b, a)
    for unknown in range(4):
        for shape in (a, b):
            actual = None if shape is None else fill(shape, SIZES, itertools.repeat(unknown))
            if actual is not None and possible(a, actual, SIZES) and possible(b, actual, SIZES):
                assert both is not ShapeError and possible(both, actual, SIZES)


@given(shapes)
def test_unify_shape_with_itself_and_with_nothing(a) -> None:
    assert unify_shape(a, a) == unify_shape(a, None) == unify_shape(None, a) == a


def test_unify_shape_names_both_ranks() -> None:
    with pytest.raises(ShapeError, match=r"rank 1 \(3,\) meets rank 2 \(batch, 3\)"):
        unify_shape((3,), ("batch", 3))


# ------------------------------------------------------------------------------------------------ broadcasting


@given(st.lists(known, min_size=1, max_size=3))
def test_broadcast_is_numpys(group) -> None:
    try:
        wanted: Any = np.broadcast_shapes(*group)
    except ValueError:
        wanted = ShapeError
    assert attempt(broadcast_shapes, *group) == wanted


@given(shapes, shapes, st.lists(st.integers(0, 3), min_size=8, max_size=8), st.integers(1, 3), st.integers(1, 3))
def test_broadcast_of_unknown_sizes_is_true_of_every_size(a, b, unknown, first, second) -> None:
    """Whatever the unknown and named sizes turn out to be: when NumPy broadcasts them, the result was foreseen."""
    result = attempt(broadcast_shapes, a, b)
    assert result == attempt(broadcast_shapes, b, a)
    if a is None or b is None:
        assert result is None
        return
    sizes = {"a": first, "b": second}
    try:
        actual = np.broadcast_shapes(fill(a, sizes, iter(unknown)), fill(b, sizes, iter(unknown[::-1])))
    except ValueError:
        return
    assert result is not ShapeError
    assert possible(result, actual, sizes)


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (("batch", 1), (3,), ("batch", 3)),
        (("n",), ("n",), ("n",)),
        (("n",), ("m",), (None,)),
        ((None,), (1,), (None,)),
        ((None,), (None,), (None,)),
        ((None,), (4,), (4,)),
        (("n",), (4,), (4,)),
        ((), ("n", None), ("n", None)),
        ((0,), (1,), (0,)),
    ],
)
def test_broadcast_of_names(a, b, wanted) -> None:
    assert broadcast_shapes(a, b) == broadcast_shapes(b, a) == wanted


def test_broadcast_error_has_both_shapes() -> None:
    with pytest.raises(ShapeError, match=r"shapes \(2, 3\) and \(4,\) do not broadcast") as caught:
        broadcast_shapes((2, 3), (4,))
    assert "equal or 1" in str(caught.value)


def test_same_shape_is_sure() -> None:
    assert same_shape((2, "n"), (2, "n"))
    assert not same_shape((None,), (None,))
    assert not same_shape(None, None)
    assert not same_shape((2,), (2, 1))


# ------------------------------------------------------------------------------------------------ promotion

dtypes = st.sampled_from([np.dtype(name) for name in SUPPORTED])
scalars = st.sampled_from([True, 1, -2, 2.5])


def spec(dtype: Any) -> TensorSpec:
    return TensorSpec((2,), dtype)


@given(st.lists(dtypes, min_size=1, max_size=3), st.lists(scalars, max_size=2))
def test_promotion_is_numpys(kinds, weak) -> None:
    wanted = np.result_type(*kinds, *[type(each)(1) for each in weak])
    assert promote(*map(spec, kinds), *weak) == wanted
    assert promote(*weak, *map(spec, reversed(kinds))) == wanted


@pytest.mark.parametrize(("a", "b"), list(itertools.product(SUPPORTED, [True, 1, 1.0])))
def test_arrays_of_numpy_agree(a, b) -> None:
    assert promote(spec(np.dtype(a)), b) == (np.ones(2, a) + b).dtype


def test_weak_scalars_alone() -> None:
    assert [promote(each).name for each in (True, 1, 1.5)] == ["bool", "int64", "float32"]
    assert promote(1, 2.5) == weak_dtype(2.5) == "float32"
    assert promote(True, 1) == weak_dtype(1) == "int64"
    assert promote(spec(np.dtype("float32")), None) == "float32"


def test_float_dtype() -> None:
    assert {float_dtype(np.dtype(name)).name for name in SUPPORTED if name[0] in "biu"} == {"float64"}
    assert [float_dtype(np.dtype(name)).name for name in ("float16", "float32")] == ["float16", "float32"]


# ------------------------------------------------------------------------------------------------ what users write


@pytest.mark.parametrize("given_", ["float32", np.float32, np.dtype("float32"), np.dtype(">f4"), "f4"])
def test_as_dtype(given_) -> None:
    assert as_dtype(given_) == np.dtype("float32") and as_dtype(given_).isnative


@pytest.mark.parametrize("bad", ["complex64", "float31", object, "S3", None, "datetime64[s]", [1], {}, np.dtype("O")])
def test_as_dtype_refuses(bad) -> None:
    with pytest.raises(DTypeError) as caught:
        as_dtype(bad)
    assert "float32" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (None, None),
        (3, (3,)),
        ("batch", ("batch",)),
        ([2, None], (2, None)),
        ((np.int32(2), "n"), (2, "n")),
        ((), ()),
        (range(2, 4), (2, 3)),
    ],
)
def test_as_shape(written, wanted) -> None:
    shape = as_shape(written)
    assert shape == wanted
    assert shape is None or all(dim is None or type(dim) in (int, str) for dim in shape)


@pytest.mark.parametrize("bad", [-1, (2, -3), (2.0,), (True,), ("",), 2.5, ((2,),), object()])
def test_as_shape_refuses(bad) -> None:
    with pytest.raises(ShapeError):
        as_shape(bad)


def test_known_shape() -> None:
    assert known_shape([2, 3]) == (2, 3)
    for open_ in (None, (None,), ("n", 2)):
        with pytest.raises(ShapeError, match="fully known"):
            known_shape(open_)


def test_axes() -> None:
    assert normalize_axis(-3, 3) == 0
    assert normalize_axes(None, 3) == (0, 1, 2)
    assert normalize_axes((), 3) == ()
    assert normalize_axes((-1, 0), 3) == (0, 2)
    for axis in (3, -4):
        with pytest.raises(ShapeError, match=f"axis {axis} is out of range for rank 3") as caught:
            normalize_axis(axis, 3)
        assert "from -3 to 2" in str(caught.value)
    for wrong in (1.0, True, "x", None):
        with pytest.raises(ShapeError, match="is not an int"):
            normalize_axis(wrong, 3)
    with pytest.raises(ShapeError, match="twice"):
        normalize_axes((0, -3), 3)


def test_spec() -> None:
    full, partly, nothing = (TensorSpec(shape, np.dtype("float32")) for shape in ((2, 3), ("n", 3), None))
    assert (full.known, full.size, full.nbytes, full.rank) == (True, 6, 24, 2)
    assert (partly.known, partly.size, partly.nbytes, partly.rank) == (False, None, None, 2)
    assert (nothing.known, nothing.size) == (False, None)
    assert TensorSpec((), np.dtype("bool")).size == 1
    with pytest.raises(UnknownRankError):
        _ = nothing.rank
    assert not issubclass(UnknownRankError, FlowError)  # it is never shown to a user
    assert [repr(each) for each in (full, partly, nothing)] == [
        "float32 (2, 3)",
        "float32 (n, 3)",
        "float32 (unknown rank)",
    ]
    assert format_shape((None,)) == "(?,)" and format_shape(()) == "()"
