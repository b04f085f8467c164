"""Files of every kind and what can happen to them: bytes that change, and documents that lie under a right checksum."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np

import flowbook as fb

PREFIX = struct.Struct("<8sIQ32s")
DATA = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def session() -> fb.Session:
    """A session of a small graph with all that files hold: cells, bodies, gradients, writes, devices, functions."""
    with fb.Graph(seed=3).as_default() as graph:
        with graph.transaction("model"):
            x = fb.placeholder(("batch", 3), name="x")
            w = fb.Variable(np.ones((3, 2), np.float32), name="w")
            count = fb.Variable(0, trainable=False, name="count")
            with fb.device("cpu:1"):
                h = fb.add(fb.matmul(x, w), fb.random.normal((2,)), name="h")
            y = fb.cond(fb.sum(h) > 0, lambda: h * w[0], lambda: fb.pad(h, ((0, 0), (0, 0))), name="y")
        with graph.transaction("train"):
            fb.train.SGD(0.1).minimize(fb.mean(y, name="loss"), global_step=count, name="step")
            fb.py_function(abs, [graph.element("loss")], "float32", (), name="p")
        return fb.Session(graph, ["cpu:0", "cpu:1"])


def write_all(source: fb.Session, folder: Path) -> dict[str, bytes]:
    """A sound file of each kind."""
    fetches = {"loss": "loss", "rest": ["step", ("y",)]}
    source.run(fetches, {"x": DATA}, trace=True)
    assert source.trace is not None
    source.save(folder / "checkpoint")
    fb.save_graph(folder / "graph", source.graph, source)
    fb.save_repro(folder / "repro", source, fetches, {"x": DATA})
    source.trace.save(folder / "trace")
    return {kind: (folder / kind).read_bytes() for kind in ("checkpoint", "graph", "repro", "trace")}


# ------------------------------------------------------------------------------------------------ bytes


def unseal(data: bytes) -> tuple[Any, bytes]:
    """The header of a file, and its body."""
    end = 52 + PREFIX.unpack_from(data)[2]
    return json.loads(data[52:end]), data[end + -end % 64 :]


def seal(header: Any, body: bytes) -> bytes:
    """A file with a right checksum, written without flowbook."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    rest = text + (bytes(-(52 + len(text)) % 64) + body if body else b"")
    return PREFIX.pack(b"FLOWBOOK", 1, len(text), hashlib.sha256(rest).digest()) + rest


def reseal(data: bytes) -> bytes:
    """The same bytes with the checksum recomputed."""
    return data[:20] + hashlib.sha256(data[52:]).digest() + data[52:] if len(data) >= 52 else data


def change_bytes(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """A flipped bit, a cut, a part of the file moved within it, or a part of another file put into it."""
    changed = bytearray(data)
    at = rng.randrange(len(changed))
    source = bytes(rng.choice([data, *others]))
    start, length = rng.randrange(len(source)), rng.choice((1, 8, 64, 1000))
    match rng.randrange(4):
        case 0:
            changed[at] ^= 1 << rng.randrange(8)
        case 1:
            del changed[at:]
        case 2:
            changed[at : at + length] = source[start : start + length]
        case _:
            changed[at:at] = source[start : start + length]
    return bytes(changed)


# ------------------------------------------------------------------------------------------------ documents

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 64, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308),
    *({"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}, {"$": 1}, {"array": "0"}, {"body": {}}),
    *("", "x", "w", "0", "h:1", "\n", "\0", "é", "a" * 300, "exp", "cond", "variable", "capture", "group", "constant"),
    *("float64", "int8", "bool", "object", "cpu:1", "gpu:0", "step", "feed", "checkpoint", "graph", "repro", "trace"),
    *([], {}, [[]], [0], [0, 0], [None], ["0"], ["", "x", 0], [1] * 100),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[deeper for key, each in inner for deeper in places(each, (*path, key))]]


def change_document(rng: random.Random, text: str, paths: list[tuple[Any, ...]]) -> Any:
    """One to three parts of a document replaced, removed, doubled, shifted, shuffled, or exchanged for another part."""
    tree = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = rng.choice(paths)
        try:
            *way, last = path
            parent = find(tree, way)
            change(rng, tree, parent, last, parent[last], paths)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took the place away
    return tree


def find(tree: Any, path: Any) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def change(rng: random.Random, tree: Any, parent: Any, last: Any, old: Any, paths: list[tuple[Any, ...]]) -> None:
    match rng.randrange(8):
        case 0 | 1:
            parent[last] = copy.deepcopy(rng.choice(ODD))
        case 2:
            del parent[last]
        case 3 | 4:  # something from elsewhere, half the time of the same kind
            found = [find(tree, path) for path in rng.sample(paths, min(8, len(paths)))]
            alike = [each for each in found if type(each) is type(old)]
            parent[last] = copy.deepcopy(rng.choice(alike if alike and rng.randrange(2) else found))
        case 5:
            if isinstance(old, int):
                parent[last] = old + rng.choice((-2, -1, 1, 2, 1000))
            elif isinstance(old, (str, list)):
                parent[last] = old[:-1] if rng.randrange(2) else old[1:]
            else:
                parent[last] = [old]
        case 6:
            if isinstance(parent, list):
                parent.insert(last, copy.deepcopy(old))
            else:
                parent[rng.choice(("x", "w", "0", "$x", "like", *parent))] = copy.deepcopy(old)
        case _:
            if isinstance(old, list):
                rng.shuffle(old)
            elif isinstance(parent, dict):
                parent[last], parent[rng.choice(list(parent))] = parent[rng.choice(list(parent))], old
