"""The data of a trace, and its form in a file: one container of kind ``trace`` (`graph/container.py`).

Document: ``nodes``, a list of objects with the fields of `NodeInfo`; ``values``, a list that says of which node and
output array ``values/0``, ``values/1``, … is; ``threads``, names; ``total``, seconds; ``failed``, null or an object.
Arrays: the columns of the events and of the table of buffers, and the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from flowbook.errors import FileError
from flowbook.graph.types import SUPPORTED
from flowbook.runtime.events import STATES, Events, NodeInfo
from flowbook.runtime.summary import Statistics, Summary

KINDS = ("step", "feed", "constant", "variable")
BUFFERS = ("node", "bytes", "born", "died")
MAX_RANK = 64  # NumPy's own limit
LONGEST = 2.0**53  # seconds; views calculate with times, and have to get numbers


class Failure(NamedTuple):
    """Where a run ended early: the node's name and place in ``Trace.nodes``, and the message."""

    node: str
    place: int
    message: str


class TraceData(NamedTuple):
    """All that a trace holds. ``values`` are by (place in ``nodes``, output)."""

    nodes: tuple[NodeInfo, ...]
    events: Events
    buffers: dict[str, Any]
    values: dict[tuple[int, int], Summary]
    threads: tuple[str, ...]
    total: float
    failed: Failure | None


def encode(data: TraceData) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and the arrays of a file."""
    arrays = {f"events/{name}": column for name, column in data.events.columns.items()}
    arrays.update((f"buffers/{name}", column) for name, column in data.buffers.items())
    values = []
    for index, ((node, output), summary) in enumerate(data.values.items()):
        arrays[f"values/{index}"] = summary.array
        measured = None if summary.measured is None else list(summary.measured)
        values.append({"node": node, "output": output, "shape": list(summary.shape), "measured": measured})
    document = {
        "nodes": [each._asdict() for each in data.nodes],
        "values": values,
        "threads": list(data.threads),
        "total": data.total,
        "failed": None if data.failed is None else data.failed._asdict(),
    }
    return document, arrays


def decode(document: Mapping[str, Any], arrays: Mapping[str, Any], name: str) -> TraceData:
    """The data in a file, checked; ``FileError`` when it is not what `encode` makes."""
    try:
        return _decode(document, arrays)
    except _Unsound as error:
        raise FileError(
            f"{name}: not a sound trace: {error}", hint="save it again, or restore it from a copy"
        ) from None


class _Unsound(Exception):
    pass


def _decode(document: Mapping[str, Any], arrays: Mapping[str, Any]) -> TraceData:
    _need(document.keys() == {"nodes", "values", "threads", "total", "failed"}, "its members are others")
    _need(isinstance(document["nodes"], list), "nodes is not a list")
    count = len(document["nodes"])
    nodes = tuple(_node(each, index, count) for index, each in enumerate(document["nodes"]))
    threads = document["threads"]
    _need(_all(threads, lambda each: isinstance(each, str)), "threads are not names")
    total, failed = document["total"], document["failed"]
    _need(type(total) in (int, float) and 0 <= total <= LONGEST, "total is not a time")
    columns = {key: _column(arrays, f"events/{key}", dtype) for key, dtype in Events.COLUMNS.items()}
    _same_length(columns)
    _within(columns["state"], 0, len(STATES), "state")
    _within(columns["node"], 0, count, "node")
    _within(columns["thread"], 0, len(threads), "thread")
    steps = np.array([node.kind == "step" for node in nodes], bool)
    _need(bool(steps[columns["node"]].all()), "an event is of what was not computed")
    _need(bool(((columns["seconds"] >= 0) & (columns["seconds"] <= LONGEST)).all()), "a time is none")
    _need(bool((np.diff(columns["seconds"]) >= 0).all()), "its events are not in order")
    _need(bool((columns["bytes"] >= 0).all()), "an event has negative bytes")
    buffers = {key: _column(arrays, f"buffers/{key}", "int64") for key in BUFFERS}
    _same_length(buffers)
    _within(buffers["node"], 0, count, "node")
    _within(buffers["bytes"], 0, 2**53, "size")
    _within(buffers["born"], 0, len(columns["state"]), "event")
    _within(buffers["died"], -1, len(columns["state"]), "event")
    _need(bool(((buffers["died"] < 0) | (buffers["died"] >= buffers["born"])).all()), "a buffer dies before it is born")
    values = _values(document["values"], arrays, nodes)
    _need(len(arrays) == len(columns) + len(buffers) + len(values), "it has arrays that nothing refers to")
    return TraceData(
        nodes, Events(nodes, columns), buffers, values, tuple(threads), float(total), _failure(failed, nodes)
    )


def _node(entry: Any, place: int, count: int) -> NodeInfo:
    _need(isinstance(entry, dict) and entry.keys() == set(NodeInfo._fields), "a node has other fields")
    info = NodeInfo(**entry)
    for text in (info.name, info.op, info.device):
        _need(isinstance(text, str), "a node's name, op or device is not text")
    for optional in (info.owner, info.requested, info.cell, info.forward):
        _need(optional is None or isinstance(optional, str), "a node's cell, device or forward node is not text")
    _need(_all([info.kind], lambda each: isinstance(each, str) and each in KINDS), "a node is of no known kind")
    _need(info.line is None or _is_int(info.line, 0, 2**31), "a node's line is no line")
    _need(_is_int(info.step, -1, count) and _is_int(info.parent, -1, place), "a node is in no place")
    _need(_all(info.inputs, lambda each: each is None or isinstance(each, str)), "a node's inputs are not names")
    _need(_all(info.waits, lambda each: _is_int(each, 0, place)), "a node waits for none before it")
    _need(_all(info.outputs, _is_spec), "a node's outputs are not specs")
    outputs = tuple((dtype, None if shape is None else tuple(shape)) for dtype, shape in info.outputs)
    return info._replace(inputs=tuple(info.inputs), waits=tuple(info.waits), outputs=outputs)


def _is_spec(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or value[0] not in SUPPORTED:
        return False
    return value[1] is None or _all(value[1], lambda dim: dim is None or isinstance(dim, str) or _is_int(dim, 0, 2**63))


def _values(entries: Any, arrays: Mapping[str, Any], nodes: tuple[NodeInfo, ...]) -> dict[tuple[int, int], Summary]:
    _need(isinstance(entries, list), "values is not a list")
    found: dict[tuple[int, int], Summary] = {}
    for index, entry in enumerate(entries):
        known = isinstance(entry, dict) and entry.keys() == {"node", "output", "shape", "measured"}
        _need(known, "a value has other fields")
        node, output, shape, measured = (entry[key] for key in ("node", "output", "shape", "measured"))
        _need(_is_int(node, 0, len(nodes)) and _is_int(output, 0, len(nodes[node].outputs)), "a value is of no node")
        _need((node, output) not in found, "a node has two values")
        _need(_all(shape, lambda dim: _is_int(dim, 0, 2**63)) and len(shape) <= MAX_RANK, "a value has no shape")
        size = math.prod(shape)
        _need(size < 2**63, "a value has more elements than there can be")
        array = arrays.get(f"values/{index}")
        _need(array is not None and array.dtype.name in SUPPORTED, "a value is not there")
        assert array is not None
        if measured is None:
            _need(list(array.shape) == shape, "a value has another shape")
        else:
            _need(array.ndim == 1 and array.size <= size and _is_measured(measured, size), "a sample is none")
        statistics = None if measured is None else Statistics(*measured)
        found[node, output] = Summary(array.dtype.name, tuple(shape), measured is None, array, statistics)
    return found


def _is_measured(value: Any, size: int) -> bool:
    if not isinstance(value, list) or len(value) != len(Statistics._fields):
        return False
    numbers, counts = value[:4], value[4:]
    if not all(each is None or type(each) is float for each in numbers):
        return False
    return all(_is_int(each, 0, 2**63) for each in counts) and sum(counts) <= size


def _failure(entry: Any, nodes: tuple[NodeInfo, ...]) -> Failure | None:
    if entry is None:
        return None
    _need(isinstance(entry, dict) and entry.keys() == set(Failure._fields), "its failure has other fields")
    _need(_is_int(entry["place"], 0, len(nodes)) and isinstance(entry["message"], str), "its failure is at no node")
    _need(entry["node"] == nodes[entry["place"]].name, "its failure is at another node")
    return Failure(**entry)


def _column(arrays: Mapping[str, Any], key: str, dtype: str) -> Any:
    array = arrays.get(key)
    _need(array is not None and array.dtype.name == dtype and array.ndim == 1, f"column {key} is missing, or another")
    return array


def _same_length(columns: Mapping[str, Any]) -> None:
    _need(len({len(column) for column in columns.values()}) == 1, "its columns have different lengths")


def _within(column: Any, low: int, high: int, what: str) -> None:
    _need(not len(column) or (int(column.min()) >= low and int(column.max()) < high), f"there is no such {what}")


def _is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value < high


def _all(values: Any, test: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(map(test, values))


def _need(condition: bool, reason: str) -> None:
    if not condition:
        _refuse(reason)


def _refuse(reason: str) -> NoReturn:
    raise _Unsound(reason)
