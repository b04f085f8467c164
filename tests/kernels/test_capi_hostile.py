"""flowbook.h given what makes no sense: an error with a text, never a crash, a hang or much memory."""

from __future__ import annotations

import ast
import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
import flowbook.native
from flowbook.graph import container
from flowbook.interchange.saved_graph import pack
from tests.kernels import capi

pytest.importorskip("flowbook.native._native")

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def api() -> capi.Api:
    return capi.Api(flowbook.native.path())


@pytest.fixture(scope="module")
def saved() -> tuple[Any, Any]:
    """The document and the arrays of a small graph that trains."""
    with fb.Graph().as_default() as graph:
        x = fb.placeholder(("batch", 4), name="x")
        w = fb.Variable(np.ones((4, 2), np.float32), name="w")
        y = fb.softmax(fb.dropout(x, 0.5) @ w, name="y")
        z = fb.cond(fb.sum(y) > 0, lambda: y * fb.sum(fb.assign_add(w, 1.0)), lambda: fb.dropout(y, 0.5), name="z")
        fb.train.Adam(0.1).minimize(fb.mean(fb.square(z[:, 0])), name="train")
        session = fb.Session()
        session.initialize()
    return pack(graph, session)


# ------------------------------------------------------------------------------------------------ arguments


def test_versions(api):
    assert api.library.fb_version() == 100
    assert api.library.fb_cpu() in (b"v4", b"v3", b"base")
    assert api.library.fb_last_error() is not None


@pytest.mark.parametrize("seed", range(3))
def test_null_everywhere(api, seed):
    """Each function with NULL for every pointer: a status, or nothing."""
    header = Path(flowbook.native.path(), "include", "flowbook.h")
    header = header if header.exists() else HERE.parents[1] / "kernels" / "include" / "flowbook.h"
    names = re.findall(r"^FB_API (?:fb_status|void) (fb_\w+)\(", header.read_text(), re.MULTILINE)
    assert len(names) > 25
    for name in names:
        if name == "fb_graph_real":  # takes a double
            continue
        function = getattr(ctypes.CDLL(os.path.join(flowbook.native.path(), "libflowbook.so")), name)
        if name.endswith("_free"):
            function(None)
            continue
        status = function(*[[None, ctypes.c_int64(0), ctypes.c_int64(1)][seed] if k else None for k in range(9)])
        assert status == capi.BAD_ARGUMENT, name
        assert api.library.fb_last_error(), name


def test_handles_of_another_kind(api):
    graph = capi.Graph(api)
    session = capi.Session(graph)
    with pytest.raises(capi.Failure, match="session is no such handle"):
        api.call("fb_session_save", graph.handle, b"/tmp/never")
    with pytest.raises(capi.Failure, match="graph is no such handle"):
        api.make("fb_graph_size", session.handle, of=ctypes.c_int64)


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "text"),
    [
        ("nothing", 1, {}, "no op that can be added is called 'nothing'"),
        ("add", 1, {}, "it has 1 inputs, add takes 2"),
        ("relu", 1, {"x": 1}, "relu has no attribute 'x'"),
        ("reshape", 1, {}, "attribute 'shape' of reshape is missing"),
        ("reshape", 1, {"shape": [5, -1]}, r"\(2, 3\) cannot take the shape"),
        ("reshape", 1, {"shape": [2**40, 2**40]}, "too many elements"),
        ("broadcast_to", 1, {"shape": [2**30, 2**30, 2, 3]}, "too many elements"),
        ("broadcast_to", 1, {"shape": [-1, 3]}, "is negative"),
        ("transpose", 1, {"axes": [0, 0]}, "names an axis twice"),
        ("transpose", 1, {"axes": "x"}, "no tuple of ints"),
        ("sum", 1, {"axis": 7}, "axis 7 is out of range for rank 2"),
        ("sum", 1, {"keepdims": 5}, "true or false"),
        ("softmax", 1, {"axis": 2**62}, "out of range"),
        ("expand_dims", 1, {"axis": list(range(9))}, "more than 8 axes|out of range"),
        ("getitem", 1, {"index": [9]}, "index 9 is out of range"),
        ("getitem", 1, {"index": [[0, 1, 0]]}, "step of a slice cannot be 0"),
        ("getitem", 1, {"index": [0, 0, 0]}, "3 indices"),
        ("split", 1, {"indices_or_sections": 2**30}, "does not split"),
        ("pad", 1, {"pad_width": [[2**62, 2**62]]}, "too large"),
        ("one_hot", 1, {"depth": 3}, "has to hold integers"),
        ("astype", 1, {"dtype": "float16"}, "not known here"),
        ("matmul", 2, {}, "inner dimensions differ"),
        ("conv2d", 2, {}, "filters are"),
        ("assign", 2, {}, "writes a variable"),
        ("random_uniform", 0, {"shape": [2**62]}, "too many elements"),
        ("random_uniform", 0, {"shape": [2], "low": 3.0}, "low is above high"),
    ],
)
def test_ops_that_make_no_sense(api, op, inputs, attrs, text):
    graph = capi.Graph(api)
    x = capi.Node(graph.constant(np.zeros((2, 3), np.float32)))
    with pytest.raises(capi.Failure, match=text) as failure:
        graph.add(op, *[x] * inputs, **attrs)
    assert failure.value.status in (capi.BAD_ARGUMENT, capi.BAD_GRAPH, capi.UNSUPPORTED)


@pytest.mark.parametrize("text", ["[" * 10**6, '{"axis": 0, "axis": 1}', "{", '"', "NaN", "\x02", '{"a": 1e999}', "[]"])
def test_attributes_that_are_no_object(api, text):
    graph = capi.Graph(api)
    with pytest.raises(capi.Failure, match="attributes"):
        graph.add_raw("sum", [graph.constant(np.zeros(3))], text)


def test_arrays_and_names_that_make_no_sense(api):
    graph = capi.Graph(api)
    make = graph.api.make
    shape = capi.ints([2**40, 2**40])
    for args in (
        (None, 99, 0, None, None),
        (None, 9, 9, capi.ints([1] * 9), b"x"),
        (None, 9, -1, None, b"x"),
        (None, 9, 2, shape, b"x"),
        (None, 9, 1, capi.ints([-1]), b"x"),
        (None, 9, 1, capi.ints([1]), None),
        (b"\xff", 9, 0, None, b"1234"),
        (b"two\nlines", 9, 0, None, b"1234"),
    ):
        with pytest.raises(capi.Failure):
            make("fb_graph_constant", graph.handle, *args, of=ctypes.c_int64)
    graph.constant(np.zeros(1), "c")
    with pytest.raises(capi.Failure, match="'c' is there already"):
        graph.constant(np.zeros(1), "c")
    for tensor in (-1, -7, 10**6, 2**63 - 1, -(2**63), 5):
        with pytest.raises(capi.Failure):
            graph.type(tensor)
        with pytest.raises(capi.Failure):
            capi.Session(graph).run([tensor])


def test_feeds_that_do_not_fit(api):
    graph = capi.Graph(api)
    x = graph.placeholder("float32", (-1, 3), "x", ["n", None])
    z = graph.placeholder("float32", (-1,), "z", ["n"])
    y = graph.add("add", graph.add("sum", capi.Node(x), axis=1), capi.Node(z), name="y")
    session = capi.Session(graph)
    good, short = np.zeros((2, 3), np.float32), np.zeros(2, np.float32)
    for feeds, text in (
        ({}, "placeholder '[xz]': it has no value in this run"),
        ({"x": good}, "placeholder 'z': it has no value"),
        (
            {"x": good.astype("float64"), "z": short},
            r"feed of placeholder 'x' is float64 \(2, 3\), it has to be float32",
        ),
        ({"x": good[:, :2].copy(), "z": short}, r"is float32 \(2, 2\), it has to be float32 \(\?, 3\)"),
        ({"x": good, "z": short[:1]}, "a named dimension is 1"),
    ):
        with pytest.raises(capi.Failure, match=text) as failure:
            session.run([y], feeds)
        assert failure.value.status == capi.BAD_ARGUMENT
    session.run([y], {"x": good, "z": short})


def test_more_memory_than_there_is(api):
    graph = capi.Graph(api)
    x = capi.Node(graph.constant(np.zeros(1, np.float32)))
    y = graph.add("add", graph.add("broadcast_to", x, shape=[2**20, 2**20]), 1.0)
    with pytest.raises(capi.Failure, match="GB of memory") as failure:
        capi.Session(graph).run([y])
    assert failure.value.status == capi.UNSUPPORTED


# ------------------------------------------------------------------------------------------------ files


def test_what_needs_python_is_an_error_of_its_run_only(api):
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((3,), name="x")
        fb.cond(fb.sum(x) > 0, lambda: fb.print(x), lambda: x, name="chosen")
        fb.py_function(lambda a: a, [x], "float32", (3,), name="called")
        fb.astype(x, "float16", name="half")
        fb.print(x, name="shown")
        fb.tanh(x, name="fine")
    document, arrays = pack(graph, None)
    loaded = capi.Graph(api, container.dumps("graph", document, arrays))
    session = capi.Session(loaded)
    feeds = {"x": np.ones(3, np.float32)}
    session.run(["fine"], feeds)
    for name in ("chosen", "called", "half", "shown"):
        with pytest.raises(capi.Failure, match=f"'{name}'") as failure:
            session.run([name], feeds)
        assert failure.value.status == capi.UNSUPPORTED


def test_damaged_containers(api, saved, tmp_path):
    data = container.dumps("graph", *saved)
    for raw, text in (
        (b"", "not a flowbook file"),
        (b"PK\x03\x04" * 20, "not a flowbook file"),
        (data[:30], "ends too early"),
        (data[:-1], "checksum"),
        (data[:8] + b"\x02" + data[9:], "newer flowbook"),
        (container.dumps("trace", {}, {}), "of kind 'trace'"),
        (container.dumps("graph", {}, {}), "'graph' is missing"),
    ):
        with pytest.raises(capi.Failure, match=text) as failure:
            capi.Graph(api, raw)
        assert failure.value.status in (capi.BAD_FILE, capi.BAD_ARGUMENT)
    for path in ("/no/such/file", "/", "/dev/null", "/dev/zero", str(tmp_path)):
        with pytest.raises(capi.Failure) as failure:
            capi.Graph(api, path)
        assert failure.value.status == capi.BAD_FILE


def test_damaged_graphs(api, saved):
    document, arrays = saved
    nodes = {node["name"]: k for k, node in enumerate(document["graph"]["nodes"])}

    def refused(text: str, change: Any) -> None:
        damaged = json.loads(json.dumps(document))
        change(damaged, damaged["graph"]["nodes"])
        with pytest.raises(capi.Failure, match=text) as failure:
            capi.Graph(api, container.dumps("graph", damaged, arrays))
        assert failure.value.status == capi.BAD_FILE

    y, x, w = nodes["y"], nodes["x"], nodes["w"]
    chosen = next(k for k, node in enumerate(document["graph"]["nodes"]) if node["op"] == "where")
    refused("part of a cycle", lambda d, n: n[n[chosen]["inputs"][1][0]]["inputs"].__setitem__(0, [chosen, 0]))
    refused("no such node", lambda d, n: n[y]["inputs"].__setitem__(0, [10**6, 0]))
    refused("no such output", lambda d, n: n[y]["inputs"].__setitem__(0, [0, 7]))
    refused("backward node of itself", lambda d, n: n[y].__setitem__("forward", y))
    refused("is there twice", lambda d, n: n[y].__setitem__("name", "x"))
    refused("axis 5 is out of range", lambda d, n: n[y]["attrs"].__setitem__("axis", 5))
    refused("has no attribute", lambda d, n: n[y]["attrs"].__setitem__("more", 5))
    refused("not what its op gives", lambda d, n: n[y].__setitem__("specs", [["float64", None]]))
    refused("too many elements", lambda d, n: n[x].__setitem__("specs", [["float32", [2**60, 2**60]]]))
    refused("not like the node", lambda d, n: n[w].__setitem__("specs", [["float32", [4, 3]]]))
    refused("not there", lambda d, n: n[w]["attrs"].__setitem__("value", {"array": "none"}))
    refused("table of variables", lambda d, n: d.__setitem__("variables", {"w": "17"}))
    refused("writes what is not a variable", lambda d, n: _first(n, "assign")["inputs"].__setitem__(0, [x, 0]))
    refused("no such cell", lambda d, n: n[y].__setitem__("cell", 3))
    refused("'seed' is missing", lambda d, n: d["graph"].pop("seed"))


def _first(nodes: Any, op: str) -> Any:
    return next(node for node in nodes if node["op"].startswith(op))


def test_long_chains_are_no_deep_recursion(api):
    with fb.Graph().as_default() as graph:
        x = y = fb.placeholder((), name="x")
        for _ in range(20000):
            y = y + 1.0
        v = fb.Variable(1.0, name="first")
        for _ in range(300):
            v = fb.Variable(fb.identity(v))
    document, arrays = pack(graph, None)
    loaded = capi.Graph(api, container.dumps("graph", document, arrays))
    session = capi.Session(loaded)
    assert session.run([y.name], {"x": np.float32(0)})[0] == 20000
    with pytest.raises(capi.Failure, match="too many variables start from one another"):
        session.get(v.name)
    assert x is not None


def _fuzz(saved: tuple[Any, Any], folder: Path, seed: int, count: int) -> None:
    path = folder / "graph.flow"
    path.write_bytes(container.dumps("graph", *saved))
    script = [sys.executable, str(HERE / "capi_fuzz.py"), flowbook.native.path(), str(seed), str(count), str(path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = ast.literal_eval(done.stdout)
    assert seen["op 0"] > count / 10
    assert seen["document 2"] > count / 10


@pytest.mark.parametrize("seed", [1, 2])
def test_mutations(saved, tmp_path, seed):
    _fuzz(saved, tmp_path, seed, 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
def test_many_mutations(saved, tmp_path, seed):
    _fuzz(saved, tmp_path, seed, 3000)
