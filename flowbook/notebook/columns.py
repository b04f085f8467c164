"""The nodes of a graph as they travel: by columns, as most of what a node says others say, too, and once is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def to_columns(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each member the different values (``of``) and for each node which of them it has (``at``: from 1, 0 for none);
    or one for each node, where most are different.

    >>> found = to_columns([{"op": "exp", "line": 3}, {"op": "exp"}])
    >>> found["count"], {key: (each["of"], each["at"].tolist()) for key, each in found["columns"].items()}
    (2, {'op': (['exp'], [1, 1]), 'line': ([3], [1, 0])})
    """
    members = dict.fromkeys(key for node in nodes for key in node)
    return {"count": len(nodes), "columns": {key: _column(nodes, key) for key in members}}


def _column(nodes: Sequence[Mapping[str, Any]], key: str) -> Any:
    texts = [repr(node[key]) if key in node else "" for node in nodes]
    different = {text: node[key] for text, node in zip(texts, nodes, strict=True) if text}
    if len(different) > len(nodes) / 2 and all(texts):
        return [node[key] for node in nodes]
    places = {text: place for place, text in enumerate(different, 1)}
    dtype = np.uint8 if len(different) < 256 else np.int32
    return {"of": list(different.values()), "at": np.array([places.get(text, 0) for text in texts], dtype)}


def from_columns(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes that `to_columns` was given."""
    nodes: list[dict[str, Any]] = [{} for _ in range(found["count"])]
    for key, column in found["columns"].items():
        if isinstance(column, list):
            for node, value in zip(nodes, column, strict=True):
                node[key] = value
        else:
            for node, place in zip(nodes, column["at"], strict=True):
                if place:
                    node[key] = column["of"][place - 1]
    return nodes
