"""A run as messages: what a view needs to play it without a kernel.

``extension/src/trace/`` does the same with a trace's file in TypeScript; a change here is a change there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowbook.graph.graph import Graph
from flowbook.notebook.describe import describe_trace
from flowbook.notebook.protocol import PROTOCOL, Events, Failed, GraphMessage, Ref, RunMessage, Story, Values
from flowbook.notebook.sampling import ELEMENTS, value_message
from flowbook.notebook.story import stories
from flowbook.runtime.trace import Trace


def recording(
    trace: Trace,
    graph: Graph | None = None,
    *,
    title: str = "",
    elements: int = ELEMENTS,
    told: Sequence[Story] | None = None,
) -> list[Any]:
    """The messages of a recorded run, in order. ``elements``: at most so many of each value. ``told``: why values are
    not finite, where that is known already; else it is looked for, with the graph.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     session = fb.Session()
    ...     _ = session.run(fb.exp(x, name="y"), {x: 1.0}, trace=True)
    >>> [message["type"] for message in recording(session.trace)]
    ['graph', 'run', 'events', 'values']
    """
    nodes = describe_trace(trace, graph)
    graph_message = GraphMessage(type="graph", protocol=PROTOCOL, title=title, live=False, nodes=nodes)
    order = [index for index, info in enumerate(trace.nodes) if info.kind == "step"]
    read = {each["node"] for node in nodes for each in node["inputs"] if isinstance(each, dict)}
    run = RunMessage(
        type="run",
        run=0,
        order=np.array(order, np.int32),
        devices=[trace.nodes[index].device for index in order],
        threads=list(trace.threads),
        fetches=[Ref(node=index, output=0) for index in order if index not in read],
        total=trace.total,
    )
    if trace.failed is not None:
        run["failed"] = Failed(node=trace.failed.place, message=trace.failed.message)
    columns = trace.events.columns
    events = Events(
        type="events",
        run=0,
        first=0,
        node=columns["node"],
        state=columns["state"],
        seconds=columns["seconds"],
        bytes=columns["bytes"].astype(np.float64),
        thread=columns["thread"],
    )
    found = [value_message(node, output, each, elements) for (node, output), each in trace.data.values.items()]
    if told is None:
        told = [] if graph is None else stories(trace, graph)
    return [graph_message, run, events, Values(type="values", values=found), *told]
