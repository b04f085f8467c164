"""A cell as text: a table of its nodes, and what its commit meant for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flowbook.graph.graph import Graph
from flowbook.graph.transaction import Commit
from flowbook.notebook.outline import Box, Outline
from flowbook.notebook.values import MAX_ROWS, table

WIDEST = 60  # characters of a name or a shape
MAX_OUTPUTS = 8  # of one node
HEADER = ("name", "op", "dtype", "shape", "device", "line")


def cell_table(outline: Outline) -> str:
    """The table of a cell: one row for each node, or for each scope that is shown as one box.

    The device is the one asked for, the line that of the cell (or file:line of a helper defined elsewhere).
    """
    own = [box for box in outline.boxes if not box.foreign]
    count = "1 node" if outline.nodes == 1 else f"{outline.nodes} nodes"
    if not own:
        return count
    rows = [_row(box, outline.cell) for box in own[:MAX_ROWS]]
    columns = [place for place in range(len(HEADER)) if place in (0, 1) or any(row[place] for row in rows)]
    lines = [
        count,
        table([[row[place] for place in columns] for row in rows], [HEADER[place] for place in columns], indent="  "),
    ]
    if len(own) > MAX_ROWS:
        lines.append(f"  … and {len(own) - MAX_ROWS} more")
    return "\n".join(lines)


def _row(box: Box, cell: str) -> list[str]:
    if box.kind == "scope":
        return ["/".join((*box.scope, box.title)) + "/", box.detail, "", "", "", ""]
    node = box.nodes[0]
    origin = node.origin
    line = ""
    if origin is not None:
        line = str(origin.line) if origin.cell == cell else repr(origin)
    specs = [each.spec for each in node.outputs[:MAX_OUTPUTS]]
    dtypes = [spec.dtype.name for spec in specs]
    shapes = [shorten(repr(spec).partition(" ")[2]) for spec in specs]
    if len(node.outputs) > MAX_OUTPUTS:
        dtypes.append(f"… and {len(node.outputs) - MAX_OUTPUTS} more")
    name = shorten(node.name) + (f" (stale: {node.stale})" if node.stale else "")
    return [name, node.op, "\n".join(dtypes), "\n".join(shapes), node.device or "", line]


def shorten(text: str, limit: int = WIDEST) -> str:
    """At most ``limit`` characters of a text: its beginning and its end.

    >>> shorten("a_very_long_name", 9)
    'a_ve…name'
    """
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[len(text) - (limit - 1) // 2 :]}"


def distinct(texts: Sequence[str], limit: int, write: Callable[[str], str] = str) -> list[str]:
    """Each text in at most about ``limit`` characters, as ``write`` writes it; different texts stay different: what
    tells them apart is kept, and where that is not enough, a number.

    >>> distinct(["short", "layer/block_1/dense/kernel", "layer/block_2/dense/kernel"], 16)
    ['short', 'lay…ock_1/dense/', 'lay…ock_2/dense/']
    """
    found = {text: write(shorten(text, limit)) for text in texts}
    for _, group in _alike(found):
        letters = zip(*group, strict=False)
        same = next((at for at, each in enumerate(letters) if len(set(each)) > 1), min(map(len, group)))
        apart = max(0, same - 4)
        head = min(apart, limit // 5)
        if any(len(text) > limit for text in group):
            found.update((text, write(f"{text[:head]}…{text[apart : apart + limit - head - 1]}")) for text in group)
    for short, group in _alike(found):
        for number, text in enumerate(group[1:], 2):
            mark = f" #{number}"
            found[text] = short[: limit - len(mark)] + mark
    return [found[text] for text in texts]


def _alike(shown: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Texts that are shown as the same."""
    groups: dict[str, list[str]] = {}
    for text, short in shown.items():
        groups.setdefault(short, []).append(text)
    return [(short, group) for short, group in groups.items() if len(group) > 1]


def notices(graph: Graph, commit: Commit, kept: list[str]) -> list[str]:
    """What a re-run changed beyond the cell: derivations built again, consumers that no longer fit, kept values."""
    lines = []
    again: dict[str, list[str]] = {}
    for derivation in commit.derivations:
        names = [node.live.name for node in derivation.outputs if node is not None and node.live.record is not None]
        again.setdefault(derivation.owner.label, []).extend(names)
    if again:
        lines.append("derived again: " + "; ".join(f"{_list(names)} of {cell}" for cell, names in again.items()))
    stale: dict[tuple[str, str | None], list[str]] = {}
    for node in sorted(commit.journal.newly_stale(), key=lambda node: node.order):
        derivation = node.current.derivation  # of a whole gradient its results say enough
        if derivation is None or node in derivation.outputs:
            stale.setdefault((node.owner.label, node.stale), []).append(node.name)
    for (cell, reason), names in stale.items():
        lines.append(f"stale: {_list(names)} of {cell}: {reason}; run it again")
    for name in kept:
        lines.append(f"{name} keeps its value; %flow reset {name} starts again from the new initial value")
    return lines


def _list(names: list[str], limit: int = 6) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
