"""What the cells of a front end own, when their names, the graph, or they themselves come and go."""

from __future__ import annotations

import flowbook as fb
from flowbook.graph.check import check
from tests.notebook.conftest import Notebook

NET = "%%flow --name {}\nw = fb.Variable(1.0)\ny = w * 2.0"


def cells(cell: Notebook) -> dict[str, list[str]]:
    check(cell.graph)
    return {owner.name: [node.name for node in cell.graph.owned(owner.name)] for owner in cell.graph.owners}


def test_a_deleted_cell_takes_what_an_undo_brought_back_with_it(cell: Notebook) -> None:
    cell(NET.format("net"), "one")
    cell(NET.format("model"), "one")
    cell("%flow undo", "two")
    assert cells(cell) == {"net": ["w", "y"]}
    cell("pass", "two", deleted=["one"])
    assert cells(cell) == {}


def test_a_cell_that_is_named_again_after_an_undo_keeps_its_place(cell: Notebook) -> None:
    cell(NET.format("net"), "one")
    cell("%%flow --name use\nz = y + 1.0", "two")
    cell(NET.format("model"), "one")
    cell("%flow undo", "three")
    assert cell(NET.format("model"), "one").ok
    assert [*cells(cell)] == ["model", "use"] and not cell.names["z"].node.stale


def test_a_cell_takes_back_what_it_lost_when_it_was_empty(cell: Notebook) -> None:
    cell(NET.format("net"), "one")
    cell("%%flow --name use\nz = y + 1.0", "two")
    cell("# nothing", "one")
    assert cells(cell) == {"use": ["z"]} and cell.names["z"].node.stale
    cell("%flow undo", "three")
    assert [*cells(cell)] == ["net", "use"]
    cell("# nothing", "one")
    cell(NET.format("model"), "one")
    assert [*cells(cell)] == ["model", "use"] and not cell.names["z"].node.stale


def test_deleting_a_cell_is_not_taken_back(cell: Notebook) -> None:
    cell(NET.format("net"), "one")
    ran = cell("%flow undo", "two", deleted=["one"])
    assert isinstance(ran.error, fb.errors.GraphError) and "no commit to undo" in ran.out
    assert cells(cell) == {}


def test_undo_does_not_bring_back_what_a_deleted_cell_had(cell: Notebook) -> None:
    cell("%%flow --name net\ny = fb.constant(1.0)", "one")
    cell("%%flow --name use\nz = fb.constant(2.0)", "two")
    cell("%%flow --name net\nz = fb.constant(3.0)", "two")  # takes over
    cell("pass", "three", deleted=["one"])
    assert cell("%flow undo", "three").ok
    assert cells(cell) == {"use": ["z"]}


def test_a_name_belongs_to_the_cell_that_ran_last(cell: Notebook) -> None:
    cell(NET.format("net"), "one")
    cell("%%flow --name net\nw = fb.Variable(2.0)", "two")
    cell("pass", "three", deleted=["one"])
    assert cells(cell) == {"net": ["w"]}
    cell(NET.format("net"), "four")
    cell("pass", "three", deleted=["two"])
    assert cells(cell) == {"net": ["w", "y"]}
    cell("pass", "three", deleted=["four"])
    assert cells(cell) == {}


def test_a_new_name_alone_is_a_change_that_is_taken_back(cell: Notebook) -> None:
    cell("%%flow --name net\ny = fb.constant(1.0)", "one")
    cell("%%flow --name use\nz = y + 1.0", "two")
    cell("y = fb.constant(1.0, name='y')", "one")
    assert [*cells(cell)] == ["one", "use"]
    cell("%flow undo", "three")
    assert [*cells(cell)] == ["net", "use"]


def test_a_name_that_was_taken_over_with_a_variable_is_given_back(cell: Notebook) -> None:
    cell("%%flow --name one\nw = fb.Variable(1.0)", "one")
    cell("%%flow --name two\ny = w * 2.0", "two")
    before = cells(cell)
    assert cell("%%flow --name two\nw = fb.Variable(1.0)", "one").ok
    assert cells(cell) == {"two": ["w"]}
    assert cell("%flow undo", "three").ok
    assert cells(cell) == before


def test_what_was_gone_stays_gone_when_a_derivation_is_built_again(cell: Notebook) -> None:
    cell("%%flow --name net\nw = fb.Variable(2.0)\ny = fb.square(w)", "one")
    cell("dw, = fb.gradients(y, [w])", "two")  # a plain cell, so it is called gradients/w
    cell("%%flow --name use\nz = dw * 1.0", "three")
    cell("%%flow\ndw, = fb.gradients(y, [w])", "two")
    assert cell.names["z"].node.stale
    cell("%%flow --name net\nw = fb.Variable(2.0)\ny = fb.exp(w)", "one")
    check(cell.graph)
    assert cell.names["z"].node.stale and cell.names["z"].node.inputs[0] is not cell.names["dw"]
    cell("%flow undo", "four")
    check(cell.graph)
    assert "is gone" in cell.names["z"].node.stale
