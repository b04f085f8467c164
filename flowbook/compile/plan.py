"""The Plan: a frozen, self-contained recipe that both drivers run.

Slots hold values; steps say which kernel reads which slots and fills which; ``release`` lists the slots nobody reads
after a step. Constants sit in ``initial``; feeds and the variables' values are put in when a run begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from flowbook.compile.kernels import NativeKernel, native_kernel
from flowbook.compile.program import Program
from flowbook.errors import GraphError
from flowbook.graph.node import Node, Tensor, Variable
from flowbook.graph.opdef import OpDef
from flowbook.graph.types import TensorSpec


class Step(NamedTuple):
    """One kernel call. ``fn`` is the kernel with its attributes bound; of a structured op it still takes a context."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants of a step
    name: str
    op: OpDef
    fn: Callable[..., Any]
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    release: tuple[int, ...]
    device: str
    waits: tuple[int, ...]  # steps that have to finish first
    successors: tuple[int, ...]
    node: Node | None  # None for a copy
    attrs: Any
    specs: tuple[TensorSpec | None, ...]  # of the outputs, as far as known before it runs


class Call(NamedTuple):
    """A step as the executor's inner loop wants it: ``fn`` is ``None`` for one that needs more than a plain call."""

    step: Step
    fn: Callable[..., Any] | None
    inputs: tuple[Any, ...]
    output: int
    release: tuple[int, ...]


class Plan(NamedTuple):
    """What runs for some fetches and feed shapes."""

    steps: tuple[Step, ...]
    calls: tuple[Call, ...]  # the same, for unobserved runs
    specs: tuple[TensorSpec | None, ...]  # by slot
    initial: tuple[Any, ...]  # by slot: constants, else None
    feeds: tuple[tuple[Tensor, int], ...]
    states: tuple[tuple[Variable, int], ...]
    writes: tuple[tuple[Variable, int], ...]
    fetches: tuple[int | None, ...]
    observed: bool
    notes: tuple[str, ...]
    records: tuple[tuple[Node, Any], ...]
    engines: dict[str, Any]  # "native": its form for the native executor, made on first use

    def with_steps(self, steps: Sequence[Step]) -> Plan:
        """The plan with other steps in the place of its own."""
        return self._replace(steps=tuple(steps), calls=tuple(map(_call, steps)), engines={})

    def __repr__(self) -> str:
        kind = "observed" if self.observed else "optimised"
        return f"<Plan: {len(self.steps)} steps, {len(self.specs)} slots, {kind}>"

    def __str__(self) -> str:
        rows = []
        for step in self.steps:
            inputs = ", ".join("-" if slot is None else f"%{slot}" for slot in step.inputs)
            outputs = ", ".join(f"%{slot}" for slot in step.outputs) or "-"
            rows.append(f"{step.index:4} {outputs} = {step.op.name}({inputs}) @{step.device}  # {step.name}")
        return "\n".join(rows)

    @property
    def valid(self) -> bool:
        """Whether the graph still says what it said when this was compiled."""
        return all(node.record is record for node, record in self.records)

    def fed(self) -> tuple[Tensor, ...]:
        """The fed tensors, in slot order."""
        return tuple(tensor for tensor, _ in self.feeds)


def finish(program: Program, *, observed: bool, notes: Sequence[str]) -> Plan:
    """Freeze a program: step order is the instructions' order; compute waits, successors and releases."""
    position = {id(each): index for index, each in enumerate(program.instructions)}
    maker: dict[int, int] = {}
    last: dict[int, int] = {}
    waits: list[set[int]] = []
    for index, each in enumerate(program.instructions):
        needed = {maker[value] for value in each.inputs if value is not None and value in maker}
        needed.update(position[id(other)] for other in each.after if id(other) in position)
        waits.append(needed)
        for value in each.inputs:
            if value is not None:
                last[value] = index
        for value in each.outputs:
            maker[value] = last[value] = index
    successors: list[list[int]] = [[] for _ in program.instructions]
    for index, needed in enumerate(waits):
        for other in needed:
            successors[other].append(index)
    kept = {*program.constants, *program.writes.values(), *(value for value in program.fetches if value is not None)}
    release: list[list[int]] = [[] for _ in program.instructions]
    for value, index in last.items():
        if value not in kept:
            release[index].append(value)
    steps = tuple(
        _step(program, index, tuple(sorted(release[index])), tuple(sorted(waits[index])), tuple(successors[index]))
        for index in range(len(program.instructions))
    )
    initial = tuple(program.constants.get(value) for value in range(len(program.specs)))
    plan = Plan(
        steps,
        tuple(map(_call, steps)),
        tuple(program.specs),
        initial,
        tuple(program.feeds),
        tuple((variable, value) for value, variable in program.states.items()),
        tuple(program.writes.items()),
        tuple(program.fetches),
        observed,
        tuple(notes),
        tuple(program.records),
        {},
    )
    validate(plan)
    return plan


def _step(
    program: Program, index: int, release: tuple[int, ...], waits: tuple[int, ...], successors: tuple[int, ...]
) -> Step:
    each = program.instructions[index]
    kernel = each.op.kernel
    fn: Callable[..., Any]
    if each.op.structured:
        fn = partial(kernel, **each.attrs) if each.attrs else kernel
    elif (native := native_kernel(each, program)) is not None:
        fn = native
    else:
        fn = partial(kernel, np, **each.attrs)
    return Step(
        index, each.name, each.op, fn, each.inputs, each.outputs, release, each.device or "cpu:0", waits, successors,
        each.node, each.attrs, tuple(program.specs[value] for value in each.outputs),
    )  # fmt: skip


def _call(step: Step) -> Call:
    op = step.op
    plain = len(step.outputs) == 1 and None not in step.inputs and not (op.structured or op.multiple or op.variadic)
    plain = plain or (len(step.outputs) == 1 and isinstance(step.fn, NativeKernel))
    return Call(step, step.fn if plain else None, step.inputs, step.outputs[0] if plain else -1, step.release)


def validate(plan: Plan) -> None:
    """``GraphError`` when a step reads what is not there, writes twice, releases too early, or mixes memories."""
    made = {slot for slot, value in enumerate(plan.initial) if value is not None}
    made.update(slot for _, slot in (*plan.feeds, *plan.states))
    gone: set[int] = set()
    home: dict[int, str] = {}
    for step in plan.steps:
        for slot in step.inputs:
            if slot is None:
                continue
            if slot not in made or slot in gone:
                raise GraphError(f"plan: step {step.index} ({step.name}) reads slot {slot}, which is not there")
            if home.get(slot, step.device) != step.device and step.op.name != "copy":
                raise GraphError(
                    f"plan: step {step.index} ({step.name}) on {step.device} reads slot {slot} of {home[slot]}"
                )
        for slot in step.outputs:
            if slot in made:
                raise GraphError(f"plan: step {step.index} ({step.name}) writes slot {slot} again")
            made.add(slot)
            home[slot] = step.device
        gone.update(step.release)
    for slot in (*plan.fetches, *(slot for _, slot in plan.writes)):
        if slot is not None and (slot not in made or slot in gone):
            raise GraphError(f"plan: the result in slot {slot} is not there at the end")
