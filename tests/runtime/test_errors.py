"""The texts people read when something goes wrong, whole. A changed text should be a decision, so they are golden."""

from __future__ import annotations

import linecache
import textwrap

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FlowError

CASES = {
    "inner dimensions": (
        """
        x = fb.placeholder(("batch", 784), name="x")
        w = fb.Variable(np.zeros((512, 10), np.float32), name="w")
        logits = fb.matmul(x, w, name="logits")
        """,
        None,
        {},
    ),
    "broadcast": (
        """
        a = fb.placeholder((3, 4), name="a")
        b = fb.placeholder((2, 4), name="b")
        c = a + b
        """,
        None,
        {},
    ),
    "shapes found when the run binds them": (
        """
        x = fb.placeholder(("n", "k"), name="x")
        w = fb.placeholder((None, 5), name="w")
        with fb.name_scope("layer1"):
            y = fb.matmul(x, w, name="y")
        """,
        "layer1/y",
        {"x": np.ones((2, 3)), "w": np.ones((4, 5))},
    ),
    "a node that raises": (
        """
        x = fb.placeholder((2,), name="x")
        y = fb.py_function(lambda v: 1 // 0, [x * 2.0], "float32", (2,), name="y")
        """,
        "y",
        {"x": np.ones(2)},
    ),
    "not finite": (
        """
        x = fb.placeholder((3,), name="x")
        y = fb.check_finite(fb.log(x, name="log_x"), name="probe")
        """,
        "probe",
        {"x": [1.0, 0.0, -1.0]},
    ),
    "a missing feed": (
        """
        x = fb.placeholder(("batch", 2), name="x")
        y = fb.exp(x, name="y")
        """,
        "y",
        {},
    ),
    "bool arithmetic": (
        """
        m = fb.placeholder((3,), "bool", name="mask")
        y = -m
        """,
        None,
        {},
    ),
    "no gradient": (
        """
        x = fb.placeholder((3,), name="x")
        i = fb.placeholder((2,), "int64", name="i")
        y = fb.py_function(np.tanh, [x], "float32", (3,), name="host")
        dx = fb.gradients(y, [x])
        """,
        None,
        {},
    ),
    "unconnected": (
        """
        x = fb.placeholder((3,), name="x")
        z = fb.placeholder((3,), name="z")
        dz = fb.gradients(fb.tanh(x), [z])
        """,
        None,
        {},
    ),
    "truth of a tensor": (
        """
        x = fb.placeholder((), name="x")
        if x > 0:
            pass
        """,
        None,
        {},
    ),
}


def report(code: str, fetch: str | None, feeds: dict) -> str:
    """What a person would read after running these lines as a cell called ``demo`` (and then fetching)."""
    file = "<cell demo>"
    source = textwrap.dedent(code).strip() + "\n"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    graph = fb.Graph()
    with pytest.raises(FlowError) as info, graph.as_default():
        with graph.transaction("demo", file=file):
            exec(compile(source, file, "exec"), {"fb": fb, "np": np})
        assert fetch is not None, "building it should have raised"
        fb.Session(graph).run(fetch, feeds)
    return f"{type(info.value).__name__}: {info.value}"


@pytest.mark.parametrize("name", CASES)
def test_golden(name, golden):
    golden(name, report(*CASES[name]))


def test_every_error_is_also_a_built_in_one():
    from flowbook import errors

    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, FlowError) and kind is not FlowError:
            others = [base for base in kind.__mro__ if base.__module__ == "builtins"]
            assert len(others) > 3, f"{kind.__name__} is only a FlowError"


def test_what_an_inner_level_knows_is_kept():
    error = FlowError("m", node="inner", op="exp", cell="one", line=2)
    error.locate(node="outer", op="cond", cell="two", line=9, inputs=["x float32 ()"])
    assert (error.node, error.op, error.cell, error.line, error.inputs) == ("inner", "exp", "one", 2, ["x float32 ()"])


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (None, "the feed of 'x' is None, it has to be float32", "numbers or bools"),
        ("a", "the feed of 'x' is <U1, it has to be float32", "numbers or bools"),
        (1j, "the feed of 'x' is complex128, it has to be float32", "astype"),
        ([1.0, 2.0], "the feed of 'x' has shape (2,), it has to be ()", None),
    ],
)
def test_feeds_that_are_refused(value, message, hint):
    with fb.Graph().as_default():
        x = fb.placeholder((), name="x")
        with pytest.raises(FlowError) as info:
            fb.Session().run(x, {x: value})
    assert info.value.message == message and info.value.node == "x"
    assert info.value.hint is None if hint is None else hint in info.value.hint


def test_check_finite_of_a_scalar():
    with fb.Graph().as_default(), pytest.raises(FlowError, match=r"^loss: the value is -inf"):
        fb.Session().run(fb.check_finite(fb.log(fb.constant(0.0)), message="loss"))
