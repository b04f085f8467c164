"""Layers and initializers: helpers that build scopes of ordinary nodes and variables."""

from __future__ import annotations

from flowbook.nn.attention import MultiHeadAttention, attention
from flowbook.nn.initializers import (
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    normal,
    ones,
    zeros,
)
from flowbook.nn.layer import Layer, Sequential
from flowbook.nn.layers import BatchNorm, Conv2D, Dense, Dropout, Embedding, LayerNorm

__all__ = [
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Layer",
    "LayerNorm",
    "MultiHeadAttention",
    "Sequential",
    "attention",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "normal",
    "ones",
    "zeros",
]
