"""Elementwise fusion: what becomes one step, that it computes the same, and that order and state survive it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flowbook as fb
from flowbook.compile.compiler import compile_plan
from flowbook.compile.fuse import _Fusion
from flowbook.compile.kernels import FUSED
from flowbook.compile.plan import Plan
from flowbook.graph.types import TensorSpec

pytest.importorskip("flowbook.native._native", reason="the native library was not built")
F32 = np.dtype("float32")


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


def plan_of(fetches: list[Any], feeds: dict[Any, tuple[int, ...]]) -> Plan:
    return compile_plan(fetches, {tensor: TensorSpec(shape, tensor.dtype) for tensor, shape in feeds.items()})


def ops(plan: Plan) -> list[str]:
    """The steps, with the members of a group in brackets."""
    return [
        f"[{' '.join(member.op.name for member in step.attrs['members'])}]" if step.op is FUSED else step.op.name
        for step in plan.steps
    ]


# ------------------------------------------------------------------------------------------------ what is a group


def test_a_chain_is_one_step(graph):
    x = fb.placeholder((3, 4), name="x")
    y = fb.tanh(fb.exp(x) * 2.0 + 1.0)
    assert ops(plan_of([y], {x: (3, 4)})) == ["[exp multiply add tanh]"]


def test_a_product_between_two_groups_keeps_them_apart(graph):
    x = fb.placeholder((4, 4), name="x")
    y = fb.relu((fb.tanh(x) + 1.0) @ x + x)
    assert ops(plan_of([y], {x: (4, 4)})) == ["[tanh add]", "matmul", "[add relu]"]


def test_no_group_closes_a_circle(graph):
    """exp and the last add are neighbours, but the product needs the one and the other needs the product."""
    x = fb.placeholder((4, 4), name="x")
    a = fb.exp(x)
    b = a @ x
    y = fb.tanh(a + b)
    assert ops(plan_of([y], {x: (4, 4)})) == ["exp", "matmul", "[add tanh]"]


def test_a_reduction_ends_a_group(graph):
    x = fb.placeholder((4, 5), name="x")
    y = fb.sum(x * x, axis=1) * 2.0
    assert ops(plan_of([y], {x: (4, 5)})) == ["[multiply sum]", "multiply"]


def test_what_waits_for_a_later_group_is_computed_there(graph):
    """The mask of relu's gradient is not kept from the forward pass: it is made where it is used."""
    x, w = fb.placeholder((8, 4), name="x"), fb.Variable(np.ones((4, 4), np.float32), name="w")
    h = fb.relu(x @ w + 1.0)
    (dw,) = fb.gradients(fb.sum(fb.square(h @ w)), [w])
    found = ops(plan_of([dw], {x: (8, 4)}))
    assert not any("relu" in group and "greater" in group for group in found)
    assert any("greater" in group and "multiply" in group for group in found)


def test_each_update_of_adam_is_one_step(graph):
    w = fb.Variable(np.ones((4, 4), np.float32), name="w")
    x = fb.placeholder((8, 4), name="x")
    train = fb.train.Adam().minimize(fb.sum(fb.square(x @ w)))
    groups = [group for group in ops(plan_of([train], {x: (8, 4)})) if "assign_sub" in group]
    assert len(groups) == 1 and groups[0].count("assign") == 3


def test_control_dependencies_stay(graph):
    v = fb.Variable(1.0, name="v")
    late = fb.assign_add(v, 1.0)
    with fb.control_dependencies([late]):
        y = fb.exp(fb.identity(v) * 0.0) + v
    assert fb.Session().run(y) == 3.0


def test_reads_before_and_after_a_write_are_two_values(graph):
    v = fb.Variable([1.0, 2.0], name="v")
    before = v * 10.0
    write = fb.assign_add(v, 1.0)
    after = v * 10.0
    found = fb.Session().run([before, write, after])
    assert [each.tolist() for each in found] == [[10.0, 20.0], [2.0, 3.0], [20.0, 30.0]]


def test_a_member_that_is_fetched_is_kept(graph):
    x = fb.placeholder((3,), name="x")
    a = fb.exp(x)
    b = a + 1.0
    got = fb.Session().run([b, a, b], {x: [0.0, 1.0, 2.0]})
    np.testing.assert_allclose(got[1], np.exp([0, 1, 2]), rtol=1e-6)
    np.testing.assert_array_equal(got[0], got[1] + np.float32(1))
    assert got[0] is not got[2] and not np.shares_memory(got[0], got[2])


def test_many_members_over_large_arrays_are_cut_and_still_right(graph):
    x = fb.placeholder((5000,), name="x")
    y = x
    for step in range(300):
        y = y * 1.01 if step % 2 else y + 0.01
    plan = plan_of([y], {x: (5000,)})
    assert 3 < len(plan.steps) < 10
    feed = np.linspace(-1, 1, 5000, dtype=np.float32)
    session = fb.Session()
    assert session.run(y, {x: feed}).tobytes() == session.run(y, {x: feed}, trace=True).tobytes()


def test_the_reference_of_a_group_computes_the_same(graph):
    """`fused` has a reference kernel like any op."""
    x = fb.placeholder((3, 4), name="x")
    y = fb.sum(fb.maximum(x * 2.0, 0.5) - x, axis=0)
    (step,) = plan_of([y], {x: (3, 4)}).steps
    array = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(step.fn(array), step.op.kernel(np, array, **step.attrs), rtol=1e-6)


# ------------------------------------------------------------------------------------------------ any graph


@st.composite
def recipes(draw: Any) -> list[tuple[str, int, int]]:
    """Steps of a random graph over matrices: an op and which earlier values it reads."""
    kinds = ["add", "multiply", "tanh", "relu", "matmul", "transpose", "sum0", "sum1", "row", "exp", "bias", "write"]
    count = draw(st.integers(3, 25))
    return [
        (draw(st.sampled_from(kinds)), draw(st.integers(0, at + 1)), draw(st.integers(0, at + 1)))
        for at in range(count)
    ]


def build(recipe: list[tuple[str, int, int]]) -> tuple[Any, list[Any]]:
    x = fb.placeholder((4, 4), name="x")
    v = fb.Variable(np.full((4, 4), 0.5, np.float32), name="v")
    values: list[Any] = [x, v * 1.0]
    for kind, i, j in recipe:
        a, b = values[i], values[j]
        make = {
            "add": lambda a=a, b=b: a + b,
            "multiply": lambda a=a, b=b: a * b * 0.25,
            "tanh": lambda a=a: fb.tanh(a),
            "relu": lambda a=a: fb.relu(a),
            "exp": lambda a=a: fb.exp(fb.tanh(a)),
            "matmul": lambda a=a, b=b: fb.tanh(a @ b),
            "transpose": lambda a=a: fb.transpose(a),
            "sum0": lambda a=a: fb.tanh(fb.sum(a, axis=0, keepdims=True)) + fb.zeros_like(a),
            "sum1": lambda a=a: fb.tanh(fb.sum(a, axis=1, keepdims=True)) * fb.ones_like(a),
            "row": lambda a=a, b=b: a * b[1],
            "bias": lambda a=a, b=b: a + fb.mean(b, axis=0),
            "write": lambda a=a: fb.assign_add(v, fb.tanh(a)),
        }[kind]
        values.append(make())
    return x, values[2:]


@given(recipes())
@settings(max_examples=100, deadline=None)
def test_the_count_of_readers_elsewhere_stays_right_while_stages_change(recipe) -> None:
    """`_Fusion._apart` counts once for each result; here it is compared with a fresh count whenever it is asked."""
    found = _Fusion._apart

    def checked(self: _Fusion, before: int) -> int:
        elsewhere = [
            after
            for after in self.readers[before]
            if self.stages[after] != self.stages[before] or not self._joins(before, after)
        ]
        assert found(self, before) == len(elsewhere)
        return len(elsewhere)

    with fb.Graph().as_default(), pytest.MonkeyPatch.context() as patch:
        x, values = build(recipe)
        patch.setattr(_Fusion, "_apart", checked)
        plan_of([*values, *fb.gradients(values[-1], [x], unconnected="zeros")], {x: (4, 4)})


@given(recipes(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_optimised_runs_give_the_bytes_of_observed_ones(recipe, gradients) -> None:
    with fb.Graph().as_default():
        x, values = build(recipe)
        fetches = [*values, *(fb.gradients(values[-1], [x], unconnected="zeros") if gradients else [])]
        feed = {x: np.random.default_rng(len(recipe)).normal(size=(4, 4)).astype(np.float32)}
        one, other = fb.Session(), fb.Session(threads=1)
        for _ in range(2):  # the second time with the variable's new value
            plain, traced = one.run(fetches, feed), other.run(fetches, feed, trace=True)
            for a, b in zip(plain, traced, strict=True):
                assert a.tobytes() == b.tobytes()
