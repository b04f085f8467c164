"""What plans in C++ leave out and put together: cheaper products, equal steps, constants. The bytes stay Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowbook as fb
from tests.kernels import capi
from tests.kernels.test_capi import Twin

library = pytest.importorskip("flowbook.native._native")

F32 = np.float32
EVENT = np.dtype([("start", "f8"), ("end", "f8"), ("plan", "i4"), ("step", "i4"), ("thread", "i4"), ("run", "u4")])


@pytest.fixture(scope="module")
def api() -> capi.Api:
    return capi.Api(capi.folder())


@pytest.fixture
def graph():
    with fb.Graph(seed=2).as_default() as g:
        yield g


def steps(api: capi.Api, fetches: list[Any], feeds: Any = None) -> int:
    """How many kernels a run in C++ calls; it gives the bytes of an observed run in Python."""
    twin = Twin(api, fetches[0].graph)
    twin.check(fetches, feeds)
    library.record(True)
    try:
        first = library.events(2**63)[0]
        twin.c.run([twin.number(each) for each in fetches], {twin.number(x): v for x, v in (feeds or {}).items()})
        events = np.frombuffer(library.events(first)[1], EVENT)
    finally:
        library.record(False)
    assert len(np.unique(events["step"])) == len(events)
    return len(events)


def normal(*tensors: Any) -> dict[Any, Any]:
    rng = np.random.default_rng(0)
    return {each: rng.standard_normal(each.shape).astype(each.dtype) for each in tensors}


def matrices(*shapes: tuple[int, int], dtype: str = "float32") -> list[Any]:
    return [fb.placeholder(shape, dtype, name=f"x{index}") for index, shape in enumerate(shapes)]


# ------------------------------------------------------------------------------------------------ products


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("build", [lambda p, z: p + z, lambda p, z: z + p])
def test_a_lone_addition_is_part_of_the_product(api, graph, dtype, build):
    x, y, z = matrices((5, 6), (6, 7), (5, 7), dtype=dtype)
    assert steps(api, [build(x @ y, z)], normal(x, y, z)) == 1


def test_a_sum_of_products_is_made_by_them(api, graph):
    x, y = matrices((20, 6), (6, 30))
    total = x @ y
    for factor in (2.0, 3.0, 4.0):
        total = total + (x * factor) @ y
    assert steps(api, [total], normal(x, y)) == 3 + 4


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda x, y, z: [fb.relu(x @ y + z)], 2),  # the addition costs nothing beside relu
        (lambda x, y, z: [x @ y + fb.exp(z)], 2),
        (lambda x, y, z: [x @ y + z[:1]], 2),  # broadcasts
        (lambda x, y, z: [(p := x @ y) + z, p], 2),  # the product is asked for
        (lambda x, y, z: [(p := x @ y) + z, fb.sum(p)], 3),  # or read twice
        (lambda x, y, z: [(p := x @ y) + p], 2),
        (lambda x, y, z: [fb.expand_dims(x, 0) @ y + fb.expand_dims(z, 0)], 2),
        (lambda x, y, z: [x[:1] @ y + z[:1]], 2),  # a vector
        (lambda x, y, z: [fb.matrix_transpose(fb.matrix_transpose(y) @ fb.matrix_transpose(x)) + z], 2),
        (lambda x, y, z: [x @ y + fb.matrix_transpose(fb.reshape(z, (7, 5)))], 2),  # rows of z are no rows in memory
    ],
)
def test_additions_that_stay(api, graph, build, count):
    x, y, z = matrices((5, 6), (6, 7), (5, 7))
    assert steps(api, build(x, y, z), normal(x, y, z)) == count


def test_who_waits_for_the_product_still_does(api, graph):
    x, y, z = matrices((5, 6), (6, 7), (5, 7))
    product = x @ y
    with fb.control_dependencies([product]):
        late = fb.exp(z)
    assert steps(api, [product + z, late], normal(x, y, z)) == 3
    seen = fb.Variable(0, name="seen")
    with fb.control_dependencies([fb.assign_add(seen, 1)]):
        total = x @ y + z
    twin = Twin(api, graph)
    twin.check([total], normal(x, y, z))
    assert twin.c.get("seen") == 1


def test_a_weight_that_is_used_often_is_packed_once(api, graph):
    (x, w, tall) = matrices((8, 64), (64, 64), (100, 64))
    few = [(x * float(k)) @ w for k in range(2, 4)]
    many = [(x * float(k)) @ w for k in range(2, 6)]
    feeds = normal(x, w)
    assert steps(api, few, feeds) == 4
    assert steps(api, many, feeds) == 8 + 1
    assert steps(api, [(tall * float(k)) @ w for k in range(2, 6)], normal(tall, w)) == 8
    turned = [(x * float(k)) @ fb.matrix_transpose(w) for k in range(2, 6)]  # a view for each
    assert steps(api, turned, feeds) == 8 + 1
    assert steps(api, [*many, *turned], feeds) == 4 + 8 + 2  # the multiplications are shared


@pytest.mark.parametrize("threads", [1, 2])
def test_a_recurrent_network(api, graph, threads):
    x = fb.placeholder((6, 8, 64), name="x")
    w = fb.Variable(np.linspace(-0.2, 0.2, 64 * 64, dtype=F32).reshape(64, 64), name="w")
    h: Any = fb.constant(np.zeros((8, 64), F32))
    for each in fb.unstack(x):
        h = fb.softmax(each + h @ w)
    loss = fb.sum(h * h)
    train = fb.train.SGD(0.1).minimize(loss)
    twin = Twin(api, graph, threads=threads)
    for _ in range(3):
        twin.check([loss, train], normal(x))


# ------------------------------------------------------------------------------------------------ equal steps


def test_equal_steps_are_one(api, graph):
    x, y = matrices((5, 6), (6, 7))
    assert steps(api, [fb.softmax(x @ y), fb.softmax(x @ y)], normal(x, y)) == 2
    a = fb.softmax(fb.matrix_transpose(x)[1:]), fb.softmax(fb.matrix_transpose(x)[1:])
    assert steps(api, [fb.argmax(a[0], axis=0), fb.argmax(a[1], axis=1)], normal(x)) == steps(
        api, [fb.argmax(a[0], axis=0), fb.argmax(a[0], axis=1)], normal(x)
    )


def test_what_only_looks_equal_is_not(api, graph):
    x = fb.placeholder((3,), name="x")
    v = fb.Variable(np.zeros(3, F32), name="v")
    random = [fb.random.uniform((3,)), fb.random.uniform((3,))]
    before = v + 1.0
    bumps = [fb.assign_add(v, x), fb.assign_add(v, x)]
    fetches = [x + 0.0, x + (-0.0), *random, before, *bumps, v + 1.0]
    twin = Twin(api, graph)
    found = twin.check(fetches, {x: np.array([-0.0, 1, 2], F32)})
    assert [bool(np.signbit(each[0])) for each in found[:2]] == [False, True]
    assert found[2].tobytes() != found[3].tobytes()
    np.testing.assert_array_equal(twin.c.get("v"), [0, 2, 4])
    with fb.control_dependencies([bumps[0]]):
        late = fb.exp(x)  # waits, so it is not the other one
    fetches = [fb.exp(x), late]
    Twin(api, graph).check(fetches, {x: np.ones(3, F32)})


def test_a_merged_value_is_fetched_twice_and_written(api, graph):
    x = fb.placeholder((4,), name="x")
    v = fb.Variable(np.zeros(4, F32), name="v")
    a, b, c = fb.softmax(x), fb.softmax(x), fb.softmax(x)
    new = fb.assign(v, c)
    twin = Twin(api, graph)
    results = twin.check([a, b, c, new, v], {x: np.arange(4, dtype=F32)})
    assert len({each.ctypes.data for each in results}) == len(results)


def test_equal_steps_around_a_cond(api, graph):
    x = fb.placeholder((3,), name="x")
    a, b = fb.softmax(x), fb.softmax(x)
    y = fb.cond(fb.sum(b) > 0.0, lambda: fb.softmax(x) * b, lambda: a)
    total = a + b
    Twin(api, graph).check([y, total], {x: np.arange(3, dtype=F32)})


# ------------------------------------------------------------------------------------------------ constants


def test_what_depends_on_constants_only_is_computed_once(api, graph):
    a, b = fb.constant(np.arange(6, dtype=F32).reshape(2, 3)), fb.constant(np.ones((3, 2), F32))
    x = fb.placeholder((2, 2), name="x")
    product = fb.matrix_transpose(a @ b) * 2.0
    assert steps(api, [fb.softmax(product)]) == 1  # a copy of it
    assert steps(api, [x @ product], normal(x)) == 1


def test_a_large_constant_is_computed_again(api, graph):
    large = fb.softmax(fb.constant(np.zeros((1, 1 << 22), F32)) + 1.0)  # 16 MiB
    assert steps(api, [fb.sum(large)]) == 1
    larger = fb.softmax(fb.constant(np.zeros((1, (1 << 22) + 1), F32)) + 1.0)
    assert steps(api, [fb.sum(larger)]) == 3


def test_a_constant_that_fails_is_left_for_the_run(api, graph):
    v = fb.Variable(0.0, name="v")
    bump = fb.group(fb.assign_add(v, 1.0))
    fb.gather(fb.constant([1.0, 2.0]), fb.constant([0, 5]), name="picked")
    x = fb.placeholder((), name="x")
    fb.cond(x > 0.0, lambda: x * 2.0, lambda: fb.sum(fb.gather(fb.constant([1.0]), fb.constant([3]))), name="y")
    twin = Twin(api, graph)
    for _ in range(2):
        with pytest.raises(capi.Failure, match=r"gather 'picked': index 5 is out of range") as failure:
            twin.c.run(["picked", twin.number(bump)])
        assert failure.value.status == capi.RUN_FAILED
    assert twin.c.get("v") == 0.0
    assert twin.c.run(["y"], {"x": F32(3)}) == [6.0]
    with pytest.raises(capi.Failure, match=r"index 3 is out of range"):
        twin.c.run(["y"], {"x": F32(-3)})
