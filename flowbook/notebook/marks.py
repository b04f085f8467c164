"""Breakpoints and watches of a notebook's graph: they outlast one stepper and one run.

``%flow break`` marks nodes for the steppers to come, and for the one that was opened last; ``%flow watch`` adds the
values of nodes to what each run shows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary, ref

from flowbook.errors import ArgumentError, SessionError
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.order import ancestors, topological
from flowbook.notebook.values import Text, table

if TYPE_CHECKING:
    from flowbook.runtime.stepper import Stepper

Condition = str | Callable[[Any], Any] | None


def matches(pattern: str, name: str, op: str) -> bool:
    """Whether a pattern means a node of this name, or as ``op:log`` of this operation."""
    return fnmatchcase(op, pattern[3:]) if pattern.startswith("op:") else fnmatchcase(name, pattern)


class Mark(NamedTuple):
    """Nodes to stop at; ``label`` is the condition as a person wrote it."""

    pattern: str
    when: Condition
    label: str

    def matches(self, name: str, op: str) -> bool:
        """Whether a node of this name and operation is meant."""
        return matches(self.pattern, name, op)


class Marks:
    """What is marked in one graph."""

    def __init__(self) -> None:
        self.breaks: list[Mark] = []
        self.watches: list[str] = []
        self.stepper: Callable[[], Stepper | None] = lambda: None  # the one opened last, while it is alive


_marks: WeakKeyDictionary[Graph, Marks] = WeakKeyDictionary()


def marks(graph: Graph | None = None) -> Marks:
    """The marks of a graph (default: the default graph)."""
    return _marks.setdefault(graph if graph is not None else get_default_graph(), Marks())


def breakpoint(
    pattern: str | None = None,
    when: Condition = None,
    *,
    label: str | None = None,
    clear: bool = False,
    graph: Graph | None = None,
) -> Text:
    """Stop the steppers of ``%flow debug`` at nodes that match ``pattern`` (see ``Stepper.breakpoint``).

    Without a pattern it lists what is set. ``clear`` takes breakpoints back: those with this pattern, or all.
    ``label`` is how the list shows a condition that is a function.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     fb.notebook.breakpoint("layer1/*", "nan")
    breakpoints:
      layer1/*  when nan
    """
    found = marks(graph)
    _check(pattern)
    if clear:
        gone = {each.pattern for each in found.breaks if pattern in (None, each.pattern)}
        if pattern is not None and not gone:
            raise ArgumentError(f"no breakpoint is set on '{pattern}'", hint=_patterns(found.breaks))
        found.breaks = [each for each in found.breaks if each.pattern not in gone]
        stepper = found.stepper()
        for point in stepper.breakpoints if stepper is not None else ():
            if point.pattern in gone:
                point.remove()
    elif pattern is not None:
        text = label or (when if isinstance(when, str) else "" if when is None else "a condition holds")
        mark = Mark(pattern, when, text)
        stepper = found.stepper()
        if stepper is not None and not stepper.closed:
            _set(stepper, mark)
        found.breaks = [each for each in found.breaks if each[::2] != mark[::2]] + [mark]
    rows = [[each.pattern, f"when {each.label}" if each.label else ""] for each in found.breaks]
    return Text("breakpoints:\n" + table(rows, indent="  ") if rows else "no breakpoints")


def remove(mark: Mark, graph: Graph) -> None:
    """Take back this breakpoint, and no other on the same nodes."""
    found = marks(graph)
    found.breaks = [each for each in found.breaks if each is not mark]
    stepper = found.stepper()
    for point in stepper.breakpoints if stepper is not None else ():
        if (point.pattern, point.when) == (mark.pattern, mark.when):
            point.remove()


def watch(pattern: str | None = None, *, clear: bool = False, graph: Graph | None = None) -> Text:
    """Show the values of nodes that match ``pattern`` with each run that computes them.

    Without a pattern it lists what is watched. ``clear`` takes watches back: this one, or all.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.constant(3.0, name="x")
    ...     y = fb.square(x, name="y")
    ...     fb.notebook.watch("x")
    ...     fb.notebook.run({"y": y})
    watching x
    y  float32 ()  9
    x  float32 ()  3
    """
    found = marks(graph)
    _check(pattern)
    if clear:
        if pattern is not None and pattern not in found.watches:
            raise ArgumentError(f"'{pattern}' is not watched", hint=", ".join(found.watches) or "nothing is")
        found.watches = [each for each in found.watches if pattern not in (None, each)]
    elif pattern is not None and pattern not in found.watches:
        found.watches.append(pattern)
    return Text(f"watching {', '.join(found.watches)}" if found.watches else "watching nothing")


def watched(graph: Graph, fetches: Any, fed: Any = ()) -> dict[str, Tensor]:
    """The watched tensors, by name, that a run of ``fetches`` computes anyway when ``fed`` is given."""
    patterns = _marks[graph].watches if graph in _marks else []
    if not patterns:
        return {}
    stop: set[Node] = set()
    for each in fed:
        stop.update(graph.find(each) if isinstance(each, str) else _nodes(each))
    nodes = ancestors(_nodes(fetches), stop=stop.__contains__)
    return {
        tensor.name: tensor
        for node in topological(nodes)
        if any(matches(pattern, node.name, node.op) for pattern in patterns)
        for tensor in node.outputs
    }


def follow(stepper: Stepper, graph: Graph) -> None:
    """Set the notebook's breakpoints in a new stepper, as far as they concern its run."""
    found = marks(graph)
    found.stepper = ref(stepper)
    for mark in found.breaks:
        _set(stepper, mark)


def _set(stepper: Stepper, mark: Mark) -> None:
    with suppress(SessionError):  # no node of this run matches; another run's may
        stepper.breakpoint(mark.pattern, mark.when)


def _nodes(fetches: Any) -> list[Node]:
    if isinstance(fetches, dict):
        return [node for each in fetches.values() for node in _nodes(each)]
    if isinstance(fetches, (list, tuple)):
        return [node for each in fetches for node in _nodes(each)]
    return [fetches.node.live if isinstance(fetches, Tensor) else fetches.live]


def _check(pattern: Any) -> None:
    if not isinstance(pattern, (str, type(None))):  # kept, it would fail in each run to come
        raise ArgumentError(f"{pattern!r} is no pattern of names", hint="'layer1/*', or 'op:log'")


def _patterns(breaks: list[Mark]) -> str:
    return ", ".join(each.pattern for each in breaks) or "nothing is set"
