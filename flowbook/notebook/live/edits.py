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
        found = fitting(expression, evaluate(expression, now, names), now.dtype)
        if found.shape == now.shape:
            return found
        try:
            return np.broadcast_to(found, now.shape).copy()
        except ValueError:
            raise ArgumentError(
                f"{expression} has the shape {found.shape}, and the value {now.shape}", hint=HINT
            ) from None
    where = tuple(index) if isinstance(index, (list, tuple)) else (index,)
    if len(where) != now.ndim or not all(
        type(at) is int and 0 <= at < size for at, size in zip(where, now.shape, strict=True)
    ):
        raise ArgumentError(f"there is no element {index} in a value of shape {now.shape}")
    found = fitting(expression, evaluate(expression, now[where], names), now.dtype)
    if found.ndim:
        raise ArgumentError(f"{expression} is no single number", hint=HINT)
    try:
        with np.errstate(all="ignore"):
            dtype = np.result_type(now.dtype, found.dtype) if now.dtype.kind != "f" else now.dtype
            changed = now.astype(dtype)
            changed[where] = found
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"{expression} for an element of {now.dtype.name}: {error}") from error
    return changed


def fitting(expression: str, value: Any, dtype: Any) -> Any:
    """The value as an array; whole numbers as the dtype they are for, as a number somebody writes has none. Raises
    ``ArgumentError`` where they do not fit.

    >>> fitting("5", 5, np.dtype("uint8")), fitting("1", 1, np.dtype("bool"))
    (array(5, dtype=uint8), array(True))
    """
    try:
        found = np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise ArgumentError(f"{expression} is no array: {error}", hint=HINT) from None
    if dtype.kind not in "biu" or (found.dtype.kind not in "biu" and not isinstance(value, int)):
        return found
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if found.size and not (low <= int(found.min()) and int(found.max()) <= high):
        raise ArgumentError(f"{expression} does not fit into {dtype.name}", hint=f"it holds {low} to {high}")
    return found.astype(dtype)


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
    percent = 100 * change(before, after)
    return f"{name} changed by {percent:.2g} %" if percent < 99.5 else f"{name} changed by {percent:.0f} %"
