"""What `nan_origin` found, as an object with a short text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowbook.graph.node import Node, Origin

_LONG = 6  # names of a path that are shown; of a longer one its ends


@dataclass(frozen=True, repr=False, eq=False)  # arrays have no one answer to ==
class Operand:
    """What an element was computed from: ``label`` (``x[0, :]``) and the elements (a 1-D array)."""

    label: str
    values: Any

    @property
    def value(self) -> Any:
        """The element as a Python number, when it is a single one; else ``None``."""
        return self.values[0].item() if self.values.size == 1 else None

    def __repr__(self) -> str:
        values = self.values
        if values.size == 0:
            return f"{self.label}: no elements"
        if values.size == 1:
            return f"{self.label} = {_number(values[0])}"
        text = f"{self.label}: {values.size} elements"
        if values.dtype.kind not in "iuf":
            return text
        good = values[np.isfinite(values)]
        text += f" from {_number(good.min())} to {_number(good.max())}" if good.size else ""
        bad = int(values.size - good.size)
        return text + (f", {bad} not finite" if bad else "")


@dataclass(frozen=True, repr=False, eq=False)
class NanOrigin:
    """Where a nan or an infinity was made; the result of `nan_origin`. Printed it is a short text.

    ``node``: the `Node` that made it (of a feed, constant or variable: the one that holds it; ``None`` for a copy
    between devices), with its ``name``, ``op`` and number of the ``output``; ``element``: its coordinates; ``kind``:
    ``"nan"`` or ``"inf"``; ``value``. ``rule``: what was broken there; ``inputs``: what the element was computed from.
    ``gradient``: of a backward node, whose derivative it is. ``trap``: name and element of the forward ``where`` that
    did not take the branch in which it happened. ``became``: name and rule of the node where an infinity turned into
    nan. ``origin``: cell, line and code of the node; ``forward``: those of the forward node, of a backward one.
    ``path``: names from the origin to the fetch, a shortest chain. ``fetch``: name, element and kind of what was
    asked for. ``hint``: what to do.
    """

    node: Node | None
    name: str
    op: str
    output: int
    element: tuple[int, ...]
    kind: str
    value: float
    rule: str
    inputs: tuple[Operand, ...]
    gradient: str | None
    trap: tuple[str, str] | None
    became: tuple[str, str] | None
    origin: Origin | None
    forward: Origin | None
    path: tuple[str, ...]
    fetch: tuple[str, tuple[int, ...], str]
    hint: str | None

    def __repr__(self) -> str:
        name, element, kind = self.fetch
        rows = [("", f"{kind} in '{name}'{_at(element)} begins in '{self.name}'{_at(self.element)} ({self.op})")]
        told = self.rule.startswith(self.kind)
        rows.append(("rule", self.rule if told else f"{self.rule}, which gives {_number(self.value)}"))
        if self.inputs:
            rows.append(("values", ", ".join(map(repr, self.inputs))))
        if self.gradient:
            rows.append(("gradient", self.gradient))
        if self.trap:
            rows.append(("trap", f"where() '{self.trap[0]}'{self.trap[1]} did not take this branch, so the gradient 0"))
            rows.append(("", "arrives here, and 0 times a slope that is not finite is nan"))
        if self.became:
            rows.append(("then", f"nan at '{self.became[0]}': {self.became[1]}"))
        rows.append(("line", _written(self.origin)))
        if self.forward is not None:
            rows.append(("forward", _written(self.forward)))
        if len(self.path) > 1:
            names = [f"'{each}'" for each in self.path]
            shown = names if len(names) <= _LONG else [*names[:3], f"({len(names) - 5} more)", *names[-2:]]
            rows.append(("path", " > ".join(shown)))
        if self.hint:
            rows.append(("hint", self.hint))
        return "\n".join(
            f"  {label + ':' * bool(label):10}{text}" if at else text for at, (label, text) in enumerate(rows)
        )


def _written(origin: Origin | None) -> str:
    if origin is None:
        return "not known"
    return f"{origin.cell}:{origin.line}" + (f"  {origin.code}" if origin.code else "")


def _at(element: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, element))}]" if element else ""


def _number(value: Any) -> str:
    """4 significant digits; no minus before zero.

    >>> _number(np.float32(1) / 3), _number(np.float32(-0.0)), _number(np.True_)
    ('0.3333', '0', 'True')
    """
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)
