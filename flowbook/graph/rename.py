"""Naming a node after the variable it is assigned to.

A name is part of a key, and a key has one handle. So a node built in this draft takes the new name only when no
handle of that key is held anywhere; otherwise the handle takes over its record, and the old handle points to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from flowbook.errors import GraphError
from flowbook.graph.node import Node, Tensor
from flowbook.graph.rebuild import redirect

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph, Owner


def rename(graph: Graph, target: Tensor | Node, name: str) -> Tensor | Node:
    """See ``Graph.rename``."""
    node = (target.node if isinstance(target, Tensor) else target).live
    owner, here = node.owner, graph.building
    if node.record is None or owner is not here:
        raise GraphError(f"'{node.name}' of {owner.label} cannot be renamed from {here.label}")
    scope = user_scope(node)
    if node.name != scope + name:
        full = graph._free_name(owner, node.record.op, name, scope)
        if graph._variables.get(node.name) is node:
            del graph._variables[node.name]
        held = owner.gone.get(full)
        if held is None and is_draft(graph, node):
            owner.nodes[full] = owner.nodes.pop(node.name)
            node.name = full
        else:
            handle = held if held is not None else Node(graph, owner, full)
            hand_over(graph, {node: handle}, _possible_users(graph, node))
            node = owner.nodes[full]
        if node.current.op.name == "variable":
            graph._variables[full] = node
        if graph._journal is not None and owner.derivations:
            graph._journal.renamed.append((node, len(owner.derivations)))
        graph.version += 1
    return node.tensors[target.index] if isinstance(target, Tensor) else node


def user_scope(node: Node) -> str:
    """The name scopes that somebody opened around a node; those that a derivation made for itself are not."""
    derivation = node.current.derivation
    if derivation is not None and node in derivation.outputs:
        return str(derivation.context.scope[: derivation.context.scope.rfind("/", 0, -1) + 1])
    return node.name[: node.name.rfind("/") + 1]


def is_draft(graph: Graph, node: Node) -> bool:
    """Whether nothing outside this draft knows the handle (outside of any, nothing can be rolled back)."""
    journal = graph._journal
    return journal is None or (
        journal.records.get(node, node.record) is None and node.owner.gone.get(node.name) is not node
    )


def _possible_users(graph: Graph, node: Node) -> list[Node]:
    """Nodes among which all consumers of ``node`` in its cell are: those built after it."""
    if graph._journal is not None and is_draft(graph, node):
        return [*takewhile(lambda each: each is not node, reversed(graph._journal.made))]
    return [*node.owner.nodes.values()]


def settle(graph: Graph, owner: Owner) -> None:
    """At the end of a draft: let the handles that are held of its keys take over from the draft's own."""
    held = {node: owner.gone.get(name) for name, node in owner.nodes.items()} if owner.gone else {}
    handles = {node: handle for node, handle in held.items() if handle is not None and handle is not node}
    hand_over(graph, handles, [*owner.nodes.values()])


def hand_over(graph: Graph, handles: Mapping[Node, Node], users: Sequence[Node]) -> None:
    """Let each handle take over the record of its node, which points to the handle from then on.

    ``users`` are the nodes of the cell that may refer to one of them.
    """
    if not handles:
        return
    owner, journal = next(iter(handles)).owner, graph._journal
    if journal is not None:
        for node in (*users, *handles, *handles.values()):
            journal.note(node)
        journal.made.extend(handles.values())
    for node, handle in handles.items():
        del owner.nodes[node.name]
        record = node.record
        node.hold(None)
        node.moved = handle
        handle.hold(record)
    owner.nodes.update((handle.name, handle) for handle in handles.values())
    redirect((*users, *handles.values()), handles)
    for derivation in {node.current.derivation for node in handles.values()} - {None}:
        derivation.replace(handles)
