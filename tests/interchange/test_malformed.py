"""Files of all kinds, changed at random: they load as what they say, or a `FlowError` says why not; never worse."""

from __future__ import annotations

import contextlib
import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FileError, FlowError
from flowbook.graph import container, serialize
from flowbook.graph.check import check
from flowbook.graph.types import TensorSpec
from flowbook.runtime import checkpoint, tracedata
from flowbook.runtime.trace import Trace
from tests.interchange.malformed import change_bytes, change_document, places, reseal, seal, session, unseal, write_all

KINDS = ("checkpoint", "graph", "repro", "trace")


class Loaders:
    """Loads files of each kind into one session, and uses all that was loaded; raises what that raises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = session()
        self.files = write_all(self.session, folder)

    def state(self) -> Any:
        """What a refused file must not change."""
        values = checkpoint.values(self.session)
        kept = {each.name: value.tobytes() for each, value in values.items()}
        return kept, self.session.variables.version, self.session.runs, self.session.graph.version

    def load(self, kind: str, data: bytes) -> None:
        """Write a file, load it and look at everything in it."""
        path = self.folder / "changed"
        path.write_bytes(data)
        getattr(self, f"load_{kind}")(path)

    def load_checkpoint(self, path: Path) -> None:
        self.session.restore(path)
        _, arrays = container.read(path, "checkpoint")
        for variable, value in checkpoint.values(self.session).items():
            assert TensorSpec(value.shape, value.dtype) == variable.spec
            assert value.tobytes() == arrays[variable.name].tobytes()

    def load_graph(self, path: Path) -> None:
        graph = fb.load_graph(path)
        check(graph)
        again = self.folder / "again"
        fb.save_graph(again, graph)
        assert fb.load_graph(again).hash == graph.hash

    def load_repro(self, path: Path) -> None:
        again = fb.load_repro(path)
        check(again.graph)
        assert repr(again) and again.session.runs == again.runs

    def load_trace(self, path: Path) -> None:
        trace = Trace.load(path)
        assert str(trace) and repr(trace) and trace.states(0.0).keys() == trace.states().keys()
        assert len(trace.memory()) == len(trace.events) == len(list(trace.events)) and trace.peak.bytes >= 0
        for (place, output), value in trace.data.values.items():
            assert repr(value) and value.nbytes >= 0 and value.statistics and len(trace.nodes[place].outputs) > output
        trace.to_chrome(self.folder / "chrome.json")
        trace.save(self.folder / "again")
        assert Trace.load(self.folder / "again").nodes == trace.nodes


@pytest.fixture
def loaders(tmp_path):
    return Loaders(tmp_path)


def outcomes(loaders: Loaders, kind: str, changed: Callable[[random.Random], bytes], count: int, seed: int) -> int:
    """Load that many changed files; returns how many were refused. A refusal leaves the session as it was."""
    rng, refused, state = random.Random(seed), 0, loaders.state()
    for _ in range(count):
        try:
            loaders.load(kind, changed(rng))
        except FlowError as error:
            refused += 1
            assert error.message and len(str(error)) < 20_000
            assert loaders.state() == state
        else:
            state = loaders.state()
    return refused


def documents(data: bytes) -> Callable[[random.Random], bytes]:
    """Changes of the header, under a right checksum."""
    header, body = unseal(data)
    text, paths = json.dumps(header), places(header)
    return lambda rng: seal(change_document(rng, text, paths), body)


# ------------------------------------------------------------------------------------------------ the mutations


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_are_all_refused(loaders, kind):
    data = loaders.files[kind]
    others = [each for each in loaders.files.values() if each is not data]
    refused = outcomes(loaders, kind, lambda rng: change_bytes(rng, data, others), 300, seed=1)
    assert refused >= 297  # a part may be replaced by its like


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_under_a_right_checksum_are_refused_or_sound(loaders, kind):
    data = loaders.files[kind]
    others = [each for each in loaders.files.values() if each is not data]
    refused = outcomes(loaders, kind, lambda rng: reseal(change_bytes(rng, data, others)), 300, seed=2)
    assert 150 < refused < 300


@pytest.mark.parametrize("kind", KINDS)
def test_changed_documents_are_refused_or_sound(loaders, kind):
    count = 4_900 if kind == "checkpoint" else 900
    refused = outcomes(loaders, kind, documents(loaders.files[kind]), count, seed=3)
    assert 0.6 * count < refused < 0.99 * count  # both outcomes occur, so the test does test


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 6))
@pytest.mark.parametrize("kind", KINDS)
def test_many_changed_documents_are_refused_or_sound(loaders, kind, seed):
    outcomes(loaders, kind, documents(loaders.files[kind]), 5_000, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_of_one_kind_with_the_body_of_another_is_refused(loaders, kind):
    header, own = unseal(loaders.files[kind])
    for other in KINDS:
        _, body = unseal(loaders.files[other])
        if body != own:
            with pytest.raises(FileError, match="damaged"):
                loaders.load(kind, seal(header, body))
        if other != kind and (kind, other) != ("graph", "repro"):  # a repro has a graph, and more
            with pytest.raises(FileError, match=r"damaged|not a sound trace|not a graph|does not fit"):
                loaders.load(kind, seal({**unseal(loaders.files[other])[0], "kind": kind}, body))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_stays_in_proportion_to_the_file(loaders, kind):
    rng, changed = random.Random(9), documents(loaders.files[kind])
    with contextlib.suppress(FlowError):
        loaders.load(kind, loaders.files[kind])  # what is imported and cached once does not count
    for _ in range(60):
        data = changed(rng)
        tracemalloc.start()
        try:
            with contextlib.suppress(FlowError):
                loaders.load(kind, data)
            assert tracemalloc.get_traced_memory()[1] < 100 * len(data) + 1_000_000
        finally:
            tracemalloc.stop()


def test_a_refused_file_leaves_nothing_behind_in_the_declarations_of_ops(loaders):
    """An op asked about operands that no builder would give remembers nothing of it."""
    with fb.Graph().as_default() as graph:
        fb.identity(fb.placeholder((2,), name="x"), name="y")
        fb.save_graph(loaders.folder / "small", graph)
    header, body = unseal((loaders.folder / "small").read_bytes())
    header["document"]["graph"]["nodes"][1]["inputs"] = [3.0]
    with pytest.raises(FileError, match="this is not a graph"):
        loaders.load("graph", seal(header, body))
    with fb.Graph().as_default():
        assert isinstance(fb.identity(fb.placeholder((2,))), fb.Tensor)


def test_a_file_is_refused_whatever_was_built_before(loaders):
    """1 and True are equal; specs remembered for the one are none for the other."""
    with fb.Graph().as_default() as graph:
        fb.sum(fb.placeholder((2, 3), name="x"), axis=(0, 1), name="y")
        fb.save_graph(loaders.folder / "small", graph)
    header, body = unseal((loaders.folder / "small").read_bytes())
    header["document"]["graph"]["nodes"][1]["attrs"]["axis"] = [False, True]
    with pytest.raises(FileError, match="axis False is not an int"):
        loaders.load("graph", seal(header, body))


# ------------------------------------------------------------------------------------------------ planted bugs


def forgiving(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Take a check out of the reader of this kind."""
    match kind:
        case "checkpoint":
            loose = lambda graph, arrays, path, *, strict=True: {  # noqa: E731
                each: arrays[each.name] for each in graph.variables if each.name in arrays
            }
            monkeypatch.setattr(checkpoint, "match", loose)
        case "graph":
            monkeypatch.setattr(serialize, "check", lambda graph: None)
        case "repro":
            monkeypatch.setattr(serialize, "_check_node", lambda node: None)
            monkeypatch.setattr(serialize, "check", lambda graph: None)
        case "trace":
            monkeypatch.setattr(tracedata, "_within", lambda *args: None)


@pytest.mark.parametrize("kind", KINDS)
def test_planted_bug_a_check_that_is_missing_is_noticed(loaders, kind, monkeypatch):
    forgiving(monkeypatch, kind)
    with pytest.raises(Exception) as caught:
        outcomes(loaders, kind, documents(loaders.files[kind]), 900, seed=3)
    assert not isinstance(caught.value, FlowError) or "graph check" in caught.value.message


def test_planted_bug_a_session_that_is_touched_is_noticed(loaders, monkeypatch):
    original = checkpoint.match

    def eager(graph, arrays, path, *, strict=True):
        fitting = original(graph, {name: each for name, each in arrays.items() if name == "w"}, path, strict=False)
        loaders.session.variables.commit(fitting)
        return original(graph, arrays, path, strict=strict)

    data = container.dumps("checkpoint", {}, {"w": np.zeros((3, 2), np.float32)})  # the other variable is missing
    assert outcomes(loaders, "checkpoint", lambda rng: data, 1, seed=0) == 1
    monkeypatch.setattr(checkpoint, "match", eager)
    with pytest.raises(AssertionError):
        outcomes(loaders, "checkpoint", lambda rng: data, 1, seed=0)
