"""What a view and a kernel tell each other; declared here once, TypeScript gets it from here (`protocol_types.py`).

A message is a JSON object with a ``type``, and typed arrays in some members. `pack` takes the arrays out, as they
travel beside the JSON: as binary buffers of a widget's message, as Base64 in an exported file; the nodes of a graph
travel by columns (`columns.py`). `unpack` is its inverse. Nodes are numbered as in the last `GraphMessage`, a tensor is
a pair (node, output).

A view opens with `Hello`, and goes with `Bye`; the kernel answers with `GraphMessage`, then with what it has:
`RunMessage`, `Events`, `Values`, `States`, `Breakpoints`. From then on it sends what changed. A recorded run is the
same messages in a file, and a player beside the view that answers `Step` and the like with `States`; so the view never
knows whether it is live. Both ends compare ``protocol`` with `PROTOCOL`: where they differ nothing is drawn, and the
view says why.

Every text is the user's, and may hold anything: a view puts it in as text, never as markup.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np

from flowbook.notebook.columns import from_columns, to_columns

PROTOCOL = 1

Uint8 = Annotated[Any, "Uint8Array"]
Int32 = Annotated[Any, "Int32Array"]
Float32 = Annotated[Any, "Float32Array"]
Float64 = Annotated[Any, "Float64Array"]
Floats = Annotated[Any, "Float32Array | Float64Array"]

# ------------------------------------------------------------------------------------------------ of a graph


class Ref(TypedDict):
    """Output ``output`` of node ``node``."""

    node: int
    output: int


class Spec(TypedDict):
    """A tensor's dtype and shape: sizes, names, ``null`` for an unknown size; ``null`` for an unknown rank."""

    dtype: str
    shape: list[int | str | None] | None


class GraphNode(TypedDict):
    """One node. What is not there is the usual: no scope, no device asked for, not stale, …

    ``kind``: its look. ``scope``: the scopes drawn around it, outermost first. ``inputs``: a tensor, the text of a
    scalar, ``null`` where an optional one was left out. ``controls``: nodes it waits for. ``forward``: the node whose
    gradient rule made this one. ``gradients``: for each output the tensor that holds its derivative, where known.
    ``parent``: the control-flow node in whose body it is. ``doc``: what its op does. ``stale``: why it cannot run.
    ``change``: what the last commit did to it. ``formula``: what it computes, as one line of Python.
    """

    name: str
    op: str
    kind: Literal["op", "placeholder", "variable", "constant", "write", "copy"]
    outputs: list[Spec]
    inputs: list[Ref | str | None]
    scope: NotRequired[list[str]]
    controls: NotRequired[list[int]]
    forward: NotRequired[int]
    gradients: NotRequired[list[Ref | None]]
    parent: NotRequired[int]
    device: NotRequired[str]
    cell: NotRequired[str]
    line: NotRequired[int]
    code: NotRequired[str]
    doc: NotRequired[str]
    stale: NotRequired[str]
    change: NotRequired[Literal["added", "changed", "rewired"]]
    formula: NotRequired[str]


class GraphMessage(TypedDict):
    """The graph: replaces all that the view knew. ``live``: a kernel answers; else it is a recording.

    ``cell``: it is the part of a graph that this cell made, with its surroundings; ``focus``: the cell's own nodes.
    ``hidden``: how many nodes of the graph are left out, that `Show` would bring. ``removed``: names of nodes that the
    last commit took away.
    """

    type: Literal["graph"]
    protocol: int
    title: str
    live: bool
    nodes: list[GraphNode]
    cell: NotRequired[str]
    focus: NotRequired[Int32]
    hidden: NotRequired[int]
    removed: NotRequired[list[str]]


# ------------------------------------------------------------------------------------------------ of a run


class RunMessage(TypedDict):
    """A run begins, or (with ``total``, in seconds) has ended. ``order``: its nodes in the order of the plan.

    ``devices``: where each node of ``order`` runs. ``threads``: names; `Events` refer to them by place; sent again
    when there are more. ``step``: of a training, from 1. ``fetches``: what was asked for.
    """

    type: Literal["run"]
    run: int
    order: Int32
    devices: list[str]
    threads: list[str]
    fetches: list[Ref]
    total: NotRequired[float]
    step: NotRequired[int]
    failed: NotRequired[Failed]


class Failed(TypedDict):
    """Where a run ended early, and why."""

    node: int
    message: str


class Events(TypedDict):
    """The next events of a run, in order: a node entered a state, so many seconds after the run began.

    ``first``: how many came before, so that a gap is noticed. ``bytes``: of its outputs when finished. States are
    places in `STATES`.
    """

    type: Literal["events"]
    run: int
    first: int
    node: Int32
    state: Uint8
    seconds: Float64
    bytes: Float64
    thread: Int32


class Iteration(TypedDict):
    """Where the loop ``node`` stands: in iteration ``index``, from 0, of ``count`` that are known."""

    node: int
    index: int
    count: int


class States(TypedDict):
    """The states of these nodes now, of a node the last that is told; with ``all``, every other node is waiting. Sent
    for steps both ways.

    ``next``: the node that runs next. ``position``: nodes done, ``count``: of how many. ``mode``: what the run does.
    ``iterations``: of the loops that have begun; an outer one before those in it. ``missed``: so many runs came after
    this one, and were not watched.
    """

    type: Literal["states"]
    node: Int32
    state: Uint8
    all: bool
    mode: Literal["idle", "running", "paused", "done", "failed"]
    position: int
    count: int
    next: NotRequired[int]
    iterations: NotRequired[list[Iteration]]
    missed: NotRequired[int]


class Timing(TypedDict):
    """Times of nodes over several steps of a training, in seconds: median, and half of the spread around it."""

    type: Literal["timing"]
    node: Int32
    median: Float32
    spread: Float32
    steps: int


class Progress(TypedDict):
    """A training goes on: ``done`` of ``steps``, and curves of its scalars, by name; ``null`` is not finite.
    ``stopped``: it ended before its last step."""

    type: Literal["progress"]
    done: int
    steps: int
    seconds: float
    curves: dict[str, list[float | None]]
    stopped: NotRequired[bool]


# ------------------------------------------------------------------------------------------------ of values


class Statistics(TypedDict):
    """Of all elements; the first five of the finite ones, ``null`` when there are none. ``norm``: Euclidean."""

    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    norm: float | None
    nans: int
    infs: int
    zeros: int
    exact: bool


class Histogram(TypedDict):
    """How many finite elements are in each of equally wide bins from ``low`` to ``high``. ``sampled``: not of all."""

    low: float
    high: float
    counts: Int32
    sampled: bool


class Sample(TypedDict):
    """Elements of a value. ``starts``, ``strides`` and ``shape`` say which, by axis: ``start + stride * i`` for each
    ``i`` below the size. Where only every n-th element in C order was kept, ``every`` is n, and ``shape`` their count.

    ``error``: the largest difference between an element and what a view would show in its place, if it was measured;
    0 when all elements are here.
    """

    data: Floats
    shape: list[int]
    starts: list[int]
    strides: list[int]
    every: NotRequired[int]
    error: NotRequired[float]


class Value(TypedDict):
    """The value of a tensor. ``text``: short, for an edge. ``change``: its relative change by the last edit."""

    node: int
    output: int
    dtype: str
    shape: list[int]
    text: str
    statistics: Statistics
    histogram: NotRequired[Histogram]
    sample: NotRequired[Sample]
    change: NotRequired[float]
    set: NotRequired[bool]


class Values(TypedDict):
    """New values of tensors; others stay as they are."""

    type: Literal["values"]
    values: list[Value]


class Edited(TypedDict):
    """What `SetValue` did: so many of so many nodes ran again; ``effects``: what it meant for the fetches."""

    type: Literal["edited"]
    node: int
    recomputed: int
    count: int
    seconds: float
    nodes: list[int]
    effects: list[str]


class Breakpoint(TypedDict):
    """A stop before the nodes that match, or right after them when a condition holds (nan, inf, an expression)."""

    id: int
    pattern: str
    when: str | None
    nodes: list[int]


class Breakpoints(TypedDict):
    """All breakpoints there are."""

    type: Literal["breakpoints"]
    breakpoints: list[Breakpoint]


class Checked(TypedDict):
    """An answer to `CheckGradient`: the largest differences between the analytic and the numeric derivative; ``null``
    where it is wrong, and ``text`` says how."""

    type: Literal["checked"]
    node: int
    passed: bool
    absolute: float | None
    relative: float | None
    text: str


class Chapter(TypedDict):
    """One place of a `Story`, and what to read there."""

    node: int
    text: str


class Story(TypedDict):
    """An answer to `Why`: from the node that was asked about back to the one where the first nan or infinity was made,
    which is last. ``text``: the whole, as a person would tell it. No chapters: there is nothing to tell."""

    type: Literal["story"]
    node: int
    text: str
    chapters: list[Chapter]


class File(TypedDict):
    """An answer to `Export`: a file for the reader to keep."""

    type: Literal["file"]
    name: str
    mime: str
    data: Uint8


class Cursor(TypedDict):
    """The cursor is on a line that made these nodes; none: it is elsewhere."""

    type: Literal["cursor"]
    nodes: list[int]


class Notice(TypedDict):
    """Something to tell the reader. ``level`` ``"ended"``: nothing more will come, as the kernel is gone."""

    type: Literal["notice"]
    level: Literal["info", "warning", "error", "ended"]
    text: str


ToView = (
    GraphMessage, RunMessage, Events, States, Timing, Progress, Values, Edited, Breakpoints, Checked, Story, File,
    Cursor, Notice,
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ to a kernel


class Hello(TypedDict):
    """A view is there, and speaks this version. ``page``: a name of its own, when it may say so more than once.
    ``elements``: of the value of a chosen node at most so many are wanted."""

    type: Literal["hello"]
    protocol: int
    page: NotRequired[str]
    elements: NotRequired[int]


class Bye(TypedDict):
    """A view goes: its page was closed, its output cleared, its cell run again. ``page``: as it said `Hello`, where it
    knows; without it, one of those that came the same way. A later `Hello` opens it again."""

    type: Literal["bye"]
    page: NotRequired[str]


class Move(TypedDict):
    """A button: all of them act on the run that is shown. ``over``: to the end of the scope; ``into``, ``out``: of the
    body of a control-flow node; ``continue``: to the next breakpoint; ``restart``: to the start of the same run."""

    type: Literal["step", "back", "over", "into", "out", "continue", "pause", "stop", "restart", "undo"]


class RunTo(TypedDict):
    """Go, forward or back, until this node has run (``position`` absent), or so many nodes have."""

    type: Literal["run_to"]
    node: NotRequired[int]
    position: NotRequired[int]


class RunToIteration(TypedDict):
    """Go, forward or back, to the beginning of an iteration of a loop."""

    type: Literal["run_to_iteration"]
    node: int
    index: int


class SetBreakpoint(TypedDict):
    """A new breakpoint, or with ``id`` another pattern or condition for one."""

    type: Literal["set_breakpoint"]
    pattern: str
    when: str | None
    id: NotRequired[int]


class ClearBreakpoint(TypedDict):
    """Take a breakpoint away."""

    type: Literal["clear_breakpoint"]
    id: int


class Select(TypedDict):
    """The reader looks at this node (``null``: at none): show its cell and line, send its value."""

    type: Literal["select"]
    node: int | None


class Inspect(TypedDict):
    """Send this part of a value, exact: by axis where it begins, ends, and the stride."""

    type: Literal["inspect"]
    node: int
    output: int
    slices: list[list[int]]


class SetValue(TypedDict):
    """Set a tensor. ``expression``: of ``x``, the value now, as in ``x * 0.9``. ``index``: of one element only."""

    type: Literal["set_value"]
    node: int
    output: int
    expression: str
    index: NotRequired[list[int]]


class CheckGradient(TypedDict):
    """Compare this node's gradient rule with finite differences at the current values."""

    type: Literal["check_gradient"]
    node: int


class Why(TypedDict):
    """Ask where the nan or infinity in this node's value comes from."""

    type: Literal["why"]
    node: int


class Export(TypedDict):
    """Ask for the run as a file: a page that plays it, or a trace for ui.perfetto.dev."""

    type: Literal["export"]
    kind: Literal["html", "perfetto"]


class Show(TypedDict):
    """Show the whole graph, or only what the cell made."""

    type: Literal["show"]
    whole: bool


class Interrupt(TypedDict):
    """End a training, or a node that takes long, as the interrupt button of the notebook does."""

    type: Literal["interrupt"]


class Watch(TypedDict):
    """Whether somebody can see the view; when not, deltas need not be sent."""

    type: Literal["watch"]
    visible: bool


ToKernel = (
    Hello, Bye, Move, RunTo, RunToIteration, SetBreakpoint, ClearBreakpoint, Select, Inspect, SetValue, CheckGradient,
    Why, Export, Show, Interrupt, Watch,
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ of the side panel


class PanelCell(TypedDict):
    """A cell that has nodes; ``stale``: so many of them cannot run until a cell is run again."""

    name: str
    nodes: int
    stale: int


class PanelVariable(TypedDict):
    """A variable of the session. ``text``: its value, or that it has none yet. ``bytes``: of the value."""

    name: str
    spec: Spec
    text: str
    bytes: int
    cell: NotRequired[str]
    line: NotRequired[int]


class PanelBreakpoint(TypedDict):
    """What steppers stop at."""

    pattern: str
    when: str | None


class PanelGraph(TypedDict):
    """A graph of the notebook; ``id`` names it in messages to the kernel."""

    id: int
    name: str
    nodes: int
    cells: list[PanelCell]
    variables: list[PanelVariable]
    breakpoints: list[PanelBreakpoint]
    watches: list[str]


class PanelDevice(TypedDict):
    """A device; ``reason``: why it cannot be used, or what it is."""

    name: str
    usable: bool
    reason: str


class PanelMessage(TypedDict):
    """All that the panel shows."""

    type: Literal["panel"]
    protocol: int
    graphs: list[PanelGraph]
    devices: list[PanelDevice]


class PanelRefused(TypedDict):
    """What the reader asked for could not be done, and why."""

    type: Literal["refused"]
    text: str


class PanelRefresh(TypedDict):
    """Ask for what is there now; it is sent when it is something else than before, or with ``all``."""

    type: Literal["refresh"]
    all: bool


class PanelBreak(TypedDict):
    """Set a breakpoint, or with ``clear`` take it away."""

    type: Literal["break"]
    graph: int
    pattern: str
    when: str | None
    clear: bool


class PanelWatch(TypedDict):
    """Show the values of matching nodes with each run, or with ``clear`` no longer."""

    type: Literal["watch_values"]
    graph: int
    pattern: str
    clear: bool


ToPanel = (PanelMessage, PanelRefused)
FromPanel = (PanelRefresh, PanelBreak, PanelWatch)

STATES = ("waiting", "ready", "running", "finished", "released")


def pack(message: Mapping[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """A message as plain JSON, and the bytes of its arrays, little-endian.

    >>> pack({"type": "events", "node": np.array([1, 2], np.int32)})
    ({'type': 'events', 'node': {'array': 'int32', 'at': 0}}, [b'\\x01\\x00\\x00\\x00\\x02\\x00\\x00\\x00'])
    """
    buffers: list[bytes] = []

    def walk(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            buffers.append(_little(value).tobytes())
            return {"array": value.dtype.name, "at": len(buffers) - 1}
        if isinstance(value, Mapping):
            return {key: walk(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(each) for each in value]
        return value

    if message.get("type") == "graph":
        message = {**message, "nodes": to_columns(message["nodes"])}
    return walk(message), buffers


def unpack(message: Mapping[str, Any], buffers: Sequence[Any]) -> dict[str, Any]:
    """The message that `pack` was given.

    >>> unpack(*pack({"type": "events", "node": np.array([1, 2], np.int32)}))
    {'type': 'events', 'node': array([1, 2], dtype=int32)}
    """

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            if value.keys() == {"array", "at"}:
                return np.frombuffer(buffers[value["at"]], value["array"])
            return {key: walk(each) for key, each in value.items()}
        return [walk(each) for each in value] if isinstance(value, list) else value

    found = {key: walk(each) for key, each in message.items()}
    return {**found, "nodes": from_columns(found["nodes"])} if message.get("type") == "graph" else found


def _little(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder("<")) if sys.byteorder == "big" else array
