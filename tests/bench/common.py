"""The data of the workloads. A larger suite that also times other libraries brings a module of this name of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

F = np.float32
CHAIN_N, C_ADD, C_MUL = 1000, 0.1, 1.01
T_L, T_B, T_S, T_D, T_H, T_F, T_V = 2, 8, 128, 256, 4, 1024, 64  # layers, batch, time, width, heads, hidden, classes
ADAM = (0.9, 0.999, 1e-8)

Data = tuple[list[Any], Any, Any, float]  # parameters, inputs, labels, learning rate


def chain_x() -> Any:
    return np.linspace(-1, 1, 16, dtype=F)


def _weights(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[Any]:
    """A matrix (or filter) of variance 2 / fan-in and a bias for each shape."""
    found: list[Any] = []
    for shape in shapes:
        fan_in = int(np.prod(shape[:-1]))
        found += [rng.normal(0, (2 / fan_in) ** 0.5, shape).astype(F), np.zeros(shape[-1], F)]
    return found


def mlp() -> Data:
    rng = np.random.default_rng(10)
    x, labels = rng.standard_normal((128, 784)).astype(F), rng.integers(0, 10, 128).astype(np.int32)
    return _weights(rng, (784, 512), (512, 512), (512, 10)), x, labels, 0.01


def cnn(batch: int = 64) -> Data:
    rng = np.random.default_rng(11)
    x, labels = rng.standard_normal((batch, 28, 28, 1)).astype(F), rng.integers(0, 10, batch).astype(np.int32)
    return _weights(rng, (5, 5, 1, 32), (5, 5, 32, 64), (7 * 7 * 64, 1024), (1024, 10)), x, labels, 0.002


def lstm() -> Data:
    """50 steps of batch 32, 64 numbers in, 128 units; parameters: input and recurrent weights, bias, output layer."""
    rng = np.random.default_rng(13)
    wx, _, wh, bias = _weights(rng, (64, 512), (128, 512))
    x, labels = rng.standard_normal((50, 32, 64)).astype(F), rng.integers(0, 10, 32).astype(np.int32)
    return [wx, wh, bias, *_weights(rng, (128, 10))], x, labels, 0.05


def wide() -> tuple[list[Any], list[Any]]:
    """Sixteen matrices and sixteen weights, 512 by 512."""
    rng = np.random.default_rng(14)
    matrices = [rng.normal(0, (2 / 1024) ** 0.5, (512, 512)).astype(F) for _ in range(32)]
    return matrices[:16], matrices[16:]


def transformer() -> Data:
    rng = np.random.default_rng(12)
    norm = [np.ones(T_D, F), np.zeros(T_D, F)]
    parameters: list[Any] = []
    for _ in range(T_L):
        parameters += [*map(np.copy, norm), *_weights(rng, (T_D, 3 * T_D), (T_D, T_D))]
        parameters += [*map(np.copy, norm), *_weights(rng, (T_D, T_F), (T_F, T_D))]
    parameters += [*map(np.copy, norm), *_weights(rng, (T_D, T_V))]
    x, labels = rng.standard_normal((T_B, T_S, T_D)).astype(F), rng.integers(0, T_V, (T_B, T_S)).astype(np.int32)
    return parameters, x, labels, 1e-3
