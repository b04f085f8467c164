"""Graph to Program: prune to what the fetches need, order it, give variables versions, make every shape concrete.

A variable is read where it is used: each consumer sees the last write before it in stable topological order. A
backward node sees what its forward node saw, whatever was written in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbook.compile.program import Instruction, Program
from flowbook.errors import FeedError, FlowError, GraphError
from flowbook.graph.node import Node, Tensor, Variable
from flowbook.graph.order import program_order, topological
from flowbook.graph.types import TensorSpec


def lower(fetches: Sequence[Tensor | Node], feeds: Mapping[Tensor, TensorSpec]) -> Program:
    """The Program that computes ``fetches`` when ``feeds`` have these (concrete) specs.

    Raises ``FeedError`` for a placeholder without a feed, ``GraphError`` for stale or lost nodes, and what a spec
    rule says about shapes that do not fit, each with node, cell and line.
    """
    return _Lowering(fetches, feeds).run()


class _Lowering:
    def __init__(self, fetches: Sequence[Tensor | Node], feeds: Mapping[Tensor, TensorSpec]) -> None:
        self.fetches = fetches
        self.feeds = feeds
        self.program = Program()
        self.sizes = _sizes(feeds)
        self.values: dict[Tensor, int] = {}  # of feeds and sources
        self.computed: dict[Tensor, int] = {}  # of what instructions make: it has one version
        self.scalars: dict[Any, int] = {}
        self.needs: dict[Node, list[Node]] = {}  # what has to run before each node
        self.awaited: dict[Node, Instruction | None] = {}  # the instructions of nodes that others wait for
        self.history: dict[Node, list[tuple[Node | None, int]]] = {}  # versions of each variable, with their writers
        self.seen: dict[tuple[Node, Node], int] = {}  # (consumer, variable) -> version it read

    def run(self) -> Program:
        program = self.program
        for tensor, spec in self.feeds.items():
            self.values[tensor] = number = program.value(spec)
            program.feeds.append((tensor, number))
        self._find_needed()
        for node in topological(self.needs, self.needs.__getitem__):
            self._emit(node)
        program.fetches = [self._value(each, each.node) if isinstance(each, Tensor) else None for each in self.fetches]
        for variable, versions in self.history.items():
            if versions[-1][0] is not None and isinstance(variable.tensors[0], Variable):
                program.writes[variable.tensors[0]] = versions[-1][1]
        return program

    def _find_needed(self) -> None:
        stack = [
            each.node if isinstance(each, Tensor) else each
            for each in self.fetches
            if not (isinstance(each, Tensor) and each in self.feeds)
        ]
        records, needs, feeds = self.program.records, self.needs, self.feeds
        while stack:
            node = stack.pop()
            if node in needs:
                continue
            record = node.current
            records.append((node, record))
            if record.stale:
                raise node.locate(
                    GraphError(
                        f"'{node.name}' of {node.owner.label} is stale: {record.stale}",
                        hint=f"run {node.owner.label} again, or change the other cell back",
                    )
                )
            needs[node] = before = []
            if not record.op.source:  # a fed one is never asked
                for each in record.inputs:
                    if isinstance(each, Tensor) and each not in feeds:
                        before.append(each.node)
            if record.controls:
                before.extend(record.controls)
                self.awaited.update(dict.fromkeys(record.controls))
            stack.extend(before)

    def _emit(self, node: Node) -> None:
        record, program = node.record or node.current, self.program
        op = record.op
        if op.source:
            self._emit_source(node)
            return
        inputs: list[int | None] = []
        kinds: list[Any] = []
        specs_of, computed = program.specs, self.computed
        for operand in record.inputs:
            if isinstance(operand, Tensor):
                value = computed.get(operand)
                if value is None:
                    value = self._value(operand, node)
                kinds.append(specs_of[value])
                inputs.append(value)
            else:
                kinds.append(operand)
                inputs.append(None if operand is None else self._scalar(operand))
        try:
            specs = op.infer(kinds, record.attrs)
        except FlowError as error:
            error.inputs = [f"{name} {spec}" for name, spec in zip(_names(record.inputs), kinds, strict=True)]
            raise node.locate(error) from None
        number = len(specs_of)
        specs_of.extend([_concrete(spec, self.sizes) for spec in specs] if self.sizes else specs)
        outputs = tuple(range(number, len(specs_of)))
        for tensor in node.tensors[: len(outputs)]:
            if tensor not in self.values:  # a fed output keeps its feed
                computed[tensor] = number
            number += 1
        after: tuple[Instruction, ...] = ()
        if record.controls:
            after = tuple([made for each in record.controls if (made := self.awaited[each]) is not None])
        instruction = Instruction(op, tuple(inputs), outputs, record.attrs, node, node.name, record.device, after)
        if node in self.awaited:
            self.awaited[node] = instruction
        program.instructions.append(instruction)
        for source, target in record.attrs.get("writes", op.writes) if record.attrs else op.writes:
            variable = record.inputs[source]
            assert isinstance(variable, Tensor)
            self.history.setdefault(variable.node, [(None, self._value(variable, node))]).append(
                (node, outputs[target])
            )

    def _emit_source(self, node: Node) -> None:
        record, program = node.current, self.program
        tensor = node.tensors[0]
        if tensor in self.feeds:
            return
        if record.op.name == "constant":
            self.values[tensor] = program.constant(record.attrs["value"], record.specs[0])
        elif record.op.name == "variable":
            self.values[tensor] = number = program.value(record.specs[0])
            program.states[number] = tensor  # type: ignore[assignment]
        else:
            raise node.locate(
                FeedError(
                    f"{record.op.name} '{node.name}' has no value in this run",
                    hint=f"feed it: run(..., feeds={{{node.name}: array of {record.specs[0]}}})",
                )
            )

    def _value(self, tensor: Tensor, consumer: Node) -> int:
        """The value a consumer reads: for a written variable the version that is current where it stands."""
        number = self.values.get(tensor, self.computed.get(tensor))
        if number is None:
            tensor = _resolve(tensor)
            number = self.values[tensor] if tensor in self.values else self.computed[tensor]
        versions = self.history.get(tensor.node)
        fed = tensor in self.feeds and isinstance(
            tensor, Variable
        )  # a fed variable keeps its feed, whatever is written
        if versions is not None and not fed and consumer is not tensor.node:
            number = self._version(tensor.node, consumer, versions)
        if tensor.node.record is not None and tensor.node.record.op.source:
            self.seen[consumer, tensor.node] = number
        return number

    def _version(self, variable: Node, consumer: Node, versions: list[tuple[Node | None, int]]) -> int:
        forward = consumer.current.forward
        if forward is None or consumer.current.op.writes:
            return versions[-1][1]
        if (forward, variable) in self.seen:
            return self.seen[forward, variable]
        place = program_order(forward)  # the forward node itself is not needed in this run
        return next(number for writer, number in reversed(versions) if writer is None or program_order(writer) < place)

    def _scalar(self, value: Any) -> int:
        key = (type(value), value or repr(value))  # tells 1 from 1.0 and from True, and 0.0 from -0.0
        number = self.scalars.get(key)
        if number is None:
            self.scalars[key] = number = self.program.constant(value, None)
        return number


def _sizes(feeds: Mapping[Tensor, TensorSpec]) -> dict[str, int]:
    """The sizes that the feeds give to named dimensions."""
    return {
        dim: size
        for tensor, spec in feeds.items()
        for dim, size in zip(tensor.spec.shape or (), spec.shape or (), strict=False)
        if isinstance(dim, str) and isinstance(size, int)
    }


def _concrete(spec: TensorSpec, sizes: Mapping[str, int]) -> TensorSpec:
    """A spec with named dimensions bound: what a host function declares with a name is known in a run."""
    if not sizes or spec.shape is None or not any(isinstance(dim, str) for dim in spec.shape):
        return spec
    return TensorSpec(tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in spec.shape), spec.dtype)


def _resolve(tensor: Tensor) -> Tensor:
    """The tensor that holds the value now, when an assignment merged its node into another."""
    node = tensor.node
    while node.moved is not None:
        node = node.moved
    return node.tensors[tensor.index]


def _names(operands: Sequence[Any]) -> list[str]:
    return [each.name if isinstance(each, Tensor) else repr(each) for each in operands]
