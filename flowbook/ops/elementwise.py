"""Arithmetic, comparison, logic and the elementary functions, element by element."""

from __future__ import annotations

import numpy as np

from flowbook.errors import ArgumentError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, as_dtype, promote
from flowbook.ops.rules import (
    broadcast,
    broadcast_bool,
    broadcast_float,
    broadcast_number,
    cast_float,
    per_element,
    same_float,
    same_number,
    shape_of,
)
from flowbook.ops.samples import both, calls, draw, float_pairs, floats
from flowbook.ops.state import stop_gradient

_SHAPES = ((3, 4), (), (0, 5))

# ------------------------------------------------------------------------------------------------ arithmetic


@op(spec=broadcast, scalar="x + y", cost=per_element(), samples=float_pairs(), broadcasts=True, analytic=True)
def add(xp, x, y):
    """Sum, element by element, with broadcasting (on bools: or).

    >>> import flowbook as fb
    >>> fb.Session().run(fb.add(fb.constant([1.0, 2.0]), 10.0))
    array([11., 12.], dtype=float32)
    """
    return xp.add(x, y)


@add.gradient
def _(node, dy):
    return dy, dy


@op(
    spec=broadcast_number,
    scalar="x - y",
    cost=per_element(),
    samples=float_pairs(),
    broadcasts=True,
    analytic=True,
)
def subtract(xp, x, y):
    """Difference, element by element, with broadcasting."""
    return xp.subtract(x, y)


@subtract.gradient
def _(node, dy):
    return dy, lambda: -dy


@op(spec=broadcast, scalar="x * y", cost=per_element(), samples=float_pairs(), broadcasts=True, analytic=True)
def multiply(xp, x, y):
    """Product, element by element, with broadcasting (on bools: and)."""
    return xp.multiply(x, y)


@multiply.gradient
def _(node, dy):
    x, y = node.inputs
    return lambda: dy * y, lambda: dy * x


@op(
    spec=broadcast_float,
    scalar="x / y",
    cost=per_element(),
    samples=float_pairs(0.5, 2.5),
    broadcasts=True,
    analytic=True,
)
def divide(xp, x, y):
    """Quotient, element by element; integers divide to float64, as in NumPy. x/0 gives inf, 0/0 nan."""
    return xp.true_divide(x, y)


@divide.gradient
def _(node, dy):
    _, y = node.inputs
    return lambda: dy / y, lambda: -dy * node.outputs[0] / y  # y * y could underflow


@op(
    spec=broadcast_number,
    cost=per_element(),
    samples=both(
        calls((draw((3, 4), -7, 7, "int64"), np.array(3)), (draw((3, 4), -6, 6), draw((4,), 0.5, 1.5))),
    ),
    broadcasts=True,
    nondifferentiable="it is a step function",
)
def floor_divide(xp, x, y):
    """Quotient rounded towards minus infinity. Integer division by zero gives 0."""
    return xp.floor_divide(x, y)


@op(
    spec=broadcast_number,
    cost=per_element(2),
    samples=calls((draw((3, 4), -6, 6), draw((4,), 1.3, 1.9, seed=1)), (draw((3, 4), -7, 7, "int64"), 3)),
    broadcasts=True,
)
def remainder(xp, x, y):
    """Remainder with the sign of the divisor, as Python's ``%``. The quotient is held fixed in the gradient."""
    return xp.remainder(x, y)


@remainder.gradient
def _(node, dy):
    x, y = node.inputs
    return dy, lambda: -dy * stop_gradient(floor_divide(x, y))


def _power_cost(inputs, outputs, attrs):
    square = isinstance(inputs[1], int) and inputs[1] == 2
    return (1 if square else 20) * outputs[0].size


@op(
    spec=broadcast_number,
    scalar="pow(x, y)",
    cost=_power_cost,
    samples=both(
        float_pairs(0.5, 2.5),
        calls(((3, 4), 2), ((3, 4), 3), (draw((3, 4), 0.5, 2), -1.5)),
    ),
    broadcasts=True,
    ulp=4,
)
def power(xp, x, y):
    """x to the power y. d/dy is 0 where x is 0, and d/dx is 0 where y is 0. Integers to negative powers raise."""
    if isinstance(y, int) and y == 2:
        return xp.multiply(x, x)
    return xp.power(x, y)


@power.gradient
def _(node, dy):
    x, y = node.inputs
    z = node.outputs[0]
    if isinstance(y, (bool, int, float)):
        if y == 2:
            return lambda: dy * (x * 2), None
        return (lambda: dy * (power(x, y - 1) * y)) if y != 0 else (lambda: dy * 0.0), None

    def dx():
        safe = where(equal(y, 0), 1.0, y)  # 0 ** -1 would be inf, and inf * 0 nan
        return dy * where(equal(y, 0), 0.0, y * power(x, safe - 1.0))

    def dexponent():
        if isinstance(x, (bool, int, float)):
            return dy * z * float(np.log(x)) if x > 0 else dy * 0.0
        return dy * z * log(where(greater(x, 0), x, 1.0))

    return dx, dexponent


@op(spec=same_number, scalar="-x", cost=per_element(), samples=floats(*_SHAPES), analytic=True)
def negative(xp, x):
    """Minus x."""
    return xp.negative(x)


@negative.gradient
def _(node, dy):
    return -dy


@op(spec=same_number, scalar="fabs(x)", cost=per_element(), samples=floats(*_SHAPES))
def abs(xp, x):
    """Absolute value. The gradient at 0 is 0."""
    return xp.abs(x)


@abs.gradient
def _(node, dy):
    x = node.inputs[0]  # chosen by comparisons, which gradients do not follow: the second order is 0
    return where(greater(x, 0), dy, where(less(x, 0), -dy, 0.0))


@op(
    spec=same_number,
    scalar="(x > 0) - (x < 0)",
    cost=per_element(2),
    samples=floats(*_SHAPES),
    nondifferentiable="it is a step function",
)
def sign(xp, x):
    """-1, 0 or 1; nan stays nan."""
    return xp.sign(x)


@op(spec=same_number, scalar="x * x", cost=per_element(), samples=floats(*_SHAPES), analytic=True)
def square(xp, x):
    """x times x."""
    return xp.multiply(x, x)


@square.gradient
def _(node, dy):
    return dy * (node.inputs[0] * 2)


@op(spec=same_float, scalar="sqrt(x)", cost=per_element(4), samples=floats(*_SHAPES, low=0.2), analytic=True)
def sqrt(xp, x):
    """Square root; nan for negative numbers."""
    return xp.sqrt(cast_float(xp, x))


@sqrt.gradient
def _(node, dy):
    return dy * 0.5 / node.outputs[0]


@op(spec=same_float, scalar="sin(x)", cost=per_element(12), samples=floats(*_SHAPES), ulp=1, analytic=True)
def sin(xp, x):
    """Sine of x, in radians."""
    return xp.sin(cast_float(xp, x))


@sin.gradient
def _(node, dy):
    return dy * cos(node.inputs[0])


@op(spec=same_float, scalar="cos(x)", cost=per_element(12), samples=floats(*_SHAPES), ulp=1, analytic=True)
def cos(xp, x):
    """Cosine of x, in radians."""
    return xp.cos(cast_float(xp, x))


@cos.gradient
def _(node, dy):
    return -(dy * sin(node.inputs[0]))


# ------------------------------------------------------------------------------------------------ exponentials


@op(spec=same_float, scalar="exp(x)", cost=per_element(12), samples=floats(*_SHAPES), ulp=1, analytic=True)
def exp(xp, x):
    """e to the power x."""
    return xp.exp(cast_float(xp, x))


@exp.gradient
def _(node, dy):
    return dy * node.outputs[0]


@op(spec=same_float, scalar="log(x)", cost=per_element(12), samples=floats(*_SHAPES, low=0.2), ulp=1, analytic=True)
def log(xp, x):
    """Natural logarithm; -inf at 0, nan for negative numbers."""
    return xp.log(cast_float(xp, x))


@log.gradient
def _(node, dy):
    return dy / node.inputs[0]


@op(spec=same_float, scalar="tanh(x)", cost=per_element(12), samples=floats(*_SHAPES), ulp=5, analytic=True)
def tanh(xp, x):
    r"""Hyperbolic tangent, :math:`y = \tanh x`, element by element.

    >>> import flowbook as fb
    >>> fb.tanh(fb.constant([0.0, 1.0]))                                            # doctest: +ELLIPSIS
    <Tensor 'tanh_...': tanh float32 (2,)>
    """
    return xp.tanh(cast_float(xp, x))


@tanh.gradient
def _(node, dy):
    (y,) = node.outputs
    return dy * (1 - y * y)


@op(
    spec=same_float,
    scalar="1 / (1 + exp(-x))",
    cost=per_element(14),
    samples=floats(*_SHAPES),
    ulp=4,
    analytic=True,
    oracle=lambda x: __import__("scipy.special").special.expit(x),
)
def sigmoid(xp, x):
    r"""Logistic function :math:`1/(1+e^{-x})`, as accurate for very negative x (relatively) as elsewhere."""
    return 1 / (1 + xp.exp(-cast_float(xp, x)))


@sigmoid.gradient
def _(node, dy):
    (y,) = node.outputs
    return dy * (y * (1 - y))


@op(
    spec=same_number,
    scalar="x > 0 ? x : 0",
    cost=per_element(),
    samples=floats(*_SHAPES),
    oracle=lambda x: np.maximum(x, 0),
)
def relu(xp, x):
    """max(x, 0). The gradient at 0 is 0; nan stays nan."""
    return xp.maximum(x, 0)


@relu.gradient
def _(node, dy):
    return dy * greater(node.outputs[0], 0)


_GELU = 0.7978845608028654  # sqrt(2 / pi)


def _gelu_oracle(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@op(spec=same_float, cost=per_element(20), samples=floats(*_SHAPES), ulp=8, analytic=True, oracle=_gelu_oracle)
def gelu(xp, x):
    r"""Gaussian error linear unit in its tanh form,
    :math:`\frac x2 (1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715 x^3)))`.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016 (arXiv:1606.08415).
    """
    x = cast_float(xp, x)
    inner = x * x
    inner *= 0.044715
    inner += 1
    inner *= x
    inner *= _GELU
    inner = xp.tanh(inner)
    inner += 1
    inner *= x
    inner *= 0.5
    return inner


@gelu.gradient
def _(node, dy):
    x = node.inputs[0]
    cubic = x * x * 0.044715
    t = tanh(x * (cubic + 1) * _GELU)
    return dy * ((t + 1) * 0.5 + x * 0.5 * (1 - t * t) * ((cubic * 3 + 1) * _GELU))


# ------------------------------------------------------------------------------------------------ choosing


@op(spec=broadcast, scalar="x < y ? x : y", cost=per_element(), samples=float_pairs(), broadcasts=True)
def minimum(xp, x, y):
    """The smaller of two, element by element; nan wins. Ties share the gradient equally."""
    return xp.minimum(x, y)


@op(spec=broadcast, scalar="x > y ? x : y", cost=per_element(), samples=float_pairs(), broadcasts=True)
def maximum(xp, x, y):
    """The larger of two, element by element; nan wins. Ties share the gradient equally."""
    return xp.maximum(x, y)


def _share(node, dy):
    x, y = node.inputs
    z = node.outputs[0]

    def part(a, b):
        return dy * where(equal(a, b), 0.5, where(equal(a, z), 1.0, 0.0))

    return lambda: part(x, y), lambda: part(y, x)


minimum.gradient(_share)
maximum.gradient(_share)


@op(
    spec=broadcast,
    cost=per_element(2),
    samples=calls(
        ((3, 4), -0.83, 1.07), ((3, 4), np.array([-1.0, -0.5, 0.0, 0.5]), 1.0), ((), -1.0, 1.0), ((0, 5), 0.0, 1.0)
    ),
    broadcasts=True,
    oracle=lambda x, low, high: np.minimum(np.maximum(x, low), high),
)
def clip(xp, x, min, max):
    """x, kept between ``min`` and ``max`` (``max`` wins when they cross). Inside and on the bounds the gradient goes
    to x, outside to the bound."""
    return xp.minimum(xp.maximum(x, min), max)


@clip.gradient
def _(node, dy):
    x, low, high = node.inputs

    def inside():
        return dy * logical_and(greater_equal(x, low), less_equal(x, high))

    def at_low():
        return dy * logical_and(less(x, low), less_equal(low, high))

    def at_high():
        return dy * greater(maximum(x, low), high)

    return inside, at_low, at_high


def _where_spec(condition, x, y):
    if isinstance(condition, TensorSpec) and condition.dtype.kind != "b":
        raise ArgumentError("the condition of where has to be bool", hint="compare first, such as x > 0")
    values = broadcast(x, y)
    return TensorSpec(broadcast(condition, TensorSpec(values.shape, as_dtype("bool"))).shape, values.dtype)


@op(
    spec=_where_spec,
    scalar="c ? x : y",
    cost=per_element(),
    samples=calls(
        (draw((3, 4), dtype="bool"), (3, 4), (3, 4)),
        (draw((4,), dtype="bool"), (3, 1), 2.5),
        (np.array(True), (2, 3), (3,)),
        (draw((0, 5), dtype="bool"), (0, 5), 1.5),
    ),
    broadcasts=True,
)
def where(xp, condition, x, y):
    """x where the condition holds, else y, element by element, broadcasting. The side not chosen gets gradient 0."""
    chosen = xp.where(condition, x, y)
    if type(x) in (bool, int, float) and type(y) in (bool, int, float):  # NumPy would decide float64
        return chosen.astype(promote(x, y))
    return chosen


@where.gradient
def _(node, dy):
    condition = node.inputs[0]
    return None, lambda: where(condition, dy, 0.0), lambda: where(condition, 0.0, dy)


# ------------------------------------------------------------------------------------------------ comparing


def _comparison(symbol: str):
    return dict(
        spec=broadcast_bool,
        scalar=f"x {symbol} y",
        cost=per_element(),
        samples=both(float_pairs(), calls((draw((3, 4), -2, 2, "int64"), draw((4,), -2, 2, "int64")))),
        broadcasts=True,
        nondifferentiable="its result is bool",
    )


@op(**_comparison("=="))
def equal(xp, x, y):
    """Whether x == y, element by element; nan equals nothing."""
    return xp.equal(x, y)


@op(**_comparison("!="))
def not_equal(xp, x, y):
    """Whether x != y, element by element."""
    return xp.not_equal(x, y)


@op(**_comparison("<"))
def less(xp, x, y):
    """Whether x < y, element by element."""
    return xp.less(x, y)


@op(**_comparison("<="))
def less_equal(xp, x, y):
    """Whether x <= y, element by element."""
    return xp.less_equal(x, y)


@op(**_comparison(">"))
def greater(xp, x, y):
    """Whether x > y, element by element."""
    return xp.greater(x, y)


@op(**_comparison(">="))
def greater_equal(xp, x, y):
    """Whether x >= y, element by element."""
    return xp.greater_equal(x, y)


def _logic(symbol: str):
    flags = calls(
        (draw((3, 4), dtype="bool"), draw((3, 4), dtype="bool", seed=1)),
        (draw((3, 1), dtype="bool"), draw((4,), dtype="bool")),
        (draw((3,), dtype="bool"), True),
        (draw((0, 5), dtype="bool"), np.array(False)),
    )
    return dict(
        spec=broadcast_bool,
        scalar=f"x {symbol} y",
        cost=per_element(),
        samples=flags,
        broadcasts=True,
        nondifferentiable="its result is bool",
    )


@op(**_logic("&&"))
def logical_and(xp, x, y):
    """Whether both are true (not zero), element by element."""
    return xp.logical_and(x, y)


@op(**_logic("||"))
def logical_or(xp, x, y):
    """Whether one of them is true (not zero), element by element."""
    return xp.logical_or(x, y)


@op(**_logic("!="))
def logical_xor(xp, x, y):
    """Whether exactly one of them is true (not zero), element by element."""
    return xp.logical_xor(x, y)


def _bool_like(x, **attrs):
    return TensorSpec(x.shape, as_dtype("bool"))


@op(
    spec=_bool_like,
    scalar="!x",
    cost=per_element(),
    samples=calls((draw((3, 4), dtype="bool"),), (np.array(True),), (draw((0, 5), dtype="bool"),)),
    nondifferentiable="its result is bool",
)
def logical_not(xp, x):
    """Whether x is false (zero), element by element."""
    return xp.logical_not(x)


_odd = calls((np.array([[1.0, np.nan], [np.inf, -np.inf]]),), ((3, 4),), ((),), ((0, 5),))


@op(spec=_bool_like, scalar="x != x", cost=per_element(), samples=_odd, nondifferentiable="its result is bool")
def isnan(xp, x):
    """Whether x is nan, element by element."""
    return xp.isnan(x)


@op(spec=_bool_like, scalar="isfinite(x)", cost=per_element(), samples=_odd, nondifferentiable="its result is bool")
def isfinite(xp, x):
    """Whether x is neither nan nor infinite, element by element."""
    return xp.isfinite(x)


# ------------------------------------------------------------------------------------------------ casting


def _astype_spec(x, *, dtype):
    return TensorSpec(shape_of(x), as_dtype(dtype))


@op(
    spec=_astype_spec,
    cost=per_element(0),
    samples=both(
        floats(*_SHAPES, dtype="float64"),
        calls(
            Sample((draw((3, 4)),), {"dtype": "float32"}),
            Sample((draw((3, 4), -9, 9, "int64"),), {"dtype": "float64"}),
            Sample((draw((3, 4), -6, 6),), {"dtype": "int32"}),
            Sample((draw((3,), dtype="bool"),), {"dtype": "float32"}),
        ),
    ),
    oracle=lambda x, *, dtype: x.astype(dtype),
)
def astype(xp, x, *, dtype):
    """x cast to ``dtype``; floats are cut towards zero on the way to integers."""
    return x.astype(dtype)


@astype.gradient
def _(node, dy):
    return astype(dy, dtype=node.inputs[0].dtype.name)


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
