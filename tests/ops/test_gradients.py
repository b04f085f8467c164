"""Every differentiable op with every sample: gradients of first and second order."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import GradientError
from tests.ops import checks
from tests.ops.cases import Case, array_ops, build, cases, differentiable, is_float

# Ops whose rule is not the derivative of their value, by definition.
BY_DEFINITION = {"stop_gradient": "it is constant for gradients"}

smooth = [
    case
    for case in cases(differentiable)
    if case.op.name not in BY_DEFINITION
    and any(map(is_float, case.sample.inputs))
    and any(spec.dtype.kind == "f" for spec in checks.specs_of(case.op, case.sample.inputs, case.sample.attrs))
]
every = pytest.mark.parametrize("case", smooth, ids=str)
twice = [case for case in smooth if checks.repeated(case.sample)]
analytic = [case for case in smooth if case.op.analytic]
drawn = [case for case in smooth if any(is_float(each) and each.size for each in case.sample.inputs)]


@every
def test_first_order(case: Case) -> None:
    checks.check_gradient(case.op, case.sample)


@every
def test_second_order(case: Case) -> None:
    checks.check_gradient(case.op, case.sample, order=2)


@every
def test_unknown_shapes(case: Case) -> None:
    checks.check_gradient_unknown(case.op, case.sample)


@pytest.mark.parametrize("case", twice, ids=str)
@pytest.mark.parametrize("order", [1, 2])
def test_repeated_input(case: Case, order: int) -> None:
    checks.check_gradient(case.op, checks.repeated(case.sample), order)


@pytest.mark.parametrize("case", analytic, ids=str)
def test_complex_step(case: Case) -> None:
    checks.check_complex_step(case.op, case.sample)


@pytest.mark.parametrize("case", drawn, ids=str)
def test_special_points(case: Case) -> None:
    checks.check_special_gradient(case.op, case.sample)


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
    assert not missing, f"no sample of {sorted(missing)} has a float operand and a float result"


def test_stop_gradient_stops() -> None:
    with fb.Graph().as_default():
        x = fb.placeholder((2,), "float64")
        (g,) = fb.gradients(fb.stop_gradient(x) * x, [x])
        checks_value = checks.evaluate([g], {x: np.array([2.0, -3.0])})
    np.testing.assert_array_equal(checks_value[0], [2.0, -3.0])
