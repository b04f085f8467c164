"""`fb.notebook.predict`: guesses of shapes, values and gradients, what it says to them, and the score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import ArgumentError, FeedError
from flowbook.graph.check import check
from flowbook.notebook.hints import Unreadable, close, read_numbers, read_shape, shape_hint, value_hint
from flowbook.notebook.predict import TRIES


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def say(*args: Any, **options: Any) -> str:
    return repr(fb.notebook.predict(*args, **options))


def cube() -> tuple[Any, Any]:
    x = fb.placeholder((), name="x")
    return x, fb.multiply(x, fb.square(x), name="y")


# ---------------------------------------------------------------------------------------------------- good guesses


def test_the_three_kinds_of_questions() -> None:
    x, y = cube()
    feeds = {x: 2.0}
    assert say(y, "value", 8, feeds=feeds) == "value of y: right at the first try: 8   (1 of 1 at the first try)"
    assert say("x", "gradient", 12.0, of="y", feeds=feeds).startswith("d y / d x: right at the first try: 12")
    assert say(y, "shape", ()).startswith("shape of y: right at the first try: ()   (3 of 3")
    assert say() == "score: 3 of 3 at the first try"
    assert fb.notebook.predict(y, "value", 8, feeds=feeds).right is True


def test_shapes_with_names_and_at_feeds() -> None:
    x = fb.placeholder(("batch", 3), name="x")
    h = fb.matmul(x, np.ones((3, 2), "float32"), name="h")
    assert ": right" in say(h, "shape", ("batch", 2))
    assert ": right" in say(h, "shape", [5, 2], feeds={x: np.ones((5, 3))})
    assert "axis 0 differs" in say(h, "shape", (4, 2), feeds={x: np.ones((5, 3))})


def test_a_gradient_of_many_numbers_on_lines_of_its_own() -> None:
    x = fb.placeholder((2, 2), name="x")
    y = fb.sum(fb.square(x), name="y")
    told = say(x, "gradient", [[2, 4], [6, 8]], of=y, feeds={x: [[1, 2], [3, 4]]})
    assert told.splitlines() == [
        "d y / d x: right at the first try:",
        "  [[2, 4]",
        "   [6, 8]]",
        "  (1 of 1 at the first try)",
    ]


def test_where_no_gradient_flows_it_is_zero() -> None:
    x = fb.placeholder((), name="x")
    y = fb.multiply(fb.stop_gradient(x), 2.0, name="y")
    assert ": right" in say(x, "gradient", 0, of=y, feeds={x: 3.0})


@pytest.mark.parametrize(
    ("guess", "answer", "right"),
    [
        (0.33, 1 / 3, True),
        (0.3, 1 / 3, False),
        (0, 0.0, True),
        (0.01, 0.0, False),
        (101, np.int64(100), False),
        (True, np.bool_(True), True),
        (float("nan"), np.nan, True),
        (float("inf"), np.inf, True),
        (float("inf"), -np.inf, False),
        ([0.0004, 1], [0.0, 1.0], True),
        ([0.1, 1], [0.0, 1.0], False),
        ([], np.zeros(0), True),
        ([1], 1.0, False),
        (2**63, 2.0**63, True),
    ],
)
def test_two_digits_are_enough(guess: Any, answer: Any, right: bool) -> None:
    assert close(read_numbers(guess), answer) is right


# ---------------------------------------------------------------------------------------------------- hints


@pytest.mark.parametrize(
    ("guess", "answer", "hint"),
    [
        ((3, 2), (2, 3), "the axes are in the other order"),
        ((2, 3, 4), (3, 2, 4), "the sizes are right, and their order is not"),
        ((2, 3, 4), (4, 3, 2), "the axes are in the other order"),
        ((5,), (5, 1), "yours has 1 axis, and it has 2"),
        ((2, 2), (), "yours has 2 axes, and it has none"),
        ((), (3,), "yours has no axes, and it has 1"),
        (("batch", 2), ("batch", 3), "axis 1 differs"),
        ((1, 2, 9), (3, 4, 9), "axes 0, 1 differ"),
        ((None, 2), ("batch", 2), "axis 0 differs"),
    ],
)
def test_hints_for_shapes(guess: Any, answer: Any, hint: str) -> None:
    assert shape_hint(guess, answer) == hint


SUMMED = "yours has a share for each copy; it was one value, so add the shares up: sum over the batch"
TRANSPOSED = "transposed: rows and columns have changed places"


@pytest.mark.parametrize(
    ("guess", "answer", "hint"),
    [
        # another shape
        (np.ones((3, 2)), [3, 3], SUMMED),
        (np.ones((3, 2)), [[3, 3]], SUMMED),
        (np.ones((3, 2)), [[2], [2], [2]], SUMMED),
        (np.ones((2, 3, 4)), 24, SUMMED),
        ([[1, 2, 3], [4, 5, 6]], [[1, 4], [2, 5], [3, 6]], TRANSPOSED),
        ([12], 12, "the numbers are right, and the shape is not: yours has 1 axis, and it has none"),
        ([1, 2], [[1], [2]], "the numbers are right, and the shape is not: yours has 1 axis, and it has 2"),
        (7, [7, 7], "the number is right, but there is one for each element: give a list"),
        ([1, 2, 3], [1, 2], "the shape is another one: axis 0 differs"),
        ([], [1, 2], "the shape is another one: axis 0 differs"),
        # numbers that are none
        (1, np.nan, "not all of it is finite: where does a nan or an infinity come from?"),
        (np.nan, 1, "yours is not finite, and it is"),
        # the right ones, nearly
        (-3, 3, "the sign is wrong"),
        ([1, -2], [1, 2], "the sizes are right, and some signs are not"),
        ([[1, 2], [3, 4]], [[1, 3], [2, 4]], TRANSPOSED),
        # off by a factor
        (6, 3, "too large by a factor of 2"),
        (1, 10, "too small by a factor of 10"),
        (-1, 4, "the sign is wrong, and it is too small by a factor of 4"),
        ([2, 0, 4], [1, 0, 2], "too large by a factor of 2"),
        ([0.5, 1], [1.5, 3], "too small by a factor of 3"),
        # and else
        (1.5, 1, "too large, by 50 % of it"),
        (-1.5, -1, "too small, by 50 % of it"),
        (2, 0, "too large"),
        (0, 5, "too small, by 100 % of it"),
        ([1, 2, 5], [1, 2, 3], "2 of 3 elements are right; [2] is too large"),
        ([[1, 2], [2, 4]], [[1, 2], [3, 4]], "3 of 4 elements are right; [1, 0] is too small"),
        ([2, 1], [1, 0], "0 of 2 elements are right; [0] is too large"),
    ],
)
def test_hints_for_values(guess: Any, answer: Any, hint: str) -> None:
    assert value_hint(read_numbers(guess), np.asarray(answer)) == hint


def test_hints_for_gradients() -> None:
    wrong = value_hint(read_numbers([1, 2, 3]), np.ones((3, 2)), gradient=True)
    assert wrong == "a gradient has the shape of what it belongs to: yours has 1 axis, and it has 2"
    shares = [np.float64(8), np.float64(16)]
    assert value_hint(np.float64(16), np.float64(24), shares) == (
        "that is the share of one path, and there are 2: add them up"
    )
    assert value_hint(np.float64(12), np.float64(24), shares) == "too small by a factor of 2"


def test_the_shares_of_a_fan_out_are_found() -> None:
    x = fb.placeholder((), name="x")
    left, right = x * 2.0, fb.square(x)
    y = fb.multiply(left, right, name="y")
    for share in (8, 16):
        assert "share of one path, and there are 2" in say(x, "gradient", share, of=y, feeds={x: 2.0})
    z = fb.add(y, left, name="z")  # the rule of add passes the gradient on: a sum in a sum
    assert "and there are 2" in say(left, "gradient", 1, of=z, feeds={x: 2.0})


# ---------------------------------------------------------------------------------------------------- tries


def test_the_third_wrong_guess_shows_the_answer() -> None:
    x, y = cube()
    ask = {"of": y, "feeds": {x: 2.0}}
    assert say(x, "gradient", 6, **ask) == "d y / d x: not yet (try 1 of 3): too small by a factor of 2"
    assert "(try 1 of 3)" in say(x, "gradient", 6, **ask)  # the same again is no new try
    assert "(try 2 of 3)" in say(x, "gradient", 7, **ask)
    assert say(x, "gradient", -12, **ask) == "d y / d x: not yet: the sign is wrong. It is 12"
    assert say(x, "gradient", 12, **ask) == "d y / d x: right: 12   (0 of 1 at the first try)"
    assert say() == "score: 0 of 1 at the first try; 1 shown"
    assert TRIES == 3


def test_the_answer_on_request() -> None:
    x, y = cube()
    assert say(y, "value", " ? ", feeds={x: 2.0}) == "value of y: it is 8"
    assert say(y, "value", 8, feeds={x: 2.0}).startswith("value of y: right: 8")
    assert say() == "score: 0 of 1 at the first try; 1 shown"
    assert say(y, "value", 27, feeds={x: 3.0}).startswith("value of y: right at the first try")
    assert say(y, "value", "?", feeds={x: 3.0}) == "value of y: it is 27"
    assert say() == "score: 1 of 2 at the first try; 1 shown"


def test_before_the_first_guess() -> None:
    x, y = cube()
    told = fb.notebook.predict(y, "value", ..., feeds={x: 2.0})
    assert repr(told) == 'value of y: your turn: type your guess in the place of ... ("?" shows the answer)'
    assert told.right is None
    assert repr(told) == say(y, "value", feeds={x: 2.0})
    assert say() == "score: 0 of 0 at the first try; 1 open"


def test_the_score_counts_first_tries() -> None:
    x, y = cube()
    for number, guesses in {2.0: [8], 3.0: [1, 27], 4.0: ["?"], 5.0: [...], 6.0: [1]}.items():
        for guess in guesses:
            say(y, "value", guess, feeds={x: number})
    assert say() == "score: 1 of 3 at the first try; 1 later, 1 shown, 2 open"


def test_what_does_not_count() -> None:
    x, y = cube()
    assert say(y, "value", 8, feeds={x: 2.0}, counts=False) == "value of y: right at the first try: 8"
    assert say() == "score: 0 of 0 at the first try"


def test_after_an_edit_it_is_another_question() -> None:
    names = {"fb": fb}
    graph = fb.get_default_graph()
    for factor, expected in ((2.0, "right at the first try: 6"), (3.0, "(try 1 of 3)"), (3.0, "(try 1 of 3)")):
        fb.notebook.run_cell(f"x = fb.placeholder(())\ny = x * {factor}", names, name="net", graph=graph)
        assert expected in say("y", "value", 6, feeds={names["x"]: 3.0})
    assert say() == "score: 0 of 0 at the first try; 1 open"


# ---------------------------------------------------------------------------------------------------- hostile guesses


class Nasty:
    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


class Liar:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
HOSTILE = [
    None, "12", "", b"12", {}, {1: 2}, {1, 2}, object(), Nasty(), [Nasty()], Liar(), ENDLESS, [[1, 2], [3]], 10**400,
    1j, print, int, (each for each in "ab"), np.array([object()]), np.array(["a"]), np.datetime64("2020-01-01"),
    np.zeros((0, 3)), np.zeros(2000000, "int8"), float("nan"), -float("inf"), [], (), [None], [[]], True, 1e308,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_no_guess_raises(place: int) -> None:
    guess = HOSTILE[place]
    x, y = cube()
    v = fb.placeholder((2, 3), name="v")
    total = fb.sum(v, name="total")
    feeds = {x: 2.0, v: np.ones((2, 3))}
    assert not fb.notebook.predict(y, "value", guess, feeds={x: 2.0}).right
    assert not fb.notebook.predict(v, "shape", guess).right
    assert not fb.notebook.predict(v, "gradient", guess, of=total, feeds=feeds).right


@pytest.mark.parametrize(
    ("guess", "part"),
    [
        ("12", "without quotes"),
        ([[1, 2], [3]], "different lengths"),
        (1j, "a number, or a list"),
        (np.zeros(2000000, "int8"), "so many numbers"),
    ],
)
def test_what_cannot_be_compared_is_no_try(guess: Any, part: str) -> None:
    x, y = cube()
    told = say(y, "value", guess, feeds={x: 2.0})
    assert told.startswith("value of y: that cannot be compared: ") and part in told
    assert "at the first try" in say(y, "value", 8, feeds={x: 2.0})


def test_the_tensor_itself_is_no_guess() -> None:
    x, y = cube()
    for guess in (y, y.node):
        assert "that is the tensor itself" in say(y, "value", guess, feeds={x: 2.0})
    with pytest.raises(Unreadable):
        read_shape(3)
    for wrong in ((1.0,), (True,), ([],)):
        with pytest.raises(Unreadable):
            read_shape(wrong)


# ---------------------------------------------------------------------------------------------------- questions


def test_asking_leaves_no_trace(graph: fb.Graph) -> None:
    w = fb.Variable(1.0, name="w")
    more = fb.assign_add(w, 1.0, name="more")
    loss = fb.square(more, name="loss")
    session = fb.notebook.session(graph)
    session.initialize()
    before = graph.hash
    assert ": right" in say(more, "value", 2)
    assert ": right" in say(loss, "value", 4)
    assert ": right" in say(more, "gradient", 4, of=loss)
    assert session.run(w) == 1.0
    assert graph.hash == before
    check(graph)


def test_a_view_that_watches_does_not_give_it_away(graph: fb.Graph) -> None:
    from tests.notebook.live_page import Page

    x = fb.placeholder((), name="x")
    fb.square(x, name="y")
    page = Page(fb.notebook.view(graph=graph).view)
    page.wait_for("graph")
    say("y", "value", ..., feeds={x: 3.0})
    fb.notebook.run({"x": x + 1.0}, {x: 3.0})
    page.wait(lambda: page.values)
    assert page.values.get((page.node("y"), 0)) is None


def test_questions_that_make_no_sense() -> None:
    x, y = cube()
    v = fb.placeholder((3,), name="v")
    for call in (
        lambda: say(y, "colour", 1),
        lambda: say(x, "gradient", 1),
        lambda: say(x, "value", 1, of=y),
        lambda: say(v, "gradient", 1, of=v * 2.0),
        lambda: say(3, "value", 1),
        lambda: say(fb.placeholder(None, name="any"), "shape", ()),
    ):
        with pytest.raises(ArgumentError):
            call()
    with pytest.raises(FeedError):
        say(y, "value", 1)
