"""Every array op with every sample: result, spec, memory layout, special points, cost."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ShapeError
from tests.ops import checks
from tests.ops.cases import Case, cases, is_float
from tests.ops.counting import check_cost

every = pytest.mark.parametrize("case", cases(), ids=str)


@every
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_result(case: Case, dtype: str) -> None:
    checks.check_result(case.op, case.sample, dtype)


@every
def test_spec(case: Case) -> None:
    checks.check_spec(case.op, case.sample)


@every
def test_layouts(case: Case) -> None:
    checks.check_layouts(case.op, case.sample)


@every
def test_cost(case: Case) -> None:
    check_cost(case.op, case.sample)


special = [case for case in cases() if any(is_float(each) and each.size for each in case.sample.inputs)]


@pytest.mark.parametrize("case", special, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_special_points(case: Case, dtype: str) -> None:
    checks.check_special(case.op, case.sample, dtype)


def test_there_are_cases() -> None:
    names = {case.op.name for case in cases()}
    assert {"add", "tanh", "where"} <= names
    operands = [value for case in cases() for value in case.sample.inputs]
    assert all(isinstance(each, (np.ndarray, int, float, bool, type(None))) for each in operands)


@pytest.mark.parametrize("take_apart", [lambda x: fb.split(x, 2 * 10**8), fb.unstack], ids=["split", "unstack"])
def test_a_node_has_a_bounded_number_of_outputs(take_apart) -> None:
    with fb.Graph().as_default(), pytest.raises(ShapeError, match="would come apart into 200000000 tensors"):
        take_apart(fb.placeholder((2 * 10**8,)))
