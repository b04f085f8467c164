"""What a reader has chosen and typed in a live view, in a real JupyterLab: it stays when the run is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.test_lab import write_notebook
from tests.tools.lab import Lab

pytestmark = pytest.mark.browser
CELLS = [
    "import flowbook as fb\n%load_ext flowbook",
    "%%flow --name net --quiet\nx = fb.placeholder(())\na = 3.0 * x\nb = fb.square(a)",
    "d = %flow debug b --feed x=2.0",
]
KEPT = 2500  # ms, after which the run is in the output's metadata, and the output was drawn again


def test_choices_stay_and_enter_applies_an_edit(tmp_path: Path) -> None:
    with Lab(write_notebook(tmp_path / "chosen.ipynb", CELLS), timeout=60) as lab:
        lab.run_all()
        page, view = lab.page, lab.page.locator(".fb-view").last
        view.locator(".fb-bar button[title^='Step (']:not([disabled])").wait_for()
        page.wait_for_timeout(KEPT)
        view.locator(".fb-bar button[title^='Step (']").click()
        view.locator(".fb-status").filter(has_text="1 of 2").wait_for()
        view.locator('.fb-card[aria-label^="a,"]').click()
        view.locator("select").select_option("time")
        field = view.locator(".fb-edit input")
        field.click()
        page.keyboard.type("7")
        page.wait_for_timeout(KEPT)
        assert view.locator(".fb-selected .fb-name").text_content() == "a"
        assert view.locator("select").input_value() == "time" and field.input_value() == "7"
        page.keyboard.press("Enter")  # the field still has the keyboard
        view.locator(".fb-edited:not([hidden])").wait_for()
        page.wait_for_timeout(KEPT)
        assert view.locator(".fb-side .fb-code").first.text_content() == "7"
        view.locator(".fb-bar button[title^='Step (']").click()
        view.locator(".fb-status").filter(has_text="finished").wait_for()
        assert page.locator(".fb-view").count() == 1
        assert lab.failures() == [] and lab.errors == []
