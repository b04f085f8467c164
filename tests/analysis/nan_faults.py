"""Planted faults: graphs in which one known node makes a nan or an infinity, and what has to be said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import flowbook as fb

INF = float("inf")
Built = tuple[Any, dict[Any, Any]]


class Fault(NamedTuple):
    """``node``: the name of the node to find; of a fault in a gradient, of the forward node whose rule it is.

    ``op``: of the node that is found. ``values``: what it was computed from, ``(label, value)``, or a part of the
    text of an operand. The line of the node, or of its forward node, ends in ``# fault``.
    """

    build: Callable[[], Built]
    node: str
    op: str
    element: tuple[int, ...]
    kind: str
    rule: str
    values: tuple[Any, ...]
    order: int


FAULTS: list[Fault] = []


def fault(
    rule: str,
    element: tuple[int, ...] = (),
    *values: Any,
    kind: str = "inf",
    op: str = "",
    node: str = "bad",
    order: int = 0,
) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
    def declare(build: Callable[[], Built]) -> Callable[[], Built]:
        FAULTS.append(Fault(build, node, op, element, kind, rule, values, order))
        return build

    return declare


def vector(*numbers: float) -> tuple[Any, dict[Any, Any]]:
    x = fb.placeholder((len(numbers),), name="x")
    return x, {x: list(numbers)}


# ------------------------------------------------------------------------------------------------ domains


@fault("log of 0", (1,), ("x[1]", 0.0), op="log")
def log_of_zero() -> Built:
    x, feeds = vector(1.0, 0.0)
    bad = fb.log(x, name="bad")  # fault
    return fb.sum(bad), feeds


@fault("log of a negative number", (0,), ("x[0]", -2.0), kind="nan", op="log")
def log_of_negative() -> Built:
    x, feeds = vector(-2.0, 1.0)
    bad = fb.log(x, name="bad")  # fault
    return fb.mean(bad * 2.0), feeds


@fault("square root of a negative number", (2,), ("x[2]", -1.0), kind="nan", op="sqrt")
def sqrt_of_negative() -> Built:
    x, feeds = vector(4.0, 0.0, -1.0)
    return fb.max(fb.sqrt(x, name="bad")), feeds  # fault


@fault("0 / 0", (1,), ("x[1]", 0.0), ("n[1]", 0.0), kind="nan", op="divide")
def zero_by_zero() -> Built:
    x, feeds = vector(1.0, 0.0)
    n = fb.identity(x, name="n")
    bad = fb.divide(x, n, name="bad")  # fault
    return bad - 1.0, feeds


@fault("division by 0", (1, 0), ("x[0]", 3.0), ("y[1, 0]", 0.0), op="divide")
def division_with_broadcasting() -> Built:
    x, feeds = vector(3.0, 4.0)
    y = fb.constant([[1.0, 1.0], [0.0, 1.0]], name="y")
    bad = fb.divide(x, y, name="bad")  # fault
    return fb.transpose(bad), feeds


@fault("fractional power of a negative number", (0,), ("x[0]", -8.0), ("number", 0.5), kind="nan", op="power")
def root_of_negative() -> Built:
    x, feeds = vector(-8.0, 8.0)
    bad = fb.power(x, 0.5, name="bad")  # fault
    return bad, feeds


@fault("negative power of 0", (1,), ("x[1]", 0.0), ("number", -1.0), op="power")
def negative_power() -> Built:
    x, feeds = vector(2.0, 0.0)
    bad = fb.power(x, -1.0, name="bad")  # fault
    return bad, feeds


@fault("remainder by 0", (1,), ("x[1]", 0.0), kind="nan", op="remainder")
def remainder_by_zero() -> Built:
    x, feeds = vector(2.0, 0.0)
    bad = fb.remainder(5.0, x, name="bad")  # fault
    return bad, feeds


@fault("floor_divide by 0", (0,), ("x[0]", 0.0), op="floor_divide")
def floor_division_by_zero() -> Built:
    x, feeds = vector(0.0)
    bad = fb.floor_divide(1.0, x, name="bad")  # fault
    return bad, feeds


# ------------------------------------------------------------------------------------------------ overflow


@fault("overflow of exp: in float32 x may be 88.72 at most", (1,), ("x[1]", 100.0), op="exp")
def exp_overflow() -> Built:
    x, feeds = vector(1.0, 100.0)
    bad = fb.exp(x, name="bad")  # fault
    return bad / fb.sum(bad), feeds


@fault("overflow of multiply: beyond 3.403e+38, the largest float32", (0,), op="multiply")
def multiply_overflow() -> Built:
    x, feeds = vector(1e30)
    bad = fb.multiply(x, x, name="bad")  # fault
    return fb.negative(bad), feeds


@fault("overflow of add: beyond 3.403e+38, the largest float32", (0,), op="add")
def add_overflow() -> Built:
    x, feeds = vector(3e38)
    bad = fb.add(x, x, name="bad")  # fault
    return bad, feeds


@fault("overflow of square: beyond 3.403e+38, the largest float32", (1,), op="square")
def square_overflow() -> Built:
    x, feeds = vector(1.0, 1e20)
    return fb.square(x, name="bad"), feeds  # fault


@fault("overflow of power: beyond 3.403e+38, the largest float32", (0,), op="power")
def power_overflow() -> Built:
    x, feeds = vector(1e10, 1.0)
    return fb.power(x, 5, name="bad"), feeds  # fault


@fault("overflow of astype: beyond 6.55e+04, the largest float16", (1,), ("x[1]", 1e5), op="astype")
def cast_overflow() -> Built:
    x, feeds = vector(1.0, 1e5)
    return fb.astype(x, dtype="float16", name="bad"), feeds  # fault


@fault("overflow of sum: beyond 3.403e+38, the largest float32", (1,), "x[1, :]: 3 elements from 1 to 3e+38", op="sum")
def sum_overflow() -> Built:
    x = fb.placeholder((2, 3), name="x")
    bad = fb.sum(x, axis=1, name="bad")  # fault
    return bad, {x: [[1.0, 2.0, 3.0], [3e38, 1.0, 3e38]]}


@fault(
    "overflow of matmul: beyond 3.403e+38, the largest float32",
    (1, 0),
    "x[1, :]: 2 elements from 1e+30 to 1e+30",
    "y[:, 0]: 2 elements from 1 to 1e+30",
    op="matmul",
)
def matmul_overflow() -> Built:
    x = fb.placeholder((2, 2), name="x")
    y = fb.constant([[1e30, 1.0], [1.0, 2.0]], name="y")
    bad = fb.matmul(x, y, name="bad")  # fault
    return bad, {x: [[1.0, 1.0], [1e30, 1e30]]}


@fault(
    "overflow of conv2d: beyond 3.403e+38, the largest float32",
    (0, 2, 1, 0),
    "x[0, 2:4, 1:3, 0]: 4 elements from 1 to 3e+38",
    "f[:, :, 0, 0]: 4 elements from 1 to 2",
    op="conv2d",
)
def convolution_overflow() -> Built:
    x = fb.placeholder((1, 4, 4, 1), name="x")
    f = fb.constant(np.array([[1.0, 1.0], [1.0, 2.0]], "float32").reshape(2, 2, 1, 1), name="f")
    image = np.ones((1, 4, 4, 1), "float32")
    image[0, 3, 2, 0] = 3e38
    bad = fb.conv2d(x, f, padding="valid", name="bad")  # fault
    return bad, {x: image}


@fault("overflow of square: beyond 3.403e+38, the largest float32", (2,), "x[2] = 1e+20", op="square")
def found_through_movements() -> Built:
    x, feeds = vector(1.0, 2.0, 1e20, 3.0)
    bad = fb.square(x, name="bad")  # fault
    moved = fb.concat([fb.flip(fb.reshape(bad, (2, 2)), axis=0), fb.constant([[0.0, 0.0]])], axis=0)
    return fb.gather(fb.pad(moved.T, ((1, 1), (0, 0))), fb.constant([2, 1]), axis=0), feeds


# ------------------------------------------------------------------------------------------------ empty, given


@fault("mean of no elements", (), "x: no elements", kind="nan", op="mean")
def mean_of_nothing() -> Built:
    x = fb.placeholder((None,), name="x")
    return fb.mean(x, name="bad") + 1.0, {x: []}  # fault


@fault("var of 1 element with correction=1", (0,), ("x[0, 0]", 3.0), kind="nan", op="var")
def variance_of_one() -> Built:
    x = fb.placeholder((2, None), name="x")
    return fb.var(x, axis=1, correction=1, name="bad"), {x: [[3.0], [4.0]]}  # fault


@fault("logsumexp of no elements", (0,), op="logsumexp")
def logsumexp_of_nothing() -> Built:
    x = fb.placeholder((2, None), name="x")
    return fb.logsumexp(x, axis=1, name="bad"), {x: [[], []]}  # fault


@fault("layer_norm of equal elements with epsilon=0", (0, 0), op="layer_norm", kind="nan")
def norm_of_equals() -> Built:
    x = fb.placeholder((1, 3), name="x")
    return fb.layer_norm(x, 1.0, 0.0, epsilon=0.0, name="bad"), {x: [[2.0, 2.0, 2.0]]}  # fault


@fault("batch_norm of equal elements with epsilon=0", (0, 1), op="batch_norm", kind="nan")
def batch_norm_of_equals() -> Built:
    x, zeros, ones = fb.placeholder((2, 2), name="x"), fb.constant([0.0, 0.0]), fb.constant([1.0, 1.0])
    return fb.batch_norm(x, zeros, ones, ones, zeros, epsilon=0.0, name="bad"), {x: [[1.0, 2.0], [3.0, 2.0]]}  # fault


@fault(
    "batch_norm with a variance of -1 and epsilon=0.5",
    (0, 0),
    op="batch_norm",
    kind="nan",
)
def batch_norm_with_a_negative_variance() -> Built:
    x, zeros, ones = fb.placeholder((2, 1), name="x"), fb.constant([0.0]), fb.constant([1.0])
    training = fb.placeholder((), "bool", name="training")
    bad = fb.batch_norm(x, zeros, -ones, ones, zeros, training, epsilon=0.5, name="bad")  # fault
    return bad, {x: [[1.0], [2.0]], training: False}


@fault("nan in the feed", (1,), kind="nan", op="feed", node="x")
def nan_in_a_feed() -> Built:
    x = fb.placeholder((2,), name="x")  # fault
    return fb.exp(x * 2.0), {x: [1.0, float("nan")]}


@fault("inf in the constant", (0, 1), op="constant", node="bad")
def inf_in_a_constant() -> Built:
    x, feeds = vector(1.0, 2.0)
    bad = fb.constant([[0.0, INF]], name="bad")  # fault
    return x + bad, feeds


@fault("inf in the value of the variable", (1,), op="variable", node="bad")
def inf_in_a_variable() -> Built:
    x, feeds = vector(1.0, 2.0)
    bad = fb.Variable([1.0, -INF], name="bad")  # fault
    return x * bad, feeds


@fault("inf written in the expression", (0,), ("x[0]", 1.0), ("number", INF), op="add")
def inf_in_an_expression() -> Built:
    x, feeds = vector(1.0, 2.0)
    return fb.add(x, INF, name="bad"), feeds  # fault


@fault(
    "nan returned by the Python function 'broken'", (1,), "x[:]: 2 elements from 1 to 2", kind="nan", op="py_function"
)
def host_function() -> Built:
    def broken(array: Any) -> Any:
        return np.where(array > 1, np.nan, array).astype("float32")

    x, feeds = vector(1.0, 2.0)
    bad = fb.py_function(broken, [x], "float32", shapes=(2,), name="bad")  # fault
    return bad * 2.0, feeds
