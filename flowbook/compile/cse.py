"""Common subexpression elimination: compute equal things once."""

from __future__ import annotations

from typing import Any

from flowbook.compile.program import Program


def cse(program: Program) -> None:
    """Merge instructions with the same op, operands, attributes and device.

    Versions of a variable are different values, so reads on two sides of a write are never merged. Random ops, host
    functions and writes are stateful and stay.
    """
    same: dict[int | None, Any] = {}
    found: dict[Any, tuple[int, ...]] = {}
    kept = []
    for each in program.instructions:
        if same:
            each.inputs = tuple([same.get(value, value) for value in each.inputs])
        if each.op.structured or each.op.stateful or each.after or not each.outputs:
            kept.append(each)
            continue
        attrs = tuple([(type(value), value) for value in each.attrs.values()]) if each.attrs else ()
        key = (each.op, each.inputs, attrs, each.device)
        try:
            outputs = found.setdefault(key, each.outputs)
        except TypeError:  # an attribute that does not hash
            outputs = each.outputs
        if outputs is each.outputs:
            kept.append(each)
        else:
            same.update(zip(each.outputs, outputs, strict=True))
    program.instructions = kept
    program.fetches = [same.get(value, value) for value in program.fetches]
    program.writes = {variable: same.get(value, value) for variable, value in program.writes.items()}
