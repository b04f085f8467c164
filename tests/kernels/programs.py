"""Ops run as programs of the native kernel "elementwise", for the tests beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowbook.graph.types import TensorSpec
from flowbook.native.program import Program, fusible
from tests.ops.checks import specs_of


def specs(values: Sequence[Any]) -> list[Any]:
    """Specs for arrays, numbers as they are."""
    return [TensorSpec(each.shape, each.dtype) if isinstance(each, np.ndarray) else each for each in values]


def kernel(program: Program, shape: tuple[int, ...], arrays: Sequence[Any], outputs: Sequence[TensorSpec]) -> Any:
    """The native kernel of a program."""
    from flowbook.native import _native

    return _native.Kernel(
        "elementwise",
        program.attrs(shape),
        [each.dtype.name for each in arrays],
        [(each.dtype.name, each.shape) for each in outputs],
    )


def run(op: str, inputs: Sequence[Any], attrs: Mapping[str, Any], output: TensorSpec) -> Any:
    """One op alone; ``None`` where it cannot be a program."""
    inputs = [np.asarray(each) if isinstance(each, np.generic) else each for each in inputs]
    if not fusible(op, specs(inputs), attrs, [output]):
        return None
    program, arrays, operands = Program(), [], []
    for each in inputs:
        if isinstance(each, np.ndarray):
            arrays.append(each)
            operands.append(program.input(each.dtype, each.shape))
        else:
            operands.append(each)
    program.output(program.emit(op, operands, attrs, output))
    reduces = op == "unbroadcast" or "axis" in attrs
    shape = np.broadcast_shapes(*[each.shape for each in arrays], () if reduces else output.shape)
    return kernel(program, shape, arrays, [output])(*arrays)


def run_op(op: Any, inputs: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    """Like `run`, for a declaration."""
    return run(op.name, inputs, {**op.defaults, **attrs}, specs_of(op, inputs, attrs)[0])
