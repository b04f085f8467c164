"""The magics in a real IPython shell: what a person types and sees."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from IPython.core.error import UsageError

import flowbook as fb
from flowbook.notebook.catalog import COMMANDS
from flowbook.notebook.live.channels import MIME
from tests.notebook.conftest import Notebook, plain

NET = (
    "%%flow --name net\nx = fb.placeholder((None, 3))\nW = fb.Variable(np.ones((3, 2), 'float32'))\nh = fb.tanh(x @ W)"
)
FEED = "--feed x=np.ones((2, 3), 'float32')"


def test_a_cell_shows_its_table_and_picture(cell: Notebook) -> None:
    ran = cell(NET)
    assert ran.ok
    bundle, below = ran.shown
    assert sorted(bundle) == [MIME, "image/svg+xml", "text/plain"]
    assert bundle["text/plain"].splitlines() == [
        "4 nodes",
        "  name      op           dtype    shape   line",
        "  x         placeholder  float32  (?, 3)  2",
        "  W         variable     float32  (3, 2)  3",
        "  matmul_1  matmul       float32  (?, 2)  4",
        "  h         tanh         float32  (?, 2)  4",
    ]
    assert list(below) == ["text/html"]
    assert below["text/html"].startswith("<details><summary>4 nodes</summary><pre>  name      op ")
    assert cell(NET.replace("%%flow", "%%flow --quiet")).shown == []


def test_what_is_shown_below_the_picture_is_escaped(cell: Notebook) -> None:
    _, below = cell("%%flow --name x\nfb.constant(1.0, name='\"><img src=x onerror=alert(1)>')").shown
    assert "<img" not in below["text/html"] and "&lt;img" in below["text/html"]


def test_running_again_replaces_and_says_what_else_changed(cell: Notebook) -> None:
    cell(NET)
    cell("%%flow --name grad\ndW, = fb.gradients(h, [W])")
    cell(f"%flow run h {FEED}")
    bundle, below = cell(NET.replace("ones((3", "zeros((3").replace("tanh", "relu")).shown
    text = bundle["text/plain"]
    notices = [line for line in text.splitlines()[1:] if not line.startswith("  ")]
    assert len(notices) == 2
    assert all(f"<div>{line}</div>" in below["text/html"] for line in notices)  # a notebook hides the text
    assert cell.owned("net") == ["x", "W", "matmul_1", "h"]
    assert "derived again: " in text
    assert "W keeps its value; %flow reset W starts again from the new initial value" in text
    assert cell("%flow run W").result["W"].tolist() == [[1.0, 1.0]] * 3
    cell("%flow reset W")
    assert cell("%flow run W").result["W"].tolist() == [[0.0, 0.0]] * 3


def test_a_failing_cell_fails_and_changes_nothing(cell: Notebook) -> None:
    cell(NET)
    cell("other = 1")
    handle = cell.names["h"]
    ran = cell("%%flow --name net\nother = 2\nh = fb.relu(x)\ny = h @ W @ W")
    assert not ran.ok
    assert ran.shown == []
    assert (cell.names["other"], cell.names["h"]) == (1, handle)
    assert cell.owned("net") == ["x", "W", "matmul_1", "h"]


def test_an_interrupt_is_shown_from_the_cells_line_on(cell: Notebook) -> None:
    ran = cell("%%flow --name net\na = 1\nraise KeyboardInterrupt")
    assert isinstance(ran.error, KeyboardInterrupt)
    assert "raise KeyboardInterrupt" in ran.out and "flowbook/" not in ran.out


def test_a_cell_that_fails_under_a_new_name_changes_nothing(cell: Notebook) -> None:
    cell("%%flow\na = fb.constant(1.0)", cell_id="one")
    commit = cell.graph.last_commit
    assert not cell("%%flow --name named\na = fb.constant(1.0)\n1 / 0", cell_id="one").ok
    assert cell.graph.last_commit is commit and cell.owned("one") == ["a"]
    assert cell("%flow undo").ok and len(cell.graph) == 0


def test_undo_and_diff(cell: Notebook) -> None:
    cell(NET)
    cell(NET.replace("tanh", "relu") + "\nextra = h * 2.0")
    assert str(cell("%flow diff").result) == "the last commit, of cell net:\n  added    extra\n  changed  h"
    assert str(cell("%flow undo").result).startswith("undone: what cell net changed")
    assert cell.owned("net") == ["x", "W", "matmul_1", "h"]
    assert cell.graph["h"].node.op == "tanh"
    assert "was undone" in str(cell("%flow diff").result)
    ran = cell("%flow undo")
    assert isinstance(ran.error, fb.errors.GraphError)


def test_names_without_a_name_come_from_the_front_end_or_the_source(cell: Notebook) -> None:
    source = "%%flow\na = fb.constant(1.0)"
    cell(source, cell_id="c0ffee00-1111-2222-3333-444444444444")
    cell(source.replace("1.0", "2.0"), cell_id="c0ffee00-1111-2222-3333-444444444444")
    assert [owner.name for owner in cell.graph.owners] == ["c0ffee00"]
    cell("%%flow\nb = fb.constant(1.0)")
    cell("%%flow\nb = fb.constant(1.0)")
    assert len(cell.graph.owners) == 2


def test_naming_a_cell_later_moves_its_nodes(cell: Notebook) -> None:
    cell("%%flow\nw = fb.Variable(0.0)", cell_id="one")
    assert not cell("%%flow --name named\nw = fb.Variable(0.0)\n1 / 0", cell_id="one").ok
    assert [owner.name for owner in cell.graph.owners] == ["one"]
    assert cell("%%flow --name named\nw = fb.Variable(0.0)", cell_id="one").ok
    assert [owner.name for owner in cell.graph.owners] == ["named"]


def test_other_graphs(cell: Notebook) -> None:
    cell("g = fb.Graph()")
    cell("%%flow --graph g --name there\nk = fb.constant(3.0)")
    assert len(cell.graph) == 0 and len(cell.names["g"]) == 1
    assert cell("%flow run k").result["k"] == 3.0
    ran = cell("%%flow --graph nope\n1")
    assert isinstance(ran.error, fb.errors.ArgumentError)


def test_lines_count_as_the_person_sees_them(cell: Notebook) -> None:
    cell("\n\n%%flow --name spaced\n\n\na = fb.constant(1.0)\n# about b\nb = a * 2.0")
    lines = {node.name: node.origin.line for node in cell.graph.nodes if node.origin}
    assert lines == {"a": 6, "b": 8}
    assert cell.graph["b"].node.origin.code == "b = a * 2.0"


def test_ipython_syntax_works_in_a_cell(cell: Notebook) -> None:
    ran = cell("%%flow --name mixed\na = fb.constant(2.0)\nseen = %flow run a\n%flow run a")
    assert ran.ok
    assert cell.names["seen"]["a"] == 2.0
    assert repr(ran.result) == "a  float32 ()  2"


# ------------------------------------------------------------------------------------------------ errors

ERRORS = {
    "shape": "%%flow --name bad\n\ny = h @ W",
    "own error": "%%flow --name bad\ny = h + 1\nz = missing",
    "syntax": "%%flow --name bad\ny = h +",
    "helper": "%%flow --name bad\ndef f(t):\n    return t @ W\ny = f(h)",
    "unfed": "%flow run h",
    "feed shape": "%flow run h --feed x=np.ones((2, 4), 'float32')",
    "feed expression": "%flow run h --feed x=missing",
    "fetch": "%flow run hh",
    "not a fetch": "%flow run W.shape",
    "host function": "%%flow --name bad\ny = fb.py_function(lambda v: v / nothing, [h], 'float32', name='host')\n"
    "fb.notebook.session().run(y, {x: np.ones((1, 3), 'float32')})",
    "two owners": "%%flow --name bad\nW = fb.Variable(1.0)",
    "option": "%%flow --nmae bad\n1",
    "value of an option": "%%flow --name\n1",
    "subcommand": "%flow rum h",
    "nothing to run": "%flow run",
    "steps": "%flow run h --steps many",
}


def test_error_texts(cell: Notebook) -> None:
    """Every text, as `test_magics.golden` has it. To accept a change, delete the file and run the test twice."""
    cell(NET)
    parts = []
    for name, source in ERRORS.items():
        ran = cell(source)
        assert not ran.ok, name
        text = (ran.out + ran.err).rstrip()
        assert "flowbook/" not in text and "site-packages" not in text, f"{name} shows our code:\n{text}"
        parts.append(f"#### {name}\n{source}\n----\n{text}\n")
    found = "\n".join(parts)
    golden = Path(__file__).with_name("test_magics.golden")
    if not golden.exists():
        golden.write_text(found, encoding="utf-8")
        pytest.fail(f"wrote {golden.name}; read it, then run again")
    assert found == golden.read_text(encoding="utf-8")


def test_the_whole_traceback_on_request(cell: Notebook) -> None:
    cell(NET)
    assert "opdef.py" not in cell("%%flow --name bad\ny = h @ W").out
    assert "opdef.py" in cell("%tb").out
    assert "opdef.py" in cell("%%flow --name bad --traceback\ny = h @ W").out


def test_errors_of_plain_cells_are_brief_too(cell: Notebook) -> None:
    cell(NET)
    ran = cell("fb.notebook.session().run(h)")
    assert ran.out.startswith("FeedError: placeholder 'x' has no value in this run\n")


@pytest.mark.parametrize("line", ["%%flow --wrong\n1", "%flow wrong", "%flow run h --wrong", "%flow vars --feed x=1"])
def test_a_wrong_option_lists_the_options(cell: Notebook, line: str) -> None:
    ran = cell(line)
    assert isinstance(ran.error, UsageError)
    assert "Traceback" not in ran.out + ran.err
    assert "--" in ran.err and "%" in ran.err


def test_help_names_every_subcommand(cell: Notebook) -> None:
    text = str(cell("%flow help").result)
    assert all(command.usage in text for command in COMMANDS.values())
    assert "--steps N" in str(cell("%flow help run").result)


# ------------------------------------------------------------------------------------------------ %flow


def test_run_shows_values(cell: Notebook) -> None:
    cell(NET)
    ran = cell(f"%flow run h W {FEED}")
    assert repr(ran.result).splitlines() == [
        "h  float32 (2, 2)  [[0.9951, 0.9951]",
        "                    [0.9951, 0.9951]]",
        "W  float32 (3, 2)  [[1, 1]",
        "                    [1, 1]",
        "                    [1, 1]]",
    ]
    assert cell("_['W'].shape").result == (3, 2)


def test_fetches_are_the_users_names_then_the_graphs_then_expressions(cell: Notebook) -> None:
    cell("%%flow --name a\nt = fb.constant(1.0, name='in_graph')\npair = [t, t * 2.0]\nshadow = fb.constant(5.0)")
    cell("shadow = 'not a tensor'")
    assert cell("%flow run t in_graph").result == {"t": 1.0, "in_graph": 1.0}
    assert cell("%flow run pair").result["pair"] == [1.0, 2.0]
    assert cell("%flow run pair[1]").result["pair[1]"] == 2.0
    assert cell("%flow run shadow").result["shadow"] == 5.0


def test_structures_show_their_parts(cell: Notebook) -> None:
    cell("%%flow --name a\na = fb.constant(1.0)\nd = {'one': a, 'more': [fb.constant([1.0, 2.0]), a]}")
    assert repr(cell("%flow run d").result).splitlines() == [
        "d['one']      float32 ()    1",
        "d['more'][0]  float32 (2,)  [1, 2]",
        "d['more'][1]  float32 ()    1",
    ]
    cell("many = [a] * 100")
    assert repr(cell("%flow run many").result).splitlines()[-1] == "… and 20 more"


def test_an_expression_that_fails_shows_its_own_error(cell: Notebook) -> None:
    cell("%%flow --name a\nx = fb.placeholder(())\ny = x * 2.0\ndef broken():\n    return 1 / 0")
    ran = cell("%flow run broken()")
    assert isinstance(ran.error, ZeroDivisionError) and "flowbook/" not in ran.out
    ran = cell("%flow run y --feed x,y=3")
    assert isinstance(ran.error, fb.errors.ArgumentError)


def test_feeds_are_evaluated_at_each_step(cell: Notebook) -> None:
    cell(
        "%%flow --name c\nv = fb.placeholder(())\nw = fb.placeholder(())\ntotal = fb.Variable(0.0)\n"
        "up = fb.assign_add(total, v * w)"
    )
    cell("numbers = iter(range(100))")
    ran = cell("%flow run up --feed v=next(numbers) + 0.0 w=2.0 --steps 4")
    assert ran.result.history == {"up": [0.0, 2.0, 6.0, 12.0]}
    assert repr(ran.result) == "up  float32 ()  ▁▂▅█  0 to 12"
    cell("pairs = iter([(1.0, 10.0), (2.0, 10.0)])")
    assert cell("%flow run up --feed v,w=next(pairs) --steps 2").result["up"] == 42.0
    assert isinstance(cell("%flow run up --feed v,w=(1, 2, 3)").error, fb.errors.ArgumentError)


def test_progress_ends_the_same_however_long_it_took(cell: Notebook) -> None:
    cell("%%flow --name c\nn = fb.Variable(0)\nup = fb.assign_add(n, 1)")
    ran = cell("done = %flow run up --steps 200")
    assert ran.out.split("\r")[-1] == "█" * 30 + " 200 of 200 steps\n"
    assert {len(part) for part in ran.out.rstrip("\n").split("\r")[1:]} == {47}
    assert cell("done = %flow run up --steps 3").out == ""


def test_interrupting_stops_between_steps(cell: Notebook) -> None:
    cell("import signal")
    cell(
        "%%flow --name c\nn = fb.Variable(0)\n"
        "def at_seven(value):\n    if value == 7:\n        signal.raise_signal(signal.SIGINT)\n    return value\n"
        "with fb.control_dependencies([fb.py_function(at_seven, [n + 0], 'int64', shapes=())]):\n"
        "    up = fb.assign_add(n, 1)"
    )
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ran = cell("%flow run up --steps 20")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert ran.ok
    assert ran.result.steps == 7
    assert "interrupted: 7 of 20 steps ran" in repr(ran.result)
    assert fb.notebook.session().run("n") == 7


def test_trace_records_the_last_step(cell: Notebook) -> None:
    cell(NET)
    cell(f"%flow run h {FEED} --steps 2 --trace")
    assert [row.node for row in fb.notebook.session().trace.timings()] == ["matmul_1", "h"]


def test_debug_gives_a_stepper(cell: Notebook) -> None:
    cell(NET)
    ran = cell(f"d = %flow debug h {FEED}")
    assert ran.out.splitlines()[0].split() == [">", "1", "matmul_1", "matmul", "float32", "(2,", "2)"]
    stepper = cell.names["d"]
    assert [stepper.step().name, stepper.step().name, stepper.step()] == ["matmul_1", "h", None]
    assert stepper.session is fb.notebook.session()
    np.testing.assert_array_equal(stepper.value("h"), stepper.finish())


def test_vars_and_devices(cell: Notebook) -> None:
    assert str(cell("%flow vars").result) == "there are no variables"
    cell(NET)
    assert str(cell("%flow vars").result).splitlines()[1].split("  ")[-1] == "not used yet"
    cell("%flow run W")
    assert "[[1, 1]" in str(cell("%flow vars").result)
    assert str(cell("%flow devices").result).startswith("cpu:0  usable")


def test_one_session_for_each_graph(cell: Notebook) -> None:
    session = fb.notebook.session()
    assert fb.notebook.session() is session is not fb.notebook.session(fb.Graph())
    session.close()
    assert fb.notebook.session() is not session


def test_unloading_leaves_ipython_as_it_was(cell: Notebook) -> None:
    cell("%unload_ext flowbook")
    assert "UsageError" in cell("%flow help").err
    assert "Traceback" in cell("raise fb.errors.FlowError('plain')").out
    cell("%load_ext flowbook")
    assert plain(cell("raise fb.errors.FlowError('brief')").out).strip() == "FlowError: brief"
