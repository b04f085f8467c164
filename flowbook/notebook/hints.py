"""What is wrong with a guess, in words that help and do not give the answer away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowbook.graph.node import Node, Tensor

NEAR = 0.01  # a guess is right to about two digits
MOST = 1 << 20  # elements of a guess that are looked at

Dims = tuple[int | str | None, ...]


class Unreadable(Exception):
    """A guess that cannot be compared at all: a slip of the hand, which is no try."""


def read_shape(guess: Any) -> Dims:
    """A guess of a shape.

    >>> read_shape([2, "batch", None])
    (2, 'batch', None)
    """
    if not isinstance(guess, (tuple, list)):
        raise Unreadable("a shape is a tuple, also with one axis: (3,); without any: ()")
    found: list[int | str | None] = []
    for each in guess:
        if isinstance(each, str):
            found.append(f"{each}")
        elif each is None:
            found.append(None)
        elif isinstance(each, (int, np.integer)) and not isinstance(each, bool):
            found.append(int(each))
        else:
            raise Unreadable("each entry of a shape is a size, or the name of a dimension")
    return tuple(found)


def read_numbers(guess: Any) -> Any:
    """A guess of a value, as an array of float64."""
    if isinstance(guess, (Tensor, Node)):
        raise Unreadable("that is the tensor itself; type the numbers that you think are in it")
    try:
        array = np.asarray(guess)
    except ValueError:
        raise Unreadable("the rows have different lengths") from None
    if array.dtype.kind in "US":
        raise Unreadable("that is a text; type numbers, without quotes")
    if array.dtype.kind not in "biuf":
        raise Unreadable("type a number, or a list of numbers for an array")
    if array.size > MOST:
        raise Unreadable("so many numbers were not asked for")
    return array.astype(np.float64)


def close(guess: Any, answer: Any) -> bool:
    """Whether a guess is right: integers exactly, others to about two digits.

    >>> close(np.array([0.33, 0.5]), np.array([1 / 3, 0.5])), close(np.float64(3), np.int64(4))
    (True, False)
    """
    answer = np.asarray(answer)
    if guess.shape != answer.shape:
        return False
    if answer.dtype.kind in "biu":
        return bool(np.array_equal(guess, answer))
    answer = answer.astype(np.float64)
    size = np.abs(answer[np.isfinite(answer)]).max(initial=0.0)  # so that a few digits do for small elements, too
    return bool(np.allclose(guess, answer, rtol=NEAR, atol=NEAR * size / 10 + 1e-12, equal_nan=True))


def shape_hint(guess: Dims, answer: Dims) -> str:
    """Why a shape is not the one.

    >>> shape_hint((3, 2), (2, 3)), shape_hint((5,), (5, 1)), shape_hint((4, 2), (5, 2))
    ('the axes are in the other order', 'yours has 1 axis, and it has 2', 'axis 0 differs')
    """
    if len(guess) != len(answer):
        return f"yours has {_axes(len(guess))}, and it has {len(answer) or 'none'}"
    if guess == answer[::-1]:
        return "the axes are in the other order"
    if sorted(map(repr, guess)) == sorted(map(repr, answer)):
        return "the sizes are right, and their order is not"
    wrong = [str(axis) for axis, (mine, its) in enumerate(zip(guess, answer, strict=True)) if mine != its]
    return f"axis {wrong[0]} differs" if len(wrong) == 1 else f"axes {', '.join(wrong)} differ"


def value_hint(guess: Any, answer: Any, shares: Sequence[Any] = (), gradient: bool = False) -> str:
    """Why numbers are not the ones. ``shares``: what comes along each path, where it is their sum.

    >>> value_hint(np.float64(6), np.float64(3)), value_hint(np.float64(-3), np.float64(3))
    ('too large by a factor of 2', 'the sign is wrong')
    """
    answer = np.asarray(answer, np.float64)
    with np.errstate(all="ignore"):
        return _shape_of(guess, answer, gradient) if guess.shape != answer.shape else _numbers(guess, answer, shares)


def _shape_of(guess: Any, answer: Any, gradient: bool) -> str:
    """A value of another shape: perhaps only the last step is missing."""
    summed = _sum_to(guess, answer.shape)
    if summed is not None and guess.size > answer.size and close(summed, answer):
        return "yours has a share for each copy; it was one value, so add the shares up: sum over the batch"
    if close(guess.T, answer):
        return "transposed: rows and columns have changed places"
    if guess.size == answer.size and close(guess.reshape(answer.shape), answer):
        return f"the numbers are right, and the shape is not: {shape_hint(guess.shape, answer.shape)}"
    if guess.size == 1 and close(np.broadcast_to(guess.reshape(()), answer.shape), answer):
        return "the number is right, but there is one for each element: give a list"
    rule = "a gradient has the shape of what it belongs to: " if gradient else "the shape is another one: "
    return rule + shape_hint(guess.shape, answer.shape)


def _numbers(guess: Any, answer: Any, shares: Sequence[Any]) -> str:
    if not np.isfinite(answer).all():
        return "not all of it is finite: where does a nan or an infinity come from?"
    if not np.isfinite(guess).all():
        return "yours is not finite, and it is"
    if len(shares) > 1 and any(close(guess, each) for each in shares):
        return f"that is the share of one path, and there are {len(shares)}: add them up"
    if close(-guess, answer):
        return "the sign is wrong"
    if close(np.abs(guess), np.abs(answer)):
        return "the sizes are right, and some signs are not"
    if answer.ndim == 2 and close(guess.T, answer):
        return "transposed: rows and columns have changed places"
    return _factor(guess, answer) or _distance(guess, answer)


def _factor(guess: Any, answer: Any) -> str | None:
    """Whether all of it is off by one whole number."""
    part = answer != 0
    if not part.any() or guess[~part].any() or not guess[part].all():
        return None
    ratios = (guess[part] / answer[part]).ravel()
    ratio = float(ratios[0])
    times = round(max(abs(ratio), 1 / abs(ratio)))
    near = np.allclose(ratios, times * np.sign(ratio) if abs(ratio) > 1 else np.sign(ratio) / times, rtol=NEAR, atol=0)
    if times < 2 or not near:
        return None
    sign = "the sign is wrong, and it is " if ratio < 0 else ""
    return f"{sign}too {'large' if abs(ratio) > 1 else 'small'} by a factor of {times}"


def _distance(guess: Any, answer: Any) -> str:
    """How far it is off; of an array, how much of it and where most."""
    difference = guess - answer
    if answer.ndim == 0:
        way = "large" if difference > 0 else "small"
        return f"too {way}, by {float(f'{100 * abs(difference / answer):.2g}'):g} % of it" if answer else f"too {way}"
    size = np.abs(answer).max(initial=0.0)
    right = int(np.isclose(guess, answer, rtol=NEAR, atol=NEAR * size / 10 + 1e-12).sum())
    worst = np.unravel_index(int(np.abs(difference).argmax()), answer.shape)
    where = ", ".join(str(int(each)) for each in worst)
    return (
        f"{right} of {answer.size} elements are right; [{where}] is too {'large' if difference[worst] > 0 else 'small'}"
    )


def _sum_to(guess: Any, shape: tuple[int, ...]) -> Any:
    """Summed over the axes along which ``shape`` would have been copied to the guess; ``None`` when it fits nowhere."""
    more = guess.ndim - len(shape)
    if more < 0 or any(its not in (1, mine) for mine, its in zip(guess.shape[more:], shape, strict=True)):
        return None
    copied = tuple(axis for axis, its in enumerate(shape) if its == 1 != guess.shape[more + axis])
    return guess.sum(axis=tuple(range(more))).sum(axis=copied, keepdims=True)


def _axes(count: int) -> str:
    return f"{count or 'no'} ax{'is' if count == 1 else 'es'}"
