"""Where values come from and where they are kept: placeholders, constants, variables and their writes.

`assign` and its kin are ordinary nodes whose output is the variable's *new* value; a run puts it into the session
when it commits. A variable's own output is its value where it is used: see ``compile/lower.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, DTypeError, GraphError, ShapeError
from flowbook.graph import context
from flowbook.graph.body import is_variable
from flowbook.graph.node import Node, Tensor
from flowbook.graph.node import Variable as VariableHandle
from flowbook.graph.opdef import REGISTRY, apply, as_tensor, located, op, structured_op
from flowbook.graph.types import (
    TensorSpec,
    as_dtype,
    as_shape,
    beyond,
    format_shape,
    known_shape,
    promote,
    unify_shape,
    weak_dtype,
)
from flowbook.ops.rules import broadcast, no_flops, per_element, same_as_input, shape_of
from flowbook.ops.samples import calls, floats

# ------------------------------------------------------------------------------------------------ sources


def _declared_spec(*, shape, dtype):
    return TensorSpec(as_shape(shape), as_dtype(dtype))


@structured_op(spec=_declared_spec, source=True, nondifferentiable="it has no inputs")
def placeholder(ctx, *, shape, dtype="float32"):
    """A tensor whose value each run is fed.

    ``shape``: a sequence of dimensions, each an int, a name (equal names are equal sizes in a run) or ``None``;
    ``None`` alone leaves even the rank open.

    >>> import flowbook as fb
    >>> x = fb.placeholder(("batch", 2), "float32", name="pixels")
    >>> x
    <Tensor 'pixels': placeholder float32 (batch, 2)>
    >>> fb.Session().run(x * 2, {x: [[1, 2]]})
    array([[2., 4.]], dtype=float32)
    """


def _constant_spec(*, value):
    return TensorSpec(value.shape, value.dtype)


@structured_op(spec=_constant_spec, source=True, nondifferentiable="it has no inputs", hidden=True)
def constant(ctx, *, value):
    """A value that is part of the graph."""


_constant = REGISTRY["constant"]


@located("constant")
def _build_constant(value: Any, dtype: Any = None, *, name: str | None = None) -> Tensor:
    """A tensor with a fixed value.

    ``value``: a number, an array, or nested lists of numbers. Arrays keep their dtype; Python floats become float32
    and ints int64, unless ``dtype`` says otherwise. The array is copied.

    >>> import flowbook as fb
    >>> fb.constant([[1, 2], [3, 4]], name="m")
    <Tensor 'm': constant int64 (2, 2)>
    """
    array = as_array(value, dtype)
    array.flags.writeable = False
    return apply(_constant, (), {"value": array}, name, (TensorSpec(array.shape, array.dtype),)).tensors[0]


_build_constant.__name__ = _build_constant.__qualname__ = "constant"
_build_constant.opdef = _constant  # type: ignore[attr-defined]
_constant.builder = _build_constant
_constant.hidden = False
globals()["constant"] = _build_constant


def as_array(value: Any, dtype: Any = None) -> Any:
    """A fresh array for what a user gave as a constant: see `constant` for the dtype.

    Raises ``ArgumentError`` for what is no number or array of numbers.
    """
    if isinstance(value, Tensor) or (
        isinstance(value, (list, tuple)) and any(isinstance(each, Tensor) for each in value)
    ):
        raise ArgumentError("a tensor is not a constant value", hint="use it directly, or fb.stack to join tensors")
    try:
        array = np.array(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{type(value).__name__} is not an array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"a value of dtype {array.dtype} is not a tensor", hint="numbers and bools, in lists of equal length"
        )
    weak = not hasattr(value, "dtype") and not _has_arrays(value)
    if dtype is None and not weak:
        return array.astype(as_dtype(array.dtype), copy=False)
    kind = array.dtype.kind
    wanted = as_dtype(weak_dtype(True if kind == "b" else 1.0 if kind == "f" else 1) if dtype is None else dtype)
    if weak and kind in "iu" and wanted.kind in "iu" and (outside := beyond(array, wanted)) is not None:
        raise DTypeError(f"{outside} does not fit {wanted.name}", hint="another dtype=")
    try:
        with np.errstate(invalid="raise", over="raise"):
            return np.array(array, wanted)
    except FloatingPointError:
        raise DTypeError(f"a value does not fit {wanted.name}", hint="it is not finite, or too large") from None


def _has_arrays(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(hasattr(each, "dtype") or _has_arrays(each) for each in value)


# ------------------------------------------------------------------------------------------------ variables


def _variable_spec(init=None, *, shape, dtype, trainable, value):
    if init is not None and (init.dtype.name != dtype or not _fits(init.shape, shape)):
        return TensorSpec(init.shape, init.dtype)
    return TensorSpec(shape, as_dtype(dtype))


def _fits(a: Any, b: Any) -> bool:
    try:
        unify_shape(a, b)
    except ShapeError:
        return False
    return True


@structured_op(spec=_variable_spec, source=True, nondifferentiable="it is a source", hidden=True)
def variable(ctx, init=None, *, shape, dtype, trainable=True, value=None):
    """The value a session keeps under the node's name; ``init`` or ``value`` gives the first one."""


@located("Variable")
def Variable(
    init: Any, dtype: Any = None, *, trainable: bool = True, shape: Any = None, name: str | None = None
) -> VariableHandle:
    """A tensor whose value a session keeps between runs.

    ``init``: an array or number, or a tensor that is evaluated once, on first use. ``dtype`` casts it. The shape has
    to be fully known. ``trainable`` variables are what optimizers change. Names are unique in a graph.

    Reading it in an expression reads the value where it is used; `assign`, `assign_add` and `assign_sub` write.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     count = fb.Variable(0, name="count")
    ...     bump = fb.assign_add(count, 1)
    ...     session = fb.Session()
    >>> [int(session.run(bump)) for _ in range(3)], int(session.run(count))
    ([1, 2, 3], 3)
    """
    if callable(init) and not isinstance(init, Tensor):
        if shape is None:
            raise ArgumentError("an initializer function needs a shape", hint="fb.Variable(init, shape=(784, 128))")
        init = init(shape, dtype or "float32")
    if isinstance(init, Tensor):
        if dtype is not None and init.dtype != as_dtype(dtype):
            init = REGISTRY["astype"].builder(init, dtype=dtype)
        spec = init.spec
        if shape is not None and not _fits(spec.shape, known_shape(shape)):
            raise _misfit(spec.shape, shape)
        if not spec.known:
            raise ShapeError(f"a Variable needs a known shape, its initial value is {spec}", hint="use fixed sizes")
        attrs = dict(shape=spec.shape, dtype=spec.dtype.name, trainable=bool(trainable), value=None)
        operands: tuple[Any, ...] = (init,)
    else:
        array = as_array(init, dtype)
        if shape is not None and array.shape != known_shape(shape):
            try:
                array = np.array(np.broadcast_to(array, known_shape(shape)))
            except ValueError:
                raise _misfit(array.shape, shape) from None
        array.flags.writeable = False
        attrs = dict(shape=array.shape, dtype=array.dtype.name, trainable=bool(trainable), value=array)
        operands = ()
    with context.override(controls=()):
        specs = (TensorSpec(attrs["shape"], as_dtype(attrs["dtype"])),)
        return apply(REGISTRY["variable"], operands, attrs, name, specs).tensors[0]  # type: ignore[return-value]


def _misfit(found: Any, shape: Any) -> ShapeError:
    return ShapeError(f"the initial value has shape {format_shape(found)}, not {format_shape(known_shape(shape))}")


def _write_spec(variable, value, **attrs):
    try:
        fits = len(shape_of(value) or ()) <= len(variable.shape)
        shape = unify_shape(
            broadcast(TensorSpec(variable.shape, variable.dtype), TensorSpec(shape_of(value), variable.dtype)).shape,
            variable.shape,
        )
    except ShapeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"a value of shape {value.shape} does not fit the variable of shape {variable.shape}",
            hint="it has to have the variable's shape, or broadcast to it",
        )
    dtype = value.dtype if isinstance(value, TensorSpec) else promote(variable, value)
    if not np.can_cast(dtype, variable.dtype, "same_kind"):
        raise DTypeError(
            f"a {dtype.name} value cannot be written to a {variable.dtype.name} variable",
            hint="cast it with fb.astype",
        )
    return TensorSpec(shape, variable.dtype)


def _write(name: str):
    definition = REGISTRY[name]
    generic = definition.builder

    @located(definition.name)
    def builder(variable: Any, value: Any, *, name: str | None = None) -> Any:
        if not isinstance(variable, Tensor) or not is_variable(variable):
            raise ArgumentError(
                f"{definition.name} writes a Variable, not {variable!r}", hint="make one with fb.Variable(init)"
            )
        return generic(variable, value, name=name)

    builder.__name__ = builder.__qualname__ = definition.name
    builder.__doc__, builder.__module__ = definition.doc, definition.module
    builder.__signature__ = definition.signature  # type: ignore[attr-defined]
    builder.opdef = definition  # type: ignore[attr-defined]
    definition.builder = builder
    return builder


@op(spec=_write_spec, cost=no_flops, writes=((0, 0),), stateful=True, broadcasts=True)
def assign(xp, variable, value):
    """Write ``value`` (cast and broadcast to the variable) when the run commits; returns the new value.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     v = fb.Variable([1.0, 2.0], name="v")
    ...     fb.Session().run(fb.assign(v, 7.0))
    array([7., 7.], dtype=float32)
    """
    result = xp.empty(variable.shape, variable.dtype)
    result[...] = value
    return result


@op(spec=_write_spec, cost=per_element(), writes=((0, 0),), stateful=True, broadcasts=True)
def assign_add(xp, variable, value):
    """Add ``value`` to a variable when the run commits; returns the new value."""
    return xp.add(variable, value).astype(variable.dtype, copy=False)


@op(spec=_write_spec, cost=per_element(), writes=((0, 0),), stateful=True, broadcasts=True)
def assign_sub(xp, variable, value):
    """Subtract ``value`` from a variable when the run commits; returns the new value."""
    return xp.subtract(variable, value).astype(variable.dtype, copy=False)


@assign.gradient
def _(node, dy):
    return None, dy


@assign_add.gradient
def _(node, dy):
    return dy, dy


@assign_sub.gradient
def _(node, dy):
    return dy, lambda: -dy


assign, assign_add, assign_sub = _write("assign"), _write("assign_add"), _write("assign_sub")

# ------------------------------------------------------------------------------------------------ passing on


@op(spec=same_as_input, cost=no_flops, samples=floats((3, 4), (), (0, 5)), analytic=True, oracle=lambda x: x)
def identity(xp, x):
    """x itself, as a node of its own: a name for a value, or a read of a variable at a chosen moment."""
    return x


@identity.gradient
def _(node, dy):
    return dy


@op(spec=same_as_input, cost=no_flops, samples=floats((3, 4), ()), oracle=lambda x: x)
def stop_gradient(xp, x):
    """x itself, but constant for `gradients`."""
    return x


@stop_gradient.gradient
def _(node, dy):
    return None


def _shape_constant(xp, x, fill):
    return xp.full(x.shape, fill, x.dtype)


@op(spec=same_as_input, cost=no_flops, samples=floats((3, 4), (), (0, 5)))
def ones_like(xp, x):
    """Ones in the shape and dtype of x; constant for `gradients`."""
    return _shape_constant(xp, x, 1)


@op(spec=same_as_input, cost=no_flops, samples=floats((3, 4), (), (0, 5)))
def zeros_like(xp, x):
    """Zeros in the shape and dtype of x; constant for `gradients`."""
    return _shape_constant(xp, x, 0)


@ones_like.gradient
@zeros_like.gradient
def _(node, dy):
    return None


@structured_op(spec=lambda *nodes: (), stateful=True, nondifferentiable="it has no output", hidden=True)
def no_op(ctx):
    """Does nothing; other nodes wait for it, or it for them."""


REGISTRY["group"] = REGISTRY.pop("no_op")
REGISTRY["group"].name = "group"


@located("group")
def group(*nodes: Tensor | Node, name: str | None = None) -> Node:
    """A node that finishes when all of ``nodes`` have; fetching it runs them and gives ``None``.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     a, b = fb.Variable(0.0, name="a"), fb.Variable(0.0, name="b")
    ...     both = fb.group(fb.assign(a, 1.0), fb.assign(b, 2.0), name="both")
    ...     session = fb.Session()
    ...     print(session.run(both), session.run([a, b]))
    None [array(1., dtype=float32), array(2., dtype=float32)]
    """
    flat: list[Any] = []
    for each in nodes:
        flat.extend(each) if isinstance(each, (list, tuple)) else flat.append(each)
    for each in flat:
        if not isinstance(each, (Tensor, Node)):
            raise ArgumentError(f"{each!r} is neither a tensor nor a node")
    if not flat:
        raise GraphError("group needs at least one node")
    graph = flat[0].graph
    with context.override(graph=context.current().graph or graph), context.control_dependencies(flat):
        return apply(REGISTRY["group"], (), {}, name, ())


_ = as_tensor, calls


@op(
    spec=same_as_input,
    cost=no_flops,
    samples=floats((3, 4), (), (0, 5), source="cpu:0", target="cpu:1"),
    stateful=True,
    hidden=True,
    nondifferentiable="placement makes it, after gradients",
    oracle=lambda x, *, source, target: x,
)
def copy(xp, x, *, source, target):
    """x in the memory of another device; placement inserts it."""
    return x.copy()
