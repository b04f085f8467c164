"""Live views in a real JupyterLab: the kernel answers what is clicked, also while a cell runs."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from flowbook.notebook.live.channels import MIME
from tests.browser.test_lab import write_notebook
from tests.tools import lab_report
from tests.tools.lab import Lab

pytestmark = pytest.mark.browser
BUILD = Path(__file__).parents[2] / "build"
SHOTS = BUILD / "screenshots"
CELLS = [
    "import numpy as np, time\nimport flowbook as fb\n%load_ext flowbook",
    """%%flow --name net
x = fb.placeholder(("batch", 20))
labels = fb.placeholder(("batch",), "int64")
hidden = fb.nn.Dense(32, activation=fb.tanh, name="layer1")(x)
logits = fb.nn.Dense(10, name="logits")(hidden)
loss = fb.mean(fb.sparse_softmax_cross_entropy(labels, logits))
train = fb.train.Adam(0.01).minimize(loss)""",
    "data = np.random.default_rng(0).normal(size=(64, 20)).astype('float32')\ntarget = np.arange(64) % 10",
    "d = %flow debug loss train --feed x=data --feed labels=target",
]
BUSY = """begin, before = time.time(), d.position
while d.position == before and time.time() < begin + 60:
    sum(range(10000))
print("seen while busy:", d.position - before)"""


@pytest.fixture(params=["7.3", "7.4"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a kernel with this version of ipykernel; they answer a page in different ways."""
    import ipykernel

    if ipykernel.__version__.startswith(request.param):
        return "python3"
    folder = BUILD / f"ipykernel-{request.param}"
    if not (folder / "ipykernel").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, f"ipykernel=={request.param}.0"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"ipykernel {request.param} cannot be installed: {done.stderr.strip()[-200:]}")
    name = f"ipykernel-{request.param}"
    spec = tmp_path / "share" / "kernels" / name
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    about = {"argv": argv, "display_name": name, "language": "python", "env": {"PYTHONPATH": str(folder)}}
    about["metadata"] = {"debugger": True}
    (spec / "kernel.json").write_text(json.dumps(about))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    return name


@pytest.mark.parametrize("extension", [True, False], ids=["extension", "widget"])
def test_a_click_while_a_cell_runs(tmp_path: Path, kernel: str, extension: bool) -> None:
    import nbformat

    path = write_notebook(tmp_path / "busy.ipynb", [*CELLS, "import ipykernel; print(ipykernel.__version__)", BUSY])
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(notebook, path)
    with Lab(path, timeout=60, extension=extension) as lab:
        lab._in_page("window.jupyterapp.commands.execute('notebook:run-all-cells');")
        view = lab.page.locator(".fb-view").last
        view.locator(".fb-bar button[title^='Step (']:not([disabled])").wait_for()
        lab.page.locator(".jp-InputPrompt").last.filter(has_text="[*]").wait_for()
        lab.page.wait_for_timeout(500)  # the kernel has begun it
        view.locator(".fb-bar button[title^='Step (']").click()
        lab._in_page(
            """
            const end = Date.now() + 90000;
            const kernel = panel().sessionContext.session.kernel;
            while (kernel.status !== 'idle' && Date.now() < end) await sleep(50);
            """
        )
        texts = lab.texts()
        assert texts[-1] == "seen while busy: 1", texts
        assert kernel == "python3" or texts[-2].startswith(kernel.removeprefix("ipykernel-")), texts
        assert lab.failures() == [] and lab.errors == []


def wait_for_views(lab: Lab, count: int) -> None:
    """Until so many views are drawn; what there is instead, when they are not."""
    try:
        lab.page.locator(".fb-view").nth(count - 1).wait_for()
    except Exception as error:
        texts = [each[:300] for each in lab.page.locator(".jp-OutputArea-output").all_inner_texts()]
        raise AssertionError(f"{texts}\n{lab_report.report(lab)}") from error


def pictures(lab: Lab, view: int) -> list[str]:
    """What is to be seen of a view's graph: each card's marks and texts, and the texts at the edges."""
    found: list[str] = (
        lab.page.locator(".fb-view")
        .nth(view)
        .evaluate(
            """(view) => [...view.querySelectorAll('.fb-card,.fb-label')].map((each) =>
            [each.getAttribute('class'), each.getAttribute('aria-label'), each.textContent].join('|'))"""
        )
    )
    return found


def steady(lab: Lab, view: int) -> list[str]:
    """The same, when nothing is on its way any more."""
    before = None
    for _ in range(50):
        now = pictures(lab, view)
        if now == before:
            return now
        before = now
        lab.page.wait_for_timeout(250)
    raise AssertionError("the picture changes all the time")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_graph_follows_runs_and_a_step_back_restores_the_picture(tmp_path: Path, theme: str) -> None:
    cells = [CELLS[0], CELLS[1], "%flow view net", CELLS[2], CELLS[3]]
    cells.append("'not yet'")
    with Lab(
        write_notebook(tmp_path / "live.ipynb", cells), theme=theme, width=1280, timeout=60, extension=False
    ) as lab:
        lab.hide_sidebar()
        lab.run_all()
        page = lab.page
        wait_for_views(lab, 2)
        graph, stepper = page.locator(".fb-view").nth(0), page.locator(".fb-view").nth(1)
        stepper.locator(".fb-bar button[title^='Step (']:not([disabled])").wait_for()
        graph.locator(".fb-card").first.wait_for()
        graph.scroll_into_view_if_needed()  # nothing is told where nobody can see it
        lab.run_cell(5, "%flow run loss train --feed x=data --feed labels=target --steps 300")
        graph.locator(".fb-finished, .fb-released").first.wait_for()
        assert lab.failures() == [] and lab.errors == []
        graph.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"lab-graph-{theme}.png")
        stepper.scroll_into_view_if_needed()
        status = stepper.locator(".fb-status")
        stepper.locator(".fb-card").nth(2).wait_for()
        seen = [steady(lab, 1)]
        for position in range(1, 6):
            stepper.locator(".fb-bar button[title^='Step (']").click()
            status.filter(has_text=f"{position} of ").wait_for()
            seen.append(steady(lab, 1))
        assert all(a != b for a, b in pairwise(seen))
        page.screenshot(path=SHOTS / f"lab-stepper-{theme}.png")
        for position in range(4, -1, -1):
            stepper.locator(".fb-bar button[title^='Step back']").click()
            status.filter(has_text=f"{position} of ").wait_for()
            assert steady(lab, 1) == seen[position]
        assert lab.errors == []


def test_a_reopened_notebook_and_a_restarted_kernel(tmp_path: Path) -> None:
    import nbformat

    path = write_notebook(tmp_path / "kept.ipynb", CELLS)
    with Lab(path, timeout=60, extension=False) as lab:
        lab.run_all()
        lab.page.locator(".fb-view .fb-bar button[title^='Step (']:not([disabled])").wait_for()
        lab.wait_until_kept(3, MIME, 0)
        lab._in_page("await window.jupyterapp.commands.execute('docmanager:save');")
        lab._in_page("await panel().sessionContext.session.kernel.restart();")
        lab.page.locator(".fb-notice").filter(has_text="The kernel was restarted").wait_for()
        assert lab.errors == []
    output = nbformat.read(path, as_version=4).cells[3].outputs[0]
    assert output.metadata[MIME]["recording"]
    with Lab(path, timeout=60, extension=False) as lab:
        assert lab.texts()[-1].startswith("> 1  layer1/matmul_1")
        assert lab.page.locator(".fb-view").count() == 0 and lab.errors == []


def test_a_view_whose_page_went_is_free(tmp_path: Path) -> None:
    """Its cell is run again, its output cleared, the notebook closed and opened, the page loaded anew."""
    count = """from flowbook.notebook.live.liveview import VIEWS
begin = time.time()
while (found := sum(len(each.channels) for each in VIEWS._views.values())) != WANTED and time.time() < begin + 10:
    time.sleep(0.05)
print("pages:", found)"""
    cells = [*CELLS[:2], "%flow view net", count.replace("WANTED", "2")]
    with Lab(write_notebook(tmp_path / "pages.ipynb", cells), timeout=60) as lab:
        page = lab.page

        def pages(wanted: int) -> str:
            lab._in_page(
                "const cell = panel().content.widgets.at(-1); panel().content.activeCellIndex = 3;"
                "cell.model.sharedModel.setSource(argument);"
                "await window.jupyterapp.commands.execute('notebook:run-cell');",
                count.replace("WANTED", str(wanted)),
            )
            return lab.texts()[-1]

        def run(cell: int) -> None:
            lab._in_page(
                "panel().content.activeCellIndex = argument;"
                "await window.jupyterapp.commands.execute('notebook:run-cell');",
                cell,
            )

        lab.run_all()
        page.locator(".fb-view .fb-card").first.wait_for()
        shown = page.locator(".fb-view").count()
        assert pages(shown) == f"pages: {shown}"
        for _ in range(3):
            run(2)
        page.locator(".fb-view .fb-card").first.wait_for()
        assert pages(shown) == f"pages: {shown}"
        lab._in_page("await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs');")
        assert pages(0) == "pages: 0"
        run(2)
        page.locator(".fb-view .fb-card").first.wait_for()
        assert pages(1) == "pages: 1"
        assert lab.errors == []


@pytest.mark.parametrize("extension", [True, False])
def test_a_view_goes_on_when_its_run_is_kept(tmp_path: Path, extension: bool) -> None:
    """The output is drawn anew then; the reader's choices, the focus and the very view stay."""
    with Lab(write_notebook(tmp_path / "goes-on.ipynb", CELLS), timeout=60, extension=extension) as lab:
        lab.run_all()
        view = lab.page.locator(".fb-view").last
        view.locator(".fb-bar button[title^='Step (']:not([disabled])").click()
        view.evaluate("(view) => { view.dataset.mine = 'yes'; }")
        view.locator('.fb-card[aria-label^="layer1/matmul_1,"]').click()
        lab._in_page(
            "const area = panel().content.widgets.at(-1).outputArea; window.kept = 0;"
            "area.model.changed.connect((_, change) => { window.kept += change.type === 'set' ? 1 : 0; });"
        )
        lab.page.wait_for_function("window.kept > 0")
        lab.page.wait_for_timeout(1000)
        assert view.get_attribute("data-mine") == "yes"
        assert view.locator(".fb-selected .fb-name").text_content() == "matmul_1"
        lab.page.keyboard.press("]")
        view.locator(".fb-status").filter(has_text="2 of ").wait_for()
        assert lab.errors == []
