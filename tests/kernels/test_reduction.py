"""Native reductions over every set of axes, against NumPy in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from flowbook.graph.types import TensorSpec
from flowbook.native.program import Program
from tests.kernels.programs import kernel, run

pytest.importorskip("flowbook.native._native")

SHAPES = (
    (),
    (1,),
    (5,),
    (300,),
    (1025,),
    (70000,),
    (1, 1),
    (0, 4),
    (3, 0),
    (300, 10),
    (10, 300),
    (3000, 3),
    (3, 3000),
    (700, 700),
    (2, 70000),
    (70000, 2),
    (4, 5, 6),
    (17, 1, 40),
    (5, 600, 3),
    (3, 4, 700),
    (20, 8, 9, 10),
    (2, 3, 2, 3, 2),
)
CASES = [
    (shape, axes)
    for shape in SHAPES
    for count in range(len(shape) + 1)
    for axes in itertools.combinations(range(len(shape)), count)
]


def reduce(name, x, axes, dtype=None):
    shape = tuple(size for i, size in enumerate(x.shape) if i not in axes)
    return np.asarray(run(name, [x], {"axis": axes}, TensorSpec(shape, np.dtype(dtype or x.dtype))))


@pytest.mark.parametrize(("shape", "axes"), CASES, ids=str)
def test_every_set_of_axes(shape, axes):
    rng = np.random.default_rng(len(shape) + len(axes))
    for dtype in ("float32", "float64"):
        x = np.asarray(rng.standard_normal(shape) + 0.5).astype(dtype)
        bound = 8 * np.finfo(dtype).eps * np.sum(np.abs(x), axis=axes, dtype="float64")
        assert np.all(np.abs(reduce("sum", x, axes) - np.sum(x, axis=axes, dtype="float64")) <= bound)
        count = x.size / max(np.sum(x, axis=axes).size, 1)
        if count:
            mean = np.mean(x, axis=axes, dtype="float64")
            assert np.all(np.abs(reduce("mean", x, axes) - mean) <= bound / count)
            for name in ("max", "min"):
                np.testing.assert_array_equal(reduce(name, x, axes), getattr(np, name)(x, axis=axes))
        else:
            assert np.isnan(reduce("mean", x, axes)).all()
    whole = rng.integers(-100, 100, shape)
    np.testing.assert_array_equal(reduce("sum", whole, axes), whole.sum(axis=axes))
    np.testing.assert_array_equal(reduce("sum", whole.astype("int32"), axes, "int64"), whole.sum(axis=axes))
    np.testing.assert_array_equal(reduce("sum", whole > 0, axes, "int64"), (whole > 0).sum(axis=axes))
    for name in ("any", "all"):
        flags = rng.random(shape) < (0.01 if name == "any" else 0.99)
        np.testing.assert_array_equal(reduce(name, flags, axes), getattr(np, name)(flags, axis=axes))
        np.testing.assert_array_equal(reduce(name, whole, axes, "bool"), getattr(np, name)(whole, axis=axes))
    if whole.size:
        np.testing.assert_array_equal(reduce("max", whole, axes), whole.max(axis=axes))
        small = whole.astype("int32")
        np.testing.assert_array_equal(reduce("min", small, axes), small.min(axis=axes))


@pytest.mark.parametrize(("shape", "axes"), [case for case in CASES if 1 < np.prod(case[0]) < 10000], ids=str)
def test_nan_wins_wherever_it_is(shape, axes):
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = rng.standard_normal(shape).astype("float32")
        x.reshape(-1)[rng.integers(x.size)] = np.nan
        for name in ("max", "min", "sum"):
            np.testing.assert_array_equal(np.isnan(reduce(name, x, axes)), np.isnan(np.sum(x, axis=axes)))


def test_products():
    x = np.asarray(np.random.default_rng(0).uniform(0.9, 1.1, (30, 70)), "float32")
    for axes in ((0,), (1,), (0, 1)):
        wanted = np.prod(x, axis=axes, dtype="float64")
        assert np.all(np.abs(reduce("prod", x, axes) - wanted) <= 1e-6 * np.abs(wanted))
        assert (reduce("prod", np.zeros((0, 0), "float32"), axes) == 1).all()


def test_strides_change_no_bit():
    x = np.random.default_rng(0).standard_normal((70, 9, 110)).astype("float32")
    views = [np.asfortranarray(x), np.repeat(x, 2, axis=2)[:, :, ::2], np.ascontiguousarray(x[::-1])[::-1]]
    for axes in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)):
        for view in views:
            assert reduce("sum", view, axes).tobytes() == reduce("sum", x, axes).tobytes()
    row = np.broadcast_to(x[:1, :1], x.shape)
    for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
        assert reduce("sum", row, axes).tobytes() == reduce("sum", row.copy(), axes).tobytes()


def test_long_sums_are_as_accurate_as_pairwise():
    x = np.full(10_000_000, 0.1, "float32")
    assert abs(float(reduce("sum", x, (0,))) / (float(x[0]) * x.size) - 1) < 1e-7
    tall = np.full((1_000_000, 2), 0.1, "float32")
    assert np.all(np.abs(reduce("sum", tall, (0,)) / (float(x[0]) * len(tall)) - 1) < 3e-7)


def test_several_axes_in_one_program():
    x = np.random.default_rng(0).standard_normal((40, 30)).astype("float32")
    program, outputs, wanted = Program(), [], []
    value = program.input(x.dtype, x.shape)
    for name, axes in (("sum", (0,)), ("max", (0,)), ("sum", (1,)), ("mean", (0, 1)), ("min", ())):
        wanted.append(reduce(name, x, axes))
        outputs.append(TensorSpec(wanted[-1].shape, x.dtype))
        program.output(program.emit(name, [value], {"axis": axes}, outputs[-1]))
    for got, each in zip(kernel(program, x.shape, [x], outputs)(x), wanted, strict=True):
        assert got.tobytes() == each.tobytes()
