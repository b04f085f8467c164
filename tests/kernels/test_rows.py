"""Row-wise native kernels: softmax and its losses, normalisation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flowbook.errors import FlowError
from flowbook.graph.opdef import REGISTRY
from tests.kernels.common import (
    check_random,
    check_sample,
    check_special,
    has_native,
    run_native,
    sample_cases,
)
from tests.ops.cases import compute

ROOT = Path(__file__).parents[2]
SOFT = ("softmax", "log_softmax", "logsumexp")
LOSSES = ("softmax_cross_entropy", "sparse_softmax_cross_entropy", "sparse_softmax_cross_entropy_grad")
SPREADS = ("standardize", "layer_norm", "var", "std", "tie_share")
CASES = [
    case
    for case in sample_cases(SOFT + LOSSES + SPREADS)
    if case.op.name in LOSSES or getattr(case.sample.inputs[0], "dtype", np.dtype(int)).kind == "f"
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_samples(case, dtype):
    check_sample(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_special(case, dtype):
    check_special(case, dtype)


SHAPES = [(1, 1), (3, 7), (5, 8), (4, 16), (33, 17), (2, 33), (9, 100), (300, 129), (2, 5000)]


def numbers(shape, dtype="float32", seed=0):
    return (3 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_random(shape, dtype):
    x = numbers(shape, dtype)
    rows, n = shape
    for axis in (-1, 0):
        for name in SOFT:
            check_random(name, x, axis=axis)
        check_random("standardize", x, axis=axis, epsilon=1e-5)
        check_random("var", x, axis=axis)
        check_random("std", x, axis=axis, keepdims=True)
    check_random("layer_norm", x, numbers(n, dtype, 1), numbers(n, dtype, 2))
    check_random("layer_norm", x, numbers((rows, 1), dtype, 1), numbers((), dtype, 2), axis=0)
    labels = np.random.default_rng(3).integers(0, n, rows)
    check_random("sparse_softmax_cross_entropy", labels, x)
    check_random("sparse_softmax_cross_entropy", labels.astype("int32"), x)
    check_random("sparse_softmax_cross_entropy_grad", numbers(rows, dtype, 4), labels, x)
    weights = np.abs(numbers(shape, dtype, 5))
    check_random("softmax_cross_entropy", weights / weights.sum(-1, keepdims=True), x)


def test_several_axes():
    x = numbers((4, 5, 6, 7))
    check_random("standardize", x, axis=(1, 3), epsilon=1e-3)
    check_random("standardize", x, axis=None, epsilon=1e-3)
    check_random("layer_norm", x, numbers((5, 1, 7)), numbers((6, 7)), axis=(2, 3))
    check_random("logsumexp", x, axis=(0, 2))
    check_random("logsumexp", x)
    check_random("softmax", x, axis=1)


def test_far_from_zero():
    x = (1e4 + numbers((50, 64))).astype("float32")
    wide = x.astype("float64")
    (y, _) = run_native("standardize", x, axis=-1, epsilon=0.0)
    wanted = (wide - wide.mean(-1, keepdims=True)) / wide.std(-1, keepdims=True)
    assert np.abs(y - wanted).max() < 2e-3  # the mean alone is rounded to 1e-3
    (v,) = run_native("var", np.float64(1e8) + numbers((50, 64), "float64"), axis=-1)
    assert np.abs(v - 9).max() < 9


@pytest.mark.parametrize("classes", [5, 0])
def test_a_label_that_is_no_class(classes):
    for labels, logits in [
        (np.array([[0, 4, 1], [2, 5, -1]]), np.zeros((2, 3, classes), "float32")),
        (np.array(-1, "int8"), np.zeros(classes)),
    ]:
        dy = np.ones(labels.shape, logits.dtype)
        for name, inputs in [
            ("sparse_softmax_cross_entropy", (labels, logits)),
            ("sparse_softmax_cross_entropy_grad", (dy, labels, logits)),
        ]:
            with pytest.raises(FlowError) as reference:
                compute(REGISTRY[name], inputs, {})
            with pytest.raises(RuntimeError) as error:
                run_native(name, *inputs)
            assert str(error.value) == f"{reference.value.message}\n{reference.value.hint}"


def test_what_is_left_to_the_reference():
    assert not has_native("softmax", [np.arange(3)])
    assert not has_native("sparse_softmax_cross_entropy", [np.array([1], "uint64"), np.zeros((1, 3))])
    assert not has_native("layer_norm", [np.zeros((2, 3), "float32"), np.zeros(3), np.zeros(3, "float32")])


def test_exponentials_of_all_sizes():
    """The bound of exp and log in rowmath.h: log(sum(exp)) and exp of one number beside a zero."""
    x = np.concatenate([np.linspace(-110, 0, 40001), -np.logspace(-30, 0, 5001)]).astype("float32")
    pairs = np.stack([np.zeros_like(x), x], -1)
    exact = np.exp(x.astype("float64"))
    (y,) = run_native("softmax", pairs)
    wanted = exact / (1 + exact)
    assert (np.abs(y[:, 1] - wanted) <= 3 * np.spacing(wanted.astype("float32"))).all()
    (z,) = run_native("logsumexp", np.stack([x, x], -1), axis=-1)
    assert (np.abs(z - (x.astype("float64") + np.log(2))) <= 2 * np.spacing(np.maximum(np.abs(z), 1))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shares_of_ties(dtype):
    x = np.random.default_rng(0).integers(-3, 4, (40, 50)).astype(dtype)
    x[3, 7] = x[3, 8] = np.nan
    x[5, 2] = np.inf
    x[6, 3] = x[6, 40] = -np.inf
    for axis in (0, 1, None):
        for largest in (True, False):
            check_random("tie_share", x, axis=axis, largest=largest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_finite(dtype):
    for shape in [(), (0, 3), (5, 7), (300, 400)]:
        check_random("check_finite", numbers(shape, dtype))
    wrong = [np.array(np.inf), np.array(np.nan), np.full(3, -np.inf), np.array([[1.0, np.nan], [-np.inf, 1e-5]])]
    wrong.append(numbers((300, 400), "float64"))
    wrong[-1][[250, 120], [3, 399]] = np.nan, np.inf
    for x in wrong:
        for message in ("", "log p"):
            x = np.asfortranarray(x.astype(dtype))
            with pytest.raises(FlowError) as reference:
                compute(REGISTRY["check_finite"], (x,), {"message": message})
            with pytest.raises(RuntimeError) as error:
                run_native("check_finite", x, message=message)
            assert str(error.value) == f"{reference.value.message}\n{reference.value.hint}"


DIGEST = """
import hashlib, os
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:{cpus}]))
import numpy as np
from tests.kernels.common import run_native
rng = np.random.default_rng(0)
x, y = (rng.normal(size=(3000, 130)).astype("float32") for _ in range(2))
labels = rng.integers(0, 130, 3000)
results = [
    *run_native("softmax", x), *run_native("standardize", x, axis=-1, epsilon=1e-5),
    *run_native("batch_norm", x, *y[:4]), *run_native("batch_norm_grad", y, *x[:2], x, *y[:3], epsilon=1e-3),
    *run_native("layer_norm", x, y[0], y[1]), *run_native("sparse_softmax_cross_entropy", labels, x),
    *run_native("scatter_add", x, labels, np.zeros((9000, 130), "float32"), axis=0),
    *run_native("argmax", x, axis=1), *run_native("concat", x, y, axis=1),
    *run_native("lstm_cell", rng.normal(size=(3000, 520)).astype("float32"), x),
]
print(hashlib.sha256(b"".join(each.tobytes() for each in results)).hexdigest())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="CPUs are taken away by Linux's call for that")
def test_bytes_do_not_depend_on_the_number_of_threads():
    found = [
        subprocess.run(
            [sys.executable, "-c", DIGEST.format(cpus=cpus)], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for cpus in (1, 2)
    ]
    assert found[0] == found[1] != ""
