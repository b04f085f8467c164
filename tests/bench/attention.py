"""Attention as one node beside the products and the softmax that it stands for, and PyTorch's where that is installed.

    python tests/bench/attention.py [--seconds S] [--threads N] [--batch B] [--heads H] [--depth D] [TIME ...]

For each length of time, causal or not, forward and with the gradients: least times, measured in turns, and the peak of
what a run allocates. The operands are (batch, time, heads, depth), transposed. PyTorch's are the same.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

arguments = argparse.ArgumentParser(description="attention as one node beside products and softmax")
arguments.add_argument("times", nargs="*", type=int, default=[128, 256, 512, 1024])
arguments.add_argument("--seconds", type=float, default=2.0, help="for each row")
for _name, _value in (("threads", 1), ("batch", 8), ("heads", 8), ("depth", 64)):
    arguments.add_argument(f"--{_name}", type=int, default=_value)
OPTIONS = arguments.parse_args()
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = str(OPTIONS.threads)  # before NumPy is imported
sys.path[:0] = [str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402

import flowbook as fb  # noqa: E402

ORDER = (0, 2, 1, 3)
Step = Callable[[], Any]


def ours(data: list[Any], weigh: Any, causal: bool, back: bool) -> tuple[Step, int]:
    """A call, and the bytes of its peak. With a ``weigh``, attention is made of products and softmax."""
    graph = fb.Graph()
    with graph.as_default():
        xs = [fb.placeholder(each.shape) for each in data]
        q, k, v, dy = (fb.transpose(each, ORDER) for each in xs)
        y = fb.nn.attention(q, k, v, causal=causal, weigh=weigh)
        fetches = [y, *fb.gradients(y, xs[:3], grad_ys=[dy])] if back else [y]
    session = fb.Session(graph, threads=OPTIONS.threads)
    memory = session.memory(fetches, dict(zip(xs, data, strict=True)))
    call = session.make_callable(fetches, xs)
    return lambda: call(*data), memory.peak if memory else 0


def theirs(torch: Any, data: list[Any], causal: bool, back: bool) -> Step:
    torch.set_num_threads(OPTIONS.threads)
    *xs, dy = (torch.from_numpy(each) for each in data)

    def step() -> Any:
        leaves = [each.detach().requires_grad_(back) for each in xs]
        q, k, v = (each.permute(*ORDER) for each in leaves)
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        if not back:
            return [y.numpy()]
        y.backward(dy.permute(*ORDER))
        return [y.detach().numpy(), *[each.grad.numpy() for each in leaves]]

    return step


def row(time: int, causal: bool, back: bool, torch: Any) -> str:
    rng = np.random.default_rng(time)
    shape = OPTIONS.batch, time, OPTIONS.heads, OPTIONS.depth
    data = [rng.standard_normal(shape).astype("float32") for _ in range(4)]
    one, one_peak = ours(data, None, causal, back)
    several, peak = ours(data, lambda weights: weights, causal, back)
    steps = [one, several, *([theirs(torch, data, causal, back)] if torch else [])]
    results = [step() for step in steps]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            if not np.allclose(a, b, rtol=1e-3, atol=1e-4):
                raise SystemExit(f"time {time}: results differ by {np.abs(a - b).max()}")
    times = [float("inf")] * len(steps)
    end = perf_counter() + OPTIONS.seconds
    while perf_counter() < end:
        for index, step in enumerate(steps):
            start = perf_counter()
            step()
            times[index] = min(times[index], perf_counter() - start)
    columns = [f"{each * 1e3:.3g}" for each in times] + ["-"] * (3 - len(steps))
    what = f"{time}{', causal' if causal else ''}{', with gradients' if back else ''}"
    return f"| {what} | {' | '.join(columns)} | {one_peak / 1e6:.1f} | {peak / 1e6:.1f} |"


def main() -> None:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        torch = None
    print(f"batch {OPTIONS.batch}, {OPTIONS.heads} heads of {OPTIONS.depth}, threads: {OPTIONS.threads}\n")
    print("| time | one node (ms) | nodes (ms) | PyTorch (ms) | peak of one node (MB) | of nodes (MB) |")
    print("|---|---|---|---|---|---|")
    for time in OPTIONS.times:
        for causal in (False, True):
            for back in (False, True):
                print(row(time, causal, back, torch), flush=True)


if __name__ == "__main__":
    main()
