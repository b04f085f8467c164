"""How time grows with the graph and falls with threads: ``build/scaling.png`` and the figures it shows.

    python tests/bench/scaling.py [--seconds S] [--nodes N ...]

Graphs are chains of 10² to 10⁵ small operations: building one with its gradient and running it the first time, and
running it again, each for one node. Training steps run on 1, 2, ... threads. Minima and medians.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported: flowbook's threads are its own
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import peer_flowbook as ours  # noqa: E402

import flowbook as fb  # noqa: E402
from flowbook.native import CPUS  # noqa: E402

matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402

TARGET = Path(__file__).parents[2] / "build" / "scaling.png"
STEPS = ("mlp_step", "cnn_step", "lstm_step", "transformer_step", "wide_parallel")
Times = tuple[float, float]  # min, median


def timed(call: Callable[[], Any], seconds: float) -> Times:
    times = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(times) < 5:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    times.sort()
    return times[0], times[len(times) // 2]


def chain(nodes: int, seconds: float) -> tuple[float, Times]:
    """Seconds for each node: built, differentiated and run the first time; run again."""
    data = np.linspace(-1, 1, 16, dtype=np.float32)
    with fb.Graph().as_default():
        start = perf_counter()
        x = fb.placeholder((16,), name="x")
        y = fb.sum(ours._chain(x, nodes // 2))
        call = fb.Session().make_callable([y, *fb.gradients(y, [x])], [x])
        call(data)
        first = perf_counter() - start
        low, middle = timed(lambda: call(data), seconds)
    return first / nodes, (low / nodes, middle / nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each point")
    parser.add_argument("--nodes", type=int, nargs="*", default=[100, 1000, 10_000, 100_000])
    options = parser.parse_args()

    print("| nodes | built with gradient and run once | run again, min / median |\n|---|---|---|")
    points = []
    for nodes in options.nodes:
        first, (low, middle) = chain(nodes, options.seconds)
        points.append((nodes, first, low))
        print(
            f"| {nodes:,} | {first * 1e6:.1f} µs a node | {low * 1e9:.1f} / {middle * 1e9:.1f} ns a node |", flush=True
        )

    threads = [1, *range(2, CPUS + 1)]
    print(f"\n| workload | {' | '.join(f'{count} threads' for count in threads)} |\n|---|{'---|' * len(threads)}")
    speeds: dict[str, list[float]] = {}
    for name in STEPS:
        found = []
        for count in threads:
            ours.reset()
            ours.setup("flowbook", count, count)
            step = getattr(ours, name)()
            step()
            found.append(timed(step, options.seconds))
        speeds[name] = [found[0][0] / low for low, _ in found]
        print(
            f"| {name} | {' | '.join(f'{low * 1e3:.2f} / {middle * 1e3:.2f} ms' for low, middle in found)} |",
            flush=True,
        )

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.loglog([row[0] for row in points], [row[1] * 1e6 for row in points], "o-", label="built, first run (µs)")
    left.loglog([row[0] for row in points], [row[2] * 1e9 for row in points], "s-", label="run again (ns)")
    left.set(xlabel="nodes", title="time for each node", ylim=(1, None))
    left.legend()
    for name, speed in speeds.items():
        right.plot(threads, speed, "o-", label=name)
    right.plot(threads, threads, ":", color="gray", label="ideal")
    right.set(xlabel="threads", title="speed, 1 thread = 1", xticks=threads)
    right.legend()
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=120)
    print(f"\ndrawn in {TARGET.relative_to(TARGET.parents[1])}")


if __name__ == "__main__":
    main()
