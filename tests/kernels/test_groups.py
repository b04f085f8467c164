"""Groups of ops in one program: the bits of the same ops one at a time, for any strides, sizes and thread count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flowbook.graph.opdef import REGISTRY
from flowbook.graph.types import TensorSpec
from flowbook.native.program import Program
from tests.kernels.programs import kernel, run, specs

pytest.importorskip("flowbook.native._native")

UNARY = ("negative", "abs", "sign", "square", "exp", "tanh", "sin", "cos", "sigmoid", "relu", "gelu", "sqrt", "log")
_WORDS = "add subtract multiply minimum maximum divide remainder floor_divide power sigmoid_cross_entropy"
BINARY = _WORDS.split()
COMPARE = ("equal", "less", "greater_equal", "not_equal")
SHAPES = (
    (),
    (1,),
    (7,),
    (16,),
    (513,),
    (5000,),
    (3, 0, 2),
    (1, 5, 1),
    (60, 10),
    (10, 60),
    (9, 130),
    (5, 512),
    (3, 1030),
    (40, 3, 5),
    (4, 6, 5, 7),
    (2, 3, 200),
    (3, 200, 2),
    (6, 70, 12),
    (3, 5, 40, 20),
)


def operand(rng, shape, dtype):
    """An array that broadcasts to a shape, laid out in memory in one of many ways."""
    kept = list(shape)
    for axis in range(len(kept)):
        if rng.random() < 0.3:
            kept[axis] = 1
    while kept and rng.random() < 0.15:
        kept = kept[1:]
    if dtype == "bool":
        value = rng.random(kept) < 0.5
    else:
        value = (rng.standard_normal(kept) * 3).astype(dtype)
    value = np.asarray(value)
    layout = rng.integers(6)
    if value.ndim and layout == 0:
        return np.asfortranarray(value)
    if value.ndim and layout == 1:
        return np.repeat(value, 2, axis=-1)[..., ::2]
    if value.ndim and layout == 2:
        return np.ascontiguousarray(value[::-1])[::-1]
    if value.ndim and layout == 3 and value.size:
        return np.broadcast_to(value[:1], value.shape)
    return value


def call(rng, values, shape):
    """A random op on some of the values so far: name, operands, attrs, output spec."""
    numbers = [each for each in values if each.dtype.kind != "b"]
    flags = [each for each in values if each.dtype.kind == "b"]

    def pick(pool):
        return pool[rng.integers(len(pool))]

    def number():
        return pick(numbers) if rng.random() < 0.75 else float(np.round(rng.standard_normal(), 2))

    x = pick(numbers)
    kind = rng.random()
    if kind < 0.35:
        name, operands = pick(UNARY), [x]
    elif kind < 0.7:
        name, operands = pick(BINARY), [x, number()] if rng.random() < 0.7 else [number(), x]
        if name == "power" and np.result_type(*operands).kind == "i":  # to negative powers they raise
            name = "multiply"
    elif kind < 0.8 or not flags:
        name, operands = pick(COMPARE), [x, number()]
    elif kind < 0.85:
        name, operands = "logical_and", [pick(flags), pick(flags)]
    elif kind < 0.9:
        name, operands = "clip", [x, -1.0, number()]
    elif kind < 0.93:
        return "astype", [x], {"dtype": "float64" if x.dtype == np.float32 else "float32"}
    else:
        name, operands = "where", [pick(flags), x, number()]
    return name, operands, {}


def reference(name, operands, attrs):
    with np.errstate(all="ignore"):
        return np.asarray(REGISTRY[name].kernel(np, *operands, **attrs))


def build(seed, reduce):
    """A random group: its program, arrays, the outputs' specs, and the results of the ops one at a time."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[rng.integers(len(SHAPES))]
    dtype = ("float32", "float64", "int32", "int64")[min(rng.integers(6), 3)] if seed % 3 else "float32"
    if dtype.startswith("int"):
        dtype = "float64"
    arrays = [operand(rng, shape, dtype if rng.random() < 0.8 else "int32") for _ in range(1 + rng.integers(3))]
    arrays.append(np.asarray(rng.standard_normal(shape).astype(dtype)))
    if rng.random() < 0.5:
        arrays.append(operand(rng, shape, "bool"))
    program = Program()
    handles = {id(each): program.input(each.dtype, each.shape) for each in arrays}
    values, outputs = list(arrays), []
    for _ in range(1 + rng.integers(12)):
        name, operands, attrs = call(rng, values, shape)
        wanted = reference(name, operands, attrs)
        spec = TensorSpec(wanted.shape, wanted.dtype)
        alone = run(name, operands, attrs, spec)
        if alone is None:
            continue
        alone = np.asarray(alone)
        handle = program.emit(name, [handles.get(id(each), each) for each in operands], attrs, spec)
        handles[id(alone)] = handle
        values.append(alone)
        if alone.shape == shape:
            outputs.append((handle, alone))
    if not outputs:
        return None
    chosen = [outputs[-1], *[each for each in outputs[:-1] if rng.random() < 0.3]]
    if reduce:
        for handle, value in outputs[-2:]:
            name = "any" if value.dtype.kind == "b" else ("sum", "mean", "max", "min")[rng.integers(4)]
            axes = tuple(int(axis) for axis in range(len(shape)) if rng.random() < 0.5)
            if name in ("max", "min") and not value.size:
                name = "sum"
            attrs = {"axis": axes, "keepdims": bool(rng.random() < 0.5)}
            with np.errstate(all="ignore"):
                wanted = np.asarray(getattr(np, name)(np.ones(shape, value.dtype), **attrs))
            dtype = value.dtype
            if dtype.kind == "i" and name in ("sum", "mean"):
                dtype = np.dtype("int64" if name == "sum" else "float64")
            spec = TensorSpec(wanted.shape, dtype)
            alone = np.asarray(run(name, [value], attrs, spec))
            chosen.append((program.emit(name, [handle], attrs, spec), alone))
    for handle, _ in chosen:
        program.output(handle)
    made = kernel(program, shape, arrays, specs([each for _, each in chosen]))
    results = made(*arrays)
    return results if isinstance(results, tuple) else (results,), [each for _, each in chosen]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("reduce", [False, True])
def test_a_group_has_the_bits_of_its_ops(reduce):
    for seed in range(250):
        built = build(seed, reduce)
        if built is None:
            continue
        for place, (got, wanted) in enumerate(zip(*built, strict=True)):
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            same = (got == wanted) | ((got != got) & (wanted != wanted))
            assert np.all(same), f"seed {seed}, output {place}: {got[~same][:5]} {wanted[~same][:5]}"


def test_ops_are_numpys_on_every_layout():
    """Ops without rounding of their own, over random shapes: NumPy's very numbers."""
    rng = np.random.default_rng(1)
    for _ in range(400):
        shape = SHAPES[rng.integers(len(SHAPES))]
        dtype = ("float32", "float64", "int32", "int64")[rng.integers(4)]
        x, y = np.asarray(rng.standard_normal(shape) * 4).astype(dtype), operand(rng, shape, dtype)
        for name in ("add", "multiply", "maximum", "floor_divide", "remainder", "less", "equal", "subtract"):
            with np.errstate(all="ignore"):
                wanted = np.asarray(getattr(np, name)(x, y))
            got = run(name, [x, y], {}, TensorSpec(wanted.shape, wanted.dtype))
            np.testing.assert_array_equal(got, wanted, err_msg=f"{name} {shape} {dtype} {y.strides}")


def test_integers_at_their_limits():
    for dtype in ("int32", "int64"):
        info = np.iinfo(dtype)
        x = np.array([info.min, info.max, -7, 7, 0, 1], dtype)[:, None]
        y = np.array([-1, 0, 1, info.min, info.max, 3, -3], dtype)
        for name in ("floor_divide", "remainder", "add", "multiply", "subtract", "minimum"):
            with np.errstate(all="ignore"):
                wanted = getattr(np, name)(x, y)
            np.testing.assert_array_equal(run(name, [x, y], {}, TensorSpec(wanted.shape, wanted.dtype)), wanted)
        for name in ("abs", "negative", "sign"):
            wanted = getattr(np, name)(x)
            np.testing.assert_array_equal(run(name, [x], {}, TensorSpec(wanted.shape, wanted.dtype)), wanted)
        wanted = x**3
        np.testing.assert_array_equal(run("power", [x, 3], {}, TensorSpec(wanted.shape, wanted.dtype)), wanted)


NAMES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


@pytest.mark.parametrize("source", NAMES)
def test_casts(source):
    rng = np.random.default_rng(2)
    for target in NAMES:
        x = rng.integers(0, 2 if "bool" in (source, target) else 100, (3, 7)).astype(source)
        if source[0] in "if" and target[0] in "if":
            x = (x - np.array(50).astype(source)).astype(source)
            if source[0] == "f":
                x = x + np.array(0.75, source)
        if source == "float64" and target == "bool":
            x[0, :2] = np.nan, -0.0
        spec = TensorSpec(x.shape, np.dtype(target))
        np.testing.assert_array_equal(run("astype", [x], {"dtype": target}, spec), x.astype(target))
    for extreme in [np.inf, -np.inf, np.nan, 1e30, -1e30] if source[0] == "f" else []:
        for target in NAMES:
            run("astype", [np.array(extreme, source)], {"dtype": target}, TensorSpec((), np.dtype(target)))


def test_writes_are_cast_to_the_variable():
    variable, value = np.ones((2, 3), "float32"), np.arange(3.0)
    spec = TensorSpec((2, 3), np.dtype("float32"))
    np.testing.assert_array_equal(run("assign", [variable, value], {}, spec), np.tile(np.arange(3.0), (2, 1)))
    np.testing.assert_array_equal(run("assign_add", [variable, value], {}, spec), variable + [0, 1, 2])
    np.testing.assert_array_equal(run("assign_sub", [variable, 2], {}, spec), variable - 2)
    assert run("assign_sub", [variable, 2], {}, spec).dtype == np.float32


DIGEST = """
import hashlib, sys
sys.path.insert(0, ".")
import numpy as np
from flowbook.graph.types import TensorSpec
from flowbook.native.program import Program
from tests.kernels.programs import kernel, specs
rng = np.random.default_rng(3)
x, y, row = (rng.standard_normal(each).astype("float32") for each in ((1500, 700), (1500, 1), (700,)))
f = TensorSpec(x.shape, x.dtype)
p = Program()
a, b, c = (p.input(each.dtype, each.shape) for each in (x, y, row))
v = p.emit("tanh", [p.emit("add", [p.emit("multiply", [a, b], {}, f), c], {}, f)], {}, f)
w = p.emit("add", [p.emit("exp", [v], {}, f), p.emit("sin", [a], {}, f)], {}, f)
p.output(w)
outputs = [f]
for name in ("sum", "max", "mean"):
    for axis in ((0,), (1,), (0, 1)):
        shape = tuple(size for i, size in enumerate(x.shape) if i not in axis)
        outputs.append(TensorSpec(shape, x.dtype))
        p.output(p.emit(name, [w], {"axis": axis}, outputs[-1]))
for result in kernel(p, x.shape, (x, y, row), outputs)(x, y, row):
    print(hashlib.sha256(result.tobytes()).hexdigest())
"""


def test_threads_and_wide_vectors_change_no_bit():
    def digest(cpus, variant):
        code = f"import os; os.sched_setaffinity(0, {cpus})\n" + DIGEST
        environment = {**os.environ, "FLOWBOOK_CPU": variant}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cpus = sorted(os.sched_getaffinity(0))
    from flowbook.native import _native

    best = _native.variant()
    one = digest({cpus[0]}, best)
    assert digest(set(cpus[:2]), best) == one
    if best == "v4" and (Path(_native.__file__).parent / "libflowbook_cpu_v3.so").exists():
        assert digest({cpus[0]}, "v3") == one
