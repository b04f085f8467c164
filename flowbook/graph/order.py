"""Walking a graph without recursion: ancestors, and the one stable topological order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from flowbook.errors import GraphError
from flowbook.graph.node import Node, Tensor


def predecessors(node: Node) -> list[Node]:
    """The nodes a node waits for: producers of its inputs, and its control inputs."""
    record = node.record or node.current
    found = [each.node for each in record.inputs if isinstance(each, Tensor)]
    if record.controls:
        found.extend(record.controls)
    return found


def ancestors(
    roots: Iterable[Node],
    before: Callable[[Node], Iterable[Node]] = predecessors,
    stop: Callable[[Node], bool] | None = None,
) -> set[Node]:
    """``roots`` and all they depend on; the walk does not go beyond a node for which ``stop`` is true."""
    stack = list(roots)
    seen = set(stack)
    while stack:
        node = stack.pop()
        if stop is not None and stop(node):
            continue
        for other in before(node):
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return seen


def topological(
    nodes: Iterable[Node],
    before: Callable[[Node], Iterable[Node]] = predecessors,
    key: Callable[[Node], Any] | None = None,
) -> list[Node]:
    """``nodes`` in stable topological order: among those ready, program order (or the sort key ``key``) decides.

    Raises ``GraphError`` when they form a cycle. Linear when program order already is topological, as it is unless
    an edited cell uses what a later cell defines.
    """
    order = sorted(nodes, key=key or program_order)
    position = {node: index for index, node in enumerate(order)}
    if all(position.get(each, -1) < index for index, node in enumerate(order) for each in before(node)):
        return order
    edges = [[position[each] for each in before(node) if each in position] for node in order]
    waiting = [len(set(inputs)) for inputs in edges]
    after: list[list[int]] = [[] for _ in order]
    for index, inputs in enumerate(edges):
        for each in set(inputs):
            after[each].append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    heapify(ready)
    result: list[Node] = []
    while ready:
        index = heappop(ready)
        result.append(order[index])
        for each in after[index]:
            waiting[each] -= 1
            if not waiting[each]:
                heappush(ready, each)
    if len(result) != len(order):
        stuck = [order[index] for index, count in enumerate(waiting) if count]
        raise GraphError(f"these nodes form a cycle: {cycle_text(find_cycle(stuck, before))}")
    return result


def program_order(node: Node) -> tuple[int, int]:
    """Sort key: position of the cell, then creation."""
    return node.owner.position, node.record.seq if node.record is not None else -1


def name_order(node: Node) -> tuple[str, int]:
    """Sort key that does not depend on where the cells stand: name of the cell, then creation."""
    return node.owner.name, node.record.seq if node.record is not None else -1


def find_cycle(nodes: Sequence[Node], before: Callable[[Node], Iterable[Node]]) -> list[Node]:
    """One cycle among ``nodes``, each of which waits for another of them."""
    inside = set(nodes)
    path: list[Node] = []
    seen: dict[Node, int] = {}
    node: Node | None = nodes[0]
    while node is not None and node not in seen:
        seen[node] = len(path)
        path.append(node)
        node = next((each for each in before(node) if each in inside), None)
    return path[seen[node] :][::-1] if node is not None else path


def cycle_text(cycle: Sequence[Any]) -> str:
    """``a (cell 1) → b (cell 2) → a``."""
    names = [f"{node.name} ({node.owner.label})" for node in cycle]
    return " → ".join([*names, cycle[0].name]) if cycle else ""
