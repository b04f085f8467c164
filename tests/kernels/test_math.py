"""The error of the elementary functions, over all magnitudes of float32 and many of float64."""

from __future__ import annotations

import numpy as np
import pytest

from flowbook.graph.opdef import REGISTRY
from flowbook.graph.types import TensorSpec
from flowbook.native.program import _OPCODES, Program
from tests.kernels.programs import kernel, run

_native = pytest.importorskip("flowbook.native._native")
special = pytest.importorskip("scipy.special")

# The largest error in eps * |result|, as kernels/cpu/math.h states it.
BOUNDS = {"exp": 1.1, "log": 1.0, "log1p": 0.7, "tanh": 3.0, "sigmoid": 2.5, "sin": 1.4, "cos": 1.4, "sqrt": 0.5}
EXACT = {"sigmoid": special.expit}


def apply(name, *operands):
    output = TensorSpec(operands[0].shape, operands[0].dtype)
    if name in REGISTRY:
        return run(name, operands, {}, output)
    program = Program()  # an instruction that is no op by itself
    dtype = program.input(output.dtype, output.shape).dtype
    program.output(program.add(_OPCODES[name], dtype, dtype, output.shape, (0, 0)))
    return kernel(program, output.shape, operands, [output])(*operands)


def error(name, x, got, wide):
    """In eps * |result|, measured from the result in a wider float."""
    with np.errstate(all="ignore"):
        wanted = EXACT.get(name, getattr(np, name, None))(x.astype(wide))
        info = np.finfo(x.dtype)
        good = (got == wanted.astype(x.dtype)) | (np.isnan(got) & np.isnan(wanted))
        size = np.abs(wanted) + info.smallest_subnormal / info.eps / 2
        errors = np.where(good, 0, np.abs(got - wanted) / (info.eps * size))
    return errors


@pytest.mark.parametrize("name", BOUNDS)
def test_float32(name):
    # Every 769th of all bit patterns, nan and inf among them.
    x = np.arange(0, 1 << 32, 769, dtype=np.uint64).astype(np.uint32).view(np.float32)
    errors = error(name, x, apply(name, x), np.float64)
    worst = np.argmax(errors)
    assert errors[worst] <= BOUNDS[name], f"{name}({x[worst]!r}): {errors[worst]}"


@pytest.mark.parametrize("name", [name for name in BOUNDS if name != "sigmoid"])
def test_float64(name):
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.uniform(-30, 30, 200_000),
            rng.uniform(-760, 720, 100_000),
            rng.uniform(-1, 1, 100_000),
            np.exp(rng.uniform(-700, 700, 100_000)) * rng.choice([-1, 1], 100_000),
            1 + rng.uniform(-1e-3, 1e-3, 50_000),
            np.exp(rng.uniform(-36, 0, 50_000)) - 1,
            [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e-310, 1.7e308],
        ]
    )
    errors = error(name, x, apply(name, x), np.longdouble)
    worst = np.argmax(errors)
    assert errors[worst] <= BOUNDS[name], f"{name}({x[worst]!r}): {errors[worst]}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1000, 1000], dtype)
    np.testing.assert_array_equal(apply("exp", x), [1, 1, np.inf, 0, np.nan, 0, np.inf])
    np.testing.assert_array_equal(apply("tanh", x), [0, 0, 1, -1, np.nan, -1, 1])
    np.testing.assert_array_equal(np.signbit(apply("tanh", x[:2])), [False, True])
    np.testing.assert_array_equal(np.signbit(apply("sin", x[:2])), [False, True])
    np.testing.assert_array_equal(apply("sigmoid", x), [0.5, 0.5, 1, 0, np.nan, 0, 1])
    np.testing.assert_array_equal(apply("log", x)[:5], [-np.inf, -np.inf, np.inf, np.nan, np.nan])
    assert np.isnan(apply("log", x)[5])
    near = np.array([*x, -1, np.nextafter(np.array(-1, dtype), -2), np.nextafter(np.array(-1, dtype), 0)], dtype)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(apply("log1p", near), np.log1p(near), rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.signbit(apply("log1p", x[:2])), [False, True])
    assert np.isnan(apply("sin", x)[2:5]).all() and np.isnan(apply("cos", x)[2:5]).all()
    assert np.all(np.abs(apply("tanh", np.linspace(-20, 20, 100_001).astype(dtype))) <= 1)


def test_large_angles():
    x = np.array([1e30, -1e30, 65536.5, 65535.9, 1e5, 3.4e38, 123456.7], "float32")
    for name in ("sin", "cos"):
        np.testing.assert_allclose(apply(name, x), getattr(np, name)(x.astype("float64")), rtol=3e-7)


def test_gelu_is_relatively_accurate_for_negative_numbers():
    x = np.linspace(-6, 6, 200_001).astype("float32")
    wide = x.astype("longdouble")
    inner = np.sqrt(np.longdouble(2) / np.longdouble(np.pi)) * (wide + 0.044715 * wide**3)
    wanted = wide / (1 + np.exp(-2 * inner))
    error = np.abs(apply("gelu", x) - wanted) / np.maximum(np.abs(wanted), 1e-30)
    # Without fma, rounding errors of the exponent are not followed.
    assert np.max(error) < (3 if _native.variant() != "base" else 40) * np.finfo("float32").eps


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("dtype", "wide"), [("float32", "float64"), ("float64", "longdouble")])
def test_powers(dtype, wide):
    rng = np.random.default_rng(0)
    large, n = (80, 50_000) if dtype == "float32" else (700, 50_000)
    x = np.concatenate([np.exp(rng.uniform(-large, large, n)), 1 + rng.uniform(-0.3, 0.45, n)]).astype(dtype)
    y = np.concatenate([rng.uniform(-1, 1, n), rng.uniform(-1.2 * large, 1.2 * large, n)]).astype(dtype)
    wanted, got = np.power(x.astype(wide), y.astype(wide)), apply("power", x, y)
    info = np.finfo(dtype)
    within = (wanted > 0) & (wanted < info.max)
    error = np.abs(got - wanted) / (info.eps * wanted + info.smallest_subnormal)
    assert np.max(error[within]) < (0.6 if dtype == "float32" else 1)
    odd = np.array([0.0, -0.0, 1, -1, 2, -2, 0.5, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1e38], dtype)
    exponents = np.append(odd, [3, -3, 0.5, 1e9 + 1, -2.5, 2**23 + 1]).astype(dtype)
    wanted = np.power(odd[:, None], exponents)
    got = run("power", [odd[:, None], exponents], {}, TensorSpec(wanted.shape, wanted.dtype))
    np.testing.assert_allclose(got, wanted, rtol=3 * info.eps)
    real = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got)[real], np.signbit(wanted)[real])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_division_is_numpys_to_the_bit(dtype):
    rng = np.random.default_rng(0)
    odd = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 3e38, 1e-45], dtype)
    for spread in (1, 10, 30):
        x, y = ((rng.standard_normal(50_000) * np.exp(rng.uniform(-spread, spread, 50_000))) for _ in range(2))
        x, y = x.astype(dtype), y.astype(dtype)
        x[:10_000], y[:10_000] = np.round(x[:10_000] * 4) / 4, np.round(y[:10_000] * 4) / 4
        x[:81], y[:81] = np.repeat(odd, 9), np.tile(odd, 9)
        for name in ("remainder", "floor_divide"):
            wanted, got = getattr(np, name)(x, y), apply(name, x, y)
            np.testing.assert_array_equal(got, wanted)
            real = ~np.isnan(wanted)
            np.testing.assert_array_equal(np.signbit(got)[real], np.signbit(wanted)[real])


def test_an_element_has_the_same_bits_in_every_place():
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        x = (rng.standard_normal(67) * 4).astype(dtype)
        for name in (*BOUNDS, "gelu"):
            whole = apply(name, x)
            for begin, end in ((0, 1), (5, 12), (3, 66), (20, 40)):
                assert apply(name, x[begin:end].copy()).tobytes() == whole[begin:end].tobytes()
