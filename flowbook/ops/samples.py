"""Sample calls for the generated tests: deterministic arrays in the shapes where kernels go wrong.

Samples are made when a test asks (``OpDef.samples()``), so importing flowbook draws no numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from flowbook.graph.opdef import Sample

Samples = Callable[[], Iterable[Sample]]


class Draw(NamedTuple):
    """An array still to be drawn: distinct, well-separated numbers in shuffled order, so that ties and kinks are met
    only on purpose; integers and bools are drawn uniformly, bounds included."""

    shape: tuple[int, ...]
    low: float
    high: float
    dtype: str
    seed: int

    def array(self) -> Any:
        """Draw it."""
        rng = np.random.default_rng([self.seed, *self.shape])
        kind = np.dtype(self.dtype).kind
        if kind == "b":
            return rng.integers(0, 2, self.shape).astype(bool)
        if kind in "iu":
            return rng.integers(int(self.low), int(self.high) + 1, self.shape).astype(self.dtype)
        count = math.prod(self.shape)
        steps = (rng.permutation(count) + 0.5 + 0.2 * (rng.random(count) - 0.5)) / max(count, 1)
        return (self.low + (self.high - self.low) * steps).reshape(self.shape).astype(self.dtype)


def draw(shape: tuple[int, ...], low: float = -2.0, high: float = 2.0, dtype: str = "float64", seed: int = 0) -> Draw:
    """An array operand for `calls`, drawn when a test asks for it."""
    return Draw(shape, low, high, dtype, seed)


def floats(*shapes: tuple[int, ...], low: float = -2.0, high: float = 2.0, **attrs: Any) -> Samples:
    """One sample a shape, one float operand."""
    return lambda: [Sample((draw(shape, low, high).array(),), attrs) for shape in shapes]


def float_pairs(low: float = -2.0, high: float = 2.0, **attrs: Any) -> Samples:
    """Two float operands: same shape, broadcast both ways, 0-d, empty, and a weak scalar on either side."""

    def make() -> Iterable[Sample]:
        for a, b in [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((0, 5), (5,)), ((), ())]:
            yield Sample((draw(a, low, high, seed=1).array(), draw(b, low, high, seed=2).array()), attrs)
        scalar, array = (low + high) / 2 + 0.75, draw((2, 3), low, high).array()
        yield Sample((array, scalar), attrs, "weak scalar on the right")
        yield Sample((scalar, array), attrs, "weak scalar on the left")

    return make


def both(*groups: Samples) -> Samples:
    """The samples of several groups."""
    return lambda: [sample for group in groups for sample in group()]


def calls(*samples: tuple[Any, ...] | Sample, **attrs: Any) -> Samples:
    """Explicit samples: tuples of operands with shared ``attrs``, or whole `Sample` objects. An operand given as a
    tuple of ints stands for a drawn float array of that shape."""

    def resolve(operand: Any, seed: int) -> Any:
        if type(operand) is tuple:
            operand = draw(operand, seed=seed)
        return operand.array() if isinstance(operand, Draw) else operand

    def make() -> Iterable[Sample]:
        for index, each in enumerate(samples):
            sample = each if isinstance(each, Sample) else Sample(tuple(each), attrs)
            inputs = tuple(resolve(operand, 10 * index + place) for place, operand in enumerate(sample.inputs))
            yield sample._replace(inputs=inputs)

    return make
