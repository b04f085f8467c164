"""The checking layers of gradients: against differences, the complex step, unknown shapes, and at special points.

Like those of `checks.py` they take a declaration and a sample, and raise AssertionError when they find a bug.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import flowbook as fb
from flowbook.errors import FlowError, RunError
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import OpDef, Sample
from tests.ops.cases import build, cast, compute, elementwise, evaluate, is_float
from tests.ops.checks import EXTREME, MODERATE, refused, special_inputs

_STEP = 2.0**-12  # five points: the truncation is of order h**4, the rounding of order eps / h


def _like(tensors: Sequence[Tensor], values: Sequence[Any], rng: Any) -> dict[Tensor, Any]:
    """A placeholder and random weights for each tensor."""
    return {
        fb.placeholder(value.shape, value.dtype.name): np.asarray(rng.uniform(0.5, 1.5, value.shape), value.dtype)
        for _, value in zip(tensors, values, strict=True)
    }


def compare(
    fs: Sequence[Tensor], weights: Sequence[Any], xs: Sequence[Tensor], gs: Sequence[Any], feeds: Any, tolerance: float
) -> None:
    """The values ``gs`` against five-point differences of the weighted sum of ``fs`` along two directions: one in
    which no terms of the sum can cancel, and a random one."""
    rng = np.random.default_rng(7)
    for aligned in (True, False):
        signs = [np.where(g >= 0, 1.0, -1.0) if aligned else rng.choice([-1.0, 1.0], g.shape) for g in gs]
        directions = [rng.uniform(0.5, 1.0, g.shape) * sign for g, sign in zip(gs, signs, strict=True)]
        values = []
        for t in (-2, -1, 1, 2):
            moved = {x: np.asarray(feeds[x] + t * _STEP * d) for x, d in zip(xs, directions, strict=True)}
            values.append(evaluate(fs, {**feeds, **moved}))
        terms, rounding = [], 0.0
        for w, a, b, c, d in zip(weights, *values, strict=True):
            terms.append(w * ((a - d) - 8 * (b - c)) / (12 * _STEP))
            epsilon = 4 * float(np.finfo(a.dtype).eps)
            rounding += float(np.sum(np.abs(w) * np.maximum(np.abs(a), np.abs(d)))) * epsilon / _STEP
        parts = [g * d for g, d in zip(gs, directions, strict=True)]
        numeric, analytic = (float(sum(np.sum(each) for each in group)) for group in (terms, parts))
        scale = float(sum(np.sum(np.abs(each)) for group in (terms, parts) for each in group))
        error = abs(numeric - analytic)
        assert error <= tolerance * scale + rounding, (
            f"along {'the gradient' if aligned else 'a random direction'} the gradient says {analytic!r}, "
            f"differences say {numeric!r} (error {error:.1e}, scale {scale:.1e})"
        )


def repeated(sample: Sample) -> Sample | None:
    """The sample with one array for two operands, when two have the same shape."""
    inputs = list(sample.inputs)
    for i, j in itertools.combinations(range(len(inputs)), 2):
        if is_float(inputs[i]) and is_float(inputs[j]) and inputs[i].shape == inputs[j].shape:
            inputs[j] = inputs[i]
            return sample._replace(inputs=tuple(inputs))
    return None


def check_gradient(op: OpDef, sample: Sample, order: int = 1) -> None:
    """The gradient against differences, in float64; with ``order=2`` the gradient of the gradient."""
    rng = np.random.default_rng(5)
    with fb.Graph().as_default():
        call = build(op, cast(sample.inputs, "float64"), sample.attrs)
        assert call.xs and call.ys, f"{op.name}: a sample without float arrays has no gradient"
        fs, xs, feeds = call.ys, call.xs, dict(call.feeds)
        for _ in range(order):
            weights = _like(fs, evaluate(fs, feeds), rng)
            gs = fb.gradients(fs, xs, list(weights), unconnected="zeros")
            last = fs, list(weights.values()), xs, gs
            for x, g in zip(xs, gs, strict=True):
                assert g.spec == x.spec, f"{op.name}: the gradient of {x} is {g}"
            feeds.update(weights)
            fs, xs = gs, [*xs, *weights]
        fs, factors, xs, gs = last
        feeds = {tensor: feeds[tensor] for tensor in feeds}
        compare(fs, factors, xs, evaluate(gs, feeds), feeds, tolerance=2e-8)


def check_complex_step(op: OpDef, sample: Sample) -> None:
    """The gradient of an analytic op against the kernel on complex numbers: exact to rounding, so that no error of
    1e-12 hides. Squire and Trapp, "Using complex variables to estimate derivatives", 1998."""
    rng = np.random.default_rng(5)
    inputs = cast(sample.inputs, "float64")
    with fb.Graph().as_default():
        call = build(op, inputs, sample.attrs)
        feeds = dict(call.feeds)
        weights = _like(call.ys, evaluate(call.ys, feeds), rng)
        gs = evaluate(fb.gradients(call.ys, call.xs, list(weights), unconnected="zeros"), {**feeds, **weights})
    directions = {id(feeds[x]): rng.uniform(0.5, 1.0, g.shape) * np.where(g >= 0, 1, -1) for x, g in zip(call.xs, gs)}
    tiny = 1e-30
    moved = [each + 1j * tiny * directions[id(each)] if is_float(each) else each for each in inputs]
    outputs = compute(op, moved, sample.attrs)
    exact = float(sum(np.sum(w * y.imag / tiny) for w, y in zip(weights.values(), outputs, strict=True)))
    analytic = float(sum(np.sum(g * directions[id(feeds[x])]) for x, g in zip(call.xs, gs, strict=True)))
    assert abs(exact - analytic) <= 1e-12 * abs(exact), f"{op.name}: {analytic!r}, the complex step says {exact!r}"


def check_gradient_unknown(op: OpDef, sample: Sample) -> None:
    """The gradients are the same when sizes, or even ranks, are unknown while they are built."""
    inputs = cast(sample.inputs, "float64")
    results = []
    for shape_of in (None, lambda value: (None,) * value.ndim, lambda value: None):
        with fb.Graph().as_default():
            try:
                call = build(op, inputs, sample.attrs, shape_of)
                values = evaluate(call.ys, call.feeds)
                weights = _like(call.ys, values, np.random.default_rng(5))
                gs = fb.gradients(call.ys, call.xs, list(weights), unconnected="zeros")
                hs = fb.gradients(gs, call.xs, unconnected="zeros")
            except FlowError as error:
                assert shape_of is not None and refused(error), f"{op.name}: {error}"
                continue
            results.append(evaluate([*gs, *hs], {**call.feeds, **weights}))
    for other in results[1:]:
        for a, b, x in zip(results[0], other, [*call.xs, *call.xs], strict=True):
            assert a.shape == b.shape == call.feeds[x].shape, f"{op.name}: {a.shape} and {b.shape}"
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------------------------------------ special points


def check_special_gradient(op: OpDef, sample: Sample) -> None:
    """Gradients at special points raise nothing. Where the operands are moderate and the value is finite, they are
    numbers, infinity allowed."""
    for inputs in special_inputs(op, sample, "float64", EXTREME):
        _values_and_gradients(op, inputs, sample.attrs)
    for inputs in special_inputs(op, sample, "float64", MODERATE):
        with np.errstate(all="ignore"):
            outputs = [each for each in compute(op, inputs, sample.attrs) if is_float(each)]
        if elementwise(op):  # the points with a finite value, in a row, so that no broadcasting sums over the others
            finite = np.isfinite(outputs[0])
            inputs = tuple(
                np.broadcast_to(each, finite.shape)[finite] if isinstance(each, np.ndarray) else each for each in inputs
            )
        elif not all(np.isfinite(each).all() for each in outputs):
            continue
        for gradient in _values_and_gradients(op, inputs, sample.attrs):
            bad = np.isnan(gradient)
            assert not bad.any(), f"{op.name}: the gradient is nan at {bad.nonzero()} of {inputs}"


def _values_and_gradients(op: OpDef, inputs: Sequence[Any], attrs: Mapping[str, Any]) -> list[Any]:
    with fb.Graph().as_default():
        call = build(op, inputs, attrs)
        try:
            return evaluate(fb.gradients(call.ys, call.xs, unconnected="zeros"), call.feeds)
        except RunError:  # check_finite and its like refuse what they were made to refuse
            return []


def check_shared(op: OpDef, inputs: Sequence[Any], wanted: Sequence[Any], attrs: Mapping[str, Any] = {}) -> None:
    """The gradient of the sum of the result is exactly what is documented for these operands."""
    with fb.Graph().as_default():
        call = build(op, inputs, attrs)
        gs = evaluate(fb.gradients(call.ys, call.xs, unconnected="zeros"), call.feeds)
    for g, documented in zip(gs, wanted, strict=True):
        np.testing.assert_allclose(g, np.array(documented, float), rtol=1e-15, atol=0)
