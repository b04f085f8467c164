"""Every differentiable op with every sample: gradients of first and second order."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import GradientError
from tests.ops import derivatives
from tests.ops.cases import Case, array_ops, build, cases, cast, compute, differentiable, evaluate, is_float

# Ops whose rule is not the derivative of their value, by definition.
BY_DEFINITION = {"stop_gradient": "it is constant for gradients"}

# Notes of samples where a kink is met on purpose, or where what is left after cancellation is too small to measure.
NOT_SMOOTH = ("ties", "kink", "large")


def is_smooth(case: Case) -> bool:
    """Whether differences say something at a sample: floats in and out, all finite, and no kink met on purpose."""
    if case.op.name in BY_DEFINITION or case.sample.note in NOT_SMOOTH:
        return False
    inputs = cast(case.sample.inputs, "float64")
    groups = inputs, compute(case.op, inputs, case.sample.attrs)
    floats = [[each for each in group if is_float(each)] for group in groups]
    return all(floats) and all(np.isfinite(each).all() for group in floats for each in group)


smooth = [case for case in cases(differentiable) if is_smooth(case)]
every = pytest.mark.parametrize("case", smooth, ids=str)
twice = [case for case in smooth if derivatives.repeated(case.sample)]
analytic = [case for case in smooth if case.op.analytic]
drawn = [case for case in smooth if max(each.size for each in case.sample.inputs if is_float(each))]


@every
def test_first_order(case: Case) -> None:
    derivatives.check_gradient(case.op, case.sample)


@every
def test_second_order(case: Case) -> None:
    derivatives.check_gradient(case.op, case.sample, order=2)


@every
def test_unknown_shapes(case: Case) -> None:
    derivatives.check_gradient_unknown(case.op, case.sample)


@pytest.mark.parametrize("case", twice, ids=str)
@pytest.mark.parametrize("order", [1, 2])
def test_repeated_input(case: Case, order: int) -> None:
    derivatives.check_gradient(case.op, derivatives.repeated(case.sample), order)


@pytest.mark.parametrize("case", analytic, ids=str)
def test_complex_step(case: Case) -> None:
    derivatives.check_complex_step(case.op, case.sample)


@pytest.mark.parametrize("case", drawn, ids=str)
def test_special_points(case: Case) -> None:
    derivatives.check_special_gradient(case.op, case.sample)


stuck = [op for op in array_ops() if op.nondifferentiable]


@pytest.mark.parametrize("op", stuck, ids=lambda op: op.name)
def test_what_has_no_gradient_says_why(op) -> None:
    sample = next(iter(op.samples()))
    with fb.Graph().as_default():
        call = build(op, sample.inputs, sample.attrs)
        if not call.ys:
            assert all(each.dtype.kind != "f" for each in call.outputs)
            y = fb.astype(call.outputs[0], "float64")
            with pytest.raises(GradientError):
                fb.gradients(y, call.xs or list(call.feeds))
        elif call.xs:
            with pytest.raises(GradientError, match=op.nondifferentiable):
                fb.gradients(call.ys, call.xs)


def test_every_differentiable_op_is_here() -> None:
    missing = {op.name for op in array_ops() if op.gradient} - {case.op.name for case in smooth} - set(BY_DEFINITION)
    missing -= {op.name for op in array_ops() if {sample.note for sample in op.samples()} == {"ties"}}
    assert not missing, f"no sample of {sorted(missing)} has a float operand and a float result"


def test_every_backward_node_knows_its_forward_node() -> None:
    with fb.Graph().as_default() as graph:
        x, w, z = (fb.placeholder((2,), name=name) for name in "xwz")
        y = fb.tanh(x * w + x, name="y")
        before = set(graph.nodes)
        dx, dw, dz = fb.gradients(y, [x, w, z], unconnected="zeros")
        made = [node for node in graph.nodes if node not in before]
        assert all(node.forward in before for node in made)
        assert all(node.forward is None for node in before)
        assert dw.node.forward is dw.node.input_tensors[0].node.forward
        assert dx.node.forward is x.node and dz.node.forward is z.node
        (direct,) = fb.gradients(fb.exp(x, name="e"), [x])
        assert direct.node.forward is graph["e"].node


def test_stop_gradient_stops() -> None:
    with fb.Graph().as_default():
        x = fb.placeholder((2,), "float64")
        (g,) = fb.gradients(fb.stop_gradient(x) * x, [x])
        values = evaluate([g], {x: np.array([2.0, -3.0])})
    np.testing.assert_array_equal(values[0], [2.0, -3.0])
