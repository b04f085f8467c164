"""What a live view asks of a kernel, and what it makes of the answers; the kernel is a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowbook.notebook.sampling import value_message
from flowbook.runtime.summary import summarize
from tests.tools.widget import Widget, graph, paused

pytestmark = pytest.mark.browser
INSIDE = """(name) => {
    const panel = document.querySelector(name);
    const right = (each) => each.getBoundingClientRect().right;
    return [...panel.querySelectorAll("*")].every((each) => right(each) <= right(panel));
}"""
NAMES = ("x", "y", "z", "loss")
ORDER = [1, 2, 3]


def nodes() -> list[dict[str, Any]]:
    spec = {"dtype": "float32", "shape": [6, 300]}
    made = {"op": "tanh", "kind": "op", "outputs": [spec], "cell": "model"}
    found = [
        {**made, "name": name, "inputs": [{"node": at - 1, "output": 0}], "line": at + 1}
        for at, name in enumerate(NAMES)
    ]
    return [{**found[0], "kind": "placeholder", "op": "placeholder", "inputs": []}, *found[1:]]


def run() -> dict[str, Any]:
    order = np.array(ORDER, np.int32)
    return {"type": "run", "run": 1, "order": order, "devices": ["cpu:0"] * 3, "threads": ["main"], "fetches": []}


def values(array: Any, *places: int, **more: Any) -> dict[str, Any]:
    return {"type": "values", "values": [{**value_message(each, 0, summarize(array), 256), **more} for each in places]}


ARRAY = np.arange(1800, dtype=np.float32).reshape(6, 300)


def view(*more: dict[str, Any]) -> Widget:
    return Widget(graph(nodes()), run(), values(ARRAY, 0, 1, 2), *more, paused(2, ORDER), width=1280, height=900)


def test_elements_that_are_not_here_are_asked_for_once_and_shown() -> None:
    with view() as page:
        page.card("y").click()
        page.settle()
        asked = page.sent("inspect")
        assert asked == [{"type": "inspect", "node": 1, "output": 0, "slices": [[0, 6, 1], [0, 300, 3]]}]
        assert "every" in page.page.locator(".fb-body").inner_text(), "it says that this is a sample"
        page.page.click(".fb-body summary >> nth=0")
        page.settle()
        assert page.sent("inspect")[0]["slices"] == [[0, 6, 1], [0, 16, 1]]
        part = value_message(1, 0, summarize(ARRAY), 256)
        sample = {
            "data": ARRAY[:, :16].reshape(-1),
            "shape": [6, 16],
            "starts": [0, 0],
            "strides": [1, 1],
            "error": 0.0,
        }
        page.tell({"type": "values", "values": [{**part, "sample": sample}]})
        shown = page.page.locator(".fb-table td").all_text_contents()
        assert [float(each) for each in shown] == ARRAY[:, :16].reshape(-1).tolist()


def test_an_edit_is_sent_and_its_effect_is_shown_until_it_is_undone() -> None:
    with view() as page:
        page.card("y").click()
        page.page.fill(".fb-edit input", "x * 0.9")
        page.press("Enter")
        assert page.sent("set_value") == [{"type": "set_value", "node": 1, "output": 0, "expression": "x * 0.9"}]
        edited = {"type": "edited", "node": 1, "recomputed": 1, "count": 3, "seconds": 0.002, "nodes": [2]}
        page.tell(values(ARRAY * 0.9, 2, change=0.1), {**edited, "effects": ["loss 0.512 → 0.498"]})
        text = page.page.locator(".fb-edited").inner_text()
        assert text == "1 of 3 nodes ran again in 2.00 ms; loss 0.512 → 0.498 · undo"
        assert page.names("fb-glow") == {"z"}
        page.shot("live-edit")
        page.page.click("text=undo")
        assert page.sent("undo") == [{"type": "undo"}]
        page.tell(paused(3, ORDER))
        assert page.names("fb-glow") == set(), "the run went on"


def test_one_cell_of_the_table_is_edited_with_the_keyboard() -> None:
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    with view(values(whole, 1)) as page:
        page.card("y").click()
        page.page.click(".fb-body summary >> nth=0")
        page.page.locator(".fb-table td").first.focus()
        page.press("ArrowDown", "ArrowRight", "Enter")
        page.page.keyboard.type("7.5")
        page.press("Enter")
        expected = {"type": "set_value", "node": 1, "output": 0, "expression": "7.5", "index": [1, 1]}
        assert page.sent("set_value") == [expected]


def test_breakpoints_are_added_changed_and_taken_away() -> None:
    with view() as page:
        page.page.focus(".fb-view")
        page.press("p")
        page.page.keyboard.type("op:log")
        page.press("Tab")
        page.page.keyboard.type("nan")
        page.press("Enter")
        assert page.sent("set_breakpoint") == [{"type": "set_breakpoint", "pattern": "op:log", "when": "nan"}]
        page.tell({"type": "breakpoints", "breakpoints": [{"id": 4, "pattern": "z*", "when": None, "nodes": [2]}]})
        assert page.names("fb-stop") == {"z"}
        page.page.fill(".fb-point >> nth=0 >> input >> nth=1", "inf")
        page.press("Enter")
        changed = {"type": "set_breakpoint", "pattern": "z*", "when": "inf", "id": 4}
        assert page.sent("set_breakpoint")[0] == changed
        inside = page.page.evaluate(INSIDE, ".fb-pop")
        assert inside, "nothing hangs out of the panel"
        page.shot("live-breakpoints")
        page.page.click("[aria-label='Remove z*']")
        assert page.sent("clear_breakpoint") == [{"type": "clear_breakpoint", "id": 4}]


def test_the_story_of_a_nan_is_walked_back_to_its_cause() -> None:
    bad = np.full((6, 300), np.nan, np.float32)
    with view(values(bad, 1, 2)) as page:
        assert page.names("fb-bad-value") == {"y", "z"}
        page.card("z").click()
        page.page.click("text=why?")
        assert page.sent("why") == [{"type": "why", "node": 2}]
        chapters = [{"node": 2, "text": "This is nan."}, {"node": 1, "text": "Here it begins: log of 0"}]
        page.tell({"type": "story", "node": 2, "text": "the whole", "chapters": chapters})
        assert "This is nan." in page.page.locator(".fb-story").inner_text()
        page.page.click("[aria-label='Nearer to the cause']")
        page.settle()
        assert "Here it begins" in page.page.locator(".fb-story").inner_text() and page.names("fb-selected") == {"y"}
        page.page.click("[aria-label='Close the story']")
        assert not page.page.locator(".fb-story").is_visible()


def test_a_story_does_not_cover_the_node_it_is_about() -> None:
    """Also a long one, in a picture that goes from top to bottom."""
    made = [{**each, "outputs": [{"dtype": "float32", "shape": []}]} for each in nodes()]
    chain = [{**made[-1], "name": f"n{at}", "inputs": [{"node": at - 1, "output": 0}]} for at in range(4, 14)]
    chapters = [{"node": at, "text": f"at {at}"} for at in range(13, 0, -1)]
    story = {"type": "story", "node": 13, "text": "a long line\n" * 30, "chapters": chapters}
    bad = values(np.float32(np.nan), *range(1, 14))
    with Widget(graph([*made, *chain]), run(), bad, paused(3, ORDER), width=700, height=760) as page:
        page.tell(story)

        def covered() -> bool:
            boxes = [page.page.locator(each).bounding_box() for each in (".fb-story", ".fb-selected .fb-shape")]
            panel, card = boxes
            assert panel is not None and card is not None
            return bool(card["y"] + card["height"] > panel["y"])

        for _ in range(12):
            assert not covered()
            page.page.click("[aria-label^='Nearer to the cause']")
            page.settle()
        page.page.click(".fb-story summary")
        page.settle()
        assert not covered()
        page.shot("live-story")


def test_what_a_commit_changed_is_marked_until_it_is_dismissed() -> None:
    changed = nodes()
    changed[1]["change"], changed[2]["stale"] = "added", "y has another rank: run cell 'model' again"
    with Widget(graph(changed, removed=["old"])) as page:
        assert page.page.locator(".fb-chip button").first.inner_text() == "1 added · 1 removed · 1 stale"
        assert page.names("fb-added") == {"y"} and page.names("fb-stale") == {"z"}
        page.page.click("[aria-label='What changed']")
        assert "old" in page.page.locator(".fb-list").inner_text()
        page.page.click("[aria-label='Dismiss what changed']")
        page.settle()
        assert page.names("fb-added") == set() and page.names("fb-stale") == {"z"}


def test_a_training_shows_how_far_it_is_and_can_be_interrupted() -> None:
    with view() as page:
        curves = {"loss": [2.0, 1.0, None, 0.5]}
        page.tell({"type": "progress", "done": 40, "steps": 100, "seconds": 4.0, "curves": curves})
        panel = page.page.locator(".fb-training")
        assert "step 40 of 100 · 10 steps/s · 6 s left" in panel.inner_text() and "loss 0.5" in panel.inner_text()
        before = panel.bounding_box()
        page.tell({"type": "progress", "done": 41, "steps": 100, "seconds": 4.1, "curves": curves})
        assert panel.bounding_box() == before, "it does not grow"
        page.page.click("[aria-label='Interrupt the training']")
        assert page.sent("interrupt") == [{"type": "interrupt"}]
        median, spread = np.array([2e-4], np.float32), np.array([1e-5], np.float32)
        node = np.array([1], np.int32)
        page.tell({"type": "timing", "node": node, "median": median, "spread": spread, "steps": 40})
        page.card("y").click()
        page.settle()
        assert "0.20 ms ± 10.0 µs, median of 40 steps" in page.page.locator(".fb-side header").inner_text()


def test_the_cell_and_the_graph_are_one() -> None:
    with view() as page:
        page.card("z").click()
        page.settle()
        assert page.page.evaluate("window.events") == [{"cell": "model", "line": 3, "name": "z"}]
        page.press("ArrowDown", "]")
        assert page.page.evaluate("window.events.length") == 1, "walking and stepping move no cell"
        cursor = (
            "(detail) => document.querySelector('.fb-view').dispatchEvent(new CustomEvent('flowbook-cursor', {detail}))"
        )
        page.page.evaluate(cursor, {"cell": "model", "line": 2})
        page.settle()
        assert page.names("fb-lit") == {"y"}
        page.page.evaluate(cursor, None)
        page.settle()
        assert page.names("fb-lit") == set()
        page.sent()
        page.page.evaluate(cursor.replace("cursor", "command"), {"type": "continue"})
        assert page.sent() == [{"type": "continue"}]


def test_the_picture_and_the_graph_are_saved_and_the_rest_is_asked_for(tmp_path: Path) -> None:
    with view() as page:
        saved = {}
        for kind in ("SVG", "PNG", "JSON"):
            page.page.click("[aria-label='Save as a file']")
            with page.page.expect_download() as download:
                page.page.click(f".fb-entry:has-text('{kind}')")
            saved[kind] = tmp_path / download.value.suggested_filename
            download.value.save_as(saved[kind])
        svg = saved["SVG"].read_text(encoding="utf-8")
        assert all(f">{name}</text>" in svg for name in NAMES) and "var(" not in svg and "<script" not in svg
        assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
        assert [each["name"] for each in json.loads(saved["JSON"].read_text())["nodes"]] == list(NAMES)
        page.page.click("[aria-label='Save as a file']")
        page.page.click(".fb-entry:has-text('HTML')")
        assert page.sent("export") == [{"type": "export", "kind": "html"}]
        with page.page.expect_download() as download:
            page.tell({"type": "file", "name": "run.html", "mime": "text/html", "data": np.array([60], np.uint8)})
        assert download.value.suggested_filename == "run.html"


def test_when_the_kernel_is_gone_nothing_can_be_asked() -> None:
    with view({"type": "notice", "level": "ended", "text": "The kernel was restarted."}) as page:
        assert page.page.locator(".fb-bar button[title^='Step (']").is_disabled()
        page.card("y").click()
        page.settle()
        assert page.sent("select") == [] and page.page.locator(".fb-edit input").is_disabled()


def executions(*ran: int) -> dict[str, Any]:
    """These nodes ran, one after the other, a second each."""
    return {
        "type": "events", "run": 1, "first": 0,
        "node": np.repeat(np.array(ran, np.int32), 2), "state": np.array([2, 3] * len(ran), np.uint8),
        "seconds": np.arange(len(ran)).repeat(2).astype(np.float64) + np.array([0.0, 1.0] * len(ran)),
        "bytes": np.zeros(2 * len(ran)), "thread": np.zeros(2 * len(ran), np.int32),
    }  # fmt: skip


def test_what_an_edit_ran_again_is_told_apart_in_the_timeline() -> None:
    with view(executions(1, 2, 1, 2)) as page:
        box = page.page.locator(".fb-lanes").bounding_box()
        assert box is not None
        tips = []
        for bar in range(4):
            place = 92 + (box["width"] - 112) * (bar + 0.5) / 4
            page.page.mouse.move(box["x"] + place, box["y"] + 30)
            page.settle()
            tips.append(page.page.locator(".fb-tip").inner_text())
        assert [each.partition(" · ")[0] for each in tips] == ["y", "z", "y", "z"]
        assert ["ran again after an edit" in each for each in tips] == [False, False, True, True]
        assert "z" in page.page.locator(".fb-side h3").inner_text(), "the node at the position, not the last bar"
        page.shot("live-ran-again")
        page.tell(paused(1, ORDER))
        assert page.page.locator(".fb-side h3").inner_text() == "y"


def test_a_slider_for_the_iterations_of_a_loop() -> None:
    with view() as page:
        assert page.page.locator(".fb-iterations").is_hidden()
        page.tell(paused(2, ORDER, iterations=[{"node": 2, "index": 3, "count": 10}]))
        slider = page.page.locator("[aria-label='iteration of z']")
        assert slider.input_value() == "3" and slider.get_attribute("aria-valuetext") == "iteration 4 of 10"
        page.sent()
        slider.fill("7")
        page.settle()
        assert page.sent("run_to_iteration") == [{"type": "run_to_iteration", "node": 2, "index": 7}]
        page.tell(paused(2, ORDER, iterations=[{"node": 2, "index": 7, "count": 10}]))
        assert "8 / 10" in page.page.locator(".fb-iterations").inner_text()
        page.shot("live-iterations")
        page.tell(paused(1, ORDER))
        assert page.page.locator(".fb-iterations").is_hidden()
