"""What goes wrong in the middle of a native run: it is told, no variable changes by half, the session goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import RunError

pytest.importorskip("flowbook.native._native", reason="the native library was not built")


def training() -> tuple[Any, list[Any], list[Any]]:
    """Two layers, Adam: products, groups, views, many writes."""
    x, y = fb.placeholder((16, 8), name="x"), fb.placeholder((16,), "int32", name="y")
    init = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    w, v = fb.Variable(init, name="w"), fb.Variable(init[:, :4], name="v")
    loss = fb.mean(fb.sparse_softmax_cross_entropy(y, fb.relu(x @ w) @ v))
    train = fb.train.Adam(0.1).minimize(loss)
    return [x, y], [loss, train], x.graph.variables


def feeds(inputs: list[Any]) -> dict[Any, Any]:
    rng = np.random.default_rng(1)
    return {inputs[0]: rng.normal(size=(16, 8)).astype(np.float32), inputs[1]: rng.integers(0, 4, 16).astype(np.int32)}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt])
def test_a_fault_at_every_step_in_turn(error: type[BaseException], threads: int, monkeypatch) -> None:
    with fb.Graph().as_default():
        inputs, fetches, variables = training()
        feed = feeds(inputs)
        session, untouched = fb.Session(threads=threads), fb.Session(threads=threads)
        session.run(fetches, feed)
        untouched.run(fetches, feed)
        original, at = session.plan, 0

        def fail(*operands: Any) -> Any:
            raise error

        def plan(*args: Any, **kwargs: Any) -> Any:
            found = original(*args, **kwargs)
            return found.with_steps([step._replace(fn=fail) if step.index == at else step for step in found.steps])

        before = [each.tobytes() for each in session.run(variables)]
        count = len(original(fetches, feed).steps)
        assert count > 8
        for at in range(count):  # noqa: B007 - `plan` reads it
            monkeypatch.setattr(session, "plan", plan)
            with pytest.raises(RunError if issubclass(error, Exception) else error):
                session.run(fetches, feed)
            monkeypatch.undo()
            assert [each.tobytes() for each in session.run(variables)] == before
        assert session.run(fetches[0], feed).tobytes() == untouched.run(fetches[0], feed).tobytes()


@pytest.mark.skipif(
    not hasattr(signal, "SIGINT") or threading.current_thread() is not threading.main_thread(),
    reason="signals arrive on the main thread",
)
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_run_soon(threads: int) -> None:
    """Thousands of products, and SIGINT while they run: most of them never begin."""
    with fb.Graph().as_default():
        x = fb.placeholder((700, 700), name="x")
        w = fb.Variable(np.zeros((700, 700), np.float32), name="w")
        y = x
        for _ in range(2000):
            y = y @ x
        fetches = [fb.assign(w, y)]
        session = fb.Session(threads=threads)
        session.run(w)
        feed = {x: np.eye(700, dtype=np.float32)}
        session.plan(fetches, feed)
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        try:
            with session.timeline() as timeline, pytest.raises(KeyboardInterrupt):
                session.run(fetches, feed)
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, handler)
        assert 0 < len(timeline) < 2000
        assert not session.run(w).any()
        assert session.run(fb.sum(x), feed) == 700


EXHAUST = """
import resource
import numpy as np
import flowbook as fb

x = fb.placeholder(("n", 1024), name="x")
w = fb.Variable(np.ones(1024, np.float32), name="w")
y = fb.softmax(fb.matrix_transpose(fb.softmax(x * w)))
write = fb.assign_add(w, fb.sum(y, axis=1))
session = fb.Session()
small = np.zeros((4, 1024), np.float32)
session.run(write, {x: small})
before = session.run(w)
large = np.zeros((1 << 17, 1024), np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28),) * 2)
for _ in range(3):
    try:
        session.run(write, {x: large})
    except fb.errors.RunError as error:
        print("bytes at once" in str(error), error.op == "softmax", "smaller batch" in (error.hint or ""))
print(np.array_equal(session.run(w), before), session.run(write, {x: small}).shape)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the test limits memory as Linux does")
def test_memory_that_is_not_there() -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", EXHAUST], capture_output=True, text=True, cwd=Path(__file__).parents[2], env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True"] * 9 + ["True", "(1024,)"]


@pytest.mark.slow
def test_random_graphs_on_eight_threads_for_minutes() -> None:
    """Many graphs, each run by several threads at once on a pool of eight: always the bytes of one thread."""
    from tests.compile.test_fuse import build

    rng = np.random.default_rng(0)
    kinds = ["add", "multiply", "tanh", "relu", "matmul", "transpose", "sum0", "sum1", "row", "exp", "bias"]
    end = time.monotonic() + 120
    while time.monotonic() < end:
        recipe = [
            (str(rng.choice(kinds)), int(rng.integers(0, at + 2)), int(rng.integers(0, at + 2)))
            for at in range(int(rng.integers(5, 60)))
        ]
        with fb.Graph().as_default():
            x, values = build(recipe)
            fetches = [*values[-3:], *fb.gradients(values[-1], [x], unconnected="zeros")]
            feed = {x: rng.normal(size=(4, 4)).astype(np.float32)}
            wanted = [each.tobytes() for each in fb.Session(threads=1).run(fetches, feed)]
            session = fb.Session(threads=8)
            wrong: list[int] = []

            def work(number: int) -> None:
                for _ in range(10):
                    if [each.tobytes() for each in session.run(fetches, feed)] != wanted:  # noqa: B023
                        wrong.append(number)  # noqa: B023

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert not wrong, recipe


def test_too_little_memory_names_the_node_that_wants_most(monkeypatch) -> None:
    """The plan's memory is one piece; where it is not to be had, the run says so, and the session goes on."""
    with fb.Graph().as_default():
        x = fb.placeholder(("n", 50), name="x")
        w = fb.Variable(np.ones((50, 8), np.float32), name="w")
        scores = fb.softmax(x @ fb.matrix_transpose(x), name="scores")
        step = fb.train.SGD(0.1).minimize(fb.sum(scores) * fb.sum(x @ w))
        session = fb.Session()
    session.run(step, {x: np.ones((4, 50), np.float32)})
    before = session.run(w).tobytes()

    def no_memory(*args: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("flowbook.runtime.engine.Engine.run", no_memory)
        with pytest.raises(RunError) as info:
            session.run(step, {x: np.ones((1000, 50), np.float32)})
    assert info.value.node in ("scores", "matmul_1") and info.value.line
    assert "4,000,000 of them" in str(info.value) and "session.memory" in str(info.value)
    assert session.run(w).tobytes() == before
    session.run(step, {x: np.ones((4, 50), np.float32)})
    assert session.run(w).tobytes() != before
