"""``%flow grad``: forward and backward side by side, and nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import GradientError
from flowbook.graph.check import check
from tests.notebook.conftest import Notebook

NET = """%%flow --name net --quiet
x = fb.placeholder((None, 3))
W = fb.Variable(np.ones((3, 2), "float32"))
h = fb.tanh(x @ W)
loss = fb.sum(h)
"""
FEED = "--feed x=np.zeros((1, 3), 'float32')"


def test_values_and_gradients_stand_side_by_side(cell: Notebook) -> None:
    cell(NET)
    ran = cell(f"%flow grad loss W h {FEED}")
    assert ran.ok, ran.err
    title, header, *rows = repr(ran.result).splitlines()
    assert title == "d loss / d W, h"
    assert header.split() == ["forward", "op", "spec", "value", "gradient", "built", "by", "its", "rule"]
    assert [row.split()[:2] for row in rows] == [
        ["W", "variable"],
        ["matmul_1", "matmul"],
        ["h", "tanh"],
        ["loss", "sum"],
    ]
    assert "[[1, 1]]" in rows[2]  # the gradient of a sum
    assert rows[1].endswith("matmul, matrix_transpose")
    assert [list(bundle) for bundle in ran.shown] == [["image/svg+xml"]]


def test_the_graph_the_session_and_undo_are_as_before(cell: Notebook) -> None:
    cell(NET)
    graph, commit = cell.graph, cell.graph.last_commit
    before, names = graph.hash, set(cell.names)
    cell(f"%flow grad loss W {FEED}")
    cell("%flow grad loss W")
    check(graph)
    assert graph.hash == before and graph.last_commit is commit
    assert {name for name in set(cell.names) - names if not name.startswith("_")} == set()
    assert cell("dW, = fb.gradients(loss, [W])").ok


def test_gradients_are_those_of_the_graph(cell: Notebook) -> None:
    cell(NET)
    cell("x_data = np.arange(6, dtype='float32').reshape(2, 3) / 10")
    text = repr(cell("%flow grad loss W --feed x=x_data").result)
    x = np.arange(6, dtype="float32").reshape(2, 3) / 10
    wanted = x.T @ (1 - np.tanh(x @ np.ones((3, 2))) ** 2)
    assert f"{wanted[0, 0]:.4g}" in text and f"{wanted[2, 1]:.4g}" in text


def test_what_has_no_gradient_says_so(cell: Notebook) -> None:
    cell(NET)
    cell("z = fb.placeholder((), name='z')")
    assert "'loss' does not depend on z" in cell("%flow grad loss z").out
    assert "%flow grad Y X" in cell("%flow grad loss").err
    check(cell.graph)


def test_it_works_from_a_script() -> None:
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((), name="x")
        view = fb.notebook.grad(x * 3.0, [x], {x: 2.0})
        assert repr(view).splitlines()[-1].split()[:6] == ["multiply_1", "multiply", "float32", "()", "6", "1"]
        with pytest.raises(GradientError):
            fb.notebook.grad(fb.stop_gradient(x), [x])
    check(graph)
