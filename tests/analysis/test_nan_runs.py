"""Which run `nan_origin` asks about: random numbers, variables, traces, runs that raise; and that nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, FeedError, FetchError, RunError, SessionError
from flowbook.runtime import recorder
from flowbook.runtime.trace import Trace
from tests.analysis.nan_faults import vector

# ------------------------------------------------------------------------------------------------ which run


def diverging():
    """The first step of SGD throws w so far that exp overflows in the second."""
    w = fb.Variable([3.0, 1.0], name="w")
    loss = fb.sum(fb.exp(fb.square(w, name="s"), name="e"), name="loss")
    return w, loss, fb.train.SGD(1.0).minimize(loss)


def test_after_training_diverged_the_variable_is_the_origin() -> None:
    with fb.Graph().as_default():
        w, loss, train = diverging()
        session = fb.Session()
    for _ in range(3):
        session.run([loss, train])
    before = session.run(w)
    found = fb.nan_origin(loss, session=session)
    assert (found.node, found.element, found.rule) == (w.node, (0,), "nan in the value of the variable")
    assert "trace=session.trace" in found.hint
    np.testing.assert_array_equal(session.run(w), before)


def test_the_step_at_which_training_diverged() -> None:
    """The trace has the variable's value before the step, which is gone from the session."""
    with fb.Graph().as_default():
        w, loss, train = diverging()
        session = fb.Session()
    session.run([loss, train])
    second = session.run(w)
    session.run([loss, train], trace=True)
    trace = session.trace
    session.run([loss, train])
    found = fb.nan_origin([loss, train], session=session, trace=trace)
    assert (found.name, found.rule) == ("e", "overflow of exp: in float32 x may be 88.72 at most")
    assert (found.inputs[0].label, found.inputs[0].value) == ("s[0]", second[0] * second[0])


def test_what_is_written_counts_where_the_fetch_has_no_value() -> None:
    with fb.Graph().as_default():
        w = fb.Variable([4.0, 0.0], name="w")
        train = fb.train.SGD(0.1).minimize(fb.sum(fb.sqrt(w, name="root")))
        session = fb.Session()
    found = fb.nan_origin(train, session=session)
    assert (found.node.forward.name, found.element, found.rule) == ("root", (1,), "division by 0")
    assert session.run(w).tolist() == [4.0, 0.0]


def noisy():
    noise = fb.random.normal((64,), name="noise")
    return fb.log(noise, name="l")


def test_random_numbers_are_those_of_the_last_run_or_the_one_asked_about() -> None:
    with fb.Graph().as_default():
        y = noisy()
        session = fb.Session()
    runs = [session.run(y) for _ in range(3)]
    firsts = [int(np.flatnonzero(np.isnan(each))[0]) for each in runs]
    assert len(set(firsts)) > 1
    assert fb.nan_origin(y, session=session).element == (firsts[2],)
    assert [fb.nan_origin(y, session=session, run=at).element for at in (1, 2, 3)] == [(each,) for each in firsts]
    assert session.runs == 3
    assert (session.run(y)[~np.isnan(runs[0])].size, session.runs) != (0, 3)


def test_random_numbers_of_a_trace() -> None:
    with fb.Graph().as_default():
        y = noisy()
        session = fb.Session()
    first = session.run(y, trace=True)
    trace = session.trace
    session.run(y)
    session.run(y)
    found = fb.nan_origin(y, trace=trace, session=session)
    assert found.element == (int(np.flatnonzero(np.isnan(first))[0]),)
    assert found.inputs[0].value == trace.value("noise")[found.element]


def test_host_functions_are_not_called_again_for_a_trace() -> None:
    calls = []

    def count(array):
        calls.append(len(calls))
        return np.log(array - len(calls))

    with fb.Graph().as_default():
        x, feeds = vector(2.0, 1.0)
        y = fb.cond(fb.sum(x) > 0.0, lambda: fb.py_function(count, [x], "float32", shapes=(2,), name="h"), lambda: x)
        session = fb.Session()
    with np.errstate(all="ignore"):
        session.run(y, feeds, trace=True)
    found = fb.nan_origin(y, session=session, trace=session.trace)
    assert (found.node.op, found.element, calls) == ("py_function", (1,), [0])


def test_of_large_values_a_file_has_only_samples(tmp_path: Path) -> None:
    with fb.Graph().as_default():
        x = fb.placeholder((None,), name="x")
        w = fb.Variable(np.ones(40_000, "float32"), name="w")
        y = fb.log(x * w, name="y")
        session = fb.Session()
    array = np.ones(40_000, "float32")
    array[12_345] = 0.0
    session.run(y, {x: array}, trace=True)
    session.trace.save(tmp_path / "run.flowtrace")
    trace = Trace.load(tmp_path / "run.flowtrace")
    with pytest.raises(SessionError, match="only a sample of 'x'") as info:
        fb.nan_origin(y, session=session, trace=trace)
    assert info.value.hint == "pass it in feeds again"
    assert fb.nan_origin(y, {x: array}, session, trace=trace).element == (12_345,)
    session.run(fb.assign(w, w * 2.0))
    with pytest.raises(SessionError, match="only a sample of 'w'"):
        fb.nan_origin(y, {x: array}, session, trace=trace)
    # The trace itself remembers them, whatever has become of them since.
    array[:] = 5.0
    found = fb.nan_origin(y, session=session, trace=session.trace)
    assert (found.element, found.rule) == ((12_345,), "log of 0")


def test_a_trace_remembers_large_values_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "GIVEN", 400_000)
    with fb.Graph().as_default():
        x, z = fb.placeholder((None,), name="x"), fb.placeholder((None,), name="z")
        y = fb.log(x * z, name="y")
        session = fb.Session()
    session.run(y, {x: np.zeros(60_000), z: np.ones(60_000)}, trace=True)
    assert sum(each.nbytes for each in session.trace.given.values()) == 240_000
    with pytest.raises(SessionError, match=r"only a sample of '[xz]'"):
        fb.nan_origin(y, session=session, trace=session.trace)


def test_a_trace_of_something_else() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(1.0, 0.0)
        y, z = fb.log(x, name="y"), fb.exp(x, name="z")
        session = fb.Session()
    session.run(y, feeds, trace=True)
    with pytest.raises(SessionError, match="'z' is not in this trace"):
        fb.nan_origin(z, session=session, trace=session.trace)


# ------------------------------------------------------------------------------------------------ runs that raise


def test_a_run_that_check_finite_ended() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(1.0, 0.0)
        y = fb.check_finite(fb.log(x, name="l"), name="checked") + 1.0
        session = fb.Session()
    with pytest.raises(RunError):
        session.run(y, feeds, trace=True)
    for trace in (None, session.trace):
        found = fb.nan_origin(y, feeds, session, trace=trace)
        assert (found.name, found.element, found.fetch) == ("l", (1,), ("l", (1,), "inf"))


def test_a_run_that_raises_for_another_reason() -> None:
    def broken(array):
        raise OSError("no such file")

    with fb.Graph().as_default():
        x, feeds = vector(1.0, 2.0)
        y = fb.py_function(broken, [x], "float32", name="h")
        session = fb.Session()
    with pytest.raises(RunError, match="no such file"):
        fb.nan_origin(y, feeds, session)
    with pytest.raises(RunError):
        session.run(y, feeds, trace=True)
    assert fb.nan_origin(y, session=session, trace=session.trace) is None


def test_arguments() -> None:
    with fb.Graph().as_default() as graph:
        x, feeds = vector(1.0)
        y = fb.log(x, name="y")
        session = fb.Session()
    with pytest.raises(FetchError, match="not something to fetch"):
        fb.nan_origin(3.0)
    with pytest.raises(FeedError):
        fb.nan_origin(y)
    with pytest.raises(ArgumentError, match="trace is 'last'"):
        fb.nan_origin(y, feeds, trace="last")
    with pytest.raises(ArgumentError, match="run is -1"):
        fb.nan_origin(y, feeds, run=-1)
    assert fb.nan_origin({"a": ["y"]}, {"x": [0.0]}, fb.Session(graph)).name == "y"
    session.close()
    with pytest.raises(SessionError, match="closed"):
        fb.nan_origin(y, feeds, session)


# ------------------------------------------------------------------------------------------------ nothing changes


def test_asking_changes_nothing() -> None:
    with fb.Graph().as_default() as graph:
        w = fb.Variable([1.0, 0.0], name="w")
        untouched = fb.Variable(fb.random.normal((2,)), name="untouched")
        wrote = fb.assign_sub(w, fb.log(w, name="l") * untouched, name="wrote")
        raised = fb.check_finite(wrote)
        session = fb.Session()
    session.run(w)
    before, hashed = session.run(w), graph.hash
    found = fb.nan_origin([wrote], session=session)
    assert (found.name, found.path) == ("l", ("l", "multiply_1", "wrote"))
    fb.nan_origin(raised, session=session)
    assert session.variables.snapshot([untouched])[untouched] is None
    assert (session.runs, graph.hash) == (2, hashed)
    assert session.run(w).tolist() == before.tolist()


def test_an_interrupted_question_changes_nothing() -> None:
    def interrupt(array):
        raise KeyboardInterrupt

    with fb.Graph().as_default():
        w = fb.Variable([1.0, 0.0], name="w")
        wrote = fb.assign_add(w, [1.0, 1.0])
        with fb.control_dependencies([wrote]):
            y = fb.py_function(interrupt, [fb.log(w)], "float32")
        session = fb.Session()
    session.initialize()
    with pytest.raises(KeyboardInterrupt):
        fb.nan_origin(y, session=session)
    assert session.run(w).tolist() == [1.0, 0.0]


def test_the_value_of_a_branch_that_writes() -> None:
    with fb.Graph().as_default():
        w = fb.Variable([1.0, 0.0], name="w")
        y = fb.cond(fb.sum(w) > 0.0, lambda: fb.assign(w, fb.log(w, name="l")), lambda: w * 1.0, name="c")
        session = fb.Session()
    session.initialize()
    found = fb.nan_origin(y, session=session)
    assert (found.name, found.element) == ("c/true/l", (1,))
    assert session.run(w).tolist() == [1.0, 0.0]


def test_a_run_that_ended_inside_a_branch() -> None:
    with fb.Graph().as_default():
        x, feeds = vector(1.0, 0.0)
        y = fb.cond(fb.sum(x) > 0.0, lambda: fb.check_finite(fb.log(x, name="l")), lambda: x, name="c")
        session = fb.Session()
    with pytest.raises(RunError):
        session.run(y, feeds, trace=True)
    for trace in (None, session.trace):
        assert fb.nan_origin([y], feeds, session, trace=trace).name == "c/true/l"


def test_a_graph_that_changed_since_the_trace() -> None:
    graph = fb.Graph()
    with graph.as_default(), graph.transaction("a"):
        x, feeds = vector(1.0, 0.0)
        y = fb.log(x, name="y")
    session = fb.Session(graph)
    session.run(y, feeds, trace=True)
    with graph.as_default(), graph.transaction("a"):
        y = fb.log(fb.placeholder((2,), name="other"), name="y")
    with pytest.raises(SessionError, match="'x', which that run was fed, is not in this graph"):
        fb.nan_origin(y, session=session, trace=session.trace)


def test_random_numbers_that_the_trace_only_sampled() -> None:
    with fb.Graph().as_default():
        y = fb.log(fb.random.normal((40_000,), name="noise"), name="l")
        session = fb.Session()
    first = session.run(y, trace=True)
    trace = session.trace
    assert fb.nan_origin(y, session=session, trace=trace).element == (int(np.flatnonzero(np.isnan(first))[0]),)
    session.run(y)
    with pytest.raises(SessionError, match="only a sample of 'noise'"):
        fb.nan_origin(y, session=session, trace=trace)
    assert fb.nan_origin(y, session=session, trace=trace, run=1) is not None


def test_a_loss_of_a_masked_row() -> None:
    """What is not finite and harmless (a mask of -inf) is named only where it does harm."""
    with fb.Graph().as_default():
        mask = fb.placeholder((2, 2), name="mask")
        p = fb.softmax(fb.zeros_like(mask) + mask, name="p")
    assert fb.nan_origin(p, {mask: [[0.0, -np.inf], [0.0, 0.0]]}) is None
    found = fb.nan_origin(p, {mask: [[0.0, -np.inf], [-np.inf, -np.inf]]})
    assert (found.op, found.element) == ("feed", (1, 0))
    assert found.became == ("p", "softmax of a row whose logits are all -inf")
