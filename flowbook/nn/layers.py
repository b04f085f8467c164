"""The layers of feed-forward networks."""

from __future__ import annotations

from typing import Any

from flowbook.errors import ArgumentError, DTypeError
from flowbook.graph.node import Tensor
from flowbook.nn.initializers import glorot_uniform, normal, ones, zeros
from flowbook.nn.layer import Layer, features, function, positive_int
from flowbook.ops.batch_norm import batch_norm
from flowbook.ops.conv import conv2d
from flowbook.ops.gather import embedding_lookup
from flowbook.ops.linalg import matmul
from flowbook.ops.nn import dropout, layer_norm

_SMALL = normal(0.02)


class Dense(Layer):
    """A fully connected layer: ``activation(x @ kernel + bias)``.

    Input (..., features) with known features, output (..., units). Variables: ``kernel`` (features, units) and
    ``bias`` (units,).

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     layer = fb.nn.Dense(2, activation=fb.relu)
    ...     y = layer(fb.placeholder(("batch", 3)))
    >>> y
    <Tensor 'dense/relu_1': relu float32 (batch, 2)>
    >>> layer.variables
    [<Variable 'dense/kernel': variable float32 (3, 2)>, <Variable 'dense/bias': variable float32 (2,)>]
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = glorot_uniform,
        bias_initializer: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.units = positive_int("units", units)
        self.activation = function("activation", activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = function("kernel_initializer", kernel_initializer)
        self.bias_initializer = function("bias_initializer", bias_initializer)

    def call(self, x: Tensor) -> Tensor:
        """(..., features) to (..., units)."""
        shape = (features(self, x), self.units)
        y = matmul(x, self.variable("kernel", shape, self.kernel_initializer, x.dtype))
        return _finish(self, y, self.units)


class Conv2D(Layer):
    """A convolution of images: ``activation(conv2d(x, kernel) + bias)``; see `fb.conv2d`.

    Input (batch, height, width, channels) with known channels, output (batch, rows, columns, filters). ``kernel_size``,
    ``strides`` and ``dilations``: an int, or (height, width). Variables: ``kernel`` (height, width, channels, filters)
    and ``bias`` (filters,).

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     y = fb.nn.Conv2D(8, 3, strides=2)(fb.placeholder(("batch", 28, 28, 1)))
    >>> y.shape
    ('batch', 14, 14, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        activation: Any = None,
        use_bias: bool = True,
        dilations: int | tuple[int, int] = 1,
        kernel_initializer: Any = glorot_uniform,
        bias_initializer: Any = zeros,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.filters = positive_int("filters", filters)
        size = kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
        if len(size) != 2:
            raise ArgumentError(f"kernel_size is {kernel_size!r}, it has to be an int or (height, width)")
        self.kernel_size = tuple(positive_int("kernel_size", each) for each in size)
        self.strides = strides
        self.padding = padding
        self.dilations = dilations
        self.activation = function("activation", activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = function("kernel_initializer", kernel_initializer)
        self.bias_initializer = function("bias_initializer", bias_initializer)

    def call(self, x: Tensor) -> Tensor:
        """(batch, height, width, channels) to (batch, rows, columns, filters)."""
        shape = (*self.kernel_size, features(self, x, rank=4), self.filters)
        kernel = self.variable("kernel", shape, self.kernel_initializer, x.dtype)
        y = conv2d(x, kernel, strides=self.strides, padding=self.padding, dilations=self.dilations)
        return _finish(self, y, self.filters)


def _finish(layer: Dense | Conv2D, y: Tensor, units: int) -> Tensor:
    """Add the bias and apply the activation."""
    if layer.use_bias:
        y = y + layer.variable("bias", (units,), layer.bias_initializer, y.dtype)
    return y if layer.activation is None else layer.activation(y)


class LayerNorm(Layer):
    """Mean 0 and variance 1 along the last axis, then ``* scale + offset``; see `fb.layer_norm`.

    Shape and dtype stay. Variables: ``scale`` and ``offset``, of the last axis's known length.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     fb.Session().run(fb.nn.LayerNorm(epsilon=0.0)(fb.constant([[1.0, 3.0]])))
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, epsilon: float = 1e-5, name: str | None = None) -> None:
        super().__init__(name)
        self.epsilon = epsilon

    def call(self, x: Tensor) -> Tensor:
        """Shape and dtype stay."""
        length = features(self, x)
        scale = self.variable("scale", (length,), ones, x.dtype)
        offset = self.variable("offset", (length,), zeros, x.dtype)
        return layer_norm(x, scale, offset, axis=-1, epsilon=self.epsilon)  # type: ignore[no-any-return]


class BatchNorm(Layer):
    """Mean 0 and variance 1 in each channel over the batch, then ``* scale + offset``; see `fb.batch_norm`.

    Input (batch, ..., channels) with known channels; shape and dtype stay. ``training``: a bool, or a bool tensor such
    as a placeholder; when false, the moving averages take the place of the batch's statistics. Each run of the node
    that `minimize` returns moves them: ``moving -= (moving - batch) * (1 - momentum)``. Variables: ``scale`` and
    ``offset`` (channels,), and ``moving_mean`` and ``moving_variance`` (channels,), which optimizers leave alone.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     layer, x = fb.nn.BatchNorm(momentum=0.5), fb.constant([[1.0], [3.0]])
    ...     train = fb.train.SGD(0.1).minimize(fb.mean(layer(x)))
    ...     session = fb.Session()
    ...     session.run(train)
    ...     session.run(["batchnorm/moving_mean", "batchnorm/moving_variance"])
    [array([1.], dtype=float32), array([1.], dtype=float32)]
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, name: str | None = None) -> None:
        super().__init__(name)
        self.momentum = momentum
        self.epsilon = epsilon

    def call(self, x: Tensor, *, training: Any = True) -> Tensor:
        """Shape and dtype stay."""
        shape = (features(self, x),)
        scale, offset = self.variable("scale", shape, ones, x.dtype), self.variable("offset", shape, zeros, x.dtype)
        mean = self.variable("moving_mean", shape, zeros, x.dtype, trainable=False)
        variance = self.variable("moving_variance", shape, ones, x.dtype, trainable=False)
        return batch_norm(  # type: ignore[no-any-return]
            x, mean, variance, scale, offset, training, momentum=self.momentum, epsilon=self.epsilon
        )


class Dropout(Layer):
    """While training, sets a random share ``rate`` of the elements to 0 and scales the others up; see `fb.dropout`.

    ``training``: a bool, or a bool tensor such as a placeholder.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     fb.Session().run(fb.nn.Dropout(0.5)(fb.constant([1.0, 2.0]), training=False))
    array([1., 2.], dtype=float32)
    """

    def __init__(self, rate: Any, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 <= rate < 1:
            raise ArgumentError(f"rate is {rate!r}, it has to be a number from 0 to below 1")
        self.rate = rate
        self.seed = seed

    def call(self, x: Tensor, *, training: Any = True) -> Tensor:
        """Shape and dtype stay."""
        return dropout(x, self.rate, training=training, seed=self.seed)


class Embedding(Layer):
    """A table of vectors: integers (any shape) to (*shape, size). Variable: ``table`` (count, size).

    The default initializer is normal with standard deviation 0.02, as in Radford et al., "Language models are
    unsupervised multitask learners", 2019.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     y = fb.nn.Embedding(1000, 16)(fb.placeholder(("batch", "time"), "int64"))
    >>> y.shape
    ('batch', 'time', 16)
    """

    def __init__(
        self,
        count: int,
        size: int,
        dtype: str = "float32",
        initializer: Any = _SMALL,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.count = positive_int("count", count)
        self.size = positive_int("size", size)
        self.dtype = dtype
        self.initializer = function("initializer", initializer)

    def call(self, ids: Tensor) -> Tensor:
        """Integers to vectors."""
        if ids.dtype.kind not in "iu":
            raise DTypeError(
                f"Embedding needs integers, '{ids.name}' is {ids.dtype.name}", hint="fb.astype(x, 'int64')"
            )
        table = self.variable("table", (self.count, self.size), self.initializer, self.dtype)
        return embedding_lookup(table, ids)  # type: ignore[no-any-return]
