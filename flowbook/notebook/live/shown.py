"""What puts a view into a notebook's output: data that is the same on every run, and the rest as metadata.

The metadata say which view it is, and hold the run as a recording, so that it still plays when the kernel is gone.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from threading import Lock, Timer
from time import monotonic
from typing import Any
from uuid import uuid4

from IPython.display import display, update_display

from flowbook.notebook.live.channels import MIME
from flowbook.notebook.live.liveview import VIEWS, LiveView
from flowbook.notebook.live.snapshot import settled
from flowbook.notebook.live.stepping import StepperView
from flowbook.notebook.protocol import PROTOCOL, Story, pack
from flowbook.notebook.recording import recording
from flowbook.notebook.story import stories
from flowbook.runtime.session import Session
from flowbook.runtime.trace import Trace

MOST = 1_000_000  # characters of a recording in a notebook; a longer one is not kept, and the view says so
AFTER = 1.0  # seconds without a change, after which a run is kept


def bundle(view: LiveView, text: str, **more: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data and metadata of an output that shows ``view``; ``text`` and ``more`` (by MIME type) where it cannot be."""
    VIEWS.add(view)
    return {"text/plain": text, **more, MIME: {"protocol": PROTOCOL}}, {MIME: {"view": view.id}}


def packed(messages: list[Any]) -> str | None:
    """Messages as a notebook keeps them; ``None`` when they are too many."""
    entries = []
    for message in messages:
        plain, buffers = pack(message)
        entries.append({"message": plain, "buffers": [base64.b64encode(each).decode() for each in buffers]})
    text = json.dumps(entries, allow_nan=False, separators=(",", ":")).encode()
    found = base64.b64encode(gzip.compress(text, 6, mtime=0)).decode()
    return found if len(found) <= MOST else None


def kept(trace: Trace, session: Session, title: str, tell: Callable[[], list[Story]] | None = None) -> str | None:
    """A recording of a run, small enough for a notebook: with fewer elements of each value when it has to be. ``tell``
    gives the stories about it."""
    graph = session.graph
    told = settled(graph, tell or (lambda: stories(trace, graph, session))) or []
    for elements in (1024, 64):
        found = packed(recording(trace, graph, title=title, elements=elements, told=told))
        if found is not None:
            return found
    return None


def show_trace(trace: Trace, session: Session, title: str) -> None:
    """Display a recorded run: it plays where the front end has flowbook's extension, else there is a line of text."""
    found = kept(trace, session, title)
    steps = sum(info.kind == "step" for info in trace.nodes)
    text = f"recorded run of {steps} node{'s' * (steps != 1)}: see fb.notebook.session().trace"
    if found is None:
        text += "; it is too large to be kept in the notebook, %flow export keeps it in a file"
    data = {"text/plain": text} | ({} if found is None else {MIME: {"protocol": PROTOCOL}})
    display(data, metadata={} if found is None else {MIME: {"recording": found}}, raw=True)  # type: ignore[no-untyped-call]


class Keeper:
    """Keeps the run of a stepper in the output that shows it, some time after each change."""

    def __init__(self, view: StepperView, data: dict[str, Any], metadata: dict[str, Any], display_id: str) -> None:
        self.view = view
        self.data = data
        self.metadata = metadata
        self.display_id = display_id
        self._lock = Lock()
        self._timer: Timer | None = None
        self._due = 0.0
        self._told = False
        self._kept = ""  # what the output holds

    def changed(self) -> None:
        """The run is another one. Returns at once: it is called at each step."""
        with self._lock:
            self._due = monotonic() + AFTER
            if self._timer is None:
                self._wait(AFTER)

    def _wait(self, seconds: float) -> None:
        self._timer = Timer(seconds, self._rang)
        self._timer.daemon = True
        self._timer.start()

    def _rang(self) -> None:
        with self._lock:
            left = self._due - monotonic()
            if left > 0:
                return self._wait(left)
            self._timer = None
        self._keep()

    def _keep(self) -> None:
        stepper = self.view.stepper
        if stepper.closed or stepper._busy.locked():
            return
        found = kept(stepper.trace(), stepper.session, self.view.title, self.view.stories)
        if found is None:
            if not self._told:
                self._told = True
                self.view.notice("This run is too large to be kept in the notebook; export keeps it in a file.")
            return
        if found == self._kept:
            return  # front ends draw an output anew when it is updated
        self._kept = found
        metadata = {**self.metadata, MIME: {**self.metadata[MIME], "recording": found}}
        update_display(self.data, metadata=metadata, raw=True, display_id=self.display_id)  # type: ignore[no-untyped-call]


class Shown:
    """A view to display: live where the front end has widgets, else its text."""

    def __init__(self, view: LiveView, text: str) -> None:
        self.view = view
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = bundle(self.view, self.text)
        return {**data, **widget_of(self.view)}, metadata


def widget_of(view: LiveView) -> dict[str, Any]:
    """The part of an output that shows the view as a widget."""
    from flowbook.notebook.live.widget import ViewWidget  # widgets are not loaded before one is wanted

    made, _ = ViewWidget(view)._repr_mimebundle_()  # type: ignore[misc]
    return {kind: each for kind, each in made.items() if kind != "text/plain"}


def show_stepper(view: StepperView, text: str) -> None:
    """Display a stepper's view; ``text`` where it cannot be."""
    data, metadata = bundle(view, text)
    data.update(widget_of(view))
    display_id = uuid4().hex
    view.changed = Keeper(view, data, metadata, display_id).changed
    display(data, metadata=metadata, raw=True, display_id=display_id)  # type: ignore[no-untyped-call]
