"""`Profile`: how long each node took, over several watched runs.

What was measured differs from run to run, so the text that a notebook keeps has only what does not; the times are in
the picture, in the output's metadata, and in what ``print`` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from flowbook.notebook.pictures import GREY, SCALE, Picture, ascii_only, png
from flowbook.notebook.text import distinct
from flowbook.notebook.values import MAX_ROWS, table
from flowbook.runtime.trace import Trace

BARS = 24  # nodes in the picture; the others are one bar
BAR, REST = (76, 120, 168, 255), (154, 163, 175, 255)
TRACK = (125, 133, 144, 40)


Key = tuple[str, str | None, str, str, int]  # of a node: name, cell, op, device, bytes


class Row(NamedTuple):
    """One node: median, least and most seconds of a run, in how many runs; ``share`` of the sum of all medians, which
    is less than the run took. Nodes of one name in several cells are told apart by the cell."""

    node: str
    op: str
    device: str
    bytes: int
    seconds: float
    least: float
    most: float
    runs: int
    share: float


class Profile:
    """The nodes of one or more traces of the same computation. ``rows``: in the order in which the nodes ran.

    ``total``: seconds of a run, the median; ``computing``: those of its nodes, of which each row has a share. The
    difference is what happened between the nodes.
    """

    def __init__(self, traces: Sequence[Trace]) -> None:
        self.runs = len(traces)
        self.total = median(trace.total for trace in traces)
        found: dict[Key, list[float]] = {}
        for trace in traces:
            run: dict[Key, float] = {}
            for node, start, end, size, _ in trace.spans():
                info = trace.nodes[node]
                if info.parent >= 0:  # its time is part of that of the node whose body it is in
                    continue
                key = (info.name, info.owner, info.op, info.device, size)
                run[key] = run.get(key, 0.0) + end - start
            for key, seconds in run.items():
                found.setdefault(key, []).append(seconds)
        self.computing = sum(median(each) for each in found.values())
        names = _told_apart([(name, cell) for name, cell, *_ in found])
        self.rows = [
            Row(name, *key[2:], median(each), min(each), max(each), len(each), median(each) / (self.computing or 1.0))
            for name, (key, each) in zip(names, found.items(), strict=True)
        ]

    def __repr__(self) -> str:
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        nodes = "1 node" if len(self.rows) == 1 else f"{len(self.rows)} nodes"
        rows = [[each.node, each.op, each.device, str(each.bytes)] for each in self.rows[:MAX_ROWS]]
        lines = [f"profile of {runs}, {nodes} (times: print it)"]
        if rows:
            lines.append(_right(rows, ["node", "op", "device", "bytes"], 3))
        if len(self.rows) > MAX_ROWS:
            lines.append(f"  … and {len(self.rows) - MAX_ROWS} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        rows = [
            [each.node, each.op, _time(each.seconds), f"{_time(each.least)} to {_time(each.most)}", f"{each.share:.1%}"]
            for each in self.by_time()[:MAX_ROWS]
        ]
        head = f"{self.runs} x {_time(self.total)} (median), {len(self.rows)} nodes; shares are of the {self._sum()}"
        return f"{head}\n{table(rows, ['node', 'op', 'median', 'range', 'share'], indent='  ')}"

    def _sum(self) -> str:
        return f"{_time(self.computing)} that the nodes took together"

    def by_time(self) -> list[Row]:
        """The rows, longest first."""
        return sorted(self.rows, key=lambda row: -row.seconds)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self.picture().bundle
        measured = {"total": self.total, "rows": [each._asdict() for each in self.by_time()[:MAX_ROWS]]}
        return {"text/plain": repr(self), **data}, {**metadata, "flowbook": measured}

    def picture(self) -> Picture:
        """The longest nodes as bars with their times."""
        from PIL import Image, ImageDraw, ImageFont

        font = ImageFont.load_default(11 * SCALE)
        rows = self.by_time()
        shown, rest = rows[:BARS], rows[BARS:]
        names = distinct([row.node for row in shown], 36, ascii_only)
        texts = [(name, row.op, row.seconds, row.share, BAR) for name, row in zip(names, shown, strict=True)]
        if rest:
            texts.append((f"{len(rest)} more", "", sum(r.seconds for r in rest), sum(r.share for r in rest), REST))
        line, track = 18 * SCALE, 260 * SCALE
        probe = ImageDraw.Draw(Image.new("RGBA", (1, 1)))
        columns = [
            max([int(probe.textlength(text, font)) for text in column] or [0]) + 14 * SCALE
            for column in ([name for name, *_ in texts], [op for _, op, *_ in texts])
        ]
        edge = sum(columns)
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        title = ascii_only(f"{_time(self.total)} a run (median of {runs}); by node, and in % of the {self._sum()}:")
        width = max(edge + track + 130 * SCALE, int(probe.textlength(title, font)) + SCALE)
        canvas = Image.new("RGBA", (width, line * (len(texts) + 1)), (0, 0, 0, 0))
        draw = ImageDraw.Draw(canvas)
        draw.text((0, 0), title, GREY, font)
        most = max([seconds for _, _, seconds, _, _ in texts] or [0.0]) or 1.0
        for index, (name, op, seconds, share, colour) in enumerate(texts, 1):
            top = index * line
            draw.text((0, top), name, GREY, font)
            draw.text((columns[0], top), op, GREY, font)
            box = (edge, top + 3 * SCALE, edge + track, top + line - 4 * SCALE)
            draw.rounded_rectangle(box, 3 * SCALE, TRACK)
            width = max(2 * SCALE, int(track * seconds / most))
            draw.rounded_rectangle((edge, box[1], edge + width, box[3]), min(3 * SCALE, width // 2), colour)
            draw.text((edge + track + 10 * SCALE, top), ascii_only(f"{_time(seconds)}  {share:.0%}"), GREY, font)
        return png(canvas)


def _told_apart(keys: Sequence[tuple[str, str | None]]) -> list[str]:
    """Names of nodes; with the cell where several cells have one of that name. ``keys``: names and cells."""
    cells: dict[str, set[str | None]] = {}
    for name, cell in keys:
        cells.setdefault(name, set()).add(cell)
    return [
        name if len(cells[name]) == 1 else f"{name} ({f'cell {cell}' if cell else 'script'})" for name, cell in keys
    ]


def _right(rows: list[list[str]], header: list[str], column: int) -> str:
    """A table whose column of numbers is aligned at the right."""
    width = max(len(row[column]) for row in [header, *rows])
    shown = [[*row[:column], row[column].rjust(width), *row[column + 1 :]] for row in [header, *rows]]
    return table(shown[1:], shown[0], indent="  ")


def _time(seconds: float) -> str:
    """A time with three digits and its unit.

    >>> _time(0.00123), _time(2.5), _time(4.2e-6)
    ('1.23 ms', '2.5 s', '4.2 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
