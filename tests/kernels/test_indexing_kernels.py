"""Native kernels that pick and count: gather and its gradient, one_hot, argmax and argmin."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.errors import FlowError
from flowbook.graph.opdef import REGISTRY
from tests.kernels.common import check_random, check_sample, check_special, has_native, run_native, sample_cases
from tests.ops.cases import compute

NAMES = ("gather", "embedding_lookup", "scatter_add", "one_hot", "argmax", "argmin")
rng = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", sample_cases(NAMES), ids=str)
def test_samples(case, dtype):
    check_sample(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", sample_cases(("gather", "scatter_add", "argmax", "argmin")), ids=str)
def test_special(case, dtype):
    check_special(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool", "uint16"])
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
def test_gather(dtype, kind):
    x = rng.integers(0, 100, (7, 5, 9)).astype(dtype)
    for axis, size in [(0, 7), (1, 5), (-1, 9)]:
        for shape in [(), (4,), (2, 3), (0,)]:
            low = 0 if kind == "uint8" else -size
            indices = np.array(rng.integers(low, size, shape)).astype(kind)
            check_random("gather", x, indices, axis=axis)
    check_random("embedding_lookup", x, rng.integers(0, 7, (50, 20)).astype(kind))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_scatter_add_is_the_reference_to_the_bit(dtype):
    """Terms are added in the order of the indices, as NumPy adds them."""
    for shape, axis, count in [((7, 5), 0, 300), ((4, 6, 3), 1, 50), ((30000, 40), 0, 3000), ((3, 4, 5), -1, 8)]:
        size = shape[axis]
        indices = rng.integers(-size, size, count)
        at = axis % len(shape)
        dy = (rng.normal(size=(*shape[:at], count, *shape[at + 1 :])) * 100).astype(dtype)
        like = np.zeros(shape, dtype)
        (result,) = run_native("scatter_add", dy, indices, like, axis=axis)
        (wanted,) = compute(REGISTRY["scatter_add"], (dy, indices, like), {"axis": axis})
        assert result.tobytes() == wanted.tobytes()
        strided = np.asfortranarray(dy)
        assert run_native("scatter_add", strided, indices, like, axis=axis)[0].tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["gather", "embedding_lookup"])
@pytest.mark.parametrize("size", [4, 0])
def test_an_index_out_of_range(name, size):
    for indices in [np.array([0, size, -9]), np.array([[-size - 1]], "int32"), np.array(100, "uint8")]:
        inputs = (np.zeros((size, 3)), indices)
        with pytest.raises(FlowError) as reference:
            compute(REGISTRY[name], inputs, {})
        with pytest.raises(RuntimeError) as error:
            run_native(name, *inputs)
        assert str(error.value) == f"{reference.value.message}\n{reference.value.hint}"


def test_an_index_out_of_range_names_its_axis():
    inputs = (np.zeros((2, 3)), np.array([3]))
    with pytest.raises(RuntimeError, match="index 3 is out of range for axis -1 of size 3"):
        run_native("gather", *inputs, axis=-1)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "int64", "float32", "float64"])
def test_one_hot(dtype):
    indices = rng.integers(-2, 9, (5, 6))
    for axis in (-1, 0, 1, 2):
        check_random("one_hot", indices, depth=7, dtype=dtype, axis=axis)
    assert run_native("one_hot", indices, depth=0, dtype=dtype)[0].shape == (5, 6, 0)
    check_random("one_hot", rng.integers(0, 100, 3000), depth=100, dtype=dtype)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool", "uint64", "int8"])
def test_argmax(name, dtype):
    for shape in [(1, 1), (5, 7), (3, 16), (2, 31), (4, 33), (2, 64), (300, 1000)]:
        for spread in (3, 1000):  # with many ties, and with few
            x = rng.integers(0 if dtype[0] in "ub" else -spread, spread, shape).astype(dtype)
            for axis in (0, 1, None):
                check_random(name, x, axis=axis)
            check_random(name, x, axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_place_of_special_numbers(name, dtype):
    x = np.round(rng.normal(size=(400, 71)), 1).astype(dtype)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(dtype).max, np.finfo(dtype).min], dtype)
    for _ in range(3):
        x[np.arange(400), rng.integers(0, 71, 400)] = rng.choice(special, 400)
    check_random(name, x, axis=1)
    check_random(name, np.full((3, 40), np.nan, dtype), axis=1)
    check_random(name, np.full((3, 40), -np.inf, dtype), axis=1)


def test_what_is_left_to_the_reference():
    assert not has_native("gather", [np.zeros(3), np.array([1], "uint64")])
    assert not has_native("scatter_add", [np.zeros(1, "int8"), np.array([1]), np.zeros(3, "int8")])
