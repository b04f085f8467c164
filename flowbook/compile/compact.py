"""Compaction: number the values that are left after the other passes again, without gaps.

A run has a place for each value. After folding, merging and fusing, most have neither maker nor reader any more.
"""

from __future__ import annotations

from flowbook.compile.program import Program


def compact(program: Program) -> None:
    """Give up the values that no instruction reads or makes, and that come from and go to nobody."""
    used: set[int | None] = {value for _, value in program.feeds}
    used.update(program.states, program.writes.values(), program.fetches)
    for each in program.instructions:
        used.update(each.inputs)
        used.update(each.outputs)
    order = sorted([value for value in used if value is not None])
    if len(order) == len(program.specs):
        return
    new: dict[int | None, int] = {value: number for number, value in enumerate(order)}
    program.specs = [program.specs[value] for value in order]
    program.constants = {new[value]: constant for value, constant in program.constants.items() if value in new}
    program.feeds = [(tensor, new[value]) for tensor, value in program.feeds]
    program.states = {new[value]: variable for value, variable in program.states.items()}
    program.writes = {variable: new[value] for variable, value in program.writes.items()}
    program.fetches = [new.get(value) for value in program.fetches]
    for each in program.instructions:
        each.inputs = tuple([new.get(value) for value in each.inputs])
        each.outputs = tuple([new[value] for value in each.outputs])
