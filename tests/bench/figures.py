"""Put the figures of the peers' suite into the README: flowbook beside the fastest of the others, and the limits.

    python tests/bench/figures.py results.jsonl [--write]

``results.jsonl`` is what the suite writes for one run of all peers on one machine. Without ``--write`` the table is
printed; with it the part of README.md between the two ``figures`` comments is replaced.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- figures: tests/bench/figures.py -->", "<!-- end of figures -->"
IMPORTS = {"torch_compile": "torch", "tf1": "tf", "tf_fn": "tf", "tf_xla": "tf"}  # one package, several peers
NAMES = {"tf1": "TensorFlow 1", "tf_fn": "tf.function", "tf_xla": "TensorFlow XLA", "torch_compile": "torch.compile",
         "numpy": "NumPy by hand", "torch": "PyTorch", "jax": "JAX"}  # fmt: skip


class Row(NamedTuple):
    """A workload: how it is called in the suite and here, its unit, and the time we set out for (in that unit)."""

    workload: str
    title: str
    unit: str
    scale: float
    bar: float


ROWS = (
    Row("call_overhead", "one call of 2 ops on 8 numbers", "µs", 1e6, 1.4),
    Row("chain_small", "chain of 1,000 ops on 16 numbers", "µs", 1e6, 15),
    Row("elementwise_big", "11 elementwise ops and a sum, 10 M numbers", "ms", 1e3, 8.5),
    Row("matmul@2048", "matmul 2048³", "ms", 1e3, 80),
    Row("mlp_step", "MLP training step", "ms", 1e3, 2.4),
    Row("cnn_step", "CNN training step", "ms", 1e3, 28),
    Row("lstm_step", "LSTM training step", "ms", 1e3, 6.5),
    Row("transformer_step", "transformer training step", "ms", 1e3, 62),
    Row("wide_parallel", "16 chains of 8 products 512³", "ms", 1e3, 160),
    Row("build_1000", "build 1,000 nodes, gradient, first run", "s", 1, 0.05),
    Row("build_10000", "build 10,000 nodes, gradient, first run", "s", 1, 0.5),
)
MEMORY = (("mem_cnn", "peak memory, CNN step of batch 512", 230), ("mem_big", "peak memory, the 10 M numbers", 120))

Results = dict[tuple[str, str, bool], dict[str, Any]]


def read(path: Path) -> Results:
    """The best result by peer, workload, and whether it ran on one thread."""
    best: Results = {}
    for line in path.read_text().splitlines():
        found = json.loads(line)
        options = found.get("opts") or {}
        if "min_s" not in found and "delta_mb" not in found:
            continue
        if options not in ({}, {"intra": "1", "inter": "1"}):
            continue
        key = (found["peer"], found["workload"], bool(options))
        if key not in best or found.get("min_s", 0) < best[key].get("min_s", 0):
            best[key] = found
    return best


def number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def table(best: Results, one_thread: bool) -> list[str]:
    """Rows for each workload that flowbook ran: its times, the fastest peer's, and the bar."""
    peers = sorted({peer for peer, _, _ in best} - {"flowbook", "limits", "meta"})
    lines = ["| workload | flowbook, min / median | fastest other | aim |", "|---|---|---|---|"]
    for row in ROWS:
        ours = best.get(("flowbook", row.workload, one_thread))
        if ours is None:
            continue
        others = [(best[key]["min_s"], peer) for peer in peers if (key := (peer, row.workload, one_thread)) in best]
        first = f"{NAMES.get(min(others)[1], min(others)[1])} {number(min(others)[0] * row.scale)}" if others else "–"
        low, middle = ours["min_s"] * row.scale, ours["median_s"] * row.scale
        reached = (
            ""
            if one_thread
            else f"≤ {row.bar:g}" + (" ✓" if low <= row.bar else f", missed by {low / row.bar - 1:.0%}")
        )
        lines.append(f"| {row.title} ({row.unit}) | {number(low)} / {number(middle)} | {first} | {reached or '–'} |")
    for workload, title, bar in MEMORY if not one_thread else ():
        ours = best.get(("flowbook", workload, False))
        if ours is None:
            continue
        others = [(best[key]["delta_mb"], peer) for peer in peers if (key := (peer, workload, False)) in best]
        first = f"{NAMES.get(min(others)[1], min(others)[1])} {number(min(others)[0])}" if others else "–"
        mark = "✓" if ours["delta_mb"] <= bar else f", missed by {ours['delta_mb'] / bar - 1:.0%}"
        lines.append(f"| {title} (MB) | {number(ours['delta_mb'])} | {first} | ≤ {bar} {mark} |")
    return lines


def limits(best: Results) -> str:
    """What the machine can do, as the suite measured it."""
    texts = []
    for (peer, workload, _), found in best.items():
        if peer == "limits" and workload in ("sgemm2048_1t", "sgemm2048_2t", "read400MB_2t", "copy400MB_2t"):
            value, unit = next(
                (found[key], text)
                for key, text in (("GFLOPs", "GFLOP/s"), ("GBps_r", "GB/s"), ("GBps_rw", "GB/s"))
                if key in found
            )
            texts.append(f"{workload} {number(value)} {unit}")
    return "NumPy on the same machine in the same run: " + ", ".join(texts) + "." if texts else ""


def block(best: Results) -> str:
    two, one = table(best, False), table(best, True)
    parts = ["Two threads, minima and medians; the others ran in the same run:", "", *two]
    if len(one) > 2:
        parts += ["", "One thread:", "", *one]
    found = limits(best)
    return "\n".join([*parts, *(["", found] if found else [])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--write", action="store_true", help="into README.md")
    options = parser.parse_args()
    text = block(read(options.results))
    if not options.write:
        print(text)
        return
    before, rest = README.read_text().split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
