"""`import flowbook` is light: what only some uses need is loaded by those uses."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = [
    "IPython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "cupy",
    "graphviz",
    "matplotlib",
    "scipy",
    "sklearn",
]


def test_import_is_light() -> None:
    program = "import json, sys, flowbook; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "flowbook" in loaded and "numpy" in loaded
    assert loaded.isdisjoint(HEAVY), sorted(loaded.intersection(HEAVY))


def test_import_prints_nothing() -> None:
    program = [sys.executable, "-W", "error", "-c", "import flowbook"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
