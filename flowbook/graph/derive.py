"""Derivations: nodes that were computed from other nodes (``gradients``, ``minimize``) and follow when those change.

A derivation remembers how it was built. When a node that its roots depend on changes in a later commit, the same
transaction builds it again under the same keys, so that handles to its outputs keep their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from flowbook.graph import context
from flowbook.graph.collecting import no_collection
from flowbook.graph.node import Node, Tensor, call_site

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph, Owner

Built = TypeVar("Built", bound="Sequence[Tensor | Node | None]")


class Derivation:
    """What was built, from what, and how to build it again."""

    __slots__ = ("build", "context", "kind", "names", "nodes", "outputs", "owner", "roots")

    def __init__(
        self, kind: str, owner: Owner, build: Callable[[], Sequence[Tensor | Node | None]], roots: Sequence[Node]
    ) -> None:
        self.kind = kind
        self.owner = owner
        self.build = build
        self.roots = tuple(roots)
        self.context = context.BuildContext()
        self.nodes: list[Node] = []
        self.outputs: list[Node | None] = []
        self.names: list[str] = []  # of the outputs, when they were built

    def __repr__(self) -> str:
        return f"<Derivation {self.kind}: {len(self.nodes)} nodes>"

    @property
    def live_roots(self) -> list[Node]:
        """The roots, where assignments merged them into other handles: those."""
        return [node.live for node in self.roots]

    def run(self) -> Sequence[Tensor | Node | None]:
        """Build in the remembered context; the nodes made are collected in ``nodes``."""
        self.nodes = []
        controls = tuple(node.live for node in self.context.controls)
        token = context.enter(self.context._replace(controls=controls))
        try:
            with no_collection():
                built = self.build()
        finally:
            context.leave(token)
        self.outputs = [each.node if isinstance(each, Tensor) else each for each in built]
        self.names = ["" if node is None else node.name for node in self.outputs]
        return built

    def was_renamed(self, output: Node) -> bool:
        """Whether somebody gave an output another name than building did."""
        return any(node is output and node.name != name for node, name in zip(self.outputs, self.names, strict=True))

    def replace(self, handles: Mapping[Node, Node]) -> None:
        """Refer to the values of ``handles`` instead of its keys."""
        self.nodes = [handles.get(node, node) for node in self.nodes]
        self.outputs = [node if node is None else handles.get(node, node) for node in self.outputs]

    def state(self) -> tuple[list[Node], list[Node | None], list[str]]:
        """What building and renaming change; for `reset`."""
        return self.nodes, self.outputs, self.names

    def reset(self, nodes: list[Node], outputs: list[Node | None], names: list[str]) -> Derivation:
        """Go back to an earlier `state`."""
        self.nodes, self.outputs, self.names = nodes, outputs, names
        return self

    def discard(self) -> None:
        """Take the nodes that were made so far out of the graph again."""
        for node in self.nodes:
            node.hold(None)
            self.owner.nodes.pop(node.name, None)
            if node.graph._variables.get(node.name) is node:
                del node.graph._variables[node.name]


def derive(graph: Graph, kind: str, build: Callable[[], Built], roots: Sequence[Node]) -> Built:
    """Run ``build`` as a recorded derivation in a scope of its own, and return what it returns.

    ``roots`` are the nodes it was computed from. Inside another derivation it is part of that one.
    """
    outer = context.current()
    if outer.derivation is not None:
        with context.override(graph=graph, scope=graph.unique_scope(kind)):
            return build()
    owner = graph.building
    derivation = Derivation(kind, owner, build, roots)
    with context.override(graph=graph):
        derivation.context = outer._replace(
            graph=graph,
            scope=graph.unique_scope(kind),
            derivation=derivation,
            origin=outer.origin or call_site(owner),
        )
    try:
        built = derivation.run()
    except BaseException:
        derivation.discard()
        raise
    owner.derivations.append(derivation)
    return built  # type: ignore[return-value]
