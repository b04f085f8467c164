"""Which tensor is in which slot of a Plan, and by what name people ask for it.

Plans know slots, users know tensors and names. Steppers and traces translate with this table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from flowbook.compile.plan import Plan, Step
from flowbook.errors import SessionError
from flowbook.graph.body import Body
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor, Variable


class SlotTable:
    """The slots of one plan by tensor, node and name.

    ``graph`` is the graph or body that the plan was compiled from, ``elements`` are what its fetches were asked as.
    """

    def __init__(self, plan: Plan, graph: Graph, elements: Sequence[Tensor | Node] = ()) -> None:
        self.plan = plan
        self.graph = graph
        self.maker: dict[int, int] = {slot: step.index for step in plan.steps for slot in step.outputs}
        # Whatever is written, a fed variable keeps its feed; a body's captures, which are feeds too, do not.
        self.fed = frozenset(each for tensor, _ in plan.feeds if isinstance(each := resolved(tensor), Variable))
        sources: tuple[tuple[Tensor, int], ...] = (*plan.feeds, *plan.states)
        self.slots: dict[Tensor, int] = {resolved(tensor): slot for tensor, slot in sources}
        self.names: dict[int, str] = {slot: tensor.name for tensor, slot in self.slots.items()}
        self.nodes: dict[Node, int] = {}
        self.versions: dict[Tensor, list[tuple[int, int]]] = {}  # of a written variable: (step, slot of the new value)
        for step in plan.steps:
            self._add_step(step)
        for element, number in zip(elements, plan.fetches, strict=False):
            if isinstance(element, Tensor) and number is not None:
                self._add_operand(element, number)
        self._tensors: dict[str, list[Tensor]] = {}
        self._steps: dict[str, list[int]] = {}
        for tensor in self.slots:
            self._tensors.setdefault(tensor.name, []).append(tensor)
        for step in plan.steps:
            self._steps.setdefault(step.name, []).append(step.index)

    def _add_step(self, step: Step) -> None:
        for index, slot in enumerate(step.outputs):
            self.names[slot] = step.name if index == 0 else f"{step.name}:{index}"
        if step.node is None or step.node.record is None:
            return
        self.nodes[step.node] = step.index
        operands = step.node.record.inputs
        for operand, source in zip(operands, step.inputs, strict=False):
            if isinstance(operand, Tensor) and source is not None:
                self._add_operand(operand, source)
        for tensor, slot in zip(step.node.tensors, step.outputs, strict=False):
            self.slots.setdefault(tensor, slot)  # a fed output keeps its feed
        for variable, slot in written(step):
            self.versions.setdefault(variable, []).append((step.index, slot))

    def _add_operand(self, tensor: Tensor, slot: int) -> None:
        """A constant is known only by who reads it; what a copy hands on is asked for as what was copied."""
        while slot in self.maker and self.plan.steps[self.maker[slot]].node is None:
            (source,) = self.plan.steps[self.maker[slot]].inputs
            assert source is not None
            slot = source
        if slot not in self.maker:
            self.slots.setdefault(resolved(tensor), slot)
            self.names.setdefault(slot, tensor.name)

    def tensor(self, what: Any) -> Tensor | None:
        """The tensor of this plan that ``what`` (a tensor, a node or a name) means, or ``None``."""
        if isinstance(what, str):
            found: Tensor | None = _only(what, self._tensors.get(what, ()))
            return found
        if isinstance(what, Node):
            what = next(iter(moved(what).tensors), None)
        if not isinstance(what, Tensor):
            return None
        tensor: Tensor | None = resolved(what)
        bodies: list[Body] = []
        graph = self.graph
        while isinstance(graph, Body) and tensor is not None and graph is not tensor.graph:
            bodies.append(graph)
            graph = graph.parent
        for body in reversed(bodies):  # a tensor from outside is known here as what captured it
            tensor = body.captured.get(tensor) if tensor is not None else None
        return tensor if tensor in self.slots else None

    def slot(self, tensor: Tensor, position: int) -> int:
        """The slot of a tensor of this plan; of a variable the version that is current before step ``position``."""
        if tensor in self.versions and tensor not in self.fed:
            passed = [slot for index, slot in self.versions[tensor] if index < position]
            if passed:
                return passed[-1]
        return self.slots[tensor]

    def step(self, what: Any) -> int | None:
        """The index of the step that computes a tensor, node or name, or ``None``."""
        if isinstance(what, str):
            step: Step | None = _only(what, [self.plan.steps[index] for index in self._steps.get(what, ())])
            if step is not None:
                return step.index
            what = self.tensor(what)
        if isinstance(what, Node):
            return self.nodes.get(moved(what))
        if isinstance(what, Tensor):
            return self.maker.get(self.slots.get(resolved(what), -1))
        return next(iter(self._steps.get(getattr(what, "name", ""), ())), None)  # a copy

    def close(self, name: str) -> list[str]:
        """Names in this plan that are like ``name``."""
        return get_close_matches(name, {**self._steps, **self._tensors}, 3)


def _only(name: str, found: Sequence[Any]) -> Any:
    """The one element of that name, or ``None``; ``SessionError`` when two cells use the name."""
    if len(found) > 1:
        owners = [each.node.owner.label if each.node is not None else "a copy" for each in found]
        raise SessionError(f"'{name}' is in several cells: {', '.join(owners)}", hint="use the tensor itself")
    return found[0] if found else None


def moved(node: Node) -> Node:
    """The node itself, or the one it became when an assignment merged it into another."""
    while node.moved is not None:
        node = node.moved
    return node


def resolved(tensor: Tensor) -> Tensor:
    """The tensor itself, or the one it became when an assignment merged its node into another."""
    node = moved(tensor.node)
    return tensor if node is tensor.node else node.tensors[tensor.index]


def written(step: Step) -> list[tuple[Tensor, int]]:
    """The variables that a step writes, each with the slot of the new value."""
    if step.node is None or step.node.record is None:
        return []
    operands = step.node.record.inputs
    pairs = step.attrs.get("writes", step.op.writes)
    return [
        (resolved(variable), step.outputs[target])
        for source, target in pairs
        if isinstance(variable := operands[source], Tensor)
    ]


def bodies_of(step: Step) -> list[Body]:
    """The sub-graphs that a control-flow step holds."""
    return [each for each in step.attrs.values() if isinstance(each, Body)] if step.attrs else []


def body_nodes(body: Body) -> Iterator[Node]:
    """The nodes that a body and the bodies inside it compute."""
    for node in body.nodes:
        if not node.opdef.source:
            yield node
            for inner in node.attrs.values():
                if isinstance(inner, Body):
                    yield from body_nodes(inner)


def unknown(what: Any, close: Sequence[str]) -> SessionError:
    """The error for a tensor, node or name that is no part of a run."""
    name = what if isinstance(what, str) else getattr(what, "name", None)
    if name is None:
        return SessionError(f"{what!r} ({type(what).__name__}) is not a tensor, a node or a name")
    hint = f"similar: {', '.join(close)}" if close else "the fetches do not need it; add it to them"
    return SessionError(f"'{name}' is not part of this run", hint=hint)
