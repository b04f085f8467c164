"""Attention as one operator: its kernels, the op beside products and softmax, and what it does not hold in memory."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import DTypeError, ShapeError
from flowbook.graph.opdef import REGISTRY
from tests.kernels.common import (
    check_random,
    check_sample,
    check_special,
    has_native,
    laid_out,
    run_native,
    sample_cases,
)
from tests.ops.cases import cast, compute

NAMES = "scaled_dot_product_attention", "scaled_dot_product_attention_grad"
CASES = sample_cases(NAMES)
OP, GRAD = (REGISTRY[name] for name in NAMES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_samples(case, dtype):
    check_sample(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_special(case, dtype):
    check_special(case, dtype)


# ------------------------------------------------------------------------------------------------ sizes


def operands(lead, queries, keys, depth, width, dtype="float64", seed=0):
    """Query, key and value."""
    rng = np.random.default_rng(seed)
    shapes = (queries, depth), (keys, depth), (keys, width)
    return [rng.standard_normal((*lead, *shape)).astype(dtype) for shape in shapes]


def with_gradients(inputs, causal=False, seed=1):
    """The operands of the gradient, from those of the op."""
    rng = np.random.default_rng(seed)
    found, total = compute(OP, inputs, {"causal": causal})
    dy, dtotal = (rng.standard_normal(each.shape).astype(each.dtype) for each in (found, total))
    return [dy, dtotal, found, total, *inputs]


SIZES = [
    ((), 1, 1, 1, 1),
    ((2,), 1, 300, 8, 8),
    ((2,), 300, 1, 8, 8),
    ((), 57, 113, 17, 33),
    ((3,), 14, 16, 64, 64),
    ((2, 2), 112, 112, 16, 48),
    ((), 230, 345, 5, 3),
    ((), 40, 130, 100, 70),
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(size, masked, causal):
    """Against the loop over queries of the oracle; other layouts give the same bytes."""
    for dtype in ("float32", "float64"):
        inputs = operands(*size, dtype)
        if masked:
            mask = np.random.default_rng(2).random((*size[0], size[1], size[2])) < 0.6
            mask.reshape(-1, size[2])[0] = False
            inputs.append(mask)
        check_random(NAMES[0], *inputs, causal=causal)
        check_random(NAMES[1], *with_gradients(inputs, causal), causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("empty", range(5))
def test_empty(empty, causal):
    """Sizes of 0: no heads, queries, keys, d or e."""
    size = [2, 3, 4, 5, 6]
    size[empty] = 0
    inputs = operands((size[0],), *size[1:])
    for op, arrays in ((OP, inputs), (GRAD, with_gradients(inputs, causal))):
        found = run_native(op.name, *arrays, causal=causal)
        for a, b in zip(found, compute(op, arrays, {"causal": causal}), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "shape", [(), (7,), (1, 7), (5, 1), (5, 7), (1, 5, 7), (3, 1, 1, 7), (3, 1, 5, 1), (3, 2, 5, 7)]
)
@pytest.mark.parametrize("causal", [False, True])
def test_masks_broadcast(shape, causal):
    mask = np.asarray(np.random.default_rng(3).random(shape) < 0.7)
    inputs = [*operands((3, 2), 5, 7, 4, 6), mask]
    check_random(NAMES[0], *inputs, causal=causal)
    check_random(NAMES[1], *with_gradients(inputs, causal), causal=causal)


def test_leading_axes_broadcast():
    rng = np.random.default_rng(4)
    shapes = (4, 1, 5, 3), (2, 7, 3), (7, 6)
    inputs = [rng.standard_normal(shape) for shape in shapes]
    mask = rng.random((3, 1, 1, 1, 7)) < 0.5
    for arrays in (inputs, [*inputs, mask]):
        check_random(NAMES[0], *arrays)
        check_random(NAMES[1], *with_gradients(arrays))


def test_heads_where_they_lie():
    """(batch, time, 3 * heads, d), transposed and split, as a transformer has it."""
    x = np.random.default_rng(5).standard_normal((2, 130, 12, 24)).astype("float32")
    views = np.split(x.transpose(0, 2, 1, 3), 3, axis=1)
    plain = [each.copy() for each in views]
    for arrays, other in ((views, plain), (with_gradients(views), with_gradients(plain))):
        name = NAMES[len(arrays) == 7]
        for a, b in zip(run_native(name, *arrays, causal=True), run_native(name, *other, causal=True), strict=True):
            assert a.tobytes() == b.tobytes()


# ------------------------------------------------------------------------------------------------ accuracy


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
def test_accuracy(factor):
    """Float32 against float64: the error of a result is a few roundings of the scores, whatever their size, relative
    to the largest value; the bound is 4 eps (4 + largest score)."""
    inputs = [factor * each for each in operands((2,), 200, 500, 64, 64, "float32")]
    wide = [each.astype("float64") for each in inputs]
    scores = np.abs(wide[0] @ wide[1].transpose(0, 2, 1)).max() / 8
    bound = 4 * np.finfo("float32").eps * (4 + scores)
    for a, b in zip(run_native(NAMES[0], *inputs), compute(OP, wide, {}), strict=True):
        assert np.abs(a - b).max() <= bound * np.abs(b).max()
    narrow, wide = with_gradients(inputs), with_gradients(wide)
    for a, b in zip(
        run_native(NAMES[1], *narrow), compute(GRAD, [each.astype("float64") for each in wide], {}), strict=True
    ):
        assert np.abs(a - b).max() <= bound * np.abs(b).max()


def test_large_scores_do_not_overflow():
    q, k, v = operands((), 20, 300, 8, 8, "float32")
    found, total = run_native(NAMES[0], 1e4 * q, 1e4 * k, v)
    best = (q.astype("float64") @ k.T.astype("float64")).argmax(1)
    assert np.isfinite(total).all()
    np.testing.assert_allclose(found, v[best], rtol=1e-6)


# ------------------------------------------------------------------------------------------------ what is masked


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_numbers_that_are_not_finite(place, bad, masked):
    """What the reference makes of them: also where whole blocks could be left out."""
    inputs = operands((), 300, 300, 4, 4)
    if masked:
        inputs.append(np.random.default_rng(6).random((300, 300)) < 0.5)
    grads = with_gradients(inputs, True)
    inputs[place][290, 1] = bad
    grads[4 + place][290, 1] = bad
    for op, arrays in ((OP, inputs), (GRAD, grads)):
        with np.errstate(all="ignore"):
            wanted = compute(op, arrays, {"causal": True})
        for a, b in zip(run_native(op.name, *arrays, causal=True), wanted, strict=True):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            np.testing.assert_array_equal(np.isinf(a), np.isinf(b))


def test_the_future_changes_nothing():
    inputs = operands((2,), 250, 250, 8, 8, "float32")
    before = run_native(NAMES[0], *inputs, causal=True)[0]
    for each in inputs[1:]:
        each[:, 180:] += 1
    after = run_native(NAMES[0], *inputs, causal=True)[0]
    assert before[:, :180].tobytes() == after[:, :180].tobytes()
    assert (before[:, 180:] != after[:, 180:]).any(-1).all()


def test_queries_that_see_nothing_take_the_mean():
    q, k, v = operands((), 400, 150, 8, 6)
    found, total = run_native(NAMES[0], q, k, v, causal=True)  # the first 250 queries come before all keys
    np.testing.assert_allclose(found[:250], np.tile(v.mean(0), (250, 1)), rtol=1e-13)
    np.testing.assert_allclose(total[:250], np.log(150), rtol=1e-14)
    dq, _dk, dv = run_native(NAMES[1], np.ones_like(found), np.zeros_like(total), found, total, q, k, v, causal=True)
    assert not dq[:250].any() and dq[250:].any()
    np.testing.assert_allclose(dv.sum(0), np.full(6, 400.0), rtol=1e-13)


# ------------------------------------------------------------------------------------------------ runs


def test_one_thread_gives_the_bytes_of_several():
    feeds = operands((2, 2), 300, 350, 16, 16, "float32")
    for causal in (False, True):
        with fb.Graph().as_default() as graph:
            xs = [fb.placeholder(each.shape) for each in feeds]
            y = fb.scaled_dot_product_attention(*xs, causal=causal)
            fetches = [y, *fb.gradients(fb.sum(fb.square(y)), xs)]
            runs = [fb.Session(graph, threads=n).run(fetches, dict(zip(xs, feeds, strict=True))) for n in (1, 2, 4)]
        for other in runs[1:]:
            for a, b in zip(runs[0], other, strict=True):
                assert a.tobytes() == b.tobytes()


def test_beside_products_and_softmax():
    """The op and its gradients of first and second order, against the nodes it stands for."""
    feeds = operands((2,), 6, 9, 4, 3)
    mask = np.random.default_rng(7).random((2, 1, 9)) < 0.7
    with fb.Graph().as_default():
        xs = [fb.placeholder(each.shape, "float64") for each in feeds]
        results = []
        for y in (
            fb.scaled_dot_product_attention(*xs, mask, causal=True),
            fb.nn.attention(*xs, mask=mask, causal=True, weigh=lambda weights: weights),
        ):
            first = fb.gradients(fb.sum(fb.square(y)), xs)
            second = fb.gradients([fb.sum(fb.sin(each)) for each in first], xs)
            results.append([y, *first, *second])
        values = fb.Session().run(results, dict(zip(xs, feeds, strict=True)))
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_no_matrix_of_weights_in_memory():
    """A training step of 8 heads of 1024: their weights alone would be 32 MB."""
    with fb.Graph().as_default() as graph:
        xs = [fb.placeholder((8, 1024, 32), name=name) for name in "qkv"]
        loss = fb.sum(fb.scaled_dot_product_attention(*xs, causal=True))
        grads = fb.gradients(loss, xs)
        memory = fb.Session(graph).memory([loss, *grads], {x: np.zeros(x.shape, "float32") for x in xs})
    assert memory is not None and memory.peak < 10 * 8 * 1024 * 32 * 4


def test_what_is_left_to_the_reference():
    q, k, v = operands((2,), 3, 4, 5, 6)
    assert has_native(NAMES[0], [q, k, v]) and has_native(NAMES[1], with_gradients([q, k, v]))
    assert not has_native(NAMES[0], [q, k.astype("float32"), v])
    with fb.Graph().as_default():
        for dtypes, wanted in (
            (("float16",) * 3, "float16"),
            (("float32", "float64", "float32"), "float64"),
            (("int64", "float32", "float32"), "float64"),
        ):
            arrays = [(4 * each).astype(dtype) for each, dtype in zip((q, k, v), dtypes, strict=True)]
            y = fb.scaled_dot_product_attention(*map(fb.constant, arrays))
            other = fb.nn.attention(*map(fb.constant, arrays), weigh=lambda weights: weights)
            assert y.dtype == wanted == other.dtype
            a, b = fb.Session().run([y, other])
            np.testing.assert_allclose(a, b, rtol=1e-2 if wanted == "float16" else 1e-6, atol=1e-2)


# ------------------------------------------------------------------------------------------------ building


def test_shapes_that_do_not_fit():
    attend = fb.scaled_dot_product_attention
    with fb.Graph().as_default():
        q, k, v = (fb.placeholder(shape) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 6)))
        with pytest.raises(ShapeError, match=r"query of attention has shape \(4,\), it needs two axes or more"):
            attend(fb.placeholder((4,)), k, v)
        with pytest.raises(ShapeError, match=r"query \(2, 3, 4\) and key \(2, 5, 6\) differ in their last size"):
            attend(q, v, v)
        with pytest.raises(ShapeError, match=r"key \(2, 5, 4\) and value \(2, 3, 4\) differ in the last size but one"):
            attend(q, k, q)
        with pytest.raises(ShapeError, match=r"the axes before the last two of \(2, 3, 4\), \(3, 5, 4\), \(2, 5, 6\)"):
            attend(q, fb.placeholder((3, 5, 4)), v)
        for shape in ((5, 3), (4, 1, 1), (2, 3, 2)):
            with pytest.raises(ShapeError, match=r"mask .* does not broadcast to \(2, 3, 5\)"):
                attend(q, k, v, fb.placeholder(shape, "bool"))
        with pytest.raises(DTypeError, match="the mask of attention is float32, it has to be bool"):
            attend(q, k, v, fb.placeholder((3, 5)))


def test_what_is_not_known_yet():
    with fb.Graph().as_default():
        q = fb.placeholder(("batch", "time", None))
        k, v = fb.placeholder(("batch", "keys", 4)), fb.placeholder((1, None, "e"))
        y = fb.scaled_dot_product_attention(q, k, v, causal=True)
        assert y.shape == ("batch", "time", "e")
        assert [each.shape for each in fb.gradients(fb.sum(y), [q, k, v])] == [each.shape for each in (q, k, v)]
        assert fb.scaled_dot_product_attention(fb.placeholder(None), k, v).shape is None


def test_every_layout_of_a_mask_gives_the_same_bytes():
    inputs = [*operands((2,), 20, 30, 4, 4, "float32"), np.random.default_rng(8).random((2, 20, 30)) < 0.5]
    wanted = run_native(NAMES[0], *inputs)
    assert wanted[0].dtype == "float32"
    for other in laid_out(cast(inputs, "float32")):
        for a, b in zip(run_native(NAMES[0], *other), wanted, strict=True):
            assert a.tobytes() == b.tobytes()
