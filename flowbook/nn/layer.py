"""What layers have in common: a scope, variables made at the first call, and shared by all later ones.

A layer keeps handles, no state of the graph. When the cell that made its variables runs again, the next call makes
them again under the same names, so they keep their values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from flowbook.errors import ArgumentError, DTypeError, ShapeError
from flowbook.graph import context
from flowbook.graph.node import Tensor, Variable, live
from flowbook.graph.opdef import as_tensor
from flowbook.graph.scopes import outermost, variable_scope
from flowbook.graph.types import format_shape
from flowbook.ops.state import Variable as make_variable


class Layer:
    """A callable that builds nodes in a scope of its own. A subclass defines ``call``.

    ``name``: the scope; default, the class name in lower case, with a number when it is taken.

    >>> import flowbook as fb
    >>> class Scale(fb.nn.Layer):
    ...     def call(self, x):
    ...         return x * self.variable("factor", (), fb.nn.ones, x.dtype)
    >>> with fb.Graph().as_default():
    ...     layer = Scale()
    ...     a, b = layer(fb.constant([1.0, 2.0])), layer(fb.constant([3.0]))
    >>> a.name, b.name, [variable.name for variable in layer.variables]
    ('scale/multiply_1', 'scale/multiply_2', ['scale/factor'])
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._scope: str | None = None  # where the variables are
        self._own: dict[str, Variable] = {}

    def __call__(self, *inputs: Any, **options: Any) -> Tensor:
        """Build the layer's nodes on ``inputs`` (tensors, or arrays that become constants)."""
        ctx = context.current()
        graph = ctx.graph or next((each.graph for each in inputs if isinstance(each, Tensor)), None)
        graph = graph or context.get_default_graph()
        with context.override(graph=graph):
            if self._scope is None or any(live(each).node.record is None for each in self.variables):
                name = type(self).__name__.lower()
                self._scope = f"{ctx.scope}{self._name}/" if self._name else variable_scope(outermost(graph), name)
            leaf = self._scope.rstrip("/").rpartition("/")[2]
            with context.override(scope=f"{ctx.scope}{leaf}/"):
                return self.call(*[None if each is None else as_tensor(each) for each in inputs], **options)

    def call(self, *inputs: Any, **options: Any) -> Tensor:
        """Build the nodes; the scope is set."""
        raise NotImplementedError

    def variable(
        self, name: str, shape: tuple[int, ...], initializer: Any, dtype: Any, trainable: bool = True
    ) -> Variable:
        """The layer's variable of that name, made by ``initializer(shape, dtype)`` when it is not there.

        ``ShapeError`` when it is there with another shape: the layer was built for other inputs.
        """
        found = self._own.get(name)
        if found is not None and (found := live(found)).node.record is not None:  # type: ignore[assignment]
            if found.shape != shape:
                raise ShapeError(
                    f"'{found.name}' has shape {format_shape(found.shape)}; this input needs {format_shape(shape)}",
                    hint="a layer shares its variables among all calls; make another layer for other sizes",
                )
            return found
        graph = outermost(context.get_default_graph())
        with context.override(graph=graph, scope=self._scope, controls=(), forward=None):
            with context.override(scope=f"{self._scope}{name}/"):
                init = initializer(shape, dtype)
            self._own[name] = made = make_variable(init, trainable=trainable, name=name)
        return made

    @property
    def variables(self) -> list[Variable]:
        """The variables of the layer and the layers inside it; empty before the first call."""
        found = list(self._own.values())
        for layer in self._inner():
            found.extend(layer.variables)
        return found

    def _inner(self) -> Iterator[Layer]:
        for value in vars(self).values():
            for each in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(each, Layer):
                    yield each

    def __repr__(self) -> str:
        settings = [f"{key}={_show(value)}" for key, value in vars(self).items() if not key.startswith("_")]
        return f"{type(self).__name__}({', '.join(settings)})"


class Sequential(Layer):
    """Layers (and functions of one tensor), one after the other.

    ``training=`` is passed on to those that take it.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     model = fb.nn.Sequential([fb.nn.Dense(8), fb.relu, fb.nn.Dense(2)])
    ...     y = model(fb.placeholder(("batch", 4)))
    >>> y.shape, [variable.name for variable in model.variables]
    (('batch', 2), ['sequential/dense/kernel', 'sequential/dense/bias',
                    'sequential/dense_1/kernel', 'sequential/dense_1/bias'])
    """

    def __init__(self, layers: list[Callable[..., Tensor]], name: str | None = None) -> None:
        super().__init__(name)
        if not isinstance(layers, (list, tuple)):
            raise ArgumentError(f"layers is {layers!r}, it has to be a list")
        for each in layers:
            if not callable(each):
                raise ArgumentError(f"{each!r} is not a layer", hint="a Layer, or a function such as fb.relu")
        self.layers = list(layers)

    def call(self, x: Tensor, *, training: Any = True) -> Tensor:
        """The last layer's result."""
        for each in self.layers:
            function = each.call if isinstance(each, Layer) else each
            takes = "training" in inspect.signature(function).parameters
            x = each(x, training=training) if takes else each(x)
        return x


# ------------------------------------------------------------------------------------------------ checking


def features(layer: Layer, x: Tensor, rank: int | None = None) -> int:
    """The last size of a float input, which has to be known; ``rank`` is what the layer needs, when it does."""
    what = type(layer).__name__
    if x.dtype.kind != "f":
        raise DTypeError(f"{what} needs floats, '{x.name}' is {x.dtype.name}", hint="fb.astype(x, 'float32')")
    shape = x.shape
    if shape is None or (rank is not None and len(shape) != rank) or not shape:
        wanted = f"rank {rank}" if rank is not None else "at least one axis"
        raise ShapeError(f"{what} needs an input of {wanted}, '{x.name}' has shape {format_shape(shape)}")
    if not isinstance(shape[-1], int):
        raise ShapeError(
            f"{what} has to know the last size of its input, '{x.name}' has shape {format_shape(shape)}",
            hint="give the placeholder an int as its last dimension",
        )
    return shape[-1]


def positive_int(what: str, value: Any) -> int:
    """A positive int, or ``ArgumentError``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{what} is {value!r}, it has to be a positive int")
    return value


def function(what: str, value: Any) -> Any:
    """``None`` or a callable, or ``ArgumentError``."""
    if value is not None and not callable(value):
        raise ArgumentError(f"{what} is {value!r}, it has to be a function", hint="such as fb.relu")
    return value


def _show(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_show, value))}]"
    return getattr(value, "__name__", None) or repr(value)
