"""The native executor: views, memory, results, host steps, errors, threads, and many runs at once."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import RunError
from flowbook.runtime.engine import engine_of

library = pytest.importorskip("flowbook.native._native", reason="the native library was not built")


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


def engine(session: fb.Session, fetches: list[Any], feeds: dict[Any, Any]) -> Any:
    found = engine_of(session.plan(fetches, {tensor: np.asarray(value) for tensor, value in feeds.items()}))
    assert found is not None
    return found


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ------------------------------------------------------------------------------------------------ views


def test_layout_ops_are_views_and_cost_nothing(graph):
    x = fb.placeholder((4, 6), name="x")
    parts = fb.split(fb.transpose(fb.expand_dims(x * 1.0, 0)), 2)
    y = fb.tanh(fb.squeeze(parts[1], -1)[::-1, 1:3])
    feed = {x: normal(4, 6)}
    session = fb.Session()
    found = engine(session, [y], feed)
    assert found.native.summary() | {"cost": 0, "critical": 0} == {
        "kernels": 2, "host": 0, "views": 5, "arena_bytes": 128, "cost": 0, "critical": 0, "parallel": False,
    }  # fmt: skip
    wanted = np.tanh(np.split(feed[x][None].T, 2)[1][..., 0][::-1, 1:3])
    np.testing.assert_allclose(session.run(y, feed), wanted, rtol=1e-6)


def test_a_fetched_view_is_an_array_of_its_own(graph):
    x = fb.placeholder((3, 4), name="x")
    y = x * 2.0
    t = fb.transpose(y)
    a, b, c = fb.Session().run([y, t, fb.identity(x)], {x: (feed := normal(3, 4))})
    assert b.flags.c_contiguous and b.flags.owndata and not np.shares_memory(a, b) and not np.shares_memory(c, feed)
    np.testing.assert_array_equal(a.T, b)


def test_a_reshape_of_a_transpose_moves_data(graph):
    x = fb.placeholder((3, 4), name="x")
    y = fb.reshape(fb.transpose(x * 1.0), (2, 6)) + 0.0
    np.testing.assert_array_equal(fb.Session().run(y, {x: (a := normal(3, 4))}), a.T.reshape(2, 6))


@pytest.mark.parametrize("feed", [normal(6, 4).T, normal(8, 6)[::2], normal(4, 6).astype(">f4"), normal(4, 6).tolist()])
def test_feeds_of_any_layout(graph, feed):
    x = fb.placeholder((4, 6), name="x")
    call = fb.Session().make_callable(x + 1.0, [x])
    for _ in range(3):
        np.testing.assert_array_equal(call(feed), np.asarray(feed, np.float32) + np.float32(1))


# ------------------------------------------------------------------------------------------------ memory


def test_memory_is_used_again_and_never_while_needed(graph):
    """A long chain of products needs room for few of them, and for x as they read it."""
    x = fb.placeholder((64, 64), name="x")
    y = x
    for _ in range(20):
        y = fb.softmax(y @ x)
    feed = {x: normal(64, 64)}
    session = fb.Session()
    assert engine(session, [y], feed).native.summary()["arena_bytes"] <= 4 * 64 * 64 * 4
    wanted = feed[x].astype("f8")
    for _ in range(20):
        wanted = wanted @ feed[x]
        wanted = np.exp(wanted - wanted.max(-1, keepdims=True))
        wanted /= wanted.sum(-1, keepdims=True)
    np.testing.assert_allclose(session.run(y, feed), wanted, rtol=1e-3, atol=1e-6)


def test_large_branches_share_memory_by_waiting_for_one_another(graph):
    """Eight branches that could all run at once would need memory for each. They take turns with it, and a branch that
    takes over memory waits until the one that had it is done."""
    x = fb.placeholder((1024, 1024), name="x")
    ends = []
    for branch in range(8):
        y = fb.transpose(fb.softmax(x * (branch + 1.0)))
        ends.append(fb.sum(fb.transpose(fb.softmax(y)) * x, axis=0))
    feed = {x: normal(1024, 1024)}
    session = fb.Session(threads=4)
    summary = engine(session, ends, feed).native.summary()
    assert summary["parallel"] and summary["arena_bytes"] <= 4 * 1024 * 1024 * 4

    def softmax(a: Any) -> Any:
        e = np.exp(a - a.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    one = fb.Session(threads=1).run(ends, feed)
    for branch, found in enumerate(one):
        y = softmax(feed[x].astype("f8") * (branch + 1))
        np.testing.assert_allclose(found, (softmax(y.T).T * feed[x]).sum(0), rtol=1e-3, atol=1e-4)
    for _ in range(5):
        for a, b in zip(one, session.run(ends, feed), strict=True):
            assert a.tobytes() == b.tobytes()


def test_results_are_never_overwritten(graph):
    x = fb.placeholder((100,), name="x")
    call = fb.Session().make_callable([fb.exp(x), fb.softmax(x)], [x])
    kept = [call(np.full(100, value, np.float32)) for value in range(5)]
    for value, (a, _) in enumerate(kept):
        np.testing.assert_allclose(a, np.exp(value), rtol=1e-6)


def test_the_peak_and_what_is_alive_then(graph):
    x = fb.placeholder((100, 100), name="x")
    a = fb.matmul(x, x, name="a")
    y = fb.sum(fb.matmul(a, a, name="b"), name="y")
    memory = fb.Session().memory(y, {x: normal(100, 100)})
    assert memory is not None and memory.peak == 80000 and memory.at == "b"
    assert {each.node for each in memory.alive} == {"a", "b"}
    assert "peak 80,000 bytes" in str(memory) and "arena" in str(memory)


def test_results_that_are_views_are_copies_in_memory(graph):
    x = fb.placeholder((100, 100), name="x")
    a = fb.matmul(x, x, name="a")
    memory = fb.Session().memory([fb.transpose(a, name="b"), a[0]], {x: normal(100, 100)})
    assert memory is not None and memory.peak == 80400
    assert sorted(each.bytes for each in memory.alive) == [400, 40000, 40000]


# ------------------------------------------------------------------------------------------------ host steps


def test_python_in_the_middle_gets_copies_and_gives_what_it_made(graph):
    x = fb.placeholder((3,), name="x")
    kept = []

    def host(a):
        kept.append(a)
        return a * 2

    y = fb.exp(fb.py_function(host, [fb.exp(x)], "float32", (3,)) * 0.5)
    session = fb.Session()
    first = session.run(y, {x: [0.0, 1.0, 2.0]})
    session.run(y, {x: [5.0, 5.0, 5.0]})
    np.testing.assert_allclose(kept[0], np.exp([0, 1, 2]), rtol=1e-6)  # not overwritten by the second run
    np.testing.assert_allclose(first, np.exp(np.exp([0, 1, 2])), rtol=1e-5)


def test_a_host_function_that_gives_another_shape_is_refused_by_name(graph):
    x = fb.placeholder((3,), name="x")
    bad = fb.py_function(lambda a: a[:2], [x], "float32", (3,), name="bad")
    with pytest.raises(fb.errors.ShapeError, match="bad"):
        fb.Session().run(fb.exp(bad), {x: [0.0, 1.0, 2.0]})


def test_an_error_in_a_kernel_names_node_and_shapes(graph):
    logits = fb.placeholder((2, 3), name="logits")
    labels = fb.placeholder((2,), "int32", name="labels")
    loss = fb.sparse_softmax_cross_entropy(labels, logits * 1.0, name="loss")
    session = fb.Session()
    for trace in (False, True):
        with pytest.raises(RunError) as info:
            session.run(fb.mean(loss), {logits: normal(2, 3), labels: [0, 7]}, trace=trace)
        assert info.value.node == "loss" and "7" in str(info.value)
        assert info.value.inputs == ["labels int32 (2,)", "multiply_1 float32 (2, 3)"]
    assert session.run(fb.mean(loss), {logits: normal(2, 3), labels: [0, 2]}).shape == ()


# ------------------------------------------------------------------------------------------------ threads


def wide(size: int = 96) -> tuple[Any, Any]:
    x = fb.placeholder((size, size), name="x")
    total: Any = 0.0
    for branch in range(6):
        h = x * (1.0 + branch)
        for _ in range(3):
            h = fb.tanh(h @ x * 0.1)
        total = total + h
    return x, [total, fb.sum(total), fb.gradients(fb.sum(total), [x])[0]]


def test_threads_change_no_byte(graph):
    x, fetches = wide()
    feed = {x: normal(96, 96)}
    one = fb.Session(threads=1).run(fetches, feed)
    for threads in (2, 3, 8):
        session = fb.Session(threads=threads)
        for _ in range(10):
            for a, b in zip(one, session.run(fetches, feed), strict=True):
                assert a.tobytes() == b.tobytes()


def test_many_runs_of_one_session_at_once(graph):
    x, fetches = wide(48)
    session = fb.Session(threads=4)
    feeds = [normal(48, 48, seed=seed) for seed in range(4)]
    wanted = [session.run(fetches, {x: feed}) for feed in feeds]
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(20):
            found = session.run(fetches, {x: feeds[number]})
            if any(a.tobytes() != b.tobytes() for a, b in zip(found, wanted[number], strict=True)):
                wrong.append(f"run of thread {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_a_failing_step_among_many_ends_the_run_and_the_session_goes_on(graph):
    x, (total, *_) = wide()
    labels = fb.placeholder((96,), "int64", name="labels")
    loss = fb.mean(fb.sparse_softmax_cross_entropy(labels, total, name="loss"))
    session = fb.Session(threads=4)
    bad, good = np.full(96, 1000), np.zeros(96, int)
    for _ in range(5):
        with pytest.raises(RunError, match="loss"):
            session.run([loss, total], {x: normal(96, 96), labels: bad})
        session.run([loss, total], {x: normal(96, 96), labels: good})


# ------------------------------------------------------------------------------------------------ the fast callable


def test_the_fast_way_is_taken_and_left(graph):
    x = fb.placeholder(("n",), name="x")
    scale = fb.constant(2.0)
    session = fb.Session()
    call = session.make_callable({"y": x * scale}, [x])
    assert type(call) is library.Callable
    for size in (3, 3, 5, 3):
        array = np.arange(size, dtype=np.float32)
        np.testing.assert_array_equal(call(array)["y"], array * 2)
    assert session.runs == 4
    session.close()
    with pytest.raises(fb.errors.FlowError, match="closed"):
        call(np.zeros(3, np.float32))


def test_the_fast_way_sees_an_edited_graph():
    graph = fb.Graph()
    with graph.as_default():
        x = fb.placeholder((2,), name="x")
        y = fb.exp(x)
        call = fb.Session().make_callable(y, [x])
        array = np.zeros(2, np.float32)
        assert call(array).tolist() == call(array).tolist() == [1.0, 1.0]
        before = graph.version
        fb.tanh(x)
        assert graph.version != before and call(array).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("wrong", [np.zeros(3, np.float32), np.zeros(2, complex), "text", None])
def test_what_does_not_fit_gets_the_usual_error(graph, wrong):
    x = fb.placeholder((2,), name="x")
    call = fb.Session().make_callable(fb.exp(x), [x])
    call(np.zeros(2, np.float32))
    with pytest.raises(fb.errors.FeedError, match="'x'"):
        call(wrong)
    with pytest.raises(fb.errors.FeedError, match="1 feeds"):
        call()


def test_variables_go_the_usual_way(graph):
    x = fb.placeholder((2,), name="x")
    w = fb.Variable([1.0, 1.0], name="w")
    session = fb.Session()
    call = session.make_callable([fb.assign_add(w, x), w * 1.0], [x])
    for expected in (2.0, 3.0, 4.0):
        assert call(np.ones(2, np.float32))[0].tolist() == [expected, expected]


# ------------------------------------------------------------------------------------------------ timelines


def test_a_timeline_has_each_step_once_a_run_and_in_order(graph):
    x, fetches = wide()
    session = fb.Session(threads=2)
    feed = {x: normal(96, 96)}
    session.run(fetches, feed)
    with session.timeline() as timeline:
        session.run(fetches, feed)
        session.run(fetches, feed)
    session.run(fetches, feed)
    plan = session.plan(fetches, {x: feed[x]})
    spans = list(timeline)
    assert {each.run for each in spans} == {2, 3}
    for run in (2, 3):
        mine = {each.node: each for each in spans if each.run == run}
        assert len(mine) == len([each for each in spans if each.run == run])
        for step in plan.steps:
            for other in step.waits:
                if step.name in mine and plan.steps[other].name in mine:
                    assert mine[plan.steps[other].name].end <= mine[step.name].start
    assert all(0 < share <= 1 for share in timeline.busy().values())


def test_nothing_is_noted_where_nobody_asks(graph):
    x = fb.placeholder((3,), name="x")
    session = fb.Session()
    timeline = session.timeline()
    session.run(fb.exp(x), {x: [0.0, 1.0, 2.0]})
    assert len(timeline) == 0 and timeline.busy() == {}


def test_long_plans_run_in_stretches_side_by_side(graph):
    """Thousands of steps: what comes before what is known within a stretch, and stretches come one after the other."""
    x = fb.placeholder((6, 6), name="x")
    ends = []
    for branch in range(6):
        y = x * (branch + 1.0)
        for _ in range(1500):
            y = fb.softmax(y)
        ends.append(y @ x)
    total = sum(ends[1:], ends[0])
    feed = {x: normal(6, 6)}
    results = []
    for threads in (1, 2, 8):
        session = fb.Session(threads=threads)
        summary = engine(session, [total, *ends], feed).native.summary()
        assert summary["kernels"] > 9000 and summary["parallel"]
        results.append([each.tobytes() for each in session.run([total, *ends], feed)])
    assert results[0] == results[1] == results[2]
    observed = fb.Session().run(ends[0], feed, trace=True)
    assert observed.tobytes() == results[0][1]


@pytest.mark.parametrize("threads", [1, 4])
def test_what_the_host_made_is_given_up_when_it_has_been_read(graph, threads):
    """A chain of host functions, with native steps between them: few of their arrays are alive at a time."""
    x = fb.placeholder((300, 300), name="x")
    y: Any = x
    sides: list[Any] = []
    for _ in range(12):
        with fb.control_dependencies(sides[-1:]):  # nobody runs ahead
            y = fb.py_function(lambda value: value + 1.0, [y], "float32", (300, 300))
        sides.append(fb.sum(fb.transpose(y) @ x))
        y = fb.softmax(y)
    kept = fb.py_function(lambda value: value + 1.0, [y], "float32", (300, 300))
    total = sum(sides[1:], sides[0])
    session = fb.Session(threads=threads)
    feed = {x: normal(300, 300)}
    plain = session.run([total, kept], feed)
    tracemalloc.start()
    try:
        session.run([total, kept], feed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 7 * 300 * 300 * 4
    traced = session.run([total, kept], feed, trace=True)
    assert [each.tobytes() for each in plain] == [each.tobytes() for each in traced]
