"""The moving averages of batch_norm: what moves them, when, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import GradientError

F32 = np.float32


@pytest.fixture(autouse=True)
def graph() -> Iterator[fb.Graph]:
    with fb.Graph().as_default() as graph:
        yield graph


def data(rng, *shape):
    return rng.normal(1.0, 2.0, shape).astype(F32)


def moved(moving, x, momentum=0.9):
    """Moving mean and variance after a step on x, in float64."""
    axes = tuple(range(x.ndim - 1))
    wide = x.astype("float64")
    return tuple(
        old * momentum + new * (1 - momentum)
        for old, new in zip(moving, (wide.mean(axes), wide.var(axes)), strict=True)
    )


def averages(session, name="batchnorm"):
    return session.run([f"{name}/moving_mean", f"{name}/moving_variance"])


def close(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)


START = np.zeros(3), np.ones(3)


def test_only_the_step_moves_them(rng) -> None:
    x = fb.placeholder(("batch", 3), name="x")
    layer = fb.nn.BatchNorm(momentum=0.9)
    loss = fb.mean(fb.square(layer(x)))
    gradient = fb.gradients(loss, [layer.variables[0]])
    train = fb.train.SGD(0.1).minimize(loss)
    session, batches = fb.Session(), [data(rng, 20, 3) for _ in range(3)]
    assert [each.trainable for each in layer.variables] == [True, True, False, False]
    wanted = START
    for batch in batches:
        session.run([loss, gradient], {x: batch})
        close(averages(session), wanted)
        assert session.run([train, loss], {x: batch})[0] is None
        wanted = moved(wanted, batch)
        close(averages(session), wanted)
    assert session.run("batchnorm/scale").tolist() != [1.0] * 3


def test_training_may_be_fed(rng) -> None:
    x, training = fb.placeholder((None, 4, 4, 3), name="x"), fb.placeholder((), "bool", name="training")
    layer = fb.nn.BatchNorm(0.9)
    y = layer(x, training=training)
    train = fb.train.Adam(0.01).minimize(fb.mean(fb.square(y)))
    session, batch = fb.Session(), data(rng, 8, 4, 4, 3)
    session.run(train, {x: batch, training: True})
    close(averages(session), wanted := moved(START, batch))
    before = averages(session)
    session.run(train, {x: batch, training: False})
    for a, b in zip(averages(session), before, strict=True):
        assert a.tobytes() == b.tobytes()
    found, scale, offset = session.run([y, *layer.variables[:2]], {x: batch, training: False})
    np.testing.assert_allclose(found, (batch - wanted[0]) / np.sqrt(wanted[1] + 1e-3) * scale + offset, atol=1e-5)


def test_without_training_nothing_moves(rng) -> None:
    x = fb.placeholder((None, 3), name="x")
    layer = fb.nn.BatchNorm()
    y = layer(x, training=False)
    train = fb.train.SGD(0.1).minimize(fb.mean(fb.square(y)))
    session = fb.Session()
    session.run(train, {x: data(rng, 5, 3)})
    close(averages(session), START)


def test_an_empty_batch_moves_nothing(rng) -> None:
    x = fb.placeholder((None, 3), name="x")
    train = fb.train.SGD(0.1).minimize(fb.sum(fb.nn.BatchNorm(0.9)(x)))
    session, batch = fb.Session(), data(rng, 5, 3)
    session.run(train, {x: batch})
    before = averages(session)
    session.run(train, {x: batch[:0]})
    for a, b in zip(averages(session), before, strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_layer_used_twice_is_moved_twice_in_order(rng) -> None:
    a, b = fb.placeholder((None, 3), name="a"), fb.placeholder((None, 3), name="b")
    layer = fb.nn.BatchNorm(0.9)
    loss = fb.mean(fb.square(layer(a)) * fb.mean(layer(b) * 2.0 + 1.0))
    train = fb.train.SGD(0.1).minimize(loss)
    session, first, second = fb.Session(), data(rng, 20, 3), data(rng, 30, 3)
    session.run(train, {a: first, b: second})
    close(averages(session), moved(moved(START, first), second))


def test_the_order_holds_where_cells_stand_in_another(graph, rng) -> None:
    """What the first use reads comes from a cell after the step, so the second could run before it."""

    def cell(name, build):
        with graph.transaction(name):
            return build()

    a, b = fb.placeholder((None, 3), name="a"), fb.placeholder((None, 3), name="b")
    layer = fb.nn.BatchNorm(0.9, name="bn")
    cell("layer", lambda: layer(fb.constant(np.zeros((1, 3), F32))))
    early = cell("early", lambda: fb.identity(a, name="early"))
    used = cell("used", lambda: layer(early))
    train = cell("train", lambda: fb.train.SGD(0.1).minimize(fb.mean(used) + fb.sum(fb.square(layer(a)))))
    late = cell("late", lambda: fb.identity(b, name="late"))
    cell("early", lambda: fb.identity(late, name="early"))
    session, first, second = fb.Session(graph), data(rng, 20, 3), data(rng, 30, 3)
    session.run(train, {a: first, b: second})
    close(averages(session, "bn"), moved(moved(START, second), first))


def test_two_steps_each_move_what_they_train_through(rng) -> None:
    x = fb.placeholder((None, 3), name="x")
    shared, own = fb.nn.BatchNorm(0.9, name="shared"), fb.nn.BatchNorm(0.9, name="own")
    h = shared(x)
    first = fb.train.SGD(0.0001).minimize(fb.mean(h * h))
    second = fb.train.SGD(0.0001).minimize(fb.mean(fb.square(own(h)) + own(h)))
    session, batch = fb.Session(), data(rng, 20, 3)
    session.run(first, {x: batch})
    close(averages(session, "shared"), moved(START, batch))
    close(averages(session, "own"), START)
    session.run(second, {x: batch})
    close(averages(session, "shared"), moved(moved(START, batch), batch))
    assert session.run("own/moving_variance").max() < 1.001  # twice in one step


def test_the_variables_that_are_trained_decide(rng) -> None:
    """What lies below all of them is not trained, so its averages stay; what lies between, or has them, moves."""
    x = fb.placeholder((None, 3), name="x")
    below, above = fb.nn.BatchNorm(0.9, name="below"), fb.nn.BatchNorm(0.9, name="above")
    w = fb.Variable(np.eye(3, dtype=F32), name="w")
    y = above(below(x) @ w)
    loss = fb.mean(fb.square(y - 1.0))
    session, batch = fb.Session(), data(rng, 20, 3)
    for var_list, moves in (
        ([w], {"above"}),
        ([above.variables[0]], {"above"}),
        ([below.variables[1]], {"above", "below"}),
    ):
        before = {name: averages(session, name)[1] for name in ("below", "above")}
        session.run(fb.train.SGD(0.001).minimize(loss, var_list), {x: batch})
        after = {name: averages(session, name)[1] for name in ("below", "above")}
        assert {name for name in before if not np.array_equal(before[name], after[name])} == moves


def test_gradients_that_were_computed_apart(rng) -> None:
    x = fb.placeholder((None, 3), name="x")
    optimizer = fb.train.SGD(0.1)
    pairs = optimizer.compute_gradients(fb.mean(fb.square(fb.nn.BatchNorm(0.9)(x))))
    clipped = fb.train.clip_by_global_norm([dy for dy, _ in pairs], 0.5)
    clipped = clipped[0] if isinstance(clipped, tuple) else clipped
    train = optimizer.apply_gradients(zip(clipped, [variable for _, variable in pairs], strict=True))
    session, batch = fb.Session(), data(rng, 20, 3)
    session.run([dy for dy, _ in pairs], {x: batch})
    close(averages(session), START)
    session.run(train, {x: batch})
    close(averages(session), moved(START, batch))


def test_gradients_of_another_loss_move_nothing(rng) -> None:
    """Inputs made of a gradient, as in adversarial training: the step goes through the second use only."""
    x = fb.placeholder((None, 3), name="x")
    layer = fb.nn.BatchNorm(0.9)
    (dx,) = fb.gradients(fb.mean(fb.exp(layer(x))), [x])
    harder = x + 0.5 * fb.stop_gradient(dx)
    train = fb.train.SGD(0.1).minimize(fb.mean(fb.square(layer(harder))))
    session, batch = fb.Session(), data(rng, 20, 3)
    inputs = session.run(harder, {x: batch})
    session.run(train, {x: batch})
    close(averages(session), moved(START, inputs))


def test_a_penalty_on_gradients_trains_through_once(rng) -> None:
    x = fb.placeholder((None, 3), name="x")
    layer = fb.nn.BatchNorm(0.9)
    y = fb.sum(fb.tanh(layer(x)))
    (dx,) = fb.gradients(y, [x])
    loss = y + fb.sum(dx * dx)
    assert fb.check_gradients(loss, layer.variables[:2], {x: data(rng, 6, 3)}).precision == "float64"
    train = fb.train.SGD(0.1).minimize(loss)
    session, batch = fb.Session(), data(rng, 20, 3)
    session.run(train, {x: batch})
    close(averages(session), moved(START, batch))


def test_statistics_that_are_no_variables_are_left_alone(rng) -> None:
    x, w = fb.constant(data(rng, 9, 3)), fb.Variable(np.ones(3, F32), name="w")
    zeros = fb.constant(np.zeros(3, F32))
    train = fb.train.SGD(0.1).minimize(fb.mean(fb.square(fb.batch_norm(x, zeros, zeros + 1.0, w, zeros))))
    session = fb.Session()
    session.run(train)
    assert [each.name for each in fb.get_default_graph().variables] == ["w"]


def test_in_a_branch_it_is_refused() -> None:
    x, flag = fb.placeholder((4, 3), name="x"), fb.placeholder((), "bool", name="flag")
    layer = fb.nn.BatchNorm()

    def nested():
        return fb.cond(fb.sum(x) > 0, lambda: layer(x), lambda: x)

    for branch in (lambda: layer(x), nested):
        y = fb.cond(flag, branch, lambda: x * 2.0)
        loss = fb.mean(fb.square(y))
        with pytest.raises(GradientError, match="trains a batch_norm, whose moving averages are kept outside") as error:
            fb.train.SGD(0.1).minimize(loss)
        assert "training= may be a bool tensor" in error.value.hint
    y = fb.cond(flag, lambda: layer(x, training=False), lambda: x)
    fb.train.SGD(0.1).minimize(fb.mean(fb.square(y)))  # nothing would move


# ------------------------------------------------------------------------------------------------ edits and files


def test_they_follow_an_edited_cell(graph, rng) -> None:
    def model(momentum, deep=False):
        with graph.transaction("model"):
            x = fb.placeholder((None, 3), name="x")
            h = fb.nn.BatchNorm(momentum, name="bn")(x)
            if deep:
                h = fb.nn.BatchNorm(momentum, name="more")(h * 2.0 + 1.0)
            return x, fb.mean(fb.square(h), name="loss")

    x, loss = model(0.9)
    with graph.transaction("train"):
        train = fb.train.SGD(0.001).minimize(loss, name="train")
    session, batch = fb.Session(graph), data(rng, 20, 3)
    session.run(train, {"x": batch})
    close(averages(session, "bn"), wanted := moved(START, batch))
    model(0.5)
    session.run(train, {"x": batch})
    close(averages(session, "bn"), wanted := moved(wanted, batch, 0.5))
    model(0.5, deep=True)
    session.run(train, {"x": batch})
    close(averages(session, "bn"), wanted := moved(wanted, batch, 0.5))
    assert session.run("more/moving_mean").min() > 0.4
    model(0.5)
    session.run(train, {"x": batch})
    close(averages(session, "bn"), moved(wanted, batch, 0.5))
    fresh = fb.Graph()
    with fresh.as_default():
        graph, before = fresh, graph
        with fresh.transaction("model"):
            x = fb.placeholder((None, 3), name="x")
            loss = fb.mean(fb.square(fb.nn.BatchNorm(0.5, name="bn")(x)), name="loss")
        with fresh.transaction("train"):
            fb.train.SGD(0.001).minimize(loss, name="train")
    assert fresh.hash == before.hash


def test_checkpoints_and_saved_graphs_keep_them(rng, tmp_path) -> None:
    x = fb.placeholder((None, 3), name="x")
    layer = fb.nn.BatchNorm(0.9)
    train = fb.train.Adam(0.01).minimize(fb.mean(fb.square(layer(x) - 1.0)), name="train")
    fb.identity(layer(x, training=False), name="predicted")
    session, batches = fb.Session(), [data(rng, 20, 3) for _ in range(4)]
    for batch in batches[:2]:
        session.run(train, {x: batch})
    session.save(tmp_path / "kept")
    fb.save_graph(tmp_path / "graph", fb.get_default_graph(), session)
    loaded = fb.load_graph(tmp_path / "graph")
    others = fb.Session(), fb.Session(loaded)
    others[0].restore(tmp_path / "kept")
    for each in (session, *others):
        for batch in batches[2:]:
            each.run("train", {"x": batch})
    values = [each.run(["predicted", "batchnorm/moving_variance"], {"x": batches[0]}) for each in (session, *others)]
    for other in values[1:]:
        for a, b in zip(values[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


def test_a_stepper_takes_the_step_back(rng) -> None:
    x = fb.placeholder((None, 3), name="x")
    train = fb.train.SGD(0.1).minimize(fb.mean(fb.square(fb.nn.BatchNorm(0.9)(x))))
    session, batch = fb.Session(), data(rng, 20, 3)
    before = averages(session)
    stepper = session.debug(train, {x: batch})
    stepper.finish()
    close(averages(session), moved(START, batch))
    while stepper.back():
        pass
    for a, b in zip(averages(session), before, strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_network_evaluates_as_it_trained(rng) -> None:
    """After enough steps on one distribution the moving averages are its own, so both modes say nearly the same."""
    x, training = fb.placeholder((None, 3), name="x"), fb.placeholder((), "bool", name="training")
    model = fb.nn.Sequential([fb.nn.Dense(8), fb.nn.BatchNorm(0.8), fb.relu, fb.nn.Dense(1)])
    y = model(x, training=training)
    train = fb.train.Adam(0.001).minimize(fb.mean(fb.square(y - fb.sum(x, axis=-1, keepdims=True))))
    session = fb.Session()
    for _ in range(60):
        session.run(train, {x: data(rng, 256, 3), training: True})
    test = data(rng, 4096, 3)
    trained, evaluated = (session.run(y, {x: test, training: flag}) for flag in (True, False))
    assert np.abs(trained - evaluated).mean() < 0.1 * np.abs(trained).mean()
