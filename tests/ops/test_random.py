"""Random numbers: the bits, what becomes of them, and what they depend on."""

from __future__ import annotations

import math
from contextlib import nullcontext
from hashlib import blake2b

import numpy as np
import pytest
from scipy import stats

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, FlowError, GradientError, RunError, ShapeError
from flowbook.ops import philox

MASK = 2**64 - 1


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


# ------------------------------------------------------------------------------------------------ an own Philox


def philox4x64(counter, key):
    """Philox4x64-10 on Python's ints, after the definition in Salmon et al., SC'11: four words for a counter."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (b >> 64) ^ c1 ^ k0, b & MASK, (a >> 64) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [c0, c1, c2, c3]


def words(count, text, run, path=0):
    """The words that a node draws: see ``ExecContext.philox``."""
    digest = blake2b(text.encode(), digest_size=16).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    blocks = (philox4x64((block, 0, run, path), key) for block in range(1, count // 4 + 2))
    return [word for block in blocks for word in block][:count]


def halves(words):
    return [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]


def test_the_own_philox_gives_the_published_answers():
    """From ``kat_vectors`` of Random123, the authors' library."""
    assert philox4x64((0, 0, 0, 0), (0, 0)) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]
    pi = (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89)
    assert philox4x64(pi, (0x452821E638D01377, 0xBE5466CF34E90C6C)) == [
        0xA528F45403E61D95,
        0x38C72DBD566E9788,
        0xA5A1610E72FD18B5,
        0x57BD43B5E52B7FE6,
    ]


def draw(shape=(11,), **options):
    """The raw words: integers of the whole range of uint64 are the words themselves."""
    return fb.random.integers(shape, 0, 2**64, dtype="uint64", **options)


def test_bits_of_a_seed(graph):
    session = fb.Session()
    tensor = draw(seed=42)
    for run in (1, 2, 3):
        assert session.run(tensor).tolist() == words(11, "seed\x1f42", run)


def test_bits_without_a_seed_come_from_graph_seed_cell_and_name():
    with fb.Graph(seed=7).as_default() as g:
        with g.transaction("model"), fb.name_scope("layer"):
            noise = draw(name="noise")
        assert fb.Session(g).run(noise).tolist() == words(11, "7\x1fmodel\x1flayer/noise", 1)


def test_bits_in_the_branch_of_a_cond(graph):
    noise = fb.cond(fb.constant(True), lambda: draw(name="noise"), lambda: draw(name="other"), name="choice")
    assert fb.Session().run(noise).tolist() == words(11, "0\x1f\x1fchoice\x1fchoice/true/noise", 1)


def test_bits_of_an_initial_value_are_those_of_run_0(graph):
    v = fb.Variable(draw(seed=3), name="v")
    session = fb.Session()
    session.run(fb.constant(1.0))
    assert session.run(v).tolist() == words(11, "seed\x1f3", 0)


# ------------------------------------------------------------------------------------------------ from bits to numbers

RAW = words(10, "seed\x1f1", 1)


def numbers(build, **options):
    return fb.Session().run(build((7,), seed=1, **options)).tolist()


def test_uniform_numbers_are_the_top_bits(graph):
    assert numbers(fb.random.uniform) == [(half >> 8) / 2**24 for half in halves(RAW)[:7]]
    assert numbers(fb.random.uniform, dtype="float16") == [(half >> 21) / 2**11 for half in halves(RAW)[:7]]
    assert numbers(fb.random.uniform, dtype="float64") == [(word >> 11) / 2**53 for word in RAW[:7]]


def test_uniform_numbers_never_reach_1():
    for name in ("float16", "float32", "float64"):
        ones = np.full(4, MASK, np.uint64)
        found = philox.uniform(ones, 4, np.dtype(name))
        assert found.dtype == name and (found == np.nextafter(found.dtype.type(1), found.dtype.type(0))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_those_of_box_and_muller(graph, dtype):
    bits = 53 if dtype == "float64" else 32
    source = [word >> 11 for word in RAW] if bits == 53 else halves(RAW)
    wanted = []
    for u, v in zip(source[0::2], source[1::2]):
        radius, angle = math.sqrt(-2 * math.log((u + 1) / 2**bits)), 2 * math.pi * (v / 2**bits)
        wanted += [radius * math.cos(angle), radius * math.sin(angle)]
    np.testing.assert_allclose(numbers(fb.random.normal, dtype=dtype), wanted[:7], rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("word", [0, MASK])
def test_normal_numbers_are_finite_at_both_ends_of_the_bits(word):
    for name in ("float16", "float32", "float64"):
        assert np.isfinite(philox.normal(np.full(4, word, np.uint64), 4, np.dtype(name))).all()


def test_bernoulli_compares_half_words(graph):
    assert numbers(fb.random.bernoulli, p=0.3) == [half < round(0.3 * 2**32) for half in halves(RAW)[:7]]
    assert numbers(fb.random.bernoulli, p=0.0) == [False] * 7
    assert numbers(fb.random.bernoulli, p=1.0) == [True] * 7


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 10, "int64"),
        (-5, 2**40, "int64"),
        (0, 2**63, "int64"),
        (-(2**63), 2**63, "int64"),
        (0, 2**64 - 1, "uint64"),
        (2**63, 2**64, "uint64"),
        (-128, 128, "int8"),
        (3, 4, "uint8"),
    ],
)
def test_integers_are_the_high_words_of_products(graph, low, high, dtype):
    tensor = fb.random.integers((7,), low, high, dtype=dtype, seed=1)
    found = fb.Session().run(tensor)
    assert found.dtype == tensor.dtype == dtype
    assert found.tolist() == [low + (word * (high - low) >> 64) for word in RAW[:7]]


def test_a_permutation_is_the_order_of_the_words(graph):
    found = fb.Session().run(fb.random.permutation(7, seed=1))
    assert found.dtype == np.int64 and found.tolist() == sorted(range(7), key=lambda place: RAW[place])


# ------------------------------------------------------------------------------------------------ shapes

KINDS = {
    "uniform": fb.random.uniform,
    "uniform64": lambda shape, **options: fb.random.uniform(shape, -1.0, 3.0, dtype="float64", **options),
    "normal": fb.random.normal,
    "normal64": lambda shape, **options: fb.random.normal(shape, dtype="float64", **options),
    "bernoulli": fb.random.bernoulli,
    "integers": lambda shape, **options: fb.random.integers(shape, 0, 1000, **options),
}
DTYPES = dict(uniform64="float64", normal64="float64", bernoulli="bool", integers="int64")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (1,), (3, 4), (2, 1, 3), (300, 401)])
def test_shape_and_dtype(graph, kind, shape):
    tensor = KINDS[kind](shape)
    found = fb.Session().run(tensor)
    assert found.shape == tensor.shape == shape
    assert found.dtype == tensor.dtype == DTYPES.get(kind, "float32")


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_draw_begins_with_the_shorter_one(graph, kind):
    session = fb.Session()
    found = session.run([KINDS[kind]((size,), seed=5) for size in (1, 2, 5, 8, 1000)])
    for shorter in found:
        assert (found[-1][: shorter.size] == shorter).all()


def test_the_shape_of_a_matrix_does_not_change_its_numbers(graph):
    flat, matrix = fb.Session().run([fb.random.normal((12,), seed=1), fb.random.normal((3, 4), seed=1)])
    assert (flat.reshape(3, 4) == matrix).all()


def test_an_int_is_a_shape(graph):
    tensor = fb.random.normal(3)
    assert tensor.shape == (3,) and fb.Session().run(tensor).shape == (3,)


def test_like_a_tensor_takes_the_shape_it_has_in_the_run(graph):
    x = fb.placeholder(("batch", 3), "int32", name="x")
    noise = fb.random.uniform(None, like=x, seed=1)
    anything = fb.random.uniform(None, like=fb.placeholder(None, name="y"), seed=1)
    assert noise.shape == ("batch", 3) and noise.dtype == "float32" and anything.shape is None
    session = fb.Session()
    small = session.run([noise, anything], {x: np.ones((2, 3), np.int32), "y": np.ones(6)})
    assert small[0].shape == (2, 3) and (small[0].ravel() == small[1]).all()
    assert session.run(noise, {x: np.zeros((50, 3), np.int32)}).shape == (50, 3)


def test_like_a_tensor_does_not_look_at_its_values(graph):
    x = fb.placeholder((3,), name="x")
    noise = fb.random.normal(None, like=x, seed=1)
    a, b = fb.Session().run(noise, {x: [1, 2, 3]}), fb.Session().run(noise, {x: [np.nan] * 3})
    assert (a == b).all()


# ------------------------------------------------------------------------------------------------ distributions

COUNT = 20_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_uniform_and_normal_numbers_are_distributed_so(graph, dtype, seed):
    """Kolmogorov and Smirnov's test: with these seeds it would not even reject at 1 %."""
    session = fb.Session()
    uniform = session.run(fb.random.uniform((COUNT,), -1.0, 3.0, dtype=dtype, seed=seed)).astype(float)
    normal = session.run(fb.random.normal((COUNT,), 5.0, 0.5, dtype=dtype, seed=seed)).astype(float)
    assert stats.kstest(uniform, stats.uniform(-1, 4).cdf).pvalue > 0.01
    assert stats.kstest(normal, stats.norm(5, 0.5).cdf).pvalue > 0.01


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_integers_and_bools_are_equally_probable(graph, seed):
    session = fb.Session()
    integers = session.run(fb.random.integers((COUNT,), -3, 7, seed=seed))
    assert stats.chisquare(np.bincount(integers + 3, minlength=10)).pvalue > 0.01
    truths = session.run(fb.random.bernoulli((COUNT,), 0.3, seed=seed)).sum()
    assert stats.binomtest(int(truths), COUNT, 0.3).pvalue > 0.01


def test_all_orders_of_a_permutation_are_equally_probable(graph):
    run = fb.Session().make_callable(fb.random.permutation(3, seed=1))
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(1200):
        order = tuple(run().tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6 and stats.chisquare(list(counts.values())).pvalue > 0.01


def test_runs_seeds_and_neighbours_are_not_correlated(graph):
    session = fb.Session()
    a, b = session.run([fb.random.normal((COUNT,), seed=1, name="a"), fb.random.normal((COUNT,), seed=2)])
    later = session.run("a")
    for one, other in ((a, b), (a, later), (a[1:], a[:-1]), (a[0::2], a[1::2])):
        assert abs(stats.pearsonr(one, other).statistic) < 4 / math.sqrt(len(one))


# ----------------------------------------------------------------------------------------------- what numbers depend on


def sequence(tensor, runs=3):
    session = fb.Session(tensor.graph)
    return np.stack([session.run(tensor) for _ in range(runs)])


def test_each_run_draws_fresh_numbers_and_each_session_the_same_sequence(graph):
    noise = fb.random.normal((8,), seed=1)
    first = sequence(noise)
    assert len(np.unique(first)) == first.size
    assert (sequence(noise) == first).all()


def test_a_node_draws_once_in_a_run(graph):
    noise = fb.random.normal((8,))
    a, b, double = fb.Session().run([noise, fb.identity(noise), noise + noise])
    assert (a == b).all() and (double == a + a).all()


def test_the_same_seed_gives_the_same_numbers_in_other_nodes_cells_and_graphs():
    with fb.Graph(seed=1).as_default() as g:
        a, b = fb.random.normal((8,), seed=5), fb.random.normal((8,), seed=5, name="b")
        other = fb.random.normal((8,), seed=6)
    with fb.Graph(seed=2).as_default() as h, h.transaction("cell"), fb.name_scope("scope"):
        c = fb.random.normal((8,), seed=5, name="c")
    x, y, z = fb.Session(g).run([a, b, other])
    assert (x == y).all() and (x != z).all() and (sequence(c)[0] == x).all()


def named(graph_seed, name, cell=""):
    with fb.Graph(seed=graph_seed).as_default() as g:
        with g.transaction(cell) if cell else nullcontext():
            noise = fb.random.normal((8,), name=name)
        return fb.Session(g).run(noise)


def test_without_a_seed_graph_seed_name_and_cell_decide():
    base = named(0, "a")
    assert (base == named(0, "a")).all()
    for other in (named(1, "a"), named(0, "b"), named(0, "a", "cell")):
        assert (base != other).all()


def test_the_default_seed_of_a_graph_is_0():
    with fb.Graph().as_default() as g:
        noise = fb.random.normal((8,), name="a")
    assert (fb.Session(g).run(noise) == named(0, "a")).all()


def test_seed_none_is_not_seed_0_and_two_nodes_never_share(graph):
    a, b, zero = fb.Session().run([fb.random.normal((8,)), fb.random.normal((8,)), fb.random.normal((8,), seed=0)])
    assert (a != b).all() and (a != zero).all() and (b != zero).all()


def test_unrelated_edits_change_no_numbers():
    with fb.Graph().as_default() as g:
        with g.transaction("noise"):
            noise = fb.random.normal((8,))
        before = sequence(noise)
        with g.transaction("other"):
            fb.random.normal((8,))
        assert (sequence(noise) == before).all()
        with g.transaction("noise"):
            fb.tanh(fb.constant(1.0))
            again = fb.random.normal((8,)) * 2.0
        assert (sequence(again) == before * 2).all()
        g.remove_owner("other")
        assert (sequence(noise) == before).all()


def test_what_else_is_fetched_changes_no_numbers(graph):
    a, b = fb.random.normal((8,), name="a"), fb.random.uniform((3,), name="b")
    alone = sequence(b)
    session = fb.Session()
    assert (np.stack([session.run([a, b, a * 2.0])[1] for _ in range(3)]) == alone).all()


def test_the_counter_counts_every_run_failed_ones_too(graph):
    noise = fb.random.normal((8,), seed=1)
    failing = fb.py_function(lambda: 1 // 0, [], "float32", ())
    wanted = sequence(noise, 4)
    session = fb.Session()
    session.run(fb.constant(1.0))
    with pytest.raises(RunError):
        session.run([noise, failing])
    assert session.runs == 2
    assert (session.run(noise) == wanted[2]).all()
    assert (session.make_callable(noise)() == wanted[3]).all()


def test_a_refused_run_does_not_count(graph):
    x = fb.placeholder((2,), name="x")
    session = fb.Session()
    with pytest.raises(FlowError):
        session.run(x, {x: [1, 2, 3]})
    assert session.runs == 0


def test_a_traced_run_and_a_stepper_draw_what_a_plain_run_draws(graph):
    noise = fb.random.normal((8,), name="noise")
    chosen = fb.cond(fb.constant(True), lambda: noise + fb.random.uniform((8,)), lambda: noise)
    wanted = sequence(chosen, 2)
    session = fb.Session()
    assert (session.run(chosen, trace=True) == wanted[0]).all()
    assert (session.debug(chosen).finish() == wanted[1]).all()


def test_a_fed_random_tensor_does_not_draw(graph):
    noise = fb.random.normal((2,), seed=1)
    wanted = sequence(noise, 2)
    session = fb.Session()
    assert session.run(noise, {noise: [1.0, 2.0]}).tolist() == [1, 2]
    assert (session.run(noise) == wanted[1]).all()


def test_initial_values_depend_on_seed_and_name_only(graph):
    v = fb.Variable(fb.random.normal((8,), name="init"), name="v")
    first = fb.Session().run(v)
    session = fb.Session()
    for _ in range(3):
        session.run(fb.random.normal((2,)))
    assert (session.run(v) == first).all()
    session.run(fb.assign(v, 0.0))
    session.initialize()
    assert (session.run(v) == first).all()


def test_layers_of_one_shape_start_differently(graph):
    a, b = (fb.Variable(fb.nn.he_normal, shape=(3, 4), name=name) for name in "ab")
    x, y = fb.Session().run([a, b])
    assert (x != y).all()


def test_a_cond_and_its_gradient_draw_the_same_numbers_across_cells():
    """The body is computed again by the backward pass, which may stand in another cell than the forward one."""
    with fb.Graph().as_default() as g:
        with g.transaction("forward"):
            x = fb.placeholder((8,), name="x")
            yes = fb.placeholder((), "bool", name="yes")
            branch = lambda: x * fb.random.normal((8,))  # noqa: E731
            y = fb.cond(yes, lambda: fb.cond(yes, branch, lambda: x), lambda: x)
        with g.transaction("backward"):
            (dx,) = fb.gradients(y, [x])
        value, slope = fb.Session().run([y, dx], {x: np.ones(8), yes: True})
    assert (value == slope).all() and len(np.unique(value)) == 8


# ------------------------------------------------------------------------------------------------ parameters, gradients


def test_mean_and_scale_may_be_tensors_and_get_gradients(graph):
    mean, scale = fb.Variable(2.0, name="mean"), fb.Variable(3.0, name="scale")
    y = fb.random.normal((5,), mean, scale, seed=1, name="y")
    plain = fb.random.normal((5,), seed=1)
    value, raw, (dmean, dscale) = fb.Session().run([y, plain, fb.gradients(y, [mean, scale])])
    np.testing.assert_allclose(value, raw * 3 + 2, rtol=1e-6)
    assert y.name == "y" and dmean == 5 and np.isclose(dscale, raw.sum())


def test_bounds_may_be_tensors_and_get_gradients(graph):
    low, high = fb.Variable(-1.0, name="low"), fb.Variable([1.0, 3.0], name="high")
    y = fb.random.uniform((4, 2), low, high, seed=1)
    value, raw, (dlow, dhigh) = fb.Session().run([y, fb.random.uniform((4, 2), seed=1), fb.gradients(y, [low, high])])
    np.testing.assert_allclose(value, raw * [2, 4] - 1, rtol=1e-6)
    np.testing.assert_allclose(dlow, (1 - raw).sum(), rtol=1e-6)
    np.testing.assert_allclose(dhigh, raw.sum(0), rtol=1e-6)


def test_probabilities_may_be_tensors(graph):
    found = fb.Session().run(fb.random.bernoulli((1000, 3), fb.constant([0.0, 0.25, 1.0]), seed=1, name="b"))
    assert found[:, 0].sum() == 0 and found[:, 2].all() and 200 < found[:, 1].sum() < 300


def test_a_tensor_that_lends_its_shape_gets_no_gradient(graph):
    x = fb.placeholder((3,), name="x")
    (dx,) = fb.gradients(x + fb.random.normal(None, like=x), [x])
    assert fb.Session().run(dx, {x: np.zeros(3)}).tolist() == [1, 1, 1]
    with pytest.raises(GradientError, match="no y depends on 'x'"):
        fb.gradients(fb.random.uniform(None, like=x), [x])


def test_scaled_in_place_or_by_nodes_the_numbers_agree(graph):
    a, b = fb.random.normal((100,), 5.0, 0.1, seed=1), fb.random.normal((100,), fb.constant(5.0), 0.1, seed=1)
    x, y = fb.Session().run([a, b])
    assert (x == y).all()


# ------------------------------------------------------------------------------------------------ errors

WRONG = {
    "an unknown size": (lambda: fb.random.normal((2, None)), ShapeError, r"shape \(2, \?\) has to be fully known"),
    "a named size": (lambda: fb.random.uniform(("n",)), ShapeError, r"shape \(n,\) has to be fully known"),
    "no shape": (lambda: fb.random.normal(None), ArgumentError, "take a shape, or a tensor to be shaped like"),
    "two shapes": (lambda: fb.random.normal((1,), like=fb.constant([1.0])), ArgumentError, "take a shape, or a tensor"),
    "an int dtype": (lambda: fb.random.normal((2,), dtype="int32"), DTypeError, "are floats, not int32"),
    "a float dtype": (lambda: fb.random.integers((2,), 0, 2, dtype="float32"), DTypeError, "are no float32"),
    "no integers": (lambda: fb.random.integers((2,), 3, 3), ArgumentError, r"no integer is in \[3, 3\)"),
    "float bounds": (lambda: fb.random.integers((2,), 0.5, 3), ArgumentError, "0.5 and 3 are not both ints"),
    "a small dtype": (lambda: fb.random.integers((2,), 0, 300, dtype="uint8"), ArgumentError, "uint8 does not hold"),
    "no probability": (lambda: fb.random.bernoulli((2,), 1.5), ArgumentError, "1.5 is not a probability"),
    "probability nan": (lambda: fb.random.bernoulli((2,), math.nan), ArgumentError, "nan is not a probability"),
    "a text as seed": (lambda: fb.random.normal((2,), seed="a"), ArgumentError, "seed 'a' is not an int"),
    "a bool as seed": (lambda: fb.random.uniform((2,), seed=True), ArgumentError, "seed True is not an int"),
    "bounds in disorder": (lambda: fb.random.uniform((2,), 2.0, 1.0), ArgumentError, "low 2.0 is above high 1.0"),
    "a wide range": (lambda: fb.random.uniform((2,), -3e38, 3e38), ArgumentError, "high - low is 6e[+]38, which is no"),
    "an infinite mean": (lambda: fb.random.normal((2,), math.inf), ArgumentError, "mean is inf, which is no float32"),
    "a negative scale": (lambda: fb.random.normal((2,), 0.0, -1.0), ArgumentError, "standard deviation is -1.0"),
    "half a permutation": (lambda: fb.random.permutation(2.5), ShapeError, "2.5 is not a dimension"),
    "less than nothing": (lambda: fb.random.permutation(-1), ShapeError, "-1 of shape .* is negative"),
    "a graph's seed": (lambda: fb.Graph(seed=1.5), ArgumentError, "seed 1.5 is not an int"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(graph, name):
    build, kind, text = WRONG[name]
    with pytest.raises(kind, match=text):
        build()
    assert len(graph) <= 1, "a refused call leaves a node behind"


def test_a_numpy_number_is_a_seed(graph):
    a, b = fb.Session().run([fb.random.normal((8,), seed=np.int32(5)), fb.random.normal((8,), seed=5)])
    assert (a == b).all()
