"""Elementwise fusion: neighbours that walk over one shape become one instruction that passes over memory once.

Instructions get stages: a step up wherever two cannot share a pass (a matrix product between them, another shape, a
reduction's result). Two elementwise instructions of one shape and one stage have nothing between them, so all that
are connected become a group. An instruction whose result would only wait in memory for a later group moves there when
that stores no more. A reduction may end a group.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any, cast

from flowbook.compile.kernels import (
    FUSED,
    REDUCTIONS,
    elementwise_kernel,
    iteration_shape,
    operands,
    replaceable,
    usable,
)
from flowbook.compile.program import Instruction, Program
from flowbook.native import library
from flowbook.native.program import fusible

SMALL = 4096  # elements: all registers of a group stay in the cache, however many
MEMBERS = 64  # of a group over more elements, at most
ARRAYS = 48  # that a group reads


def fuse(program: Program) -> None:
    """Replace connected elementwise instructions by one instruction each, with a kernel of the native library."""
    if library is None:
        return
    groups = _Fusion(program).groups()
    if groups:
        _rebuild(program, groups)


class _Fusion:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.all = program.instructions
        self.awaited = {id(other) for each in self.all for other in each.after}
        self.places = {id(each): at for at, each in enumerate(self.all)} if self.awaited else {}
        self.maker: dict[int, int] = {value: at for at, each in enumerate(self.all) for value in each.outputs}
        self.known: dict[Any, Any] = {}  # shapes found, by op and what it reads
        self.shapes: list[Any] = [self._shape(each) for each in self.all]
        # Whether others can read a result within its pass.
        self.opens = [
            shape is not None and each.op.name not in REDUCTIONS
            for shape, each in zip(self.shapes, self.all, strict=True)
        ]
        self.readers: list[list[int]] = [[] for _ in self.all]
        for at, each in enumerate(self.all):
            for value in each.inputs:
                if value in self.maker:
                    self.readers[self.maker[value]].append(at)
        self.kept = {*program.fetches, *program.writes.values()}
        self.stages = [0] * len(self.all)

    def groups(self) -> list[list[int]]:
        """Positions of the members of each group of two or more."""
        self._raise()
        self._sink()
        parent = list(range(len(self.all)))

        def root(at: int) -> int:
            while parent[at] != at:
                parent[at] = parent[parent[at]]
                at = parent[at]
            return at

        maker, stages, shapes, opens = self.maker, self.stages, self.shapes, self.opens
        for at, each in enumerate(self.all):
            shape = shapes[at]
            if shape is None:
                continue
            for value in each.inputs:
                before = maker.get(value, -1)  # type: ignore[arg-type]
                if before >= 0 and stages[before] == stages[at] and opens[before] and shapes[before] == shape:
                    parent[root(at)] = root(before)
        found: dict[int, list[int]] = {}
        for at in range(len(self.all)):
            if self.shapes[at] is not None:
                found.setdefault(root(at), []).append(at)
        return [part for members in found.values() if len(members) > 1 for part in self._cut(members)]

    def _shape(self, each: Instruction) -> Any:
        """What an instruction walks over, or ``None`` for one that cannot be in a group."""
        op = each.op
        if not replaceable(op) or len(each.outputs) != 1 or each.device not in (None, "cpu:0"):
            return None
        specs, constants = self.program.specs, self.program.constants
        if each.attrs:
            return self._walked(each)
        # Specs are made once for an op and its inputs, so what is alike is found again by their identity.
        key: Any = [each.op.name]
        for value in each.inputs:
            spec = None if value is None else specs[value]
            key.append(id(spec) if spec is not None else (type(constants.get(value)), constants.get(value)))  # type: ignore[arg-type]
        key = tuple(key)
        try:
            if key not in self.known:
                self.known[key] = self._walked(each)
            return self.known[key]
        except TypeError:  # a constant that does not hash
            return self._walked(each)

    def _walked(self, each: Instruction) -> Any:
        spec: Any = self.program.specs[each.outputs[0]]
        if not usable(spec):
            return None
        kinds = operands(each, self.program)
        if kinds is None or not fusible(each.op.name, kinds, each.attrs, [spec]):
            return None
        return iteration_shape(each, self.program)

    def _size(self, at: int) -> int:
        size = 1
        for dim in self.shapes[at]:
            size *= dim
        return size

    def _joins(self, before: int, after: int) -> bool:
        """Whether two neighbours can be in one pass."""
        return self.opens[before] and self.shapes[before] == self.shapes[after]

    def _raise(self) -> None:
        """The first stage that each instruction can be in."""
        maker, stages, shapes, opens = self.maker, self.stages, self.shapes, self.opens
        for at, each in enumerate(self.all):
            stage, shape = 0, shapes[at]
            for value in each.inputs:
                before = maker.get(value, -1)  # type: ignore[arg-type]
                if before >= 0:
                    joins = opens[before] and shapes[before] == shape
                    stage = max(stage, stages[before] if joins else stages[before] + 1)
            for other in each.after:
                before = self.places.get(id(other), -1)
                if before >= 0:
                    stage = max(stage, stages[before] + 1)
            stages[at] = stage

    def _sink(self) -> None:
        """Move what only later groups read into them, where that keeps fewer bytes, or as many."""
        specs = self.program.specs
        for at in range(len(self.all) - 1, -1, -1):
            each = self.all[at]
            if self.shapes[at] is None or each.op.name in REDUCTIONS or each.outputs[0] in self.kept:
                continue
            if each.after or id(each) in self.awaited:  # others say when
                continue
            readers = self.readers[at]
            if not readers or not all(self._joins(at, after) for after in readers):
                continue
            late = min(self.stages[after] for after in readers)
            if late <= self.stages[at]:
                continue
            new = 0
            for value in set(each.inputs):
                before = self.maker.get(value, -1)  # type: ignore[arg-type]
                if before < 0 or value in self.kept or not self._joins(before, at):
                    continue  # in memory anyway
                if all(
                    self.stages[after] == self.stages[before] and self._joins(before, after)
                    for after in self.readers[before]
                    if after != at
                ):
                    new += specs[value].nbytes or 0  # type: ignore[union-attr, index]
            if new <= (specs[each.outputs[0]].nbytes or 0):  # type: ignore[union-attr]
                self.stages[at] = late

    def _cut(self, members: list[int]) -> list[list[int]]:
        """A group in parts, one after the other, where it is too long or would read too many arrays."""
        if self._size(members[0]) <= SMALL:
            return [members]
        specs = self.program.specs
        found: list[list[int]] = [[]]
        reads: set[Any] = set()
        made: set[int] = set()
        for at in members:
            arrays = {value for value in self.all[at].inputs if value is None or specs[value] is not None}
            if len(found[-1]) == MEMBERS or len(reads | (arrays - made)) > ARRAYS:
                found.append([])
                reads, made = set(), set()
            found[-1].append(at)
            reads |= arrays - made
            made.update(self.all[at].outputs)
        return [part for part in found if len(part) > 1]


def _rebuild(program: Program, groups: list[list[int]]) -> None:
    """The program with its groups as single instructions, in an order close to the old one."""
    old = program.instructions
    group_of = {at: number for number, members in enumerate(groups) for at in members}
    made_in = {old[at].outputs[0]: number for at, number in group_of.items()}
    kept = {*program.fetches, *program.writes.values()}  # and what others read of a group
    for at, each in enumerate(old):
        mine = group_of.get(at, -1)
        for value in each.inputs:
            if made_in.get(value, mine) != mine:  # type: ignore[arg-type]
                kept.add(value)
    new: dict[int, Instruction] = {}  # by the place of the last member, where it stands
    for members in groups:
        parts = [old[at] for at in members]
        results = [part.outputs[0] for part in parts if part.outputs[0] in kept]
        new[members[-1]] = _fused(parts, results, program)
    instructions = [new.get(at, each) for at, each in enumerate(old) if at in new or at not in group_of]
    merged = {id(old[at]): new[groups[number][-1]] for at, number in group_of.items()}
    for each in instructions:
        if each.after:
            each.after = tuple(dict.fromkeys(merged.get(id(other), other) for other in each.after))
    program.instructions = _ordered(instructions)


def _fused(parts: list[Instruction], results: list[int], program: Program) -> Instruction:
    kernel, inputs = elementwise_kernel(parts, results, program)
    number = {value: place for place, value in enumerate(inputs)}
    members = []
    for part in parts:
        values = cast(tuple[int, ...], part.inputs)
        taken = tuple([number[value] if value in number else (program.constants[value],) for value in values])
        members.append((part.op, taken, part.attrs))
        number[part.outputs[0]] = len(number)
    attrs = {"members": tuple(members), "results": tuple(number[value] for value in results), "kernel": kernel}
    last = parts[-1]
    after = tuple([other for part in parts for other in part.after])
    return Instruction(FUSED, tuple(inputs), tuple(results), attrs, last.node, last.name, last.device, after)


def _ordered(instructions: list[Instruction]) -> list[Instruction]:
    """In dependency order; where there is a choice, in the given one."""
    maker = {value: at for at, each in enumerate(instructions) for value in each.outputs}
    place = {id(each): at for at, each in enumerate(instructions)}
    waits = [0] * len(instructions)
    next_of: list[list[int]] = [[] for _ in instructions]
    for at, each in enumerate(instructions):
        needed = {maker[value] for value in each.inputs if value in maker}
        needed.update(place[id(other)] for other in each.after if id(other) in place)
        needed.discard(at)
        waits[at] = len(needed)
        for other in needed:
            next_of[other].append(at)
    ready = [at for at, count in enumerate(waits) if count == 0]
    heapify(ready)
    found = []
    while ready:
        at = heappop(ready)
        found.append(instructions[at])
        for after in next_of[at]:
            waits[after] -= 1
            if waits[after] == 0:
                heappush(ready, after)
    assert len(found) == len(instructions), "fusion closed a circle"
    return found
