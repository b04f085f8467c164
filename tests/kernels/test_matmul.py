"""The native matmul against NumPy: shapes at the edges of its tiles, strides, dtypes, special values, threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from flowbook.ops.linalg import matmul
from tests.ops.cases import cast
from tests.ops.checks import EXTREME, MODERATE, assert_close, expected, special_inputs

_native = pytest.importorskip("flowbook.native._native")

SIZES = [
    (1, 1, 1),
    (2, 3, 4),
    (16, 16, 16),
    (13, 17, 31),
    (14, 32, 32),
    (15, 300, 33),
    (29, 257, 65),
    (128, 784, 10),
    (10, 128, 784),
    (100, 1, 100),
    (1, 300, 500),
    (500, 300, 1),
    (130, 520, 140),
    (3, 5000, 5),
    (33, 9000, 2),
    (600, 64, 700),
]


def run(x, y):
    shape = np.matmul(np.empty(x.shape, "int8"), np.empty(y.shape, "int8")).shape
    return _native.Kernel("matmul", {}, [x.dtype.name, y.dtype.name], [(x.dtype.name, shape)])(x, y)


def draw(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape).astype(dtype) if dtype[0] == "f" else rng.integers(-9, 9, shape, dtype)


def layouts(x):
    """The same numbers with other strides."""
    yield np.asfortranarray(x)
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
    wide[..., ::2] = x
    yield wide[..., ::2]
    yield np.ascontiguousarray(x[::-1])[::-1]
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    tall = np.full((*x.shape[:-1], x.shape[-1] + 3), np.nan).astype(x.dtype) if x.dtype.kind == "f" else None
    if tall is not None:
        tall[..., 1:-2] = x
        yield tall[..., 1:-2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), SIZES)
def test_sizes_and_strides(m, k, n, dtype):
    x, y = draw((m, k), dtype), draw((k, n), dtype, 1)
    result = run(x, y)
    assert_close(matmul.opdef, result, x.astype("float64") @ y.astype("float64"))
    for other in layouts(x):
        assert run(other, y).tobytes() == result.tobytes()
    for other in layouts(y):
        assert run(x, other).tobytes() == result.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((4,), (4,)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((5, 2, 3, 4), (4,)),
        ((4,), (5, 4, 3)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (1, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((7, 1, 4), (4, 5)),
        ((32, 40, 64), (32, 64, 40)),
        ((9, 3, 20, 33), (9, 1, 33, 21)),
        ((3, 150, 180), (3, 180, 200)),
        ((0, 4), (4, 2)),
        ((3, 0), (0, 2)),
        ((0,), (0,)),
        ((2, 0, 3), (3, 4)),
        ((2, 3, 0), (0, 4)),
        ((0, 3, 2), (2, 4)),
        ((3, 2), (0, 2, 4)),
        ((2, 3), (3, 0)),
    ],
)
def test_batches(left, right, dtype):
    x, y = draw(left, dtype), draw(right, dtype, 1)
    result = run(x, y)
    assert_close(matmul.opdef, result, np.matmul(x.astype("float64"), y.astype("float64")))
    for other in layouts(x):
        assert run(other, y).tobytes() == result.tobytes()
    for other in layouts(y):
        assert run(x, other).tobytes() == result.tobytes()
    if x.ndim > 2 and x.size:
        flat = np.broadcast_to(x[:1], x.shape)
        assert run(flat, y).tobytes() == run(flat.copy(), y).tobytes()


def test_samples():
    for sample in matmul.opdef.samples():
        for dtype in ("float32", "float64"):
            inputs = cast(sample.inputs, dtype)
            if inputs[0].dtype != inputs[1].dtype:
                kernel = _native.Kernel("matmul", {}, [each.dtype.name for each in inputs], [("int64", (3, 2))])
                assert not kernel.fits([(each.dtype.name, each.shape) for each in inputs])
                continue
            values = MODERATE + EXTREME if dtype == "float64" else MODERATE
            for changed in (inputs, *special_inputs(matmul.opdef, sample, dtype, values)):
                assert_close(matmul.opdef, run(*changed), expected(matmul.opdef, changed, {})[0])


def test_integers_wrap_around():
    x = np.full((2, 3), 2**62)
    np.testing.assert_array_equal(run(x, x.T), np.matmul(x, x.T))


PRODUCTS = """
from tests.kernels.test_matmul import draw, run
for shapes in [((128, 784), (784, 512)), ((300, 2000), (2000, 300)), ((20, 700), (700, 900)), ((900, 700), (700, 20)),
               ((16, 30000), (30000, 16)), ((1000, 999), (999,)), ((999,), (999, 1000)), ((40, 70, 60), (40, 60, 50))]:
    add(run(*(draw(shape, "float32", seed) for seed, shape in enumerate(shapes))))
"""


def digest(code, cpus, variant):
    """The variant that ran, and a digest of the arrays that `code` adds."""
    code = f"""
import hashlib, os
os.sched_setaffinity(0, {cpus})
from flowbook.native import _native
found = hashlib.sha256()
add = lambda array: found.update(array.tobytes())
{code}
print(_native.variant(), found.hexdigest())
"""
    env = {**os.environ, "FLOWBOOK_CPU": variant}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    return done.stdout.split()


def check_digests(code):
    """The same bytes for one thread and for all; and for both variants that have fused multiply-adds."""
    cpus = sorted(os.sched_getaffinity(0))
    mine = digest(code, cpus, _native.variant())
    assert mine
    assert mine == digest(code, cpus[:1], _native.variant())
    if mine[0] == "v4":
        other = digest(code, cpus, "v3")
        assert other[:1] != ["v3"] or other[1] == mine[1]


def test_threads_and_the_width_of_vectors_do_not_change_bytes():
    check_digests(PRODUCTS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("m", "k", "n"),
    [(2, 1, 2), (2, 3, 4), (13, 17, 31), (14, 32, 64), (32, 128, 512), (32, 512, 128), (84, 512, 40), (130, 32, 140)],
)
def test_a_product_that_is_added_as_it_is_made_and_one_of_panels(m, k, n, dtype):
    """The bytes of a product and an addition, however the operands lie."""
    x, y, z = draw((m, k), dtype), draw((k, n), dtype, 1), draw((m, n), dtype, 2)
    plain = run(x, y)
    added = np.add(plain, z)
    size, room = (dtype, (m, n)), (dtype, ((n + 63) // 64 * 64 * (k + 32),))
    add = _native.Kernel("matmul_add", {}, [dtype] * 3, [size])
    pack = _native.Kernel("pack", {}, [dtype], [room])
    for left in (x, *layouts(x)):
        assert add(left, y, z).tobytes() == added.tobytes()
    for right in (y, *layouts(y)):
        assert add(x, right, z).tobytes() == added.tobytes()
        panels = pack(right)
        assert _native.Kernel("packed_matmul", {}, [dtype] * 2, [size])(x, panels).tobytes() == plain.tobytes()
        assert _native.Kernel("packed_matmul", {}, [dtype] * 3, [size])(x, panels, z).tobytes() == added.tobytes()
    for other in layouts(z):
        assert add(x, y, other).tobytes() == added.tobytes()


def test_long_sums_take_panels_and_are_not_added_to():
    """They go over k in blocks, and what a product is added to comes after the last."""
    x, y = draw((30, 1300), "float32"), draw((1300, 300), "float32", 1)
    panels = _native.Kernel("pack", {}, ["float32"], [("float32", (320 * 1400,))])(y)
    packed = _native.Kernel("packed_matmul", {}, ["float32"] * 2, [("float32", (30, 300))])
    assert packed(x, panels).tobytes() == run(x, y).tobytes()
    add = _native.Kernel("matmul_add", {}, ["float32"] * 3, [("float32", (30, 300))])
    assert not add.fits([("float32", (30, 1300)), ("float32", (1300, 300)), ("float32", (30, 300))])


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        ((1, 4), (4, 3), (1, 3)),  # vectors have another order of sums
        ((3, 4), (4, 1), (3, 1)),
        ((3, 0), (0, 2), (3, 2)),
        ((0, 3), (3, 2), (0, 2)),
        ((3, 4), (4, 2), (1, 2)),
        ((3, 4), (5, 2), (3, 2)),
        ((2, 3, 4), (4, 2), (3, 2)),
    ],
)
def test_what_they_do_not_do(x, y, z):
    shapes = [("float32", shape) for shape in (x, y, z)]
    result = ("float32", (x[-2], y[-1]))
    assert not _native.Kernel("matmul_add", {}, ["float32"] * 3, [result]).fits(shapes)
    if y != (5, 2):  # of panels nobody knows how many rows the matrix had
        panels = ("float32", (64 * 64,))
        assert not _native.Kernel("packed_matmul", {}, ["float32"] * 3, [result]).fits([shapes[0], panels, shapes[2]])


def test_panels_need_room():
    assert not _native.Kernel("pack", {}, ["float32"], [("float32", (10,))]).fits([("float32", (4, 5))])
    kernel = _native.Kernel("packed_matmul", {}, ["float32"] * 2, [("float32", (3, 5))])
    assert not kernel.fits([("float32", (3, 4)), ("float32", (10,))])
