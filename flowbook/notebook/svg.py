"""A cell's part of the graph as a static SVG.

The file is the same on every run and machine: no times, addresses or random ids. Every text is escaped. Colours: a
card brings its own ground, so it can be read on a light and on a dark page; where the page tells (a browser's
``prefers-color-scheme``), the cards follow. Lines and titles of scopes are grey that shows on both.
"""

from __future__ import annotations

from flowbook.graph.node import Node
from flowbook.notebook.formula import formula, purpose
from flowbook.notebook.grouping import grouped
from flowbook.notebook.layout import HEADER, Layout, LayoutError, Point, place
from flowbook.notebook.outline import CLOSED, Box, Outline, Path

MAX_BYTES = 400_000
GROUPS = (18, 10, 5)  # boxes for a crowd; fewer where the picture would be too large, or too wide to read
WIDE = 900  # points: a picture wider than this goes from top to bottom
WIDEST = 1000  # and one wider than this is made smaller
MARGIN = 6.0
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"

STYLE = """
.fb-card{fill:#ffffff;stroke:#c3c9d1}
.fb-scope-card{fill:#f3f5f8;stroke:#9aa3af}
.fb-back{fill:#fdf3e9;stroke:#e3b98f}
.fb-name{fill:#1c2430}.fb-op{fill:#4b5563}.fb-spec{fill:#7b8491}
.fb-box{fill:#8a93a0;fill-opacity:.07;stroke:#8a93a0;stroke-opacity:.55}
.fb-title{fill:#7d8590}
.fb-line{fill:none;stroke:#8a93a0;stroke-width:1.2}
.fb-head{fill:#8a93a0}
.fb-wait{stroke-dasharray:3 3}
.fb-grad{stroke:#d9822b;stroke-opacity:.75}
.fb-gradhead{fill:#d9822b;fill-opacity:.75}
.fb-foreign{opacity:.6}.fb-foreign .fb-card{stroke-dasharray:3 2}
.fb-stale .fb-card,.fb-stale .fb-scope-card{stroke:#d1242f;stroke-width:1.6;stroke-dasharray:5 3}
.fb-warn{fill:#d1242f}
.fb-changed .fb-card,.fb-changed .fb-scope-card{stroke:#bf8700;stroke-width:1.6}
.fb-mark{fill:#bf8700}
.fb-placeholder{fill:#4c78a8}.fb-variable{fill:#2f9e8f}.fb-constant{fill:#9aa3af}.fb-copy{fill:#b279a2}
.fb-write{fill:#54a24b}.fb-gradient{fill:#d9822b}.fb-plain{fill:#c9cfd8}
@media (prefers-color-scheme:dark){
.fb-card{fill:#1c2128;stroke:#444c56}
.fb-scope-card{fill:#262c36;stroke:#57606a}
.fb-back{fill:#2a211a;stroke:#6e4b2a}
.fb-name{fill:#e6edf3}.fb-op{fill:#b1bac4}.fb-spec{fill:#8b949e}
.fb-plain{fill:#57606a}
}
"""


def draw(outline: Outline) -> str:
    """The SVG of an outline; of very many boxes, neighbours share one. Raises `LayoutError` when there is no layout."""
    shown = [grouped(outline, most) for most in GROUPS]
    for tried in shown:
        layout, sizes = _arrange(tried)
        if tried is outline or layout.width <= 1.4 * WIDEST or tried is shown[-1]:
            picture = _svg(tried, layout, sizes)
            if len(picture.encode()) <= MAX_BYTES:
                return picture
    raise LayoutError(f"the picture would be larger than {MAX_BYTES // 1000} kB; use name scopes")


def _arrange(outline: Outline) -> tuple[Layout, dict[int, tuple[float, float]]]:
    sizes = {box.key: _size(box) for box in outline.boxes}
    scopes = {box.key: box.scope for box in outline.boxes}
    across = bool(outline.arrows)
    layout = place(sizes, scopes, outline.arrows, across=across)
    if layout.width > WIDE:
        if not across:  # then one below the other, which Graphviz fills from below
            scopes = dict(reversed(scopes.items()))
        other = place(sizes, scopes, outline.arrows, across=not across)
        layout = min(layout, other, key=lambda each: each.width)
    return layout, sizes


def _svg(outline: Outline, layout: Layout, sizes: dict[int, tuple[float, float]]) -> str:
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    scale = min(1.0, WIDEST / width)
    label = f"{outline.nodes} nodes of cell {outline.cell}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width * scale)}" height="{_n(height * scale)}" '
        f'viewBox="{_n(-MARGIN)} {_n(-MARGIN)} {_n(width)} {_n(height)}" role="img" aria-label="{escape(label)}">',
        f"<style>{STYLE}</style>",
    ]
    for path, rectangle in layout.scopes.items():
        parts.append(_scope(path, rectangle))
    back = {box.key for box in outline.boxes if box.backward}
    for arrow, points in layout.arrows.items():
        parts.append(_line(points, control=arrow.control, backward=arrow.source in back))
    for box in outline.boxes:
        parts.append(_card(box, layout.boxes[box.key], sizes[box.key]))
    return "\n".join([*parts, "</svg>"])


# ------------------------------------------------------------------------------------------------ pieces


def _lines(box: Box) -> list[tuple[str, str]]:
    """Class and text of the lines on a card."""
    rows = [("name", box.title)]
    node = box.nodes[0]
    if box.foreign and box.kind not in CLOSED:
        rows.append(("op", node.owner.label))
    elif box.detail != node.op or not _says(box.title, node.op):
        rows.append(("op", box.detail))
    if box.spec:
        rows.append(("spec", box.spec))
    if box.stale:
        rows.append(("warn", "stale"))
    elif box.change:
        rows.append(("mark", box.change))
    return [(kind, _short(text)) for kind, text in rows]


def _says(title: str, op: str) -> bool:
    """Whether a title already says which operation it is: ``relu_1``."""
    return title == op or title.rpartition("_")[0] == op


def _short(text: str, limit: int = 34) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _size(box: Box) -> tuple[float, float]:
    rows = _lines(box)
    width = max((7.4 if kind == "name" else 6.2) * len(text) for kind, text in rows)
    node = box.nodes[0]
    device = 6.2 * len(node.device) + 8 if node.device and box.kind not in CLOSED else 0
    return max(72.0, width + 22 + device), 14.0 + 15.0 * len(rows)


def _card(box: Box, centre: Point, size: tuple[float, float]) -> str:
    (x, y), (width, height) = centre, size
    left, top = x - width / 2, y - height / 2
    kinds = ["fb-foreign"] * box.foreign + ["fb-stale"] * box.stale + ["fb-changed"] * bool(box.change)
    card = "fb-scope-card" if box.kind in CLOSED else "fb-card"
    if box.backward:
        card += " fb-back"
    strip = "fb-gradient" if box.backward else f"fb-{box.kind}" if box.kind not in ("op", *CLOSED) else "fb-plain"
    parts = [f'<g class="{" ".join(kinds)}">' if kinds else "<g>", f"<title>{escape(tooltip(box))}</title>"]
    if box.kind in CLOSED:  # a second card behind says that there is more
        parts.append(_rect(left + 3, top + 3, width, height, card))
    parts.append(_rect(left, top, width, height, card))
    parts.append(
        f'<path class="{strip}" d="M{_n(left + 5)} {_n(top)}h-1a4 4 0 0 0-4 4v{_n(height - 8)}a4 4 0 0 0 4 4h1z"/>'
    )
    for row, (kind, text) in enumerate(_lines(box)):
        font = f'font-family="{MONO}" font-size="12" font-weight="600"' if kind == "name" else ""
        font = font or f'font-family="{SANS}" font-size="11"'
        at = f'x="{_n(left + 13)}" y="{_n(top + 18 + 15 * row)}"'
        parts.append(f'<text class="fb-{kind}" {at} {font}>{escape(text)}</text>')
    device = box.nodes[0].device if box.kind not in CLOSED else None
    if device:
        parts.append(
            f'<text class="fb-spec" x="{_n(left + width - 7)}" y="{_n(top + 18)}" text-anchor="end" '
            f'font-family="{SANS}" font-size="10">{escape(device)}</text>'
        )
    return "\n".join([*parts, "</g>"])


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="5"/>'


def _scope(path: Path, rectangle: tuple[float, float, float, float]) -> str:
    x, y, width, height = rectangle
    room = max(4, int((width - 20) / 6.4))
    return (
        f"<g><title>{escape('/'.join(path))}</title>\n"
        f'<rect class="fb-box" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="8"/>\n'
        f'<text class="fb-title" x="{_n(x + 10)}" y="{_n(y + HEADER - 3)}" font-family="{SANS}" '
        f'font-size="11">{escape(_short(path[-1], room))}</text></g>'
    )


def _line(points: list[Point], *, control: bool, backward: bool) -> str:
    kind = "fb-line" + " fb-wait" * control + " fb-grad" * backward
    curve = " ".join(f"{_n(x)} {_n(y)}" for x, y in points[1:])
    return (
        f'<path class="{kind}" d="M{_n(points[0][0])} {_n(points[0][1])}C{curve}"/>\n'
        f'<path class="{"fb-gradhead" if backward else "fb-head"}" d="{_head(points[-2], points[-1])}"/>'
    )


def _head(before: Point, tip: Point) -> str:
    dx, dy = tip[0] - before[0], tip[1] - before[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    dx, dy = dx / length, dy / length
    x, y = tip[0] - 6 * dx, tip[1] - 6 * dy
    return f"M{_n(tip[0])} {_n(tip[1])}L{_n(x - 3 * dy)} {_n(y + 3 * dx)}L{_n(x + 3 * dy)} {_n(y - 3 * dx)}z"


def tooltip(box: Box) -> str:
    """What a card says when pointed at: its formula, spec, the op's first line, where it was written."""
    if box.kind in CLOSED:
        names = [node.name for node in box.nodes[:12]]
        rest = len(box.nodes) - len(names)
        return "\n".join([f"{box.title}: {box.detail}", *names, *([f"and {rest} more"] if rest else [])])
    node = box.nodes[0]
    rows = [formula(node), *(repr(each.spec) for each in node.outputs), purpose(node)]
    if node.forward is not None and box.detail != "gradient":
        rows.append(f"gradient of {node.forward.name}")
    if node.device:
        rows.append(f"asked for {node.device}")
    if node.stale:
        rows.append(f"stale: {node.stale}")
    where = _where(node)
    return "\n".join([row for row in rows if row] + ([where] if where else []))


def _where(node: Node) -> str:
    origin = node.origin
    return f"{node.owner.label}, line {origin.line}:  {origin.code}" if origin is not None else ""


def escape(text: str) -> str:
    """Text for SVG: markup characters as entities, control characters left out.

    >>> escape('"><img src=x>')
    '&quot;&gt;&lt;img src=x&gt;'
    """
    plain = "".join(each for each in text if each in "\n\t" or each.isprintable())  # surrogates are not printable
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        plain = plain.replace(character, entity)
    return plain


def _n(value: float) -> str:
    """A coordinate: at most one decimal."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")
