"""Cells own nodes: re-running replaces, failing changes nothing."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.graph.check import check
from flowbook.notebook.cells import identity, run_cell
from flowbook.notebook.text import notices

NET = "x = fb.placeholder((None, 3))\nW = fb.Variable(np.ones((3, 2), 'float32'))\nh = fb.tanh(x @ W)"


@pytest.fixture
def graph() -> fb.Graph:
    return fb.Graph()


@pytest.fixture
def space() -> dict[str, Any]:
    return {"fb": fb, "np": np}


def owned(graph: fb.Graph, name: str) -> list[str]:
    return [node.name for node in graph.owned(name)]


def test_running_again_replaces(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell(NET, space, name="net", graph=graph)
    before, hash_before = owned(graph, "net"), graph.hash
    handle = space["h"]
    commit, _ = run_cell(NET, space, name="net", graph=graph)
    assert owned(graph, "net") == before == ["x", "W", "matmul_1", "h"]
    assert not commit
    assert graph.hash == hash_before
    assert space["h"] is handle


def test_values_survive_running_again(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell(NET, space, name="net", graph=graph)
    session = fb.notebook.session(graph)
    with graph.as_default():
        session.run(fb.assign(space["W"], 5.0))
    run_cell(NET.replace("np.ones", "np.zeros"), space, name="net", graph=graph)
    assert session.run(space["W"]).tolist() == [[5.0, 5.0]] * 3


@pytest.mark.parametrize("fault", ["1 / 0", "h @ W", "raise KeyboardInterrupt", "w2 = fb.Variable(0.0, name='W')"])
def test_a_failing_cell_changes_nothing(graph: fb.Graph, space: dict[str, Any], fault: str) -> None:
    run_cell(NET, space, name="net", graph=graph)
    bindings, hash_before = dict(space), graph.hash
    with pytest.raises((fb.errors.FlowError, ZeroDivisionError, KeyboardInterrupt)):
        run_cell(f"del x\nfresh = fb.constant(1.0)\nh = fb.relu(h)\n{fault}", space, name="net", graph=graph)
    assert space == bindings
    assert graph.hash == hash_before
    assert owned(graph, "net") == ["x", "W", "matmul_1", "h"]
    assert fb.notebook.session(graph).run(space["h"], {"x": np.zeros((1, 3), "float32")}).tolist() == [[0.0, 0.0]]


def test_a_run_inside_a_cell_sees_its_draft(graph: fb.Graph, space: dict[str, Any]) -> None:
    source = "a = fb.constant(2.0)\nseen = float(fb.Session().run(a * 3.0))"
    run_cell(source, space, name="one", graph=graph)
    assert space["seen"] == 6.0


def test_device_and_scope_hold_for_the_whole_cell(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell("a = fb.constant(2.0)", space, name="one", graph=graph, device="cpu:1", scope="outer")
    assert (space["a"].name, space["a"].device) == ("outer/a", "cpu:1")


def test_the_last_expression_is_the_value(graph: fb.Graph, space: dict[str, Any]) -> None:
    assert run_cell("a = 1\na + 1", space, name="one", graph=graph)[1] == 2
    assert run_cell("a + 1;", space, name="one", graph=graph)[1] is None
    assert run_cell("a = 3", space, name="one", graph=graph)[1] is None


def test_lines_are_those_of_the_file(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell(
        "\n\na = fb.constant(1.0)\ndef f(t):\n    return t * 2.0\nb = f(a)",
        space,
        name="one",
        graph=graph,
        first_line=2,
    )
    origins = {node.name: node.origin for node in graph.nodes}
    assert repr(origins["a"]) == "one:4"
    assert origins["a"] is not None and origins["a"].code == "a = fb.constant(1.0)"
    assert repr(origins["b"]) == "one:6"


def test_one_cell_after_another_follows_edits(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell("a = fb.Variable(3.0)\nb = fb.square(a)", space, name="one", graph=graph)
    run_cell("da, = fb.gradients(b, [a])", space, name="two", graph=graph)
    session, da = fb.notebook.session(graph), space["da"]
    assert session.run(da) == 6.0
    commit, _ = run_cell("a = fb.Variable(3.0)\nb = a * a * a", space, name="one", graph=graph)
    assert commit.derived
    assert session.run(da) == 27.0


def test_a_hundred_runs_leave_no_more_than_one(graph: fb.Graph, space: dict[str, Any]) -> None:
    def count() -> int:
        gc.collect()  # of this graph only: threads of earlier tests may still let go of theirs
        found = (
            getattr(each, "node", each) for each in gc.get_objects() if issubclass(type(each), (fb.Node, fb.Tensor))
        )
        return sum(each.graph is graph for each in found)

    def edit(times: int) -> int:
        for _ in range(times):
            run_cell(NET, space, name="net", graph=graph)
            run_cell("train = fb.train.SGD(0.1).minimize(fb.sum(h))", space, name="train", graph=graph)
        return count()

    objects = edit(5)
    names = [node.name for node in graph.nodes]
    assert edit(100) == objects
    assert [node.name for node in graph.nodes] == names


def test_identity_is_a_hash_of_the_source() -> None:
    assert identity("a = 1\n") == identity("a = 1") != identity("a = 2")


def test_a_cell_that_is_renamed_keeps_its_place_and_its_handles(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell(NET, space, name="net", graph=graph)
    run_cell("y = h * 2.0", space, name="use", graph=graph)
    handle, hash_before = space["h"], graph.hash
    commit, _ = run_cell(NET.replace("tanh", "relu"), space, name="model", graph=graph, was="net")
    assert [owner.name for owner in graph.owners] == ["model", "use"]
    assert space["h"] is handle and space["y"].node.inputs[0] is handle and not space["y"].node.stale
    assert commit.changed == ["h"]
    check(graph)
    graph.undo()
    assert graph.hash == hash_before
    check(graph)
    with pytest.raises(ZeroDivisionError):
        run_cell(NET + "\n1 / 0", space, name="model", graph=graph, was="net")
    assert graph.hash == hash_before


def test_a_cell_that_takes_the_name_of_another_gives_up_what_it_had(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell("a = fb.constant(1.0)", space, name="one", graph=graph)
    run_cell("b = fb.constant(2.0)", space, name="two", graph=graph)
    hash_before = graph.hash
    commit, _ = run_cell("c = fb.constant(3.0)", space, name="two", graph=graph, was="one")
    assert (commit.added, commit.removed) == (["c"], ["a", "b"])
    graph.undo()
    assert graph.hash == hash_before
    check(graph)


def test_stale_derivations_are_told_by_their_results(graph: fb.Graph, space: dict[str, Any]) -> None:
    run_cell(NET, space, name="net", graph=graph)
    run_cell("dW, = fb.gradients(h, [W])", space, name="grad", graph=graph)
    commit, _ = run_cell(NET.replace("fb.tanh(x @ W)", "x"), space, name="net", graph=graph)
    assert commit.derived == []
    (line,) = notices(graph, commit, [])
    assert line.startswith("stale: dW of cell grad: gradients could not follow an edit: 'h' is gone")
