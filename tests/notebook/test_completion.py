"""What Tab offers in the magics' lines."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter

from flowbook.notebook.catalog import CELL as CELL_MAGIC
from flowbook.notebook.catalog import COMMANDS
from flowbook.notebook.completion import complete
from tests.notebook.conftest import Notebook

CELL = """%%flow --name net --quiet
x = fb.placeholder(())
w = fb.Variable(1.0)
with fb.name_scope("inner"):
    loss = fb.square(x * w, name="error")
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%flow re", ["reset"]),
        ("%flow help d", ["debug", "devices", "diff"]),
        ("%flow run lo", ["loss"]),
        ("%flow run inner/", ["inner/error", "inner/multiply_1"]),
        ("%flow run loss --s", ["--steps"]),
        ("%flow run loss --steps ", []),
        ("%flow run loss --trace --tra", ["--traceback"]),
        ("%flow run loss --feed ", ["x="]),
        ("%flow reset ", ["--graph", "w"]),
        ("%flow run loss --graph ", ["mine"]),
        ("%flow nonsense ", []),
        ("%flow why lo", ["loss"]),
        ("%flow export run.html lo", ["loss"]),
        ("%flow break op:s", ["op:square"]),
        ("%flow watch inner/e", ["inner/error"]),
        ("%flow view n", ["net"]),
        ("%flow auto o", ["off", "on"]),
        ("%%flow --n", ["--name"]),
        ("%%flow --device cpu", ["cpu:0"]),
    ],
)
def test_what_is_offered(cell: Notebook, line: str, expected: list[str]) -> None:
    cell(CELL)
    cell("mine = fb.Graph()")
    assert complete(line, line.split(" ")[-1], CELL_MAGIC, COMMANDS, cell.names) == expected


def offered(cell: Notebook, line: str) -> set[str]:
    """What the shell offers, as a kernel asks it."""
    with provisionalcompleter():
        return {each.text for each in cell.shell.Completer.completions(line, len(line))}


def test_the_shell_offers_it(cell: Notebook) -> None:
    cell(CELL)
    assert offered(cell, "%flow re") == {"reset"}
    assert "loss" in offered(cell, "%flow run lo")
    assert "--device" in offered(cell, "%%flow --d")


def test_it_is_loaded_once_and_goes_with_the_extension(cell: Notebook) -> None:
    cell.shell.run_line_magic("reload_ext", "flowbook")
    assert "undo" in offered(cell, "%flow un")
    cell.shell.run_line_magic("unload_ext", "flowbook")
    assert "undo" not in offered(cell, "%flow un")
    cell.shell.run_line_magic("load_ext", "flowbook")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('x = fb.placeholder((2,), "flo', ["float16", "float32", "float64"]),
        ("y = fb.cast(x, dtype='uint1", ["uint16"]),
        ('with fb.device("cp', ["cpu:0"]),
        ("r = %flow run log", ["logits"]),
        ("r, s = %flow run --st", ["--steps"]),
        ('title = "flo', []),
    ],
)
def test_in_python(cell: Notebook, text: str, found: list[str]) -> None:
    cell("%%flow --quiet\nlogits = fb.placeholder((3,))")
    with provisionalcompleter():
        completions = list(cell.shell.Completer.completions(text, len(text)))
    ours = [each.text for each in completions if each.type == "flowbook"]
    assert ours == found
