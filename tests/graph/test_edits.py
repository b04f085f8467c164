"""Any order of editing, running, deleting and undoing cells ends as a fresh run of the final sources does."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

from flowbook.graph.check import check
from tests.graph.editing import BINARY, ERRORS, FAIL, UNARY, Line, Notebook

CELLS = 4
SHAPES = [(3,), (None,), ("n",), (4,), (2, 3)]
STYLES = ["given", "assigned", "late", "anonymous"]
SOURCES = ["placeholder", "variable"]
DERIVED = [*UNARY, *BINARY, "scale", "gradients", "gradients", "gradients", "cond", "host", "group", "minimize"]


@st.composite
def sources(draw, cell: int, bound: list[str]):
    """The source of a cell: it uses what it defined itself, and what earlier cells (by name) have bound."""
    lines, own = [], []
    for index in range(draw(st.integers(1, 5))):
        name, style = f"c{cell}v{index}", draw(st.sampled_from(STYLES))
        known = [*own, *own, *(each for each in bound if int(each[1]) < cell)]
        kind = draw(st.sampled_from(DERIVED + ["fail"])) if known and index else draw(st.sampled_from(SOURCES))
        if kind == "fail":
            if draw(st.integers(0, 3)) == 0:
                lines.append(FAIL)
        elif kind in SOURCES:
            lines.append(
                Line(kind, name, style, (draw(st.sampled_from(SHAPES)), draw(st.sampled_from(["float32", "float64"]))))
            )
            own.append(name)
        elif kind != "minimize" or cell == CELLS - 1:  # slots are named graph-wide, so by the order of first runs
            names = tuple(
                draw(st.sampled_from(known)) for _ in range(1 if kind in (*UNARY, "scale", "host", "minimize") else 2)
            )
            lines.append(Line(kind, name, style, names))
            if kind not in ("group", "minimize"):
                own.append(name)
    return tuple(lines)


@settings(max_examples=120)
@given(st.data())
def test_any_order_of_edits_ends_as_a_fresh_run(data) -> None:
    book = Notebook()
    for _ in range(data.draw(st.integers(3, 14), "steps")):
        action = data.draw(st.sampled_from(["edit"] * 5 + ["again"] * 2 + ["delete", "undo"]), "action")
        if action == "undo":
            book.undo()
        elif action == "edit" or not book.sources:
            cell = data.draw(st.integers(0, CELLS - 1), "cell")
            book.run(f"cell{cell}", data.draw(sources(cell, book.tensors), "source"))
        elif action == "again":
            name = data.draw(st.sampled_from(sorted(book.sources)), "cell")
            book.run(name, book.sources[name])
        else:
            book.delete(data.draw(st.sampled_from(sorted(book.sources)), "cell"))
        check(book.graph)
    for _ in range(CELLS):  # what is stale asks to be run again
        for name in book.stale_cells():
            book.run(name, book.sources[name])
            check(book.graph)
    if book.stale_cells():
        event("something stays stale")
        return
    try:
        fresh = book.fresh()
    except ERRORS:
        event("the final sources do not run")
        return
    assert book.graph.hash == fresh.hash, str(book.graph.diff(fresh))
    event("same as a fresh run")


@settings(max_examples=30)
@given(st.data())
def test_a_failing_cell_changes_nothing_wherever_it_fails(data) -> None:
    book = Notebook()
    for cell in range(CELLS):
        book.run(f"cell{cell}", data.draw(sources(cell, book.tensors)))
    cell = data.draw(st.integers(0, CELLS - 1))
    source = data.draw(sources(cell, book.tensors))
    snapshot, variables = book.graph.snapshot(), [each.name for each in book.graph.variables]
    kept = {node: (node.record, node.name) for node in book.graph.nodes}
    for stop in range(len(source) + 1):
        assert book.run(f"cell{cell}", (*source[:stop], FAIL)) is not None
        check(book.graph)
        assert book.graph.snapshot() == snapshot
        assert [each.name for each in book.graph.variables] == variables
        assert all((node.record, node.name) == before for node, before in kept.items())


@settings(max_examples=60)
@given(st.data())
def test_taking_an_edit_back_restores_everything_without_running_other_cells(data) -> None:
    book = Notebook()
    for cell in range(CELLS):
        book.run(f"cell{cell}", data.draw(sources(cell, book.tensors)))
    if not book.sources:
        return
    hash_before = book.graph.hash
    name = data.draw(st.sampled_from(sorted(book.sources)))
    original = book.sources[name]
    for _ in range(data.draw(st.integers(1, 3))):
        book.run(name, data.draw(sources(int(name[-1]), book.tensors)))
        check(book.graph)
    assert book.run(name, original) is None
    check(book.graph)
    assert book.graph.hash == hash_before, str(book.graph.diff(book.fresh()))
