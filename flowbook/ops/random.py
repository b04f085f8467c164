"""Random numbers as structured ops; `flowbook.random` is their public face.

The bits come from the run's counter-based generator (``ctx.philox``), the numbers from `philox.py`. The shape is the
attribute ``shape``, or where that is ``None``, the shape of the tensor ``like``, whose values are not looked at.
"""

from __future__ import annotations

import math

import numpy as np

from flowbook.errors import ArgumentError, DTypeError
from flowbook.graph.opdef import Sample, structured_op
from flowbook.graph.types import TensorSpec, as_dtype, known_shape
from flowbook.ops import philox
from flowbook.ops.rules import per_element

_NO_GRADIENT = "random bits come from nowhere; scale and shift uniform or normal numbers instead"


def _spec(like, shape, dtype, seed):
    if (like is None) == (shape is None):
        raise ArgumentError("random numbers take a shape, or a tensor to be shaped like", hint="exactly one of them")
    if seed is not None and type(seed) is not int:
        raise ArgumentError(f"seed {seed!r} is not an int", hint="None derives one from the graph's seed")
    return TensorSpec(known_shape(shape) if like is None else like.shape, as_dtype(dtype))


def _float_spec(like, shape, dtype, seed, **parameters):
    spec = _spec(like, shape, dtype, seed)
    if spec.dtype.kind != "f":
        raise DTypeError(f"uniform and normal numbers are floats, not {spec.dtype.name}", hint="fb.random.integers")
    limit = float(np.finfo(spec.dtype).max)
    for name, value in parameters.items():
        if not abs(value) <= limit:
            raise ArgumentError(f"{name} is {value}, which is no {spec.dtype.name} number")
    return spec


def _uniform_spec(like=None, *, shape, low, high, dtype, seed):
    if not low <= high:
        raise ArgumentError(f"low {low} is above high {high}")
    return _float_spec(like, shape, dtype, seed, low=low, high=high, **{"high - low": high - low})


def _normal_spec(like=None, *, shape, mean, scale, dtype, seed):
    if not scale >= 0:
        raise ArgumentError(f"the standard deviation is {scale}", hint="0 or more")
    return _float_spec(like, shape, dtype, seed, mean=mean, scale=scale)


def _bernoulli_spec(like=None, *, shape, p, seed):
    if not 0 <= p <= 1:
        raise ArgumentError(f"{p} is not a probability", hint="from 0 to 1")
    return _spec(like, shape, "bool", seed)


def _integer_spec(like=None, *, shape, low, high, dtype, seed):
    spec = _spec(like, shape, dtype, seed)
    if spec.dtype.kind not in "iu":
        raise DTypeError(f"random integers are no {spec.dtype.name}", hint="fb.random.uniform or bernoulli")
    if type(low) is not int or type(high) is not int:
        raise ArgumentError(f"the bounds {low!r} and {high!r} are not both ints")
    if low >= high:
        raise ArgumentError(f"no integer is in [{low}, {high})", hint="high is not included")
    limits = np.iinfo(spec.dtype)
    if low < limits.min or high - 1 > limits.max:
        raise ArgumentError(f"{spec.dtype.name} does not hold all of [{low}, {high})", hint="another dtype=")
    return spec


def _draw(ctx, like, shape, seed, bits, transform, *parameters):
    """An array of ``transform(words, count, *parameters)`` in the shape asked for."""
    shape = known_shape(shape) if like is None else like.shape
    count = math.prod(shape)
    words = ctx.philox(seed).random_raw(philox.words_for(count, bits))
    return transform(words, count, *parameters).reshape(shape)


def _samples(*attrs):
    return lambda: [
        Sample((), {"shape": shape, "seed": seed, **each})
        for each in attrs
        for shape, seed in (((3, 4), None), ((), 7), ((0, 5), 7), ((7,), -1))
    ]


@structured_op(
    spec=_uniform_spec,
    cost=per_element(2),
    stateful=True,
    hidden=True,
    samples=_samples({"dtype": "float32"}, {"dtype": "float64", "low": -1.0, "high": 2.0}, {"dtype": "float16"}),
)
def random_uniform(ctx, like=None, *, shape, low=0.0, high=1.0, dtype="float32", seed=None):
    """Uniform numbers in [low, high)."""
    dtype = as_dtype(dtype)
    numbers = _draw(ctx, like, shape, seed, 8 * dtype.itemsize, philox.uniform, dtype)
    if (low, high) != (0, 1):
        numbers *= high - low
        numbers += low
    return numbers


@structured_op(
    spec=_normal_spec,
    cost=per_element(30),
    stateful=True,
    hidden=True,
    samples=_samples({"dtype": "float32"}, {"dtype": "float64", "mean": -1.0, "scale": 2.0}, {"dtype": "float16"}),
)
def random_normal(ctx, like=None, *, shape, mean=0.0, scale=1.0, dtype="float32", seed=None):
    """Normal numbers of the given mean and standard deviation."""
    dtype = as_dtype(dtype)
    numbers = _draw(ctx, like, shape, seed, 8 * dtype.itemsize, philox.normal, dtype)
    if (mean, scale) != (0, 1):
        numbers *= scale
        numbers += mean
    return numbers


def _shape_only(node, dy):
    return [None] * len(node.inputs)  # a tensor given as `like` lends its shape, and gets no gradient


random_uniform.gradient(_shape_only)
random_normal.gradient(_shape_only)


@structured_op(
    spec=_bernoulli_spec,
    cost=per_element(),
    stateful=True,
    hidden=True,
    nondifferentiable=_NO_GRADIENT,
    samples=_samples({"p": 0.3}, {"p": 0.0}, {"p": 1.0}),
)
def random_bernoulli(ctx, like=None, *, shape, p=0.5, seed=None):
    """True with probability ``p``, rounded to a multiple of 2**-32."""
    return _draw(ctx, like, shape, seed, 32, philox.bernoulli, p)


@structured_op(
    spec=_integer_spec,
    cost=per_element(8),
    stateful=True,
    hidden=True,
    nondifferentiable=_NO_GRADIENT,
    samples=_samples(
        {"low": 0, "high": 10},
        {"low": -128, "high": 128, "dtype": "int8"},
        {"low": -(2**63), "high": 2**63},
        {"low": 2**63, "high": 2**64, "dtype": "uint64"},
    ),
)
def random_integers(ctx, like=None, *, shape, low, high, dtype="int64", seed=None):
    """Integers in [low, high), all equally probable up to 2**-64."""
    return _draw(ctx, like, shape, seed, 64, philox.integers, low, high).astype(dtype, copy=False)


@structured_op(
    spec=lambda *, count, seed: _spec(None, (count,), "int64", seed),
    cost=lambda inputs, outputs, attrs: 0.0,
    stateful=True,
    hidden=True,
    nondifferentiable=_NO_GRADIENT,
    samples=lambda: [Sample((), {"count": count, "seed": 7}) for count in (0, 1, 12)],
)
def random_permutation(ctx, *, count, seed=None):
    """0 to count - 1 in random order."""
    return _draw(ctx, None, (count,), seed, 64, philox.permutation)
