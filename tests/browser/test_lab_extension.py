"""flowbook's extension in a real JupyterLab: views in the place of pictures, cells and graphs as one, the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowbook.notebook.live.channels import MIME
from tests.browser.test_lab import write_notebook
from tests.tools.lab import Lab

pytestmark = pytest.mark.browser
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LOAD = "%load_ext flowbook\nimport numpy as np\nimport flowbook as fb"
NET = """%%flow --name net
x = fb.placeholder((4, 3))
w = fb.Variable(np.full((3, 2), 0.5, np.float32))
h = fb.tanh(fb.matmul(x, w))
loss = fb.mean(fb.square(h - 0.3))"""
TRAIN = "%%flow --name train\nstep = fb.train.SGD(0.1).minimize(loss)"
RUN = "%flow run loss step --feed x=np.ones((4,3)) --steps 30"
DEBUG = "d = %flow debug loss --feed x=np.ones((4,3))"
STEP = ".fb-bar button[title^='Step (']"
# Notebook 7.6 says this of itself when a notebook is opened, whatever is installed.
NOTEBOOKS_OWN = "exception: Cannot read properties of undefined (reading 'schema')"
HOSTILE = '"><img src=x onerror=window.hacked=1>'


def shot(lab: Lab, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    lab.page.screenshot(path=SHOTS / f"{name}.png")


def view(lab: Lab, cell: int) -> Any:
    """The view in the output of a cell, once it is drawn."""
    found = lab.page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".fb-view").first
    found.locator(".fb-card").first.wait_for()
    return found


def command(lab: Lab, name: str) -> None:
    lab._in_page("await window.jupyterapp.commands.execute(argument);", name)


def clean(lab: Lab) -> None:
    assert lab.failures() == [] and lab.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_views_cells_and_the_panel(tmp_path: Path, theme: str) -> None:
    path = write_notebook(tmp_path / "all.ipynb", [LOAD, NET, TRAIN, RUN, DEBUG])
    with Lab(path, theme=theme, width=1920, height=1200, timeout=90) as lab:
        lab.hide_sidebar()
        lab.run_all()
        page = lab.page
        net, stepper = view(lab, 1), view(lab, 4)
        net.scroll_into_view_if_needed()  # nothing is told where nobody can see it
        lab.run_cell(3, RUN)
        net.locator(".fb-finished, .fb-released").first.wait_for()
        assert page.locator(".flowbook-picture").count() == 0
        # A step moves the stepper's own view, and no other.
        stepper.scroll_into_view_if_needed()
        stepper.locator(f"{STEP}:not([disabled])").click()
        stepper.locator(".fb-status").filter(has_text="1 of ").wait_for()
        shot(lab, f"extension-stepper-{theme}")
        # A node shows the line that made it.
        stepper.locator(".fb-card").filter(has_text="loss").click()
        line = page.locator(".flowbook-line")
        line.wait_for()
        cell = page.locator(".jp-Notebook .jp-Cell").nth(1)
        assert cell.locator(".flowbook-line").count() == 1
        last = cell.locator(".cm-line").last.bounding_box()
        assert abs(last["y"] - line.bounding_box()["y"]) < 4  # loss is made by the last line
        shot(lab, f"extension-line-{theme}")
        # The cursor lights the nodes of its line, in all views of the notebook.
        cell.locator(".cm-line").nth(3).click()
        net.locator(".fb-card.fb-lit").filter(has_text="tanh").wait_for()
        lit = net.locator(".fb-card.fb-lit")
        assert sorted(each.get_attribute("aria-label").split(",")[0] for each in lit.all()) == ["h", "matmul_1"]
        # The panel.
        command(lab, "flowbook:open-panel")
        panel = page.locator(".flowbook-panel")
        panel.locator(".flowbook-variable").filter(has_text="w").wait_for()
        assert {"net", "train"} <= set(panel.locator(".flowbook-name").all_inner_texts())
        assert "cpu:0" in panel.inner_text() and "gpu:0" in panel.inner_text()
        panel.locator("input[data-key^=break]").first.fill("op:tanh")
        panel.locator("input[data-key^=break]").first.press("Enter")
        panel.locator("code").filter(has_text="op:tanh").wait_for()
        net.locator(".fb-card.fb-stop").filter(has_text="tanh").wait_for()
        panel.locator("input[data-key^=break]").first.fill("op:")
        panel.locator("input[data-key^=break]").nth(1).fill("x >")
        panel.locator("input[data-key^=break]").nth(1).press("Enter")
        panel.locator(".flowbook-trouble").filter(has_text="x >").wait_for()
        shot(lab, f"extension-panel-{theme}")
        panel.locator("button[title='Remove breakpoint op:tanh']").click()
        panel.locator("code").filter(has_text="op:tanh").wait_for(state="detached")
        panel.locator("button.flowbook-name").filter(has_text="w").first.click()
        cell.locator(".flowbook-line").wait_for()
        clean(lab)


def test_commands_menus_and_settings(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "commands.ipynb", [LOAD, NET, DEBUG])
    with Lab(path, timeout=90, settings={"flowbook-graph/plugin": {"colour": "time", "theme": "dark"}}) as lab:
        lab.run_all()
        stepper = view(lab, 2)
        assert stepper.get_attribute("data-fb-theme") == "dark"
        assert stepper.locator("select[aria-label='colour by']").input_value() == "time"
        status = stepper.locator(".fb-status")
        stepper.locator(f"{STEP}:not([disabled])").wait_for()
        command(lab, "flowbook:step")
        status.filter(has_text="1 of ").wait_for()
        lab.page.get_by_role("menuitem", name="Run", exact=True).click()
        lab.page.locator(".lm-Menu-item").filter(has_text="Flow Graph").hover()
        lab.page.locator(".lm-Menu-item").filter(has_text="Run to the End").click()
        status.filter(has_text="finished").wait_for()
        lab._in_page("await window.jupyterapp.commands.execute('apputils:activate-command-palette');")
        lab.page.locator(".lm-CommandPalette-input").fill("step back")
        lab.page.locator(".lm-CommandPalette-item").filter(has_text="Step Back").first.click()
        status.filter(has_text="next loss").wait_for()
        clean(lab)


def test_an_edited_cell_shows_what_is_different(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "diff.ipynb", [LOAD, NET, TRAIN])
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        view(lab, 1)
        lab.run_cell(1, NET.replace("fb.tanh(fb.matmul(x, w))", "fb.sigmoid(fb.matmul(x, w) * 2.0)"))
        net = view(lab, 1)
        changes = net.locator(".fb-changes")
        changes.filter(has_text="added").wait_for()
        text = changes.inner_text()
        assert "1 added" in text and "changed" in text, text
        shot(lab, "extension-diff")
        assert lab.page.locator(".jp-Notebook .jp-Cell").nth(1).locator(".fb-view").count() == 1
        clean(lab)


def test_a_reopened_notebook_plays_without_its_kernel(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "kept.ipynb", [LOAD, NET, DEBUG])
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        stepper = view(lab, 2)
        stepper.locator(f"{STEP}:not([disabled])").click()
        stepper.locator(".fb-status").filter(has_text="1 of ").wait_for()
        command(lab, "flowbook:stop")
        stepper.locator(".fb-status").filter(has_text="finished").wait_for()
        lab.wait_until_kept(2, MIME, 5)
        command(lab, "docmanager:save")
        lab._in_page("await panel().sessionContext.session.kernel.restart();")
        stepper.locator(".fb-notice").filter(has_text="This is the run as it was kept").wait_for()
        stepper.locator(".fb-bar button[title^='Step back']").click()  # it plays on
        stepper.locator(".fb-status").filter(has_text="next loss").wait_for()
        clean(lab)
    with Lab(path, timeout=90) as lab:
        stepper = view(lab, 2)
        status = stepper.locator(".fb-status")
        status.filter(has_text="finished").wait_for()
        stepper.locator(".fb-bar button[title^='Step back']").click()
        status.filter(has_text="next loss").wait_for()
        assert lab.page.locator(".jp-Notebook .jp-Cell").nth(1).locator("img.flowbook-picture").count() == 1
        shot(lab, "extension-reopened")
        assert lab.errors == []


def test_hostile_names(tmp_path: Path) -> None:
    cells = [
        LOAD,
        f"%%flow --name '{HOSTILE}'\nwith fb.name_scope('s'):\n    v = fb.Variable(1.0)\n    y = v * 2.0",
        "%flow watch *",
    ]
    path = write_notebook(tmp_path / "hostile.ipynb", cells)
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        found = view(lab, 1)
        found.locator(".fb-card").first.click()
        command(lab, "flowbook:open-panel")
        lab.page.locator(".flowbook-panel .flowbook-name").filter(has_text="onerror").first.wait_for()
        lab.page.locator(".flowbook-panel .flowbook-name").filter(has_text="onerror").first.click()
        lab.page.locator(".flowbook-line").wait_for()
        assert lab.page.evaluate("window.hacked") is None
        clean(lab)


def test_notebook_7(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "seven.ipynb", [LOAD, NET, TRAIN, RUN, DEBUG])
    with Lab(path, timeout=90, app="notebook") as lab:
        lab.run_all()
        stepper = view(lab, 4)
        stepper.locator(f"{STEP}:not([disabled])").click()
        stepper.locator(".fb-status").filter(has_text="1 of ").wait_for()
        stepper.locator(".fb-bar button[title^='Step back']").click()
        stepper.locator(".fb-status").filter(has_text="0 of ").wait_for()
        net = view(lab, 1)
        net.scroll_into_view_if_needed()
        lab.run_cell(3, RUN)
        net.locator(".fb-finished, .fb-released").first.wait_for()
        command(lab, "flowbook:open-panel")
        lab.page.locator(".flowbook-panel .flowbook-variable").filter(has_text="w").wait_for()
        shot(lab, "notebook-7")
        assert lab.failures() == []
        assert set(lab.errors) <= {NOTEBOOKS_OWN}


def test_a_traced_run_plays_in_its_output(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "traced.ipynb", [LOAD, NET, "%flow run loss --feed x=np.ones((4,3)) --trace"])
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        found = view(lab, 2)
        found.locator(".fb-bar button[title^='Step back']").click()
        found.locator(".fb-status").filter(has_text="next loss").wait_for()
        clean(lab)
        log = lab._log.read_text()
        assert "No such comm" not in log


def test_a_notebook_that_is_opened_asks_a_new_kernel_once(tmp_path: Path) -> None:
    """Of a kernel that has not loaded flowbook, a comm is refused, and the kernel complains each time."""
    path = write_notebook(tmp_path / "fresh.ipynb", [LOAD, NET, TRAIN, "%%flow --name more\ny = h * 2.0"])
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        view(lab, 1)
        command(lab, "docmanager:save")
    with Lab(path, timeout=90) as lab:
        lab.page.locator("img.flowbook-picture").nth(2).wait_for()
        lab.page.wait_for_timeout(1500)
        assert lab._log.read_text().count("No such comm") <= 1
        lab.run_all()
        view(lab, 3)
        assert lab.page.locator("img.flowbook-picture").count() == 0
        clean(lab)


def test_a_flow_cell_is_python_to_the_editor(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "typing.ipynb", [LOAD, NET, "%%flow\n# more\nz = fb.tan"])
    with Lab(path, timeout=90) as lab:
        lab._in_page(
            "panel().content.activeCellIndex = 0; await window.jupyterapp.commands.execute('notebook:run-cell');"
        )
        cell = lab.page.locator(".jp-Notebook .jp-Cell").nth(2)
        comment = cell.locator(".cm-line").nth(1).locator("span").first
        name = cell.locator(".cm-line").nth(2).locator("span").first
        colours = [each.evaluate("(node) => getComputedStyle(node).color") for each in (comment, name)]
        assert colours[0] != colours[1]  # a comment has a colour of its own
        cell.locator(".cm-line").last.click()
        lab.page.keyboard.press("End")
        lab.page.keyboard.press("Tab")
        lab.page.locator(".jp-Completer-item").filter(has_text="tanh").first.click()
        cell.locator(".cm-line").filter(has_text="z = fb.tanh").wait_for()
        assert lab.errors == []


def test_a_trace_file_opens_without_a_kernel(tmp_path: Path) -> None:
    import numpy as np

    import flowbook as fb

    with fb.Graph().as_default():
        x = fb.placeholder((2, 3), name="x")
        y = fb.sum(fb.exp(x, name="e"), name="y")
        session = fb.Session()
        session.run(y, {x: np.ones((2, 3))}, trace=True)
    session.trace.save(tmp_path / "run.flowtrace")
    (tmp_path / "broken.flowtrace").write_bytes((tmp_path / "run.flowtrace").read_bytes()[:-7])
    path = write_notebook(tmp_path / "beside.ipynb", ["1"])
    with Lab(path, timeout=90) as lab:
        opened = "await window.jupyterapp.commands.execute('docmanager:open', {path: argument});"
        lab._in_page(opened, "run.flowtrace")
        found = lab.page.locator(".flowbook-file .fb-view")
        found.locator(".fb-card").filter(has_text="exp").wait_for()
        found.locator(".fb-bar button[title^='Step back']").click()
        found.locator(".fb-status").filter(has_text="next y").wait_for()
        shot(lab, "extension-trace-file")
        lab._in_page(opened, "broken.flowtrace")
        lab.page.locator(".flowbook-file [role=alert]").filter(has_text="cannot be shown").wait_for()
        assert lab.errors == []


def test_a_breakpoint_on_nan_its_story_and_an_edit(tmp_path: Path) -> None:
    surprise = """%%flow --name surprise --quiet
scores = fb.placeholder((4,))
shares = scores / fb.sum(scores)
logs = fb.log(shares)
weighted = shares * logs
total = -fb.sum(weighted)"""
    path = write_notebook(tmp_path / "nan.ipynb", [LOAD, surprise, "d = %flow debug total --feed scores=[3,1,0,0]"])
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        page, found = lab.page, view(lab, 2)
        command(lab, "flowbook:open-panel")
        fields = page.locator(".flowbook-panel input[data-key^=break]")
        fields.first.fill("*")
        fields.nth(1).fill("nan")
        fields.nth(1).press("Enter")
        found.locator(".fb-card.fb-stop").first.wait_for()
        found.locator(f"{STEP}:not([disabled])").wait_for()
        found.focus()
        page.keyboard.press("F9")
        found.locator(".fb-status").filter(has_text="4 of 6").wait_for()
        weighted = found.locator('.fb-card[aria-label^="weighted,"]')
        found.locator('.fb-card.fb-bad-value[aria-label^="weighted,"]').wait_for()
        weighted.click()
        found.get_by_text("why?", exact=True).click()
        found.locator(".fb-story").filter(has_text="0").wait_for()
        shot(lab, "extension-story")
        page.keyboard.press("Escape")
        found.locator('.fb-card[aria-label^="shares,"]').click()
        found.locator(".fb-edit input").fill("maximum(x, 0.01)")
        page.keyboard.press("Enter")
        found.locator(".fb-edited:not([hidden])").filter(has_text="2 of").wait_for()
        glowing = found.locator(".fb-card.fb-glow")
        names = {each.get_attribute("aria-label").split(",")[0] for each in glowing.all()}
        assert {"logs", "weighted"} <= names <= {"shares", "logs", "weighted"}
        assert found.locator(".fb-card.fb-bad-value").count() == 0
        assert found.locator(".fb-story").is_hidden()  # it was of the values before
        shot(lab, "extension-edit")
        clean(lab)
