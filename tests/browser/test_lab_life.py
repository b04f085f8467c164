"""What becomes of views while a notebook is worked on: cells that go and come back, trainings that end, themes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowbook.notebook.live.channels import MIME
from tests.browser.test_lab import write_notebook
from tests.browser.test_lab_extension import DEBUG, LOAD, NET, RUN, TRAIN, clean, command, view
from tests.browser.test_lab_unseen import again
from tests.tools.lab import Lab

pytestmark = pytest.mark.browser
# Whether there is anything on a canvas.
DRAWN = """canvas => {
    const { width, height } = canvas;
    return width && canvas.getContext('2d').getImageData(0, 0, width, height).data.some((each) => each);
}"""


# Of the comms that pages open, the kernel never hears of the first, and loses what the third has to say.
LOSE = """import comm
manager = comm.get_comm_manager()
heard, opened = [], manager.targets["flowbook-graph"]
def lossy(line, message):
    heard.append((line, message))
    if len(heard) == 1:
        manager.unregister_comm(line)
    elif len(heard) != 3:
        opened(line, message)
manager.targets["flowbook-graph"] = lossy"""


def lose_information(page: Any, lost: Callable[[int], bool] = lambda asked: asked < 2) -> None:
    """What the kernel is, is lost the first time that the page asks, as now and then while a kernel starts; or as long
    as ``lost`` says, which is given how often it was asked."""
    asked: list[Any] = []

    def connect(socket: Any) -> None:
        server = socket.connect_to_server()

        def ask(message: Any) -> None:
            if b"kernel_info_request" in message:
                asked.append(message)
            server.send(message)

        def answer(message: Any) -> None:
            if b"kernel_info_request" not in message or not lost(len(asked)):
                socket.send(message)

        socket.on_message(ask)
        server.on_message(answer)

    page.route_web_socket(re.compile(r".*/channels.*"), connect)


def choose(lab: Lab, cell: int) -> None:
    lab._in_page("Object.assign(panel().content, { activeCellIndex: argument, mode: 'command' });", cell)


def test_cells_that_go_and_come_back(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "life.ipynb", [LOAD, NET, TRAIN, RUN, DEBUG])
    with Lab(path, timeout=90) as lab:
        lab.hide_sidebar()
        lab.run_all()
        # Deleted and brought back, a cell keeps its nodes, and a stepper goes on.
        for cell in (4, 1):
            choose(lab, cell)
            command(lab, "notebook:delete-cell")
            command(lab, "notebook:undo-cell-action")
        lab.run_cell(3, RUN.replace("30", "40"))
        stepper = view(lab, 4)
        stepper.locator(".fb-bar button[title^='Step (']:not([disabled])").click()
        stepper.locator(".fb-status").filter(has_text="1 of ").wait_for()
        net = view(lab, 1)
        net.scroll_into_view_if_needed()
        net.locator(".fb-card").filter(has_text="loss").wait_for()
        clean(lab)
        # Another theme: the timeline is drawn again.
        lab._in_page("await window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'});")
        lab.page.locator(".fb-view[data-fb-theme=dark]").first.wait_for()
        lanes = net.locator(".fb-lanes")
        lab.page.wait_for_function(DRAWN, arg=lanes.element_handle())
        # What has the focus in the panel keeps it when the panel is drawn anew, and what is removed leaves it beside.
        command(lab, "flowbook:open-panel")
        field = lab.page.locator(".flowbook-panel input[data-key^=break]").first
        for pattern in ("op:mean", "op:tanh"):
            field.fill(pattern)
            field.press("Enter")
            lab.page.locator(f".flowbook-panel button[title='Remove breakpoint {pattern}']").wait_for()
        lab.page.locator(".flowbook-panel button[title='Remove breakpoint op:mean']").press("Enter")
        lab.page.wait_for_function("document.activeElement.title === 'Remove breakpoint op:tanh'")
        lab.page.keyboard.press("Enter")
        lab.page.wait_for_function("document.activeElement.closest('.flowbook-panel [data-key]') !== null")
        # A training that is interrupted says so.
        choose(lab, 3)
        lab._in_page("panel().content.activeCell.model.sharedModel.setSource(argument);", RUN.replace("30", "10000000"))
        lab._in_page("void window.jupyterapp.commands.execute('notebook:run-cell');")
        training = net.locator(".fb-training")
        training.filter(has_text="of 10,000,000").locator("button").click()
        training.filter(has_text="stopped").wait_for()
        assert training.locator("button").is_hidden()
        # Deleted for good, it takes its nodes with it, and those that read them say so.
        choose(lab, 1)
        command(lab, "notebook:delete-cell")
        lab.run_cell(2, "1 + 1")  # TRAIN has the place of NET
        view(lab, 1).locator(".fb-changes").filter(has_text="stale").wait_for()
        clean(lab)


def test_what_is_lost_on_the_way_to_the_kernel_is_said_again(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "lost.ipynb", [f"{LOAD}\n{LOSE}", NET])
    with Lab(path, timeout=90) as lab:
        lab.run_all()
        view(lab, 1).locator(".fb-card").filter(has_text="loss").wait_for()
        lab.run_cell(0, "len(heard)")
        lab.page.locator(".jp-OutputArea-executeResult").filter(has_text="4").wait_for()
        clean(lab)


def test_a_kernel_that_nobody_knows_is_asked_what_it_is(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "unknown.ipynb", [LOAD, NET])
    with Lab(path, timeout=90, prepare=lose_information) as lab:
        lab.run_all()
        view(lab, 1).locator(".fb-card").filter(has_text="loss").wait_for()
        clean(lab)


def test_what_was_kept_is_shown_until_the_kernel_answers(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "slow.ipynb", [LOAD, NET, DEBUG, "_ = d.step()"])
    silent: list[bool] = []
    with Lab(path, timeout=90, prepare=lambda page: lose_information(page, lambda _: bool(silent))) as lab:
        lab.run_all()
        view(lab, 2)
        lab.wait_until_kept(2, MIME, 1)
        command(lab, "docmanager:save")
        silent.append(True)
        again(lab)
        kept = view(lab, 2)
        kept.locator(".fb-status").filter(has_text="1 of ").wait_for()
        kept.evaluate("(view) => { view.dataset.kept = 'yes'; }")
        lab.run_cell(3, "_ = d.step()")
        lab.page.locator(".jp-InputPrompt").last.filter(has_text="[5]").wait_for()
        assert kept.get_attribute("data-kept") == "yes"  # of what the kernel does now it knows nothing
        silent.clear()
        view(lab, 2).locator(".fb-status").filter(has_text="2 of ").wait_for()
        assert lab.page.locator(".jp-Notebook .jp-Cell").nth(2).locator(".fb-view:not([data-kept])").count() == 1
        clean(lab)
