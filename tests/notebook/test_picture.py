"""The picture and the table of a cell: deterministic, safe with any name, bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import flowbook as fb
from flowbook.notebook import CellView, layout
from flowbook.notebook.cells import run_cell
from flowbook.notebook.grouping import grouped
from flowbook.notebook.outline import outline

HOSTILE = [
    '"><img src=x onerror=alert(1)>',
    "</text></svg><script>alert(1)</script>",
    "a&b<c>'d'",
    "]]><!--",
    "label=<b>\\N\\n\\",
    "\u202e\u200b",
    "ü 数 ∇",
    "x" * 500,
]


def draw(graph: fb.Graph, cell: str) -> str:
    picture = CellView(graph, cell).svg
    assert picture is not None
    return picture


def texts(picture: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(picture).iter() if each.tag.endswith("}text")]


def network() -> fb.Graph:
    graph, space = fb.Graph(), {"fb": fb, "np": np}
    run_cell("x = fb.placeholder(('batch', 3))", space, name="data", graph=graph)
    run_cell(
        "with fb.name_scope('layer'):\n    W = fb.Variable(np.ones((3, 2), 'float32'))\n    h = fb.tanh(x @ W)\n"
        "loss = fb.sum(h)",
        space,
        name="net",
        graph=graph,
    )
    run_cell("train = fb.train.SGD(0.1).minimize(loss)", space, name="train", graph=graph)
    return graph


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    graph = fb.Graph()
    with graph.transaction(name), graph.as_default(), fb.name_scope(name):
        fb.tanh(fb.placeholder((name,), name=name), name=name)
    root = ElementTree.fromstring(draw(graph, name))  # well formed
    tags = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert tags <= {"svg", "style", "g", "title", "rect", "path", "text"}
    assert not any(key.startswith("on") or "href" in key for each in root.iter() for key in each.attrib)


def test_the_picture_is_the_same_everywhere() -> None:
    program = (
        "from tests.notebook.test_picture import crowded, draw, network\n"
        "graph = network()\n"
        "print(*[draw(graph, cell) for cell in ('data', 'net', 'train')], draw(crowded(300), 'crowd'))"
    )
    here = Path(__file__).parents[2]

    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(here)}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, cwd=here
        )
        return done.stdout

    assert run("1") == run("2") != ""


def test_running_again_draws_the_same() -> None:
    assert draw(network(), "train") == draw(network(), "train")


def test_what_a_card_says() -> None:
    graph = network()
    found = texts(draw(graph, "net"))
    assert found[:2] == ["layer", "x"]
    assert {"cell data", "(batch, 3)", "W", "variable", "h", "tanh", "loss"} <= set(found)
    training = texts(draw(graph, "train"))
    assert {"for layer/h", "writes layer/W", "gradient"} <= set(training)
    titles = [
        each.text or "" for each in ElementTree.fromstring(draw(graph, "net")).iter() if each.tag.endswith("title")
    ]
    assert any(each.startswith("h = tanh(matmul_1)\nfloat32 (batch, 2)\nHyperbolic tangent") for each in titles)
    assert any("line 3:  h = fb.tanh(x @ W)" in each for each in titles)


def test_gradients_foreign_and_stale_nodes_are_marked() -> None:
    graph, space = fb.Graph(), {"fb": fb}
    run_cell("a = fb.placeholder((2,))\nb = fb.placeholder((3,))", space, name="one", graph=graph)
    run_cell("c = a * 2.0\nd = b * 2.0", space, name="two", graph=graph)
    run_cell("a = fb.placeholder((2,), 'int64')\nb = fb.placeholder((3,))", space, name="one", graph=graph)
    boxes = {box.title: box for box in outline(graph, "two").boxes}
    assert [title for title, box in boxes.items() if box.foreign] == ["a", "b"]
    assert [title for title, box in boxes.items() if box.stale] == ["c"]
    assert "fb-stale" in draw(graph, "two") and "fb-foreign" in draw(graph, "two")
    assert "(stale: " in CellView(graph, "two").text
    assert any(box.backward for box in outline(network(), "train").boxes)


def test_scopes_collapse_deepest_first() -> None:
    graph = fb.Graph()
    with graph.transaction("big"), graph.as_default():
        t = fb.placeholder(())
        for layer in range(3):
            with fb.name_scope(f"layer{layer}"):
                for block in range(4):
                    with fb.name_scope(f"block{block}"):
                        for _ in range(10):
                            t = fb.tanh(t)
    assert len(outline(graph, "big", limit=200).boxes) == 121
    found = outline(graph, "big", limit=60)
    assert len(found.boxes) <= 60
    assert {box.detail for box in found.boxes if box.kind == "scope"} == {"10 nodes"}
    found = outline(graph, "big", limit=6)
    assert [(box.title, box.detail) for box in found.boxes[1:]] == [(f"layer{k}", "40 nodes") for k in range(3)]
    assert [(arrow.source, arrow.target) for arrow in found.arrows] == [(0, 1), (1, 2), (2, 3)]
    assert found.nodes == 121
    draw(graph, "big")


def crowd(source: str, before: str | None = None) -> fb.Graph:
    graph, space = fb.Graph(), {"fb": fb, "np": np}
    if before is not None:
        run_cell(before, space, name="before", graph=graph)
    run_cell(source, space, name="crowd", graph=graph)
    return graph


def crowded(count: int) -> fb.Graph:
    source = "x = fb.placeholder((4, 8))\nw = fb.Variable(np.eye(8, dtype='float32'))\nh = x\n"
    return crowd(source + f"for place in range({count}):\n    h = fb.tanh(h @ w)\nloss = fb.sum(h)")


def test_many_nodes_without_scopes_share_boxes() -> None:
    graph = crowded(375)
    view = CellView(graph, "crowd")
    picture = draw(graph, "crowd")
    found = texts(picture)
    assert found[:4] == ["x", "placeholder", "(4, 8)", "w"]
    assert found[6:10] == ["matmul_1 … h_20", "42 nodes, line 5", "21 matmul, 21 tanh", "matmul_22 … h_41"]
    boxes = grouped(outline(graph, "crowd"), 18).boxes
    assert len(boxes) <= 24 and sum(len(box.nodes) for box in boxes) == len(graph.nodes)
    height = float(ElementTree.fromstring(picture).attrib["height"])
    assert height < 2000 and len(picture) < 100_000
    assert view.notices == [] and "753 nodes" in view.text and "more" in view.text, "the table is as it was"


def test_a_crowd_is_a_chain_where_its_nodes_are() -> None:
    found = grouped(outline(crowded(375), "crowd"), 18)
    place = {node: box.key for box in found.boxes for node in box.nodes}
    loop = sorted({place[node] for node in place if node.op == "tanh"})
    assert {(a, b) for a, b, _ in found.arrows if a in loop and b in loop} == set(pairwise(loop))
    w = next(box.key for box in found.boxes if box.title == "w")
    assert [b for a, b, _ in found.arrows if a == w] == [loop[0]], "the others read it, too; that would hide the chain"


def test_forward_and_backward_share_no_box() -> None:
    source = "x = fb.placeholder((4,))\nh = x\nfor place in range(150):\n    h = fb.tanh(h)\n"
    source += "(dx,) = fb.gradients(fb.sum(h), [x])"
    for box in grouped(outline(crowd(source), "crowd"), 18).boxes:
        assert len({node.forward is not None or node.op == "identity" for node in box.nodes}) == 1 or box.backward


def test_what_many_nodes_of_other_cells_are_is_said() -> None:
    graph = crowd(
        "total = ps[0]\nfor p in ps[1:]:\n    total = total + p", "ps = [fb.placeholder(()) for _ in range(40)]"
    )
    found = grouped(outline(graph, "crowd"), 18)
    assert [(box.title, box.detail) for box in found.boxes if box.foreign] == [("cell before", "40 nodes")]
    assert [box.kind for box in found.boxes if not box.foreign] == ["op"] * 39, "these are no crowd"


def test_many_scopes_and_nodes_without_arrows_are_drawn() -> None:
    scoped = crowd(
        "x = fb.placeholder(())\nfor place in range(200):\n    with fb.name_scope(f's{place}'):\n        x = fb.tanh(x)"
    )
    assert any(text.startswith("s0/") and " … s" in text for text in texts(draw(scoped, "crowd")))
    loose = crowd("xs = [fb.placeholder(()) for _ in range(600)]")
    root = ElementTree.fromstring(draw(loose, "crowd"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width < 1000 and height < 2000
    shown = [each for each in root.iter() if each.tag.endswith("}text") and "… placeholder" in (each.text or "")]
    where = {each.text or "": float(each.attrib["y"]) for each in shown}
    assert sorted(where, key=where.__getitem__)[0].startswith("placeholder_1 ")


def test_few_nodes_are_drawn_one_by_one() -> None:
    shown = outline(crowded(50), "crowd")
    assert grouped(shown, 18) is shown


def test_no_layout_program_leaves_the_table_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise layout.LayoutError("graphviz-pure is not installed: pip install graphviz-pure==0.2.2")

    monkeypatch.setattr(layout, "program", missing)
    view = CellView(network(), "net")
    assert view.svg is None
    assert view.text.endswith("(no picture: graphviz-pure is not installed: pip install graphviz-pure==0.2.2)")


@pytest.mark.parametrize("fault", ["exit 3", "echo nonsense", "echo '{}'"])
def test_a_broken_layout_program_leaves_the_table(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dot"
    program.write_text(f"#!/bin/sh\n{fault}\n")
    program.chmod(0o755)
    monkeypatch.setattr(layout, "program", lambda: str(program))
    assert "(no picture: the layout program failed" in CellView(network(), "net").text


def test_an_empty_cell_shows_no_picture() -> None:
    graph = fb.Graph()
    with graph.transaction("empty"):
        pass
    assert CellView(graph, "empty")._repr_mimebundle_() == {"text/plain": "0 nodes"}


def test_both_directions_of_layout() -> None:
    graph = fb.Graph()
    with graph.transaction("long"), graph.as_default():
        t = fb.placeholder(())
        for _ in range(12):
            t = fb.tanh(t)
    root = ElementTree.fromstring(draw(graph, "long"))
    assert float(root.attrib["width"]) < float(root.attrib["height"])
    root = ElementTree.fromstring(draw(network(), "net"))
    assert float(root.attrib["width"]) > float(root.attrib["height"])


def test_a_table_stays_small_whatever_is_in_it() -> None:
    graph = fb.Graph()
    with graph.transaction("wide"), graph.as_default():
        fb.split(fb.placeholder((5000, 2), name="n" * 5000), 5000)
    text = CellView(graph, "wide").text
    assert len(text) < 2000
    assert "… and 4992 more" in text


def test_without_graphviz_there_is_the_table_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    view = CellView(network(), "net")
    assert view.svg is None
    assert "pip install graphviz" in view.text


def test_a_cell_run_again_marks_what_is_new_and_changed() -> None:
    graph, space = fb.Graph(), {"fb": fb}
    source = "x = fb.placeholder((2,))\ny = fb.tanh(x)\nz = fb.exp(x)"

    def marks(text: str) -> list[tuple[str, str]]:
        commit, _ = run_cell(text, space, name="net", graph=graph)
        picture = CellView(graph, "net", commit).svg
        assert picture is not None
        return [(title, mark) for title, mark in zip(texts(picture), texts(picture)[1:], strict=False) if is_mark(mark)]

    def is_mark(text: str) -> bool:
        return text in ("new", "changed")

    assert marks(source) == []
    assert marks(source) == []
    after = marks(source.replace("tanh", "sin") + "\nw = z * 2.0")
    assert [mark for _, mark in after] == ["changed", "new"]
    assert CellView(graph, "net").svg == CellView(graph, "net", None).svg  # only what this run did is marked


def test_a_closed_training_scope_is_not_read_by_every_box() -> None:
    """Every forward box has a line into it otherwise, and nothing can be read."""
    graph = fb.Graph()
    with graph.transaction("net"), graph.as_default():
        h = fb.placeholder(("batch", 8), name="x")
        for layer in range(20):
            h = fb.nn.Dense(8, activation=fb.tanh, name=f"layer{layer}")(h)
        loss = fb.mean(fb.square(h), name="loss")
        fb.train.SGD(0.1).minimize(loss, name="train")
    found = outline(graph, "net", limit=30)
    boxes = {box.key: box for box in found.boxes}
    training = {key for key, box in boxes.items() if any(node.forward is not None for node in box.nodes)}
    into = {boxes[arrow.source].title for arrow in found.arrows if arrow.target in training and not arrow.control}
    assert training and len([title for title in into if title.startswith("layer")]) <= 1, into
    chain = {(boxes[arrow.source].title, boxes[arrow.target].title) for arrow in found.arrows}
    assert ("layer3", "layer4") in chain  # the forward graph itself is whole
    reached, waiting = set(), [key for key, box in boxes.items() if box.title == "layer0"]
    while waiting:
        reached.add(key := waiting.pop())
        waiting.extend(arrow.target for arrow in found.arrows if arrow.source == key and arrow.target not in reached)
    assert reached & training  # and still leads to the training


def test_a_closed_scope_looks_backward_when_all_of_it_is() -> None:
    graph = fb.Graph()
    with graph.transaction("net"), graph.as_default():
        with fb.name_scope("forward"):
            h = fb.placeholder((3,), name="x")
            for _ in range(40):
                h = fb.tanh(h)
        fb.gradients(fb.sum(h), [graph["forward/x"]])
    looks = {box.title: box.backward for box in outline(graph, "net", limit=10).boxes if box.kind == "scope"}
    assert looks == {"forward": False, "gradients": True}
