"""Planted faults in branches and in gradients of first and second order."""

from __future__ import annotations

from typing import Any

import flowbook as fb
from tests.analysis.nan_faults import Built, fault, vector

# ------------------------------------------------------------------------------------------------ control flow


@fault("log of 0", (1,), ("cond_1/true/captured/x[1]", 0.0), op="log", node="cond_1/true/bad")
def in_a_branch() -> Built:
    x, feeds = vector(1.0, 0.0)
    chosen = fb.cond(fb.sum(x) > 0.0, lambda: fb.log(x, name="bad") + 1.0, lambda: x, name="cond_1")  # fault
    return chosen * 2.0, feeds


@fault("log of 0", (1,), ("x[1]", 0.0), op="log")
def handed_into_a_branch() -> Built:
    x, feeds = vector(1.0, 0.0)
    bad = fb.log(x, name="bad")  # fault
    return fb.cond(fb.sum(x) > 0.0, lambda: bad * 2.0, lambda: x, name="c"), feeds


# ------------------------------------------------------------------------------------------------ gradients


def derivative(y: Any, x: Any, order: int = 1) -> Any:
    for _ in range(order):
        (y,) = fb.gradients(y, [x])
    return y


@fault("division by 0", (0,), ("y[0]", 0.0), op="divide", node="y", order=1)
def gradient_of_sqrt() -> Built:
    x, feeds = vector(0.0, 4.0)
    y = fb.sqrt(x, name="y")  # fault
    return derivative(y, x), feeds


@fault("division by 0", (1,), ("x[1]", 0.0), op="divide", node="y", order=1)
def gradient_of_log() -> Built:
    x, feeds = vector(2.0, 0.0)
    y = fb.log(x, name="y")  # fault
    return derivative(y, x), feeds


@fault("negative power of 0", (0,), ("x[0]", 0.0), op="power", node="y", order=1)
def gradient_of_power() -> Built:
    x, feeds = vector(0.0, 1.0)
    y = fb.power(x, 0.5, name="y")  # fault
    return derivative(y, x), feeds


@fault("negative power of 0", (0,), ("x[0]", 0.0), op="power", node="y", order=2)
def second_gradient_of_power() -> Built:
    x, feeds = vector(0.0, 1.0)
    y = fb.power(x, 1.5, name="y")  # fault
    return derivative(y, x, 2), feeds


@fault("overflow of divide: beyond 3.403e+38, the largest float32", (0,), op="divide", node="y", order=2)
def second_gradient_of_log() -> Built:
    x, feeds = vector(1e-25, 1.0)
    y = fb.log(x, name="y")  # fault
    return derivative(y, x, 2), feeds


@fault("overflow of multiply: beyond 3.403e+38, the largest float32", (0,), op="multiply", node="y", order=1)
def gradient_of_exp() -> Built:
    x, feeds = vector(80.0, 1.0)
    y = fb.exp(x, name="y")  # fault
    return derivative(y * 1e20, x), {**feeds}


@fault("division by 0", (1,), op="divide", node="y", order=1)
def gradient_of_divide() -> Built:
    x, feeds = vector(1.0, 0.0)
    one = fb.constant([1.0, 1.0])
    y = fb.divide(one, x, name="y")  # fault
    return derivative(fb.where(fb.isfinite(y), y, 0.0) + y, one), feeds


@fault("0 / 0", (1,), ("x[1]", 0.0), kind="nan", op="divide", node="y", order=1)
def where_trap_of_log() -> Built:
    x, feeds = vector(1.0, 0.0)
    y = fb.log(x, name="y")  # fault
    return derivative(fb.where(x > 0.0, y, 0.0, name="safe"), x), feeds


@fault("0 / 0", (0,), ("y[0]", 0.0), kind="nan", op="divide", node="y", order=1)
def where_trap_of_sqrt() -> Built:
    x, feeds = vector(0.0, 1.0)
    y = fb.sqrt(x, name="y")  # fault
    return derivative(fb.where(fb.equal(x, 0.0), 0.0, y, name="safe"), x), feeds


@fault("log of 0", (1,), ("c/true/captured/x[1]", 0.0), op="log", node="c/true/bad")
def product_that_hides_nothing() -> Built:
    x, feeds = vector(1.0, 0.0)
    y = fb.cond(fb.sum(x) > 0.0, lambda: x * fb.log(x, name="bad"), lambda: x, name="c")  # fault
    return y, feeds
