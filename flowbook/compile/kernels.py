"""Which kernel a step runs: a native one where there is one for its dtypes and shapes, else the reference kernel.

Both drivers run what is chosen here, so they give the same bytes. A native kernel is an object of the compiled library
that Python calls with arrays and that the native executor calls without Python.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import numpy as np

from flowbook.compile.program import Instruction, Program
from flowbook.graph.opdef import REGISTRY, OpDef
from flowbook.graph.types import TensorSpec, promote
from flowbook.native import KERNELS, library, nanoseconds
from flowbook.native.program import Program as Elementwise
from flowbook.native.program import fusible

# The type of native kernels; without the library, nothing is one.
NativeKernel: Any = library.Kernel if library is not None else ()
NAMES = {
    np.dtype(name): name
    for name in ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
}  # the dtypes of the library; `dtype.name` is slow
MAX_RANK = 8
# Ops that only look at memory in another way. Their reference kernels are views of NumPy's, as good as nothing.
_VIEWS = """reshape reshape_like transpose matrix_transpose flip squeeze expand_dims broadcast_to broadcast_like getitem
split split_like unstack identity stop_gradient"""
VIEWS = frozenset(_VIEWS.split())
WEAK = (bool, int, float)


def native_kernel(each: Instruction, program: Program) -> Any:
    """The native kernel of an instruction, or ``None``."""
    if library is None or not each.outputs or each.device not in (None, "cpu:0"):
        return None
    if "kernel" in each.attrs and not replaceable(each.op):  # a pass chose it
        return each.attrs["kernel"]
    if each.op.native is not None:
        return own_kernel(each, program)
    if not replaceable(each.op) or each.op.name in VIEWS:
        return None
    kinds = operands(each, program)
    outputs: list[Any] = [program.specs[value] for value in each.outputs]
    if kinds is None or not all(map(usable, outputs)):
        return None
    if fusible(each.op.name, kinds, each.attrs, outputs):
        return elementwise_kernel([each], [each.outputs[0]], program)[0]
    if each.op.name not in KERNELS:
        return None
    scalars = any(type(kind) in WEAK for kind in kinds)
    if scalars and not each.op.broadcasts:
        return None
    common = NAMES[promote(*kinds)] if scalars else ""
    inputs = [(NAMES[kind.dtype], kind.shape) if isinstance(kind, TensorSpec) else (common, ()) for kind in kinds]
    results = [(NAMES[spec.dtype], spec.shape) for spec in outputs]
    try:
        kernel = library.Kernel(each.op.name, dict(each.attrs), [dtype for dtype, _ in inputs], results)
    except RuntimeError:  # attributes that are no plain values
        return None
    return kernel if kernel.fits(inputs) else None


def own_kernel(each: Instruction, program: Program) -> Any:
    """The kernel of an operator that a user wrote: the one that belongs to its declaration, whatever its name."""
    kinds = operands(each, program)
    outputs = [program.specs[value] for value in each.outputs]
    if kinds is None or not all(isinstance(kind, TensorSpec) for kind in kinds) or not all(map(usable, outputs)):
        return None
    attrs = nanoseconds(each.op, kinds, outputs, each.attrs)
    results = [(NAMES[spec.dtype], spec.shape) for spec in outputs]  # type: ignore[union-attr]
    return library.Kernel(each.op.native, attrs, [NAMES[kind.dtype] for kind in kinds], results)


def replaceable(op: OpDef) -> bool:
    """Whether native kernels, which go by an op's name, are meant: not for one that only has the name of an op."""
    return not op.structured and REGISTRY.get(op.name) is op


def operands(each: Instruction, program: Program) -> list[Any] | None:
    """What an instruction reads: specs, and Python's numbers as themselves; ``None`` when a kernel cannot have it."""
    found: list[Any] = []
    for value in each.inputs:
        if value is None:
            return None
        spec = program.specs[value]
        if spec is None:
            number = program.constants.get(value)
            if type(number) not in WEAK:
                return None
            found.append(number)
        elif usable(spec):
            found.append(spec)
        else:
            return None
    return found


@lru_cache(maxsize=4096)
def usable(spec: TensorSpec | None) -> bool:
    """Whether the library can hold such an array."""
    if spec is None or spec.shape is None or spec.dtype not in NAMES or len(spec.shape) > MAX_RANK:
        return False
    return spec.known


# ------------------------------------------------------------------------------------------------ elementwise groups


def elementwise_kernel(members: list[Instruction], results: list[int], program: Program) -> tuple[Any, list[int]]:
    """One kernel for several elementwise instructions, and the values it reads, in order.

    ``members``: in an order that works, over one iteration space. ``results``: the values to keep.
    """
    code, known = Elementwise(), cast(list[Any], program.specs)
    made: dict[int, Any] = {}
    inputs: list[int] = []
    emit, constants = code.emit, program.constants
    for each in members:
        handles = []
        for value in cast(tuple[int, ...], each.inputs):
            handle = made.get(value)
            if handle is None:
                spec = known[value]
                if spec is None:
                    handle = constants[value]
                else:
                    handle = code.input(spec.dtype, spec.shape)
                    inputs.append(value)
                made[value] = handle
            handles.append(handle)
        result = each.outputs[0]
        made[result] = emit(each.op.name, handles, each.attrs, known[result])
    shape = iteration_shape(members[-1], program)
    for value in results:
        code.output(made[value])
    specs = [known[value] for value in results]
    dtypes = [NAMES[known[value].dtype] for value in inputs]
    outputs = [(NAMES[spec.dtype], spec.shape) for spec in specs]
    picks = [members[0].inputs.index(value) for value in inputs] if len(members) == 1 else None
    return library.Kernel("elementwise", code.attrs(shape), dtypes, outputs, picks), inputs


REDUCTIONS = frozenset(["sum", "mean", "max", "min", "prod", "any", "all", "unbroadcast"])


def iteration_shape(each: Instruction, program: Program) -> Any:
    """The shape an elementwise instruction walks over: that of its result, or of what it reduces."""
    value = each.inputs[0] if each.op.name in REDUCTIONS else each.outputs[0]
    assert value is not None
    spec = program.specs[value]
    return () if spec is None else spec.shape


def _fused_spec(*kinds: Any, **attrs: Any) -> Any:
    raise AssertionError("a group is made of instructions whose specs are known")


def fused(xp: Any, *arrays: Any, members: Any, reads: Any, numbers: Any, results: Any, kernel: Any) -> Any:
    """Several elementwise operations in one pass. The reference: one after the other.

    ``members``: their instructions. ``reads``: the values that the arrays are. ``numbers``: Python's numbers, by
    value. ``results``: the values to give.
    """
    values = {**numbers, **dict(zip(reads, arrays, strict=True))}
    for each in members:
        values[each.outputs[0]] = each.op.kernel(xp, *[values[value] for value in each.inputs], **each.attrs)
    found = [np.asarray(values[each]) for each in results]
    return tuple(found) if len(found) > 1 else found[0]


FUSED = OpDef(fused, _fused_spec)
