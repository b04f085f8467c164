"""Repro files: one file that replays one run, to the byte, on another machine.

It holds the graph, the values of its variables and of the feeds, what was fetched, the seed and the run counter. So
the random numbers come out the same, and a bug that a run shows can be looked at where somebody can fix it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flowbook.errors import FileError, FlowError
from flowbook.graph import container
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.interchange.saved_graph import pack, unpack
from flowbook.runtime.checkpoint import Path
from flowbook.runtime.feeding import prepare, resolve
from flowbook.runtime.session import Session

MAX_RUNS = 2**63  # the run counter is one word of the random generator's counter


class Repro:
    """A run to replay: ``graph``, ``session``, ``fetches`` and ``feeds``, as in ``session.run(fetches, feeds)``."""

    def __init__(self, graph: Graph, fetches: Any, feeds: dict[Tensor, Any], runs: int, devices: list[str]) -> None:
        self.graph = graph
        self.fetches = fetches
        self.feeds = feeds
        self.runs = runs
        self.session = Session(graph, devices)
        self._rewind()

    def __repr__(self) -> str:
        return f"<Repro: run {self.runs + 1} of {self.graph!r}>"

    def _rewind(self) -> None:
        self.session.initialize()
        self.session.seek(self.runs)

    def run(self, *, trace: bool = False) -> Any:
        """Replay the run; every time from the same state, and so with the same result."""
        self._rewind()
        return self.session.run(self.fetches, self.feeds, trace=trace)


def save_repro(path: Path, session: Session, fetches: Any, feeds: Mapping[Any, Any] | None = None) -> None:
    """Write what the next ``session.run(fetches, feeds)`` depends on to the file ``path``.

    To catch the run that just failed, call it with the same arguments: variables are as they were before that run,
    but the run counter went on, so random numbers differ. Raises what ``run`` raises for wrong fetches and feeds.

    >>> import flowbook as fb, pathlib, tempfile
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((3,), name="x")
    ...     noisy = x + fb.random.normal((3,))
    ...     session = fb.Session()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "bug.repro")
    ...     save_repro(path, session, [noisy], {x: [1.0, 2.0, 3.0]})
    ...     again = load_repro(path)
    >>> bool((again.run()[0] == session.run([noisy], {x: [1.0, 2.0, 3.0]})[0]).all())
    True
    """
    encoded = _fetches_to_json(session.graph, fetches)
    arrays = prepare(session.graph, feeds)
    document, found = pack(session.graph, session)
    places = []
    for tensor, array in arrays.items():
        places.append([*tensor.node.key, tensor.index, str(len(found))])
        found[str(len(found))] = np.asarray(array)
    document.update(fetches=encoded, feeds=places, runs=session.runs, devices=list(session.devices))
    container.write(path, "repro", document, found)


def load_repro(path: Path, functions: Mapping[str, Callable[..., Any]] | None = None) -> Repro:
    """Read a repro file; ``load_repro(path).run()`` gives the bytes that the saved run gave or would have given.

    ``functions``: the Python callables that the graph refers to, by name. Raises ``FileError``.
    """
    document, arrays = container.read(path, "repro")
    try:
        return _from_document(document, arrays, functions)
    except FlowError as error:
        raise FileError(f"{os.fsdecode(path)}: {error.message}", hint=error.hint) from error


def _from_document(document: dict[str, Any], arrays: dict[str, Any], functions: Any) -> Repro:
    if document.get("variables") is None:
        raise FileError("a repro file without variables is damaged")
    graph = unpack(document, arrays, functions)
    runs, devices, places = document.get("runs"), document.get("devices"), document.get("feeds")
    if type(runs) is not int or not 0 <= runs < MAX_RUNS:
        raise FileError("its run counter is damaged")
    if type(devices) is not list or not all(type(each) is str for each in devices):
        raise FileError("its list of devices is damaged")
    if type(places) is not list or not all(type(each) is list and len(each) == 4 for each in places):
        raise FileError("its feeds are damaged")
    feeds: dict[Tensor, Any] = {}
    for *key, name in places:
        tensor = _element(graph, key)
        if not isinstance(tensor, Tensor) or type(name) is not str or name not in arrays:
            raise FileError("its feeds are damaged")
        feeds[tensor] = arrays[name]
    prepare(graph, feeds)
    return Repro(graph, _fetches_from_json(graph, document.get("fetches")), feeds, runs, devices)


def _fetches_to_json(graph: Graph, part: Any) -> Any:
    """Fetches as data: lists and dicts by kind, elements as [cell, name, output]; a node without output as null."""
    if isinstance(part, Mapping):
        return {"dict": [[key, _fetches_to_json(graph, each)] for key, each in part.items()]}
    if isinstance(part, (list, tuple)):
        return {"tuple" if isinstance(part, tuple) else "list": [_fetches_to_json(graph, each) for each in part]}
    element = resolve(graph, part)
    node = element.node if isinstance(element, Tensor) else element
    return [*node.key, element.index if isinstance(element, Tensor) else None]


def _fetches_from_json(graph: Graph, value: Any) -> Any:
    if type(value) is list:
        return _element(graph, value)
    if type(value) is dict and len(value) == 1:
        ((kind, parts),) = value.items()
        if type(parts) is list and kind in ("list", "tuple"):
            found = [_fetches_from_json(graph, each) for each in parts]
            return tuple(found) if kind == "tuple" else found
        if type(parts) is list and kind == "dict" and all(type(each) is list and len(each) == 2 for each in parts):
            if all(isinstance(key, (str, int, float, bool, type(None))) for key, _ in parts):
                return {key: _fetches_from_json(graph, each) for key, each in parts}
    raise FileError("its fetches are damaged")


def _element(graph: Graph, place: list[Any]) -> Tensor | Node:
    if len(place) != 3 or type(place[0]) is not str or type(place[1]) is not str:
        raise FileError("it refers to no node")
    cell, name, index = place
    node = graph._owners[cell].nodes.get(name) if cell in graph._owners else None
    if node is None:
        raise FileError(f"it refers to '{name:.40}', which is not in its graph")
    if index is None:
        return node
    if type(index) is not int or not 0 <= index < len(node.outputs):
        raise FileError(f"it refers to an output that '{name:.40}' does not have")
    return node.outputs[index]
