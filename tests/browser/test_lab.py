"""Notebooks in a real JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.lab import Lab

pytestmark = pytest.mark.browser


def write_notebook(path: Path, cells: list[str]) -> Path:
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(text) for text in cells], metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


def test_plain_cells(tmp_path: Path) -> None:
    cells = ["print(1 + 1)", "'a' * 3", "raise ValueError('as planned')"]
    with Lab(write_notebook(tmp_path / "plain.ipynb", cells)) as lab:
        lab.run_all()
        texts = lab.texts()
        assert texts[:2] == ["2", "'aaa'"]
        assert "ValueError: as planned" in texts[2]
        assert lab.failures() == ["cell 3: ValueError: as planned"]
        assert lab.errors == []
        assert [path.stat().st_size > 10_000 for path in lab.screenshots(tmp_path)] == [True]


def test_the_flagship_notebook_runs_and_draws_its_graphs(tmp_path: Path) -> None:
    import nbformat

    source = Path(__file__).parents[2] / "notebooks" / "04-train-a-classifier.ipynb"
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    with Lab(path) as lab:
        lab.run_all()
        assert lab.failures() == [] and lab.errors == []
        drawn = ["image/svg+xml" in str(output) for output in lab.outputs()]
        assert drawn == [text.startswith("%%flow") for text in cells]
        assert "held-out accuracy above 96 %: True" in lab.texts()[-1]
