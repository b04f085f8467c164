"""The graph: a table of nodes by owner (a cell or the script) and name. Pure data; it executes nothing.

Owners, keys and records are explained in `node.py`, transactions in `transaction.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

from flowbook.errors import ArgumentError, FetchError, GraphError
from flowbook.graph import context
from flowbook.graph.node import Node, Record, Tensor, Variable, call_site
from flowbook.graph.types import Scalar, TensorSpec, is_name

if TYPE_CHECKING:
    from flowbook.graph.derive import Derivation
    from flowbook.graph.diff import Diff
    from flowbook.graph.hashing import Key, Signature
    from flowbook.graph.opdef import OpDef
    from flowbook.graph.transaction import Commit, Journal, Transaction

SCRIPT = ""  # the owner of everything that no cell owns


class Owner:
    """A cell (or the script): its nodes, its position among the cells, and the counters its automatic names use."""

    __slots__ = ("counters", "derivations", "file", "functions", "gone", "maker", "name", "nodes", "position", "seq")

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        self.position = position
        self.nodes: dict[str, Node] = {}
        self.gone: WeakValueDictionary[str, Node] = WeakValueDictionary()  # handles of names it no longer defines
        self.counters: dict[str, int] = {}
        self.derivations: list[Derivation] = []
        self.functions: set[str] = set()  # names of the Python callables its nodes refer to
        self.seq = 0
        self.file: str | None = None  # the file name Python shows for the cell's code
        self.maker: str | None = None  # the front end's id of the cell that defined what is here now

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"cell {self.name}" if self.name else "the script"


class Graph:
    """A dataflow graph: nodes are operations, edges are tensors.

    ``seed`` is the root of all randomness whose ops give no seed of their own.

    >>> import flowbook as fb
    >>> g = fb.Graph()
    >>> with g.as_default():
    ...     x = fb.placeholder((None,), name="x")
    ...     y = fb.square(x, name="y")
    >>> [node.name for node in g.nodes], g["y"] is y
    (['x', 'y'], True)
    """

    def __init__(self, seed: int = 0) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ArgumentError(f"seed {seed!r} is not an int")
        self.seed = seed
        self.functions: dict[str, Callable[..., Any]] = {}  # Python callables by name; never saved
        self.initial: dict[str, Any] = {}  # first values of variables, by name, that came with a file
        self.version = 0  # grows with every change; caches compare it
        self.last_commit: Commit | None = None
        self._owners: dict[str, Owner] = {SCRIPT: Owner(SCRIPT, 0)}
        self._owner = self._owners[SCRIPT]  # the one that new nodes go to
        self._transaction: Transaction | None = None
        self._journal: Journal | None = None
        self._variables: dict[str, Node] = {}

    # -------------------------------------------------------------------------------------------- looking

    @property
    def nodes(self) -> list[Node]:
        """All nodes in program order: by position of their cell, then by creation."""
        return [node for owner in self.owners for node in self.owned(owner.name)]

    @property
    def owners(self) -> list[Owner]:
        """The owners that define something, by position."""
        return sorted((owner for owner in self._owners.values() if owner.nodes), key=lambda each: each.position)

    def owned(self, owner: str) -> list[Node]:
        """The nodes of one cell, in creation order."""
        if owner not in self._owners:
            return []
        return sorted(self._owners[owner].nodes.values(), key=lambda node: node.current.seq)

    @property
    def variables(self) -> list[Variable]:
        """The variables, in program order."""
        nodes = [node for node in self._variables.values() if node.record is not None]
        return [node.tensors[0] for node in sorted(nodes, key=lambda node: node.order)]  # type: ignore[misc]

    def __len__(self) -> int:
        return sum(len(owner.nodes) for owner in self._owners.values())

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Graph: {len(self)} nodes>"

    def find(self, name: str) -> list[Node]:
        """All nodes of that name; several when two cells use it."""
        return [owner.nodes[name] for owner in self.owners if name in owner.nodes]

    def element(self, name: str) -> Tensor | Node:
        """The tensor called ``name`` (``"node"``, ``"node:1"``), or the node, when it has no outputs.

        Raises ``FetchError`` when nothing is called so, or when two cells use the name.
        """
        if not isinstance(name, str):
            raise FetchError(f"{name!r} is not a name")
        found, index = self.find(name), 0
        if not found:
            head, _, tail = name.rpartition(":")
            if head and tail.isdecimal():
                found, index = self.find(head), int(tail)
        if not found:
            raise FetchError(f"nothing in the graph is called '{name}'", hint=_similar(name, self))
        if len(found) > 1:
            both = ", ".join(f"{node.owner.label} ({node.op})" for node in found)
            raise FetchError(f"'{name}' is in several cells: {both}", hint="use the tensor itself")
        node = found[0]
        if not node.outputs and index == 0:
            return node
        if index >= len(node.outputs):
            raise FetchError(f"'{node.name}' has {len(node.outputs)} outputs, no output {index}")
        return node.outputs[index]

    def __getitem__(self, name: str) -> Tensor | Node:
        return self.element(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.find(name))

    # -------------------------------------------------------------------------------------------- building

    @property
    def building(self) -> Owner:
        """The owner that new nodes go to. The first time a plain cell of a notebook builds, its transaction begins."""
        if self._journal is None:
            context.begin_building(self)
        return self._owner

    @contextmanager
    def as_default(self) -> Iterator[Graph]:
        """Inside the ``with`` block new nodes go to this graph."""
        with context.override(graph=self, scope="", device=None, controls=(), forward=None, derivation=None):
            yield self

    def add(
        self,
        op: OpDef,
        inputs: tuple[Tensor | Scalar | None, ...],
        attrs: Mapping[str, Any],
        specs: tuple[TensorSpec, ...],
        name: str | None,
        ctx: context.BuildContext,
    ) -> Node:
        """Put a checked node into the graph and return its handle. Ops call it; users call ops."""
        before, owner = self._owner, self.building
        if owner is not before:  # a plain cell that is run again just lost what it had
            for each in inputs:
                if isinstance(each, Tensor):
                    each.node.current  # noqa: B018 - raises when the node is gone
        _, scope, device, controls, forward, derivation, origin = ctx
        if name is None and op.name != "variable":
            full = _count_up(owner, base := f"{scope}{op.name}", base)
        else:
            full = self._free_name(owner, op, name, scope)
        if controls:
            alone = op.source and op.name != "constant"  # what a feed or a session gives waits for nothing
            controls = () if alone else self._live_controls(full, controls)
        if self._transaction is not None and self._transaction.drafting and (name is None or derivation):
            node = Node(self, owner, full)  # it may get another name yet; the commit finds the handle of its key
        else:
            node = self._handle(owner, full)
        owner.seq = seq = owner.seq + 1
        origin = origin or call_site(owner, 3)
        record = Record(op, inputs, attrs, specs, seq, origin, device, controls, forward, derivation)
        if self._journal is not None:
            self._journal.note(node)
            self._journal.made.append(node)
        node.hold(record)
        owner.nodes[full] = node
        self.version += 1
        if op.name == "variable":
            self._variables[full] = node
        if derivation is not None:
            derivation.nodes.append(node)
        if name is None and self._journal is not None:
            self._journal.unnamed.add(node)
        return node

    def leave_unnamed(self, node: Node) -> None:
        """Say that nobody gave the node its name, so that it gets that of the variable it is assigned to in a cell."""
        if self._journal is not None:
            self._journal.unnamed.add(node)

    def _free_name(self, owner: Owner, op: OpDef, name: str | None, scope: str) -> str:
        if name is None:
            base = f"{scope}{op.name}"
            full = _count_up(owner, base, base)
            while self._variable(full) is not None:
                full = _count_up(owner, base, base)
        else:
            if not is_name(name):
                raise ArgumentError(f"{name!r} is not a name", hint="a non-empty string on one line")
            full = scope + name
            taken = owner.nodes.get(full)  # Variables do not count up: a second one of the name is an error, below
            if taken is not None and not op.name == taken.op == "variable":
                full = _count_up(owner, full, f"{full}\n")  # a counter apart from that of an op of this name
        if op.name == "variable":
            other = self._variable(full)
            if other is not None:
                raise GraphError(
                    f"Variable '{full}' is defined already, in {other.owner.label}"
                    + (f"; {owner.label} defines it again" if other.owner is not owner else ""),
                    hint="give one of them another name, or use the first",
                )
        return full

    def _variable(self, name: str) -> Node | None:
        node = self._variables.get(name)
        return node if node is not None and node.record is not None else None

    def _handle(self, owner: Owner, name: str) -> Node:
        """The interned handle of a key."""
        node = owner.gone.get(name) if owner.gone.data else None  # type: ignore[attr-defined]  # `len` is slow
        return node if node is not None else Node(self, owner, name)

    def _live_controls(self, name: str, controls: tuple[Node, ...]) -> tuple[Node, ...]:
        for each in controls:
            if each.graph is not self:
                raise GraphError(f"'{name}' cannot wait for '{each.name}': it belongs to another graph")
            each.current  # noqa: B018 - raises when the node is gone
        return tuple(dict.fromkeys([each.live for each in controls]))

    def capture(self, tensor: Tensor) -> Tensor:
        """A tensor of another graph as an operand here: refused, except in the body of a control-flow op."""
        raise GraphError(
            f"'{tensor.name}' belongs to another graph", hint="build both inside one `with graph.as_default():`"
        )

    def unique_scope(self, name: str) -> str:
        """A scope prefix that no node of the current owner uses: ``name/``, ``name_1/``, …"""
        owner, scope = self.building, context.current().scope
        base = f"{scope}{name}/"  # the slash keeps these counters apart from those of node names
        count = owner.counters.get(base, -1) + 1
        owner.counters[base] = count
        return base if count == 0 else f"{scope}{name}_{count}/"

    def add_function(self, function: Callable[..., Any], name: str) -> str:
        """Keep a Python callable in the side table and return the name nodes refer to it by.

        Names are counted within each cell, so that they do not depend on the order in which cells were run.
        """
        owner = self.building
        full = base = f"{owner.name}/{name}" if owner.name else name
        count = 0
        while full in self.functions and self.functions[full] is not function:
            count += 1
            full = f"{base}_{count}"
        self.functions[full] = function
        owner.functions.add(full)
        return full

    # -------------------------------------------------------------------------------------------- cells

    @contextmanager
    def transaction(
        self,
        owner: str,
        *,
        file: str | None = None,
        discard: bool = False,
        extend: bool = False,
        was: str | None = None,
        maker: str | None = None,
    ) -> Iterator[Transaction]:
        """Replace everything ``owner`` defines by what is built inside, all or nothing.

        ``file`` is the file name under which Python knows the cell's code. ``discard`` always rolls back
        (``%flow grad``). ``extend`` keeps what the owner has and adds to it. ``was`` is the name that the cell had
        when it last ran: its place, and the handles to its nodes, go on under the new one. ``maker`` is the front
        end's id of the cell, which outlasts its names.
        """
        from flowbook.graph.transaction import Transaction

        with Transaction(self, owner, file=file, discard=discard, extend=extend, was=was, maker=maker) as transaction:
            yield transaction

    def remove_owner(self, owner: str) -> None:
        """Drop everything a deleted cell defined; its consumers elsewhere become stale."""
        if owner in self._owners and self._owners[owner].nodes:
            with self.transaction(owner, maker=self._owners[owner].maker):
                pass

    def rename_owner(self, owner: Owner, name: str) -> None:
        """Call a cell by another name, which no other cell has."""
        if owner.name != name:
            del self._owners[owner.name]
            owner.name = name
            self._owners[name] = owner
            self.version += 1

    def undo(self) -> Commit:
        """Take the last commit back and return what was undone; ``GraphError`` when there is none."""
        from flowbook.graph.transaction import undo

        return undo(self)

    def rename(self, target: Tensor | Node, name: str) -> Tensor | Node:
        """Give a node another name (what an assignment in a cell does) and return the handle that holds it now.

        When the cell had a node of that name before, its handle takes over, so that other cells follow.
        """
        from flowbook.graph.rename import rename

        return rename(self, target, name)

    # -------------------------------------------------------------------------------------------- describing

    @property
    def hash(self) -> str:
        """A digest of ops, attributes, inputs and specs by key; equal for equal sources, however they were run."""
        from flowbook.graph.hashing import graph_hash

        return graph_hash(self)

    def snapshot(self) -> dict[Key, Signature]:
        """What every node is now, by key, as plain values that later edits do not change: what `diff` compares."""
        from flowbook.graph.hashing import snapshot

        return snapshot(self)

    def diff(self, before: Graph | Mapping[Key, Signature]) -> Diff:
        """What changed since ``before``, another graph or an earlier `snapshot`.

        >>> import flowbook as fb
        >>> g = fb.Graph()
        >>> with g.as_default():
        ...     x = fb.placeholder((2,), name="x")
        >>> before = g.snapshot()
        >>> y = fb.tanh(x, name="y")
        >>> print(g.diff(before))
        + y: tanh(x) float32 (2,)
        """
        from flowbook.graph.diff import diff

        return diff(before, self)

    def __reduce__(self) -> NoReturn:
        raise GraphError(
            "a graph is neither copied nor pickled", hint="fb.save_graph(path, graph) and fb.load_graph(path)"
        )


def _count_up(owner: Owner, base: str, counter: str) -> str:
    """The first of ``base_1``, ``base_2``, … that is free; ``counter`` remembers where to go on."""
    count = owner.counters.get(counter, 0) + 1
    while (name := f"{base}_{count}") in owner.nodes:
        count += 1
    owner.counters[counter] = count
    return name


def _similar(name: str, graph: Graph) -> str | None:
    from difflib import get_close_matches

    names = [node.name for node in graph.nodes]
    close = get_close_matches(name, names, 3) if len(names) <= 5000 else []
    return f"similar: {', '.join(close)}" if close else None
