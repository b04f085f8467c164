"""`Session.save` and `Session.restore`: all of the variables or none, and files that cannot hurt."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FileError, RunError, SessionError
from flowbook.graph import container
from flowbook.graph.types import SUPPORTED
from flowbook.runtime import checkpoint


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


def state(session: fb.Session) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Dtype, shape and bytes of every variable."""
    variables = session.graph.variables
    values = session.run(variables)
    return {each.name: (a.dtype.name, a.shape, a.tobytes()) for each, a in zip(variables, values, strict=True)}


def two(first: float = 1.0) -> fb.Session:
    """A session with variables a (two floats) and n (an int), in a graph of its own."""
    with fb.Graph().as_default():
        fb.Variable(np.array([first, 2.0], np.float32), name="a")
        fb.Variable(3, name="n")
        return fb.Session()


# ------------------------------------------------------------------------------------------------ round trips


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)], ids=str)
def test_every_dtype_and_shape_comes_back_bit_for_bit(graph, tmp_path, shape, rng):
    for dtype in SUPPORTED:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = rng.integers(0, 2 if dtype == "bool" else 256, size, np.uint8)  # NaN with any payload among the floats
        fb.Variable(raw.view(dtype).reshape(shape), name=f"v/{dtype}")
    session = fb.Session()
    before = state(session)
    assert len(before) == len(SUPPORTED) and {each[0] for each in before.values()} == set(SUPPORTED)
    session.save(tmp_path / "a.ckpt")
    session.run([fb.assign(each, np.zeros(shape, each.dtype)) for each in graph.variables])
    other = fb.Session()
    for target in (session, other):
        target.restore(str(tmp_path / "a.ckpt"))
        assert state(target) == before


def test_special_numbers_and_odd_names_survive(graph, tmp_path):
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])
    fb.Variable(values, name="größe/β_1")
    session = fb.Session()
    session.save(tmp_path / "ä b.ckpt")
    fresh = fb.Session()
    fresh.restore(tmp_path / "ä b.ckpt")
    assert fresh.run("größe/β_1").tobytes() == values.tobytes()


def test_unused_variables_are_saved_with_their_initial_values(graph, tmp_path):
    v = fb.Variable(fb.random.normal((3,)), name="v")
    session = fb.Session()
    session.save(tmp_path / "a.ckpt")
    _, arrays = container.read(tmp_path / "a.ckpt", "checkpoint")
    assert arrays["v"].tobytes() == fb.Session().run(v).tobytes() == session.run(v).tobytes()


def test_a_graph_without_variables_has_a_checkpoint_too(graph, tmp_path):
    fb.Session().save(tmp_path / "a.ckpt")
    fb.Session().restore(tmp_path / "a.ckpt")
    with pytest.raises(FileError, match="not in the file: 'a', 'n'"):
        two().restore(tmp_path / "a.ckpt")


def test_restored_values_are_the_sessions_own(graph, tmp_path):
    v = fb.Variable(np.ones(3), name="v")
    session = fb.Session()
    session.save(tmp_path / "a.ckpt")
    session.restore(tmp_path / "a.ckpt")
    session.run(v)[:] = 9.0
    session.run(fb.assign_add(v, np.ones(3)))
    session.restore(tmp_path / "a.ckpt")
    assert session.run(v).tolist() == [1, 1, 1]


def test_saving_draws_no_random_numbers_and_counts_no_run(graph, tmp_path):
    noise = fb.random.normal((2,), name="noise")
    fb.Variable(fb.random.normal((2,)), name="v")
    session, plain = fb.Session(), fb.Session()
    session.save(tmp_path / "a.ckpt")
    session.restore(tmp_path / "a.ckpt")
    assert session.runs == 0 and session.run(noise).tobytes() == plain.run(noise).tobytes()


def training(optimizer: Any) -> tuple[fb.Session, Any]:
    """A session and a function that trains one step and gives the loss."""
    with fb.Graph(seed=2).as_default():
        x, y = fb.placeholder(("batch", 3), name="x"), fb.placeholder(("batch",), name="y")
        h = fb.nn.Dense(5, fb.tanh)(x)
        loss = fb.mean(fb.square(fb.reshape(fb.nn.Dense(1)(h), (-1,)) - y), name="loss")
        step = optimizer().minimize(loss)
        session = fb.Session()
    data = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    return session, lambda: session.run([loss, step], {x: data, y: data[:, 0] ** 2})[0].tobytes()


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: fb.train.SGD(0.1),
        lambda: fb.train.Momentum(0.1, 0.9),
        lambda: fb.train.RMSProp(0.01),
        lambda: fb.train.Adagrad(0.1),
        lambda: fb.train.Adam(0.05),
    ],
    ids=["SGD", "Momentum", "RMSProp", "Adagrad", "Adam"],
)
def test_training_goes_on_to_the_same_bytes_in_another_session(tmp_path, optimizer):
    session, learn = training(optimizer)
    for _ in range(3):
        learn()
    session.save(tmp_path / "a.ckpt")
    expected = [learn() for _ in range(3)]
    other, learn_on = training(optimizer)
    learn_on()
    other.restore(tmp_path / "a.ckpt")
    assert [learn_on() for _ in range(3)] == expected and len(set(expected)) == 3
    assert state(other) == state(session)


def test_planted_bug_optimizer_slots_that_are_not_saved_are_noticed(tmp_path, monkeypatch):
    session, learn = training(lambda: fb.train.Adam(0.05))
    learn(), learn()
    original = checkpoint.values
    monkeypatch.setattr(
        checkpoint, "values", lambda s: {v: a for v, a in original(s).items() if not v.name.endswith("/m")}
    )
    session.save(tmp_path / "a.ckpt")
    expected = [learn(), learn()]
    other, learn_on = training(lambda: fb.train.Adam(0.05))
    learn_on()
    with pytest.raises(FileError, match=r"not in the file: .*/m'"):
        other.restore(tmp_path / "a.ckpt")
    other.restore(tmp_path / "a.ckpt", strict=False)
    found = [learn_on(), learn_on()]
    assert found[0] == expected[0] and found[1] != expected[1]  # the weights were there, their momentum was not


# ------------------------------------------------------------------------------------------------ all or nothing


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    two(1.0).save(path)
    old = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(FileError, match=r"cannot write .*a\.ckpt: No space left on device"):
            two(5.0).save(path)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    two(5.0).save(path)
    assert path.read_bytes() != old and list(tmp_path.iterdir()) == [path]


def test_a_save_whose_initial_values_fail_writes_nothing(graph, tmp_path):
    def fail():
        raise ValueError("no value")

    fb.Variable(fb.py_function(fail, [], "float32", ()), name="v")
    with pytest.raises(RunError, match="no value"):
        fb.Session().save(tmp_path / "a.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_restore_waits_for_a_run_that_writes(graph, tmp_path):
    entered, go = threading.Event(), threading.Event()

    def wait(value):
        entered.set()
        assert go.wait(30)
        return value

    v = fb.Variable(1.0, name="v")
    slow = fb.assign(v, fb.py_function(wait, [v + 1.0], "float32", ()))
    session = fb.Session()
    session.save(tmp_path / "a.ckpt")
    run = threading.Thread(target=session.run, args=(slow,))
    run.start()
    assert entered.wait(30)
    restore = threading.Thread(target=session.restore, args=(tmp_path / "a.ckpt",))
    restore.start()
    go.set()
    run.join(30)
    restore.join(30)
    assert session.run(v) == 1.0  # not the 2.0 of the run that ended before


def test_a_closed_session_neither_saves_nor_restores(tmp_path):
    session = two()
    session.save(tmp_path / "a.ckpt")
    session.close()
    for use in (session.save, session.restore):
        with pytest.raises(SessionError, match="closed"):
            use(tmp_path / "a.ckpt")


# ------------------------------------------------------------------------------------------------ files that do not fit


def refused(session: fb.Session, path: Path, match: str, **options: Any) -> FileError:
    """Restoring raises, and changes nothing."""
    before, version = state(session), session.variables.version
    with pytest.raises(FileError, match=match) as caught:
        session.restore(path, **options)
    assert state(session) == before and session.variables.version == version
    assert "Traceback" not in str(caught.value) and "a.ckpt" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "not a flowbook file: it is empty"),
        (lambda data: data[:40], "damaged: it ends too early"),
        (lambda data: data[:-1], "damaged: its checksum"),
        (lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], "damaged: its checksum"),
        (lambda data: data + b"\0", "damaged: its checksum"),
        (lambda data: b"\x93NUMPY" + data[6:], "not a flowbook file"),
        (lambda data: b"PK\x03\x04" + data, "not a flowbook file"),
        (lambda data: data[:8] + b"\x02" + data[9:], "newer flowbook"),
    ],
    ids=["empty", "stub", "truncated", "bit", "longer", "npy", "zip", "newer"],
)
def test_damaged_and_foreign_files(tmp_path, change, message):
    path = tmp_path / "a.ckpt"
    two(7.0).save(path)
    path.write_bytes(change(path.read_bytes()))
    session = two()
    for strict in (True, False):
        refused(session, path, message, strict=strict)


def test_missing_files_folders_and_other_kinds(tmp_path):
    session = two()
    path = tmp_path / "a.ckpt"
    refused(session, path, "No such file or directory")
    path.mkdir()
    refused(session, path, "cannot read")
    with pytest.raises(FileError, match="cannot write"):
        session.save(path)
    path.rmdir()
    fb.save_graph(path, session.graph, session)
    error = refused(session, path, 'this is a file of kind "graph"; expected was "checkpoint"')
    assert error.hint is not None and "load_graph" in error.hint


def test_every_difference_is_listed_by_name(tmp_path):
    path = tmp_path / "a.ckpt"
    with fb.Graph().as_default():
        for name, value in (("same", 1.0), ("shape", [1.0, 2.0]), ("dtype", 1), ("extra", 1.0)):
            fb.Variable(value, name=name)
        fb.Session().save(path)
    with fb.Graph().as_default():
        for name, value in (("same", 5.0), ("shape", [1.0]), ("dtype", 1.0), ("absent", 1.0), ("too", 2.0)):
            fb.Variable(value, name=name)
        session = fb.Session()
    error = refused(session, path, "does not fit the variables of this graph")
    assert error.message.splitlines()[1:] == [
        "  'shape' is float32 (2,) in the file and float32 (1,) in the graph",
        "  'dtype' is int64 () in the file and float32 () in the graph",
        "  not in the file: 'absent', 'too'",
        "  not in the graph: 'extra'",
    ]
    error = refused(session, path, "does not fit", strict=False)  # shapes and dtypes matter all the same
    assert len(error.message.splitlines()) == 3 and error.hint is not None and "built like" in error.hint


def test_without_strict_what_is_in_both_is_restored(tmp_path):
    path = tmp_path / "a.ckpt"
    two(7.0).save(path)
    with fb.Graph().as_default():
        fb.Variable(np.zeros(2, np.float32), name="a")
        fb.Variable(4.0, name="fresh")
        session = fb.Session()
    error = refused(session, path, "not in the file: 'fresh'\n  not in the graph: 'n'")
    assert error.hint is not None and "strict=False" in error.hint
    session.restore(path, strict=False)
    assert session.run("a").tolist() == [7, 2] and session.run("fresh") == 4.0


def test_names_from_a_file_are_shown_short_and_harmless(tmp_path):
    path = tmp_path / "a.ckpt"
    names = ["\x1b[31m red", "x" * 100_000, *(f"v{each}" for each in range(40))]
    container.write(path, "checkpoint", {}, {name: np.zeros(1) for name in names})
    error = refused(two(), path, "and 22 more")
    assert "\x1b" not in str(error) and len(str(error)) < 1_000


def test_planted_bug_a_restore_that_is_not_all_or_nothing_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    with fb.Graph().as_default():
        fb.Variable(np.array([9.0, 9.0], np.float32), name="a")
        fb.Variable(3.0, name="n")
        fb.Session().save(path)

    def eager(session, path, *, strict=True):
        _, arrays = container.read(path, "checkpoint")
        for variable in session.graph.variables:
            session.variables.commit(checkpoint.match(session.graph, {"a": arrays["a"]}, str(path), strict=False))
            checkpoint.match(session.graph, {variable.name: arrays[variable.name]}, str(path), strict=False)

    refused(two(), path, "'n' is float32")
    monkeypatch.setattr(checkpoint, "restore", eager)
    with pytest.raises(AssertionError):
        refused(two(), path, "'n' is float32")
