"""What an exported file holds, and what it allows."""

from __future__ import annotations

import base64
import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.notebook import story
from flowbook.notebook.describe import describe_nodes
from flowbook.notebook.protocol import unpack
from flowbook.notebook.recording import recording
from flowbook.notebook.sampling import grid, value_message
from flowbook.runtime.session import Session
from flowbook.runtime.summary import summarize


@pytest.fixture
def session() -> Session:
    with fb.Graph().as_default():
        x = fb.placeholder((3,), name="x")
        w = fb.Variable(np.array([1.0, 2.0, 3.0], np.float32), name="w")
        with fb.name_scope("model"):
            y = fb.multiply(x, w, name="y")
            loss = fb.sum(y * y, name="loss")
        (dw,) = fb.gradients(loss, [w])
        found = fb.Session()
    found.run([loss, dw], {x: [1.0, 0.0, -1.0]}, trace=True)
    return found


def messages(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    data = re.search(r'id="flowbook-recording">(.*?)</script>', text, re.S)
    assert data is not None
    entries = json.loads(gzip.decompress(base64.b64decode(data[1])))
    return [unpack(each["message"], [base64.b64decode(part) for part in each["buffers"]]) for each in entries]


def test_the_script_stands_before_the_recording(session: Session, tmp_path: Path) -> None:
    """So the worker that lays out starts while the browser still reads."""
    fb.notebook.export(tmp_path / "run.html", session)
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    view, script, data = (text.index(each) for each in ('id="flowbook-view"', "<script>", 'id="flowbook-recording">'))
    assert view < script < data


def test_the_file_has_the_run_and_its_values(session: Session, tmp_path: Path) -> None:
    fb.notebook.export(tmp_path / "run.html", session)
    graph, run, events, values = messages(tmp_path / "run.html")
    names = [node["name"] for node in graph["nodes"]]
    assert graph["title"] == "run" and names == [node.name for node in session.trace.nodes]
    assert list(run["order"]) == [place for place, node in enumerate(session.trace.nodes) if node.kind == "step"]
    np.testing.assert_array_equal(events["seconds"], session.trace.events.columns["seconds"])
    found = {(each["node"], each["output"]): each for each in values["values"]}
    y = found[names.index("model/y"), 0]
    np.testing.assert_array_equal(y["sample"]["data"], np.float32([1, 0, -3]))
    assert y["statistics"]["norm"] == pytest.approx(10**0.5) and y["statistics"]["zeros"] == 1


def test_only_the_views_own_script_may_run(session: Session, tmp_path: Path) -> None:
    title = '"><script>alert(1)</script>'
    fb.notebook.export(tmp_path / "run.html", session.trace, title=title)
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert title not in text and text.count("<script") == 2
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', text)
    assert f"script-src 'sha256-{digest}' 'wasm-unsafe-eval';" in policy and policy.startswith("default-src 'none'")
    assert "http" not in policy and "*" not in policy and "unsafe-inline" not in policy
    assert "base-uri 'none'" in policy and "form-action 'none'" in policy  # a name cannot lead links or forms elsewhere


def test_what_cannot_be_exported_says_why(session: Session, tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="no traced run"):
        fb.notebook.export(tmp_path / "run.html", fb.Session(session.graph))
    with pytest.raises(FlowError, match="cannot write"):
        fb.notebook.export(tmp_path / "missing" / "run.html", session)


def test_a_stepper_exports_what_it_has_done(session: Session, tmp_path: Path) -> None:
    stepper = session.debug("model/loss", {"x": [1.0, 2.0, 3.0]})
    stepper.step()
    fb.notebook.export(tmp_path / "run.html", stepper)
    _, _, events, values = messages(tmp_path / "run.html")
    assert list(events["state"]).count(3) == 1 and len(values["values"]) == 3


def test_gradients_are_found_by_their_tensors(session: Session) -> None:
    graph = recording(session.trace, session.graph)[0]
    nodes = {node["name"]: node for node in graph["nodes"]}
    values = {node["name"]: session.trace.value(node["name"]) for node in graph["nodes"]}

    def gradient(name: str) -> Any:
        return values[graph["nodes"][nodes[name]["gradients"][0]["node"]]["name"]]

    np.testing.assert_array_equal(gradient("w"), 2 * values["model/y"] * values["x"])
    np.testing.assert_array_equal(gradient("model/y"), 2 * values["model/y"])
    assert nodes["model/loss"]["scope"] == ["model"] and nodes["w"]["kind"] == "variable"
    assert all("doc" in node for node in graph["nodes"] if node["op"] == "multiply")


def test_a_live_graph_is_described_like_its_trace(session: Session) -> None:
    traced = {node["name"]: node for node in recording(session.trace, session.graph)[0]["nodes"]}
    alive = describe_nodes(session.graph.nodes)
    for node in alive:
        if node["name"] in traced:
            same = ("op", "kind", "outputs", "scope", "line", "code")
            assert {key: node.get(key) for key in same} == {key: traced[node["name"]].get(key) for key in same}
    names = [node["name"] for node in alive]
    y = alive[names.index("model/y")]
    assert [names[each["node"]] for each in y["inputs"] if isinstance(each, dict)] == ["x", "w"]


def test_samples_say_how_far_off_they_are() -> None:
    ramp = np.arange(100.0).reshape(10, 10)
    kept = grid(ramp, 25)
    assert kept["shape"] == [5, 5] and kept["strides"] == [2, 2] and kept["error"] == 11.0
    np.testing.assert_array_equal(np.asarray(kept["data"]).reshape(5, 5), ramp[::2, ::2])
    assert grid(ramp, 100)["error"] == 0.0
    large = value_message(0, 0, summarize(np.linspace(0, 1, 100_000)))
    sample = large["sample"]
    assert "error" not in sample and sample["every"] == 98 and len(sample["data"]) == sample["shape"][0] == 1021
    np.testing.assert_allclose(sample["data"], np.linspace(0, 1, 100_000)[::98])
    assert large["histogram"]["sampled"] and large["statistics"]["max"] == 1.0


@pytest.mark.parametrize("step", [5e-324, np.spacing(1.0)])
def test_numbers_too_close_for_a_histogram_have_none(step: float) -> None:
    array = (1.0 if step > 1e-300 else 0.0) + np.arange(16) * step
    assert "histogram" not in value_message(0, 0, summarize(array))
    assert "histogram" in value_message(0, 0, summarize(array + np.arange(16)))


@pytest.mark.parametrize(
    "value", [np.array([np.nan, np.inf, 1.0]), np.zeros(0, np.float32), np.array([True, False]), np.float64(-np.inf)]
)
def test_any_value_is_a_message_without_nan(value: Any) -> None:
    from flowbook.notebook.protocol import pack

    plain, _ = pack(value_message(0, 0, summarize(value)))
    json.dumps(plain, allow_nan=False)


def deep(count: int) -> tuple[Session, Any, Any]:
    """A log, and so many nodes after it."""
    with fb.Graph().as_default():
        x = fb.placeholder((3,), name="x")
        y = fb.log(x, name="bad")
        for index in range(count):
            y = fb.tanh(y, name=f"n{index}")
        return fb.Session(), x, y


def told(found: list[dict[str, Any]]) -> list[list[str]]:
    """For each story of a recording, the names of its nodes, and of the one it is about."""
    names = [node["name"] for node in found[0]["nodes"]]
    for each in found:
        if each["type"] == "story":
            assert each["node"] == each["chapters"][0]["node"]
    return [[names[part["node"]] for part in each["chapters"]] for each in found if each["type"] == "story"]


def test_a_run_with_a_nan_tells_why(tmp_path: Path) -> None:
    session, x, y = deep(24)
    session.run(y, {x: [1.0, -1.0, 2.0]}, trace=True)
    way = [*(f"n{index}" for index in reversed(range(24))), "bad"]
    fb.notebook.export(tmp_path / "run.html", session)
    found = messages(tmp_path / "run.html")
    assert told(found) == [way], "one story for all, as every node is on its way"
    assert "log of a negative number" in found[-1]["chapters"][-1]["text"]
    assert told(recording(session.trace, session.graph)) == [way]
    assert told(recording(session.trace)) == [], "a trace alone cannot be computed again"


def test_every_branch_of_a_nan_has_a_story(session: Session) -> None:
    with session.graph.as_default():
        bad = fb.log(session.graph.nodes[0].outputs[0], name="bad")
        left, right = fb.exp(bad, name="left"), fb.sin(bad, name="right")
        fine = fb.identity(session.graph.nodes[0].outputs[0], name="fine")
    session.run([left, right, fine], {"x": [1.0, -1.0, -1.0]}, trace=True)
    assert told(recording(session.trace, session.graph)) == [["right", "bad"], ["left", "bad"]]


def test_what_reads_after_a_write_is_computed_again_with_what_was_written() -> None:
    with fb.Graph().as_default() as graph:
        v = fb.Variable(1.0, name="v")
        write = fb.assign(v, 0.0, name="write")
        with fb.control_dependencies([write]):
            many = fb.log(v * np.ones(20_000, np.float32), name="many")  # too large to be kept whole
        session = fb.Session()
    session.run([write, fb.sum(many, name="after")], trace=True)
    assert told(recording(session.trace, graph)) == [["after", "many"]]


def test_what_is_finite_tells_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "nan_origins", lambda *all, **more: pytest.fail("there is nothing to look for"))
    assert told(recording(session.trace, session.graph)) == []


def test_a_story_never_fails_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session, x, y = deep(2)
    session.run(y, {x: [-1.0, 1.0, 1.0]}, trace=True)
    with fb.Graph().as_default() as other:
        fb.exp(fb.placeholder((3,), name="x"), name="n1")
    assert told(recording(session.trace, other)) == [], "another graph by now"
    asked = []
    monkeypatch.setattr(story, "nan_origins", lambda *all, **more: asked.append(1) or 1 / 0)
    fb.notebook.export(tmp_path / "run.html", session)
    assert asked and told(messages(tmp_path / "run.html")) == []


def test_no_host_function_is_called_again_for_a_story() -> None:
    calls = []
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((20_000,), name="x")
        y = fb.py_function(lambda each: calls.append(1) or each, [fb.log(x, name="bad")], "float32", shapes=x.shape)
        session = fb.Session()
    session.run(y, {x: np.full(20_000, -1.0)}, trace=True)
    assert told(recording(session.trace, graph)) == [] and calls == [1]


def test_a_value_that_was_set_is_the_cause(tmp_path: Path) -> None:
    session, x, y = deep(3)
    stepper = session.debug(y, {x: [1.0, 1.0, 1.0]})
    stepper.finish()
    stepper.set_value("n0", [0.0, np.nan, 0.0])
    fb.notebook.export(tmp_path / "run.html", stepper)
    found = messages(tmp_path / "run.html")
    assert told(found) == [["n2", "n1", "n0"]] and "you set this value" in found[-1]["chapters"][-1]["text"]


def test_path_and_run_in_the_wrong_order_are_named(tmp_path: Path) -> None:
    with fb.Graph().as_default():
        session = fb.Session()
        session.run(fb.constant(1.0) + 1.0, trace=True)
    with pytest.raises(FlowError, match="a run to export is wanted, not str"):
        fb.notebook.export(session.trace, str(tmp_path / "run.html"))  # type: ignore[arg-type]
