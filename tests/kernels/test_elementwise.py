"""Each op as a native program, against its oracle; groups of ops against the same ops one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.graph.opdef import REGISTRY
from flowbook.graph.types import TensorSpec
from flowbook.native.program import Program, fusible
from tests.kernels.programs import kernel, run_op, specs
from tests.ops import cases as ops
from tests.ops.checks import EXTREME, MODERATE, assert_close, expected, layouts, special_inputs, specs_of

_native = pytest.importorskip("flowbook.native._native")

_WORDS = (
    "add subtract multiply divide floor_divide remainder power negative abs sign square sqrt sin cos exp log tanh "
    "sigmoid relu gelu minimum maximum clip where equal not_equal less less_equal greater greater_equal logical_and "
    "logical_or logical_xor logical_not isnan isfinite astype ones_like zeros_like broadcast_to broadcast_like "
    "identity stop_gradient sigmoid_cross_entropy sum mean max min any all unbroadcast"
)
NAMES = _WORDS.split()
CASES = ops.cases(lambda op: op.name in NAMES)


def oracle(op, inputs, attrs):
    if op.name in ("ones_like", "zeros_like"):
        return (getattr(np, op.name)(inputs[0]),)
    if op.name == "stop_gradient":
        return inputs
    return expected(op, inputs, attrs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_sample(case, dtype):
    inputs = ops.cast(case.sample.inputs, dtype)
    result = run_op(case.op, inputs, case.sample.attrs)
    if result is None:
        small = any(getattr(each, "dtype", None) == np.uint8 for each in inputs)
        assert small or case.op.name == "power"
        return
    (wanted,) = oracle(case.op, inputs, case.sample.attrs)
    assert result.shape == wanted.shape
    assert_close(case.op, result, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_special_points(case, dtype):
    if not any(ops.is_float(each) for each in case.sample.inputs) or case.op.name == "astype":
        pytest.skip("no floats")
    values = MODERATE + EXTREME
    if dtype != "float64" and not ops.elementwise(case.op):
        values = MODERATE
    for inputs in special_inputs(case.op, case.sample, dtype, values):
        result = run_op(case.op, inputs, case.sample.attrs)
        (wanted,) = oracle(case.op, inputs, case.sample.attrs)
        assert_close(case.op, result, wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_memory_layout_changes_no_bit(case):
    inputs = ops.cast(case.sample.inputs, "float32")
    wanted = run_op(case.op, inputs, case.sample.attrs)
    if wanted is None:
        return
    for place, value in enumerate(inputs):
        if isinstance(value, np.ndarray) and value.ndim:
            for view in layouts(value):
                result = run_op(case.op, (*inputs[:place], view, *inputs[place + 1 :]), case.sample.attrs)
                assert result.tobytes() == wanted.tobytes()


FUSIBLE = (
    ("add", ("int8", "int8"), False),
    ("add", ("uint64", 1), False),
    ("add", ("float16", 1.0), False),
    ("add", ("int32", 1 << 40), False),
    ("add", ("int32", 1), True),
    ("add", ("int8", "float32"), True),
    ("add", ("int8", "int64"), True),
    ("less", ("int32", 1 << 40), False),
    ("less", ("uint32", "int32"), False),
    ("less", ("uint32", "float32"), True),
    ("power", ("int64", 3), True),
    ("power", ("int64", -3), False),
    ("power", ("int64", "int64"), False),
    ("power", ("int64", "float32"), True),
    ("power", (2.0, "float32"), True),
    ("subtract", ("int32", True), True),
    ("isnan", ("int32",), False),
    ("sqrt", ("uint8",), True),
    ("sum", ("int16",), True),
    ("sum", ("uint16",), False),
    ("max", ("int16",), False),
    ("any", ("uint16",), True),
    ("matmul", ("float32", "float32"), False),
)


@pytest.mark.parametrize(("name", "operands", "wanted"), FUSIBLE, ids=str)
def test_what_is_fusible(name, operands, wanted):
    arrays = [np.ones((4, 4), each) if isinstance(each, str) else each for each in operands]
    op = REGISTRY[name]
    (spec, *_) = specs_of(op, arrays, {})
    assert fusible(name, specs(arrays), op.defaults, [spec]) == wanted
    if wanted:
        np.testing.assert_allclose(run_op(op, arrays, {}), ops.compute(op, arrays, {})[0], rtol=1e-6)


def test_an_input_that_is_an_output_is_copied():
    x, program = np.arange(6.0).reshape(2, 3), Program()
    program.output(program.input(x.dtype, x.shape))
    result = kernel(program, x.shape, [x], specs([x]))(x)
    assert result is not x and result.tobytes() == x.tobytes()


def test_programs_that_make_no_sense_are_refused():
    x = np.ones((2, 3), "float32")

    def attempt(**changes):
        program = Program()
        value = program.input(x.dtype, x.shape)
        program.output(program.emit("add", [value, 1.0], {}, TensorSpec(x.shape, x.dtype)))
        attrs = {**program.attrs(x.shape), **changes}
        return _native.Kernel("elementwise", attrs, ["float32"], [("float32", (2, 3))])(x)

    assert attempt().sum() == 12
    for changes in (
        {"code": (1, 9, 0, 0, 2)},
        {"code": (99, 9, 0, 0, 2, 0, -1, 0)},
        {"code": (1, 99, 0, 0, 2, 0, -1, 0)},
        {"code": (1, 9, 0, 1, 2, 0, -1, 0)},
        {"code": (1, 9, 0, 0, 2, 7, -1, 0)},
        {"code": (1, 9, 0, 0, 1, 0, -1, 0)},
        {"code": (1, 9, 0, 0, -1, 0, -1, 0)},
        {"code": (1, 10, 0, 0, 2, 0, -1, 0)},
        {"outputs": (1,)},
        {"outputs": ()},
        {"shape": (4, 3)},
        {"shape": (2, 2, 3)},
    ):
        with pytest.raises(RuntimeError, match="elementwise program"):
            attempt(**changes)


def test_every_op_is_here():
    elementwise = {name for name, op in REGISTRY.items() if op.module.endswith(".elementwise")}
    assert elementwise <= set(NAMES)
