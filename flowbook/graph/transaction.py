"""A cell's commit: all or nothing, followed by what it means for the other cells, and undoable.

While a cell runs, its old nodes are set aside and its new ones take their keys. On success the commit

1. refuses cycles across cells,
2. infers the specs of consumers in other cells again; those that no longer fit become *stale*,
3. builds derivations again whose path changed (see `derive.py`),

and any failure restores every record. The `Journal` keeps the first old record of each node touched, which is all
that rollback and undo need.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowbook.errors import FlowError, GraphError
from flowbook.graph.body import Body
from flowbook.graph.node import Node, Record, Stale, Tensor
from flowbook.graph.order import ancestors, topological
from flowbook.graph.types import TensorSpec, unify_shape

if TYPE_CHECKING:
    from flowbook.graph.derive import Derivation
    from flowbook.graph.graph import Graph, Owner


class Commit(NamedTuple):
    """What one commit did, as names of nodes; what ``%flow diff`` shows."""

    owner: str
    added: list[str]
    removed: list[str]
    changed: list[str]
    rewired: list[str]
    derived: list[str]
    stale: list[str]
    journal: Journal

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.rewired, self.derived, self.stale))

    def __repr__(self) -> str:
        parts = [
            f"{len(names)} {kind}"
            for kind, names in zip(self._fields[1:7], self[1:7], strict=True)
            if names  # in the order of the fields
        ]
        return f"<Commit of {self.owner or 'the script'}: {', '.join(parts) or 'nothing changed'}>"


class Journal:
    """The first old state of everything touched since it was opened."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.records: dict[Node, Record | None] = {}
        self.owners: dict[str, tuple[Any, ...]] = {}
        self.functions = dict(graph.functions)
        self.variables = dict(graph._variables)

    def note(self, node: Node) -> None:
        """Remember a node's record, unless an older one is remembered."""
        if node not in self.records:
            self.records[node] = node.record

    def note_owner(self, owner: Owner) -> None:
        """Remember an owner's table, unless an older one is remembered."""
        if owner.name not in self.owners:
            derivations = [(each, list(each.nodes), list(each.outputs)) for each in owner.derivations]
            self.owners[owner.name] = (dict(owner.nodes), dict(owner.counters), derivations, owner.seq, owner.file)

    def set(self, node: Node, record: Record | None) -> None:
        """Replace a node's record."""
        self.note(node)
        node.record = record

    def restore(self) -> None:
        """Put everything back."""
        for node, record in self.records.items():
            node.record = record
        for name, (nodes, counters, derivations, seq, file) in self.owners.items():
            owner = self.graph._owners[name]
            for node in owner.nodes.values():
                if node.name not in nodes:
                    owner.gone[node.name] = node
            owner.nodes, owner.counters, owner.seq, owner.file = dict(nodes), dict(counters), seq, file
            owner.derivations = []
            for derivation, made, outputs in derivations:
                derivation.nodes, derivation.outputs = list(made), list(outputs)
                owner.derivations.append(derivation)
        self.graph.functions = dict(self.functions)
        self.graph._variables = dict(self.variables)
        self.graph.version += 1


class Transaction:
    """The draft of one cell. Use ``graph.transaction(cell)``."""

    def __init__(self, graph: Graph, owner: str, *, file: str | None, discard: bool, extend: bool) -> None:
        self.graph = graph
        self.name = owner
        self.file = file
        self.discard = discard
        self.extend = extend
        self.old: dict[str, Node] = {}
        self.commit: Commit | None = None

    def __enter__(self) -> Transaction:
        graph = self.graph
        if graph._transaction is not None:
            raise GraphError(f"cell {graph._transaction.name} is still being run")
        owner = graph._owners.get(self.name)
        if owner is None:
            from flowbook.graph.graph import Owner

            position = 1 + max(each.position for each in graph._owners.values())
            owner = graph._owners[self.name] = Owner(self.name, position)
        self.owner = owner
        self.outer = graph._owner
        graph._transaction = self
        graph._journal = self.journal = Journal(graph)
        self.journal.note_owner(owner)
        self.revived = bool(owner.gone)
        if not self.extend:
            self.old = dict(owner.nodes)
            for node in self.old.values():
                self.journal.set(node, None)
                owner.gone[node.name] = node
            owner.nodes, owner.counters, owner.derivations, owner.seq = {}, {}, [], 0
        owner.file = self.file
        graph._owner = owner
        graph.version += 1
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        graph = self.graph
        try:
            if error is not None or self.discard:
                self.journal.restore()
                return
            try:
                self.commit = self._commit()
            except BaseException:
                self.journal.restore()
                raise
            graph.last_commit = self.commit
        finally:
            for name in [name for name, node in self.owner.gone.items() if node.record is not None]:
                del self.owner.gone[name]
            graph._transaction = None
            graph._journal = None
            graph._owner = self.outer
            graph.version += 1

    def _commit(self) -> Commit:
        records, owner = self.journal.records, self.owner
        own = set(owner.nodes.values())
        removed = [node for node in self.old.values() if node.record is None and node.moved is None]
        added = [node for node in owner.nodes.values() if records.get(node) is None and node in records]
        changed, rewired = [], []
        for node in owner.nodes.values():
            before = records.get(node)
            if before is not None and node.record is not None:
                if not same_operation(before, node.record):
                    changed.append(node)
                elif not same_inputs(before, node.record):
                    rewired.append(node)
        derived: list[Derivation] = []
        stale: list[Node] = []
        if self.old or self.revived:
            dirty = {*removed, *changed, *rewired, *(added if self.revived else ())}
            derived, stale = _follow(self.graph, self.journal, own, dirty)
        _drop_functions(self.graph, self.old.values(), records)
        return Commit(
            owner.name,
            [node.name for node in added],
            [node.name for node in removed],
            [node.name for node in changed],
            [node.name for node in rewired],
            [node.name for each in derived for node in each.nodes],
            [node.name for node in stale],
            self.journal,
        )


def undo(graph: Graph) -> Commit:
    """Take the last commit back; a second undo in a row has nothing to undo."""
    commit = graph.last_commit
    if commit is None:
        raise GraphError("there is no commit to undo")
    commit.journal.restore()
    graph.last_commit = None
    return commit


# ------------------------------------------------------------------------------------------------ comparing


def same_operation(a: Record, b: Record) -> bool:
    """Whether two records compute the same function: op, attributes, device, specs."""
    return a.op is b.op and a.device == b.device and a.specs == b.specs and same_attrs(a.attrs, b.attrs)


def same_inputs(a: Record, b: Record) -> bool:
    """Whether two records read the same handles and wait for the same nodes."""
    if len(a.inputs) != len(b.inputs) or a.controls != b.controls:
        return False
    return all(
        x is y or (not isinstance(x, Tensor) and not isinstance(y, Tensor) and type(x) is type(y) and x == y)
        for x, y in zip(a.inputs, b.inputs, strict=True)
    )


def same_attrs(a: Any, b: Any) -> bool:
    """Whether two attribute mappings are equal; arrays by dtype and content."""
    if a.keys() != b.keys():
        return False
    for key, x in a.items():
        y = b[key]
        if x is y:
            continue
        if isinstance(x, np.ndarray) or isinstance(y, np.ndarray):
            if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)) or x.dtype != y.dtype:
                return False
            if x.shape != y.shape or x.tobytes() != y.tobytes():
                return False
        elif type(x) is not type(y) or (x.hash != y.hash if isinstance(x, Body) else x != y):
            return False
    return True


# ------------------------------------------------------------------------------------------------ following


def _inputs(node: Node) -> list[Node]:
    """What a node waits for, also when that is gone."""
    record = node.record
    if record is None:
        return []
    return [each.node for each in record.inputs if isinstance(each, Tensor)] + list(record.controls)


def _consumers(graph: Graph) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for owner in graph._owners.values():
        for node in owner.nodes.values():
            for each in _inputs(node):
                found.setdefault(each, []).append(node)
    return found


def _follow(graph: Graph, journal: Journal, own: set[Node], dirty: set[Node]) -> tuple[list[Derivation], list[Node]]:
    """Bring the other cells up to date; returns the derivations built again and the nodes that are stale now."""
    consumers = _consumers(graph)
    below = ancestors(own | dirty, lambda node: consumers.get(node, ()))
    if len(below) > len(own):
        topological({node for node in below if node.record is not None}, _inputs)  # raises for a cycle across cells
    done: list[Derivation] = []
    while dirty:
        below = ancestors(dirty, lambda node: consumers.get(node, ()))
        foreign = [node for node in below if node not in own and node.record is not None]
        touched = set(dirty)
        for node in topological(foreign, _inputs):
            if node.record is not None and node.record.derivation not in done and _recheck(journal, node):
                touched.add(node)
        derivation = _next_derivation(graph, own, touched, done)
        if derivation is None:
            break
        done.append(derivation)
        before = set(derivation.nodes)
        _derive_again(graph, journal, derivation)
        dirty = touched | before | set(derivation.nodes)
        consumers = _consumers(graph)
    stale = [node for node, old in journal.records.items() if _is_stale(node.record) and not _is_stale(old)]
    return done, stale


def _is_stale(record: Record | None) -> bool:
    return record is not None and record.stale is not None


def _recheck(journal: Journal, node: Node) -> bool:
    """Infer a foreign node's specs again, or mark it stale; returns whether its record changed."""
    record = node.record
    assert record is not None
    expected = record.stale.expected if record.stale else tuple(_old_spec(journal, each) for each in record.inputs)
    reason: str | None = None
    kinds: list[Any] = []
    for operand, old in zip(record.inputs, expected, strict=True):
        if not isinstance(operand, Tensor):
            kinds.append(operand)
            continue
        producer = operand.node
        if producer.record is None or operand.index >= len(producer.record.specs):
            reason = f"its input '{operand.name}' is gone: {producer.owner.label} no longer defines it"
            break
        new = producer.record.specs[operand.index]
        kinds.append(new)
        if old is not None and not _fits(old, new):
            reason = f"its input '{operand.name}' of {producer.owner.label} was {old} and is {new} now"
            break
    for control in record.controls:
        if control.record is None:
            reason = f"'{control.name}', which it waits for, is gone: {control.owner.label} no longer defines it"
    specs = record.specs
    if reason is None:
        try:
            specs = record.op.infer(kinds, record.attrs)
        except FlowError as error:
            reason = error.message
    fresh = record._replace(specs=specs, stale=Stale(reason, expected) if reason else None)
    changed = fresh.specs != record.specs or (fresh.stale is None) != (record.stale is None)
    if changed or fresh.stale != record.stale:
        journal.set(node, fresh)
    return changed


def _old_spec(journal: Journal, operand: Any) -> TensorSpec | None:
    if not isinstance(operand, Tensor):
        return None
    record = journal.records.get(operand.node, operand.node.record)
    return record.specs[operand.index] if record is not None and operand.index < len(record.specs) else None


def _fits(old: TensorSpec, new: TensorSpec) -> bool:
    if old.dtype != new.dtype:
        return False
    try:
        unify_shape(old.shape, new.shape)
    except FlowError:
        return False
    return True


# ------------------------------------------------------------------------------------------------ deriving again


def _next_derivation(graph: Graph, own: set[Node], touched: set[Node], done: list[Derivation]) -> Derivation | None:
    for owner in graph.owners:
        for derivation in owner.derivations:
            if derivation in done or (derivation.nodes and derivation.nodes[0] in own):
                continue
            made = set(derivation.nodes)
            path = ancestors(derivation.roots, _inputs)
            if not touched.isdisjoint(path - made):
                return derivation
    return None


def _derive_again(graph: Graph, journal: Journal, derivation: Derivation) -> None:
    owner = derivation.owner
    journal.note_owner(owner)
    made, outputs = list(derivation.nodes), list(derivation.outputs)
    names = {node: node.name for node in made}
    first = min((node.current.seq for node in made), default=owner.seq)
    records = {node: node.record for node in made}
    table, counters, seq = dict(owner.nodes), dict(owner.counters), owner.seq
    for node in made:
        journal.set(node, None)
        owner.nodes.pop(node.name, None)
        owner.gone[node.name] = node
    scope = derivation.context.scope
    owner.counters = {base: count for base, count in owner.counters.items() if not base.startswith(scope)}
    graph._owner, outer = owner, graph._owner
    try:
        built = derivation.run()
        for old, new in zip(outputs, built, strict=True):
            node = new.node if isinstance(new, Tensor) else new
            if old is not None and node is not None and node is not old:
                _move(owner, node, old, names[old] if old in names else old.name)
        derivation.outputs = outputs
    except FlowError as error:
        for node in set(derivation.nodes) - set(made):
            node.record = None
        owner.nodes, owner.counters, owner.seq = table, counters, seq
        derivation.nodes, derivation.outputs = made, outputs
        reason = f"{derivation.kind} could not follow an edit: {error.message}"
        for node, record in records.items():
            if record is not None:
                node.record = record._replace(stale=Stale(reason, (None,) * len(record.inputs)))
        return
    finally:
        graph._owner = outer
    _renumber(journal, owner, set(derivation.nodes), first)


def _renumber(journal: Journal, owner: Owner, fresh: set[Node], first: int) -> None:
    """Give nodes derived again the place in program order that the old ones had."""
    ordered = sorted(owner.nodes.values(), key=lambda node: node.current.seq)
    before = [node for node in ordered if node not in fresh and node.current.seq < first]
    after = [node for node in ordered if node not in fresh and node.current.seq >= first]
    middle = [node for node in ordered if node in fresh]
    for seq, node in enumerate([*before, *middle, *after], 1):
        if node.current.seq != seq:
            journal.set(node, node.current._replace(seq=seq))
    owner.seq = len(ordered)


# ------------------------------------------------------------------------------------------------ naming


def rename(graph: Graph, target: Tensor | Node, name: str) -> Tensor | Node:
    """See ``Graph.rename``."""
    node = target.node if isinstance(target, Tensor) else target
    owner = node.owner
    if owner is not graph._owner or node.record is None:
        raise GraphError(f"'{node.name}' of {owner.label} cannot be renamed from {graph._owner.label}")
    op, scope = node.record.op, node.name[: len(node.name) - len(node.name.rpartition("/")[2])]
    full = graph._free_name(owner, op, name, scope)
    held = owner.gone.get(full)
    if graph._variables.get(node.name) is node:
        del graph._variables[node.name]
    if held is not None:
        _move(owner, node, held, full)
        node = held
    else:
        owner.nodes[full] = owner.nodes.pop(node.name)
        node.name = full
    if op.name == "variable":
        graph._variables[full] = node
    graph.version += 1
    return node.tensors[target.index] if isinstance(target, Tensor) else node


def _move(owner: Owner, node: Node, handle: Node, name: str) -> None:
    """Let ``handle``, the interned handle of ``name``, take over the record of ``node``."""
    record = node.record
    assert record is not None
    graph = node.graph
    if graph._journal is not None:
        graph._journal.note(handle)
        graph._journal.note(node)
    if len(handle.tensors) < len(record.specs):
        first = len(handle.tensors)
        handle.tensors += tuple(Tensor(handle, index) for index in range(first, len(record.specs)))
    for mine, theirs in zip(handle.tensors, node.tensors, strict=False):
        mine.__class__ = theirs.__class__
    handle.record, handle.moved, handle.name = record, None, name
    node.record, node.moved = None, handle
    owner.nodes.pop(node.name, None)
    owner.nodes[name] = handle
    for other in owner.nodes.values():
        _redirect(other, node, handle)
    for derivation in [record.derivation, *owner.derivations]:
        if derivation is not None:
            derivation.nodes = [handle if each is node else each for each in derivation.nodes]
            derivation.outputs = [handle if each is node else each for each in derivation.outputs]


def _redirect(consumer: Node, old: Node, new: Node) -> None:
    record = consumer.record
    if record is None:
        return
    if any(isinstance(each, Tensor) and each.node is old for each in record.inputs):
        inputs = tuple(
            new.tensors[each.index] if isinstance(each, Tensor) and each.node is old else each for each in record.inputs
        )
        consumer.record = record._replace(inputs=inputs)
    if old in record.controls or record.forward is old:
        consumer.record = consumer.current._replace(
            controls=tuple(new if each is old else each for each in record.controls),
            forward=new if record.forward is old else record.forward,
        )


def _drop_functions(graph: Graph, old: Iterable[Node], records: dict[Node, Record | None]) -> None:
    """Forget Python callables that only replaced nodes referred to."""
    before = {(records[node].attrs.get("function") if records.get(node) else None) for node in old} - {None}  # type: ignore[union-attr]
    if before:
        used = {node.current.attrs.get("function") for owner in graph.owners for node in owner.nodes.values()}
        for name in before - used:
            graph.functions.pop(name, None)
