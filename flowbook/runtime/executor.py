"""`execute` runs a Plan: by the native executor (`engine.py`), or step by step in Python.

The loop in Python serves observers, who are told of each step, and machines without the native library. It calls the
same kernels, and releases values as soon as no later step reads them. With no observer, nothing is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from time import perf_counter
from traceback import extract_tb
from typing import Any, Protocol

import numpy as np

from flowbook.compile.plan import Plan, Step
from flowbook.errors import FlowError, RunError, ShapeError
from flowbook.graph.body import Body
from flowbook.graph.node import PACKAGE
from flowbook.graph.types import TensorSpec
from flowbook.native import library
from flowbook.runtime.context import ExecContext, Run
from flowbook.runtime.engine import Updates, engine_of
from flowbook.runtime.memory import memory_of

# What native kernels raise; without the library, nothing is one.
KernelError: Any = library.KernelError if library is not None else ()
RunBody = Callable[[Plan, list[Any], Run], list[Any]]


class Observer(Protocol):
    """Who watches a run. It is told, never asked, and cannot change what is computed."""

    def began(self, values: Sequence[Any], seconds: float) -> None:
        """The run begins with these values by slot: constants, feeds, states."""

    def started(self, step: Step, seconds: float) -> None:
        """The step begins, at this reading of the clock (``time.perf_counter``)."""

    def finished(self, step: Step, seconds: float, outputs: list[Any]) -> None:
        """The step ended and made these values."""

    def released(self, step: Step, seconds: float) -> None:
        """The slots in ``step.release`` were given up."""

    def failed(self, step: Step, seconds: float, error: FlowError) -> None:
        """The step raised this, and the run ends. An interrupted run ends without a word."""

    def inside(self, step: Step, plan: Plan) -> Observer:
        """Who watches a body that this step runs now."""


def execute(plan: Plan, values: list[Any], run: Run, observer: Observer | None = None) -> Updates | None:
    """Run all steps of a plan; ``values`` (by slot) holds the constants, feeds and states, and gets the results. Writes
    that are left to the commit (``VariableStore.commit``) are what it returns.

    Raises ``RunError`` (or the op's own ``FlowError``) with node, cell, line and shapes; ``KeyboardInterrupt`` and
    the like pass as they are.
    """
    step: Step | None = None

    def watched_body(plan: Plan, inputs: list[Any], run: Run) -> list[Any]:
        assert observer is not None and step is not None
        return run_body(plan, inputs, run, observer.inside(step, plan))

    engine = engine_of(plan) if observer is None else None

    def called_back(index: int) -> None:
        nonlocal step
        step = plan.steps[index]
        perform(step, values, run)

    try:
        with np.errstate(all="ignore"):
            if engine is not None:
                return engine.run(values, called_back, run.threads, run.counter)
            elif observer is None:
                for step, fn, inputs, output, release in plan.calls:
                    if fn is None:
                        perform(step, values, run)
                    elif len(inputs) == 2:
                        values[output] = fn(values[inputs[0]], values[inputs[1]])
                    else:
                        values[output] = fn(*[values[slot] for slot in inputs])
                    for slot in release:
                        values[slot] = None
            else:
                observer.began(values, perf_counter())
                for step in plan.steps:
                    observer.started(step, perf_counter())
                    perform(step, values, run, watched_body)
                    observer.finished(step, perf_counter(), [values[slot] for slot in step.outputs])
                    for slot in step.release:
                        values[slot] = None
                    if step.release:
                        observer.released(step, perf_counter())
    except Exception as error:
        if isinstance(error, KernelError) and error.step >= 0:
            step = plan.steps[error.step]
        if isinstance(error, MemoryError) and step is None:
            flow = out_of_memory(plan)
        else:
            flow = located(error, step, values, plan.specs)
        if observer is not None and step is not None:
            observer.failed(step, perf_counter(), flow)
        raise flow from (error.__cause__ if isinstance(error, FlowError) else error)
    return None


def perform(step: Step, values: list[Any], run: Run, body: RunBody | None = None) -> None:
    """Run one step: read its input slots, fill its output slots. ``body`` runs the sub-plans of control flow."""
    operands = [None if slot is None else values[slot] for slot in step.inputs]
    if step.op.structured:
        result = step.fn(ExecContext(run, step, body or run_body), *operands)
    else:
        result = step.fn(*operands)
    outputs = step.outputs
    if len(outputs) == 1:
        values[outputs[0]] = result[0] if type(result) in (tuple, list) else result
    else:
        for slot, value in zip(outputs, result or (), strict=True):
            values[slot] = value


def run_body(plan: Plan, inputs: list[Any], run: Run, observer: Observer | None = None) -> list[Any]:
    """Run a sub-plan whose feeds are ``inputs``, in order; returns its fetches."""
    values = list(plan.initial)
    for (_, slot), value in zip(plan.feeds, inputs, strict=True):
        values[slot] = value
    execute(plan, values, run, observer)
    return [None if slot is None else values[slot] for slot in plan.fetches]


def located(
    error: Exception, step: Step | None, values: list[Any], specs: Sequence[TensorSpec | None] = ()
) -> FlowError:
    """The error a user sees: with the node, its cell and line, and the shapes its inputs really had.

    ``specs``: of the slots, for those whose values are not in ``values``.
    """
    if isinstance(error, FlowError):
        flow = error
    elif isinstance(error, KernelError):
        text, _, hint = str(error).partition("\n")
        flow = (ShapeError if error.of_shape else RunError)(text, hint=hint or None)
    else:
        name = type(error).__name__
        flow = RunError(f"{name} while it ran: {error}" if str(error) else f"{name} while it ran")
        if isinstance(error, MemoryError):
            flow.hint = "a smaller batch, or float32 instead of float64"
        else:
            flow.hint = _raised_at(error, step)
    if step is not None:
        if not flow.inputs:
            flow.inputs = describe_inputs(step, values, specs)
        if step.node is not None:
            step.node.locate(flow)
        else:
            flow.locate(node=step.name, op=step.op.name)
    return flow


def out_of_memory(plan: Plan) -> FlowError:
    """The error of a run whose memory, which is planned as a whole, was not to be had: which node wants most of it."""
    flow = RunError("the memory for this run is not to be had", hint="a smaller batch, or float32 instead of float64")
    memory = memory_of(plan)
    if memory is not None and memory.alive:
        most = memory.alive[0]
        flow.message += f": it needs {memory.peak:,} bytes at once, {most.bytes:,} of them for the result of this node"
        flow.hint = f"{flow.hint}; session.memory(fetches, feeds) lists all"
        step = next(step for step in plan.steps if step.name == most.node)
        if step.node is not None:
            step.node.locate(flow)
    return flow


def _raised_at(error: Exception, step: Step | None) -> str | None:
    """The innermost line outside flowbook and NumPy: where in a user's function it went wrong."""
    frames = [each for each in extract_tb(error.__traceback__) if not each.filename.startswith(PACKAGE)]
    own = [each for each in frames if "site-packages" not in each.filename]
    if not own:
        return None
    where = f"{_place(own[-1].filename, step)}, line {own[-1].lineno}, in {own[-1].name}"
    return f"raised in {where}" + (f":  {own[-1].line}" if own[-1].line else "")


def _place(file: str, step: Step | None) -> str:
    """What a person calls a file: the cell whose code it is, or its name without folders."""
    graph: Any = None if step is None or step.node is None else step.node.graph
    while isinstance(graph, Body):
        graph = graph.parent
    cells = [] if graph is None else [owner for owner in graph.owners if owner.file == file]
    if cells:
        return str(cells[0].label)
    folder, name = os.path.split(file)
    if name.startswith("<ipython-input") or os.path.basename(folder).startswith("ipykernel_"):
        return "a cell of the notebook"  # which IPython knows by a number
    return name


def describe_inputs(step: Step, values: list[Any], specs: Sequence[TensorSpec | None] = ()) -> list[str]:
    """Name, dtype and actual shape of each input of a step."""
    names = list(step.node.record.inputs) if step.node is not None and step.node.record is not None else []
    texts = []
    for place, slot in enumerate(step.inputs):
        if slot is None:
            continue
        value = values[slot]
        operand = names[place] if place < len(names) else None
        name = getattr(operand, "name", None) or step.name
        if value is None and specs:
            texts.append(f"{name} {specs[slot]}")
        elif isinstance(value, (np.ndarray, np.generic)):
            texts.append(f"{name} {TensorSpec(value.shape, value.dtype)}")
        else:
            texts.append(f"{value!r} ({type(value).__name__})")
    return texts
