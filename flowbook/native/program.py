"""Elementwise ops and reductions as instructions of the native kernel "elementwise".

A `Program` collects the instructions of one or more nodes; kernels/cpu/elementwise.h says what they look like. A node
becomes the same instructions whether it is alone or in a group, so its result has the same bytes either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from flowbook.graph.types import DType, Scalar, TensorSpec, known_shape, normalize_axes, promote

# The order of DType in kernels/runtime/types.h.
_NAMES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
_DTYPES: list[DType] = [np.dtype(name) for name in _NAMES]
_NUMBERS: dict[DType, int] = {dtype: number for number, dtype in enumerate(_DTYPES)}
_BOOL, _INT32, _INT64, _FLOAT32, _FLOAT64 = 0, 3, 4, 9, 10
_NUMERIC = (_INT32, _INT64, _FLOAT32, _FLOAT64)
_COMPUTED = (_BOOL, *_NUMERIC)

# The order of Op in kernels/cpu/functions.h.
_ORDER = (
    "cast add subtract multiply divide floor_divide remainder power minimum maximum negative abs sign sqrt sin cos "
    "exp log log1p tanh sigmoid gelu equal not_equal less less_equal isnan isfinite logical_not where "
    "reduce_sum reduce_prod reduce_max reduce_min reduce_mean"
)
_OPCODES = {name: number for number, name in enumerate(_ORDER.split())}
_CAST, _MULTIPLY, _MAXIMUM, _MINIMUM = (_OPCODES[name] for name in ("cast", "multiply", "maximum", "minimum"))
_NONE = (-1, 0)


class Value:
    """What an instruction can read: an input of the kernel (0, its number), or the result of an instruction (1, its
    number)."""

    __slots__ = ("at", "dtype", "shape")

    def __init__(self, at: tuple[int, int], dtype: int, shape: tuple[int, ...]) -> None:
        self.at = at
        self.dtype = dtype
        self.shape = shape


Operand = Value | Scalar


class Program:
    """Instructions for one kernel, in the order in which they are emitted.

    >>> program = Program()
    >>> x = program.input(np.dtype("float32"), (2, 3))
    >>> spec = TensorSpec((2, 3), np.dtype("float32"))
    >>> program.output(program.emit("add", [program.emit("exp", [x], {}, spec), 1.0], {}, spec))
    >>> program.attrs((2, 3))["outputs"]
    (1,)
    """

    def __init__(self) -> None:
        self.inputs = 0
        self._code: list[int] = []
        self._count = 0
        self._reals: list[float] = []
        self._integers: list[int] = []
        self._outputs: list[int] = []
        self._reduced: tuple[int, ...] | None = None  # the shape that is reduced

    def input(self, dtype: DType, shape: tuple[int, ...]) -> Value:
        """The next array that the kernel is given."""
        self.inputs += 1
        return Value((0, self.inputs - 1), _NUMBERS[dtype], shape)

    def emit(self, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
        """The instructions of a node for which `fusible` holds; its result. ``spec`` is of the node's output."""
        return _EMITTERS[op](self, op, operands, attrs, spec)

    def output(self, value: Value) -> None:
        """Make a value the next output of the kernel; an input is copied."""
        if value.at[0] != 1:
            value = self.add(_CAST, value.dtype, value.dtype, value.shape, value.at)
        self._outputs.append(value.at[1])

    def attrs(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The attributes of the kernel, for the shape that all inputs broadcast to."""
        if self._reduced is not None and self._reduced != shape:
            raise ValueError(f"a reduction of shape {self._reduced} in a program over {shape}")
        return {
            "shape": shape,
            "code": tuple(self._code),
            "reals": tuple(self._reals),
            "integers": tuple(self._integers),
            "outputs": tuple(self._outputs),
        }

    # -------------------------------------------------------------------------------------------- for the emitters

    def add(
        self,
        opcode: int,
        dtype: int,
        result: int,
        shape: Any,
        a: tuple[int, int],
        b: tuple[int, int] = _NONE,
        c: tuple[int, int] = _NONE,
    ) -> Value:
        """One instruction on up to three operands; ``result`` is the dtype of what comes out."""
        index = self._count
        self._count = index + 1
        self._code += (opcode, dtype, *a, *b, *c)
        return Value((1, index), result, shape)

    def read(self, operand: Operand, dtype: int) -> tuple[int, int]:
        """An operand in a dtype: as an immediate, as it is, or by way of a cast."""
        if not isinstance(operand, Value):
            if dtype >= _FLOAT32:
                self._reals.append(float(operand))
                return 2, len(self._reals) - 1
            self._integers.append(int(operand) if dtype else int(bool(operand)))
            return 2, len(self._integers) - 1
        if operand.dtype == dtype:
            return operand.at
        return self.add(_CAST, dtype, dtype, operand.shape, operand.at).at

    def reduce(self, opcode: int, value: Value, axes: Sequence[int], dtype: int, shape: Any) -> Value:
        """A reduction of a value in its own shape, computed in ``dtype``."""
        if self._reduced is not None and self._reduced != value.shape:
            raise ValueError(f"reductions of shapes {self._reduced} and {value.shape} in one program")
        self._reduced = value.shape
        mask = 0
        for axis in axes:
            mask |= 1 << axis
        return self.add(opcode, dtype, dtype, shape, self.read(value, dtype), (-1, mask))


# ------------------------------------------------------------------------------------------------ dtypes


def _common(operands: Sequence[Value | TensorSpec | Scalar]) -> int:
    """The number of the dtype that operands are computed in; -1 where one is a number that it cannot hold."""
    first: DType | None = None
    for each in operands:
        if isinstance(each, Value):
            dtype = _DTYPES[each.dtype]
        elif isinstance(each, TensorSpec):
            dtype = each.dtype
        else:
            continue
        if first is None:
            first = dtype
        elif dtype is not first:
            break
    else:
        if first is not None and (first.kind == "f" or len(operands) == 1):  # by far the most frequent case
            return _NUMBERS[first]
    common = promote(*[_DTYPES[each.dtype] if isinstance(each, Value) else each for each in operands])
    if common.kind in "iu":
        low, high = _info(common)
        for each in operands:
            if type(each) is int and not low <= each <= high:
                return -1
    return _NUMBERS.get(common, -1)


@lru_cache(maxsize=16)
def _info(dtype: DType) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


# ------------------------------------------------------------------------------------------------ emitters

_Emitter = Callable[[Program, str, Sequence[Operand], Mapping[str, Any], TensorSpec], Value]


def _unary(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    return p.add(_OPCODES[op], dtype, dtype, spec.shape, p.read(operands[0], dtype))


def _binary(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    x, y = operands
    return p.add(_OPCODES[op], dtype, dtype, spec.shape, p.read(x, dtype), p.read(y, dtype))


def _power(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    x, y = operands
    if type(y) is bool or not isinstance(x, Value) or y not in (2, 3, 4):
        return _binary(p, op, operands, attrs, spec)
    # Products are faster and hardly less accurate: up to 1.5 eps.
    dtype = _NUMBERS[spec.dtype]
    base = p.read(x, dtype)
    power = p.add(_MULTIPLY, dtype, dtype, spec.shape, base, base)
    if y == 2:
        return power
    square = power.at
    return p.add(_MULTIPLY, dtype, dtype, spec.shape, square, base if y == 3 else square)


def _square(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    x = p.read(operands[0], dtype)
    return p.add(_MULTIPLY, dtype, dtype, spec.shape, x, x)


def _relu(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    return _binary(p, "maximum", (operands[0], 0), attrs, spec)


def _clip(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    x, low, high = [p.read(each, dtype) for each in operands]
    above = p.add(_MAXIMUM, dtype, dtype, spec.shape, x, low)
    return p.add(_MINIMUM, dtype, dtype, spec.shape, above.at, high)


def _where(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    condition, x, y = operands
    return p.add(_OPCODES[op], dtype, dtype, spec.shape, p.read(condition, _BOOL), p.read(x, dtype), p.read(y, dtype))


def _comparison(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _common(operands)
    x, y = [p.read(each, dtype) for each in operands]
    if op == "greater":
        op, x, y = "less", y, x
    elif op == "greater_equal":
        op, x, y = "less_equal", y, x
    return p.add(_OPCODES[op], dtype, _BOOL, spec.shape, x, y)


def _sigmoid_cross_entropy(
    p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec
) -> Value:
    """log1p(exp(-|x|)) + (max(x, 0) - t x), in the order of the reference kernel."""
    dtype = _NUMBERS[spec.dtype]
    t, x = [p.read(each, dtype) for each in operands]

    def step(name: str, *at: tuple[int, int]) -> tuple[int, int]:
        return p.add(_OPCODES[name], dtype, dtype, spec.shape, *at).at

    overlap = step("log1p", step("exp", step("negative", step("abs", x))))
    rest = step("subtract", step("maximum", x, p.read(0, dtype)), step("multiply", t, x))
    return p.add(_OPCODES["add"], dtype, dtype, spec.shape, overlap, rest)


_LOGIC = {"logical_and": "multiply", "logical_or": "add", "logical_xor": "not_equal", "logical_not": "logical_not"}


def _logic(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    return p.add(_OPCODES[_LOGIC[op]], _BOOL, _BOOL, spec.shape, *[p.read(each, _BOOL) for each in operands])


def _odd(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    (x,) = operands
    assert isinstance(x, Value)
    return p.add(_OPCODES[op], x.dtype, _BOOL, spec.shape, x.at)


def _cast(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    x = operands[-1]
    at = x.at if isinstance(x, Value) else p.read(x, dtype)
    return p.add(_CAST, dtype, dtype, spec.shape, at)


def _alias(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    """The same value, perhaps in a larger shape: every value is repeated over the shape of the program anyway."""
    x = operands[0]
    assert isinstance(x, Value)
    return Value(x.at, x.dtype, known_shape(spec.shape))


def _write(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype, result = _common(operands), _NUMBERS[spec.dtype]
    opcode = _OPCODES["add" if op == "assign_add" else "subtract"]
    value = p.add(opcode, dtype, dtype, spec.shape, *[p.read(each, dtype) for each in operands])
    return value if dtype == result else p.add(_CAST, result, result, spec.shape, value.at)


def _like(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    dtype = _NUMBERS[spec.dtype]
    return p.add(_CAST, dtype, dtype, spec.shape, p.read(1 if op == "ones_like" else 0, dtype))


_REDUCTIONS = {"sum": "sum", "mean": "mean", "max": "max", "min": "min", "any": "max", "all": "min", "prod": "prod"}


def _reduction(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    (x,) = operands
    assert isinstance(x, Value)
    axes = normalize_axes(attrs.get("axis"), len(x.shape))
    return p.reduce(_OPCODES["reduce_" + _REDUCTIONS[op]], x, axes, _NUMBERS[spec.dtype], spec.shape)


def _unbroadcast(p: Program, op: str, operands: Sequence[Operand], attrs: Mapping[str, Any], spec: TensorSpec) -> Value:
    x = operands[0]
    assert isinstance(x, Value) and spec.shape is not None
    extra = len(x.shape) - len(spec.shape)
    axes = [i for i, size in enumerate(x.shape) if i < extra or (size != 1 and spec.shape[i - extra] == 1)]
    if not axes:
        return _cast(p, op, [x], attrs, spec)
    return p.reduce(_OPCODES["reduce_sum"], x, axes, x.dtype, spec.shape)


_BINARY = ("add", "subtract", "multiply", "floor_divide", "remainder", "minimum", "maximum")
_FLOATS = ("sqrt", "sin", "cos", "exp", "log", "tanh", "sigmoid", "gelu")
_ALIASES = ("broadcast_to", "broadcast_like", "identity", "stop_gradient")
_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")

_EMITTERS: dict[str, _Emitter] = {
    **dict.fromkeys((*_BINARY, "divide"), _binary),
    **dict.fromkeys(("negative", "abs", "sign", *_FLOATS), _unary),
    "power": _power,
    "square": _square,
    "relu": _relu,
    "clip": _clip,
    "where": _where,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    **dict.fromkeys(_COMPARISONS, _comparison),
    **dict.fromkeys(_LOGIC, _logic),
    **dict.fromkeys(("isnan", "isfinite"), _odd),
    **dict.fromkeys(("astype", "assign"), _cast),
    **dict.fromkeys(_ALIASES, _alias),
    **dict.fromkeys(("assign_add", "assign_sub"), _write),
    **dict.fromkeys(("zeros_like", "ones_like"), _like),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "unbroadcast": _unbroadcast,
}

# ------------------------------------------------------------------------------------------------ what is fusible

_Inputs = Sequence[TensorSpec | Scalar]


def _computes(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return _common(inputs) in _COMPUTED


def _computes_numbers(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return _common(inputs) in _NUMERIC


def _computes_floats(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return _common(inputs) >= 0


def _powers(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    dtype, y = _common(inputs), inputs[1]
    if dtype in (_FLOAT32, _FLOAT64):
        return True
    # Integers to negative powers raise, so the exponent has to be known.
    return dtype in _NUMERIC and type(y) is int and y >= 0 and getattr(inputs[0], "dtype", None) == output


def _compares(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    kinds = [each.dtype.kind for each in inputs if isinstance(each, TensorSpec)]
    if "u" in kinds and "i" in kinds:  # NumPy compares those exactly
        return False
    return _common(inputs) in _COMPUTED


def _chooses(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return _common(inputs[1:]) in _COMPUTED


def _has_nan(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return isinstance(inputs[0], TensorSpec) and inputs[0].dtype in (_DTYPES[_FLOAT32], _DTYPES[_FLOAT64])


def _has_array(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return isinstance(inputs[0], TensorSpec)


def _always(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return True


def _assigns(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    value = inputs[1]
    if type(value) is int and output.kind in "iu":
        low, high = _info(output)
        return low <= value <= high
    return True


def _reduces(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return isinstance(inputs[0], TensorSpec) and _NUMBERS[output] in _COMPUTED and output.kind != "u"


def _reduces_floats(inputs: _Inputs, attrs: Mapping[str, Any], output: DType) -> bool:
    return output.kind == "f"


_RULES: dict[str, Callable[[_Inputs, Mapping[str, Any], DType], bool]] = {
    **dict.fromkeys(("add", "multiply", "minimum", "maximum", "clip"), _computes),
    **dict.fromkeys(("subtract", "floor_divide", "remainder", "negative", "abs", "sign", "square"), _computes_numbers),
    "relu": _computes_numbers,
    **dict.fromkeys(("divide", "sigmoid_cross_entropy", *_FLOATS), _computes_floats),
    "power": _powers,
    "where": _chooses,
    **dict.fromkeys(_COMPARISONS, _compares),
    **dict.fromkeys(_LOGIC, _always),
    **dict.fromkeys(("isnan", "isfinite"), _has_nan),
    **dict.fromkeys(("astype", "zeros_like", "ones_like"), _always),
    **dict.fromkeys(_ALIASES, _has_array),
    "assign": _assigns,
    "assign_add": _computes,
    "assign_sub": _computes_numbers,
    **dict.fromkeys(_REDUCTIONS, _reduces),
    "unbroadcast": _reduces_floats,
}


def fusible(op: str, inputs: _Inputs, attrs: Mapping[str, Any], outputs: Sequence[TensorSpec]) -> bool:
    """Whether a node can be part of a program: an op of these, on dtypes that the kernel computes in.

    ``inputs`` are specs, or Python's numbers. Shapes are not looked at; they have to be known when it is emitted.

    >>> f32 = TensorSpec((3,), np.dtype("float32"))
    >>> fusible("add", [f32, 1.0], {}, [f32]), fusible("matmul", [f32, f32], {}, [f32])
    (True, False)
    """
    rule = _RULES.get(op)
    if rule is None or outputs[0].dtype not in _NUMBERS:
        return False
    for each in inputs:
        if isinstance(each, TensorSpec):
            if each.dtype not in _NUMBERS:
                return False
        elif type(each) is int and not -(1 << 63) <= each < 1 << 63:
            return False
    return rule(inputs, attrs, outputs[0].dtype)
