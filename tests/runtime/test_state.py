"""Variables: order of reads and writes, initial values, all-or-nothing runs, Ctrl-C, threads."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, FeedError, GraphError, RunError, ShapeError


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


# ------------------------------------------------------------------------------------------------ order


def test_run_of_a_variable_and_its_write_gives_the_old_value(graph):
    v = fb.Variable(1.0, name="v")
    session = fb.Session()
    assert session.run([v, fb.assign_add(v, 1.0)]) == [1.0, 2.0]
    assert session.run(v) == 2.0


def test_control_dependencies_give_the_new_value(graph):
    v = fb.Variable(1.0, name="v")
    bump = fb.assign_add(v, 1.0)
    with fb.control_dependencies([bump]):
        after = v * 1.0
    before = v * 1.0
    assert fb.Session().run([after, before])[0] == 2.0


def test_constants_wait_for_control_dependencies_too(graph):
    v = fb.Variable(1.0, name="v")
    with fb.control_dependencies([fb.assign_add(v, 1.0)]):
        done = fb.constant(7.0, name="done")
    session = fb.Session()
    assert session.run(done) == 7.0 and session.run(v) == 2.0
    assert session.run(done * 2.0) == 14.0 and session.run(v) == 3.0
    assert session.run(done * 2.0, {done: 1.0}) == 2.0 and session.run(v) == 3.0
    with pytest.raises(ArgumentError, match="3 is neither a tensor nor a node"), fb.control_dependencies(3):
        pass


def test_ties_are_broken_by_creation(graph):
    v = fb.Variable(1.0, name="v")
    first = v * 10.0
    bump = fb.assign_add(v, 1.0)
    second = v * 10.0
    assert fb.Session().run([second, first, bump]) == [20.0, 10.0, 2.0]


def test_ties_are_broken_by_cell_position_before_creation(graph):
    v = fb.Variable(1.0, name="v")
    with graph.transaction("a"):
        bump = fb.assign_add(v, 1.0, name="bump")
    with graph.transaction("b"):
        read = fb.multiply(v, 10.0, name="read")
    with graph.transaction("a"):  # made again, later, at the same position
        fb.assign_add(v, 1.0, name="bump")
    assert fb.Session().run([read, bump]) == [20.0, 2.0]


def test_several_writes_follow_one_another(graph):
    v = fb.Variable(1.0, name="v")
    a = fb.assign_add(v, 1.0)
    b = fb.assign(v, v * 10.0)
    c = fb.assign_sub(v, 3.0)
    session = fb.Session()
    assert session.run([c, a, b]) == [17.0, 2.0, 20.0] and session.run(v) == 17.0


def test_equal_reads_on_two_sides_of_a_write_are_not_merged(graph):
    v = fb.Variable(1.0, name="v")
    one = fb.exp(v)
    bump = fb.assign_add(v, 1.0)
    two = fb.exp(v)
    a, _, b = fb.Session().run([one, bump, two])
    assert np.allclose([a, b], np.exp([1.0, 2.0]))


def test_backward_nodes_see_what_their_forward_nodes_saw(graph):
    v = fb.Variable(3.0, name="v")
    x = fb.placeholder((), name="x")
    y = v * x * v
    bump = fb.assign(v, 100.0)  # made before the gradients, so ties would let them read 100
    dv, dx = fb.gradients(y, [v, x])
    assert fb.Session().run([dv, dx, y, bump], {x: 2.0}) == [12.0, 9.0, 18.0, 100.0]
    assert fb.Session().run([dx, bump], {x: 2.0}) == [9.0, 100.0]  # also when the forward node does not run


def test_feeding_a_variable_overrides_its_reads_for_that_run(graph):
    v = fb.Variable(1.0, name="v")
    session = fb.Session()
    assert session.run([v, v * 2.0], {v: 10.0}) == [10.0, 20.0]
    assert session.run(v) == 1.0


def test_writes_are_checked_when_they_are_built(graph):
    v = fb.Variable(np.zeros((2, 3), np.float32), name="v")
    with pytest.raises(ShapeError, match="does not fit"):
        fb.assign(v, np.zeros((3, 2), np.float32))
    with pytest.raises(ShapeError):
        fb.assign_add(v, np.zeros((1, 2, 3), np.float32))
    with pytest.raises(DTypeError):
        fb.assign(fb.Variable(1, name="n"), 1.5)
    with pytest.raises(TypeError, match="writes a Variable"):
        fb.assign(v * 2.0, 1.0)
    assert fb.Session().run(fb.assign(v, [1.0, 2.0, 3.0])).shape == (2, 3)


def test_numbers_are_weak_in_writes(graph):
    v = fb.Variable([250, 3], "uint8", name="v")
    session = fb.Session()
    assert session.run(fb.assign_add(v, 5)).tolist() == [255, 8]
    assert session.run(fb.assign_sub(v, 1)).tolist() == [254, 7]
    assert session.run(fb.assign(v, 7)).dtype == np.uint8
    with pytest.raises(DTypeError, match="float64 value cannot be written to a uint8 variable"):
        fb.assign_add(v, 1.5)
    with pytest.raises(DTypeError, match="int64 value"):
        fb.assign_add(v, np.ones(2, np.int64))
    with pytest.raises(RunError, match="256 out of bounds"):
        session.run(fb.assign(v, 256))
    assert session.run(v).tolist() == [7, 7]


@pytest.mark.parametrize("build", [fb.constant, fb.Variable])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [(300, "uint8"), (-1, "uint8"), ([1, 2**31], "int32"), (2**63, None), (1e300, None), (float("nan"), "int64")],
)
def test_a_number_that_does_not_fit_its_dtype_is_refused(graph, build, value, dtype):
    with pytest.raises(DTypeError, match="does not fit") as info:
        build(value, dtype)
    assert info.value.line is not None


# ------------------------------------------------------------------------------------------------ initial values


def test_variables_initialise_themselves_once(graph):
    w = fb.Variable(fb.random.normal((3,)), name="w")
    session = fb.Session()
    first = session.run(w)
    assert np.array_equal(first, session.run(w))
    session.run(fb.assign(w, np.zeros(3, np.float32)))
    session.initialize([w])
    assert np.array_equal(first, session.run(w))
    assert np.array_equal(first, fb.Session().run(w))  # the seed and the name decide, nothing else


def test_an_initial_value_may_read_another_variable(graph):
    a = fb.Variable(2.0, name="a")
    b = fb.Variable(a * 3.0, name="b")
    c = fb.Variable(b + 1.0, name="c")
    assert fb.Session().run([c, b, a]) == [7.0, 6.0, 2.0]


def test_an_initial_value_cannot_need_a_feed(graph):
    v = fb.Variable(fb.placeholder((2,), name="x") * 2.0, name="v")
    with pytest.raises(FeedError, match="cannot depend on a placeholder"):
        fb.Session().run(v)


def test_an_initial_value_of_unknown_shape_is_refused(graph):
    with pytest.raises(ShapeError, match="known shape"):
        fb.Variable(fb.placeholder(("n",)) * 1.0)


def test_a_value_survives_the_edit_of_its_initializer_and_of_its_shape_and_back(graph):
    def define(init):
        with graph.transaction("cell"):
            return fb.Variable(init, name="w")

    w = define(np.zeros(2, np.float32))
    session = fb.Session()
    session.run(fb.assign(w, [5.0, 6.0]))
    define(np.ones(2, np.float32))
    assert session.run(w).tolist() == [5, 6]  # kept: same name, shape, dtype
    define(np.ones(3, np.float32))
    assert session.run(w).tolist() == [1, 1, 1]
    graph.remove_owner("cell")
    w = define(np.ones(2, np.float32))
    assert session.run(w).tolist() == [5, 6]  # it was parked
    session.initialize(["w"])
    assert session.run(w).tolist() == [1, 1]


def test_names_of_variables_are_unique_and_the_error_names_both_cells(graph):
    with graph.transaction("one"):
        fb.Variable(1.0, name="w")
    with pytest.raises(GraphError, match=r"cell one.*cell two"), graph.transaction("two"):
        fb.Variable(1.0, name="w")


# ------------------------------------------------------------------------------------------------ all or nothing


def training_graph():
    """Three variables, eight steps, writes spread over the run."""
    x = fb.placeholder((), name="x")
    a, b, c = (fb.Variable(float(n), name=name) for n, name in enumerate("abc", 1))
    fetches = [
        fb.assign_add(a, x),
        fb.assign(b, fb.tanh(a) * 2.0),
        fb.assign_sub(c, fb.exp(b)),
        fb.assign_add(a, 1.0),
    ]
    return x, [a, b, c], fetches


@pytest.fixture
def unfused():
    """Each node is a step of its own, also in optimised plans."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowbook.compile.compiler.MERGES", ())
        yield


def interfere(monkeypatch, session, replace):
    """Let the executor run the steps that ``replace(step)`` gives, instead of those of the plan."""
    original = session.plan

    def plan(*args, **kwargs):
        found = original(*args, **kwargs)
        return found.with_steps([replace(step) for step in found.steps])

    monkeypatch.setattr(session, "plan", plan)


def raiser(error):
    def fail(*operands):
        raise error

    return fail


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError, SystemExit])
def test_an_exception_at_every_node_leaves_variables_whole(graph, unfused, error, monkeypatch):
    x, variables, fetches = training_graph()
    session = fb.Session()
    before = session.run(variables)
    steps = len(session.plan(fetches, {x: np.float32(1)}).steps)
    assert steps >= 7
    for at in range(steps):
        interfere(
            monkeypatch, session, lambda step, at=at: step._replace(fn=raiser(error)) if step.index == at else step
        )
        expected = RunError if issubclass(error, Exception) else error
        with pytest.raises(expected):
            session.run(fetches, {x: 1.0})
        monkeypatch.undo()
        assert session.run(variables) == before
    assert session.run(fetches, {x: 1.0})[0] == 2.0
    assert session.runs == 1 + steps + steps + 1  # failed runs count too


def test_the_interrupt_check_would_notice_a_half_done_commit(graph, unfused, monkeypatch):
    """Planted bug: writes applied as they happen."""
    x, variables, fetches = training_graph()
    session = fb.Session()
    before = session.run(variables)

    def eager(step):
        if step.op.name == "exp":
            return step._replace(fn=raiser(KeyboardInterrupt))
        if not step.op.writes:
            return step

        def write(*operands):
            result = step.fn(*operands)
            session.variables.commit({step.node.inputs[0]: result})
            return result

        return step._replace(fn=write)

    interfere(monkeypatch, session, eager)
    with pytest.raises(KeyboardInterrupt):
        session.run(fetches, {x: 1.0})
    monkeypatch.undo()
    assert session.run(variables) != before


def test_a_real_ctrl_c_inside_a_host_function(graph):
    x, variables, fetches = training_graph()

    def press(value):
        signal.raise_signal(signal.SIGINT)
        return value

    with fb.control_dependencies(fetches):
        last = fb.py_function(press, [x], "float32", ())
    session = fb.Session()
    before = session.run(variables)
    with pytest.raises(KeyboardInterrupt):
        session.run([*fetches, last], {x: 1.0})
    assert session.run(variables) == before


def test_a_failed_first_run_leaves_variables_uninitialised(graph):
    v = fb.Variable(1.0, name="v")
    boom = fb.check_finite(fb.log(v - 2.0))
    session = fb.Session()
    with pytest.raises(RunError):
        session.run([fb.assign_add(v, 1.0), boom])
    assert session.variables.get(v) is None and session.run(v) == 1.0


# ------------------------------------------------------------------------------------------------ threads


def test_concurrent_writers_lose_no_update(graph):
    v = fb.Variable(0, name="v")
    bump = fb.assign_add(v, 1)
    session = fb.Session()

    def work():
        for _ in range(200):
            session.run(bump)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.run(v) == 1600


def test_readers_see_one_moment(graph):
    a, b = fb.Variable(0, name="a"), fb.Variable(0, name="b")
    both = fb.group(fb.assign_add(a, 1), fb.assign_add(b, 1))
    session = fb.Session()
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            x, y = session.run([a, b])
            if x != y:
                wrong.append((x, y))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        session.run(both)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and session.run(a) == 300


def test_a_host_function_may_run_the_session_again(graph):
    v = fb.Variable(1.0, name="v")
    session = fb.Session()
    inner = fb.py_function(lambda a: session.run(v) + a, [v], "float32", ())
    assert session.run([fb.assign(v, inner), inner]) == [2.0, 2.0]


# ------------------------------------------------------------------------------------------------ randomness


def test_random_numbers_are_fresh_each_run_and_repeat_with_the_seed(graph):
    r = fb.random.uniform((4,), seed=7)
    one, two = fb.Session(), fb.Session()
    a = [one.run(r) for _ in range(3)]
    b = [two.run(r) for _ in range(3)]
    assert np.array_equal(a, b) and not np.array_equal(a[0], a[1])


def test_failed_runs_move_the_counter_and_unrelated_edits_change_no_numbers(graph):
    r = fb.random.uniform((4,), name="r")
    boom = fb.check_finite(fb.constant(np.nan))
    one, two = fb.Session(), fb.Session()
    with pytest.raises(RunError):
        one.run([r, boom])
    two.run(r)
    fb.random.normal((3,), name="another")
    assert np.array_equal(one.run(r), two.run(r))


def test_the_graph_seed_matters():
    drawn = []
    for seed in (0, 0, 1):
        with fb.Graph(seed=seed).as_default():
            drawn.append(fb.Session().run(fb.random.uniform((4,), name="r")))
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
