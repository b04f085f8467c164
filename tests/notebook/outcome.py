"""What a notebook has come to, in plain values that compare: what two ways to the same sources have to agree in."""

from __future__ import annotations

from typing import Any

import numpy as np

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.graph.follow import inputs_of
from flowbook.graph.node import Node
from flowbook.graph.order import ancestors


def feeds(graph: fb.Graph, seed: int = 0) -> dict[Any, Any]:
    """Something for every placeholder; sizes that are not known are 3."""
    found = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            tensor = node.outputs[0]
            shape = [each if isinstance(each, int) else 3 for each in tensor.shape]
            rng = np.random.default_rng([seed, *"/".join(node.key).encode()])
            found[tensor] = rng.normal(size=shape).astype(tensor.dtype)
    return found


def writes(node: Node) -> bool:
    """Whether computing a node writes a variable."""
    return any(each.op.startswith("assign") for each in ancestors([node], inputs_of) if each.record)


def trainings(graph: fb.Graph) -> list[Node]:
    """The nodes that are run for what they write, in an order that does not depend on positions."""
    return sorted((node for node in graph.nodes if not node.outputs and writes(node)), key=lambda node: node.key)


def outcome(graph: fb.Graph) -> dict[str, Any]:
    """Structure and numbers. Values are those of fresh sessions, so they begin with first values and run 1."""
    return {
        "hash": graph.hash,
        "stale": sorted(node.key for node in graph.nodes if node.stale),
        "order": [node.key for node in graph.nodes],
        "variables": sorted(each.name for each in graph.variables),
        "values": _values(fb.Session(graph), graph),
        "trained": _trained(graph),
    }


def _values(session: fb.Session, graph: fb.Graph) -> dict[Any, Any]:
    """What every node that writes nothing computes; gradients are nodes, too."""
    nodes = sorted((node for node in graph.nodes if node.outputs and not writes(node)), key=lambda node: node.key)
    fetches = [list(node.outputs) for node in nodes]
    try:
        values = session.run(fetches, feeds(graph))
    except FlowError:
        values = [_value(session, each, graph) for each in fetches]
    return {node.key: _plain(each) for node, each in zip(nodes, values, strict=True)}


def _trained(graph: fb.Graph) -> dict[Any, Any]:
    """The variables after one step of each training."""
    found = {}
    for node in trainings(graph):
        session = fb.Session(graph)
        error = _value(session, node, graph)
        found[node.key] = _plain(error), variables(session)
    return found


def variables(session: fb.Session) -> dict[str, Any]:
    """The values that the variables have in a session."""
    found = sorted(session.graph.variables, key=lambda each: each.name)
    return {each.name: _plain(session.run(each)) for each in found}


def _value(session: fb.Session, fetch: Any, graph: fb.Graph) -> Any:
    try:
        return session.run(fetch, feeds(graph))
    except FlowError as error:
        return type(error).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str) else (str(value.dtype), value.shape, value.tobytes())
