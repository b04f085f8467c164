"""The passes one by one, and the Plan they end in."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.compile.compiler import compile_plan
from flowbook.compile.plan import Plan, validate
from flowbook.errors import GraphError, ShapeError
from flowbook.graph.types import TensorSpec, as_dtype

F32 = as_dtype("float32")


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


@pytest.fixture
def unfused(monkeypatch):
    """Ops stay steps of their own."""
    monkeypatch.setattr("flowbook.compile.compiler.MERGES", ())


def ops(plan: Plan) -> list[str]:
    return [step.op.name for step in plan.steps]


# ------------------------------------------------------------------------------------------------ prune and order


def test_only_what_the_fetches_need_is_in_the_plan(graph):
    x = fb.placeholder((2,), name="x")
    y = fb.tanh(x)
    fb.exp(x)
    assert ops(compile_plan([y], {x: TensorSpec((2,), F32)})) == ["tanh"]


def test_feeding_a_tensor_cuts_what_it_needed(graph):
    x = fb.placeholder((2,), name="x")
    y = fb.tanh(x)
    z = fb.exp(y)
    assert ops(compile_plan([z], {y: TensorSpec((2,), F32)})) == ["exp"]


def test_control_dependencies_are_kept_and_ordered(graph, unfused):
    v = fb.Variable(1.0, name="v")
    late = fb.assign_add(v, 1.0)
    with fb.control_dependencies([late]):
        y = fb.constant(2.0) * fb.identity(v)
    plan = compile_plan([y], {})
    assert ops(plan).index("assign_add") < ops(plan).index("identity")
    step = plan.steps[ops(plan).index("multiply")]
    assert ops(plan).index("assign_add") in step.waits


def test_shapes_are_concrete_in_the_plan_and_errors_come_before_the_run(graph):
    x, y = fb.placeholder(("n", None), name="x"), fb.placeholder((None, 3), name="y")
    z = fb.matmul(x, y)
    plan = compile_plan([z], {x: TensorSpec((4, 5), F32), y: TensorSpec((5, 3), F32)})
    assert plan.specs[plan.steps[0].outputs[0]].shape == (4, 3)
    with pytest.raises(ShapeError) as info:
        compile_plan([z], {x: TensorSpec((4, 6), F32), y: TensorSpec((5, 3), F32)})
    assert info.value.node == z.name and "(4, 6)" in str(info.value) and "(5, 3)" in str(info.value)


# ------------------------------------------------------------------------------------------------ fold and cse


def test_constants_are_folded_in_the_optimised_plan_only(graph):
    x = fb.placeholder((2,), name="x")
    y = x * fb.exp(fb.constant(1.0) + fb.constant(2.0))
    feeds = {x: TensorSpec((2,), F32)}
    assert ops(compile_plan([y], feeds)) == ["multiply"]
    assert sorted(ops(compile_plan([y], feeds, observed=True))) == ["add", "exp", "multiply"]


def test_random_numbers_host_functions_and_large_results_are_not_folded(graph):
    calls = []
    noise = fb.random.uniform((2,))
    host = fb.py_function(lambda a: calls.append(1) or a, [fb.constant(1.0)], "float32", ())
    large = fb.broadcast_to(fb.constant(1.0), (1 << 23,)) * 2.0
    plan = compile_plan([noise * 2.0, host, large], {})
    assert {"random_uniform", "py_function", "multiply"} <= set(ops(plan)) and not calls


def test_a_fold_that_fails_is_left_for_the_run(graph):
    y = fb.gather(fb.constant([1.0, 2.0]), fb.constant([5]))
    assert ops(compile_plan([y], {})) == ["gather"]


def test_equal_subexpressions_run_once(graph, unfused):
    x = fb.placeholder((2,), name="x")
    y = fb.tanh(x) + fb.tanh(x)
    z = (x * 2.0) * (x * 2)  # a float and an int scalar are not the same operand
    feeds = {x: TensorSpec((2,), F32)}
    assert ops(compile_plan([y], feeds)) == ["tanh", "add"]
    assert ops(compile_plan([z], feeds)) == ["multiply"] * 3
    assert ops(compile_plan([y], feeds, observed=True)) == ["tanh", "tanh", "add"]


def test_minus_zero_is_not_zero_for_the_merge(graph):
    x = fb.placeholder((1,), name="x")
    got = fb.Session().run([x / 0.0, x / -0.0], {x: [1.0]})
    assert got[0] == np.inf and got[1] == -np.inf


def test_equal_random_nodes_are_not_merged(graph):
    a, b = fb.random.uniform((3,)), fb.random.uniform((3,))
    x, y = fb.Session().run([a, b])
    assert not np.array_equal(x, y)


def test_optimised_and_observed_plans_agree_to_the_byte(graph):
    x = fb.placeholder((3, 3), name="x")
    c = fb.constant(np.eye(3, dtype=np.float32)) * 2.0
    y = fb.tanh(x @ c) + fb.tanh(x @ c)
    (dx,) = fb.gradients(y, [x])
    feed = {x: np.random.default_rng(0).normal(size=(3, 3))}
    session = fb.Session()
    plain = session.run([y, dx], feed)
    traced = session.run([y, dx], feed, trace=True)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(plain, traced, strict=True))


# ------------------------------------------------------------------------------------------------ place


def test_copies_are_steps_between_memories_and_made_once(graph):
    x = fb.placeholder((2,), name="x")
    with fb.device("cpu:1"):
        a, b = fb.exp(x), fb.tanh(x)
    y = a + b
    devices = ("cpu:0", "cpu:1")
    plan = compile_plan([y], {x: TensorSpec((2,), F32)}, devices)
    copies = [(step.name, step.device) for step in plan.steps if step.op.name == "copy"]
    assert copies == [
        ("copy/x/cpu:0-cpu:1", "cpu:1"),
        (f"copy/{a.name}/cpu:1-cpu:0", "cpu:0"),
        (f"copy/{b.name}/cpu:1-cpu:0", "cpu:0"),
    ]
    one, two = fb.Session(), fb.Session(devices=devices)
    assert np.array_equal(one.run(y, {x: [1, 2]}), two.run(y, {x: [1, 2]}))


def test_a_variable_lives_where_it_was_made_and_is_written_there(graph):
    with fb.device("cpu:1"):
        v = fb.Variable([1.0, 2.0], name="v")
    bump = fb.assign_add(v, fb.constant([1.0, 1.0]) * 2.0)
    plan = compile_plan([bump], {}, ("cpu:0", "cpu:1"), observed=True)
    where = {step.op.name: step.device for step in plan.steps}
    assert where["assign_add"] == "cpu:1" and where["multiply"] == "cpu:0"
    session = fb.Session(devices=["cpu:0", "cpu:1"])
    assert session.run(bump).tolist() == [3, 4] and session.run(v).tolist() == [3, 4]


def test_backward_nodes_run_where_their_forward_nodes_do(graph):
    x = fb.placeholder((2,), name="x")
    with fb.device("cpu:1"):
        y = fb.tanh(x)
    (dx,) = fb.gradients(y, [x])
    plan = compile_plan([dx], {x: TensorSpec((2,), F32)}, ("cpu:0", "cpu:1"), observed=True)
    backward = [step for step in plan.steps if step.node is not None and step.node.forward is y.node]
    assert backward and all(step.device == "cpu:1" for step in backward)


def test_placement_is_soft_and_says_so(graph):
    with fb.device("gpu:3"):
        y = fb.exp(fb.constant(1.0))
    plan = compile_plan([y], {}, observed=True)
    assert plan.steps[0].device == "cpu:0" and plan.notes == ("gpu:3 is not in this session; its nodes run on cpu:0",)


def test_everything_is_on_the_only_device(graph):
    """What nodes ask for is noted once each; a write is where its variable lives, whatever it asks for."""
    with fb.device("gpu:1"):
        v = fb.Variable([1.0, 2.0], name="v")
    with fb.device("gpu:2"):
        bump = fb.assign_add(v, 1.0)
    with fb.device("gpu:0"):
        y, z = fb.exp(v), fb.tanh(v)
    plan = compile_plan([bump, y, z], {}, observed=True)
    assert [note.partition(" ")[0] for note in plan.notes] == ["gpu:1", "gpu:0"]
    assert {step.device for step in plan.steps} == {"cpu:0"} and len(plan.steps) == 3
    two = compile_plan([bump, y, z], {}, ("cpu:0", "cpu:1"), observed=True)
    assert two.notes == plan.notes and [step.device for step in two.steps] == [step.device for step in plan.steps]


def test_a_plan_that_mixes_memories_is_refused(graph):
    x = fb.placeholder((2,), name="x")
    with fb.device("cpu:1"):
        y = fb.exp(x)
    z = fb.tanh(y)
    plan = compile_plan([z], {x: TensorSpec((2,), F32)}, ("cpu:0", "cpu:1"), observed=True)
    copy = next(step for step in plan.steps if step.name.startswith(f"copy/{y.name}"))
    broken = [
        step._replace(inputs=copy.inputs) if step.op.name == "tanh" else step for step in plan.steps if step is not copy
    ]
    with pytest.raises(GraphError, match="cpu:0 reads slot"):
        validate(plan._replace(steps=tuple(broken)))


# ------------------------------------------------------------------------------------------------ plan


def chain(graph):
    x = fb.placeholder((2,), name="x")
    y = fb.tanh(fb.exp(x))
    return x, y, compile_plan([y], {x: TensorSpec((2,), F32)})


def test_values_are_released_after_their_last_reader(graph, unfused):
    *_, plan = chain(graph)
    released = [slot for step in plan.steps for slot in step.release]
    assert sorted(released) == sorted({plan.feeds[0][1], plan.steps[0].outputs[0]})
    assert plan.fetches[0] not in released


@pytest.mark.parametrize(
    "damage",
    [
        lambda plan: plan._replace(steps=plan.steps[::-1]),
        lambda plan: plan._replace(steps=plan.steps[:1]),
        lambda plan: plan._replace(steps=(plan.steps[0], plan.steps[0], plan.steps[1])),
        lambda plan: plan._replace(steps=(plan.steps[0]._replace(release=plan.steps[0].outputs), plan.steps[1])),
        lambda plan: plan._replace(steps=(plan.steps[0], plan.steps[1]._replace(release=plan.fetches))),
    ],
    ids=["order", "missing step", "written twice", "released too early", "fetch released"],
)
def test_validate_catches_broken_plans(graph, unfused, damage):
    validate(chain(graph)[2])
    with pytest.raises(GraphError, match="plan:"):
        validate(damage(chain(graph)[2]))


def test_an_optimised_plan_has_no_slot_that_nobody_uses(graph):
    x = fb.placeholder((2, 3), name="x")
    v = fb.Variable([1.0, 2.0, 3.0], name="v")
    folded = fb.constant(1.0) + 1.0
    y = fb.tanh((x * v + x * v) * folded) @ fb.transpose(x)
    plan = compile_plan([y, fb.assign_add(v, fb.sum(y)), folded, x], {x: TensorSpec((2, 3), F32)})
    used = {slot for _, slot in (*plan.feeds, *plan.states, *plan.writes)}
    used.update(slot for slot in plan.fetches if slot is not None)
    for step in plan.steps:
        used.update(slot for slot in (*step.inputs, *step.outputs) if slot is not None)
    assert used == set(range(len(plan.specs))) == set(range(len(plan.initial)))
    assert plan.fetches[3] == plan.feeds[0][1] and plan.initial[plan.fetches[2]] == 2.0


def test_passes_can_show_their_work(graph):
    x = fb.placeholder((2,), name="x")
    y = fb.tanh(x * (fb.constant(1.0) + 1.0))
    seen = {}
    compile_plan([y], {x: TensorSpec((2,), F32)}, show=seen.__setitem__)
    assert list(seen) == ["lower", "fold", "cse", "place", "products", "fuse", "compact"]
    assert "add(" in seen["lower"] and "add(" not in seen["fold"] and "tanh(" in seen["place"]
