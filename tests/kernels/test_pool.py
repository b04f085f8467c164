"""The native pooling kernels against the ops' oracles and reference kernels: windows, paddings, ties, layouts."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.ops import pool
from tests.kernels.test_matmul import draw, layouts
from tests.ops.cases import cast, compute
from tests.ops.checks import EXTREME, MODERATE, assert_close, expected, special_inputs, specs_of

_native = pytest.importorskip("flowbook.native._native")

NAMES = ["max_pool", "max_pool_grad", "max_pool_take", "avg_pool", "avg_pool_grad"]
by_op = pytest.mark.parametrize("op", [getattr(pool, name).opdef for name in NAMES], ids=NAMES)
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def run(op, inputs, attrs):
    attrs = {"window": 2, "strides": None, "padding": "valid", **attrs}
    (spec,) = specs_of(op, inputs, attrs)
    kinds = [each.dtype.name for each in inputs]
    return _native.Kernel(op.name, attrs, kinds, [(spec.dtype.name, spec.shape)])(*inputs)


@by_op
@by_dtype
def test_samples(op, dtype):
    for sample in op.samples():
        inputs = cast(sample.inputs, dtype)
        result = run(op, inputs, sample.attrs)
        assert_close(op, result, expected(op, inputs, sample.attrs)[0])
        for place, value in enumerate(inputs):
            for other in layouts(value):
                changed = (*inputs[:place], other, *inputs[place + 1 :])
                assert run(op, changed, sample.attrs).tobytes() == result.tobytes()


@by_op
@by_dtype
def test_special_values(op, dtype):
    for sample in op.samples():
        values = MODERATE + EXTREME if dtype == "float64" else MODERATE
        for inputs in special_inputs(op, sample, dtype, values):
            assert_close(op, run(op, inputs, sample.attrs), expected(op, inputs, sample.attrs)[0])


@by_op
@by_dtype
@pytest.mark.parametrize("shape", [(3, 12, 13, 1), (2, 9, 8, 40), (5, 7, 5, 19), (2, 6, 6, 0), (2, 1, 1, 33)])
@pytest.mark.parametrize(
    "attrs",
    [
        {"window": 1},
        {"window": (1, 1), "strides": 2, "padding": "same"},
        {"window": 2, "padding": "same"},
        {"window": (3, 2), "strides": (2, 3), "padding": "same"},
        {"window": 3, "strides": 1, "padding": "SAME"},
        {"window": 4, "strides": 5, "padding": "same"},
    ],
)
def test_against_the_reference_kernels(op, dtype, shape, attrs):
    attrs = {"strides": None, "padding": "valid", **attrs}
    x, g = np.round(draw(shape, dtype) * 2), draw(shape, dtype, 1)
    (spec,) = specs_of(pool.max_pool.opdef, [x], attrs)
    dy = draw(spec.shape, dtype, 2)
    inputs = {
        "max_pool": (x,),
        "avg_pool": (x,),
        "max_pool_grad": (dy, x),
        "avg_pool_grad": (dy, x),
        "max_pool_take": (g, x),
    }[op.name]
    wide = [each.astype("float64") for each in inputs]
    assert_close(op, run(op, inputs, attrs), compute(op, wide, attrs)[0])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_the_largest_integer(dtype):
    x = draw((2, 7, 6, 5), "int64").astype(dtype)
    attrs = {"window": 3, "strides": 2, "padding": "same"}
    np.testing.assert_array_equal(
        run(pool.max_pool.opdef, [x], attrs), compute(pool.max_pool.opdef, [x], attrs)[0], strict=True
    )


def test_nan_wins_and_takes_its_window_along():
    x, dy = np.ones((1, 2, 4, 1)), np.ones((1, 1, 2, 1))
    x[0, 1, 1, 0] = np.nan
    attrs = {"window": 2, "strides": None, "padding": "valid"}
    assert np.isnan(run(pool.max_pool.opdef, [x], attrs).ravel()).tolist() == [True, False]
    grad = run(pool.max_pool_grad.opdef, [dy, x], attrs)
    np.testing.assert_array_equal(grad[0, :, :, 0], [[np.nan, np.nan, 0.25, 0.25]] * 2)
