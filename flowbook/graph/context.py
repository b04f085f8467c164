"""Where new nodes go: the default graph, name scopes, devices and control dependencies.

One immutable `BuildContext` in a context variable, so that threads and async cells each have their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from flowbook.errors import ArgumentError
from flowbook.graph.node import Node, Origin, Tensor
from flowbook.graph.types import is_name

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph


class BuildContext(NamedTuple):
    """What applies to every node made now."""

    graph: Graph | None = None  # None: the process-wide default graph
    scope: str = ""  # ends in "/" when not empty
    device: str | None = None
    controls: tuple[Node, ...] = ()
    forward: Node | None = None  # set while a gradient rule builds
    derivation: Any = None  # set while a derivation (gradients, minimize) builds
    origin: Origin | None = None  # overrides the call site


_context: ContextVar[BuildContext] = ContextVar("flowbook_build_context", default=BuildContext())  # noqa: B039 - immutable
current = _context.get
enter = _context.set  # and back with `leave`: what `override` does, for code that enters a context for every node
leave = _context.reset
_default: Graph | None = None
_beginning: Callable[[Graph], None] | None = None


def get_default_graph() -> Graph:
    """The graph that new nodes go to: the innermost ``with graph.as_default()``, else one for the whole process.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as g:
    ...     fb.get_default_graph() is g
    True
    """
    global _default
    graph = current().graph
    if graph is not None:
        return graph
    if _default is None:
        from flowbook.graph.graph import Graph

        _default = Graph()
    return _default


def reset_default_graph() -> None:
    """Forget the process-wide default graph; the next node starts a new one."""
    global _default
    _default = None


def on_building(begin: Callable[[Graph], None] | None) -> None:
    """Call ``begin`` before a graph that no cell is building gets a node: how plain cells of a notebook own theirs."""
    global _beginning
    _beginning = begin


def begin_building(graph: Graph) -> None:
    """Tell who asked for it (`on_building`) that a graph is about to get nodes."""
    if _beginning is not None:
        _beginning(graph)


class override:
    """Change fields of the build context inside a ``with`` block."""

    __slots__ = ("context", "token")

    def __init__(self, **fields: Any) -> None:
        self.context = current()._replace(**fields)

    def __enter__(self) -> BuildContext:
        self.token = _context.set(self.context)
        return self.context

    def __exit__(self, *exc: object) -> None:
        _context.reset(self.token)


class name_scope:
    """Prefix the names of the nodes made inside with ``name/``; scopes nest and are drawn as boxes.

    Entering the same scope twice continues it. Yields the full prefix.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default(), fb.name_scope("layer1"):
    ...     fb.constant(1.0, name="c").name
    'layer1/c'
    """

    def __init__(self, name: str) -> None:
        if not is_name(name) or not name.strip("/"):
            raise ArgumentError(f"{name!r} is not a scope name", hint="a non-empty string on one line")
        self.name = name.strip("/")

    def __enter__(self) -> str:
        context = current()
        prefix = f"{context.scope}{self.name}/"
        self._token = _context.set(context._replace(scope=prefix))
        return prefix

    def __exit__(self, *exc: object) -> None:
        _context.reset(self._token)


@contextmanager
def device(name: str | None) -> Iterator[str | None]:
    """Ask for a device (``"cpu:0"``, ``"gpu:0"``) for the nodes made inside; ``None`` asks for nothing.

    Placement is soft: a device that is not here is replaced by one that is, and ``session.notes`` says so.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default(), fb.device("cpu:1"):
    ...     fb.constant(1.0).device
    'cpu:1'
    """
    with override(device=None if name is None else as_device(name)) as context:
        yield context.device


def as_device(name: Any) -> str:
    """A checked device name; ``"cpu"`` means ``"cpu:0"``."""
    if isinstance(name, str):
        kind, _, index = name.partition(":")
        if kind.isalpha() and (index.isdecimal() or name == kind):
            return f"{kind.lower()}:{int(index or 0)}"
    raise ArgumentError(f"{name!r} is not a device name", hint="such as 'cpu:0' or 'gpu:0'")


@contextmanager
def control_dependencies(nodes: Sequence[Tensor | Node] | None) -> Iterator[None]:
    """Make every node built inside wait for ``nodes``; ``None`` forgets the outer dependencies. Placeholders and
    Variables do not wait: a run has their values before it begins.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     v = fb.Variable(1.0, name="v")
    ...     bump = fb.assign_add(v, 1.0)
    ...     with fb.control_dependencies([bump]):
    ...         after = fb.identity(v)
    ...     float(fb.Session().run(after))
    2.0
    """
    if nodes is None:
        with override(controls=()):
            yield
        return
    if isinstance(nodes, (Tensor, Node)) or not isinstance(nodes, Iterable):
        nodes = [nodes]
    extra = []
    for each in nodes:
        node = each.node if isinstance(each, Tensor) else each
        if not isinstance(node, Node):
            raise ArgumentError(f"control dependency {each!r} is neither a tensor nor a node")
        extra.append(node)
    with override(controls=tuple(dict.fromkeys((*current().controls, *extra)))):
        yield
