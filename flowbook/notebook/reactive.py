"""``%flow auto on``: results shown in other cells follow the graph.

After each cell, every result that was shown elsewhere is looked at: when what it was computed from is not what it was,
it is marked as out of date, in its place. What is cheap and changes nothing (no writes, no host functions, one short
step) is computed again at once; the rest at a click.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from IPython.display import display

from flowbook.errors import ArgumentError, FlowError
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.hashing import Key, Signature, signature
from flowbook.graph.node import Node, Tensor
from flowbook.graph.order import ancestors
from flowbook.notebook.values import Text, table

if TYPE_CHECKING:
    from flowbook.notebook.results import Results
    from flowbook.runtime.session import Session

CHEAP = 0.25  # seconds that one result took, to be computed again without asking
BUDGET = 1.0  # seconds for all results after one cell; what remains is marked
MOST = 100  # results that are followed; the oldest are let go
WIDGET = "application/vnd.jupyter.widget-view+json"


class Shown:
    """One result on the screen. ``cell``: the front end's id of the cell it stands in, or ``None``."""

    def __init__(self, auto: Auto, nodes: list[Node], again: Callable[[], Results], seconds: float) -> None:
        self.auto = auto
        self.nodes = nodes
        self.again = again
        self.seconds = seconds
        self.harmless = False  # whether running it again changes nothing but what is shown
        self.cell: str | None = None
        self.id = uuid4().hex
        self.text = ""
        self.basis: dict[Key, Signature] = {}
        self.reason = ""  # why it is out of date; empty while it is not
        self.box: Any = None  # the widgets of the mark

    def show(self, results: Results) -> None:
        """Put the results on the screen, in a place that can be changed later."""
        self.cell = _cells[-1] if _cells else None
        self.text, self.basis = repr(results), basis(self.nodes)
        self.harmless = results.asked == 1 and not any(_has_effect(each) for each in _basis_nodes(self.nodes))
        self.auto.shown = [*self.auto.shown, self][-MOST:]
        display({"text/plain": self.text}, raw=True, display_id=self.id)  # type: ignore[no-untyped-call]

    def changes(self) -> str:
        """Why the result is not what its fetches would give now; empty when it is."""
        gone = [node.name for node in self.nodes if node.live.record is None]
        if gone:
            return f"{', '.join(gone)} is not there any more"
        now = basis(self.nodes)
        if now == self.basis:
            return ""
        keys = [key for key in {**now, **self.basis} if now.get(key) != self.basis.get(key)]
        cells = dict.fromkeys(f"cell {cell}" if cell else "the script" for cell, _ in keys)
        return f"{', '.join(cells)} changed"

    def refresh(self) -> None:
        """Compute it again and show it; an error is shown in its place."""
        began = perf_counter()
        try:
            results = self.again()
        except FlowError as error:
            self.mark(f"{type(error).__name__}: {error}")
            return
        self.seconds = perf_counter() - began
        self.text, self.basis, self.reason = repr(results), basis(self.nodes), ""
        self._update({"text/plain": self.text})

    def mark(self, reason: str) -> None:
        """Say above the result that it is out of date, and why, with a button to compute it again."""
        if reason == self.reason:
            return
        self.reason = reason
        note = f"out of date: {reason}"
        data = {"text/plain": f"{note}\n{self.text}"}
        box = self._button(note)
        if box is not None:
            data[WIDGET] = box._repr_mimebundle_()[WIDGET]
        self._update(data, box)

    def _button(self, note: str) -> Any:
        import ipywidgets

        button = ipywidgets.Button(description="Run again", icon="refresh", tooltip="compute these values now")
        button.on_click(self._clicked)
        style = "margin:0;line-height:1.4;opacity:"
        text = f'<pre style="{style}1">{escape(note)}</pre><pre style="{style}.55">{escape(self.text)}</pre>'
        return ipywidgets.VBox([button, ipywidgets.HTML(text)])

    def _clicked(self, button: Any) -> None:
        if _cells:  # the front end may deliver a click while a cell runs, on another thread
            button.description = "A cell is running: again later"
            button.layout.width = "auto"
        else:
            self.refresh()

    def _update(self, data: dict[str, Any], box: Any = None) -> None:
        display(data, raw=True, display_id=self.id, update=True)  # type: ignore[no-untyped-call]
        if self.box is not None:
            for each in (*self.box.children, self.box):
                each.close()
        self.box = box


class Auto:
    """What is followed in one graph."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []


_autos: dict[Graph, Auto] = {}  # the graphs for which it is on
_cells: list[str | None] = []  # the cells that run now, by the front end's ids


def auto(state: str | None = None, graph: Graph | None = None) -> Text:
    """Let results shown by ``%flow run`` follow the graph (``"on"``), or stop (``"off"``); without a state, say which.

    Results that were shown before stay as they are. Raises ``ArgumentError`` for another state.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     fb.notebook.auto("on")
    ...     fb.notebook.auto("off")
    auto is on: results shown from now on follow the graph
    auto is off
    """
    graph = graph if graph is not None else get_default_graph()
    if state not in (None, "on", "off"):
        raise ArgumentError(f"auto {state}: on or off")
    if state == "on":
        _autos.setdefault(graph, Auto())
    elif state == "off":
        _autos.pop(graph, None)
    found = _autos.get(graph)
    if found is None:
        return Text("auto is off")
    if not found.shown:
        return Text("auto is on: results shown from now on follow the graph")
    rows = [[", ".join(node.name for node in each.nodes), each.reason or "up to date"] for each in found.shown]
    return Text(f"auto is on:\n{table(rows, indent='  ')}")


def follow(
    results: Results, runner: Session, fetches: Mapping[str, Any], again: Callable[[], Results], seconds: float
) -> None:
    """Where auto is on, let ``results`` be shown in a place that follows the graph; ``again`` computes them anew."""
    if runner.graph in _autos:
        nodes = list(dict.fromkeys(_nodes(list(fetches.values()), runner.graph)))
        results.on_display = Shown(_autos[runner.graph], nodes, again, seconds).show


def enter(cell: str | None) -> None:
    """A cell begins to run; what it showed before is not on the screen any more."""
    _cells.append(cell)
    if cell is not None:
        forget({cell})


def leave() -> None:
    """A cell has ended: mark what it made out of date in other cells, and compute again what is cheap."""
    cell = _cells.pop() if _cells else None
    if _cells:
        return
    left = BUDGET
    for each in [each for found in list(_autos.values()) for each in found.shown]:
        if cell is not None and each.cell == cell:
            continue
        reason = each.changes()
        if reason and each.harmless and each.seconds <= min(CHEAP, left) and not reason.endswith("any more"):
            each.refresh()
            left -= each.seconds
        elif reason:
            each.mark(reason)
        elif each.reason:  # an undo brought back what it was computed from
            each.reason = ""
            each._update({"text/plain": each.text})


def forget(cells: set[str]) -> None:
    """These cells of the front end show nothing any more."""
    for found in _autos.values():
        found.shown = [each for each in found.shown if each.cell not in cells]


def basis(nodes: list[Node]) -> dict[Key, Signature]:
    """All that a result is computed from, in plain values."""
    return {each.key: signature(each) for each in _basis_nodes(nodes)}


def _basis_nodes(nodes: list[Node]) -> set[Node]:
    return ancestors(node.live for node in nodes)


def _has_effect(node: Node) -> bool:
    return bool(node.opdef.writes) or node.opdef.effect


def _nodes(fetches: Any, graph: Graph) -> list[Node]:
    if isinstance(fetches, (list, tuple, dict)):
        inner = fetches.values() if isinstance(fetches, dict) else fetches
        return [node for each in inner for node in _nodes(each, graph)]
    found = graph.element(fetches) if isinstance(fetches, str) else fetches
    return [found.node if isinstance(found, Tensor) else found]
