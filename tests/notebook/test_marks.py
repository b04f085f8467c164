"""``%flow break`` and ``%flow watch``."""

from __future__ import annotations

import flowbook as fb
from tests.notebook.conftest import Notebook

NET = """%%flow --name net --quiet
x = fb.placeholder((2,))
with fb.name_scope("inner"):
    a = x * 2.0
    b = fb.log(a)
c = fb.sum(b)
"""


def test_steppers_to_come_stop_at_what_is_marked(cell: Notebook) -> None:
    cell(NET)
    assert repr(cell("%flow break").result) == "no breakpoints"
    assert repr(cell("%flow break op:log").result) == "breakpoints:\n  op:log"
    cell("d = %flow debug c --feed x=[1,2]")
    assert cell.names["d"].run().op == "log"
    assert cell.names["d"].run() is None


def test_the_stepper_that_is_open_gets_it_too_and_loses_it(cell: Notebook) -> None:
    cell(NET)
    cell("d = %flow debug c --feed x=[1,2]")
    cell("%flow break inner/*")
    d = cell.names["d"]
    assert d.run().name == "inner/a" and len(d.breakpoints) == 1
    assert repr(cell("%flow break inner/* --clear").result) == "no breakpoints"
    assert d.breakpoints == () and d.run() is None


def test_conditions(cell: Notebook) -> None:
    cell(NET)
    cell("limit = 3")
    text = repr(cell("%flow break * --when np.any(value > limit)").result)
    assert text == "breakpoints:\n  *  when np.any(value > limit)"
    cell("d = %flow debug c --feed x=[1,2]")
    assert cell.names["d"].run().name == "inner/a"
    cell("%flow break --clear")
    cell("%flow break * --when inf")
    cell("d = %flow debug c --feed x=[0,2]")
    assert cell.names["d"].run().name == "inner/b"


def test_a_mark_that_concerns_no_node_of_a_run_waits_for_one_that_it_does(cell: Notebook) -> None:
    cell(NET)
    assert cell("%flow break later").ok
    assert cell("d = %flow debug c --feed x=[1,2]").ok
    assert cell.names["d"].breakpoints == ()
    cell("%%flow --name more --quiet\nlater = c * 2.0")
    cell("d = %flow debug later --feed x=[1,2]")
    assert cell.names["d"].run().name == "later"


def test_wrong_marks_say_so(cell: Notebook) -> None:
    cell(NET)
    assert "no breakpoint is set on 'x'" in cell("%flow break x --clear").out
    assert "--when needs a pattern and a condition" in cell("%flow break --when nan").err
    assert "SyntaxError" in cell("%flow break x --when value >").out
    assert "'x' is not watched" in cell("%flow watch x --clear").out
    assert repr(cell("%flow break").result) == "no breakpoints"


def test_watched_values_are_shown_with_each_run(cell: Notebook) -> None:
    cell(NET)
    assert repr(cell("%flow watch inner/*").result) == "watching inner/*"
    assert list(cell("%flow run c --feed x=[1,2]").result) == ["c", "inner/a", "inner/b"]
    assert list(cell("%flow run x --feed x=[1,2]").result) == ["x"]  # only what runs anyway
    assert list(cell("%flow run c --feed b=[1,2]").result) == ["c", "inner/b"]
    assert repr(cell("%flow watch --clear").result) == "watching nothing"
    assert list(cell("%flow run c --feed x=[1,2]").result) == ["c"]


def test_marks_belong_to_a_graph() -> None:
    a, b = fb.Graph(), fb.Graph()
    fb.notebook.breakpoint("x", graph=a)
    assert repr(fb.notebook.breakpoint(graph=b)) == "no breakpoints"
    assert "x" in repr(fb.notebook.breakpoint(graph=a))
