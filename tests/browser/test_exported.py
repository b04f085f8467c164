"""The exported file in a real browser: it plays without a kernel and without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.notebook.export import export, page
from flowbook.notebook.protocol import PROTOCOL, pack
from tests.tools.page import Page

pytestmark = pytest.mark.browser
HOSTILE = [
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "${alert(3)}",
    "'\"&<",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training step of a small network, exported."""
    random = np.random.default_rng(0)
    with fb.Graph().as_default():
        x = fb.placeholder(("batch", 20), name="x")
        labels = fb.placeholder(("batch",), "int64", name="labels")
        hidden = fb.nn.Dense(32, activation=fb.tanh, name="layer1")(x)
        hidden = fb.nn.Dense(32, activation=fb.tanh, name="layer2")(hidden)
        logits = fb.nn.Dense(10, name="logits")(hidden)
        with fb.name_scope("loss"):
            loss = fb.mean(fb.sparse_softmax_cross_entropy(labels, logits, name="cross_entropy"), name="mean")
        update = fb.train.Adam(0.01).minimize(loss)
        session = fb.Session()
    feeds = {x: random.normal(size=(64, 20)).astype("float32"), labels: random.integers(0, 10, 64)}
    session.run([loss, update], feeds)
    session.run([loss, update], feeds, trace=True)
    path = tmp_path_factory.mktemp("exported") / "training step.html"
    export(path, session)
    return path


@pytest.fixture
def view(trained: Path) -> Iterator[Page]:
    with Page(trained) as found:
        yield found
        assert found.errors == []


def written(tmp_path: Path, *messages: dict[str, Any], title: str = "made") -> Path:
    path = tmp_path / "made.html"
    path.write_text(page([pack(each) for each in messages], title), encoding="utf-8")
    return path


def chain(count: int, name: str = "n{}", **more: Any) -> dict[str, Any]:
    """A graph message: a chain of nodes."""
    spec = {"dtype": "float32", "shape": [2, 3]}
    nodes = [
        {
            "name": name.format(index),
            "op": "tanh",
            "kind": "op",
            "outputs": [spec],
            "inputs": [{"node": index - 1, "output": 0}] if index else [],
            **more,
        }
        for index in range(count)
    ]
    return {"type": "graph", "protocol": PROTOCOL, "title": "chain", "live": False, "nodes": nodes}


def test_it_draws_the_graph(view: Page) -> None:
    names = view.page.locator(".fb-card .fb-name").all_text_contents()
    assert {"x", "labels", "minimize", "adam"} <= set(names) and names.count("kernel") == 3
    assert view.page.locator(".fb-scope text").all_text_contents()[0] == "layer1 · 5 nodes ▾"
    assert view.page.locator(".fb-edge").count() > 20
    assert view.status.startswith("finished · 134 of 134 nodes")
    widths = view.page.evaluate(
        "[...document.querySelectorAll('.fb-river')].map((e) => parseFloat(e.style.strokeWidth) || 0)"
    )
    assert max(widths) > 5, "the river flows"
    view.shot("export-1280-light")


def test_scopes_open_and_close_and_what_was_seen_is_not_laid_out_again(view: Page) -> None:
    view.press("0")
    before, boxes = view.layouts, view.page.locator(".fb-card").count()
    view.page.click('.fb-card[aria-label^="scope minimize,"]')
    view.page.wait_for_selector('.fb-scope[aria-label^="scope minimize,"]')
    assert view.page.locator(".fb-card").count() > boxes and view.layouts == before + 1
    view.press("0")
    view.page.click('.fb-card[aria-label^="scope minimize/gradients,"]')
    view.page.wait_for_selector(".fb-scope.fb-back")
    view.press("0")
    view.shot("export-1280-light-gradients")
    asked = view.layouts
    view.page.click('.fb-scope[aria-label^="scope minimize/gradients,"] text')
    view.page.wait_for_selector('.fb-card[aria-label^="scope minimize/gradients,"]')
    assert view.layouts == asked, "that picture was there before"


def test_search_goes_from_match_to_match(view: Page) -> None:
    view.press("/")
    view.page.keyboard.type("/layer[12].tanh/")
    view.settle()
    count = int(view.page.locator(".fb-found").inner_text())
    assert count > 2 and view.page.locator(".fb-hit").count() >= 2
    view.press("Enter")
    assert view.chosen == "layer1/tanh_1" and view.page.locator(".fb-found").inner_text() == f"1/{count}"
    view.press("Enter")
    assert view.chosen == "layer2/tanh_1"
    view.press("Shift+Enter")
    assert view.chosen == "layer1/tanh_1"
    view.page.fill("input[type=search]", "/[/")
    view.settle()
    assert view.page.locator(".fb-found").inner_text() == "no regex"


def test_steps_back_restore_picture_and_values(view: Page) -> None:
    asked = view.layouts
    view.press("Home")
    pictures = [view.picture()]
    assert view.status.startswith("next layer1/matmul_1 · 0 of 134")
    for _ in range(4):
        view.press("]")
        pictures.append(view.picture())
    assert len({str(each) for each in pictures}) == 5, "each step shows"
    assert view.page.locator(".fb-next .fb-name").text_content() == "add_1"
    view.shot("export-1280-light-stepping")
    for picture in reversed(pictures[:-1]):
        view.press("[")
        assert view.picture() == picture
    view.card("layer1/add_1").click()
    view.settle()
    assert "no value yet" in view.page.locator(".fb-body").inner_text()
    view.press("]", "]")
    value = view.page.locator(".fb-stats").inner_text()
    view.press("[")
    assert "no value yet" in view.page.locator(".fb-body").inner_text()
    view.press("F10")
    assert view.page.locator(".fb-stats").inner_text() == value
    assert view.layouts == asked, "no step lays out again"


def test_a_click_on_the_timeline_selects_and_marks(view: Page) -> None:
    box = view.page.locator(".fb-lanes").bounding_box()
    assert box is not None
    for x in range(100, 600, 4):
        view.page.mouse.click(box["x"] + x, box["y"] + 30)
        view.settle()
        if view.chosen != "training step":
            break
    assert view.chosen == "layer1/matmul_1", "the first bar is of the first node"
    assert view.page.locator(".fb-selected .fb-name").text_content() == "matmul_1"


def test_the_keyboard_alone(view: Page) -> None:
    view.press("ArrowDown")
    assert view.page.locator(".fb-selected").count() == 1
    first = view.chosen
    view.press("ArrowDown")
    second = view.chosen
    assert second != first
    view.press("b")
    assert view.page.locator(".fb-stop").count() == 1
    view.press("r", "u")
    assert view.page.locator(".fb-dim .fb-lit").count() >= 2
    view.press("Escape", "?")
    assert view.page.locator("[role=dialog]").is_visible()
    view.shot("export-1280-light-keys")
    view.press("Escape")
    assert view.page.locator("[role=dialog]").count() == 0
    before = view.page.locator(".fb-canvas > svg > g").get_attribute("transform")
    view.press("+", "+")
    assert view.page.locator(".fb-canvas > svg > g").get_attribute("transform") != before
    view.press("/")
    view.page.keyboard.type("minimize")
    view.press("Escape")
    assert view.page.evaluate("document.activeElement.className") == "fb-view"
    view.press("Home", "Space")
    view.page.wait_for_function("() => Number(document.querySelector('.fb-scrub input').value) > 0")
    view.press("Space")
    assert 0 < int(view.page.locator(".fb-scrub input").input_value()) < 134, "it played, and paused"
    nameless = "(all) => all.filter((each) => !each.ariaLabel && !each.innerText.trim()).map((each) => each.outerHTML)"
    assert view.page.locator(".fb-view button").evaluate_all(nameless) == [], "every button has a name"


def test_the_focus_stays_in_the_view(view: Page) -> None:
    view.press("ArrowDown")
    view.page.click("[role=tab]:has-text('Node')")
    view.press("[")
    assert view.page.evaluate("document.activeElement.textContent") == "Node"
    view.press("]", "Escape")
    assert view.page.evaluate("document.activeElement.className") == "fb-view", "there is no tab any more"


def test_gradients_beside_values(view: Page) -> None:
    view.press("/")
    view.page.keyboard.type("layer1/kernel")
    view.press("Enter")
    body = view.page.locator(".fb-body").inner_text()
    assert view.chosen == "layer1/kernel" and "∂L/∂layer1/kernel" in body
    view.page.click("[role=tab]:has-text('Gradient')")
    assert view.page.locator(".fb-body [aria-label*='minimize/gradients/layer1/matmul_1']").count() > 0
    view.page.click("[role=tab]:has-text('Value')")
    view.page.click(".fb-body summary >> nth=0")
    view.settle()
    assert view.page.locator(".fb-table td").count() == 20 * 16
    for colour in ("device", "time", "memory", "gradient", "state"):
        view.page.select_option(".fb-bar select", colour)
        view.settle()
        fills = view.page.evaluate("new Set([...document.querySelectorAll('.fb-shape')].map((e) => e.style.fill)).size")
        assert (fills > 1) == (colour in ("time", "memory", "gradient")), colour


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_both_themes(trained: Path, theme: str, width: int) -> None:
    with Page(trained, width=width, height=800 if width == 1280 else 1080, theme=theme) as view:
        color = view.page.evaluate("getComputedStyle(document.querySelector('.fb-view')).backgroundColor")
        assert color == ("rgb(255, 255, 255)" if theme == "light" else "rgb(17, 20, 24)")
        view.press("Home", *("]" * 5))
        view.card("layer1/tanh_1").click()
        view.settle()
        view.shot(f"export-{width}-{theme}-value")
        assert view.errors == []


def test_no_text_of_a_user_is_read_as_markup(tmp_path: Path) -> None:
    message = chain(5)
    for node, text in zip(message["nodes"], HOSTILE, strict=True):
        node.update(name=text, scope=[text], op=text, doc=text, code=text, cell=text, line=1, stale=text, device=text)
        node["outputs"][0]["dtype"] = text
    value = {"node": 0, "output": 0, "dtype": HOSTILE[0], "shape": [], "text": HOSTILE[1]}
    numbers = {"min": 1, "mean": 1, "max": 1, "std": 0, "norm": 1, "nans": 0, "infs": 0, "zeros": 0, "exact": True}
    values = {"type": "values", "values": [{**value, "statistics": numbers}]}
    notice = {"type": "notice", "level": "warning", "text": HOSTILE[0]}
    with Page(written(tmp_path, message, values, notice, title=HOSTILE[1])) as view:
        assert view.page.title() == HOSTILE[1]
        view.press("ArrowDown")
        for tab in ("Value", "Gradient", "Node", "Source"):
            view.page.click(f"[role=tab]:has-text('{tab}')")
        view.press("Escape", "/")
        view.page.keyboard.type(HOSTILE[0])
        view.press("Enter")
        assert view.chosen == HOSTILE[0]
        assert view.page.locator("img").count() == 0 and view.page.locator("script").count() == 2
        assert view.errors == []
        view.shot("export-hostile")


def test_another_version_of_the_protocol_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, {**chain(2), "protocol": PROTOCOL + 1})
    text = path.read_text(encoding="utf-8")
    assert "data-fb-ready" not in text
    from playwright.sync_api import sync_playwright

    from tests.tools.lab import CHROMIUM_FLAGS, browser_path

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=CHROMIUM_FLAGS)
        shown = browser.new_page()
        shown.goto(path.as_uri())
        notice = shown.locator(".fb-notice").inner_text()
        assert f"version {PROTOCOL} of the protocol, the kernel version {PROTOCOL + 1}" in notice
        assert shown.locator(".fb-card").count() == 0
        browser.close()


def test_a_graph_of_50_000_nodes_without_scopes_opens(tmp_path: Path) -> None:
    with Page(written(tmp_path, chain(50_000))) as view:
        boxes = view.page.locator(".fb-card").count()
        assert 1 < boxes <= 300
        view.press("/")
        view.page.keyboard.type("n49999")
        view.press("Enter")
        view.page.wait_for_selector('.fb-card[aria-label^="n49999,"]', timeout=20_000)
        assert view.chosen == "n49999" and view.page.locator(".fb-card").count() <= 300
        assert view.errors == []
        view.shot("export-50000")


def test_a_graph_that_has_not_run_shows_shapes_and_no_timeline(tmp_path: Path) -> None:
    with Page(written(tmp_path, chain(3))) as view:
        assert view.page.locator(".fb-waiting").count() == 3 and view.page.locator(".fb-lanes").is_hidden()
        assert view.page.locator(".fb-label").all_text_contents() == ["(2, 3)"] * 3
        assert view.page.locator(".fb-bar button[title^=Continue]").is_disabled()
        assert view.errors == []


def test_the_walk_to_the_cause_of_a_nan(tmp_path: Path) -> None:
    with fb.Graph().as_default():
        x = fb.placeholder((3,), name="x")
        y = fb.log(x, name="bad")
        for index in range(24):
            y = fb.tanh(y, name=f"n{index}")
        fine = fb.exp(x, name="fine")
        session = fb.Session()
    session.run([y, fine], {x: [1.0, -1.0, 2.0]}, trace=True)
    export(tmp_path / "nan.html", session)
    with Page(tmp_path / "nan.html") as view:

        def find(name: str) -> None:
            view.page.fill("input[type=search]", name)
            view.press("Enter", "Escape")
            assert view.chosen == name

        find("fine")
        assert view.page.locator(".fb-why").count() == 0
        view.press("w")
        assert view.page.locator(".fb-story").is_hidden(), "nothing is wrong with it"
        find("n23")
        view.page.click(".fb-why")
        view.settle()
        walked = [view.chosen]
        while view.page.locator(".fb-story [aria-label^='Nearer to the cause']").is_enabled():
            view.page.click(".fb-story [aria-label^='Nearer to the cause']")
            view.settle()
            walked.append(view.chosen)
        assert walked == [*(f"n{index}" for index in reversed(range(24))), "bad"]
        assert "log of a negative number" in view.page.locator(".fb-story p").inner_text()
        view.shot("export-story")
        view.press("Home")
        find("n5")
        assert view.page.locator(".fb-why").count() == 0, "it has not run"
        view.press("End", "w")
        assert view.page.locator(".fb-story .fb-dot-of").count() == 7
        assert view.errors == []


def test_the_numbers_of_a_large_value_are_those_that_were_kept(tmp_path: Path) -> None:
    large = np.arange(300 * 400, dtype=np.float32).reshape(300, 400)
    with fb.Graph().as_default():
        x = fb.placeholder((300, 400), name="x")
        session = fb.Session()
        session.run(fb.negative(x, name="y"), {x: large}, trace=True)
    export(tmp_path / "large.html", session)
    with Page(tmp_path / "large.html") as view:
        view.card("y").click()
        view.settle()
        view.page.click(".fb-body summary")
        view.settle()
        body = view.page.locator(".fb-body").inner_text()
        sizes = re.findall(r"every (\d+)\w\w element was kept; of those kept 0 … 39 of ([\d,]+)", body)
        assert len(sizes) == 1, body
        every, kept = (int(each.replace(",", "")) for each in sizes[0])
        assert -(-large.size // every) == kept

        def rows() -> list[list[str]]:
            lines = view.page.locator(".fb-table tr").all()[1:]
            return [line.locator("th,td").all_inner_texts() for line in lines]

        def expected(first: int, count: int) -> list[list[str]]:
            places = [place * every for place in range(first, first + count)]
            return [[f"{place // 400}, {place % 400}", f"{-large.flat[place]:g}".replace("-", "−")] for place in places]

        assert rows()[1:] == expected(1, 39), "0 is −0"
        view.shot("export-large")
        view.page.fill("[aria-label='kept elements from']", str(kept - 3))
        view.settle()
        assert rows() == expected(kept - 3, 3)
        assert view.errors == []
