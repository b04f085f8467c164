"""What holds of every graph: stepping back restores every byte, and both drivers compute the same bytes."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
    tensors = readable(stepper, made)
    tensor = tensors[place % len(tensors)]
    before = snapshot(session, stepper, made)
    edit = stepper.set_value(tensor, stepper.value(tensor))
    assert edit.recomputed == 0 and edit.changed == ()
    assert snapshot(session, stepper, made) == before


def readable(stepper: Stepper, made: Made) -> list[Any]:
    """The tensors that have a value now."""
    found = []
    for tensor in made.tensors:
        with contextlib.suppress(SessionError):
            stepper.value(tensor)
            found.append(tensor)
    return found


def act(stepper: Stepper, made: Made, kind: str, number: int, pins: dict[str, Any]) -> None:
    """One thing a user may do; ``pins`` are the values that are set, by name."""
    if kind in ("forward", "back"):
        for _ in range(1 + number % 7):
            stepper.step() if kind == "forward" else stepper.back()
        return
    tensors = [each for each in readable(stepper, made) if kind == "set" or each.name in pins]
    if not tensors:
        return
    tensor = tensors[number % len(tensors)]
    if kind == "reset":
        stepper.reset_value(tensor)
        del pins[tensor.name]
        return
    value = stepper.value(tensor)
    new = np.full_like(value, (number % 5 - 2) / 2)
    edit = stepper.set_value(tensor, new)
    assert edit.recomputed <= edit.computed == stepper.position
    if bytes_of([value]) != bytes_of([new]):
        pins[tensor.name] = new
    assert bytes_of([stepper.value(tensor)]) == bytes_of([new])


kinds = st.sampled_from(["forward", "forward", "back", "set", "set", "reset"])
actions = st.lists(st.tuples(kinds, st.integers(0, 50)), min_size=6, max_size=14)


@settings(max_examples=100)
@given(recipes(STATELESS, 4), actions)
def test_setting_is_like_feeding(recipe: Recipe, actions: list[tuple[str, int]]) -> None:
    """Whatever is set and reset on whatever walk, the end is that of a fresh run fed with what is set."""
    made = build(recipe)
    stepper = session_of(made).debug(made.fetches, made.feeds)
    pins: dict[str, Any] = {}
    for kind, number in actions:
        act(stepper, made, kind, number, pins)
    again = build(recipe)
    fed = again.feeds | {again.graph[name]: value for name, value in pins.items()}
    expected = session_of(again).run(again.fetches, fed)
    assert bytes_of(stepper.finish()) == bytes_of(expected)


@settings(max_examples=100)
@given(recipes(min_ops=4), actions)
def test_the_session_holds_what_was_written(recipe: Recipe, actions: list[tuple[str, int]]) -> None:
    """After every step and edit, each variable that has been written is in the session as the run sees it."""
    made = build(recipe)
    session = session_of(made)
    stepper = session.debug(made.fetches, made.feeds)
    table = stepper._walk.frames[0].table
    for kind, number in actions:
        act(stepper, made, kind, number, {})
        for variable in made.variables:
            if any(index < stepper.position for index, _ in table.versions.get(variable, ())):
                assert bytes_of([session.variables.get(variable).value]) == bytes_of([stepper.value(variable)])
    while stepper.back() is not None:
        pass
    assert [session.variables.get(each) for each in made.variables] == [None] * len(made.variables)


@settings(max_examples=40)
@given(recipes(), st.integers(0, 50), st.integers(0, 50))
def test_set_and_reset_restores_every_byte(recipe: Recipe, steps: int, place: int) -> None:
    made = build(recipe)
    session = session_of(made)
    stepper = session.debug(made.fetches, made.feeds)
    for _ in range(steps % (stepper.total + 1)):
        stepper.step()
    tensors = readable(stepper, made)
    tensor = tensors[place % len(tensors)]
    before = snapshot(session, stepper, made)
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
