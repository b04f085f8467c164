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
        self.maker = [-1] * len(program.specs)  # by value; -1 for what is there before
        for at, each in enumerate(self.all):
            for value in each.outputs:
                self.maker[value] = at
        self.shapes = self._shapes()
        # Whether others can read a result within its pass.
        self.opens = [
            shape is not None and each.op.name not in REDUCTIONS
            for shape, each in zip(self.shapes, self.all, strict=True)
        ]
        self.readers: list[list[int]] = [[] for _ in self.all]
        self.apart: dict[int, int] = {}  # what `_apart` found, kept right while stages change
        self.kept = {*program.fetches, *program.writes.values()}
        self.stages = [0] * len(self.all)

    def groups(self) -> list[list[int]]:
        """Positions of the members of each group of two or more."""
        self._raise()
        self._sink()
        maker, stages, shapes, opens = self.maker, self.stages, self.shapes, self.opens
        found: list[list[int]] = []
        group: list[Any] = [None] * len(self.all)  # of each its group, shared by all members
        for at, each in enumerate(self.all):
            shape, mine = shapes[at], None
            if shape is None:
                continue
            for value in cast(tuple[int, ...], each.inputs):  # one that leaves an input out walks over nothing
                before = maker[value]
                if before >= 0 and stages[before] == stages[at] and opens[before] and shapes[before] == shape:
                    theirs = group[before]
                    mine = theirs if mine is None or mine is theirs else _merged(mine, theirs, group)
            if mine is None:
                found.append(mine := [])
            mine.append(at)
            group[at] = mine
        members = sorted([sorted(each) for each in found if len(each) > 1])
        return [part for each in members for part in self._cut(each)]

    def _shapes(self) -> list[Any]:
        """What each instruction walks over, or ``None`` for one that cannot be in a group."""
        specs, constants = self.program.specs, self.program.constants
        # Specs are made once for an op and its inputs, so what is alike is found again by their identity.
        marks: list[Any] = [id(spec) for spec in specs]
        for value, constant in constants.items():
            if specs[value] is None:
                marks[value] = type(constant), constant
        known: dict[Any, Any] = {}
        found = []
        for each in self.all:
            if each.attrs or None in each.inputs:
                found.append(self._walked(each))
                continue
            key = each.op, each.device, *[marks[value] for value in each.inputs]  # type: ignore[index]
            if key not in known:
                known[key] = self._walked(each)
            found.append(known[key])
        return found

    def _walked(self, each: Instruction) -> Any:
        if not replaceable(each.op) or len(each.outputs) != 1 or each.device not in (None, "cpu:0"):
            return None
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
        """The first stage that each instruction can be in; and who reads it."""
        maker, stages, shapes, opens = self.maker, self.stages, self.shapes, self.opens
        readers = self.readers
        for at, each in enumerate(self.all):
            stage, shape = 0, shapes[at]
            for value in each.inputs:
                before = -1 if value is None else maker[value]
                if before >= 0:
                    readers[before].append(at)
                    joins = opens[before] and shapes[before] == shape
                    first = stages[before] if joins else stages[before] + 1
                    if first > stage:
                        stage = first
            for other in each.after:
                before = self.places.get(id(other), -1)
                if before >= 0:
                    stage = max(stage, stages[before] + 1)
            stages[at] = stage

    def _sink(self) -> None:
        """Move what only later groups read into them, where that keeps fewer bytes, or as many."""
        stages, readers = self.stages, self.readers
        for at in range(len(self.all) - 1, -1, -1):
            stage = stages[at]
            for after in readers[at]:
                if stages[after] == stage:
                    break
            else:
                if readers[at] and self.opens[at]:
                    self._sink_one(at)

    def _sink_one(self, at: int) -> None:
        """`_sink` one that is read in later stages only."""
        each, stages, specs = self.all[at], self.stages, self.program.specs
        if each.outputs[0] in self.kept or each.after or id(each) in self.awaited:  # others say when
            return
        if not all(self._joins(at, after) for after in self.readers[at]):
            return
        new = 0
        inputs = cast(tuple[int, ...], each.inputs)
        for value in set(inputs):
            before = self.maker[value]
            if before < 0 or value in self.kept or not self._joins(before, at):
                continue  # in memory anyway
            mine = inputs.count(value) if stages[at] != stages[before] else 0
            if self._apart(before) == mine:
                new += specs[value].nbytes or 0  # type: ignore[union-attr]
        if new <= (specs[each.outputs[0]].nbytes or 0):  # type: ignore[union-attr]
            for before in [self.maker[value] for value in inputs]:
                if before in self.apart and stages[before] == stages[at] and self._joins(before, at):
                    self.apart[before] += 1
            stages[at] = min(stages[after] for after in self.readers[at])

    def _apart(self, before: int) -> int:
        """How many times a result is read outside the pass that makes it."""
        if before not in self.apart:
            stage, stages = self.stages[before], self.stages
            self.apart[before] = sum(
                stages[after] != stage or not self._joins(before, after) for after in self.readers[before]
            )
        return self.apart[before]

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


def _merged(one: list[int], other: list[int], group: list[Any]) -> list[int]:
    """Two groups as one, in the larger list; ``group`` says of each member which it is in."""
    small, large = (one, other) if len(one) < len(other) else (other, one)
    large += small
    for at in small:
        group[at] = large
    small.clear()
    return large


def _rebuild(program: Program, groups: list[list[int]]) -> None:
    """The program with its groups as single instructions, in an order close to the old one."""
    old = program.instructions
    group_of, made_in = [-1] * len(old), [-1] * len(program.specs)  # by place, and by value; -1: none
    for number, members in enumerate(groups):
        for at in members:
            group_of[at] = made_in[old[at].outputs[0]] = number
    kept = {*program.fetches, *program.writes.values()}  # and what others read of a group
    for each, mine in zip(old, group_of, strict=True):
        for value in each.inputs:
            if value is not None and made_in[value] >= 0 and made_in[value] != mine:
                kept.add(value)
    numbers = {value: each for value, each in program.constants.items() if program.specs[value] is None}
    new: dict[int, Instruction] = {}  # by the place of the last member, where it stands
    for members in groups:
        parts = [old[at] for at in members]
        results = [part.outputs[0] for part in parts if part.outputs[0] in kept]
        new[members[-1]] = _fused(parts, results, numbers, program)
    instructions = [new.get(at, each) for at, each in enumerate(old) if at in new or group_of[at] < 0]
    if any(each.after for each in instructions):
        merged = {id(old[at]): new[members[-1]] for members in groups for at in members}
        for each in instructions:
            if each.after:
                each.after = tuple(dict.fromkeys(merged.get(id(other), other) for other in each.after))
    program.instructions = _ordered(instructions)


def _fused(parts: list[Instruction], results: list[int], numbers: dict[int, Any], program: Program) -> Instruction:
    kernel, inputs = elementwise_kernel(parts, results, program)
    attrs = {"members": parts, "reads": inputs, "numbers": numbers, "results": results, "kernel": kernel}
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
