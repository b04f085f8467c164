"""Training: optimizers, learning-rate schedules, gradient clipping. All of it is ordinary nodes."""

from __future__ import annotations

from flowbook.train.clipping import clip_by_global_norm, global_norm
from flowbook.train.optimizer import Optimizer
from flowbook.train.optimizers import SGD, Adagrad, Adam, Momentum, RMSProp
from flowbook.train.schedules import cosine_decay, exponential_decay, piecewise_constant, warmup

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "Momentum",
    "Optimizer",
    "RMSProp",
    "clip_by_global_norm",
    "cosine_decay",
    "exponential_decay",
    "global_norm",
    "piecewise_constant",
    "warmup",
]
