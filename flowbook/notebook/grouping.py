"""A picture of very many boxes: neighbours share a box, so there is always something to read.

Scopes are the user's own way to say what belongs together, and collapse first (`outline.py`). This is for what is left:
hundreds of nodes without scopes, or as many nodes of other cells that a cell reads. Boxes go together in program order,
so arrows lead onwards as they do between nodes, and the same cell always gives the same picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from flowbook.graph.node import Node
from flowbook.notebook.outline import Arrow, Box, Outline
from flowbook.notebook.text import shorten

CROWD = 120  # own boxes of a cell that are still drawn one by one
STRANGERS = 24  # boxes of nodes of other cells that are
ROOM = 15  # characters of a name, where two of them are a title


def grouped(outline: Outline, most: int) -> Outline:
    """The outline with about ``most`` boxes of the cell's own; the same one, where there is no crowd."""
    foreign = [box for box in outline.boxes if box.foreign]
    own = [box for box in outline.boxes if not box.foreign]
    parts: list[list[Box]] = [[box] for box in foreign]
    if len(foreign) > STRANGERS:
        parts = [list(found) for _, found in groupby(foreign, lambda box: box.nodes[0].owner.label)]
        parts = list(_pieces(parts, STRANGERS))
    strangers = len(parts)
    parts += _runs(own, most) if len(own) > CROWD else [[box] for box in own]
    if len(parts) == len(outline.boxes):
        return outline
    boxes = [_merged(key, part, outline.cell) for key, part in enumerate(parts)]
    if len(own) > CROWD:  # of the scopes that are open nothing is left to be seen
        boxes[strangers:] = [_flat(box) for box in boxes[strangers:]]
    place = {box.key: key for key, part in enumerate(parts) for box in part}
    arrows: dict[tuple[int, int], bool] = {}  # and whether all of them only wait
    for source, target, control in outline.arrows:
        ends = place[source], place[target]
        if ends[0] != ends[1]:
            arrows[ends] = control and arrows.get(ends, True)
    return Outline(outline.cell, boxes, _shortest([Arrow(*ends, each) for ends, each in arrows.items()]), outline.nodes)


def _runs(boxes: Sequence[Box], most: int) -> list[list[Box]]:
    """Neighbours, as many to a box as makes ``most`` boxes. What computes gradients is apart from what does not; where
    there are few lines of code, so is what each line made."""
    runs = [list(found) for _, found in groupby(boxes, lambda box: box.backward)]
    by_line = [list(found) for run in runs for _, found in groupby(run, _line)]
    if len(by_line) <= most:
        runs = by_line
    size = -(-len(boxes) // most)
    return [run[start : start + size] for run in runs for start in range(0, len(run), size)]


def _pieces(parts: list[list[Box]], most: int) -> Iterable[list[Box]]:
    """At most so many lists, by joining neighbours."""
    size = -(-len(parts) // most)
    for start in range(0, len(parts), size):
        yield [box for part in parts[start : start + size] for box in part]


def _line(box: Box) -> object:
    origin = box.nodes[0].origin
    return None if origin is None else (origin.cell, origin.line)


def _merged(key: int, part: Sequence[Box], cell: str) -> Box:
    """One box for several."""
    first, last = part[0], part[-1]
    if len(part) == 1:
        return first._replace(key=key)
    nodes = tuple(node for box in part for node in box.nodes)
    owners = list(dict.fromkeys(node.owner.label for node in nodes))
    changes = {box.change for box in part}
    title = _ends(first, last)
    if first.foreign:
        title = owners[0] if len(owners) == 1 else f"{owners[0]} … {owners[-1]}"
    return Box(
        key,
        "group",
        title,
        f"{len(nodes)} nodes" + ("" if first.foreign else _lines(nodes, cell)),
        _ops(nodes),
        (),
        nodes,
        first.foreign,
        all(box.backward for box in part),
        any(box.stale for box in part),
        first.change if len(changes) == 1 else "changed",
    )


def _flat(box: Box) -> Box:
    return box._replace(scope=(), title="/".join((*box.scope, box.title)))


def _ends(first: Box, last: Box) -> str:
    """The names of the first and the last one, as much of them as there is room for."""
    names = ["/".join((*box.scope, box.title)) for box in (first, last)]
    return " … ".join(shorten(each, ROOM) for each in names)


def _lines(nodes: Iterable[Node], cell: str) -> str:
    """Which lines of the cell made them."""
    found = sorted({node.origin.line for node in nodes if node.origin is not None and node.origin.cell == cell})
    if not found:
        return ""
    return f", line {found[0]}" if len(found) == 1 else f", lines {found[0]} to {found[-1]}"


def _ops(nodes: Iterable[Node]) -> str:
    """The most frequent ops."""
    counts = Counter(node.op for node in nodes).most_common(4)
    names = [f"{count} {op}" for op, count in counts[:3]]
    return ", ".join(names) + (", …" if len(counts) > 3 else "")


def _shortest(arrows: list[Arrow]) -> list[Arrow]:
    """Without the arrows that say no more than a longer way does: in a crowd they hide it."""
    onwards: dict[int, list[int]] = {}
    for source, target, _ in arrows:
        if source < target:
            onwards.setdefault(source, []).append(target)
    reached: dict[int, set[int]] = {}
    for source in sorted(onwards, reverse=True):
        reached[source] = {each for target in onwards[source] for each in (target, *reached.get(target, ()))}
    further = {source: set().union(*(reached.get(each, ()) for each in targets)) for source, targets in onwards.items()}
    return [arrow for arrow in arrows if arrow.source > arrow.target or arrow.target not in further[arrow.source]]
