"""The cells of recurrent networks: what happens to the state in one step, after the products with the weights.

An op of one step keeps the many small elementwise functions of a cell together; a loop over time runs it once a step.
The rules here get the gradients of all outputs: zeros for an output that nobody used, as for every op with several.
"""

from __future__ import annotations

import numpy as np

from flowbook.errors import DTypeError, ShapeError
from flowbook.graph.backprop import by_recomputation
from flowbook.graph.opdef import Sample, op
from flowbook.graph.types import TensorSpec, format_shape, unify_dim, unify_shape
from flowbook.ops.elementwise import sigmoid, tanh
from flowbook.ops.joining import concat, split
from flowbook.ops.nn import special
from flowbook.ops.rules import per_element, require_kind
from flowbook.ops.samples import draw


def _state_spec(parts, state, **gates):
    """The spec of the state, from (..., size) and gates (..., parts * size); ``ShapeError`` when they do not fit."""
    for name, each in {"the state": state, **gates}.items():
        if not isinstance(each, TensorSpec) or each.shape == ():
            raise ShapeError(f"{name} of a recurrent cell is a number", hint="the last axis are the units")
        require_kind(each, "f", name)
        if each.dtype != state.dtype:
            raise DTypeError(
                f"{name} are {each.dtype.name}, the state is {state.dtype.name}", hint="cast with fb.astype"
            )
    dims = state.dims
    for name, each in gates.items():
        width = each.dims[-1]
        size = width if type(width) is not int else width // parts if width % parts == 0 else -1
        try:
            lead = unify_shape(dims[:-1], each.dims[:-1]) or ()
            dims = (*lead, unify_dim(dims[-1], size) if type(size) is int else dims[-1])
        except ShapeError:
            raise ShapeError(
                f"{name} {format_shape(each.shape)} do not fit a state {format_shape(state.shape)}",
                hint=f"the last axis of {name} is {parts} times that of the state, the others are equal",
            ) from None
    return TensorSpec(dims, state.dtype)


def _logistic(xp, x):
    return 1 / (1 + xp.exp(-x))


# ------------------------------------------------------------------------------------------------ LSTM


def _lstm_spec(gates, c):
    spec = _state_spec(4, c, gates=gates)
    return spec, spec


def _lstm_samples():
    for lead, size in (((2,), 3), ((), 4), ((2, 3), 2), ((0,), 3), ((3,), 17), ((2,), 0)):
        yield Sample((draw((*lead, 4 * size)).array(), draw((*lead, size), seed=1).array()))
    yield Sample((draw((2, 12), -900, 900).array(), draw((2, 3), -3, 3).array()), {}, "large")


def _lstm_oracle(gates, c):
    expit = special().expit
    i, f, g, o = np.split(gates, 4, -1)
    new = expit(f) * c + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(new), new


@op(spec=_lstm_spec, cost=per_element(72), samples=_lstm_samples, ulp=16, analytic=True, oracle=_lstm_oracle)
def lstm_cell(xp, gates, c):
    r"""One step of a long short-term memory: the new output and the new state (h, c_new), both (batch, size).

    :math:`c' = \sigma(f)\,c + \sigma(i) \tanh(g)` and :math:`h = \sigma(o) \tanh(c')`, with ``c`` (batch, size) and
    ``gates`` (batch, 4 * size), which are :math:`xW + hU + b` in the order i, f, g, o (that of PyTorch's LSTM). There
    may be any axes in place of the batch. Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural
    Computation 9, 1997; the forget gate is from Gers, Schmidhuber and Cummins, "Learning to Forget", 2000.

    >>> import flowbook as fb
    >>> h, c = fb.lstm_cell(fb.constant([[0.0, 0.0, 0.0, 0.0]]), fb.constant([[2.0]]))
    >>> fb.Session().run([h, c])                                                    # doctest: +ELLIPSIS
    [array([[0.3807...]], dtype=float32), array([[1.]], dtype=float32)]
    """
    i, f, g, o = xp.split(gates, 4, axis=-1)
    new = _logistic(xp, f) * c + _logistic(xp, i) * xp.tanh(g)
    return _logistic(xp, o) * xp.tanh(new), new


@lstm_cell.gradient
def _(node, dh, dc_new):
    return lstm_cell_grad(dh, dc_new, *node.inputs)


def _lstm_grad_spec(dh, dc_new, gates, c):
    state = _state_spec(4, c, gates=gates)
    dh, dc_new = (unify_shape(each.shape, state.shape) for each in (dh, dc_new))
    return TensorSpec((*state.dims[:-1], gates.dims[-1]), gates.dtype), TensorSpec(unify_shape(dh, dc_new), c.dtype)


def _lstm_grad_samples():
    for sample in _lstm_samples():
        if sample.note != "large":  # where all slopes are next to nothing
            shape = sample.inputs[1].shape
            yield sample._replace(inputs=(draw(shape, seed=2).array(), draw(shape, seed=3).array(), *sample.inputs))


def _lstm_grad_oracle(dh, dc_new, gates, c):
    """In other words than the kernel: by the derivatives of each function."""
    expit = special().expit
    i, f, g, o = np.split(gates, 4, -1)
    new = expit(f) * c + expit(i) * np.tanh(g)
    total = dc_new + dh * expit(o) / np.cosh(new) ** 2
    parts = total * np.tanh(g) * _slope(i), total * c * _slope(f), total * expit(i) / np.cosh(g) ** 2
    return np.concatenate([*parts, dh * np.tanh(new) * _slope(o)], -1), total * expit(f)


def _slope(x):
    """The derivative of the logistic function."""
    return special().expit(x) * special().expit(-x)


@op(
    spec=_lstm_grad_spec,
    cost=lambda i, o, a: 92.0 * (o[1].size or 0),
    samples=_lstm_grad_samples,
    ulp=32,
    analytic=True,
    hidden=True,
    oracle=_lstm_grad_oracle,
)
def lstm_cell_grad(xp, dh, dc_new, gates, c):
    """What `lstm_cell` passes back to its gates and its state, from the gradients of h and c_new: (dgates, dc)."""
    i, f, g, o = xp.split(gates, 4, axis=-1)
    i, f, g, o = _logistic(xp, i), _logistic(xp, f), xp.tanh(g), _logistic(xp, o)
    t = xp.tanh(f * c + i * g)
    total = dc_new + dh * o * (1 - t * t)
    parts = total * g * i * (1 - i), total * c * f * (1 - f), total * i * (1 - g * g), dh * t * o * (1 - o)
    return xp.concatenate(parts, axis=-1), total * f


def _lstm_grad_nodes(dh, dc_new, gates, c):
    i, f, g, o = split(gates, 4, axis=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    t = tanh(f * c + i * g)
    total = dc_new + dh * o * (1 - t * t)
    parts = [total * g * i * (1 - i), total * c * f * (1 - f), total * i * (1 - g * g), dh * t * o * (1 - o)]
    return concat(parts, axis=-1), total * f


@lstm_cell_grad.gradient
def _(node, *dys):
    return by_recomputation(node, _lstm_grad_nodes, dys)


# ------------------------------------------------------------------------------------------------ GRU


def _gru_spec(gates_x, gates_h, h):
    return _state_spec(3, h, gates_x=gates_x, gates_h=gates_h)


def _gru_samples():
    for lead, size in (((2,), 3), ((), 4), ((2, 3), 2), ((0,), 3), ((3,), 17), ((2,), 0)):
        gates = [draw((*lead, 3 * size), seed=seed).array() for seed in (0, 1)]
        yield Sample((*gates, draw((*lead, size), seed=2).array()))
    gates = [draw((2, 9), -900, 900, seed=seed).array() for seed in (0, 1)]
    yield Sample((*gates, draw((2, 3), -3, 3).array()), {}, "large")


def _gru_oracle(gates_x, gates_h, h):
    (xr, xz, xn), (hr, hz, hn) = np.split(gates_x, 3, -1), np.split(gates_h, 3, -1)
    n, z = np.tanh(xn + special().expit(xr + hr) * hn), special().expit(xz + hz)
    return n + z * (h - n)


@op(spec=_gru_spec, cost=per_element(50), samples=_gru_samples, ulp=16, analytic=True, oracle=_gru_oracle)
def gru_cell(xp, gates_x, gates_h, h):
    r"""One step of a gated recurrent unit: the new state (batch, size).

    :math:`h' = (1 - z)\,n + z\,h` with :math:`r = \sigma(x_r + h_r)`, :math:`z = \sigma(x_z + h_z)` and
    :math:`n = \tanh(x_n + r\,h_n)`. ``gates_x``: :math:`xW + b`, ``gates_h``: :math:`hU + b'`, both
    (batch, 3 * size) in the order r, z, n; ``h``: (batch, size). There may be any axes in place of the batch.
    Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014 (arXiv:1406.1078), with the
    reset gate after the product, as in PyTorch's GRU.

    >>> import flowbook as fb
    >>> zeros = fb.constant([[0.0, 0.0, 0.0]])
    >>> fb.Session().run(fb.gru_cell(zeros, zeros, fb.constant([[2.0]])))
    array([[1.]], dtype=float32)
    """
    (xr, xz, xn), (hr, hz, hn) = xp.split(gates_x, 3, axis=-1), xp.split(gates_h, 3, axis=-1)
    n, z = xp.tanh(xn + _logistic(xp, xr + hr) * hn), _logistic(xp, xz + hz)
    return n + z * (h - n)


@gru_cell.gradient
def _(node, dy):
    return gru_cell_grad(dy, *node.inputs)


def _gru_grad_spec(dy, gates_x, gates_h, h):
    state = _state_spec(3, h, gates_x=gates_x, gates_h=gates_h)
    width = unify_dim(gates_x.dims[-1], gates_h.dims[-1])
    gates = TensorSpec((*state.dims[:-1], width), h.dtype)
    return gates, gates, TensorSpec(unify_shape(dy.shape, state.shape), h.dtype)


def _gru_grad_samples():
    for sample in _gru_samples():
        if sample.note != "large":
            yield sample._replace(inputs=(draw(sample.inputs[2].shape, seed=3).array(), *sample.inputs))


def _gru_grad_oracle(dy, gates_x, gates_h, h):
    """In other words than the kernel: by the derivatives of each function."""
    (xr, xz, xn), (hr, hz, hn) = np.split(gates_x, 3, -1), np.split(gates_h, 3, -1)
    r, z = special().expit(xr + hr), special().expit(xz + hz)
    dn = dy * special().expit(-xz - hz) / np.cosh(xn + r * hn) ** 2
    dr, dz = dn * hn * _slope(xr + hr), dy * (h - np.tanh(xn + r * hn)) * _slope(xz + hz)
    return np.concatenate([dr, dz, dn], -1), np.concatenate([dr, dz, dn * r], -1), dy * z


@op(
    spec=_gru_grad_spec,
    cost=lambda i, o, a: 68.0 * (o[2].size or 0),
    samples=_gru_grad_samples,
    ulp=32,
    analytic=True,
    hidden=True,
    oracle=_gru_grad_oracle,
)
def gru_cell_grad(xp, dy, gates_x, gates_h, h):
    """What `gru_cell` passes back to its operands: (dgates_x, dgates_h, dh)."""
    (xr, xz, xn), (hr, hz, hn) = xp.split(gates_x, 3, axis=-1), xp.split(gates_h, 3, axis=-1)
    r, z = _logistic(xp, xr + hr), _logistic(xp, xz + hz)
    n = xp.tanh(xn + r * hn)
    dn = dy * (1 - z) * (1 - n * n)
    dr, dz = dn * hn * r * (1 - r), dy * (h - n) * z * (1 - z)
    return xp.concatenate((dr, dz, dn), axis=-1), xp.concatenate((dr, dz, dn * r), axis=-1), dy * z


def _gru_grad_nodes(dy, gates_x, gates_h, h):
    (xr, xz, xn), (hr, hz, hn) = split(gates_x, 3, axis=-1), split(gates_h, 3, axis=-1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = tanh(xn + r * hn)
    dn = dy * (1 - z) * (1 - n * n)
    dr, dz = dn * hn * r * (1 - r), dy * (h - n) * z * (1 - z)
    return concat([dr, dz, dn], axis=-1), concat([dr, dz, dn * r], axis=-1), dy * z


@gru_cell_grad.gradient
def _(node, *dys):
    return by_recomputation(node, _gru_grad_nodes, dys)


__all__ = [name for name, value in list(globals().items()) if hasattr(value, "opdef")]
