"""A saved trace, read by the view without a kernel, gives the messages that Python gives."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import flowbook as fb
from flowbook import nn, train
from flowbook.errors import FileError, RunError
from flowbook.graph import container
from flowbook.graph.types import SUPPORTED
from flowbook.notebook.protocol import pack, unpack
from flowbook.notebook.recording import recording
from flowbook.runtime.events import Events, NodeInfo
from flowbook.runtime.summary import Statistics, Summary, summarize
from flowbook.runtime.trace import Trace
from flowbook.runtime.tracedata import TraceData, encode
from tests.notebook.test_assets import EXTENSION, tools
from tests.strategies import DEVICES, build, recipes

SECONDS = 30  # for one file
OLD_ORDER = np.lib.NumpyVersion(np.__version__) < "2.3.0"  # it added up large arrays in another order

PROGRAM = """
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { readTrace } from "./read.mjs";

if (process.argv[2] === "plain") {
  Object.defineProperty(globalThis, "crypto", { value: {} }); // as in a page over plain HTTP
}
for await (const path of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const messages = await readTrace(readFileSync(path));
    const buffers = [];
    const packed = JSON.stringify(messages, (_, value) => {
      if (!ArrayBuffer.isView(value)) {
        return value;
      }
      buffers.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64"));
      return { array: value.constructor.name.replace("Array", "").toLowerCase(), at: buffers.length - 1 };
    });
    answer = { messages: JSON.parse(packed), buffers };
  } catch (error) {
    answer = { error: error.message, kind: error.constructor.name };
  }
  process.stdout.write(JSON.stringify(answer) + "\\n");
}
"""


class Refused(Exception):
    """The reader gave an Error instead of messages."""


class Reader:
    """The view's reader, in a process of its own: bytes to messages, arrays in them as NumPy's."""

    def __init__(self, node: str, folder: Path, *options: str) -> None:
        self.path = folder / "run.flowtrace"
        command = [node, str(folder / "program.mjs"), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, data: bytes) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.path.write_bytes(data)
        timer = threading.Timer(SECONDS, self.process.kill)
        timer.start()
        self.process.stdin.write(f"{self.path}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line, "the reader hangs, or crashed"
        answer = json.loads(line)
        if "error" in answer:
            assert answer["kind"] == "Error", answer  # and no accident inside the reader
            raise Refused(answer["error"])
        return unpacked(answer["messages"], [base64.b64decode(each) for each in answer["buffers"]])


def unpacked(value: Any, buffers: list[bytes]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"array", "at"}:
            return np.frombuffer(buffers[value["at"]], value["array"])
        return {key: unpacked(each, buffers) for key, each in value.items()}
    return [unpacked(each, buffers) for each in value] if isinstance(value, list) else value


def expected(data: bytes, folder: Path) -> Any:
    """What Python gives for a file, through JSON as everything is that reaches a view."""
    path = folder / "expected.flowtrace"
    path.write_bytes(data)
    found = []
    for message in recording(Trace.load(path)):
        plain, buffers = pack(message)
        found.append(unpack(json.loads(json.dumps(plain, allow_nan=False)), buffers))
    for each in found[0]["nodes"]:
        each.pop("doc", None)
    return found


def assert_same(found: Any, wanted: Any, where: str = "") -> None:
    """Member by member; floats exactly, and with their sign where they are elements."""
    if isinstance(wanted, np.ndarray):
        assert isinstance(found, np.ndarray) and found.dtype == wanted.dtype, where
        np.testing.assert_array_equal(found, wanted, where)
        sign = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found[sign]), np.signbit(wanted[sign]), where)
    elif isinstance(wanted, dict):
        assert isinstance(found, dict) and found.keys() == wanted.keys(), (where, found, wanted)
        for key in wanted:
            assert_same(found[key], wanted[key], f"{where}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list) and len(found) == len(wanted), (where, found, wanted)
        for index, pair in enumerate(zip(found, wanted, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(wanted, (int, float)) and not isinstance(wanted, bool):  # 1e20 is 100000000000000000000 there
        rounded = OLD_ORDER and where.endswith((".mean", ".std", ".norm"))
        close = pytest.approx(wanted, rel=1e-12) if rounded else float(wanted)
        assert not isinstance(found, bool) and float(found) == close, (where, found, wanted)
    else:
        assert found == wanted and type(found) is type(wanted), (where, found, wanted)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Reader]]:
    """Starts readers; all of them end with the module."""
    if reason := tools():
        pytest.skip(reason)
    node, folder = str(shutil.which("node")), tmp_path_factory.mktemp("flowtrace")
    flags = ["--bundle", "--format=esm", f"--outfile={folder / 'read.mjs'}", "--log-level=warning"]
    bundler = EXTENSION / "node_modules" / "esbuild" / "bin" / "esbuild"
    subprocess.run([node, str(bundler), "src/trace/read.ts", *flags], cwd=EXTENSION, check=True, timeout=120)
    (folder / "program.mjs").write_text(PROGRAM, encoding="utf-8")
    started: list[Reader] = []

    def begin(*options: str) -> Reader:
        started.append(Reader(node, folder, *options))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.fixture(scope="module")
def read(start: Callable[..., Reader]) -> Reader:
    return start()


def saved(trace: Trace | TraceData) -> bytes:
    return container.dumps("trace", *encode(trace.data if isinstance(trace, Trace) else trace))


def traced(fetches: Any, feeds: Any = None) -> Trace:
    session = fb.Session()
    session.run(fetches, feeds, trace=True)
    assert session.trace is not None
    return session.trace


# ------------------------------------------------------------------------------------------------ real runs


def training() -> Trace:
    x, y = fb.placeholder(("batch", 6), name="x"), fb.placeholder(("batch", 3), name="y")
    with fb.name_scope("model"):
        hidden = fb.relu(nn.Dense(32, name="first")(x))
        guess = nn.Dense(3, name="second")(hidden)
    loss = fb.mean(fb.square(guess - y), name="loss")
    step = train.Adam(0.01).minimize(loss)
    rng = np.random.default_rng(0)
    feeds = {x: rng.normal(size=(50, 6)).astype("float32"), y: rng.normal(size=(50, 3)).astype("float32")}
    return traced([loss, step], feeds)


def bodies() -> Trace:
    x = fb.placeholder((), name="x")
    v = fb.Variable(1.0, name="v")
    y = fb.cond(x > 0, lambda: fb.cond(x > 1, lambda: x * fb.assign_add(v, x), lambda: fb.exp(x)), lambda: x, name="y")
    (dx,) = fb.gradients(y, [x])
    return traced([y, dx], {x: 3.0})


def failed() -> Trace:
    x = fb.placeholder((2, None), name="x")
    bad = fb.identity(fb.check_finite(fb.log(x), message="after the log", name="checked") * 2.0)
    session = fb.Session()
    with pytest.raises(RunError):
        session.run(bad, {x: [[1.0], [-1.0]]}, trace=True)
    assert session.trace is not None and session.trace.failed is not None
    return session.trace


def not_finite() -> Trace:
    x = fb.placeholder((None,), name="x")
    return traced(
        [fb.log(x, name="log"), 1.0 / x, x * np.inf, fb.sqrt(x - 100.0)], {x: np.arange(-5.0, 40.0, dtype="float32")}
    )


def large() -> Trace:
    rng = np.random.default_rng(1)
    a = fb.constant(rng.normal(size=(300, 200)).astype("float32"), name="a")
    b = fb.constant(rng.normal(size=(17, 90, 31)), name="b")
    c = fb.constant(rng.integers(-(2**63), 2**63, 9001), name="c")
    return traced(
        [fb.transpose(a, name="turned"), fb.tanh(b), c + 1, fb.log(b), a > 0, fb.broadcast_to(a[0], (400, 200))]
    )


def every_dtype() -> Trace:
    rng = np.random.default_rng(2)
    parts = [
        fb.constant(
            (rng.normal(size=shape) * 100).astype(dtype), name=f"{dtype}_{len(shape)}_{shape[:1]}".strip("()_,")
        )
        for dtype in SUPPORTED
        for shape in ((), (1,), (9,), (3, 4), (130, 5))
    ]
    return traced([fb.identity(each) for each in parts])


def empty() -> Trace:
    x = fb.placeholder((None, 3), name="x")
    return traced(
        [x * 2.0, fb.sum(x, axis=0), fb.transpose(x), fb.constant(np.zeros((0,), bool)) & True], {x: np.ones((0, 3))}
    )


def several_outputs() -> Trace:
    x = fb.placeholder((6, 4), name="x")
    first, second, third = fb.split(x, 3, name="parts")
    loss = fb.sum(first * third) + fb.sum(second)
    return traced([loss, *fb.gradients(loss, [x, second])], {x: np.arange(24.0).reshape(6, 4)})


def ordered() -> Trace:
    v = fb.Variable(np.zeros(4, "int8"), name="v")
    bump = fb.assign_add(v, v, name="bump")
    with fb.control_dependencies([bump]):
        after = fb.identity(v, name="after")
    return traced([fb.group(bump, after.node, name="both"), after])


def big_integers() -> Trace:
    signed = fb.constant(np.array(-(2**63) + 1), name="signed")
    unsigned = fb.constant(np.array([2**64 - 1], "uint64"), name="unsigned")
    return traced([fb.identity(signed), fb.identity(unsigned), fb.constant(np.array([2**53 + 1, 3]))])


def devices() -> Trace:
    session = fb.Session(devices=("cpu:0", "cpu:1"))
    x = fb.placeholder((3,), name="größe/☃")
    with fb.device("cpu:1"):
        y = fb.exp(x, name="y")
    session.run(y + 1.0, {x: [1, 2, 3]}, trace=True)
    assert session.trace is not None
    return session.trace


def many_elements() -> Trace:
    rng = np.random.default_rng(3)
    return traced(
        [fb.identity(rng.normal(size=shape)) for shape in ((90, 90), (4097,), (2, 3, 4, 5, 6, 7), (1, 8000, 1))]
    )


def nothing() -> Trace:
    return traced([])


RUNS = (
    training, bodies, failed, not_finite, large, every_dtype, empty, several_outputs, ordered, big_integers, devices,
    many_elements, nothing,
)  # fmt: skip


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_the_messages_are_those_of_python(run: Callable[[], Trace], read: Reader, tmp_path: Path) -> None:
    with fb.Graph().as_default():
        data = saved(run())
    wanted = expected(data, tmp_path)
    assert run is nothing or (wanted[0]["nodes"] and wanted[2]["node"].size and wanted[3]["values"])
    assert_same(read(data), wanted)


def test_the_runs_hold_what_the_reader_has_to_find() -> None:
    """The runs above would prove little if they had no derivatives, bodies, writes, ..."""
    nodes = []
    for run in (training, bodies, several_outputs, ordered):
        with fb.Graph().as_default():
            nodes += recording(run())[0]["nodes"]
    assert {"op", "placeholder", "variable", "constant", "write"} == {each["kind"] for each in nodes}
    for member in ("scope", "controls", "forward", "gradients", "parent", "device", "line"):
        assert any(member in each for each in nodes), member


@pytest.mark.parametrize("member", ["min", "text", "sample", "seconds", "gradients"])
def test_planted_bug_a_small_difference_is_noticed(member: str, whole: bytes, read: Reader, tmp_path: Path) -> None:
    graph, _, events, values = wanted = expected(whole, tmp_path)
    value = max(values["values"], key=lambda each: each["statistics"]["std"])
    if member == "min":
        value["statistics"]["min"] = np.nextafter(value["statistics"]["min"], np.inf)
    elif member == "text":
        value["text"] += " "
    elif member == "sample":
        value["sample"]["data"] = np.nextafter(value["sample"]["data"], np.float32(np.inf))
    elif member == "seconds":
        events["seconds"] = np.nextafter(events["seconds"], np.inf)
    else:
        del next(each for each in graph["nodes"] if member in each)[member]
    with pytest.raises(AssertionError):
        assert_same(read(whole), wanted)


def test_the_page_over_plain_http_reads_the_same(start: Callable[..., Reader], tmp_path: Path) -> None:
    with fb.Graph().as_default():
        data = saved(training())
    assert_same(start("plain")(data), expected(data, tmp_path))


@given(recipe=recipes())
def test_random_graphs_with_gradients(recipe: Any, read: Reader, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = build(recipe)
    with made.graph.as_default():
        gradients = fb.gradients(fb.sum(made.tensors[-1]), [*made.feeds, *made.variables], unconnected="none")
    session = fb.Session(made.graph, devices=DEVICES)
    session.run([*made.fetches, *(each for each in gradients if each is not None)], made.feeds, trace=True)
    assert session.trace is not None
    data = saved(session.trace)
    assert_same(read(data), expected(data, tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def one() -> TraceData:
    """A run of one node, whose value tests replace."""
    with fb.Graph().as_default():
        return traced(fb.identity(fb.constant(1.0))).data


NAMES = ("a", "b", "a/b", "b/a/c", "gradients/a/b", "gradients/a/gradients/c", "a:1", "/", "")
SPECS = (("float32", ()), ("float32", (2, None)), ("float64", ("n",)), ("int32", ()), ("float32", None))


@st.composite
def strange_nodes(draw: st.DrawFn) -> tuple[NodeInfo, ...]:
    """Nodes as no graph has them, but a file may: of one name, in bodies of each other, derived from anything."""
    name, found = st.sampled_from(NAMES), []
    for place in range(draw(st.integers(1, 9))):
        before = st.integers(0, place - 1) if place else st.nothing()
        found.append(NodeInfo(
            name=draw(name), op=draw(st.sampled_from(("add", "identity", "exp", "assign", "copy", "ümlaut"))),
            kind=draw(st.sampled_from(("step", "step", "feed", "constant", "variable"))), owner=None, device="cpu:0",
            requested=None, inputs=tuple(draw(st.lists(st.one_of(name, st.none(), st.just("0.5")), max_size=3))),
            outputs=tuple(draw(st.lists(st.sampled_from(SPECS), max_size=2))),
            cell=draw(st.sampled_from((None, "", "c"))),
            line=draw(st.sampled_from((None, 0, 7))), forward=draw(st.one_of(st.none(), name)),
            parent=draw(st.one_of(st.just(-1), st.just(-1), before)), step=0,
            waits=tuple(draw(st.lists(before, max_size=2))) if place else (),
        ))  # fmt: skip
    return tuple(found)


def plain(name: str, forward: str | None = None, *inputs: str) -> NodeInfo:
    specs = SPECS[:1]
    return NodeInfo(name, "exp", "step", None, "cpu:0", None, inputs, specs, None, None, forward, -1, 0, ())


INSIDE = (plain("a"), plain("x", "a"), plain("y", "a"), plain("z", "a", "x"), plain("gradients/a/b", "a", "y"))


@given(nodes=strange_nodes())
@example(nodes=INSIDE)  # what the rule inside the scope of its node reads comes first
@settings(max_examples=500)
def test_strange_nodes(nodes: tuple[NodeInfo, ...], one: TraceData, read: Reader, tmp_path_factory: Any) -> None:
    events = {name: column[:0] for name, column in one.events.columns.items()}
    buffers = {name: column[:0] for name, column in one.buffers.items()}
    data = saved(TraceData(nodes, Events(nodes, events), buffers, {}, (), 0.0, None))
    assert_same(read(data), expected(data, tmp_path_factory.getbasetemp()))


# ------------------------------------------------------------------------------------------------ values


def small_arrays() -> st.SearchStrategy[Any]:
    return st.sampled_from(SUPPORTED).flatmap(
        lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12))
    )


def wide_arrays() -> st.SearchStrategy[Any]:
    """Of many elements, drawn by a seed: of all sizes, a few not finite."""

    def make(dtype: str, shape: tuple[int, ...], seed: int, power: int, holes: float) -> Any:
        rng = np.random.default_rng(seed)
        with np.errstate(all="ignore"):
            found = rng.normal(size=shape) * 10.0 ** rng.normal(0, power, shape)
            if dtype.startswith("float"):
                odd = rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
                return np.where(rng.random(shape) < holes, odd, found).astype(dtype)
            return np.asarray(found * 50).astype(dtype)

    shapes = st.one_of(
        st.tuples(st.integers(1, 20_000)),
        st.tuples(st.integers(1, 150), st.integers(1, 150)),
        st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30)),
    )
    dtypes, holes = st.sampled_from(SUPPORTED), st.sampled_from((0.0, 0.1, 1.0))
    return st.builds(make, dtypes, shapes, st.integers(0, 2**32), st.sampled_from((0, 2, 40)), holes)


@pytest.mark.parametrize("values", [small_arrays(), wide_arrays()], ids=["small", "wide"])
def test_random_values(values: Any, one: TraceData, read: Reader, tmp_path_factory: pytest.TempPathFactory) -> None:
    @given(st.lists(values, min_size=1, max_size=2), st.sampled_from((0, 64 * 1024, 1 << 20)))
    @example([np.array(-np.inf, "float16")], 0)
    def check(found: list[Any], limit: int) -> None:
        with np.errstate(all="ignore"):
            kept = {(place, 0): summarize(each, limit) for place, each in enumerate(found)}
            data = saved(one._replace(values=kept))
            assert_same(read(data), expected(data, tmp_path_factory.getbasetemp()))

    check()


def test_values_at_the_edges_of_bins_and_of_sums(one: TraceData, read: Reader, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with np.errstate(over="ignore"):
        wide = [(rng.normal(size=16_000) * np.exp(rng.normal(size=16_000) * 12)).astype("float32") for _ in range(5)]
    edges = [np.linspace(low, low + rng.random(), 41) for low in rng.normal(size=60)]
    smallest = [np.arange(10) * 5e-324, np.arange(100) * 5e-324 - 1e-322]
    close = [1 + np.arange(10) * np.spacing(1.0), 1 + np.arange(90) * np.spacing(1.0), 2**60 + np.arange(9) * 200]
    values = {(0, place): summarize(each) for place, each in enumerate([*wide, *edges, *smallest, *close])}
    node = one.nodes[0]._replace(outputs=one.nodes[0].outputs[:1] * len(values))
    data = saved(one._replace(nodes=(node, *one.nodes[1:]), values=values))
    assert_same(read(data), expected(data, tmp_path))


NUMBERS = st.one_of(
    st.floats(allow_nan=True),
    st.floats(-1e5, 1e5),
    st.integers(-(10**6), 10**6).map(lambda each: each / 2),  # ties
    st.tuples(st.integers(-99999, 99999), st.integers(-320, 300)).map(lambda pair: pair[0] * 10.0 ** pair[1]),
)


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=20, max_size=60))
def test_texts_and_norms_of_all_numbers(rows: Any, one: TraceData, read: Reader, tmp_path_factory: Any) -> None:
    """A text of two numbers with two digits each, one with four, and the norm of a mean and a deviation."""
    node = one.nodes[0]
    values: dict[tuple[int, int], Summary] = {}
    for low, high, mean, std in rows:
        measured = Statistics(low, high, mean, std, 1, 2, 3)
        values[0, len(values)] = Summary("float64", (100,), False, np.array([mean, std] * 5), measured)
        values[0, len(values)] = Summary("float64", (1,), True, np.array([mean]), None)
    node = node._replace(outputs=node.outputs[:1] * len(values))
    data = saved(one._replace(nodes=(node, *one.nodes[1:]), values=values))
    assert_same(read(data), expected(data, tmp_path_factory.getbasetemp()))


# ------------------------------------------------------------------------------------------------ damaged files


@pytest.fixture(scope="module")
def whole() -> bytes:
    with fb.Graph().as_default():
        return saved(several_outputs())


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The file with a byte changed, cut off, or with one more."""
    rng = random.Random(seed)
    for index in range(count):
        place = rng.randrange(len(data)) if index % 3 else rng.randrange(60)
        if index % 5 == 4:
            yield data[:place] + rng.choice([b"", data[place + 1 :], data[place:] + b"x"])
        else:
            yield data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def sealed(data: bytes) -> bytes:
    """With the checksum of what is there: as somebody makes a file who wants to do harm."""
    return data[:20] + hashlib.sha256(data[52:]).digest() + data[52:]


def test_no_changed_byte_is_taken_for_the_file(whole: bytes, read: Reader) -> None:
    for each in mutants(whole, 300, 0):
        if each == whole:
            continue
        with pytest.raises(Refused):
            read(each)


@pytest.mark.parametrize("options", [(), ("plain",)], ids=["sealed", "no checksum"])
def test_what_python_refuses_is_refused(
    options: tuple[str, ...], whole: bytes, start: Callable[..., Reader], tmp_path: Path
) -> None:
    """And what it takes gives the same, also where no checksum helps."""
    reader = start(*options)
    taken = 0
    for each in mutants(whole, 600, 1):
        data = each if len(each) < 52 else sealed(each)
        try:
            wanted = expected(data, tmp_path)
        except FileError:
            with pytest.raises(Refused):
                reader(data if not options else each)
        else:
            taken += 1
            assert_same(reader(data if not options else each), wanted)
    assert taken > 50  # values changed


def changed(data: bytes, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> bytes:
    document, arrays = container.loads(data, "trace")
    change(document, arrays)
    return container.dumps("trace", document, arrays)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every member of a document."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


ODD = (
    None,
    True,
    False,
    -1,
    0,
    7,
    2**31,
    2**60,
    10**400,
    0.5,
    np.nan,
    np.inf,
    -np.inf,
    "",
    "a",
    "a/gradients/b",
    [],
    {},
)


def test_any_member_may_be_anything(whole: bytes, read: Reader, tmp_path: Path) -> None:
    """What Python refuses is refused; what it takes gives the same, or is too large to be counted in float64."""
    document, arrays = container.loads(whole, "trace")
    document["values"][0].update(measured=[0.0, 1.0, 0.5, 0.5, 0, 0, 0])
    arrays["values/0"] = arrays["values/0"].reshape(-1)
    ways, rng, taken = list(places(document)), random.Random(0), 0
    for _ in range(700):
        way, odd = rng.choice(ways), rng.choice(ODD)
        if "measured" in way and type(odd) is int and way[-1] in range(4):
            continue  # JavaScript does not tell 1 from 1.0
        edited = json.loads(json.dumps(document))
        inside = edited
        for key in way[:-1]:
            inside = inside[key]
        inside[way[-1]] = odd
        data = container.dumps("trace", edited, arrays)
        try:
            wanted = expected(data, tmp_path)
        except FileError:
            with pytest.raises(Refused):
                read(data)
                pytest.fail(f"taken: {odd!r} at {way}")
        else:
            taken += 1
            if odd == 2**60 and way[-2] in ("shape", "measured"):
                continue
            assert_same(read(data), wanted)
    assert taken > 50


def edit(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """Changes the document."""
    return lambda data: changed(data, lambda document, _: change(document))


def fill(name: str, value: Any) -> Callable[[bytes], bytes]:
    """Gives an array other elements."""
    return lambda data: changed(data, lambda _, arrays: arrays[name].fill(value))


def twice(document: Any) -> None:
    first, second = document["values"][:2]
    second.update(node=first["node"], output=first["output"])


def disorder(data: bytes) -> bytes:
    return changed(data, lambda _, arrays: arrays["events/seconds"].__setitem__(0, 1e9))


def deep(data: bytes) -> bytes:
    return sealed(data[:12] + (10**5).to_bytes(8, "little") + bytes(32) + b"[" * 50_000 + b"]" * 50_000)


NEWER = r"written by a newer flowbook \(file format 2; this one reads up to 1\); upgrade flowbook"
MANY = {"measured": [0.0, 1.0, 0.5, 0.5, 99, 0, 0], "shape": [6]}
REFUSED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("not a flowbook file: it is empty", lambda data: b""),
    ("not a flowbook file", lambda data: b"PK" + data),
    ("it ends too early", lambda data: data[:30]),
    (NEWER, lambda data: data[:8] + b"\2" + data[9:]),
    ("there is no file format 0", lambda data: data[:8] + b"\0" + data[9:]),
    ("checksum does not match", lambda data: data[:-1]),
    ("header is longer than the file", lambda data: data[:19] + b"\x7f" + data[20:]),
    ('"graph"; expected was "trace"; in Python, load_graph', lambda data: container.dumps("graph", {}, {})),
    ("its members are others", lambda data: container.dumps("trace", {}, {})),
    ("header is nested deeper", deep),
    ("in no place", edit(lambda it: it["nodes"][0].update(parent=0))),
    ("other fields", edit(lambda it: it["nodes"][0].update(more=0))),
    ("not specs", edit(lambda it: it["nodes"][0].update(outputs=[["float128", []]]))),
    ("total is not a time", edit(lambda it: it.update(total=float("inf")))),
    ("failure is at no node", edit(lambda it: it.update(failed={"node": "", "place": 99, "message": ""}))),
    ("nothing refers to", lambda data: changed(data, lambda _, arrays: arrays.update(more=np.zeros(3)))),
    ("column events/node is missing", lambda data: changed(data, lambda _, arrays: arrays.pop("events/node"))),
    ("no such state", fill("events/state", 5)),
    ("no such event", fill("buffers/born", 2**62)),
    ("not in order", disorder),
    ("another shape", edit(lambda it: it["values"][0].update(shape=[2, 2]))),
    ("two values", edit(twice)),
    ("fewer elements than were counted", edit(lambda it: it["values"][0].update(MANY))),
    ("names that are too long", edit(lambda it: it["nodes"][0].update(name="x" * 10**5))),
]


@pytest.mark.parametrize(("reason", "damage"), REFUSED, ids=[reason for reason, _ in REFUSED])
def test_an_error_says_what_is_wrong(reason: str, damage: Any, whole: bytes, read: Reader) -> None:
    with pytest.raises(Refused, match=reason):
        read(damage(whole))
