"""Changing a value from a view: what the reader wrote becomes an array, and the answer says what that changed."""

from __future__ import annotations

import builtins
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError
from flowbook.notebook.values import format_value

HINT = "an expression of x, the value now: x * 0.9, zeros_like(x), 3; or a number, which fills it"


def evaluate(expression: str, value: Any, names: Mapping[str, Any]) -> Any:
    """What ``expression`` gives: of ``x`` (and ``value``, the same), the user's names, and NumPy's.

    >>> evaluate("x * 0.5 + maximum(k, 1)", np.array([2.0, 4.0]), {"k": 3})
    array([4., 5.])
    """
    known = ChainMap({"x": value, "value": value, "np": np}, dict(names), vars(np))
    try:
        code = compile(expression.strip(), "<new value>", "eval")
        return eval(code, {"__builtins__": builtins}, known)
    except Exception as error:
        raise ArgumentError(f"{expression}: {type(error).__name__}: {error}", hint=HINT) from error


def new_value(now: Any, expression: str, index: Sequence[int] | None, names: Mapping[str, Any]) -> Any:
    """The array to set: all of it, or ``now`` with one element (at ``index``) replaced.

    >>> new_value(np.zeros((2, 2)), "x + 7", [0, 1], {})
    array([[0., 7.],
           [0., 0.]])
    >>> new_value(np.zeros(3), "1.5", None, {})
    array([1.5, 1.5, 1.5])
    """
    now = np.array(now)
    if index is None:
        found = np.asarray(evaluate(expression, now, names))
        if found.shape == now.shape:
            return found
        try:
            return np.broadcast_to(found, now.shape).copy()
        except ValueError:
            raise ArgumentError(
                f"{expression} has the shape {found.shape}, and the value {now.shape}", hint=HINT
            ) from None
    try:
        where = tuple(int(each) for each in index)
        found = np.asarray(evaluate(expression, now[where], names))
        if found.ndim:
            raise ArgumentError(f"{expression} is no single number", hint=HINT)
        dtype = np.result_type(now.dtype, found.dtype) if now.dtype.kind != "f" else now.dtype
        changed = now.astype(dtype)
        changed[where] = found
    except (IndexError, ValueError, TypeError) as error:
        raise ArgumentError(f"element {list(index)} of a value of shape {now.shape}: {error}") from error
    return changed


def change(before: Any, after: Any) -> float:
    """How much a value changed, relative to its size: the norm of the difference by the larger of the two norms.

    >>> change(np.array([3.0, 4.0]), np.array([3.0, 4.5])) < 0.1, change(np.zeros(2), np.zeros(2))
    (True, 0.0)
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or before.dtype.kind not in "iufb" or after.dtype.kind not in "iufb":
        return 1.0
    with np.errstate(all="ignore"):
        difference = np.linalg.norm((after.astype(np.float64) - before.astype(np.float64)).reshape(-1))
        size = max(np.linalg.norm(each.astype(np.float64).reshape(-1)) for each in (before, after))
    if not np.isfinite(difference) or not np.isfinite(size):
        return 0.0 if np.array_equal(before, after, equal_nan=True) else 1.0
    return float(difference / size) if size else 0.0


def effect(name: str, before: Any, after: Any) -> str:
    """What an edit meant for a fetch, as a person would say it.

    >>> effect("loss", np.float32(0.5), np.float32(0.25))
    'loss 0.5 → 0.25'
    >>> effect("y", np.ones(4), np.ones(4) * 1.01)
    'y changed by 0.99 %'
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.ndim == after.ndim == 0:
        return f"{name} {format_value(before)} → {format_value(after)}"
    if before.shape != after.shape:
        return f"{name} is {after.shape} now"
    return f"{name} changed by {100 * change(before, after):.2g} %"
