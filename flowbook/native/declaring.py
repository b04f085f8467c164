"""The declaration of an operator that a user writes: its parameters, its shape rule, its gradient.

A user's functions may give anything, and what they give decides how much memory C++ code is let loose on. So all of it
is checked here, with errors that say which function was wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from flowbook.errors import ArgumentError, DTypeError, FlowError, GradientError, ShapeError
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import OpDef, as_tensor, freeze, make_builder
from flowbook.graph.types import TensorSpec, UnknownRankError, as_dtype, as_shape, format_shape, unify_shape

DTYPES = frozenset(
    {"bool", "float32", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
)
MAX_RANK = 8


def declare(name: str, spec: Any, gradient: Any, inputs: Any, attributes: Any, reference: Any, cost: Any) -> OpDef:
    """The declaration, but for what runs. The arguments are those of `native_op`."""
    for what, value in {"spec": spec, "gradient": gradient, "reference": reference, "cost": cost}.items():
        if value is not None and not callable(value):
            raise ArgumentError(f"{what}={value!r} is not a function")
    tensors, rest = _parameters(spec, inputs, attributes, reference)
    if spec is None and not tensors:
        raise ArgumentError(f"'{name}' has no inputs", hint="spec= says then what it gives")

    def kernel(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        raise NotImplementedError  # `native_op` puts the real one in its place

    space = inspect.Parameter("xp", inspect.Parameter.POSITIONAL_ONLY)
    kernel.__signature__ = inspect.Signature([space, *tensors, *rest])  # type: ignore[attr-defined]
    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = inspect.getdoc(reference) if reference is not None and reference.__doc__ else None
    definition = OpDef(
        kernel,
        _rule(name, spec),
        cost=cost,
        nondifferentiable="native_op was given none (gradient=rule, where rule(node, dy) builds one for each input)",
        oracle=reference,
    )
    definition.name = name  # also when it ends in an underscore
    definition.arrays = True
    make_builder(definition)
    if gradient is not None:
        definition.gradient = _checked_gradient(name, gradient)
    return definition


def _parameters(spec: Any, inputs: Any, attributes: Any, reference: Any) -> tuple[list[Any], list[Any]]:
    """The tensors and attributes, as parameters."""
    tensors: list[inspect.Parameter] = []
    rest: list[inspect.Parameter] = []
    flat, only, star = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_POSITIONAL,
    )
    for function in (spec, reference):
        if function is None:
            continue
        try:
            found = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # a ufunc
            continue
        named = [inspect.Parameter(each.name, flat) for each in found if each.kind < star]
        several = [each for each in found if each.kind == star]
        if not tensors or (named and tensors[0].kind == star):
            tensors = named or several or tensors
        rest = rest or [each.replace(annotation=each.empty) for each in found if each.kind == only]
    try:
        if inputs is not None:
            tensors = [
                inspect.Parameter(each, flat) for each in (inputs.split() if isinstance(inputs, str) else inputs)
            ]
        if attributes is not None:
            rest = [
                inspect.Parameter(each, only, default=inspect.Parameter.empty if default is ... else default)
                for each, default in attributes.items()
            ]
        if not tensors and spec is None:
            tensors = [inspect.Parameter("x", flat)]
        names = [each.name for each in (*tensors, *rest)]
        if len(set(names)) != len(names) or {"name", "xp"} & set(names):
            raise ValueError(f"{', '.join(names)} have to differ, also from 'name' and 'xp'")
    except (TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(
            f"inputs or attributes are wrong: {error}", hint='inputs=("x", "dy"), attributes={"alpha": 1.0}'
        ) from None
    for each in rest:
        if each.default is not each.empty:
            _check_attribute(each.name, freeze(each.default))
    return tensors, rest


def _check_attribute(name: str, value: Any) -> None:
    plain = value is None or isinstance(value, (bool, int, float, str))
    if not plain and not (type(value) is tuple and all(isinstance(each, (bool, int, float)) for each in value)):
        raise ArgumentError(f"attribute {name}={value!r} is neither a number, a text, nor a tuple of numbers")
    for each in value if type(value) is tuple else (value,):
        if isinstance(each, int) and not -(2**63) <= each < 2**63:
            raise ArgumentError(f"attribute {name}={each} does not fit into 64 bits")


def _rule(name: str, spec: Callable[..., Any] | None) -> Callable[..., Any]:
    """The shape rule, and what holds for each operator in C++."""

    def rule(*kinds: Any, **attrs: Any) -> Any:
        for place, kind in enumerate(kinds):
            if not isinstance(kind, TensorSpec):
                raise ArgumentError(f"input {place} of {name} is {kind!r}, it has to be a tensor")
            _check_spec(f"input {place}", kind)
        for key, value in attrs.items():
            _check_attribute(key, value)
        if spec is None:
            return kinds[0]
        try:
            found = spec(*kinds, **attrs)
        except (FlowError, UnknownRankError):
            raise
        except Exception as error:
            raise ShapeError(f"the shape rule of {name} raised {type(error).__name__}: {error}") from error
        specs = (found,) if isinstance(found, TensorSpec) else found
        if not isinstance(specs, (tuple, list)) or not specs or not all(isinstance(e, TensorSpec) for e in specs):
            raise ArgumentError(
                f"the shape rule of {name} gave {found!r}, it has to give specs", hint="fb.TensorSpec(shape, dtype)"
            )
        plain = [TensorSpec(None if e.shape is None else as_shape(e.shape), as_dtype(e.dtype)) for e in specs]
        for place, each in enumerate(plain):
            _check_spec(f"output {place}", each)
        return plain[0] if isinstance(found, TensorSpec) else tuple(plain)

    return rule


def _check_spec(what: str, spec: TensorSpec) -> None:
    if spec.dtype.name not in DTYPES:
        raise DTypeError(f"{what} is {spec.dtype.name}, which C++ operators do not know")
    if spec.shape is not None and len(spec.shape) > MAX_RANK:
        raise ShapeError(f"{what} has {len(spec.shape)} axes, C++ operators know {MAX_RANK}")


def _checked_gradient(name: str, rule: Callable[..., Any]) -> Callable[..., Any]:
    """A user's gradient rule, its results checked: each has the shape of its input."""

    def fits(part: Any, x: Any) -> Any:
        if callable(part) and not isinstance(part, Tensor):
            return lambda: fits(part(), x)
        if part is None or not isinstance(x, Tensor):
            return part
        part = as_tensor(part)
        try:
            unify_shape(part.shape, x.shape)
        except ShapeError:
            raise GradientError(
                f"the gradient rule of {name} gave shape {format_shape(part.shape)} for '{x.name}', {x.spec}",
                hint="a gradient has the shape of its input: sum over the axes that were broadcast",
            ) from None
        return part

    def checked(node: Any, *dys: Any) -> Any:
        parts = rule(node, *dys)
        parts = list(parts) if isinstance(parts, (tuple, list)) else [parts]
        if len(parts) != len(node.inputs):
            return parts  # who asked says so
        return [fits(part, x) for part, x in zip(parts, node.inputs, strict=True)]

    return checked
