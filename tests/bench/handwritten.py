"""The workloads in NumPy, derivatives worked out by hand: what flowbook's times are compared with.

Written the way one would write them for speed: few temporaries, updates in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common as C
import numpy as np

Step = Callable[[], Any]
f32 = np.float32


def call_overhead() -> Step:
    x = np.arange(8, dtype=f32)
    return lambda: x * f32(2) + f32(1)


def cross_entropy(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Mean over all rows, and its derivative by the logits."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(1, keepdims=True)
    powers = np.exp(shifted)
    totals = powers.sum(1, keepdims=True)
    loss = (np.log(totals[:, 0]) - shifted[rows, labels]).mean()
    powers /= totals
    powers[rows, labels] -= 1
    powers /= f32(len(rows))
    return loss, powers


def descend(parameters: list[Any], gradients: list[Any], rate: float) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        gradient *= f32(rate)
        parameter -= gradient


def dense_relu(x: Any, w: Any, b: Any) -> Any:
    y = x @ w
    y += b
    return np.maximum(y, 0, out=y)


# ------------------------------------------------------------------------------------------------ mlp


def mlp_step() -> Step:
    p, x, labels, rate = C.mlp()

    def step() -> Any:
        a = dense_relu(x, p[0], p[1])
        b = dense_relu(a, p[2], p[3])
        loss, dz = cross_entropy(b @ p[4] + p[5], labels)
        db = dz @ p[4].T
        db *= b > 0
        da = db @ p[2].T
        da *= a > 0
        descend(p, [x.T @ da, da.sum(0), a.T @ db, db.sum(0), b.T @ dz, dz.sum(0)], rate)
        return loss

    return step


# ------------------------------------------------------------------------------------------------ cnn


def patches(x: Any, size: int) -> Any:
    """Each (size, size) neighbourhood as a row; zeros beyond the border."""
    n, height, width, channels = x.shape
    border = size // 2
    padded = np.zeros((n, height + 2 * border, width + 2 * border, channels), x.dtype)
    padded[:, border : border + height, border : border + width] = x
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * height * width, size * size * channels)


def unpatch(rows: Any, shape: tuple[int, ...], size: int) -> Any:
    """The transpose of `patches`: every row added back to where it came from."""
    n, height, width, channels = shape
    border = size // 2
    rows = rows.reshape(n, height, width, size, size, channels)
    total = np.zeros((n, height + 2 * border, width + 2 * border, channels), rows.dtype)
    for i in range(size):
        for j in range(size):
            total[:, i : i + height, j : j + width] += rows[:, :, :, i, j]
    return total[:, border : border + height, border : border + width]


def quarters(x: Any) -> list[Any]:
    return [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def pool(x: Any) -> Any:
    a, b, c, d = quarters(x)
    return np.maximum(np.maximum(a, b), np.maximum(c, d))


def unpool_relu(dy: Any, x: Any, y: Any) -> Any:
    """Derivative of pool(relu(..)) by what relu got; the first of several equal maxima takes all."""
    dx, left = np.zeros_like(x), y > 0
    for part, source in zip(quarters(dx), quarters(x), strict=True):
        hit = (source == y) & left
        np.multiply(dy, hit, out=part)
        left &= ~hit
    return dx.reshape(-1, x.shape[-1])


def cnn_step(batch: int = 64) -> Step:
    p, x, labels, rate = C.cnn(batch)

    def step() -> Any:
        flat = [p[0].reshape(-1, 32), p[2].reshape(-1, 64)]
        rows1 = patches(x, 5)
        a = dense_relu(rows1, flat[0], p[1]).reshape(batch, 28, 28, 32)
        pa = pool(a)
        rows2 = patches(pa, 5)
        b = dense_relu(rows2, flat[1], p[3]).reshape(batch, 14, 14, 64)
        pb = pool(b)
        features = pb.reshape(batch, -1)
        h = dense_relu(features, p[4], p[5])
        loss, dz = cross_entropy(h @ p[6] + p[7], labels)
        dh = dz @ p[6].T
        dh *= h > 0
        db = unpool_relu((dh @ p[4].T).reshape(pb.shape), b, pb)
        da = unpool_relu(unpatch(db @ flat[1].T, pa.shape, 5), a, pa)
        first, second = (rows1.T @ da).reshape(p[0].shape), (rows2.T @ db).reshape(p[2].shape)
        dense = [features.T @ dh, dh.sum(0), h.T @ dz, dz.sum(0)]
        descend(p, [first, da.sum(0), second, db.sum(0), *dense], rate)
        return loss

    return step


# ------------------------------------------------------------------------------------------------ transformer


def norm(x: Any, scale: Any, offset: Any) -> tuple[Any, Any]:
    centred = x - x.mean(1, keepdims=True)
    factor = 1 / np.sqrt(np.square(centred).mean(1, keepdims=True) + f32(1e-5))
    centred *= factor
    return centred * scale + offset, (centred, factor, scale)


def norm_back(dy: Any, saved: Any) -> tuple[Any, Any, Any]:
    y, factor, scale = saved
    d = dy * scale
    dx = d - d.mean(1, keepdims=True)
    dx -= y * (d * y).mean(1, keepdims=True)
    dx *= factor
    return dx, (dy * y).sum(0), dy.sum(0)


def gelu(x: Any) -> tuple[Any, Any]:
    t = np.tanh(f32(0.7978845608) * (x + f32(0.044715) * x * x * x))
    return f32(0.5) * x * (1 + t), t


def gelu_back(dy: Any, x: Any, t: Any) -> Any:
    inner = f32(0.7978845608) * (1 + f32(3 * 0.044715) * x * x)
    return dy * (f32(0.5) * (1 + t) + f32(0.5) * x * (1 - t * t) * inner)


def heads(x: Any) -> Any:
    """(batch * time, width) to (batch, heads, time, width / heads)."""
    return x.reshape(C.T_B, C.T_S, C.T_H, -1).transpose(0, 2, 1, 3)


def merged(x: Any) -> Any:
    return x.transpose(0, 2, 1, 3).reshape(C.T_B * C.T_S, -1)


def attend(q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    weights = q @ k.swapaxes(2, 3)
    weights *= f32(q.shape[-1] ** -0.5)
    weights -= weights.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    return weights @ v, weights


def attend_back(d: Any, q: Any, k: Any, v: Any, weights: Any) -> tuple[Any, Any, Any]:
    dw = d @ v.swapaxes(2, 3)
    dw -= (dw * weights).sum(-1, keepdims=True)
    dw *= weights
    dw *= f32(q.shape[-1] ** -0.5)
    return dw @ k, dw.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ d


def block(x: Any, p: list[Any]) -> tuple[Any, Any]:
    n1, s1 = norm(x, p[0], p[1])
    q, k, v = [heads(each) for each in np.split(n1 @ p[2] + p[3], 3, axis=1)]
    found, weights = attend(q, k, v)
    o = merged(found)
    x = x + (o @ p[4] + p[5])
    n2, s2 = norm(x, p[6], p[7])
    u = n2 @ p[8] + p[9]
    g, t = gelu(u)
    return x + (g @ p[10] + p[11]), (n1, s1, q, k, v, weights, o, n2, s2, u, g, t)


def block_back(dx: Any, saved: Any, p: list[Any]) -> tuple[Any, list[Any]]:
    n1, s1, q, k, v, weights, o, n2, s2, u, g, t = saved
    du = gelu_back(dx @ p[10].T, u, t)
    second = [n2.T @ du, du.sum(0), g.T @ dx, dx.sum(0)]
    part, ds2, db2 = norm_back(du @ p[8].T, s2)
    dx = dx + part
    parts = attend_back(heads(dx @ p[4].T), q, k, v, weights)
    dqkv = np.concatenate([merged(each) for each in parts], axis=1)
    first = [n1.T @ dqkv, dqkv.sum(0), o.T @ dx, dx.sum(0)]
    part, ds1, db1 = norm_back(dqkv @ p[2].T, s1)
    return dx + part, [ds1, db1, *first, ds2, db2, *second]


def transformer_step() -> Step:
    p, data, labels, rate = C.transformer()
    beta1, beta2, epsilon = C.ADAM
    means, squares = [np.zeros_like(each) for each in p], [np.zeros_like(each) for each in p]
    x0, y, count = data.reshape(-1, C.T_D), labels.reshape(-1), [0]

    def step() -> Any:
        x, saved = x0, []
        for layer in range(C.T_L):
            x, kept = block(x, p[12 * layer : 12 * layer + 12])
            saved.append(kept)
        n, s = norm(x, p[-4], p[-3])
        loss, dz = cross_entropy(n @ p[-2] + p[-1], y)
        dx, ds, db = norm_back(dz @ p[-2].T, s)
        gradients = [ds, db, n.T @ dz, dz.sum(0)]
        for layer in reversed(range(C.T_L)):
            dx, some = block_back(dx, saved[layer], p[12 * layer : 12 * layer + 12])
            gradients = some + gradients
        count[0] += 1
        scaled = f32(rate * np.sqrt(1 - beta2 ** count[0]) / (1 - beta1 ** count[0]))
        for w, m, v, g in zip(p, means, squares, gradients, strict=True):
            m *= f32(beta1)
            m += f32(1 - beta1) * g
            v *= f32(beta2)
            g *= g
            v += f32(1 - beta2) * g
            w -= scaled * m / (np.sqrt(v) + f32(epsilon))
        return loss

    return step
