"""What declarations share: spec rules, costs, and the helpers of gradient rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowbook.errors import DTypeError, ShapeError
from flowbook.graph.types import (
    DType,
    Scalar,
    Shape,
    TensorSpec,
    as_dtype,
    broadcast_shapes,
    float_dtype,
    format_shape,
    promote,
    unify_shape,
)

Operand = TensorSpec | Scalar


def shape_of(operand: Operand) -> Shape | None:
    """The shape of an operand; scalars are 0-d."""
    return operand.shape if isinstance(operand, TensorSpec) else ()


def same_as_input(x: TensorSpec, *rest: Any, **attrs: Any) -> TensorSpec:
    """The output is like the first input."""
    return x


def same_float(x: TensorSpec, **attrs: Any) -> TensorSpec:
    """The shape of the input; floats keep their dtype, integers give float64."""
    return TensorSpec(x.shape, float_dtype(x.dtype))


def same_number(x: TensorSpec, **attrs: Any) -> TensorSpec:
    """Like the input, which must not be bool."""
    reject_bool(x)
    return x


def broadcast(*operands: Operand, **attrs: Any) -> TensorSpec:
    """Elementwise over several operands: broadcast shapes, promoted dtypes."""
    return TensorSpec(broadcast_shapes(*map(shape_of, operands)), promote(*operands))


def broadcast_number(*operands: Operand, **attrs: Any) -> TensorSpec:
    """Like `broadcast`, for arithmetic that NumPy refuses on two bools."""
    spec = broadcast(*operands)
    reject_bool(spec)
    return spec


def broadcast_float(*operands: Operand, **attrs: Any) -> TensorSpec:
    """Like `broadcast`, with a float result."""
    spec = broadcast(*operands)
    return TensorSpec(spec.shape, float_dtype(spec.dtype))


def broadcast_bool(*operands: Operand, **attrs: Any) -> TensorSpec:
    """Comparison and logic: broadcast shapes, bool."""
    promote(*operands)
    return TensorSpec(broadcast_shapes(*map(shape_of, operands)), as_dtype("bool"))


def reject_bool(spec: TensorSpec) -> None:
    """Arithmetic on bools is a mistake nearly always."""
    if spec.dtype.kind == "b":
        raise DTypeError("this operation is not defined for bool", hint="cast with fb.astype(x, 'float32')")


def require_kind(spec: Operand, kinds: str, what: str) -> None:
    """``DTypeError`` unless the dtype is of one of NumPy's kind letters (``"f"``, ``"iu"``, ``"b"``)."""
    if isinstance(spec, TensorSpec) and spec.dtype.kind not in kinds:
        names = {"f": "floating-point", "iu": "an integer", "b": "bool", "fiu": "a number"}
        raise DTypeError(
            f"{what} is {spec.dtype.name}, it has to be {names.get(kinds, kinds)}", hint="cast with fb.astype"
        )


def require_shape(x: TensorSpec, shape: Shape | None, what: str) -> None:
    """``ShapeError`` when an operand surely has another shape than its part in an operation demands."""
    try:
        unify_shape(x.shape, shape)
    except ShapeError:
        raise ShapeError(f"{what} has shape {format_shape(x.shape)}, not {format_shape(shape)}") from None


def per_element(flops: float = 1) -> Callable[..., float]:
    """A cost of ``flops`` operations for each element of the output."""
    return lambda inputs, outputs, attrs: flops * (outputs[0].size or 0)


def per_input_element(flops: float = 1) -> Callable[..., float]:
    """A cost of ``flops`` operations for each element of the first input (reductions)."""
    return lambda inputs, outputs, attrs: flops * (inputs[0].size or 0)


def no_flops(inputs: Sequence[Any], outputs: Sequence[TensorSpec], attrs: Any) -> float:
    """Moves data, computes nothing."""
    return 0.0


def cast_float(xp: Any, x: Any) -> Any:
    """What float functions compute on: floats as they are, everything else as float64."""
    dtype: DType = x.dtype
    return x if dtype.kind in "fc" else x.astype(xp.float64)
