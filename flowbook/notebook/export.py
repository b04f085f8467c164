"""One HTML file that plays a run both ways, with nothing but itself.

It has the view, the recording and a content policy: nothing is fetched, and no script runs but the one written here,
whatever names and texts the recording holds.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from hashlib import sha256
from html import escape
from typing import Any

from flowbook.errors import ArgumentError, FileError, SessionError
from flowbook.graph.container import path_name
from flowbook.graph.graph import Graph
from flowbook.notebook import assets
from flowbook.notebook.protocol import pack
from flowbook.notebook.recording import recording
from flowbook.notebook.sampling import ELEMENTS
from flowbook.notebook.story import set_in, stories
from flowbook.runtime.session import Session
from flowbook.runtime.stepper import Stepper
from flowbook.runtime.trace import Trace

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body>
<div id="flowbook-view">This file plays a recorded run; it needs a browser with JavaScript.</div>
<script>{script}</script>
<script type="application/octet-stream" id="flowbook-recording">{recording}</script>
</body>
</html>
"""


def export(
    path: str | os.PathLike[str],
    source: Session | Trace | Stepper,
    *,
    graph: Graph | None = None,
    title: str | None = None,
    elements: int = ELEMENTS,
) -> None:
    """Write the last traced run of a session (or a trace, or what a stepper has done) to one HTML file.

    It plays with the network off: forward and back, with values, gradients and the timeline. Of each value at most
    ``elements`` elements are kept; the view says which, and how far off the others may be. Where values are not finite,
    the page tells why, as `fb.nan_origin` finds it. ``graph`` adds that, and the code of each line, to a trace that was
    loaded.

    >>> import os, tempfile
    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     session = fb.Session()
    ...     _ = session.run(fb.exp(x, name="y"), {x: 1.0}, trace=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fb.notebook.export(os.path.join(folder, "run.html"), session)
    ...     os.listdir(folder)
    ['run.html']
    """
    trace, graph = _trace(source, graph)
    session = source.session if isinstance(source, Stepper) else source if isinstance(source, Session) else None
    made = set_in(source) if isinstance(source, Stepper) else frozenset()
    told = [] if graph is None else stories(trace, graph, session if session and session.graph is graph else None, made)
    name = title if title is not None else os.path.basename(os.fsdecode(path)).removesuffix(".html")
    text = page([pack(each) for each in recording(trace, graph, title=name, elements=elements, told=told)], name)
    file = path_name(path)
    try:
        with open(file, "wb") as opened:
            opened.write(text.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:  # ValueError: a path the system cannot express
        raise FileError(f"cannot write {file}: {getattr(error, 'strerror', None) or error}") from error


def page(messages: list[tuple[dict[str, Any], list[bytes]]], title: str) -> str:
    """The page that plays packed messages."""
    script = assets.page()
    # A hash allows this script and no other; blob: is the worker, whose program is in the script, and the picture that
    # is saved as one.
    allowed = base64.b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{allowed}' 'wasm-unsafe-eval'; worker-src blob:; "
        "img-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    entries = [
        {"message": plain, "buffers": [base64.b64encode(each).decode() for each in buffers]}
        for plain, buffers in messages
    ]
    data = json.dumps(entries, allow_nan=False, separators=(",", ":")).encode()
    # In Base64 no text of a user can end the script element, or begin a comment in it.
    packed = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
    return PAGE.format(policy=policy, title=escape(title), recording=packed, script=script)


def _trace(source: Session | Trace | Stepper, graph: Graph | None) -> tuple[Trace, Graph | None]:
    if isinstance(source, Trace):
        return source, graph
    if isinstance(source, Stepper):
        return source.trace(), graph or source.session.graph
    if not isinstance(source, Session):
        hint = 'export("run.html", session); a session after run(..., trace=True), a trace or a stepper'
        raise ArgumentError(f"a run to export is wanted, not {type(source).__name__}", hint=hint)
    if source.trace is None:
        raise SessionError("there is no traced run to export", hint="run it with trace=True, or %flow run --trace")
    return source.trace, graph or source.graph
