"""Nodes as messages: of a graph for a live view, of a trace for a recording.

Both give a list of `GraphNode` in which places are the nodes' numbers. Which tensor holds the derivative of which is
found in these, as a trace knows no more than names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import find_op
from flowbook.notebook.formula import formula
from flowbook.notebook.protocol import GraphNode, Ref, Spec
from flowbook.runtime.events import NodeInfo
from flowbook.runtime.trace import Trace

Kind = Literal["op", "placeholder", "variable", "constant", "write", "copy"]
KINDS: dict[str, Kind] = {each: each for each in ("placeholder", "variable", "constant", "copy")}


def describe_nodes(nodes: Sequence[Node]) -> list[GraphNode]:
    """Nodes of a graph; operands that are not among them show as text."""
    place = {node: index for index, node in enumerate(nodes)}
    found = []
    for node in nodes:
        entry = GraphNode(
            name=node.name,
            op=node.op,
            kind=_kind(node.op),
            outputs=[Spec(dtype=each.dtype.name, shape=_shape(each.shape)) for each in node.outputs],
            inputs=[_operand(each, place) for each in node.inputs],
        )
        controls = [place[each] for each in node.control_inputs if each in place]
        if controls:
            entry["controls"] = controls
        forward = node.forward
        if forward is not None and forward in place:
            entry["forward"] = place[forward]
        if node.device is not None:
            entry["device"] = node.device
        _tell_node(entry, node)
        found.append(_finished(entry, None if forward is None else forward.name))
    _pair(found)
    return found


def describe_trace(trace: Trace, graph: Graph | None = None) -> list[GraphNode]:
    """Nodes of a trace, numbered as in ``trace.nodes``. With the graph: formulas, lines' code, stale nodes."""
    names: dict[tuple[str, int], Ref] = {}
    for index, info in enumerate(trace.nodes):
        for output in range(len(info.outputs)):
            name = info.name if output == 0 else f"{info.name}:{output}"
            names[name, info.parent] = names[name, -2] = Ref(node=index, output=output)  # -2: in whatever body
    steps = {(info.name, info.parent): index for index, info in enumerate(trace.nodes)}
    alive = {} if graph is None else {(node.owner.name, node.name): node for node in graph.nodes}
    found = []
    for info in trace.nodes:
        entry = GraphNode(
            name=info.name,
            op=info.op,
            kind=_kind(info.op) if info.kind == "step" else _source(info.kind),
            outputs=[Spec(dtype=dtype, shape=None if shape is None else list(shape)) for dtype, shape in info.outputs],
            inputs=[_named(each, info, names) for each in info.inputs],
        )
        read = {each["node"] for each in entry["inputs"] if isinstance(each, dict)}
        controls = [each for each in info.waits if each not in read]
        if controls:
            entry["controls"] = controls
        forward = steps.get((info.forward, info.parent), steps.get((info.forward, -1))) if info.forward else None
        if forward is not None:
            entry["forward"] = forward
        if info.parent >= 0:
            entry["parent"] = info.parent
        entry["device"] = info.device
        if info.cell is not None:
            entry["cell"] = info.cell
        if info.line is not None:
            entry["line"] = info.line
        node = alive.get((info.owner or "", info.name))
        if node is not None and node.record is not None:
            _tell_node(entry, node)
        found.append(_finished(entry, info.forward))
    _pair(found)
    return found


def _kind(op: str) -> Kind:
    declared = find_op(op)
    return KINDS.get(op, "write" if declared is not None and declared.writes else "op")


def _source(kind: str) -> Kind:
    return "placeholder" if kind == "feed" else KINDS.get(kind, "op")


def _shape(shape: Any) -> Any:
    return None if shape is None else list(shape)


def _operand(operand: Any, place: dict[Node, int]) -> Ref | str | None:
    if isinstance(operand, Tensor):
        return Ref(node=place[operand.node], output=operand.index) if operand.node in place else operand.name
    return None if operand is None else str(operand)


def _named(name: str | None, info: NodeInfo, names: dict[tuple[str, int], Ref]) -> Ref | str | None:
    if name is None:
        return None
    return names.get((name, info.parent)) or names.get((name, -1)) or names.get((name, -2)) or name


def _tell_node(entry: GraphNode, node: Node) -> None:
    """What only a graph knows of a node: its formula, its line, and whether it is stale."""
    entry["formula"] = formula(node)
    origin = node.origin
    if origin is not None:
        entry["cell"], entry["line"] = origin.cell, origin.line
        if origin.code:
            entry["code"] = origin.code
    if node.stale is not None:
        entry["stale"] = node.stale


def _finished(entry: GraphNode, forward: str | None) -> GraphNode:
    """Add what follows from the name and the op: the scopes to draw, and what the op does.

    Inside a derivation only its own scopes count: the deeper ones repeat the names of the forward nodes.
    """
    scope = entry["name"].rpartition("/")[0]
    if forward is not None:
        before, found, _ = f"{scope}/".rpartition(f"/{forward}/")
        if found:
            scope = before
        elif "gradients" in scope.split("/"):
            scope = scope[: scope.index("gradients") + len("gradients")]
    if scope:
        entry["scope"] = scope.split("/")
    declared = find_op(entry["op"])
    if declared is not None and declared.doc:
        entry["doc"] = declared.doc.partition("\n\n")[0].replace("\n", " ")
    return entry


# ------------------------------------------------------------------------------------------------ gradients


def _pair(nodes: list[GraphNode]) -> None:
    """Say for each output which tensor is its derivative.

    That is the sum of its parts at a fan-out (made for the node itself, but by no rule); else what the node's own rule
    reads; else, for what has no rule, what the rule of its only reader gives.
    """
    rules: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        if "forward" in node:
            rules.setdefault(node["forward"], []).append(index)
    if not rules:
        return
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for each in dict.fromkeys(_tensors(node)):
            readers.setdefault(each[0], []).append(index)
    for index, node in enumerate(nodes):
        if index in rules or any(each in rules for each in readers.get(index, ())):
            found = [_derivative(nodes, rules, readers, index, output) for output in range(len(node["outputs"]))]
            if any(found):
                node["gradients"] = found


def _derivative(
    nodes: list[GraphNode], rules: dict[int, list[int]], readers: dict[int, list[int]], index: int, output: int
) -> Ref | None:
    spec = nodes[index]["outputs"][output]
    if not spec["dtype"].startswith("float"):
        return None
    own = rules.get(index, [])

    def fits(place: tuple[int, int]) -> bool:
        outputs = nodes[place[0]]["outputs"]
        return place[1] < len(outputs) and outputs[place[1]] == spec

    inside = [each for each in own if f"/{nodes[index]['name']}/" in f"/{nodes[each]['name']}"]
    sums = [each for each in own if each not in inside and nodes[each]["op"] == "add" and fits((each, 0))]
    if sums:
        return Ref(node=sums[-1], output=0)
    made = set(inside)
    for each in inside or own:
        for place in _tensors(nodes[each]):
            if place[0] not in made and fits(place) and "forward" in nodes[place[0]]:
                return Ref(node=place[0], output=place[1])
    consumers = [each for each in readers.get(index, ()) if each in rules]
    if len(consumers) != 1:
        return None
    return _contribution(nodes, rules[consumers[0]], readers, nodes[consumers[0]], index, fits)


def _contribution(
    nodes: list[GraphNode], rule: list[int], readers: dict[int, list[int]], consumer: GraphNode, index: int, fits: Any
) -> Ref | None:
    """What a rule gives for one of the operands: among its results that fit, the one in the operand's place."""
    made = set(rule)
    results = [
        each
        for each in rule
        if fits((each, 0))
        and nodes[each]["op"] != "identity"
        and any(reader not in made or nodes[reader]["op"] == "identity" for reader in readers.get(each, ()))
    ]
    operands = [
        node for node, output in _tensors(consumer) if nodes[node]["outputs"][output] == nodes[index]["outputs"][0]
    ]
    if not results:
        return None
    rank = operands.index(index) if index in operands and len(results) == len(operands) else len(results) - 1
    return Ref(node=results[rank], output=0)


def _tensors(node: GraphNode) -> Iterable[tuple[int, int]]:
    return [(each["node"], each["output"]) for each in node["inputs"] if isinstance(each, dict)]
