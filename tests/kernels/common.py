"""Native kernels beside the reference kernels: calls, layouts and samples that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from flowbook.graph.opdef import REGISTRY, OpDef, freeze
from flowbook.graph.types import TensorSpec
from tests.ops.cases import Case, cases, cast, compute
from tests.ops.checks import EXTREME, MODERATE, assert_close, expected, layouts, special_inputs, specs_of

native = pytest.importorskip("flowbook.native._native")


def sample_cases(names: Sequence[str]) -> list[Case]:
    """Every sample of these ops."""
    return cases(lambda op: op.name in names)


def outputs_of(op: OpDef, inputs: Sequence[Any], attrs: Any) -> tuple[TensorSpec, ...]:
    """The specs of the results for these very arrays."""
    return specs_of(op, inputs, attrs)


def native_kernel(name: str, inputs: Sequence[Any], **attrs: Any) -> Any:
    """The kernel object and the operands as the runtime hands them over: scalars are 0-d arrays."""
    op = REGISTRY[name]
    specs = outputs_of(op, inputs, attrs)
    kinds = [each.dtype for each in inputs if isinstance(each, np.ndarray) and each.dtype.kind == "f"]
    arrays = []
    for each in inputs:
        if not isinstance(each, (np.ndarray, np.generic)):
            each = np.asarray(each, kinds[0] if kinds and type(each) is float else None)
        arrays.append(np.asarray(each))
    full = {**op.defaults, **{key: freeze(value) for key, value in attrs.items()}}
    kernel = native.Kernel(
        name,
        full,
        [each.dtype.name for each in arrays],
        [(each.dtype.name, tuple(each.shape or ())) for each in specs],
    )
    return kernel, arrays


def run_native(name: str, *inputs: Any, **attrs: Any) -> tuple[Any, ...]:
    """The results of the native kernel, as a tuple."""
    kernel, arrays = native_kernel(name, inputs, **attrs)
    result = kernel(*arrays)
    return result if isinstance(result, tuple) else (result,)


def has_native(name: str, inputs: Sequence[Any], **attrs: Any) -> bool:
    """Whether there is a native kernel for these inputs."""
    kernel, arrays = native_kernel(name, inputs, **attrs)
    return kernel.fits([(each.dtype.name, each.shape) for each in arrays])


def check_sample(case: Case, dtype: str) -> None:
    """A sample against the op's oracle; in other memory layouts the very same bytes."""
    op, attrs = case.op, case.sample.attrs
    inputs = cast(case.sample.inputs, dtype)
    results = run_native(op.name, *inputs, **attrs)
    for result, wanted, spec in zip(results, expected(op, inputs, attrs), outputs_of(op, inputs, attrs), strict=True):
        assert (result.dtype, result.shape) == (spec.dtype, spec.shape)
        assert_close(op, result, wanted)
    for other in laid_out(inputs):
        for a, b in zip(run_native(op.name, *other, **attrs), results, strict=True):
            assert a.tobytes() == b.tobytes()


def laid_out(inputs: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The same inputs, one after the other in another memory layout."""
    for place, value in enumerate(inputs):
        if isinstance(value, np.ndarray) and value.ndim:
            for view in layouts(value):
                yield (*inputs[:place], view, *inputs[place + 1 :])


def check_special(case: Case, dtype: str) -> None:
    """Special numbers in a sample."""
    op, attrs = case.op, case.sample.attrs
    values = MODERATE + (EXTREME if dtype == "float64" else ())
    for inputs in special_inputs(op, case.sample, dtype, values):
        for result, wanted in zip(run_native(op.name, *inputs, **attrs), expected(op, inputs, attrs), strict=True):
            assert_close(op, result, wanted)
    for inputs in special_inputs(op, case.sample, dtype, EXTREME):
        with np.errstate(all="ignore"):
            reference = compute(op, inputs, attrs)
        for result, wanted in zip(run_native(op.name, *inputs, **attrs), reference, strict=True):
            np.testing.assert_array_equal(np.isnan(result), np.isnan(wanted))


def check_random(name: str, *inputs: Any, **attrs: Any) -> None:
    """Random inputs against the oracle, and the very same bytes for other memory layouts."""
    op = REGISTRY[name]
    results = run_native(name, *inputs, **attrs)
    for result, wanted in zip(results, expected(op, inputs, attrs), strict=True):
        assert_close(op, result, wanted)
    for other in laid_out(inputs):
        for a, b in zip(run_native(name, *other, **attrs), results, strict=True):
            assert a.tobytes() == b.tobytes()
