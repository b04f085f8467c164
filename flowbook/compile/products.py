"""Products made cheaper by what stands around them, to the same bytes.

A product whose result is only added to something is added to it as it is made: a weight that a recurrent network uses
at every step has a gradient that is a sum of many products, and the sum then stays in one place. Right operands that
many products of few rows share are brought into the kernels' order once, and not by each of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowbook.compile.kernels import NAMES, operands, replaceable, usable
from flowbook.compile.program import Instruction, Program
from flowbook.graph.opdef import OpDef
from flowbook.graph.types import TensorSpec
from flowbook.native import library
from flowbook.native.program import fusible

SHORT = 128  # steps of k, at most, of products whose sum is made one after the other
SHARED = 3  # products, at least, for which an operand is packed
ROWS = 84  # of a product, at most: with more of them packing is little beside the work
LARGE = 4096  # elements of an operand, at least, that is worth packing


def products(program: Program) -> None:
    """Replace products by cheaper ones, with kernels of the native library."""
    if library is None or not any(each.op.name == "matmul" for each in program.instructions):
        return
    _add(program)
    _pack(program)


def _matrices(each: Instruction, program: Program) -> list[Any] | None:
    """The specs of the operands and the result of a product of two float matrices."""
    if each.op.name != "matmul" or not replaceable(each.op) or each.device not in (None, "cpu:0"):
        return None
    kinds = operands(each, program)
    if kinds is None:
        return None
    specs = [*kinds, program.specs[each.outputs[0]]]
    if not all(usable(spec) and len(spec.shape) == 2 and spec.dtype == specs[-1].dtype for spec in specs):
        return None
    return specs if specs[-1].dtype.kind == "f" else None


# ---------------------------------------------------------------------------------------------------- added as made


def _add(program: Program) -> None:
    instructions, specs = program.instructions, program.specs
    readers: Counter[int | None] = Counter(value for each in instructions for value in each.inputs)
    readers.update(program.fetches)
    readers.update(program.writes.values())
    awaited = {id(other) for each in instructions for other in each.after}
    maker = {value: each for each in instructions for value in each.outputs}
    users: dict[int, list[Instruction]] = {}
    for each in instructions:
        for value in each.inputs:
            if value is not None:
                users.setdefault(value, []).append(each)

    def elementwise(each: Instruction | None, shape: Any) -> bool:
        """Whether it may share a pass over memory with an addition of this shape."""
        if each is None or len(each.outputs) != 1 or not replaceable(each.op):
            return False
        spec, kinds = specs[each.outputs[0]], operands(each, program)
        if spec is None or kinds is None or not usable(spec) or not fusible(each.op.name, kinds, each.attrs, [spec]):
            return False
        return shape in (spec.shape, *(getattr(kind, "shape", None) for kind in kinds))

    made: dict[int, Instruction] = {}  # by the id of the addition
    gone: set[int] = set()
    for each in instructions:
        if each.op.name != "add" or not replaceable(each.op) or each.device not in (None, "cpu:0"):
            continue
        sum_spec: Any = specs[each.outputs[0]]
        kinds = operands(each, program)
        if kinds is None or any(kind != sum_spec for kind in kinds):
            continue
        for place in (1, 0):
            product, other = maker.get(each.inputs[place]), each.inputs[1 - place]  # type: ignore[arg-type]
            if product is None or id(product) in gone or id(product) in awaited or other == each.inputs[place]:
                continue
            if readers[each.inputs[place]] != 1 or (found := _matrices(product, program)) is None:
                continue
            before = maker.get(other)  # type: ignore[arg-type]
            sums = before is not None and (id(before) in made or before.op.name == "matmul")
            if sums and found[0].shape[1] > SHORT:
                continue  # the addition is nothing beside it, and they could run side by side
            neighbours = [] if sums else [before, *users.get(each.outputs[0], ())]
            if any(elementwise(neighbour, sum_spec.shape) for neighbour in neighbours):
                continue  # the addition costs nothing in their pass
            kernel = _kernel("matmul_add", [found[0], found[1], sum_spec], sum_spec)
            if kernel is None:
                continue
            made[id(each)] = Instruction(
                MATMUL_ADD, (*product.inputs, other), each.outputs, {"kernel": kernel}, each.node, each.name,
                each.device, tuple(dict.fromkeys((*product.after, *each.after))),
            )  # fmt: skip
            gone.add(id(product))
            break
    _replace(program, made, gone)


# ---------------------------------------------------------------------------------------------------- packed once


def _pack(program: Program) -> None:
    specs = program.specs
    sharing: dict[int, list[tuple[Instruction, list[TensorSpec]]]] = {}
    for each in program.instructions:
        if each.op is MATMUL_ADD:
            found: Any = [specs[value] for value in (*each.inputs[:2], each.outputs[0])]  # type: ignore[index]
        elif (found := _matrices(each, program)) is None:
            continue
        if 2 <= found[2].shape[0] <= ROWS and found[2].shape[1] > 1 and (found[1].size or 0) >= LARGE:
            sharing.setdefault(each.inputs[1], []).append((each, found))  # type: ignore[arg-type]
    made: dict[int, Instruction] = {}
    before: dict[int, Instruction] = {}  # by the id of the first product that uses it
    for value, those in sharing.items():
        if len(those) < SHARED:
            continue
        (first, (_, right, _)) = those[0]
        room = TensorSpec((_room(*right.shape),), right.dtype)  # type: ignore[misc]
        pack = _kernel("pack", [right], room)
        kernels = [
            _kernel("packed_matmul", [found[0], room, *([found[2]] if each.op is MATMUL_ADD else [])], found[2])
            for each, found in those
        ]
        if pack is None or None in kernels:
            continue
        panels = program.value(room)
        before[id(first)] = Instruction(
            PACK, (value,), (panels,), {"kernel": pack}, first.node, f"{first.name}/pack", first.device
        )
        for (each, _), kernel in zip(those, kernels, strict=True):
            made[id(each)] = Instruction(
                PACKED_MATMUL, (each.inputs[0], panels, *each.inputs[2:]), each.outputs, {"kernel": kernel}, each.node,
                each.name, each.device, each.after,
            )  # fmt: skip
    _replace(program, made, set(), before)


def _room(k: int, n: int) -> int:
    """Numbers, at least, that the panels of a matrix take on any CPU: whole vectors, and whole blocks of k."""
    return (n + 63) // 64 * 64 * (k + 16 * (k // 512 + 1))


def _kernel(name: str, inputs: list[TensorSpec], output: TensorSpec) -> Any:
    """The kernel, or ``None`` when the library has none for these."""
    known: list[Any] = [(NAMES[spec.dtype], spec.shape) for spec in (*inputs, output)]
    kernel = library.Kernel(name, {}, [dtype for dtype, _ in known[:-1]], known[-1:])
    return kernel if kernel.fits(known[:-1]) else None


def _replace(
    program: Program, made: dict[int, Instruction], gone: set[int], before: dict[int, Instruction] | None = None
) -> None:
    """Put instructions in the place of others; leave out those that are gone; ``before``: more to put in."""
    if not made:
        return
    found = []
    for each in program.instructions:
        if before and id(each) in before:
            found.append(before[id(each)])
        if id(each) not in gone:
            found.append(made.get(id(each), each))
    for each in found:
        if each.after:
            each.after = tuple([made.get(id(other), other) for other in each.after])
    program.instructions = found


def _spec(*kinds: Any, **attrs: Any) -> Any:
    raise AssertionError("made of instructions whose specs are known")


def matmul_add(xp: Any, x: Any, y: Any, z: Any, *, kernel: Any) -> Any:
    """x y + z."""
    return xp.add(xp.matmul(x, y), z)


def pack(xp: Any, y: Any, *, kernel: Any) -> Any:
    """y in the order in which products read it, which the library alone knows; here, as it is."""
    return y


def packed_matmul(xp: Any, x: Any, y: Any, z: Any = None, *, kernel: Any) -> Any:
    """x y, or x y + z, where y is what `pack` gave."""
    product = xp.matmul(x, y)
    return product if z is None else xp.add(product, z)


MATMUL_ADD, PACK, PACKED_MATMUL = OpDef(matmul_add, _spec), OpDef(pack, _spec), OpDef(packed_matmul, _spec)
