"""The table of rules, operation by operation."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.analysis.nan_report import Operand
from flowbook.analysis.nan_rules import RULES, Case, broken_rule

NAN, INF = float("nan"), float("inf")

BROKEN = [
    ("log", [0.0], -INF, "log of 0"),
    ("log", [-1.0], NAN, "log of a negative number"),
    ("log2", [0.0], -INF, "log2 of 0"),
    ("log1p", [-1.0], -INF, "log1p of -1"),
    ("log1p", [-2.0], NAN, "log1p of a number below -1"),
    ("log", [INF], INF, "inf from inputs that are not finite"),
    ("exp", [710.0], INF, "overflow of exp: in float64 x may be 709.8 at most"),
    ("exp2", [1025.0], INF, "overflow of exp2: in float64 x may be 1024 at most"),
    ("cosh", [711.0], INF, "overflow of cosh: in float64 x may be 710.5 at most"),
    ("sinh", [-711.0], -INF, "overflow of sinh: in float64 x may be 710.5 at most"),
    ("exp", [INF], INF, "inf from inputs that are not finite"),
    ("sqrt", [-1.0], NAN, "square root of a negative number"),
    ("reciprocal", [0.0], INF, "reciprocal of 0"),
    ("reciprocal", [1e-320], INF, "overflow of reciprocal: beyond 1.798e+308, the largest float64"),
    ("rsqrt", [0.0], INF, "rsqrt of 0"),
    ("rsqrt", [-1.0], NAN, "square root of a negative number"),
    ("divide", [0.0, 0.0], NAN, "0 / 0"),
    ("divide", [-1.0, 0.0], -INF, "division by 0"),
    ("divide", [INF, INF], NAN, "inf / inf"),
    ("divide", [1e300, 1e-300], INF, "overflow of divide: beyond 1.798e+308, the largest float64"),
    ("remainder", [1.0, 0.0], NAN, "remainder by 0"),
    ("remainder", [INF, 2.0], NAN, "remainder of inf"),
    ("power", [0.0, -1.0], INF, "negative power of 0"),
    ("power", [-8.0, 1 / 3], NAN, "fractional power of a negative number"),
    ("power", [-1e200, 3.0], -INF, "overflow of power: beyond 1.798e+308, the largest float64"),
    ("multiply", [0.0, INF], NAN, "0 * inf"),
    ("multiply", [2.0, INF], INF, "inf from inputs that are not finite"),
    ("add", [INF, -INF], NAN, "inf - inf"),
    ("subtract", [INF, INF], NAN, "inf - inf"),
    ("subtract", [-1e308, 1e308], -INF, "overflow of subtract: beyond 1.798e+308, the largest float64"),
    ("arcsin", [1.5], NAN, "arcsin outside [-1, 1]"),
    ("arccos", [-1.5], NAN, "arccos outside [-1, 1]"),
    ("arctanh", [1.0], INF, "arctanh outside (-1, 1)"),
    ("arccosh", [0.5], NAN, "arccosh below 1"),
    ("sin", [INF], NAN, "sin of inf"),
    ("norm", [1e200], INF, "overflow of norm: beyond 1.798e+308, the largest float64"),
    ("astype", [INF], INF, "inf from inputs that are not finite"),
    ("matmul", [0.0, INF], NAN, "0 * inf or inf - inf in a sum of products"),
    ("matmul", [1.0, INF], INF, "inf from inputs that are not finite"),
    ("softmax", [-INF], NAN, "softmax of a row whose logits are all -inf"),
    ("log_softmax", [INF], NAN, "log_softmax of a row with a logit of inf"),
    ("layer_norm", [1e200, 1.0, 1.0], NAN, "overflow of layer_norm: beyond 1.798e+308, the largest float64"),
    ("var", [1e200], INF, "overflow of var: beyond 1.798e+308, the largest float64"),
    ("something_new", [1.0], NAN, "nan made from finite inputs"),
    ("something_new", [INF], INF, "inf from inputs that are not finite"),
]


@pytest.mark.parametrize(("op", "inputs", "output", "rule"), BROKEN, ids=[f"{each[0]}-{each[3]}" for each in BROKEN])
def test_rule(op, inputs, output, rule) -> None:
    case = Case(op, {"epsilon": 1e-5}, tuple(np.array([each]) for each in inputs), np.float64(output))
    assert broken_rule(case).rule == rule


def test_rules_of_several_elements() -> None:
    def rule(op, values, output=NAN, **attrs):
        return broken_rule(Case(op, attrs, (np.array(values),), np.float64(output))).rule

    assert rule("mean", []) == "mean of no elements"
    assert rule("mean", [INF, -INF]) == "inf - inf"
    assert rule("mean_weight", []) == "mean of no elements"
    assert rule("var", []) == "var of 0 elements"
    assert rule("std", [1.0, 2.0], correction=2) == "std of 2 elements with correction=2"
    assert rule("logsumexp", [], -INF) == "logsumexp of no elements"
    assert rule("logsumexp", [INF], INF) == "inf from inputs that are not finite"
    assert rule("softmax", []) == "nan made from finite inputs"
    assert rule("softmax", [1.0, 1e308]) == "overflow of softmax: beyond 1.798e+308, the largest float64"
    assert rule("batch_norm", [3.0, 3.0], epsilon=0) == "batch_norm of equal elements with epsilon=0"
    assert rule("standardize", [3.0, 3.0], epsilon=0) == "standardize of equal elements with epsilon=0"


def test_advice_helps_where_it_is_given() -> None:
    """An eps cures a 0, not a negative number; a mask cures -inf, not inf."""

    def hint(op, values, output=NAN):
        return broken_rule(Case(op, {}, (np.array(values),), np.float64(output))).hint

    assert "x + eps" in hint("log", [0.0], -INF)
    assert "x + eps" not in hint("log", [-3.0]) and "below 0" in hint("log", [-3.0])
    assert "below -1" in hint("log1p", [-3.0])
    assert "mask" in hint("softmax", [-INF, -INF])
    assert "mask" not in hint("softmax", [1.0, INF]) and "became infinite" in hint("softmax", [1.0, INF])


def test_every_rule_ends_with_an_answer() -> None:
    """Whatever it is given, a rule raises nothing; ordinary inputs are blamed for no particular number."""
    for op in RULES:
        found = broken_rule(Case(op, {"epsilon": 1e-5}, (np.array([2.0]), np.array([0.5])), np.float32(np.nan)))
        assert found.rule


def test_operand_as_text() -> None:
    assert repr(Operand("x[0]", np.array([-0.0]))) == "x[0] = 0"
    assert repr(Operand("x[:]", np.array([1.0, np.inf, 3.0]))) == "x[:]: 3 elements from 1 to 3, 1 not finite"
    assert repr(Operand("mask", np.array([True, False]))) == "mask: 2 elements"
    assert repr(Operand("x", np.zeros(0))) == "x: no elements"
    assert Operand("x", np.array([1, 2])).value is None
    assert Operand("x", np.array([3])).value == 3
