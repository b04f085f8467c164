"""What training becomes when cells are edited and run again: derived again, slots and their values kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import FlowError, GradientError, GraphError


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def variables(graph: fb.Graph) -> list[str]:
    return sorted(each.name for each in graph.variables)


def cell_model(graph: fb.Graph, loss_of, names=("w",)):
    """A cell that defines variables starting at 2.0, and a node named loss."""
    with graph.transaction("model"):
        values = [fb.Variable(2.0, name=name) for name in names]
        return fb.identity(loss_of(*values), name="loss")


def cell_train(graph: fb.Graph, loss, make, name="train", **options):
    with graph.transaction(name):
        return make().minimize(loss, name="train", **options)


def test_training_follows_an_edited_loss(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    train = cell_train(graph, loss, lambda: fb.train.SGD(0.25))
    session = fb.Session()
    session.run(train)
    assert session.run("w") == 1.0
    cell_model(graph, lambda w: 2.0 * w * w)
    session.run(train)
    assert session.run("w") == 0.0
    assert graph["loss"] is loss and graph["train"] is train


@pytest.mark.parametrize("optimizer", [fb.train.Momentum, fb.train.Adam, fb.train.RMSProp, fb.train.Adagrad])
def test_an_edit_gives_what_a_fresh_graph_gives(graph, optimizer) -> None:
    def build(target: fb.Graph, *edits):
        with target.as_default():
            loss = cell_model(target, edits[0], ("w", "v"))
            train = cell_train(target, loss, lambda: optimizer(0.1))
            for edit in edits[1:]:
                cell_model(target, edit, ("w", "v"))
        session = fb.Session(target)
        for _ in range(3):
            session.run(train)
        names = variables(target)
        return names, [session.run(name) for name in names]

    def first(w, v):
        return w * w + v

    def second(w, v):
        return fb.exp(w * v) + w

    names, values = build(graph, first, second)
    fresh_names, fresh_values = build(fb.Graph(), second)
    assert names == fresh_names and values == fresh_values


def test_a_variable_that_comes_onto_the_path_is_trained(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    train = cell_train(graph, loss, lambda: fb.train.Adam(0.1))
    session = fb.Session()
    session.run(train)
    m = session.run("adam/w/m")
    cell_model(graph, lambda w, v: w * v, ("w", "v"))
    assert variables(graph) == ["adam/step", "adam/v/m", "adam/v/v", "adam/w/m", "adam/w/v", "v", "w"]
    assert session.run("adam/w/m") == m != 0
    session.run(train)
    assert session.run("v") < 2.0
    cell_model(graph, lambda w: w * w)
    assert variables(graph) == ["adam/step", "adam/w/m", "adam/w/v", "w"]


def test_a_variable_list_stays_as_it_is(graph) -> None:
    loss = cell_model(graph, lambda w, v: w + v, ("w", "v"))
    train = cell_train(graph, loss, lambda: fb.train.SGD(1.0), var_list=[graph["w"]])
    cell_model(graph, lambda w, v: 2.0 * w + v, ("w", "v"))
    session = fb.Session()
    session.run(train)
    assert session.run(["w", "v"]) == [0.0, 2.0]


def test_slots_take_the_new_shape_of_their_variable(graph) -> None:
    def model(size):
        with graph.transaction("model"):
            w = fb.Variable(np.ones(size), name="w")
            return fb.sum(w * w, name="loss")

    train = cell_train(graph, model(2), lambda: fb.train.Momentum(0.5))
    session = fb.Session()
    session.run(train)
    model(3)
    session.run(train)
    assert session.run("momentum/w/m").tolist() == [2.0, 2.0, 2.0]
    assert session.run("w").tolist() == [0.0, 0.0, 0.0]


def test_running_the_training_cell_again_keeps_the_slots(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    train = cell_train(graph, loss, lambda: fb.train.Adam(0.1))
    session = fb.Session()
    for _ in range(3):
        session.run(train)
    names = variables(graph)
    before = session.run(names)
    train = cell_train(graph, loss, lambda: fb.train.Adam(0.001))
    assert variables(graph) == names
    assert session.run(names) == before
    session.run(train)
    assert session.run("adam/step") == 4


def test_running_a_cell_with_model_and_training_again(graph) -> None:
    def cell(factor):
        with graph.transaction("all"):
            w = fb.Variable(2.0, name="w")
            loss = graph.rename(factor * w * w, "loss")
            train = graph.rename(fb.train.Momentum(0.1).minimize(loss), "train")
            return train

    session = fb.Session()
    session.run(cell(1.0))
    names, m = variables(graph), session.run("momentum/w/m")
    train = cell(3.0)
    assert variables(graph) == names == ["momentum/w/m", "w"]
    assert session.run("momentum/w/m") == m == 4.0
    session.run(train)
    assert session.run("momentum/w/m") == pytest.approx(0.9 * 4.0 + 6 * (2.0 - 0.4))


def test_a_handle_renamed_after_minimize_is_followed(graph) -> None:
    def model(factor):
        with graph.transaction("model"):
            w = fb.Variable(2.0, name="w")
            return fb.identity(w * factor, name="h")

    def training(h):
        with graph.transaction("training"):
            loss = fb.square(h)
            train = fb.train.SGD(0.125).minimize(loss)
            graph.rename(loss, "loss")
            return graph.rename(train, "train")

    h = model(1.0)
    training(h)
    train = training(h)  # the handles of the first run take over: those minimize saw are merged into them
    model(2.0)
    session = fb.Session()
    session.run(train)
    assert session.run("w") == 2.0 - 0.125 * 8 * 2.0


def test_two_optimizers_keep_apart(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    with graph.transaction("both"):
        fb.train.Adam(0.1).minimize(loss, name="first")
        fb.train.Adam(0.2).minimize(loss, name="second")
    cell_train(graph, loss, lambda: fb.train.Adam(0.3), name="third")
    slots = ["step", "w/m", "w/v"]
    expected = [f"{scope}/{slot}" for scope in ("adam", "adam_1", "adam_2") for slot in slots]
    assert variables(graph) == sorted([*expected, "w"])
    session = fb.Session()
    session.run("first")
    session.run("second")
    session.run("second")
    assert session.run(["adam/step", "adam_1/step", "adam_2/step"]) == [1, 2, 0]
    cell_train(graph, loss, lambda: fb.train.Adam(0.3), name="third")
    assert variables(graph) == sorted([*expected, "w"])


def test_scopes_are_part_of_slot_names(graph) -> None:
    with fb.name_scope("layer"):
        w = fb.Variable(1.0, name="w")
    with fb.name_scope("training"):
        train = fb.train.Momentum(0.1).minimize(w * w, name="train")
    assert variables(graph) == ["layer/w", "training/momentum/layer/w/m"]
    assert train.name == "training/train"


def test_applied_gradients_follow_too(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    with graph.transaction("train"):
        optimizer = fb.train.SGD(1.0)
        pairs = optimizer.compute_gradients(loss)
        clipped, norm = fb.train.clip_by_global_norm([gradient for gradient, _ in pairs], 1.0)
        train = optimizer.apply_gradients(zip(clipped, [variable for _, variable in pairs], strict=True))
    session = fb.Session()
    assert session.run([norm, train])[0] == 4.0
    assert session.run("w") == 1.0
    cell_model(graph, lambda w: 0.5 * w)
    assert session.run([norm, train])[0] == 0.5
    assert session.run("w") == 0.5


def test_a_loss_that_cannot_be_trained_any_more_is_stale(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    train = cell_train(graph, loss, lambda: fb.train.SGD(0.25))
    session = fb.Session()
    cell_model(graph, lambda w: fb.stop_gradient(w))
    with pytest.raises(GraphError, match="minimize could not follow an edit"):
        session.run(train)
    assert session.run("w") == 2.0
    cell_model(graph, lambda w: w * w)
    session.run(train)
    assert session.run("w") == 1.0


def test_an_edit_taken_back(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    train = cell_train(graph, loss, lambda: fb.train.Adam(0.1))
    before = [(node.name, node.op) for node in graph.nodes]
    cell_model(graph, lambda w, v: w * v, ("w", "v"))
    graph.undo()
    assert [(node.name, node.op) for node in graph.nodes] == before
    session = fb.Session()
    session.run(train)
    assert session.run("w") == pytest.approx(1.9)


def test_a_failing_cell_leaves_training_as_it_was(graph) -> None:
    loss = cell_model(graph, lambda w: w * w)
    train = cell_train(graph, loss, lambda: fb.train.Adam(0.1))
    with pytest.raises(FlowError):
        cell_train(graph, loss, lambda: fb.train.Adam(-1.0))
    session = fb.Session()
    session.run(train)
    assert session.run("w") == pytest.approx(1.9)


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_edits_ends_as_a_fresh_graph(seed) -> None:
    """Cells model, loss and train, each in three versions, edited at random."""

    def model(graph, version, made):
        with graph.transaction("model"):
            x = fb.constant(np.ones((2, 3), "float32"), name="x")
            layers = [fb.nn.Dense(4 + version, fb.tanh), fb.nn.Dropout(0.5), fb.nn.Dense(2)]
            made["h"] = fb.identity(fb.nn.Sequential(layers[: 1 + version])(x), name="h")

    def loss(graph, version, made):
        with graph.transaction("loss"):
            h, w = made["h"], fb.Variable(1.0, name="w")
            result = (fb.square(h) * w, fb.exp(h), fb.abs(h) * w)[version]
            made["loss"] = fb.mean(result, name="loss")

    def train(graph, version, made):
        with graph.transaction("train"):
            optimizer = (fb.train.Adam, fb.train.Momentum, fb.train.SGD)[version]
            made["train"] = optimizer(0.1).minimize(made["loss"], name="train")

    def run(edits):
        """Run the edits; what they left stale, and what failed for that, asks to be run again."""
        graph, made, last, failed = fb.Graph(), {}, {}, set()
        with graph.as_default():
            for cell, version in edits:
                last[cell] = version
                try:
                    cell(graph, version, made)
                    failed.discard(cell)
                except GradientError as error:
                    assert cell is train and "run cell loss again first" in str(error)
                    failed.add(cell)
            for cell in (model, loss, train):
                if cell in failed or any(node.stale for node in graph.owned(cell.__name__)):
                    cell(graph, last[cell], made)
        assert not any(node.stale for node in graph.nodes)
        session = fb.Session(graph)
        session.run(made["train"])
        return graph.hash, [session.run(name).tobytes() for name in variables(graph)]

    rng = np.random.default_rng(seed)
    edits = [(cell, 0) for cell in (model, loss, train)]
    edits += [((model, loss, train)[rng.integers(3)], int(rng.integers(3))) for _ in range(6)]
    last = dict(edits)
    assert run(edits) == run([(cell, last[cell]) for cell in (model, loss, train)])
