"""The runtime under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer: kernels, executor, threads.

Slow: the library is built anew for each, with the kernels of one variant, and part of the test suite runs on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = [
    "tests/kernels", "tests/runtime/test_engine.py", "tests/runtime/test_updates.py", "tests/compile",
    "--ignore=tests/kernels/test_capi_examples.py",  # programs of their own, which are not linked with sanitizers
    "--deselect=tests/kernels/test_capi_hostile.py::test_mutations",  # leaves no memory for a sanitizer's notes
]  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("g++") and shutil.which("ldd")), reason="no g++ here"),
]


def build(folder: Path, sanitizers: str) -> Path:
    """The library with sanitizers, in a folder of its own."""
    cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert cmake is not None, "cmake is part of the test environment"
    target = folder / "library"
    options = [
        f"-DFLOWBOOK_SANITIZE={sanitizers}", "-DFLOWBOOK_VARIANTS=v3", f"-DPython_EXECUTABLE={sys.executable}",
        f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={target}", "-DCMAKE_CXX_COMPILER=g++",
    ]  # fmt: skip
    for command in (
        [cmake, "-S", ROOT / "kernels", "-B", folder / "build", *options],
        [cmake, "--build", folder / "build", "-j", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return target


def run(library: Path, preload: str, program: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    """Python with the sanitizer's library loaded first, on the library that was built."""
    # With the library of C++ beside it, as Python has none: else exceptions are not seen by the sanitizer.
    names = [f"-print-file-name={name}" for name in (preload, "libstdc++.so.6")]
    found = [subprocess.run(["g++", name], capture_output=True, text=True).stdout.strip() for name in names]
    environment = {
        **os.environ, "LD_PRELOAD": " ".join(found), "FLOWBOOK_LIBRARY": str(library), "FLOWBOOK_CPU": "v3",
        "OPENBLAS_NUM_THREADS": "1", "PYTHONMALLOC": "malloc", **settings,
    }  # fmt: skip
    return subprocess.run([sys.executable, *program], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_addresses_and_undefined_behaviour(tmp_path: Path) -> None:
    library = build(tmp_path, "address;undefined")
    settings = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    suite = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", *SUITE]
    done = run(library, "libasan.so", suite, **settings)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


RACES = """
import threading
import numpy as np
import flowbook as fb
from tests.runtime.test_engine import normal, wide

x, fetches = wide(32)
w = fb.Variable(np.zeros((32, 32), np.float32), name="w")
step = fb.assign_add(w, fetches[0] * 0.001)
host = fb.exp(fb.py_function(lambda a: a * 2, [fetches[0]], "float32", (32, 32)) * 0.01)
session = fb.Session(threads=4)
feed = {x: normal(32, 32)}

def work(number):
    for _ in range(15):
        session.run([*fetches, step] if number % 2 else [*fetches, host], feed)

threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
with session.timeline() as timeline:
    for each in threads:
        each.start()
    for each in threads:
        each.join()
print("ran", len(timeline) > 0)
"""


def test_races(tmp_path: Path) -> None:
    """Runs beside runs on four threads. What Python and NumPy do among themselves is not ours to judge."""
    library = build(tmp_path, "thread")
    suppressions = tmp_path / "suppressions"
    suppressions.write_text("race:python3\nrace:libpython\nrace:_multiarray_umath\nrace:libscipy_openblas\n")
    done = run(library, "libtsan.so", ["-c", RACES], TSAN_OPTIONS=f"suppressions={suppressions}:exitcode=66")
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer cannot run with this kernel's memory layout")
    assert done.returncode == 0 and "ran True" in done.stdout, done.stderr[-6000:]
