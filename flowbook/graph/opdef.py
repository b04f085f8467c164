"""How an operation is declared, and the public builder that a declaration returns.

Two kinds of declaration, one format:

* an **array op** (`@op`): its body is the reference kernel, ``kernel(xp, *arrays, **attrs)``, written against an array
  namespace ``xp`` (NumPy on a CPU, CuPy on a GPU);
* a **structured op** (`@structured_op`): its body gets an execution context instead of ``xp``, through which it
  reaches randomness, host functions and sub-graphs (`runtime/context.py`).

Tensors are the positional parameters, attributes the keyword-only ones; ``*tensors`` makes the public function take
a sequence. A tensor parameter with default ``None`` may be left out. ``CONTRIBUTING.md`` works an example through.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from flowbook.errors import ArgumentError, FlowError, GradientError, GraphError, ShapeError
from flowbook.graph import context
from flowbook.graph.node import Node, Tensor, Variable, call_site, describe
from flowbook.graph.types import Scalar, TensorSpec, UnknownRankError, promote

REGISTRY: dict[str, OpDef] = {}
OWN: dict[str, OpDef] = {}  # what users declared, the last of each name; no functions of the package
_NO_ATTRS: Mapping[str, Any] = {}
_WEAK = (bool, int, float)
_ABSENT = type(None)
_CACHE_LIMIT = 4096
Builder = TypeVar("Builder", bound=Callable[..., Any])


class Sample(NamedTuple):
    """One call of an op, for the generated tests: the array operands and the attributes."""

    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any] = {}
    note: str = ""


class OpDef:
    """The one declaration of an op; everything else about it is derived from here.

    ``kernel``: reference implementation. ``spec(*specs, **attrs)``: output spec, or a tuple of them (several
    outputs). A scalar operand reaches the rule as itself, and a rule must look at its type only. ``scalar``: the
    body as a C expression. ``cost(inputs, outputs, attrs)``: floating-point operations. ``samples()``: calls for the
    generated tests. ``writes``: pairs (input, output) where the output is the new value of the variable at that
    input. ``returns``: how many outputs the public function gives, when the last ones are for the gradient alone.
    ``source``: has its value from outside the run (feeds, state, the graph).
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        spec: Callable[..., Any],
        *,
        structured: bool = False,
        scalar: str | None = None,
        cost: Callable[..., float] | None = None,
        samples: Callable[[], Iterable[Sample]] | None = None,
        nondifferentiable: str | None = None,
        broadcasts: bool = False,
        stateful: bool = False,
        source: bool = False,
        writes: tuple[tuple[int, int], ...] = (),
        numpy: Iterable[Any] = (),
        ulp: float = 0,
        analytic: bool = False,
        oracle: Callable[..., Any] | None = None,
        hidden: bool = False,
        returns: int | None = None,
        effect: bool = False,
        enter: Callable[..., Any] | None = None,
    ) -> None:
        self.name = kernel.__name__.rstrip("_")
        self.kernel = kernel
        self.spec = spec
        self.structured = structured
        self.scalar = scalar
        self.cost = cost
        self.samples = samples
        self.nondifferentiable = nondifferentiable
        self.broadcasts = broadcasts
        self.stateful = stateful  # never folded, never merged with an equal node
        self.source = source
        self.writes = writes
        self.numpy = tuple(numpy)
        self.ulp = ulp
        self.analytic = analytic  # the kernel continues to complex numbers, so a complex step checks the gradient
        self.oracle = oracle  # somebody else's implementation, for tests; the default is NumPy's of the same name
        self.hidden = hidden  # made by other ops only; not part of the public functions
        self.returns = returns
        self.effect = effect  # runs for what it does: in a body it runs even when nobody uses its outputs
        self.enter = enter  # of control flow: (inputs, attrs) -> the body to run now and its inputs
        self.arrays = False  # numbers among its operands become tensors
        self.native: str | None = None  # the name of its kernel, of an op that a user wrote in C++
        self.version = ""  # of what a user wrote: tells it from what had its name before
        self.gradient: Callable[..., Any] | None = None
        self.builder: Any = None  # the public function
        self.module = kernel.__module__
        self.doc = inspect.getdoc(kernel) or ""
        self.cache: dict[Any, tuple[TensorSpec, ...]] = {}
        self.multiple = False  # set by the first spec that is a tuple
        self._read_signature(kernel)

    def _read_signature(self, kernel: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(kernel).parameters.values())[1:]
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.tensors = [each for each in parameters if each.kind in positional]
        self.variadic = next((each.name for each in parameters if each.kind == inspect.Parameter.VAR_POSITIONAL), None)
        self.attributes = [each for each in parameters if each.kind == inspect.Parameter.KEYWORD_ONLY]
        self.optional = [each.name for each in self.tensors if each.default is None]
        self.defaults = {
            each.name: freeze(each.default) for each in self.attributes if each.default is not inspect.Parameter.empty
        }
        self.attribute_names = frozenset(each.name for each in self.attributes)

    @property
    def signature(self) -> inspect.Signature:
        """The public signature: tensors, then attributes, then ``name``."""
        flat = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [each.replace(kind=flat) for each in self.tensors]
        if self.variadic:
            parameters.insert(0, inspect.Parameter(self.variadic, flat))
        required = [each.replace(kind=flat) for each in self.attributes if each.default is inspect.Parameter.empty]
        rest = [each.replace(kind=flat) for each in self.attributes if each.default is not inspect.Parameter.empty]
        if required and any(each.default is not inspect.Parameter.empty for each in parameters):
            required = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in required]
            rest = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in rest]
        named = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None)
        return inspect.Signature([*parameters, *required, *rest, named])

    def infer(self, kinds: Sequence[TensorSpec | Scalar | None], attrs: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        """Output specs for input specs; cached. Raises ``ShapeError`` or ``DTypeError`` from the op's rule."""
        if self.structured:  # few, and a cache would keep the bodies in their attributes alive
            return self._infer(kinds, attrs)
        try:
            known: list[Any] = [each if type(each) is TensorSpec else type(each) for each in kinds]
            if attrs:
                known.append(tuple([_typed(each) for each in attrs.values()]))
            key = tuple(known)
            found = self.cache.get(key)
        except TypeError:  # an attribute that does not hash (the array of a constant)
            return self._infer(kinds, attrs)
        if found is None:
            found = self._infer(kinds, attrs)
            if len(self.cache) >= _CACHE_LIMIT:
                self.cache.clear()
            self.cache[key] = found
        return found

    def _infer(self, kinds: Sequence[TensorSpec | Scalar | None], attrs: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
        try:
            result = self.spec(*kinds, **attrs)
        except UnknownRankError:
            return self._infer_dtype_only(kinds, attrs)
        if type(result) is TensorSpec:
            return (result,)
        specs = tuple(result)  # raises for what no builder would ask, so before anything is remembered
        self.multiple = True
        return specs

    def _infer_dtype_only(
        self, kinds: Sequence[TensorSpec | Scalar | None], attrs: Mapping[str, Any]
    ) -> tuple[TensorSpec, ...]:
        """With a tensor of unknown rank: find a rank that the rule accepts, and keep the dtypes only."""
        failure: FlowError | None = None
        for rank in (2, 1, 4, 3, 0, 5):
            guess = [
                TensorSpec((None,) * rank, each.dtype) if type(each) is TensorSpec and each.shape is None else each
                for each in kinds
            ]
            try:
                specs = self._infer(guess, attrs)
            except FlowError as error:
                failure = failure or error
                continue
            return tuple(TensorSpec(None, spec.dtype) for spec in specs)
        raise failure or ShapeError("no rank fits these operands")

    def flops(self, inputs: Sequence[TensorSpec | Scalar | None], outputs: Sequence[TensorSpec], attrs: Any) -> float:
        """Floating-point operations of one run; 0 when the op moves data only, or a shape is unknown."""
        if self.cost is None or not all(each.known for each in outputs):
            return 0.0
        if not all(each.known for each in inputs if isinstance(each, TensorSpec)):
            return 0.0
        return float(self.cost(inputs, outputs, attrs))

    def __repr__(self) -> str:
        return f"<OpDef {self.name}>"


# ------------------------------------------------------------------------------------------------ building


def _typed(value: Any) -> Any:
    """An attribute as a key: ``1``, ``1.0`` and ``True`` are equal, and not the same to a spec rule."""
    return (tuple, *map(_typed, value)) if type(value) is tuple else (type(value), value)


def freeze(value: Any) -> Any:
    """An attribute as a plain value: lists become tuples, NumPy scalars Python numbers, dtypes their names."""
    cls = type(value)
    if cls is int or cls is str or cls is bool or cls is float or value is None:
        return value
    if cls is list or cls is tuple:
        return tuple([freeze(each) for each in value])
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, type) and issubclass(value, (np.generic, bool, int, float)):
        return np.dtype(value).name
    return value


def find_op(name: str) -> OpDef | None:
    """The declaration of this name: flowbook's, or a user's latest."""
    return REGISTRY.get(name) or OWN.get(name)


def _as_tensors(operands: Sequence[Any]) -> list[Any]:
    """Operands with tensors in the place of numbers, of the dtype that a number has beside the others."""
    specs = [each.spec for each in operands if isinstance(each, Tensor)]
    if not specs:
        return [as_tensor(each) if each is not None else None for each in operands]
    graph = context.current().graph or next(each.graph for each in operands if isinstance(each, Tensor))
    constant = REGISTRY["constant"].builder.__wrapped__
    plain = [each.item() if isinstance(each, np.generic) else each for each in operands]
    with context.override(graph=graph):
        return [constant(each, promote(*specs, each)) if type(each) in _WEAK else each for each in plain]


def as_tensor(value: Any, graph: Any = None) -> Tensor:
    """A tensor for anything an op accepts: a tensor as it is, a number or an array as a constant."""
    if isinstance(value, Tensor):
        return value
    constant = REGISTRY["constant"].builder.__wrapped__
    return constant(value)  # type: ignore[no-any-return]  # without `located`: errors name the op that wants the tensor


def apply(
    op: OpDef, operands: Sequence[Any], attrs: Mapping[str, Any], name: str | None = None, specs: Any = None
) -> Node:
    """Build one node: adopt the operands, infer the specs, add the record."""
    ctx = context.current()
    graph: Any = ctx.graph
    inputs: list[Any] = []
    kinds: list[Any] = []
    arrays = False
    for operand in operands:
        cls = type(operand)
        if cls is Tensor or cls is Variable:
            node = operand.node
            record = node.record
            if record is None:
                while node.moved is not None:
                    node = node.moved
                record = node.current
                operand = node.tensors[operand.index]
            if node.graph is not graph:
                if graph is None:
                    graph = node.graph
                else:
                    operand = graph.capture(operand)
                    record = operand.node.current
            inputs.append(operand)
            known, index = record.specs, operand.index
            kinds.append(known[index] if index < len(known) else operand.spec)
        elif cls is float or cls is int or cls is bool:
            inputs.append(operand)
            kinds.append(operand)
        elif operand is None:
            inputs.append(None)
            kinds.append(None)
        elif isinstance(operand, np.generic):
            operand = operand.item()
            inputs.append(operand)
            kinds.append(operand)
        else:
            arrays = True
            inputs.append(operand)
            kinds.append(operand)
    if graph is None:
        graph = context.get_default_graph()
    if arrays:
        with context.override(graph=graph):
            for position, operand in enumerate(inputs):
                if not isinstance(operand, (Tensor, *_WEAK)) and operand is not None:
                    inputs[position] = tensor = as_tensor(operand)
                    kinds[position] = tensor.spec
    if specs is None:
        try:
            specs = op.infer(kinds, attrs)
        except FlowError as error:
            locate(error, op.name, name, [describe(each) for each in inputs if each is not None], graph)
            raise
    return graph.add(op, tuple(inputs), attrs, specs, name, ctx)  # type: ignore[no-any-return]


def locate(error: FlowError, op: str, name: str | None = None, inputs: Sequence[str] = (), graph: Any = None) -> None:
    """Tell an error raised while ``op`` was built what it does not know yet: the op, and the user's line."""
    ctx = context.current()
    origin = ctx.origin or call_site((graph or context.get_default_graph()).building)
    node = ctx.scope + name if isinstance(name, str) and error.op is None else None
    error.locate(node=node, op=op, cell=origin.cell, line=origin.line, code=origin.code, inputs=inputs)


def located(op: str) -> Callable[[Builder], Builder]:
    """Decorate a builder written by hand: its errors say op, cell and line, as those of generated builders do.

    >>> @located("halve")
    ... def halve(x):
    ...     raise ShapeError("nothing to halve")
    >>> halve(1)
    Traceback (most recent call last):
    flowbook.errors.ShapeError: nothing to halve
      op:     halve
      where:  <doctest flowbook.graph.opdef.located[1]>, line 1:  halve(1)
    """

    def decorate(build: Builder) -> Builder:
        @functools.wraps(build)
        def builder(*args: Any, **kwargs: Any) -> Any:
            try:
                return build(*args, **kwargs)
            except FlowError as error:
                locate(error, op, kwargs.get("name"))
                raise
            except TypeError as error:
                if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                    raise  # from inside; else the arguments do not fit
                wrong = ArgumentError(f"{op}: {str(error).partition('() ')[2]}", hint=f"{op}{_usage(builder)}")
                locate(wrong, op)
                raise wrong from None

        return cast(Builder, builder)

    return decorate


def _usage(function: Callable[..., Any]) -> inspect.Signature:
    """The signature without annotations."""
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def _bind(op: OpDef, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Operands and attributes of a call, as its public signature says; ``ArgumentError`` when it does not fit."""
    try:
        bound = op.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentError(f"{op.name}: {error}", hint=f"{op.name}{op.signature}") from None
    values = bound.arguments
    operands: list[Any] = []
    if op.variadic:
        tensors = values.get(op.variadic, ())
        if isinstance(tensors, (Tensor, np.ndarray)) or not isinstance(tensors, (list, tuple)):
            raise ArgumentError(f"{op.name} takes a list of tensors, not {type(tensors).__name__}")
        if any(each is None for each in tensors):
            raise ArgumentError(f"{op.name}: {op.variadic} holds None", hint="leave it out")
        operands.extend(tensors)
    for each in op.tensors:
        operand = values.get(each.name, each.default if each.default is not each.empty else None)
        if operand is None and each.default is not None:
            raise ArgumentError(
                f"{op.name}: {each.name} is None, it has to be a tensor", hint=f"{op.name}{op.signature}"
            )
        operands.append(operand)
    while op.optional and operands and operands[-1] is None:
        operands.pop()
    attrs = {each.name: freeze(values.get(each.name, each.default)) for each in op.attributes}
    return operands, attrs


def make_builder(op: OpDef) -> Any:
    """The public function of an op. Returns a tensor, a tuple of them, or (no outputs) the node."""
    count = len(op.tensors)
    plain = not op.attributes and op.variadic is None

    def builder(*args: Any, name: str | None = None, **kwargs: Any) -> Any:
        try:
            if plain and len(args) == count and not kwargs and _ABSENT not in map(type, args):
                operands: Sequence[Any] = args
                attrs = _NO_ATTRS
            else:
                operands, attrs = _bind(op, args, kwargs)
            if op.arrays:
                operands = _as_tensors(operands)
            else:
                for each in operands:
                    if isinstance(each, Tensor):
                        break
                else:
                    operands = [as_tensor(each) if each is not None else None for each in operands]
            node = apply(op, operands, attrs, name)
        except FlowError as error:
            locate(error, op.name, name)
            raise
        outputs = node.record.specs[: op.returns]  # type: ignore[union-attr]
        if len(outputs) == 1 and (op.returns or not op.multiple):
            return node.tensors[0]
        return node.tensors[: len(outputs)] if outputs else node

    builder.__name__ = builder.__qualname__ = op.name
    builder.__doc__ = op.doc
    builder.__module__ = op.module
    builder.__signature__ = op.signature  # type: ignore[attr-defined]
    builder.opdef = op  # type: ignore[attr-defined]

    def gradient(rule: Callable[..., Any]) -> Callable[..., Any]:
        """Declare the gradient: ``rule(node, *dys)`` returns one entry per input: a tensor, ``None``, or a function
        without arguments that builds it (called only when that input's gradient is wanted)."""
        op.gradient = rule
        return rule

    builder.gradient = gradient  # type: ignore[attr-defined]
    op.builder = builder
    return builder


def op(*, spec: Callable[..., Any], **fields: Any) -> Callable[[Callable[..., Any]], Any]:
    """Declare an array op; see the module text and `OpDef` for the fields."""

    def declare(kernel: Callable[..., Any]) -> Any:
        definition = OpDef(kernel, spec, **fields)
        if definition.name in REGISTRY:
            raise GraphError(f"op '{definition.name}' is declared twice")
        REGISTRY[definition.name] = definition
        return make_builder(definition)

    return declare


def structured_op(*, spec: Callable[..., Any], **fields: Any) -> Callable[[Callable[..., Any]], Any]:
    """Declare a structured op: like `op`, but the body gets an execution context instead of ``xp``."""
    return op(spec=spec, structured=True, **fields)


def gradient_rule(definition: OpDef) -> Callable[..., Any]:
    """The gradient rule of an op, or ``GradientError`` saying why there is none."""
    if definition.gradient is None:
        reason = definition.nondifferentiable or "nobody declared one"
        raise GradientError(f"{definition.name} has no gradient: {reason}")
    return definition.gradient


# ------------------------------------------------------------------------------------------------ operators


def install_operators(table: Mapping[str, Any], ufuncs: Mapping[Any, Any], functions: Mapping[Any, Any]) -> None:
    """Put Python's operators on `Tensor`, and let NumPy's ufuncs and functions build nodes."""

    def reflected(build: Any) -> Any:
        return lambda self, other: build(other, self)

    for method, build in table.items():
        if isinstance(build, property):
            setattr(Tensor, method, build)
        elif method.startswith("__r"):
            setattr(Tensor, method, reflected(build))
        else:
            setattr(Tensor, method, build)  # a function on a class is a method: no call in between

    def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        build = ufuncs.get(ufunc)
        if build is None or method != "__call__" or kwargs:
            what = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
            extra = f" with {', '.join(kwargs)}" if kwargs and build else ""
            raise ArgumentError(
                f"{what}{extra} cannot build a node from tensor '{self.name}'",
                hint="an fb function, or fb.py_function to run it on the host",
            )
        return build(*inputs)

    def array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        build = functions.get(function)
        if build is None:
            raise ArgumentError(
                f"np.{function.__name__} cannot build a node from tensor '{self.name}'",
                hint="an fb function, or fb.py_function to run it on the host",
            )
        return build(*args, **kwargs)

    Tensor.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
    Tensor.__array_function__ = array_function  # type: ignore[attr-defined]
