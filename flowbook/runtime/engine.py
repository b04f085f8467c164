"""The way to the native executor: a Plan in its form, and a run of it.

Steps with a native kernel run without Python. Steps that only look at memory in another way (a transpose, a slice)
are views: their strides are worked out here, once, by NumPy. All other steps call back into Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from flowbook.compile.kernels import NAMES, VIEWS, NativeKernel, usable
from flowbook.compile.plan import Plan, Step
from flowbook.graph.node import Variable
from flowbook.native import library

ENGINES: WeakValueDictionary[int, Engine] = WeakValueDictionary()  # by the number that their events have


class Updates(NamedTuple):
    """What a run leaves to its commit: new values that go where the old ones are, if nobody else has those."""

    variables: tuple[Variable, ...]
    native: Any


class Engine:
    """A plan for the native executor. Any number of runs may use it at once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        builder = _Builder(plan)
        builder.build()
        self.externals = builder.externals
        self.native = library.Plan(
            builder.slots, builder.steps, builder.result_slots, builder.externals, builder.constants,
            [slot for slot in (*plan.fetches, *(slot for _, slot in plan.writes)) if slot is not None],
            builder.states,
        )  # fmt: skip
        variables = {slot: variable for variable, slot in plan.writes}
        late = self.native.states
        self.results = [
            slot for slot in builder.results if slot not in late
        ]  # the plan's slots that are had after a run
        self.updates = tuple([variables[slot] for slot in late])
        ENGINES[self.native.number] = self

    def run(self, values: list[Any], perform: Callable[[int], None], threads: int, run: int = 0) -> Updates | None:
        """Run it. ``values`` (by slot) holds feeds and states, and gets fetches and writes, but for the writes that are
        left to the commit: the `Updates` that it returns.

        ``perform(step)`` runs a step in Python, on ``values``; ``run`` is its number, for events. Raises the library's
        ``KernelError``.
        """
        given = [values[slot] for slot in self.externals]
        results, updates = self.native.run(given, perform, values, threads, run)
        for slot, value in zip(self.results, results, strict=True):
            values[slot] = value
        return None if updates is None else Updates(self.updates, updates)


def engine_of(plan: Plan) -> Engine | None:
    """The native form of a plan; ``None`` when it has no step with a native kernel."""
    if "native" not in plan.engines:
        native = any(isinstance(step.fn, NativeKernel) for step in plan.steps)
        plan.engines["native"] = Engine(plan) if native else None
    engine: Engine | None = plan.engines["native"]
    return engine


def direct(plan: Plan) -> Engine | None:
    """The native form of a plan whose results depend on nothing but its feeds, each fetch an array of its own."""
    if plan.states or plan.writes:
        return None
    engine = engine_of(plan)
    return engine if engine is not None and engine.results == list(plan.fetches) else None


class _Builder:
    """Slots and steps in the library's form. Slots that are added go after the plan's own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.slots: list[Any] = [None] * len(plan.specs)
        self.steps: list[Any] = []
        self.constants: dict[int, Any] = {}
        self.externals = [slot for _, slot in (*plan.feeds, *plan.states)]
        self.results: list[int] = []
        self.result_slots: list[int] = []
        self.strides: dict[int, tuple[int, tuple[int, ...], int]] = {}  # views: (base, strides in bytes, offset)
        self.native: set[int] = set()  # slots that kernels make, and views
        self.direct: set[int] = set()  # those in memory of their own
        self.states: dict[int, int] = {}  # by slot of a new value that only the commit needs, the slot of the old one

    def build(self) -> None:
        """Translate everything."""
        for slot in self.externals:
            self._declare(slot)
        for slot, value in enumerate(self.plan.initial):
            if isinstance(value, np.ndarray):
                self._declare(slot)
                if self.slots[slot] is not None:
                    self.constants[slot] = value
        for step in self.plan.steps:
            self._step(step)
        old = dict(self.plan.states)
        fetched = set(self.plan.fetches)
        self.states = {
            slot: old[variable] for variable, slot in self.plan.writes if variable in old and slot not in fetched
        }
        for wanted in dict.fromkeys([*self.plan.fetches, *(slot for _, slot in self.plan.writes)]):
            if wanted is not None and wanted in self.native:
                self.results.append(wanted)
                self.result_slots.append(wanted if wanted in self.direct else self._copy(wanted))

    def _declare(self, slot: int) -> None:
        spec = self.plan.specs[slot]
        if spec is not None and usable(spec):
            self.slots[slot] = (NAMES[spec.dtype], spec.shape)

    def _step(self, step: Step) -> None:
        if isinstance(step.fn, NativeKernel):
            inputs = tuple([self._array(step, place) for place in step.fn.picks])
            for slot in step.outputs:
                self._declare(slot)
            self.steps.append((step.fn, inputs, step.outputs, step.waits))
            self.native.update(step.outputs)
            self.direct.update(step.outputs)
        elif step.op.name in VIEWS and getattr(step.fn, "func", None) is step.op.kernel and self._view(step):
            pass
        elif step.op.name == "group" and step.fn is step.op.kernel:  # waits, and does nothing
            self.steps.append((True, (), (), step.waits))
        else:
            for slot in step.outputs:
                self._declare(slot)
            inputs = tuple([-1 if slot is None else slot for slot in step.inputs])
            self.steps.append((None, inputs, step.outputs, step.waits))

    def _array(self, step: Step, place: int) -> int:
        """The slot of an input; a Python number becomes a constant array of the dtype that the kernel takes."""
        slot = step.inputs[place]
        assert slot is not None
        if self.plan.specs[slot] is not None:
            return slot
        specs = [self.plan.specs[each] for each in step.inputs if each is not None]
        dtype = np.result_type(*[spec.dtype for spec in specs if spec is not None], self.plan.initial[slot])
        self.slots.append((dtype.name, ()))
        self.constants[len(self.slots) - 1] = np.array(self.plan.initial[slot], dtype)
        return len(self.slots) - 1

    # -------------------------------------------------------------------------------------------- views

    def _view(self, step: Step) -> bool:
        """Translate a step that moves no data; whether that was possible."""
        source = step.inputs[0]
        if source is None or self.slots[source] is None or not all(map(usable, step.specs)):
            return False
        if any(slot is None or self.plan.specs[slot] is None for slot in step.inputs):
            return False
        base, strides, offset = self._layout(source)
        spec: Any = self.plan.specs[source]
        if step.op.name.startswith("reshape") and not _contiguous(spec.shape, strides, spec.dtype.itemsize):
            (target,) = step.outputs
            self._declare(target)
            kernel = library.Kernel("copy", {}, [NAMES[spec.dtype]], [self.slots[target]])
            self.steps.append((kernel, (source,), step.outputs, step.waits))
            self.native.add(target)
            self.direct.add(target)
            return True
        ground = np.empty(1, spec.dtype)
        dummies = [np.lib.stride_tricks.as_strided(ground, spec.shape, strides)]
        for slot in step.inputs[1:]:
            other = self.plan.specs[slot]  # type: ignore[index]
            assert other is not None
            dummies.append(np.broadcast_to(np.zeros((), other.dtype), other.shape))  # type: ignore[arg-type]
        found = step.fn(*dummies)
        if isinstance(found, np.generic):  # one element, which NumPy copies: with one more axis it does not
            deeper = np.lib.stride_tricks.as_strided(ground, (*spec.shape, 1), (*strides, spec.dtype.itemsize))
            found = step.fn(deeper, *dummies[1:]).reshape(())
        parts = found if isinstance(found, (tuple, list)) else (found,)
        for slot, part in zip(step.outputs, parts, strict=True):
            moved = part.__array_interface__["data"][0] - dummies[0].__array_interface__["data"][0] if part.size else 0
            at = (base, part.strides, offset + moved)
            self.strides[slot] = at
            steps = tuple([each // spec.dtype.itemsize for each in part.strides])
            self.slots[slot] = (NAMES[spec.dtype], part.shape, steps, at[0], at[2])
        self.steps.append((True, (source,), step.outputs, step.waits))
        self.native.update(step.outputs)
        return True

    def _layout(self, slot: int) -> tuple[int, tuple[int, ...], int]:
        """Whose memory a slot is, with which strides and offset in bytes."""
        if slot in self.strides:
            return self.strides[slot]
        spec = self.plan.specs[slot]
        assert spec is not None and spec.shape is not None
        return slot, _row_major(spec.shape, spec.dtype.itemsize), 0

    def _copy(self, slot: int) -> int:
        """A slot that gets a copy of another one."""
        dtype, shape = self.slots[slot][:2]
        self.slots.append((dtype, shape))
        copy = len(self.slots) - 1
        self.steps.append((library.Kernel("copy", {}, [dtype], [(dtype, shape)]), (slot,), (copy,), ()))
        return copy


def _row_major(shape: Any, item: int) -> tuple[int, ...]:
    strides = []
    for dim in reversed(shape):
        strides.append(item)
        item *= max(dim, 1)
    return tuple(reversed(strides))


def _contiguous(shape: Any, strides: tuple[int, ...], item: int) -> bool:
    if 0 in shape:
        return True
    pairs = zip(shape, strides, _row_major(shape, item), strict=True)
    return all(dim == 1 or stride == wanted for dim, stride, wanted in pairs)
