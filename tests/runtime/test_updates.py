"""Variables that are written where their old values lie: only when a run has succeeded, and nobody else has those."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.runtime.engine import engine_of

pytest.importorskip("flowbook.native._native", reason="the native library was not built")

OPTIMIZERS = [
    fb.train.SGD(0.1),
    fb.train.Momentum(0.1, nesterov=True),
    fb.train.Adam(0.05),
    fb.train.RMSProp(0.01, momentum=0.5),
    fb.train.Adagrad(0.1),
]


class Training:
    """Two layers and their optimizer; feeds are given with it."""

    def __init__(self, optimizer: Any = OPTIMIZERS[2], threads: int | None = None, size: int = 12) -> None:
        rng = np.random.default_rng(0)
        with fb.Graph(seed=1).as_default() as self.graph:
            x, y = fb.placeholder((6, 5), name="x"), fb.placeholder((6,), "int32", name="y")
            self.w = fb.Variable(rng.normal(size=(5, size)).astype(np.float32), name="w")
            self.v = fb.Variable(rng.normal(size=(size, 3)).astype(np.float32), name="v")
            logits = fb.tanh(x @ self.w) @ self.v
            self.loss = fb.mean(fb.sparse_softmax_cross_entropy(y, logits))
            self.train = optimizer.minimize(self.loss)
            self.session = fb.Session(threads=threads)
        self.fetches = [self.loss, self.train]
        self.feed = {x: rng.normal(size=(6, 5)).astype(np.float32), y: rng.integers(0, 3, 6).astype(np.int32)}

    def run(self, **options: Any) -> Any:
        return self.session.run(self.fetches, self.feed, **options)[0]

    def state(self) -> dict[str, bytes]:
        return {each.name: self.session.run(each).tobytes() for each in self.graph.variables}

    def place(self, variable: Any) -> int:
        """Where the value lies."""
        return int(self.session.variables.get(variable).value.ctypes.data)


def late(session: Any, fetches: Any, feeds: Any) -> set[str]:
    """The variables that runs leave to their commit."""
    session.run(fetches, feeds)
    engine = engine_of(next(reversed(session._plans.values())))
    return set() if engine is None else {each.name for each in engine.updates}


def fetched(training: Training) -> Any:
    return training.session.run(training.w)


def stored(training: Training) -> Any:
    return training.session.variables.get(training.w)


def traced(training: Training) -> Any:
    training.session.run(fb.sum(training.w * training.w), trace=True)
    return training.session.trace


def array_of(kept: Any) -> Any:
    value = getattr(kept, "value", kept)
    return value if isinstance(value, np.ndarray) else value["w"].value


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("threads", [1, 4])
def test_training_stays_in_place_and_gives_the_bytes_of_an_observed_one(optimizer, threads):
    plain, observed = Training(optimizer, threads), Training(optimizer, threads)
    plain.run()
    places = [plain.place(plain.w), plain.place(plain.v)]
    observed.run(trace=True)
    for _ in range(5):
        assert plain.run().tobytes() == observed.run(trace=True).tobytes()
    assert [plain.place(plain.w), plain.place(plain.v)] == places
    assert plain.state() == observed.state()


def test_large_and_many_variables_on_several_threads():
    """Large ones share their parts, small ones go side by side."""
    results = []
    for threads in (1, 4):
        with fb.Graph().as_default():
            shapes = [(700, 900), (3,), (), *[(40, 50 + k) for k in range(70)], (500, 600)]
            ws = [fb.Variable(np.ones(shape, np.float32), name=f"w{k}") for k, shape in enumerate(shapes)]
            total: Any = sum(fb.sum(w * (k + 1.0)) for k, w in enumerate(ws))
            train = fb.train.Adam(0.01).minimize(fb.square(total * 1e-6))
            session = fb.Session(threads=threads)
            assert len(late(session, [train], {})) >= 3 * (len(ws) - 1)  # w2 shares a step with the learning rate
            for _ in range(3):
                session.run(train)
            results.append([each.tobytes() for each in session.run(ws)])
    assert results[0] == results[1]


@pytest.mark.parametrize("keep", [fetched, stored, traced])
def test_a_value_that_somebody_has_is_never_written_over(keep):
    training = Training()
    training.run()
    kept = keep(training)
    array = kept if isinstance(kept, np.ndarray) else stored(training).value
    before, place = array.copy(), training.place(training.w)
    for _ in range(3):
        training.run()
    assert array.tobytes() == before.tobytes()
    if keep is not fetched:  # which is a copy
        assert training.place(training.w) != place


def test_a_view_of_a_value_keeps_it():
    training = Training()
    training.run()
    view = stored(training).value[1:3].T
    before = view.copy()
    training.run()
    assert view.tobytes() == before.tobytes() and stored(training).value[1:3].T.tobytes() != before.tobytes()


def test_a_host_function_keeps_what_it_was_given():
    training = Training()
    seen = []
    with training.graph.as_default():
        fb.py_function(lambda w: seen.append(w) or w, [training.w], "float32", training.w.shape, name="keeper")
    training.fetches.append("keeper")
    copies = []
    for _ in range(4):
        training.run()
        copies.append(seen[-1].tobytes())
    assert [each.tobytes() for each in seen] == copies and len(set(copies)) == 4


def test_a_stepper_goes_back_to_the_values_before():
    training = Training()
    training.run()
    before = training.state()
    with training.session.debug(training.fetches, training.feed) as stepper:
        stepper.finish()
        training.run()
    assert training.state() != before


def test_a_run_that_reads_meanwhile_has_one_state_of_all_variables():
    """A reader stops in the middle of its run, and a training step goes by."""
    training = Training()
    training.run()
    entered, go_on = threading.Event(), threading.Event()

    def wait(value: Any) -> Any:
        entered.set()
        assert go_on.wait(60)
        return value

    with training.graph.as_default():
        pause = fb.py_function(wait, [fb.sum(training.w)], "float32", ())
        with fb.control_dependencies([pause]):
            later = [fb.identity(training.w) * 1.0, fb.identity(training.v) * 1.0]
    before = [training.session.run(each) for each in (training.w, training.v)]
    results: list[Any] = []
    reader = threading.Thread(target=lambda: results.extend(training.session.run(later)))
    reader.start()
    assert entered.wait(60)
    training.run()
    go_on.set()
    reader.join()
    assert [each.tobytes() for each in results] == [each.tobytes() for each in before]
    assert training.session.run(training.w).tobytes() != before[0].tobytes()


def test_readers_on_other_threads_never_see_half_an_update():
    """All elements of two variables are equal at any time; readers run while a writer does."""
    with fb.Graph().as_default():
        a = fb.Variable(np.zeros((300, 400), np.float32), name="a")
        b = fb.Variable(np.zeros((300, 400), np.float32), name="b")
        step = fb.group(fb.assign_add(a, 1.0), fb.assign_add(b, 1.0))
        both = [fb.identity(a) * 1.0, fb.identity(b) * 1.0]
        session = fb.Session(threads=2)
    assert late(session, step, {}) == {"a", "b"}
    wrong: list[Any] = []

    def read() -> None:
        for _ in range(60):
            found = np.unique(session.run(both))
            if len(found) != 1:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    while any(each.is_alive() for each in readers):
        session.run(step)
    assert not wrong


# ------------------------------------------------------------------------------------------------ what is not


def variables(*shapes: tuple[int, ...]) -> list[Any]:
    return [
        fb.Variable(np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + k, name=f"v{k}")
        for k, shape in enumerate(shapes)
    ]


def test_an_old_value_that_another_update_reads_is_left_alone():
    with fb.Graph().as_default():
        a, b = variables((3, 3), (3, 3))
        turned = fb.matrix_transpose(a)  # reads a before it is written
        step = fb.group(fb.assign_add(a, 1.0), fb.assign_sub(b, turned))
        session = fb.Session()
        x, y = session.run([a, b])
        assert late(session, step, {}) == {"v1"}
        one, two = session.run([a, b])
    np.testing.assert_array_equal(one, x + 1)
    np.testing.assert_array_equal(two, y - x.T)


def test_two_updates_in_one_step_that_read_each_other():
    with fb.Graph().as_default():
        a, b = variables((3, 3), (3, 3))
        step = fb.group(fb.assign_add(a, b), fb.assign_sub(b, a))  # in program order: the second reads the new a
        session = fb.Session()
        x, y = session.run([a, b])
        session.run(step), session.run(step)
        one, two = x + y, y - (x + y)
        np.testing.assert_array_equal(session.run(a), one + two)
        np.testing.assert_array_equal(session.run(b), two - (one + two))


def test_an_update_that_reads_itself_turned_round_is_not_in_place():
    with fb.Graph().as_default():
        (a,) = variables((4, 4))
        step = fb.assign_sub(a, fb.matrix_transpose(a) * 0.5)
        session = fb.Session()
        x = session.run(a)
        assert late(session, fb.group(step), {}) == set()
        np.testing.assert_array_equal(session.run(a), x - x.T * np.float32(0.5))


def test_updates_that_others_need_are_made_at_once():
    with fb.Graph().as_default():
        a, b, c = variables((3,), (3,), (3,))
        session = fb.Session()
        new = fb.assign_add(a, 1.0)
        assert late(session, [new], {}) == set()  # asked for
        assert late(session, [fb.group(new), fb.flip(new)], {}) == set()
        step = fb.assign_add(b, 1.0)
        with fb.control_dependencies([step]):
            after = fb.py_function(lambda: np.float32(0), [], "float32", ())
        assert late(session, [after], {}) == set()
        assert late(session, fb.group(fb.group(fb.assign_add(c, 1.0))), {}) == {"v2"}  # groups do nothing
        np.testing.assert_array_equal(session.run(c), np.arange(3) + 2 + 1)


def test_a_variable_that_is_fed_is_computed_from_the_feed():
    with fb.Graph().as_default():
        (a,) = variables((3,))
        step = fb.group(fb.assign_add(a, 1.0))
        session = fb.Session()
        session.run(step)
        feed = np.full(3, 7, np.float32)
        session.run(step, {a: feed})
        np.testing.assert_array_equal(session.run(a), [8, 8, 8])
        np.testing.assert_array_equal(feed, [7, 7, 7])


def test_two_writes_of_one_variable_and_a_shared_operand():
    with fb.Graph().as_default():
        a, b = variables((3,), (3,))
        first = fb.assign_add(a, 1.0)
        with fb.control_dependencies([first]):
            second = fb.assign_sub(a, b)
        session = fb.Session()
        x, y = session.run([a, b])
        assert late(session, fb.group(second), {}) == set()
        np.testing.assert_array_equal(session.run(a), x + 1 - y)


def test_a_restored_checkpoint_is_not_written_over(tmp_path):
    training = Training()
    training.run()
    training.session.save(tmp_path / "at.ckpt")
    before = training.state()
    training.run()
    training.session.restore(tmp_path / "at.ckpt")
    assert training.state() == before
    training.run()
    training.session.restore(tmp_path / "at.ckpt")
    assert training.state() == before


def test_what_a_run_needs_has_no_second_copy_of_the_variables():
    training = Training(fb.train.SGD(0.1), size=4000)
    memory = training.session.memory(training.fetches, training.feed)
    assert memory is not None
    assert not any("assign" in each.op for each in memory.alive)
    engine = engine_of(next(iter(training.session._plans.values())))
    assert engine is not None and {row[1] for row in engine.native.memory()} == {"arena", "result"}


def test_who_holds_no_reference_sees_the_value_change():
    """So the tests above, which look at a value that is held, would notice if nobody asked who has it."""
    training = Training()
    training.run()
    kept = stored(training).value
    before = kept.copy()
    array = np.array(kept)
    del kept
    training.session.variables._values[("w", training.w.shape, training.w.dtype)] = type(stored(training))(array, 1)
    address = array.ctypes.data
    view = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_float * array.size).from_address(address))
    del array
    training.run()  # nobody that can be seen has it: written over
    assert view.tobytes() != before.tobytes() and training.place(training.w) == address
