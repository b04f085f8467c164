"""Counting what a kernel computes: arrays that add up the elements each NumPy call produces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import OpDef, Sample
from tests.ops.cases import build, compute, elementwise, is_float

# What one element of an elementary function costs in additions: the figures that declarations use.
WEIGHTS = {"sqrt": 4, "power": 20, "float_power": 20, "log1p": 12, "expm1": 12}
WEIGHTS |= dict.fromkeys(("exp", "exp2", "log", "log2", "log10", "tanh", "sinh", "cosh", "sin", "cos", "tan"), 12)
WEIGHTS |= dict.fromkeys(("arcsin", "arccos", "arctan", "arctan2", "arcsinh", "arccosh", "arctanh", "logaddexp"), 12)
FREE = ("positive", "conjugate")
# Functions written in C: their work is not made of ufunc calls.
SELECTING = ("where", "clip", "choose", "cumsum", "cumprod", "bincount")
SEARCHING = ("argmax", "argmin", "count_nonzero")
PRODUCTS = ("einsum", "c_einsum", "dot", "tensordot", "inner", "vdot")


class Counter:
    """The operations counted so far."""

    def __init__(self, floats_only: bool = False) -> None:
        self.total = 0.0
        self.floats_only = floats_only

    def add(self, work: float, *operands: Any) -> None:
        """Count some work on these operands."""
        if not self.floats_only or any(is_float(each) or isinstance(each, float) for each in operands):
            self.total += work

    def array(self, value: Any) -> Any:
        """A counting array with the numbers of ``value``."""
        if not isinstance(value, np.ndarray):
            return value
        result = value.view(Counting)
        result.counter = self
        return result


class Namespace:
    """NumPy, with every array that a function makes counting."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, (np.ufunc, type)) or not callable(found):
            return found
        return lambda *args, **kwargs: _wrap(self.counter, found(*args, **kwargs))


class Counting(np.ndarray):
    """An ndarray that reports to a `Counter` what is computed with it."""

    counter: Counter | None = None

    def __array_finalize__(self, base: Any) -> None:
        self.counter = getattr(base, "counter", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is not None:
            kwargs["out"] = tuple(_plain(each) for each in out)
        if "where" in kwargs:
            kwargs["where"] = _plain(kwargs["where"])
        plain = [_plain(each) for each in inputs]
        result = getattr(ufunc, method)(*plain, **kwargs)
        counter = next(each.counter for each in (*inputs, *(out or ())) if isinstance(each, Counting))
        if counter is None:
            return result
        counter.add(_work(ufunc, method, plain, result), *plain, result)
        if out is not None:
            return out[0] if len(out) == 1 else out
        return _wrap(counter, result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        counter = self.counter
        name = function.__name__
        if counter is None or name not in (*SELECTING, *SEARCHING, *PRODUCTS):
            return super().__array_function__(function, (Counting, np.ndarray), args, kwargs)
        plain = [_deep(each) for each in args]
        result = function(*plain, **{key: _deep(value) for key, value in kwargs.items()})
        counter.add(_function_work(name, plain, result), *plain, result)
        return _wrap(counter, result)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Counting) else value


def _deep(value: Any) -> Any:
    return type(value)(map(_deep, value)) if type(value) in (list, tuple) else _plain(value)


def _wrap(counter: Counter, result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return type(result)([counter.array(each) for each in result])
    if isinstance(result, Counting) and result.counter is not None:
        return result
    return counter.array(np.asarray(result)) if isinstance(result, (np.ndarray, np.generic)) else result


def _work(ufunc: Any, method: str, inputs: Sequence[Any], result: Any) -> float:
    name = ufunc.__name__
    if name in FREE:
        return 0.0
    if name in ("matmul", "vecdot", "matvec", "vecmat"):
        return 2.0 * np.size(result) * np.shape(inputs[0])[-1]
    if method in ("reduce", "accumulate", "reduceat"):
        return float(np.size(inputs[0])) * WEIGHTS.get(name, 1)
    if method == "at":
        return float(np.size(inputs[1] if not isinstance(inputs[1], tuple) else inputs[1][0]))
    first = result[0] if isinstance(result, tuple) else result
    return float(np.size(first)) * WEIGHTS.get(name, 1)


def _function_work(name: str, args: Sequence[Any], result: Any) -> float:
    if name in SELECTING:
        return float(np.size(result))
    if name in SEARCHING:
        return float(np.size(args[0]))
    if name in ("einsum", "c_einsum"):
        labels, sizes = args[0].replace(" ", "").split("->")[0].split(","), {}
        for term, operand in zip(labels, args[1:], strict=True):
            sizes.update(zip(term.replace("...", ""), operand.shape[-len(term) :], strict=False))
        return 2.0 * math.prod(sizes.values())
    a, b = np.shape(args[0]), np.shape(args[1])
    shared = math.sqrt(math.prod(a) * math.prod(b) / max(np.size(result), 1))
    return 2.0 * np.size(result) * shared


def counted(op: OpDef, sample: Sample) -> float:
    """The operations that one call of the kernel makes. Beside floats, arithmetic on integers is about indices."""
    counter = Counter(floats_only=any(map(is_float, sample.inputs)))
    compute(op, [counter.array(each) for each in sample.inputs], sample.attrs, Namespace(counter))
    return counter.total


def declared(op: OpDef, sample: Sample) -> float:
    """The operations that the declaration promises for a call."""
    with fb.Graph().as_default():
        call = build(op, sample.inputs, sample.attrs)
        kinds = [each.spec if isinstance(each, Tensor) else each for each in call.operands]
        attrs: Mapping[str, Any] = call.outputs[0].node.attrs
        return op.flops(kinds, [each.spec for each in call.outputs], attrs)


def check_cost(op: OpDef, sample: Sample, factor: float = 4) -> None:
    """Declared and counted operations agree within ``factor``, and grow alike when the operands do."""
    if any(np.size(each) == 0 for each in sample.inputs):
        return
    says, does = declared(op, sample), counted(op, sample)
    assert says <= factor * does + 8 and does <= factor * says + 8, (
        f"{op.name} declares {says:g} operations and makes {does:g}, for "
        + ", ".join(str(np.shape(each)) for each in sample.inputs)
    )
    larger = doubled(op, sample)
    if larger is not None and says and does:
        growth = declared(op, larger) / says, counted(op, larger) / does
        assert 0.4 <= growth[0] / growth[1] <= 2.5, f"{op.name}: declared cost grows by {growth[0]}, not {growth[1]}"


def doubled(op: OpDef, sample: Sample) -> Sample | None:
    """The sample with its arrays four times as long in the first axis, when the op takes that."""
    arrays = [each for each in sample.inputs if isinstance(each, np.ndarray) and each.ndim and each.size]
    if not arrays or (len({each.shape for each in arrays}) > 1 and elementwise(op)):
        return None
    inputs = tuple(
        np.concatenate([each] * 4) if isinstance(each, np.ndarray) and each.ndim else each for each in sample.inputs
    )
    try:
        with fb.Graph().as_default():
            build(op, inputs, sample.attrs)
        compute(op, inputs, sample.attrs)
    except (FlowError, ValueError):
        return None
    return sample._replace(inputs=inputs)
