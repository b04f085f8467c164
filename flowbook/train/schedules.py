"""Learning rates that change with the step: small functions of a step tensor.

``step`` is a scalar tensor, most often the Variable that ``minimize(loss, global_step=step)`` counts up; the step that
trains with a rate reads the count before it. The result is a float32 scalar (float64 for a float64 step).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flowbook.errors import ArgumentError, ShapeError
from flowbook.graph.node import Tensor
from flowbook.graph.types import format_shape
from flowbook.ops.elementwise import astype, cos, floor_divide, greater_equal, minimum, power, where
from flowbook.train.checks import number


def exponential_decay(
    step: Tensor, initial: float, decay_steps: int, decay_rate: float, *, staircase: bool = False
) -> Tensor:
    r""":math:`\text{initial} \cdot \text{decay\_rate}^{\,\text{step} / \text{decay\_steps}}`; with ``staircase`` the
    exponent is rounded down.

    >>> import flowbook as fb
    >>> step = fb.placeholder((), "int64", name="step_of_exponential_decay")
    >>> rate = fb.train.exponential_decay(step, 1.0, decay_steps=10, decay_rate=0.25)
    >>> [float(fb.Session().run(rate, {step: k})) for k in (0, 5, 10)]
    [1.0, 0.5, 0.25]
    """
    count = _count(step)
    periods = floor_divide(count, _positive(decay_steps)) if staircase else count / _positive(decay_steps)
    return power(number("decay_rate", decay_rate), periods) * number("initial", initial)  # type: ignore[no-any-return]


def cosine_decay(step: Tensor, initial: float, decay_steps: int, *, final: float = 0.0) -> Tensor:
    r"""From ``initial`` down to ``final`` along half a cosine over ``decay_steps`` steps, then constant:
    :math:`f + (i - f) (1 + \cos(\pi \min(t / n, 1))) / 2`.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017 (arXiv:1608.03983),
    equation 5, for one period.

    >>> import flowbook as fb
    >>> step = fb.placeholder((), "int64", name="step_of_cosine_decay")
    >>> rate = fb.train.cosine_decay(step, 1.0, decay_steps=10)
    >>> [round(float(fb.Session().run(rate, {step: k})), 4) for k in (0, 5, 10, 99)]
    [1.0, 0.5, 0.0, 0.0]
    """
    part = minimum(_count(step) / _positive(decay_steps), 1.0)
    last = number("final", final)
    return (cos(part * math.pi) + 1.0) * (0.5 * (number("initial", initial) - last)) + last  # type: ignore[no-any-return]


def piecewise_constant(step: Tensor, boundaries: Sequence[float], values: Sequence[float]) -> Tensor:
    """``values[0]`` before step ``boundaries[0]``, ``values[1]`` from there to ``boundaries[1]``, and so on.

    One value more than boundaries, which rise. A boundary itself belongs to the later value, as in PyTorch's
    ``MultiStepLR``; TensorFlow's ``piecewise_constant`` gives it to the earlier one.

    >>> import flowbook as fb
    >>> step = fb.placeholder((), "int64", name="step_of_piecewise_constant")
    >>> rate = fb.train.piecewise_constant(step, [10, 20], [1.0, 0.5, 0.25])
    >>> [float(fb.Session().run(rate, {step: k})) for k in (9, 10, 20)]
    [1.0, 0.5, 0.25]
    """
    steps, rates = _numbers("boundaries", boundaries), _numbers("values", values)
    if len(rates) != len(steps) + 1:
        raise ArgumentError(f"{len(boundaries)} boundaries need {len(boundaries) + 1} values, not {len(values)}")
    if sorted(set(steps)) != steps:
        raise ArgumentError(f"boundaries {list(boundaries)} do not rise")
    count = _count(step)
    rate: Tensor = count * 0.0 + rates[0]
    for boundary, value in zip(steps, rates[1:], strict=True):
        rate = where(greater_equal(count, boundary), value, rate)
    return rate


def warmup(step: Tensor, rate: float | Tensor, steps: int) -> Tensor:
    r"""``rate`` (a number or another schedule), grown linearly during the first ``steps`` steps:
    :math:`\text{rate} \cdot \min((\text{step} + 1) / \text{steps}, 1)`, so that the first step already moves.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017 (arXiv:1706.02677), section 2.2.

    >>> import flowbook as fb
    >>> step = fb.placeholder((), "int64", name="step_of_warmup")
    >>> rate = fb.train.warmup(step, fb.train.piecewise_constant(step, [6], [1.0, 0.5]), steps=4)
    >>> [float(fb.Session().run(rate, {step: k})) for k in (0, 1, 3, 6)]
    [0.25, 0.5, 1.0, 0.5]
    """
    return minimum((_count(step) + 1.0) / _positive(steps), 1.0) * rate  # type: ignore[no-any-return]


def _count(step: Tensor) -> Tensor:
    """The step as a float scalar."""
    if not isinstance(step, Tensor):
        raise ArgumentError(
            f"step is {step!r}, it has to be a tensor",
            hint="step = fb.Variable(0, trainable=False); optimizer.minimize(loss, global_step=step)",
        )
    if step.shape not in ((), None):
        raise ShapeError(f"step '{step.name}' has shape {format_shape(step.shape)}, it has to be a scalar")
    return step if step.dtype.kind == "f" else astype(step, "float32")


def _positive(steps: float) -> float:
    if not number("the number of steps", steps) > 0:
        raise ArgumentError(f"{steps!r} steps: the number has to be positive")
    return float(steps)


def _numbers(what: str, values: Sequence[float]) -> list[float]:
    if not isinstance(values, (list, tuple)):
        raise ArgumentError(f"{what} is {values!r}, it has to be a list")
    return [number(f"one of {what}", value) for value in values]
