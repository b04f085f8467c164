"""Run a notebook in a real JupyterLab and take pictures of it, screen by screen.

python tests/tools/lab_screenshot.py notebooks/04-train-a-classifier.ipynb build/pictures --theme dark

The notebook file itself is not changed. Exits with 1 when a cell failed or the page
reported an error.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools.lab import Lab, missing


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--timeout", type=float, default=300, help="seconds for starting, and for running")
    parser.add_argument("--no-run", action="store_true", help="show the notebook as it is saved")
    parser.add_argument("--no-sidebar", action="store_true", help="hide the file list")
    args = parser.parse_args(argv)
    if reason := missing():
        print(reason, file=sys.stderr)
        return 2

    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="flowbook-lab-") as copy:
        notebook = Path(shutil.copy(args.notebook, copy))
        for name in args.notebook.parent.glob("*.py"):  # helpers that a notebook may import
            shutil.copy(name, copy)
        with Lab(notebook, theme=args.theme, width=args.width, height=args.height, timeout=args.timeout) as lab:
            if args.no_sidebar:
                lab.hide_sidebar()
            if not args.no_run:
                lab.run_all()
            stem = args.notebook.stem + ("-dark" if args.theme == "dark" else "")
            for path in lab.screenshots(args.folder, stem):
                print(path)
            failures, errors = lab.failures(), lab.errors
    print(f"{time.perf_counter() - started:.0f} s, {len(failures)} failed cells, {len(errors)} page errors")
    for line in failures + errors:
        print("  " + line)
    return 1 if failures or errors else 0


if __name__ == "__main__":
    sys.exit(main())
