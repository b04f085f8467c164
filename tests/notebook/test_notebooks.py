"""Any order of editing, running, renaming, deleting and undoing cells ends as a fresh run of the notebook does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

import flowbook as fb
from tests.notebook.notebooks import Notebook
from tests.notebook.outcome import outcome, variables
from tests.notebook.writing import Pick


def play(shell: InteractiveShell, pick: Pick, events: int) -> None:
    """Random events, then what a person would run again; and compare."""
    book = Notebook(shell)
    for _ in range(pick(range(1, 6))):
        book.run(book.document.insert(pick))
    for _ in range(pick(range(3, events + 1))):
        book.event(pick)
    fresh = book.fresh()
    if not book.settle():
        event("two cells wait for each other's Variable")
        return
    event(f"cells that run: {len(book.document.cells)}")
    found, expected = outcome(book.graph), outcome(fresh.graph)
    assert found["hash"] == expected["hash"], str(book.graph.diff(fresh.graph))
    if [owner.name for owner in book.graph.owners] != [owner.name for owner in fresh.graph.owners]:
        event("the cells ran in another order first")
        del found["order"], expected["order"]
    assert found == expected
    assert book.bound() == fresh.bound()
    session = fb.notebook.session(book.graph)
    session.initialize()
    assert variables(session) == variables(fb.Session(fresh.graph))


def picking(data: Any) -> Pick:
    return lambda choices: data.draw(st.sampled_from(choices))


@settings(max_examples=300)
@given(st.data())
def test_any_order_of_events_ends_as_a_fresh_run(one_shell: InteractiveShell, loaded: None, data: Any) -> None:
    play(one_shell, picking(data), 14)


@pytest.mark.slow
@settings(max_examples=2000)
@given(st.data())
def test_many_orders_of_many_events_end_as_a_fresh_run(one_shell: InteractiveShell, loaded: None, data: Any) -> None:
    play(one_shell, picking(data), 40)


@pytest.fixture(scope="module")
def loaded(one_shell: InteractiveShell) -> Any:
    one_shell.reset()
    one_shell.run_line_magic("load_ext", "flowbook")
    yield
    one_shell.run_line_magic("unload_ext", "flowbook")
