"""Attention: what its scores may see, and attention itself as one operator, which holds no matrix of weights."""

from __future__ import annotations

import math

import numpy as np

from flowbook.errors import ShapeError
from flowbook.graph.backprop import backpropagate
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import (
    TensorSpec,
    as_dtype,
    broadcast_shapes,
    float_dtype,
    format_shape,
    promote,
    same_shape,
    unify_dim,
    unify_shape,
)
from flowbook.ops import reduction
from flowbook.ops.broadcasting import unbroadcast
from flowbook.ops.elementwise import equal, exp, logical_and, minimum, sqrt, where
from flowbook.ops.layout import expand_dims, matrix_transpose
from flowbook.ops.linalg import matmul
from flowbook.ops.nn import special
from flowbook.ops.rules import cast_float, no_flops, require_kind, require_shape, shape_of
from flowbook.ops.samples import calls, draw
from flowbook.ops.state import identity, ones_like

# ------------------------------------------------------------------------------------------------ the causal mask


def _mask_spec(scores):
    return TensorSpec(scores.dims[-2:], as_dtype("bool"))


def _mask_oracle(scores):
    queries, keys = scores.shape[-2:]
    return np.array([[key <= query + keys - queries for key in range(keys)] for query in range(queries)], bool).reshape(
        queries, keys
    )


@op(
    spec=_mask_spec,
    cost=no_flops,
    samples=calls(((3, 3),), ((2, 4, 2, 5),), ((0, 5),), ((3, 1),)),
    nondifferentiable="its result is bool",
    oracle=_mask_oracle,
)
def causal_mask(xp, scores):
    """Which key each query may see, for scores (..., queries, keys): bool (queries, keys), whatever the values.

    The last query sees all keys, each one before it one less; with as many queries as keys that is the lower triangle.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.causal_mask(fb.constant([[0.0, 0.0], [0.0, 0.0]])))
    array([[ True, False],
           [ True,  True]])
    """
    queries, keys = scores.shape[-2:]
    return xp.tri(queries, keys, keys - queries, dtype=bool)


# ------------------------------------------------------------------------------------------------ attention


def _sizes(query, key, value, mask):
    """The leading axes, queries, d, keys and e; ``ShapeError`` when operands do not fit together."""
    for name, each in (("query", query), ("key", key), ("value", value)):
        if not isinstance(each, TensorSpec) or each.rank < 2:
            raise ShapeError(
                f"{name} of attention has shape {format_shape(shape_of(each))}, it needs two axes or more",
                hint="query is (..., queries, d), key (..., keys, d), value (..., keys, e)",
            )
    (*_, queries, depth), (*_, keys, key_depth), (*_, values, width) = query.dims, key.dims, value.dims
    try:
        depth = unify_dim(depth, key_depth)
    except ShapeError:
        raise ShapeError(
            f"query {format_shape(query.dims)} and key {format_shape(key.dims)} differ in their last size",
            hint="project both to the same size",
        ) from None
    try:
        keys = unify_dim(keys, values)
    except ShapeError:
        raise ShapeError(
            f"key {format_shape(key.dims)} and value {format_shape(value.dims)} differ in the last size but one",
            hint="each key has its value",
        ) from None
    try:
        lead = broadcast_shapes(query.dims[:-2], key.dims[:-2], value.dims[:-2]) or ()
    except ShapeError as error:
        shapes = ", ".join(format_shape(each.dims) for each in (query, key, value))
        raise ShapeError(f"the axes before the last two of {shapes} do not broadcast", hint=error.hint) from None
    if mask is not None:
        require_kind(mask, "b", "the mask of attention")
        shape = mask.dims if isinstance(mask, TensorSpec) else ()
        try:
            unify_shape(broadcast_shapes(shape[-2:], (queries, keys)), (queries, keys))
            lead = broadcast_shapes(lead, shape[:-2]) or ()
        except ShapeError:
            raise ShapeError(
                f"mask {format_shape(shape)} does not broadcast to {format_shape((*lead, queries, keys))}",
                hint="(..., queries, keys), true where a query may look",
            ) from None
    return lead, queries, depth, keys, width


def _spec(query, key, value, mask=None, *, causal=False):
    lead, queries, _, _, width = _sizes(query, key, value, mask)
    dtype = promote(*(float_dtype(each.dtype) for each in (query, key, value)))
    return TensorSpec((*lead, queries, width), dtype), TensorSpec((*lead, queries), dtype)


def _scores(xp, query, key, mask, causal):
    """Scaled scores, and which of them count (or None). One that does not is far below all others; where none does,
    all are 0."""
    scores = query * xp.asarray(_scale(query.shape[-1]), query.dtype) @ xp.swapaxes(key, -1, -2)
    queries, keys = scores.shape[-2:]
    if mask is None and not causal:
        return scores, None
    seen = xp.tri(queries, keys, keys - queries, dtype=bool) if causal else xp.ones((queries, keys), bool)
    if mask is not None:
        seen = seen & mask
    low = xp.where(seen.any(axis=-1, keepdims=True), np.finfo(scores.dtype).min, 0).astype(scores.dtype)
    return xp.where(seen, scores, low), seen


def _scale(depth):
    return 1 / math.sqrt(max(depth, 1))


def _samples():
    def arrays(*shapes):
        return tuple(draw(shape, seed=seed).array() for seed, shape in enumerate(shapes))

    hidden = np.array([[True, False, True, False, True], [False] * 5, [True] * 5])  # the second query sees nothing
    yield Sample(arrays((3, 4), (5, 4), (5, 2)))
    yield Sample(arrays((2, 3, 4), (2, 5, 4), (2, 5, 3)), {"causal": True})
    yield Sample(arrays((4, 2), (3, 2), (3, 2)), {"causal": True}, "the first query sees nothing")
    yield Sample((*arrays((2, 3, 4), (2, 5, 4), (2, 5, 4)), hidden))
    yield Sample((*arrays((2, 3, 4), (5, 4), (1, 5, 2)), hidden[:, :, None].transpose(2, 0, 1)), {"causal": True})
    yield Sample((*arrays((2, 1, 2, 3), (2, 2, 3), (2, 3)), np.array([True, False])), {}, "broadcast")
    yield Sample(arrays((2, 0, 3), (2, 4, 3), (2, 4, 3)))
    yield Sample(arrays((1, 1), (1, 1), (1, 1)))


def _oracle(query, key, value, mask=None, *, causal=False):
    """One query after the other, by SciPy."""
    found, total = [], []
    for _, _, v, _, scores in _rows(query, key, value, mask, causal):
        found.append(special().softmax(scores) @ v)
        total.append(special().logsumexp(scores) if scores.max(initial=0) < np.inf else np.nan)
    shape = _lead(query, key, value, mask)
    return np.reshape(found, (*shape, query.shape[-2], value.shape[-1])), np.reshape(total, (*shape, query.shape[-2]))


def _lead(query, key, value, mask):
    return np.broadcast_shapes(*(np.shape(each)[:-2] for each in (query, key, value, mask)))


def _rows(query, key, value, mask, causal):
    """For each query: itself, the keys, the values, which it may see, and their scores."""
    shape, queries, keys = _lead(query, key, value, mask), query.shape[-2], key.shape[-2]
    q, k, v = (np.broadcast_to(x, (*shape, *x.shape[-2:])) for x in (query, key, value))
    seen = np.broadcast_to(True if mask is None else mask, (*shape, queries, keys))
    for *head, row in np.ndindex(*shape, queries):
        place = tuple(head)
        allowed = seen[(*place, row)] & (np.arange(keys) <= row + keys - queries if causal else True)
        scores = k[place] @ q[(*place, row)] / np.sqrt(max(query.shape[-1], 1))
        scores = np.where(allowed, scores, np.finfo(scores.dtype).min) if allowed.any() else np.zeros(keys)
        yield q[(*place, row)], k[place], v[place], allowed, scores


def _flops(of_d, of_e, rest):
    """For each pair of a query and a key: products over d and over e, and what is done with one number."""

    def cost(inputs, outputs, attrs):
        query, key, value = inputs[-4:-1] if inputs[-1].dtype.kind == "b" else inputs[-3:]
        pairs = math.prod(outputs[0].shape[:-1]) * key.shape[-2]
        return float(pairs * (of_d * 2 * query.shape[-1] + of_e * 2 * value.shape[-1] + rest))

    return cost


@op(spec=_spec, cost=_flops(1, 1, 18), samples=_samples, returns=1, ulp=16, analytic=True, oracle=_oracle)
def scaled_dot_product_attention(xp, query, key, value, mask=None, *, causal=False):
    r""":math:`\mathrm{softmax}(Q K^T / \sqrt{d})\, V`: for each query the mean of the values, weighted by how well
    their keys fit.

    ``query`` (..., queries, d), ``key`` (..., keys, d), ``value`` (..., keys, e), result (..., queries, e); axes before
    these broadcast. ``mask``: bool, broadcasts to (..., queries, keys), true where a query may look. ``causal``: the
    last query sees all keys, each one before it one less. A query that may look nowhere takes the plain mean. Floats
    keep their dtype, others give float64. Raises ``ShapeError`` when the operands do not fit together.

    The weights are never in memory as a whole, neither here nor for the gradient, which computes them again from a
    second output of the node, the logarithms of the sums that they are divided by. To see the weights, or to drop
    some, build attention of products and softmax: `fb.nn.attention` with ``weigh``.

    Sources: Vaswani et al., "Attention is all you need", 2017 (arXiv:1706.03762); Milakov and Gimelshein, "Online
    normalizer calculation for softmax", 2018 (arXiv:1805.02867); Dao et al., "FlashAttention", 2022 (arXiv:2205.14135).

    >>> import flowbook as fb
    >>> x = fb.constant([[1.0, 0.0], [0.0, 9.0]])
    >>> fb.Session().run(fb.scaled_dot_product_attention(x, x, x, causal=True)).round(2)
    array([[1., 0.],
           [0., 9.]], dtype=float32)
    """
    query, key, value = _floats(xp, query, key, value)
    scores, _ = _scores(xp, query, key, mask, causal)
    top = scores.max(axis=-1, keepdims=True, initial=np.finfo(scores.dtype).min)
    weights = xp.exp(scores - top)
    total = weights.sum(axis=-1, keepdims=True)
    found = (weights / total) @ value
    total = (xp.log(total) + top)[..., 0]
    return found, total if total.shape == found.shape[:-1] else xp.broadcast_to(total, found.shape[:-1]).copy()


def _floats(xp, *arrays):
    dtype = xp.result_type(*(cast_float(xp, each) for each in arrays))
    return tuple(each.astype(dtype, copy=False) for each in arrays)


@scaled_dot_product_attention.gradient
def _(node, dy, dtotal):
    query, key, value, *mask = node.inputs
    parts = scaled_dot_product_attention_grad(dy, dtotal, *node.outputs, query, key, value, *mask, **node.attrs)
    return *[_unbroadcast(*each) for each in zip(parts, (query, key, value), strict=True)], *[None for _ in mask]


def _unbroadcast(part, like):
    return part if same_shape(part.shape, like.shape) else lambda: unbroadcast(part, like)


# ------------------------------------------------------------------------------------------------ its gradient


def _grad_spec(dy, dtotal, found, total, query, key, value, mask=None, *, causal=False):
    lead, queries, depth, keys, width = _sizes(query, key, value, mask)
    dtype = promote(*(float_dtype(each.dtype) for each in (query, key, value)))
    for name, each, shape in (
        ("its gradient", dy, (*lead, queries, width)),
        ("its result", found, (*lead, queries, width)),
        ("the gradient of its sums", dtotal, (*lead, queries)),
        ("its sums", total, (*lead, queries)),
    ):
        require_shape(each, shape, f"of attention, {name}")
    return tuple(TensorSpec((*lead, *last), dtype) for last in ((queries, depth), (keys, depth), (keys, width)))


def _grad_samples():
    for sample in _samples():
        with np.errstate(all="ignore"):
            found, total = _oracle(*sample.inputs, **sample.attrs)
        dy, dtotal = draw(found.shape, seed=8).array(), draw(total.shape, seed=9).array()
        yield sample._replace(inputs=(dy, dtotal, found, total, *sample.inputs))


def _grad_oracle(dy, dtotal, found, total, query, key, value, mask=None, *, causal=False):
    """One query after the other: the derivatives of dot products, exponentials and weighted sums."""
    dq, dk, dv = [], np.zeros((*total.shape, *key.shape[-2:])), np.zeros((*total.shape, *value.shape[-2:]))
    for (q, k, v, allowed, scores), place in zip(
        _rows(query, key, value, mask, causal), np.ndindex(*total.shape), strict=True
    ):
        weights = np.exp(np.minimum(scores - total[place], 1))
        slopes = np.where(allowed, weights * (v @ dy[place] - dy[place] @ found[place] + dtotal[place]), 0)
        slopes = slopes / np.sqrt(max(query.shape[-1], 1))
        dq.append(slopes @ k)
        dk[place], dv[place] = np.outer(slopes, q), np.outer(weights, dy[place])
    return np.reshape(dq, (*total.shape, query.shape[-1])), dk.sum(total.ndim - 1), dv.sum(total.ndim - 1)


@op(
    spec=_grad_spec,
    cost=_flops(3, 2, 22),
    samples=_grad_samples,
    ulp=32,
    analytic=True,
    hidden=True,
    oracle=_grad_oracle,
)
def scaled_dot_product_attention_grad(xp, dy, dtotal, found, total, query, key, value, mask=None, *, causal=False):
    """What attention passes back to query, key and value, from the gradients of its result ``found`` and of ``total``,
    the logarithms of the sums that its weights were divided by. (No score is above its ``total`` by more than its
    rounding: so 1 bounds nothing but what cannot be, and there is no overflow.)"""
    query, key, value = _floats(xp, query, key, value)
    scores, seen = _scores(xp, query, key, mask, causal)
    weights = xp.exp(xp.minimum(scores - total[..., None], 1))
    inner = (dy * found).sum(axis=-1, keepdims=True) - dtotal[..., None]
    slopes = weights * (dy @ xp.swapaxes(value, -1, -2) - inner)
    if seen is not None:
        slopes = xp.where(seen, slopes, xp.asarray(0, slopes.dtype))
    slopes = slopes * xp.asarray(_scale(query.shape[-1]), slopes.dtype)
    return slopes @ key, xp.swapaxes(slopes, -1, -2) @ query, xp.swapaxes(weights, -1, -2) @ dy


def _grad_nodes(dy, dtotal, found, total, query, key, value, mask=None, *, causal):
    depth = query.shape[-1]
    scale = _scale(depth) if type(depth) is int else sqrt(reduction.mean_weight(query, axis=-1))
    scores = matmul(query * scale, matrix_transpose(key))
    seen = causal_mask(scores) if causal else equal(ones_like(scores), 1.0) if mask is not None else None
    if mask is not None:
        seen = logical_and(seen, mask)
    if seen is not None:
        some = reduction.any(seen, axis=-1, keepdims=True)
        scores = where(some, where(seen, scores, float(np.finfo(scores.dtype).min)), 0.0)
    weights = exp(minimum(scores - expand_dims(total, -1), 1.0))
    inner = reduction.sum(dy * found, axis=-1, keepdims=True) - expand_dims(dtotal, -1)
    slopes = weights * (matmul(dy, matrix_transpose(value)) - inner)
    if seen is not None:
        slopes = where(seen, slopes, 0.0)
    slopes = slopes * scale
    return matmul(slopes, key), matmul(matrix_transpose(slopes), query), matmul(matrix_transpose(weights), dy)


@scaled_dot_product_attention_grad.gradient
def _(node, *dys):
    """By the nodes of attention as products and elementwise ops: derivatives of higher order are rare."""
    xs = [identity(each) for each in node.inputs[:7]]  # so that only their direct use counts
    mask = node.inputs[7:]
    parts = backpropagate(list(_grad_nodes(*xs, *mask, causal=node.attrs["causal"])), xs, list(dys), "zeros")
    return *parts, *[None for _ in mask]


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
