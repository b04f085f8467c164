"""Declaring ops and calling them: binding, scalars, unknown ranks, operators, and what tensors refuse."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, DTypeError, FlowError, GradientError, GraphError, ShapeError
from flowbook.graph import opdef
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import REGISTRY, OpDef, freeze, gradient_rule, make_builder
from flowbook.graph.types import TensorSpec


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as g:
        yield g


def declare(kernel, spec=lambda x, *rest, **attrs: x, **fields):
    """A builder of an op that no registry knows."""
    return make_builder(OpDef(kernel, spec, **fields))


def scale(xp, x, *, by=2.0):
    """x times a number."""
    return x * by


def join(xp, *xs, axis=0):
    """A list."""
    return xs[0]


def halves(xp, x):
    """Two outputs."""
    return x, x


def shift(xp, x, bias=None, *, rate):
    """An optional tensor and a required attribute."""
    return x


# ------------------------------------------------------------------------------------------------ binding


def test_the_public_signature_and_docstring() -> None:
    build = declare(scale)
    assert str(build.opdef.signature) == "(x, by=2.0, *, name=None)"
    assert (build.__name__, build.__doc__) == ("scale", "x times a number.")
    assert str(declare(join).opdef.signature) == "(xs, axis=0, *, name=None)"
    assert str(declare(shift).opdef.signature) == "(x, bias=None, *, rate, name=None)"


@pytest.mark.parametrize("arguments", [((), {"by": 3}), ((3,), {})])
def test_attributes_by_place_or_by_name(arguments) -> None:
    args, kwargs = arguments
    node = declare(scale)(fb.placeholder((2,)), *args, **kwargs).node
    assert node.attrs == {"by": 3}


def test_defaults_are_attributes_too() -> None:
    assert declare(scale)(fb.placeholder((2,))).node.attrs == {"by": 2.0}


@pytest.mark.parametrize(
    ("args", "kwargs", "match"),
    [
        ((), {}, "missing a required argument: 'x'"),
        ((1.0, 2.0, 3.0), {}, "too many positional"),
        ((1.0,), {"times": 2}, "unexpected keyword argument 'times'"),
        ((1.0,), {"x": 2}, "multiple values for argument 'x'"),
    ],
)
def test_a_wrong_call_says_how_it_goes(args, kwargs, match) -> None:
    with pytest.raises(ArgumentError, match=match) as caught:
        declare(scale)(*args, **kwargs)
    assert isinstance(caught.value, TypeError)
    assert "scale(x, by=2.0, *, name=None)" in str(caught.value)


def test_a_list_of_tensors() -> None:
    build = declare(join)
    x, y = fb.placeholder((2,)), fb.placeholder((2,))
    assert build([x, y], axis=1).node.inputs == (x, y)
    assert build((x, 2.0)).node.inputs == (x, 2.0)
    for wrong in (x, np.ones(3), 3.0, "xy"):
        with pytest.raises(ArgumentError, match="join takes a list of tensors"):
            build(wrong)


def test_an_optional_tensor() -> None:
    build = declare(shift)
    x, b = fb.placeholder((2,)), fb.placeholder((2,))
    assert build(x, rate=1).node.inputs == (x,)
    assert build(x, None, rate=1).node.inputs == (x,)
    assert build(x, b, rate=1).node.inputs == (x, b)
    with pytest.raises(ArgumentError, match="'rate'"):
        build(x, b)


def test_outputs() -> None:
    x = fb.placeholder((2,))
    both = declare(halves, spec=lambda x: (x, x))(x)
    assert isinstance(both, tuple) and [each.name for each in both] == ["halves_1", "halves_1:1"]
    one = declare(halves, spec=lambda x: (x,))(x)
    assert isinstance(one, tuple) and len(one) == 1  # a rule that gives a tuple means a tuple
    assert isinstance(declare(halves)(x), Tensor)
    assert isinstance(declare(halves, spec=lambda x: ())(x), fb.Node)


def test_attributes_are_frozen() -> None:
    assert freeze([1, [2, np.int64(3)]]) == (1, (2, 3))
    assert type(freeze(np.float32(0.5))) is float
    assert [freeze(each) for each in (np.dtype("int8"), np.float32, float, bool)] == [
        "int8",
        "float32",
        "float64",
        "bool",
    ]
    attrs = declare(scale)(fb.placeholder((2,)), by=[1, np.float64(2)]).node.attrs
    assert attrs["by"] == (1, 2.0) and type(attrs["by"][1]) is float


# ------------------------------------------------------------------------------------------------ operands


def test_numbers_are_operands_and_not_nodes(graph: fb.Graph) -> None:
    x = fb.placeholder((2,), "float32", name="x")
    y = x + 1
    assert y.node.inputs == (x, 1) and type(y.node.inputs[1]) is int
    assert [node.op for node in graph.nodes] == ["placeholder", "add"]


@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.int32(3), np.float32(0.1), np.bool_(True)])
def test_numbers_are_weak(number) -> None:
    y = fb.placeholder((2,), "float16") * number
    assert y.dtype == "float16"
    assert type(y.node.inputs[1]) in (bool, int, float)


def test_a_float_makes_integers_float64() -> None:
    assert (fb.placeholder((2,), "int32") * 2.5).dtype == "float64"
    assert (fb.placeholder((2,), "int32") * 2).dtype == "int32"


def test_arrays_are_not_weak() -> None:
    y = fb.placeholder((2,), "float32") + np.ones(2)
    assert y.dtype == "float64"
    assert y.node.inputs[1].node.op == "constant"


def test_numbers_alone_become_constants() -> None:
    y = fb.add(1, 2.5)
    assert [each.node.op for each in y.node.inputs] == ["constant", "constant"]


def test_what_is_no_operand() -> None:
    x = fb.placeholder((2,), name="x")
    with pytest.raises(DTypeError, match="complex128"):
        x + 1j
    with pytest.raises(FlowError):
        x + "text"
    with pytest.raises(FlowError):
        x + object()


def test_an_error_says_where_and_with_what() -> None:
    x = fb.placeholder((2, 3), name="x")
    with pytest.raises(ShapeError) as caught:
        fb.add(x, fb.placeholder((4,), name="y"), name="total")
    error = caught.value
    assert (error.node, error.op) == ("total", "add")
    assert error.inputs == ["x float32 (2, 3)", "y float32 (4,)"]
    assert error.cell == "test_opdef.py" and 'fb.add(x, fb.placeholder((4,), name="y")' in error.code


def test_tensors_of_another_graph_are_refused() -> None:
    x = fb.placeholder((2,), name="here")
    with fb.Graph().as_default(), pytest.raises(GraphError, match="'here' belongs to another graph"):
        x + 1


# ------------------------------------------------------------------------------------------------ unknown ranks


def test_unknown_rank_keeps_the_dtype() -> None:
    x = fb.placeholder(None, "int32")
    assert fb.exp(x).spec == TensorSpec(None, np.dtype("float64"))
    assert (x + fb.placeholder((2, 3), "int64")).spec == TensorSpec(None, np.dtype("int64"))
    assert fb.sum(x, axis=1).spec == TensorSpec(None, np.dtype("int64"))
    assert fb.sum(x).shape == ()  # whatever the rank


def test_unknown_rank_still_finds_mistakes() -> None:
    with pytest.raises(DTypeError):
        fb.negative(fb.placeholder(None, "bool"))
    with pytest.raises(ShapeError):
        fb.sum(fb.placeholder(None), axis=17)


def test_inference_is_cached_by_what_matters() -> None:
    calls = []

    def spec(x, *, by):
        calls.append((x, by))
        return x

    build = declare(scale, spec=spec)
    x = fb.placeholder((2,))
    for _ in range(3):
        build(x, by=1)
    build(x, by=1.0)  # equal, but not the same
    build(x, by=True)
    build(fb.placeholder((3,)), by=1)
    assert len(calls) == 4


# ------------------------------------------------------------------------------------------------ operators

BINARY = {
    operator.add: "add",
    operator.sub: "subtract",
    operator.mul: "multiply",
    operator.truediv: "divide",
    operator.floordiv: "floor_divide",
    operator.mod: "remainder",
    operator.pow: "power",
    operator.eq: "equal",
    operator.ne: "not_equal",
    operator.lt: "less",
    operator.le: "less_equal",
    operator.gt: "greater",
    operator.ge: "greater_equal",
}
MIRRORED = {operator.lt: "greater", operator.le: "greater_equal", operator.gt: "less", operator.ge: "less_equal"}
SYMMETRIC = (operator.eq, operator.ne)


@pytest.mark.parametrize(("function", "name"), BINARY.items(), ids=BINARY.values())
def test_binary_operators(function, name) -> None:
    x, y = fb.placeholder((2,), name="x"), fb.placeholder((2,), name="y")
    assert (function(x, y).node.op, function(x, y).node.inputs) == (name, (x, y))
    assert function(x, 2).node.inputs == (x, 2)
    built = function(2, x).node
    turned = function in MIRRORED or function in SYMMETRIC
    assert (built.op, built.inputs) == (MIRRORED.get(function, name), (x, 2) if turned else (2, x))
    array = function(np.ones(2), x)
    assert isinstance(array, Tensor) and array.shape == (2,)


@pytest.mark.parametrize(
    ("function", "name"), [(operator.and_, "logical_and"), (operator.or_, "logical_or"), (operator.xor, "logical_xor")]
)
def test_logic_operators(function, name) -> None:
    p, q = fb.placeholder((2,), "bool"), fb.placeholder((2,), "bool")
    assert (function(p, q).node.op, function(True, p).node.inputs) == (name, (True, p))


def test_unary_operators_and_the_matrix_product() -> None:
    x, p = fb.placeholder((2, 2)), fb.placeholder((2,), "bool")
    assert [each.node.op for each in (-x, abs(x), ~p, x @ x, x.T)] == [
        "negative",
        "abs",
        "logical_not",
        "matmul",
        "transpose",
    ]
    assert (np.ones((2, 2), "float32") @ x).node.op == "matmul"
    assert (+x).node.op == "identity"
    x += 1
    assert x.node.op == "add"


def test_equality_builds_and_the_hash_is_identity() -> None:
    x, y = fb.placeholder((2,)), fb.placeholder((2,))
    assert (x == y).node.op == "equal" and (x == y).dtype == "bool"
    assert len({x, y, x}) == 2 and hash(x) == object.__hash__(x)
    assert {x: 1}[x] == 1


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (bool, "fb.where"),
        (lambda x: x and x, "fb.cond"),
        (list, "fb.split"),
        (lambda x: [*x], "fb.split"),
        (np.asarray, "session.run"),
        (np.array, "session.run"),
        (float, "session.run"),
        (int, "session.run"),
        (lambda x: range(x), "session.run"),
        (lambda x: operator.setitem(x, 0, 1.0), "fb.assign"),
        (lambda x: 1.0 in x, "fb.any"),
    ],
)
def test_a_tensor_is_no_value(use, advice) -> None:
    x = fb.placeholder((2,), name="x")
    with pytest.raises(ArgumentError, match="tensor 'x'") as caught:
        use(x)
    assert advice in str(caught.value)


def test_a_copied_handle_is_the_handle_and_a_graph_is_not_copied() -> None:
    x = fb.placeholder((2,), name="x")
    feeds = copy.deepcopy({x: [1.0]})
    assert copy.copy(x) is x and list(feeds) == [x] and copy.deepcopy([x.node])[0] is x.node
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(GraphError, match="neither copied nor pickled"):
            use(x.graph)
    with pytest.raises(GraphError, match="neither copied nor pickled"):
        pickle.dumps(x)


def test_len_is_the_first_size() -> None:
    assert len(fb.placeholder((3, None))) == 3
    for shape in ((), (None, 3), ("n",), None):
        with pytest.raises(ArgumentError, match="no known length"):
            len(fb.placeholder(shape))


# ------------------------------------------------------------------------------------------------ declaring


def test_a_name_is_declared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opdef, "REGISTRY", {})
    opdef.op(spec=lambda x, **attrs: x)(scale)
    with pytest.raises(GraphError, match="'scale' is declared twice"):
        opdef.op(spec=lambda x, **attrs: x)(scale)


def test_a_missing_gradient_says_why() -> None:
    x = fb.placeholder((2,), name="x")
    with pytest.raises(GradientError, match="sign has no gradient: it is a step function"):
        gradient_rule(REGISTRY["sign"])
    with pytest.raises(GradientError, match="nobody declared one"):
        fb.gradients(declare(scale)(x), [x])


def test_a_gradient_rule_of_the_wrong_length() -> None:
    build = declare(scale)
    build.gradient(lambda node, dy: (dy, dy))
    x = fb.placeholder((2,), name="x")
    with pytest.raises(GradientError, match="the gradient rule of scale gave 2 for 1 inputs"):
        fb.gradients(build(x), [x])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: x + None, "add: y is None, it has to be a tensor"),
        (lambda x: x == None, "equal: y is None"),  # noqa: E711
        (lambda x: fb.exp(None), "exp: x is None"),
        (lambda x: fb.where(x > 0, None, x), "where: x is None"),
        (lambda x: fb.concat([x, None], 0), "concat: .* holds None"),
        (lambda x: fb.Variable(), "Variable: missing 1 required positional argument: 'init'"),
        (lambda x: fb.assign(x), "assign: missing 1 required positional argument: 'value'"),
        (lambda x: fb.constant(1, shape=3), "constant: got an unexpected keyword argument 'shape'"),
    ],
)
def test_missing_operands(call, message) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        call(fb.placeholder((2,), name="x"))
    assert caught.value.line is not None and caught.value.hint


def test_a_type_error_inside_a_users_function_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="'init'") as caught:
        fb.cond(fb.constant(True), lambda init: init, lambda: 1.0)
    assert not isinstance(caught.value, ArgumentError)


def test_flops_are_zero_where_nothing_is_known() -> None:
    add = REGISTRY["add"]
    known, unknown = (TensorSpec(shape, np.dtype("float32")) for shape in ((2, 3), (None, 3)))
    assert add.flops([known, 1.0], [known], {}) == 6
    assert add.flops([unknown, 1.0], [known], {}) == 0
    assert add.flops([known, 1.0], [unknown], {}) == 0
    assert REGISTRY["placeholder"].flops([], [known], {}) == 0


def test_builders_carry_their_declaration() -> None:
    for name, definition in REGISTRY.items():
        assert definition.name == name
        assert repr(definition) == f"<OpDef {name}>"
        if not definition.hidden:
            assert getattr(fb, name).opdef is definition
