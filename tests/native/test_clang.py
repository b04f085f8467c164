"""Clang instead of GCC: the library builds without a warning and passes, and operators of users compile. Slow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIANTS = ("base", "v3", "v4")
SUITE = ["tests/kernels", "tests/runtime/test_engine.py", "tests/compile/test_fuse.py"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("clang++") is None, reason="no clang++ here")]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the library that Clang built; what it is not sure of is an error."""
    folder = tmp_path_factory.mktemp("clang")
    cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert cmake is not None, "cmake is part of the test environment"
    target = folder / "library"
    options = [
        f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}",
        "-DCMAKE_CXX_COMPILER=clang++", "-DCMAKE_CXX_FLAGS=-Werror",
    ]  # fmt: skip
    for command in (
        [cmake, "-S", ROOT / "kernels", "-B", folder / "build", *options],
        [cmake, "--build", folder / "build", "-j", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return target


def run(library: Path, program: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FLOWBOOK_LIBRARY": str(library), "OPENBLAS_NUM_THREADS": "1", **settings}
    return subprocess.run([sys.executable, *program], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_kernels(library: Path, variant: str) -> None:
    about = "from flowbook.native import library as n; print(n.__file__, n.variant())"
    loaded = run(library, ["-c", about], FLOWBOOK_CPU=variant).stdout.split()
    assert Path(loaded[0]).parent == library
    if loaded[1] != variant:
        pytest.skip(f"this CPU cannot run {variant}")
    suite = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", *SUITE]
    done = run(library, suite, FLOWBOOK_CPU=variant)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_operators_of_users(library: Path, tmp_path: Path) -> None:
    """With no other compiler on the path."""
    (tmp_path / "bin").mkdir()
    for name in ("clang++", "ld"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / "bin" / name).symlink_to(found)
    environment = {"PATH": str(tmp_path / "bin"), "CXX": "", "FLOWBOOK_CACHE": str(tmp_path / "cache")}
    suite = ["tests/kernels/test_native_op.py", "-k", "not which_compiler"]  # that one asks for c++
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", *suite]
    done = run(library, suite, **environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
