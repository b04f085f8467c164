"""What is shown of a cell: boxes and arrows, from nodes; the table and the picture both come from here.

A box is one node, or a whole scope when there are too many nodes to look at. Nodes of other cells that the cell reads
are included as *foreign* boxes. Everything is in program order, so the same cell always gives the same outline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from flowbook.graph.graph import Graph
from flowbook.graph.node import Node
from flowbook.graph.types import TensorSpec, format_shape

LIMIT = 60  # boxes; beyond it scopes collapse, the deepest first
CLOSED = ("scope", "group")  # kinds of boxes that stand for several nodes
Path = tuple[str, ...]


class Box(NamedTuple):
    """One box: ``nodes`` has one element, or all nodes of the scope it stands for."""

    key: int
    kind: str  # placeholder, constant, variable, write, copy, op, scope or (see `grouping.py`) group
    title: str
    detail: str  # the op, what it is for, or how many nodes
    spec: str
    scope: Path  # the scopes drawn around it
    nodes: tuple[Node, ...]
    foreign: bool  # belongs to another cell
    backward: bool  # made by a gradient rule
    stale: bool
    change: str = ""  # what the last run of its cell did to it: new or changed


class Arrow(NamedTuple):
    """From the box of a producer to the box of its reader; ``control``: it only waits."""

    source: int
    target: int
    control: bool


class Outline(NamedTuple):
    """Boxes and arrows of one cell."""

    cell: str
    boxes: list[Box]
    arrows: list[Arrow]
    nodes: int  # of the cell itself


def outline(graph: Graph, cell: str, limit: int = LIMIT, changes: Mapping[str, str] | None = None) -> Outline:
    """The outline of a cell, in at most ``limit`` boxes when its scopes allow that.

    ``changes``: by name of a node of the cell, what to mark it as.

    >>> import flowbook as fb
    >>> g = fb.Graph()
    >>> with g.transaction("data"), g.as_default():
    ...     x = fb.placeholder((2,), name="x")
    >>> with g.transaction("net"), g.as_default(), fb.name_scope("layer"):
    ...     y = fb.tanh(x, name="y")
    >>> [(box.title, box.scope, box.foreign) for box in outline(g, "net").boxes]
    [('x', (), True), ('y', ('layer',), False)]
    """
    own = graph.owned(cell)
    scopes = {node: scope_of(node) for node in own}
    collapsed = _collapse(scopes.values(), limit)
    groups: dict[object, list[Node]] = {}
    for node, scope in scopes.items():
        hidden = next((scope[:depth] for depth in range(1, len(scope) + 1) if scope[:depth] in collapsed), None)
        groups.setdefault(node if hidden is None else hidden, []).append(node)
    mine = set(own)
    foreign = {each: None for node in own for each in _producers(node) if each not in mine and each.record is not None}
    boxes: list[Box] = []
    for node in sorted(foreign, key=lambda node: node.order):
        boxes.append(_node_box(len(boxes), node, (), foreign=True))
    for key, nodes in groups.items():
        if isinstance(key, Node):
            boxes.append(_node_box(len(boxes), key, scopes[key], foreign=False))
        else:
            boxes.append(_scope_box(len(boxes), key, nodes))  # type: ignore[arg-type]
    if changes:
        boxes = [box if box.foreign else box._replace(change=_change(box, changes)) for box in boxes]
    place = {node: box.key for box in boxes for node in box.nodes}
    arrows: dict[Arrow, None] = {}
    for node in own:
        for each in _producers(node):
            control = each in node.control_inputs and all(tensor.node is not each for tensor in node.input_tensors)
            if each in place and place[each] != place[node]:
                arrows[Arrow(place[each], place[node], control)] = None
    return Outline(cell, boxes, _without_implied(boxes, list(arrows), place), len(own))


def _without_implied(boxes: Sequence[Box], arrows: list[Arrow], place: Mapping[Node, int]) -> list[Arrow]:
    """Leave out arrows from forward boxes into a closed scope that holds their own derivatives, but for the last one: a
    training's scope reads every forward box, and all those lines say no more than the one from the end."""
    derivatives = {
        box.key: {place[node.forward] for node in box.nodes if node.forward is not None and node.forward in place}
        for box in boxes
        if box.kind == "scope"
    }
    last: dict[int, int] = {}  # by closed scope: the forward box whose arrow stays
    for source, target, _ in arrows:
        if source != target and source in derivatives.get(target, ()):
            last[target] = max(last.get(target, -1), source)
    return [
        arrow
        for arrow in arrows
        if arrow.source not in derivatives.get(arrow.target, ()) or last[arrow.target] == arrow.source
    ]


def scope_of(node: Node) -> Path:
    """The scopes to draw around a node. Inside a derivation only its own counts: the deeper ones repeat the names of
    the forward nodes, which the cards tell already."""
    path = tuple(node.scope.split("/")) if node.scope else ()
    derivation = node.current.derivation
    if derivation is not None:
        return path[: len(derivation.context.scope.strip("/").split("/"))]
    return path


def kind_of(node: Node) -> str:
    """The kind of box a node gets."""
    op = node.opdef
    if op.name in ("placeholder", "constant", "variable", "copy"):
        return op.name
    return "write" if op.writes else "op"


def text_of_spec(spec: TensorSpec) -> str:
    """A spec in a few characters: the shape, and the dtype unless it is the usual one."""
    shape = format_shape(spec.shape)
    return shape if spec.dtype.name == "float32" else f"{spec.dtype.name} {shape}"


def _producers(node: Node) -> list[Node]:
    return [*(tensor.node for tensor in node.input_tensors), *node.control_inputs]


def _node_box(key: int, node: Node, scope: Path, *, foreign: bool) -> Box:
    specs = ", ".join(text_of_spec(each.spec) for each in node.outputs)
    title = node.name.rpartition("/")[2] if scope else node.name
    return Box(
        key,
        kind_of(node),
        title,
        _detail(node),
        specs,
        scope,
        (node,),
        foreign,
        node.forward is not None or _is_result(node),
        node.current.stale is not None,
    )


def _change(box: Box, changes: Mapping[str, str]) -> str:
    kinds = [changes.get(node.name, "") for node in box.nodes]
    return kinds[0] if len(set(kinds)) == 1 else "changed"


def _detail(node: Node) -> str:
    if _is_result(node):
        return "gradient"
    if node.forward is not None:
        return f"for {node.forward.name}"
    return f"writes {node.input_tensors[0].name}" if node.opdef.writes else node.op


def _is_result(node: Node) -> bool:
    """Whether the node is what `gradients` returns: the last backward value under the name of its x."""
    if node.op != "identity" or node.current.derivation is None:
        return False
    return node.input_tensors[0].node.forward is not None


def _scope_box(key: int, path: Path, nodes: Sequence[Node]) -> Box:
    return Box(
        key,
        "scope",
        path[-1],
        f"{len(nodes)} nodes" if len(nodes) != 1 else "1 node",
        "",
        path[:-1],
        tuple(nodes),
        False,
        all(node.forward is not None for node in nodes),
        any(node.current.stale is not None for node in nodes),
    )


def _collapse(scopes: Iterable[Path], limit: int) -> set[Path]:
    """The scopes to show as one box each, so that at most ``limit`` boxes remain: deepest and largest first."""
    paths = list(scopes)
    collapsed: set[Path] = set()
    sizes: dict[Path, int] = {}  # boxes inside each open scope
    for path in paths:
        for depth in range(1, len(path) + 1):
            sizes[path[:depth]] = sizes.get(path[:depth], 0) + 1
    boxes = len(paths)
    while boxes > limit:
        candidates = [path for path in sizes if sizes[path] > 1 and path not in collapsed]
        if not candidates:
            break
        chosen = max(candidates, key=lambda path: (len(path), sizes[path], path))
        saved = sizes[chosen] - 1
        collapsed.add(chosen)
        boxes -= saved
        for depth in range(1, len(chosen) + 1):
            sizes[chosen[:depth]] -= saved
    return collapsed
