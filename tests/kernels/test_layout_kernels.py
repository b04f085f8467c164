"""Native kernels that move elements: joining, slicing, padding and filling."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.graph.opdef import REGISTRY
from tests.kernels.common import check_sample, has_native, laid_out, run_native, sample_cases
from tests.ops.cases import compute

MOVES = ("concat", "stack", "pad", "place")
FILLS = ("zeros_like", "ones_like", "mean_weight", "causal_mask")
rng = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", sample_cases(MOVES + FILLS), ids=str)
def test_samples(case, dtype):
    kinds = {str(np.asarray(each).dtype) for each in case.sample.inputs if isinstance(each, np.ndarray)}
    if case.op.name in ("concat", "stack") and "int64" in kinds:
        pytest.skip("arrays of two dtypes are left to the reference kernel")
    check_sample(case, dtype)


def check(name, *inputs, **attrs):
    """The very bytes of the reference kernel, for every memory layout."""
    wanted = compute(REGISTRY[name], inputs, attrs)
    for arrays in (inputs, *laid_out(inputs)):
        for a, b in zip(run_native(name, *arrays, **attrs), wanted, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            assert a.tobytes() == np.ascontiguousarray(b).tobytes()


def numbers(shape, dtype):
    return rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


DTYPES = ["float32", "float64", "int64", "int32", "bool", "uint16", "uint8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_joining(dtype):
    for axis in (0, 1, 2, -1):
        shapes = [[4, 5, 6] for _ in range(4)]
        for shape, size in zip(shapes, (3, 1, 0, 7), strict=True):
            shape[axis] = size
        parts = [numbers(tuple(shape), dtype) for shape in shapes]
        check("concat", *parts, axis=axis)
    for axis in (0, 1, 2, -1):
        check("stack", *[numbers((3, 5), dtype) for _ in range(3)], axis=axis)
    check("concat", *[numbers((700, 300), dtype) for _ in range(3)], axis=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pad(dtype):
    x = numbers((3, 4, 5), dtype)
    for width in [1, (2, 0), ((1, 2),), ((0, 0), (0, 3), (2, 0)), 0]:
        check("pad", x, pad_width=width)
        check("pad", x, pad_width=width, constant_values=1)
    check("pad", numbers((3, 0), dtype), pad_width=((1, 1), (2, 3)), constant_values=1)
    check("pad", numbers((40, 50, 60), dtype), pad_width=2, constant_values=True)


INDICES = [
    (1,),
    (-1, "...", 2),
    (None, (None, None, -1), None, "..."),
    ((1, 3, None), (None, None, 2)),
    ((None, None, -2), "...", (4, 0, -3)),
    ((-100, 100, None), 0),
    ("...",),
    ((3, 1, None),),
    (0, 0, 0),
    (0, 0, 0, None),
    ((5, 1, -1), (1, None, 100)),
    (),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices(index, dtype):
    for shape in [(4, 5, 6), (40, 70, 60)]:
        x = numbers(shape, dtype)
        (part,) = compute(REGISTRY["getitem"], (x,), {"index": index})
        check("place", np.array(part), x, index=index)


def test_filling():
    for dtype in DTYPES:
        for shape in [(), (3,), (0, 2), (300, 400)]:
            check("zeros_like", numbers(shape, dtype))
            check("ones_like", numbers(shape, dtype))
    for shape in [(3, 4), (2, 6, 6), (5, 2), (1, 1), (400, 500), (0, 3), (3, 0)]:
        check("causal_mask", np.zeros(shape, "float32"))
    for correction in (0, 1, 0.5, 12, 100):
        check("mean_weight", np.zeros((3, 4), "float32"), correction=correction)


def test_what_is_left_to_the_reference():
    assert not has_native("concat", [np.zeros(3), np.zeros(3, "float32")])
    assert not has_native("pad", [np.zeros(3, "uint8")], pad_width=1, constant_values=-1)
    assert not has_native("pad", [np.zeros(3, "int8")], pad_width=1, constant_values=300)
