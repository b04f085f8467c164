"""Each checking layer still catches a bug that is planted for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.graph.opdef import REGISTRY, OpDef, Sample
from flowbook.graph.types import TensorSpec
from flowbook.ops import coverage
from tests.ops import checks, derivatives
from tests.ops.cases import planted
from tests.ops.counting import check_cost
from tests.ops.drivers import check_drivers, check_file, graph_of

TANH, MAXIMUM, MULTIPLY = REGISTRY["tanh"], REGISTRY["maximum"], REGISTRY["multiply"]
X = Sample((np.linspace(-1.5, 1.7, 6).reshape(2, 3),))
XY = Sample((np.linspace(-1.5, 1.7, 6).reshape(2, 3), np.linspace(0.5, 2.5, 3)))


def rejects(check: Callable[..., Any], bad: OpDef, *args: Any, good: OpDef | None = None) -> str:
    """That ``check`` fails for ``bad``, and for nothing else: the op it was made from passes."""
    check(good or REGISTRY[bad.name], *args)
    with pytest.raises((AssertionError, ValueError)) as caught:
        check(bad, *args)
    return str(caught.value)


def test_a_wrong_number() -> None:
    rejects(checks.check_result, planted(TANH, kernel=lambda xp, x: xp.tanh(x) * (1 + 1e-14)), X)


def test_a_wrong_number_in_float32_only() -> None:
    def kernel(xp, x):
        return xp.tanh(x) * (1 if x.dtype == np.float64 else x.dtype.type(1 + 1e-5))

    rejects(checks.check_result, planted(TANH, kernel=kernel), X, "float32")


def test_a_wrong_dtype() -> None:
    bad = planted(TANH, kernel=lambda xp, x: xp.tanh(x.astype("float64")))
    assert "its spec says" in rejects(checks.check_result, bad, X, "float32")


def test_a_wrong_spec() -> None:
    bad = planted(TANH, spec=lambda x: TensorSpec(x.shape[::-1], x.dtype))
    rejects(checks.check_result, bad, X)
    rejects(checks.check_spec, bad, X)


def test_a_spec_that_is_wrong_for_unknown_dimensions_only() -> None:
    def spec(x, y):
        sizes = x.dims if None in x.dims else np.broadcast_shapes(x.shape, y.shape)
        return TensorSpec(tuple(sizes), x.dtype)

    checks.check_result(planted(MULTIPLY, spec=spec), XY)
    with pytest.raises(AssertionError, match="unknown"):
        checks.check_spec(planted(MULTIPLY, spec=spec), XY._replace(inputs=XY.inputs[::-1]))


def test_a_spec_that_confuses_names() -> None:
    bad = planted(MULTIPLY, spec=lambda x, y: TensorSpec(x.dims[::-1] if "n0_0" in x.dims else x.dims, x.dtype))
    rejects(checks.check_spec, bad, XY)


def test_a_kernel_that_writes_its_input() -> None:
    def kernel(xp, x):
        y = xp.tanh(x)
        x[...] = 0
        return y

    bad = planted(TANH, kernel=kernel)
    copy = X._replace(inputs=(X.inputs[0].copy(),))
    with pytest.raises(AssertionError, match="changed its input"):
        checks.check_result(bad, copy)
    with pytest.raises(ValueError, match="read-only"):
        checks.check_layouts(bad, X)


def test_a_kernel_that_trusts_the_memory_layout() -> None:
    def kernel(xp, x):
        return xp.tanh(np.frombuffer(x.tobytes("A"), x.dtype).reshape(x.shape))

    rejects(checks.check_layouts, planted(TANH, kernel=kernel), X)


def test_a_wrong_special_value() -> None:
    bad = planted(TANH, kernel=lambda xp, x: xp.where(xp.isinf(x), xp.nan, xp.tanh(x)).astype(x.dtype))
    checks.check_result(bad, X)
    rejects(checks.check_special, bad, X)


# ------------------------------------------------------------------------------------------------ gradients


def tanh_rule(factor: float = 1.0, second: float = 1.0) -> Callable[..., Any]:
    """The rule of tanh, wrong by a factor, in the first order or in the second only."""

    def rule(node, dy):
        y = node.outputs[0]
        hidden = fb.stop_gradient(y * y) * (1 - second)  # has the value of y * y, but not its derivative
        return dy * (1 - (y * y * second + hidden)) * factor

    return rule


def test_a_wrong_gradient() -> None:
    bad = planted(TANH, gradient=tanh_rule(1 + 1e-6))
    assert "differences say" in rejects(derivatives.check_gradient, bad, X)


def test_a_wrong_gradient_that_differences_cannot_see() -> None:
    bad = planted(TANH, gradient=tanh_rule(1 + 1e-11))
    derivatives.check_gradient(bad, X)
    assert "complex step" in rejects(derivatives.check_complex_step, bad, X)


def test_a_wrong_second_order() -> None:
    bad = planted(TANH, gradient=tanh_rule(second=1 + 1e-5))
    derivatives.check_gradient(bad, X)
    derivatives.check_complex_step(bad, X)
    rejects(derivatives.check_gradient, bad, X, 2)


def test_a_gradient_wrong_for_one_operand() -> None:
    bad = planted(MULTIPLY, gradient=lambda node, dy: (dy * node.inputs[1], dy * node.inputs[1]))
    rejects(derivatives.check_gradient, bad, XY)


def test_a_gradient_lost_to_one_operand() -> None:
    bad = planted(MULTIPLY, gradient=lambda node, dy: (dy * node.inputs[1], None))
    rejects(derivatives.check_gradient, bad, XY)


def test_a_gradient_that_forgets_repeated_operands() -> None:
    def rule(node, dy):
        x, y = node.inputs
        return dy * y, None if x is y else dy * x

    same = Sample((np.array([1.0, 2.0]), np.array([3.0, -1.0])))
    derivatives.check_gradient(planted(MULTIPLY, gradient=rule), same)
    rejects(derivatives.check_gradient, planted(MULTIPLY, gradient=rule), derivatives.repeated(same))


def test_a_gradient_that_forgets_broadcasting() -> None:
    bad = planted(MULTIPLY, broadcasts=False)
    rejects(derivatives.check_gradient, bad, XY)
    rejects(derivatives.check_gradient_unknown, bad, XY)


def test_wrong_tie_sharing() -> None:
    def rule(node, dy):
        x, y = node.inputs
        return fb.where(x >= y, dy, 0.0), fb.where(x >= y, 0.0, dy)

    bad = planted(MAXIMUM, gradient=rule)
    derivatives.check_gradient(bad, XY)
    tie = Sample((np.array([1.0, 2.0]), np.array([1.0, 3.0])))
    with pytest.raises(AssertionError):
        derivatives.check_shared(bad, tie.inputs, [[0.5, 0.0], [0.5, 1.0]])
    derivatives.check_shared(MAXIMUM, tie.inputs, [[0.5, 0.0], [0.5, 1.0]])


def test_nan_in_a_gradient_at_zero() -> None:
    bad = planted(REGISTRY["square"], gradient=lambda node, dy: dy * 2.0 * node.outputs[0] / node.inputs[0])
    derivatives.check_gradient(bad, X)
    assert "nan" in rejects(derivatives.check_special_gradient, bad, X)


# ------------------------------------------------------------------------------------------------ declarations


@pytest.mark.parametrize("flops", [1, 400, 0])
def test_a_wrong_cost(flops: int) -> None:
    bad = planted(TANH, cost=lambda inputs, outputs, attrs: flops * outputs[0].size)
    assert "declares" in rejects(check_cost, bad, Sample((np.ones((30, 40)),)))


def test_a_cost_that_grows_wrongly() -> None:
    bad = planted(TANH, cost=lambda inputs, outputs, attrs: 12.0 * 6)
    assert "grows" in rejects(check_cost, bad, X)


@pytest.mark.parametrize(
    ("field", "value"), [("gradient", None), ("cost", None), ("samples", None), ("doc", ""), ("oracle", None)]
)
def test_a_missing_declaration(field: str, value: Any) -> None:
    bad = planted(REGISTRY["gelu"], **{field: value})
    rejects(checks.check_declared, bad)
    holes = coverage.row(bad).holes
    assert holes and coverage.row(REGISTRY["gelu"]).holes == ()


def test_a_reason_beside_a_gradient() -> None:
    rejects(checks.check_declared, planted(TANH, nondifferentiable="it is flat"))


def test_a_second_order_that_gets_stuck_shows_in_the_table() -> None:
    bad = planted(REGISTRY["abs"], gradient=lambda node, dy: dy * fb.sign(node.inputs[0]))
    assert coverage.second_order(bad) == "no: through sign"
    assert coverage.second_order(REGISTRY["abs"]) == "yes"


# ------------------------------------------------------------------------------------------------ drivers


def test_a_kernel_that_changes_its_mind() -> None:
    """What differs from run to run differs between the drivers."""
    calls = iter(range(1000))

    def kernel(xp, x):
        return xp.tanh(x) + next(calls) * 1e-9

    bad = planted(TANH, kernel=kernel, gradient=None, nondifferentiable="test")
    rejects(check_drivers, bad, [X])


def test_a_file_that_loses_an_attribute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check_file(REGISTRY["sum"], [X], tmp_path / "graph.flow")
    with fb.Graph().as_default():
        other = graph_of(REGISTRY["sum"], [X._replace(attrs={"keepdims": True})])[0]
    monkeypatch.setattr(fb, "load_graph", lambda path: other)
    with pytest.raises(AssertionError):
        check_file(REGISTRY["sum"], [X], tmp_path / "graph.flow")
