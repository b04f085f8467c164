"""Nodes, handles and names: what a user can hold, and how it is called."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, FetchError, GraphError
from flowbook.graph.check import check
from flowbook.graph.graph import Graph


@pytest.fixture
def g():
    graph = Graph()
    with graph.as_default():
        yield graph


def test_automatic_names_count_within_an_op(g):
    x = fb.placeholder((2,))
    names = [x.name, fb.tanh(x).name, fb.tanh(x).name, fb.exp(x).name]
    assert names == ["placeholder_1", "tanh_1", "tanh_2", "exp_1"]


def test_a_name_given_twice_is_counted(g):
    x = fb.placeholder((2,), name="x")
    assert [fb.tanh(x, name="y").name for _ in range(3)] == ["y", "y_1", "y_2"]
    fb.tanh(x, name="y_4")
    assert [fb.tanh(x, name="y").name for _ in range(2)] == ["y_3", "y_5"]


def test_an_automatic_name_and_a_given_one_do_not_collide(g):
    x = fb.placeholder((2,), name="x")
    assert fb.tanh(x, name="tanh_1").name == "tanh_1"
    assert fb.tanh(x).name == "tanh_2"
    assert fb.exp(x, name="tanh").name == "tanh"
    assert fb.exp(x, name="tanh").name == "tanh_3"


def test_scopes_nest_and_continue(g):
    with fb.name_scope("a"):
        with fb.name_scope("b") as prefix:
            first = fb.constant(1.0)
        second = fb.constant(1.0)
    with fb.name_scope("a"):
        third = fb.constant(1.0)
    assert (prefix, first.name, second.name, third.name) == ("a/b/", "a/b/constant_1", "a/constant_1", "a/constant_2")
    assert first.node.scope == "a/b"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", 3])
def test_what_is_no_name(g, name):
    with pytest.raises(ArgumentError, match="is not a name"):
        fb.constant(1.0, name=name)


def test_handles_are_the_same_objects(g):
    x = fb.placeholder((2,), name="x")
    a, b = fb.split(fb.constant([1.0, 2.0]), 2, name="s")
    assert g["x"] is x and g["x"].node.outputs[0] is x
    assert g["s"] is a and g["s:1"] is b and b.name == "s:1"
    assert (a == b) is not True and hash(a) != hash(b)


def test_looking_a_name_up(g):
    fb.placeholder((2,), name="pixels")
    node = fb.group(fb.constant(1.0), name="all")
    assert g["all"] is node and "pixels" in g and "pixel" not in g and 3 not in g
    with pytest.raises(FetchError, match="nothing in the graph is called 'pixel'") as caught:
        g["pixel"]
    assert caught.value.hint == "similar: pixels"
    with pytest.raises(FetchError, match="has 1 outputs, no output 1"):
        g["pixels:1"]


def test_a_name_in_two_cells_lists_both(g):
    for cell in ("one", "two"):
        with g.transaction(cell):
            fb.constant(1.0, name="c")
    assert len(g.find("c")) == 2
    with pytest.raises(FetchError, match=r"'c' is in several cells: cell one \(constant\), cell two \(constant\)"):
        g["c"]
    with pytest.raises(FetchError, match="several cells"):
        fb.Session(g).run("c")


def test_variables_are_unique_in_a_graph(g):
    with g.transaction("one"):
        fb.Variable(1.0, name="w")
    with pytest.raises(GraphError, match="'w' is defined already, in cell one; cell two defines it again"):
        with g.transaction("two"):
            fb.Variable(2.0, name="w")
    with pytest.raises(GraphError, match="defined already, in cell one"):
        fb.Variable(2.0, name="w")
    assert [each.name for each in g.variables] == ["w"]
    check(g)


def test_automatic_names_of_variables_are_unique_across_cells(g):
    for cell in ("one", "two"):
        with g.transaction(cell):
            fb.Variable(1.0)
    assert [each.name for each in g.variables] == ["variable_1", "variable_2"]
    with g.transaction("one"):
        fb.Variable(1.0)
    assert [each.name for each in g.variables] == ["variable_1", "variable_2"]
    check(g)


def test_nodes_come_in_program_order(g):
    for cell in ("b", "a"):
        with g.transaction(cell):
            fb.constant(1.0, name=f"{cell}1")
            fb.constant(1.0, name=f"{cell}2")
    fb.constant(1.0, name="script")
    assert [node.name for node in g.nodes] == ["script", "b1", "b2", "a1", "a2"]
    assert [owner.name for owner in g.owners] == ["", "b", "a"]
    assert len(g) == 5 and repr(g) == "<Graph: 5 nodes>"


def test_things_print_without_addresses(g):
    x = fb.placeholder(("n", None), name="x")
    w = fb.Variable(1.0, name="w")
    assert repr(x) == "<Tensor 'x': placeholder float32 (n, ?)>"
    assert repr(w) == "<Variable 'w': variable float32 ()>"
    assert repr(fb.group(x, name="all")) == "<Node 'all': group no output>"


def test_where_a_node_was_written(g):
    tensor = fb.constant(1.0)
    assert tensor.node.origin.cell == "test_graph.py"
    assert tensor.node.origin.code == "tensor = fb.constant(1.0)"


def test_tensors_of_two_graphs_do_not_mix(g):
    x = fb.placeholder((2,), name="x")
    with Graph().as_default():
        with pytest.raises(GraphError, match="'x' belongs to another graph"):
            fb.constant([1.0, 2.0]) + x
        with fb.control_dependencies([x]), pytest.raises(GraphError, match="cannot wait for 'x'"):
            fb.tanh(fb.constant(1.0))


def test_control_dependencies(g):
    x = fb.placeholder((), name="x")
    first, second = fb.tanh(x), fb.exp(x)
    with fb.control_dependencies([first]), fb.control_dependencies([second, first]):
        after = fb.square(x)
        constant, source = fb.constant(1.0), fb.placeholder((), name="source")
        with fb.control_dependencies(None):
            free = fb.square(x)
    assert after.node.control_inputs == constant.node.control_inputs == (first.node, second.node)
    assert source.node.control_inputs == free.node.control_inputs == ()
    with pytest.raises(ArgumentError, match="neither a tensor nor a node"), fb.control_dependencies([3]):
        pass


def test_constants_are_frozen_copies(g):
    array = np.ones(3)
    c = fb.constant(array)
    array[:] = 7
    assert c.node.attrs["value"].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        c.node.attrs["value"][0] = 7


def test_functions_are_kept_by_name_in_each_cell(g):
    def double(v):
        return v * 2

    x = fb.constant(1.0)
    fb.py_function(double, [x], "float32")
    for cell in ("a", "b"):
        with g.transaction(cell):
            fb.py_function(double, [x], "float32")
            fb.py_function(lambda v: v, [x], "float32")
    assert sorted(g.functions) == ["a/double", "a/lambda", "b/double", "b/lambda", "double"]
    with g.transaction("a"):
        fb.py_function(lambda v: v + 1, [x], "float32")
    assert sorted(g.functions) == ["a/lambda", "b/double", "b/lambda", "double"]
    g.undo()
    assert sorted(g.functions) == ["a/double", "a/lambda", "b/double", "b/lambda", "double"]


def test_a_seed_is_an_int():
    with pytest.raises(ArgumentError, match="seed 'x' is not an int"):
        Graph("x")


def test_the_default_graph():
    assert fb.get_default_graph() is fb.constant(1.0).graph
    with Graph().as_default() as graph:
        assert fb.get_default_graph() is graph
    assert fb.get_default_graph() is not graph


def test_a_cell_that_uses_what_it_no_longer_defines_is_told_so(g):
    with g.transaction("one"):
        x = fb.placeholder((), name="x")
    with pytest.raises(GraphError) as caught, g.transaction("one"):
        fb.tanh(x)
    assert "define it above the line that uses it" in caught.value.hint
    g.remove_owner("one")
    with pytest.raises(GraphError) as caught:
        fb.tanh(x)
    assert "run that cell again" in caught.value.hint


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "\x1b[31m", 3])
def test_names_are_texts_on_one_line(name: object) -> None:
    g = fb.Graph()
    with g.as_default():
        with pytest.raises(fb.errors.ArgumentError, match="is not a name"):
            fb.constant(1.0, name=name)
        with pytest.raises(fb.errors.ArgumentError, match="is not a scope name"):
            fb.name_scope(name)
        if name != 3:
            with pytest.raises(fb.errors.ShapeError, match="is not a dimension"):
                fb.placeholder((name,))
        with pytest.raises(fb.errors.ArgumentError, match="is not the name of a cell"), g.transaction(name):
            pass
    assert len(g) == 0


def test_a_consumer_recovers_when_the_change_is_taken_back_also_beside_a_gradient() -> None:
    g = fb.Graph()

    def place(*spec: object) -> None:
        with g.transaction("a"), g.as_default():
            fb.placeholder(*spec, name="x")

    place((2,))
    with g.transaction("b"), g.as_default():
        y = fb.sum(g["x"], name="y")
        (d,) = fb.gradients(y, [g["x"]])
    for spec in (((None,),), ((2,), "float64"), ((2,),)):
        place(*spec)
        assert (y.node.stale is None) == (d.node.stale is None) == (len(spec) == 1)
        check(g)


def test_an_output_that_is_gone_names_the_cell() -> None:
    g = fb.Graph()
    with g.transaction("a"), g.as_default():
        _, second = fb.split(fb.placeholder((4,), name="x"), 2, name="p")
    with g.transaction("a"), g.as_default():
        fb.tanh(fb.placeholder((4,), name="x"), name="p")
    assert repr(second) == "<Tensor 'p:1': gone>"
    with pytest.raises(GraphError, match="'p:1' is gone: 'p' of cell a has 1 output now"):
        second.shape  # noqa: B018 - raises
