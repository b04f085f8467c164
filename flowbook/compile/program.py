"""The form that passes work on: a list of instructions over numbered values.

Values are written once. Each version of a variable is a value of its own, so order between reads and writes is plain
data flow, and a pass that respects data flow respects state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbook.graph.node import Node, Tensor, Variable
from flowbook.graph.opdef import OpDef
from flowbook.graph.types import TensorSpec


class Instruction:
    """One operation: which op, on which values, for which node of the graph."""

    __slots__ = ("after", "attrs", "device", "inputs", "name", "node", "op", "outputs")

    def __init__(
        self,
        op: OpDef,
        inputs: tuple[int | None, ...],
        outputs: tuple[int, ...],
        attrs: Mapping[str, Any],
        node: Node | None,
        name: str,
        device: str | None = None,
        after: tuple[Instruction, ...] = (),
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.attrs = attrs
        self.node = node
        self.name = name
        self.device = device
        self.after = after  # instructions that have to finish first although no value flows

    def __repr__(self) -> str:
        inputs = ", ".join("-" if each is None else f"%{each}" for each in self.inputs)
        outputs = ", ".join(f"%{each}" for each in self.outputs)
        where = f" @{self.device}" if self.device else ""
        return f"{outputs or '-'} = {self.op.name}({inputs}){where}  # {self.name}"


class Program:
    """What has to run for some fetches and feeds. ``str(program)`` lists it, so passes can show before and after."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.specs: list[TensorSpec | None] = []  # by value; None for a weak scalar
        self.constants: dict[int, Any] = {}  # arrays and weak scalars, by value
        self.feeds: list[tuple[Tensor, int]] = []
        self.states: dict[int, Variable] = {}  # the value a variable has when the run begins
        self.writes: dict[Variable, int] = {}  # the value each written variable has when the run commits
        self.fetches: list[int | None] = []  # None for a node without outputs
        self.records: list[tuple[Node, Any]] = []  # all that was read from the graph; a plan is valid while they stand

    def value(self, spec: TensorSpec | None) -> int:
        """A new value."""
        self.specs.append(spec)
        return len(self.specs) - 1

    def constant(self, value: Any, spec: TensorSpec | None) -> int:
        """A new value that is known now."""
        number = self.value(spec)
        self.constants[number] = value
        return number

    def __str__(self) -> str:
        return "\n".join(map(repr, self.instructions))
