"""Bounding the length of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, DTypeError
from flowbook.graph.node import Tensor
from flowbook.ops.elementwise import astype, maximum, sqrt, square
from flowbook.ops.reduction import sum as sum_of


def global_norm(tensors: Sequence[Tensor | None], name: str | None = None) -> Tensor:
    r"""The Euclidean length :math:`\sqrt{\sum_i \lVert t_i \rVert^2}` of all tensors together, a float scalar.

    ``None`` (a variable without gradient) counts as zero. Raises ``ArgumentError`` when there is no tensor.

    >>> import flowbook as fb
    >>> float(fb.Session().run(fb.train.global_norm([fb.constant([3.0]), None, fb.constant([[4.0]])])))
    5.0
    """
    total: Any = None
    for tensor in _listed(tensors):
        if tensor is not None:
            part = sum_of(square(tensor))
            total = part if total is None else total + part
    if total is None:
        raise ArgumentError("global_norm needs at least one tensor")
    return sqrt(total, name=name)  # type: ignore[no-any-return]


def clip_by_global_norm(
    tensors: Sequence[Tensor | None], max_norm: float | Tensor
) -> tuple[list[Tensor | None], Tensor]:
    r"""The tensors, all scaled by one factor so that their `global_norm` is at most ``max_norm``; and the norm they
    had. Shapes and dtypes stay; ``None`` stays ``None``. A norm that is not finite makes the result nan.

    Each tensor becomes :math:`t \cdot m / \max(\lVert t \rVert, m)`. Source: Pascanu, Mikolov and Bengio, "On the
    difficulty of training recurrent neural networks", 2013 (arXiv:1211.5063), section 3.2.

    >>> import flowbook as fb
    >>> clipped, norm = fb.train.clip_by_global_norm([fb.constant([30.0, 40.0])], 5.0)
    >>> fb.Session().run((clipped, norm))
    ([array([3., 4.], dtype=float32)], array(50., dtype=float32))
    """
    if not isinstance(max_norm, Tensor) and not (isinstance(max_norm, (int, float, np.number)) and max_norm > 0):
        raise ArgumentError(f"max_norm {max_norm!r} is not positive")
    norm = global_norm(tensors)
    factor = max_norm / maximum(norm, max_norm)
    clipped: list[Tensor | None] = []
    for tensor in tensors:
        if tensor is not None and tensor.dtype != factor.dtype:
            clipped.append(tensor * astype(factor, tensor.dtype))
        else:
            clipped.append(None if tensor is None else tensor * factor)
    return clipped, norm


def _listed(tensors: Any) -> Sequence[Tensor | None]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (list, tuple)):
        raise ArgumentError(f"a list of tensors is needed, not {type(tensors).__name__}", hint="[tensor]")
    for tensor in tensors:
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"{tensor!r} is not a tensor", hint="of the pairs of compute_gradients, the first")
        if tensor.dtype.kind != "f":
            raise DTypeError(f"'{tensor.name}' is {tensor.dtype.name}; only floats have a norm here")
    return tensors
