"""Building a derivation again: new nodes under the old keys, so that handles to its outputs keep their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flowbook.errors import FlowError
from flowbook.graph.node import Node, Record, Tensor
from flowbook.graph.order import ancestors, predecessors

if TYPE_CHECKING:
    from flowbook.graph.derive import Derivation
    from flowbook.graph.graph import Graph, Owner
    from flowbook.graph.transaction import Journal


def rebuild(graph: Graph, journal: Journal, derivation: Derivation, *, draft: bool = False) -> None:
    """Build ``derivation`` again. When that fails, its old nodes stay, and are stale.

    An output keeps its key. In the ``draft`` that built the derivation, one that nobody renamed gets the name that
    building gives it now.
    """
    owner = derivation.owner
    journal.note_owner(owner)
    state, records = derivation.state(), {node: node.current for node in derivation.nodes}
    table, counters, seq = dict(owner.nodes), dict(owner.counters), owner.seq
    gone = set(owner.gone.values())
    outputs = [node for node in derivation.outputs if node in records]
    kept = {node for node in outputs if not draft or derivation.was_renamed(node)}
    for node in records:
        journal.set(node, None)
        del owner.nodes[node.name]
        if not draft and node not in kept:  # outputs get a record at the end, not because a new node has their name
            owner.gone[node.name] = node
    scope = derivation.context.scope
    owner.counters = {key: count for key, count in counters.items() if key == scope or not key.startswith(scope)}
    graph._owner, outer = owner, graph._owner
    try:
        derivation.run()
    except Exception as error:
        for node in derivation.nodes:
            node.hold(None)
        owner.nodes, owner.counters, owner.seq = table, counters, seq
        derivation.reset(*state)
        message = error.message if isinstance(error, FlowError) else f"{type(error).__name__}: {error}"
        for node, record in records.items():
            node.hold(record._replace(stale=f"{derivation.kind} could not follow an edit: {message}"))
        return
    finally:
        graph._owner = outer
    _hand_over(derivation, owner, [*state[1]], kept, set(records), gone)
    _renumber(journal, owner, set(derivation.nodes), min((each.seq for each in records.values()), default=seq))


def name_again(graph: Graph, journal: Journal, owner: Owner) -> None:
    """Build those derivations of a draft again that named their nodes after ones that got their name later."""
    built: set[Node] = set()
    for index, derivation in enumerate(owner.derivations):
        later = {node.live for node, count in journal.renamed if index < count} | built
        later.difference_update(derivation.nodes)
        if later and not later.isdisjoint(ancestors(derivation.live_roots, predecessors)):
            rebuild(graph, journal, derivation, draft=True)
            built.update(derivation.nodes)


def _hand_over(
    derivation: Derivation, owner: Owner, old: list[Node | None], kept: set[Node], made: set[Node], gone: set[Node]
) -> None:
    """Give the records of the new outputs to the old handles. Those that were ``gone`` before stay so."""
    new = set(derivation.nodes)
    pairs = {
        after: before
        for before, after in zip(old, derivation.outputs, strict=True)
        if before in made and after in new and after is not before
    }
    pairs = {after: before for after, before in pairs.items() if before in kept or before.name == after.name}
    for after in pairs:
        del owner.nodes[after.name]
    for after, before in pairs.items():
        other = owner.nodes.get(before.name)
        if other is not None:  # an inner node took the name that the user gave to an output
            _step_aside(owner, other)
        before.hold(after.record)
        owner.nodes[before.name] = before
        after.hold(None)
        if after in gone:  # a key of its own, which building took for a moment
            owner.gone[after.name] = after
        else:
            after.moved = before
    derivation.replace(pairs)
    redirect(derivation.nodes, pairs)
    aliases: dict[Node, Node] = {}
    for handle, now in zip(old, derivation.outputs, strict=True):
        if handle in made and handle.record is None and now is not None:
            aliases[handle] = handle.moved = now
    redirect(owner.nodes.values(), aliases)


def _step_aside(owner: Owner, node: Node) -> None:
    count = 1
    while (name := f"{node.name}_{count}") in owner.nodes:
        count += 1
    owner.nodes[name] = owner.nodes.pop(node.name)
    node.name = name


def redirect(nodes: Iterable[Node], handles: Mapping[Node, Node]) -> None:
    """Let ``nodes`` refer to the values of ``handles`` where they refer to its keys."""
    if not handles:
        return
    for node in nodes:
        record = node.record
        if record is None:
            continue
        linked = [each.node for each in record.inputs if isinstance(each, Tensor)]
        if not handles.keys().isdisjoint([*linked, *record.controls, record.forward]):
            node.record = _redirected(record, handles)


def _redirected(record: Record, handles: Mapping[Node, Node]) -> Record:
    def tensor(each: Any) -> Any:
        return handles[each.node].tensors[each.index] if isinstance(each, Tensor) and each.node in handles else each

    forward = record.forward
    return record._replace(
        inputs=tuple(tensor(each) for each in record.inputs),
        controls=tuple(handles.get(each, each) for each in record.controls),
        forward=handles.get(forward, forward) if forward is not None else None,
    )


def _renumber(journal: Journal, owner: Owner, fresh: set[Node], first: int) -> None:
    """Give nodes built again the place in program order that the old ones had."""
    ordered = sorted(owner.nodes.values(), key=lambda node: node.current.seq)
    before = [node for node in ordered if node not in fresh and node.current.seq < first]
    after = [node for node in ordered if node not in fresh and node.current.seq >= first]
    middle = [node for node in ordered if node in fresh]
    for seq, node in enumerate([*before, *middle, *after], 1):
        if node.current.seq != seq:
            journal.set(node, node.current._replace(seq=seq))
    owner.seq = len(ordered)
