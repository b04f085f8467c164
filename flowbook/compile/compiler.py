"""The list of passes, and the two kinds of Plan.

The *observed* Plan has one step per node, for steppers and traces. The *optimised* Plan is what a plain run uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flowbook.compile.compact import compact
from flowbook.compile.cse import cse
from flowbook.compile.fold import fold
from flowbook.compile.fuse import fuse
from flowbook.compile.lower import lower
from flowbook.compile.place import place
from flowbook.compile.plan import Plan, finish
from flowbook.compile.products import products
from flowbook.compile.program import Program
from flowbook.graph.collecting import no_collection
from flowbook.graph.node import Node, Tensor
from flowbook.graph.types import TensorSpec

OPTIMISATIONS: tuple[Callable[[Program], None], ...] = (fold, cse)
# Once each step has its device: several into one, and what is left in order.
MERGES: tuple[Callable[[Program], None], ...] = (products, fuse, compact)


def compile_plan(
    fetches: Sequence[Tensor | Node],
    feeds: Mapping[Tensor, TensorSpec],
    devices: Sequence[str] = ("cpu:0",),
    *,
    observed: bool = False,
    show: Callable[[str, str], None] | None = None,
) -> Plan:
    """Compile the part of the graph that ``fetches`` need. ``show(pass, listing)`` is told the program after each pass.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     y = fb.constant(1.0) + fb.constant(2.0)
    >>> compile_plan([y], {}, observed=True), compile_plan([y], {})
    (<Plan: 1 steps, 3 slots, observed>, <Plan: 0 steps, 1 slots, optimised>)
    """
    with no_collection():
        return _compile(fetches, feeds, devices, observed, show)


def _compile(
    fetches: Sequence[Tensor | Node],
    feeds: Mapping[Tensor, TensorSpec],
    devices: Sequence[str],
    observed: bool,
    show: Callable[[str, str], None] | None,
) -> Plan:
    program = lower(fetches, feeds)
    if show:
        show("lower", str(program))
    for optimise in () if observed else OPTIMISATIONS:
        optimise(program)
        if show:
            show(optimise.__name__, str(program))
    notes = place(program, devices)
    if show:
        show("place", str(program))
    for merge in () if observed else MERGES:
        merge(program)
        if show:
            show(merge.__name__, str(program))
    return finish(program, observed=observed, notes=notes)
