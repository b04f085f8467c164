"""`check_gradients` passes what is right and finds what is wrong, in the right place, at the precision it says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, GradientError, GraphError
from flowbook.graph.check import check as check_graph
from flowbook.graph.scratch import scratch


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def scaled(factor):
    """x**2 with a gradient that is wrong by a factor."""

    @fb.custom_gradient
    def f(x):
        return x * x, lambda dy: dy * x * (2.0 * factor)

    return f


def test_a_right_gradient(graph) -> None:
    x = fb.placeholder((2, 3), name="x")
    result = fb.check_gradients(fb.tanh(x), x, {x: np.linspace(-1, 1, 6).reshape(2, 3)}, elementwise=True)
    assert result.precision == "float64"
    ((name, checks, error, allowed, relative),) = result.rows
    assert (name, checks) == ("x", 3 + 6) and error < allowed < 1e-5 and 0 <= relative < 1e-6
    assert [node.name for node in graph.nodes] == ["x", "tanh_1"]
    assert graph.owners[0].derivations == []
    header, row = str(result).splitlines()
    assert header == "x  checks     error   allowed   (float64)"
    assert row.startswith("x       9 ")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("factor", [1.0001, 0.0, -1.0, np.nan])
def test_a_wrong_gradient(dtype, factor) -> None:
    x = fb.placeholder((4,), dtype, name="x")
    with pytest.raises(GradientError, match="with respect to 'x' is wrong"):
        fb.check_gradients(scaled(factor)(x), [x], {x: [1.0, -2.0, 3.0, 0.5]})


def test_one_wrong_element_is_named() -> None:
    @fb.custom_gradient
    def f(x):
        return x * x, lambda dy: dy * x * fb.constant([[2.0, 2.0, 2.0], [2.0, 2.5, 2.0]])

    x = fb.placeholder((2, 3), name="x")
    y = fb.identity(f(x), name="y")
    with pytest.raises(GradientError) as error:
        fb.check_gradients(y, x, {x: np.full((2, 3), 3.0)})
    message = error.value.message
    assert message.startswith("the gradient of 'y' with respect to 'x' is wrong: ")
    worst, analytic, numeric = message.rpartition("worst element: ")[2].replace(" against", ",").rsplit(", ", 2)
    assert worst == "x[1, 1]"
    assert float(analytic) / float(numeric) == pytest.approx(2.5 / 2.0, rel=1e-4)


def test_a_small_error_is_found_in_a_float32_graph() -> None:
    x = fb.placeholder((3,), "float32", name="x")
    feeds = {x: [1.0, 2.0, 3.0]}
    with pytest.raises(GradientError):
        fb.check_gradients(scaled(1 + 1e-5)(x), x, feeds)
    assert fb.check_gradients(scaled(1 + 1e-5)(x), x, feeds, rtol=1e-3)


def test_what_is_cast_to_float32_is_checked_as_float32() -> None:
    x = fb.placeholder((3,), "float64", name="x")
    feeds = {x: [1.0, 2.0, 3.0]}

    def inside(factor):
        return fb.astype(scaled(factor)(fb.astype(x, "float32")), "float64")

    assert fb.check_gradients(inside(1.0), x, feeds).precision == "float32"
    with pytest.raises(GradientError, match="in float32"):
        fb.check_gradients(inside(1.2), x, feeds)


def test_host_functions_get_what_they_declare() -> None:
    seen = []

    def host(a):
        seen.append(a.dtype)
        return a * a

    x = fb.placeholder((3,), "float32", name="x")
    y = fb.py_function(host, [x], "float32", (3,), gradient=lambda node, dy: 2.0 * node.inputs[0] * dy)
    assert fb.check_gradients(y, x, {x: [1.0, 2.0, 3.0]}).precision == "float32"
    assert seen


def test_variables_constants_and_intermediate_tensors() -> None:
    w, c = fb.Variable([1.0, 2.0], name="w"), fb.constant([3.0, -1.0], name="c")
    h = fb.exp(w * c, name="h")
    result = fb.check_gradients([fb.sin(h), w * h], [w, c, h])
    assert [row.name for row in result.rows] == ["w", "c", "h"]
    assert result.precision == "float64"


def test_values_of_a_session() -> None:
    w = fb.Variable(1.0, name="w")
    y = fb.where(w > 5.0, scaled(3.0)(w), w * w)
    session = fb.Session()
    assert fb.check_gradients(y, w, session=session)
    session.run(fb.assign(w, 7.0))
    with pytest.raises(GradientError):
        fb.check_gradients(y, w, session=session)
    assert session.run(w) == 7.0


def test_random_numbers_stay_the_same() -> None:
    x = fb.placeholder((50,), name="x")
    y = fb.dropout(x, 0.5) * fb.random.normal((50,))
    assert fb.check_gradients(y, x, {x: np.ones(50)}).precision == "float64"


def test_second_order() -> None:
    x = fb.placeholder((3,), name="x")
    (dx,) = fb.gradients(fb.exp(fb.sin(x)), [x])
    assert fb.check_gradients(dx, x, {x: [0.1, 0.5, -1.0]})


def test_an_unconnected_x_has_the_gradient_zero() -> None:
    x, z = fb.placeholder((2,), name="x"), fb.placeholder((2,), name="z")
    assert fb.check_gradients(x * x, [x, z], {x: [1.0, 2.0], z: [1.0, 2.0]}).rows[1].error == 0
    with pytest.raises(GradientError):
        fb.check_gradients(x * fb.stop_gradient(z), [z], {x: [1.0, 2.0], z: [1.0, 2.0]})


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_scalars_and_empty_tensors(shape) -> None:
    x = fb.placeholder(shape, name="x")
    assert fb.check_gradients(x * x, x, {x: np.ones(shape)}, elementwise=True)


def test_inside_a_cell(graph) -> None:
    with graph.transaction("cell"):
        x = fb.placeholder((2,), name="x")
        assert fb.check_gradients(x * x, x, {x: [1.0, 2.0]})
        with pytest.raises(GradientError):
            fb.check_gradients(scaled(2.0)(x), x, {x: [1.0, 2.0]})
    assert fb.Session().run("x", {"x": [1.0, 2.0]}).tolist() == [1.0, 2.0]


def test_wrong_arguments() -> None:
    x, n = fb.placeholder((2,), name="x"), fb.placeholder((2,), "int64", name="n")
    with pytest.raises(GradientError, match="is int64"):
        fb.check_gradients(x * 2.0, n, {x: [1.0, 2.0], n: [1, 2]})
    with pytest.raises(ArgumentError, match="xs is empty"):
        fb.check_gradients(x, [])
    with pytest.raises(ArgumentError, match=r"ys holds 3\.0"):
        fb.check_gradients(3.0, x)


def test_in_the_middle_of_a_cell_nothing_is_left_behind() -> None:
    def build(check: bool) -> str:
        graph = fb.Graph()
        with graph.transaction("cell"), graph.as_default():
            w = fb.Variable(np.ones(3), name="w")
            loss = fb.sum(fb.tanh(w) * w)
            if check:
                fb.check_gradients(loss, [w], {})
            fb.gradients(loss, [w])
        check_graph(graph)
        return graph.hash

    assert build(True) == build(False)


def test_what_was_built_in_a_scratch_is_gone() -> None:
    graph = fb.Graph()
    with graph.transaction("cell"), graph.as_default():
        with scratch(graph, "draft"):
            v = fb.Variable(1.0, name="v")
            y = v * 2.0
            assert fb.Session(graph).run(y) == 2.0
        assert graph.nodes == [] and graph.variables == []
        for each in (v, y):
            with pytest.raises(GraphError, match="is gone"):
                fb.tanh(each)
        fb.Variable(2.0, name="v")  # the name is free again
    check_graph(graph)
    assert [node.name for node in graph.nodes] == ["v"]
