"""An exported file in a real browser, with the network off."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.tools.lab import CHROMIUM_FLAGS, browser_path

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
COUNT_LAYOUTS = """
const ask = Worker.prototype.postMessage;
window.layouts = 0;
Worker.prototype.postMessage = function (...all) { window.layouts += 1; return ask.apply(this, all); };
"""
#: What is to be seen of the graph: each card's marks, its texts, and the texts at the edges.
PICTURE = """() => [...document.querySelectorAll('.fb-card,.fb-label')].map((each) =>
    [each.getAttribute('class'), each.getAttribute('aria-label'), each.textContent].join('|'))"""


class Page:
    """Opens a file; keeps what the browser complains of, and what it asks the network for, in ``errors``."""

    def __init__(self, path: Path, *, width: int = 1280, height: int = 800, theme: str = "light") -> None:
        self.path = path
        self.errors: list[str] = []
        self._look: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": theme}

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=browser_path(), headless=True, args=CHROMIUM_FLAGS
        )
        self.page = self._browser.new_context(offline=True, **self._look).new_page()
        self.page.on("console", lambda message: self.errors.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", lambda dialog: (self.errors.append("a script of a name ran"), dialog.dismiss()))
        self.page.add_init_script(COUNT_LAYOUTS)
        self.page.goto(self.path.resolve().as_uri())
        self.page.wait_for_selector("[data-fb-ready]", timeout=60_000)
        self.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")) or request.url.split("?")[0].endswith(".js"):
            self.errors.append(f"asked for {request.url}")

    def settle(self) -> None:
        """Wait until all frames that were asked for are drawn, and layouts, too."""
        self.page.wait_for_timeout(60)
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def picture(self) -> list[str]:
        return self.page.evaluate(PICTURE)  # type: ignore[no-any-return]

    def card(self, name: str) -> Any:
        return self.page.locator(f'.fb-card[aria-label^="{name},"]')

    @property
    def chosen(self) -> str:
        """The name of the node in the inspector."""
        return str(self.page.locator(".fb-side h3").inner_text())

    @property
    def status(self) -> str:
        return str(self.page.locator(".fb-status").inner_text())

    @property
    def layouts(self) -> int:
        return int(self.page.evaluate("window.layouts"))

    def shot(self, name: str) -> None:
        """Keep a screenshot to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"))
