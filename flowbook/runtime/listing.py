"""Plain text tables: where a stepper is, what a trace measured."""

from __future__ import annotations

from collections.abc import Sequence

from flowbook.runtime.frame import Frame

Row = tuple[str, str, str, str]


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows of cells as aligned columns; the columns in ``right`` are aligned to the right.

    >>> print(table([("node", "seconds"), ("exp", "0.5")], right=[1]))
    node  seconds
    exp       0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        pairs = enumerate(zip(row, widths, strict=True))
        cells = [text.rjust(width) if index in right else text.ljust(width) for index, (text, width) in pairs]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def listing(frames: Sequence[Frame], around: int) -> str:
    """The steps around the position of each frame, a body's below the node that runs it."""
    rows: list[Row] = []
    below: list[Row] = []
    for level, frame in enumerate(frames):
        indent = "  " * level
        above: list[Row] = []
        rest: list[Row] = []
        for step in frame.plan.steps[max(0, frame.position - around) : frame.position + around + 1]:
            done, here = step.index < frame.position, step.index == frame.position
            specs = [frame.spec(slot) if done else frame.plan.specs[slot] for slot in step.outputs]
            mark = "*" if done else ">" if here else " "
            row = (f"{mark} {step.index + 1}", indent + step.name, step.op.name, ", ".join(map(repr, specs)))
            (above if done or here else rest).append(row)
        if frame.next is None:
            above.append((">", f"{indent}(end)", "", ""))
        rows += above
        below = rest + below
    return table(rows + below)
