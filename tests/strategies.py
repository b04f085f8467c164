"""Random graphs for hypothesis: recipes that are plain data, so that one can be built several times, and shrinks.

@given(recipes())
def test(recipe):
    made = build(recipe)                       # a fresh graph
    session = fb.Session(made.graph, devices=DEVICES)
    session.run(made.fetches, made.feeds)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import flowbook as fb

DEVICES = ("cpu:0", "cpu:1")
SIZE = 3  # all tensors are (3, 3), (1, 3), (3,) or ()
VARIABLES = 2
UNARY = ("tanh", "negative", "square", "relu", "identity", "exp", "sqrt", "sum", "mean", "column")
BINARY = ("add", "multiply", "subtract", "maximum", "matmul", "where", "split")
RANDOM = ("normal", "uniform")
WRITES = ("assign", "assign_add", "assign_sub")
CONTROL = ("cond", "cond_writes", "after")
STATELESS = UNARY + BINARY + RANDOM
ALL = STATELESS + WRITES + CONTROL


class Recipe(NamedTuple):
    """How to build a graph: (op, operand, operand, device) in order, which tensors to fetch, the seed of the feeds."""

    ops: tuple[tuple[str, int, int, bool], ...]
    fetches: tuple[int, ...]
    seed: int


class Made(NamedTuple):
    """What `build` made. ``tensors``: all of them, in order; the first are feeds and variables."""

    graph: fb.Graph
    tensors: list[Any]
    fetches: list[Any]
    feeds: dict[Any, Any]
    variables: list[Any]


def recipes(ops: tuple[str, ...] = ALL, min_ops: int = 1, max_ops: int = 10) -> st.SearchStrategy[Recipe]:
    """Recipes of ``min_ops`` to ``max_ops`` operations, each with operands from anywhere before it."""
    place = st.integers(0, 50)
    op = st.tuples(st.sampled_from(ops), place, place, st.booleans())
    return st.builds(
        Recipe,
        st.lists(op, min_size=min_ops, max_size=max_ops).map(tuple),
        st.lists(place, min_size=2, max_size=4).map(tuple),
        st.integers(0, 3),
    )


def build(recipe: Recipe) -> Made:
    """A fresh graph; the last tensor is always fetched, so that something runs."""
    rng = np.random.default_rng(recipe.seed)
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((SIZE, SIZE), name="x")
        y = fb.placeholder((), name="y")
        start = fb.random.normal((SIZE, SIZE))
        variables = [fb.Variable(start if index else rng.normal(size=(SIZE, SIZE)).astype("float32"), name=f"v{index}")
                     for index in range(VARIABLES)]  # fmt: skip
        tensors: list[Any] = [x, y, *variables]
        for op, a, b, elsewhere in recipe.ops:
            first, second = tensors[a % len(tensors)], tensors[b % len(tensors)]
            with fb.device(DEVICES[1] if elsewhere else None):
                tensors.append(_apply(op, first, second, variables[b % VARIABLES]))
    fetches = list(dict.fromkeys([*(tensors[each % len(tensors)] for each in recipe.fetches), tensors[-1]]))
    feeds = {x: rng.normal(size=(SIZE, SIZE)).astype("float32"), y: np.float32(rng.normal())}
    return Made(graph, tensors, fetches, feeds, variables)


def _apply(op: str, a: Any, b: Any, variable: Any) -> Any:
    if op == "column":
        return fb.mean(fb.broadcast_to(a, (SIZE, SIZE)), axis=0)
    if op == "matmul":
        return fb.broadcast_to(a, (SIZE, SIZE)) @ fb.broadcast_to(b, (SIZE, SIZE))
    if op == "split":
        return fb.split(fb.broadcast_to(a - b, (SIZE, SIZE)), SIZE)[1]
    if op == "where":
        return fb.where(a > b, a, b)
    if op in RANDOM:
        return getattr(fb.random, op)(a.shape) + a
    if op in WRITES:
        return getattr(fb, op)(variable, a)
    if op == "after":  # reads the variable after whatever b is
        with fb.control_dependencies([b]):
            return fb.identity(variable)
    if op == "cond":
        return fb.cond(fb.sum(a) > 0, lambda: fb.sum(b * 2.0) + fb.random.normal(()), lambda: fb.sum(-b))
    if op == "cond_writes":
        return fb.cond(fb.sum(a) > 0, lambda: fb.sum(fb.assign_add(variable, b)), lambda: fb.sum(b))
    return getattr(fb, op)(a) if op in UNARY else getattr(fb, op)(a, b)


def bytes_of(values: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Values as what has to be equal when they are the same to the bit."""
    arrays = [np.asarray(each) for each in values]
    return [(each.dtype.name, each.shape, each.tobytes()) for each in arrays]
