"""The library for 64-bit ARM: cross-compiled, and run in an emulator on a graph saved here. Slow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb

ROOT = Path(__file__).parents[2]
COMPILER, EMULATOR = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (COMPILER and EMULATOR), reason="no g++-aarch64-linux-gnu, or no qemu-user, here"),
]


def run(*command: Any, **environment: str) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_graph_saved_here_trains_there(tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    target, library = tmp_path / "example", tmp_path / "library"
    cross = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={COMPILER}"]
    run(cmake, "-S", ROOT / "kernels", "-B", tmp_path / "build", *cross, "-DFLOWBOOK_PYTHON=OFF",
        f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={library}")  # fmt: skip
    run(cmake, "--build", tmp_path / "build", "-j", "2")
    run(cmake, "-S", ROOT / "kernels" / "example", "-B", target, *cross, f"-DFLOWBOOK_DIR={library}",
        "-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=NEVER", "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=NEVER")  # fmt: skip
    run(cmake, "--build", target)

    rng = np.random.default_rng(0)
    with fb.Graph().as_default() as graph:
        x, y = fb.placeholder(("batch", 6, 6, 1), name="x"), fb.placeholder(("batch",), "int32", name="y")
        filters = fb.Variable(rng.normal(size=(3, 3, 1, 4)), "float32", name="filters")
        w = fb.Variable(rng.normal(size=(36, 3)), "float32", name="w")
        h = fb.reshape(fb.max_pool(fb.relu(fb.conv2d(x, filters)), 2), (-1, 36))
        loss = fb.mean(fb.sparse_softmax_cross_entropy(y, fb.dropout(h, 0.2) @ w), name="loss")
        fb.train.Adam(0.01).minimize(loss, name="train")
        session = fb.Session()
        session.initialize()
    fb.save_graph(tmp_path / "model.flow", graph, session)
    program = ["train", tmp_path / "model.flow", 4, tmp_path / "model.ckpt"]
    there = run(EMULATOR, "-L", "/usr/aarch64-linux-gnu", target / program[0], *program[1:])

    here = tmp_path / "here"
    run(cmake, "-S", ROOT / "kernels" / "example", "-B", here, f"-DFLOWBOOK_DIR={ROOT / 'flowbook' / 'native'}")
    run(cmake, "--build", here)
    wanted = run(here / program[0], *program[1:])

    def losses(text: str) -> list[float]:
        return [float(line.split()[1]) for line in text.splitlines() if line.startswith("loss")]

    assert len(losses(wanted)) == 4
    np.testing.assert_allclose(losses(there), losses(wanted), rtol=1e-4)
