"""The example programs of kernels/example, and the one in flowbook.hpp, built as a user would build them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
import flowbook.native

pytest.importorskip("flowbook.native._native")

KERNELS = Path(__file__).parents[2] / "kernels"
EXAMPLE = KERNELS / "example"
if not (EXAMPLE / "CMakeLists.txt").exists():
    pytest.skip("the sources are not here", allow_module_level=True)
if shutil.which("cmake") is None or shutil.which("c++") is None:
    pytest.skip("there is no CMake, or no C++ compiler", allow_module_level=True)


def run(*command: Any, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The finished process; its output when it fails."""
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    build = tmp_path_factory.mktemp("example")
    run("cmake", "-S", EXAMPLE, "-B", build, f"-DFLOWBOOK_DIR={flowbook.native.path()}", "-DCMAKE_BUILD_TYPE=Debug")
    built = run("cmake", "--build", build)
    assert "warning" not in built.stdout + built.stderr
    return build


def test_a_graph_from_python_trains(programs, tmp_path):
    path, checkpoint = tmp_path / "model.flow", tmp_path / "model.ckpt"
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
    fb.save_graph(path, graph, session)
    lines = run(programs / "train", path, 4, checkpoint).stdout.splitlines()
    assert lines[:2] == ["variable filters", "variable w"]
    losses = [np.float32(line.split()[1]) for line in lines if line.startswith("loss")]

    count = 16 * 36
    images = ((np.arange(count) * 7 % 19).astype(np.float32) / np.float32(19) - np.float32(0.5)).reshape(16, 6, 6, 1)
    feeds = {x: images, y: (np.arange(16) % 3).astype(np.int32)}
    wanted = [session.run([loss, "train"], feeds, trace=True)[0] for _ in range(4)]
    assert losses == wanted
    trained = [session.run(each) for each in graph.variables]
    session.restore(checkpoint)
    for variable, value in zip(graph.variables, trained, strict=True):
        assert session.run(variable).tobytes() == value.tobytes(), variable

    failed = run(programs / "train", tmp_path / "nothing", 1, check=False)
    assert failed.returncode == 1
    assert "No such file" in failed.stderr


def test_a_graph_that_is_built_in_cpp(programs):
    lines = run(programs / "forward").stdout.splitlines()
    assert lines[-1] == "runs 2"

    def ramp(shape: Any, scale: float) -> Any:
        numbers = np.arange(np.prod(shape)) % 11 - 5
        return (np.float32(scale) * numbers.astype(np.float32)).reshape(shape)

    for batch, rows in ((1, lines[:1]), (3, lines[1:4])):
        hidden = np.maximum(ramp((batch, 4), 1.0) @ ramp((4, 8), 0.1), 0)
        scores = np.exp(hidden @ ramp((8, 3), 0.2) / 2)
        wanted = scores / scores.sum(1, keepdims=True)
        found = np.array([row.split()[:3] for row in rows], float)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert [int(row.split()[-1]) for row in rows] == wanted.argmax(1).tolist()


def _compile(tmp_path: Path, name: str, source: str) -> str:
    """Compile a program against the headers, run it, and return what it prints."""
    file = tmp_path / name
    file.write_text(source)
    compiler = ["cc", "-std=c99"] if name.endswith(".c") else ["c++", "-std=c++17"]
    folder = flowbook.native.path()
    options = ["-Wall", "-Wextra", "-Werror", f"-I{KERNELS / 'include'}", f"-L{folder}", f"-Wl,-rpath,{folder}"]
    run(*compiler, *options, file, "-lflowbook", "-o", tmp_path / "program")
    return subprocess.run([tmp_path / "program"], cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout


def test_the_example_of_the_cpp_header(tmp_path):
    text = (KERNELS / "include" / "flowbook.hpp").read_text()
    source = "".join(f"{line}\n" for line in re.findall(r"^//     ?(.*)$", text.split("\n// Graphs,")[0], re.MULTILINE))
    printed = [float(each) for each in _compile(tmp_path, "example.cpp", source).split()]
    scores = np.exp(np.array([[1.5, 2.5], [8.5, 10.5]]))
    np.testing.assert_allclose(printed[:4], (scores / scores.sum(1, keepdims=True)).ravel(), rtol=1e-4)
    assert printed[4] == 7


def test_the_example_of_the_c_header(tmp_path):
    text = (KERNELS / "include" / "flowbook.h").read_text()
    source = "".join(f"{line}\n" for line in re.findall(r"^     (.*)$", text.split("Statuses.")[0], re.MULTILINE))
    with fb.Graph().as_default() as graph:
        fb.multiply(fb.placeholder(("n", 3), name="x"), 10.0, name="y")
    fb.save_graph(tmp_path / "model.flow", graph)
    assert _compile(tmp_path, "example.c", source) == "10\n"
