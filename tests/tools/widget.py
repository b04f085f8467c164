"""The widget's module in a real browser, with a model whose messages a test writes, as a kernel would."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from flowbook.notebook import assets
from flowbook.notebook.protocol import PROTOCOL, pack
from tests.tools.lab import CHROMIUM_FLAGS, browser_path
from tests.tools.page import COUNT_LAYOUTS, PICTURE, SHOTS

RENDER = """async (code) => {
    const module = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    const listeners = new Set();
    window.sent = [];
    window.events = [];
    const model = {
        on: (event, listener) => event === "msg:custom" && listeners.add(listener),
        off: (event, listener) => listeners.delete(listener),
        send: (content) => window.sent.push(content),
    };
    const home = document.createElement("div");
    document.body.replaceChildren(home);
    document.body.addEventListener("flowbook-select", (event) => window.events.push(event.detail));
    window.end = module.default.render({model, el: home});
    window.tell = (messages) => {
        for (const [plain, buffers] of messages) {
            const bytes = buffers.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
            const views = bytes.map((each) => new DataView(each.buffer));
            listeners.forEach((listener) => listener(plain, views));
        }
    };
}"""


class Widget:
    """A page with one view; ``errors`` has what the browser complains of."""

    def __init__(
        self, *messages: Mapping[str, Any], width: int = 1000, height: int = 720, theme: str = "light"
    ) -> None:
        self._messages = messages
        self._look: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": theme}
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=browser_path(), args=CHROMIUM_FLAGS)
        self.page = self._browser.new_context(**self._look).new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.add_init_script(COUNT_LAYOUTS)
        self.page.goto("about:blank")
        self.page.evaluate(RENDER, assets.widget())
        if self._messages:
            self.tell(*self._messages)
            self.page.wait_for_selector("[data-fb-ready]", timeout=60_000)
            self.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()
        if kind is None:
            assert self.errors == []

    def tell(self, *messages: Mapping[str, Any]) -> None:
        """Messages of the kernel."""
        packed = [pack(each) for each in messages]
        told = [[plain, [base64.b64encode(each).decode() for each in buffers]] for plain, buffers in packed]
        self.page.evaluate("(messages) => window.tell(messages)", told)
        self.settle()

    def sent(self, kind: str = "") -> list[dict[str, Any]]:
        """What the view has sent since it was last asked, all of it or of one type."""
        found = self.page.evaluate("window.sent.splice(0)")
        return [each for each in found if not kind or each["type"] == kind]

    def settle(self) -> None:
        """Wait until all frames that were asked for are drawn, and layouts, too."""
        self.page.wait_for_timeout(80)
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def card(self, name: str) -> Any:
        return self.page.locator(f'.fb-card[aria-label^="{name},"]')

    def names(self, mark: str) -> set[str]:
        """Titles of the cards with a mark."""
        return set(self.page.locator(f".fb-card.{mark} .fb-name").all_text_contents())

    def picture(self) -> list[str]:
        return self.page.evaluate(PICTURE)  # type: ignore[no-any-return]

    @property
    def height(self) -> int:
        return int(self.page.evaluate("document.querySelector('.fb-view').offsetHeight"))

    @property
    def layouts(self) -> int:
        return int(self.page.evaluate("window.layouts"))

    def shot(self, name: str) -> None:
        """Keep a screenshot to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"))


def graph(nodes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A graph message of a live view."""
    return {"type": "graph", "protocol": PROTOCOL, "title": "model", "live": True, "nodes": nodes, **more}


def paused(done: int, order: list[int], **more: Any) -> dict[str, Any]:
    """The states of a run of which so many nodes are done."""
    states = {"type": "states", "node": np.array(order[:done], np.int32), "state": np.full(done, 3, np.uint8)}
    states |= {"all": True, "mode": "paused", "position": done, "count": len(order), **more}
    return states | ({"next": order[done]} if done < len(order) else {})
