"""Attention against a loop over heads and queries in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import DTypeError, ShapeError
from flowbook.graph.order import ancestors


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def looped(q, k, v, allowed):
    """One query at a time; ``allowed``: (queries, keys) of bool."""
    result = np.zeros((len(q), v.shape[1]))
    for i, query in enumerate(q):
        keys = np.flatnonzero(allowed[i])
        scores = np.array([query @ k[j] for j in keys]) / np.sqrt(len(query))
        weights = np.exp(scores - scores.max())
        result[i] = (weights / weights.sum()) @ v[keys]
    return result


def multi_head(layer, session, query, key, value, allowed):
    """The whole layer, from its variables."""
    w = {each.name.split("/", 1)[1]: session.run(each).astype("float64") for each in layer.variables}

    def project(x, name):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    result = np.zeros(query.shape)
    for entry in range(len(query)):
        q, k, v = (project(x[entry], n) for x, n in ((query, "query"), (key, "key"), (value, "value")))
        heads = [
            looped(*parts, allowed)
            for parts in zip(*(np.split(each, layer.heads, 1) for each in (q, k, v)), strict=True)
        ]
        result[entry] = project(np.concatenate(heads, 1), "output")
    return result


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [None, 4])
@pytest.mark.parametrize("known", [False, True])
def test_self_attention(rng, causal, size, known) -> None:
    data = rng.standard_normal((2, 5, 8)).astype("float32")
    x = fb.placeholder((2, 5, 8) if known else ("batch", "time", 8), name="x")
    layer = fb.nn.MultiHeadAttention(2, size, causal=causal)
    y = layer(x)
    assert y.shape == x.shape
    session = fb.Session()
    allowed = np.tri(5, dtype=bool) if causal else np.ones((5, 5), bool)
    expected = multi_head(layer, session, data, data, data, allowed)
    np.testing.assert_allclose(session.run(y, {x: data}), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_to_another_sequence(rng, causal) -> None:
    query, key, value = (rng.standard_normal(s).astype("float32") for s in ((2, 3, 8), (2, 5, 6), (2, 5, 4)))
    layer = fb.nn.MultiHeadAttention(4, causal=causal)
    y = layer(query, key, value)
    session = fb.Session()
    allowed = np.array([[key <= query + 2 or not causal for key in range(5)] for query in range(3)])
    expected = multi_head(layer, session, query, key, value, allowed)
    np.testing.assert_allclose(session.run(y), expected, rtol=1e-4, atol=1e-5)


def test_a_mask(rng) -> None:
    data, mask = rng.standard_normal((1, 4, 6)).astype("float32"), rng.random((4, 4)) < 0.5
    mask[:, 0] = True
    layer = fb.nn.MultiHeadAttention(3)
    y, session = layer(data, mask=fb.constant(mask)), fb.Session()
    expected = multi_head(layer, session, data, data, data, mask)
    np.testing.assert_allclose(session.run(y), expected, rtol=1e-4, atol=1e-5)


def test_a_causal_mask_hides_the_future(rng) -> None:
    x = fb.placeholder((1, 6, 4), name="x")
    y = fb.nn.MultiHeadAttention(2, causal=True)(x)
    session = fb.Session()
    data = rng.standard_normal((1, 6, 4))
    before = session.run(y, {x: data})
    data[:, 4:] += 1.0
    after = session.run(y, {x: data})
    assert np.array_equal(before[:, :4], after[:, :4])
    assert not np.isclose(before[:, 4:], after[:, 4:]).any(-1).all()


def test_a_query_that_sees_nothing_takes_the_mean(rng) -> None:
    v = rng.standard_normal((3, 4)).astype("float32")
    q = fb.constant(rng.standard_normal((2, 4)).astype("float32"))
    y = fb.nn.attention(q, fb.constant(v), fb.constant(v), mask=fb.constant(np.zeros((2, 3), bool)))
    np.testing.assert_allclose(fb.Session().run(y), np.tile(v.mean(0), (2, 1)), rtol=1e-5, atol=1e-6)


def test_dropped_weights(rng) -> None:
    x = fb.constant(rng.standard_normal((2, 5, 8)).astype("float32"))
    layer = fb.nn.MultiHeadAttention(2, dropout=0.5)
    session = fb.Session()
    trained, plain, again = session.run([layer(x), layer(x, training=False), layer(x, training=False)])
    assert np.array_equal(plain, again) and not np.allclose(trained, plain)


def test_weights_are_nodes_where_somebody_weighs_them(rng) -> None:
    x = fb.constant(rng.standard_normal((2, 5, 8)).astype("float32"))

    def ops(y):
        return {each.op for each in ancestors([y.node])}

    fused, seen = fb.nn.attention(x, x, x, causal=True), fb.nn.attention(x, x, x, causal=True, weigh=fb.identity)
    assert "softmax" not in ops(fused) and "softmax" in ops(seen)
    np.testing.assert_allclose(*fb.Session().run([fused, seen]), rtol=1e-5, atol=1e-6)
    assert "softmax" not in ops(fb.nn.MultiHeadAttention(2)(x))
    assert "softmax" in ops(fb.nn.MultiHeadAttention(2, dropout=0.1)(x))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients(rng, causal, dropout) -> None:
    x, other = fb.placeholder(("b", "s", 6), name="x"), fb.placeholder(("b", "t", 4), name="other")
    layer = fb.nn.MultiHeadAttention(2, dropout=dropout, causal=causal)
    y = layer(x, other)
    feeds = {x: rng.standard_normal((2, 3, 6)), other: rng.standard_normal((2, 5, 4))}
    assert fb.check_gradients(y, [x, other, *layer.variables], feeds).precision == "float64"


@pytest.mark.parametrize(
    "make, kind, text",
    [
        (lambda: fb.nn.MultiHeadAttention(3)(fb.placeholder((1, 2, 8))), ShapeError, "3 heads cannot share 8 features"),
        (lambda: fb.nn.MultiHeadAttention(2)(fb.placeholder((2, 8))), ShapeError, "needs an input of rank 3"),
        (lambda: fb.nn.MultiHeadAttention(2)(fb.placeholder((1, 2, None))), ShapeError, "has to know the last size"),
        (lambda: fb.nn.MultiHeadAttention(2)(fb.placeholder((1, 2, 4), "int64")), DTypeError, "needs floats"),
        (
            lambda: fb.nn.attention(*[fb.placeholder((2, None))] * 3, weigh=fb.identity),
            ShapeError,
            "attention has to know the last size",
        ),
    ],
)
def test_wrong_inputs(make, kind, text) -> None:
    with pytest.raises(kind) as error:
        make()
    assert text in error.value.message
