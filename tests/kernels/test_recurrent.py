"""The cells of recurrent networks: native kernels, the ops themselves, and sequences of steps."""

from __future__ import annotations

import numpy as np
import pytest

import flowbook as fb
from flowbook.errors import DTypeError, ShapeError
from tests.kernels.common import check_random, check_sample, check_special, has_native, sample_cases

CASES = sample_cases(("lstm_cell", "lstm_cell_grad", "gru_cell", "gru_cell_grad"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_samples(case, dtype):
    check_sample(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_special(case, dtype):
    check_special(case, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (32, 128), (3, 15), (4, 16), (5, 33), (2, 3, 40), (300, 200)])
def test_random(shape, dtype):
    rng = np.random.default_rng(0)

    def numbers(parts=1):
        return (2 * rng.normal(size=(*shape[:-1], parts * shape[-1]))).astype(dtype)

    check_random("lstm_cell", numbers(4), numbers())
    check_random("lstm_cell_grad", numbers(), numbers(), numbers(4), numbers())
    check_random("gru_cell", numbers(3), numbers(3), numbers())
    check_random("gru_cell_grad", numbers(), numbers(3), numbers(3), numbers())


def test_what_is_left_to_the_reference():
    assert has_native("lstm_cell", [np.zeros((2, 12)), np.zeros((2, 3))])
    assert has_native("gru_cell", [np.zeros((2, 9)), np.zeros((2, 9)), np.zeros((2, 3))])


def test_shapes_that_do_not_fit():
    with fb.Graph().as_default():
        c = fb.placeholder((2, 3))
        with pytest.raises(ShapeError, match=r"gates \(2, 9\) do not fit a state \(2, 3\)"):
            fb.lstm_cell(fb.placeholder((2, 9)), c)
        with pytest.raises(ShapeError, match=r"gates \(2, 13\) do not fit"):
            fb.lstm_cell(fb.placeholder((2, 13)), c)
        with pytest.raises(ShapeError, match=r"gates_h \(3, 9\) do not fit"):
            fb.gru_cell(fb.placeholder((2, 9)), fb.placeholder((3, 9)), c)
        with pytest.raises(ShapeError, match="is a number"):
            fb.lstm_cell(fb.placeholder((2, 12)), 0.0)
        with pytest.raises(DTypeError, match="gates are float64, the state is float32"):
            fb.lstm_cell(fb.placeholder((2, 12), "float64"), c)
        with pytest.raises(DTypeError, match="floating-point"):
            fb.lstm_cell(fb.placeholder((2, 12), "int64"), fb.placeholder((2, 3), "int64"))


def test_what_is_not_known_yet():
    with fb.Graph().as_default():
        h, c = fb.lstm_cell(fb.placeholder(("batch", 12)), fb.placeholder((None, None)))
        assert h.shape == c.shape == ("batch", 3)
        assert fb.gru_cell(fb.placeholder((None, None)), fb.placeholder((2, 9)), fb.placeholder((2, "n"))).shape == (
            2,
            3,
        )


def test_steps_in_a_row_against_elementwise_ops():
    """Three steps of each cell, and the gradients of a loss at the end, beside the same built of elementwise ops."""
    rng = np.random.default_rng(1)
    with fb.Graph().as_default():
        x, w, u = (fb.constant(rng.normal(size=shape)) for shape in [(3, 2, 5), (5, 16), (4, 16)])
        state = fb.constant(rng.normal(size=(2, 4)))
        h = other_h = c = other_c = state
        g = other_g = state
        for t in range(3):
            gates = fb.matmul(x[t], w)
            h, c = fb.lstm_cell(gates + fb.matmul(h, u), c)
            i, f, new, o = fb.split(gates + fb.matmul(other_h, u), 4, axis=-1)
            other_c = fb.sigmoid(f) * other_c + fb.sigmoid(i) * fb.tanh(new)
            other_h = fb.sigmoid(o) * fb.tanh(other_c)
            gates_x, part = gates[:, :12], u[:, :12]
            g = fb.gru_cell(gates_x, fb.matmul(g, part), g)
            (xr, xz, xn), (hr, hz, hn) = (fb.split(each, 3, axis=-1) for each in (gates_x, fb.matmul(other_g, part)))
            z, n = fb.sigmoid(xz + hz), fb.tanh(xn + fb.sigmoid(xr + hr) * hn)
            other_g = (1 - z) * n + z * other_g
        loss, other = (fb.sum(a * a * a) + fb.sum(b * b) for a, b in [(h, g), (other_h, other_g)])
        ours, theirs = fb.gradients(loss, [w, u, state]), fb.gradients(other, [w, u, state])
        values = fb.Session().run([loss, *ours, other, *theirs])
    for a, b in zip(values[:4], values[4:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
