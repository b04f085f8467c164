"""The widget: a view in front ends that have widgets, but not flowbook's JupyterLab extension.

What travels with each widget is a few lines that ask for the view's program; a page gets it once, and nothing is
fetched from anywhere else. They ask again until they are answered: JupyterLab sends the first messages of a widget into
the queue behind the cells that run, and later ones past it.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from math import inf
from time import monotonic
from typing import Any
from weakref import ref

import anywidget
import traitlets

from flowbook.notebook import assets
from flowbook.notebook.live.channels import answer_at_once
from flowbook.notebook.live.liveview import MOST, LiveView

GONE = "The kernel has forgotten this view, as others came after it. Run the cell again."
LOADER = """const views = (globalThis.flowbookViews ??= {});
async function load(model) {
  const program = new Promise((done) => {
    const ask = () => model.send({ type: "program" });
    const timer = setInterval(ask, 400);
    const receive = (message, buffers) => {
      if (message.type === "program") {
        clearInterval(timer);
        model.off("msg:custom", receive);
        done(buffers[0]);
      }
    };
    model.on("msg:custom", receive);
    ask();
  });
  const unpacked = new Blob([await program]).stream().pipeThrough(new DecompressionStream("gzip"));
  const url = URL.createObjectURL(new Blob([await new Response(unpacked).arrayBuffer()], { type: "text/javascript" }));
  return (await import(url)).default;
}
// Where a view is, and what elements forget when they are moved: the focus, and how far they were scrolled.
function place() {
  const home = document.createElement("div");
  const scrolled = new Map();
  let focus = null;
  home.addEventListener("focusin", (event) => (focus = event.target));
  home.addEventListener("focusout", (event) => event.relatedTarget && (focus = null));
  home.addEventListener("scroll", ({ target }) => scrolled.set(target, [target.scrollLeft, target.scrollTop]), true);
  const found = { home, seen: false, end: null, at: null, timer: 0 };
  const settle = (tries) => {
    if (!home.isConnected) {
      return void (tries && setTimeout(settle, 20, tries - 1));
    }
    found.seen = true;
    scrolled.forEach(([left, top], each) => each.scrollTo(left, top));
    if (document.activeElement === document.body) {
      focus?.focus({ preventScroll: true });
    }
  };
  found.move = (el) => {
    clearTimeout(found.timer);
    found.at = el;
    found.seen = false;
    el.append(home);
    settle(100); // a front end shows the element when it is filled
  };
  return found;
}
// Called once for each widget. A front end draws an output anew when anything of it changes, as when the run is kept in
// it. JupyterLab then takes the elements away and asks for others, and tells what it took away only in the end. So a
// view that is nowhere goes on at the new place; and one that was told to go waits a moment for a new place.
export default () => {
  const shown = new Set();
  let model;
  return {
    initialize: (given) => void (model = given.model), // its listeners stay, unlike those of the model for a view
    async render({ el }) {
      const version = model.get("version");
      // Kept when it is there, not as a promise: a view that is taken away while it loads never hears the answer.
      views[version] ??= await load(model);
      let view = [...shown].find((each) => each.seen && !each.home.isConnected);
      if (!view) {
        view = place();
        view.end = views[version].render({ model, el: view.home });
        shown.add(view);
      }
      view.move(el);
      return () => {
        if (view.at === el) {
          view.timer = setTimeout(() => shown.delete(view) && view.end(), 1000);
        }
      };
    },
  };
};
"""


class ViewWidget(anywidget.AnyWidget):
    """Shows one view, wherever the widget is displayed.

    It holds the view only while a page shows it, as widgets stay until they are closed, and a page that is opened again
    asks the same widget. Of those that no page shows, the latest `MOST` stay.
    """

    _esm = LOADER
    version = traitlets.Unicode().tag(sync=True)

    def __init__(self, view: LiveView) -> None:
        super().__init__(version=sha256(_program()).hexdigest()[:16])
        self._channel = _WidgetChannel(self)
        self._view = ref(view)
        self._shown: LiveView | None = None  # the view, while a page shows it
        self._sent = -inf
        self.on_msg(self._received)
        answer_at_once(self.comm)
        _unseen(self)

    def _received(self, widget: Any, content: Any, buffers: Any) -> None:
        kind = content.get("type") if isinstance(content, Mapping) else None
        if kind == "program":
            if monotonic() - self._sent > 1.0:  # else it was asked again because the answer is on its way
                self._sent = monotonic()
                self._channel.send({"type": "program"}, [_program()])
            return
        view = self._view()
        if view is not None:
            view.receive(content, self._channel)
            self._look(view if self._channel in view.channels else None)
        elif kind == "hello":
            self._channel.send({"type": "notice", "level": "ended", "text": GONE}, [])

    def _look(self, shown: LiveView | None) -> None:
        if shown is not self._shown:
            self._shown = shown
            if shown is None:
                _unseen(self)
            else:
                _waiting.pop(self, None)

    def close(self) -> None:
        """Take it from the pages."""
        view = self._view()
        if view is not None:
            view.leave(self._channel)
        self._shown = None
        _waiting.pop(self, None)
        layout = self.layout
        super().close()
        layout.close()  # a widget of its own, which stays otherwise

    def __repr__(self) -> str:
        return "<flowbook view>"  # without an address, so that a saved output is always the same


_waiting: OrderedDict[ViewWidget, None] = OrderedDict()  # that no page shows; what was seen longest ago comes first


def _unseen(widget: ViewWidget) -> None:
    """No page shows it, now or yet."""
    _waiting[widget] = None
    while len(_waiting) > MOST:
        next(iter(list(_waiting))).close()


class _WidgetChannel:
    def __init__(self, widget: ViewWidget) -> None:
        self.widget = widget

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        self.widget.send(dict(message), buffers=list(buffers))
        answer_at_once(self.widget.comm)


@cache
def _program() -> bytes:
    return gzip.compress(assets.widget().encode(), 6, mtime=0)
