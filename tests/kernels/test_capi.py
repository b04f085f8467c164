"""flowbook.h by ctypes: graphs from Python give the same bytes in C++, and so do graphs that are built there."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FlowError
from flowbook.graph import container
from flowbook.graph.opdef import REGISTRY
from flowbook.interchange.saved_graph import pack
from tests.kernels import capi

pytest.importorskip("flowbook.native._native")

F32 = np.float32
PYTHON_ONLY = {"copy"}  # what placement puts into plans


@pytest.fixture(scope="module")
def api() -> capi.Api:
    return capi.Api(capi.folder())


class Twin:
    """A graph and a session in Python, and both in C++."""

    def __init__(self, api: capi.Api, graph: fb.Graph, values: bool = True, threads: int = 1) -> None:
        self.graph = graph
        self.python = fb.Session(graph)
        document, arrays = pack(graph, self.python if values else None)
        self.c_graph = capi.Graph(api, container.dumps("graph", document, arrays))
        self.c = capi.Session(self.c_graph, threads)
        self.place = {node: index for index, node in enumerate(graph.nodes)}

    def number(self, what: Any) -> int:
        """A tensor or node in C++."""
        if isinstance(what, fb.graph.node.Node):
            return capi.Node(self.place[what] << 16)
        return capi.Node(self.place[what.node] << 16 | what.index)

    def both(self, fetches: Any, feeds: Any = None) -> tuple[Any, Any]:
        """The results of an observed run, and of one in C++."""
        feeds = feeds or {}
        wanted = self.python.run(list(fetches), feeds, trace=True)
        found = self.c.run([self.number(each) for each in fetches], {self.number(x): v for x, v in feeds.items()})
        return wanted, found

    def check(self, fetches: Any, feeds: Any = None) -> Any:
        """Both give the same bytes, and leave variables with the same bytes."""
        wanted, found = self.both(fetches, feeds)
        for fetch, x, y in zip(fetches, wanted, found, strict=True):
            same(x, y, fetch)
        for variable in self.graph.variables:
            same(self.python.run(variable), self.c.get(self.number(variable)), variable)
            self.python.runs -= 1  # a read is no run here
            self.python.seek(self.python.runs)
        return found


def same(wanted: Any, found: Any, what: Any) -> None:
    if wanted is None:
        assert found is None
        return
    assert (wanted.dtype, wanted.shape) == (found.dtype, found.shape), what
    assert wanted.tobytes() == found.tobytes(), f"{what}\n{wanted}\n{found}"


# ------------------------------------------------------------------------------------------------ every op


def _declared(op: Any) -> bool:
    return bool(op.samples) and (not op.structured or op.name.startswith("random_"))


@pytest.mark.parametrize("name", sorted(op.name for op in REGISTRY.values() if _declared(op)))
def test_samples_and_their_gradients(api, name):
    op = REGISTRY[name]
    for dtype, is_open in (("float32", True), ("float64", False)):
        with fb.Graph().as_default() as graph:
            feeds, fetches = {}, []
            for sample in op.samples():
                inputs = []
                for each in sample.inputs:
                    if isinstance(each, np.ndarray):
                        value = each.astype(dtype) if each.dtype.kind == "f" else each
                        shape = (None,) * value.ndim if is_open else value.shape
                        inputs.append(fb.placeholder(shape, value.dtype.name))
                        feeds[inputs[-1]] = value
                    else:
                        inputs.append(each)
                if "float16" in sample.attrs.values() or any(
                    abs(each) >= 2**63 for each in sample.attrs.values() if type(each) is int
                ):
                    continue
                try:
                    made = op.builder(inputs, **sample.attrs) if op.variadic else op.builder(*inputs, **sample.attrs)
                except FlowError:  # a size has to be known
                    continue
                outputs = list(made if isinstance(made, tuple) else made.node.outputs)
                xs = [each for each in inputs if isinstance(each, fb.Tensor) and each.dtype.kind == "f"]
                ys = [each for each in outputs if each.dtype.kind == "f"]
                fetches += outputs
                if op.gradient and xs and ys:
                    fetches += [each for each in fb.gradients(ys, xs, unconnected="none") if each is not None]
        twin = Twin(api, graph, values=False)
        if name in PYTHON_ONLY:
            with pytest.raises(capi.Failure, match="needs Python"):
                twin.both(fetches, feeds)
            continue
        wanted, found = twin.both(fetches, feeds)
        for fetch, x, y in zip(fetches, wanted, found, strict=True):
            same(x, y, fetch)


# ------------------------------------------------------------------------------------------------ training


def _weights(*shape: int) -> Any:
    return np.random.default_rng(list(shape)).normal(0, 0.3, shape).astype(F32)


def _mlp() -> Any:
    x, w, b = fb.placeholder(("batch", 7), name="x"), fb.Variable(_weights(7, 16)), fb.Variable(np.zeros(16, F32))
    h = fb.dropout(fb.relu(x @ w + b), 0.3)
    return x, h @ fb.Variable(_weights(16, 5)), np.arange(70, dtype=F32).reshape(10, 7) % 9 / 9, (10,)


def _cnn() -> Any:
    x = fb.placeholder((None, 12, 12, 1), name="x")
    h = fb.max_pool(fb.relu(fb.conv2d(x, fb.Variable(_weights(5, 5, 1, 6))) + fb.Variable(np.zeros(6, F32))), 2)
    h = fb.nn.BatchNorm()(fb.conv2d(h, fb.Variable(_weights(3, 3, 6, 8)), padding="valid"))
    h = fb.avg_pool(fb.tanh(h), 2)
    h = fb.reshape(h, (-1, 32))
    return x, h @ fb.Variable(_weights(32, 5)), np.random.default_rng(1).random((6, 12, 12, 1)).astype(F32), (6,)


def _lstm() -> Any:
    x = fb.placeholder((6, 4, 3), name="x")
    wx, wh, b = fb.Variable(_weights(3, 32)), fb.Variable(_weights(8, 32)), fb.Variable(np.zeros(32, F32))
    h = c = fb.constant(np.zeros((4, 8), F32))
    for index, each in enumerate(fb.unstack(x @ wx + b)):
        if index % 2:
            h, c = fb.lstm_cell(each + h @ wh, c)
        else:
            i, f, g, o = fb.split(each + h @ wh, 4, axis=1)
            c = fb.sigmoid(f) * c + fb.sigmoid(i) * fb.tanh(g)
            h = fb.sigmoid(o) * fb.tanh(c)
    return x, h @ fb.Variable(_weights(8, 5)), np.random.default_rng(2).random((6, 4, 3)).astype(F32), (4,)


def _transformer() -> Any:
    batch, time, width, heads = 2, 6, 8, 2
    ids = fb.placeholder((batch, time), "int64", name="x")
    x = fb.reshape(fb.embedding_lookup(fb.Variable(_weights(11, width)), ids), (batch * time, width))
    qkv = fb.layer_norm(x, fb.Variable(np.ones(width, F32)), fb.Variable(np.zeros(width, F32))) @ fb.Variable(
        _weights(width, 3 * width)
    )
    split = fb.transpose(fb.reshape(qkv, (batch, time, 3 * heads, width // heads)), (0, 2, 1, 3))
    q, k, v = fb.split(split, 3, axis=1)
    found = fb.transpose(fb.nn.attention(q, k, v, causal=True), (0, 2, 1, 3))
    x = x + fb.reshape(found, (batch * time, width)) @ fb.Variable(_weights(width, width))
    x = x + fb.gelu(fb.layer_norm(x, 1.0, 0.0) @ fb.Variable(_weights(width, 16))) @ fb.Variable(_weights(16, width))
    return (
        ids,
        fb.reshape(x @ fb.Variable(_weights(width, 5)), (batch, time, 5)),
        np.arange(12).reshape(2, 6) % 11,
        (2, 6),
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "RMSProp", "Adam"])
@pytest.mark.parametrize("model", [_mlp, _cnn, _lstm, _transformer])
def test_training(api, model, optimizer, threads):
    with fb.Graph(seed=3).as_default() as graph:
        x, logits, data, label_shape = model()
        y = fb.placeholder(label_shape, "int32", name="y")
        loss = fb.mean(fb.sparse_softmax_cross_entropy(y, logits))
        step = fb.Variable(0, name="global_step", trainable=False)
        make = getattr(fb.train, optimizer)
        train = (make(0.01, 0.9) if optimizer == "Momentum" else make(0.01)).minimize(loss, global_step=step)
    twin = Twin(api, graph, threads=threads)
    labels = (np.arange(np.prod(label_shape)) % 5).reshape(label_shape).astype(np.int32)
    for _ in range(3):
        twin.check([loss, train], {x: data, y: labels})
    assert twin.c.get("global_step") == 3


# ------------------------------------------------------------------------------------------------ variables


def test_reads_see_the_write_before_them(api):
    with fb.Graph().as_default() as graph:
        v = fb.Variable([1.0, 2.0], name="v")
        before = v * 10.0
        added = fb.assign_add(v, 1.0)
        between = fb.identity(v)
        doubled = fb.assign(v, v * 2.0)
        after = v + 0.5
        (dv,) = fb.gradients(fb.sum(before * before), [v])  # backward nodes see what their forward nodes saw
    twin = Twin(api, graph)
    for fetches in ([before, added, between, doubled, after, dv], [after, v], [dv, doubled], [dv], [between, after]):
        twin.check(fetches)


def test_control_dependencies_groups_and_feeds(api):
    with fb.Graph().as_default() as graph:
        a, b = fb.Variable(0.0, name="a"), fb.Variable(np.arange(3), name="b")
        x = fb.placeholder((), name="x")
        writes = fb.group(fb.assign(a, x), fb.assign_sub(b, 2), name="writes")
        with fb.control_dependencies([writes]):
            late = a + 1.0
        y = late * 2.0
    twin = Twin(api, graph)
    for fetches, feeds in (
        ([y, writes], {x: np.array(3.0, F32)}),
        ([y], {late: np.array(7.0, F32)}),  # nothing before it runs
        ([late, a], {a: np.array(5.0, F32), x: np.array(1.0, F32)}),  # a fed variable keeps its feed
        ([x, x, b, b], {x: np.array(4.0, F32)}),
    ):
        twin.check(fetches, feeds)


def test_initial_values_that_are_computed(api):
    with fb.Graph(seed=11).as_default() as graph:
        w = fb.Variable(fb.random.normal((3, 4)), name="w")
        u = fb.Variable(fb.random.uniform((5,), -1.0, 1.0), name="u")
        copy = fb.Variable(w * 2.0, name="copy")
        p = fb.Variable(fb.random.permutation(9), name="p")
        y = fb.sum(copy) + fb.sum(u)
    twin = Twin(api, graph, values=False)
    twin.check([y, w, p])


def test_a_run_that_fails_changes_nothing(api):
    with fb.Graph().as_default() as graph:
        v = fb.Variable(1.0, name="v")
        ids = fb.placeholder((None,), "int64", name="ids")
        bumped = fb.assign_add(v, 1.0)
        picked = fb.gather(fb.constant([1.0, 2.0]), ids, name="picked")
    twin = Twin(api, graph)
    number = {twin.number(ids): np.array([0, 5])}
    for _ in range(2):
        with pytest.raises(capi.Failure, match=r"gather 'picked': index 5 is out of range") as failure:
            twin.c.run([twin.number(bumped), twin.number(picked)], number)
        assert failure.value.status == capi.RUN_FAILED
    assert twin.c.get("v") == 1.0
    twin.c.run([twin.number(bumped), twin.number(picked)], {twin.number(ids): np.array([0, 1])})
    assert twin.c.get("v") == 2.0


def test_checkpoints_go_both_ways(api, tmp_path):
    with fb.Graph().as_default() as graph:
        w, n = fb.Variable(_weights(3, 4), name="w"), fb.Variable(7, name="scope/n")
        bumped = fb.group(fb.assign_add(w, 1.0), fb.assign_add(n, 1))
    twin = Twin(api, graph)
    twin.c.run([twin.number(bumped)])
    path = str(tmp_path / "model.ckpt").encode()
    api.call("fb_session_save", twin.c.handle, path)
    twin.python.restore(path.decode())
    same(twin.python.run(w), twin.c.get("w"), w)
    assert twin.python.run(n) == 8
    twin.python.run(bumped)
    twin.python.save(path.decode())
    api.call("fb_session_restore", twin.c.handle, path, 1)
    same(twin.python.run(w), twin.c.get("w"), w)
    with fb.Graph().as_default() as other:
        fb.Variable(1.0, name="w")
    another = Twin(api, other)
    with pytest.raises(capi.Failure, match=r"'w' is float32 \(3, 4\) in the file and float32 \(\) in the graph"):
        api.call("fb_session_restore", another.c.handle, path, 0)
    for bad, text in (
        ("/no/such/folder/model.ckpt", "No such file"),
        (tmp_path, "Is a directory"),
        ("/dev/null", "Invalid"),
    ):
        with pytest.raises(capi.Failure, match=text):
            api.call("fb_session_save", twin.c.handle, str(bad).encode())
    link = tmp_path / "link.ckpt"
    link.symlink_to("model.ckpt")
    api.call("fb_session_save", twin.c.handle, str(link).encode())
    assert link.is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.ckpt", "model.ckpt"]


def test_cells(api):
    graph = fb.Graph(seed=1)

    def cell(name: str, build: Any) -> Any:
        with graph.transaction(name), graph.as_default():
            return build()

    v = cell("a", lambda: fb.Variable(np.ones(4, F32), name="v"))
    cell("b", lambda: fb.multiply(v, 2.0, name="y"))
    written = cell("c", lambda: (fb.assign(v, 5.0, name="w"), fb.add(v, 1.0, name="y"))[0])
    drawn = cell("b", lambda: fb.multiply(v + fb.random.uniform((4,), name="u"), 10.0, name="y"))  # still before c
    twin = Twin(api, graph)
    twin.check([drawn, written])
    with pytest.raises(capi.Failure, match="'y' is in several cells"):
        twin.c_graph.find("y")
    assert twin.c_graph.node(twin.c_graph.find("y", "c"))[:3] == ("y", "add", "c")
    assert twin.c_graph.find("y", "b") == twin.number(drawn)
    with pytest.raises(capi.Failure, match="nothing in the graph"):
        twin.c_graph.find("y", "")


# ------------------------------------------------------------------------------------------------ control flow


def test_cond(api):
    with fb.Graph(seed=5).as_default() as graph:
        x = fb.placeholder((3,), name="x")
        v, n = fb.Variable(np.ones(3, F32), name="v"), fb.Variable(0, name="n")

        def inner(y: Any) -> Any:
            return fb.cond(fb.max(y) > 5.0, lambda: y * v, lambda: fb.dropout(y, 0.5) + v)

        def above() -> Any:
            fb.assign_add(n, 1)
            return inner(fb.dropout(x, 0.5) * v + fb.assign_add(v, x)), fb.sum(x)

        y, z = fb.cond(fb.sum(x) > 0, above, lambda: (x - fb.random.uniform((3,)), fb.constant(2.0)), name="y")
        (dx,) = fb.gradients(fb.sum(y) + z, [x])
        after = v * 2.0
        chosen = fb.cond(
            x[0] > 0, lambda: fb.group(fb.assign(n, 100)), lambda: fb.group(fb.assign_add(n, -1)), name="c"
        )
    twin = Twin(api, graph, threads=2)
    for data in ([1, 2, 3], [-1, -2, -3], [4, 5, -1], [9, 9, 9]):
        feeds = {x: np.array(data, F32)}
        twin.check([y, z, dx, after], feeds)
        twin.check([dx], feeds)
        twin.check([chosen, n, y], feeds)


def test_cond_whose_branches_differ(api):
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((None,), name="x")
        fb.cond(x[0] > 0, lambda: x, lambda: x[1:], name="y")
    loaded = Twin(api, graph)
    with pytest.raises(capi.Failure, match=r"its branches give float32 \(3,\) and float32 \(2,\)") as failure:
        loaded.c.run(["y"], {"x": np.zeros(3, F32)})
    assert failure.value.status == capi.UNSUPPORTED


def test_custom_gradient(api):
    with fb.Graph().as_default() as graph:
        x = fb.placeholder((2,), name="x")
        y, z = fb.custom_gradient(lambda x: ([x * 2.0, x + 1.0], lambda a, b: fb.clip(a - b, -1.0, 1.0)))(x)
        (dx,) = fb.gradients([y * 10.0, z], [x])
    Twin(api, graph).check([y, z, dx], {x: np.array([1.0, -3.0], F32)})


# ------------------------------------------------------------------------------------------------ saving


@pytest.mark.parametrize("model", [_mlp, _cnn, _lstm, _transformer])
def test_a_graph_that_cpp_saves_is_the_same(api, tmp_path, model):
    with fb.Graph(seed=4).as_default() as graph:
        x, logits, data, label_shape = model()
        y = fb.placeholder(label_shape, "int32", name="y")
        loss = fb.mean(fb.sparse_softmax_cross_entropy(y, logits), name="loss")
        train = fb.train.Adam(0.01).minimize(loss, name="train")
    twin = Twin(api, graph)
    feeds = {x: data, y: np.zeros(label_shape, np.int32)}
    twin.check([loss, train], feeds)
    path = tmp_path / "model.flow"
    api.call("fb_session_save_graph", twin.c.handle, str(path).encode())
    loaded = fb.load_graph(path)
    assert loaded.hash == graph.hash
    session = fb.Session(loaded)
    for variable in graph.variables:
        same(twin.python.run(variable), session.run(variable.name), variable)


def test_a_graph_that_cpp_builds_in_python(api, tmp_path):
    graph = capi.Graph(api)
    x = capi.Node(graph.placeholder("float32", (-1, -1, 4), "x", ["batch", None, None]))
    w = capi.Node(graph.variable(_weights(4, 3), "w"))
    h = graph.add("tanh", graph.add("matmul", graph.add("getitem", x, index=["...", [None, None, -1]]), w))
    y = graph.add("sum", graph.add("clip", h, -0.5, float("inf")), axis=[0, 2], keepdims=True, name="y")
    graph.add("softmax", graph.add("reshape", y, shape=-1), name="z")
    graph.add("assign_sub", w, graph.add("random_uniform", shape=[4, 3], seed=-3, high=0.5), name="noise")
    path = tmp_path / "built.flow"
    api.call("fb_graph_save", graph.handle, str(path).encode())
    loaded = fb.load_graph(path)
    data = np.random.default_rng(0).random((2, 5, 4)).astype(F32)
    session, other = fb.Session(loaded), capi.Session(graph)
    for name in ("z", "y", "noise", "z"):
        same(session.run([name], {"x": data}, trace=True)[0], other.run([name], {"x": data})[0], name)
    with loaded.as_default():
        (dw,) = fb.gradients(loaded["y"], [loaded["w"]])
    assert session.run(dw, {"x": data}).shape == (4, 3)
    with fb.Graph().as_default() as python:
        fb.print(fb.constant(1.0), name="shown")
    twin = Twin(api, python)
    with pytest.raises(capi.Failure, match="'shown' can be saved by Python only"):
        api.call("fb_graph_save", twin.c_graph.handle, str(path).encode())


# ------------------------------------------------------------------------------------------------ building


def test_building(api):
    graph = capi.Graph(api)
    x = capi.Node(graph.placeholder("float32", (-1, 3), "x", ["batch", None]))
    w = capi.Node(graph.variable(np.arange(6, dtype=F32).reshape(3, 2), "w"))
    y = graph.add("matmul", x, w, name="y")
    z = graph.add("sum", graph.add("multiply", graph.add("subtract", y, 1.5), 2), axis=[1], keepdims=False)
    strided = graph.add("getitem", graph.add("transpose", y), index=[[None, None, -1], None, "..."])
    assert graph.type(y) == ("float32", (-1, 2))
    assert graph.type(strided) == ("float32", (2, 1, -1))
    assert graph.node(y) == ("y", "matmul", "", 1)
    session = capi.Session(graph)
    data = np.arange(12, dtype=F32).reshape(4, 3)
    found = session.run([z, strided, x], {x: data})
    product = data @ np.arange(6, dtype=F32).reshape(3, 2)
    np.testing.assert_array_equal(found[0], ((product - 1.5) * 2).sum(1))
    np.testing.assert_array_equal(found[1], product.T[::-1, None])
    same(data, found[2], x)


@pytest.mark.parametrize("dtype", [name for name in capi.NAMES if name not in ("bool", "float32", "float64")])
def test_integers_of_all_sizes(api, dtype):
    info = np.iinfo(dtype)
    a = np.array([info.min, info.max, 0, 1, 7, 100], dtype)
    b = np.array([3, 2, 1, 5, 4, 9], dtype)
    graph = capi.Graph(api)
    x, y = capi.Node(graph.constant(a)), capi.Node(graph.constant(b))
    with np.errstate(all="ignore"):
        wanted = {
            "add": a + b, "subtract": a - b, "multiply": a * b, "negative": -a, "square": a * a, "sum": a.sum(),
            "divide": a / b, "equal": a == b, "mean": a.mean(), "logical_and": np.logical_and(a, b),
            "astype": a.astype("int16"),
        }  # fmt: skip
        if dtype != "uint64":  # of which int64 cannot hold all
            wanted |= {
                "minimum": np.minimum(a, b), "maximum": np.maximum(a, b), "floor_divide": a // b, "remainder": a % b,
                "max": a.max(), "argmin": a.argmin(), "less": a < b, "abs": np.abs(a), "sign": np.sign(a),
            }  # fmt: skip
    unary = ("negative", "square", "sum", "mean", "max", "argmin", "abs", "sign", "astype")
    nodes = [
        graph.add(op, *([x] if op in unary else [x, y]), **({"dtype": "int16"} if op == "astype" else {}))
        for op in wanted
    ]
    for op, found in zip(wanted, capi.Session(graph).run(nodes), strict=True):
        same(np.asarray(wanted[op]), found, op)


def test_numbers_are_weak(api):
    graph = capi.Graph(api)
    x = capi.Node(graph.constant(np.array([1, 2], np.int32)))
    for number, dtype in ((2, "int32"), (True, "int32"), (0.5, "float64")):
        assert graph.type(graph.add("multiply", x, number))[0] == dtype
    assert graph.type(graph.add("add", 1, 2.0))[0] == fb.add(1, 2.0).dtype.name
    with pytest.raises(capi.Failure, match="a number does not fit int32"):
        capi.Session(graph).run([graph.add("add", x, 2**40)])


def test_threads_share_a_session(api):
    graph = capi.Graph(api)
    v = capi.Node(graph.variable(np.zeros((), np.int64), "v"))
    bumped = graph.add("assign_add", v, 1)
    session = capi.Session(graph, 2)
    workers = [threading.Thread(target=lambda: [session.run([bumped]) for _ in range(50)]) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert session.get("v") == 200
