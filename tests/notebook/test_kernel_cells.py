"""What is promised of nodes, handles and cells, in a real kernel, with the metadata that JupyterLab sends."""

from __future__ import annotations

from typing import Any

import pytest

from flowbook.notebook.cells import identity
from tests.notebook.kernels import NODES, Kernel

ONE, TWO, THREE = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "123")
CELLS = "print({each.name: [*each.nodes] for each in fb.get_default_graph().owners})"
NET = "%%flow --name net\nx = fb.placeholder((3,))\nw = fb.Variable(np.ones(3, 'float32'))\ny = fb.sum(x * w)"
FEED = "--feed x=np.full(3, 2.0, 'float32')"


def value(ran: dict[str, Any]) -> str:
    """What ``%flow run`` showed, without the names."""
    assert ran["status"] == "ok", ran
    return str(ran["data"][-1]["text/plain"].split()[-1])


def error(ran: dict[str, Any]) -> str:
    """The first line of what a cell that failed said."""
    assert ran["status"] == "error", ran
    return f"{ran['error']['ename']}: {ran['error']['evalue']}".split("\n")[0]


def test_a_cell_is_its_name_else_its_id_else_its_source(kernel: Kernel) -> None:
    source = "%%flow\nc = fb.constant(3.0)"
    kernel("%%flow --name net\na = fb.constant(1.0)", ONE)
    kernel("%%flow\nb = fb.constant(2.0)", TWO)
    kernel(source)
    third, fourth = (identity(f"c = fb.constant({each})") for each in (3.0, 4.0))
    assert kernel(CELLS)["text"] == f"{{'net': ['a'], '22222222': ['b'], '{third}': ['c']}}\n"
    kernel(source.replace("3.0", "4.0"))
    message = error(kernel("fb.notebook.session().run('c')"))  # another source is another cell
    assert message == f"FetchError: 'c' is in several cells: cell {third} (constant), cell {fourth} (constant)"


def test_a_cell_keeps_its_place_under_any_name(kernel: Kernel) -> None:
    kernel("%%flow\na = fb.constant(1.0)", ONE)
    kernel("%%flow\nb = a * 2.0", TWO)
    for magic, name in (("%%flow --name net", "net"), ("%%flow --name model", "model"), ("%%flow", "11111111")):
        kernel(f"{magic}\na = fb.constant(3.0)", ONE)
        assert kernel(CELLS)["text"] == f"{{'{name}': ['a'], '22222222': ['b']}}\n"
        assert value(kernel("%flow run b")) == "6"


def test_deleted_cells_drop_their_nodes_and_their_readers_say_so(kernel: Kernel) -> None:
    kernel(NET, ONE)
    kernel("%%flow --name use\nz = y + 1.0", TWO)
    assert kernel(CELLS, THREE, deleted=[ONE])["text"] == "{'use': ['z']}\n"
    message = error(kernel("%flow run z"))
    assert message == "GraphError: 'z' of cell use is stale: its input 'y' is gone: cell net no longer defines it"
    message = error(kernel("k = y + 1.0"))
    assert message == "GraphError: 'y' is gone: cell net no longer defines it"
    assert error(kernel("%flow undo", THREE)) == "GraphError: there is no commit to undo"
    kernel(NET, ONE)
    assert value(kernel(f"%flow run z {FEED}")) == "7"


@pytest.mark.parametrize("fault", ["1 / 0", "z = fb.reshape(y, (2,))", "z = = 1", "z = no_such_name"])
def test_a_cell_that_fails_changes_neither_graph_nor_bindings(kernel: Kernel, fault: str) -> None:
    kernel(NET, ONE)
    kernel("before, count = fb.get_default_graph().hash, 1")
    ran = kernel(f"%%flow --name net\nx = fb.placeholder((4,))\ncount = 2\nfresh = fb.tanh(x)\n{fault}", ONE)
    assert ran["status"] == "error"
    same = "print(fb.get_default_graph().hash == before, x.shape, count, 'fresh' in globals())"
    assert kernel(same)["text"] == "True (3,) 1 False\n"
    kernel(f"x, count = fb.placeholder((4,), name='fresh'), 2\n{fault}", TWO)
    count = 1 if "= =" in fault else 2  # what a plain cell bound to other things than nodes stays
    assert kernel(same)["text"] == f"True (3,) {count} False\n"


def test_a_run_inside_a_cell_sees_its_draft(kernel: Kernel) -> None:
    kernel("%%flow --name one\na = fb.constant(1.0)", ONE)
    kernel("%%flow --name one\na = fb.constant(2.0)\nb = a * 3.0\nseen = float(fb.Session().run(b))", ONE)
    assert kernel("print(seen)")["text"] == "6.0\n"
    kernel("p = fb.constant(5.0, name='p')\nseen = float(fb.Session().run(p * 2.0))", TWO)
    assert kernel("print(seen)")["text"] == "10.0\n"


def test_undo_takes_back_the_last_cell_and_is_followed(kernel: Kernel) -> None:
    kernel(NET, ONE)
    kernel("%%flow\ndw, = fb.gradients(y, [w])", TWO)
    kernel(NET.replace("x * w", "x * w * w"), ONE)
    assert value(kernel(f"%flow run dw {FEED}")) == "4]"
    assert kernel("%flow undo", THREE)["status"] == "ok"
    assert value(kernel(f"%flow run dw {FEED}")) == "2]"
    assert error(kernel("%flow undo", THREE)) == "GraphError: there is no commit to undo"


def test_what_does_not_fit_any_more_is_stale_until_it_does(kernel: Kernel) -> None:
    kernel(NET, ONE)
    kernel("%%flow --name use\nz = x + np.ones(3, 'float32')", TWO)
    ran = kernel(NET.replace("placeholder((3,)", "placeholder((4,)").replace("ones(3", "ones(4"), ONE)
    assert ran["status"] == "ok" and "stale: z of cell use" in str(ran["data"])
    message = error(kernel("%flow run z --feed x=np.ones(4, 'float32')"))
    assert message.startswith("GraphError: 'z' of cell use is stale: its input 'x' of cell net was float32 (3,)")
    kernel(NET, ONE)
    assert kernel(f"%flow run z {FEED}")["status"] == "ok"


def test_a_cycle_across_cells_is_refused_naming_them(kernel: Kernel) -> None:
    kernel("%%flow --name one\na = fb.constant(1.0)", ONE)
    kernel("%%flow --name two\nb = a + 1.0", TWO)
    message = error(kernel("%%flow --name one\na = b + 1.0", ONE))
    assert message == "GraphError: these nodes form a cycle: b (cell two) → a (cell one) → b"
    assert value(kernel("%flow run b")) == "2"


def test_variables_are_unique_and_other_names_are_listed(kernel: Kernel) -> None:
    kernel("%%flow --name one\nw = fb.Variable(1.0)\ny = w * 2.0", ONE)
    message = error(kernel("%%flow --name two\nw = fb.Variable(2.0)", TWO))
    assert message == "GraphError: Variable 'w' is defined already, in cell one; cell two defines it again"
    kernel("%%flow --name two\ny = fb.constant(3.0)", TWO)
    message = error(kernel("fb.notebook.session().run('y')"))
    assert message == "FetchError: 'y' is in several cells: cell one (multiply), cell two (constant)"
    assert value(kernel("%flow run y")) == "3"  # the user's own name


def test_derivations_follow_an_edited_forward_cell(kernel: Kernel) -> None:
    kernel("%%flow\nw = fb.Variable(2.0)\nloss = fb.square(w)", ONE)
    kernel("%%flow\ndw, = fb.gradients(loss, [w])\ntrain = fb.train.SGD(1.0).minimize(loss)", TWO)
    kernel("%%flow\nw = fb.Variable(2.0)\nloss = w * w * w", ONE)
    assert value(kernel("%flow run dw")) == "12"
    kernel("%flow run train")
    assert value(kernel("%flow run w")) == "-10"


def test_variables_keep_their_value_and_it_is_said(kernel: Kernel) -> None:
    kernel("%%flow\nw = fb.Variable(1.0)\nup = fb.assign_add(w, 1.0)", ONE)
    kernel("%flow run up")
    ran = kernel("%%flow\nw = fb.Variable(7.0)\nup = fb.assign_add(w, 1.0)", ONE)
    assert "w keeps its value; %flow reset w starts again from the new initial value" in str(ran["data"])
    assert value(kernel("%flow run w")) == "2"
    kernel("%%flow\nup = fb.constant(0.0)", ONE)  # without w, whose value is parked
    kernel("%%flow\nw = fb.Variable(7.0)", ONE)
    assert value(kernel("%flow run w")) == "2"
    kernel("%%flow --name other\nw_too = fb.constant(0.0, name='w')", TWO)
    assert kernel("%flow reset w")["status"] == "ok"
    assert value(kernel("%flow run w")) == "7"


def test_handles_outlast_edits(kernel: Kernel) -> None:
    kernel(NET, ONE)
    kernel("held = [y, x]")
    kernel(NET.replace("fb.sum", "fb.max"), ONE)
    assert kernel("print(held[0] is y, y.node.op)")["text"] == "True max\n"
    kernel("%%flow --name net\nx = fb.placeholder((3,))", ONE)
    message = error(kernel("print(held[0].node.op)"))
    assert message == "GraphError: 'y' is gone: cell net no longer defines it"
    assert kernel(NODES)["text"] == "['x']\n"
