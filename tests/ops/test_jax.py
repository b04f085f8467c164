"""Gradients against a second library: the same calls in JAX, in float64, where JAX has a function of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from tests.ops.cases import Case, build, cases, cast, differentiable, evaluate, is_float
from tests.ops.test_gradients import is_smooth

pytestmark = pytest.mark.oracle


def split_of(jax: Any) -> Callable[..., Any]:
    """JAX refuses positions out of range, which count from the end or are cut off here, as in NumPy."""

    def split(x: Any, *, indices_or_sections: Any, axis: int = 0) -> Any:
        if isinstance(indices_or_sections, tuple):
            size = x.shape[axis]
            indices_or_sections = [slice(each, None).indices(size)[0] for each in indices_or_sections]
        return jax.numpy.split(x, indices_or_sections, axis)

    return split


def attention_of(jax: Any) -> Callable[..., Any]:
    """Products and softmax; a query that sees nothing has the score 0 for all keys."""
    xp = jax.numpy

    def attention(query: Any, key: Any, value: Any, mask: Any = True, *, causal: bool = False) -> Any:
        scores = query @ xp.swapaxes(key, -1, -2) / query.shape[-1] ** 0.5
        queries, keys = scores.shape[-2:]
        seen = xp.tri(queries, keys, keys - queries if causal else keys, dtype=bool) & mask
        scores = xp.where(seen, scores, xp.where(seen.any(-1, keepdims=True), -1e300, 0.0))
        found = jax.nn.softmax(scores) @ value
        return found, xp.broadcast_to(jax.nn.logsumexp(scores, -1), found.shape[:-1])

    return attention


def batch_norm_of(jax: Any) -> Callable[..., Any]:
    """JAX normalises; what takes the place of the batch's statistics, and when, is written out."""

    def batch_norm(x: Any, mean: Any, variance: Any, scale: Any, offset: Any, training: Any = True, *, epsilon: float):
        axes = tuple(range(x.ndim - 1))
        if training and x.size:
            y = jax.nn.standardize(x, axes, epsilon=epsilon) * scale + offset
            return y, x.mean(axes), x.var(axes)
        return (x - mean) * jax.lax.rsqrt(variance + epsilon) * scale + offset, mean, variance

    return batch_norm


# The same op under another name, or with other arguments, in JAX.
OTHER: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "gelu": lambda jax: lambda x: jax.nn.gelu(x, approximate=True),
    "logsumexp": lambda jax: jax.nn.logsumexp,
    "concat": lambda jax: lambda *xs, axis=0: jax.numpy.concatenate(xs, axis),
    "stack": lambda jax: lambda *xs, axis=0: jax.numpy.stack(xs, axis),
    "astype": lambda jax: lambda x, *, dtype: x.astype(dtype),
    "gather": lambda jax: lambda x, indices, *, axis=0: jax.numpy.take(x, indices, axis),
    "embedding_lookup": lambda jax: lambda x, indices: jax.numpy.take(x, indices, 0),
    "clip": lambda jax: lambda x, low, high: jax.numpy.minimum(jax.numpy.maximum(x, low), high),
    "transpose": lambda jax: lambda x, *, axes=None: jax.numpy.transpose(x, axes),
    "getitem": lambda jax: None,
    "identity": lambda jax: lambda x: x,
    "layer_norm": lambda jax: (
        lambda x, scale, offset, *, axis=-1, epsilon=1e-5: (
            jax.nn.standardize(x, axis=axis, epsilon=epsilon) * scale + offset
        )
    ),
    "batch_norm": batch_norm_of,
    "standardize": lambda jax: None,  # it has a second result
    "place": lambda jax: None,  # another function has that name in NumPy
    "scatter_add": lambda jax: None,  # and this one in jax.lax
    "split": split_of,
    "scaled_dot_product_attention": attention_of,
    "softmax_cross_entropy": lambda jax: lambda t, x: -(t * jax.nn.log_softmax(x)).sum(-1),
    "sparse_softmax_cross_entropy": lambda jax: (
        lambda t, x: -jax.numpy.take_along_axis(jax.nn.log_softmax(x), jax.numpy.asarray(t, int)[..., None], -1)[..., 0]
    ),
}


@pytest.fixture(scope="module")
def jax() -> Any:
    module = pytest.importorskip("jax", reason="the second library is not installed: make test-all does it")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)


def function_of(jax: Any, name: str) -> Any:
    if name in OTHER:
        return OTHER[name](jax)
    return next((getattr(each, name) for each in (jax.numpy, jax.nn, jax.lax) if hasattr(each, name)), None)


@pytest.mark.parametrize("case", [case for case in cases(differentiable) if is_smooth(case)], ids=str)
def test_gradient_is_that_of_jax(case: Case, jax: Any) -> None:
    function = function_of(jax, case.op.name)
    if function is None:
        pytest.skip("JAX has no function of that name")
    inputs = cast(case.sample.inputs, "float64")
    places = [place for place, value in enumerate(inputs) if is_float(value)]
    with fb.Graph().as_default():
        call = build(case.op, inputs, case.sample.attrs)
        values = evaluate(call.ys, call.feeds)
        weights = [np.cos(np.arange(1.0, value.size + 1)).reshape(value.shape).astype(value.dtype) for value in values]
        gs = evaluate(fb.gradients(call.ys, call.xs, weights, unconnected="zeros"), call.feeds)

    def loss(*floats: Any) -> Any:
        operands = list(inputs)
        for place, value in zip(places, floats, strict=True):
            operands[place] = value
        result = function(*operands, **case.sample.attrs)
        results = result if isinstance(result, (tuple, list)) else (result,)
        return sum((jax.numpy.asarray(y) * w).sum() for y, w in zip(results, weights, strict=True))

    theirs = jax.grad(loss, tuple(range(len(places))))(*[jax.numpy.asarray(inputs[place]) for place in places])
    if case.op.name == "std" and not np.all(values):
        pytest.skip("where the deviation is 0, JAX gives nan, and we what is documented")
    for ours, their in zip(gs, theirs, strict=True):
        np.testing.assert_allclose(ours, np.asarray(their), rtol=1e-9, atol=1e-12)
