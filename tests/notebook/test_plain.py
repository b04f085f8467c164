"""Plain Python cells own the nodes they make, and give way to everything that says more."""

from __future__ import annotations

import flowbook as fb
from flowbook.graph.check import check
from tests.notebook.conftest import Notebook

NET = (
    "x = fb.placeholder((None, 3), name='x')\nW = fb.Variable(np.ones((3, 2), 'float32'), name='W')\n"
    "h = fb.tanh(x @ W, name='h')"
)
FEED = "--feed x=np.ones((1, 3))"


def test_running_again_replaces(cell: Notebook) -> None:
    cell(NET, "one")
    handle, hash_before = cell.names["h"], cell.graph.hash
    for _ in range(3):
        assert cell(NET, "one").ok
    assert cell.owned("one") == ["x", "W", "matmul_1", "h"]
    assert cell.names["h"] is handle and cell.graph.hash == hash_before
    assert repr(cell.graph["h"].node.origin) == "one:3"
    check(cell.graph)


def test_other_cells_follow_and_the_user_is_told(cell: Notebook) -> None:
    cell(NET, "one")
    cell("y = fb.tanh(h, name='y')", "two")
    assert cell(f"%flow run y {FEED}", "run").ok
    ran = cell(NET.replace("ones", "zeros").replace("tanh", "relu"), "one")
    assert ran.out == "W keeps its value; %flow reset W starts again from the new initial value\n"
    assert cell.graph["y"].node.input_tensors[0].node.op == "relu"
    ran = cell(NET.replace("'h'", "'k'"), "one")
    assert ran.out.startswith(
        "stale: y of cell two: its input 'h' is gone: cell one no longer defines it; run it again\n"
    )
    check(cell.graph)


def test_a_cell_that_fails_leaves_the_graph_and_the_bindings_to_tensors(cell: Notebook) -> None:
    cell(NET, "one")
    handle, hash_before = cell.names["h"], cell.graph.hash
    ran = cell("h = fb.relu(h)\npair = [h, 1]\nloaded = 5\n1 / 0", "two")
    assert isinstance(ran.error, ZeroDivisionError)
    assert cell.graph.hash == hash_before
    assert cell.names["h"] is handle and "pair" not in cell.names
    assert cell.names["loaded"] == 5  # plain Python goes on as usual
    assert not cell("k = fb.constant(1.0)\nraise KeyboardInterrupt", "two").ok
    assert cell.owned("two") == [] and "k" not in cell.names


def test_a_cycle_across_cells_is_an_error_of_the_cell(cell: Notebook) -> None:
    cell("a = fb.constant(1.0, name='a')", "one")
    cell("b = fb.add(a, 1.0, name='b')", "two")
    ran = cell("a = fb.add(b, 1.0, name='a')", "one")
    assert isinstance(ran.error, fb.errors.GraphError) and not ran.ok
    assert "b (cell two) → a (cell one) → b" in ran.out
    assert cell.names["a"].node.op == "constant"


def test_a_cell_cannot_build_on_what_it_defined_itself(cell: Notebook) -> None:
    cell("a = fb.constant(1.0, name='a')", "one")
    ran = cell("a = fb.multiply(a, 2.0, name='a')", "one")
    assert "'a' is gone: cell one no longer defines it" in ran.out
    assert cell.names["a"].node.op == "constant"


def test_what_a_cell_does_not_define_any_more_goes(cell: Notebook) -> None:
    cell(NET, "one")
    cell("%flow run W", "one")
    assert len(cell.graph) == 0
    cell("%flow undo", "two")
    assert cell.owned("one") == ["x", "W", "matmul_1", "h"]


def test_a_cell_becomes_a_flow_cell_and_back(cell: Notebook) -> None:
    cell("y = fb.constant(1.0, name='y')", "one")
    cell("z = fb.negative(y, name='z')", "two")
    for source in (
        "%%flow\ny = fb.constant(2.0)",
        "%%flow --name net\ny = fb.constant(3.0)",
        "fb.constant(4.0, name='y')",
    ):
        assert cell(source, "one").ok
        assert [node.name for node in cell.graph.nodes] == ["y", "z"]
        check(cell.graph)
    assert cell("%flow run z", "run").result["z"] == -4.0


def test_a_cell_owns_in_every_graph_and_gives_way_to_other_transactions(cell: Notebook) -> None:
    cell("g = fb.Graph()", "graph")
    source = (
        "a = fb.constant(1.0, name='a')\n"
        "with g.as_default():\n    v = fb.Variable(1.0, name='v')\n"
        "    with g.transaction('inner'):\n        q = fb.constant(1.0, name='q')\n    r = fb.add(q, v, name='r')"
    )
    graph: fb.Graph = cell.names["g"]
    for _ in range(2):
        assert cell(source, "one").ok
        assert {owner.name: [*owner.nodes] for owner in graph.owners} == {"one": ["v", "r"], "inner": ["q"]}
        check(graph)
    assert cell.owned("one") == ["a"]


def test_undo_inside_a_cell_takes_back_what_it_built(cell: Notebook) -> None:
    cell(NET, "one")
    assert cell("k = fb.constant(1.0)\n%flow undo", "two").ok
    assert [owner.name for owner in cell.graph.owners] == ["one"]


def test_a_cell_that_builds_nothing_is_no_commit(cell: Notebook) -> None:
    cell("%%flow --name net\na = fb.constant(1.0)")
    version = cell.graph.version
    cell("print('hello')\nfb.notebook.session().run(a)")
    assert cell.graph.version == version
    assert [*cell.graph._owners] == ["", "net"]
    cell("%flow undo")
    assert len(cell.graph) == 0
