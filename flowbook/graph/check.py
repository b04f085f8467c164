"""Every invariant of a graph, checked. All tests run it; a graph that passes is one that everything else can trust."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from flowbook.errors import ArgumentError, FlowError, GraphError
from flowbook.graph.body import Body
from flowbook.graph.context import as_device
from flowbook.graph.node import Node, Record, Tensor, Variable
from flowbook.graph.opdef import REGISTRY
from flowbook.graph.order import topological
from flowbook.graph.types import SUPPORTED

if TYPE_CHECKING:
    from flowbook.graph.derive import Derivation
    from flowbook.graph.graph import Graph, Owner


def check(graph: Graph) -> None:
    """Raise ``GraphError``, naming the node and the invariant, when the graph is not as it has to be.

    Takes time in proportion to the size of the graph; the bodies of control flow are checked too.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as graph:
    ...     y = fb.tanh(fb.placeholder((2,), name="x"), name="y")
    >>> check(graph)
    >>> y.node.record = y.node.record._replace(specs=())
    >>> check(graph)
    Traceback (most recent call last):
    flowbook.errors.GraphError: graph check: 'y' of the script: its specs are (), inference gives (float32 (2,),)
    """
    if graph._transaction is None and graph._journal is not None:
        _broken(None, "a journal is open although no cell is being run")
    if graph._owners.get(graph._owner.name) is not graph._owner:
        _broken(None, f"new nodes go to {graph._owner.label}, which is not in the table of cells")
    _check_owners(graph)
    for owner in graph._owners.values():
        for name, node in owner.nodes.items():
            _check_handle(graph, owner, name, node)
    made: dict[Node, Derivation] = {}
    for owner in graph._owners.values():
        _check_derivations(owner, made)
    for owner in graph._owners.values():
        for node in owner.nodes.values():
            _check_record(graph, node, node.current, made)
    _check_variables(graph)
    topological(graph.nodes, lambda node: [each for each in _linked(node.current) if each.record is not None])


def _broken(node: Node | None, problem: str) -> NoReturn:
    raise GraphError("graph check: " + (f"'{node.name}' of {node.owner.label}: " if node else "") + problem)


def _linked(record: Record) -> Iterator[Node]:
    for each in record.inputs:
        if isinstance(each, Tensor):
            yield each.node
    yield from record.controls


# ------------------------------------------------------------------------------------------------ tables


def _check_owners(graph: Graph) -> None:
    positions: dict[int, Owner] = {}
    for name, owner in graph._owners.items():
        if owner.name != name:
            _broken(None, f"{owner.label} stands in the table of cells as '{name}'")
        other = positions.setdefault(owner.position, owner)
        if other is not owner:
            _broken(None, f"{other.label} and {owner.label} have the same position {owner.position}")
        seqs: dict[int, Node] = {}
        for node in owner.nodes.values():
            if node.record is None:
                continue
            if not 1 <= node.record.seq <= owner.seq:
                _broken(node, f"its place {node.record.seq} in creation order is not in 1 to {owner.seq}")
            twin = seqs.setdefault(node.record.seq, node)
            if twin is not node:
                _broken(node, f"its place {node.record.seq} in creation order is that of '{twin.name}'")
        if graph._transaction is None:
            for name, node in list(owner.gone.items()):
                if node.name != name or node.record is not None:
                    _broken(node, f"it is listed as a handle of '{name}' that is gone")


def _check_handle(graph: Graph, owner: Owner, name: str, node: Node) -> None:
    record = node.record
    if record is None:
        _broken(node, "it is in the table of its cell and has no record")
    if node.name != name or not name.strip() or "\n" in name:
        _broken(node, f"it stands in the table of its cell as '{name}'")
    if node.graph is not graph or node.owner is not owner:
        _broken(node, "its handle belongs to another graph or cell")
    if node.moved is not None:
        _broken(node, f"it has a record and is merged into '{node.moved.name}' too")
    if len(node.tensors) < len(record.specs):
        _broken(node, f"it has {len(node.tensors)} tensors for {len(record.specs)} outputs")
    for index, tensor in enumerate(node.tensors):
        if tensor.node is not node or tensor.index != index:
            _broken(node, f"its tensor {index} is output {tensor.index} of '{tensor.node.name}'")
        wanted = Variable if record.op.name == "variable" and index == 0 else Tensor
        if index < len(record.specs) and type(tensor) is not wanted:
            _broken(node, f"its tensor {index} is a {type(tensor).__name__}, not a {wanted.__name__}")


def _check_variables(graph: Graph) -> None:
    found: dict[str, Node] = {}
    for owner in graph._owners.values():
        for node in owner.nodes.values():
            if node.current.op.name == "variable":
                other = found.setdefault(node.name, node)
                if other is not node:
                    _broken(node, f"{other.owner.label} defines a Variable of that name too")
    table = {name: node for name, node in graph._variables.items() if node.record is not None or not graph._transaction}
    if table != found:
        names = sorted(name for name in table.keys() | found.keys() if table.get(name) is not found.get(name))
        _broken(None, f"the table of variables is wrong about {', '.join(map(repr, names))}")


def _check_derivations(owner: Owner, made: dict[Node, Derivation]) -> None:
    for derivation in owner.derivations:
        if derivation.owner is not owner:
            _broken(None, f"{derivation!r} of {derivation.owner.label} is listed at {owner.label}")
        for node in derivation.nodes:
            if owner.nodes.get(node.name) is not node:
                _broken(node, f"{derivation!r} lists it, and {owner.label} does not define it")
            if made.setdefault(node, derivation) is not derivation or node.current.derivation is not derivation:
                _broken(node, f"{derivation!r} lists it, and its record says {node.current.derivation!r}")
        for output in derivation.outputs:
            if (
                output is not None
                and output.record is None
                and not any(each.current.stale for each in derivation.nodes)
            ):
                _broken(output, f"it is an output of {derivation!r} and is gone")


# ------------------------------------------------------------------------------------------------ records


def _check_record(graph: Graph, node: Node, record: Record, made: Mapping[Node, Derivation]) -> None:
    if REGISTRY.get(record.op.name) is not record.op and not record.op.version:
        _broken(node, f"its op '{record.op.name}' is not a declared one")
    for operand in record.inputs:
        if not isinstance(operand, Tensor) and operand is not None and type(operand) not in (bool, int, float):
            _broken(node, f"its operand {operand!r} is neither a tensor nor a number")
    links = [*_linked(record), *([] if record.forward is None else [record.forward])]
    for other in links:
        if other.graph is not graph:
            _broken(node, f"it refers to '{other.name}' of another graph")
        if other.record is None and not record.stale:
            _broken(node, f"it refers to '{other.name}', which is gone, and is not stale")
        if other.record is not None and other.owner.nodes.get(other.name) is not other:
            _broken(node, f"it refers to a second handle of '{other.name}'")
    if record.device is not None:
        try:
            known = as_device(record.device) == record.device
        except ArgumentError:
            known = False
        if not known:
            _broken(node, f"its device {record.device!r} is not a device name")
    if record.derivation is not made.get(node):
        _broken(node, f"{record.derivation!r} made it, and {node.owner.label} does not list that")
    _check_attrs(graph, node, record)
    _check_specs(node, record)


def _check_specs(node: Node, record: Record) -> None:
    for operand in record.inputs:
        if isinstance(operand, Tensor) and operand.node.record is not None:
            if operand.index >= len(operand.node.record.specs) and not record.stale:
                _broken(node, f"it reads output {operand.index} of '{operand.node.name}', which has fewer")
    if record.stale is not None:
        if not record.stale:
            _broken(node, "it is stale without a reason")
        return
    if record.built is not None and len(record.built) != len(record.inputs):
        _broken(node, f"it remembers specs of {len(record.built)} inputs and has {len(record.inputs)}")
    for name, body in record.attrs.items():
        if isinstance(body, Body) and body.misfit is not None:
            _broken(node, f"attribute {name} captured '{body.misfit.name}' when that was something else")
    kinds = [each.spec if isinstance(each, Tensor) else each for each in record.inputs]
    try:
        specs = record.op.infer(kinds, record.attrs)
    except FlowError as error:
        _broken(node, f"its specs cannot be inferred: {error.message}")
    if specs != record.specs:
        _broken(node, f"its specs are {record.specs}, inference gives {specs}")


def _check_attrs(graph: Graph, node: Node, record: Record) -> None:
    if set(record.attrs) != record.op.attribute_names:
        names = sorted(record.op.attribute_names.symmetric_difference(record.attrs))
        _broken(node, f"op {record.op.name} and its attributes disagree about {', '.join(names)}")
    for name, value in record.attrs.items():
        problem = _why_not_plain(graph, value)
        if problem:
            _broken(node, f"attribute {name} {problem}")


def _why_not_plain(graph: Graph, value: Any) -> str | None:
    if value is None or type(value) in (bool, int, float, str):
        return None
    if type(value) is tuple:
        return next((problem for each in value if (problem := _why_not_plain(graph, each))), None)
    if type(value) is np.ndarray:
        if value.dtype.name not in SUPPORTED or not value.dtype.isnative:
            return f"is an array of dtype {value.dtype}"
        return "is an array that can be changed" if value.flags.writeable else None
    if isinstance(value, Body):
        if value.parent is not graph:
            return "is a body of another graph"
        check(value)
        return None
    return f"is a {type(value).__name__}, which is not a plain value"
