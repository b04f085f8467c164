"""Each optimizer against the formula of its paper, written out in NumPy, and on problems it has to solve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, GradientError, ShapeError

Formula = Callable[[np.ndarray, Iterator[np.ndarray]], Iterator[np.ndarray]]


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


# ------------------------------------------------------------------------------------------------ formulas


def sgd(w, gradients, rate=0.1):
    for g in gradients:
        w = w - rate * g
        yield w


def momentum(w, gradients, rate=0.1, mu=0.8, nesterov=False):
    m = np.zeros_like(w)
    for g in gradients:
        m = mu * m + g
        w = w - rate * (g + mu * m if nesterov else m)
        yield w


def nesterov(w, gradients):
    return momentum(w, gradients, nesterov=True)


def adam(w, gradients, rate=0.1, beta1=0.9, beta2=0.99, epsilon=1e-3):
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        w = w - rate * np.sqrt(1 - beta2**t) / (1 - beta1**t) * m / (np.sqrt(v) + epsilon)
        yield w


def rmsprop(w, gradients, rate=0.1, rho=0.7, mu=0.0, epsilon=1e-3):
    v, m = np.zeros_like(w), np.zeros_like(w)
    for g in gradients:
        v = rho * v + (1 - rho) * g**2
        m = mu * m + g / (np.sqrt(v) + epsilon)
        w = w - rate * m
        yield w


def rmsprop_momentum(w, gradients):
    return rmsprop(w, gradients, mu=0.5)


def adagrad(w, gradients, rate=0.1, initial=0.25, epsilon=1e-3):
    v = np.full_like(w, initial)
    for g in gradients:
        v = v + g**2
        w = w - rate * g / (np.sqrt(v) + epsilon)
        yield w


OPTIMIZERS: dict[str, tuple[Callable[[Any], Any], Formula]] = {
    "sgd": (lambda rate: fb.train.SGD(rate), sgd),
    "momentum": (lambda rate: fb.train.Momentum(rate, 0.8), momentum),
    "nesterov": (lambda rate: fb.train.Momentum(rate, 0.8, nesterov=True), nesterov),
    "adam": (lambda rate: fb.train.Adam(rate, 0.9, 0.99, 1e-3), adam),
    "rmsprop": (lambda rate: fb.train.RMSProp(rate, 0.7, epsilon=1e-3), rmsprop),
    "rmsprop-momentum": (lambda rate: fb.train.RMSProp(rate, 0.7, 0.5, 1e-3), rmsprop_momentum),
    "adagrad": (lambda rate: fb.train.Adagrad(rate, 0.25, 1e-3), adagrad),
}
each_optimizer = pytest.mark.parametrize("make, formula", OPTIMIZERS.values(), ids=OPTIMIZERS)


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formula(make, formula, dtype, rng) -> None:
    start = rng.standard_normal((3, 2)).astype(dtype)
    w = fb.Variable(start, name="w")
    a = fb.placeholder((3, 2), dtype, name="a")
    train = make(0.1).minimize(fb.sum(a * w))  # the gradient is a itself
    session = fb.Session()
    fed = [rng.standard_normal((3, 2)).astype(dtype) for _ in range(6)]
    expected = formula(start.astype("float64"), iter(np.array(fed, "float64")))
    for values, wanted in zip(fed, expected, strict=True):
        assert session.run(train, {a: values}) is None
        found = session.run(w)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-12 if dtype == "float64" else 2e-5)


@each_optimizer
@pytest.mark.parametrize("kind", ["tensor", "variable", "float64 tensor"])
def test_the_rate_may_be_a_tensor(make, formula, kind) -> None:
    w = fb.Variable([1.0, -2.0], name="w")
    dtype = "float64" if kind.startswith("float64") else "float32"
    rate = fb.Variable(0.1, dtype, trainable=False) if kind == "variable" else fb.constant(0.1, dtype)
    train = make(rate).minimize(fb.sum(w * w))
    session = fb.Session()
    w_now, steps = np.array([1.0, -2.0]), []

    def gradients():
        while True:
            yield 2 * (steps[-1] if steps else w_now)

    for wanted, _ in zip(formula(w_now, gradients()), range(4), strict=False):
        steps.append(wanted)
        session.run(train)
        assert session.run(w).dtype == np.float32
        np.testing.assert_allclose(session.run(w), wanted, rtol=1e-4)


def test_a_fed_rate_and_one_that_is_assigned() -> None:
    w = fb.Variable(0.0, name="w")
    fed = fb.placeholder((), name="rate")
    kept = fb.Variable(1.0, name="kept", trainable=False)
    by_feed = fb.train.SGD(fed).minimize(w * 1.0)
    by_variable = fb.train.SGD(kept).minimize(w * 1.0)
    session = fb.Session()
    session.run(by_feed, {fed: 0.25})
    assert session.run(w) == -0.25
    session.run(by_variable)
    assert session.run(w) == -1.25
    session.run(fb.assign(kept, 10.0))
    session.run(by_variable)
    assert session.run(w) == -11.25


@pytest.mark.parametrize("make", [make for make, _ in OPTIMIZERS.values()], ids=OPTIMIZERS)
def test_it_finds_the_least_squares_solution(make, rng) -> None:
    design, target = rng.standard_normal((40, 3)), rng.standard_normal(40)
    solution, *_ = np.linalg.lstsq(design, target, rcond=None)
    w = fb.Variable(np.zeros(3), name="w")
    step = fb.Variable(0, trainable=False, name="step")
    loss = fb.mean(fb.square(fb.constant(design) @ w - fb.constant(target)))
    rate = fb.train.cosine_decay(step, 0.2, decay_steps=300)
    train = make(rate).minimize(loss, global_step=step)
    session = fb.Session()
    before = session.run(loss)
    for _ in range(300):
        session.run(train)
    assert session.run(loss) < before
    np.testing.assert_allclose(session.run(w), solution, atol=2e-3)


# ------------------------------------------------------------------------------------------------ one step


def test_gradients_are_computed_before_any_update() -> None:
    a, b = fb.Variable(2.0, name="a"), fb.Variable(3.0, name="b")
    train = fb.train.SGD(1.0).minimize(a * b)
    session = fb.Session()
    session.run(train)
    assert session.run([a, b]) == [2.0 - 3.0, 3.0 - 2.0]


@pytest.mark.parametrize("make", [make for make, _ in OPTIMIZERS.values()], ids=OPTIMIZERS)
def test_the_loss_beside_the_step_is_the_one_before_it(make) -> None:
    w = fb.Variable([1.0, 2.0], name="w")
    loss = fb.sum(w * w)
    train = make(0.1).minimize(loss)
    session = fb.Session()
    assert session.run([train, loss]) == [None, 5.0]
    assert session.run(loss) < 5.0


def test_each_variable_is_written_once_in_a_plan() -> None:
    w, b = fb.Variable([[1.0]], name="w"), fb.Variable([0.5], name="b")
    train = fb.train.Adam().minimize(fb.sum(fb.square(fb.constant([[2.0]]) @ w + b)))
    plan = fb.Session().plan([train], {}, observed=True)
    writes = [step.node.inputs[0].name for step in plan.steps if step.op.writes]
    assert sorted(writes) == ["adam/b/m", "adam/b/v", "adam/step", "adam/w/m", "adam/w/v", "b", "w"]


def test_global_step_counts_and_the_rate_reads_it_before() -> None:
    w, step = fb.Variable(0.0, name="w"), fb.Variable(0, trainable=False, name="step")
    rate = fb.train.piecewise_constant(step, [1, 2], [1.0, 10.0, 100.0])
    train = fb.train.SGD(rate).minimize(w * 1.0, global_step=step)
    session = fb.Session()
    seen = []
    for _ in range(3):
        session.run(train)
        seen.append((float(session.run(w)), int(session.run(step))))
    assert seen == [(-1.0, 1), (-11.0, 2), (-111.0, 3)]


def test_a_step_that_fails_changes_nothing() -> None:
    fail = [False]

    def sometimes(value):
        if fail[0]:
            raise ValueError("no luck")
        return value

    w, step = fb.Variable([1.0, 2.0], name="w"), fb.Variable(0, trainable=False, name="step")
    train = fb.train.Adam(0.1).minimize(fb.sum(w * w), global_step=step)
    with fb.control_dependencies([train]):
        last = fb.py_function(sometimes, [fb.identity(w)], "float32")
    session, variables = fb.Session(), w.graph.variables
    session.run(last)
    before = session.run(variables)
    fail[0] = True
    with pytest.raises(fb.errors.RunError, match="no luck"):
        session.run([train, last])
    for old, new in zip(before, session.run(variables), strict=True):
        assert old.tobytes() == new.tobytes()
    fail[0] = False
    session.run(last)
    assert session.run(step) == 2 and session.run("adam/step") == 2


def test_the_shared_matrix_gets_both_gradients(rng) -> None:
    w = fb.Variable(rng.standard_normal((3, 3)), name="w")
    loss = fb.sum(fb.matmul(w, w))
    ((dw, _),) = fb.train.SGD(1.0).compute_gradients(loss)
    value = fb.Session().run(w)
    ones = np.ones((3, 3))
    np.testing.assert_allclose(fb.Session().run(dw), ones @ value.T + value.T @ ones)


# ------------------------------------------------------------------------------------------------ which variables


def test_by_default_all_trainable_variables_that_the_loss_depends_on() -> None:
    used, frozen = fb.Variable(1.0, name="used"), fb.Variable(1.0, name="frozen", trainable=False)
    other, count = fb.Variable(1.0, name="other"), fb.Variable(1, name="count")
    loss = used * frozen * fb.astype(count, "float32")
    train = fb.train.SGD(1.0).minimize(loss)
    session = fb.Session()
    session.run(train)
    assert session.run([used, frozen, other, count]) == [0.0, 1.0, 1.0, 1]


def test_unconnected_variables_are_skipped() -> None:
    a, b = fb.Variable(1.0, name="a"), fb.Variable(1.0, name="b")
    loss = a + fb.stop_gradient(b)
    pairs = fb.train.SGD(1.0).compute_gradients(loss)
    assert [(gradient is None, variable.name) for gradient, variable in pairs] == [(False, "a"), (True, "b")]
    session = fb.Session()
    session.run([fb.train.SGD(1.0).minimize(loss), fb.train.SGD(1.0).apply_gradients(pairs)])
    assert session.run([a, b]) == [-1.0, 1.0]


def test_var_list_chooses() -> None:
    a, b = fb.Variable(1.0, name="a"), fb.Variable(1.0, name="b")
    session = fb.Session()
    session.run(fb.train.SGD(1.0).minimize(a * b, var_list=[b]))
    assert session.run([a, b]) == [1.0, 0.0]


def test_no_connected_variable_is_an_error() -> None:
    a, x = fb.Variable(1.0, name="a"), fb.placeholder((), name="x")
    with pytest.raises(GradientError, match="depends on no trainable variable"):
        fb.train.SGD(1.0).minimize(x * 1.0)
    with pytest.raises(GradientError, match="depends on none of 'a'"):
        fb.train.SGD(1.0).minimize(x * 1.0, [a])
    with pytest.raises(GradientError, match="stop_gradient"):
        fb.train.SGD(1.0).minimize(fb.stop_gradient(a) * x)
    with pytest.raises(GradientError, match="no variable has a gradient"):
        fb.train.SGD(1.0).apply_gradients([(None, a)])


# ------------------------------------------------------------------------------------------------ arguments


def test_the_loss_has_to_be_a_float_scalar() -> None:
    w = fb.Variable([1.0, 2.0], name="w")
    losses = fb.square(w, name="losses")
    with pytest.raises(ShapeError) as error:
        fb.train.SGD(1.0).minimize(losses)
    assert error.value.message == "the loss 'losses' has shape (2,), it has to be a scalar"
    assert error.value.hint == "reduce it: fb.mean(losses)"
    with pytest.raises(DTypeError, match="is int64"):
        fb.train.SGD(1.0).minimize(fb.argmax(w))
    with pytest.raises(ArgumentError, match="has to be a tensor"):
        fb.train.SGD(1.0).minimize(3.0)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: fb.train.SGD(-1.0), "learning_rate is -1.0, it has to be finite and not negative"),
        (lambda: fb.train.SGD(float("nan")), "learning_rate is nan"),
        (lambda: fb.train.SGD("0.1"), "learning_rate is '0.1', which is not a number"),
        (lambda: fb.train.SGD(fb.constant([1.0])), "has shape (1,), it has to be a scalar"),
        (lambda: fb.train.SGD(fb.constant(1)), "is int64, it has to be a float"),
        (lambda: fb.train.Momentum(0.1, 1.0), "momentum is 1.0, it has to be from 0 to below 1"),
        (lambda: fb.train.Adam(beta2=1), "beta2 is 1, it has to be from 0 to below 1"),
        (lambda: fb.train.Adagrad(epsilon=-1), "epsilon is -1"),
        (lambda: fb.train.SGD(1.0).minimize(fb.constant(1.0), [fb.constant(1.0, name="c")]), "which is not a Variable"),
        (lambda: fb.train.SGD(1.0).minimize(fb.constant(1.0), []), "var_list is empty"),
        (lambda: fb.train.SGD(1.0).minimize(fb.constant(1.0), 3), "var_list holds 3"),
        (lambda: fb.train.SGD(1.0).apply_gradients(3), "pairs is 3, it has to be a list of pairs"),
        (lambda: fb.train.SGD(1.0).apply_gradients([fb.Variable(1.0)]), "is not a pair (gradient, variable)"),
        (lambda: fb.train.SGD(1.0).apply_gradients([(1.0, fb.constant(1.0))]), "is not a Variable"),
        (lambda: fb.train.SGD(1.0).minimize(fb.Variable(1.0) * 1.0, global_step=3), "integer scalar Variable"),
    ],
)
def test_wrong_arguments(make, text) -> None:
    with pytest.raises(fb.errors.FlowError) as error:
        make()
    assert text in error.value.message


def test_repr() -> None:
    assert repr(fb.train.Adam(0.01)) == "Adam(learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-08)"
    assert repr(fb.train.SGD(fb.constant(0.1, name="rate"))) == "SGD(learning_rate=rate)"


def test_a_gradient_of_another_dtype_is_cast() -> None:
    w = fb.Variable([1.0], name="w")
    session = fb.Session()
    session.run(fb.train.Adam(0.5).apply_gradients([(np.array([2.0]), w)]))
    assert session.run(w).dtype == np.float32
    np.testing.assert_allclose(session.run(w), [0.5], rtol=1e-6)


def test_outside_of_the_graphs_context() -> None:
    with fb.Graph().as_default() as other:
        w = fb.Variable(1.0, name="w")
        loss = w * w
    train = fb.train.Momentum(0.25).minimize(loss, name="train")
    assert train.graph is other and train.name == "train"
    session = fb.Session(other)
    session.run("train")
    assert session.run(w) == 0.5
