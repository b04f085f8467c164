"""`cond`: values, gradients, effects, state, randomness, errors."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FlowError, RunError


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


@pytest.fixture
def x(graph):
    return fb.placeholder((), "float64", name="x")


def test_only_the_chosen_branch_runs(x):
    ran = []

    def branch(label, value):
        return lambda: fb.py_function(lambda a: ran.append(label) or a, [value], "float64", ())

    y = fb.cond(x > 0, branch("true", x), branch("false", -x))
    assert fb.Session().run(y, {x: -2.0}) == 2.0 and ran == ["false"]


def test_structures_numbers_and_outer_tensors(x):
    got = fb.cond(x > 0, lambda: {"a": (x, [x * 2.0]), "b": 1}, lambda: {"a": (x, [x]), "b": 2})
    value = fb.Session().run(got, {x: 3.0})
    assert value == {"a": (3.0, [6.0]), "b": 1}


def test_named_tuples_are_kept(x):
    pair = namedtuple("pair", "a b")
    got = fb.cond(x > 0, lambda: pair(x, [1.0]), lambda: pair(-x, [2.0]))
    assert type(got) is pair and fb.Session().run(got, {x: -3.0}) == pair(3.0, [2.0])


@pytest.mark.parametrize("value", [0.7, -0.7])
def test_gradients_of_first_and_second_order(x, value):
    w = fb.Variable(np.float64(1.5), name="w")
    y = fb.cond(x > 0, lambda: fb.exp(x * w) * x, lambda: fb.tanh(w) * x * x)
    (dx, dw) = fb.gradients(y, [x, w])
    (dxx, dxw) = fb.gradients(dx, [x, w])
    session = fb.Session()
    got = session.run([dx, dw, dxx, dxw], {x: value})
    h = 1e-5

    def f(a, b):
        return session.run([y, dx], {x: a, w: b})

    (up, dup), (down, ddown) = f(value + h, 1.5), f(value - h, 1.5)
    (wup, dwup), (wdown, dwdown) = f(value, 1.5 + h), f(value, 1.5 - h)
    numeric = [(up - down) / (2 * h), (wup - wdown) / (2 * h), (dup - ddown) / (2 * h), (dwup - dwdown) / (2 * h)]
    assert np.allclose(got, numeric, rtol=1e-7)


def test_the_gradient_of_what_a_branch_does_not_use_is_zero(x):
    w = fb.Variable(2.0, dtype="float64", name="w")
    y = fb.cond(x > 0, lambda: x * w, lambda: x)
    (dw,) = fb.gradients(y, [w])
    session = fb.Session()
    assert session.run(dw, {x: 3.0}) == 3.0 and session.run(dw, {x: -3.0}) == 0.0


def test_unknown_shapes_pass_through(graph):
    x = fb.placeholder(("n",), "float64", name="x")
    y = fb.cond(fb.sum(x) > 0, lambda: x * 2.0, lambda: fb.concat([x, x]))
    assert y.shape == (None,)
    (dx,) = fb.gradients(fb.sum(y), [x])
    session = fb.Session()
    assert session.run([y, dx], {x: [1, 2]})[0].tolist() == [2, 4]
    got = session.run([y, dx], {x: [-1, -2]})
    assert got[0].tolist() == [-1, -2, -1, -2] and got[1].tolist() == [2, 2]


def test_writes_in_a_branch(x):
    v = fb.Variable(np.float64(1.0), name="v")
    y = fb.cond(x > 0, lambda: fb.assign_add(v, x), lambda: v * 10.0)
    with fb.control_dependencies([y]):
        after = fb.identity(v)
    session = fb.Session()
    assert session.run([v, y, after], {x: 2.0}) == [1.0, 3.0, 3.0]
    assert session.run([v, y, after], {x: -2.0}) == [3.0, 30.0, 3.0]


def test_a_gradient_alone_does_not_write(x):
    v = fb.Variable(np.float64(4.0), name="v")
    y = fb.cond(x > 0, lambda: fb.assign(v, x * x), lambda: v * x)
    dx, dv = fb.gradients(y, [x, v])
    session = fb.Session()
    assert session.run([dx, dv], {x: 3.0}) == [6.0, 0.0] and session.run(v) == 4.0
    assert session.run([dx, dv], {x: -3.0}) == [4.0, -3.0]
    assert session.run([y, dx], {x: 3.0}) == [9.0, 6.0] and session.run(v) == 9.0


def test_a_read_after_a_write_inside_a_branch_sees_it(x):
    v = fb.Variable(np.float64(1.0), name="v")

    def branch():
        with fb.control_dependencies([fb.assign(v, x)]):
            return v * 2.0

    y = fb.cond(x > 0, branch, lambda: x)
    session = fb.Session()
    assert session.run(y, {x: 5.0}) == 10.0 and session.run(v) == 5.0


def test_a_branch_that_fails_leaves_state_whole(x):
    v = fb.Variable(np.float64(1.0), name="v")

    def branch():
        with fb.control_dependencies([fb.assign(v, 7.0)]):
            return fb.check_finite(fb.log(x - 100.0), name="probe")

    y = fb.cond(x > 0, branch, lambda: x)
    session = fb.Session()
    with pytest.raises(RunError) as info:
        session.run(y, {x: 5.0})
    assert info.value.node == "cond_1/true/probe" and info.value.line is not None
    assert session.run(v) == 1.0


def test_effects_in_a_branch_run_without_being_returned(x, capsys):
    def branch():
        fb.print(x, message="taken")
        return x

    y = fb.cond(x > 0, branch, lambda: -x)
    session = fb.Session()
    session.run(y, {x: 1.0})
    assert "taken" in capsys.readouterr().out
    session.run(y, {x: -1.0})
    assert capsys.readouterr().out == ""


def test_branches_of_nodes(x):
    v = fb.Variable(np.float64(0.0), name="v")
    train = fb.cond(x > 0, lambda: fb.group(fb.assign_add(v, x)), lambda: fb.group(fb.assign_sub(v, x)))
    session = fb.Session()
    assert session.run(train, {x: 2.0}) is None
    session.run(train, {x: -5.0})
    assert session.run(v) == 7.0


def test_nested(x):
    y = fb.cond(x > 0, lambda: fb.cond(x > 1, lambda: x * x, lambda: x), lambda: -x)
    (dx,) = fb.gradients(y, [x])
    session = fb.Session()
    assert [[float(v) for v in session.run([y, dx], {x: a})] for a in (3.0, 0.5, -2.0)] == [[9, 6], [0.5, 1], [2, -1]]


def test_backward_draws_the_numbers_forward_drew(x):
    y, noise = fb.cond(x > 0, lambda: _noisy(x), lambda: (x, x))
    (dx,) = fb.gradients(y, [x])
    session = fb.Session()
    for _ in range(3):
        got = session.run([noise, dx], {x: 2.0})
        assert got[0] == got[1]


def _noisy(x):
    noise = fb.random.uniform((), dtype="float64")
    return x * noise, noise


@pytest.mark.parametrize("outside", [False, True])
def test_gradients_in_a_branch(x, outside):
    cube = x * x * x

    def derivative():
        y = cube if outside else x * x * x
        return fb.gradients(y, [x])[0]

    y = fb.cond(x > 0, derivative, lambda: x)
    (dy,) = fb.gradients(y, [x])
    assert fb.Session().run([y, dy], {x: 2.0}) == [12.0, 12.0]
    assert fb.Session().run([y, dy], {x: -2.0}) == [-2.0, 1.0]


def test_named_like_the_op_and_seen_by_plans(x):
    y = fb.cond(x > 0, lambda: fb.exp(x), lambda: x, name="choice")
    assert y.name == "choice"
    body = y.node.attrs["true_body"]
    assert [node.name for node in body.nodes] == ["choice/true/captured/x", "choice/true/exp_1"]


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda x: fb.cond(x, lambda: x, lambda: x), "has to be a bool scalar"),
        (lambda x: fb.cond(fb.constant([True]), lambda: x, lambda: x), "has to be a bool scalar"),
        (lambda x: fb.cond(x > 0, lambda: x, lambda: (x, x)), "different structures"),
        (lambda x: fb.cond(x > 0, lambda: x, lambda: x > 0), "float64 and bool"),
        (lambda x: fb.cond(x > 0, lambda: x, lambda: fb.reshape(x, (1,))), "different ranks"),
        (lambda x: fb.cond(x > 0, lambda: x, lambda: object()), "not"),
        (lambda x: fb.cond(x > 0, x, lambda: x), "it has to be a function"),
        (lambda x: fb.cond(x > 0, lambda: fb.group(fb.exp(x)), lambda: x.node), "built outside"),
    ],
)
def test_errors_point_at_the_line(x, build, text):
    with pytest.raises(FlowError, match=text) as info:
        build(x)
    assert info.value.cell == "test_control.py" and info.value.line is not None
