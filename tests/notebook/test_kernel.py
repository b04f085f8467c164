"""The magics in a real kernel, as a front end and as `nbclient` use it."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebook.kernels import NODES, SETUP, Kernel

WIDGET = "application/vnd.jupyter.widget-view+json"


def test_a_front_ends_cells_own_nodes(kernel: Kernel) -> None:
    kernel("%%flow\na = fb.constant(1.0)", "id-1")
    kernel("%%flow\nb = a * 2.0", "id-2")
    kernel("%%flow\na = fb.constant(5.0)\nc = a + 1.0", "id-1")
    assert kernel(NODES)["text"] == "['a', 'c', 'b']\n"
    assert kernel("%flow run b")["data"][0]["text/plain"] == "b  float32 ()  10"


def test_deleted_cells_drop_their_nodes(kernel: Kernel) -> None:
    kernel("%%flow\na = fb.constant(1.0)", "id-1")
    kernel("%%flow --name named\nb = a * 2.0", "id-2")
    assert kernel(NODES, deleted=["id-1", "unknown"])["text"] == "['b']\n"
    ran = kernel("%flow run b")
    assert ran["status"] == "error"
    assert ran["error"]["ename"] == "GraphError"
    assert kernel(NODES, deleted=["id-2"])["text"] == "[]\n"


def test_a_failing_cell_is_an_error_with_its_own_line(kernel: Kernel) -> None:
    kernel("%%flow --name net\nx = fb.placeholder((2, 3))")
    ran = kernel("%%flow --name bad\n\ny = x @ x")
    assert (ran["status"], ran["error"]["ename"]) == ("error", "ShapeError")
    text = "\n".join(ran["error"]["traceback"])
    assert "line 3:  y = x @ x" in text and "ipykernel" not in text and "opdef" not in text
    assert kernel(NODES)["text"] == "['x']\n"
    assert kernel("%flow wrong")["status"] == "error"


def test_nbclient_stops_at_a_failing_cell() -> None:
    cells = [SETUP, "%%flow --name one\na = fb.constant(1.0)", "%%flow --name two\nb = a @ a", "never = 1"]
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    with pytest.raises(CellExecutionError, match="matmul"):
        NotebookClient(notebook, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
    assert [len(cell.outputs) for cell in notebook.cells] == [0, 2, 1, 0]  # picture and table; the error


def test_two_executions_give_the_same_outputs() -> None:
    cells = [
        SETUP,
        "%%flow\nx = fb.placeholder((None, 3))\nW = fb.Variable(np.ones((3, 2), 'float32'))",
        "%%flow\nh = fb.sum(fb.tanh(x @ W))",
        "%%flow\ntrain = fb.train.SGD(0.1).minimize(h)",
        "%flow run train h --feed x=np.ones((2, 3), 'float32') --steps 100",
        "d = %flow debug h --feed x=np.ones((2, 3), 'float32')",
        "%flow vars",
    ]

    def execute() -> list[Any]:
        notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
        NotebookClient(notebook, kernel_name="python3", extra_arguments=["--log-level=ERROR"]).execute()
        found: list[Any] = []
        for cell in notebook.cells:
            data = [
                {kind: value for kind, value in each.data.items() if kind != WIDGET}  # its id is new each time
                for each in cell.outputs
                if "data" in each
            ]
            text = "".join(each.text for each in cell.outputs if each.output_type == "stream").split("\r")[-1]
            found.append((data, text))
        return found

    first, second = execute(), execute()
    assert first == second
    assert "image/svg+xml" in first[1][0][0]
    assert nbformat.from_dict(first[4][0][0])["text/plain"].startswith("train  no value")


def test_plain_cells_own_nodes_too(kernel: Kernel) -> None:
    kernel("a = fb.constant(1.0, name='a')", "id-1")
    kernel("b = fb.add(a, 1.0, name='b')", "id-2")
    kernel("a = fb.constant(5.0, name='a')", "id-1")
    assert kernel(NODES)["text"] == "['a', 'b']\n"
    found = kernel("a = fb.add(b, 1.0, name='a')", "id-1")
    assert found["status"] == "error"
    assert found["error"]["evalue"] == "these nodes form a cycle: b (cell id-2) → a (cell id-1) → b"
    assert kernel("%flow run b")["data"][0]["text/plain"] == "b  float32 ()  6"
    found = kernel(NODES, deleted=["id-2"])
    assert found["text"] == "['a']\n"
