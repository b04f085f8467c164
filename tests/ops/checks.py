"""The checking layers: each takes a declaration and a sample and raises AssertionError when it finds a bug.

They are functions of a declaration, not of a name, so that `test_planted.py` can show that each still catches a bug.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import OpDef, Sample
from flowbook.graph.types import TensorSpec
from tests.ops.cases import build, cast, compute, elementwise, evaluate, fits, invoke, is_float, locked

# ------------------------------------------------------------------------------------------------ results


def oracle_of(op: OpDef) -> Any:
    """Somebody else's implementation, called like the kernel; ``None`` when there is none."""
    if op.oracle is not None:
        return op.oracle
    function = getattr(np, op.name, None)
    if function is None:
        return None
    return (lambda *arrays, **attrs: function(list(arrays), **attrs)) if op.variadic else function


def expected(op: OpDef, inputs: Sequence[Any], attrs: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the oracle says, computed in float64 on what the inputs are in their own dtype."""
    narrow = next((each.dtype for each in inputs if is_float(each)), np.dtype("float64"))
    wide = [
        float(narrow.type(each)) if type(each) is float else each.astype("float64") if is_float(each) else each
        for each in inputs
    ]
    with np.errstate(all="ignore"):
        result = oracle_of(op)(*wide, **attrs)
    return tuple(map(np.asarray, result if isinstance(result, (tuple, list)) else (result,)))


def specs_of(op: OpDef, inputs: Sequence[Any], attrs: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    """The specs that the builder infers for known shapes."""
    with fb.Graph().as_default():
        return tuple(each.spec for each in build(op, inputs, attrs).outputs)


def assert_close(op: OpDef, actual: Any, wanted: Any) -> None:
    """Equal up to the declared ulp: element by element where the op is elementwise; elsewhere relative to the largest
    number of the result, with room for sums in another order."""
    actual = np.asarray(actual)
    if actual.dtype.kind != "f":
        np.testing.assert_array_equal(actual, wanted)
        return
    with np.errstate(all="ignore"):
        wanted = wanted.astype(actual.dtype)
        info = np.finfo(actual.dtype)
        size = np.abs(wanted)
        factor = op.ulp + 1
        if not elementwise(op) and size.size:
            size, factor = np.max(size, initial=0, where=np.isfinite(size)), 8 * factor
        error = np.abs(actual - wanted)
        good = (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
        good |= error <= factor * (info.eps * size + info.smallest_subnormal)
    assert good.all(), f"{op.name} gave\n{actual[~good]}\nnot\n{wanted[~good]}\nerrors {error[~good]}"


def check_result(op: OpDef, sample: Sample, dtype: str = "float64") -> None:
    """The kernel against the oracle, its shapes and dtypes against the spec rule, and its inputs left alone."""
    inputs = cast(sample.inputs, dtype)
    copies = [each.copy() if isinstance(each, np.ndarray) else each for each in inputs]
    outputs = compute(op, inputs, sample.attrs)
    for before, after in zip(copies, inputs, strict=True):
        if isinstance(before, np.ndarray):
            assert before.tobytes() == after.tobytes(), f"{op.name} changed its input"
    specs = specs_of(op, inputs, sample.attrs)
    for output, wanted, spec in zip(outputs, expected(op, inputs, sample.attrs), specs, strict=True):
        assert output.dtype == spec.dtype, f"{op.name} gave {output.dtype}, its spec says {spec}"
        assert output.shape == spec.shape, f"{op.name} gave shape {output.shape}, its spec says {spec}"
        assert output.shape == wanted.shape, f"{op.name} gave shape {output.shape}, the oracle {wanted.shape}"
        assert_close(op, output, wanted)


# ------------------------------------------------------------------------------------------------ specs


def loosened(shapes: Sequence[tuple[int, ...] | None]) -> Iterator[tuple[str, list[Any]]]:
    """The shapes of the operands (``None`` for one without) with less known about them."""
    places = [(i, axis) for i, shape in enumerate(shapes) if shape is not None for axis in range(len(shape))]

    def change(unknown: Mapping[tuple[int, int], Any]) -> list[Any]:
        return [
            shape if shape is None else tuple(unknown.get((i, axis), size) for axis, size in enumerate(shape))
            for i, shape in enumerate(shapes)
        ]

    yield "known", list(shapes)
    for place in places:
        yield f"one unknown {place}", change({place: None})
        yield f"one named {place}", change({place: "n"})
    yield "all unknown", change(dict.fromkeys(places))
    yield "all named apart", change({place: f"n{place[0]}_{place[1]}" for place in places})
    yield "named by size", change({(i, axis): f"size{shapes[i][axis]}" for i, axis in places})  # type: ignore[index]


def refused(error: FlowError) -> bool:
    """Whether an op refuses operands because too little is known of them, and says so."""
    return "known" in str(error) or "needs to know" in str(error)


def check_spec(op: OpDef, sample: Sample) -> None:
    """Whatever is known of the inputs, the inferred specs are true of the actual result."""
    inputs = [np.asarray(each) if isinstance(each, np.generic) else each for each in sample.inputs]
    outputs = compute(op, inputs, sample.attrs)
    shapes = [each.shape if isinstance(each, np.ndarray) else None for each in inputs]
    arrays = [i for i, shape in enumerate(shapes) if shape is not None]
    trials = [*loosened(shapes), ("no rank", [None] * len(inputs))]
    trials += [(f"no rank {i}", [None if i == j else shape for j, shape in enumerate(shapes)]) for i in arrays]
    for what, trial in trials:
        kinds = [
            TensorSpec(shape, value.dtype) if isinstance(value, np.ndarray) else value
            for shape, value in zip(trial, inputs, strict=True)
        ]
        with fb.Graph().as_default():
            operands = [fb.placeholder(*each) if isinstance(each, TensorSpec) else each for each in kinds]
            try:
                specs = [each.spec for each in invoke(op, operands, sample.attrs)]
            except FlowError as error:
                assert what != "known" and refused(error), f"{op.name}: {what}: {error}"
                continue
        sizes: dict[str, int] = {}
        for before, after in zip(trial, shapes, strict=True):
            if before is not None and after is not None:
                assert fits(after, before, sizes)
        assert len(specs) == len(outputs), f"{op.name}: {len(specs)} specs, {len(outputs)} outputs"
        for spec, output in zip(specs, outputs, strict=True):
            text = f"{op.name}: {what}: {spec} for {kinds}, and {output.dtype} {output.shape} came out"
            assert spec.dtype == output.dtype, text
            assert fits(output.shape, spec.shape, sizes), text
            assert spec.known or what != "known", text
            assert spec.shape is not None or what.startswith("no rank"), text


# ------------------------------------------------------------------------------------------------ gradients

_STEP = 2.0**-12  # five points: the truncation is of order h**4, the rounding of order eps / h


def _like(tensors: Sequence[Tensor], values: Sequence[Any], rng: Any) -> dict[Tensor, Any]:
    """A placeholder and random weights for each tensor."""
    return {
        fb.placeholder(value.shape, value.dtype.name): rng.uniform(0.5, 1.5, value.shape)
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
                weights = {fb.placeholder(v.shape, "float64"): np.cos(np.arange(v.size)).reshape(v.shape) for v in values}
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

MODERATE = (0.0, -0.0, 1e-300, 1.0, -1.0, 0.5, -2.0, 20.0, -20.0, 100.0, -1000.0)
EXTREME = (np.inf, -np.inf, np.nan, 1e300, -1e300, 5e-324)


def special_values(dtype: Any, values: Sequence[float] = MODERATE + EXTREME) -> Any:
    """Special numbers, in a dtype (those too large or too small for it become its own)."""
    info = np.finfo(dtype)
    own = {1e300: float(info.max) / 4, -1e300: -float(info.max) / 4, 5e-324: float(info.smallest_subnormal)}
    own[1e-300] = float(info.tiny)
    return np.array([own.get(value, value) for value in values], dtype)


def special_inputs(op: OpDef, sample: Sample, dtype: str, values: Sequence[float] = MODERATE + EXTREME) -> Iterator[Any]:
    """The operands of a sample with special numbers in them: for an elementwise op all combinations at once, for
    others one number at a time."""
    numbers = special_values(dtype, values)
    inputs = cast(sample.inputs, dtype)
    if elementwise(op):
        grid: list[Any] = []
        for place, value in enumerate(inputs):
            if isinstance(value, np.ndarray):
                kind = value.dtype.kind
                value = numbers if kind == "f" else np.array([0, 1] if kind == "b" else [-3, 0, 2], value.dtype)
                value = value.reshape((-1, *(1,) * (len(inputs) - 1 - place)))
            grid.append(value)
        yield tuple(grid)
        return
    for number in numbers:
        changed = []
        for value in inputs:
            if is_float(value) and value.size:
                value = value.copy()
                value.reshape(-1)[value.size // 2] = number
            changed.append(value)
        yield tuple(changed)


def check_special(op: OpDef, sample: Sample, dtype: str = "float64") -> None:
    """Results at special points are the oracle's, and computing there raises nothing."""
    values = MODERATE + EXTREME
    if dtype != "float64" and not elementwise(op):  # sums of huge numbers overflow, which the wider oracle does not see
        values = MODERATE
    for inputs in special_inputs(op, sample, dtype, values):
        outputs = compute(op, locked(inputs), sample.attrs)
        for output, wanted in zip(outputs, expected(op, inputs, sample.attrs), strict=True):
            assert_close(op, output, wanted)


def check_special_gradient(op: OpDef, sample: Sample) -> None:
    """Gradients at special points raise nothing, and are numbers (infinity allowed) wherever the values are finite
    and the operands moderate."""
    for values in (MODERATE, EXTREME):
        for inputs in special_inputs(op, sample, "float64", values):
            with fb.Graph().as_default():
                call = build(op, inputs, sample.attrs)
                outputs = evaluate(call.ys, call.feeds)
                gs = evaluate(fb.gradients(call.ys, call.xs, unconnected="zeros"), call.feeds)
            if values is MODERATE and not elementwise(op) and all(np.isfinite(y).all() for y in outputs):
                assert not any(np.isnan(g).any() for g in gs), f"{op.name}: nan in the gradient of {inputs}"
            if values is MODERATE and elementwise(op):
                (y,) = outputs
                cut = [np.broadcast_to(call.feeds[x], y.shape)[np.isfinite(y)] for x in call.xs]
                _check_no_nan(op, call, cut, np.isfinite(y), sample)


def _check_no_nan(op: OpDef, call: Any, cut: Sequence[Any], finite: Any, sample: Sample) -> None:
    """The gradient at the points alone where the value is finite (elsewhere sums over broadcast axes would mix)."""
    points = dict(zip(call.xs, cut, strict=True))
    inputs = [points.get(each, call.feeds.get(each)) if isinstance(each, Tensor) else each for each in call.operands]
    inputs = [
        np.broadcast_to(each, finite.shape)[finite] if isinstance(each, np.ndarray) and each.shape != cut[0].shape else each
        for each in inputs
    ]
    with fb.Graph().as_default():
        again = build(op, inputs, sample.attrs)
        gs = evaluate(fb.gradients(again.ys, again.xs, unconnected="zeros"), again.feeds)
    for g in gs:
        where = np.isnan(g)
        assert not where.any(), f"{op.name}: the gradient is nan at {[np.asarray(each)[where] for each in cut]}"


# ------------------------------------------------------------------------------------------------ memory layouts


def layouts(value: Any) -> Iterator[Any]:
    """The same numbers laid out in memory in other ways: transposed, with gaps, and backwards."""
    yield np.asfortranarray(value)
    wide = np.zeros((*value.shape[:-1], 2 * value.shape[-1]), value.dtype)
    wide[..., ::2] = value
    yield wide[..., ::2]
    yield np.ascontiguousarray(value[::-1])[::-1]


def check_layouts(op: OpDef, sample: Sample) -> None:
    """Memory layout changes nothing; neither does a broadcast (stride 0) or read-only operand."""
    inputs = cast(sample.inputs, "float64")
    wanted = compute(op, inputs, sample.attrs)
    for place, value in enumerate(inputs):
        if isinstance(value, np.ndarray) and value.ndim:
            for view in layouts(value):
                view.flags.writeable = False
                outputs = compute(op, (*inputs[:place], view, *inputs[place + 1 :]), sample.attrs)
                for a, b in zip(outputs, wanted, strict=True):
                    assert a.dtype == b.dtype
                    assert_close(op, a, b)
    flat = [
        np.broadcast_to(each[:1], each.shape) if isinstance(each, np.ndarray) and each.ndim and len(each) else each
        for each in inputs
    ]
    full = [each.copy() if isinstance(each, np.ndarray) else each for each in flat]
    for a, b in zip(compute(op, flat, sample.attrs), compute(op, full, sample.attrs), strict=True):
        assert_close(op, a, b)


# ------------------------------------------------------------------------------------------------ declarations


def check_declared(op: OpDef) -> None:
    """Somebody thought about the gradient, the cost and the samples, and wrote a docstring."""
    assert (op.gradient is None) != (op.nondifferentiable is None), (
        f"{op.name} needs a gradient rule, or nondifferentiable='why not'"
    )
    assert op.doc, f"{op.name} has no docstring"
    assert op.structured or op.writes or op.hidden or op.samples, f"{op.name} has no samples"
    assert op.structured or op.cost, f"{op.name} declares no cost"
    assert op.structured or op.writes or oracle_of(op), f"{op.name} has no oracle, and NumPy has no np.{op.name}"
    for sample in op.samples() if op.samples and not op.structured else ():
        try:
            specs_of(op, sample.inputs, sample.attrs)
        except FlowError as error:
            raise AssertionError(f"{op.name}: its own sample {sample.note} is refused: {error}") from error


def check_shared(op: OpDef, inputs: Sequence[Any], wanted: Sequence[Any], attrs: Mapping[str, Any] = {}) -> None:
    """The gradient of the sum of the result is exactly what is documented for these operands."""
    with fb.Graph().as_default():
        call = build(op, inputs, attrs)
        gs = evaluate(fb.gradients(call.ys, call.xs, unconnected="zeros"), call.feeds)
    for g, documented in zip(gs, wanted, strict=True):
        np.testing.assert_allclose(g, np.array(documented, float), rtol=1e-15, atol=0)
