"""Layers and initializers against NumPy; their names, their variables, and what they say to wrong inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.signal import correlate2d

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, FlowError, GraphError, ShapeError


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def names(layer) -> list[str]:
    return [each.name for each in layer.variables]


# ------------------------------------------------------------------------------------------------ results


@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense(rng, shape, dtype) -> None:
    x = fb.placeholder([None] * (len(shape) - 1) + [3], dtype, name="x")
    layer = fb.nn.Dense(5, activation=fb.tanh, bias_initializer=fb.nn.normal(1.0))
    data = rng.standard_normal(shape).astype(dtype)
    y, (kernel, bias) = fb.Session().run((layer(x), layer.variables), {x: data})
    assert y.dtype == kernel.dtype == bias.dtype == dtype and kernel.shape == (3, 5) and bias.shape == (5,)
    np.testing.assert_allclose(y, np.tanh(data @ kernel + bias), rtol=1e-5, atol=1e-6)


def test_dense_without_bias_and_activation(rng) -> None:
    layer = fb.nn.Dense(2, use_bias=False)
    data = rng.standard_normal((4, 3)).astype("float32")
    y, (kernel,) = fb.Session().run((layer(data), layer.variables))
    np.testing.assert_allclose(y, data @ kernel, rtol=1e-6)


@pytest.mark.parametrize("size", [3, (2, 3)])
def test_conv2d(rng, size) -> None:
    layer = fb.nn.Conv2D(2, size, padding="valid", activation=fb.relu, bias_initializer=fb.nn.normal(1.0))
    x = rng.standard_normal((2, 6, 5, 3)).astype("float32")
    y, (kernel, bias) = fb.Session().run((layer(x), layer.variables))
    expected = np.zeros(y.shape)
    for image, row, column in np.ndindex(2, 3, 2):
        expected[image, :, :, column] += correlate2d(x[image, :, :, row], kernel[:, :, row, column], "valid")
    np.testing.assert_allclose(y, np.maximum(expected + bias, 0), rtol=1e-4, atol=1e-5)


def test_conv2d_strides_and_dilations() -> None:
    x = fb.placeholder(("batch", 9, 9, 1))
    assert fb.nn.Conv2D(4, 3, strides=(2, 1))(x).shape == ("batch", 5, 9, 4)
    assert fb.nn.Conv2D(4, 3, padding="valid", dilations=2)(x).shape == ("batch", 5, 5, 4)


def test_layer_norm(rng) -> None:
    layer = fb.nn.LayerNorm(epsilon=1e-3)
    x = rng.standard_normal((2, 3, 8)).astype("float32") * 5 + 2
    y = fb.Session().run(layer(x))
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert names(layer) == ["layernorm/scale", "layernorm/offset"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 6, 3)])
def test_batch_norm(rng, shape, dtype) -> None:
    x = fb.placeholder([None] * (len(shape) - 1) + [3], dtype)
    layer = fb.nn.BatchNorm(epsilon=1e-2)
    trained, evaluated = layer(x), layer(x, training=False)
    session, data = fb.Session(), (rng.standard_normal(shape) * 5 + 2).astype(dtype)
    scale, offset, mean, variance = (rng.uniform(0.5, 2, 3).astype(dtype) for _ in range(4))
    session.run([fb.assign(*each) for each in zip(layer.variables, (scale, offset, mean, variance), strict=True)])
    axes = tuple(range(len(shape) - 1))
    for y, m, v in ((trained, data.mean(axes), data.var(axes)), (evaluated, mean, variance)):
        found = session.run(y, {x: data})
        assert found.dtype == dtype
        np.testing.assert_allclose(found, (data - m) / np.sqrt(v + 1e-2) * scale + offset, rtol=1e-4, atol=1e-5)
    assert names(layer) == [f"batchnorm/{name}" for name in ("scale", "offset", "moving_mean", "moving_variance")]
    assert [each.trainable for each in layer.variables] == [True, True, False, False]


def test_embedding(rng) -> None:
    layer = fb.nn.Embedding(7, 4, dtype="float64")
    ids = rng.integers(0, 7, (2, 5))
    y, (table,) = fb.Session().run((layer(ids), layer.variables))
    assert y.dtype == "float64" and table.shape == (7, 4)
    assert np.array_equal(y, table[ids])


def test_dropout(rng) -> None:
    x = fb.constant(np.ones((100, 100), "float32"))
    on, off = fb.placeholder((), "bool", name="on"), fb.nn.Dropout(0.25)(x, training=False)
    y = fb.nn.Dropout(0.25)(x, training=on)
    session = fb.Session()
    first, second = session.run(y, {on: True}), session.run(y, {on: True})
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(np.mean(first == 0) - 0.25) < 0.02
    assert not np.array_equal(first, second)
    assert np.array_equal(session.run(y, {on: False}), np.ones((100, 100)))
    assert np.array_equal(session.run(off), np.ones((100, 100)))


def test_sequential_passes_training_on(rng) -> None:
    model = fb.nn.Sequential([fb.nn.Dense(50), fb.relu, fb.nn.Dropout(0.5), lambda x: x * 2.0])
    x = fb.constant(rng.standard_normal((10, 3)).astype("float32"))
    session = fb.Session()
    once, again = model(x, training=False), model(x, training=False)
    assert np.array_equal(*session.run([once, again]))
    trained = session.run(model(x))
    assert np.count_nonzero(trained) < np.count_nonzero(session.run(once))
    assert names(model) == ["sequential/dense/kernel", "sequential/dense/bias"]


# ------------------------------------------------------------------------------------------------ initializers


@pytest.mark.parametrize(
    "initializer, kind, scale",
    [
        (fb.nn.glorot_uniform, "uniform", np.sqrt(2 / (400 + 300))),
        (fb.nn.glorot_normal, "normal", np.sqrt(2 / (400 + 300))),
        (fb.nn.he_uniform, "uniform", np.sqrt(2 / 400)),
        (fb.nn.he_normal, "normal", np.sqrt(2 / 400)),
        (fb.nn.normal(0.3), "normal", 0.3),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_initializers(initializer, kind, scale, dtype) -> None:
    value = fb.Session().run(fb.Variable(initializer, dtype, shape=(400, 300), name="w"))
    assert value.dtype == dtype and value.shape == (400, 300)
    assert abs(value.mean()) < 0.02 * scale
    assert abs(value.std() / scale - 1) < 0.01
    largest = np.abs(value).max() / scale
    assert largest <= np.sqrt(3) * (1 + 1e-6) if kind == "uniform" else largest > 3


@pytest.mark.parametrize(
    "shape, fan_in, fan_out", [((5, 5, 64, 32), 1600, 800), ((7,), 7, 7), ((), 1, 1), ((3, 4), 3, 4)]
)
def test_fans(shape, fan_in, fan_out) -> None:
    assert fb.nn.glorot_uniform(shape).node.attrs["high"] == pytest.approx(np.sqrt(6 / (fan_in + fan_out)))
    assert fb.nn.he_normal(shape).node.attrs["scale"] == pytest.approx(np.sqrt(2 / fan_in))


def test_constant_initializers() -> None:
    zeros, ones = fb.nn.zeros((2, 3)), fb.nn.ones((2,), "int32")
    session = fb.Session()
    assert session.run(zeros).tolist() == [[0.0] * 3] * 2 and zeros.dtype == "float32"
    assert session.run(ones).tolist() == [1, 1] and ones.dtype == "int32"


def test_an_initializer_is_evaluated_once_and_by_the_seed() -> None:
    def first(seed):
        graph = fb.Graph(seed=seed)
        with graph.as_default():
            fb.nn.Dense(4)(fb.placeholder((None, 3)))
        session = fb.Session(graph)
        value = session.run("dense/kernel")
        assert np.array_equal(value, session.run("dense/kernel"))
        assert np.array_equal(value, fb.Session(graph).run("dense/kernel"))
        return value

    assert np.array_equal(first(0), first(0))
    assert not np.array_equal(first(0), first(1))


def test_two_layers_start_differently() -> None:
    x = fb.placeholder((None, 3))
    layers = [fb.nn.Dense(3), fb.nn.Dense(3)]
    for each in layers:
        each(x)
    a, b = fb.Session().run([each.variables[0] for each in layers])
    assert not np.array_equal(a, b)


# ------------------------------------------------------------------------------------------------ names and sharing


def test_scopes_are_numbered_or_named() -> None:
    x = fb.placeholder((None, 3))
    with fb.name_scope("encoder"):
        layers = [fb.nn.Dense(3), fb.nn.Dense(3), fb.nn.Dense(3, name="last")]
        outputs = [layer(x) for layer in layers]
    layers.append(fb.nn.Dense(3))
    layers[-1](x)
    assert [names(each)[0] for each in layers] == [
        "encoder/dense/kernel",
        "encoder/dense_1/kernel",
        "encoder/last/kernel",
        "dense/kernel",
    ]
    assert [each.name for each in outputs] == ["encoder/dense/add_1", "encoder/dense_1/add_1", "encoder/last/add_1"]


def test_later_calls_share_the_variables() -> None:
    layer = fb.nn.Dense(3)
    a, b = fb.placeholder((None, 2), name="a"), fb.placeholder((5, 2), name="b")
    assert layer.variables == []
    layer(a)
    variables = layer.variables
    with fb.name_scope("tower"):
        second = layer(b)
    assert all(x is y for x, y in zip(layer.variables, variables, strict=True))
    assert second.name == "tower/dense/add_1"
    with pytest.raises(ShapeError) as error:
        layer(fb.placeholder((None, 4)))
    assert error.value.message == "'dense/kernel' has shape (2, 3); this input needs (4, 3)"


def test_two_layers_of_one_name_are_refused() -> None:
    x = fb.placeholder((None, 2))
    fb.nn.Dense(3, name="d")(x)
    with pytest.raises(GraphError, match="'d/kernel' is defined already"):
        fb.nn.Dense(3, name="d")(x)


def test_a_cell_run_again_keeps_names_and_values(graph) -> None:
    x = fb.placeholder((None, 3), name="x")

    def cell(name, units):
        with graph.transaction(name):
            model = fb.nn.Sequential([fb.nn.Dense(units), fb.relu, fb.nn.Dense(2)])
            return model, model(x)

    model, _ = cell("a", 4)
    other, _ = cell("b", 4)
    first = names(model)
    assert first[0] == "sequential/dense/kernel" and names(other)[0] == "sequential_1/dense/kernel"
    session = fb.Session()
    session.run(fb.assign_add(model.variables[0], 1.0))
    before = session.run(model.variables)
    again, y = cell("a", 4)
    assert names(again) == first
    for old, new in zip(before, session.run(again.variables), strict=True):
        assert np.array_equal(old, new)
    assert session.run(y, {x: np.ones((1, 3))}).shape == (1, 2)
    wider, _ = cell("a", 5)
    assert session.run(wider.variables)[0].shape == (3, 5)


def test_a_layer_made_elsewhere_is_built_again_with_its_cell(graph) -> None:
    x = fb.placeholder((None, 3), name="x")
    model = fb.nn.Sequential([fb.nn.Dense(4), fb.nn.LayerNorm(), fb.nn.Dropout(0.1), fb.nn.MultiHeadAttention(2)][:3])

    def cell():
        with graph.transaction("use"):
            return model(x), model(x, training=False)

    first, _ = cell()
    session = fb.Session()
    session.run(fb.assign(model.variables[1], [1.0, 2.0, 3.0, 4.0]))
    first_names = names(model)
    second, shared = cell()
    assert names(model) == first_names and second is first
    assert len({each.node.name for each in graph.variables}) == len(first_names) == 4
    assert session.run(model.variables[1]).tolist() == [1.0, 2.0, 3.0, 4.0]
    assert session.run(shared, {x: np.ones((2, 3))}).shape == (2, 4)


def test_a_layer_inside_cond_keeps_its_variables_outside(graph) -> None:
    x, flag = fb.placeholder((2, 3), name="x"), fb.placeholder((), "bool", name="flag")
    layer = fb.nn.Dense(3, name="d")
    y = fb.cond(flag, lambda: layer(x), lambda: x)
    assert [each.name for each in graph.variables] == ["cond_1/true/d/kernel", "cond_1/true/d/bias"]
    session = fb.Session()
    data = np.ones((2, 3), "float32")
    assert np.array_equal(session.run(y, {x: data, flag: False}), data)
    found, outside = session.run([y, layer(x)], {x: data, flag: True})
    assert np.array_equal(found, outside)


# ------------------------------------------------------------------------------------------------ wrong inputs


@pytest.mark.parametrize(
    "make, kind, text",
    [
        (lambda: fb.nn.Dense(3)(fb.placeholder((None, None))), ShapeError, "has to know the last size of its input"),
        (lambda: fb.nn.Dense(3)(fb.placeholder(None)), ShapeError, "an input of at least one axis"),
        (lambda: fb.nn.Dense(3)(fb.placeholder(())), ShapeError, "an input of at least one axis"),
        (lambda: fb.nn.Dense(3)(fb.placeholder((2, 3), "int64")), DTypeError, "Dense needs floats"),
        (lambda: fb.nn.Conv2D(3, 3)(fb.placeholder((None, 28, 28))), ShapeError, "Conv2D needs an input of rank 4"),
        (lambda: fb.nn.LayerNorm()(fb.placeholder((None, "n"))), ShapeError, "LayerNorm has to know the last size"),
        (lambda: fb.nn.BatchNorm()(fb.placeholder((None, "n"))), ShapeError, "BatchNorm has to know the last size"),
        (lambda: fb.nn.BatchNorm()(fb.placeholder((3,))), ShapeError, "batch_norm of shape (3,)"),
        (lambda: fb.nn.BatchNorm(1.5)(fb.placeholder((2, 3))), ArgumentError, "momentum is 1.5"),
        (lambda: fb.nn.BatchNorm(epsilon=-1)(fb.placeholder((2, 3))), ArgumentError, "epsilon is -1"),
        (lambda: fb.nn.BatchNorm()(fb.placeholder((2, 3)), training=1), ArgumentError, "training is 1"),
        (lambda: fb.nn.Embedding(3, 4)(fb.placeholder((None,))), DTypeError, "Embedding needs integers"),
        (lambda: fb.nn.Dense(0), ArgumentError, "units is 0, it has to be a positive int"),
        (lambda: fb.nn.Dense(2.0), ArgumentError, "units is 2.0"),
        (lambda: fb.nn.Dense(2, "relu"), ArgumentError, "activation is 'relu', it has to be a function"),
        (lambda: fb.nn.Conv2D(2, (3, 3, 3)), ArgumentError, "an int or (height, width)"),
        (lambda: fb.nn.Dropout(1.0), ArgumentError, "rate is 1.0"),
        (lambda: fb.nn.Sequential([fb.nn.Dense(2), 3]), ArgumentError, "3 is not a layer"),
        (lambda: fb.nn.Sequential(fb.nn.Dense(2)), ArgumentError, "it has to be a list"),
        (lambda: fb.nn.normal(-1.0), ArgumentError, "-1.0"),
        (lambda: fb.nn.zeros((None, 3)), ShapeError, "fully known"),
    ],
)
def test_wrong_inputs(make, kind, text) -> None:
    with pytest.raises(FlowError) as error:
        make()
    assert isinstance(error.value, kind) and text in error.value.message


def test_repr() -> None:
    assert repr(fb.nn.BatchNorm(0.9)) == "BatchNorm(momentum=0.9, epsilon=0.001)"
    assert repr(fb.nn.Dropout(0.5)) == "Dropout(rate=0.5, seed=None)"
    assert repr(fb.nn.Sequential([fb.relu, fb.nn.LayerNorm()])) == "Sequential(layers=[relu, LayerNorm(epsilon=1e-05)])"


# ------------------------------------------------------------------------------------------------ gradients


def test_gradients_of_all_layers(rng) -> None:
    image, ids = fb.placeholder(("batch", 6, 6, 2), name="image"), fb.placeholder(("batch", 3), "int64", name="ids")
    vision = fb.nn.Sequential(
        [fb.nn.Conv2D(3, 3, activation=fb.tanh), fb.nn.BatchNorm(), fb.nn.Dropout(0.2), fb.nn.LayerNorm()]
    )
    words = fb.nn.Sequential([fb.nn.Embedding(5, 4), fb.nn.Dense(3, activation=fb.gelu)])
    loss = fb.mean(vision(image)) * fb.sum(fb.square(words(ids)))
    xs = [image, *vision.variables, *words.variables]
    feeds = {image: rng.standard_normal((2, 6, 6, 2)), ids: rng.integers(0, 5, (2, 3))}
    assert fb.check_gradients(loss, xs, feeds).precision == "float64"
