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
