"""Graph to JSON and back: plain data in, a checked graph out, and nothing in between that could run code.

A document holds the cells with their positions, and the nodes with their keys, origins, specs and forward links in
program order; arrays travel beside it (see `container.py`). Nodes refer to nodes by their place in the list::

    {"seed": 0,
     "cells": [{"name": "model", "position": 1, "scopes": {"gradients/": 0}}],
     "nodes": [{"cell": 0, "name": "x", "op": "placeholder", "inputs": [], "attrs": {"shape": ["batch", 3], ...},
                "specs": [["float32", ["batch", 3]]], "origin": ["model", 1]},
               {"cell": 0, "name": "y", "op": "multiply", "inputs": [[0, 0], 2.0], ...}]}

An input is ``[node, output]``, a number, or ``null``. An attribute is a plain value, a tuple as a list,
``{"array": name}``, or ``{"body": {...}}``. Python functions are there by name only. Derivations are not saved, as
they hold Python: gradients in a loaded graph are plain nodes, and do not follow edits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from flowbook.errors import ArgumentError, FileError, FlowError, GraphError
from flowbook.graph.body import Body, is_variable
from flowbook.graph.check import check
from flowbook.graph.graph import Graph, Owner
from flowbook.graph.node import Node, Origin, Record, Tensor
from flowbook.graph.opdef import OpDef, find_op
from flowbook.graph.types import TensorSpec, as_dtype, as_shape

Document = dict[str, Any]
Arrays = dict[str, Any]
FUNCTIONS = ("function", "gradient")  # the attributes that name a Python callable


# ------------------------------------------------------------------------------------------------ writing


def graph_to_json(graph: Graph) -> tuple[Document, Arrays]:
    """The document of a graph and the arrays in it.

    Raises ``GraphError`` when a node is stale: it has no meaning by itself.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as graph:
    ...     y = fb.constant([1.0, 2.0], name="c") * 3.0
    >>> document, arrays = graph_to_json(graph)
    >>> document["nodes"][1]["inputs"], arrays
    ([[0, 0], 3.0], {'0': array([1., 2.], dtype=float32)})
    >>> graph_from_json(document, arrays).hash == graph.hash
    True
    """
    arrays: Arrays = {}
    cells = [
        {
            "name": owner.name,
            "position": owner.position,
            "scopes": {key: count for key, count in owner.counters.items() if key.endswith("/")},
        }
        for owner in graph.owners
    ]
    return {"seed": graph.seed, "cells": cells, "nodes": _nodes_to_json(graph, arrays)}, arrays


def _nodes_to_json(graph: Graph, arrays: Arrays) -> list[Document]:
    nodes = graph.nodes
    place = {node: index for index, node in enumerate(nodes)}
    cells = {owner.name: index for index, owner in enumerate(graph.owners)}
    return [_node_to_json(node, place, cells, arrays) for node in nodes]


def _node_to_json(node: Node, place: Mapping[Node, int], cells: Mapping[str, int], arrays: Arrays) -> Document:
    record = node.current
    if record.stale:
        raise node.locate(GraphError(f"a stale node cannot be saved: {record.stale}", hint="run its cell again"))
    found: Document = {
        "cell": cells[node.owner.name],
        "name": node.name,
        "op": record.op.name,
        "inputs": [[place[each.node], each.index] if isinstance(each, Tensor) else each for each in record.inputs],
        "attrs": {name: _attr_to_json(value, arrays) for name, value in record.attrs.items()},
        "specs": [[spec.dtype.name, None if spec.shape is None else list(spec.shape)] for spec in record.specs],
    }
    if record.controls:
        found["controls"] = [place[each] for each in record.controls]
    if record.forward is not None and record.forward.record is not None:
        found["forward"] = place[record.forward]
    if record.device is not None:
        found["device"] = record.device
    if record.origin is not None:
        found["origin"] = [record.origin.cell, record.origin.line]
    return found


def _attr_to_json(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, tuple):
        return [_attr_to_json(each, arrays) for each in value]
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Body):
        nodes = value.nodes
        place = {node: index for index, node in enumerate(nodes)}
        outputs = [
            [place[each.node], each.index] if isinstance(each, Tensor) else place[each] for each in value.outputs
        ]
        inputs = [place[each.node] for each in value.inputs]
        members = _nodes_to_json(value, arrays)
        return {"body": {"scope": value.scope, "nodes": members, "inputs": inputs, "outputs": outputs}}
    return value


# ------------------------------------------------------------------------------------------------ reading


def graph_from_json(
    document: Any, arrays: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None
) -> Graph:
    """The graph of a document, checked in every respect; ``FileError`` when anything in it does not fit.

    ``functions``: the Python callables that nodes name. A name of a cell's function may be given without the cell. One
    that is missing is an error only when a run needs it.
    """
    try:
        graph = _Reader(arrays).graph(document)
        check(graph)
    except FileError:
        raise
    except Exception as error:  # a spec rule may raise anything for attributes that no builder would make
        message = error.message if isinstance(error, FlowError) else f"{type(error).__name__}: {error}"
        raise FileError(
            f"this is not a graph: {message}", hint="the file is damaged, or was not made by flowbook"
        ) from None
    _bind_functions(graph, {} if functions is None else functions)
    return graph


def _bind_functions(graph: Graph, functions: Mapping[str, Callable[..., Any]]) -> None:
    if not isinstance(functions, Mapping):
        raise ArgumentError(f"functions={functions!r} is not a dict of callables by name", hint="functions={name: f}")
    for name, function in functions.items():
        if not callable(function):
            raise ArgumentError(f"functions[{name!r}] is {function!r}, which cannot be called")
    for owner in graph._owners.values():
        for name in owner.functions:
            function = functions.get(name, functions.get(name.removeprefix(f"{owner.name}/")))  # type: ignore[arg-type]
            if function is not None:
                graph.functions[name] = function


def _refuse(problem: str) -> NoReturn:
    raise FileError(f"this is not a graph: {problem}", hint="the file is damaged, or was not made by flowbook")


def _get(document: Any, key: str, kind: type, *default: Any) -> Any:
    """A member of an object, when it is of exactly this type."""
    if type(document) is not dict:
        _refuse(f"an object is missing, where '{key}' should be")
    value = document.get(key, *default)
    if type(value) is not kind and not (default and value is default[0]):
        _refuse(f"'{key}' is {type(value).__name__}, it has to be {kind.__name__}")
    return value


def _pick(nodes: list[Node], index: Any) -> Node:
    if type(index) is not int or not 0 <= index < len(nodes):
        _refuse(f"there is no node {index!r:.40}")
    return nodes[index]


class _Reader:
    """Makes handles first and records afterwards, so that nodes may stand in any order."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays = arrays

    def graph(self, document: Any) -> Graph:
        graph = self.outermost = Graph(_get(document, "seed", int))
        owners = []
        for cell in _get(document, "cells", list):
            name, position = _get(cell, "name", str), _get(cell, "position", int)
            owner = Owner(name, position)
            if name in graph._owners and (name or graph._owners[name] in owners):
                _refuse(f"cell '{name}' is there twice")
            for scope, count in _get(cell, "scopes", dict, {}).items():
                if type(count) is not int or not scope.endswith("/"):
                    _refuse(f"'{scope}' is not a scope with a count")
                owner.counters[scope] = count
            graph._owners[name] = owner
            owners.append(owner)
        graph._owner = graph._owners[""]
        if graph._owner not in owners and any(owner.position == 0 for owner in owners):
            _refuse("a cell has the position of the script")
        self.nodes(graph, owners, _get(document, "nodes", list))
        return graph

    def nodes(self, graph: Graph, owners: list[Owner], documents: list[Any]) -> list[Node]:
        nodes = [self.handle(graph, owners, each) for each in documents]
        for node, document in zip(nodes, documents, strict=True):  # specs first: bodies look at those of their inputs
            node.record = Record(_op(document), (), {}, self.specs(document), 0, None, None, (), None, None)
        for node, document in zip(nodes, documents, strict=True):
            node.owner.seq += 1
            node.hold(self.record(graph, node, nodes, document))
            if node.op == "variable":
                graph._variables[node.name] = node
        for node in nodes:
            _check_node(node)
        _check_forward(nodes)
        return nodes

    def handle(self, graph: Graph, owners: list[Owner], document: Any) -> Node:
        cell, name = _get(document, "cell", int), _get(document, "name", str)
        if not 0 <= cell < len(owners):
            _refuse(f"there is no cell {cell}")
        owner = owners[cell]
        if name in owner.nodes:
            _refuse(f"'{name}' is there twice")
        owner.nodes[name] = node = Node(graph, owner, name)
        count = len(_get(document, "specs", list))
        node.tensors = tuple([Tensor(node, index) for index in range(count)])
        return node

    def specs(self, document: Any) -> tuple[TensorSpec, ...]:
        found = []
        for spec in _get(document, "specs", list):
            if type(spec) is not list or len(spec) != 2 or type(spec[1]) not in (list, type(None)):
                _refuse("a spec is not a pair of dtype and shape")
            if type(spec[0]) is not str:
                _refuse("a dtype is not text")
            found.append(TensorSpec(None if spec[1] is None else as_shape(spec[1]), as_dtype(spec[0])))
        return tuple(found)

    def record(self, graph: Graph, node: Node, nodes: list[Node], document: Any) -> Record:
        inputs = tuple([self.operand(nodes, each) for each in _get(document, "inputs", list)])
        attributes = _get(document, "attrs", dict)
        attrs: dict[str, Any] = {}
        bodies = {name for name, value in attributes.items() if type(value) is dict and "body" in value}
        for name in [*sorted(attributes.keys() - bodies), *sorted(bodies)]:  # bodies need the others
            attrs[name] = self.attr(graph, node.owner, inputs, attrs, name, attributes[name])
        for name in FUNCTIONS:
            if isinstance(attrs.get(name), str):
                self.outermost._owners[node.owner.name].functions.add(attrs[name])  # bodies have no callables
        forward, origin = document.get("forward"), document.get("origin")
        return Record(
            _op(document),
            inputs,
            {name: attrs[name] for name in attributes},
            self.specs(document),
            node.owner.seq,
            None if origin is None else _origin(origin),
            _get(document, "device", str, None),
            tuple([_pick(nodes, each) for each in _get(document, "controls", list, [])]),
            None if forward is None else _pick(nodes, forward),
            None,
        )

    def operand(self, nodes: list[Node], value: Any) -> Any:
        if type(value) is not list:
            return value  # `check` sees to it that it is a number or None
        if len(value) != 2 or type(value[1]) is not int or value[1] < 0:
            _refuse("an input is not a pair of node and output")
        node = _pick(nodes, value[0])
        if value[1] >= len(node.tensors):
            _refuse(f"'{node.name}' has no output {value[1]}")
        return node.tensors[value[1]]

    def attr(self, graph: Graph, owner: Owner, inputs: tuple[Any, ...], attrs: Any, name: str, value: Any) -> Any:
        if type(value) is list:
            return tuple([self.attr(graph, owner, inputs, attrs, name, each) for each in value])
        if type(value) is not dict:
            return value
        if value.keys() == {"array"} and type(value["array"]) is str and value["array"] in self.arrays:
            array = self.arrays[value["array"]]
            array.flags.writeable = False
            return array
        if value.keys() == {"body"}:
            places = attrs.get(f"{name.removesuffix('_body')}_inputs")
            if type(places) is not tuple or any(
                type(each) is not int or not 0 <= each < len(inputs) for each in places
            ):
                _refuse(f"body {name} does not say which inputs it captures")
            return self.body(graph, owner, [inputs[each] for each in places], value["body"])
        return _refuse(f"attribute {name} is an object")

    def body(self, graph: Graph, owner: Owner, captured: list[Any], document: Any) -> Body:
        graph._owner, outer = owner, graph._owner
        try:
            body = Body(graph, _get(document, "scope", str))
        finally:
            graph._owner = outer
        nodes = self.nodes(body, [body._owner], _get(document, "nodes", list))
        inputs = [_pick(nodes, each) for each in _get(document, "inputs", list)]
        pairs = list(zip(captured, inputs, strict=False))
        sources = {node for node in nodes if node.op == "capture"}
        if not len(inputs) == len(captured) == len(set(captured)) == len(set(inputs)) or sources != set(inputs):
            _refuse("a body and its node disagree about captures")
        for outside, inside in pairs:
            if not isinstance(outside, Tensor) or is_variable(outside) != is_variable(inside.tensors[0]):
                _refuse(f"capture '{inside.name}' is not of the kind of what it captures")
        body.captured = {outside: inside.tensors[0] for outside, inside in pairs}
        body.outputs = tuple(
            [
                self.operand(nodes, each) if type(each) is list else _pick(nodes, each)
                for each in _get(document, "outputs", list)
            ]
        )
        return body


def _op(document: Any) -> OpDef:
    name = _get(document, "op", str)
    found = find_op(name)
    if found is None:
        raise FileError(
            f"no op is called '{name:.40}'",
            hint="a file holds no code: define an operator of your own with fb.native_op, then load the graph",
        )
    return found


def _origin(value: Any) -> Origin:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not str or type(value[1]) is not int:
        _refuse("an origin is not a pair of cell and line")
    return Origin(value[0], value[1], "")


# ------------------------------------------------------------------------------------------------ what builders see to


def _check_node(node: Node) -> None:
    """What `check` need not look at in graphs that builders made."""
    record, op = node.current, node.current.op
    count, most, least = len(record.inputs), len(op.tensors), len(op.tensors) - len(op.optional)
    if count < least or (count > most and not op.variadic):
        _refuse(f"'{node.name}' has {count} inputs, {op.name} takes {least if op.variadic else most}")
    if any(each is None for each in record.inputs[:least]):
        _refuse(f"'{node.name}' lacks an input")
    for name, default in op.defaults.items():
        if isinstance(default, (bool, str)) and type(record.attrs.get(name)) is not type(default):
            _refuse(f"attribute {name} of '{node.name}' is not {type(default).__name__}")
    for name in FUNCTIONS:
        if name in op.attribute_names and not isinstance(record.attrs.get(name), (str, type(None))):
            _refuse(f"attribute {name} of '{node.name}' is not the name of a function")
    if op.name == "variable":
        _check_variable(node, record)
    elif op.name == "constant" and not isinstance(record.attrs.get("value"), np.ndarray):
        _refuse(f"constant '{node.name}' has no value")
    for pair in record.attrs.get("writes", op.writes):
        if type(pair) is not tuple or len(pair) != 2 or any(type(each) is not int or each < 0 for each in pair):
            _refuse(f"'{node.name}' writes nothing that can be written")
        target = record.inputs[pair[0]] if pair[0] < count else None
        if not isinstance(target, Tensor) or not is_variable(target) or pair[1] >= len(record.specs):
            _refuse(f"'{node.name}' writes what is not a variable")


def _check_variable(node: Node, record: Record) -> None:
    spec, value = record.specs[0] if len(record.specs) == 1 else None, record.attrs.get("value")
    if spec is None or not spec.known or isinstance(node.graph, Body):
        _refuse(f"variable '{node.name}' has no known shape, or is in a body")
    if isinstance(value, np.ndarray):
        fits = not record.inputs and TensorSpec(value.shape, value.dtype) == spec
    else:
        fits = value is None and len(record.inputs) == 1 and isinstance(record.inputs[0], Tensor)
        fits = fits and record.inputs[0].spec == spec  # type: ignore[union-attr]
    if not fits:
        _refuse(f"the initial value of variable '{node.name}' is not like the variable")


def _check_forward(nodes: list[Node]) -> None:
    """Links to forward nodes lead somewhere: following them ends."""
    ends: set[Node] = set()
    for node in nodes:
        path: dict[Node, None] = {}
        each: Node | None = node
        while each is not None and each not in ends:
            if each in path:
                _refuse(f"'{each.name}' is a backward node of itself")
            path[each] = None
            each = each.current.forward
        ends.update(path)
