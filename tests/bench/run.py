"""``make bench``: flowbook beside hand-written NumPy, in one process, on this machine.

Each workload is run by both in turns, so that what else happens on the machine meets both alike; the first losses
have to agree before anything is timed. Prints a table of least and median times, and writes it to ``build/bench.md``.

    python tests/bench/run.py [--seconds S] [--threads N] [WORKLOAD ...]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from time import perf_counter

arguments = argparse.ArgumentParser(description="flowbook beside hand-written NumPy")
arguments.add_argument("workloads", nargs="*", help="default: all")
arguments.add_argument("--seconds", type=float, default=4.0, help="for each workload")
arguments.add_argument("--threads", type=int, default=1, help="of flowbook, and of NumPy's BLAS")
OPTIONS = arguments.parse_args()
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = str(OPTIONS.threads)  # before NumPy is imported
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import handwritten  # noqa: E402
import numpy as np  # noqa: E402
import peer_flowbook as ours  # noqa: E402

import flowbook as fb  # noqa: E402

STEPS = ("mlp_step", "cnn_step", "transformer_step", "call_overhead")
BUILDS = {"build_1000": 0.05, "build_10000": 0.6}  # seconds that were promised
TARGET = Path(__file__).parents[2] / "build" / "bench.md"


def pair(name: str, seconds: float) -> tuple[list[float], list[float]]:
    """Sorted times of one call, flowbook's and NumPy's, measured in turns."""
    ours.reset()
    steps = [getattr(ours, name)(), getattr(handwritten, name)()]
    for _ in range(3):
        found, wanted = (np.asarray(step()) for step in steps)
        if not np.allclose(found, wanted, rtol=1e-4):
            raise SystemExit(f"{name}: flowbook computes {found}, NumPy {wanted}")
    inner = [max(1, int(0.002 / clock(step, 1))) for step in steps]
    times: list[list[float]] = [[], []]
    end = perf_counter() + seconds
    while perf_counter() < end or len(times[0]) < 5:
        for found_times, step, count in zip(times, steps, inner, strict=True):
            found_times.append(clock(step, count))
    return sorted(times[0]), sorted(times[1])


def clock(step: ours.Step, count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        step()
    return (perf_counter() - start) / count


def build(length: int) -> list[float]:
    """Sorted times of building a chain of so many nodes and its gradient."""
    times = []
    for _ in range(5):
        with fb.Graph().as_default():
            start = perf_counter()
            x = fb.placeholder((16,), name="x")
            fb.gradients(fb.sum(ours._chain(x, length)), [x])
            times.append(perf_counter() - start)
    return sorted(times)


def show(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def main() -> None:
    chosen = OPTIONS.workloads or [*STEPS, *BUILDS]
    if unknown := set(chosen) - {*STEPS, *BUILDS}:
        raise SystemExit(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join((*STEPS, *BUILDS))}")
    ours.setup("flowbook", OPTIONS.threads, OPTIONS.threads)
    rows = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"threads of both: {OPTIONS.threads}",
        "",
        "| workload | flowbook min / median | NumPy min / median | ratio of min / median |",
        "|---|---|---|---|",
    ]
    print("\n".join(rows))
    for name in chosen:
        if name in BUILDS:
            times, limit = build(int(name.split("_")[1])), BUILDS[name]
            share = f"{times[0] / limit:.2f} / {times[2] / limit:.2f}"
            row = f"| {name} | {show(times[0])} / {show(times[2])} | goal: {show(limit)} | {share} |"
        else:
            a, b = pair(name, OPTIONS.seconds)
            middle = a[len(a) // 2], b[len(b) // 2]
            row = (
                f"| {name} | {show(a[0])} / {show(middle[0])} | {show(b[0])} / {show(middle[1])} "
                f"| {a[0] / b[0]:.2f} / {middle[0] / middle[1]:.2f} |"
            )
        print(row, flush=True)
        rows.append(row)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"\nwritten to {TARGET}")


if __name__ == "__main__":
    main()
