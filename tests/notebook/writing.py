"""Random sources of cells, and edits of them: text that a person might have typed.

Whoever draws gives ``pick(sequence)``: hypothesis, or a seeded generator for a kernel in another process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

Pick = Callable[[Sequence[Any]], Any]

# {n}, {m}: names that are assigned; {x}, {y}: tensors; {g}: a name= argument, or nothing ({v}: not in a plain cell).
# What a name ends in tells what it holds: _f a function, _l a list, _d a dictionary, _t a node without outputs; else
# a tensor.
SOURCES = (
    "{n} = fb.placeholder((3,){g})",
    "{n} = fb.placeholder(('n',){g})",
    "{n} = fb.placeholder((None,){g})",
    "{n} = fb.placeholder((4,){g})",
    "{n} = fb.constant([0.5, 1.0, 2.0]{g})",
    "{n} = fb.constant(np.array([0.5, 1.5, 2.0]){g})",
    "{n} = fb.Variable(np.full(3, 0.5, 'float32'){v})",
    "{n} = fb.Variable(fb.random.normal((3,)){v})",
)
USES = (
    "{n} = fb.tanh({x}{g})",
    "{n} = fb.tanh({x} * 0.5)",
    "{n} = fb.add({x}, {y}{g})",
    "{n} = {x} * {y} + 1.0",
    "{n} = fb.sum({x} * {x}{g})",
    "{n} = {x}",
    "{n} = {m} = fb.tanh({x}{g})",
    "{n} = fb.tanh({x})\n{n} = fb.tanh({n}) + {x}",
    "{n} = {x} + 0.5\n{n} += 1.0",
    "{n}, {m} = fb.tanh({x}), fb.abs({y})",
    "{n}, *{n}_l = [fb.tanh({x}), fb.abs({x}), -{x}]",
    "{n} = -({m} := fb.tanh({x}))",
    "{n} = {x}\nfor _ in range(2):\n    {n} = fb.tanh({n})",
    "for {n} in [fb.tanh({x}), fb.abs({x})]:\n    {m} = {n} * 2.0",
    "{n}_l = [fb.tanh({x}) for _ in range(2)]\n{n} = {n}_l[0] + {n}_l[1]",
    "{n}_d = {{}}\n{n}_d['k'] = fb.tanh({x})\n{n} = {n}_d['k'] * 2.0",
    "with fb.name_scope('part'):\n    {n} = fb.tanh({x}{g})",
    "with fb.control_dependencies([{y}]):\n    {n} = fb.tanh({x}{g})",
    "def {n}_f(t):\n    inner = fb.tanh(t)\n    return inner + 1.0\n{n} = {n}_f({x})",
    "{n} = fb.dropout({x}, 0.5{g})",
    "{n} = fb.cond(fb.sum({x}) > 0, lambda: fb.tanh({y}), lambda: {y} * fb.sum({x}){g})",
    "{n} = fb.py_function(lambda v: v + 1, [{x}], {x}.dtype.name{g})",
    "if True:\n    {n} = fb.tanh({x})\nelse:\n    {n} = {x}",
    "{n}, = fb.gradients({y}, [{x}], unconnected='zeros')",
    "{n}, {m} = fb.gradients(fb.sum({y} * {y}), [{x}, {y}], unconnected='zeros')",
    "{n} = fb.tanh({x}) * {y}\n{m}, = fb.gradients({n}, [{x}])\n{n} = fb.gradients({m}, [{y}], unconnected='zeros')[0]",
    "{n}_t = fb.train.SGD(0.1).minimize(fb.sum({x} * {y}){g})",
    "{n} = fb.sum(fb.square({x}) + {y})\n{n}_t = fb.train.SGD(0.1).minimize({n})",
    "{n}_t = fb.group({x}, {y}{g})",
)
OTHERS = {  # what uses other things than tensors
    "f": ("{n} = {f}({x})",),
    "l": ("{n} = {l}[0] * 2.0", "{n} = sum(fb.sum(each) for each in {l})"),
    "d": ("{n} = {d}['k'] + 0.5",),
    "t": ("with fb.control_dependencies([{t}]):\n    {n} = fb.tanh({x})", "{n}_t = fb.group({t})"),
}
FAILURES = (
    "1 / 0",
    "raise ValueError('stop')",
    "never = nothing_is_called_so",
    "never = = 1",
    "fb.reshape(fb.constant([1.0, 2.0]), (3,))",
)


class Line(NamedTuple):
    """A statement or a few, the names from elsewhere that it reads, and those it assigns."""

    code: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Source(NamedTuple):
    """The text of a cell, in parts: its magic (or nothing), and its lines."""

    magic: str
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        name = "" if self.magic else r", name='\1'"  # where assignments give no names, Variables would be numbered
        rows = [*filter(None, [self.magic]), *(re.sub("<(.*?)>", name, line.code) for line in self.lines)]
        return "\n".join(rows or ["# nothing"])  # front ends do not send a cell that is empty

    def owner(self, cell: str) -> str:
        """The name under which the graph has what the cell (by id) defines."""
        _, named, name = self.magic.partition("--name ")
        return name.split()[0] if named else cell[:8]

    @property
    def reads(self) -> list[str]:
        """The names that other cells have to bind."""
        found: dict[str, None] = {}
        own: set[str] = set()
        for line in self.lines:
            found.update((name, None) for name in line.reads if name not in own)
            own.update(line.writes)
        return [*found]

    @property
    def writes(self) -> list[str]:
        return [*dict.fromkeys(name for line in self.lines for name in line.writes)]


def kind(name: str) -> str:
    return name[-1] if name[-2:-1] == "_" else ""


def line(pick: Pick, key: str, known: Iterable[str]) -> Line:
    """A line of the cell ``key``, which may use the ``known`` names."""
    known = sorted(known)
    tensors = [name for name in known if not kind(name)]
    fresh = [f"{key}{letter}" for letter in "abc"] * 2 + ["p", "q"]
    names = {"n": pick(fresh)}
    names["m"] = pick([name for name in fresh if name != names["n"]])
    given = pick(["", "", f", name='{names['n']}'", f", name='given_{key}'"])
    if not tensors or pick(range(6)) == 0:
        template = pick(SOURCES)
    else:
        names["x"], names["y"] = pick(tensors), pick(tensors)
        others = sorted({kind(name) for name in known} - {""})
        if others and pick(range(4)) == 0:
            other = pick(others)
            names[other] = pick([name for name in known if kind(name) == other])
            template = pick(OTHERS[other])
        else:
            template = pick(USES)
    reads = [names[letter] for letter in "xyfldt" if f"{{{letter}}}" in template]
    names_written = [names[letter] for letter in "nm" if any(f"{{{letter}}}{end}" in template for end in (" ", ","))]
    parts = [f"{names['n']}_{letter}" for letter in "fldt" if f"{{n}}_{letter}" in template]
    return Line(template.format(g=given, v=given or f"<{names['n']}>", **names), tuple(reads), (*names_written, *parts))


def magic(pick: Pick, key: str) -> str:
    """The first line of a cell."""
    name = pick(["", "", f" --name cell_{key}", f" --name other_{key}", " --name net"])
    return pick(["", *[f"%%flow --quiet{name}"] * 2, f"%%flow --quiet{name} --scope part"])


def source(pick: Pick, key: str, known: Iterable[str]) -> Source:
    """A new cell; it reads the ``known`` names, and what it assigned itself."""
    made = Source(magic(pick, key), ())
    for _ in range(pick(range(1, 5))):
        made = _with_a_line(pick, made, key, known)
    return made


def _with_a_line(pick: Pick, old: Source, key: str, known: Iterable[str]) -> Source:
    own = old.writes
    return old._replace(lines=(*old.lines, line(pick, key, {*known, *own} if own and pick(range(3)) else known)))


def edited(pick: Pick, old: Source, key: str, known: Iterable[str]) -> Source:
    """The cell after an edit as people make them."""
    change = pick(["operation"] * 3 + ["line", "line", "without", "swap", "magic", "magic", "failing", "everything"])
    if change == "magic":
        return old._replace(magic=magic(pick, key))
    if change == "everything" or not old.lines:
        return source(pick, key, known)
    if change == "line":
        return _with_a_line(pick, old, key, known)
    place = pick(range(len(old.lines)))
    before, one, after = old.lines[:place], old.lines[place], old.lines[place + 1 :]
    if change == "failing":
        return old._replace(lines=(*before, one, Line(pick(FAILURES), (), ()), *after))
    if change == "without":
        return old._replace(lines=before + after)
    if change == "swap":
        return old._replace(lines=(*after, one, *before))
    was, now = pick([("tanh", "square"), ("square", "tanh"), ("3,", "4,"), ("0.5", "1.5"), ("add", "multiply")])
    return old._replace(lines=(*before, one._replace(code=one.code.replace(was, now)), *after))
