"""What a node is, in plain values: the one form that hashes, snapshots and diffs work on.

Everything is named by key, so the form does not depend on the order in which cells were run, on the order of a
dictionary, or on the lines that sources stand on.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flowbook.errors import GraphError
from flowbook.graph.node import Node, Tensor
from flowbook.graph.types import Shape

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph

Key = tuple[str, str]
"""(cell, name) of a node."""

Canonical = str | tuple[Any, ...]
"""A value as text; a sequence as a tuple of such."""


class Signature(NamedTuple):
    """A node in plain values that compare and hash; tensors are (cell, name, output)."""

    op: str
    inputs: tuple[tuple[str, str, int] | str, ...]  # a scalar or None as text
    attrs: tuple[tuple[str, Canonical], ...]
    specs: tuple[tuple[str, Shape | None], ...]
    controls: tuple[Key, ...]
    device: str | None
    forward: Key | None
    stale: bool


def signature(node: Node) -> Signature:
    """The signature of a node.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((2,), name="x")
    ...     signature((x * 2.0).node).inputs
    (('', 'x', 0), '2.0')
    """
    record = node.current
    forward = record.forward
    return Signature(
        record.op.name + (f"#{record.op.version}" if record.op.version else ""),
        tuple(
            [(*each.node.live.key, each.index) if isinstance(each, Tensor) else repr(each) for each in record.inputs]
        ),
        tuple([(name, canonical(record.attrs[name])) for name in sorted(record.attrs)]),
        tuple([(spec.dtype.name, spec.shape) for spec in record.specs]),
        tuple(sorted([each.live.key for each in record.controls])),  # they wait for all, in no order
        record.device,
        None if forward is None else forward.live.key,
        record.stale is not None,
    )


def canonical(value: Any) -> Canonical:
    """An attribute as text: arrays by dtype, shape and content, bodies by their hash.

    >>> canonical((1, 1.0, "a")), canonical(np.zeros(2, "float32"))
    (('1', '1.0', "'a'"), 'float32 (2,) #af5570f5a1810b7a')
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, tuple):
        return tuple([canonical(each) for each in value])
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        return f"{value.dtype.name} {value.shape} #{sha256(data.tobytes()).hexdigest()[:16]}"
    content = getattr(value, "hash", None)  # once, as it hashes the bodies inside again
    if content is not None:
        return f"body #{content}"
    raise GraphError(f"an attribute is a {type(value).__name__}, which is not a plain value")


def snapshot(graph: Graph) -> dict[Key, Signature]:
    """The signature of every node, by key, in program order."""
    return {node.key: signature(node) for node in graph.nodes}


def graph_hash(graph: Graph) -> str:
    """SHA-256 over the signatures of all nodes in the order of their keys, as hexadecimal digits; linear in size."""
    digest = sha256()
    for item in sorted(snapshot(graph).items()):
        digest.update(repr(item).encode("utf-8", "backslashreplace"))
        digest.update(b"\n")
    return digest.hexdigest()
