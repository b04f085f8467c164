"""`save_repro` and `load_repro`: one run, replayed to the byte, also where nothing else of it is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FeedError, FetchError, FileError, RunError, SessionError, ShapeError
from flowbook.graph import container
from flowbook.interchange import repro as module

DATA = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def graph():
    with fb.Graph(seed=11).as_default() as g:
        yield g


def model() -> tuple[fb.Session, Any, dict[Any, Any]]:
    """A session that has trained a little, and the fetches and feeds of its next run."""
    x, y = fb.placeholder(("batch", 3), name="x"), fb.placeholder(("batch",), name="y")
    h = fb.dropout(fb.nn.Dense(8, fb.relu)(x), 0.25)
    out = fb.reshape(fb.nn.Dense(1)(h), (-1,))
    noisy = fb.cond(fb.mean(out) > 0, lambda: out + fb.random.normal((1,)), lambda: out * fb.random.uniform((1,)))
    loss = fb.mean(fb.square(noisy - y), name="loss")
    step = fb.train.Adam(0.05).minimize(loss, name="step")
    fetches = {"loss": loss, "rest": [step, (noisy, fb.random.permutation(7))], "names": ["loss"]}
    feeds = {x: DATA, "y": DATA[:, 0] ** 2}
    session = fb.Session()
    for _ in range(3):
        session.run([loss, step], feeds)
    return session, fetches, feeds


def flat(found: Any) -> list[Any]:
    """Structure and bytes as one plain value."""
    if isinstance(found, dict):
        return ["dict", *[[key, flat(value)] for key, value in found.items()]]
    if isinstance(found, (list, tuple)):
        return [type(found).__name__, *map(flat, found)]
    return [None] if found is None else [found.dtype.name, list(found.shape), found.tobytes().hex()]


def values_of(session: fb.Session) -> list[Any]:
    return flat(session.run(session.graph.variables))


# ------------------------------------------------------------------------------------------------ the same bytes


def test_a_run_is_replayed_to_the_byte_as_often_as_wanted(graph, tmp_path):
    session, fetches, feeds = model()
    before = values_of(session)
    fb.save_repro(tmp_path / "a.repro", session, fetches, feeds)
    again = fb.load_repro(str(tmp_path / "a.repro"))
    assert values_of(again.session) == before == values_of(session)
    session.seek(again.runs)  # looking at the variables was a run, too
    expected = flat(session.run(fetches, feeds))
    assert [flat(again.run()) for _ in range(3)] == [expected] * 3
    assert flat(again.run(trace=True)) == expected and len(again.session.trace.timings()) > 20
    assert values_of(again.session) == values_of(session)
    assert repr(again).startswith("<Repro: run 5 of <Graph")


def test_saving_draws_no_numbers_and_changes_nothing(graph, tmp_path):
    session, fetches, feeds = model()
    runs = session.runs
    fb.save_repro(tmp_path / "a.repro", session, fetches, feeds)
    fb.save_repro(tmp_path / "b.repro", session, fetches, feeds)
    assert session.runs == runs
    assert (tmp_path / "a.repro").read_bytes() == (tmp_path / "b.repro").read_bytes()
    assert flat(session.run(fetches, feeds)) == flat(fb.load_repro(tmp_path / "b.repro").run())


REPLAY = """
import hashlib, json, sys
import flowbook as fb
from tests.interchange.test_repro import flat
again = fb.load_repro(sys.argv[1])
first = flat(again.run())
assert first == flat(again.run())
print(json.dumps([again.runs, first]))
"""


def test_a_fresh_process_gives_the_same_bytes(graph, tmp_path):
    session, fetches, feeds = model()
    fb.save_repro(tmp_path / "a.repro", session, fetches, feeds)
    runs, expected = session.runs, flat(session.run(fetches, feeds))
    root = Path(fb.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPLAY, str(tmp_path / "a.repro")],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "4711"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [runs, expected]


def test_the_run_counter_and_the_seed_decide_about_random_numbers(graph, tmp_path):
    noise = [fb.random.normal((4,)), fb.random.integers((4,), 0, 1000, seed=5)]
    session = fb.Session()
    seen = []
    for number in range(4):
        fb.save_repro(tmp_path / f"{number}.repro", session, noise)
        seen.append(flat(session.run(noise)))
    assert len(set(map(str, seen))) == 4
    for number in (2, 0, 3, 1):
        assert flat(fb.load_repro(tmp_path / f"{number}.repro").run()) == seen[number]


def test_the_run_that_failed_fails_again_in_the_same_way(graph, tmp_path):
    def check(value):
        if value.max() > 0.5:
            raise ValueError(f"too large: {value.max()}")
        return value

    v = fb.Variable(0.0, name="v")
    y = fb.py_function(check, [fb.random.uniform((3,), seed=2)], "float32", (3,), name="y")
    bump = fb.assign_add(v, fb.sum(y))
    session = fb.Session()
    with pytest.raises(RunError) as caught:
        while True:
            runs = session.runs
            session.run(bump)
    session.seek(runs)
    fb.save_repro(tmp_path / "a.repro", session, bump)
    again = fb.load_repro(tmp_path / "a.repro", functions={"check": check})
    for _ in range(2):
        with pytest.raises(RunError) as replayed:
            again.run(trace=True)
        assert replayed.value.message == caught.value.message and replayed.value.line == caught.value.line
    assert again.session.trace.failed.node == "y"


def test_a_function_that_is_missing_is_named_when_it_runs(graph, tmp_path):
    y = fb.cond(fb.constant(True), lambda: fb.py_function(abs, [fb.constant(-1.0)], "float32", ()), lambda: 0.0)
    fb.save_repro(tmp_path / "a.repro", fb.Session(), y)
    with pytest.raises(RunError, match="'abs' is not here"):
        fb.load_repro(tmp_path / "a.repro").run()
    assert fb.load_repro(tmp_path / "a.repro", {"abs": abs}).run() == 1.0


def test_two_devices_are_replayed_on_two_devices(graph, tmp_path):
    x = fb.placeholder((2,), name="x")
    with fb.device("cpu:1"):
        y = fb.exp(x)
    session = fb.Session(devices=["cpu:1", "cpu:0"])
    fb.save_repro(tmp_path / "a.repro", session, y, {x: [1, 2]})
    again = fb.load_repro(tmp_path / "a.repro")
    assert again.session.devices == ("cpu:1", "cpu:0") and flat(again.run()) == flat(session.run(y, {x: [1, 2]}))


# ------------------------------------------------------------------------------------------------ fetches and feeds


def test_structure_of_fetches_survives_with_plain_containers(graph, tmp_path):
    a, v = fb.constant([1.0, 2.0], name="a"), fb.Variable(3, name="v")
    left, right = fb.split(a, 2)
    nothing = fb.group(fb.assign_add(v, 1), name="nothing")
    pair = namedtuple("pair", "x y")
    fetches = [a, (left, right), {"k": v, 1: [], None: (), 2.5: {}, "t": nothing}, OrderedDict(z=pair(a, v))]
    session = fb.Session()
    fb.save_repro(tmp_path / "a.repro", session, fetches)
    found = fb.load_repro(tmp_path / "a.repro").run()
    expected = session.run(fetches)
    assert flat(found) == flat([*expected[:3], {"z": tuple(expected[3]["z"])}])
    assert list(found[2]) == ["k", 1, None, 2.5, "t"] and found[2]["t"] is None


def test_feeds_of_any_tensor_and_dtype_survive(graph, tmp_path):
    x = fb.placeholder((None, "n"), "float16", name="x")
    flag = fb.placeholder((), "bool", name="flag")
    v = fb.Variable([1.0], name="v")
    left, right = fb.split(fb.astype(x, "int8"), 2, axis=0)
    feeds = {
        x: np.array([[np.nan, -0.0], [1, 2]], np.float16).T[::-1],
        flag: True,
        v: [7.0],
        right: np.ones((1, 2), "int8"),
    }
    fetches = [x, flag, v * 2.0, left, right]
    session = fb.Session()
    fb.save_repro(tmp_path / "a.repro", session, fetches, feeds)
    assert flat(fb.load_repro(tmp_path / "a.repro").run()) == flat(session.run(fetches, feeds))


def test_a_feed_is_kept_as_it_was(graph, tmp_path):
    x = fb.placeholder((3,), name="x")
    feed = np.ones(3, np.float32)
    fb.save_repro(tmp_path / "a.repro", fb.Session(), x, {x: feed})
    feed[:] = 9.0
    again = fb.load_repro(tmp_path / "a.repro")
    again.run()[:] = 5.0
    assert again.run().tolist() == [1, 1, 1]


def test_wrong_fetches_and_feeds_are_refused_as_by_run_and_write_nothing(graph, tmp_path):
    x = fb.placeholder(("n", 2), name="x")
    y = fb.placeholder(("n",), name="y")
    path = tmp_path / "a.repro"
    session = fb.Session()
    for fetches, feeds, error in (
        ("nothing", None, FetchError),
        ([x, 3], None, FetchError),
        (x, {x: np.ones((2, 3))}, FeedError),
        (x, {x: np.ones((2, 2)), y: np.ones(3)}, FeedError),
        (x, {"z": 1.0}, FeedError),
    ):
        with pytest.raises(error):
            fb.save_repro(path, session, fetches, feeds)
    session.close()
    with pytest.raises(SessionError):
        fb.save_repro(path, session, x)
    assert not list(tmp_path.iterdir())


def test_a_run_that_cannot_be_compiled_has_a_repro_too(graph, tmp_path):
    x, y = fb.placeholder((None,), name="x"), fb.placeholder((None,), name="y")
    feeds = {x: np.ones(2), y: np.ones(3)}
    fb.save_repro(tmp_path / "a.repro", fb.Session(), x + y, feeds)
    with pytest.raises(ShapeError):
        fb.load_repro(tmp_path / "a.repro").run()


# ------------------------------------------------------------------------------------------------ unsound files


def saved(tmp_path: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    x = fb.placeholder((2,), name="x")
    v = fb.Variable([1.0, 2.0], name="v")
    path = tmp_path / "a.repro"
    fb.save_repro(path, fb.Session(), {"y": [fb.add(x, v, name="y")]}, {x: [1, 2]})
    return path, *container.read(path, "repro")


UNSOUND = {
    "no variables": {"variables": None},
    "variables of another graph": {"variables": {"w": "0"}},
    "runs negative": {"runs": -1},
    "runs beyond": {"runs": 2**63},
    "runs a bool": {"runs": True},
    "runs a float": {"runs": 1.0},
    "devices text": {"devices": "cpu:0"},
    "devices numbers": {"devices": [0]},
    "no devices": {"devices": []},
    "a device that is not here": {"devices": ["gpu:99"]},
    "a device that is none": {"devices": ["../x"]},
    "feeds an object": {"feeds": {}},
    "feed too short": {"feeds": [["", "x", 0]]},
    "feed of no array": {"feeds": [["", "x", 0, "99"]]},
    "feed of no node": {"feeds": [["", "q", 0, "0"]]},
    "feed of no output": {"feeds": [["", "x", 1, "0"]]},
    "feed of a node": {"feeds": [["", "x", None, "0"]]},
    "feed of another cell": {"feeds": [["c", "x", 0, "0"]]},
    "no fetches": {"fetches": None},
    "fetch of no node": {"fetches": ["", "q", 0]},
    "fetch of no output": {"fetches": ["", "y", -1]},
    "fetch of a bool output": {"fetches": ["", "y", False]},
    "fetches of no kind": {"fetches": {"set": []}},
    "fetches of two kinds": {"fetches": {"list": [], "tuple": []}},
    "fetches of a list as key": {"fetches": {"dict": [[[], ["", "y", 0]]]}},
    "fetches of triples": {"fetches": {"dict": [["a", ["", "y", 0], 1]]}},
}


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_document_is_refused_under_a_right_checksum(graph, tmp_path, case):
    path, document, arrays = saved(tmp_path)
    container.write(path, "repro", document, arrays)
    assert fb.load_repro(path).run()["y"][0].tolist() == [2, 4]
    container.write(path, "repro", {**document, **UNSOUND[case]}, arrays)
    with pytest.raises(FileError, match=r"a\.repro: "):
        fb.load_repro(path)


def test_a_feed_that_does_not_fit_is_refused_when_loading(graph, tmp_path):
    path, document, arrays = saved(tmp_path)
    arrays[document["feeds"][0][3]] = np.ones(3)
    container.write(path, "repro", document, arrays)
    with pytest.raises(FileError, match=r"a\.repro: the feed of 'x' has shape \(3,\)"):
        fb.load_repro(path)


def test_other_kinds_of_files_are_refused(graph, tmp_path):
    fb.save_graph(tmp_path / "a.flow", graph, fb.Session())
    with pytest.raises(FileError, match="load it with load_graph"):
        fb.load_repro(tmp_path / "a.flow")
    with pytest.raises(FileError, match="cannot read"):
        fb.load_repro(tmp_path / "missing.repro")


# ------------------------------------------------------------------------------------------------ planted bugs


@pytest.mark.parametrize("forgotten", ["runs", "seed", "variables"])
def test_planted_bug_what_is_not_kept_gives_other_bytes(graph, tmp_path, monkeypatch, forgotten):
    session, fetches, feeds = model()
    original = container.write

    def forgetful(path, kind, document, arrays):
        if forgotten == "runs":
            document["runs"] = 0
        elif forgotten == "seed":
            document["graph"]["seed"] += 1
        else:
            for place in document["variables"].values():
                arrays[place] = np.zeros_like(arrays[place])
        original(path, kind, document, arrays)

    monkeypatch.setattr(module.container, "write", forgetful)
    fb.save_repro(tmp_path / "a.repro", session, fetches, feeds)
    assert flat(fb.load_repro(tmp_path / "a.repro").run()) != flat(session.run(fetches, feeds))


def test_planted_bug_a_replay_that_does_not_rewind_is_noticed(graph, tmp_path, monkeypatch):
    session, fetches, feeds = model()
    fb.save_repro(tmp_path / "a.repro", session, fetches, feeds)
    again = fb.load_repro(tmp_path / "a.repro")
    expected = flat(session.run(fetches, feeds))
    monkeypatch.setattr(module.Repro, "_rewind", lambda self: None)
    assert flat(again.run()) == expected
    assert flat(again.run()) != expected
