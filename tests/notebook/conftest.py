"""A real IPython shell with the extension loaded, and a way to run cells in it as a person would."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.manager import start_new_kernel
from traitlets.config import Config

import flowbook as fb
from tests.notebook.kernels import SETUP, Kernel


class Ran(NamedTuple):
    ok: bool
    error: BaseException | None
    result: Any
    out: str  # what was printed and shown, without colours
    err: str
    shown: list[dict[str, Any]]  # MIME bundles of display()


class Notebook:
    """Cells typed into a shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.names = shell.user_ns

    def __call__(self, source: str, cell_id: str | None = None, deleted: Sequence[str] = ()) -> Ran:
        with capture_output() as captured, sent(self.shell, deleted):
            done = self.shell.run_cell(source, store_history=True, cell_id=cell_id)
        error = done.error_in_exec or done.error_before_exec
        shown = [output.data for output in captured.outputs]
        return Ran(done.success, error, done.result, plain(captured.stdout), plain(captured.stderr), shown)

    @property
    def graph(self) -> fb.Graph:
        return fb.get_default_graph()

    def owned(self, cell: str) -> list[str]:
        return [node.name for node in self.graph.owned(cell)]


@contextmanager
def sent(shell: InteractiveShell, deleted: Sequence[str]) -> Iterator[None]:
    """A request of a front end in which these cells were deleted since the last one."""
    shell.parent_header = {"metadata": {"deletedCells": [*deleted]}}  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del shell.parent_header  # type: ignore[attr-defined]


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(scope="session")
def one_shell() -> InteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    return InteractiveShell.instance(config=config)


@pytest.fixture
def shell(one_shell: InteractiveShell) -> Iterator[InteractiveShell]:
    one_shell.reset()
    fb.reset_default_graph()
    one_shell.run_line_magic("load_ext", "flowbook")
    yield one_shell
    one_shell.run_line_magic("unload_ext", "flowbook")
    fb.reset_default_graph()


@pytest.fixture
def cell(shell: InteractiveShell) -> Notebook:
    shell.run_cell("import flowbook as fb\nimport numpy as np")
    return Notebook(shell)


@pytest.fixture(scope="module")
def started() -> Iterator[Kernel]:
    manager, client = start_new_kernel(kernel_name="python3", extra_arguments=["--log-level=ERROR"])
    yield Kernel(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    started("%reset -f")
    started("%unload_ext flowbook")
    assert started(SETUP)["status"] == "ok"
    started("fb.reset_default_graph()")
    return started
