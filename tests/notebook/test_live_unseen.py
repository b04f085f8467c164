"""What a view shows of runs that nobody could see: the last one, when somebody looks, or that there were later ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from flowbook.notebook.live import opening, watching
from flowbook.notebook.live.watching import GraphWatch, watch_of
from tests.notebook.conftest import Notebook as Cells
from tests.notebook.live_page import PATIENCE, Gate, Page
from tests.notebook.test_live_watching import NET, SLOW, TRAIN, Notebook, X

TWICE = "x2 = fb.placeholder((4, 3))\ny = x2 * 2.0"


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setattr(watching, "SOON", 0.0)  # only pages that are open count
    book = Notebook()
    yield book
    for view in opening._cells.get(book.graph, {}).values():
        for channel in list(view.channels):
            view.leave(channel)


def run(book: Notebook, scale: float, *names: str) -> Any:
    found = book.session.run([book.names[name] for name in names], {book.names["x"]: scale * X})
    return found[0]


def away(page: Page) -> int:
    """Nobody sees the page any more; how much it was told until then, and nothing comes after that."""
    page("watch", visible=False)
    idle(page)
    return len(page.messages)


def idle(page: Page) -> None:
    """All that was to be told has been told."""
    watch = watch_of(page.view.graph)  # type: ignore[attr-defined]
    for engine in (watch._engine, page.view._engine):  # type: ignore[attr-defined]
        done = threading.Event()
        work = engine._work

        def mark(message: Any, work: Any = work, done: Any = done) -> None:
            done.set() if message.get("type") == "mark" else work()(message)

        engine._work = lambda mark=mark: mark
        engine.put({"type": "mark"})
        assert done.wait(20)
        engine._work = work


def events(page: Page) -> list[Any]:
    return [each for each in page.messages if each["type"] == "events"]


def shown(page: Page, name: str) -> Any:
    found = page.value(name)
    return None if found is None else found["sample"]["data"].ravel().tolist()


def expected(scale: float) -> Any:
    return pytest.approx(np.tanh(scale * X @ np.ones((3, 1))).ravel().tolist(), rel=1e-5)


def test_who_looks_again_sees_the_last_run(book: Notebook) -> None:
    page = book.open(book("net", NET))
    opening.begin()
    run(book, 1.0, "h")
    page.wait(lambda: shown(page, "h") == expected(1.0))
    first = page.status
    count = away(page)
    for scale in (2.0, 3.0):  # two cells, one at once after the other
        opening.begin()
        run(book, scale, "h")
        opening.follow()
    idle(page)
    assert len(page.messages) == count
    page("watch", visible=True)
    page.wait(lambda: shown(page, "h") == expected(3.0))
    idle(page)
    assert page.status["mode"] == "done" and "missed" not in page.status and page.status["count"] == first["count"]
    kinds = [each["type"] for each in page.messages[count:]]
    assert "events" in kinds and kinds.count("values") == 1
    count = away(page)
    page("watch", visible=True)
    idle(page)
    assert len(page.messages) == count  # nothing is new
    away(page)
    watch = watch_of(book.graph)
    watch._wanted, watch._next, watch._next_rich = 0, 0.0, float("inf")
    run(book, 4.0, "h")  # and with values, as these cannot be had later
    page("watch", visible=True)
    page.wait(lambda: shown(page, "h") == expected(4.0))


def test_the_first_runs_of_a_cell_are_seen_with_their_values(book: Notebook) -> None:
    """However dear the last one was."""
    page = book.open(book("net", NET))
    watch = watch_of(book.graph)
    for scale in (1.0, 2.0, 3.0):
        idle(page)
        watch._next = watch._next_rich = float("inf")
        opening.begin()
        run(book, scale, "h")
        page.wait(lambda scale=scale: shown(page, "h") == expected(scale))


@pytest.mark.parametrize("visible", [True, False])
def test_an_earlier_run_is_not_shown_as_the_last_one(
    book: Notebook, monkeypatch: pytest.MonkeyPatch, visible: bool
) -> None:
    """A loop in Python: whether a page is seen or not, what it shows is the last run, or says that it is not."""
    monkeypatch.setattr(watching, "SHARE", 1e9)
    page = book.open(book("net", NET))
    count = away(page) if not visible else 0
    opening.begin()
    for scale in range(1, watching.FIRST + 8):
        run(book, float(scale), "h")
    opening.follow()
    if not visible:
        idle(page)
        assert len(page.messages) == count
        page("watch", visible=True)
    page.wait(lambda: page.status.get("missed") == 7)
    assert shown(page, "h") == expected(watching.FIRST) and page.status["mode"] == "done"
    other = Page(page.view)
    other.wait(lambda: other.status.get("missed") == 7)
    opening.begin()
    run(book, 0.5, "h")
    opening.follow()
    page.wait(lambda: shown(page, "h") == expected(0.5))
    idle(page)
    assert "missed" not in page.status and "missed" not in page.view.memory.status


def test_the_last_step_of_a_training_is_seen_also_where_nobody_looks(
    book: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flowbook as fb

    monkeypatch.setattr(watching, "SHARE", 1e9)
    book("net", NET)
    page = book.open(book("train", TRAIN))
    away(page)
    fetches = {"loss": book.names["loss"], "train": book.names["train"]}
    found = fb.notebook.run(fetches, {book.names["x"]: X}, steps=50, graph=book.graph)
    page("watch", visible=True)
    page.wait(lambda: page.value("loss") and page.value("loss")["text"] == f"{found['loss']:.4g}")
    idle(page)
    assert "missed" not in page.status


def test_few_runs_are_observed_where_nobody_looks(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own: after one whose values took a millisecond to keep, none for SHARE of them."""
    page = book.open(book("net", NET))
    away(page)
    watch = watch_of(book.graph)
    clock = [1000.0]
    monkeypatch.setattr(watching, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watching, "NOTE", 0.0)
    seen: list[int] = []
    monkeypatch.setattr(
        watch, "_add_times", lambda live: (seen.append(live.run), setattr(live, "spent", 0.004), 0.0)[2]
    )
    watch._next = 0.0
    watch._wanted = 0
    for _ in range(1000):
        run(book, 1.0, "h")
        page.wait(lambda: watch._next != float("inf"))
        clock[0] += 0.002
    assert 8 <= len(seen) <= 10  # 2 s, and 0.2 s between two


def test_no_more_than_the_values_of_one_run_are_held(book: Notebook) -> None:
    page = book.open(book("net", NET))
    opening.begin()
    run(book, 1.0, "h")
    page.wait(lambda: shown(page, "h"))
    idle(page)
    away(page)
    watch = watch_of(book.graph)
    view = page.view
    held = set(view._values)  # type: ignore[attr-defined]
    opening.begin()
    run(book, 2.0, "h")
    page.wait(lambda: watch.last is not None and watch.last.run == watch.runs)
    idle(page)
    replaced = set(view._found(watch.last))  # type: ignore[attr-defined]
    assert replaced and replaced <= held and not replaced & set(view._values)  # type: ignore[attr-defined]
    page("watch", visible=True)
    page.wait(lambda: shown(page, "h") == expected(2.0))
    page("inspect", node=page.node("h"), output=0, slices=[[0, 4, 1], [0, 1, 1]])
    idle(page)
    assert page.notices() == []


def test_a_page_that_comes_back_sees_the_last_run(book: Notebook) -> None:
    view = book("net", NET)
    page = book.open(view)
    opening.begin()
    run(book, 2.0, "h")
    page.wait(lambda: shown(page, "h"))
    idle(page)
    view.leave(page)
    again = book.open(view)
    again.wait(lambda: shown(again, "h") == expected(2.0))
    idle(again)
    assert again.status["mode"] == "done" and "missed" not in again.status
    view.leave(again)
    watch = watch_of(book.graph)
    for _ in range(3):  # while no page is there nothing is observed, and that is said
        opening.begin()
        run(book, 4.0, "h")
        opening.follow()
        assert watch.active == 0
    book.session.run(book.names["h"], {book.names["x"]: X}, trace=True)
    third = book.open(view)
    third.wait(lambda: third.status.get("missed") == 4)
    assert shown(third, "h") == expected(2.0)


def test_a_recorded_run_that_nobody_saw_is_one_that_was_not_watched(book: Notebook) -> None:
    page = book.open(book("net", NET))
    opening.begin()
    run(book, 1.0, "h")
    page.wait(lambda: shown(page, "h"))
    away(page)
    book.session.run(book.names["h"], {book.names["x"]: X}, trace=True)
    page("watch", visible=True)
    page.wait(lambda: page.status.get("missed") == 1)


def test_values_that_wait_for_a_page_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all graphs together; what was left last stays, and a small piece counts as the array that it holds."""
    monkeypatch.setattr(watching, "_watches", type(watching._watches)())
    monkeypatch.setattr(watching, "KEPT_BYTES", 1000)
    watches: list[tuple[Notebook, GraphWatch]] = []
    for place in range(3):
        book = Notebook()
        view = book("net", NET)
        page = book.open(view)
        clock = float(place + 1)
        monkeypatch.setattr(watching, "monotonic", lambda clock=clock: 1e6 + clock)
        opening.begin()
        run(book, 1.0, "h")
        page.wait(lambda page=page: shown(page, "h"))
        idle(page)
        watch = watch_of(book.graph)
        assert watch.last is not None and 50 < watch.last.size <= 100
        if place == 1:
            watch.last.kept.append((0, 0, np.zeros(100)[:2]))
            assert 850 < watch.last.size <= 900
        view.leave(page)
        watches.append((book, watch))
    rich = [watch.last is not None and watch.last.rich for _, watch in watches]
    assert rich == [False, True, True]
    assert sum(watch.last.size for _, watch in watches if watch.last is not None) <= 1000
    book, watch = watches[0]
    again = book.open(opening._cells[book.graph]["net"])
    again.wait(lambda: again.status.get("mode") == "done")  # the run, without values but those the graph has
    idle(again)
    assert shown(again, "h") is None and again.values
    again.view.leave(again)


def test_who_looks_in_the_middle_of_a_run_sees_all_of_it(book: Notebook) -> None:
    gate = book.names["wait"] = Gate()
    book("net", NET)
    page = book.open(book("slow", SLOW))
    away(page)
    opening.begin()
    runner = threading.Thread(target=run, args=(book, 1.0, "end"))
    runner.start()
    try:
        assert gate.inside.wait(PATIENCE)
        page("watch", visible=True)
        page.wait(lambda: page.status.get("mode") == "running" and page.state[page.node("slow")] == 2)
        assert page.state[page.node("h")] >= 3
        page("watch", visible=False)  # and what is told in part is told anew
    finally:
        gate.free.set()
        runner.join()
    watch = watch_of(book.graph)
    page.wait(lambda: watch.last is not None and watch.last.run == watch.runs)
    page("watch", visible=True)
    page.wait(lambda: page.status["mode"] == "done" and shown(page, "end"))
    idle(page)
    assert (page.state[[page.node("slow"), page.node("end")]] >= 3).all()
    other = Page(page.view)
    other.wait(lambda: other.status.get("mode") == "done")
    assert other.state.tolist() == page.state.tolist()
    told = [pair for each in events(other) for pair in zip(each["node"], each["state"], strict=True)]
    assert len(set(told)) == len(told)  # nothing twice, and nothing left out:
    firsts = [(each["first"], len(each["node"])) for each in events(other)]
    assert [first for first, _ in firsts] == [sum(count for _, count in firsts[:at]) for at in range(len(firsts))]


def test_a_run_elsewhere_does_not_hide_that_others_were_not_seen(book: Notebook) -> None:
    """The last run computes nothing that is here, but one before it, which nobody saw, did."""
    page = book.open(book("net", NET))
    book("twice", TWICE)
    opening.begin()
    run(book, 1.0, "h")
    page.wait(lambda: shown(page, "h"))
    away(page)
    opening.begin()
    run(book, 2.0, "h")
    book.session.run(book.names["y"], {book.names["x2"]: X})
    watch = watch_of(book.graph)
    page.wait(lambda: watch.last is not None and watch.last.run == watch.runs)
    page("watch", visible=True)
    page.wait(lambda: page.status.get("missed") == 1)
    opening.begin()
    book.session.run(book.names["y"], {book.names["x2"]: X})
    idle(page)
    opening.follow()
    idle(page)
    assert page.status.get("missed") == 1  # seen, and not of what is here
    opening.begin()
    run(book, 3.0, "h")
    page.wait(lambda: shown(page, "h") == expected(3.0))
    idle(page)
    assert "missed" not in page.status


def test_cells_of_a_notebook_begin_and_end_for_its_views(cell: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell says so, whatever is in the cell."""
    said: list[str] = []
    cell("%%flow --name a\na = fb.constant(1.0)")
    monkeypatch.setattr(opening, "_cells", {cell.graph: opening._cells[cell.graph]})
    monkeypatch.setattr(GraphWatch, "look", lambda watch, runs=1: said.append(f"look {runs}"))
    monkeypatch.setattr(GraphWatch, "settle", lambda watch: said.append("settle"))
    cell("said = 1 + 1")
    assert said == [f"look {watching.FIRST}", "settle"]
