"""flowbook's side of the benchmark that is shared with other libraries.

Each function builds one workload from the shared data (``common``) and returns a closure to time, as the other peers
do. The results are compared with theirs, so a workload that computes something else does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common as C
import numpy as np

import flowbook as fb

NOTE = "native executor"
Step = Callable[[], Any]
THREADS: int | None = None  # one for each CPU


def setup(peer: str, intra: int, inter: int) -> None:
    """One pool runs steps and their parts, so the two numbers are one here."""
    global THREADS
    THREADS = max(intra or 0, inter or 0) or None


def session() -> fb.Session:
    return fb.Session(threads=THREADS)


def reset() -> None:
    """Start each workload with an empty graph."""
    fb.reset_default_graph()


# ------------------------------------------------------------------------------------------------ small and big pieces


def call_overhead() -> Step:
    data = np.arange(8, dtype=C.F)
    x = fb.placeholder((8,), name="x")
    f = session().make_callable(x * 2 + 1, [x])
    return lambda: f(data)


def _chain(x: Any, length: int) -> Any:
    for index in range(length):
        x = fb.tanh(x) if index % 3 == 0 else x + C.C_ADD if index % 3 == 1 else x * C.C_MUL
    return x


def chain_small() -> Step:
    data = C.chain_x()
    x = fb.placeholder((16,), name="x")
    f = session().make_callable(_chain(x, C.CHAIN_N), [x])
    return lambda: f(data)


def elementwise_big() -> Step:
    data = C.big_xy()
    x, y = fb.placeholder((C.BIG_N,), name="x"), fb.placeholder((C.BIG_N,), name="y")
    a, b = fb.exp(-(x * x)), fb.tanh(x + y)
    c = a * b
    d = fb.where(c > 0, c * y, c + x)
    f = session().make_callable(fb.sum(fb.tanh(d) * x + a), [x, y])
    return lambda: f(*data)


def matmul(size: int) -> Step:
    data = C.mm(size)
    a, b = fb.placeholder((size, size), name="a"), fb.placeholder((size, size), name="b")
    f = session().make_callable(a @ b, [a, b])
    return lambda: f(*data)[:1, :1]


def wide_parallel() -> Step:
    inputs, weights = C.wide()
    xs = [fb.placeholder(each.shape, name=f"x{index}") for index, each in enumerate(inputs)]
    ws = [fb.placeholder(each.shape, name=f"w{index}") for index, each in enumerate(weights)]
    total: Any = None
    for h, w in zip(xs, ws, strict=True):
        for _ in range(8):
            h = h @ w
        total = h if total is None else total + h
    f = session().make_callable(total, [*xs, *ws])
    return lambda: f(*inputs, *weights)[:1, :1]


def build(length: int) -> list[Any]:
    """Build a chain of so many nodes and its gradient, and run both once."""
    data = C.chain_x()
    x = fb.placeholder((16,), name="x")
    y = fb.sum(_chain(x, length))
    (dx,) = fb.gradients(y, [x])
    value, gradient = session().run([y, dx], {x: data})
    return [value, gradient.sum()]


# ------------------------------------------------------------------------------------------------ training steps


def _training(loss_of: Callable[..., Any], optimizer: Callable[[float], Any], data: Any) -> Step:
    """One step of training: ``loss_of(parameters, x)`` gives the logits, labels are class numbers."""
    values, inputs, labels, rate = data
    p = [fb.Variable(value, name=f"p{index}") for index, value in enumerate(values)]
    x, y = fb.placeholder(inputs.shape, name="x"), fb.placeholder(labels.shape, "int32", name="y")
    loss = fb.mean(fb.sparse_softmax_cross_entropy(y, loss_of(p, x)))
    train = optimizer(rate).minimize(loss)
    f = session().make_callable([loss, train], [x, y])
    return lambda: f(inputs, labels)[0]


def mlp_step() -> Step:
    def logits(p: Any, x: Any) -> Any:
        h = fb.relu(x @ p[0] + p[1])
        return fb.relu(h @ p[2] + p[3]) @ p[4] + p[5]

    return _training(logits, fb.train.SGD, C.mlp())


def cnn_step(batch: int = 64) -> Step:
    def logits(p: Any, x: Any) -> Any:
        h = fb.max_pool(fb.relu(fb.conv2d(x, p[0]) + p[1]), 2)
        h = fb.max_pool(fb.relu(fb.conv2d(h, p[2]) + p[3]), 2)
        h = fb.reshape(h, (batch, -1))
        return fb.relu(h @ p[4] + p[5]) @ p[6] + p[7]

    return _training(logits, fb.train.SGD, C.cnn(batch))


def lstm_step() -> Step:
    def logits(p: Any, x: Any) -> Any:
        batch, size = 32, 128
        inputs = fb.unstack(x @ p[0] + p[2])
        h = c = fb.constant(np.zeros((batch, size), C.F))
        for each in inputs:
            h, c = fb.lstm_cell(each + h @ p[1], c)
        return h @ p[3] + p[4]

    return _training(logits, fb.train.SGD, C.lstm())


def transformer_step() -> Step:
    def logits(p: Any, x: Any) -> Any:
        batch, time, width, heads = C.T_B, C.T_S, C.T_D, C.T_H
        x = fb.reshape(x, (batch * time, width))
        for layer in range(C.T_L):
            g1, b1, wq, bq, wo, bo, g2, b2, w1, c1, w2, c2 = p[12 * layer : 12 * layer + 12]
            qkv = fb.layer_norm(x, g1, b1) @ wq + bq
            split = fb.transpose(fb.reshape(qkv, (batch, time, 3 * heads, width // heads)), (0, 2, 1, 3))
            q, k, v = fb.split(split, 3, axis=1)
            found = fb.transpose(fb.nn.attention(q, k, v), (0, 2, 1, 3))
            x = x + fb.reshape(found, (batch * time, width)) @ wo + bo
            x = x + fb.gelu(fb.layer_norm(x, g2, b2) @ w1 + c1) @ w2 + c2
        return fb.reshape(fb.layer_norm(x, p[-4], p[-3]) @ p[-2] + p[-1], (batch, time, C.T_V))

    return _training(logits, lambda rate: fb.train.Adam(rate, *C.ADAM), C.transformer())
