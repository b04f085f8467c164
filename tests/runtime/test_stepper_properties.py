"""What holds of every graph: stepping back restores every byte, and both drivers compute the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import flowbook as fb
from flowbook.errors import SessionError
from flowbook.runtime.stepper import Stepper
from flowbook.runtime.writelog import WriteLog
from tests.strategies import DEVICES, STATELESS, Made, Recipe, build, bytes_of, recipes

Session = fb.Session


def session_of(made: Made) -> Session:
    return Session(made.graph, devices=DEVICES)


def snapshot(session: Session, stepper: Stepper, made: Made) -> Any:
    """Every value that can be read now, and what the session holds for each variable, absence included."""
    found = {}
    for tensor in made.tensors:
        try:
            found[tensor.name] = bytes_of([stepper.value(tensor)])
        except SessionError:
            found[tensor.name] = None
    stored = [session.variables.get(each) for each in made.variables]
    held = [None if each is None else (each.version, bytes_of([each.value])) for each in stored]
    return stepper.position, repr(stepper.next), found, held


def check_walk(made: Made, moves: list[int]) -> None:
    """Walk back and forth; wherever a position is reached again, everything has to be as it was."""
    session = session_of(made)
    stepper = session.debug(made.fetches, made.feeds)
    seen = {0: snapshot(session, stepper, made)}
    for move in moves:
        for _ in range(abs(move)):
            moved = stepper.step() if move > 0 else stepper.back()
            if moved is None:
                break
            now = snapshot(session, stepper, made)
            known = seen.setdefault(stepper.position, now)
            assert now[:3] == known[:3]
            assert [each and each[1] for each in now[3]] == [each and each[1] for each in known[3]]
    while stepper.back() is not None:
        pass
    assert snapshot(session, stepper, made) == seen[0]


moves = st.lists(st.integers(-6, 6), min_size=1, max_size=6)


@settings(max_examples=60)
@given(recipes(), moves)
def test_back_restores_every_value_and_variable(recipe: Recipe, moves: list[int]) -> None:
    check_walk(build(recipe), [*moves, 20])


WRITING = Recipe((("assign_add", 0, 0, False), ("tanh", 4, 0, False), ("assign", 5, 0, False)), (0,), 0)


@pytest.mark.parametrize("planted", ["undo", "initial"])
def test_a_back_that_forgets_a_variable_is_caught(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_walk(build(WRITING), [9])
    if planted == "undo":
        monkeypatch.setattr(WriteLog, "undo", lambda self, step: self.replaced.pop(step, None))
    else:
        original = WriteLog.undo

        def keep_initial(self: WriteLog, step: int) -> None:
            entries = self.replaced.get(step, {})
            for slot in [slot for slot, entry in entries.items() if entry is None]:
                del entries[slot]
            original(self, step)

        monkeypatch.setattr(WriteLog, "undo", keep_initial)
    with pytest.raises(AssertionError):
        check_walk(build(WRITING), [9])


def finished(made: Made) -> Any:
    session = session_of(made)
    values = session.debug(made.fetches, made.feeds).finish()
    return bytes_of(values), bytes_of(session.run(made.variables))


@settings(max_examples=60)
@given(recipes())
@example(WRITING)
def test_finish_gives_the_bytes_of_a_run(recipe: Recipe) -> None:
    stepped = finished(build(recipe))
    for trace in (False, True):  # the optimised and the observed Plan
        made = build(recipe)
        session = session_of(made)
        values = session.run(made.fetches, made.feeds, trace=trace)
        assert (bytes_of(values), bytes_of(session.run(made.variables))) == stepped


@settings(max_examples=40)
@given(recipes(), st.integers(0, 50), st.integers(0, 50))
def test_setting_the_same_value_changes_nothing(recipe: Recipe, steps: int, place: int) -> None:
    made = build(recipe)
    session = session_of(made)
    stepper = session.debug(made.fetches, made.feeds)
    for _ in range(steps % (stepper.total + 1)):
        stepper.step()
    tensor = made.tensors[place % len(made.tensors)]
    before = snapshot(session, stepper, made)
    if before[2][tensor.name] is None:
        return
    edit = stepper.set_value(tensor, stepper.value(tensor))
    assert edit.recomputed == 0 and edit.changed == ()
    assert snapshot(session, stepper, made) == before


@settings(max_examples=60)
@given(recipes(STATELESS), st.integers(0, 50), st.integers(0, 50), moves)
def test_setting_is_like_feeding(recipe: Recipe, steps: int, place: int, moves: list[int]) -> None:
    """Wherever it is set, and however one walks afterwards, the end is that of a fresh run fed with the value."""
    made = build(recipe)
    stepper = session_of(made).debug(made.fetches, made.feeds)
    for _ in range(steps % (stepper.total + 1)):
        stepper.step()
    tensor = made.tensors[place % len(made.tensors)]
    try:
        value = np.full_like(stepper.value(tensor), 0.5)
    except SessionError:
        return
    edit = stepper.set_value(tensor, value)
    assert edit.recomputed <= edit.computed == stepper.position
    for move in moves:
        for _ in range(abs(move)):
            stepper.step() if move > 0 else stepper.back()
    again = build(recipe)
    fed = again.feeds | {again.tensors[place % len(again.tensors)]: value}
    expected = session_of(again).run(again.fetches, fed)
    assert bytes_of(stepper.finish()) == bytes_of(expected)


@settings(max_examples=40)
@given(recipes(), st.integers(0, 50), st.integers(0, 50))
def test_set_and_reset_restores_every_byte(recipe: Recipe, steps: int, place: int) -> None:
    made = build(recipe)
    session = session_of(made)
    stepper = session.debug(made.fetches, made.feeds)
    for _ in range(steps % (stepper.total + 1)):
        stepper.step()
    tensor = made.tensors[place % len(made.tensors)]
    before = snapshot(session, stepper, made)
    if before[2][tensor.name] is None:
        return
    old = stepper.value(tensor)
    stepper.set_value(tensor, old + 1.0)
    if not np.array_equal(old, old + 1.0, equal_nan=True):
        stepper.reset_value(tensor)
    after = snapshot(session, stepper, made)
    assert after[:3] == before[:3]
    assert [each and each[1] for each in after[3]] == [each and each[1] for each in before[3]]
    assert bytes_of(stepper.finish()) == finished(build(recipe))[0]


@settings(max_examples=40)
@given(recipes(), st.lists(st.sampled_from(["step", "into", "out", "back"]), max_size=30))
def test_walking_inside_bodies_changes_nothing(recipe: Recipe, walk: list[str]) -> None:
    made = build(recipe)
    session = session_of(made)
    stepper = session.debug(made.fetches, made.feeds)
    move = {"step": stepper.step, "into": stepper.step_into, "out": stepper.step_out, "back": stepper.back}
    for each in walk:
        move[each]()
    assert bytes_of(stepper.finish()) == finished(build(recipe))[0]
    while stepper.back() is not None:
        pass
    assert [session.variables.get(each) for each in made.variables] == [None] * len(made.variables)
