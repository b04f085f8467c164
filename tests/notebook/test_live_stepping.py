"""The view of a stepper: what a page sees, and what its buttons do. Values are compared with NumPy's."""

from __future__ import annotations

import gc
import json
import random
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.notebook.live import engine
from flowbook.notebook.live.stepping import StepperView
from flowbook.notebook.marks import marks
from flowbook.notebook.protocol import PROTOCOL
from tests.notebook.live_page import Page

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
W = np.arange(3, dtype=np.float32).reshape(3, 1)


class Net:
    """loss = mean(tanh(x @ w) ** 2), and a step of SGD."""

    def __init__(self) -> None:
        self.graph = fb.Graph()
        with self.graph.as_default():
            self.x = fb.placeholder((4, 3), name="x")
            self.w = fb.Variable(W, name="w")
            with fb.name_scope("layer"):
                self.a = fb.matmul(self.x, self.w, name="a")
                self.h = fb.tanh(self.a, name="h")
            self.s = fb.square(self.h, name="s")
            self.loss = fb.mean(self.s, name="loss")
            self.train = fb.train.SGD(0.5).minimize(self.loss)
        self.session = fb.Session(self.graph)
        self.stepper = self.session.debug([self.loss, self.train], {self.x: X})
        self.view = StepperView(self.stepper, "net", lambda: {"k": 3.0})

    @staticmethod
    def losses(w: Any, h: Any = None) -> float:
        return float(np.mean(np.tanh(X @ w if h is None else h) ** 2))


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def page(net: Net) -> Iterator[Page]:
    page = Page(net.view)
    page.wait_for("breakpoints")
    yield page
    net.view.leave(page)


def seen(page: Page) -> dict[str, str]:
    """What a reader sees: for each node its state, and its value where it has one."""
    return {
        each["name"]: f"{page.state[place]} {(page.value(each['name']) or {}).get('text')}"
        for place, each in enumerate(page.graph["nodes"])
    }


def test_a_page_is_told_graph_run_values_and_states(net: Net, page: Page) -> None:
    assert [each["type"] for each in page.messages] == ["graph", "run", "values", "states", "breakpoints"]
    assert page.graph["live"] and page.graph["title"] == "net"
    run = page.messages[1]
    assert [page.graph["nodes"][node]["name"] for node in run["order"]] == [
        step.name for step in net.stepper._walk.frames[0].plan.steps
    ]
    assert page.graph["nodes"][run["fetches"][0]["node"]]["name"] == "loss"
    assert page.status["mode"] == "paused" and page.status["position"] == 0
    assert page.status["next"] == page.node("layer/a")
    assert page.values[page.node("w"), 0]["sample"]["data"].tolist() == [0.0, 1.0, 2.0]


def test_a_step_back_restores_the_picture(net: Net, page: Page) -> None:
    count = page.status["count"]
    pictures = [seen(page)]
    for position in range(1, count + 1):
        assert page.do("step")["position"] == position
        pictures.append(seen(page))
    assert page.status["mode"] == "done" and "next" not in page.status
    assert len({json.dumps(each) for each in pictures}) == count + 1
    assert float(page.value("loss")["text"]) == pytest.approx(Net.losses(W), rel=1e-3)
    for position in range(count - 1, -1, -1):
        page.do("back")
        page.wait(lambda position=position: page.status["position"] == position)
        assert seen(page) == pictures[position]
    assert net.session.run(net.w).tolist() == W.tolist()


def test_a_page_that_opens_later_is_told_the_same(net: Net, page: Page) -> None:
    page.do("continue")
    page.wait(lambda: page.status["mode"] == "done")
    page.do("back")
    page("set_breakpoint", pattern="layer/*", when=None)
    page.wait(lambda: page.messages[-1]["type"] == "breakpoints")
    later = Page(net.view)
    later.wait_for("breakpoints")
    assert seen(later) == seen(page)
    assert later.messages[-1] == page.messages[-1]
    assert {key: later.status[key] for key in ("mode", "position", "count", "next")} == {
        key: page.status[key] for key in ("mode", "position", "count", "next")
    }
    before = len(later.messages)
    page.do("back")
    later.wait(lambda: len(later.messages) > before)
    later.wait(lambda: seen(later) == seen(page))


def test_moves_from_python_are_seen(net: Net, page: Page) -> None:
    net.stepper.to("loss")
    page.wait(lambda: page.state[page.node("loss")] == 3)
    assert page.value("loss")["text"] == f"{Net.losses(W):.4g}"
    net.stepper.set_value("w", W * 2)
    page.wait(lambda: page.value("loss")["text"] == f"{Net.losses(W * 2):.4g}")
    net.stepper.breakpoint("op:tanh")
    page.wait(lambda: page.messages[-1]["type"] == "breakpoints")
    assert page.messages[-1]["breakpoints"][0]["nodes"] == [page.node("layer/h")]
    net.stepper.close()
    page.wait(lambda: page.notices())
    assert page.notices() == ["this stepper was closed"]


def test_over_a_scope_run_to_and_restart(net: Net, page: Page) -> None:
    page.do("over")
    assert page.status["position"] == 2 and page.status["next"] == page.node("s")
    page.do("run_to", node=page.node("loss"))
    page.wait(lambda: page.state[page.node("loss")] == 3)
    assert page.status["position"] == 4
    page.do("run_to", node=page.node("layer/a"))
    page.wait(lambda: page.status["position"] == 1)
    page.do("run_to", position=3)
    page.wait(lambda: page.status["position"] == 3)
    page.do("stop")
    page.wait(lambda: page.status["mode"] == "done")
    page.do("restart")
    page.wait(lambda: page.status["position"] == 0)
    page("run_to", node=page.node("x"))
    page.wait(lambda: page.notices())
    assert page.notices() == ["'x' is given: no node computes it"]


def test_breakpoints_stop_it_and_can_be_changed(net: Net, page: Page) -> None:
    page("set_breakpoint", pattern="layer/h", when=None)
    found = page.wait_for("breakpoints", 5)["breakpoints"]
    assert [(each["pattern"], each["when"], each["nodes"]) for each in found] == [
        ("layer/h", None, [page.node("layer/h")])
    ]
    page.do("continue")
    page.wait(lambda: page.status["position"] == 1)
    assert page.status["next"] == page.node("layer/h") and page.status["mode"] == "paused"
    page("set_breakpoint", pattern="*", when="x.size == 1 and x < k", id=found[0]["id"])
    page.wait(lambda: page.messages[-1].get("breakpoints", [{}])[0].get("when") == "x.size == 1 and x < k")
    page.do("continue")
    page.wait(lambda: page.status["position"] == 4)  # after the loss, the first scalar
    page("clear_breakpoint", id=page.messages[-1].get("breakpoints", [{"id": 2}])[0]["id"])
    page.wait(lambda: page.messages[-1] == {"type": "breakpoints", "breakpoints": []})
    page.do("continue")
    page.wait(lambda: page.status["mode"] == "done")
    assert net.stepper.breakpoints == () and marks(net.graph).breaks == []
    assert page.notices() == []


def test_a_breakpoint_on_nan_stops_right_after_the_node(net: Net, page: Page) -> None:
    page("set_breakpoint", pattern="*", when="nan")
    page("set_value", node=page.node("w"), output=0, expression="x * nan")
    page.wait_for("edited")
    page.do("continue")
    page.wait(lambda: page.status["position"] == 1)
    assert page.state[page.node("layer/a")] == 3 and "nan" in page.value("layer/a")["text"]
    assert [each.pattern for each in marks(net.graph).breaks] == ["*"]  # for the steppers to come


@pytest.mark.parametrize(
    ("pattern", "when", "words"),
    [
        ("nothing*", None, "no node of this run matches 'nothing*'"),
        ("*", "x >", "invalid syntax"),
        ("*", "unknown > 1", "NameError"),
    ],
)
def test_wrong_breakpoints_say_why(page: Page, pattern: str, when: str | None, words: str) -> None:
    page("set_breakpoint", pattern=pattern, when=when)
    if when == "unknown > 1":  # known when it is tried
        page("continue")
    page.wait(lambda: page.notices())
    assert words in page.notices()[0]


def test_pause_stops_a_run_between_two_nodes() -> None:
    with fb.Graph().as_default() as graph:
        value = fb.constant(0.0)
        for place in range(200):
            value = fb.py_function(_slowly, [value], "float32", shapes=(), name=f"n{place}")
    view = StepperView(fb.Session(graph).debug(value))
    page = Page(view)
    page.wait_for("breakpoints")
    page("continue")
    page.wait(lambda: page.status["mode"] == "running" and page.status["position"] > 2)  # pictures while it runs
    page("pause")
    page.wait(lambda: page.status["mode"] == "paused")
    assert 2 < page.status["position"] < 200


def _slowly(value: Any) -> Any:
    time.sleep(0.02)
    return value + 1


def test_an_edit_runs_the_dependants_and_says_what_it_did(net: Net, page: Page) -> None:
    page.do("run_to", node=page.node("loss"))
    page.wait(lambda: page.status["position"] == 4)
    before = len(page.messages)
    h = np.tanh(X @ W)
    page("set_value", node=page.node("layer/h"), output=0, expression="x * 0.9 + 0 * k")
    edited = page.wait_for("edited", before)
    assert (edited["recomputed"], edited["count"]) == (2, page.status["count"])
    assert [page.graph["nodes"][node]["name"] for node in edited["nodes"]] == ["s", "loss"]
    new = float(np.mean((h * np.float32(0.9)) ** 2))
    assert edited["effects"] == [f"loss {np.mean(h**2):.4g} → {new:.4g}"]
    changes = {
        page.graph["nodes"][each["node"]]["name"]: each
        for message in page.messages[before:]
        if message["type"] == "values"
        for each in message["values"]
    }
    assert set(changes) == {"layer/h", "s", "loss"} and changes["layer/h"]["set"]
    assert changes["s"]["change"] == pytest.approx(1 - 0.81, abs=1e-3)
    before = len(page.messages)
    page("undo")
    assert page.wait_for("edited", before)["effects"] == [f"loss {new:.4g} → {np.mean(h**2):.4g}"]
    page("undo")
    page.wait(lambda: page.notices())
    assert page.notices()[0].startswith("no value was set")


def test_one_element_a_number_and_what_is_wrong(net: Net, page: Page) -> None:
    w = page.node("w")
    page("set_value", node=w, output=0, expression="x + 7", index=[1, 0])
    page.wait_for("edited")
    assert page.values[w, 0]["sample"]["data"].tolist() == [0.0, 8.0, 2.0]
    before = len(page.messages)
    page("set_value", node=w, output=0, expression="5")
    page.wait_for("edited", before)
    assert net.stepper.value("w").tolist() == [[5.0]] * 3
    for expression, index, words in [
        ("x +", None, "SyntaxError"),
        ("zeros((2, 2))", None, "shape (2, 2)"),
        ("1", [9, 9], "no element [9, 9]"),
        ("'text'", None, "the value for 'w'"),
    ]:
        page("set_value", node=w, output=0, expression=expression, index=index)
        page.wait(lambda words=words: any(words in each for each in page.notices()))
    assert net.stepper.value("w").tolist() == [[5.0]] * 3


def test_parts_of_a_value_are_exact() -> None:
    array = np.random.default_rng(0).normal(size=(300, 40))
    with fb.Graph().as_default() as graph:
        view = StepperView(fb.Session(graph).debug(fb.constant(array, name="big") * 2.0))
    page = Page(view)
    page.wait_for("breakpoints")
    big = page.node("big")
    assert page.values[big, 0]["sample"]["data"].size <= 256
    before = len(page.messages)
    page("select", node=big)
    assert page.wait_for("values", before)["values"][0]["sample"]["data"].size > 256
    before = len(page.messages)
    page("inspect", node=big, output=0, slices=[[290, 300, 1], [0, 40, 13]])
    sample = page.wait_for("values", before)["values"][0]["sample"]
    np.testing.assert_array_equal(sample["data"].reshape(sample["shape"]), array[290:300, 0:40:13])
    page("inspect", node=big, output=0, slices=[[0, 3, 1]])
    page.wait(lambda: any("start, stop and stride" in each for each in page.notices()))


def test_gradient_check(net: Net, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.do("run_to", node=page.node("loss"))
    page.wait(lambda: page.status["position"] == 4)
    for name in ("layer/a", "layer/h", "s", "loss"):
        before = len(page.messages)
        page("check_gradient", node=page.node(name))
        found = page.wait_for("checked", before)
        assert found["passed"] and 0 <= found["relative"] < 1e-5, found
    assert len(net.graph.nodes) == len(page.graph["nodes"])  # nothing was left in it
    rule = fb.tanh.opdef.gradient
    monkeypatch.setattr(fb.tanh.opdef, "gradient", lambda node, dy: [each * 1.01 for each in _listed(rule(node, dy))])
    before = len(page.messages)
    page("check_gradient", node=page.node("layer/h"))
    found = page.wait_for("checked", before)
    assert not found["passed"] and "is wrong" in found["text"] and found["absolute"] is None


def _listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, (list, tuple)) else [found]


def test_why_walks_back_to_the_cause() -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((3,), name="x")
        safe = fb.exp(x, name="safe")
        bad = fb.log(x, name="bad")
        loss = fb.sum(fb.multiply(safe, bad, name="both"), name="loss")
    view = StepperView(fb.Session(graph).debug(loss, {x: [1.0, -2.0, 3.0]}))
    page = Page(view)
    page.wait_for("breakpoints")
    page("why", node=page.node("loss"))
    page.wait(lambda: page.notices())
    page.do("stop")
    page.wait(lambda: page.status["mode"] == "done")
    page("why", node=page.node("loss"))
    story = page.wait_for("story")
    names = [page.graph["nodes"][each["node"]]["name"] for each in story["chapters"]]
    assert names == ["loss", "both", "bad"]
    assert "log of a negative number" in story["chapters"][-1]["text"] and "x[1] = -2" in story["chapters"][-1]["text"]
    before = len(page.messages)
    page("set_value", node=page.node("safe"), output=0, expression="x * nan")
    page.wait_for("edited", before)
    page("why", node=page.node("loss"))
    story = page.wait_for("story", before)
    assert story["text"] == "nan in 'loss': you set 'safe' to it" and "Undo" in story["chapters"][-1]["text"]
    page("undo")
    page.wait(lambda: np.isfinite(page.values[page.node("safe"), 0]["sample"]["data"]).all())
    before = len(page.messages)
    page("why", node=page.node("safe"))
    assert page.wait_for("story", before)["chapters"] == []


def test_exports_are_files(net: Net, page: Page) -> None:
    page.do("stop")
    page.wait(lambda: page.status["mode"] == "done")
    page("export", kind="perfetto")
    file = page.wait_for("file")
    events = json.loads(file["data"].tobytes())["traceEvents"]
    assert {"layer/a", "loss"} <= {each["name"] for each in events} and file["name"] == "net.perfetto.json"
    before = len(page.messages)
    page("export", kind="html")
    file = page.wait_for("file", before)
    assert file["data"].tobytes().startswith(b"<!doctype html>") and file["mime"] == "text/html"
    page("export", kind="exe")
    page.wait(lambda: page.notices())


def test_into_and_out_of_a_body() -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((), name="x")
        y = fb.cond(x > 0.0, lambda: fb.exp(fb.sqrt(x, name="root"), name="power"), lambda: x, name="choice")
        z = fb.add(y, 1.0, name="z")
    view = StepperView(fb.Session(graph).debug(z, {x: 4.0}))
    page = Page(view)
    page.wait_for("breakpoints")
    names = {each["name"] for each in page.graph["nodes"]}
    page.do("run_to", position=1)
    page.wait(lambda: page.status["position"] == 1)
    page.do("into")
    page.wait(lambda: len(page.graph["nodes"]) > len(names))
    inside = [each for each in page.graph["nodes"] if each["name"] not in names]
    assert {each["name"].rpartition("/")[2] for each in inside} >= {"root", "power"}
    assert all("parent" in each for each in inside if each["kind"] == "op")
    root = next(place for place, each in enumerate(page.graph["nodes"]) if each["name"].endswith("root"))
    page.wait(lambda: page.status.get("next") == root)
    assert page.state[page.node("choice")] == 2
    page.do("step")
    page.wait(lambda: page.state[root] == 3)
    assert page.values[root, 0]["text"] == "2"
    page.do("out")
    page.wait(lambda: page.state[page.node("choice")] == 3)
    assert page.value("choice")["text"] == f"{np.exp(2.0):.4g}"
    page.do("restart")
    page.wait(lambda: page.status["position"] == 0)
    assert page.state[root] == 0


def test_a_node_that_raises_says_so_and_can_be_helped() -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((2,), name="x")
        y = fb.py_function(_reciprocal, [x], "float32", shapes=(2,), name="y")
    view = StepperView(fb.Session(graph).debug(y, {x: [1.0, 0.0]}))
    page = Page(view)
    page.wait_for("breakpoints")
    page("step")
    page.wait(lambda: page.notices())
    assert "ZeroDivisionError" in page.notices()[0] and page.status["position"] == 0
    page("set_value", node=page.node("x"), output=0, expression="x + 1")
    page.wait_for("edited")
    page.do("step")
    page.wait(lambda: page.status["mode"] == "done")
    assert page.values[page.node("y"), 0]["sample"]["data"].tolist() == [0.5, 1.0]


def _reciprocal(x: Any) -> Any:
    return np.array([1.0 / float(each) if each else 1 / 0 for each in x], np.float32)


def test_the_stepper_is_free_while_a_node_takes_long(net: Net) -> None:
    """A click does not wait for the kernel: messages return at once, whatever the engine does."""
    began, go_on = threading.Event(), threading.Event()

    def wait(value: Any) -> Any:
        began.set()
        assert go_on.wait(20)
        return value

    with fb.Graph().as_default() as graph:
        y = fb.py_function(wait, [fb.constant(1.0)], "float32", shapes=(), name="y")
    view = StepperView(fb.Session(graph).debug(y))
    page = Page(view)
    page.wait_for("breakpoints")
    page("step")
    assert began.wait(20)
    later = Page(view)  # a page that opens now is told how it stood
    later.wait_for("states")
    assert later.status["position"] == 0
    with pytest.raises(fb.errors.FlowError, match="running a node"):
        view.stepper.step()
    go_on.set()
    page.wait(lambda: page.status["mode"] == "done")


def test_another_version_and_messages_that_are_none(net: Net, page: Page) -> None:
    other = Page(net.view, hello=False)
    other("hello", protocol=PROTOCOL + 1)
    assert len(other.messages) == 1 and f"version {PROTOCOL + 1}" in other.notices()[0]
    random.seed(0)
    kinds = ["step", "back", "run_to", "select", "inspect", "set_value", "set_breakpoint", "clear_breakpoint", "why",
             "check_gradient", "export", "nonsense", "undo", "hello", "watch", "show"]  # fmt: skip
    values = [None, -1, 0, 3, 10**9, "w", "x *", [], [[0, 1, 1]], {}, 1.5, True]
    keys = ["node", "output", "expression", "index", "slices", "pattern", "when", "id", "position", "kind", "protocol"]
    for _ in range(300):
        message = {"type": random.choice(kinds)}
        message.update((key, random.choice(values)) for key in random.sample(keys, random.randrange(6)))
        net.view.receive(message, page)
    for each in (None, 3, "step", [], {"type": 7}, {}):
        net.view.receive(each, page)
    page("run_to", position=0)
    before = len(page.messages)
    page("hello", protocol=PROTOCOL)
    page.wait_for("graph", before)
    page("run_to", position=2)
    page.wait(lambda: page.status["position"] == 2)  # it goes on


def test_a_page_that_fails_is_dropped(net: Net, page: Page) -> None:
    class Broken(Page):
        def send(self, message: Any, buffers: Any) -> None:
            raise RuntimeError("gone")

    broken = Broken(net.view)
    page.do("step")
    assert page.status["position"] == 1 and broken not in net.view.channels


def test_closing_frees_what_it_held(net: Net, page: Page) -> None:
    page.do("stop")
    page.wait(lambda: page.status["mode"] == "done")
    net.view.leave(page)
    assert net.view.memory.graph is None and net.view._told == {}
    again = Page(net.view)
    again.wait_for("breakpoints")
    assert again.status["mode"] == "done" and again.value("loss")


def test_the_engine_goes_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IDLE", 0.02)
    done: list[Any] = []
    found = engine.Engine("test engine", done.append)
    found.put({"type": "a"})
    end = time.monotonic() + 20
    while any(thread.name == "test engine" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
    found.put({"type": "b"})
    while len(done) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    alive = weakref.ref(found)
    del found
    while any(thread.name == "test engine" for thread in threading.enumerate()):
        time.sleep(0.01)
    gc.collect()
    assert alive() is None and done == [{"type": "a"}, {"type": "b"}]


def test_the_timeline_has_no_pauses_and_no_overlaps(net: Net, page: Page) -> None:
    page.do("stop")
    page.wait(lambda: page.status["mode"] == "done")
    seconds = np.concatenate([each["seconds"] for each in page.messages if each["type"] == "events"])
    took = sum(net.stepper._walk.frames[0].seconds.values())
    assert (np.diff(seconds) >= 0).all() and seconds[0] == 0 and seconds[-1] == pytest.approx(took)


def test_a_page_hears_nothing_before_its_hello(net: Net) -> None:
    page = Page(net.view, hello=False)  # it is there, but its program still loads
    net.view.stepper.step()
    time.sleep(0.1)
    assert page.messages == []
    page("hello", protocol=PROTOCOL)
    page.wait(lambda: page.status)
    assert [each["type"] for each in page.messages][:2] == ["graph", "run"]
    assert page.status["position"] == 1
