"""Widgets hold a view only while a page shows it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ipywidgets.widgets import widget as registry

import flowbook as fb
from flowbook.notebook.live import widget as widgets
from flowbook.notebook.live.liveview import LiveView
from flowbook.notebook.live.stepping import StepperView
from flowbook.notebook.live.widget import ViewWidget
from flowbook.notebook.protocol import PROTOCOL
from tests.notebook.live_page import Page


class View(LiveView):
    """Tells a graph as soon as a page is there."""

    def opened(self) -> None:
        self.tell({"type": "graph", "nodes": [{"name": "x" * 1000}]})


class Front:
    """What the pages of a front end send to a widget, and what it sends them."""

    def __init__(self, view: LiveView) -> None:
        self.widget = ViewWidget(view)
        self.told: list[Any] = []
        self.widget._channel.send = lambda message, buffers: self.told.append(message)  # type: ignore[method-assign]

    def __call__(self, kind: str, **members: Any) -> None:
        self.widget._received(self.widget, {"type": kind, **members}, [])

    def hello(self, page: str) -> None:
        self("hello", protocol=PROTOCOL, page=page)

    def kinds(self) -> list[str]:
        return [each["type"] for each in self.told]


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def no_widgets() -> Iterator[None]:
    yield
    for each in [each for each in registry._instances.values() if isinstance(each, ViewWidget)]:
        each.close()


def test_a_page_joins_when_it_greets_and_leaves_when_it_goes() -> None:
    view = View()
    page = Front(view)
    assert not view.channels, "no page yet"
    page.hello("one")
    page.hello("one")
    assert view.visible and page.kinds() == ["graph"]
    page("bye")
    assert not view.channels and view.memory.graph is None
    view.tell({"type": "notice", "level": "info", "text": "nobody hears it"})
    page("watch", visible=True)
    page.hello("one")  # one that was on its way when the page went
    assert not view.channels and page.kinds() == ["graph"]
    page.hello("two")
    assert view.visible and page.kinds() == ["graph", "graph"], "it is opened again"


def test_of_two_pages_of_one_widget_one_may_go() -> None:
    view = View()
    page = Front(view)
    page.hello("one")
    page.hello("two")
    page("bye", page="two")
    view.notice("for one")
    assert view.visible and page.kinds()[-1] == "notice"
    page("bye", page=["nonsense"])
    assert not view.channels
    page("bye", page="one")


def test_a_view_lives_while_a_page_shows_it_and_no_longer() -> None:
    view = View()
    gone = weakref.ref(view)
    page = Front(view)
    page.hello("one")
    del view
    gc.collect()
    assert gone() is not None, "a page shows it"
    page("bye")
    gc.collect()
    assert gone() is None
    page("step")
    page.hello("two")
    assert page.told[-1]["level"] == "ended" and "Run the cell again" in page.told[-1]["text"]


def stepper() -> StepperView:
    with fb.Graph().as_default() as graph:
        y = fb.exp(fb.placeholder((), name="x"), name="y")
    return StepperView(fb.Session(graph).debug(y, {"x": 1.0}))


def test_a_stepper_that_no_page_shows_is_free_and_does_nothing() -> None:
    view = stepper()
    Front(view)
    view.stepper.step()
    assert view._engine._thread is None and view.memory.graph is None
    page = Page(view)
    page.wait_for("breakpoints")
    page("bye")
    done: list[Any] = []
    view._engine.put = done.append  # type: ignore[method-assign]
    view.changed = lambda: done.append("kept")
    view.stepper.back()
    assert done == [] and view.memory.graph is None and view._told == {}


def test_a_thousand_views_that_come_and_go_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widgets, "MOST", 8)

    others = set(threading.enumerate())
    alive: weakref.WeakSet[LiveView] = weakref.WeakSet()

    def open_one(view: LiveView, count: int) -> None:
        alive.add(view)
        page = Front(view)
        page.hello(f"page {count}")
        wait(lambda: view.memory.graph)
        page("bye")

    def objects() -> int:
        wait(lambda: others.issuperset(threading.enumerate()))
        gc.collect()
        return len(gc.get_objects())

    def open_many(steppers: int, others: int) -> None:
        for count in range(steppers):
            open_one(stepper(), count)
        for count in range(others):
            open_one(View(), count)

    open_many(20, 20)
    before = objects()
    open_many(50, 950)
    assert objects() < before + 500, "less than one for each view"
    assert len(alive) == 0
    assert len([each for each in registry._instances.values() if isinstance(each, ViewWidget)]) <= 8


def test_one_view_that_is_opened_a_thousand_times_keeps_no_memory() -> None:
    view = View()
    page = Front(view)
    for count in range(1000):
        page.hello(f"page {count}")
        page("bye")
        page.told.clear()
    assert not view.channels and not view._pages and len(view._gone) <= 256
