"""A Plan on its way: the values so far, how far it has come, and which outputs are recorded.

Slots are written once, so the history of a frame is nothing but its values and a position: going back moves the
position, going forward again over a recorded step moves it back. Values are immutable, so keeping them all costs
references, and the memory that a run would have released early.

A control-flow step runs its body in a frame of its own, kept as a child, so that one can step into it at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import FlowError
from flowbook.graph.node import Node, Tensor
from flowbook.graph.types import TensorSpec
from flowbook.runtime.context import Run, body_plan
from flowbook.runtime.executor import located, perform
from flowbook.runtime.slots import SlotTable

STALE = object()  # in place of a pinned slot's own value, once that would come out differently


class Frame:
    """The state of one plan. ``values`` are by slot; ``recorded`` says which steps' outputs are among them.

    ``pins`` are the slots that a user has set, each with the value it had by itself (or ``STALE``): a pinned slot
    keeps what was set when its step is done again.
    """

    def __init__(self, plan: Plan, run: Run, values: list[Any], elements: Sequence[Tensor | Node] = ()) -> None:
        self.plan = plan
        self.run = run
        self.values = values
        self.table = SlotTable(plan, run.graph, elements)
        self.position = 0
        self.recorded = [False] * len(plan.steps)
        self.seconds: dict[int, float] = {}  # how long each recorded step took
        self.pins: dict[int, Any] = {}
        self.children: dict[int, Frame] = {}  # the body that a step ran, or runs

    @property
    def next(self) -> Step | None:
        """The step that comes next, or ``None`` at the end."""
        return self.plan.steps[self.position] if self.position < len(self.plan.steps) else None

    def spec(self, slot: int) -> TensorSpec:
        """Shape and dtype of the value that is in a slot."""
        value = np.asarray(self.values[slot])
        return TensorSpec(value.shape, value.dtype)

    def forward(self) -> Step:
        """Do the next step: replay it when it is recorded, else compute it."""
        step = self.plan.steps[self.position]
        if not self.recorded[step.index]:
            self.compute(step, self.values)
            self.recorded[step.index] = True
        self.position += 1
        return step

    def compute(self, step: Step, values: list[Any]) -> None:
        """Fill the output slots of a step; pinned ones keep their value. Nothing changes when it raises."""
        pinned = {slot: values[slot] for slot in step.outputs if slot in self.pins}
        if pinned and len(pinned) == len(step.outputs):
            return  # like a fed node, it does not run
        start = perf_counter()
        try:
            with np.errstate(all="ignore"):
                perform(step, values, self.run, lambda plan, inputs, run: self.child(step, plan, inputs, run).finish())
        except Exception as error:
            raise located(error, step, values) from (error.__cause__ if isinstance(error, FlowError) else error)
        self.seconds[step.index] = perf_counter() - start
        for slot, value in pinned.items():
            self.pins[slot], values[slot] = values[slot], value

    def child(self, step: Step, plan: Plan, inputs: list[Any], run: Run) -> Frame:
        """The frame of a body that a step runs: the one it has, when that began with the same values."""
        child = self.children.get(step.index)
        if child is None or child.plan is not plan or not child.began_with(inputs):
            values = list(plan.initial)
            for (_, slot), value in zip(plan.feeds, inputs, strict=True):
                values[slot] = value
            body: Any = run.graph
            self.children[step.index] = child = Frame(plan, run, values, body.outputs)
        return child

    def began_with(self, inputs: Sequence[Any]) -> bool:
        """Whether these are the very values the frame was given; a value set inside stands for the one given."""
        own = [self.pins.get(slot, self.values[slot]) for _, slot in self.plan.feeds]
        return len(own) == len(inputs) and all(a is b for a, b in zip(own, inputs, strict=True))

    def enter(self) -> Frame | None:
        """The frame of the body that the next step is going to run, at its beginning; ``None`` when it has no body."""
        step = self.next
        if step is None or step.op.enter is None or step.node is None:
            return None
        operands = [None if slot is None else self.values[slot] for slot in step.inputs]
        body, inputs = step.op.enter(operands, step.attrs)
        plan = body_plan(body, inputs, self.run.devices, observed=True)
        child = self.child(step, plan, list(inputs), self.run.inner(body, step.node))
        child.position = 0
        return child

    def finish(self) -> list[Any]:
        """Do all steps that are left and return the values of the fetches."""
        while self.position < len(self.plan.steps):
            self.forward()
        return [None if slot is None else self.values[slot] for slot in self.plan.fetches]

    # -------------------------------------------------------------------------------------------- editing

    def dependents(self, slot: int) -> tuple[list[Step], list[int]]:
        """The steps that compute from a slot, in order, and the pinned slots whose own value depends on it."""
        dirty: set[int | None] = {slot}
        steps: list[Step] = []
        stale: list[int] = []
        for step in self.plan.steps[self.table.maker.get(slot, -1) + 1 :]:
            if not dirty.isdisjoint(step.inputs):
                free = [each for each in step.outputs if each not in self.pins]
                stale.extend(each for each in step.outputs if each in self.pins)
                dirty.update(free)
                if free or not step.outputs:
                    steps.append(step)
        return steps, stale

    def pin(self, slot: int, value: Any) -> Any:
        """Let a slot keep a value that a user sets; returns it."""
        self.pins.setdefault(slot, self.values[slot])
        return value

    def unpin(self, slot: int) -> Any:
        """Let a pinned slot go; returns the value that it has by itself."""
        value = self.pins.pop(slot)
        if value is STALE:
            step = self.plan.steps[self.table.maker[slot]]
            if step.index >= self.position:  # it comes when the step does
                self.recorded[step.index] = False
                return self.values[slot]
            scratch = list(self.values)
            self.compute(step, scratch)
            value = scratch[slot]
        return value

    def replace(self, slot: int, value: Any) -> int:
        """Put another value into a slot and bring everything up to date; returns how many steps were done again.

        Recorded steps beyond the position are forgotten where they depend on it. When a step raises, `recall`.
        """
        steps, stale = self.dependents(slot)
        values = list(self.values)
        values[slot] = value
        done = [step for step in steps if step.index < self.position]
        for step in done:
            self.compute(step, values)
        self.values = values
        self.forget(step for step in steps if step.index >= self.position)
        self.pins.update((each, STALE) for each in stale)
        return len(done)

    def memo(self) -> tuple[Any, ...]:
        """What an edit may change; `recall` brings it back."""
        return self.values, list(self.recorded), dict(self.pins), dict(self.children), dict(self.seconds)

    def recall(self, memo: tuple[Any, ...]) -> None:
        """Be again as at that `memo`."""
        self.values, self.recorded, self.pins, self.children, self.seconds = memo

    def forget(self, steps: Iterable[Step]) -> None:
        """These steps, beyond the position, are to be computed anew."""
        for step in steps:
            self.recorded[step.index] = False

    def forget_current(self) -> None:
        """The control-flow step whose body is being stepped comes out differently, and so does what depends on it."""
        step = self.plan.steps[self.position]
        self.recorded[step.index] = False
        for slot in step.outputs:
            self.forget(self.dependents(slot)[0])
