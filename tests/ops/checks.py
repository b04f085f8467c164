"""The checking layers: each takes a declaration and a sample and raises AssertionError when it finds a bug.

They are functions of a declaration, not of a name, so that `test_planted.py` can show that each still catches a bug.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import flowbook as fb
from flowbook.errors import FlowError, RunError
from flowbook.graph.opdef import OpDef, Sample
from flowbook.graph.types import TensorSpec
from tests.ops.cases import build, cast, compute, elementwise, fits, invoke, is_float, locked

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


# ------------------------------------------------------------------------------------------------ special points

MODERATE = (0.0, -0.0, 1e-300, 1.0, -1.0, 0.5, -2.0, 20.0, -20.0, 100.0, -1000.0)
EXTREME = (np.inf, -np.inf, np.nan, 1e300, -1e300, 5e-324)


def special_values(dtype: Any, values: Sequence[float] = MODERATE + EXTREME) -> Any:
    """Special numbers, in a dtype (those too large or too small for it become its own)."""
    info = np.finfo(dtype)
    own = {1e300: float(info.max) / 4, -1e300: -float(info.max) / 4, 5e-324: float(info.smallest_subnormal)}
    own[1e-300] = float(info.tiny)
    return np.array([own.get(value, value) for value in values], dtype)


def special_inputs(op: OpDef, sample: Sample, dtype: str, values: Sequence[float]) -> Iterator[Any]:
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
        try:
            outputs = compute(op, locked(inputs), sample.attrs)
        except RunError:  # check_finite and its like refuse what they were made to refuse
            continue
        for output, wanted in zip(outputs, expected(op, inputs, sample.attrs), strict=True):
            assert_close(op, output, wanted)


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
