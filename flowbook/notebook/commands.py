"""What the ``%flow`` magics do, as functions that scripts can call, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.devices import device
from flowbook.errors import ArgumentError
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.transaction import Commit
from flowbook.notebook.marks import follow, watched
from flowbook.notebook.progress import Progress
from flowbook.notebook.values import MAX_ROWS, Text, format_value, kind_of, parts_of, sparkline, table
from flowbook.runtime.session import Session

if TYPE_CHECKING:
    from flowbook.runtime.stepper import Stepper

_sessions: dict[Graph, Session] = {}
Feeds = Mapping[Any, Any] | Callable[[], Mapping[Any, Any]] | None


def session(graph: Graph | None = None) -> Session:
    """The session of a notebook's graph (default: the default graph): one for each graph, so that all cells see the
    same variables. A closed one is replaced.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     fb.notebook.session() is fb.notebook.session()
    True
    """
    graph = graph if graph is not None else get_default_graph()
    found = _sessions.get(graph)
    if found is None or found.closed:
        found = _sessions[graph] = Session(graph)
    return found


class Results(dict[str, Any]):
    """The last values of a run by what they were asked for as; ``history`` has a list of numbers, one for each step,
    for every scalar; ``steps`` says how many ran."""

    def __init__(self, values: Mapping[str, Any], history: Mapping[str, list[float]], steps: int, asked: int) -> None:
        super().__init__(values)
        self.history = dict(history)
        self.steps = steps
        self.asked = asked

    def __repr__(self) -> str:
        shown = [part for name, value in self.items() for part in parts_of(name, value)]
        rows = []
        for name, value in shown[:MAX_ROWS]:
            curve = ""
            if self.steps > 1 and name in self.history:
                points = self.history[name]
                curve = f"{sparkline(points)}  {format_value(points[0])} to {format_value(points[-1])}"
            rows.append([name, kind_of(value), curve or format_value(value)])
        lines = [table(rows)] if rows else []
        if len(shown) > MAX_ROWS:
            lines.append(f"… and {len(shown) - MAX_ROWS} more")
        if self.steps < self.asked:
            lines.append(f"interrupted: {self.steps} of {self.asked} steps ran; the unfinished one changed nothing")
        return "\n".join(lines)


def run(
    fetches: Mapping[str, Any], feeds: Feeds = None, *, steps: int = 1, trace: bool = False, graph: Graph | None = None
) -> Results:
    """Run ``fetches`` (by label) in the notebook's session, ``steps`` times; returns the last values.

    ``feeds``: a dict, or a function that gives one, called before each step. Ctrl-C ends it between two steps; a step
    in progress is undone. ``trace`` records the last step. Errors are those of ``Session.run``.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     count = fb.Variable(0, name="count_to_3")
    ...     fb.notebook.run({"now": fb.assign_add(count, 1)}, steps=3)
    now  int64 ()  ▁▅█  1 to 3
    """
    if steps < 1:
        raise ArgumentError(f"{steps} steps: at least one has to run")
    runner = session(graph)
    history: dict[str, list[float]] = {}
    values: dict[str, Any] = {}
    done = 0
    with Progress(steps) as progress:
        try:
            for step in range(steps):
                fed = feeds() if callable(feeds) else feeds
                more = watched(runner.graph, fetches, fed or ())
                wanted = {**fetches, **{name: each for name, each in more.items() if name not in fetches}}
                values = runner.run(wanted, fed, trace=trace and step == steps - 1)
                done += 1
                for name, value in values.items():
                    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
                        history.setdefault(name, []).append(value.item())
                progress.update(done)
        except KeyboardInterrupt:
            if steps == 1:
                raise
    return Results(values, history, done, steps)


def debug(fetches: Any, feeds: Mapping[Any, Any] | None = None, *, graph: Graph | None = None) -> Stepper:
    """A stepper at the beginning of the run that computes ``fetches``, on the notebook's session.

    It has the breakpoints that were set with ``fb.notebook.breakpoint``.
    """
    runner = session(graph)
    stepper = runner.debug(fetches, feeds)
    follow(stepper, runner.graph)
    return stepper


def variables(graph: Graph | None = None) -> Text:
    """The graph's variables: spec, who defines them, and their values in the notebook's session."""
    runner = session(graph)
    rows = []
    for each in runner.graph.variables:
        stored = runner.variables.get(each)
        value = "not used yet" if stored is None else format_value(stored.value).replace("\n", " ")
        kind = "" if each.trainable else "not trained"
        rows.append([each.name, repr(each.spec), each.node.owner.label, kind, value])
    return Text(table(rows, ["name", "spec", "where", "", "value"]) if rows else "there are no variables")


def reset(names: Sequence[str], graph: Graph | None = None) -> Text:
    """Give variables their initial values again."""
    runner = session(graph)
    runner.initialize(list(names))
    return Text(f"{', '.join(names)}: initial value again")


def undo(graph: Graph | None = None) -> Text:
    """Take the last commit of a cell back. ``GraphError`` when there is none."""
    commit = (graph if graph is not None else get_default_graph()).undo()
    return Text(f"undone: what cell {commit.owner} changed\n{_changes(commit)}")


def diff(graph: Graph | None = None) -> Text:
    """What the last commit changed: nodes added, removed, changed, rewired, derived again, stale."""
    commit = (graph if graph is not None else get_default_graph()).last_commit
    if commit is None:
        return Text("nothing was committed yet, or the last commit was undone")
    return Text(f"the last commit, of cell {commit.owner}:\n{_changes(commit)}")


def _changes(commit: Commit) -> str:
    kinds = ("added", "removed", "changed", "rewired", "derived", "stale")
    rows = [[kind, "\n".join(getattr(commit, kind))] for kind in kinds if getattr(commit, kind)]
    return table(rows, indent="  ") or "  nothing changed"


def kept_variables(graph: Graph, commit: Commit) -> list[str]:
    """Variables whose definition the commit changed, but whose value stays."""
    runner = _sessions.get(graph)
    if runner is None:
        return []
    touched = {*commit.changed, *commit.rewired}
    found = []
    for each in graph.variables:
        sources = {each.name, *(tensor.name for tensor in each.node.input_tensors)}
        if each.node.cell == commit.owner and touched & sources and runner.variables.get(each) is not None:
            found.append(each.name)
    return found


def devices() -> Text:
    """What is here, and for what is not: why."""
    rows = [[each.name, "usable" if each.usable else "not usable", each.reason] for each in device.devices()]
    return Text(table(rows))
