"""What the generated tests run over: every array op of the registry with each of its samples.

An op that is added appears here by itself. `build` makes one call of an op with placeholders for its arrays;
`evaluate` computes tensors with the reference kernels alone, so most layers do not depend on the runtime.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import flowbook as fb
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import REGISTRY, OpDef, Sample, freeze, make_builder
from flowbook.graph.order import ancestors, topological


class Case(NamedTuple):
    """One op with one of its samples."""

    op: OpDef
    index: int
    sample: Sample

    def __str__(self) -> str:
        return f"{self.op.name}-{self.index}"


def array_ops() -> list[OpDef]:
    """The array ops that can be called with arrays: all but the writes, whose operand is a Variable."""
    return [each for each in REGISTRY.values() if not each.structured and not each.writes and each.samples]


def cases(of: Callable[[OpDef], bool] = lambda op: True) -> list[Case]:
    """All (op, sample) pairs whose op fulfils ``of``."""
    return [
        Case(op, index, sample)
        for op in array_ops()
        if of(op)
        for index, sample in enumerate(op.samples())  # type: ignore[misc]
    ]


def elementwise(op: OpDef) -> bool:
    """Whether each element of the result depends on one element of each operand."""
    return op.module.endswith(".elementwise") or op.scalar is not None


def differentiable(op: OpDef) -> bool:
    """Whether it has a gradient rule."""
    return op.gradient is not None


def planted(op: OpDef, **changes: Any) -> OpDef:
    """A copy of a declaration with a bug in it, and a builder of its own. The registry is left alone."""
    clone = copy.copy(op)
    clone.cache = {}
    for field, value in changes.items():
        setattr(clone, field, value)
    make_builder(clone)
    return clone


# ------------------------------------------------------------------------------------------------ arrays


def is_float(value: Any) -> bool:
    """Whether it is an array (or tensor) of floats."""
    return hasattr(value, "dtype") and value.dtype.kind == "f"


def cast(inputs: Iterable[Any], dtype: Any) -> tuple[Any, ...]:
    """The float arrays in ``dtype``; everything else as it is."""
    made: dict[int, Any] = {}  # one array used twice stays one array
    return tuple(made.setdefault(id(each), each.astype(dtype)) if is_float(each) else each for each in inputs)


def locked(values: Iterable[Any]) -> tuple[Any, ...]:
    """Read-only copies with the same memory layout, as kernels get them."""
    result = []
    for value in values:
        if isinstance(value, np.ndarray):
            value = value.copy(order="K")
            value.flags.writeable = False
        result.append(value)
    return tuple(result)


def compute(op: OpDef, inputs: Sequence[Any], attrs: Mapping[str, Any], xp: Any = np) -> tuple[Any, ...]:
    """The outputs of the reference kernel, as a tuple. As in a run, a 0-d one may be a NumPy scalar."""
    attrs = {**op.defaults, **{name: freeze(value) for name, value in attrs.items()}}
    with np.errstate(all="ignore"):
        result = op.kernel(xp, *inputs, **attrs)
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


# ------------------------------------------------------------------------------------------------ graphs


class Call(NamedTuple):
    """A call of an op in a graph: the operands (placeholders for arrays), the outputs, and the feeds."""

    operands: tuple[Any, ...]
    outputs: tuple[Tensor, ...]
    feeds: dict[Tensor, Any]

    @property
    def xs(self) -> list[Tensor]:
        """The operands one can differentiate by, each once."""
        return list(dict.fromkeys(each for each in self.operands if isinstance(each, Tensor) and is_float(each)))

    @property
    def ys(self) -> list[Tensor]:
        """The outputs one can differentiate."""
        return [each for each in self.outputs if is_float(each)]


def invoke(op: OpDef, operands: Sequence[Any], attrs: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Call the public builder of an op; all outputs of the node."""
    arguments = [list(operands)] if op.variadic else list(operands)
    built = op.builder(*arguments, **attrs)  # type: ignore[attr-defined]
    return (built[0] if isinstance(built, tuple) else built).node.outputs  # type: ignore[no-any-return]


def build(op: OpDef, inputs: Sequence[Any], attrs: Mapping[str, Any], shape_of: Any = None) -> Call:
    """One call in the current graph. The same array twice becomes the same placeholder twice."""
    made: dict[int, Tensor] = {}
    operands, feeds = [], {}
    for value in inputs:
        if isinstance(value, np.ndarray):
            if id(value) not in made:
                shape = value.shape if shape_of is None else shape_of(value)
                made[id(value)] = tensor = fb.placeholder(shape, value.dtype.name)
                feeds[tensor] = value
            value = made[id(value)]
        operands.append(value)
    return Call(tuple(operands), invoke(op, operands, attrs), feeds)


def evaluate(fetches: Sequence[Tensor], feeds: Mapping[Tensor, Any]) -> list[Any]:
    """Values of tensors, one reference kernel after the other. Every value is read-only, and has to be what the
    spec says."""
    values: dict[Any, Any] = dict(zip(feeds, locked(feeds.values()), strict=True))
    fed: set[Node] = {each.node for each in feeds}
    for node in topological(ancestors([each.node for each in fetches], stop=lambda node: node in fed)):
        record = node.current
        if record.op.name == "constant":
            values[node.outputs[0]] = record.attrs["value"]
        elif node not in fed:
            inputs = [values[each] if isinstance(each, Tensor) else each for each in record.inputs]
            for tensor, value in zip(node.outputs, compute(record.op, inputs, record.attrs), strict=True):
                assert value.dtype == tensor.dtype, f"{node}: the kernel gave {value.dtype} {value.shape}"
                assert fits(value.shape, tensor.shape), f"{node}: the kernel gave {value.dtype} {value.shape}"
                if isinstance(value, np.ndarray):
                    value.flags.writeable = False
                values[tensor] = value
    return [values[each] for each in fetches]


def fits(actual: tuple[int, ...], shape: Any, sizes: dict[str, int] | None = None) -> bool:
    """Whether an inferred shape is true of an actual one; ``sizes`` binds the named dimensions."""
    if shape is None:
        return True
    if len(actual) != len(shape):
        return False
    sizes = {} if sizes is None else sizes
    return all(
        dim is None or (sizes.setdefault(dim, size) if isinstance(dim, str) else dim) == size
        for size, dim in zip(actual, shape, strict=True)
    )
