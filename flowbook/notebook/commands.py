"""What the ``%flow`` magics do, as functions that scripts can call, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.devices import device
from flowbook.errors import ArgumentError, SessionError
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.transaction import Commit
from flowbook.notebook import reactive
from flowbook.notebook.live.watching import watch_of
from flowbook.notebook.marks import follow, watched
from flowbook.notebook.profiling import Profile
from flowbook.notebook.progress import Progress
from flowbook.notebook.results import Results
from flowbook.notebook.values import Text, format_value, table
from flowbook.runtime.session import Session

if TYPE_CHECKING:
    from flowbook.runtime.stepper import Stepper

_sessions: dict[Graph, Session] = {}
_asking = Lock()  # views ask for the session, too, each on a thread of its own
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
    with _asking:
        found = _sessions.get(graph)
        if found is None or found.closed:
            found = _sessions[graph] = Session(graph)
        return found


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
    began = perf_counter()
    values: dict[str, Any] = {}
    done = 0
    watch = watch_of(runner.graph)
    watch.training(1)
    with Progress(steps) as progress:
        try:
            for step in range(steps):
                fed = feeds() if callable(feeds) else feeds
                more = watched(runner.graph, fetches, fed or ())
                wanted = {**fetches, **{name: each for name, each in more.items() if name not in fetches}}
                if step == steps - 1:
                    watch.look()
                values = runner.run(wanted, fed, trace=trace and step == steps - 1)
                done += 1
                for name, value in values.items():
                    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
                        history.setdefault(name, []).append(value.item())
                progress.update(done)
                if steps > 1:
                    watch.progress(done, steps, perf_counter() - began, history)
        except KeyboardInterrupt:
            if steps == 1:
                raise
        finally:
            watch.training(-1)
            if done < steps > 1:
                watch.progress(done, steps, perf_counter() - began, history, stopped=True)
    results = Results(values, history, done, steps)
    reactive.follow(
        results, runner, fetches, lambda: run(fetches, feeds, steps=steps, graph=graph), perf_counter() - began
    )
    return results


def profile(
    fetches: Mapping[str, Any] | None = None, feeds: Feeds = None, *, steps: int = 10, graph: Graph | None = None
) -> Profile:
    """How long each node took, in ``steps`` runs of ``fetches`` (by label), or in the last traced run of the notebook's
    session when nothing is asked for.

    The runs are watched, so they have one step for each node: nothing is fused or left out. They are real runs:
    variables are written. Raises ``SessionError`` when nothing was traced yet.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     y = fb.sum(fb.random.normal((64, 64), name="noise"), name="total")
    ...     fb.notebook.profile({"y": y}, steps=3)
    profile of 3 runs, 2 nodes (times: print it)
      node   op             device  bytes
      noise  random_normal  cpu:0   16384
      total  sum            cpu:0       4
    """
    if steps < 1:
        raise ArgumentError(f"{steps} steps: at least one has to run")
    runner = session(graph)
    if fetches is None:
        if runner.trace is None:
            raise SessionError("no run was traced yet", hint="%flow profile FETCH --feed ..., or %flow run --trace")
        return Profile([runner.trace])
    traces = []
    with Progress(steps) as progress:
        for _ in range(steps):
            runner.run(list(fetches.values()), feeds() if callable(feeds) else feeds, trace=True)
            assert runner.trace is not None
            traces.append(runner.trace)
            progress.update(len(traces))
    return Profile(traces)


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
