"""What differs between two graphs, or between a graph and what it was before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowbook.graph.hashing import Canonical, Key, Signature
from flowbook.graph.types import format_shape

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph

Snapshot = Mapping[Key, Signature]


@dataclass
class Diff:
    """The differences, by key. False when there are none; as text, one line for each node.

    ``rewired`` nodes compute the same function of other inputs, or wait for other nodes; ``changed`` ones have another
    op, other attributes, specs or device, or became stale or usable. ``renamed`` maps old keys to new ones.
    """

    before: Snapshot
    after: Snapshot
    added: list[Key] = field(default_factory=list)
    removed: list[Key] = field(default_factory=list)
    changed: list[Key] = field(default_factory=list)
    rewired: list[Key] = field(default_factory=list)
    renamed: dict[Key, Key] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.rewired, self.renamed))

    def __str__(self) -> str:
        rows = [f"+ {self._name(key)}: {describe(self.after[key], self._name)}" for key in self.added]
        rows += [f"- {self._name(key)}: {describe(self.before[key], self._name)}" for key in self.removed]
        rows += [f"> {self._name(old)} is called {self._name(new)} now" for old, new in self.renamed.items()]
        for key in [*self.changed, *self.rewired]:
            rows.append(f"~ {self._name(key)}: {'; '.join(self._changes(self.before[key], self.after[key]))}")
        return "\n".join(rows) or "no difference"

    def __repr__(self) -> str:
        kinds = ("added", "removed", "changed", "rewired", "renamed")
        parts = [f"{len(getattr(self, kind))} {kind}" for kind in kinds if getattr(self, kind)]
        return f"<Diff: {', '.join(parts) or 'none'}>"

    def _name(self, key: Key) -> str:
        """The bare name where it is the only one, else with its cell."""
        cell, name = key
        return f"{name} (cell {cell})" if self._ambiguous(name) else name

    def _ambiguous(self, name: str) -> bool:
        if not hasattr(self, "_cells"):
            self._cells: dict[str, set[str]] = {}
            for cell, each in (*self.before, *self.after):
                self._cells.setdefault(each, set()).add(cell)
        return len(self._cells.get(name, ())) > 1  # nobody defines what a stale node reads

    def _changes(self, old: Signature, new: Signature) -> Iterator[str]:
        if old.op != new.op:
            yield f"{old.op} became {new.op}"
        a, b = dict(old.attrs), dict(new.attrs)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                yield f"{name} {text(a.get(name, '(none)'))} became {text(b.get(name, '(none)'))}"
        if _specs(old) != _specs(new):
            yield f"{_specs(old)} became {_specs(new)}"
        if old.device != new.device:
            yield f"device {old.device or '(any)'} became {new.device or '(any)'}"
        if old.inputs != new.inputs:
            yield f"inputs ({_operands(old, self._name)}) became ({_operands(new, self._name)})"
        if old.controls != new.controls:
            waits = [", ".join(map(self._name, each.controls)) or "nothing" for each in (old, new)]
            yield f"waited for {waits[0]}, waits for {waits[1]}"
        if old.forward != new.forward:
            names = ["nothing" if each.forward is None else self._name(each.forward) for each in (old, new)]
            yield f"backward of {names[0]} became backward of {names[1]}"
        if old.stale != new.stale:
            yield "is stale now" if new.stale else "is not stale any more"


def diff(before: Graph | Snapshot, after: Graph | Snapshot) -> Diff:
    """What changed from ``before`` to ``after``; each a graph or what ``graph.snapshot()`` gave. Linear in their size.

    >>> import flowbook as fb
    >>> def build(rate):
    ...     with fb.Graph().as_default() as graph:
    ...         x = fb.placeholder((2,), name="x")
    ...         fb.multiply(x, rate, name="y")
    ...     return graph
    >>> print(diff(build(0.5), build(0.25)))
    ~ y: inputs (x, 0.5) became (x, 0.25)
    """
    a: Snapshot = before if isinstance(before, Mapping) else before.snapshot()
    b: Snapshot = after if isinstance(after, Mapping) else after.snapshot()
    result = Diff(a, b)
    result.renamed = _renamed(a, b)
    new_names = set(result.renamed.values())
    result.removed = [key for key in a if key not in b and key not in result.renamed]
    for key, new in b.items():
        if key not in a:
            if key not in new_names:
                result.added.append(key)
            continue
        old = _with_new_names(a[key], result.renamed)
        if old == new:
            continue
        same = old._replace(inputs=new.inputs, controls=new.controls, forward=new.forward) == new
        (result.rewired if same else result.changed).append(key)
    return result


def _renamed(a: Snapshot, b: Snapshot) -> dict[Key, Key]:
    """Keys that went away and came back as another one with the same signature, where there is just one candidate."""
    candidates: dict[Signature, list[Key]] = {}
    for key, each in a.items():
        if key not in b:
            candidates.setdefault(each, []).append(key)
    back: dict[Key, Key] = {}
    for key, each in b.items():
        if key not in a and candidates:
            found = candidates.pop(_with_new_names(each, back), [])
            if len(found) == 1 and found[0][0] == key[0]:
                back[key] = found[0]
    return {old: new for new, old in back.items()}


def _with_new_names(each: Signature, names: Mapping[Key, Key]) -> Signature:
    if not names:
        return each
    return each._replace(
        inputs=tuple(
            (*names.get(part[:2], part[:2]), part[2]) if isinstance(part, tuple) else part for part in each.inputs
        ),
        controls=tuple(names.get(key, key) for key in each.controls),
        forward=None if each.forward is None else names.get(each.forward, each.forward),
    )


def describe(each: Signature, name: object) -> str:
    """A signature on one line: ``matmul(x, w) float32 (batch, 10)``."""
    attrs = "".join(f", {key}={text(value)}" for key, value in each.attrs)
    inside = f"{_operands(each, name)}{attrs}".removeprefix(", ")
    return f"{each.op}({inside}) {_specs(each)}".rstrip()


def text(value: Canonical) -> str:
    """A canonical attribute as people write it, shortened."""
    if isinstance(value, tuple):
        return f"({', '.join(map(text, value))}{',' * (len(value) == 1)})"
    return value if len(value) <= 60 else value[:57] + "..."


def _operands(each: Signature, name: object) -> str:
    assert callable(name)
    return ", ".join(
        part if isinstance(part, str) else name(part[:2]) + (f":{part[2]}" if part[2] else "") for part in each.inputs
    )


def _specs(each: Signature) -> str:
    return ", ".join(f"{dtype} {format_shape(shape)}" for dtype, shape in each.specs)
