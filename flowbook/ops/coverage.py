"""What is declared of every op, as a table; a hole in it fails the tests.

``python -m flowbook.ops.coverage`` prints the table as markdown, with ``--docs`` the operator reference, and with
``--write`` puts that into ``docs/ops.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import flowbook.ops
from flowbook.errors import FlowError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import REGISTRY, OpDef, Sample, gradient_rule

DOCS = Path(flowbook.ops.__file__).parents[2] / "docs" / "ops.md"
NONE = "-"


class Row(NamedTuple):
    """One op. A cell says what is there, or in parentheses why nothing is; ``holes`` names what is missing."""

    op: str
    family: str
    kind: str
    oracle: str
    gradient: str
    second_order: str
    cost: str
    samples: str
    doc: str
    doctest: str
    holes: tuple[str, ...]


def rows(registry: Iterable[OpDef] | None = None) -> list[Row]:
    """One row an op, by family and name.

    >>> {row.op: row.gradient for row in rows()}["sign"]
    'no: it is a step function'
    """
    found = [row(each) for each in (REGISTRY.values() if registry is None else registry)]
    return sorted(found, key=lambda each: (each.kind, each.family, each.op))


def row(op: OpDef) -> Row:
    """What is declared of one op."""
    excuse = "(runs in a session)" if op.structured else "(writes a Variable)" if op.writes else ""
    cells = {
        "oracle": oracle(op) or excuse,
        "gradient": gradient(op),
        "second_order": second_order(op) if op.gradient and op.samples and not op.structured else excuse or NONE,
        "cost": "yes" if op.cost else "(none)" if op.structured else "",
        "samples": str(len(samples(op))) if op.samples and not op.structured else excuse,
        "doc": "yes" if op.doc else "",
    }
    return Row(
        op=op.name,
        family=op.module.rpartition(".")[2],
        kind="structured" if op.structured else "array",
        doctest="yes" if ">>>" in op.doc or ">>>" in (op.builder.__doc__ or "") else NONE,
        holes=tuple(name for name, text in cells.items() if not text or text == "0"),
        **cells,
    )


def samples(op: OpDef) -> list[Sample]:
    """The samples of an op."""
    return list(op.samples()) if op.samples else []


def oracle(op: OpDef) -> str:
    """Whose implementation the tests compare with; empty when there is none."""
    if op.oracle is not None:
        return "own"
    return f"np.{op.name}" if callable(getattr(np, op.name, None)) else ""


def gradient(op: OpDef) -> str:
    """``yes``, ``no: why``, or empty when nobody declared one."""
    if op.gradient is not None:
        return "yes"
    return f"no: {op.nondifferentiable}" if op.nondifferentiable else ""


def second_order(op: OpDef) -> str:
    """``yes``, or which op in the nodes of the gradient rule has no gradient itself."""
    blocking: set[str] = set()
    for sample in samples(op):
        with Graph().as_default():
            blocking.update(_blocking(op, sample))
    return f"no: through {', '.join(sorted(blocking))}" if blocking else "yes"


def _blocking(op: OpDef, sample: Sample) -> set[str]:
    """Ops without a gradient on a way through floats from the operands to what the gradient rule builds."""
    placeholder = REGISTRY["placeholder"].builder
    operands = [
        placeholder(each.shape, each.dtype.name) if isinstance(each, np.ndarray) else each for each in sample.inputs
    ]
    built = op.builder(*([operands] if op.variadic else operands), **sample.attrs)
    outputs = (built[0] if isinstance(built, tuple) else built).node.outputs
    if any(each.dtype.kind != "f" for each in outputs):
        return set()
    dys = [placeholder(each.shape, each.dtype.name) for each in outputs]
    parts = gradient_rule(op)(outputs[0].node, *dys)
    parts = parts if isinstance(parts, (tuple, list)) else (parts,)
    made = [part() if callable(part) and not isinstance(part, Tensor) else part for part in parts]
    roots = {each.node for each in (*operands, *dys) if isinstance(each, Tensor)} | {outputs[0].node}
    return _without_gradient([each.node for each in made if isinstance(each, Tensor)], roots)


def _without_gradient(ends: Sequence[Node], roots: set[Node]) -> set[str]:
    def before(node: Node) -> list[Node]:
        return [each.node for each in node.input_tensors if each.dtype.kind == "f"]

    def reach(starts: Sequence[Node], through: bool) -> set[Node]:
        seen, stack = set(starts), list(starts)
        while stack:
            node = stack.pop()
            if node in roots or (not through and node.opdef.gradient is None) or node.op == "stop_gradient":
                continue
            for other in before(node):
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        return seen

    stuck = [node for node in reach(ends, False) - roots if node.opdef.gradient is None]
    return {node.op for node in stuck if reach([node], True) & roots}


# ------------------------------------------------------------------------------------------------ printing


def table(found: Sequence[Row]) -> str:
    """The rows as a markdown table."""
    names = [name for name in Row._fields if name != "holes"]
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(getattr(each, name)) or "**missing**" for name in names) for each in found]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def reference() -> str:
    """The operator reference: every public op with its signature, what it does, and whether it has a gradient."""
    text = [
        "# Operators",
        "",
        "Generated from the declarations by `python -m flowbook.ops.coverage --write`; do not edit.",
        "Every operator is a function of `flowbook` (`fb.tanh(x)`); those with the name of a NumPy function also "
        "answer to that (`np.tanh(x)`).",
    ]
    families: dict[str, list[OpDef]] = {}
    for op in REGISTRY.values():
        if not op.hidden:
            families.setdefault(op.module.rpartition(".")[2], []).append(op)
    for family, ops in sorted(families.items()):
        text += ["", f"## {family}", "", "| operator | what it does | gradient |", "| --- | --- | --- |"]
        for op in sorted(ops, key=lambda each: each.name):
            signature = f"{op.name}{getattr(op.builder, '__signature__', op.signature)}"
            cells = [f"`{signature}`", first_paragraph(op.doc), gradient(op)]
            text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(text) + "\n"


def first_paragraph(doc: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(doc.split("\n\n")[0].split())


def main(arguments: Sequence[str]) -> int:
    """Print the table or the reference; 1 when the table has holes or an unknown option was given."""
    if list(arguments) == ["--docs"]:
        print(reference(), end="")
    elif list(arguments) == ["--write"]:
        DOCS.parent.mkdir(exist_ok=True)
        DOCS.write_text(reference(), encoding="utf-8")
    elif arguments:
        print("usage: python -m flowbook.ops.coverage [--docs | --write]", file=sys.stderr)
        return 1
    else:
        try:
            found = rows()
        except FlowError as error:
            print(error, file=sys.stderr)
            return 1
        print(table(found), end="")
        for each in found:
            if each.holes:
                print(f"{each.op}: missing {', '.join(each.holes)}", file=sys.stderr)
        return int(any(each.holes for each in found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
