# ruff: noqa: A001 - the operators carry NumPy's names, some of which Python's built-ins have too
"""Sums and other reductions over axes."""

from __future__ import annotations

from flowbook.graph.opdef import op
from flowbook.graph.types import TensorSpec
from flowbook.ops.rules import no_flops


def _unbroadcast_spec(dy, like):
    return TensorSpec(like.shape, dy.dtype)


@op(spec=_unbroadcast_spec, cost=no_flops, hidden=True, nondifferentiable="x")
def unbroadcast(xp, dy, like):
    """dy summed over the axes along which ``like`` was broadcast."""
    extra = dy.ndim - like.ndim
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, size in enumerate(like.shape) if size == 1 and dy.shape[axis + extra] != 1
    )
    return dy.sum(axis=axes).reshape(like.shape) if axes else dy
