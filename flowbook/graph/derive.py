"""Derivations: nodes that were computed from other nodes (``gradients``, ``minimize``) and follow when those change.

A derivation remembers how it was built. When a node that its roots depend on changes in a later commit, the same
transaction builds it again under the same keys, so that handles to its outputs keep their meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from flowbook.graph import context
from flowbook.graph.node import Node, Tensor, call_site

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph, Owner

Built = TypeVar("Built", bound="Sequence[Tensor | Node | None]")


class Derivation:
    """What was built, from what, and how to build it again."""

    __slots__ = ("build", "context", "kind", "nodes", "outputs", "owner", "roots")

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

    def __repr__(self) -> str:
        return f"<Derivation {self.kind}: {len(self.nodes)} nodes>"

    def run(self) -> Sequence[Tensor | Node | None]:
        """Build in the remembered context; the nodes made are collected in ``nodes``."""
        self.nodes = []
        with context.override(**self.context._asdict()):
            built = self.build()
        self.outputs = [each.node if isinstance(each, Tensor) else each for each in built]
        return built


def derive(graph: Graph, kind: str, build: Callable[[], Built], roots: Sequence[Node]) -> Built:
    """Run ``build`` as a recorded derivation in a scope of its own, and return what it returns.

    ``roots`` are the nodes it was computed from. Inside another derivation it is part of that one.
    """
    outer = context.current()
    if outer.derivation is not None:
        with context.override(graph=graph, scope=graph.unique_scope(kind)):
            return build()
    owner = graph._owner
    derivation = Derivation(kind, owner, build, roots)
    with context.override(graph=graph):
        derivation.context = outer._replace(
            graph=graph,
            scope=graph.unique_scope(kind),
            derivation=derivation,
            origin=outer.origin or call_site(owner),
        )
    built = derivation.run()
    owner.derivations.append(derivation)
    return built  # type: ignore[return-value]
