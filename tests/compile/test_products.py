"""Products that are added as they are made, and right operands packed once: where, and to the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flowbook as fb
from flowbook.compile.compiler import compile_plan
from flowbook.graph.types import TensorSpec

pytest.importorskip("flowbook.native._native", reason="the native library was not built")


@pytest.fixture
def graph():
    with fb.Graph().as_default() as g:
        yield g


def ops(*fetches: Any) -> list[str]:
    """The steps of the optimised plan, where feeds have the declared shapes; without views."""
    graph = fetches[0].graph
    feeds = {each.tensors[0]: each.tensors[0] for each in graph.nodes if each.op == "placeholder"}
    specs = {tensor: TensorSpec(tensor.shape, tensor.dtype) for tensor in feeds}
    views = {"matrix_transpose", "unstack", "split"}
    return [step.op.name for step in compile_plan(list(fetches), specs).steps if step.op.name not in views]


def matrices(*shapes: tuple[int, int], dtype: str = "float32") -> list[Any]:
    return [fb.placeholder(shape, dtype, name=f"x{index}") for index, shape in enumerate(shapes)]


def agree(*fetches: Any) -> None:
    """A plain run and an observed one, of standard normal feeds."""
    rng = np.random.default_rng(0)
    session = fb.Session()
    feeds = {
        each.tensors[0]: rng.standard_normal(each.tensors[0].shape).astype(each.tensors[0].dtype)
        for each in fetches[0].graph.nodes
        if each.op == "placeholder"
    }
    plain = session.run(list(fetches), feeds)
    observed = session.run(list(fetches), feeds, trace=True)
    assert [each.tobytes() for each in plain] == [each.tobytes() for each in observed]


# ------------------------------------------------------------------------------------------------ added as made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_lone_addition_is_part_of_the_product(graph, dtype):
    x, y, z = matrices((5, 6), (6, 7), (5, 7), dtype=dtype)
    for total in (x @ y + z, z + x @ y):
        assert ops(total) == ["matmul_add"]
        agree(total)


def test_a_sum_of_products_stays_in_one_place(graph):
    x, y = matrices((20, 6), (6, 30))
    total = x @ y
    for factor in (2.0, 3.0, 4.0):
        total = total + fb.identity(x * factor) @ y
    found = ops(total)
    assert found.count("matmul_add") == 3 and found.count("matmul") == 1 and "add" not in found
    agree(total)
    memory = fb.Session().memory(total, {x: np.zeros((20, 6)), y: np.zeros((6, 30))})
    assert memory is not None
    assert sum(each.bytes == 20 * 30 * 4 for each in memory.alive) <= 2  # the sum, and the result


def test_long_products_are_not_made_one_after_the_other(graph):
    """Beside them an addition is nothing, and they could run side by side; one that is added to a feed has no other."""
    x, y, z = matrices((20, 130), (130, 30), (20, 30))
    total = x @ y + fb.identity(x * 2.0) @ y
    assert "matmul_add" not in ops(total)
    assert ops(x @ y + z) == ["matmul_add"]
    agree(total)


def test_an_addition_among_elementwise_neighbours_stays_with_them(graph):
    x, y, z = matrices((5, 6), (6, 7), (5, 7))
    assert "matmul_add" not in ops(fb.relu(x @ y + z))
    assert "matmul_add" not in ops(x @ y + fb.exp(z))


@pytest.mark.parametrize(
    "build",
    [
        lambda x, y, z: [x @ y + z[:1]],  # broadcasts
        lambda x, y, z: [(p := x @ y) + z, p],  # the product is asked for
        lambda x, y, z: [(p := x @ y) + z, fb.sum(p)],  # or read twice
        lambda x, y, z: [(p := x @ y) + p],
        lambda x, y, z: [x @ y + fb.astype(z, "float64")],
        lambda x, y, z: [fb.expand_dims(x, 0) @ y + fb.expand_dims(z, 0)],
        lambda x, y, z: [fb.astype(x, "int32") @ fb.astype(y, "int32") + fb.astype(z, "int32")],
        lambda x, y, z: [x[:1] @ y + z[:1]],  # a vector
    ],
)
def test_what_is_left_as_it_is(graph, build):
    fetches = build(*matrices((5, 6), (6, 7), (5, 7)))
    assert "matmul_add" not in ops(*fetches)
    agree(*fetches)


def test_who_waits_for_the_product_still_does(graph):
    x, y, z = matrices((5, 6), (6, 7), (5, 7))
    product = x @ y
    with fb.control_dependencies([product]):
        late = fb.identity(z)
    assert "matmul_add" not in ops(product + z, late)
    seen = fb.Variable(0, name="seen")
    with fb.control_dependencies([fb.assign_add(seen, 1)]):
        after = x @ y
    total = after + z
    assert ops(total).index("matmul_add") > 0
    session = fb.Session()
    session.run(total, {x: np.ones((5, 6)), y: np.ones((6, 7)), z: np.ones((5, 7))})
    assert session.run(seen) == 1


def test_sums_in_blocks_are_added_to_afterwards(graph):
    x, y, z = matrices((5, 1000), (1000, 7), (5, 7))
    assert ops(x @ y + z) == ["matmul", "add"]


# ------------------------------------------------------------------------------------------------ packed once


def recurrent(steps: int, batch: int, size: int) -> tuple[Any, Any]:
    x = fb.placeholder((steps, batch, size), name="x")
    w = fb.Variable(np.linspace(-0.2, 0.2, size * size, dtype=np.float32).reshape(size, size), name="w")
    h: Any = fb.constant(np.zeros((batch, size), np.float32))
    for each in fb.unstack(x):
        h = fb.softmax(each + h @ w)
    return x, fb.sum(h * h)


def test_a_weight_used_at_every_step_is_packed_once(graph):
    _x, loss = recurrent(6, 8, 64)
    (dw,) = fb.gradients(loss, [next(iter(graph.variables))])
    found = ops(loss, dw)
    assert found.count("pack") == 2  # w for the steps, and its transpose for the way back
    assert found.count("packed_matmul") >= 10 and found.count("matmul_add") >= 4
    agree(loss, dw)


def test_a_few_products_or_small_ones_or_tall_ones_are_not_worth_packing(graph):
    x, w, tall, small = matrices((8, 64), (64, 64), (100, 64), (64, 4))
    assert "pack" not in ops(x @ w, (x * 2.0) @ w)
    assert "pack" not in ops(*[(x * float(k)) @ small for k in range(2, 6)])
    assert "pack" not in ops(*[(tall * float(k)) @ w for k in range(2, 6)])
    assert ops(*[(x * float(k)) @ w for k in range(2, 6)]).count("pack") == 1


def test_a_weight_that_is_written_between_is_two_values(graph):
    (x,) = matrices((8, 64))
    w = fb.Variable(np.ones((64, 64), np.float32), name="w")
    before = [(x * float(k)) @ w for k in range(2, 6)]
    with fb.control_dependencies(before):
        new = fb.assign(w, w * 2.0)
    with fb.control_dependencies([new]):
        after = [(x * float(k)) @ w for k in range(6, 10)]
    assert ops(*before, *after).count("pack") == 2
    session = fb.Session()
    first, *_, last = session.run([*before, *after], {x: np.ones((8, 64))})
    assert first[0, 0] == 128 and last[0, 0] == 64 * 9 * 2


def test_references_compute_the_same(graph):
    """What a step would compute with its reference kernel, as where a plan is run without the library."""
    from flowbook.compile.products import matmul_add, pack, packed_matmul

    rng = np.random.default_rng(0)
    x, y, z = rng.standard_normal((3, 4)), rng.standard_normal((4, 5)), rng.standard_normal((3, 5))
    np.testing.assert_array_equal(matmul_add(np, x, y, z, kernel=None), x @ y + z)
    panels = pack(np, y, kernel=None)
    np.testing.assert_array_equal(packed_matmul(np, x, panels, kernel=None), x @ y)
    np.testing.assert_array_equal(packed_matmul(np, x, panels, z, kernel=None), x @ y + z)


# ------------------------------------------------------------------------------------------------ any graph

SIZE = 66
seen: set[str] = set()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["product", "product", "add", "add", "tanh", "turn"]), st.integers(0, 9), st.integers(0, 9)
        ),
        min_size=3,
        max_size=14,
    ),
    st.sets(st.integers(0, 15), max_size=3),
)
@settings(max_examples=100, deadline=None)
def test_any_graph_of_products_and_sums_gives_the_bytes_of_an_observed_run(recipe, fetched) -> None:
    with fb.Graph().as_default():
        values: list[Any] = [
            fb.placeholder((SIZE, SIZE), name="x"),
            fb.Variable(np.eye(SIZE, dtype="f4") / 9, name="w"),
        ]
        for op, i, j in recipe:
            a, b = values[-1 - i % len(values)], values[j % len(values)]
            values.append(
                {"product": lambda a=a, b=b: a @ b, "add": lambda a=a, b=b: a + b, "tanh": lambda a=a: fb.tanh(a) * 0.1,
                 "turn": lambda a=a: fb.matrix_transpose(a)}[op]()
            )  # fmt: skip
        fetches = [values[-1], *(values[k % len(values)] for k in fetched)]
        (dw,) = fb.gradients(fb.sum(values[-1]), [values[1]], unconnected="none")
        fetches += [each for each in (dw,) if each is not None]
        session = fb.Session()
        feed = {values[0]: np.random.default_rng(1).standard_normal((SIZE, SIZE)).astype("f4") * 0.1}
        plain, observed = session.run(fetches, feed), session.run(fetches, feed, trace=True)
        assert [each.tobytes() for each in plain] == [each.tobytes() for each in observed]
        seen.update(ops(*fetches))


def test_the_graphs_above_had_what_they_are_about() -> None:
    if not seen:
        pytest.skip("they were not run by this process")
    assert {"matmul_add", "packed_matmul", "pack"} <= seen
