"""What a run needs memory for: the plan knows before it runs.

Values lie in one arena, each where nothing that lives at the same time lies; results are arrays of their own.
"""

from __future__ import annotations

from typing import NamedTuple

from flowbook.compile.plan import Plan, Step
from flowbook.runtime.engine import engine_of


class Block(NamedTuple):
    """Memory of one value. ``cell``: which cell made the node, or ``None`` for a script."""

    node: str
    op: str
    cell: str | None
    bytes: int


class Memory(NamedTuple):
    """What a run allocates. ``peak``: the most bytes alive at once, at the node ``at``; ``alive``: what they are, the
    largest first. ``arena``: bytes of the arena, which holds all but the results; with gaps between values."""

    peak: int
    arena: int
    at: str
    alive: tuple[Block, ...]

    def __str__(self) -> str:
        rows = [("node", "op", "cell", "bytes")]
        rows += [(each.node, each.op, each.cell or "-", f"{each.bytes:,}") for each in self.alive]
        a, b, c, d = (max(len(row[column]) for row in rows) for column in range(4))
        lines = [f"{node:{a}}  {op:{b}}  {cell:{c}}  {size:>{d}}" for node, op, cell, size in rows]
        return "\n".join((f"peak {self.peak:,} bytes at '{self.at}', arena {self.arena:,} bytes", *lines))


def memory_of(plan: Plan) -> Memory | None:
    """The memory of a plan's runs; ``None`` when the native executor does not run it."""
    engine = engine_of(plan)
    if engine is None:
        return None
    rows = engine.native.memory()
    steps = [*plan.steps, *_copied(plan, engine.results, {row[0] for row in rows})]
    change = [0] * (len(steps) + 1)
    for _, kind, size, made, last in rows:
        change[made] += size
        if kind == "arena":
            change[last + 1] -= size
    held, most, at = 0, 0, 0
    for step, difference in enumerate(change):
        held += difference
        if held > most:
            most, at = held, step
    alive: list[Block] = []
    for _, kind, size, made, last in rows:
        if size and made <= at and (kind == "result" or last >= at):
            step = steps[made]
            cell = None if step.node is None or step.node.origin is None else step.node.origin.cell
            alive.append(Block(step.name, step.op.name, cell, size))
    name = steps[at].name if steps else ""
    return Memory(
        most, engine.native.summary()["arena_bytes"], name, tuple(sorted(alive, key=lambda each: -each.bytes))
    )


def _copied(plan: Plan, results: list[int], own: set[int]) -> list[Step]:
    """The makers of results that are views, for the copies that end a run: one each, in the order of the results."""
    makers = {slot: step for step in plan.steps for slot in step.outputs}
    return [makers[slot] for slot in results if slot not in own]
