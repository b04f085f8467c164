"""The widget's module with a model like anywidget's: messages come with buffers, answers go to the kernel."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from flowbook.notebook import assets
from flowbook.notebook.protocol import PROTOCOL, pack

pytestmark = pytest.mark.browser
RENDER = """async ({code, messages}) => {
    const module = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    const listeners = new Set();
    window.sent = [];
    const model = {
        on: (event, listener) => event === "msg:custom" && listeners.add(listener),
        off: (event, listener) => listeners.delete(listener),
        send: (content) => window.sent.push(content),
    };
    document.body.replaceChildren();
    const end = module.default.render({model, el: document.body});
    for (const [plain, buffers] of messages) {
        const views = buffers.map((text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
        listeners.forEach((listener) => listener(plain, views));
    }
    window.end = () => { end(); return listeners.size; };
}"""


def test_it_draws_what_the_kernel_tells_and_tells_what_was_clicked() -> None:
    from playwright.sync_api import sync_playwright

    from tests.tools.lab import CHROMIUM_FLAGS, browser_path

    spec = {"dtype": "float32", "shape": [2]}
    nodes = [{"name": name, "op": "tanh", "kind": "op", "outputs": [spec], "inputs": []} for name in ("a", "b")]
    graph = {"type": "graph", "protocol": PROTOCOL, "title": "live", "live": True, "nodes": nodes}
    order = np.arange(2, dtype=np.int32)
    run = {"type": "run", "run": 1, "order": order, "devices": ["cpu:0"] * 2, "threads": [], "fetches": []}
    states = {"type": "states", "node": order[:1], "state": np.array([3], np.uint8), "all": True}
    states |= {"mode": "paused", "position": 1, "count": 2, "next": 1}
    messages = []
    for each in (graph, run, states):
        plain, buffers = pack(each)
        messages.append([plain, [base64.b64encode(buffer).decode() for buffer in buffers]])
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.evaluate(RENDER, {"code": assets.widget(), "messages": messages})
        page.wait_for_selector("[data-fb-ready]")
        assert page.locator(".fb-finished .fb-name").text_content() == "a"
        assert page.locator(".fb-next .fb-name").text_content() == "b"
        page.click(".fb-bar button[title^='Step (']")
        page.click('.fb-card[aria-label^="b,"]')
        page.keyboard.press("b")
        hello, *sent = page.evaluate("window.sent")
        name = hello.pop("page")
        assert name and hello == {"type": "hello", "protocol": PROTOCOL}
        assert sent == [
            {"type": "step"},
            {"type": "select", "node": 1},
            {"type": "set_breakpoint", "pattern": "b", "when": None},
        ]
        page.evaluate("window.sent.splice(0)")
        assert page.evaluate("window.end()") == 0
        assert page.evaluate("window.sent") == [{"type": "watch", "visible": False}, {"type": "bye", "page": name}]
        assert page.locator(".fb-view").count() == 0
        # The kernel is gone, and its comm refuses: no exception, and the view goes as it does else.
        page.evaluate(RENDER, {"code": assets.widget(), "messages": messages})
        page.wait_for_selector("[data-fb-ready]")
        page.evaluate("() => { window.sent.push = () => { throw new Error('Cannot send'); }; }")
        page.click(".fb-bar button[title^='Step (']")
        assert page.evaluate("window.end()") == 0
        assert errors == []
        browser.close()
