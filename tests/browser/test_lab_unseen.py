"""Runs that nobody could see, in a real JupyterLab: scrolled away, and after the page was loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_lab import write_notebook
from tests.browser.test_lab_extension import LOAD, NET, clean, command, view
from tests.tools.lab import Lab

pytestmark = pytest.mark.browser
LONG = "# a long cell\n" * 150
# It runs when the kernel knows that nobody sees the view; pages are listened to while a cell runs.
RUN = """import time
from flowbook.notebook.live import opening, watching
watching.SHARE = 1e9  # of a loop no more than the first runs are watched
shown = opening._cells[fb.get_default_graph()]["net"]
end = time.time() + 60
while shown.visible and time.time() < end:
    time.sleep(0.01)
for scale in range({first}, {last} + 1):
    found = fb.notebook.session().run([h, loss], {{x: np.full((4, 3), scale / 100)}})[0]
print("seen" if shown.visible else "unseen", "{first} to {last}:", f"{{found[0, 0]:.3g}}")"""


def run_unseen(lab: Lab, first: int, last: int) -> str:
    """Run the last cell where the view is scrolled away; the value of the last run."""
    cell = lab.page.locator(".jp-Notebook .jp-Cell").nth(3)
    cell.scroll_into_view_if_needed()
    lab.run_cell(3, RUN.format(first=first, last=last))
    output = cell.locator(".jp-OutputArea-output pre").filter(has_text=f"{first} to {last}:")
    output.wait_for()
    text: str = output.inner_text()
    assert text.startswith("unseen"), text
    return text.split()[-1]


def look(lab: Lab) -> tuple[Any, Any]:
    """Scroll to the view, and choose `h`: what the run does, and the panel with the value."""
    net = view(lab, 1)
    net.scroll_into_view_if_needed()
    net.locator(".fb-card").filter(has_text="tanh").click()
    return net.locator(".fb-status"), net.locator(".fb-side")


def test_who_scrolls_back_or_loads_the_page_again_sees_the_last_run(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "unseen.ipynb", [LOAD, NET, LONG, "0"])
    with Lab(path, timeout=90) as lab:
        lab.hide_sidebar()
        lab.run_all()
        view(lab, 1)
        for scale in (7, 9):
            value = run_unseen(lab, scale, scale)
            status, side = look(lab)
            status.filter(has_text="finished").wait_for()
            side.filter(has_text=value).wait_for()
        # Loaded again, the page shows the same.
        command(lab, "docmanager:save")
        again(lab)
        status, side = look(lab)
        status.filter(has_text="finished").wait_for()
        side.filter(has_text=value).wait_for()
        # Where the last run was not watched, the view says so, also in a page that comes later.
        run_unseen(lab, 10, 19)
        status, side = look(lab)
        status.filter(has_text="an earlier run: 7 later ones not watched").wait_for()
        side.filter(has_text="0.178").wait_for()  # tanh of 1.5 * 0.12: the third of them
        again(lab)
        status, side = look(lab)
        status.filter(has_text="an earlier run: 7 later ones not watched").wait_for()
        value = run_unseen(lab, 20, 20)
        status, side = look(lab)
        status.filter(has_text="finished").wait_for()
        side.filter(has_text=value).wait_for()
        clean(lab)


def again(lab: Lab) -> None:
    lab.page.reload(wait_until="domcontentloaded")
    lab.page.wait_for_selector(".jp-Notebook .jp-Cell")
    lab._wait_for_kernel()
