"""What the README shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flowbook as fb
from flowbook.errors import ShapeError

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_program_runs_and_learns() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    with fb.Graph().as_default():
        exec(compile(program, "README.md", "exec"), names)
    assert names["session"].run(names["loss"], names["data"]) < 1e-3
    assert names["d"].position == 0


def test_the_error_reads_as_shown() -> None:
    shown = re.search(r"    ShapeError: (.*?)\n\n", README, re.DOTALL).group(1).replace("\n    ", "\n")
    source = 'x = fb.placeholder(("batch", 3))\nw = fb.Variable([[1.0, 2.0, 3.0]])\nguess = fb.matmul(x, w)'
    with pytest.raises(ShapeError) as caught:
        fb.notebook.run_cell(source, {"fb": fb}, name="model", graph=fb.Graph(), first_line=2)
    assert str(caught.value) == shown


def test_the_files_it_points_to_are_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_the_make_targets_it_names_are_there() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)[ `]", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
