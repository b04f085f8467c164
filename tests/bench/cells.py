"""From Shift-Enter to the shown graph, kernel side, and 1,000 re-runs of one cell.

A cell of 50 nodes stands in a graph of 500 and of 5,000 nodes, is edited and run again, and its table and picture are
made; a fifth of the graph depends on it. Then one cell is run a thousand times: neither its time nor what is alive may
grow.

    python tests/bench/cells.py [--rounds N] [--reruns N]
"""

from __future__ import annotations

import argparse
import gc
from time import perf_counter

import flowbook as fb
from flowbook.graph.graph import Graph
from flowbook.notebook.cells import run_cell
from flowbook.notebook.view import CellView

GOALS = {500: 0.1, 5_000: 0.3}  # seconds
CELL = 50


def source(start: str, prefix: str, scale: float) -> str:
    """A cell of `CELL` nodes in scopes of ten: a chain from ``start``, with a side branch at every fifth node."""
    lines, last = [], start
    for index in range(CELL):
        if index % 10 == 0:
            lines.append(f"with fb.name_scope('part{index // 10}'):")
        name = f"{prefix}_{index}"
        side = f" + {prefix}_{index - 5}" if index >= 5 and index % 5 == 0 else ""
        lines.append(f"    {name} = fb.tanh({last}){side}" if side else f"    {name} = {last} * {scale}")
        last = name
    return "\n".join(lines)


def notebook(size: int) -> tuple[Graph, dict[str, object]]:
    """A graph of about ``size`` nodes in cells; the cell ``edited`` comes first, and a fifth depends on it."""
    graph, names = fb.Graph(), {"fb": fb}
    run_cell("x = fb.placeholder((None, 8))", names, name="input", graph=graph)
    run_cell(source("x", "e", 0.5), names, name="edited", graph=graph)
    count = size // CELL
    for index in range(count - 1):
        start = f"e_{CELL - 1}" if index < count // 5 else "x"
        run_cell(source(start, f"c{index}", 0.5), names, name=f"cell{index}", graph=graph)
    return graph, names


def rerun(graph: Graph, names: dict[str, object], scale: float) -> float:
    """Seconds from the cell's text to its table and picture."""
    start = perf_counter()
    commit, _ = run_cell(source("x", "e", scale), names, name="edited", graph=graph)
    view = CellView(graph, "edited", commit)
    assert view.svg is not None and view.html is not None
    return perf_counter() - start


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--reruns", type=int, default=1000)
    options = arguments.parse_args()
    print("| a cell of 50 nodes in a graph of | min | median | goal |\n|---|---|---|---|")
    for size, goal in GOALS.items():
        graph, names = notebook(size)
        times = sorted(rerun(graph, names, 0.5 + round_ / 100) for round_ in range(options.rounds))
        row = f"{times[0] * 1e3:.0f} ms | {times[len(times) // 2] * 1e3:.0f} ms | {goal * 1e3:.0f} ms"
        print(f"| {len(graph)} nodes | {row} |")

    graph, names = notebook(500)
    rerun(graph, names, 0.5)
    print("\n| re-runs | median | objects alive |\n|---|---|---|")
    part = options.reruns // 4
    for quarter in range(4):
        times = sorted(rerun(graph, names, 0.5 + index % 7 / 100) for index in range(part))
        gc.collect()
        span = f"{quarter * part + 1} to {(quarter + 1) * part}"
        print(f"| {span} | {times[part // 2] * 1e3:.0f} ms | {len(gc.get_objects()):,} |")


if __name__ == "__main__":
    main()
