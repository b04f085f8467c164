"""What a commit means for the other cells: rewired consumers, stale ones, derivations built again.

A consumer in another cell is kept when the dtype and rank of its inputs are what it was built for and the dimensions
unify; its specs are inferred again. Otherwise it is *stale*: it stays in the graph, and running it raises. Derived
nodes are not inferred one by one: when something they were computed from changed, their derivation is built again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.errors import FlowError
from flowbook.graph.body import Body, copy_bodies
from flowbook.graph.node import Node, Record, Tensor
from flowbook.graph.order import ancestors, topological
from flowbook.graph.rebuild import rebuild
from flowbook.graph.types import TensorSpec, unify_shape

if TYPE_CHECKING:
    from flowbook.graph.derive import Derivation
    from flowbook.graph.graph import Graph
    from flowbook.graph.transaction import Journal

# ------------------------------------------------------------------------------------------------ comparing


def same_operation(a: Record, b: Record) -> bool:
    """Whether two records compute the same function: op, attributes, device, specs."""
    return a.op is b.op and a.device == b.device and a.specs == b.specs and same_attrs(a.attrs, b.attrs)


def same_inputs(a: Record, b: Record) -> bool:
    """Whether two records read the same handles and wait for the same nodes."""
    if len(a.inputs) != len(b.inputs) or a.controls != b.controls:
        return False
    return all(
        x is y or (not isinstance(x, Tensor) and not isinstance(y, Tensor) and repr(x) == repr(y))
        for x, y in zip(a.inputs, b.inputs, strict=True)
    )


def same_attrs(a: Any, b: Any) -> bool:
    """Whether two attribute mappings are equal; arrays by dtype and content, bodies by hash."""
    return a.keys() == b.keys() and all(_same_value(x, b[key]) for key, x in a.items())


def _same_value(x: Any, y: Any) -> bool:
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, np.ndarray):
        return bool(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes())
    if hasattr(x, "hash"):
        return bool(x.hash == y.hash)
    return repr(x) == repr(y)  # apart from ==, it tells 1 from 1.0 and 0.0 from -0.0


# ------------------------------------------------------------------------------------------------ following


def inputs_of(node: Node) -> list[Node]:
    """What a node waits for, also when that is gone; nothing, when the node is."""
    record = node.record
    if record is None:
        return []
    return [each.node for each in record.inputs if isinstance(each, Tensor)] + list(record.controls)


class Follower:
    """Brings a graph up to date after changes.

    ``own`` are the nodes that the change itself made: they agree with one another, and only what changes beyond them
    can make one of them out of date.
    """

    def __init__(self, graph: Graph, journal: Journal, own: Iterable[Node]) -> None:
        self.graph = graph
        self.journal = journal
        self.own = set(own)
        self.beyond: set[Node] = set()  # what changed although nobody edited it
        self.derived: list[Derivation] = []
        self.built: dict[Node, tuple[TensorSpec | None, ...]] = {}  # the specs that what was checked was built for

    def follow(self, dirty: set[Node]) -> None:
        """Follow the change of ``dirty``. Raises ``GraphError`` when the change closed a cycle across cells."""
        self._find_consumers()
        below = self._below(self.own | dirty)
        if len(below) > len(self.own):
            topological([node for node in below if node.record is not None], inputs_of)
        touched = set(dirty)
        while True:
            ordered = topological([node for node in self._below(touched) if node.record is not None], inputs_of)
            for node in ordered:
                if not touched.isdisjoint(inputs_of(node)) and self._recheck(node):
                    self.beyond.add(node)
                    touched.add(node)
            derivation = self._next_derivation(touched)
            if derivation is None:
                return
            old = set(derivation.nodes)
            rebuild(self.graph, self.journal, derivation)
            self.derived.append(derivation)
            self.beyond |= old | set(derivation.nodes)
            touched |= self.beyond
            self._find_consumers()

    def _find_consumers(self) -> None:
        self.consumers: dict[Node, list[Node]] = {}
        for owner in self.graph._owners.values():
            for node in owner.nodes.values():
                for each in inputs_of(node):
                    self.consumers.setdefault(each, []).append(node)

    def _below(self, nodes: Iterable[Node]) -> set[Node]:
        return ancestors(nodes, lambda node: self.consumers.get(node, ()))

    # -------------------------------------------------------------------------------------------- specs

    def _recheck(self, node: Node) -> bool:
        """Infer a node's specs again, or mark it stale; returns whether that changed anything for its consumers."""
        record = node.current
        if record.derivation is not None:
            return False
        if node not in self.built:
            self.built[node] = record.built or tuple(self._spec_before(node, each) for each in record.inputs)
        built = self.built[node]
        reason = self._misfit(record, built)
        attrs, specs = record.attrs, record.specs
        if reason is None:
            try:
                attrs, specs = self._infer(node, record)
            except FlowError as error:
                reason = error.message
        now = tuple(_spec_now(each) for each in record.inputs)
        fresh = record._replace(attrs=attrs, specs=specs, stale=reason, built=None if built == now else built)
        if fresh != record:
            self.journal.set(node, fresh)
        return attrs is not record.attrs or specs != record.specs or (reason is None) != (record.stale is None)

    def _misfit(self, record: Record, built: tuple[TensorSpec | None, ...]) -> str | None:
        """Why the inputs are not what the record was built for, or ``None``."""
        for operand, old in zip(record.inputs, built, strict=True):
            if isinstance(operand, Tensor):
                producer, new = operand.node, _spec_now(operand)
                if new is None:
                    return _gone("its input", operand.name, producer)
                if old is not None and not _fits(old, new):
                    name = f"'{operand.name}' of {producer.owner.label}"
                    return f"its input {name} was {old} and is {new} now"
        for control in record.controls:
            if control.record is None:
                return _gone("what it waits for,", control.name, control)
        return None

    def _infer(self, node: Node, record: Record) -> tuple[Mapping[str, Any], tuple[TensorSpec, ...]]:
        """Attributes (bodies follow their captures) and specs for the inputs as they are now."""
        attrs = record.attrs
        if any(isinstance(each, Body) and each.misfit is not None for each in attrs.values()):
            self.graph._owner, owner = node.owner, self.graph._owner
            try:
                attrs = copy_bodies(self.graph, attrs, record.inputs)
            finally:
                self.graph._owner = owner
        kinds = [each.spec if isinstance(each, Tensor) else each for each in record.inputs]
        return attrs, record.op.infer(kinds, attrs)

    def _spec_before(self, node: Node, operand: Any) -> TensorSpec | None:
        """The spec that ``node`` saw when it was built; ``None`` when nothing is known."""
        if not isinstance(operand, Tensor):
            return None
        producer = operand.node
        if node in self.own and producer in self.own and producer not in self.beyond:
            return _spec_now(operand)
        record = self.journal.records.get(producer, producer.record)
        return record.specs[operand.index] if record is not None and operand.index < len(record.specs) else None

    # -------------------------------------------------------------------------------------------- derivations

    def _next_derivation(self, touched: set[Node]) -> Derivation | None:
        """One that has to be built again, and that depends on no other such one."""
        below, beyond = self._below(touched), self._below(self.beyond)
        pending = []
        for derivation in [each for owner in self.graph.owners for each in owner.derivations]:
            reached = beyond if self.own.issuperset(derivation.nodes[:1]) else below
            if derivation not in self.derived and not reached.isdisjoint([*derivation.live_roots, *derivation.nodes]):
                pending.append(derivation)
        maker = {node: each for each in pending for node in each.nodes}
        for derivation in pending:
            path = ancestors({*derivation.live_roots, *derivation.nodes}, inputs_of)
            if all(maker.get(node, derivation) is derivation for node in path):
                return derivation
        return pending[0] if pending else None


def _spec_now(operand: Any) -> TensorSpec | None:
    if not isinstance(operand, Tensor):
        return None
    record = operand.node.record
    return record.specs[operand.index] if record is not None and operand.index < len(record.specs) else None


def _gone(what: str, name: str, node: Node) -> str:
    return f"{what} '{name}' is gone: {node.owner.label} no longer defines it"


def _fits(old: TensorSpec, new: TensorSpec) -> bool:
    if old.dtype != new.dtype:
        return False
    try:
        unify_shape(old.shape, new.shape)
    except FlowError:
        return False
    return True
