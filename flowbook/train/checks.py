"""The arguments of optimizers, checked: what is wrong, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, DTypeError, FlowError, ShapeError
from flowbook.graph import context
from flowbook.graph.node import Tensor, describe
from flowbook.graph.node import Variable as VariableHandle
from flowbook.graph.opdef import as_tensor
from flowbook.graph.types import format_shape


def check_loss(loss: Any) -> None:
    """A float scalar, or the error that says what it is."""
    if not isinstance(loss, Tensor):
        raise ArgumentError(f"the loss is {loss!r}, it has to be a tensor")
    if loss.dtype.kind != "f":
        raise loss.node.locate(
            DTypeError(
                f"the loss '{loss.name}' is {loss.dtype.name}, it has to be a float",
                hint="only floats have gradients",
            )
        )
    if loss.shape not in ((), None):
        raise loss.node.locate(
            ShapeError(
                f"the loss '{loss.name}' has shape {format_shape(loss.shape)}, it has to be a scalar",
                hint=f"reduce it: fb.mean({loss.name})",
            )
        )


def as_variables(var_list: Any) -> list[VariableHandle] | None:
    """The variables to train, each once."""
    if var_list is None:
        return None
    if isinstance(var_list, Tensor) or not isinstance(var_list, Iterable):
        var_list = [var_list]
    var_list = list(var_list)
    for each in var_list:
        if not isinstance(each, VariableHandle):
            raise ArgumentError(
                f"var_list holds {describe(each) if isinstance(each, Tensor) else repr(each)}, which is not a Variable"
            )
    if not var_list:
        raise ArgumentError("var_list is empty", hint="leave it out to train all that the loss depends on")
    return list(dict.fromkeys(var_list))


def as_pair(pair: Any) -> tuple[Tensor | None, VariableHandle]:
    """(gradient, variable)."""
    try:
        gradient, variable = pair
    except (TypeError, ValueError, FlowError):
        raise ArgumentError(f"{pair!r} is not a pair (gradient, variable)") from None
    if not isinstance(variable, VariableHandle):
        raise ArgumentError(f"{variable!r} is not a Variable", hint="pairs are (gradient, variable)")
    with context.override(graph=context.current().graph or variable.graph):
        return None if gradient is None else as_tensor(gradient), variable


def as_step(step: Any) -> VariableHandle | None:
    """The Variable that counts steps, or ``None``."""
    if step is None or (isinstance(step, VariableHandle) and step.dtype.kind in "iu" and step.shape == ()):
        return step
    raise ArgumentError(
        f"global_step is {describe(step)}, it has to be an integer scalar Variable",
        hint="fb.Variable(0, trainable=False)",
    )


def as_rate(rate: Any) -> float | Tensor:
    """A learning rate: a number that is not negative, or a float scalar tensor."""
    if isinstance(rate, Tensor):
        if rate.dtype.kind != "f":
            raise DTypeError(
                f"the learning rate '{rate.name}' is {rate.dtype.name}, it has to be a float",
                hint="cast with fb.astype",
            )
        if rate.shape not in ((), None):
            raise ShapeError(
                f"the learning rate '{rate.name}' has shape {format_shape(rate.shape)}, it has to be a scalar"
            )
        return rate
    return not_negative("learning_rate", rate)


def fraction(what: str, value: Any) -> float:
    """A number from 0 to below 1."""
    return _within(what, value, 1.0, "be from 0 to below 1")


def not_negative(what: str, value: Any) -> float:
    """A finite number, 0 or more."""
    return _within(what, value, np.inf, "be finite and not negative")


def number(what: str, value: Any) -> float:
    """A Python or NumPy number."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        raise ArgumentError(f"{what} is {value!r}, which is not a number")
    return float(value)


def _within(what: str, value: Any, below: float, wanted: str) -> float:
    if not 0 <= number(what, value) < below:
        raise ArgumentError(f"{what} is {value!r}, it has to {wanted}")
    return float(value)
