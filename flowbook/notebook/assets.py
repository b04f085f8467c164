"""The built view, as text for a page or a widget. Its sources are in `extension/`; ``make extension`` builds it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "static"

# Whose program is in it, for who reads an exported file; LICENSE-THIRD-PARTY.txt has the whole text.
NOTICE = """/*! Laid out by Viz.js 3.31.0, Copyright (c) Michael Daines, MIT License (https://github.com/mdaines/viz-js).
It contains Graphviz, Copyright (c) AT&T Corp. and the Graphviz authors, Eclipse Public License 2.0, whose source code
is available (https://gitlab.com/graphviz/graphviz); and Expat, Copyright (c) 1998-2000 Thai Open Source Software Center
Ltd and Clark Cooper, Copyright (c) 2001-2025 Expat maintainers, MIT License (https://libexpat.github.io). */
"""


@cache
def page() -> str:
    """The script of an exported page."""
    return _layout() + _text("page.js")


@cache
def widget() -> str:
    """The module of the live widget, for anywidget's ``_esm``."""
    return _layout() + _text("widget.js")


@cache
def _layout() -> str:
    """The program of the layout worker, as a constant in front of the bundles: a worker starts from a text, so nothing
    is fetched."""
    program = json.dumps(_text("layout.js")).replace("<", "\\u003c")  # no markup, wherever it stands
    return f"{NOTICE}const FLOWBOOK_LAYOUT={program};\n"


def _text(name: str) -> str:
    return (FOLDER / name).read_bytes().decode()
