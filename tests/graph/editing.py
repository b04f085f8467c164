"""Notebooks in miniature: cells whose sources are data, run against one graph in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.graph.graph import Graph


class Line(NamedTuple):
    """One assignment of a cell: ``name = kind(*args)``.

    ``style``: "given" passes ``name=``; "assigned" names the node when it is bound, "late" at the end of the cell;
    "anonymous" leaves its automatic name, and the binding is the cell's own.
    """

    kind: str
    name: str
    style: str
    args: tuple[Any, ...]


class Failure(Exception):
    """What a cell that fails raises."""


FAIL = Line("fail", "", "anonymous", ())
UNARY = ("tanh", "square", "negative", "sum")
BINARY = ("add", "multiply", "subtract")


def build(line: Line, names: dict[str, Any]) -> Any:
    """Build the value of a line. ``KeyError`` for a name that is not bound, like Python's ``NameError``."""
    kind, args = line.kind, line.args
    given = {"name": line.name} if line.style == "given" else {}
    if kind == "fail":
        raise Failure
    if kind == "placeholder":
        return fb.placeholder(*args, **given)
    if kind == "variable":
        shape, dtype = args
        return fb.Variable(np.ones([dim if isinstance(dim, int) else 3 for dim in shape], dtype), name=line.name)
    operands = [names[each] for each in args]
    if kind in UNARY:
        return getattr(fb, kind)(operands[0], **given)
    if kind in BINARY:
        return getattr(fb, kind)(*operands, **given)
    if kind == "scale":
        return fb.multiply(operands[0], 2.0, **given)
    if kind == "host":
        return fb.py_function(lambda v: v + 1, [operands[0]], operands[0].dtype.name, **given)
    if kind == "cond":
        a, b = operands
        return fb.cond(fb.sum(a) > 0, lambda: fb.tanh(a) * 2.0, lambda: a * fb.sum(fb.astype(b, a.dtype)), **given)
    if kind == "gradients":
        return fb.gradients(operands[0], [operands[1]], unconnected="zeros")[0]
    if kind == "minimize":
        return fb.train.Momentum(0.1, 0.9).minimize(fb.sum(operands[0]), **given)
    assert kind == "group", kind
    return fb.group(*operands, **given)


def execute(graph: Graph, names: dict[str, Any], cell: str, source: tuple[Line, ...]) -> dict[str, Any]:
    """Run a cell; returns the bindings afterwards, and raises with graph and bindings as they were."""
    bound, local, late = dict(names), set(), []
    with graph.transaction(cell), graph.as_default():
        for line in source:
            value = build(line, bound)
            style = "assigned" if (line.kind, line.style) == ("gradients", "given") else line.style
            if style == "assigned":
                value = graph.rename(value, line.name)
            elif style == "late":
                late.append((value, line.name))
            (local.add if style == "anonymous" else local.discard)(line.name)
            bound[line.name] = value
        for value, name in late:
            renamed = graph.rename(value, name)
            bound = {key: renamed if each is value else each for key, each in bound.items()}
    return {name: value for name, value in bound.items() if name not in local}


ERRORS = (FlowError, Failure, KeyError)


class Notebook:
    """A graph, the sources of its cells, and what is bound; every step leaves them consistent, or as they were."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.names: dict[str, Any] = {}
        self.sources: dict[str, tuple[Line, ...]] = {}
        self.before: tuple[dict[str, Any], dict[str, tuple[Line, ...]]] | None = None

    @property
    def tensors(self) -> list[str]:
        """The names that are bound to tensors."""
        return sorted(name for name, value in self.names.items() if isinstance(value, fb.Tensor))

    def run(self, cell: str, source: tuple[Line, ...]) -> Exception | None:
        """Run a cell; a failure is returned, after a look that nothing changed."""

        def edit() -> None:
            self.names = execute(self.graph, self.names, cell, source)
            self.sources = {**self.sources, cell: source}

        return self._step(edit)

    def delete(self, cell: str) -> None:
        def edit() -> None:
            self.graph.remove_owner(cell)
            self.sources = {name: source for name, source in self.sources.items() if name != cell}

        self._step(edit)

    def undo(self) -> None:
        if self.before is not None:
            self.graph.undo()
            self.names, self.sources = self.before
            self.before = None

    def _step(self, edit: Callable[[], None]) -> Exception | None:
        hash_before, commit = self.graph.hash, self.graph.last_commit
        before = self.names, self.sources
        try:
            edit()
        except ERRORS as error:
            assert self.graph.hash == hash_before
            return error
        if self.graph.last_commit is not commit:
            self.before = before
        return None

    def stale_cells(self) -> list[str]:
        return sorted({node.owner.name for node in self.graph.nodes if node.stale})

    def fresh(self) -> Graph:
        """The graph of running the present sources from top to bottom."""
        graph, names = Graph(), dict[str, Any]()
        for cell in sorted(self.sources):
            names = execute(graph, names, cell, self.sources[cell])
        return graph
