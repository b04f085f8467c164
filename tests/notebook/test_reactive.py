"""``%flow auto on``: what is shown in other cells follows the graph."""

from __future__ import annotations

from typing import Any

import pytest

from flowbook.notebook import reactive
from tests.notebook.conftest import Notebook
from tests.notebook.kernels import Kernel

NET = """%%flow --name net --quiet
x = fb.placeholder((2,))
w = fb.Variable(3.0)
y = fb.sum(x * w)
z = y * 2.0
step = fb.assign_add(w, 1.0)
"""
RUN = "%flow run z --feed x=[1,2]"


def texts(ran: Any) -> list[str]:
    return [each["text/plain"] for each in ran.shown]


@pytest.fixture
def live(cell: Notebook) -> Notebook:
    cell(NET, "net")
    assert repr(cell("%flow auto on").result).startswith("auto is on")
    return cell


def test_it_is_off_until_asked_for(cell: Notebook) -> None:
    cell(NET, "net")
    assert repr(cell("%flow auto").result) == "auto is off"
    cell(RUN, "show")
    assert cell(NET.replace("y * 2.0", "y * 5.0"), "net").shown == []


def test_a_cheap_result_is_computed_again(live: Notebook) -> None:
    assert texts(live(RUN, "show")) == ["z  float32 ()  18"]
    assert texts(live(NET.replace("y * 2.0", "y * 5.0"), "net")) == ["z  float32 ()  45"]
    assert texts(live("%flow undo")) == ["z  float32 ()  18"]
    assert repr(live("%flow auto").result) == "auto is on:\n  z  up to date"


def test_what_it_does_not_depend_on_does_not_matter(live: Notebook) -> None:
    live(RUN, "show")
    assert live("%%flow --name other --quiet\nq = z + 1.0", "other").shown == []
    assert live(NET + "more = y * 7.0", "net").shown == []
    assert live(NET, "net").shown == []


def test_training_is_marked_and_waits_for_a_click(live: Notebook) -> None:
    assert texts(live("%flow run step", "train")) == ["step  float32 ()  4"]
    ran = live(NET.replace("1.0)", "2.0)"), "net")
    assert texts(ran) == ["out of date: cell net changed\nstep  float32 ()  4"]
    assert reactive.WIDGET in ran.shown[0]
    assert float(live("float(fb.notebook.session().run('w'))").result) == 4.0  # nothing ran
    (shown,) = reactive._autos[live.graph].shown
    shown.box.children[0].click()
    assert shown.text == "step  float32 ()  6" and shown.reason == ""


def test_a_slow_result_is_marked(live: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    live(RUN, "show")
    monkeypatch.setattr(reactive, "CHEAP", 0.0)
    assert texts(live(NET.replace("y * 2.0", "y * 5.0"), "net")) == ["out of date: cell net changed\nz  float32 ()  18"]
    assert texts(live(NET, "net")) == ["z  float32 ()  18"]  # it is up to date again


def test_a_click_while_a_cell_runs_waits(live: Notebook) -> None:
    live("%flow run step", "train")
    live(NET.replace("1.0)", "2.0)"), "net")
    (shown,) = reactive._autos[live.graph].shown
    live.names["button"] = shown.box.children[0]
    live("button.click()")
    assert shown.reason and "again later" in shown.box.children[0].description


def test_what_is_gone_or_fails_says_so_in_its_place(live: Notebook) -> None:
    live("%%flow --name use --quiet\nu = z + 1.0", "use")
    live("%flow run u --feed x=[1,2]", "show")
    ran = live(NET.replace("(2,)", "(2, 2)"), "net")
    assert len(ran.shown) == 1 and ran.shown[0]["text/plain"].startswith("out of date: FeedError")
    assert texts(live("1", deleted=["use"]))[0].startswith("out of date: u is not there any more")


def test_a_cell_run_again_or_deleted_shows_only_its_last(live: Notebook) -> None:
    live(RUN, "show")
    live(RUN, "show")
    assert len(live(NET.replace("y * 2.0", "y * 5.0"), "net").shown) == 1
    live("1", deleted=["show"])
    assert live(NET, "net").shown == []


def test_a_wrong_state_and_switching_off(live: Notebook) -> None:
    live(RUN, "show")
    assert "on or off" in live("%flow auto perhaps").out
    assert repr(live("%flow auto off").result) == "auto is off"
    assert live(NET.replace("y * 2.0", "y * 5.0"), "net").shown == []


def test_names_are_escaped_in_the_mark(live: Notebook) -> None:
    live("%%flow --name evil --quiet\nv = fb.assign(w, 2.0, name='<img src=x onerror=alert(1)>')", "evil")
    live("%flow run v", "show")
    live("%%flow --name evil --quiet\nv = fb.assign(w, 5.0, name='<img src=x onerror=alert(1)>')", "evil")
    (shown,) = reactive._autos[live.graph].shown
    assert shown.reason and "<img" not in shown.box.children[1].value


def test_in_a_kernel_the_place_on_the_screen_is_updated(kernel: Kernel) -> None:
    kernel(NET, "net")
    kernel("%flow auto on", "auto")
    assert kernel(RUN, "show")["data"][0]["text/plain"] == "z  float32 ()  18"
    ran = kernel(NET.replace("y * 2.0", "y * 5.0"), "net")
    assert [each["text/plain"] for each in ran["updated"]] == ["z  float32 ()  45"]
