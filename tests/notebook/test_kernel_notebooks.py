"""Random notebooks in a real kernel, which hears of them as JupyterLab tells it."""

from __future__ import annotations

import random

import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.notebook.kernels import Kernel
from tests.notebook.notebooks import Notebook
from tests.notebook.outcome import outcome

OUTCOME = "from tests.notebook.outcome import outcome\nprint({**outcome(fb.get_default_graph()), 'order': None})"


class KernelNotebook(Notebook):
    """A notebook whose cells run in a kernel; the shell here is for the fresh run."""

    def __init__(self, shell: InteractiveShell, kernel: Kernel) -> None:
        super().__init__(shell)
        self.kernel = kernel

    def run(self, cell: str) -> BaseException | None:
        ran = self.kernel(self.document.sources[cell].text, cell, self.document.sent())
        return None if ran["status"] == "ok" else AssertionError(ran["error"]["evalue"])

    def undo(self) -> None:
        self.kernel("%flow undo", None, self.document.sent())

    def use(self) -> None:
        self.kernel("from tests.notebook.notebooks import use\nuse(fb.get_default_graph())", None, self.document.sent())


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])
def test_any_order_of_events_ends_as_a_fresh_run(shell: InteractiveShell, kernel: Kernel, seed: int) -> None:
    pick = random.Random(seed).choice
    book = KernelNotebook(shell, kernel)
    for _ in range(5):
        book.run(book.document.insert(pick))
    for _ in range(20):
        book.event(pick)
    fresh = book.fresh()
    cells = book.document.cells
    assert cells  # a seed after which nothing runs would say nothing
    for _ in cells:
        failing = [cell for cell in cells if book.run(cell) is not None]
    assert not failing
    expected = {**outcome(fresh.graph), "order": None}
    assert kernel(OUTCOME)["text"] == f"{expected}\n"
