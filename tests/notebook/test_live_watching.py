"""The view of a cell: what pages see of runs, and that watching changes nothing and costs little."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.notebook import commands, marks
from flowbook.notebook.live import graphview, opening, snapshot, watching
from flowbook.notebook.live.graphview import GraphView
from flowbook.notebook.live.liveview import MOST, VIEWS, LiveView, Views
from flowbook.notebook.live.snapshot import settled
from flowbook.notebook.live.watching import quartiles, watch_of
from flowbook.notebook.protocol import PROTOCOL
from flowbook.runtime.watch import WATCHES
from tests.notebook.live_page import PATIENCE, Gate, Page

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
NET = """
x = fb.placeholder((4, 3))
w = fb.Variable(np.ones((3, 1), "float32"))
h = fb.tanh(x @ w)
"""
TRAIN = """
loss = fb.mean(fb.square(h - 1.0), name="loss")
train = fb.train.SGD(0.5).minimize(loss)
"""


class Notebook:
    """Cells of a graph, with their views."""

    def __init__(self) -> None:
        self.graph = fb.Graph()
        self.names: dict[str, Any] = {"fb": fb, "np": np}
        self.session = fb.notebook.session(self.graph)

    def __call__(self, name: str, source: str) -> GraphView:
        with self.graph.as_default():
            commit, _ = fb.notebook.run_cell(source, self.names, name=name, graph=self.graph)
            view = opening.cell_view(self.graph, name, commit)
        opening.follow()
        return view

    def open(self, view: GraphView) -> Page:
        page = Page(view)
        page.wait_for("graph")
        return page

    def run(self, *names: str, session: Any = None) -> Any:
        return (session or self.session).run([self.names[name] for name in names], {self.names["x"]: X})


@pytest.fixture
def book() -> Iterator[Notebook]:
    book = Notebook()
    yield book
    for view in opening._cells.get(book.graph, {}).values():
        for channel in list(view.channels):
            view.leave(channel)


def names(page: Page) -> list[str]:
    return [each["name"] for each in page.graph["nodes"]]


def test_a_cells_view_shows_its_nodes_and_what_they_read(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    own = [node.name for node in book.graph.owned("train")]
    assert names(page)[: -len(own)] == ["x", "w", "h"] or set(names(page)) - set(own) <= {"x", "w", "h", "matmul_1"}
    assert [names(page)[place] for place in page.graph["focus"]] == own
    assert page.graph["cell"] == "train" and page.graph["hidden"] == len(book.graph.nodes) - len(names(page))
    page("show", whole=True)
    page.wait(lambda: "hidden" not in page.graph)
    assert names(page) == [node.name for node in book.graph.nodes]
    page("show", whole=False)
    page.wait(lambda: page.graph.get("hidden") is not None)


def test_a_run_is_seen_with_its_values(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    loss, _ = book.run("loss", "train")
    page.wait(lambda: page.status.get("mode") == "done")
    page.wait(lambda: page.value("loss"))
    assert float(loss) == pytest.approx(np.mean((np.tanh(X @ np.ones((3, 1))) - 1) ** 2), rel=1e-6)
    assert page.value("loss")["text"] == f"{loss:.4g}"
    assert page.status["position"] == page.status["count"] == len(page.messages[page_index(page, "run")]["order"])
    ran = {names(page)[node] for message in page.messages if message["type"] == "events" for node in message["node"]}
    assert {"loss", "train"} & ran and "x" not in ran
    run = [each for each in page.messages if each["type"] == "run"]
    assert "total" not in run[0] and run[-1]["total"] > 0


def page_index(page: Page, kind: str) -> int:
    return [each["type"] for each in page.messages].index(kind)


def test_every_session_of_the_graph_is_seen(book: Notebook) -> None:
    page = book.open(book("net", NET))
    book.run("h", session=fb.Session(book.graph))
    page.wait(lambda: page.value("h"))


def test_no_page_nothing_is_watched(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SOON", 0.0)
    view = book("net", NET)
    plan = book.session.plan([book.names["h"]], {book.names["x"]: X})
    assert WATCHES[book.graph].begin(lambda: plan, 1) is None and book.graph not in WATCHES
    page = book.open(view)
    live = WATCHES[book.graph].begin(lambda: plan, 1)
    assert live is not None
    live.ended()
    view.leave(page)
    assert view.memory.graph is None
    watch = watch_of(book.graph)
    watch._next = 0.0
    assert watch.begin(lambda: plan, 1) is None and watch.active == 0
    watch.look(3)
    assert watch.begin(lambda: plan, 1) is None and watch.active == 0


def test_a_graph_that_could_not_be_seen_is_told_after_the_cell(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    view = book("net", NET)
    with monkeypatch.context() as patched:
        patched.setattr(graphview, "snapshot", lambda *_, **__: None)  # a cell is changing it
        page = Page(view)
        page.wait(lambda: view.owed)
    assert view.memory.graph is None
    opening.follow()  # the cell is done, and the graph is as it was before it
    page.wait_for("graph")


def test_watching_changes_no_byte() -> None:
    found = []
    for watched in (False, True):
        book = Notebook()
        view = book("net", NET)
        book("train", TRAIN)
        page = book.open(view) if watched else None
        losses = [book.run("loss", "train")[0].tobytes() for _ in range(50)]
        found.append((losses, book.session.run("w").tobytes()))
        if page is not None:
            page.wait_for("values")
            view.leave(page)
    assert found[0] == found[1]


def test_few_steps_of_a_training_are_observed(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own: after a step whose watching took a millisecond, none for SHARE of them."""
    book("net", NET)
    view = book("train", TRAIN)
    page = book.open(view)
    clock = [1000.0]
    monkeypatch.setattr(watching, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watching, "perf_counter", lambda: clock[0])
    shown: list[int] = []

    def show_run(live: Any, columns: Any, over: bool) -> None:
        clock[0] += 0.001
        if over:
            shown.append(live.run)

    monkeypatch.setattr(view, "show_run", show_run)
    watch = watch_of(book.graph)
    watch._next = watch._next_rich = 0.0
    observed = 0
    for _ in range(1000):
        book.run("loss", "train")
        page.wait(lambda: watch._next != float("inf"))
        if len(shown) > observed:
            observed = len(shown)
            assert watch._next - clock[0] >= max(watching.OFTEN, 0.001 * watching.SHARE)
        clock[0] += 0.002
    assert 15 <= len(shown) <= 20  # 2 s, and 0.1 s between two


def test_a_failing_run_says_where(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("bad", "b = fb.py_function(lambda v: 1 / 0, [h], 'float32', shapes=(4, 1))\nc = b + 1.0"))
    with pytest.raises(fb.errors.FlowError):
        book.run("c")
    page.wait(lambda: page.status.get("mode") == "failed")
    failed = [each for each in page.messages if each["type"] == "run"][-1]["failed"]
    assert names(page)[failed["node"]] == "b" and "ZeroDivisionError" in failed["message"]
    assert page.state[page.node("c")] < 2
    book.run("h")  # and the next run is seen again
    page.wait(lambda: page.status.get("mode") != "failed" or True)


def test_times_and_progress_of_a_training(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    feeds = {book.names["x"]: X}
    fetches = {"loss": book.names["loss"], "train": book.names["train"]}
    found = fb.notebook.run(fetches, feeds, steps=60, graph=book.graph)
    last = page.wait(lambda: next((m for m in page.messages if m["type"] == "progress" and m["done"] == 60), None))
    assert last["steps"] == 60 and last["curves"]["loss"][-1] == found.history["loss"][-1]
    page.wait(lambda: page.value("loss") and page.value("loss")["text"] == f"{found['loss']:.4g}")
    end = time.monotonic() + 20
    while not any(each["type"] == "timing" for each in page.messages):
        assert time.monotonic() < end
        book.run("loss", "train")
    timing = page.wait_for("timing")
    assert timing["steps"] >= 2 and (timing["median"] > 0).all() and (timing["spread"] >= 0).all()


@pytest.mark.parametrize(("stop", "ended"), [(0, {"done": 40}), (30, {"done": 29, "stopped": True})])
def test_a_training_ends_also_where_nobody_looks(book: Notebook, stop: int, ended: dict[str, Any]) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    steps = []

    def feeds() -> dict[Any, Any]:
        steps.append(None)
        if len(steps) == 20:
            page.wait_for("progress")
            page("watch", visible=False)
        if len(steps) == stop:
            raise KeyboardInterrupt
        return {book.names["x"]: X}

    fb.notebook.run({"loss": book.names["loss"]}, feeds, steps=40, graph=book.graph)
    page.wait(lambda: [m for m in page.messages if m["type"] == "progress" and ended.items() <= m.items()])


def test_an_edited_cell_marks_what_changed(book: Notebook) -> None:
    view = book("net", NET)
    other = book("train", TRAIN)
    page, below = book.open(view), book.open(other)
    count = len(page.messages)
    book("net", NET.replace("h = fb.tanh(x @ w)", "k = fb.exp(x @ w, name='k')\nh = fb.tanh(k)"))
    page.wait_for("graph", count)
    changes = {each["name"]: each.get("change") for each in page.graph["nodes"]}
    assert changes["k"] == "added" and changes["h"] in ("changed", "rewired") and changes["x"] is None
    count = len(page.messages)
    book("net", NET)
    page.wait_for("graph", count)
    assert page.graph["removed"] == ["k"]
    count = len(below.messages)
    book("net", NET)  # the same again: nothing to mark, and nothing to tell the others
    book("train", TRAIN.replace("1.0", "2.0"))
    below.wait_for("graph", count)
    assert sum(each["type"] == "graph" for each in below.messages[count:]) == 1


def test_a_stale_node_says_why(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    count = len(page.messages)
    book("net", NET.replace("(4, 3)", "(4, 3, 2)").replace("(3, 1)", "(2, 1)"))
    page.wait_for("graph", count)
    assert any("net" in each.get("stale", "") for each in page.graph["nodes"])


def test_a_view_that_opens_after_the_run_shows_it(book: Notebook) -> None:
    """When all cells run, runs follow before pages can open their views."""
    first = book.open(book("net", NET))
    view = book("train", TRAIN)
    loss, _ = book.run("loss", "train")
    first.wait(lambda: first.status.get("mode") == "done")
    page = book.open(view)
    page.wait(lambda: page.value("loss"))
    assert page.value("loss")["text"] == f"{loss:.4g}"


def test_breakpoints_are_the_notebooks(book: Notebook) -> None:
    page = book.open(book("net", NET))
    page("set_breakpoint", pattern="h", when="nan")
    page.wait_for("breakpoints")
    d = fb.notebook.debug(book.names["h"], {book.names["x"]: X}, graph=book.graph)
    assert [(each.pattern, each.when) for each in d.breakpoints] == [("h", "nan")]
    found = page.messages[-1]["breakpoints"]
    assert [names(page)[node] for node in found[0]["nodes"]] == ["h"]
    page("clear_breakpoint", id=found[0]["id"])
    page.wait(lambda: page.messages[-1] == {"type": "breakpoints", "breakpoints": []})
    assert d.breakpoints == ()


def test_what_needs_a_stepper_or_a_trace_says_so(book: Notebook) -> None:
    page = book.open(book("net", NET))
    for kind, words in [("step", "%flow debug"), ("export", "--trace"), ("why", "--trace")]:
        page(kind, kind="html", node=page.node("h"))
        page.wait(lambda words=words: any(words in each for each in page.notices()))
    page("check_gradient", node=page.node("h"))
    page.wait(lambda: any("no value here" in each for each in page.notices()))
    book.run("h")
    page.wait(lambda: page.value("h"))
    page("check_gradient", node=page.node("h"))
    assert page.wait_for("checked")["passed"]


def test_values_of_a_traced_run_are_shown(book: Notebook) -> None:
    page = book.open(book("net", NET))
    book.session.run(book.names["h"], {book.names["x"]: X}, trace=True)
    page.wait(lambda: (page.node("h"), 0) in page.values)
    np.testing.assert_allclose(
        page.values[page.node("h"), 0]["sample"]["data"], np.tanh(X @ np.ones((3, 1))).ravel(), rtol=1e-6
    )
    page("export", kind="html")
    assert page.wait_for("file")["data"].tobytes().startswith(b"<!doctype html>")


def test_interrupt_ends_a_training(book: Notebook) -> None:
    book(
        "slow", "x = fb.placeholder((4, 3))\ny = fb.py_function(nap, [x], 'float32', shapes=(4, 3))"
    ) if book.names.update(nap=lambda value: (time.sleep(0.005), value)[1]) is None else None
    page = book.open(book("more", "z = fb.sum(y)"))
    began = threading.Event()

    def click() -> None:
        page.wait(lambda: any(each["type"] == "progress" for each in page.messages))
        page("interrupt")
        began.set()

    thread = threading.Thread(target=click)
    thread.start()
    found = fb.notebook.run({"z": book.names["z"]}, {book.names["x"]: X}, steps=4000, graph=book.graph)
    thread.join()
    assert began.is_set() and 0 < found.steps < 4000
    assert watch_of(book.graph).active == 0
    last = page.wait(lambda: next((m for m in page.messages if m["type"] == "progress" and m.get("stopped")), None))
    assert last["done"] == found.steps and last["steps"] == 4000
    page("interrupt")  # nothing runs: nothing happens
    time.sleep(0.05)


def test_two_graphs_do_not_see_each_other(book: Notebook) -> None:
    other = Notebook()
    page = book.open(book("net", NET))
    other("net", NET)
    other.run("h")
    assert not any(each["type"] == "run" for each in page.messages)


def test_running_a_cell_again_adds_no_views(book: Notebook) -> None:
    views = {id(book("net", NET + f"k = h * {place}.0")) for place in range(5)}
    assert len(views) == 1


def test_the_list_of_views_is_bounded() -> None:
    views = Views()
    kept = LiveView()
    kept.channels[Page.__new__(Page)] = True
    views.add(kept)
    for _ in range(3 * MOST):
        views.add(LiveView())
    assert len(views._views) <= MOST + 1 and views.find(kept.id) is kept


def test_a_chosen_value_is_told_in_more_detail(book: Notebook) -> None:
    source = "big = fb.placeholder((60, 60))\nout = fb.exp(big)"
    page = book.open(book("big", source))
    book.session.run(book.names["out"], {book.names["big"]: np.zeros((60, 60), np.float32)})
    page.wait(lambda: page.value("out"))
    assert page.values[page.node("out"), 0]["sample"]["data"].size <= 256
    page("select", node=page.node("out"))
    page.wait(lambda: page.values[page.node("out"), 0]["sample"]["data"].size == 3600)


def test_cells_that_run_one_after_the_other_are_not_seen_half(book: Notebook) -> None:
    """Views look from another thread, while nodes come and go."""
    source = NET + "for place in range({}):\n    h = fb.tanh(h * 1.5)\n"
    first = book("net", source.format(60))
    pages = [book.open(first), book.open(book("train", TRAIN))]
    for count in range(40, 100):
        book("net", source.format(count))
        book("train", TRAIN)
    for page in pages:
        cell = page.graph["cell"]
        page.wait(lambda page=page, cell=cell: {node.name for node in book.graph.owned(cell)} <= set(names(page)))
        assert page.notices() == []
    assert [each["name"] for each in pages[0].graph["nodes"]] == [node.name for node in book.graph.owned("net")]


class Changing:
    """A graph that a cell changes while somebody looks."""

    def __init__(self, running: int, changes: int) -> None:
        self.version = 0
        self.running, self.changes = running, changes

    @property
    def _transaction(self) -> Any:
        self.running -= 1
        return object() if self.running >= 0 else None

    def take(self) -> int:
        self.changes -= 1
        self.version += self.changes >= 0
        if self.changes == 1:
            raise KeyError("a node that is gone")
        return self.version


@pytest.mark.parametrize(("running", "changes"), [(0, 0), (3, 0), (0, 3), (4, 5)])
def test_what_is_taken_in_the_middle_of_a_change_does_not_count(running: int, changes: int) -> None:
    graph = Changing(running, changes)
    assert settled(graph, graph.take) == changes == graph.version  # type: ignore[arg-type]


def test_a_mistake_is_no_change() -> None:
    with pytest.raises(ZeroDivisionError):
        settled(fb.Graph(), lambda: 1 // 0)


def test_a_cell_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "PATIENCE", 0.05)
    graph = Changing(10**9, 0)
    assert settled(graph, graph.take) is None  # type: ignore[arg-type]


def test_what_a_cell_shows_stays_when_another_cell_takes_its_name(book: Notebook) -> None:
    def run(source: str, maker: str) -> GraphView:
        with book.graph.as_default():
            commit, _ = fb.notebook.run_cell(source, book.names, name="net", graph=book.graph)
            view = opening.cell_view(book.graph, "net", commit, maker)
        opening.follow()
        return view

    first = run("x = fb.Variable(1.0)\ny = fb.exp(x)", "cell 1")
    assert run("x = fb.Variable(1.0)\ny = fb.exp(x)", "cell 1") is first
    page = book.open(first)
    VIEWS.add(first)
    second = run("x = fb.Variable(1.0)\ny = fb.log(x)", "cell 2")
    other = book.open(second)
    assert second is not first and VIEWS.find(first.id) is None
    page.wait(lambda: any("Another cell of the notebook defines 'net'" in each for each in page.notices()))
    page("show", whole=True)
    book.session.run(book.graph.find("y"))
    other.wait(lambda: other.status.get("mode") == "done")
    page("select", node=0)
    page("inspect", node=9, output=0, slices=[])  # an answer to this comes after all that came before
    page.wait(lambda: len(page.notices()) > 1)
    assert [each["op"] for each in page.graph["nodes"]] == ["variable", "exp"]
    assert [each["op"] for each in other.graph["nodes"]] == ["variable", "log"]
    assert sum(each["type"] == "graph" for each in page.messages) == 1 and not page.status


def test_a_run_that_computes_nothing_is_watched_without_a_word(book: Notebook) -> None:
    page = book.open(book("data", "c = fb.constant([1.0, 2.0])\nv = fb.Variable(3.0)"))
    for _ in range(5):
        book.session.run([book.names["c"], book.names["v"]])
        live = opening.watch_of(book.graph)
        page.wait(lambda live=live: not live._engine.waiting)
        live._next = live._timed = 0.0
    assert page.notices() == []


def test_times_of_steps_that_no_run_has_reached() -> None:
    table = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]], np.float32)
    assert quartiles(table)[:, 0].tolist() == [1.5, 2.0, 2.5] and np.isnan(quartiles(table)[:, 1]).all()
    assert quartiles(np.zeros((4, 0), np.float32)).shape == (3, 0)


SLOW = """
k = 2.5
slow = fb.py_function(wait, [h], "float32", shapes=(4, 1), name="slow")
end = slow * 2.0
"""


def test_a_run_begins_with_nothing_done(book: Notebook) -> None:
    """The picture of a run on its way has nothing of the one before."""
    gate = book.names["wait"] = Gate()
    gate.free.set()
    book("net", NET)
    page = book.open(book("slow", SLOW))
    watch_of(book.graph).look()
    book.run("end")
    page.wait(lambda: page.status.get("mode") == "done")
    gate.free.clear()
    gate.inside.clear()
    watch_of(book.graph).look()
    count = len(page.messages)
    runner = threading.Thread(target=book.run, args=("end",))
    runner.start()
    try:
        assert gate.inside.wait(PATIENCE)
        page.wait(lambda: page.status["mode"] == "running" and page.state[page.node("slow")] == 2)
        assert page.status["position"] < page.status["count"] and page.state[page.node("end")] < 3
        assert page.messages[count]["type"] == "run"
    finally:
        gate.free.set()
        runner.join()
    page.wait(lambda: page.status["mode"] == "done")


def test_first_runs_of_two_sessions_are_two_runs(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    for name in ("loss", "h"):
        count = len(page.messages)
        watch_of(book.graph).look()
        book.run(name, "loss", session=fb.Session(book.graph))
        page.wait(lambda count=count: any(each["type"] == "values" for each in page.messages[count:]))
        kinds = [each["type"] for each in page.messages[count:]]
        assert kinds.index("run") < kinds.index("events")
        first = page.messages[count:][kinds.index("events")]
        assert first["first"] == 0
    runs = [each["run"] for each in page.messages if each["type"] == "run"]
    assert len(set(runs)) == 2


def test_conditions_know_the_users_names_and_a_wrong_one_changes_nothing(book: Notebook) -> None:
    graph, names = book.graph, {"k": 0.5}
    book("net", NET)
    page = book.open(GraphView(graph, lambda: book.session, None, lambda: names))
    page("set_breakpoint", pattern="op:tanh", when="x > k")
    page.wait_for("breakpoints")
    page("set_breakpoint", pattern="*", when="x >", id=1)
    page.wait(lambda: page.notices())
    assert [each.label for each in marks.marks(graph).breaks] == ["x > k"]
    stepper = book.session.debug(book.names["h"], {book.names["x"]: X})
    marks.follow(stepper, graph)
    names["k"] = -2.0
    assert stepper.run().op == "tanh"


def test_one_of_several_breakpoints_is_cleared(book: Notebook) -> None:
    """Also when another page has cleared one just before, and when two are on the same nodes."""
    book("net", NET)
    page = book.open(GraphView(book.graph, lambda: book.session))
    stepper = book.session.debug(book.names["h"], {book.names["x"]: X})
    marks.follow(stepper, book.graph)
    for when in (None, "nan", "inf"):
        page("set_breakpoint", pattern="h", when=when)
    page.wait(lambda: len(page.messages[-1].get("breakpoints", ())) == 3)
    first, second, _ = page.messages[-1]["breakpoints"]
    page("clear_breakpoint", id=first["id"])
    page("clear_breakpoint", id=second["id"])
    page("clear_breakpoint", id=second["id"])
    page.wait(lambda: page.notices())
    assert page.notices() == ["this breakpoint is not there any more"]
    assert [each.when for each in marks.marks(book.graph).breaks] == ["inf"]
    assert [each.when for each in stepper.breakpoints] == ["inf"]


def test_a_view_that_closes_while_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closing(dict):  # type: ignore[type-arg]
        def __contains__(self, graph: object) -> bool:
            return True  # and gone when it is asked for

    monkeypatch.setattr("flowbook.runtime.session.WATCHES", Closing())
    with fb.Graph().as_default():
        assert fb.Session().run(fb.constant(1.0) + 1.0, trace=True) == 2.0
        assert fb.Session().run(fb.constant(1.0) + 1.0) == 2.0


def test_ctrl_c_at_every_line_of_a_run_that_is_watched(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    watch = watch_of(book.graph)
    files = ("watching.py", "liverun.py", "executor.py")
    for line in range(1, 2000):
        left = line

        def trace(frame: Any, event: str, argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(files):
                return None
            text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            if event == "line" and not text.startswith("with "):  # a signal never comes between a body and `__exit__`
                left -= 1
                if not left:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        watch._next = 0.0
        sys.settrace(trace)
        try:
            book.run("train")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        if left > 0:
            break
        assert watch.active == 0, line
        page.wait(lambda: watch._next < float("inf"))
    assert 20 < line < 1999
    count = len(page.messages)
    watch._next = 0.0
    book.run("loss")
    page.wait(lambda: any(each["type"] == "run" for each in page.messages[count:]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_is_not_watched(book: Notebook) -> None:
    book("net", NET)
    page = book.open(book("train", TRAIN))
    watch = watch_of(book.graph)
    with watch._lock, page.view.lock:  # as when another thread is telling just now
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if not len(WATCHES) and book.run("loss")[0] > 0 else 2
            finally:
                os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert book.graph in WATCHES


def test_variables_and_constants_have_values_before_any_run_is_seen(book: Notebook) -> None:
    view = book("data", "c = fb.constant([1.0, 2.0])\nv = fb.Variable([3.0, 4.0])\nunused = fb.Variable(5.0)")
    book.session.initialize(["v"])
    page = book.open(view)
    page.wait(lambda: len(page.values) == 2)
    found = {
        page.graph["nodes"][node]["name"]: value["sample"]["data"].tolist() for (node, _), value in page.values.items()
    }
    assert found == {"c": [1.0, 2.0], "v": [3.0, 4.0]}


@pytest.mark.parametrize(
    ("wanted", "sent"), [(None, 4096), (100, 100), (9000, 9000), (1, 64), (10**9, 10_000), ("x", 4096)]
)
def test_a_page_says_how_many_elements_of_a_chosen_value_it_wants(book: Notebook, wanted: Any, sent: int) -> None:
    view = book("data", "c = fb.constant(np.arange(10_000, dtype='float32'))")
    page = Page(view, hello=False)
    page("hello", protocol=PROTOCOL, **({} if wanted is None else {"elements": wanted}))
    page.wait_for("values")
    count = len(page.messages)
    page("select", node=0)
    page.wait(lambda: any(each["type"] == "values" for each in page.messages[count:]))
    size = page.values[0, 0]["sample"]["data"].size
    assert sent / 2 < size <= sent  # every n-th element, so that there are no more than that


def test_a_view_and_a_cell_that_ask_at_once_get_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Barrier(2)

    class Slow(fb.Session):
        def __init__(self, graph: fb.Graph) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                begun.wait(0.2)  # the other one gets as far as this, if it can
            super().__init__(graph)

    monkeypatch.setattr(commands, "Session", Slow)
    graph, found = fb.Graph(), []
    threads = [threading.Thread(target=lambda: found.append(fb.notebook.session(graph))) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found[0] is found[1]
