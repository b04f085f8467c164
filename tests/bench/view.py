"""How long an exported file takes to open, in Chromium: until the graph is drawn, and until a step is.

python tests/bench/view.py [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from flowbook.notebook import assets
from flowbook.notebook.export import page
from flowbook.notebook.protocol import PROTOCOL, pack
from tests.tools import lab
from tests.tools.page import Page

SIZES = (100, 2_000, 50_000)
STEP = """() => new Promise((done) => {
    const start = performance.now();
    document.querySelector('.fb-bar button[title^="Step back"]').click();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})"""


def messages(count: int) -> list[dict[str, Any]]:
    """A chain of nodes in scopes of ten, run one after the other."""
    import numpy as np

    spec = {"dtype": "float32", "shape": [64, 64]}
    nodes = [
        {
            "name": f"block{index // 100}/part{index // 10}/tanh_{index}",
            "scope": [f"block{index // 100}", f"part{index // 10}"],
            "op": "tanh",
            "kind": "op",
            "outputs": [spec],
            "inputs": [{"node": index - 1, "output": 0}] if index else [],
        }
        for index in range(count)
    ]
    order = np.arange(count, dtype=np.int32)
    rows = 2 * count
    events = {
        "node": np.repeat(order, 2),
        "state": np.tile(np.array([2, 3], np.uint8), count),
        "seconds": np.arange(rows) * 1e-5,
        "bytes": np.full(rows, 16384.0),
        "thread": np.zeros(rows, np.int32),
    }
    run = {"order": order, "devices": ["cpu:0"] * count, "threads": ["main"], "fetches": [], "total": rows * 1e-5}
    return [
        {"type": "graph", "protocol": PROTOCOL, "title": f"{count} nodes", "live": False, "nodes": nodes},
        {"type": "run", "run": 0, **run},
        {"type": "events", "run": 0, "first": 0, **events},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if reason := lab.missing():
        print(f"not measured: {reason}")
        return
    extension = Path(__file__).parents[2] / "extension" / "labextension" / "static"
    sizes = sorted((path.stat().st_size for path in extension.glob("*.js")), reverse=True)
    print(
        f"in an exported page the view is {len(assets.page().encode()) / 1e6:.2f} MB; JupyterLab's extension is "
        f"{sum(sizes) / 1e6:.2f} MB, {sum(sizes[2:]) / 1e6:.2f} of it without the view and the layout"
    )
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.html"
            path.write_text(page([pack(each) for each in messages(size)], "bench"), encoding="utf-8")
            opened, stepped = [], []
            for _ in range(rounds):
                with Page(path) as view:
                    opened.append(view.page.evaluate("performance.getEntriesByName('flowbook ready')[0].startTime"))
                    stepped += [view.page.evaluate(STEP) for _ in range(5)]
            print(
                f"{size:>6} nodes: {path.stat().st_size / 1e6:5.1f} MB, "
                f"open in {statistics.median(opened):5.0f} ms (worst {max(opened):.0f}), "
                f"a step drawn in {statistics.median(stepped):.0f} ms (worst {max(stepped):.0f})"
            )


if __name__ == "__main__":
    main()
