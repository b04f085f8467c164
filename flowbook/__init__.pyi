# Written by `python -m flowbook.ops.stubs --write` from the declarations of the operators; do not edit.
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flowbook import errors as errors
from flowbook import nn as nn
from flowbook import notebook as notebook
from flowbook import random as random
from flowbook import train as train
from flowbook.analysis.check_gradients import check_gradients as check_gradients
from flowbook.analysis.nan_origin import nan_origin as nan_origin
from flowbook.devices.device import devices as devices
from flowbook.gradients import gradients as gradients
from flowbook.graph.context import control_dependencies as control_dependencies
from flowbook.graph.context import device as device
from flowbook.graph.context import get_default_graph as get_default_graph
from flowbook.graph.context import name_scope as name_scope
from flowbook.graph.context import reset_default_graph as reset_default_graph
from flowbook.graph.graph import Graph as Graph
from flowbook.graph.node import Node as Node
from flowbook.graph.node import Tensor as Tensor
from flowbook.graph.types import TensorSpec as TensorSpec
from flowbook.interchange.repro import load_repro as load_repro
from flowbook.interchange.repro import save_repro as save_repro
from flowbook.interchange.saved_graph import load_graph as load_graph
from flowbook.interchange.saved_graph import save_graph as save_graph
from flowbook.native.operator import native_op as native_op
from flowbook.ops.nn import dropout as dropout
from flowbook.ops.state import Variable as Variable
from flowbook.ops.state import group as group
from flowbook.runtime.session import Session as Session

_TensorLike: TypeAlias = Tensor | NDArray[Any] | np.number[Any] | np.bool | float | list[Any] | tuple[Any, ...]
_ShapeLike: TypeAlias = Sequence[int | str | None] | int | str | None

__version__: str

def abs(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Absolute value. The gradient at 0 is 0."""

def add(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Sum, element by element, with broadcasting (on bools: or)."""

def all(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    """Whether every entry over ``axis`` is true (not zero). True where there is none."""

def any(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    """Whether some entry over ``axis`` is true (not zero). False where there is none."""

def argmax(x: _TensorLike, axis: int | None = None, keepdims: bool = False, *, name: str | None = None) -> Tensor:
    """Index (int64) of the largest entry along ``axis``, the first of several; ``None`` counts through all of x."""

def argmin(x: _TensorLike, axis: int | None = None, keepdims: bool = False, *, name: str | None = None) -> Tensor:
    """Index (int64) of the smallest entry along ``axis``, the first of several; ``None`` counts through all of x."""

def assign(variable: _TensorLike, value: _TensorLike, *, name: str | None = None) -> Tensor:
    """Write ``value`` (cast and broadcast to the variable) when the run commits; returns the new value."""

def assign_add(variable: _TensorLike, value: _TensorLike, *, name: str | None = None) -> Tensor:
    """Add ``value`` to a variable when the run commits; returns the new value."""

def assign_sub(variable: _TensorLike, value: _TensorLike, *, name: str | None = None) -> Tensor:
    """Subtract ``value`` from a variable when the run commits; returns the new value."""

def astype(x: _TensorLike, dtype: DTypeLike, *, name: str | None = None) -> Tensor:
    """x cast to ``dtype``; floats are cut towards zero on the way to integers."""

def avg_pool(
    x: _TensorLike,
    window: int | tuple[int, int] = 2,
    strides: int | tuple[int, int] | None = None,
    padding: str = "valid",
    *,
    name: str | None = None,
) -> Tensor:
    """The mean of each window; padding does not count. Arguments as in `max_pool`."""

def batch_norm(
    x: _TensorLike,
    moving_mean: _TensorLike,
    moving_variance: _TensorLike,
    scale: _TensorLike,
    offset: _TensorLike,
    training: _TensorLike = True,
    momentum: float = 0.99,
    epsilon: float = 0.001,
    *,
    name: str | None = None,
) -> Tensor:
    """x with mean 0 and variance 1 in each channel (the last axis) over the batch, then ``* scale + offset``."""

def broadcast_to(x: _TensorLike, shape: _ShapeLike, *, name: str | None = None) -> Tensor:
    """x repeated to ``shape`` (known sizes) by the rules of broadcasting; no data is copied."""

def causal_mask(scores: _TensorLike, *, name: str | None = None) -> Tensor:
    """Which key each query may see, for scores (..., queries, keys): bool (queries, keys), whatever the values."""

def check_finite(x: _TensorLike, message: str = "", *, name: str | None = None) -> Tensor:
    """x itself; raises ``RunError`` when it holds nan or infinity, saying how many, where the first is, and what
    range the other values have."""

def clip(x: _TensorLike, min: _TensorLike, max: _TensorLike, *, name: str | None = None) -> Tensor:
    """x, kept between ``min`` and ``max`` (``max`` wins when they cross). Inside and on the bounds the gradient goes
    to x, outside to the bound."""

def concat(xs: Sequence[_TensorLike], axis: int = 0, *, name: str | None = None) -> Tensor:
    """The tensors of the list ``xs`` one after the other along an existing ``axis``; the other sizes are equal."""

def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any], *, name: str | None = None) -> Any:
    """One of two sub-graphs, chosen when it runs."""

def constant(value: Any, dtype: Any = None, *, name: str | None = None) -> Tensor:
    """A tensor with a fixed value."""

def conv2d(
    x: _TensorLike,
    filters: _TensorLike,
    strides: int | tuple[int, int] = 1,
    padding: str = "same",
    dilations: int | tuple[int, int] = 1,
    *,
    name: str | None = None,
) -> Tensor:
    """Convolution (cross-correlation) of images with filters."""

def cos(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Cosine of x, in radians."""

def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that builds what ``f`` builds, with a gradient of your own; also a decorator."""

def divide(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Quotient, element by element; integers divide to float64, as in NumPy. x/0 gives inf, 0/0 nan."""

def embedding_lookup(table: _TensorLike, ids: _TensorLike, *, name: str | None = None) -> Tensor:
    """The rows of ``table`` (entries, features...) that ``ids`` (integers, any shape) name."""

def equal(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x == y, element by element; nan equals nothing."""

def exp(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """e to the power x."""

def expand_dims(x: _TensorLike, axis: int | Sequence[int], *, name: str | None = None) -> Tensor:
    """x with new axes of size 1, which are ``axis`` (an int or a tuple) of the result."""

def flip(x: _TensorLike, axis: int | Sequence[int] | None = None, *, name: str | None = None) -> Tensor:
    """x in reverse order along ``axis``: an int, a tuple, or ``None`` for all axes."""

def floor_divide(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Quotient rounded towards minus infinity. Integer division by zero gives 0."""

def gather(x: _TensorLike, indices: _TensorLike, axis: int = 0, *, name: str | None = None) -> Tensor:
    """The entries of x at ``indices`` along ``axis``; negative indices count from the end."""

def gelu(x: _TensorLike, *, name: str | None = None) -> Tensor:
    r"""Gaussian error linear unit in its tanh form,
    :math:`\frac x2 (1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715 x^3)))`."""

def greater(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x > y, element by element."""

def greater_equal(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x >= y, element by element."""

def gru_cell(gates_x: _TensorLike, gates_h: _TensorLike, h: _TensorLike, *, name: str | None = None) -> Tensor:
    """One step of a gated recurrent unit: the new state (batch, size)."""

def identity(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """x itself, as a node of its own: a name for a value, or a read of a variable at a chosen moment."""

def isfinite(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x is neither nan nor infinite, element by element."""

def isnan(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x is nan, element by element."""

def layer_norm(
    x: _TensorLike,
    scale: _TensorLike,
    offset: _TensorLike,
    axis: int | tuple[int, ...] = -1,
    epsilon: float = 1e-05,
    *,
    name: str | None = None,
) -> Tensor:
    r"""x with mean 0 and variance 1 along ``axis`` (an int or a tuple), then scaled and shifted:
    :math:`\frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot \mathrm{scale} + \mathrm{offset}`."""

def less(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x < y, element by element."""

def less_equal(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x <= y, element by element."""

def load_ipython_extension(shell: Any) -> None:
    """``%load_ext flowbook``: the ``%%flow`` and ``%flow`` magics."""

def log(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Natural logarithm; -inf at 0, nan for negative numbers."""

def log_softmax(x: _TensorLike, axis: int = -1, *, name: str | None = None) -> Tensor:
    r"""Logarithm of `softmax`, :math:`x_i - \log \sum_j e^{x_j}`, without the loss of digits of ``log(softmax(x))``."""

def logical_and(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether both are true (not zero), element by element."""

def logical_not(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x is false (zero), element by element."""

def logical_or(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether one of them is true (not zero), element by element."""

def logical_xor(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether exactly one of them is true (not zero), element by element."""

def logsumexp(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    r"""Logarithm of the sum of exponentials over ``axis``, :math:`m + \log \sum e^{x - m}` with :math:`m = \max x`."""

def lstm_cell(gates: _TensorLike, c: _TensorLike, *, name: str | None = None) -> tuple[Tensor, ...]:
    """One step of a long short-term memory: the new output and the new state (h, c_new), both (batch, size)."""

def matmul(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Matrix product over the last two axes; axes before them broadcast. ``x @ y`` is the short form."""

def matrix_transpose(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """x with its last two axes exchanged."""

def max(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    """Largest entry over ``axis``; nan wins. Ties share the gradient equally. Raises where there is no entry."""

def max_pool(
    x: _TensorLike,
    window: int | tuple[int, int] = 2,
    strides: int | tuple[int, int] | None = None,
    padding: str = "valid",
    *,
    name: str | None = None,
) -> Tensor:
    """The largest number in each window; nan wins. Ties share the gradient equally."""

def maximum(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """The larger of two, element by element; nan wins. Ties share the gradient equally."""

def mean(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    """Arithmetic mean over ``axis``. Floats keep their dtype, others give float64; the mean of nothing is nan."""

def min(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    """Smallest entry over ``axis``; nan wins. Ties share the gradient equally. Raises where there is no entry."""

def minimum(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """The smaller of two, element by element; nan wins. Ties share the gradient equally."""

def multiply(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Product, element by element, with broadcasting (on bools: and)."""

def negative(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Minus x."""

def not_equal(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Whether x != y, element by element."""

def one_hot(
    indices: _TensorLike, depth: int, dtype: DTypeLike = "float32", axis: int = -1, *, name: str | None = None
) -> Tensor:
    """1 at the index along a new axis of size ``depth``, 0 elsewhere; an index out of range gives zeros only."""

def ones_like(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Ones in the shape and dtype of x; constant for `gradients`."""

def pad(
    x: _TensorLike,
    pad_width: int | Sequence[Any],
    mode: str = "constant",
    constant_values: float = 0.0,
    *,
    name: str | None = None,
) -> Tensor:
    """x with ``constant_values`` around it. ``pad_width``: n, (before, after), or such a pair for each axis."""

def placeholder(shape: _ShapeLike, dtype: DTypeLike = "float32", *, name: str | None = None) -> Tensor:
    """A tensor whose value each run is fed."""

def power(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """x to the power y. d/dy is 0 where x is 0, and d/dx is 0 where y is 0. Integers to negative powers raise."""

def print(x: _TensorLike, message: str = "", summarize: int = 3, *, name: str | None = None) -> Tensor:
    """x itself; when it runs, writes message, name, dtype, shape and values of x to ``sys.stdout``."""

def py_function(
    fn: Callable[..., Any],
    inputs: Any,
    dtypes: Any,
    shapes: Any = None,
    name: str | None = None,
    gradient: Callable[..., Any] | None = None,
) -> Any:
    """Call a Python function on the values of tensors, each time the graph runs."""

def relu(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """max(x, 0). The gradient at 0 is 0; nan stays nan."""

def remainder(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Remainder with the sign of the divisor, as Python's ``%``. The quotient is held fixed in the gradient."""

def reshape(x: _TensorLike, shape: _ShapeLike, *, name: str | None = None) -> Tensor:
    """x with its elements, in row-major order, in another shape. One size may be -1: what is left."""

def scaled_dot_product_attention(
    query: _TensorLike,
    key: _TensorLike,
    value: _TensorLike,
    mask: _TensorLike | None = None,
    causal: bool = False,
    *,
    name: str | None = None,
) -> Tensor:
    r""":math:`\mathrm{softmax}(Q K^T / \sqrt{d})\, V`: for each query the mean of the values, weighted by how well
    their keys fit."""

def sigmoid(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Logistic function :math:`1/(1+e^{-x})`, as accurate for very negative x (relatively) as elsewhere."""

def sigmoid_cross_entropy(labels: _TensorLike, logits: _TensorLike, *, name: str | None = None) -> Tensor:
    r"""Cross entropy of the sigmoid of ``logits`` against probabilities ``labels``, element by element with
    broadcasting: :math:`-t\log\sigma(x) - (1-t)\log(1-\sigma(x))`, computed as
    :math:`\max(x, 0) - t x + \log(1 + e^{-|x|})`, which cannot overflow."""

def sign(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """-1, 0 or 1; nan stays nan."""

def sin(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Sine of x, in radians."""

def softmax(x: _TensorLike, axis: int = -1, *, name: str | None = None) -> Tensor:
    r"""Exponentials along ``axis`` that sum to one, :math:`e^{x_i} / \sum_j e^{x_j}`; large x cannot overflow."""

def softmax_cross_entropy(labels: _TensorLike, logits: _TensorLike, *, name: str | None = None) -> Tensor:
    r"""Cross entropy of the softmax of ``logits`` against the probabilities ``labels`` along the last axis,
    :math:`-\sum_k t_k \log \mathrm{softmax}(x)_k`. Both have the same shape; the result lacks the last axis."""

def sparse_softmax_cross_entropy(labels: _TensorLike, logits: _TensorLike, *, name: str | None = None) -> Tensor:
    r"""Cross entropy of the softmax of ``logits`` against class numbers, :math:`-\log \mathrm{softmax}(x)_t`."""

def split(
    x: _TensorLike, indices_or_sections: int | Sequence[int], axis: int = 0, *, name: str | None = None
) -> tuple[Tensor, ...]:
    """x cut along ``axis`` into a tuple of tensors: that many equal parts, or at the positions of a tuple."""

def sqrt(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Square root; nan for negative numbers."""

def square(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """x times x."""

def squeeze(x: _TensorLike, axis: int | Sequence[int] | None = None, *, name: str | None = None) -> Tensor:
    """x without axes of size 1: those of ``axis`` (an int or a tuple), or all (then every size has to be known)."""

def stack(xs: Sequence[_TensorLike], axis: int = 0, *, name: str | None = None) -> Tensor:
    """The tensors of the list ``xs``, all of one shape, side by side along a new ``axis``."""

def std(
    x: _TensorLike,
    axis: int | Sequence[int] | None = None,
    correction: float = 0,
    keepdims: bool = False,
    *,
    name: str | None = None,
) -> Tensor:
    """Standard deviation over ``axis``: the root of `var`. Where it is 0, so is its gradient."""

def stop_gradient(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """x itself, but constant for `gradients`."""

def subtract(x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """Difference, element by element, with broadcasting."""

def sum(
    x: _TensorLike, axis: int | Sequence[int] | None = None, keepdims: bool = False, *, name: str | None = None
) -> Tensor:
    """Sum over ``axis``. Floats keep their dtype; bools and integers add up in 64 bits. Nothing sums to 0."""

def tanh(x: _TensorLike, *, name: str | None = None) -> Tensor:
    r"""Hyperbolic tangent, :math:`y = \tanh x`, element by element."""

def transpose(x: _TensorLike, axes: Sequence[int] | None = None, *, name: str | None = None) -> Tensor:
    """x with its axes in the order ``axes``; in reverse order without. ``x.T`` is the short form."""

def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext flowbook``."""

def unstack(x: _TensorLike, axis: int = 0, *, name: str | None = None) -> tuple[Tensor, ...]:
    """The parts of x along ``axis``, without it, as a tuple. The size of the axis has to be known."""

def var(
    x: _TensorLike,
    axis: int | Sequence[int] | None = None,
    correction: float = 0,
    keepdims: bool = False,
    *,
    name: str | None = None,
) -> Tensor:
    """Variance over ``axis``: the mean of the squared distance to the mean."""

def where(condition: _TensorLike, x: _TensorLike, y: _TensorLike, *, name: str | None = None) -> Tensor:
    """x where the condition holds, else y, element by element, broadcasting. The side not chosen gets gradient 0."""

def zeros_like(x: _TensorLike, *, name: str | None = None) -> Tensor:
    """Zeros in the shape and dtype of x; constant for `gradients`."""
