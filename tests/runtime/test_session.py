"""`Session.run`: feeds, fetches, names, structure; SEMANTICS of "Running"."""

from __future__ import annotations

import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import (
    ArgumentError,
    DeviceError,
    FeedError,
    FetchError,
    GraphError,
    RunError,
    SessionError,
    ShapeError,
)
from flowbook.graph.opdef import OpDef, make_builder


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


# ------------------------------------------------------------------------------------------------ fetches


def test_a_tensor_gives_an_array_also_for_scalars(graph):
    value = fb.Session().run(fb.square(fb.constant(3.0)))
    assert type(value) is np.ndarray and value.shape == () and value == 9.0 and value.dtype == np.float32


def test_structure_and_type_are_kept(graph):
    a, b = fb.constant(1.0, name="a"), fb.constant(2.0, name="b")
    pair = namedtuple("pair", "x y")
    got = fb.Session().run(OrderedDict(p=pair(a, [b, "a"]), q=(a,), r=[], s={}))
    assert type(got) is OrderedDict and list(got) == ["p", "q", "r", "s"]
    assert type(got["p"]) is pair and got["p"].x == 1.0 and got["p"].y == [2.0, 1.0]
    assert type(got["q"]) is tuple and got["r"] == [] and got["s"] == {}


def test_dicts_of_other_kinds_are_kept_too(graph):
    found = defaultdict(list, a=fb.constant(1.0), b=fb.constant(2.0))
    got = fb.Session().run(found)
    assert type(got) is defaultdict and got == {"a": 1.0, "b": 2.0} and got["c"] == []
    assert list(found) == ["a", "b"] and isinstance(found["a"], fb.Tensor)
    assert fb.Session().run(MappingProxyType({"a": fb.constant(1.0)})) == {"a": 1.0}


def test_a_node_without_outputs_gives_none_and_one_with_outputs_its_first(graph):
    v = fb.Variable(0.0, name="v")
    bump = fb.assign_add(v, 1.0)
    session = fb.Session()
    assert session.run(fb.group(bump, name="both")) is None
    assert session.run("both") is None
    assert session.run(bump.node) == 3.0


def test_a_name_in_two_cells_lists_both(graph):
    for cell in ("one", "two"):
        with graph.transaction(cell):
            fb.constant(1.0, name="c")
    with pytest.raises(FetchError, match=r"cell one.*cell two"):
        fb.Session().run("c")


@pytest.mark.parametrize("what", [None, 3, object(), {1, 2}])
def test_things_that_are_no_fetch_are_refused(graph, what):
    with pytest.raises(FetchError):
        fb.Session().run(what)


def test_a_misspelt_name_suggests_the_right_one(graph):
    fb.constant(1.0, name="logits")
    with pytest.raises(FetchError, match="similar: logits"):
        fb.Session().run("logit")


def test_a_tensor_of_another_graph_is_refused(graph):
    with fb.Graph().as_default():
        other = fb.constant(1.0)
    with pytest.raises(FetchError, match="another graph"):
        fb.Session(graph).run(other)


def test_fetched_arrays_belong_to_the_caller(graph):
    x = fb.placeholder((3,), name="x")
    v = fb.Variable(np.ones(3), name="v")
    c = fb.constant(np.ones(3), name="c")
    fetches = [v, c, x, fb.identity(v), fb.identity(c), fb.reshape(v, (3, 1)), fb.assign(v, fb.identity(x))]
    session = fb.Session()
    feed = np.ones(3, np.float32)
    for array in session.run(fetches, {x: feed}):
        array[...] = 99.0  # writable, and nobody else sees it
    again = session.run([v, c, x], {x: feed})
    assert all(np.array_equal(array, np.ones(3)) for array in again)
    assert np.array_equal(feed, np.ones(3))


def test_the_same_tensor_fetched_twice_gives_two_arrays(graph):
    y = fb.placeholder((2,)) * 2.0
    a, b = fb.Session().run([y, fb.identity(y)], {y.node.inputs[0]: [1, 2]})
    a[0] = 7.0
    assert b[0] == 2.0


# ------------------------------------------------------------------------------------------------ feeds


def test_any_tensor_can_be_fed_and_what_it_needed_does_not_run(graph):
    ran = []
    x = fb.placeholder((), name="x")
    middle = fb.py_function(lambda v: ran.append(1) or v, [x], "float32", ())
    y = middle * 2.0
    assert fb.Session().run(y, {middle: 5.0}) == 10.0 and not ran


def test_one_output_of_several_can_be_fed(graph):
    x = fb.placeholder((4,), name="x")
    left, right = fb.split(x, 2)
    got = fb.Session().run([left, right], {x: [1, 2, 3, 4], right: [8, 9]})
    assert got[0].tolist() == [1, 2] and got[1].tolist() == [8, 9]


def test_names_work_wherever_tensors_do(graph):
    fb.tanh(fb.placeholder((2,), name="x"), name="y")
    assert fb.Session().run("y", {"x": [0, 0]}).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("dtype", "value", "allowed"),
    [
        ("float32", np.ones(2, np.float64), True),
        ("float32", np.ones(2, np.int64), True),
        ("float32", [True, False], True),
        ("int64", np.ones(2, np.float32), False),
        ("int64", [1.5, 2.0], False),
        ("bool", np.ones(2, np.int64), False),
        ("float32", np.ones(2, complex), False),
        ("float32", ["a", "b"], False),
        ("float32", [None, None], False),
        ("uint8", [1, 255], True),
        ("uint8", np.ones(2, np.int64), False),
        ("uint8", [1, 256], False),
        ("int32", [1, -(2**31)], True),
        ("int32", [1, 2**31], False),
        ("float32", [1.0, 1e300], True),
        ("float32", [], False),  # the shape is wrong
    ],
)
def test_feeds_are_cast_same_kind_or_refused(graph, dtype, value, allowed):
    x = fb.placeholder((2,), dtype, name="x")
    session = fb.Session()
    if allowed:
        assert session.run(fb.identity(x), {x: value}).dtype == dtype
    else:
        with pytest.raises(FeedError, match="x"):
            session.run(fb.identity(x), {x: value})


def test_ragged_lists_and_tensors_are_no_feeds(graph):
    x = fb.placeholder((None, None), name="x")
    for value in ([[1], [1, 2]], fb.constant(1.0), [fb.constant(1.0)]):
        with pytest.raises(FeedError, match="'x'"):
            fb.Session().run(x, {x: value})


def test_a_missing_feed_says_which_and_where(graph):
    x = fb.placeholder(("batch", 2), name="pixels")
    with pytest.raises(FeedError) as info:
        fb.Session().run(x * 2.0)
    assert info.value.node == "pixels" and info.value.line is not None
    assert "feeds={pixels: array of float32 (batch, 2)}" in str(info.value)


def test_a_feed_that_is_not_a_tensor_or_given_twice(graph):
    x = fb.placeholder((), name="x")
    session = fb.Session()
    with pytest.raises(FeedError):
        session.run(x, {"nope": 1.0})
    with pytest.raises(FeedError, match="twice"):
        session.run(x, {"x": 1.0, x: 1.0})
    with pytest.raises(FeedError, match="dict"):
        session.run(x, [1.0])


def test_feeds_are_not_copied_and_not_kept(graph):
    x = fb.placeholder((3,), "float64", name="x")
    seen = []
    y = fb.py_function(lambda a: seen.append(a) or a, [x], "float64", (3,))
    feed = np.arange(3.0)
    v = fb.Variable(np.zeros(3), name="v")
    session = fb.Session()
    session.run([y, fb.assign(v, x), fb.assign(v, fb.identity(x))], {x: feed})
    assert np.shares_memory(seen[0], feed)
    feed[:] = 99.0
    assert session.run(v).tolist() == [0, 1, 2]


# ------------------------------------------------------------------------------------------------ dimensions


def test_named_dimensions_bind_over_all_feeds_before_anything_runs(graph):
    ran = []
    x = fb.placeholder(("batch", 2), name="x")
    y = fb.placeholder(("batch",), name="y")
    out = fb.py_function(lambda a: ran.append(1) or a, [fb.sum(x) + fb.sum(y)], "float32", ())
    with pytest.raises(FeedError, match=r"'batch' is 4 in the feed of 'y' and 3 in 'x'"):
        fb.Session().run(out, {x: np.ones((3, 2)), y: np.ones(4)})
    assert not ran


def test_a_name_that_meets_an_int_is_that_int(graph):
    ran = []
    x = fb.placeholder(("n",), name="x")
    noted = fb.py_function(lambda a: ran.append(1) or a, [x], "float32", ("n",))
    z = noted + fb.constant(np.zeros(4, np.float32))
    assert z.shape == (4,)
    session = fb.Session()
    with pytest.raises(ShapeError) as info:
        session.run(z, {x: np.ones(5)})
    assert not ran and info.value.op == "add" and "(5,)" in str(info.value) and "(4,)" in str(info.value)
    assert session.run(z, {x: np.ones(4)}).shape == (4,)
    assert session.run(z, {x: np.ones(1)}).shape == (4,)  # size 1 still broadcasts


def test_two_names_may_turn_out_equal(graph):
    x, y = fb.placeholder(("m",), name="x"), fb.placeholder(("n",), name="y")
    z = x + y
    assert z.shape == (None,)
    assert fb.Session().run(z, {x: [1, 2], y: [1, 2]}).tolist() == [2, 4]
    with pytest.raises(ShapeError):
        fb.Session().run(z, {x: [1, 2], y: [1, 2, 3]})


def test_one_plan_a_shape_and_few_plans_kept(graph):
    x = fb.placeholder(("n",), name="x")
    y = fb.sum(x)
    session = fb.Session()
    for n in range(1, 100):
        assert session.run(y, {x: np.ones(n)}) == n
    assert len(session._plans) == 64


def test_a_plan_is_compiled_again_when_the_graph_it_came_from_changes(graph):
    with graph.transaction("cell"):
        x = fb.constant(2.0, name="x")
    y = x * 10.0
    session = fb.Session()
    assert session.run(y) == 20.0
    with graph.transaction("cell"):
        fb.constant(3.0, name="x")
    assert session.run(y) == 30.0


# ------------------------------------------------------------------------------------------------ make_callable


def test_make_callable_equals_run_and_follows_shapes(graph):
    x, y = fb.placeholder(("n",), name="x"), fb.placeholder(("n",), name="y")
    session = fb.Session()
    f = session.make_callable({"sum": x + y}, [x, y])
    for n in (1, 3, 1):
        assert f(np.ones(n), np.ones(n))["sum"].tolist() == [2.0] * n
    with pytest.raises(FeedError, match="1 values for 2 feeds"):
        f(1.0)
    with pytest.raises(FeedError, match="'n'"):
        f(np.ones(2), np.ones(3))
    with pytest.raises(FeedError, match="twice"):
        session.make_callable(x, [x, x])


def test_make_callable_sees_edits(graph):
    with graph.transaction("cell"):
        x = fb.constant(2.0, name="x")
    f = fb.Session().make_callable(x)
    assert f() == 2.0
    with graph.transaction("cell"):
        fb.constant(3.0, name="x")
    assert f() == 3.0


# ------------------------------------------------------------------------------------------------ sessions


def test_a_closed_session_refuses(graph):
    c = fb.constant(1.0)
    with fb.Session() as session:
        f = session.make_callable(c)
        assert f() == 1.0
    for call in (f, lambda: session.run(c)):
        with pytest.raises(SessionError, match="closed"):
            call()


def test_values_belong_to_the_session(graph):
    v = fb.Variable(0.0, name="v")
    bump = fb.assign_add(v, 1.0)
    one, two = fb.Session(), fb.Session()
    one.run(bump)
    assert one.run(v) == 1.0 and two.run(v) == 0.0


def test_wrong_arguments(graph):
    with pytest.raises(ArgumentError):
        fb.Session("graph")
    with pytest.raises(DeviceError, match="gpu:0"):
        fb.Session(devices=["gpu:0"])
    with pytest.raises(ArgumentError):
        fb.Session(devices=[])
    with pytest.raises(ArgumentError):
        fb.Session(devices=["fast one"])
    for wrong in (0, 2.0, "two", True):
        with pytest.raises(ArgumentError, match="threads"):
            fb.Session(threads=wrong)
    with pytest.raises(ArgumentError, match="3 is not a device name"):
        fb.Session(devices=3)
    with pytest.raises(FetchError, match="3"):
        fb.Session().make_callable([], 3)
    with pytest.raises(FetchError, match="3"):
        fb.Session().initialize(3)


def test_one_feed_alone_is_a_list_too(graph):
    x = fb.placeholder((2,), name="x")
    for feed in (x, "x", [x]):
        assert fb.Session().make_callable(x * 2.0, feed)([1.0, 2.0]).tolist() == [2.0, 4.0]
    v = fb.Variable(1.0, name="v")
    session = fb.Session()
    session.run(fb.assign(v, 5.0))
    session.initialize("v")
    assert session.run(v) == 1.0


def test_devices_says_what_is_here_and_why_not():
    found = {each.name: each for each in fb.devices()}
    assert found["cpu:0"].usable
    assert not found["gpu:0"].usable and found["gpu:0"].reason


def test_a_device_that_is_not_here_is_replaced_and_told_once(graph):
    with fb.device("gpu:0"):
        y = fb.exp(fb.constant(0.0), name="y")
    session = fb.Session()
    assert session.run(y) == session.run(y, trace=True) == 1.0
    assert session.notes == ["gpu:0 is not in this session; its nodes run on cpu:0"]
    assert y.device == "gpu:0" and session.trace.timings()[0].device == "cpu:0"


def test_a_session_in_a_draft_sees_the_draft_and_a_callable_outlives_a_rollback(graph):
    with graph.transaction("cell"):
        x = fb.constant(1.0, name="x")
    session = fb.Session()
    with pytest.raises(ZeroDivisionError), graph.transaction("cell"):
        y = fb.constant(5.0, name="x")
        assert y is x and session.run(x) == 5.0
        raise ZeroDivisionError
    assert session.run(x) == 1.0


def test_running_what_is_gone_names_the_cell(graph):
    with graph.transaction("first"):
        x = fb.constant(1.0, name="x")
    graph.remove_owner("first")
    with pytest.raises(GraphError, match="cell first no longer defines"):
        fb.Session().run(x)


def test_nan_and_overflow_make_no_warnings(graph):
    x = fb.placeholder((3,), name="x")
    got = fb.Session().run([fb.log(x), x / 0.0, fb.exp(x * 1000.0)], {x: [-1.0, 0.0, 1.0]})
    assert np.isnan(got[0][0]) and np.isnan(got[1][1]) and np.isinf(got[2][2])


def test_deep_chains_never_recurse(graph):
    x = y = fb.placeholder((), name="x")
    for _ in range(20_000):
        y = y + 1.0
    (dx,) = fb.gradients(y, [x])
    assert [float(v) for v in fb.Session().run([y, dx], {x: 0.0})] == [20_000.0, 1.0]


def test_an_exception_in_a_host_function_is_a_run_error_with_its_cause(graph):
    def broken(a):
        raise KeyError("missing")

    y = fb.py_function(broken, [fb.constant(1.0)], "float32", (), name="lookup")
    with pytest.raises(RunError, match="KeyError") as info:
        fb.Session().run(y)
    assert isinstance(info.value.__cause__, KeyError) and info.value.node == "lookup"


def test_values_are_given_up_as_soon_as_nobody_needs_them(graph):
    """A chain of twenty arrays of 8 MB has at most three alive: operand, result, and the kernel's own."""
    x = y = fb.placeholder((1_000_000,), "float64", name="x")
    for _ in range(20):
        y = fb.tanh(y)
    run = fb.Session().make_callable(fb.sum(y), [x])
    array = np.ones(1_000_000)
    run(array)
    tracemalloc.start()
    try:
        run(array)
        assert tracemalloc.get_traced_memory()[1] < 3.5 * array.nbytes
    finally:
        tracemalloc.stop()


def test_an_array_op_may_leave_an_operand_out(graph):
    def scaled(xp, x, scale=None, shift=None):
        return x * (1.0 if scale is None else scale) + (0.0 if shift is None else shift)

    build = make_builder(OpDef(scaled, lambda x, scale=None, shift=None: x))
    a, b = fb.placeholder((), name="a"), fb.placeholder((), name="b")  # constants would be folded before the run
    fetches = [build(a), build(a, a), build(a, None, b), build(a, a, b)]
    assert fb.Session().run(fetches, {a: 3.0, b: 1.0}) == [3.0, 9.0, 4.0, 10.0]
