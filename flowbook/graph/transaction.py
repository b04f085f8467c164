"""A cell's commit: all or nothing, followed by what it means for the other cells, and undoable.

While a cell runs, its old nodes are set aside and its new ones take their keys. On success the commit brings the
other cells up to date (`follow.py`); any failure restores every record. The `Journal` keeps the first old state of
all that was touched, which is all that rollback and undo need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flowbook.errors import ArgumentError, GraphError
from flowbook.graph.node import Node, Record
from flowbook.graph.types import is_name

if TYPE_CHECKING:
    from flowbook.graph.derive import Derivation
    from flowbook.graph.graph import Graph, Owner


class Commit(NamedTuple):
    """What one commit did, as names of nodes; what ``%flow diff`` shows."""

    owner: str
    added: list[str]
    removed: list[str]
    changed: list[str]
    rewired: list[str]
    derived: list[str]
    stale: list[str]
    journal: Journal
    derivations: list[Derivation]  # those that were built again
    again: bool = False  # whether the cell had nodes before

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.rewired, self.derived, self.stale))

    def __repr__(self) -> str:
        parts = [
            f"{len(names)} {kind}"
            for kind, names in zip(self._fields[1:7], self[1:7], strict=True)
            if names  # in the order of the fields
        ]
        return f"<Commit of {self.owner or 'the script'}: {', '.join(parts) or 'nothing changed'}>"


class Journal:
    """The first old state of everything touched since it was opened."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.records: dict[Node, Record | None] = {}
        self.moves: dict[Node, Node | None] = {}
        self.owners: dict[Owner, tuple[Any, ...]] = {}
        self.functions = dict(graph.functions)
        self.made: list[Node] = []  # the nodes built since, in order
        self.unnamed: set[Node] = set()  # those of them that nobody gave a name
        self.renamed: list[tuple[Node, int]] = []  # with how many derivations the cell had at that moment

    def note(self, node: Node) -> None:
        """Remember a node's record, unless an older one is remembered."""
        if node not in self.records:
            self.records[node] = node.record
            self.moves[node] = node.moved

    def note_owner(self, owner: Owner) -> None:
        """Remember an owner's table, unless an older one is remembered."""
        if owner not in self.owners:
            derivations = [(each, *each.state()) for each in owner.derivations]
            tables = dict(owner.nodes), dict(owner.counters), derivations, set(owner.functions)
            self.owners[owner] = (*tables, owner.seq, owner.file, owner.maker, owner.name)

    def newly_stale(self) -> list[Node]:
        """The nodes that were not stale, or not there, when the journal was opened."""
        return [
            node
            for node, old in self.records.items()
            if node.record is not None and node.record.stale and (old is None or not old.stale)
        ]

    def set(self, node: Node, record: Record | None) -> None:
        """Replace a node's record."""
        self.note(node)
        node.hold(record)

    def restore(self) -> None:
        """Put everything back. What the script defined since then stays."""
        graph = self.graph
        for node, record in self.records.items():
            node.hold(record)
            node.moved = self.moves[node]
        for owner, (nodes, counters, derivations, functions, seq, file, maker, name) in self.owners.items():
            graph.rename_owner(owner, name)
            for node in owner.nodes.values():
                if node.name not in nodes:
                    owner.gone[node.name] = node
            owner.nodes, owner.counters, owner.functions = dict(nodes), dict(counters), set(functions)
            owner.seq, owner.file, owner.maker = seq, file, maker
            owner.derivations = [derivation.reset(*state) for derivation, *state in derivations]
        used = {name for owner in graph._owners.values() for name in owner.functions}
        found = {**graph.functions, **self.functions}
        graph.functions.clear()  # in place: bodies share the table
        graph.functions.update((name, found[name]) for name in found if name in used)
        tidy(graph, self)
        graph.version += 1


def tidy(graph: Graph, journal: Journal) -> None:
    """Make the tables agree with the records again: handles that are gone, and variables by name."""
    for owner in journal.owners:
        gone = owner.gone
        for key in [key for key, node in gone.items() if node.record is not None]:
            gone.pop(key, None)
    for node in journal.records:
        if node.record is not None and node.record.op.name == "variable":
            graph._variables[node.name] = node
        elif graph._variables.get(node.name) is node:
            del graph._variables[node.name]


class Transaction:
    """The draft of one cell. Use ``graph.transaction(cell)``.

    A ``plain`` one is that of a cell which does not say where it ends: it makes way for any other.
    """

    def __init__(
        self,
        graph: Graph,
        owner: str,
        *,
        file: str | None,
        discard: bool = False,
        extend: bool = False,
        was: str | None = None,
        maker: str | None = None,
        plain: bool = False,
    ) -> None:
        self.graph = graph
        self.name = owner
        self.file = file
        self.discard = discard
        self.extend = extend
        self.was = was
        self.maker = maker
        self.plain = plain
        self.old: list[Node] = []
        self.drafting = True
        self.commit: Commit | None = None

    def __enter__(self) -> Transaction:
        graph = self.graph
        if not is_name(self.name):
            raise ArgumentError(f"{self.name!r} is not the name of a cell", hint="a non-empty string on one line")
        make_way(graph)
        owner, former = graph._owners.get(self.name), graph._owners.get(self.was) if self.was is not None else None
        graph._journal = self.journal = Journal(graph)
        self.renamed = former is not None and former is not owner
        if former is not None and former is not owner:
            self.journal.note_owner(former)
            if owner is None:
                graph.rename_owner(former, self.name)
                owner = former
            else:
                self._set_aside(former)
        self.new = owner is None
        if owner is None:
            from flowbook.graph.graph import Owner

            position = 1 + max(each.position for each in graph._owners.values())
            owner = graph._owners[self.name] = Owner(self.name, position)
        self.owner = owner
        self.outer = graph._owner
        graph._transaction = self
        self.journal.note_owner(owner)
        self.revived = bool(owner.gone)
        if not self.extend:
            self._set_aside(owner)
        owner.file, owner.maker = self.file, self.maker
        graph._owner = owner
        graph.version += 1
        return self

    def _set_aside(self, owner: Owner) -> None:
        self.old += owner.nodes.values()
        for node in owner.nodes.values():
            self.journal.set(node, None)
            owner.gone[node.name] = node
        for name in owner.functions:
            self.graph.functions.pop(name, None)
        owner.nodes, owner.counters, owner.derivations, owner.functions, owner.seq = {}, {}, [], set(), 0

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        graph = self.graph
        try:
            if error is not None or self.discard:
                self._roll_back()
                return
            try:
                self.commit = self._commit()
            except BaseException:
                self._roll_back()
                raise
            if self.commit or self.renamed or not self.plain:
                graph.last_commit = self.commit
        finally:
            graph._transaction = None
            graph._journal = None
            graph._owner = self.outer
            graph.version += 1

    def close(self) -> None:
        """Commit now: what leaving the ``with`` block does."""
        self.__exit__(None, None, None)

    def _roll_back(self) -> None:
        self.journal.restore()
        if self.new:  # its position goes to whoever comes next
            del self.graph._owners[self.name]

    def _commit(self) -> Commit:
        from flowbook.graph.follow import Follower, same_inputs, same_operation
        from flowbook.graph.rebuild import name_again
        from flowbook.graph.rename import settle

        records, owner = self.journal.records, self.owner
        if self.journal.renamed:
            name_again(self.graph, self.journal, owner)
        self.drafting = False
        settle(self.graph, owner)
        removed = [node for node in self.old if node.record is None]
        added, changed, rewired = [], [], []
        for node in owner.nodes.values():
            before = records.get(node)
            if before is None:
                added.extend([node] if node in records else [])
            elif not same_operation(before, node.current):
                changed.append(node)
            elif not same_inputs(before, node.current):
                rewired.append(node)
        follower = Follower(self.graph, self.journal, owner.nodes.values())
        if self.old or self.revived:
            follower.follow({*removed, *changed, *rewired, *(added if self.revived else ())})
        tidy(self.graph, self.journal)
        derived = [each for each in follower.derived if not any(node.stale for node in each.nodes)]
        return Commit(
            owner.name,
            [node.name for node in added],
            [node.name for node in removed],
            [node.name for node in changed],
            [node.name for node in rewired],
            [node.name for each in derived for node in each.nodes],
            [node.name for node in self.journal.newly_stale()],
            self.journal,
            derived,
            bool(self.old),
        )


def make_way(graph: Graph) -> None:
    """End the draft of a plain cell; ``GraphError`` while another cell is being run."""
    draft = graph._transaction
    if draft is not None and draft.plain:
        draft.close()
    elif draft is not None:
        raise GraphError(f"cell {draft.name} is still being run")


def undo(graph: Graph) -> Commit:
    """Take the last commit back; a second undo in a row has nothing to undo."""
    from flowbook.graph.follow import Follower

    make_way(graph)
    commit = graph.last_commit
    if commit is None:
        raise GraphError("there is no commit to undo")
    undone = commit.journal
    for node, record in undone.records.items():
        taken = graph._variables.get(node.name)
        if record is None or record.op.name != "variable" or taken is None or taken in undone.records:
            continue  # what the commit itself made goes with it
        if taken.owner is not node.owner:
            raise GraphError(
                f"the commit of {graph._owners[commit.owner].label} cannot be undone: "
                f"{taken.owner.label} defines Variable '{node.name}' now"
            )
    now = Journal(graph)
    for node in undone.records:
        now.note(node)
    undone.restore()
    graph._journal = now
    try:
        restored = {node for node, record in now.records.items() if node.record is not record}
        Follower(graph, now, undone.records).follow(restored)
    finally:
        graph._journal = None
    tidy(graph, now)
    graph.last_commit = None
    return commit
