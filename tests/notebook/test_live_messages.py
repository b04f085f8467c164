"""Whatever pages send, and in whatever order: a view goes on, and shows what a stepper by itself gives.

Here the engines of views have no thread, as in a browser's Python: messages are done at once, so nothing waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flowbook as fb
from flowbook.notebook import marks
from flowbook.notebook.live.engine import Engine
from flowbook.notebook.live.graphview import GraphView
from flowbook.notebook.live.panel import Panel
from flowbook.notebook.live.stepping import StepperView
from flowbook.runtime.stepper import Stepper
from tests.notebook.live_page import Page

X = np.array([0.5, -1.0, 2.0], np.float32)
NODES = ("x", "w", "layer/a", "layer/h", "chosen", "loss", "up", "last")
MOVES = ("step", "back", "over", "into", "out", "continue", "pause", "stop", "restart", "undo")


class StrictPage(Page):
    """A page that takes nothing but JSON."""

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        json.dumps(message, allow_nan=False)
        super().send(message, buffers)


def no_threads(self: Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.fixture(autouse=True)
def threadless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Thread, "start", no_threads)


def build() -> fb.Graph:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((3,), name="x")
        w = fb.Variable([1.0, 2.0, 3.0], name="w")
        with fb.name_scope("layer"):
            h = fb.tanh(fb.multiply(x, w, name="a"), name="h")
        chosen = fb.cond(fb.sum(h) > 0.0, lambda: fb.square(h) + 1.0, lambda: -h, name="chosen")
        loss = fb.sum(chosen, name="loss")
        up = fb.assign_sub(w, h * 0.5, name="up")
        fb.multiply(up, loss, name="last")
    return graph


class Driven:
    """A stepper behind a view, and what was set so far."""

    def __init__(self) -> None:
        self.graph = build()
        self.session = fb.Session(self.graph)
        self.stepper = self.session.debug(["last", "loss"], {"x": X})
        self.view = StepperView(self.stepper, "net", lambda: {"k": 2.0})
        self.page = StrictPage(self.view)
        self.set: list[tuple[str, Any]] = []

    def picture(self, page: Page) -> dict[str, Any]:
        entries = page.graph["nodes"]
        return {
            f"{place} {each['name']}": (int(page.state[place]), (page.values.get((place, 0)) or {}).get("text"))
            for place, each in enumerate(entries)
            if page.state[place] >= 3
        }

    def edit(self, name: str, factor: float) -> None:
        """Set a value from the page; it may be refused, as it is not there yet, or in the middle of a body."""
        before = len(self.page.messages)
        page = self.page
        page("set_value", node=page.node(name), output=0, expression=f"x * {factor} + 0.25")
        if any(each["type"] == "edited" for each in page.messages[before:]):
            sample = page.values[page.node(name), 0]["sample"]
            self.set.append((name, np.array(sample["data"], np.float32).reshape(sample["shape"])))

    def undo(self) -> None:
        before = len(self.page.messages)
        self.page("undo")
        if any(each["type"] == "edited" for each in self.page.messages[before:]):
            self.set.pop()

    def fresh(self) -> tuple[fb.Session, Stepper]:
        """A stepper that was never anywhere else, with the same values set."""
        session = fb.Session(self.graph)
        stepper = session.debug(["last", "loss"], {"x": X})
        pins = dict(self.set)
        given = {name: pins.pop(name) for name in ("x", "w") if name in pins}
        for name, value in given.items():
            stepper.set_value(name, value)
        while stepper.position < self.stepper._walk.frames[0].position:
            node = stepper.step()
            if node is not None and node.name in pins:
                stepper.set_value(node.name, pins[node.name])
        return session, stepper


def status(page: Page) -> dict[str, Any]:
    return {key: each for key, each in page.status.items() if key not in ("all", "node", "state")}


def same(view: Driven) -> None:
    """The page shows what a new page is told, and what the fresh stepper has."""
    later = StrictPage(view.view)
    assert later.graph["nodes"] == view.page.graph["nodes"]
    assert view.picture(later) == view.picture(view.page)
    assert status(later) == status(view.page)
    session, fresh = view.fresh()
    values = {
        each["name"]: view.page.values[place, 0]
        for place, each in enumerate(view.page.graph["nodes"])
        if view.page.state[place] >= 3 and "parent" not in each and each["outputs"]
    }
    assert set(values) == {node.name for node in fresh.done}
    root, wanted = view.stepper._walk.frames[0], fresh._walk.frames[0]
    for step in wanted.plan.steps[: fresh.position]:
        for slot in step.outputs:
            assert root.values[slot].tobytes() == wanted.values[slot].tobytes(), step.name
    for name, told in values.items():
        assert np.array(told["sample"]["data"], np.float32).tobytes() == fresh.value(name).astype(np.float32).tobytes()
    assert view.session.run("w").tobytes() == session.run("w").tobytes()
    view.view.leave(later)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=5,
)
kinds = st.sampled_from([
    *MOVES, "run_to", "run_to_iteration", "set_breakpoint", "clear_breakpoint", "select", "inspect", "set_value",
    "check_gradient", "why", "export", "show", "watch", "graph", "marked", "refresh", "break", "watch_values", "hello",
])  # fmt: skip
members = ("node", "output", "position", "index", "pattern", "when", "id", "slices", "kind", "page", "elements", "all")
rubbish = st.fixed_dictionaries(
    {"type": kinds | json_values}, optional={each: json_values | st.integers(-3, 12) for each in members}
)
actions = st.one_of(
    st.sampled_from(MOVES),
    st.tuples(st.just("run_to"), st.integers(-2, 20)),
    st.tuples(st.just("node"), st.sampled_from(NODES)),
    st.tuples(st.just("edit"), st.sampled_from(NODES), st.sampled_from((0.5, 1.0, -2.0))),
    st.tuples(st.just("break"), st.sampled_from(("layer/*", "op:tanh", "*")), st.sampled_from((None, "nan", "x > k"))),
    st.tuples(st.just("rubbish"), rubbish),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(actions, max_size=12))
def test_a_stepper_that_pages_drive_is_where_a_fresh_one_comes(sequence: list[Any]) -> None:
    driven = Driven()
    for action in sequence:
        kind, *rest = action if isinstance(action, tuple) else (action,)
        if kind == "edit":
            driven.edit(*rest)
        elif kind == "undo":
            driven.undo()
        elif kind == "run_to":
            driven.page("run_to", position=rest[0])
        elif kind == "node":
            driven.page("run_to", node=driven.page.node(rest[0]))
        elif kind == "break":
            driven.page("set_breakpoint", pattern=rest[0], when=rest[1])
        elif kind == "rubbish":
            if rest[0]["type"] != "undo":
                driven.view.receive(rest[0], driven.page)
        else:
            driven.page(kind)
        same(driven)
    if driven.view.channels:
        driven.page("restart")
        assert driven.session.run("w").tolist() == [1.0, 2.0, 3.0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rubbish | json_values, max_size=8))
def test_no_message_stops_a_graph_view_or_breaks_a_run(sequence: list[Any]) -> None:
    graph = build()
    session = fb.Session(graph)
    view = GraphView(graph, lambda: session)
    page = StrictPage(view)
    wanted = fb.Session(graph).run("loss", {"x": X})
    for message in sequence:
        view.receive(message, page)
        assert session.run("loss", {"x": X}).tobytes() == wanted.tobytes()
    marks.marks(graph).breaks.clear()
    again = StrictPage(view)
    assert [each["name"] for each in again.graph["nodes"]] == [node.name for node in graph.nodes]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rubbish | json_values, max_size=8))
def test_no_message_stops_the_panel_or_breaks_a_run(sequence: list[Any]) -> None:
    class Told:
        def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
            json.dumps(message, allow_nan=False)
            told.append(message)

    told: list[Any] = []
    graph = build()
    session = fb.notebook.session(graph)
    panel, page = Panel(lambda: [graph], lambda _: session, dict, lambda _: None), Told()
    panel.join(page)
    for message in sequence:
        panel.receive({"graph": 1, "clear": False, **message} if isinstance(message, dict) else message, page)
        fb.notebook.run({"loss": graph["loss"]}, {graph["x"]: X}, graph=graph)
    panel.receive({"type": "refresh", "all": True}, page)
    assert told[-1]["type"] == "panel"


@pytest.fixture
def driven() -> Iterator[Driven]:
    yield Driven()


def test_an_edit_that_changes_nothing_is_not_undone(driven: Driven) -> None:
    page = driven.page
    page("step")
    page("set_value", node=page.node("layer/a"), output=0, expression="x * 2")
    page("set_value", node=page.node("layer/a"), output=0, expression="x")
    page("set_value", node=page.node("x"), output=0, expression="x")
    page("undo")
    assert driven.stepper.value("layer/a").tolist() == (X * [1, 2, 3]).tolist() and page.notices() == []
    page("undo")
    assert "no value was set" in page.notices()[0]


@pytest.mark.parametrize("size", [100, 100_000])
def test_why_is_told_of_runs_on_large_arrays(size: int) -> None:
    """A trace keeps samples of these; the stepper has them whole."""
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((size,), name="x")
        w = fb.Variable(np.ones(size, np.float32), name="w")
        h = fb.py_function(lambda each: each * 1.0, [x * w], "float32", shapes=(size,), name="host")
        loss = fb.sum(fb.log(h, name="l"), name="loss")
        up = fb.assign_sub(w, h * 0.5, name="up")
    fed = np.ones(size, np.float32)
    fed[-3] = 0
    stepper = fb.Session(graph).debug([loss, up], {x: fed})
    page = StrictPage(StepperView(stepper))
    page("stop")
    page("why", node=page.node("loss"))
    page("export", kind="html")
    assert page.notices() == []
    (story,) = [each for each in page.messages if each["type"] == "story"]
    assert f"begins in 'l'[{size - 3}] (log)" in story["text"]
    assert [page.graph["nodes"][each["node"]]["name"] for each in story["chapters"]] == ["loss", "l"]
    (told,) = page.view.stories()  # type: ignore[attr-defined]
    assert told["text"] == story["text"]


def test_what_the_run_went_back_from_cannot_be_set(driven: Driven) -> None:
    page = driven.page
    page("step")
    page("back")
    page("set_value", node=page.node("layer/a"), output=0, expression="x * 2")
    assert "'layer/a' has no value yet" in page.notices()[0]
    page("step")
    assert driven.stepper.value("layer/a").tolist() == (X * [1, 2, 3]).tolist()


def test_undo_goes_on_where_python_has_taken_a_value_back(driven: Driven) -> None:
    page = driven.page
    for name in ("x", "w"):
        page("set_value", node=page.node(name), output=0, expression="x * 2")
    driven.stepper.reset_value("w")
    page("undo")
    assert page.notices() == [] and driven.stepper.value("x").tolist() == X.tolist()


def test_undo_works_from_before_the_node_and_after_what_it_depends_on_was_set(driven: Driven) -> None:
    page = driven.page
    page("run_to", node=page.node("layer/h"))
    page("set_value", node=page.node("layer/h"), output=0, expression="0")
    page("set_value", node=page.node("x"), output=0, expression="x * 2")
    page("undo")
    page("set_value", node=page.node("w"), output=0, expression="x * 3")
    page("restart")
    page("undo")
    page("undo")
    page("run_to", node=page.node("layer/h"))
    assert page.notices() == []
    assert driven.stepper.value("layer/h") == pytest.approx(np.tanh(X * np.array([1, 2, 3], np.float32)))


def test_the_value_of_a_variable_that_is_shown_is_the_one_that_is_set(driven: Driven) -> None:
    page = driven.page
    page("stop")
    page("set_value", node=page.node("w"), output=0, expression="x * 2")
    (edited,) = [each for each in page.messages if each["type"] == "edited"]
    assert edited["recomputed"] == edited["count"] == driven.stepper.total
    assert page.values[page.node("w"), 0]["sample"]["data"].tolist() == [2.0, 4.0, 6.0]
    h = np.tanh(X * np.array([2, 4, 6], np.float32))
    assert driven.session.run("w") == pytest.approx([2, 4, 6] - h / 2)
    page("restart")
    page("undo")
    assert page.notices() == [] and driven.stepper.value("w").tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("expression", ["exit()", "[][0]", "(_ for _ in ()).throw(KeyboardInterrupt)"])
def test_a_view_survives_whatever_an_expression_raises(driven: Driven, expression: str) -> None:
    page = driven.page
    page("set_value", node=page.node("x"), output=0, expression=expression)
    page("set_breakpoint", pattern="*", when=expression)
    page("continue")
    assert len(page.notices()) == 2
    page("clear_breakpoint", id=1)
    page("step")
    assert page.status["position"] == 2


def test_an_engine_goes_on_after_whatever_its_work_raises(capsys: pytest.CaptureFixture[str]) -> None:
    done = []

    def work(message: Mapping[str, Any]) -> None:
        if message["type"] == "exit":
            raise SystemExit
        done.append(message["type"])

    engine = Engine("test", work)
    for kind in ("a", "exit", "b"):
        engine.put({"type": kind})
    assert done == ["a", "b"] and "SystemExit" in capsys.readouterr().err


def test_what_an_engine_does_comes_in_order_without_threads() -> None:
    done = []

    def work(message: Mapping[str, Any]) -> None:
        if message["type"] == "first":
            engine.put({"type": "second"})
            assert done == [] and engine.is_this
        done.append(message["type"])

    engine = Engine("test", work)
    engine.put({"type": "first"})
    assert done == ["first", "second"] and not engine.is_this


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "uint16", "uint32", "uint64", "int64", "float16", "float64"]
)
def test_numbers_that_are_written_have_the_dtype_of_the_value(dtype: str) -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((2, 2), dtype, name="x")
        y = fb.identity(x, name="y")
    stepper = fb.Session(graph).debug(y, {x: np.zeros((2, 2), dtype)})
    page = StrictPage(StepperView(stepper))
    page("set_value", node=page.node("x"), output=0, expression="1", index=[0, 1])
    assert stepper.value(x).tolist() == [[0, 1], [0, 0]] and page.notices() == []
    page("set_value", node=page.node("x"), output=0, expression="1")
    assert stepper.value(x).tolist() == [[1, 1], [1, 1]] and page.notices() == []
    for index in ([0], [0, 0, 0], [0, 2], [0, -1], [0.5, 0], [None, 0], 0, "01", []):
        page("set_value", node=page.node("x"), output=0, expression="0", index=index)
        assert "there is no element" in page.notices()[-1]
    if np.dtype(dtype).kind in "biu":
        for index in (None, [0, 0]):
            page(
                "set_value", node=page.node("x"), output=0, expression="2 ** 64", **({"index": index} if index else {})
            )
            assert f"does not fit into {dtype}" in page.notices()[-1]
    assert stepper.value(x).tolist() == [[1, 1], [1, 1]]


def test_runs_are_seen_without_threads() -> None:
    graph = build()
    session = fb.Session(graph)
    page = StrictPage(GraphView(graph, lambda: session))
    session.run("loss", {"x": X})
    assert page.status["mode"] == "done" and page.status["position"] == page.status["count"] > 0
    assert page.value("loss") is not None and page.notices() == []


@pytest.mark.parametrize(("number", "text"), [(-np.inf, "-inf"), (np.inf, "inf"), (np.nan, "nan")])
def test_what_is_nowhere_finite_says_how(number: float, text: str) -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((2,), name="x")
        y = fb.identity(x, name="y")
    page = StrictPage(StepperView(fb.Session(graph).debug(y, {x: [number, number]})))
    page("step")
    assert page.value("y")["text"] == text
