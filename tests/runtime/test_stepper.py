"""`Stepper`: what each of its verbs does, on small graphs whose every step is known."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, FeedError, RunError, SessionError


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


@pytest.fixture
def chain(graph):
    """x, host = 2x, v += host, out = 10v; beside them side = -x."""
    calls: list[Any] = []

    def double(value):
        calls.append(value.tolist())
        return value * 2.0

    x = fb.placeholder((), name="x")
    v = fb.Variable(1.0, name="v")
    host = fb.py_function(double, [x], "float32", (), name="host")
    bump = fb.assign_add(v, host, name="bump")
    out = fb.multiply(bump, 10.0, name="out")
    side = fb.negative(x, name="side")
    session = fb.Session()
    d = session.debug([out, side, v], {x: 3.0})
    found = SimpleNamespace(x=x, v=v, host=host, bump=bump, out=out, side=side, session=session, d=d, calls=calls)
    found.held = lambda: held(session, v)
    return found


def held(session, variable):
    """What the session holds for a variable, without initialising it."""
    stored = session.variables.get(variable)
    return None if stored is None else stored.value.tolist()


# ------------------------------------------------------------------------------------------------ moving


def test_steps_and_back_steps_return_the_nodes_and_none_at_the_ends(chain):
    forward = [chain.d.step() for _ in range(4)]
    assert forward == [each.node for each in (chain.host, chain.bump, chain.out, chain.side)]
    assert chain.d.step() is None and chain.d.step() is None and chain.d.next is None
    assert [chain.d.back() for _ in range(4)] == forward[::-1]
    assert chain.d.back() is None and chain.d.next is chain.host.node


def test_variables_are_written_at_their_node_and_taken_back(chain):
    assert chain.held() is None
    assert (chain.d.step(), chain.held())[1] == 1.0  # initialised with the first step
    assert (chain.d.step(), chain.held())[1] == 7.0
    assert chain.d.value(chain.v) == 7.0 and chain.session.run(chain.v) == 7.0
    assert (chain.d.back(), chain.held())[1] == 1.0
    assert (chain.d.back(), chain.held())[1] is None


def test_forward_after_back_does_not_call_host_functions_again(chain):
    first = chain.d.finish()
    while chain.d.back() is not None:
        pass
    assert chain.d.finish() == first == [70.0, -3.0, 1.0] and chain.calls == [3.0]
    assert chain.d.finish() == first and chain.held() == 7.0


def test_to_goes_both_ways(chain):
    d = chain.d
    assert d.to("out") is chain.out.node and d.done == (chain.host.node, chain.bump.node, chain.out.node)
    assert d.to(chain.host) is chain.host.node and d.position == 1 and chain.held() == 1.0
    assert [d.state(each) for each in (chain.host, chain.bump, chain.side, chain.out)] == [
        "finished",
        "ready",
        "ready",
        "waiting",
    ]
    with pytest.raises(SessionError, match="'x' is given"):
        d.to(chain.x)
    with pytest.raises(SessionError, match="'nothing' is not part of this run"):
        d.to("nothing")


def test_the_numbers_are_those_of_a_run_at_the_same_counter(graph):
    noise = fb.random.normal((3,), name="noise")
    stepped, plain = fb.Session(), fb.Session()
    for _ in range(2):
        d = stepped.debug(noise)
        values = [(d.step(), d.value(noise).tobytes(), d.back())[1] for _ in range(2)]
        assert values == [plain.run(noise).tobytes()] * 2
    assert stepped.runs == 2


def test_feeds_are_copied_and_values_are_the_callers(chain, graph):
    data = np.ones(2, np.float32)
    a = fb.placeholder((2,), name="a")
    d = fb.Session().debug(fb.identity(a), {a: data})
    data[:] = 5.0
    d.value(a)[:] = 7.0
    d.finish()[:] = 9.0
    assert d.finish().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("action", ["back", "forward", "set"])
def test_what_another_run_wrote_is_not_lost(chain, action):
    d = chain.d
    d.to("bump" if action != "forward" else "host")
    chain.session.run(fb.assign(chain.v, 100.0))
    use = {"back": d.back, "forward": d.step, "set": lambda: d.set_value("host", 0.0)}[action]
    position = d.position
    with pytest.raises(SessionError, match="another run wrote 'v' in between"):
        use()
    assert d.position == position and chain.held() == 100.0
    if action == "back":  # what does not write can still be done
        assert d.step() is chain.out.node and d.back() is chain.out.node


def test_another_run_that_only_reads_is_no_obstacle(chain):
    chain.d.to("bump")
    assert chain.session.run([chain.v, chain.side], {chain.x: 1.0}) == [7.0, -1.0]
    assert chain.d.back() is chain.bump.node and chain.held() == 1.0


def test_a_node_that_raises_leaves_it_before_the_node(graph):
    x = fb.placeholder((), name="x")
    bad = fb.check_finite(fb.log(x, name="log"), name="bad")
    d = fb.Session().debug(bad + 1.0, {x: 0.0})
    for _ in range(2):
        with pytest.raises(RunError, match="the value is -inf") as info:
            d.finish()
        assert info.value.node == "bad" and d.next is bad.node and d.state(bad) == "ready"
    d.set_value("log", 2.0)
    assert d.finish() == 3.0


def test_one_thread_at_a_time(graph):
    entered, go = threading.Event(), threading.Event()

    def wait():
        entered.set()
        assert go.wait(30)
        return 1.0

    slow = fb.py_function(wait, [], "float32", (), name="slow")
    d = fb.Session().debug(slow)
    thread = threading.Thread(target=d.step)
    thread.start()
    assert entered.wait(30)
    assert d.state(slow) == "running"
    with pytest.raises(SessionError, match="is running a node"):
        d.step()
    go.set()
    thread.join(30)
    assert d.state(slow) == "finished" and d.value(slow) == 1.0


def test_a_closed_stepper_refuses(chain):
    chain.d.to("bump")
    chain.d.close()
    for use in (chain.d.step, chain.d.back, chain.d.run, chain.d.finish, lambda: chain.d.value("host")):
        with pytest.raises(SessionError, match="closed"):
            use()
    assert chain.held() == 7.0 and repr(chain.d) == "<Stepper: closed>"


# ------------------------------------------------------------------------------------------------ breakpoints


@pytest.fixture
def layers(graph):
    """e^x and log(e^x - 1) in one scope, square root and sum in another; at x = 0 the logarithm is -inf."""
    x = fb.placeholder((3,), name="x")
    with fb.name_scope("one"):
        a = fb.exp(x, name="a")
        b = fb.log(fb.subtract(a, 1.0, name="less"), name="b")
    with fb.name_scope("two"):
        c = fb.sqrt(b, name="c")
        total = fb.sum(c, name="total")
    return fb.Session().debug(total, {x: [0.0, 1.0, 2.0]})


def stops(stepper):
    """The names of the nodes where ``run`` stops, each with the position."""
    found = []
    while (node := stepper.run()) is not None:
        found.append((node.name, stepper.position))
    return found


@pytest.mark.parametrize(
    ("pattern", "when", "expected"),
    [
        ("one/*", None, [("one/a", 0), ("one/less", 1), ("one/b", 2)]),
        ("*/[bc]", None, [("one/b", 2), ("two/c", 3)]),
        ("op:log", None, [("one/b", 2)]),
        ("one/*", "inf", [("one/b", 3)]),
        ("*", "nan", [("two/c", 4), ("two/total", 5)]),
        ("*", "nonfinite", [("one/b", 3), ("two/c", 4), ("two/total", 5)]),
        ("*", lambda value: value.ndim == 0, [("two/total", 5)]),
        ("*", lambda value: np.any(value > 6.0), [("one/a", 1), ("one/less", 2)]),
        ("one/*", "nan", []),
    ],
)
def test_where_run_stops(layers, pattern, when, expected):
    breakpoint = layers.breakpoint(pattern, when)
    assert stops(layers) == expected and breakpoint.hits == len(expected)
    assert layers.position == layers.total and layers.run() is None


def test_a_node_can_be_stopped_at_before_and_after(layers):
    layers.breakpoint("one/b")
    layers.breakpoint("one/b", when="inf")
    layers.breakpoint("two/c")
    assert stops(layers) == [("one/b", 2), ("one/b", 3), ("two/c", 3)]


def test_breakpoints_are_switched_off_taken_out_and_passed(layers):
    first, second = layers.breakpoint("one/less"), layers.breakpoint("two/*")
    assert layers.breakpoints == (first, second)
    assert layers.run().name == "one/less"
    second.enabled = False
    assert layers.run() is None
    while layers.back() is not None:
        pass
    first.remove()
    second.enabled = True
    assert layers.breakpoints == (second,) and layers.run().name == "two/c"
    assert np.isnan(layers.finish()) and second.hits == 1  # finish passes them
    assert layers.run_back().name == "two/total" and layers.run_back().name == "two/c"


def test_a_tensor_is_a_pattern_for_its_own_name(graph):
    odd = fb.exp(fb.placeholder((), name="x"), name="a[0]*")
    other = fb.negative(odd, name="a0b")
    d = fb.Session().debug(other, {"x": 0.0})
    d.breakpoint(odd)
    assert stops(d) == [("a[0]*", 0)]


@pytest.mark.parametrize(
    ("pattern", "when", "kind", "text"),
    [
        ("three/*", None, SessionError, "no node of this run matches"),
        ("op:exq", None, SessionError, "no node of this run matches"),
        (3, None, ArgumentError, "3 is not a pattern"),
        ("*", "zero", ArgumentError, "when='zero' is not known"),
        ("*", 0.5, ArgumentError, "when=0.5 is not known"),
    ],
)
def test_what_is_no_breakpoint(layers, pattern, when, kind, text):
    with pytest.raises(kind, match=text):
        layers.breakpoint(pattern, when)
    assert layers.breakpoints == ()


def test_a_condition_that_fails_is_told_and_cannot_change_values(layers):
    layers.breakpoint("one/a", when=lambda value: value)
    with pytest.raises(SessionError, match=r"condition of breakpoint 'one/a' failed: ValueError"):
        layers.run()
    assert layers.position == 1
    layers.breakpoints[0].remove()
    layers.breakpoint("one/less", when=lambda value: value.fill(0.0))
    with pytest.raises(SessionError, match="read-only"):
        layers.run()
    assert layers.value("one/less")[0] == 0.0 and layers.value("one/less")[1] > 1.0


# ------------------------------------------------------------------------------------------------ values


def test_the_value_of_what_is_not_computed_yet(chain):
    d = chain.d
    assert d.value(chain.x) == 3.0 and d.value("v") == 1.0
    with pytest.raises(SessionError, match="'out' is not computed yet: 0 of 4 nodes are, the next one is 'host'"):
        d.value(chain.out)
    with pytest.raises(SessionError, match="not computed yet"):
        d.set_value("out", 1.0)
    with pytest.raises(SessionError, match="not part of this run"):
        d.value(fb.exp(chain.x))
    d.to("out")
    assert d.value(chain.out) == d.value("out") == d.value(chain.out.node) == 70.0
    d.back()
    with pytest.raises(SessionError, match="not computed yet"):
        d.value(chain.out)


def test_setting_a_value_recomputes_what_was_computed_and_counts(chain):
    d = chain.d
    d.to("out")
    edit = d.set_value(chain.host, 1.0)
    assert (edit.name, edit.recomputed, edit.computed, edit.total, edit.changed) == ("host", 2, 3, 4, ("out",))
    assert edit.seconds >= 0.0 and d.value(chain.out) == 20.0 and chain.held() == 2.0
    assert chain.calls == [3.0]
    edit = d.set_value("host", 1.0)
    assert (edit.recomputed, edit.changed) == (0, ())
    assert d.finish() == [20.0, -3.0, 1.0]


def test_setting_a_feed_changes_what_is_still_to_come(chain):
    d = chain.d
    d.to("host")
    edit = d.set_value("x", 5.0)
    assert (edit.recomputed, edit.computed, edit.changed) == (1, 1, ()) and chain.calls == [3.0, 5.0]
    assert d.finish() == [110.0, -5.0, 1.0]
    d.to("host")
    assert d.set_value("x", 3.0).recomputed == 1
    assert d.finish() == [70.0, -3.0, 1.0]


def test_setting_a_variable_before_its_write_is_like_feeding_it(chain):
    d = chain.d
    d.step()
    assert d.set_value("v", 100.0).recomputed == 0 and chain.held() == 1.0
    assert d.finish() == [1060.0, -3.0, 100.0] and chain.held() == 106.0
    while d.back() is not None:
        pass
    assert chain.held() is None


def test_setting_a_variable_after_its_write_changes_what_was_written(chain):
    d = chain.d
    d.to("bump")
    d.set_value("v", 50.0)
    assert chain.held() == 50.0 == d.value(chain.bump)
    assert d.finish()[0] == 500.0
    d.reset_value("v")
    assert chain.held() == 7.0 and d.finish()[0] == 70.0


def test_a_set_value_stays_until_it_is_reset(chain):
    d = chain.d
    d.to("host")
    d.set_value("host", 0.5)
    d.back()
    assert (d.step(), d.value("host"))[1] == 0.5 and chain.calls == [3.0]
    edit = d.reset_value("host")
    assert (edit.name, edit.recomputed) == ("host", 0) and d.value("host") == 6.0
    with pytest.raises(SessionError, match="'host' was not set"):
        d.reset_value("host")


@pytest.mark.parametrize("value", ["a", [1.0, 2.0], None, 1j])
def test_a_value_that_does_not_fit_is_refused(chain, value):
    chain.d.step()
    with pytest.raises(FeedError, match="the value for 'host'"):
        chain.d.set_value("host", value)
    assert chain.d.value("host") == 6.0


def test_an_edit_that_raises_changes_nothing(graph):
    x = fb.placeholder((), name="x")
    v = fb.Variable(0.0, name="v")
    first = fb.assign(v, x * 2.0, name="first")
    last = fb.check_finite(fb.log(first), name="last")
    session = fb.Session()
    d = session.debug(last, {x: 1.0})
    d.finish()
    with pytest.raises(RunError, match="nan"):
        d.set_value(x, -1.0)
    assert (d.value(x), d.value(first), held(session, v)) == (1.0, 2.0, 2.0) and d.position == d.total
    assert d.set_value(x, 2.0).recomputed == 4 and held(session, v) == 4.0


# ------------------------------------------------------------------------------------------------ bodies


@pytest.fixture
def branches(graph):
    """choice = v += 2x when x > 0, else -x; out = choice + 1."""
    x = fb.placeholder((), name="x")
    v = fb.Variable(1.0, name="v")

    def positive():
        return fb.assign_add(v, fb.multiply(x, 2.0, name="twice"), name="bump")

    choice = fb.cond(fb.greater(x, 0.0, name="test"), positive, lambda: fb.negative(x, name="minus"), name="choice")
    out = fb.add(choice, 1.0, name="out")
    session = fb.Session()
    return SimpleNamespace(session=session, v=v, debug=lambda value: session.debug(out, {x: value}))


def test_a_branch_is_one_step_unless_stepped_into(branches):
    d = branches.debug(3.0)
    assert [node.name for node in iter(d.step, None)] == ["test", "choice", "out"]
    assert d.value("out") == 8.0 and d.value("choice/true/twice") == 6.0
    with pytest.raises(SessionError, match="not computed yet"):
        d.value("choice/false/minus")


def test_stepping_through_a_branch(branches):
    d = branches.debug(3.0)
    assert d.step_into().name == "test"  # it has no body
    assert d.step_into().name == "choice/true/twice" and (d.depth, d.position) == (1, 0)
    assert d.state("choice") == "running"
    assert d.step().name == "choice/true/twice" and d.value("choice/true/twice") == 6.0
    assert d.step().name == "choice/true/bump" and held(branches.session, branches.v) == 1.0
    assert d.value("v") == 7.0  # as this run sees it
    assert d.step_out().name == "choice" and d.depth == 0 and held(branches.session, branches.v) == 7.0
    assert d.step_out() is None
    assert d.finish() == 8.0


def test_going_back_out_of_a_branch(branches):
    d = branches.debug(3.0)
    d.step()
    d.step_into()
    d.step()
    assert d.back().name == "choice/true/twice" and d.depth == 1
    assert d.back().name == "test" and d.depth == 0 and d.next.name == "test"
    assert d.back() is None and held(branches.session, branches.v) is None
    assert d.finish() == 8.0


def test_a_value_set_inside_a_branch_reaches_the_outside(branches):
    d = branches.debug(3.0)
    d.step()
    d.step_into()
    d.step()
    edit = d.set_value("choice/true/twice", 10.0)
    assert (edit.recomputed, edit.computed) == (0, 1)
    assert d.finish() == 12.0 and held(branches.session, branches.v) == 11.0


def test_setting_the_condition_takes_the_other_branch(branches):
    d = branches.debug(3.0)
    d.finish()
    edit = d.set_value("test", False)
    assert (edit.recomputed, edit.changed) == (2, ("out",))
    assert d.finish() == -2.0 and held(branches.session, branches.v) == 1.0


def test_going_to_a_node_in_a_branch(branches):
    d = branches.debug(-3.0)
    assert d.to("choice/false/minus").name == "choice/false/minus" and d.depth == 1
    with pytest.raises(SessionError, match="in a branch of 'choice' that this run does not take"):
        d.to("choice/true/twice")
    assert d.finish() == 4.0


def test_breakpoints_stop_inside_branches(branches):
    d = branches.debug(3.0)
    d.breakpoint("choice/true/bump")
    d.breakpoint("choice/true/*", when=lambda value: value == 6.0)
    assert stops(d) == [("choice/true/twice", 1), ("choice/true/bump", 1)]
    assert d.depth == 0 and d.finish() == 8.0
    d = branches.debug(-3.0)
    d.breakpoint("choice/true/*")
    assert stops(d) == []


# ------------------------------------------------------------------------------------------------ devices


def test_copies_between_devices_are_steps(graph):
    x = fb.placeholder((2,), name="x")
    with fb.device("cpu:1"):
        y = fb.exp(x, name="y")
    d = fb.Session(devices=["cpu:0", "cpu:1"]).debug(fb.negative(y, name="z"), {x: [0.0, 0.0]})
    nodes = [(each.name, each.op) for each in iter(d.step, None)]
    there, back = "copy/x/cpu:0-cpu:1", "copy/y/cpu:1-cpu:0"
    assert nodes == [(there, "copy"), ("y", "exp"), (back, "copy"), ("z", "negative")]
    assert d.value(back).tolist() == [1.0, 1.0]
    assert d.to(there).device == "cpu:1" and d.next is y.node
    d.breakpoint("op:copy")
    assert stops(d) == [(back, 2)]
