"""Walking graphs: the stable topological order, cycles named, and no recursion however deep a chain is."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import GraphError
from flowbook.graph.check import check
from flowbook.graph.graph import Graph
from flowbook.graph.order import ancestors, find_cycle, topological
from flowbook.graph.serialize import graph_from_json, graph_to_json

DEPTHS = [20_000, pytest.param(100_000, marks=pytest.mark.slow)]  # Python recurses 1,000 deep, C some 10,000


def chain(length: int) -> tuple[Graph, fb.Tensor, fb.Tensor]:
    with Graph().as_default() as graph:
        x = y = fb.placeholder((), name="x")
        for _ in range(length):
            y = fb.negative(y)
    return graph, x, y


def test_topological_order_is_program_order_where_that_is_one():
    with Graph().as_default() as graph:
        a, b = fb.constant(1.0, name="a"), fb.constant(2.0, name="b")
        fb.add(b, a, name="c")
    assert [node.name for node in topological(graph.nodes[::-1])] == ["a", "b", "c"]


def test_an_edited_cell_may_use_what_a_later_one_defines():
    graph = Graph()
    with graph.as_default():
        with graph.transaction("first"):
            fb.constant(0.0, name="first")
        with graph.transaction("second"):
            x = fb.constant(1.0, name="x")
            fb.constant(2.0, name="y")
        with graph.transaction("first"):
            fb.tanh(x, name="first")
    assert [node.name for node in graph.nodes] == ["first", "x", "y"]
    assert [node.name for node in topological(graph.nodes)] == ["x", "first", "y"]
    by_name = topological(graph.nodes, key=lambda node: node.name)
    assert [node.name for node in by_name] == ["x", "first", "y"]
    check(graph)


def test_ancestors_stop_where_they_are_told():
    *_, y = chain(3)
    assert {node.name for node in ancestors([y.node])} == {"x", "negative_1", "negative_2", "negative_3"}
    found = ancestors([y.node], stop=lambda node: node.name == "negative_2")
    assert {node.name for node in found} == {"negative_2", "negative_3"}


def test_a_cycle_is_named():
    *_, y = chain(3)
    first = y.graph["negative_1"].node
    first.record = first.record._replace(inputs=(y,))
    with pytest.raises(
        GraphError, match=r"form a cycle: negative_2 \(the script\) → negative_3 .* → negative_1 .* → negative_2$"
    ):
        topological(y.graph.nodes)
    path = find_cycle(y.graph.nodes[1:], lambda node: [each.node for each in node.input_tensors])
    assert len(path) == 3


@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_chains_run_are_hashed_checked_and_saved(depth):
    graph, x, y = chain(depth)
    assert fb.Session(graph).run(y, {x: 3.0}) == 3.0
    check(graph)
    assert not graph.diff(graph.snapshot())
    assert graph_from_json(*graph_to_json(graph)).hash == graph.hash


@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_chains_are_differentiated_followed_and_deleted(depth):
    graph = Graph()
    with graph.as_default():
        with graph.transaction("input"):
            x = fb.placeholder((), name="x")
        with graph.transaction("chain"):
            y = x
            for _ in range(depth):
                y = fb.negative(y)
        with graph.transaction("gradient"):
            (dx,) = fb.gradients(y, [x])
        assert fb.Session(graph).run(dx, {x: 1.0}) == 1.0
        with graph.transaction("input"):
            x = fb.identity(fb.placeholder((None,), name="vector")[0], name="x")
        value = fb.Session(graph).run(dx, {"vector": np.ones(2, "float32")})
        assert value == 1.0
    graph.remove_owner("chain")
    check(graph)
    assert dx.node.stale
    gone = weakref.ref(y.node)
    del graph, x, y, dx
    gc.collect()
    assert gone() is None


def test_a_difference_tells_what_is_gone_in_both() -> None:
    graph = fb.Graph()
    with graph.as_default():
        with graph.transaction("one"):
            a = fb.constant(1.0, name="a")
        with graph.transaction("two"):
            fb.negative(a, name="b")
        graph.remove_owner("one")
        before = graph.snapshot()
        graph.remove_owner("two")
    assert str(graph.diff(before)) == "- b: negative(a) float32 ()"
