"""Where boxes go: one call of Graphviz, which sees numbers only, never a user's text.

The layout program is the packaged ``graphviz-pure``, pinned exactly, so that the same graph gives the same picture
everywhere; the system's ``dot`` is used only where that is missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path as File
from typing import Any, NamedTuple

from flowbook.notebook.outline import Arrow, Path

TIMEOUT = 20.0  # seconds
HEADER = 20  # points of room for the title of a scope
INCH = 72.0

Point = tuple[float, float]


class LayoutError(Exception):
    """No layout, and why; the caller shows the table instead."""


class Layout(NamedTuple):
    """Centres of boxes, rectangles (x, y, width, height) of scopes, and Bézier points of arrows; y grows downwards."""

    width: float
    height: float
    boxes: dict[int, Point]
    scopes: dict[Path, tuple[float, float, float, float]]
    arrows: dict[Arrow, list[Point]]


@cache
def program() -> str:
    """The layout program: beside this Python first, as a kernel's PATH need not have it."""
    folders = [File(sys.executable).parent, File(sysconfig.get_path("scripts"))]
    for name in ("graphviz-pure", "dot"):
        for folder in folders if name != "dot" else ():
            found = shutil.which(name, path=str(folder))
            if found:
                return found
        found = shutil.which(name)
        if found:
            return found
    raise LayoutError("graphviz-pure is not installed: pip install graphviz-pure==0.2.2")


def place(
    sizes: Mapping[int, tuple[float, float]],
    scopes: Mapping[int, Path],
    arrows: Sequence[Arrow],
    *,
    across: bool,
) -> Layout:
    """Lay boxes of given sizes (points) out, from left to right (``across``) or from top to bottom.

    ``scopes``: the scopes around each box. Raises `LayoutError`.
    """
    source, paths = _dot(sizes, scopes, arrows, across)
    try:
        done = subprocess.run(
            [program(), "-Tjson"], input=source.encode(), capture_output=True, timeout=TIMEOUT, check=True
        )
        found = json.loads(done.stdout)
        return _read(found, paths, arrows)
    except subprocess.TimeoutExpired:
        raise LayoutError(f"the layout took longer than {TIMEOUT:g} s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise LayoutError(f"the layout program failed: {reason}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LayoutError(f"the layout program failed: {type(error).__name__}") from None


def _dot(
    sizes: Mapping[int, tuple[float, float]], scopes: Mapping[int, Path], arrows: Sequence[Arrow], across: bool
) -> tuple[str, list[Path]]:
    """The DOT source, and the scope that each numbered cluster stands for."""
    try:
        import graphviz
    except ImportError:
        raise LayoutError("graphviz is not installed: pip install graphviz") from None

    room = f'<<TABLE FIXEDSIZE="TRUE" WIDTH="40" HEIGHT="{HEADER}" BORDER="0"><TR><TD></TD></TR></TABLE>>'
    spacing = {"nodesep": "0.22", "ranksep": "0.42"} if across else {"nodesep": "0.2", "ranksep": "0.34"}
    paths: list[Path] = []

    def fill(graph: Any, path: Path) -> None:
        inner: dict[Path, None] = {}
        for key, scope in scopes.items():
            if scope == path:
                width, height = sizes[key]
                graph.node(f"n{key}", width=f"{width / INCH:.4f}", height=f"{height / INCH:.4f}")
            elif scope[: len(path)] == path:
                inner[scope[: len(path) + 1]] = None
        for each in inner:
            child = graphviz.Digraph(f"cluster_{len(paths)}", graph_attr={"label": room, "margin": "10"})
            paths.append(each)
            fill(child, each)
            graph.subgraph(child)

    top = graphviz.Digraph("flowbook")
    top.attr("graph", rankdir="LR" if across else "TB", **spacing)
    top.attr("node", shape="box", fixedsize="true", label="")
    top.attr("edge", arrowhead="none")
    fill(top, ())
    for arrow in arrows:
        top.edge(f"n{arrow.source}", f"n{arrow.target}")
    return top.source, paths


def _read(found: Any, paths: Sequence[Path], arrows: Sequence[Arrow]) -> Layout:
    """Graphviz's JSON as a `Layout`."""
    _, _, width, height = _numbers(found["bb"])
    boxes: dict[int, Point] = {}
    scopes: dict[Path, tuple[float, float, float, float]] = {}
    for each in found.get("objects", ()):
        name = each["name"]
        if name.startswith("cluster_"):
            left, bottom, right, top = _numbers(each["bb"])
            scopes[paths[int(name[8:])]] = (left, height - top, right - left, top - bottom)
        else:
            x, y = _numbers(each["pos"])
            boxes[int(name[1:])] = (x, height - y)
    lines: dict[Arrow, list[Point]] = {}
    for arrow, each in zip(arrows, found.get("edges", ()), strict=True):
        pairs = [_numbers(pair) for pair in each["pos"].split()]
        lines[arrow] = [(x, height - y) for x, y in pairs]
    return Layout(width, height, boxes, scopes, lines)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]
