"""A trace as JSON for Perfetto and ``chrome://tracing``.

Source of the format: "Trace Event Format", the Chromium project: complete events (``X``), counters (``C``) and
metadata (``M``), with times in microseconds. A device is a process, a thread a thread, so each pair is a lane.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.errors import FileError
from flowbook.graph.container import path_name

if TYPE_CHECKING:
    from flowbook.runtime.trace import Trace


def events(trace: Trace) -> list[dict[str, Any]]:
    """The trace events."""
    devices = list(dict.fromkeys(node.device for node in trace.nodes if node.kind == "step"))
    found: list[dict[str, Any]] = []
    lanes: dict[tuple[int, int], None] = {}
    for place, start, end, size, thread in trace.spans():
        node = trace.nodes[place]
        process = devices.index(node.device) + 1
        lanes.setdefault((process, thread + 1))
        args: dict[str, Any] = {"op": node.op, "bytes": size, "step": node.step, "inputs": list(node.inputs)}
        if node.line is not None:
            args["where"] = f"{node.cell}:{node.line}"
        if node.forward is not None:
            args["forward"] = node.forward
        found.append(
            {
                "name": node.name, "cat": node.op, "ph": "X", "ts": start * 1e6, "dur": (end - start) * 1e6,
                "pid": process, "tid": thread + 1, "args": args,
            }
        )  # fmt: skip
    return [*_names(trace, devices, list(lanes)), *found, *_memory(trace)]


def _names(trace: Trace, devices: list[str], lanes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    rows = [
        {"name": "process_name", "ph": "M", "pid": index + 1, "tid": 0, "args": {"name": device}}
        for index, device in enumerate(devices)
    ]
    rows.extend(
        {"name": "thread_name", "ph": "M", "pid": process, "tid": thread, "args": {"name": trace.threads[thread - 1]}}
        for process, thread in lanes
    )
    return rows


def _memory(trace: Trace) -> list[dict[str, Any]]:
    """How much memory the run held, at each event that changed it."""
    seconds, held = trace.events.columns["seconds"], trace.memory()
    changed = np.flatnonzero(np.diff(held, prepend=0))
    return [
        {"name": "memory", "ph": "C", "ts": seconds[index].item() * 1e6, "pid": 1, "args": {"bytes": int(held[index])}}
        for index in changed.tolist()
    ]


def write(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write the file; ``FileError`` when that fails."""
    name = path_name(path)
    text = json.dumps({"displayTimeUnit": "ms", "traceEvents": events(trace)}, allow_nan=False)
    try:
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:  # ValueError: a path the system cannot express
        raise FileError(f"cannot write {name}: {getattr(error, 'strerror', None) or error}") from error
