"""Repeating along axes, and its undoing: the pair that every gradient through broadcasting is made of."""

from __future__ import annotations

import numpy as np

from flowbook.errors import ShapeError
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, broadcast_shapes, format_shape, known_shape, same_shape, unify_shape
from flowbook.ops.rules import no_flops
from flowbook.ops.samples import calls


def _reach(x, shape):
    """``shape``, when x broadcasts to it; else ``ShapeError``."""
    try:
        return unify_shape(broadcast_shapes(x.shape, shape), shape)
    except ShapeError:
        raise ShapeError(
            f"shape {format_shape(x.shape)} does not broadcast to {format_shape(shape)}",
            hint="each size must be 1 or the wanted one, counted from the last axis",
        ) from None


@op(
    spec=lambda x, *, shape: TensorSpec(_reach(x, known_shape(shape)), x.dtype),
    cost=no_flops,
    samples=calls(
        Sample(((3, 1),), {"shape": (3, 4)}),
        Sample(((4,),), {"shape": (2, 3, 4)}),
        Sample(((),), {"shape": (2, 3)}),
        Sample(((1, 3, 1),), {"shape": (2, 3, 2)}),
        Sample(((1, 5),), {"shape": (0, 5)}),
        Sample(((3, 4),), {"shape": (3, 4)}),
    ),
    analytic=True,
)
def broadcast_to(xp, x, *, shape):
    """x repeated to ``shape`` (known sizes) by the rules of broadcasting; no data is copied.

    Raises ``ShapeError`` when x does not broadcast to it.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.broadcast_to(fb.constant([1, 2]), (2, 2)))
    array([[1, 2],
           [1, 2]])
    """
    return xp.broadcast_to(x, shape)


@op(
    spec=lambda x, like: TensorSpec(_reach(x, like.shape), x.dtype),
    cost=no_flops,
    samples=calls(((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 3)), ((1, 5), (0, 5)), ((), ())),
    analytic=True,
    oracle=lambda x, like: x + np.zeros(like.shape),
    hidden=True,
)
def broadcast_like(xp, x, like):
    """x repeated to the shape of ``like``: `broadcast_to` for a shape that is known in the run only."""
    return xp.broadcast_to(x, like.shape)


def _undo(node, dy):
    x, *like = node.inputs
    return [lambda: dy if same_shape(dy.shape, x.shape) else unbroadcast(dy, x), *[None for _ in like]]


broadcast_to.gradient(_undo)
broadcast_like.gradient(_undo)


def broadcast_as(x, like):
    """x in the shape of ``like``, by the lightest node that does it; for gradient rules."""
    if same_shape(x.shape, like.shape):
        return x
    return broadcast_to(x, shape=like.shape) if like.spec.known else broadcast_like(x, like)


def _unbroadcast_spec(dy, like):
    _reach(like, dy.shape)
    return TensorSpec(like.shape, dy.dtype)


def _unbroadcast_cost(inputs, outputs, attrs):
    return 0 if inputs[0].size == outputs[0].size else inputs[0].size


def _unbroadcast_oracle(dy, like):
    while dy.ndim > like.ndim:
        dy = dy.sum(0)
    for axis, size in enumerate(like.shape):
        if size == 1:
            dy = dy.sum(axis, keepdims=True)
    return dy


@op(
    spec=_unbroadcast_spec,
    cost=_unbroadcast_cost,
    samples=calls(
        ((3, 4), (4,)),
        ((3, 4), (3, 1)),
        ((3, 4), (1, 1)),
        ((2, 3, 4), (3, 1)),
        ((2, 3), ()),
        ((0, 5), (1, 5)),
        ((3, 4), (3, 4)),
        ((), ()),
    ),
    ulp=8,
    analytic=True,
    oracle=_unbroadcast_oracle,
    hidden=True,
)
def unbroadcast(xp, dy, like):
    """dy summed over the axes along which ``like`` was broadcast."""
    extra = dy.ndim - like.ndim
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, size in enumerate(like.shape) if size == 1 and dy.shape[axis + extra] != 1
    )
    return dy.sum(axis=axes).reshape(like.shape) if axes else dy


@unbroadcast.gradient
def _(node, dy):
    return broadcast_as(dy, node.inputs[0]), None


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
