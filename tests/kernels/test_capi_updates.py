"""Variables of sessions in C++ stay where they are: only when a run has succeeded, and nobody else has their values."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.graph import container
from tests.kernels import capi
from tests.kernels.test_capi import Twin

pytest.importorskip("flowbook.native._native", reason="the native library was not built")

F32 = np.float32


@pytest.fixture(scope="module")
def api() -> capi.Api:
    return capi.Api(capi.folder())


def counting(api: capi.Api, shape: tuple[int, ...] = (300, 400)) -> tuple[capi.Graph, int]:
    """Variables a and b, and a node that adds 1 to both."""
    graph = capi.Graph(api)
    a, b = (capi.Node(graph.variable(np.zeros(shape, F32), name)) for name in "ab")
    return graph, graph.group(*[graph.add("assign_add", each, 1.0) for each in (a, b)])


NO_ROOM = """
import resource, sys
import numpy as np
from tests.kernels import capi
graph = capi.Graph(capi.Api(sys.argv[1]))
v = capi.Node(graph.variable(np.zeros(1 << 24, np.float32), "v"))
step = graph.group(graph.add("assign_add", v, 1.0))
new = graph.add("assign_add", v, 2.0)
session = capi.Session(graph)
session.run([step])
(pages, *_) = map(int, open("/proc/self/statm").read().split())
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (40 << 20),) * 2)
for _ in range(5):
    session.run([step])
try:
    session.run([new])  # asked for, so in memory of its own
except capi.Failure as failure:
    assert failure.status == capi.NO_MEMORY, failure
else:
    raise AssertionError("there was room for another value")
session.run([step])
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages of memory as Linux does")
@pytest.mark.skipif("FLOWBOOK_LIBRARY" in os.environ, reason="sanitizers take address space of their own")
def test_a_variable_is_trained_where_there_is_no_room_for_a_second_one(api):
    """64 MiB, of which 40 are left."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", NO_ROOM, capi.folder()]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert found.stdout == "done\n", found.stderr


def test_the_values_that_a_graph_starts_from_stay(api):
    graph, step = counting(api)
    for _ in range(2):
        session = capi.Session(graph)
        assert np.unique(session.get("a")) == 0  # the graph's own array is the session's from now on
        for count in range(1, 4):
            session.run([step])
            assert np.unique(session.get("a")) == count


@pytest.mark.parametrize("values", [True, False])
def test_so_do_those_of_a_file(api, values):
    with fb.Graph().as_default() as python:
        v = fb.Variable(np.arange(5, dtype=F32), name="v")
        fb.group(fb.assign_add(v, 1.0), name="step")
    twin = Twin(api, python, values=values)
    for _ in range(2):
        session = capi.Session(twin.c_graph)
        session.get("v")
        for _ in range(3):
            session.run(["step"])
        np.testing.assert_array_equal(session.get("v"), np.arange(5) + 3)


def test_arrays_that_were_fetched_or_set_stay(api):
    """Their handles are kept, and read when runs have gone by."""
    graph, step = counting(api)
    session = capi.Session(graph)
    value = np.full((300, 400), 5, F32)
    session.set("a", value)
    session.run([step])
    wanted = [graph.find("a"), graph.find("b")]
    handles = (capi.c_void_p * 2)()
    api.call("fb_session_run", session.handle, capi.ints(wanted), 2, None, 0, handles)
    got = api.make("fb_session_get", session.handle, wanted[0])
    for _ in range(3):
        session.run([step])
    assert [float(np.unique(api.array(capi.c_void_p(each)))[0]) for each in handles] == [6, 1]
    assert np.unique(api.array(got)) == 6 and np.unique(value) == 5
    assert np.unique(session.get("a")) == 9


def test_new_values_that_are_asked_for_are_the_callers(api):
    graph = capi.Graph(api)
    v = capi.Node(graph.variable(np.zeros(4, F32), "v"))
    new = graph.add("assign_add", v, 1.0)
    session = capi.Session(graph)
    handles = []
    for _ in range(3):
        handle = (capi.c_void_p * 1)()
        api.call("fb_session_run", session.handle, capi.ints([new]), 1, None, 0, handle)
        handles.append(handle[0])
        session.run([graph.group(new)])
    assert [api.array(capi.c_void_p(each))[0] for each in handles] == [1, 3, 5]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_fails_changes_nothing(api, threads):
    with fb.Graph().as_default() as python:
        v, w = fb.Variable(np.zeros((50, 60), F32), name="v"), fb.Variable(np.ones(3, F32), name="w")
        ids = fb.placeholder((None,), "int64", name="ids")
        picked = fb.sum(fb.gather(fb.constant([1.0, 2.0]), ids))
        fb.group(fb.assign_add(v, 1.0), fb.assign_sub(w, picked), fb.assign(v, v * 2.0), name="step")
    twin = Twin(api, python, threads=threads)
    place = {twin.number(ids): np.array([0, 1])}
    twin.c.run(["step"], place)
    before = twin.c.get("v"), twin.c.get("w")
    for _ in range(3):
        with pytest.raises(capi.Failure, match="index 5 is out of range"):
            twin.c.run(["step"], {twin.number(ids): np.array([0, 5])})
        assert (twin.c.get("v").tobytes(), twin.c.get("w").tobytes()) == tuple(each.tobytes() for each in before)
    twin.c.run(["step"], place)
    assert np.unique(twin.c.get("v")) == 6 and np.unique(twin.c.get("w")) == -5


@pytest.mark.parametrize("threads", [1, 2])
def test_readers_on_other_threads_never_see_half_an_update(api, threads, tmp_path):
    """All elements of two variables are equal at any time: in long runs, which read one of them first and the other
    one last, and in checkpoints."""
    graph, step = counting(api)
    a, b = (capi.Node(graph.find(each)) for each in "ab")
    first = graph.add("subtract", a, 0.5)
    x = capi.Node(graph.placeholder("float32", (400, 400), "x"))
    long = x
    for _ in range(6):
        long = graph.add("matmul", long, x)
    last = graph.add("subtract", graph.add("add", b, graph.add("getitem", long, index=[0, 0])), 0.5)
    session = capi.Session(graph, threads)
    wrong: list[Any] = []

    def fetch() -> None:
        for _ in range(20):
            found = np.unique(session.run([first, last], {x: np.zeros((400, 400), F32)}))
            if len(found) != 1:
                wrong.append(found)

    def save() -> None:
        path = tmp_path / "now.ckpt"
        for _ in range(15):
            api.call("fb_session_save", session.handle, str(path).encode())
            arrays = container.loads(path.read_bytes(), "checkpoint")[1]
            found = np.unique(np.concatenate(list(arrays.values())))
            if len(found) != 1:
                wrong.append(found)

    readers = [threading.Thread(target=each) for each in (fetch, fetch, save)]
    for each in readers:
        each.start()
    count = 0
    while any(each.is_alive() for each in readers):
        session.run([step])
        count += 1
    assert not wrong
    assert np.unique(session.get("a")) == count


def test_writers_on_two_threads_lose_no_update(api):
    graph, step = counting(api, (50, 60))
    session = capi.Session(graph, 2)

    def write() -> None:
        for _ in range(200):
            session.run([step])

    writers = [threading.Thread(target=write) for _ in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert np.unique([session.get("a"), session.get("b")]) == 600


# ------------------------------------------------------------------------------------------------ what is not


def variables(*shapes: tuple[int, ...]) -> list[Any]:
    return [
        fb.Variable(np.arange(np.prod(shape), dtype=F32).reshape(shape) + k, name=f"v{k}")
        for k, shape in enumerate(shapes)
    ]


def test_updates_that_read_what_others_write(api):
    """Each gives what Python's steps give, one after the other."""
    with fb.Graph().as_default() as python:
        a, b, c, d, e = variables((3, 3), (3, 3), (3, 3), (3, 3), (3,))
        turned = fb.matrix_transpose(a)  # reads a before it is written
        x = fb.placeholder((3,), name="x")
        steps = [
            fb.group(fb.assign_add(a, 1.0), fb.assign_sub(b, turned)),
            fb.group(fb.assign_add(c, d), fb.assign_sub(d, c)),
            fb.group(fb.assign_sub(a, fb.matrix_transpose(a) * 0.5)),
            fb.group(fb.assign(b, c), fb.assign(c, b)),
            fb.group(fb.assign_add(e, x), fb.assign_sub(e, x * 0.5)),
        ]
        with fb.control_dependencies([fb.assign_add(e, 1.0)]):
            late = fb.exp(x)
        steps += [late, fb.group(late, fb.assign_add(d, 1.0))]
    twin = Twin(api, python, threads=2)
    for _ in range(2):
        for step in steps:
            twin.check([step], {x: np.ones(3, F32)})
        twin.check(steps, {x: np.ones(3, F32)})
        twin.check([steps[4], e], {e: np.full(3, 7, F32), x: np.ones(3, F32)})  # computed from the feed


def test_updates_in_and_beside_a_cond(api):
    with fb.Graph().as_default() as python:
        a, b = variables((3,), (3,))
        x = fb.placeholder((), name="x")
        new = fb.cond(x > 0, lambda: fb.assign_add(a, x), lambda: a * 2.0)
        step = fb.group(new, fb.assign_add(b, new))
    twin = Twin(api, python)
    for number in (1, -1, 2, 3):
        twin.check([step], {x: F32(number)})


def test_a_first_value_that_is_computed_from_another_variable(api):
    with fb.Graph(seed=1).as_default() as python:
        a = fb.Variable(fb.random.normal((4, 4)), name="a")
        b = fb.Variable(a * 2.0, name="b")
        step = fb.group(fb.assign_sub(a, b), fb.assign_add(b, 1.0))
    twin = Twin(api, python, values=False)
    for _ in range(3):
        twin.check([step])
