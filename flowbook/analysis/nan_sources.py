"""Which elements of its inputs one element of a node's output is computed from.

Elementwise operations go by broadcasting. What only moves elements is asked itself: its kernel runs on the elements'
numbers. Bilinear operations (convolutions) are asked through their gradients, which are linear: the inputs that an
element depends on are those where the gradient of that element is not 0. For operations that are not known here, every
element counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flowbook.compile.plan import Step
from flowbook.graph.opdef import REGISTRY
from flowbook.graph.types import normalize_axes

Indices = Any  # flat positions in one input: an int array; None for an input whose values do not matter

_POINTWISE = frozenset({"gelu", "astype", "assign_add", "assign_sub", "sigmoid_cross_entropy"})
# How many of the first operands are moved; None: all of them.
_MOVES: dict[str, int | None] = {
    "identity": 1, "stop_gradient": 1, "copy": 1, "print": 1, "check_finite": 1, "broadcast_to": 1,
    "broadcast_like": 1, "getitem": 1, "place": 1, "split": 1, "split_like": 1, "unstack": 1, "reshape": 1,
    "reshape_like": 1, "transpose": 1, "matrix_transpose": 1, "flip": 1, "squeeze": 1, "expand_dims": 1, "pad": 1,
    "gather": 1, "embedding_lookup": 1, "concat": None, "stack": None,
}  # fmt: skip
_REDUCTIONS = frozenset({"sum", "mean", "var", "std", "max", "min", "logsumexp", "prod"})
_ALONG = frozenset({"softmax", "log_softmax", "layer_norm", "standardize", "tie_share"})
_SHAPE_ONLY = frozenset({"zeros_like", "ones_like", "mean_weight", "causal_mask"})


def sources(step: Step, operands: Sequence[Any], outputs: Sequence[Any], output: int, element: int) -> list[Indices]:
    """For each operand the flat positions that element number ``element`` of an output depends on."""
    op, result = step.op.name, outputs[output]
    place = tuple(int(each) for each in np.unravel_index(element, result.shape))
    special = _SPECIAL.get(op)
    if special is not None:
        found: list[Indices] = special(operands, step.attrs or {}, place, result)
    elif op in _SHAPE_ONLY:
        found = [None] * len(operands)
    elif op in _MOVES:
        found = _moved(step, operands, output, element)
    elif op in _REDUCTIONS:
        found = [_spread(operands[0].shape, result, element, (step.attrs or {}).get("axis"))]
    elif op in _ALONG:
        axes = normalize_axes(step.attrs["axis"], operands[0].ndim)
        found = [_line(operands[0].shape, place, axes), *[_under(each, place) for each in operands[1:]]]
    elif step.op.scalar or step.op.broadcasts or op in _POINTWISE:
        found = [_under(each, place) for each in operands]
    else:
        found = [None if each is None else np.arange(each.size) for each in operands]
    return found


def _under(operand: Any, place: tuple[int, ...]) -> Indices:
    """The element of an operand that broadcasting brings to a place."""
    if operand is None:
        return None
    inner = place[len(place) - operand.ndim :]
    index = tuple(0 if size == 1 else at for at, size in zip(inner, operand.shape, strict=True))
    return np.array([np.ravel_multi_index(index, operand.shape) if index else 0])


def _line(shape: tuple[int, ...], place: tuple[int, ...], axes: Sequence[int]) -> Indices:
    """All elements that differ from a place along the axes only."""
    index = tuple(slice(None) if axis in axes else at for axis, at in enumerate(place))
    return np.arange(int(np.prod(shape))).reshape(shape)[index].reshape(-1)


def _first(shape: tuple[int, ...], place: tuple[int, ...]) -> Indices:
    """All elements whose first coordinates are a place."""
    return np.arange(int(np.prod(shape))).reshape(shape)[place].reshape(-1)


def _spread(shape: tuple[int, ...], result: Any, element: int, axis: Any) -> Indices:
    """The elements that a reduction brings together in one."""
    axes = normalize_axes(axis, len(shape))
    kept = [1 if at in axes else size for at, size in enumerate(shape)]
    return np.flatnonzero(np.broadcast_to(np.arange(result.size).reshape(kept), shape) == element)


def _moved(step: Step, operands: Sequence[Any], output: int, element: int) -> list[Indices]:
    """Move the elements' numbers, counted from 1 through all moved operands; 0 is what the operation puts in itself."""
    count = _MOVES[step.op.name]
    moved = len(operands) if count is None else count
    starts = np.cumsum([1, *(each.size for each in operands[:moved])])
    numbered = [np.arange(each.size).reshape(each.shape) + at for each, at in zip(operands, starts, strict=False)]
    numbered[moved:] = operands[moved:]
    attrs = dict(step.attrs or {})
    if "constant_values" in attrs:
        attrs["constant_values"] = 0
    if step.op.structured or step.op.name in ("copy", "check_finite"):
        result = numbered[0]
    else:
        result = step.op.kernel(np, *numbered, **attrs)
    number = int((result[output] if isinstance(result, (tuple, list)) else result).reshape(-1)[element])
    found: list[Indices] = [None] * len(operands)
    for at, start in enumerate(starts[:-1]):
        if start <= number < starts[at + 1]:
            found[at] = np.array([number - start])
    return found


# ------------------------------------------------------------------------------------------------ one by one


def _where(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    condition = _under(operands[0], place)
    taken = 1 if operands[0].reshape(-1)[condition[0]] else 2
    return [condition, *[_under(operands[each], place) if each == taken else None for each in (1, 2)]]


def _assign(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    return [None, _under(operands[1], place)]


def _unbroadcast(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    dy = operands[0]
    numbers = np.broadcast_to(np.arange(result.size).reshape(result.shape), dy.shape)
    element = np.ravel_multi_index(place, result.shape) if place else 0
    return [np.flatnonzero(numbers == element), None]


def _scatter_add(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    _, indices, like = operands
    element = np.ravel_multi_index(place, result.shape) if place else 0
    numbers = np.arange(like.size).reshape(like.shape)
    gathered = REGISTRY["gather"].kernel(np, numbers, indices, axis=attrs["axis"])
    return [np.flatnonzero(gathered == element), None, None]


def _matmul(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    x, y = operands
    rows, columns = int(x.ndim > 1), int(y.ndim > 1)
    batch = place[: len(place) - rows - columns]
    row, column = place[len(batch) :][:rows], place[len(place) - columns :]
    return [_of_matrix(x, batch, (*row, slice(None))), _of_matrix(y, batch, (slice(None), *column))]


def _of_matrix(operand: Any, batch: tuple[int, ...], inner: tuple[Any, ...]) -> Indices:
    """What ``inner`` names of the matrix that broadcasting brings to a batch entry."""
    outer = batch[len(batch) - (operand.ndim - len(inner)) :] if operand.ndim > len(inner) else ()
    index = tuple(0 if size == 1 else at for at, size in zip(outer, operand.shape, strict=False))
    return np.arange(operand.size).reshape(operand.shape)[(*index, *inner)].reshape(-1)


def _attention(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    query, key, value, *mask = operands
    batch = place[: max(each.ndim for each in operands) - 2]
    row, *column = place[len(batch) :]
    whole = slice(None)
    values = _of_matrix(value, batch, (whole, *column)) if column else None
    keys = _of_matrix(key, batch, (whole, whole))
    return [_of_matrix(query, batch, (row, whole)), keys, values, *[None for _ in mask]]


def _batch_norm(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    """Of y, or of a statistic, which has one axis."""
    x, training = operands[0], list(operands[5:])
    batch = x.size > 0 and bool(np.all(training))
    channel, is_y = np.array([place[-1]]), len(place) > 1
    moving, parameter = None if batch else channel, channel if is_y else None
    elements: Indices = None
    if batch:
        elements = np.arange(x.size).reshape(x.shape)[..., place[-1]].reshape(-1)
    elif is_y:
        elements = _under(x, place)
    return [elements, moving, moving, parameter, parameter, *[None for _ in training]]


def _dense_loss(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    return [_first(each.shape, place[: each.ndim - 1]) for each in operands]


def _sparse_loss(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    labels, logits = operands
    return [_under(labels, place), _first(logits.shape, place)]


def _sparse_loss_grad(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
    dy, labels, logits = operands
    return [_under(dy, place[:-1]), _under(labels, place[:-1]), _first(logits.shape, place[:-1])]


def _adjoint(*asked: tuple[str, Sequence[int | str]] | str | None) -> Callable[..., list[Indices]]:
    """Of each operand: the operation that is its gradient, and its operands (a number: ones like that operand).

    ``"channel"``: all that has the same last coordinate, since zeros of the padding are multiplied with it, too.
    """

    def found(operands: Any, attrs: Mapping[str, Any], place: tuple[int, ...], result: Any) -> list[Indices]:
        chosen = np.zeros(result.shape)
        chosen[place] = 1.0
        parts: list[Indices] = []
        for operand, each in zip(operands, asked, strict=True):
            if each is None:
                parts.append(None)
                continue
            if isinstance(each, str):
                parts.append(np.arange(operand.size).reshape(operand.shape)[..., place[-1]].reshape(-1))
                continue
            op, inputs = each
            ones = [chosen if part == "dy" else np.ones(operands[int(part)].shape) for part in inputs]
            parts.append(np.flatnonzero(REGISTRY[op].kernel(np, *ones, **attrs)))
        return parts

    return found


_SPECIAL: dict[str, Callable[..., list[Indices]]] = {
    "where": _where,
    "assign": _assign,
    "unbroadcast": _unbroadcast,
    "scatter_add": _scatter_add,
    "matmul": _matmul,
    "scaled_dot_product_attention": _attention,
    "batch_norm": _batch_norm,
    "softmax_cross_entropy": _dense_loss,
    "sparse_softmax_cross_entropy": _sparse_loss,
    "sparse_softmax_cross_entropy_grad": _sparse_loss_grad,
    "conv2d": _adjoint(("conv2d_grad_input", ("dy", 1, 0)), "channel"),
    "conv2d_grad_input": _adjoint(("conv2d", ("dy", 1)), ("conv2d_grad_filters", ("dy", 0, 1)), None),
    "conv2d_grad_filters": _adjoint(("conv2d_grad_input", (1, "dy", 0)), "channel", None),
    "max_pool": _adjoint(("avg_pool_grad", ("dy", 0))),
    "avg_pool": _adjoint(("avg_pool_grad", ("dy", 0))),
    "avg_pool_grad": _adjoint(("avg_pool", ("dy",)), None),
}


# ------------------------------------------------------------------------------------------------ as text


def region(indices: Any, shape: tuple[int, ...]) -> str:
    """Flat positions as an index expression.

    >>> region(np.array([4]), (2, 3)), region(np.array([3, 4, 5]), (2, 3)), region(np.array([0, 2]), (4,))
    ('[1, 1]', '[1, :]', '[0:3]')
    """
    if not shape:
        return ""
    parts = []
    for coordinates, size in zip(np.unravel_index(indices, shape), shape, strict=True):
        low, high = int(coordinates.min()), int(coordinates.max())
        parts.append(str(low) if low == high else ":" if (low, high) == (0, size - 1) else f"{low}:{high + 1}")
    return f"[{', '.join(parts)}]"
