"""Learning rates by step, and gradients of bounded length, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, ShapeError


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def values(make, steps, dtype="int64"):
    step = fb.placeholder((), dtype, name="step")
    rate = make(step)
    assert rate.shape == () and rate.dtype == ("float64" if dtype == "float64" else "float32")
    f = fb.Session().make_callable(rate, [step])
    return [float(f(k)) for k in steps]


STEPS = [0, 1, 5, 9, 10, 11, 25, 1000]


@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_exponential_decay(dtype) -> None:
    found = values(lambda step: fb.train.exponential_decay(step, 0.5, 10, 0.9), STEPS, dtype)
    np.testing.assert_allclose(found, [0.5 * 0.9 ** (k / 10) for k in STEPS], rtol=1e-5)
    found = values(lambda step: fb.train.exponential_decay(step, 0.5, 10, 0.9, staircase=True), STEPS, dtype)
    np.testing.assert_allclose(found, [0.5 * 0.9 ** (k // 10) for k in STEPS], rtol=1e-5)


def test_cosine_decay() -> None:
    found = values(lambda step: fb.train.cosine_decay(step, 0.5, 10, final=0.1), STEPS)
    parts = np.minimum(np.array(STEPS) / 10, 1)
    np.testing.assert_allclose(found, 0.1 + 0.4 * (1 + np.cos(np.pi * parts)) / 2, rtol=1e-6)
    assert found[-1] == np.float32(0.1)


def test_piecewise_constant() -> None:
    found = values(lambda step: fb.train.piecewise_constant(step, [1, 10], [3.0, 2.0, 1.0]), STEPS)
    assert found == [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    assert values(lambda step: fb.train.piecewise_constant(step, [], [3.0]), [0, 7]) == [3.0, 3.0]


def test_warmup() -> None:
    found = values(lambda step: fb.train.warmup(step, 0.5, 10), STEPS)
    np.testing.assert_allclose(found, [0.5 * min((k + 1) / 10, 1) for k in STEPS], rtol=1e-6)
    both = values(lambda step: fb.train.warmup(step, fb.train.exponential_decay(step, 1.0, 5, 0.5), 4), STEPS)
    np.testing.assert_allclose(both, [min((k + 1) / 4, 1) * 0.5 ** (k / 5) for k in STEPS], rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda step: fb.train.cosine_decay(3, 0.1, 10), "step is 3, it has to be a tensor"),
        (lambda step: fb.train.cosine_decay(step, 0.1, 0), "0 steps: the number has to be positive"),
        (lambda step: fb.train.piecewise_constant(step, [1], [1.0]), "1 boundaries need 2 values, not 1"),
        (lambda step: fb.train.piecewise_constant(step, [2, 1], [1.0] * 3), "boundaries [2, 1] do not rise"),
        (lambda step: fb.train.warmup(fb.constant([1]), 1.0, 5), "has shape (1,), it has to be a scalar"),
        (lambda step: fb.train.warmup(step, 1.0, "5"), "the number of steps is '5', which is not a number"),
        (lambda step: fb.train.exponential_decay(step, None, 10, 0.5), "initial is None, which is not a number"),
        (lambda step: fb.train.cosine_decay(step, 1.0, 10, final="0"), "final is '0', which is not a number"),
        (lambda step: fb.train.piecewise_constant(step, 3, [1.0]), "boundaries is 3, it has to be a list"),
    ],
)
def test_wrong_arguments(make, text) -> None:
    with pytest.raises((ArgumentError, ShapeError)) as error:
        make(fb.placeholder((), "int64"))
    assert text in error.value.message


# ------------------------------------------------------------------------------------------------ clipping


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float64", "float32")])
def test_clip_by_global_norm(rng, max_norm, dtypes) -> None:
    arrays = [rng.standard_normal(shape).astype(dtype) for shape, dtype in zip([(3, 4), (5,)], dtypes, strict=True)]
    length = np.sqrt(sum((each.astype("float64") ** 2).sum() for each in arrays))
    clipped, norm = fb.train.clip_by_global_norm([fb.constant(arrays[0]), None, fb.constant(arrays[1])], max_norm)
    assert clipped[1] is None
    found, found_norm = fb.Session().run(([clipped[0], clipped[2]], norm))
    np.testing.assert_allclose(found_norm, length, rtol=1e-6)
    for array, result in zip(arrays, found, strict=True):
        assert result.dtype == array.dtype
        np.testing.assert_allclose(result, array * min(1, max_norm / length), rtol=1e-5)
    if max_norm > length:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(arrays, found, strict=True))


def test_clipping_zeros_and_what_is_not_finite() -> None:
    x = fb.placeholder((2,), name="x")
    (clipped,), norm = fb.train.clip_by_global_norm([x], 1.0)
    session = fb.Session()
    assert session.run((clipped, norm), {x: [0.0, 0.0]})[0].tolist() == [0.0, 0.0]
    assert np.isnan(session.run(clipped, {x: [np.inf, 1.0]})[0])
    assert np.isnan(session.run(clipped, {x: [np.nan, 1.0]})).all()


def test_the_bound_may_be_a_tensor() -> None:
    bound = fb.placeholder((), name="bound")
    (clipped,), _ = fb.train.clip_by_global_norm([fb.constant([3.0, 4.0])], bound)
    np.testing.assert_allclose(fb.Session().run(clipped, {bound: 1.0}), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    "make, kind, text",
    [
        (lambda x: fb.train.global_norm([None]), ArgumentError, "at least one tensor"),
        (lambda x: fb.train.global_norm(x), ArgumentError, "a list of tensors is needed, not Tensor"),
        (lambda x: fb.train.global_norm([(x, x)]), ArgumentError, "is not a tensor"),
        (lambda x: fb.train.global_norm([fb.constant([1])]), DTypeError, "is int64"),
        (lambda x: fb.train.clip_by_global_norm([x], 0), ArgumentError, "max_norm 0 is not positive"),
        (lambda x: fb.train.clip_by_global_norm([x], None), ArgumentError, "max_norm None is not positive"),
    ],
)
def test_wrong_lists(make, kind, text) -> None:
    with pytest.raises(kind) as error:
        make(fb.constant([1.0]))
    assert text in error.value.message
