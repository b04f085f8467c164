"""What a cell leaves in the notebook for a live view: the same data each time, the rest as metadata."""

from __future__ import annotations

import base64
import gzip
import json
import time
from typing import Any

import numpy as np
import pytest
from IPython.core.error import UsageError

import flowbook as fb
from flowbook.notebook.catalog import COMMANDS
from flowbook.notebook.live import shown
from flowbook.notebook.live.channels import MIME, CommChannel, comm_opened
from flowbook.notebook.live.liveview import VIEWS
from flowbook.notebook.live.memory import Memory
from flowbook.notebook.live.stepping import StepperView
from flowbook.notebook.protocol import PROTOCOL, unpack
from tests.notebook.conftest import Notebook
from tests.notebook.live_page import Page

NET = "%%flow --name net\nx = fb.placeholder((2,))\ny = fb.sum(fb.exp(x), name='y')"


def test_a_cells_output_names_its_view_in_metadata_only(cell: Notebook) -> None:
    first, second = cell(NET, "id-1").shown[0], cell(NET, "id-1").shown[0]
    assert first == second and first[MIME] == {"protocol": PROTOCOL}


def test_the_view_of_a_cell_or_of_all(cell: Notebook) -> None:
    cell(NET)
    assert repr(cell("%flow view net").result) == "live view of cell net: 3 nodes"
    assert repr(cell("%flow view").result) == "live view of the graph: 3 nodes"
    ran = cell("%flow view nett")
    assert not ran.ok and "there is no cell nett" in str(ran.error) and "cells: net" in str(ran.error)
    assert cell("%flow view net").result.view is cell("%flow view net").result.view
    page = Page(cell("%flow view").result.view)
    page.wait_for("graph")
    assert "cell" not in page.graph and len(page.graph["nodes"]) == 3


def test_help_for_what_is_not_there(cell: Notebook) -> None:
    ran = cell("%flow help rnu")
    assert isinstance(ran.error, UsageError) and str(ran.error).startswith("there is no %flow rnu\n")
    assert "FETCH" in repr(cell("%flow  help  run").result)
    assert all(command.usage in cell("%flow?").out for command in COMMANDS.values())


def recorded(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    entries = json.loads(gzip.decompress(base64.b64decode(metadata[MIME]["recording"])))
    return [unpack(each["message"], [base64.b64decode(part) for part in each["buffers"]]) for each in entries]


def test_the_run_of_a_stepper_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((2,), name="x")
        y = fb.sum(fb.exp(x, name="e"), name="y")
    view = StepperView(fb.Session(graph).debug(y, {x: [0.0, 1.0]}), "y")
    updates: list[Any] = []
    monkeypatch.setattr(shown, "AFTER", 0.01)
    monkeypatch.setattr(shown, "update_display", lambda data, **more: updates.append((data, more)))
    data, metadata = shown.bundle(view, "text")
    assert VIEWS.find(metadata[MIME]["view"]) is view
    view.changed = shown.Keeper(view, data, metadata, "an id").changed
    page = Page(view)
    page.wait_for("breakpoints")
    page.do("stop")
    page.wait(lambda: updates and any(each["type"] == "values" and len(each["values"]) == 3
                                      for each in recorded(updates[-1][1]["metadata"])))  # fmt: skip
    told, more = updates[-1]
    assert told == data and more["display_id"] == "an id" and more["metadata"][MIME]["view"] == view.id
    messages = recorded(more["metadata"])
    (values,) = [each for each in messages if each["type"] == "values"]
    names = [each["name"] for each in messages[0]["nodes"]]
    found = {names[each["node"]]: each["sample"]["data"].tolist() for each in values["values"]}
    assert found["y"] == pytest.approx([1 + np.e])


def test_the_run_that_is_kept_tells_why_it_is_nan() -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((2,), name="x")
        y = fb.sum(fb.log(x, name="bad"), name="y")
    stepper = fb.Session(graph).debug(y, {x: [0.0, -1.0]})
    found = []
    for _ in range(3):
        text = shown.kept(stepper.trace(), stepper.session, "y")
        found.append([each for each in recorded({MIME: {"recording": text}}) if each["type"] == "story"])
        stepper.step()
    assert found[0] == [] and [len(each[0]["chapters"]) for each in found[1:]] == [1, 2]


def test_a_notebook_that_is_executed_without_a_page_keeps_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "AFTER", 0.01)
    updates: list[Any] = []
    monkeypatch.setattr(shown, "update_display", lambda data, **more: updates.append(more["metadata"]))
    with fb.Graph().as_default() as graph:
        view = StepperView(fb.Session(graph).debug(fb.exp(fb.constant(1.0), name="e")))
    view.changed = shown.Keeper(view, *shown.bundle(view, ""), "an id").changed
    view.stepper.step()
    end = time.monotonic() + 20
    while not updates:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert any(each["type"] == "values" for each in recorded(updates[-1]))


def test_a_run_too_large_to_keep_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "AFTER", 0.01)
    monkeypatch.setattr(shown, "MOST", 10)
    monkeypatch.setattr(shown, "update_display", lambda *all, **more: pytest.fail("it was kept"))
    with fb.Graph().as_default() as graph:
        view = StepperView(fb.Session(graph).debug(fb.exp(fb.constant(1.0))))
    view.changed = shown.Keeper(view, *shown.bundle(view, ""), "an id").changed
    page = Page(view)
    page.wait(lambda: any("too large" in each for each in page.notices()))


class Comm:
    """A comm as a kernel has it; `_reply_subshell_id` is what ipykernel 7.4 sets when one publishes."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed = False

    def send(self, data: Any, buffers: Any = None) -> None:
        self._reply_subshell_id = None
        self.sent.append(unpack(data, buffers or []))

    def on_msg(self, callback: Any) -> None:
        self.message = callback

    def on_close(self, callback: Any) -> None:
        self.gone = callback

    def close(self) -> None:
        self.closed = True


def test_a_page_opens_a_view_over_a_comm(cell: Notebook) -> None:
    cell(NET)
    view = cell("%flow view net").result.view
    shown.bundle(view, "")
    opened, comm = comm_opened(lambda asked: VIEWS.find(str(asked.get("view")))), Comm()
    opened(comm, {"content": {"data": {"view": view.id}}})
    comm.message({"content": {"data": {"type": "hello", "protocol": PROTOCOL}}})
    end = time.monotonic() + 20
    while not comm.sent:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert comm.sent[0]["type"] == "graph" and not hasattr(comm, "_reply_subshell_id")
    assert [CommChannel] == [*map(type, view.channels)]
    comm.gone({})
    assert not view.channels
    for data in ({"view": "of another kernel"}, {}, None, "text"):
        other = Comm()
        opened(other, {"content": {"data": data}})
        assert other.closed


def test_a_greeting_that_is_repeated_is_answered_once(cell: Notebook) -> None:
    cell(NET)
    view = cell("%flow view net").result.view
    page = Page(view, hello=False)
    for _ in range(3):
        page("hello", protocol=PROTOCOL, page="one")
    page.wait_for("graph")
    page("hello", protocol=PROTOCOL, page="two")
    page.wait(lambda: sum(each["type"] == "graph" for each in page.messages) == 2)
    page("hello", protocol=PROTOCOL, page="one")
    time.sleep(0.05)
    assert sum(each["type"] == "graph" for each in page.messages) == 2


def test_what_a_view_remembers_is_the_present() -> None:
    memory, two = Memory(), np.array([0, 1], np.int32)
    nodes = [{"name": name, "outputs": []} for name in "ab"]
    memory.take({"type": "graph", "nodes": nodes})
    states = {"type": "states", "node": two, "state": np.array([3, 3], np.uint8), "all": False, "mode": "done"}
    memory.take(states)
    memory.take({**states, "node": two[:1], "state": np.array([1], np.uint8), "all": True, "mode": "paused"})
    told = {each["type"]: each for each in memory.tell()}
    assert told["states"]["node"].tolist() == [0] and told["states"]["state"].tolist() == [1]
    assert told["states"]["all"] and told["states"]["mode"] == "paused"
    for first in (0, 2):  # of one run all events are told, of the one before none
        memory.take({"type": "run", "run": 7})
        memory.take({"type": "events", "run": 7, "first": first, "node": two, "state": two.astype(np.uint8)})
    assert [each["first"] for each in memory.tell() if each["type"] == "events"] == [0, 2]
    memory.take({"type": "run", "run": 8})
    assert not [each for each in memory.tell() if each["type"] == "events"]
    memory.take({"type": "graph", "nodes": nodes[:1]})
    assert [each["type"] for each in memory.tell()] == ["graph"]
