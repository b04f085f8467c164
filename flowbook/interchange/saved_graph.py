"""Saved graphs: one file with a graph and, when a session is given, the values of its variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from flowbook.errors import ArgumentError, FileError
from flowbook.graph import container
from flowbook.graph.graph import Graph
from flowbook.graph.serialize import graph_from_json, graph_to_json
from flowbook.runtime.checkpoint import Path, match, values
from flowbook.runtime.session import Session


def save_graph(path: Path, graph: Graph, session: Session | None = None) -> None:
    """Write a graph to the file ``path``; with a ``session`` of it, the values of its variables too.

    Python functions (``py_function`` and the like) are saved by name only. Raises ``GraphError`` for a graph with
    stale nodes, ``FileError`` when the file cannot be written.

    >>> import flowbook as fb, pathlib, tempfile
    >>> with fb.Graph().as_default() as graph:
    ...     x = fb.placeholder((None,), name="x")
    ...     w = fb.Variable(2.0, name="w")
    ...     y = fb.multiply(x, w, name="y")
    ...     session = fb.Session()
    ...     _ = session.run(fb.assign(w, 10.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.flow")
    ...     save_graph(path, graph, session)
    ...     loaded = load_graph(path)
    >>> loaded.hash == graph.hash, fb.Session(loaded).run("y", {"x": [1.0, 2.0]})
    (True, array([10., 20.], dtype=float32))
    """
    if not isinstance(graph, Graph):
        raise ArgumentError(f"{graph!r} is not a Graph", hint="save_graph(path, graph)")
    document, arrays = pack(graph, session)
    container.write(path, "graph", document, arrays)


def load_graph(path: Path, functions: Mapping[str, Callable[..., Any]] | None = None) -> Graph:
    """Read a graph from the file ``path``; it has the hash of the one that was saved.

    ``functions``: the Python callables that the graph refers to, by name; one that is missing is an error only when a
    run needs it. Values of variables in the file become the initial values of every session of the graph. What is in
    the file cannot run code. Raises ``FileError`` for a file that is missing, damaged, or no graph.
    """
    document, arrays = container.read(path, "graph")
    try:
        return unpack(document, arrays, functions)
    except FileError as error:
        raise FileError(f"{os.fsdecode(path)}: {error.message}", hint=error.hint) from error


def pack(graph: Graph, session: Session | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and the arrays of a graph and, with a session, of its variables."""
    document, arrays = graph_to_json(graph)
    saved: dict[str, str] | None = None
    if session is not None:
        if session.graph is not graph:
            raise ArgumentError("the session belongs to another graph", hint="fb.Session(graph)")
        saved = {}
        for variable, value in values(session).items():
            saved[variable.name] = name = str(len(arrays))
            arrays[name] = value
    return {"graph": document, "variables": saved}, arrays


def unpack(
    document: Mapping[str, Any], arrays: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None
) -> Graph:
    """The graph of a document; its variables start from the values in the file. ``FileError`` if they do not fit."""
    graph = graph_from_json(document.get("graph"), arrays, functions)
    saved = document.get("variables")
    if saved is not None:
        if not isinstance(saved, dict) or not all(isinstance(each, str) and each in arrays for each in saved.values()):
            raise FileError("its table of variables is damaged")
        found = {name: arrays[place] for name, place in saved.items()}
        try:
            fitting = match(graph, found, "its table of variables")
        except FileError as error:  # its hint is for checkpoints
            raise FileError(error.message, hint="the file is damaged, or was not made by flowbook") from None
        graph.initial.update((variable.name, value) for variable, value in fitting.items())
    return graph
