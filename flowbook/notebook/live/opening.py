"""Which views a notebook has: one for each cell that defines nodes, one for each stepper that a cell opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any
from weakref import WeakKeyDictionary

import comm

from flowbook.errors import ArgumentError
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.transaction import Commit
from flowbook.notebook.commands import session
from flowbook.notebook.live.channels import NAME, comm_opened
from flowbook.notebook.live.graphview import GraphView
from flowbook.notebook.live.liveview import VIEWS
from flowbook.notebook.live.panel import Panel
from flowbook.notebook.live.shown import Shown
from flowbook.notebook.live.stepping import StepperView
from flowbook.notebook.live.watching import FIRST, watch_of
from flowbook.runtime.stepper import Stepper

FEW = 8  # steppers that are kept for pages that may come back

_cells: WeakKeyDictionary[Graph, dict[str, GraphView]] = WeakKeyDictionary()
_versions: WeakKeyDictionary[Graph, int] = WeakKeyDictionary()  # what the views of a graph know
_panels: list[Panel] = []  # one, in a kernel
_names: list[Callable[[], Mapping[str, Any]]] = [dict]  # the user's, one
_steppers: dict[str, StepperView] = {}  # by the front end's cell: a cell that runs again opens another


def install(shell: Any) -> None:
    """Let pages open views of this kernel."""
    _names[:] = [lambda: shell.user_ns]
    if getattr(shell, "kernel", None) is not None:
        panel = Panel(_graphs, session, lambda: shell.user_ns, _retell)
        _panels[:] = [panel]
        find = lambda asked: panel if asked.get("panel") else VIEWS.find(str(asked.get("view")))  # noqa: E731
        comm.get_comm_manager().register_target(NAME, comm_opened(find))


def uninstall(shell: Any) -> None:
    """Views that are open stay; no more are opened."""
    if getattr(shell, "kernel", None) is not None and NAME in comm.get_comm_manager().targets:
        comm.get_comm_manager().unregister_target(NAME, VIEWS.find)  # type: ignore[arg-type]
        _panels.clear()


def _graphs() -> list[Graph]:
    """The graphs that cells have defined something in, and the default graph when it has nodes."""
    default = get_default_graph()
    return [each for each in dict.fromkeys([default, *_cells]) if each in _cells or each.nodes]


def _retell(graph: Graph) -> None:
    """Other breakpoints are set."""
    for view in _cells.get(graph, {}).values():
        view.marked()


def cell_view(graph: Graph, cell: str, commit: Commit, maker: str | None = None) -> GraphView:
    """The view of a cell that was just committed: always the same one, so re-runs do not add up.

    ``maker``: the front end's id of the cell. When another one has taken the name over, what the first one shows stays
    as it was.
    """
    views = _cells.setdefault(graph, {})
    found = views.get(cell)
    if found is not None and None not in (maker, found.maker) and found.maker != maker:
        found.retire(f"Another cell of the notebook defines '{cell}' now; this is what it was here.")
        VIEWS.drop(found)
        found = None
    if found is None:
        found = views[cell] = GraphView(graph, lambda: session(graph), cell, lambda: _names[0]())
    found.maker = maker or found.maker
    found.commit = commit
    watch_of(graph).join(found)
    return found


def view(cell: str | None = None, graph: Graph | None = None) -> Shown:
    """The live graph: what ``cell`` made, with its surroundings, or (without a cell) the whole graph.

    It follows the runs of all sessions of the graph, and the cells that change it. Raises ``ArgumentError`` when there
    is no such cell. Without a front end that has widgets, it is shown as a line of text.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as graph:
    ...     _ = fb.notebook.run_cell("x = fb.constant(1.0)", {"fb": fb}, name="data")
    ...     fb.notebook.view("data")
    live view of cell data: 1 node
    """
    graph = graph if graph is not None else get_default_graph()
    views = _cells.setdefault(graph, {})
    names = [owner.name for owner in graph.owners if owner.nodes]
    if cell is not None and cell not in names:
        raise ArgumentError(f"there is no cell {cell}", hint=f"cells: {', '.join(filter(None, names)) or 'none yet'}")
    found = views.get(cell or "")
    if found is None:
        found = views[cell or ""] = GraphView(graph, lambda: session(graph), cell, lambda: _names[0]())
    watch_of(graph).join(found)
    count = len(graph.owned(cell)) if cell is not None else len(graph.nodes)
    what = f"cell {cell}" if cell is not None else "the graph"
    return Shown(found, f"live view of {what}: {count} node{'s' * (count != 1)}")


def begin() -> None:
    """A cell begins: its first runs are worth seeing, however soon after those of another cell."""
    for graph in list(_cells):
        watch_of(graph).look(FIRST)


def follow() -> None:
    """A cell is done: tell the views that are open, where it changed their graph, and the panel."""
    for graph, views in list(_cells.items()):
        changed = _versions.get(graph) != graph.version
        _versions[graph] = graph.version
        for view in views.values():
            if changed or view.owed:
                view.update()
        _retell(graph)
        watch_of(graph).settle()
    for panel in _panels:
        panel.refresh()


def stepper_view(stepper: Stepper, title: str, names: Callable[[], Mapping[str, Any]], cell: str | None) -> StepperView:
    """A view of a stepper; it takes the place of the one that the same cell opened before."""
    view = StepperView(stepper, title, names)
    if cell is not None:
        before = _steppers.pop(cell, None)
        if before is not None:
            VIEWS.drop(before)
        _steppers[cell] = view
        for other, each in list(_steppers.items())[:-FEW]:
            if not each.channels:  # it holds all values of its run
                VIEWS.drop(_steppers.pop(other))
    return view


def drop(cells: Set[str]) -> None:
    """These cells of the front end were deleted."""
    for cell in _steppers.keys() & cells:
        VIEWS.drop(_steppers.pop(cell))
