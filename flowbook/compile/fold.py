"""Constant folding: run once, at compile time, what depends on constants only."""

from __future__ import annotations

import numpy as np

from flowbook.compile.program import Program

LIMIT_BYTES = 1 << 24  # a folded array stays with the plan; past this it is computed again in each run


def fold(program: Program) -> None:
    """Replace instructions whose inputs are all constants by their result.

    The reference kernel computes it, as it would in a run; one that fails is left for the run, which reports it.
    """
    kept = []
    for each in program.instructions:
        known = all(value is None or value in program.constants for value in each.inputs)
        sizes = [spec.nbytes if (spec := program.specs[value]) is not None else None for value in each.outputs]
        small = all(size is not None and size <= LIMIT_BYTES for size in sizes)
        if not known or not small or each.op.structured or each.op.stateful or each.after or not each.outputs:
            kept.append(each)
            continue
        operands = [None if value is None else program.constants[value] for value in each.inputs]
        try:
            with np.errstate(all="ignore"):
                result = each.op.kernel(np, *operands, **each.attrs)
        except Exception:
            kept.append(each)
            continue
        results = result if isinstance(result, (tuple, list)) else (result,)
        program.constants.update(zip(each.outputs, map(np.asarray, results), strict=True))
    program.instructions = kept
