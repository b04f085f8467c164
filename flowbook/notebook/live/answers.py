"""Answers to what a reader asks of a run: a part of a value, whether a gradient is right, why it is nan, a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from flowbook.analysis.check_gradients import check_gradients
from flowbook.analysis.nan_origin import nan_origin
from flowbook.errors import ArgumentError, FlowError, GradientError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import apply
from flowbook.notebook.export import page
from flowbook.notebook.protocol import Checked, File, Sample, Story, Value, pack
from flowbook.notebook.recording import recording
from flowbook.notebook.sampling import value_message
from flowbook.notebook.story import stories, told_story
from flowbook.ops.state import placeholder
from flowbook.runtime import chrome
from flowbook.runtime.session import Session
from flowbook.runtime.summary import summarize
from flowbook.runtime.trace import Trace

MOST = 1 << 16  # elements of a part of a value


def part(node: int, output: int, value: Any, slices: Sequence[Sequence[int]]) -> Value:
    """The elements that ``slices`` (start, stop, stride by axis) name, exact; statistics are of the whole value.

    >>> found = part(0, 0, np.arange(12.0).reshape(3, 4), [[1, 3, 1], [0, 4, 2]])
    >>> found["sample"]["data"].tolist(), found["sample"]["shape"], found["sample"]["starts"]
    ([4.0, 6.0, 8.0, 10.0], [2, 2], [1, 0])
    """
    array = np.asarray(value)
    if len(slices) != array.ndim or any(len(each) != 3 or each[2] < 1 or each[0] < 0 for each in slices):
        raise ArgumentError(f"slices {slices} of a value of shape {array.shape}: start, stop and stride for each axis")
    kept = array[tuple(slice(*map(int, each)) for each in slices)]
    if kept.size > MOST:
        raise ArgumentError(f"{kept.size} elements are too many to show", hint=f"at most {MOST}: a larger stride")
    message = value_message(node, output, summarize(array))
    exact = kept.dtype == np.float32 or kept.dtype.itemsize <= 2
    message["sample"] = Sample(
        data=np.ascontiguousarray(kept).astype(np.float32 if exact else np.float64).reshape(-1),
        shape=list(kept.shape),
        starts=[int(each[0]) for each in slices],
        strides=[int(each[2]) for each in slices],
        error=0.0,
    )
    return message


def checked(place: int, node: Node, values: Mapping[Tensor, Any]) -> Checked:
    """Is the gradient rule of ``node`` right at these values of its inputs? In a graph of its own, so nothing waits.

    Raises ``ArgumentError`` for what cannot be checked alone.
    """
    given = [each for each in node.inputs if isinstance(each, Tensor)]
    if node.opdef.structured or not any(np.asarray(values[each]).dtype.kind == "f" for each in given):
        raise ArgumentError(
            f"'{node.name}' ({node.op}) cannot be checked alone",
            hint="fb.check_gradients(ys, xs, feeds) checks a graph",
        )
    alone = Graph()
    with alone.as_default():
        stand_in: dict[Tensor, Tensor] = {}
        for index, each in enumerate(dict.fromkeys(given)):
            array = np.asarray(values[each])
            stand_in[each] = placeholder(array.shape, array.dtype, name=f"input_{index}")
        operands = [stand_in[each] if isinstance(each, Tensor) else each for each in node.inputs]
        made = apply(node.opdef, operands, dict(node.attrs), name="node")
        ys = [each for each in made.outputs if each.dtype.kind == "f"]
        xs = [each for each in stand_in.values() if each.dtype.kind == "f"]
        feeds = {stand_in[each]: values[each] for each in stand_in}
        try:
            found = check_gradients(ys, xs, feeds, session=Session(alone))
        except GradientError as error:
            text = f"the gradient of '{node.name}' ({node.op}) is wrong here: {error.message}"
            return Checked(type="checked", node=place, passed=False, absolute=None, relative=None, text=text)
    absolute, relative = (max(getattr(row, key) for row in found.rows) for key in ("error", "relative"))
    count = sum(row.checks for row in found.rows)
    text = (
        f"the gradient of '{node.name}' ({node.op}) is right: along {count} directions, analytic and numeric "
        f"derivative differ by at most {absolute:.1g} ({found.precision})"
    )
    return Checked(type="checked", node=place, passed=True, absolute=absolute, relative=relative, text=text)


def story(
    node: int, tensor: Tensor, session: Session, trace: Trace, numbers: Mapping[str, int], made: Set[str] = frozenset()
) -> Story:
    """Why ``tensor`` is not finite, walked from it back to the cause. ``numbers``: nodes by name; ``made``: those whose
    value the reader has set."""
    origin = nan_origin(tensor, None, session, trace=trace)
    if origin is None:
        return Story(type="story", node=node, text=f"'{tensor.name}' is finite", chapters=[])
    return told_story(node, origin, numbers, made)


def exported(kind: str, trace: Trace, session: Session, title: str, told: list[Story] | None = None) -> File:
    """The run as a file: ``html``, a page that plays it, or ``perfetto``. ``told``: stories, if they are known."""
    if kind == "html":
        told = stories(trace, session.graph, session) if told is None else told
        text = page([pack(each) for each in recording(trace, session.graph, title=title, told=told)], title)
        name, mime = f"{title}.html", "text/html"
    elif kind == "perfetto":
        text = json.dumps({"displayTimeUnit": "ms", "traceEvents": chrome.events(trace)}, allow_nan=False)
        name, mime = f"{title}.perfetto.json", "application/json"
    else:
        raise ArgumentError(f"there is no export of kind {kind!r}", hint="html, perfetto")
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    return File(type="file", name=name.replace("/", "-"), mime=mime, data=data)


def told(error: BaseException) -> str:
    """An error as a notice."""
    return str(error) if isinstance(error, FlowError) else f"{type(error).__name__}: {error}"
