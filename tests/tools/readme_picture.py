"""Make the README's picture anew: a small notebook, run in a real JupyterLab.

python tests/tools/readme_picture.py [docs/notebook.png]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools.lab import Lab

CELLS = [
    """\
%load_ext flowbook
import flowbook as fb""",
    """\
%%flow --name model
x = fb.placeholder(("batch", 3))
y = fb.placeholder(("batch", 1))
W = fb.Variable(fb.random.normal((3, 1)))
guess = fb.tanh(x @ W)
loss = fb.mean(fb.square(guess - y))""",
    """\
%%flow --name training
train = fb.train.SGD(0.5).minimize(loss)""",
]


def main(target: str = "docs/notebook.png") -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(text) for text in CELLS], metadata={"kernelspec": kernel})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.ipynb"
        nbformat.write(notebook, path)
        with Lab(path, width=1060, height=1560) as lab:
            lab.hide_sidebar()
            lab.run_all()
            if lab.failures() or lab.errors:
                raise SystemExit("\n".join(lab.failures() + lab.errors))
            Path(target).write_bytes(lab.screenshots(Path(folder))[0].read_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
