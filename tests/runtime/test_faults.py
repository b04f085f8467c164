"""Whatever goes wrong, wherever: a run changes all variables or none, and the session goes on."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from linecache import getline
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import RunError, SessionError
from flowbook.graph.node import PACKAGE
from tests.strategies import bytes_of

FEED = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


class Fault:
    """A host function that raises at its n-th call."""

    def __init__(self) -> None:
        self.calls = 0
        self.at = -1
        self.error: Callable[[], Any] = KeyboardInterrupt

    def __call__(self, value: Any) -> Any:
        self.calls += 1
        if self.calls - 1 == self.at:
            raise self.error()
        return value

    def arm(self, at: int, error: Callable[[], Any]) -> None:
        self.calls, self.at, self.error = 0, at, error

    def through(self, x: Any) -> Any:
        """x, passed through the host function; so is its gradient."""
        return fb.py_function(self, [x], x.dtype.name, x.shape, gradient=lambda node, dy: self.through(dy))


class Training:
    """A training step with a host function after every layer, gradient and write, dropout and a branch that writes."""

    def __init__(self) -> None:
        self.fault = fault = Fault()
        with fb.Graph(seed=3).as_default() as self.graph:
            self.x = x = fb.placeholder(("batch", 3), name="x")
            h = fault.through(fb.dropout(fb.nn.Dense(4, fb.tanh)(x), 0.25))
            loss = fault.through(fb.mean(fb.square(fault.through(fb.nn.Dense(1)(h)) - 1.0)))
            steps = fb.Variable(0, trainable=False, name="steps")
            best = fb.Variable(np.float32(np.inf), trainable=False, name="best")
            better = fb.cond(
                loss < best, lambda: fault.through(fb.assign(best, fault.through(loss))), lambda: best * 1.0
            )
            train = fb.train.Adam(0.1).minimize(loss, global_step=steps)
            with fb.control_dependencies([train, better]):
                last = fault.through(fb.assign_add(fb.Variable(0.0, trainable=False, name="total"), loss))
            self.fetches = [loss, better, train, last]
            self.session = fb.Session()

    def run(self, **options: Any) -> list[Any]:
        return self.session.run(self.fetches, {self.x: FEED}, **options)

    def state(self) -> list[Any]:
        return bytes_of(self.session.run(self.graph.variables))


def step_through(training: Training) -> list[Any]:
    """The same run by the stepper, taken back when it fails."""
    stepper = training.session.debug(training.fetches, {training.x: FEED})
    try:
        return stepper.finish()
    except BaseException:
        while stepper.back() is not None:
            pass
        raise


DRIVERS = {"plain": Training.run, "traced": lambda training: training.run(trace=True), "stepped": step_through}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, MemoryError, SystemExit])
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_an_exception_in_every_host_function_of_a_training_step(driver, error):
    training = Training()
    training.run()  # so that the optimizer's slots are not at their initial values
    training.fault.arm(-1, error)
    before = training.state()
    runs = training.session.runs
    training.fault.calls = 0
    training.session.debug(training.fetches, {training.x: FEED}).finish()
    count = training.fault.calls
    assert count >= 9
    training = Training()
    training.run()
    assert training.state() == before
    wanted = RunError if issubclass(error, Exception) else error
    for at in range(count):
        training.fault.arm(at, error)
        with pytest.raises(wanted) as info:
            driver(training)
        if wanted is RunError:
            assert type(info.value.__cause__) is error and info.value.op == "py_function" and info.value.line
        training.fault.arm(-1, error)
        assert training.state() == before, f"call {at}"
    training.session.seek(runs)
    fresh = Training()
    fresh.run()
    fresh.session.seek(runs)
    assert bytes_of(driver(training)[:2]) == bytes_of(fresh.run()[:2])
    assert training.state() == fresh.state() != before


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
def test_a_fault_in_the_first_run_leaves_variables_without_a_value(driver):
    training = Training()
    training.fault.arm(3, ValueError)
    with pytest.raises(RunError):
        driver(training)
    assert all(training.session.variables.get(each) is None for each in training.graph.variables)
    assert training.session.runs == 1
    training.fault.arm(-1, ValueError)
    assert np.isfinite(driver(training)[0])


@contextlib.contextmanager
def interrupt_at_line(number: int) -> Iterator[list[int]]:
    """Raise ``KeyboardInterrupt`` at the n-th line of flowbook that is reached; yields the count of lines so far.

    Not at a ``with lock``, to which Python comes back at the end of its block: there a signal is not looked for.
    """
    count = [0]

    def line(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and not getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
            count[0] += 1
            if count[0] - 1 == number:
                raise KeyboardInterrupt
        return line

    def call(frame: Any, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(PACKAGE) else None

    old = sys.gettrace()
    sys.settrace(call)
    try:
        yield count
    finally:
        sys.settrace(old)


class Counting:
    """Two variables that every run counts up together; `late`: as part of the commit, over the old values."""

    def __init__(self, late: bool = False) -> None:
        with fb.Graph().as_default():
            self.variables = [fb.Variable(np.zeros(2), name=name) for name in "ab"]
            self.x = fb.placeholder((2,), "float64", name="x")
            self.both: Any = [fb.assign_add(each, self.x * 1.0) for each in self.variables]
            if late:  # else the new values are asked for
                self.both = fb.group(*self.both)
            self.session = fb.Session()
        self.run()  # compiles the plan

    def run(self) -> None:
        self.session.run(self.both, {self.x: np.ones(2)})

    def values(self) -> list[list[float]]:
        return [each.tolist() for each in self.session.run(self.variables)]


def interrupts(counting: Counting) -> set[str]:
    """Interrupt runs at every line; what became of the variables."""
    seen = set()
    for number in range(10_000):
        (before, _), _ = counting.values()
        interrupted = True
        with contextlib.suppress(KeyboardInterrupt), interrupt_at_line(number):
            counting.run()
            interrupted = False
        a, b = counting.values()
        assert a == b and a[0] == a[1] and a[0] - before in (0, 1), f"line {number}: {a} and {b}"
        seen.add("done" if a[0] - before else "undone")
        if not interrupted:
            return seen
    raise AssertionError("it never ended")


@pytest.mark.parametrize("late", [False, True])
def test_ctrl_c_at_every_line_of_a_run(late):
    counting = Counting(late)
    assert interrupts(counting) == {"done", "undone"}
    before = counting.values()[0][0]
    counting.run()
    assert counting.values() == [[before + 1] * 2] * 2


def test_planted_bug_a_commit_in_two_parts_is_noticed(monkeypatch):
    counting = Counting()
    original = type(counting.session.variables).commit

    def one_by_one(self, writes, initial=None, updates=None):
        for variable, value in writes.items():
            version = original(self, {variable: value}, initial)
        return version

    monkeypatch.setattr(type(counting.session.variables), "commit", one_by_one)
    with pytest.raises(AssertionError, match="line"):
        interrupts(counting)


def test_ctrl_c_at_every_line_of_a_step():
    """The stepper stands before or after the node, and can go on and all the way back."""
    counting = Counting()
    for number in range(10_000):
        before = counting.values()
        stepper = counting.session.debug(counting.both, {counting.x: np.ones(2)})
        interrupted = True
        with contextlib.suppress(KeyboardInterrupt), interrupt_at_line(number):
            while stepper.step() is not None:
                pass
            interrupted = False
        expected = [[each[0] + 1] * 2 for each in before]
        assert [each.tolist() for each in stepper.finish()] == expected == counting.values(), f"line {number}"
        while stepper.back() is not None:
            pass
        assert counting.values() == before, f"line {number}"
        if not interrupted:
            return


class Walking:
    """A stepper before the last of five nodes, two of which have written."""

    def __init__(self, pinned: bool) -> None:
        with fb.Graph().as_default():
            self.variables = [fb.Variable(np.zeros(2), name=name) for name in "ab"]
            x = fb.placeholder((2,), "float64", name="x")
            y = fb.multiply(x, 2.0, name="y")
            first = fb.assign_add(self.variables[0], y, name="first")
            second = fb.assign_add(self.variables[1], first, name="second")
            z = fb.exp(second, name="z")
            w = fb.add(z, 1.0, name="w")
            self.session = fb.Session()
        self.tensors = [x, y, first, second, z, w]
        self.stepper = self.session.debug(w, {x: np.ones(2)})
        self.stepper.to(z)
        if pinned:
            self.stepper.set_value(y, [5.0, 5.0])

    def state(self) -> list[Any]:
        """The position, every value so far, and what the session holds."""
        found: list[Any] = [self.stepper.position]
        for tensor in self.tensors:
            with contextlib.suppress(SessionError):
                found.append(bytes_of([self.stepper.value(tensor)]))
        stored = [self.session.variables.get(each) for each in self.variables]
        return [*found, *(each and bytes_of([each.value]) for each in stored)]


MOVES = {
    "set": lambda d: d.set_value("y", [3.0, 3.0]),
    "set a feed": lambda d: d.set_value("x", [3.0, 3.0]),
    "reset": lambda d: d.reset_value("y"),
    "back": lambda d: (d.back(), d.back(), d.back()),
    "to": lambda d: d.to("first"),
}


@pytest.mark.parametrize("name", MOVES)
def test_ctrl_c_at_every_line_of_an_edit_or_a_way_back(name):
    """Nothing has changed, or all has; and it can be undone to the beginning."""
    move, pinned = MOVES[name], name == "reset"
    whole = Walking(pinned)
    possible = [whole.state()]
    if name in ("back", "to"):
        for _ in range(3):
            whole.stepper.back()
            possible.append(whole.state())
    else:
        move(whole.stepper)
        possible.append(whole.state())
    for number in range(10_000):
        walking = Walking(pinned)
        interrupted = True
        with contextlib.suppress(KeyboardInterrupt), interrupt_at_line(number):
            move(walking.stepper)
            interrupted = False
        assert walking.state() in possible, f"line {number}"
        walking.stepper.finish()
        while walking.stepper.back() is not None:
            pass
        assert [walking.session.variables.get(each) for each in walking.variables] == [None, None], f"line {number}"
        if not interrupted:
            return


def test_a_real_ctrl_c_in_a_stepper():
    with fb.Graph().as_default():
        v = fb.Variable(1.0, name="v")
        u = fb.assign_add(v, 1.0)

        def press(value: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return value

        y = fb.py_function(press, [u], "float32", ())
        session = fb.Session()
    stepper = session.debug(y)
    with pytest.raises(KeyboardInterrupt):
        stepper.finish()
    assert stepper.position == 1 and stepper.state(y) == "ready" and session.run(v) == 2.0
    stepper.back()
    assert session.variables.get(v) is None
