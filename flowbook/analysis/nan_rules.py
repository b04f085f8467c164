"""Which rule of arithmetic an operation broke: a table from operation to what has to hold of its operands.

A rule looks at one element of the output and the elements of the inputs that it was computed from. Source of what is
undefined, and of what overflows: IEEE 754-2019, sections 7.2 to 7.4 and 9.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One element that is not finite. ``inputs``: by operand, the elements it depends on (1-D); ``None``: none."""

    op: str
    attrs: Mapping[str, Any]
    inputs: tuple[Any, ...]
    output: Any  # a scalar

    def scalar(self, place: int) -> float:
        """The one element of an operand."""
        return float(self.inputs[place][0])

    @property
    def floats(self) -> list[Any]:
        """The operands that hold floats."""
        return [each for each in self.inputs if each is not None and each.dtype.kind == "f"]

    @property
    def finite(self) -> bool:
        """Whether it was made from finite inputs only."""
        return all(bool(np.isfinite(each).all()) for each in self.floats)


class Broken(NamedTuple):
    """The rule that was broken, in a few words, and what to do about it."""

    rule: str
    hint: str | None = None


def broken_rule(case: Case) -> Broken:
    """The rule that an element broke; for operations that are not in the table, only that it came from finite inputs.

    >>> broken_rule(Case("log", {}, (np.array([0.0]),), np.float64(-np.inf))).rule
    'log of 0'
    >>> broken_rule(Case("divide", {}, (np.array([0.0]), np.array([0.0])), np.float64(np.nan))).rule
    '0 / 0'
    """
    rule = RULES.get(case.op)
    found = None if rule is None else rule(case)
    if found is not None:
        return found
    kind = "nan" if np.isnan(case.output) else "inf"
    if case.inputs and not case.finite:
        return Broken(f"{kind} from inputs that are not finite")
    return Broken(f"{kind} made from finite inputs")


_SCALE = "smaller numbers: scale the inputs, lower the learning rate, or compute in a wider dtype"
_LOG = "log(x + eps); of probabilities log_softmax(logits), or softmax_cross_entropy(labels, logits) for the loss"
_BELOW = "look why x is below {edge:.4g}; a small eps that is added does not help, as it does at {edge:.4g}"
_DIVIDE = "divide by y + eps, or by where(equal(y, 0), 1.0, y)"
_SQRT = "sqrt(maximum(x, 0) + eps), or look why x is negative: rounding of x*x - y*y, a variance by subtraction"
_EXP = "subtract the maximum first, or use what does so itself: softmax, logsumexp, sigmoid, log_softmax"


def overflow(case: Case) -> Broken | None:
    """Finite inputs whose result, or a sum on the way to it, is beyond the largest number of its dtype."""
    if not case.finite or case.output.dtype.kind != "f":
        return None
    limit = float(np.finfo(case.output.dtype).max)
    return Broken(f"overflow of {case.op}: beyond {limit:.4g}, the largest {case.output.dtype.name}", _SCALE)


def _log(case: Case) -> Broken | None:
    edge = -1.0 if case.op == "log1p" else 0.0
    x = case.scalar(0)
    if x == edge:
        return Broken(f"{case.op} of {edge:.4g}", _LOG)
    below = "a negative number" if edge == 0 else f"a number below {edge:.4g}"
    return Broken(f"{case.op} of {below}", _BELOW.format(edge=edge)) if x < edge else None


def _sqrt(case: Case) -> Broken | None:
    return Broken("square root of a negative number", _SQRT) if case.scalar(0) < 0 else None


def _reciprocal(case: Case) -> Broken | None:
    x = case.scalar(0)
    if x == 0:
        return Broken(f"{case.op} of 0", "add eps to x first")
    if case.op == "rsqrt" and x < 0:
        return Broken("square root of a negative number", _SQRT)
    return overflow(case)


def _divide(case: Case) -> Broken | None:
    x, y = case.scalar(0), case.scalar(1)
    if np.isinf(x) and np.isinf(y):
        return Broken("inf / inf", "keep both sides finite: find which of them grew, or compare logarithms")
    if y == 0:
        return Broken("0 / 0" if x == 0 else "division by 0", _DIVIDE)
    return overflow(case)


def _modulo(case: Case) -> Broken | None:
    if case.scalar(1) == 0:
        return Broken(f"{case.op} by 0", _DIVIDE)
    return Broken(f"{case.op} of inf") if np.isinf(case.scalar(0)) else overflow(case)


def _power(case: Case) -> Broken | None:
    x, y = case.scalar(0), case.scalar(1)
    if x == 0 and y < 0:
        return Broken("negative power of 0", "add eps to x first, or keep x away from 0")
    if x < 0 and np.isfinite(y) and y != int(y):
        return Broken("fractional power of a negative number", "power(abs(x), y), or make x positive first")
    return overflow(case)


def _multiply(case: Case) -> Broken | None:
    x, y = case.scalar(0), case.scalar(1)
    if np.isinf([x, y]).any() and 0 in (x, y):
        return Broken("0 * inf", "a product with 0 hides no infinity: choose with where(), or keep the factor finite")
    return overflow(case)


def _sum(case: Case) -> Broken | None:
    values = np.concatenate([np.ravel(each) for each in case.floats]) if case.floats else np.zeros(0)
    opposite = np.isinf(values).sum() > 1 and np.isnan(case.output)
    return Broken("inf - inf", "find which of them became infinite first") if opposite else overflow(case)


def _exp(case: Case) -> Broken | None:
    if not case.finite or case.output.dtype.kind != "f":
        return None
    name, limit = case.output.dtype.name, float(np.log(np.finfo(case.output.dtype).max))
    limit = {"exp2": limit / float(np.log(2.0)), "cosh": limit + float(np.log(2.0))}.get(case.op, limit)
    limit = limit + float(np.log(2.0)) if case.op == "sinh" else limit
    return Broken(f"overflow of {case.op}: in {name} x may be {limit:.4g} at most", _EXP)


def _cast(case: Case) -> Broken | None:
    if not case.finite or case.output.dtype.kind != "f":
        return None
    limit, name = float(np.finfo(case.output.dtype).max), case.output.dtype.name
    return Broken(f"overflow of astype: beyond {limit:.4g}, the largest {name}", "a wider dtype, or scale before it")


def _mean(case: Case) -> Broken | None:
    if case.op == "mean_weight" or not case.inputs[0].size:
        return Broken("mean of no elements", "the axis is empty in this run: look at the shapes that were fed")
    return _sum(case)


def _variance(case: Case) -> Broken | None:
    correction = case.attrs.get("correction", 0)
    if case.inputs[0].size <= correction:
        count = case.inputs[0].size
        rule = f"{case.op} of {count} element{'s' * (count != 1)}"
        if correction:
            rule += f" with correction={correction:.4g}"
        return Broken(rule, "it takes more elements than the correction; correction=0 for a single one")
    return overflow(case)


def _logsumexp(case: Case) -> Broken | None:
    return None if case.inputs[0].size else Broken("logsumexp of no elements", "the axis is empty in this run")


def _softmax(case: Case) -> Broken | None:
    x = case.floats[-1]
    if not x.size:
        return None
    if np.isneginf(x).all() or np.isposinf(x).any():
        if np.isposinf(x).any():
            return Broken(f"{case.op} of a row with a logit of inf", "find which logit became infinite first")
        hint = "leave at least one entry unmasked; mask with -1e9, not -inf"
        return Broken(f"{case.op} of a row whose logits are all -inf", hint)
    return overflow(case)


def _normalize(case: Case) -> Broken | None:
    x = case.inputs[0].astype(np.float64)
    if case.attrs.get("epsilon") == 0 and np.isfinite(x).all() and np.ptp(x) == 0:
        return Broken(f"{case.op} of equal elements with epsilon=0", "give it an epsilon above 0")
    return overflow(case)


def _batch_norm(case: Case) -> Broken | None:
    moving = case.inputs[2] if len(case.inputs) > 2 else None
    if moving is None:  # the statistics are those of the batch
        return _normalize(case)
    variance, epsilon = float(moving[0]), case.attrs["epsilon"]
    if variance + epsilon <= 0:
        rule = f"batch_norm with a variance of {variance:.4g} and epsilon={epsilon:.4g}"
        return Broken(rule, "look at who wrote moving_variance; an epsilon above 0 helps where it is 0")
    return overflow(case)


def _outside(low: float, high: float, closed: bool = True) -> Callable[[Case], Broken | None]:
    """Operations that are defined between two numbers only."""

    def rule(case: Case) -> Broken | None:
        x = case.scalar(0)
        if not np.isinf(high) and (abs(x) > high or (not closed and abs(x) == high)):
            bounds = f"[{low:.4g}, {high:.4g}]" if closed else f"({low:.4g}, {high:.4g})"
            return Broken(f"{case.op} outside {bounds}", f"clip(x, {low:.4g} + eps, {high:.4g} - eps)")
        return Broken(f"{case.op} below {low:.4g}", f"maximum(x, {low:.4g})") if x < low else None

    return rule


def _periodic(case: Case) -> Broken | None:
    return Broken(f"{case.op} of inf") if np.isinf(case.scalar(0)) else None


def _host(case: Case) -> Broken | None:
    kind = "nan" if np.isnan(case.output) else "inf"
    name = case.attrs.get("function", "")
    return Broken(f"{kind} returned by the Python function '{name}'", "set a breakpoint in it, or print its inputs")


def _matmul(case: Case) -> Broken | None:
    if case.finite:
        return overflow(case)
    return Broken("0 * inf or inf - inf in a sum of products") if np.isnan(case.output) else None


RULES: dict[str, Callable[[Case], Broken | None]] = {
    **dict.fromkeys(("log", "log2", "log10", "log1p"), _log),
    **dict.fromkeys(("exp", "exp2", "expm1", "cosh", "sinh"), _exp),
    **dict.fromkeys(("add", "subtract", "sum", "assign_add", "assign_sub", "unbroadcast", "scatter_add"), _sum),
    **dict.fromkeys(("square", "prod", "cumsum", "gelu", "sigmoid_cross_entropy", "norm", "avg_pool"), overflow),
    **dict.fromkeys(("matmul", "conv2d", "conv2d_grad_input", "conv2d_grad_filters"), _matmul),
    **dict.fromkeys(("scaled_dot_product_attention", "scaled_dot_product_attention_grad"), _matmul),
    **dict.fromkeys(("reciprocal", "rsqrt"), _reciprocal),
    **dict.fromkeys(("remainder", "floor_divide", "mod"), _modulo),
    **dict.fromkeys(("mean", "mean_weight"), _mean),
    **dict.fromkeys(("var", "std"), _variance),
    **dict.fromkeys(("softmax", "log_softmax", "softmax_cross_entropy", "sparse_softmax_cross_entropy"), _softmax),
    **dict.fromkeys(("layer_norm", "standardize"), _normalize),
    "batch_norm": _batch_norm,
    **dict.fromkeys(("arcsin", "arccos"), _outside(-1.0, 1.0)),
    **dict.fromkeys(("sin", "cos", "tan"), _periodic),
    "arctanh": _outside(-1.0, 1.0, closed=False),
    "arccosh": _outside(1.0, float("inf")),
    "sqrt": _sqrt,
    "divide": _divide,
    "power": _power,
    "multiply": _multiply,
    "astype": _cast,
    "logsumexp": _logsumexp,
    "py_function": _host,
}
