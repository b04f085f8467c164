"""Names that assignments give to nodes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import flowbook as fb
from flowbook.graph.check import check
from flowbook.notebook.cells import run_cell


def names(source: str, **extra: Any) -> tuple[list[str], dict[str, Any]]:
    """The node names a cell gives, and its namespace."""
    graph = fb.Graph()
    space: dict[str, Any] = {"fb": fb, **extra}
    run_cell(source, space, name="cell", graph=graph)
    check(graph)
    return [node.name for node in graph.owned("cell")], space


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("h = fb.relu(x)", ["h"]),
        ("h: object = fb.relu(x)", ["h"]),
        ("h = k = fb.relu(x)", ["h"]),
        ("h = fb.relu(x)\nk = h", ["h"]),
        ("h = fb.relu(x)\nh = fb.tanh(h)", ["h", "h_1"]),
        ("h = fb.relu(x)\nh += 1.0", ["h", "h_1"]),
        ("h = fb.relu(x)\nh = fb.Variable(0.0)", ["h", "h_1"]),
        ("h = fb.relu(x)\nw = fb.Variable(0.0, name='h')", ["h", "h_1"]),
        ("h = fb.Variable(0.0)\nh = fb.relu(h)", ["h", "h_1"]),
        ("a, b = fb.relu(x), fb.tanh(x)", ["a", "b"]),
        ("(a, [b, c]), *rest = (fb.relu(x), [fb.tanh(x), fb.exp(x)]), fb.abs(x)", ["a", "b", "c", "abs_1"]),
        ("fb.tanh(h := fb.relu(x))", ["h", "tanh_1"]),
        ("fb.relu(x)", ["relu_1"]),
        ("h = fb.relu(x, name='given')", ["given"]),
        ("h = fb.tanh(fb.relu(x))", ["relu_1", "h"]),
        ("for i in range(3):\n    h = fb.relu(x)", ["h", "h_1", "h_2"]),
        ("for h in [fb.relu(x), fb.tanh(x)]:\n    pass", ["h", "h_1"]),
        ("if True:\n    h = fb.relu(x)\nelse:\n    pass", ["h"]),
        ("try:\n    h = fb.relu(x)\nfinally:\n    k = fb.tanh(x)", ["h", "k"]),
        ("with fb.name_scope('s'):\n    h = fb.relu(x)", ["s/h"]),
        ("def f():\n    inner = fb.relu(x)\n    return fb.tanh(inner)\nh = f()", ["relu_1", "h"]),
        ("hs = [fb.relu(x) for _ in range(2)]", ["relu_1", "relu_2"]),
        ("params = {}\nparams['w'] = fb.relu(x)", ["relu_1"]),
        ("_ = fb.relu(x)", ["relu_1"]),
        ("hs = [fb.exp(h := fb.relu(x)) for _ in range(2)]", ["h", "exp_1", "h_1", "exp_2"]),
        ("hs = [fb.exp(t) for t in (fb.relu(x), fb.tanh(x))]", ["relu_1", "tanh_1", "exp_1", "exp_2"]),
        ("hs = {k: fb.relu(x) for k in 'ab'}\na = hs['a']", ["a", "relu_2"]),
        ("a, *rest = fb.relu(x), fb.tanh(x)\nb, = rest", ["a", "b"]),
        ("a = b = fb.relu(x)\n(c, d), e = (a, fb.tanh(x)), b", ["a", "d"]),
        ("for i, (h, k) in enumerate([(fb.relu(x), fb.tanh(x))]):\n    pass", ["h", "k"]),
        ("for h in [fb.relu(x)]:\n    k = fb.tanh(h)\nelse:\n    m = fb.exp(k)", ["h", "k", "m"]),
        ("while (h := fb.relu(x)) is None:\n    pass", ["h"]),
        ("with contextlib.nullcontext(fb.relu(x)) as h:\n    k = fb.tanh(h)", ["h", "k"]),
        ("with contextlib.nullcontext((fb.relu(x), fb.tanh(x))) as (h, k):\n    pass", ["h", "k"]),
        ("class Net:\n    h = fb.relu(x)\nk = fb.tanh(Net.h)", ["relu_1", "k"]),
        ("net = type('Net', (), {})()\nnet.h = fb.relu(x)\nk = net.h", ["k"]),
        ("params = {'w': fb.relu(x)}\nparams['w'] += 1.0\nw = params['w']", ["relu_1", "w"]),
        ("h = params = [None]\nk = params[0] = fb.relu(x)", ["k"]),
        ("f = lambda t: (inner := fb.relu(t))\nh = f(x)", ["h"]),
        ("def f(t):\n    global h\n    h = fb.relu(t)\nf(x)\nk = h", ["k"]),
        ("match (fb.relu(x), fb.tanh(x)):\n    case (h, k):\n        m = fb.exp(h)", ["relu_1", "tanh_1", "m"]),
        ("w = fb.Variable(0.0)\nup = fb.assign_add(w, 1.0)\nboth = fb.group(up)", ["w", "up", "both"]),
    ],
)
def test_assignments_name_nodes(source: str, expected: list[str]) -> None:
    found, _ = names("x = fb.placeholder(())\n" + source, contextlib=contextlib)
    assert found == ["x", *expected]


def test_results_of_derivations_are_named_where_they_were_asked_for() -> None:
    source = """
w = fb.Variable(2.0)
loss = fb.square(w)
dw, = fb.gradients(loss, [w])
with fb.name_scope("s"):
    d2w, = fb.gradients(dw, [w])
    train = fb.train.SGD(0.1).minimize(loss)
given = fb.train.SGD(0.1).minimize(loss, name="mine")
again = dw
"""
    found, space = names(source)
    assert {"dw", "s/d2w", "s/train", "mine"} < set(found)
    assert {"given", "again", "gradients/w"}.isdisjoint(found)
    assert space["again"] is space["dw"] and space["d2w"].name == "s/d2w"
    graph = space["dw"].graph
    check(graph)
    assert fb.Session(graph).run(["dw", "s/d2w"]) == [4.0, 2.0]


def test_named_gradients_follow_edits_as_a_fresh_run_would() -> None:
    def run(*cells: tuple[str, str]) -> fb.Graph:
        graph, space = fb.Graph(), {"fb": fb}
        for name, source in cells:
            run_cell(source, space, name=name, graph=graph)
            check(graph)
        return graph

    model = "w = fb.Variable(2.0)\nloss = fb.{}(w)"
    slope = "dw, = fb.gradients(loss, [w])\nd2w, = fb.gradients(dw, [w])\nw_gradient = dw * 1.0"
    train = "train = fb.train.Adam(0.1).minimize(loss)\nboth = fb.group(train)"
    rest = ("slope", slope), ("train", train)
    edited = run(("model", model.format("square")), *rest, ("model", model.format("exp")), ("slope", slope))
    fresh = run(("model", model.format("exp")), *rest)
    assert edited.hash == fresh.hash, edited.diff(fresh)
    assert fb.Session(edited).run(["dw", "train"]) == fb.Session(fresh).run(["dw", "train"])


def test_bindings_are_the_named_handles() -> None:
    _, space = names("x = fb.placeholder(())\na, b = fb.relu(x), fb.tanh(x)\nc = a")
    assert [space[name].name for name in "abc"] == ["a", "b", "a"]
    assert space["c"] is space["a"]


def test_outputs_of_one_node_share_its_name() -> None:
    _, space = names("x = fb.placeholder((4,))\na, b = fb.split(x, 2)")
    assert [space["a"].name, space["b"].name] == ["a", "a:1"]


def test_nodes_of_other_cells_keep_their_names() -> None:
    graph, space = fb.Graph(), {"fb": fb}
    run_cell("fb.placeholder((), name='p')\nt = fb.relu(fb.get_default_graph()['p'])", space, name="one", graph=graph)
    run_cell("mine = t", space, name="two", graph=graph)
    assert [node.name for node in graph.nodes] == ["p", "t"]


def test_the_hook_is_gone_afterwards() -> None:
    _, space = names("h = fb.constant(1.0)")
    assert set(space) - {"__builtins__"} == {"fb", "h"}


def test_variable_named_like_one_of_another_cell_is_refused_at_its_line() -> None:
    graph, space = fb.Graph(), {"fb": fb}
    run_cell("w = fb.Variable(0.0)", space, name="one", graph=graph)
    with pytest.raises(fb.errors.GraphError, match="cell one; cell two") as caught:
        run_cell("\nw = fb.Variable(1.0)", space, name="two", graph=graph)
    assert (caught.value.line, caught.value.code) == (2, "w = fb.Variable(1.0)")


def test_a_given_name_that_looks_automatic_stays() -> None:
    found, _ = names("x = fb.placeholder(())\na = fb.tanh(x, name='tanh_1')\nrelu_1 = fb.relu(x)\nb = relu_1")
    assert found == ["x", "tanh_1", "relu_1"]


def test_conditions_and_dropout_are_named_by_assignment() -> None:
    found, _ = names("x = fb.placeholder((2,))\ny = fb.cond(True, lambda: x, lambda: -x)\nz = fb.dropout(y, 0.5)")
    assert [name for name in found if "/" not in name] == ["x", "constant_1", "y", "z"]
