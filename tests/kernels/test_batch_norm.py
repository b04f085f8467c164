"""The native kernels of batch normalisation: beside the reference kernels and NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.graph.opdef import REGISTRY
from tests.kernels.common import (
    check_random,
    check_sample,
    check_special,
    has_native,
    run_native,
    sample_cases,
)
from tests.ops.cases import compute
from tests.ops.checks import EXTREME, MODERATE, special_values

FORWARD, BACKWARD = sample_cases(("batch_norm",)), sample_cases(("batch_norm_grad",))
# One tile; several; several parts; stripes of channels, the last not full; one row, one channel.
SHAPES = [(1, 1), (1, 5), (7, 3), (2, 5, 4, 16), (5, 33), (300, 64), (6, 20, 30, 17), (9, 2500), (70, 40, 40, 8)]


def operands(shape, dtype="float32", mean=0.0, seed=0):
    """x, moving_mean, moving_variance, scale, offset."""
    rng = np.random.default_rng(seed)
    channels = shape[-1:]
    x = mean + rng.normal(size=shape) * rng.uniform(0.1, 3, channels) + rng.normal(size=channels)
    others = rng.normal(size=channels), rng.uniform(0.5, 2, channels), rng.normal(size=channels)
    return tuple(each.astype(dtype) for each in (x, *others, rng.normal(size=channels)))


def slopes(x, seed=1):
    """Gradients of y, mean and variance."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape).astype(x.dtype) for shape in (x.shape, x.shape[-1:], x.shape[-1:]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", FORWARD + BACKWARD, ids=str)
def test_samples(case, dtype):
    check_sample(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", FORWARD, ids=str)
def test_special(case, dtype):
    check_special(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("place", ["x", "dy", "scale", "dmean", "dvariance"])
def test_special_gradient(dtype, place):
    """A special number in one operand, with the statistics that go with x."""
    forward, backward = REGISTRY["batch_norm"], REGISTRY["batch_norm_grad"]
    for value in special_values(dtype, MODERATE + EXTREME):
        if abs(value) > 1e30 and np.isfinite(value):
            continue  # sums of products overflow, which the reference, being wider, does not see
        x, m, v, scale, offset = operands((6, 4), dtype)
        dy, dmean, dvariance = slopes(x)
        {"x": x, "dy": dy, "scale": scale, "dmean": dmean, "dvariance": dvariance}[place].reshape(-1)[2] = value
        _, mean, variance = compute(forward, (x, m, v, scale, offset), {})
        inputs = dy, dmean, dvariance, x, mean, variance, scale
        reference = compute(backward, inputs, {"epsilon": 1e-3})
        for result, wanted in zip(run_native("batch_norm_grad", *inputs, epsilon=1e-3), reference, strict=True):
            finite = np.isfinite(wanted)
            np.testing.assert_array_equal(np.isfinite(result), finite)  # inf and nan are not told apart
            np.testing.assert_allclose(result[finite], wanted[finite], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_random(shape, dtype):
    inputs = operands(shape, dtype)
    x, scale = inputs[0], inputs[3]
    for training in ((), (np.array(True),), (np.array(False),)):
        check_random("batch_norm", *inputs, *training, epsilon=1e-2)
        _, mean, variance = run_native("batch_norm", *inputs, *training, epsilon=1e-2)
        check_random("batch_norm_grad", *slopes(x), x, mean, variance, scale, *training, epsilon=1e-2)


def test_strides_of_all_kinds():
    """Broadcast, reversed and permuted operands, whose rows do not lie evenly, give the bytes of plain ones."""
    inputs = operands((3, 6, 5, 20))
    plain = run_native("batch_norm", *inputs)
    x = np.ascontiguousarray(inputs[0].transpose(3, 1, 0, 2)).transpose(2, 1, 3, 0)
    assert x.strides[-1] > x.strides[0] and np.array_equal(x, inputs[0])
    views = [x, inputs[0][::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1]]
    for view in views:
        for a, b in zip(run_native("batch_norm", view, *inputs[1:]), plain, strict=True):
            assert a.tobytes() == b.tobytes()
    one = inputs[0][:1, :1]
    for flat in (np.broadcast_to(one, (4, 6, 5, 20)), np.broadcast_to(one[..., :1], (4, 6, 5, 20))):
        dy = slopes(flat)
        for a, b in zip(
            run_native("batch_norm", flat, *inputs[1:]), run_native("batch_norm", flat.copy(), *inputs[1:]), strict=True
        ):
            assert a.tobytes() == b.tobytes()
        stats = [np.broadcast_to(np.float32(each), (20,)) for each in (0.5, 2.0, 1.5)]
        given = *dy, flat, *stats
        wanted = run_native("batch_norm_grad", *[each.copy() for each in given], epsilon=1e-3)
        for a, b in zip(run_native("batch_norm_grad", *given, epsilon=1e-3), wanted, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("shape", [(64, 3), (50, 28, 28, 16), (5000, 40)])
def test_the_bounds(shape, mean):
    """What batch_norm.cpp says of its results: mean and variance, and y and dx by what these make of them."""
    x, m, v, scale, offset = operands(shape, mean=mean, seed=3)
    wide, axes, unit = x.astype("float64"), tuple(range(x.ndim - 1)), 2.0**-24
    exact, spread = wide.mean(axes), wide.var(axes)
    y, found, variance = run_native("batch_norm", x, m, v, scale, offset, epsilon=0.0)
    deviation = np.sqrt(spread)
    assert (np.abs(found - exact) <= unit * (np.abs(exact) + 260 * deviation)).all()
    assert (np.abs(variance - spread) <= 260 * unit * spread).all()
    standard = (wide - exact) / deviation
    assert (np.abs(y - (standard * scale + offset)) <= 300 * unit * (np.abs(standard * scale) + np.abs(offset))).all()
    dy, dmean, dvariance = slopes(x)
    results = run_native("batch_norm_grad", dy, dmean, dvariance, x, found, variance, scale, epsilon=0.0)
    dy, count = dy.astype("float64"), x.size / x.shape[-1]
    dscale, doffset = (dy * standard).sum(axes), dy.sum(axes)
    dx = scale / deviation * (dy - doffset / count - standard * dscale / count)
    dx += dmean / count + 2 * dvariance * standard * deviation / count
    assert np.abs(results[0] - dx).max() <= 600 * unit * np.abs(dx).max()
    sizes = np.abs(dy * standard).sum(axes), np.abs(dy).sum(axes)
    for result, wanted, size in zip(results[1:3], (dscale, doffset), sizes, strict=True):
        assert (np.abs(result - wanted) <= 300 * unit * size).all()


def test_an_output_may_lie_over_its_input():
    """The runtime lets y lie in the memory of x, and dx in that of dy: an observed run, where nobody does, agrees."""
    x, *parameters = operands((40, 9, 9, 12))
    with fb.Graph().as_default():
        given = fb.placeholder((None, 9, 9, 12))
        y = fb.batch_norm(fb.matmul(given, np.eye(12, dtype="float32")), *parameters)
        (dx,) = fb.gradients(fb.sum(fb.square(y)), [given])
        session = fb.Session()
        found, observed = session.run([y, dx], {given: x}), session.run([y, dx], {given: x}, trace=True)
    for a, b in zip(found, observed, strict=True):
        assert a.tobytes() == b.tobytes()


def test_what_is_left_to_the_reference():
    half = [each.astype("float16") for each in operands((4, 3))]
    with fb.Graph().as_default():
        y = fb.batch_norm(*half)
        found = fb.Session().run(y)
    assert found.dtype == "float16"
    np.testing.assert_allclose(found, run_native("batch_norm", *operands((4, 3)))[0], atol=0.02)
    assert has_native("batch_norm", operands((4, 3)))
