"""Constant folding: run once, at compile time, what depends on constants only."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowbook.compile.program import Instruction, Program

LIMIT_BYTES = 1 << 24  # a folded array stays with the plan; past this it is computed again in each run


def fold(program: Program) -> None:
    """Replace instructions whose inputs are all constants by their result.

    The reference kernel computes it, as it would in a run; one that fails is left for the run, which reports it.
    """
    constants = program.constants
    kept = []
    for each in program.instructions:
        for value in each.inputs:
            if value not in constants and value is not None:
                kept.append(each)
                break
        else:
            results = _computed(each, program)
            if results is None:
                kept.append(each)
            else:
                constants.update(zip(each.outputs, results, strict=True))
    program.instructions = kept


def _computed(each: Instruction, program: Program) -> list[Any] | None:
    """What an instruction gives for its constants; ``None`` when only a run may, or can, compute it."""
    if each.op.structured or each.op.stateful or each.after or not each.outputs:
        return None
    for value in each.outputs:
        spec = program.specs[value]
        size = None if spec is None else spec.nbytes
        if size is None or size > LIMIT_BYTES:
            return None
    operands = [None if value is None else program.constants[value] for value in each.inputs]
    try:
        with np.errstate(all="ignore"):
            result = each.op.kernel(np, *operands, **each.attrs)
    except Exception:
        return None
    return [np.asarray(part) for part in (result if isinstance(result, (tuple, list)) else (result,))]
