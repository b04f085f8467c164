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
import numpy as np
import flowbook as fb""",
    """\
%%flow --name model
x = fb.placeholder(("batch", 3))
y = fb.placeholder(("batch", 1))
W = fb.Variable(np.zeros((3, 1), np.float32))
guess = fb.tanh(x @ W)
loss = fb.mean(fb.square(guess - y))""",
    """\
%%flow --name training --quiet
train = fb.train.SGD(0.5).minimize(loss)""",
    "data = np.random.default_rng(0).normal(size=(32, 4)).astype('float32')",
    "",
]
TRAIN = "%flow run loss train --feed x=data[:,:3] --feed y=np.sin(data[:,3:]) --steps 200"


def main(target: str = "docs/notebook.png") -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(text) for text in CELLS], metadata={"kernelspec": kernel})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.ipynb"
        nbformat.write(notebook, path)
        with Lab(path, width=1720, height=1060) as lab:
            lab.hide_sidebar()
            lab._in_page("await window.jupyterapp.commands.execute('flowbook:open-panel');")
            lab.run_all()
            view = lab.page.locator(".fb-view").first
            view.locator(".fb-card").first.wait_for()
            lab.run_cell(4, TRAIN.replace("200", "2"))  # the first product takes long, as BLAS is loaded
            lab.run_cell(4, TRAIN)
            view.locator(".fb-below").filter(has_text="step 200 of 200").wait_for()
            view.locator(".fb-card").filter(has_text="guess").click()
            lab.page.wait_for_timeout(600)
            lab.page.locator(".flowbook-panel .flowbook-variable").first.wait_for()
            lab._in_page("const box = panel().content; (box.outerNode ?? box.node).scrollTop = 0;")
            lab.page.wait_for_timeout(2600)  # the mark on the line has faded
            if lab.failures() or lab.errors:
                raise SystemExit("\n".join(lab.failures() + lab.errors))
            lab.page.screenshot(path=target)


if __name__ == "__main__":
    main(*sys.argv[1:])
