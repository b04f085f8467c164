"""What it costs to watch a training, how many messages a second a view gets, and how soon a click is seen.

python tests/bench/live.py [--rounds N]

The first two with a page that only unpacks what it is sent; the last in a real JupyterLab with Chromium.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

import flowbook as fb
from flowbook.notebook.live import opening
from flowbook.notebook.live.stepping import StepperView
from tests.notebook.live_page import Page
from tests.tools import lab

SOURCE = """
x = fb.placeholder(("batch", 256), name="x")
labels = fb.placeholder(("batch",), "int64", name="labels")
h = x
for layer in range(5):
    h = fb.nn.Dense(256, activation=fb.tanh, name=f"layer{layer}")(h)
loss = fb.mean(fb.sparse_softmax_cross_entropy(labels, fb.nn.Dense(10, name="logits")(h)), name="loss")
train = fb.train.Adam(0.001).minimize(loss)
"""


class Training:
    """A training step of about 200 nodes, and a view of it that can be opened and closed."""

    def __init__(self) -> None:
        self.graph = fb.Graph()
        names: dict[str, Any] = {"fb": fb}
        with self.graph.as_default():
            commit, _ = fb.notebook.run_cell(SOURCE, names, name="net", graph=self.graph)
            self.view = opening.cell_view(self.graph, "net", commit)
        random = np.random.default_rng(0)
        self.feeds = {
            names["x"]: random.normal(size=(128, 256)).astype("float32"),
            names["labels"]: np.arange(128) % 10,
        }
        self.fetches = [names["loss"], names["train"]]
        self.session = fb.Session(self.graph)
        self.page: Page | None = None

    @property
    def nodes(self) -> int:
        return len(self.session.plan(self.fetches, dict(self.feeds)).steps)

    def open(self) -> None:
        self.page = Page(self.view)
        self.page.wait_for("graph")

    def steps(self, count: int) -> float:
        """Seconds per step."""
        start = time.perf_counter()
        for _ in range(count):
            self.session.run(self.fetches, self.feeds)
        return (time.perf_counter() - start) / count


def watching(rounds: int) -> None:
    """In turns, with a page that is open all the time, and looks away for every other one."""
    training = Training()
    training.open()
    assert training.page is not None
    training.steps(300)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for looks in times:
            training.page("watch", visible=looks)
            training.steps(20)
            times[looks].append(training.steps(400))
    alone, watched = times[False], times[True]
    ratios = [b / a for a, b in zip(alone, watched, strict=True)]
    print(
        f"watching a training step of {training.nodes} nodes: {1e3 * min(alone):.2f} / "
        f"{1e3 * statistics.median(alone):.2f} ms alone (min / median), "
        f"{100 * (min(watched) / min(alone) - 1):+.1f} % watched (of the minima), "
        f"{100 * (statistics.median(ratios) - 1):+.1f} % (median of {rounds} turns)"
    )


def deltas(rounds: int) -> None:
    training = Training()
    stepper = training.session.debug(training.fetches, training.feeds)
    page = Page(StepperView(stepper))
    page.wait_for("breakpoints")
    count = page.status["count"]
    rates = []
    for _ in range(rounds):
        before, start = len(page.messages), time.perf_counter()
        for position in range(1, count + 1):
            page("step")
            page.wait(lambda position=position: page.status["position"] == position)
        rates.append((len(page.messages) - before) / (time.perf_counter() - start))
        page("restart")
        page.wait(lambda: page.status["position"] == 0)
    print(f"messages of a stepper: {max(rates):.0f} / {statistics.median(rates):.0f} a second (max / median)")


CLICKS = """async (count) => {
    const view = [...document.querySelectorAll('.fb-view')].at(-1);
    const button = view.querySelector(".fb-bar button[title^='Step (']");
    const status = view.querySelector('.fb-status');
    const found = [];
    for (let index = 0; index < count; index++) {
        const before = status.textContent, start = performance.now();
        button.click();
        while (status.textContent === before) await new Promise((done) => requestAnimationFrame(done));
        await new Promise((done) => requestAnimationFrame(done));
        found.push(performance.now() - start);
    }
    return found;
}"""


def clicks() -> None:
    if reason := lab.missing():
        print(f"click to redraw: not measured, {reason}")
        return
    from tests.browser.test_lab import write_notebook
    from tests.browser.test_live import CELLS

    with tempfile.TemporaryDirectory() as folder:
        with lab.Lab(write_notebook(Path(folder) / "clicks.ipynb", CELLS)) as page:
            page.run_all()
            page.page.locator(".fb-view .fb-bar button[title^='Step (']:not([disabled])").last.wait_for()
            found = sorted(page.page.evaluate(CLICKS, 60))
    print(
        f"click to redraw in JupyterLab: {found[0]:.0f} / {statistics.median(found):.0f} / "
        f"{found[int(0.95 * len(found))]:.0f} ms (min / median / p95 of {len(found)})"
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(argv).rounds
    parts: list[Callable[[], None]] = [lambda: watching(rounds), lambda: deltas(min(rounds, 5)), clicks]
    for part in parts:
        part()


if __name__ == "__main__":
    main()
