"""Attention: each query takes a weighted mean of the values, weighted by how well their keys fit.

Source: Vaswani et al., "Attention is all you need", 2017 (arXiv:1706.03762), sections 3.2.1 and 3.2.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowbook.errors import ShapeError
from flowbook.graph.node import Tensor
from flowbook.graph.types import format_shape
from flowbook.nn.layer import Layer, features, positive_int
from flowbook.nn.layers import Dense, Dropout
from flowbook.ops.attention import causal_mask, scaled_dot_product_attention
from flowbook.ops.elementwise import logical_and, where
from flowbook.ops.joining import concat, split, stack, unstack
from flowbook.ops.layout import matrix_transpose
from flowbook.ops.linalg import matmul
from flowbook.ops.nn import softmax


def attention(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Any = None, causal: bool = False, weigh: Any = None
) -> Tensor:
    r""":math:`\mathrm{softmax}(Q K^T / \sqrt{d})\, V`.

    ``query`` (..., queries, d), ``key`` (..., keys, d), ``value`` (..., keys, e), result (..., queries, e). ``mask``:
    a bool tensor that broadcasts to (..., queries, keys), true where a query may look. ``causal``: the last query
    sees all keys, each one before it one less. A query that may look nowhere takes the plain mean.

    This is one node, `scaled_dot_product_attention`, which never has all weights in memory. To see them, give
    ``weigh``, a function applied to the weights, such as a `Dropout`, or ``fb.identity`` to look only: then attention
    is built of products, a mask and a softmax, each a node with its value, of which the largest are (..., queries,
    keys).

    >>> import flowbook as fb
    >>> x = fb.constant([[1.0, 0.0], [0.0, 9.0]])
    >>> fb.Session().run(fb.nn.attention(x, x, x, causal=True)).round(2)
    array([[1., 0.],
           [0., 9.]], dtype=float32)
    >>> seen = []
    >>> y = fb.nn.attention(x, x, x, causal=True, weigh=lambda weights: seen.append(weights) or weights)
    >>> fb.Session().run(seen[0]).round(2)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    if weigh is None:
        return scaled_dot_product_attention(query, key, value, mask, causal=causal)  # type: ignore[no-any-return]
    depth = query.shape[-1] if query.shape else None
    if not isinstance(depth, int):
        raise ShapeError(
            f"attention has to know the last size of its query, '{query.name}' has shape {format_shape(query.shape)}"
        )
    scores = matmul(query * (1.0 / math.sqrt(depth)), matrix_transpose(key))
    if causal:
        seen = causal_mask(scores)
        mask = seen if mask is None else logical_and(mask, seen)
    if mask is not None:
        scores = where(mask, scores, float(np.finfo(scores.dtype).min))
    return matmul(weigh(softmax(scores)), value)  # type: ignore[no-any-return]


class MultiHeadAttention(Layer):
    """Several attentions side by side, each on its own projection, and a projection of what they found together.

    ``heads``: how many. ``size``: the width of all heads together, divisible by ``heads``; default, the query's.
    ``dropout``: the rate at which attention weights are dropped while training. ``causal``: no query sees later keys.

    Call it with ``query`` (batch, queries, features), and for other sources than the query itself ``key`` and
    ``value`` (batch, keys, ...); the result has the shape of the query. ``mask`` as in `attention`, over (batch, heads,
    queries, keys). Inside are four `Dense`: ``query``, ``key``, ``value``, ``output``. Without ``dropout`` the weights
    are part of one node, `scaled_dot_product_attention`; with it they are nodes to look at.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder(("batch", "time", 8))
    ...     layer = fb.nn.MultiHeadAttention(heads=2, causal=True)
    ...     y = layer(x)
    >>> y.shape, layer.variables[0].name
    (('batch', 'time', 8), 'multiheadattention/query/kernel')
    """

    def __init__(
        self,
        heads: int,
        size: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.heads = positive_int("heads", heads)
        self.size = None if size is None else positive_int("size", size)
        self.dropout = dropout
        self.causal = bool(causal)
        self._parts: list[Layer] = []

    def call(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Any = None,
        training: Any = True,
    ) -> Tensor:
        """(batch, queries, features), to the same shape."""
        key = query if key is None else key
        value = key if value is None else value
        width = features(self, query, rank=3)
        features(self, key, rank=3), features(self, value, rank=3)
        size = self.size or width
        if size % self.heads:
            raise ShapeError(
                f"{self.heads} heads cannot share {size} features", hint="size has to be divisible by heads"
            )
        if not self._parts:
            self._parts = [Dense(size, name=each) for each in ("query", "key", "value")]
            self._parts += [Dense(width, name="output"), Dropout(self.dropout, name="dropout")]
        *projections, output, drop = self._parts
        inputs = zip(projections, (query, key, value), strict=True)
        q, k, v = [self._split(projection(each)) for projection, each in inputs]
        weigh = (lambda w: drop(w, training=training)) if self.dropout else None
        found = attention(q, k, v, mask=mask, causal=self.causal, weigh=weigh)
        return output(concat(unstack(found, axis=1), axis=-1))

    def _split(self, x: Tensor) -> Tensor:
        """(batch, time, size) to (batch, heads, time, size / heads)."""
        return stack(split(x, self.heads, axis=-1), axis=1)  # type: ignore[no-any-return]
