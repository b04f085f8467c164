"""`sources` against the kernels, for every op and sample: what it leaves out has no influence, what it names has."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.analysis.nan_replay import replay
from flowbook.analysis.nan_sources import region, sources
from tests.ops.cases import array_ops, build

# Operations that hand on every nan in what they are made of.
HAND_ON = frozenset({
    "add", "subtract", "multiply", "divide", "exp", "gelu", "astype", "sum", "mean", "var", "std", "max", "min",
    "logsumexp", "softmax", "log_softmax", "layer_norm", "identity", "broadcast_to", "broadcast_like", "unbroadcast",
    "getitem", "place", "split", "split_like", "unstack", "reshape", "reshape_like", "transpose", "matrix_transpose",
    "flip", "squeeze", "expand_dims", "pad", "gather", "embedding_lookup", "scatter_add", "concat", "stack", "matmul",
    "conv2d", "conv2d_grad_input", "conv2d_grad_filters", "max_pool", "avg_pool", "avg_pool_grad",
    "sparse_softmax_cross_entropy", "sparse_softmax_cross_entropy_grad", "softmax_cross_entropy",
    "sigmoid_cross_entropy",
})  # fmt: skip


def steps_of(op):
    """The op's step, operands and results in a run of each sample."""
    for sample in op.samples():
        with fb.Graph().as_default() as graph:
            call = build(op, sample.inputs, sample.attrs)
            recording, error = replay(fb.Session(graph), call.outputs, call.feeds, None, 1)
        assert error is None
        (step,) = [each for each in recording.plan.steps if each.op is op]
        operands = [recording.array(slot) for slot in step.inputs]
        yield step, operands, [recording.array(slot) for slot in step.outputs]


def again(step, operands, output):
    with np.errstate(all="ignore"):
        result = step.op.kernel(np, *operands, **step.attrs)
    return np.asarray(result[output] if isinstance(result, (tuple, list)) else result)


def some(size):
    """The first, last and two other flat positions."""
    return sorted({0, size // 3, 2 * size // 3, size - 1}) if size else []


def poisoned(operand, places):
    """The operand with nan at flat places."""
    result = np.array(operand)
    result.reshape(-1)[places] = np.nan
    return result


# check_finite would raise what it is there for.
@pytest.mark.parametrize("op", [op for op in array_ops() if op.name != "check_finite"], ids=lambda op: op.name)
def test_what_is_left_out_has_no_influence(op) -> None:
    for step, operands, results in steps_of(op):
        for output, result in enumerate(results):
            for element in some(result.size):
                used = sources(step, operands, results, output, element)
                assert len(used) == len(operands)
                changed = list(operands)
                for at, (operand, indices) in enumerate(zip(operands, used, strict=True)):
                    if operand is not None and operand.dtype.kind == "f":
                        rest = np.setdiff1d(np.arange(operand.size), [] if indices is None else indices)
                        changed[at] = poisoned(operand, rest)
                new = again(step, changed, output).reshape(-1)[element]
                np.testing.assert_allclose(new, result.reshape(-1)[element], rtol=1e-6)


@pytest.mark.parametrize("op", [op for op in array_ops() if op.name in HAND_ON], ids=lambda op: op.name)
def test_what_is_named_has_influence(op) -> None:
    tried = 0
    for step, operands, results in steps_of(op):
        for output, result in enumerate(results):
            for element in some(result.size):
                used = sources(step, operands, results, output, element) if result.dtype.kind == "f" else []
                for at, (operand, indices) in enumerate(zip(operands, used, strict=False)):
                    if operand is None or operand.dtype.kind != "f" or indices is None:
                        continue
                    for place in np.unique(indices[:: max(1, indices.size // 3)]):
                        changed = [*operands[:at], poisoned(operand, place), *operands[at + 1 :]]
                        assert np.isnan(again(step, changed, output).reshape(-1)[element]), (element, at, place)
                        tried += 1
    assert tried


def test_every_op_that_is_named_here_is_one() -> None:
    assert {op.name for op in array_ops()} >= HAND_ON


def test_region() -> None:
    numbers = np.arange(24).reshape(2, 3, 4)
    assert region(numbers[1, :, 2].reshape(-1), (2, 3, 4)) == "[1, :, 2]"
    assert region(numbers[:, 1:, 0].reshape(-1), (2, 3, 4)) == "[:, 1:3, 0]"
    assert region(np.array([0]), ()) == ""
