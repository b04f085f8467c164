"""Scopes for helpers that make variables of their own: layers and optimizers."""

from __future__ import annotations

from flowbook.graph.graph import Graph


def variable_scope(graph: Graph, name: str) -> str:
    """A scope prefix that nothing of this cell, and no variable of another cell, uses: ``name/``, ``name_1/``, …

    A cell that is run again gets the prefixes it had, so its variables keep their names and values.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as graph:
    ...     variable_scope(graph, "dense"), variable_scope(graph, "dense")
    ('dense/', 'dense_1/')
    """
    while True:
        prefix = graph.unique_scope(name)
        if not any(each.name.startswith(prefix) for each in graph.variables):
            return prefix


def outermost(graph: Graph) -> Graph:
    """The graph around all bodies of control flow: where variables live."""
    while (parent := getattr(graph, "parent", None)) is not None:
        graph = parent
    return graph
