"""batch_norm as it is built: what it refuses, what need not be known, and its two modes beside each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, FlowError, ShapeError


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def ones(count=3, dtype="float32"):
    return fb.constant(np.ones(count, dtype))


def norm(x, mean=None, variance=None, scale=None, offset=None, *rest, **options):
    return fb.batch_norm(
        x, *[ones() if each is None else each for each in (mean, variance, scale, offset)], *rest, **options
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make, kind, text",
    [
        (lambda t: norm(fb.placeholder((3,)), training=t), ShapeError, "batch_norm of shape (3,)"),
        (lambda t: norm(fb.placeholder((2, 4)), training=t), ShapeError, "moving_mean has shape (3,), x has (2, 4)"),
        (lambda t: norm(fb.placeholder((2, 3)), scale=ones(4), training=t), ShapeError, "scale has shape (4,), x has"),
        (lambda t: norm(fb.placeholder((2, 3)), offset=fb.placeholder((1, 3)), training=t), ShapeError, "(1, 3)"),
        (
            lambda t: norm(fb.placeholder((2, 3)), variance=ones(3, "float64"), training=t),
            DTypeError,
            "is float64, x is",
        ),
        (lambda t: norm(fb.placeholder((2, 3), "int32"), training=t), DTypeError, "the input of batch_norm is int32"),
        (lambda t: norm(fb.placeholder((2, 3)), training=t, momentum=-0.1), ArgumentError, "momentum is -0.1"),
        (lambda t: norm(fb.placeholder((2, 3)), training=t, epsilon="small"), ArgumentError, "epsilon is 'small'"),
    ],
)
def test_what_does_not_fit(make, kind, text, training) -> None:
    with pytest.raises(FlowError) as error:
        make(training)
    assert type(error.value) is kind and text in error.value.message
    assert error.value.hint and "batch_norm" in str(error.value) and "test_batch_norm.py" in str(error.value)


def test_training_is_a_bool_without_axes() -> None:
    x = fb.placeholder((2, 3))
    for wrong in (1, 0.0, None, fb.placeholder((2,), "bool"), fb.placeholder(()), "yes"):
        with pytest.raises(ArgumentError, match="training is"):
            norm(x, training=wrong)
    assert norm(x, training=np.True_).node.op == "batch_norm"
    with pytest.raises(ShapeError, match="moving_mean of batch_norm is a number"):
        fb.batch_norm(x, 0.0, 1.0, 1.0, 0.0)


def test_what_is_not_known_yet() -> None:
    assert norm(fb.placeholder(("batch", None))).shape == ("batch", 3)
    y = norm(fb.placeholder(None))
    assert y.shape is None and y.dtype == "float32"
    x = fb.placeholder((None, None, None, "channels"), name="x")
    parameters = [fb.placeholder(("channels",)) for _ in range(4)]
    y = fb.batch_norm(x, *parameters)
    assert y.shape == (None, None, None, "channels")
    data = np.arange(24.0, dtype="float32").reshape(2, 2, 3, 2)
    feeds = {x: data, **{each: np.ones(2, "float32") for each in parameters}}
    found = fb.Session().run(y, feeds)
    np.testing.assert_allclose(
        found, (data - data.mean((0, 1, 2))) / np.sqrt(data.var((0, 1, 2)) + 1e-3) + 1, rtol=1e-5
    )


def test_names() -> None:
    x = fb.placeholder((2, 3))
    assert [norm(x, name="bn").name, norm(x, name="still", training=False).name] == ["bn", "still"]
    assert norm(x).name == "batch_norm_1" and norm(x).name == "batch_norm_2"
    assert norm(x, training=False).node.op == "add"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_ways_not_to_train_agree(dtype, rng) -> None:
    x, training = fb.placeholder((5, 2, 3), dtype), fb.placeholder((), "bool")
    numbers = [rng.uniform(0.5, 2, 3).astype(dtype) for _ in range(4)]
    parameters = [fb.Variable(each) for each in numbers]
    ys = fb.batch_norm(x, *parameters, training), fb.batch_norm(x, *parameters, training=False)
    results = [[y, *fb.gradients(fb.sum(fb.tanh(y)), [x, *parameters])] for y in ys]
    session, data = fb.Session(), rng.standard_normal((5, 2, 3)).astype(dtype)
    fed, fixed = session.run(results, {x: data, training: False})
    for a, b in zip(fed, fixed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)


def test_second_derivatives_in_both_modes(rng) -> None:
    x, training = fb.placeholder((6, 3), "float64"), fb.placeholder((), "bool")
    parameters = [fb.Variable(rng.uniform(0.5, 2, 3)) for _ in range(4)]
    y = fb.sum(fb.tanh(fb.batch_norm(x, *parameters, training)))
    (dx,) = fb.gradients(y, [x])
    for mode in (True, False):
        feeds = {x: rng.standard_normal((6, 3)), training: mode}
        assert fb.check_gradients(fb.sum(fb.square(dx)), [x, *parameters], feeds).precision == "float64"


def test_the_statistics_are_outputs_of_the_node(rng) -> None:
    data = (1e4 + rng.standard_normal((1000, 3))).astype("float32")
    y = norm(fb.constant(data), epsilon=0.0)
    found, mean, variance = fb.Session().run(list(y.node.outputs))
    np.testing.assert_allclose(mean, data.mean(0, dtype="float64"), rtol=1e-7)
    np.testing.assert_allclose(variance, data.var(0, dtype="float64"), rtol=1e-5)
    np.testing.assert_allclose(found.mean(0, dtype="float64"), 1.0, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_small_batches(count) -> None:
    x = fb.placeholder((None, 3))
    y = norm(x, mean=ones() * 2.0, scale=ones() * 5.0)
    gradients = fb.gradients(fb.sum(y), [x, *y.node.inputs[1:]])
    found, *rest = fb.Session().run([*y.node.outputs, *gradients], {x: np.full((count, 3), 7.0)})
    assert np.array_equal(found, np.ones((count, 3)))
    mean, variance = rest[:2]
    assert mean.tolist() == [7.0 if count else 2.0] * 3 and variance.tolist() == [0.0 if count else 1.0] * 3
    assert all(np.isfinite(each).all() for each in rest)
    assert not rest[2].any()  # one number beside itself does not matter


def test_half_precision(rng) -> None:
    data = rng.standard_normal((50, 4, 3)).astype("float16")
    half = [fb.constant(np.ones(3, "float16")) for _ in range(4)]
    x = fb.placeholder((50, 4, 3), "float16")
    y = fb.batch_norm(x, *half)
    (dx,) = fb.gradients(fb.sum(fb.square(y)), [x])
    found, slope = fb.Session().run([y, dx], {x: data})
    wide = data.astype("float64")
    assert found.dtype == slope.dtype == "float16"
    np.testing.assert_allclose(found, (wide - wide.mean((0, 1))) / np.sqrt(wide.var((0, 1)) + 1e-3) + 1, atol=2e-3)
