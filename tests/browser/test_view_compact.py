"""The view of a graph that has not run: as high as its picture, and it grows when a run comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.tools.widget import Widget, graph, paused

pytestmark = pytest.mark.browser


def nodes(count: int, **more: Any) -> list[dict[str, Any]]:
    """A chain: each node reads the one before."""
    spec = {"dtype": "float32", "shape": [2, 3]}
    made = {"op": "tanh", "kind": "op", "outputs": [spec], **more}
    return [{"name": f"n{at}", "inputs": [{"node": at - 1, "output": 0}] if at else [], **made} for at in range(count)]


def run(count: int) -> dict[str, Any]:
    order = np.arange(count, dtype=np.int32)
    devices = ["cpu:0"] * count
    return {"type": "run", "run": 1, "order": order, "devices": devices, "threads": ["main"], "fetches": []}


def test_it_is_as_high_as_its_picture_and_has_no_instruments() -> None:
    with Widget(graph(nodes(3))) as view:
        assert view.height == 140
        assert not view.page.locator(".fb-bar button[title^='Step (']").is_visible()
        assert not view.page.locator(".fb-side").is_visible() and not view.page.locator(".fb-time").is_visible()
        assert view.page.locator(".fb-status").inner_text() == "model · 3 nodes"
        view.card("n1").click()
        view.settle()
        assert view.page.locator(".fb-side h3").inner_text() == "n1" and view.height == 300
        view.press("]", "Escape")
        assert view.height == 140
        assert [each["type"] for each in view.sent()] == ["hello", "select", "select"], "nothing can be stepped"
        view.shot("compact")
    with Widget(graph(nodes(60))) as view:
        assert view.height == 420


def test_it_grows_into_the_whole_instrument_without_a_new_layout() -> None:
    with Widget(graph(nodes(4))) as view:
        asked = view.layouts
        view.tell(run(4), paused(1, [0, 1, 2, 3]))
        assert view.height == 640 and view.page.locator(".fb-side").is_visible()
        assert view.page.locator(".fb-bar button[title^='Step (']").is_visible()
        assert view.names("fb-next") == {"n1"} and view.layouts == asked


def test_a_cell_stands_out_from_what_is_around_it_and_the_rest_can_be_asked_for() -> None:
    part = graph(nodes(5), cell="model", focus=np.array([2, 3], np.int32), hidden=40)
    with Widget(part) as view:
        assert view.names("fb-context") == {"n0", "n1", "n4"}
        assert view.page.locator(".fb-status").inner_text() == "model · 2 nodes · 3 around"
        view.page.click("text=+ 40 nodes")
        assert view.sent("show") == [{"type": "show", "whole": True}]
        view.tell(graph(nodes(45), cell="model", focus=np.array([2, 3], np.int32)))
        view.page.click("text=only this cell")
        assert view.sent("show") == [{"type": "show", "whole": False}]


def test_a_scope_that_opens_makes_room() -> None:
    beside = [{**each, "name": f"layer/{each['name']}", "scope": ["layer"], "inputs": []} for each in nodes(20)]
    with Widget(graph([*nodes(2), *beside])) as view:
        assert view.height < 200
        view.page.click('.fb-card[aria-label^="scope layer,"]')
        view.page.wait_for_selector('.fb-scope[aria-label^="scope layer,"]')
        view.settle()
        assert view.height > 300


def test_an_empty_graph_says_so() -> None:
    with Widget(graph([])) as view:
        assert view.height == 88 and "No nodes here yet" in view.page.locator(".fb-canvas").inner_text()


def test_an_edited_cell_keeps_what_was_open_and_chosen() -> None:
    before = [{**each, "name": f"layer/{each['name']}", "scope": ["layer"]} for each in nodes(3)]
    with Widget(graph([*before, *nodes(2)])) as view:
        view.page.click(".fb-scope text")
        view.page.wait_for_selector('.fb-card[aria-label^="scope layer,"]')
        view.card("n1").click()
        view.tell(graph([*nodes(2), *before, {**nodes(1)[0], "name": "new", "change": "added"}]))
        assert view.page.locator('.fb-card[aria-label^="scope layer,"]').count() == 1
        assert view.page.locator(".fb-side h3").inner_text() == "n1" and view.names("fb-selected") == {"n1"}


def test_a_graph_may_become_smaller_at_any_moment() -> None:
    """Between a graph and its layout the picture is still of the one before, whose nodes are not there any more."""
    with Widget(graph(nodes(30))) as view:
        view.page.evaluate(
            """() => {
                const post = Worker.prototype.postMessage;
                Worker.prototype.postMessage = function (asked) { setTimeout(() => post.call(this, asked), 100); };
            }"""
        )
        for count in (3, 20, 2, 12, 1):
            view.tell(graph(nodes(count)), {"type": "cursor", "nodes": [0]})
            view.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        view.page.wait_for_function("() => document.querySelectorAll('.fb-card').length === 1")


def test_scopes_open_as_usual_when_another_graph_comes_at_once() -> None:
    def scoped(count: int) -> list[dict[str, Any]]:
        return [{**each, "name": f"layer/{each['name']}", "scope": ["layer"]} for each in nodes(count)]

    with Widget() as view:
        view.tell(graph([*scoped(3)]), graph([*scoped(4)]))
        view.page.wait_for_selector("[data-fb-ready]")
        view.page.wait_for_function("() => document.querySelectorAll('.fb-card').length === 4")
