"""Throws damaged files and senseless arguments at the C functions. Run in a process of its own, as it may crash:

``python capi_fuzz.py FOLDER SEED COUNT FILE...`` prints how often each status came, or dies.
"""

from __future__ import annotations

import collections
import faulthandler
import hashlib
import json
import os
import random
import resource
import sys
import tempfile
from typing import Any

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import capi

from flowbook.graph import container
from flowbook.graph.opdef import REGISTRY

NASTY: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 7, 8, 9, 64, 255, 65536, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63), 2**64, 10**30,
    0.0, -0.5, 1e300, float("nan"), float("inf"), "", "x", "...", "float16", "float32", "int8", "same", "add", "split",
    "variable", "constant", "placeholder", "broadcast_to", [], {}, [0], [[0, 0]], [None, None, -1], [2**62, 2**62],
    [-1, -1], [[1, 2], [3, 4]], {"array": "0"}, {"array": "nothing"}, {"body": {}}, ["float32", [2**40, 2**40]],
    ["float64", None], "w" * 1000, [[[[[[[[]]]]]]]],
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, each in value.items():
            found += places(each, (*path, key))
    elif isinstance(value, list):
        for key, each in enumerate(value):
            found += places(each, (*path, key))
    return found


def mutate(rng: random.Random, document: Any, paths: list[Any]) -> None:
    """Change one to three parts of a document."""
    for _ in range(rng.randint(1, 3)):
        *head, last = rng.choice(paths)
        parent = document
        try:
            for key in head:
                parent = parent[key]
            choice = rng.random()
            if choice < 0.6:
                parent[last] = rng.choice(NASTY)
            elif choice < 0.75:
                if isinstance(parent[last], int) and not isinstance(parent[last], bool):
                    parent[last] += rng.choice([-1, 1, 5, -100])
                else:
                    parent[last] = rng.choice(NASTY)
            elif choice < 0.85:
                del parent[last]
            elif isinstance(parent, list):
                parent.insert(rng.randint(0, len(parent)), parent[rng.randrange(len(parent))])
        except (KeyError, IndexError, TypeError):
            continue  # a change before has taken it away


class Fuzzer:
    """One seed's worth of attempts."""

    def __init__(self, folder: str, seed: int) -> None:
        self.api = capi.Api(folder)
        self.rng = random.Random(seed)
        self.seen: collections.Counter[str] = collections.Counter()

    def attempt(self, what: str, function: Any) -> Any:
        """Call; note how it ended."""
        try:
            found = function()
        except capi.Failure as failure:
            assert failure.text, f"{what}: a status {failure.status} without a message"
            assert failure.status != capi.INTERNAL or "stoi" not in failure.text
            self.seen[f"{what} {failure.status}"] += 1
            return None
        self.seen[f"{what} 0"] += 1
        return found

    def use(self, graph: Any) -> None:
        """Run what is there, with feeds of small sizes."""
        session = capi.Session(graph, self.rng.choice([1, 2]))
        feeds = {}
        for tensor in graph.listed("placeholders"):
            dtype, shape = graph.type(tensor)
            sizes = [3 if size < 0 else size for size in (shape if shape is not None else (3, 3))]
            if np.prod(sizes, dtype=float) > 1e6:
                return
            feeds[tensor] = np.ones(sizes, dtype)
        count = capi.c_int64()
        self.api.call("fb_graph_size", graph.handle, capi.byref(count))
        nodes = [self.api.make("fb_graph_at", graph.handle, k, of=capi.c_int64).value for k in range(count.value)]
        last = [each for each in nodes if graph.node(each)[3]][-1:]
        for fetches in ([*last], [self.rng.choice(nodes)] if nodes else [], nodes[-3:]):
            self.attempt("run", lambda fetches=fetches: session.run(fetches, feeds))
        if self.rng.random() < 0.2:
            self.attempt("save", lambda: self.save(graph))
        for variable in graph.listed("variables")[:2]:
            self.attempt("get", lambda variable=variable: session.get(variable))

    def save(self, graph: Any) -> None:
        """What was loaded or built can be saved, and loaded again."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "saved.flow")
            self.api.call("fb_graph_save", graph.handle, path.encode())
            capi.Graph(self.api, path)

    def damaged_bytes(self, data: bytes) -> None:
        """A file with other bytes, or fewer."""
        raw = bytearray(data)
        if self.rng.random() < 0.3:
            del raw[self.rng.randrange(len(raw)) :]
        for _ in range(self.rng.randint(0, 4)):
            if raw:
                raw[self.rng.randrange(min(len(raw), 4000))] = self.rng.randrange(256)
        raw = raw or bytearray(b"F")
        if len(raw) > 52 and self.rng.random() < 0.7:  # with a checksum that is right
            raw[20:52] = hashlib.sha256(raw[52:]).digest()
        graph = self.attempt("bytes", lambda: capi.Graph(self.api, bytes(raw)))
        if graph is not None:
            self.use(graph)

    def damaged_document(self, document: Any, arrays: Any) -> None:
        """A file that is whole, with a graph that is not."""
        document = json.loads(document)
        mutate(self.rng, document, places(document))
        graph = self.attempt("document", lambda: capi.Graph(self.api, container.dumps("graph", document, arrays)))
        if graph is not None:
            self.use(graph)

    def _shape(self) -> list[int]:
        return [self.rng.choice([0, 1, 1, 2, 3, 3, 4, 5]) for _ in range(self.rng.choice([0, 1, 1, 2, 2, 3, 4, 4, 5]))]

    def senseless_op(self, ops: list[Any]) -> None:
        """A node of any op on any inputs with any attributes, and a run of it."""
        rng = self.rng
        graph = capi.Graph(self.api)
        inputs: list[int] = []
        op = rng.choice(ops)
        wanted = len(op.tensors) if not op.variadic else rng.randint(0, 4)
        shape = self._shape()
        for _ in range(max(wanted + rng.choice([0, 0, 0, 0, 0, 1, -1]), 0)):
            if rng.random() < 0.4:
                shape = self._shape()
            dtype = rng.choice(["float32", "float32", "float64", "int64", "int32", "bool", "uint8", "int8", "uint64"])
            choice = rng.random()
            if choice < 0.6:
                count = int(np.prod(shape))
                numbers = [rng.choice([0, 0, 1, 1, 1, 2, -1, 5, 100, 2**31 - 1, float("nan")]) for _ in range(count)]
                with np.errstate(invalid="ignore"):
                    inputs.append(graph.constant(np.array(numbers, float).reshape(shape).astype(dtype)))
            elif choice < 0.75:
                inputs.append(graph.variable(np.ones(shape, dtype), f"v{len(inputs)}"))
            elif choice < 0.85:
                inputs.append(graph.number(rng.choice([0, 1, -1, 2.5, True, 2**62])))
            elif choice < 0.95:
                inputs.append(graph.placeholder(dtype, [rng.choice([-1, size]) for size in shape]))
            else:
                inputs.append(rng.choice([-1, -5, 2**40, -(2**63), 2**63 - 1, 65536 * 5]))
        attrs = {}
        for each in op.attributes:
            if each.default is not each.empty and rng.random() < 0.6:
                continue
            attrs[each.name] = rng.choice(
                [
                    *NASTY,
                    [0, 1],
                    [1, 0],
                    [2, 2],
                    [1, 1, 1],
                    -1,
                    -2,
                    [-1],
                    [[0, 1, None], None],
                    [[None, None, -2]],
                    1,
                    2,
                ]
            )
        text = json.dumps(attrs)
        if rng.random() < 0.05:
            text = rng.choice(["{", "[]", "[" * 100000, '{"axis": 1, "axis": 2}', "\x01", '{"a": "\\ud800"}', "nul"])
        made = self.attempt("op", lambda: graph.add_raw(op.name, inputs, text))
        if made is not None:
            self.use(graph)


def main() -> None:
    """As the module says."""
    faulthandler.enable()
    folder, seed, count, *files = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    fuzzer = Fuzzer(folder, int(seed))
    graphs = []
    for file in files:
        with open(file, "rb") as opened:
            data = opened.read()
        document, arrays = container.loads(data, "graph")
        graphs.append((data, json.dumps(document), arrays))
    ops = list(REGISTRY.values())
    for number in range(int(count)):
        data, document, arrays = graphs[number % len(graphs)]
        fuzzer.damaged_bytes(data)
        fuzzer.damaged_document(document, arrays)
        fuzzer.senseless_op(ops)
        fuzzer.senseless_op(ops)
    print(dict(sorted(fuzzer.seen.items())))


if __name__ == "__main__":
    main()
