r"""Initial values of variables: functions ``(shape, dtype) -> Tensor``, evaluated when the variable is first used.

Random ones derive their numbers from the graph's seed and their node's name, so they do not change when something else
is edited. *Fan-in* and *fan-out* are the numbers of connections of a unit to the layer before and after it: for a
shape (..., in, out) the last two sizes, each times the product of the sizes before (the window of a convolution).

>>> import flowbook as fb
>>> with fb.Graph().as_default():
...     w = fb.Variable(fb.nn.he_normal, shape=(784, 128), name="w")
...     value = fb.Session().run(w)
>>> value.shape, abs(float(value.std()) - (2 / 784) ** 0.5) < 1e-3
((784, 128), True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowbook import random
from flowbook.errors import ArgumentError
from flowbook.graph.node import Tensor
from flowbook.graph.types import as_dtype, known_shape
from flowbook.ops.broadcasting import broadcast_to
from flowbook.ops.state import constant

Initializer = Callable[[Any, Any], Tensor]


def zeros(shape: Any, dtype: Any = "float32") -> Tensor:
    """All 0."""
    return _filled(0, shape, dtype)


def ones(shape: Any, dtype: Any = "float32") -> Tensor:
    """All 1."""
    return _filled(1, shape, dtype)


def normal(scale: float) -> Initializer:
    """An initializer that draws normal numbers with mean 0 and standard deviation ``scale``."""
    if not scale >= 0:
        raise ArgumentError(f"the standard deviation {scale!r} is not a number from 0 up")

    def initializer(shape: Any, dtype: Any = "float32") -> Tensor:
        return random.normal(known_shape(shape), 0.0, float(scale), dtype=as_dtype(dtype).name)

    return initializer


def glorot_uniform(shape: Any, dtype: Any = "float32") -> Tensor:
    r"""Uniform in :math:`\pm\sqrt{6 / (\text{fan-in} + \text{fan-out})}`, for tanh and linear units.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    return _uniform(math.sqrt(6.0 / max(sum(_fans(shape)), 1)), shape, dtype)


def glorot_normal(shape: Any, dtype: Any = "float32") -> Tensor:
    r"""Normal with standard deviation :math:`\sqrt{2 / (\text{fan-in} + \text{fan-out})}`; see `glorot_uniform`."""
    return normal(math.sqrt(2.0 / max(sum(_fans(shape)), 1)))(shape, dtype)


def he_uniform(shape: Any, dtype: Any = "float32") -> Tensor:
    r"""Uniform in :math:`\pm\sqrt{6 / \text{fan-in}}`, for relu units.

    Source: He et al., "Delving deep into rectifiers", 2015 (arXiv:1502.01852).
    """
    return _uniform(math.sqrt(6.0 / max(_fans(shape)[0], 1)), shape, dtype)


def he_normal(shape: Any, dtype: Any = "float32") -> Tensor:
    r"""Normal with standard deviation :math:`\sqrt{2 / \text{fan-in}}`, for relu units; see `he_uniform`."""
    return normal(math.sqrt(2.0 / max(_fans(shape)[0], 1)))(shape, dtype)


def _filled(value: int, shape: Any, dtype: Any) -> Tensor:
    number = constant(np.array(value, as_dtype(dtype)))
    return broadcast_to(number, shape=known_shape(shape))  # type: ignore[no-any-return]


def _uniform(limit: float, shape: Any, dtype: Any) -> Tensor:
    return random.uniform(known_shape(shape), -limit, limit, dtype=as_dtype(dtype).name)


def _fans(shape: Any) -> tuple[int, int]:
    """Fan-in and fan-out; a vector's are its length, a scalar's 1."""
    sizes = known_shape(shape)
    if len(sizes) < 2:
        return (sizes or (1,)) * 2  # type: ignore[return-value]
    window = math.prod(sizes[:-2])
    return sizes[-2] * window, sizes[-1] * window
