"""Without the compiled library everything works on the reference kernels, and says so once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRAIN = """
import warnings
import numpy as np
import flowbook as fb
from flowbook.native import library, reason

x = fb.placeholder(("n", 3), name="x")
w = fb.Variable(np.full((3, 2), 0.5, np.float32), name="w")
loss = fb.mean(fb.square(fb.tanh(x @ w) - 0.25))
train = fb.train.Adam(0.1).minimize(loss)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    session = fb.Session()
    fb.Session()
feed = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
call = session.make_callable([loss, train], [x])
losses = [float(call(feed)[0]) for _ in range(5)]
print(library is None, len(caught), [str(each.message)[:30] for each in caught], [round(each, 5) for each in losses])
"""


def run(**environment: str) -> str:
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", TRAIN], env={**os.environ, **environment}, cwd=root, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_left_out_on_purpose_it_is_silent_and_computes_the_same() -> None:
    without = run(FLOWBOOK_NATIVE="0")
    assert without.startswith("True 0 []")
    assert without.rpartition("[")[2] == run().rpartition("[")[2]


def test_where_it_cannot_be_loaded_that_is_said_once(tmp_path: Path) -> None:
    hide = tmp_path / "sitecustomize.py"
    hide.write_text("import sys\nsys.modules['flowbook.native._native'] = None\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    assert run(PYTHONPATH=path).startswith("True 1 ['flowbook runs on NumPy, which ']")


def test_the_environment_says_how_many_threads_and_which_kernels() -> None:
    program = "from flowbook.native import CPUS, library; print(CPUS, library.variant() if library else 'base')"
    environment = {**os.environ, "FLOWBOOK_THREADS": "3", "FLOWBOOK_CPU": "base"}
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True)
    assert found.stdout.split() in (["3", "base"], ["1", "base"])  # 1: there is no library
