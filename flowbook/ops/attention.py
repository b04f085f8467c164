"""What attention needs beside products and softmax."""

from __future__ import annotations

import numpy as np

from flowbook.graph.opdef import op
from flowbook.graph.types import TensorSpec, as_dtype
from flowbook.ops.rules import no_flops
from flowbook.ops.samples import calls


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
