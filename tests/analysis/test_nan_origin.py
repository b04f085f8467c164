"""`nan_origin` finds the planted node, its element, the rule it broke, the values there and the line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbook as fb
from tests.analysis.nan_faults import FAULTS, vector
from tests.analysis.nan_gradient_faults import derivative


def names(faults):
    return [each.build.__name__ for each in faults]


@pytest.mark.parametrize("fault", FAULTS, ids=names(FAULTS))
def test_planted_fault(fault) -> None:
    with fb.Graph().as_default():
        fetch, feeds = fault.build()
    found = fb.nan_origin(fetch, feeds)
    forward = found.node
    for _ in range(fault.order):
        forward = forward.forward
    assert (forward.name, forward.forward) == (fault.node, None)
    assert (found.op, found.output, found.element, found.kind) == (fault.op, 0, fault.element, fault.kind)
    assert found.rule == fault.rule
    where = found.forward if fault.order else found.origin
    assert where.code.endswith("# fault")
    assert where.cell in ("nan_faults.py", "nan_gradient_faults.py")
    assert (found.gradient is not None) == (fault.order > 0)
    texts = [repr(each) for each in found.inputs]
    numbers = [(each.label, each.value) for each in found.inputs]
    for value in fault.values:
        if isinstance(value, str):
            assert any(value in text for text in texts), texts
        else:
            assert value in numbers
    assert (found.path[0], found.path[-1]) == (found.name, found.fetch[0])
    assert found.hint
    assert repr(fb.nan_origin(fetch, feeds)) == repr(found)


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 30
    assert {fault.order for fault in FAULTS} == {0, 1, 2}


# ------------------------------------------------------------------------------------------------ the text


def test_text_of_a_forward_fault() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(1.0, 0.0)
        loss = fb.sum(fb.log(x, name="l") * x, name="loss")  # here
    text = repr(fb.nan_origin(loss, feeds)).splitlines()
    line = text.pop(4)
    assert line.startswith("  line:     test_nan_origin.py:")
    assert line.endswith('  loss = fb.sum(fb.log(x, name="l") * x, name="loss")  # here')
    assert text == [
        "nan in 'loss' begins in 'l'[1] (log)",
        "  rule:     log of 0, which gives -inf",
        "  values:   x[1] = 0",
        "  then:     nan at 'multiply_1': 0 * inf",
        "  path:     'l' > 'multiply_1' > 'loss'",
        "  hint:     log(x + eps); of probabilities log_softmax(logits), or softmax_cross_entropy(labels, logits) for"
        " the loss",
    ]


def test_text_of_a_gradient() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(1e-30, 1.0)
        y = fb.log(x, name="y")
        found = fb.nan_origin(derivative(y, x, 2), feeds)
    assert found.gradient == ("in the gradient of order 2 of 'y' = log(x), whose derivative is 1 / x, at x = 1e-30")
    assert f"  gradient: {found.gradient}\n" in repr(found)


def test_text_of_a_long_path_shows_its_ends() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(0.0)
        y = fb.log(x, name="y0")
        for at in range(1, 9):
            y = fb.add(y, 1.0, name=f"y{at}")
    found = fb.nan_origin({"a": [fb.exp(x), y]}, feeds)
    assert found.path == tuple(f"y{at}" for at in range(9))
    assert "  path:     'y0' > 'y1' > 'y2' > (4 more) > 'y7' > 'y8'\n" in repr(found)


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda x, one: fb.sqrt(x, name="y"), "as sqrt(x + eps) does"),
        (lambda x, one: fb.power(x, 0.5, name="y"), "as power(x + eps, y) does"),
        (lambda x, one: fb.divide(one, x, name="y"), "as x / (y + eps) does"),
    ],
)
def test_advice_for_a_gradient_is_about_the_forward_node(build, advice) -> None:
    with fb.Graph().as_default():
        x, feeds = vector(0.0)
        one = fb.constant([1.0])
        y = build(x, one)
        found = fb.nan_origin(derivative(y, one if y.node.op == "divide" else x), feeds)
    assert found.node.forward.name == "y"
    assert found.hint.endswith(advice)


# ------------------------------------------------------------------------------------------------ the trap of where


@pytest.mark.parametrize(("fed", "node"), [(0.0, "gradients/y/divide_1"), (-1.0, "y")])
def test_where_trap_is_explained(fed, node) -> None:
    """At 0 the slope of sqrt is infinite; below it the value that the slope is made of is nan."""
    with fb.Graph().as_default():
        x, feeds = vector(4.0, fed)
        y = fb.sqrt(x, name="y")
        chosen = fb.where(x > 0.0, y, 0.0, name="chosen")
        dx = derivative(chosen, x)
    assert fb.nan_origin(chosen, feeds) is None
    found = fb.nan_origin(dx, feeds)
    assert (found.name, found.element) == (node, (1,))
    assert found.trap == ("chosen", "[1]")
    assert found.hint.startswith("choose a safe x before the function, too")
    assert "where() 'chosen'[1] did not take this branch" in repr(found)


def test_advice_for_the_where_trap_helps() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(4.0, 0.0, -1.0)
        ok = x > 0.0
        dx = derivative(fb.where(ok, fb.sqrt(fb.where(ok, x, 1.0)), 0.0), x)
    assert fb.nan_origin(dx, feeds) is None


def test_no_trap_where_the_branch_is_taken() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(4.0, 0.0)
        dx = derivative(fb.where(x >= 0.0, fb.sqrt(x), 0.0), x)
    assert fb.nan_origin(dx, feeds).trap is None


# ------------------------------------------------------------------------------------------------ a property

KEEP = ("tanh", "double", "flip", "transpose", "row", "product", "branch", "exp")


def go_on(op, value):
    """One more node after ``value``, a 2 by 2 matrix; what was finite stays so."""
    builders = {
        "tanh": lambda: fb.tanh(value),
        "double": lambda: value * 0.5 + value,
        "flip": lambda: fb.flip(value, axis=0),
        "transpose": lambda: value.T,
        "row": lambda: fb.broadcast_to(fb.mean(value, axis=0, keepdims=True), (2, 2)),
        "product": lambda: fb.matmul(value, fb.constant([[1.0, 0.5], [0.25, 1.0]])),
        "branch": lambda: fb.cond(fb.constant(True), lambda: fb.negative(value), lambda: value),
        "exp": lambda: fb.exp(fb.tanh(value)),
    }
    return builders[op]()


def plant(which, value, place):
    """A node that is not finite at one element only."""
    hot = np.zeros((2, 2), bool)
    hot[place] = True
    if which == "log":
        return fb.log(fb.where(hot, 0.0, fb.abs(value) + 1.0), name="bad")
    if which == "sqrt":
        return fb.sqrt(fb.where(hot, -1.0, fb.abs(value)), name="bad")
    if which == "divide":
        return fb.divide(1.0, fb.where(hot, 0.0, fb.abs(value) + 1.0), name="bad")
    return fb.exp(fb.where(hot, 200.0, fb.tanh(value)), name="bad")


@given(
    before=st.lists(st.sampled_from(KEEP), max_size=4),
    after=st.lists(st.sampled_from(KEEP), max_size=4),
    which=st.sampled_from(["log", "sqrt", "divide", "exp"]),
    place=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_the_planted_node_is_found_and_nothing_before_it(before, after, which, place) -> None:
    with fb.Graph().as_default():
        value = start = fb.placeholder((2, 2), name="x")
        for op in before:
            value = go_on(op, value)
        upstream = value
        bad = value = plant(which, value, place)
        for op in after:
            value = go_on(op, value)
        value = value + fb.tanh(start)
        session = fb.Session()
    feeds = {start: [[0.5, -1.0], [2.0, 0.0]]}
    assert fb.nan_origin(upstream, feeds, session) is None
    result = session.run(value, feeds)
    found = fb.nan_origin(value, feeds, session)
    if np.isfinite(result).all():
        assert found is None
    else:
        assert (found.node, found.element) == (bad.node, place)
        assert len(set(found.path)) == len(found.path)
        assert np.isfinite(found.inputs[0].values).all()
