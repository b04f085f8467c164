"""`run(trace=True)`: what a trace tells, that it changes nothing, and that its file tells the same."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, FeedError, FileError, RunError, SessionError
from flowbook.graph import container
from flowbook.runtime import chrome, recorder, tracedata
from flowbook.runtime.events import STATES
from flowbook.runtime.summary import Summary
from flowbook.runtime.trace import Peak, Timing, Trace


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


def chain() -> tuple[fb.Session, Trace]:
    """x, a = exp(x), b = a + 1, c = b * a; c is fetched."""
    x = fb.placeholder((2,), name="x")
    a = fb.exp(x, name="a")
    b = fb.add(a, 1.0, name="b")
    c = fb.multiply(b, a, name="c")
    session = fb.Session()
    session.run(c, {x: [0.0, 1.0]}, trace=True)
    assert session.trace is not None
    return session, session.trace


def check_order(trace: Trace) -> None:
    """Every node enters its states in their order, skips none, and does not run before what it waits for."""
    last: dict[int, int] = {}
    finished: set[int] = set()
    seconds = 0.0
    columns = trace.events.columns
    for state, node, when in zip(columns["state"].tolist(), columns["node"].tolist(), columns["seconds"].tolist()):
        assert when >= seconds, "time runs backwards"
        seconds = when
        assert state == last.get(node, 0) + 1, f"{trace.nodes[node].name} enters {STATES[state]} out of turn"
        last[node] = state
        if STATES[state] == "ready":
            assert finished.issuperset(trace.nodes[node].waits), f"{trace.nodes[node].name} is ready too early"
        if STATES[state] == "finished":
            finished.add(node)
    assert seconds <= trace.total


# ------------------------------------------------------------------------------------------------ events


def test_only_a_traced_run_makes_a_trace_and_the_last_one_stays(graph):
    y = fb.constant(1.0) + 1.0
    session = fb.Session()
    session.run(y)
    assert session.trace is None
    session.run(y, trace=True)
    first = session.trace
    session.run(y)
    assert session.trace is first
    session.run(y, trace=True)
    assert session.trace is not first


def test_events_are_the_states_of_the_nodes_in_order(graph):
    _, trace = chain()
    check_order(trace)
    rows = [(each.node, each.state) for each in trace.events]
    assert rows[:-2] == [(node, state) for node in "abc" for state in ("ready", "running", "finished")]
    assert sorted(rows[-2:]) == [("a", "released"), ("b", "released")]  # after their last reader
    assert trace.states() == {"a": "released", "b": "released", "c": "finished"}
    assert trace.failed is None and trace.total > 0


def test_an_event_tells_op_device_step_and_bytes(graph):
    _, trace = chain()
    found = {each.state: each for each in trace.events if each.node == "a"}
    assert {(each.op, each.device, each.step, each.thread) for each in found.values()} == {("exp", "cpu:0", 0, 0)}
    assert {state: each.bytes for state, each in found.items()} == {
        "ready": 0,
        "running": 0,
        "finished": 8,
        "released": 8,
    }
    assert trace.events[-1] == list(trace.events)[-1] and trace.events[2:4] == list(trace.events)[2:4]
    assert len(trace.threads) == 1


def test_states_at_a_moment_are_those_of_the_events_until_then(graph):
    _, trace = chain()
    assert set(trace.states(-1.0).values()) == {"waiting"}
    for index, event in enumerate(trace.events):
        expected = dict.fromkeys("abc", "waiting")
        expected.update((each.node, each.state) for each in trace.events if each.seconds <= event.seconds)
        assert trace.states(event.seconds) == expected, index


def test_planted_bug_an_event_too_few_is_noticed(graph, monkeypatch):
    original = recorder.Recorder.started
    monkeypatch.setattr(
        recorder.Recorder, "started", lambda self, step, s: None if step.name == "b" else original(self, step, s)
    )
    _, trace = chain()
    with pytest.raises(AssertionError, match="b enters finished out of turn"):
        check_order(trace)


# ------------------------------------------------------------------------------------------------ timings


def test_timings_have_a_row_for_each_node_in_order_of_execution(graph):
    _, trace = chain()
    rows = trace.timings()
    assert Timing._fields == ("node", "op", "device", "seconds", "bytes")
    assert [(each.node, each.op, each.device, each.bytes) for each in rows] == [
        ("a", "exp", "cpu:0", 8),
        ("b", "add", "cpu:0", 8),
        ("c", "multiply", "cpu:0", 8),
    ]
    assert all(each.seconds >= 0 for each in rows) and sum(each.seconds for each in rows) <= trace.total
    assert "microseconds" in str(rows) and "seconds" not in repr(rows)


def test_every_node_has_a_row_also_those_that_a_plain_run_would_fold_or_merge(graph):
    x = fb.placeholder((2,), name="x")
    constant = fb.add(fb.constant(1.0), 2.0, name="three")
    twins = [fb.exp(x, name="e1"), fb.exp(x, name="e2")]
    session = fb.Session()
    session.run([constant, *twins], {x: [1, 2]}, trace=True)
    assert {each.node for each in session.trace.timings()} == {"three", "e1", "e2"}


def test_bytes_are_those_of_all_outputs_and_0_without_any(graph):
    v = fb.Variable(np.zeros(4, "int8"), name="v")
    parts = fb.split(fb.placeholder((6,), "float64", name="x"), 3, name="parts")
    bump = fb.assign_add(v, v, name="bump")
    both = fb.group(bump, parts[0].node, name="both")
    session = fb.Session()
    session.run([both, parts[2]], {"x": np.arange(6.0)}, trace=True)
    assert {each.node: each.bytes for each in session.trace.timings()} == {"parts": 48, "bump": 4, "both": 0}
    assert not any(each.node == "parts" and each.state == "released" for each in session.trace.events)


# ------------------------------------------------------------------------------------------------ bodies, devices


def branches() -> tuple[fb.Session, Any, Any]:
    x = fb.placeholder((), name="x")
    y = fb.cond(x > 0, lambda: fb.exp(x, name="up") + 1.0, lambda: fb.tanh(x, name="down"), name="y")
    return fb.Session(), x, y


@pytest.mark.parametrize(("value", "inside"), [(1.0, ["y/true/up", "y/true/add_1"]), (-1.0, ["y/false/down"])])
def test_the_branch_that_was_taken_is_in_the_trace_within_its_node(graph, value, inside):
    session, x, y = branches()
    session.run(y, {x: value}, trace=True)
    trace = session.trace
    check_order(trace)
    assert [each.node for each in trace.timings()] == ["greater_1", "y", *inside]
    spans = {trace.nodes[node].name: (node, start, end) for node, start, end, _, _ in trace.spans()}
    place, start, end = spans["y"]
    for name in inside:
        node, begin, stop = spans[name]
        assert trace.nodes[node].parent == place and start <= begin <= stop <= end
    assert trace.value(inside[-1]) == trace.value("y")
    assert trace.states()[inside[-1]] == "finished"


def test_bodies_in_bodies_and_their_gradients_are_traced(graph):
    x = fb.placeholder((), name="x")
    y = fb.cond(x > 0, lambda: fb.cond(x > 1, lambda: x * x, lambda: fb.exp(x)), lambda: x)
    (dx,) = fb.gradients(y, [x])
    session = fb.Session()
    plain = session.run([y, dx], {x: 3.0})
    traced = session.run([y, dx], {x: 3.0}, trace=True)
    assert plain == traced == [9.0, 6.0]
    trace = session.trace
    check_order(trace)
    depth: dict[int, int] = {-1: -1}
    for index, node in enumerate(trace.nodes):
        depth[index] = depth[node.parent] + 1
    assert max(depth.values()) == 2 and any(node.forward for node in trace.nodes)
    again = next(node.name for node in trace.nodes if node.parent >= 0 and node.kind == "step")
    with pytest.raises(SessionError, match="bodies of several nodes"):
        trace.value(again)


def test_copies_between_devices_are_rows(graph):
    x = fb.placeholder((3,), name="x")
    with fb.device("cpu:1"):
        w = fb.Variable(np.ones(3, "float32"), name="w")
        y = fb.multiply(x, w, name="y")
    z = fb.add(y, 1.0, name="z")
    session = fb.Session(devices=["cpu:0", "cpu:1"])
    assert session.run(z, {x: [1, 2, 3]}, trace=True).tolist() == [2, 3, 4]
    trace = session.trace
    check_order(trace)
    assert [tuple(each[:3]) + each[4:] for each in trace.timings()] == [
        ("copy/x/cpu:0-cpu:1", "copy", "cpu:1", 12),
        ("y", "multiply", "cpu:1", 12),
        ("copy/y/cpu:1-cpu:0", "copy", "cpu:0", 12),
        ("z", "add", "cpu:0", 12),
    ]
    where = {node.name: (node.kind, node.device, node.requested) for node in trace.nodes}
    assert where["x"] == ("feed", "cpu:0", None) and where["w"] == ("variable", "cpu:1", "cpu:1")
    assert where["y"] == ("step", "cpu:1", "cpu:1")
    assert trace.value("copy/x/cpu:0-cpu:1").tolist() == trace.value(x).tolist() == [1, 2, 3]


# ------------------------------------------------------------------------------------------------ failures


def failing(where: Callable[[Any], Any] = lambda y: y) -> tuple[fb.Session, Any, Any]:
    def boom(value):
        if value > 1:
            raise ValueError("too much")
        return value

    x = fb.placeholder((), name="x")
    v = fb.Variable(1.0, name="v")
    bump = fb.assign_add(v, 1.0, name="bump")
    with fb.control_dependencies([bump]):
        y = where(lambda: fb.py_function(boom, [fb.exp(x, name="e")], "float32", (), name="boom"))
    return fb.Session(), x, fb.add(y, 1.0, name="after")


def test_a_run_that_raises_leaves_a_trace_that_names_what_failed(graph):
    session, x, y = failing(lambda build: build())
    with pytest.raises(RunError) as caught:
        session.run(y, {x: 5.0}, trace=True)
    trace = session.trace
    check_order(trace)
    assert trace.failed.node == "boom" == trace.nodes[trace.failed.place].name
    assert trace.failed.message == caught.value.message and "too much" in trace.failed.message
    states = trace.states()
    assert (states["e"], states["boom"], states["after"]) == ("finished", "running", "waiting")
    assert trace.value("e") == np.exp(np.float32(5)) and "boom" not in [each.node for each in trace.timings()]
    with pytest.raises(SessionError, match="not computed"):
        trace.value("boom")
    assert "failed at 'boom'" in repr(trace) and "too much" in str(trace)
    assert session.run("v") == 1.0


def test_inside_a_body_the_innermost_node_is_to_blame(graph):
    session, x, y = failing(lambda build: fb.cond(fb.constant(True), build, lambda: fb.constant(0.0), name="c"))
    with pytest.raises(RunError):
        session.run(y, {x: 5.0}, trace=True)
    failed = session.trace.failed
    assert failed.node == "c/true/boom" == session.trace.nodes[failed.place].name
    assert session.trace.states()["c"] == "running"
    assert session.trace.memory()[-1] >= 0


def test_an_interrupted_run_leaves_a_trace(graph):
    def interrupt(value):
        raise KeyboardInterrupt

    y = fb.py_function(interrupt, [fb.constant(1.0) + 1.0], "float32", (), name="long")
    session = fb.Session()
    with pytest.raises(KeyboardInterrupt):
        session.run(y, trace=True)
    assert session.trace.failed == tracedata.Failure("long", 1, "interrupted")


def test_what_is_wrong_before_anything_runs_leaves_the_trace_before(graph):
    session, trace = chain()
    with pytest.raises(FeedError):
        session.run("c", {"x": [1, 2, 3]}, trace=True)
    assert session.trace is trace


# ------------------------------------------------------------------------------------------------ values


def test_values_are_asked_for_by_tensor_node_or_name(graph):
    _, trace = chain()
    b = graph.element("b")
    assert trace.value("b").tolist() == trace.value(b).tolist() == trace.value(b.node).tolist()
    assert trace.value("x").tolist() == [0, 1]
    for what, hint in (("bb", "similar: b"), (fb.constant(0.0), None), (object(), None)):
        with pytest.raises(SessionError, match="is not in this trace") as caught:
            trace.value(what)
        assert hint is None or caught.value.hint == hint


def test_a_name_in_two_cells_needs_the_tensor(graph):
    tensors = []
    for cell in ("one", "two"):
        with graph.transaction(cell):
            tensors.append(fb.exp(fb.constant(float(len(tensors))), name="e"))
    session = fb.Session()
    values = session.run(tensors, trace=True)
    with pytest.raises(SessionError, match="several cells: one, two"):
        session.trace.value("e")
    assert [session.trace.value(each) for each in tensors] == values
    assert [session.trace.value(each.node) for each in tensors] == values


def test_a_trace_has_values_of_its_own(graph):
    x = fb.placeholder((3,), name="x")
    y = fb.multiply(x, 2.0, name="y")
    session = fb.Session()
    feed = np.ones(3, np.float32)
    session.run(y, {x: feed}, trace=True)[:] = 9.0
    feed[:] = 9.0
    session.trace.value("y")[:] = 9.0
    assert session.trace.value("x").tolist() == [1, 1, 1] and session.trace.value("y").tolist() == [2, 2, 2]


@pytest.mark.parametrize("transposed", [False, True])
def test_large_values_are_sampled_and_measured(graph, transposed):
    array = np.arange(200_000, dtype=np.float32).reshape(400, 500)
    array[0, :3] = np.nan, np.inf, 0.0
    x = fb.placeholder((500, 400) if transposed else (400, 500), name="x")
    session = fb.Session()
    session.run(fb.negative(x, name="y"), {x: array.T if transposed else array}, trace=True)
    for name, sign in (("x", 1), ("y", -1)):
        found = session.trace.value(name)
        assert isinstance(found, Summary) and not found.whole and found.array.size <= 1024
        assert found.nbytes == array.nbytes and found.shape == x.shape and found.dtype == "float32"
        measured = found.statistics
        assert (measured.nans, measured.infs, measured.zeros) == (1, 1, 1)
        finite = sign * array[np.isfinite(array)].astype(np.float64)
        assert (measured.minimum, measured.maximum) == (finite.min(), finite.max())
        assert math.isclose(measured.mean, finite.mean()) and math.isclose(measured.std, finite.std())


def test_past_its_budget_a_trace_keeps_small_values_only(graph, monkeypatch):
    monkeypatch.setattr(recorder, "BUDGET", 40_000)
    x = fb.placeholder((8_000,), name="x")
    y = fb.add(fb.multiply(x, 2.0, name="a"), 1.0, name="b")
    z = fb.sum(y, name="z")
    session = fb.Session()
    session.run(z, {x: np.ones(8_000)}, trace=True)
    whole = {name: session.trace.summary(name).whole for name in "xabz"}
    assert whole == {"x": True, "a": True, "b": False, "z": True}


def test_memory_counts_buffers_once_and_falls_when_they_go(graph):
    x = fb.placeholder((1000,), "float64", name="x")
    a = fb.exp(x, name="a")
    view = fb.reshape(a, (10, 100), name="view")
    total = fb.sum(view, name="total")
    session = fb.Session()
    session.run(total, {x: np.zeros(1000)}, trace=True)
    trace = session.trace
    assert trace.peak == Peak(8008, trace.peak.seconds, (("a", 8000), ("total", 8)))
    assert trace.memory()[-1] == 8 and trace.memory().min() == 0


def test_a_trace_of_nothing(graph):
    v = fb.Variable(2.0, name="v")
    session = fb.Session()
    assert session.run(v, trace=True) == 2.0
    trace = session.trace
    assert len(trace.events) == 0 == len(trace.timings()) and trace.states() == {} and trace.peak == Peak(0, 0.0, ())
    assert repr(trace) == "<Trace: 0 steps, 0 events>" and "peak 0 bytes" in str(trace)


# ------------------------------------------------------------------------------------------------ it changes nothing


def trained(traced: bool) -> tuple[fb.Session, list[Any]]:
    with fb.Graph(seed=5).as_default():
        x = fb.placeholder(("batch", 4), name="x")
        h = fb.dropout(fb.nn.Dense(8, fb.relu)(x), 0.5)
        loss = fb.mean(fb.square(fb.nn.Dense(1)(h) - 1.0))
        step = fb.train.Adam(0.1).minimize(loss)
        session = fb.Session()
        noise = fb.random.normal((3,))
        data = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
        found = [session.run([loss, noise, step], {x: data}, trace=traced)[:2] for _ in range(4)]
        found.append(list(session.run(session.graph.variables)))
    return session, found


def test_a_trace_changes_no_byte_and_no_run_number():
    (plain, expected), (traced, found) = trained(False), trained(True)
    assert plain.runs == traced.runs == 5
    for a, b in zip(expected, found, strict=True):
        assert [each.tobytes() for each in a] == [each.tobytes() for each in b]


def test_a_failed_traced_run_counts_like_a_plain_one(graph):
    sessions = []
    noise = fb.random.normal((2,))
    for traced in (False, True):
        x = fb.placeholder((), "int64", name=f"x{traced}")
        bad = fb.py_function(lambda v: 1 // int(v), [x], "int64", ())
        session = fb.Session()
        with pytest.raises(RunError):
            session.run([bad, noise], {x: 0}, trace=traced)
        sessions.append(session.run(noise).tobytes())
    assert sessions[0] == sessions[1]


# ------------------------------------------------------------------------------------------------ files


def same_data(a: Trace, b: Trace) -> bool:
    """Equal in all that they hold."""
    x, y = a.data, b.data
    columns = [*zip(x.events.columns.values(), y.events.columns.values(), strict=True)]
    columns += zip(x.buffers.values(), y.buffers.values(), strict=True)
    arrays = [(p.array, q.array) for p, q in zip(x.values.values(), y.values.values(), strict=True)]
    return (
        (x.nodes, x.threads, x.total, x.failed) == (y.nodes, y.threads, y.total, y.failed)
        and list(x.values) == list(y.values)
        and all((p.dtype, p.tobytes()) == (q.dtype, q.tobytes()) and p.shape == q.shape for p, q in columns + arrays)
        and [repr((*p[:3], p.measured)) for p in x.values.values()]
        == [repr((*q[:3], q.measured)) for q in y.values.values()]
    )


def rich() -> Trace:
    """A trace with bodies, copies, named dimensions, big values, NaN, several outputs, and a failure."""
    with fb.Graph().as_default():
        x = fb.placeholder(("batch", None), name="x")
        with fb.device("cpu:1"):
            parts = fb.split(x * float("nan"), 2, name="parts")
        y = fb.cond(fb.sum(x) > 0, lambda: parts[0] + 1.0, lambda: parts[1])
        b = fb.placeholder((), "bool", name="flag")
        last = fb.py_function(lambda *values: 1 // 0, [y, b], "float32", ())
        session = fb.Session(devices=["cpu:0", "cpu:1"])
        with pytest.raises(RunError):
            session.run(last, {x: np.ones((2, 20_000)), b: True}, trace=True)
    return session.trace


def test_a_file_holds_all_of_a_trace_and_needs_no_graph(tmp_path):
    trace = rich()
    path = tmp_path / "run.trace"
    trace.save(path)
    texts = str(trace), repr(trace), repr(trace.timings()), trace.states(), trace.peak
    loaded = Trace.load(str(path))
    assert same_data(trace, loaded)
    gc.collect()
    assert texts == (str(loaded), repr(loaded), repr(loaded.timings()), loaded.states(), loaded.peak)
    assert list(loaded.events) == list(trace.events) and loaded.failed == trace.failed
    loaded.save(tmp_path / "again.trace")
    assert (tmp_path / "again.trace").read_bytes() == path.read_bytes()
    check_order(loaded)


def test_planted_bug_a_file_that_loses_something_is_noticed(tmp_path, monkeypatch):
    trace = rich()
    original = tracedata.encode

    def forgetful(data):
        document, arrays = original(data)
        document["nodes"][-1]["line"] = None
        return document, arrays

    monkeypatch.setattr("flowbook.runtime.trace.encode", forgetful)
    trace.save(tmp_path / "run.trace")
    assert not same_data(trace, Trace.load(tmp_path / "run.trace"))


def change_document(**members: Any) -> Callable[[Any, Any], None]:
    return lambda document, arrays: document.update(members)


def change_node(place: int = -1, **members: Any) -> Callable[[Any, Any], None]:
    return lambda document, arrays: document["nodes"][place].update(members)


def change_array(name: str, function: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
    return lambda document, arrays: arrays.update({name: function(arrays[name])})


def put(place: int, value: Any) -> Callable[[Any], Any]:
    def change(array):
        array = array.copy()
        array[place] = value
        return array

    return change


UNSOUND = {
    "member missing": lambda document, arrays: document.pop("threads"),
    "member too many": change_document(code="os.system"),
    "total beyond float": change_document(total=10**400),
    "total infinite": change_document(total=math.inf),
    "total negative": change_document(total=-1.0),
    "total a bool": change_document(total=True),
    "threads no names": change_document(threads=[1]),
    "no thread": change_document(threads=[]),
    "nodes no list": change_document(nodes={}),
    "node no object": lambda document, arrays: document["nodes"].append([]),
    "failure elsewhere": change_document(failed={"node": "x", "place": 0, "message": ""}),
    "failure nowhere": change_document(failed={"node": "x", "place": 99, "message": ""}),
    "values no list": change_document(values=None),
    "kind unknown": change_node(kind="code"),
    "kind a list": change_node(kind=["step"]),
    "parent of itself": lambda document, arrays: document["nodes"][0].update(parent=0),
    "waits for itself": change_node(0, waits=[0]),
    "waits for a bool": change_node(1, waits=[False]),
    "line beyond": change_node(line=2**31),
    "no such dtype": change_node(outputs=[["object", []]]),
    "negative dimension": change_node(outputs=[["float32", [-1]]]),
    "event of a feed": change_node(0, kind="feed"),
    "column missing": lambda document, arrays: arrays.pop("events/node"),
    "column of another dtype": change_array("events/bytes", lambda array: array.astype("float64")),
    "column of rank 2": change_array("events/bytes", lambda array: array[:, None]),
    "columns of two lengths": change_array("events/thread", lambda array: array[1:]),
    "state beyond": change_array("events/state", put(0, 5)),
    "node beyond": change_array("events/node", put(0, 99)),
    "node negative": change_array("events/node", put(0, -1)),
    "time not finite": change_array("events/seconds", put(-1, np.inf)),
    "time no number": change_array("events/seconds", put(-1, np.nan)),
    "time beyond": change_array("events/seconds", put(-1, 1e300)),
    "time negative": change_array("events/seconds", put(0, -1.0)),
    "time backwards": change_array("events/seconds", put(0, 1e6)),
    "bytes negative": change_array("events/bytes", put(0, -1)),
    "buffer of no node": change_array("buffers/node", put(0, 99)),
    "buffer too large": change_array("buffers/bytes", put(0, 2**62)),
    "buffer dies early": change_array("buffers/died", put(-1, 0)),
    "array too many": lambda document, arrays: arrays.update(more=np.zeros(1)),
    "value of no node": lambda document, arrays: document["values"][0].update(node=99),
    "value of no output": lambda document, arrays: document["values"][0].update(output=1),
    "value twice": lambda document, arrays: document["values"][1].update(node=document["values"][0]["node"]),
    "value of another shape": lambda document, arrays: document["values"][0].update(shape=[3]),
    "statistics no numbers": lambda document, arrays: document["values"][0].update(measured=["a"] * 7),
    "more counted than there are": lambda document, arrays: document["values"][0].update(
        measured=[0.0] * 4 + [1, 2, 0]
    ),
    "more elements than countable": lambda document, arrays: document["values"][0].update(
        shape=[2**62] * 60, measured=[0.0] * 4 + [0] * 3
    ),
    "rank beyond": lambda document, arrays: document["values"][0].update(shape=[1] * 65, measured=[0.0] * 4 + [0] * 3),
    "statistics beyond float": lambda document, arrays: document["values"][0].update(measured=[10**400] * 4 + [0] * 3),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_file_is_refused_under_a_right_checksum(graph, tmp_path, case):
    _, trace = chain()
    document, arrays = tracedata.encode(trace.data)
    path = tmp_path / "run.trace"
    container.write(path, "trace", document, arrays)
    assert same_data(Trace.load(path), trace)
    UNSOUND[case](document, arrays)
    container.write(path, "trace", document, arrays)
    with pytest.raises(FileError, match=r"run\.trace: not a sound trace: "):
        Trace.load(path)


@pytest.mark.parametrize("path", [None, 3, ["run.trace"]])
def test_what_is_no_path_is_said(graph, path):
    session, trace = chain()
    for use in (trace.save, Trace.load, trace.to_chrome, session.save, session.restore, fb.load_graph):
        with pytest.raises(ArgumentError, match="is not a path"):
            use(path)


# ------------------------------------------------------------------------------------------------ Chrome


def check_chrome(document: Any) -> list[Any]:
    """The rules of the "Trace Event Format" for the events that we write; returns the complete ones."""
    assert document.keys() == {"displayTimeUnit", "traceEvents"} and document["displayTimeUnit"] in ("ms", "ns")
    lanes = set()
    for each in document["traceEvents"]:
        assert isinstance(each["name"], str) and type(each["pid"]) is int and each["ph"] in "XMC"
        if each["ph"] == "M":
            assert each["name"] in ("process_name", "thread_name") and type(each["tid"]) is int
            assert each["args"].keys() == {"name"} and isinstance(each["args"]["name"], str)
            lanes.add((each["pid"], each["tid"]))
            continue
        assert type(each["ts"]) in (int, float) and each["ts"] >= 0 and math.isfinite(each["ts"])
        if each["ph"] == "C":
            assert all(type(value) in (int, float) and value >= 0 for value in each["args"].values())
        else:
            assert type(each["dur"]) in (int, float) and each["dur"] >= 0 and math.isfinite(each["dur"])
            assert isinstance(each["cat"], str) and isinstance(each["args"], dict)
            assert {(each["pid"], 0), (each["pid"], each["tid"])} <= lanes, "a lane without a name"
    return [each for each in document["traceEvents"] if each["ph"] == "X"]


def write_chrome(trace: Trace, path: Any) -> Any:
    trace.to_chrome(path)

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def test_chrome_json_has_a_complete_event_for_each_row_on_the_lane_of_its_device(tmp_path):
    trace = rich()
    found = check_chrome(write_chrome(trace, tmp_path / "a.json"))
    rows = trace.timings()
    assert [each["name"] for each in found] == [each.node for each in rows] and len(found) > 5
    for event, row in zip(found, rows, strict=True):
        assert event["cat"] == event["args"]["op"] == row.op and event["args"]["bytes"] == row.bytes
        assert math.isclose(event["dur"], row.seconds * 1e6, abs_tol=1e-6)
    process = {row.device: event["pid"] for event, row in zip(found, rows, strict=True)}
    assert len(set(process.values())) == 2
    trace.save(tmp_path / "a.trace")
    assert check_chrome(write_chrome(Trace.load(tmp_path / "a.trace"), tmp_path / "b.json")) == found


def test_chrome_json_tells_line_forward_node_and_memory(graph, tmp_path):
    x = fb.placeholder((100,), name="x")
    y = fb.exp(x, name="y")
    (dx,) = fb.gradients(y * y, [x])
    session = fb.Session()
    session.run(dx, {x: np.ones(100)}, trace=True)
    document = write_chrome(session.trace, tmp_path / "a.json")
    args = {each["name"]: each["args"] for each in check_chrome(document)}
    assert args["y"]["where"].startswith("test_trace.py:") and args["y"]["inputs"] == ["x"]
    assert any(each.get("forward") == "y" for each in args.values())
    counters = [each["args"]["bytes"] for each in document["traceEvents"] if each["ph"] == "C"]
    assert max(counters) == session.trace.peak.bytes


def test_chrome_json_of_a_trace_of_nothing(graph, tmp_path):
    session = fb.Session()
    session.run(fb.Variable(1.0), trace=True)
    assert check_chrome(write_chrome(session.trace, tmp_path / "a.json")) == []


@pytest.mark.parametrize("path", ["no/such/folder.json", "nul\0.json", "."])
def test_where_chrome_json_cannot_be_written(graph, tmp_path, path):
    _, trace = chain()
    with pytest.raises(FileError, match="cannot write"):
        trace.to_chrome(tmp_path / path)


@pytest.mark.parametrize(
    "bug",
    [
        lambda each: each.update(dur=-each["dur"] - 1),
        lambda each: each.pop("tid"),
        lambda each: each.update(pid="cpu:0"),
        lambda each: each.pop("ts"),
        lambda each: each.update(tid=77),
    ],
)
def test_planted_bug_in_chrome_json_is_noticed(graph, tmp_path, monkeypatch, bug):
    _, trace = chain()
    original = chrome.events

    def broken(trace):
        found = original(trace)
        bug(next(each for each in found if each["ph"] == "X"))
        return found

    monkeypatch.setattr(chrome, "events", broken)
    with pytest.raises((AssertionError, KeyError)):
        check_chrome(write_chrome(trace, tmp_path / "a.json"))
