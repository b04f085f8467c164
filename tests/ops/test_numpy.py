"""NumPy's functions on tensors build the node of the op with their name."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import OpDef
from tests.ops.cases import array_ops, build

# NumPy functions that share a name with an op and cannot take a tensor.
OTHERS = {"identity": "makes a matrix of a size", "astype": "takes ndarrays only", "copy": "makes an ndarray"}


def function_of(op: OpDef):
    found = None if op.hidden or op.name in OTHERS else getattr(np, op.name, None)
    return found if callable(found) and not isinstance(found, type) else None


named = [op for op in array_ops() if function_of(op)]


@pytest.mark.parametrize("op", named, ids=lambda op: op.name)
def test_numpy_function_builds_the_node(op: OpDef) -> None:
    for sample in op.samples():
        with fb.Graph().as_default() as graph:
            call = build(op, sample.inputs, sample.attrs)
            arguments = [list(call.operands)] if op.variadic else call.operands
            built = function_of(op)(*arguments, **sample.attrs)
            outputs = built if isinstance(built, tuple) else (built,)
            assert all(isinstance(each, Tensor) for each in outputs)
            node = outputs[0].node
            assert (node.op, node.inputs, node.attrs) == (op.name, call.operands, call.outputs[0].node.attrs)
            assert node.graph is graph


def test_arrays_on_the_left_build_nodes() -> None:
    with fb.Graph().as_default():
        x = fb.placeholder((2,), "float64")
        for built in (np.ones(2) + x, np.ones(2) * x, np.float64(2) - x, np.ones(2) < x):
            assert isinstance(built, Tensor)


def test_other_numpy_functions_are_refused_with_advice() -> None:
    with fb.Graph().as_default():
        x = fb.placeholder((2,), name="x")
        for call in (np.convolve, np.fmod, np.add.outer):
            with pytest.raises(ArgumentError, match="'x'") as caught:
                call(x, x)
            assert "py_function" in str(caught.value)
        with pytest.raises(ArgumentError, match=r"np\.add with out"):
            np.add(x, x, out=np.zeros(2))
        with pytest.raises(ArgumentError, match=r"np\.add\.reduce"):
            np.add.reduce(x)
