"""The native convolutions against the ops' oracles and reference kernels: strides, dilations, paddings, layouts."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.ops.conv import conv2d, conv2d_grad_filters, conv2d_grad_input
from tests.kernels.test_matmul import check_digests, draw, layouts
from tests.ops.cases import cast, compute
from tests.ops.checks import EXTREME, MODERATE, assert_close, expected, special_inputs, specs_of

_native = pytest.importorskip("flowbook.native._native")

OPS = [conv2d.opdef, conv2d_grad_input.opdef, conv2d_grad_filters.opdef]
by_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
PLAIN = {"strides": 1, "padding": "same", "dilations": 1}


def run(op, inputs, attrs):
    attrs = {**PLAIN, **attrs} if "conv" in op.name else attrs
    (spec,) = specs_of(op, inputs, attrs)
    kinds = [each.dtype.name for each in inputs]
    return _native.Kernel(op.name, attrs, kinds, [(spec.dtype.name, spec.shape)])(*inputs)


@by_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_samples(op, dtype):
    for sample in op.samples():
        inputs = cast(sample.inputs, dtype)
        result = run(op, inputs, sample.attrs)
        assert_close(op, result, expected(op, inputs, sample.attrs)[0])
        for place, value in enumerate(inputs):
            for other in layouts(value):
                changed = (*inputs[:place], other, *inputs[place + 1 :])
                assert run(op, changed, sample.attrs).tobytes() == result.tobytes()
            if value.size:
                flat = np.broadcast_to(value[:1], value.shape)
                changed = [(*inputs[:place], each, *inputs[place + 1 :]) for each in (flat, flat.copy())]
                assert run(op, changed[0], sample.attrs).tobytes() == run(op, changed[1], sample.attrs).tobytes()


@by_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(op, dtype):
    for sample in op.samples():
        values = MODERATE + EXTREME if dtype == "float64" else MODERATE
        for inputs in special_inputs(op, sample, dtype, values):
            assert_close(op, run(op, inputs, sample.attrs), expected(op, inputs, sample.attrs)[0])


@by_op
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x", "w", "attrs"),
    [
        ((5, 14, 14, 32), (5, 5, 32, 64), {}),
        ((9, 28, 28, 1), (5, 5, 1, 32), {}),
        ((3, 30, 17, 20), (3, 3, 20, 10), {}),
        ((3, 30, 17, 20), (3, 3, 20, 10), {"padding": "valid"}),
        ((2, 17, 30, 3), (7, 7, 3, 33), {"strides": 2}),
        ((2, 16, 15, 8), (3, 3, 8, 16), {"strides": (2, 1), "padding": "valid"}),
        ((2, 16, 15, 8), (2, 3, 8, 16), {"strides": (3, 4)}),
        ((2, 19, 23, 5), (5, 4, 5, 6), {"strides": (2, 3), "padding": "valid"}),
        ((2, 19, 23, 5), (7, 8, 5, 6), {"strides": 4}),
        ((2, 16, 15, 8), (3, 4, 8, 16), {"dilations": (1, 2)}),
        ((2, 16, 15, 8), (3, 4, 8, 16), {"dilations": (2, 1), "strides": (1, 3)}),
        ((4, 9, 9, 40), (1, 1, 40, 70), {}),
        ((4, 9, 9, 40), (1, 1, 40, 70), {"strides": 3}),
        ((1, 60, 70, 16), (3, 3, 16, 48), {}),
        ((2, 6, 7, 150), (3, 3, 150, 210), {}),
        ((3, 4, 6, 0), (3, 3, 0, 5), {}),
        ((3, 4, 6, 2), (3, 3, 2, 0), {}),
        ((3, 0, 6, 2), (3, 3, 2, 4), {}),
        ((2, 1, 1, 300), (3, 3, 300, 5), {}),
    ],
)
def test_against_the_reference_kernels(op, dtype, x, w, attrs):
    attrs = {**PLAIN, **attrs}
    images, filters = draw(x, dtype), draw(w, dtype, 1)
    (spec,) = specs_of(conv2d.opdef, [images, filters], attrs)
    dy = draw(spec.shape, dtype, 2)
    inputs = {"conv2d": (images, filters), "conv2d_grad_input": (dy, filters, images)}.get(
        op.name, (images, dy, filters)
    )
    wide = [each.astype("float64") for each in inputs]
    result = run(op, inputs, attrs)
    assert_close(op, result, compute(op, wide, attrs)[0])
    for place, value in enumerate(inputs):
        other = np.asfortranarray(value)
        assert run(op, (*inputs[:place], other, *inputs[place + 1 :]), attrs).tobytes() == result.tobytes()


def test_what_there_is_no_kernel_for():
    def fits(dtypes, padding="same"):
        kernel = _native.Kernel("conv2d", {**PLAIN, "padding": padding}, dtypes, [("float32", (1, 4, 4, 1))])
        return kernel.fits([(dtypes[0], (1, 4, 4, 1)), (dtypes[1], (3, 3, 1, 1))])

    assert fits(["float32", "float32"])
    assert fits(["float32", "float32"], "SAME")
    assert not fits(["float32", "float64"])
    assert not fits(["int32", "int32"])
    assert not fits(["float32", "float32"], "full")


def test_threads_and_the_width_of_vectors_do_not_change_bytes():
    check_digests("""
from tests.kernels.test_conv import *
for x, w, stride in [((9, 14, 14, 32), (5, 5, 32, 64), 1), ((9, 28, 28, 1), (5, 5, 1, 32), 1),
                     ((3, 30, 31, 16), (3, 3, 16, 24), 2), ((2, 7, 7, 160), (3, 3, 160, 200), 1)]:
    attrs = {**PLAIN, "strides": stride}
    x, w = draw(x, "float32"), draw(w, "float32", 1)
    y = run(OPS[0], (x, w), attrs)
    for each in (y, run(OPS[1], (y, w, x), attrs), run(OPS[2], (x, y, w), attrs)):
        add(each)
""")
