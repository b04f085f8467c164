"""The side panel: what it tells of a notebook, and what it lets one change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

import flowbook as fb
from flowbook.notebook import marks
from flowbook.notebook.live.channels import comm_opened
from flowbook.notebook.live.panel import Panel
from flowbook.notebook.protocol import PROTOCOL


class Reader:
    """A page that has the panel open."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.messages: list[Mapping[str, Any]] = []
        panel.join(self)

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        assert not buffers
        self.messages.append(message)

    def __call__(self, kind: str, **members: Any) -> None:
        self.panel.receive({"type": kind, **members}, self)

    def wait(self, condition: Callable[[Mapping[str, Any]], Any]) -> Mapping[str, Any]:
        end = time.monotonic() + 20
        while True:
            for each in list(self.messages):
                if condition(each):
                    return each
            assert time.monotonic() < end, self.messages
            time.sleep(0.005)


@pytest.fixture
def graph() -> fb.Graph:
    graph = fb.Graph()
    with graph.as_default():
        fb.notebook.run_cell("w = fb.Variable([[1.0, 2.0]])\nm = fb.Variable(0, trainable=False)", {"fb": fb}, name="a")
        names = {"fb": fb, "w": graph.variables[0]}
        fb.notebook.run_cell("y = fb.tanh(w * 2.0)", names, name="b")
    return graph


@pytest.fixture
def retold() -> list[fb.Graph]:
    return []


@pytest.fixture
def panel(graph: fb.Graph, retold: list[fb.Graph]) -> Panel:
    return Panel(lambda: [graph], fb.notebook.session, dict, retold.append)


def told(message: Mapping[str, Any]) -> bool:
    return message["type"] == "panel"


def test_what_a_page_is_told(graph: fb.Graph, panel: Panel) -> None:
    page = Reader(panel)
    message = page.wait(told)
    assert message["protocol"] == PROTOCOL
    (found,) = message["graphs"]
    assert [(each["name"], each["nodes"], each["stale"]) for each in found["cells"]] == [("a", 2, 0), ("b", 2, 0)]
    variables = {each["name"]: each for each in found["variables"]}
    assert variables["w"]["spec"] == {"dtype": "float32", "shape": [1, 2]}
    assert (variables["w"]["cell"], variables["w"]["line"]) == ("a", 1)
    assert (variables["w"]["text"], variables["w"]["bytes"]) == ("not used yet", 0)
    assert {each["name"]: each["usable"] for each in message["devices"]} == {"cpu:0": True, "gpu:0": False}
    assert all(each["reason"] for each in message["devices"])
    fb.notebook.session(graph).run(graph.find("y"))
    page("refresh", all=False)
    message = page.wait(lambda each: told(each) and each["graphs"][0]["variables"][0]["bytes"] == 8)
    assert message["graphs"][0]["variables"][0]["text"] == "[[1, 2]]"


def test_nothing_is_sent_when_nothing_is_different(panel: Panel) -> None:
    page, other = Reader(panel), Reader(panel)
    page.wait(told)
    count = len(page.messages)
    for _ in range(5):
        page("refresh", all=False)
    page("refresh", all=True)
    end = time.monotonic() + 20
    while len(page.messages) <= count and time.monotonic() < end:
        time.sleep(0.005)
    assert len(page.messages) <= count + 2  # of the second page's opening, and the last one
    panel.leave(other)
    before = len(other.messages)
    page("refresh", all=True)
    page.wait(lambda each: len(page.messages) > count + 1)
    assert len(other.messages) == before


def test_breakpoints_and_watches(graph: fb.Graph, panel: Panel, retold: list[fb.Graph]) -> None:
    page = Reader(panel)
    number = page.wait(told)["graphs"][0]["id"]
    page("break", graph=number, pattern="op:tanh", when="nan", clear=False)
    page.wait(lambda each: told(each) and each["graphs"][0]["breakpoints"] == [{"pattern": "op:tanh", "when": "nan"}])
    assert [(each.pattern, each.when) for each in marks.marks(graph).breaks] == [("op:tanh", "nan")]
    assert retold == [graph]
    page("watch_values", graph=number, pattern="y", clear=False)
    page.wait(lambda each: told(each) and each["graphs"][0]["watches"] == ["y"])
    page("break", graph=number, pattern="op:tanh", when=None, clear=True)
    page("watch_values", graph=number, pattern="y", clear=True)
    page.wait(lambda each: each is page.messages[-1] and told(each) and not each["graphs"][0]["watches"])
    assert not marks.marks(graph).breaks and not marks.marks(graph).watches


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"type": "break", "graph": 1, "pattern": "*", "when": "x >", "clear": False}, "x >: invalid syntax"),
        ({"type": "break", "graph": 1, "pattern": "nothing", "when": None, "clear": True}, "no breakpoint is set"),
        ({"type": "watch_values", "graph": 1, "pattern": "nothing", "clear": True}, "'nothing' is not watched"),
        ({"type": "break", "graph": 7, "pattern": "*", "when": None, "clear": False}, "not there any more"),
        ({"type": "break"}, "graph"),
    ],
)
def test_what_cannot_be_done_is_said(panel: Panel, message: dict[str, Any], text: str) -> None:
    page = Reader(panel)
    page.wait(told)
    panel.receive(message, page)
    assert text in page.wait(lambda each: each["type"] == "refused")["text"]


def test_what_is_no_message_is_left_alone(panel: Panel) -> None:
    page = Reader(panel)
    for each in (None, 3, "text", [], {"type": "unheard of"}):
        panel.receive(each, page)
    page("refresh", all=True)
    page.wait(told)
    assert all(told(each) for each in page.messages)


def test_a_page_that_is_gone_is_forgotten(panel: Panel) -> None:
    class Gone:
        def send(self, message: Any, buffers: Any) -> None:
            raise RuntimeError("closed")

    page = Reader(panel)
    page.wait(told)
    panel.join(Gone())
    end = time.monotonic() + 20
    while len(panel.channels) > 1:
        assert time.monotonic() < end
        time.sleep(0.005)
    page("refresh", all=True)


def test_while_a_cell_changes_the_graph_the_last_state_is_told(graph: fb.Graph, panel: Panel) -> None:
    page = Reader(panel)
    before = page.wait(told)
    with graph.transaction("c"), graph.as_default():
        fb.constant(1.0)
        count = len(page.messages)
        page("refresh", all=True)
        page.wait(lambda each: len(page.messages) > count)
        assert page.messages[-1]["graphs"] == before["graphs"]
    page("refresh", all=False)
    page.wait(lambda each: told(each) and len(each["graphs"][0]["cells"]) == 3)


def test_values_are_read_once(graph: fb.Graph, panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    from flowbook.notebook.live import panel as module

    read: list[Any] = []
    real = module.format_value
    monkeypatch.setattr(module, "format_value", lambda value: read.append(value) or real(value))
    session = fb.notebook.session(graph)
    session.run(graph.find("y"))
    page = Reader(panel)
    page.wait(told)
    for _ in range(3):
        page("refresh", all=True)
    page.wait(lambda each: len(page.messages) == 4)
    assert len(read) == 1


def test_the_comm_of_the_panel(panel: Panel) -> None:
    from tests.notebook.test_live_shown import Comm

    opened, comm = comm_opened(lambda asked: panel if asked.get("panel") else None), Comm()
    opened(comm, {"content": {"data": {"panel": True}}})
    end = time.monotonic() + 20
    while not comm.sent:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert comm.sent[0]["type"] == "panel" and not hasattr(comm, "_reply_subshell_id")
    comm.gone({})
    assert not panel.channels


@pytest.mark.parametrize("pattern", [None, 5, ["*"]])
def test_what_is_no_pattern_marks_nothing_and_clears_nothing(graph: fb.Graph, panel: Panel, pattern: Any) -> None:
    page = Reader(panel)
    page.wait(told)
    marks.breakpoint("y", graph=graph)
    marks.watch("y", graph=graph)
    for kind in ("break", "watch_values"):
        for clear in (True, False):
            before = len(page.messages)
            panel.receive({"type": kind, "graph": 1, "pattern": pattern, "clear": clear}, page)
            page.wait(lambda each, before=before: each in page.messages[before:] and each["type"] == "refused")
    assert [each.pattern for each in marks.marks(graph).breaks] == marks.marks(graph).watches == ["y"]
