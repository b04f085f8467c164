"""Where the graph meets Python: host functions, gradients of one's own, printing and checking values.

Callables live in the graph's side table, ``graph.functions``; a node refers to them by name, so that its attributes
stay plain values and a file never holds code.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, DTypeError, GradientError, RunError, ShapeError
from flowbook.graph import context
from flowbook.graph.node import Tensor
from flowbook.graph.opdef import REGISTRY, apply, as_tensor, located, op, structured_op
from flowbook.graph.types import TensorSpec, as_dtype, as_shape, beyond, format_shape, unify_shape
from flowbook.ops.rules import no_flops, same_as_input
from flowbook.ops.samples import floats


def _public(definition, builder):
    """Give an op a public function of its own making."""
    builder.opdef = definition
    definition.builder = builder


def _keep(graph, function, suffix=""):
    """Put a callable into the graph's side table; returns its name there."""
    name = getattr(function, "__name__", type(function).__name__).strip("<>")
    return graph.add_function(function, name + suffix)


def _tensors(values):
    """Operands as tensors of one graph, and that graph."""
    tensors = [as_tensor(each) for each in values]
    graph = context.current().graph or (tensors[0].graph if tensors else context.get_default_graph())
    return tensors, graph


def _found(node, name):
    """A callable of the node's graph that builds gradients."""
    function = node.graph.functions.get(name)
    if function is None:
        hint = f"load_graph(path, functions={{{name!r}: f}})"
        raise GradientError(f"the gradient function '{name}' is not here", hint=hint)
    return function


def _own_gradients(node, name, xs, grads):
    """What a user's function gave as gradients, checked: a tensor like x, or ``None``, for each x."""
    grads = list(grads) if isinstance(grads, (list, tuple)) else [grads]
    if len(grads) != len(xs):
        raise GradientError(f"'{name}' gave {len(grads)} gradients for {len(xs)} inputs")
    for place, (x, grad) in enumerate(zip(xs, grads, strict=True)):
        if grad is None or not isinstance(x, Tensor):
            continue
        grads[place] = grad = as_tensor(grad)
        try:
            unify_shape(grad.shape, x.shape)
        except ShapeError:
            raise GradientError(
                f"'{name}' gave a gradient of shape {format_shape(grad.shape)} for '{x.name}', {x.spec}",
                hint="a gradient has the shape of its input: sum over the axes that were broadcast",
            ) from None
    return grads


# ------------------------------------------------------------------------------------------------ py_function


def _py_function_spec(*inputs, function, dtypes, shapes, multiple, gradient):
    shapes = shapes or [None] * len(dtypes)
    return tuple(TensorSpec(shape, as_dtype(dtype)) for shape, dtype in zip(shapes, dtypes, strict=True))


@structured_op(spec=_py_function_spec, cost=no_flops, stateful=True, effect=True)
def py_function_(ctx, *inputs, function, dtypes, shapes, multiple, gradient):
    """Call a Python function on arrays when the graph runs."""
    results = ctx.function(function)(*map(ctx.host, inputs))
    if not multiple:
        results = [results]
    elif not dtypes:
        return ()
    elif not isinstance(results, (list, tuple)) or len(results) != len(dtypes):
        got = type(results).__name__ + (f" of {len(results)}" if isinstance(results, (list, tuple)) else "")
        raise RunError(f"'{function}' returned a {got}, its dtypes announce a list of {len(dtypes)}")
    return tuple(_checked(function, value, *spec) for value, spec in zip(results, ctx.step.specs, strict=True))


def _checked(function, value, shape, dtype):
    """A copy of what a host function returned, in the shape and dtype it announced (with this run's named sizes)."""
    if value is None:
        raise RunError(f"'{function}' returned None, not a {dtype.name} array", hint="is its return missing?")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise RunError(f"'{function}' returned what is no array: {error}") from None
    if not hasattr(value, "dtype") and array.dtype.kind in "iu" and dtype.kind in "iu":  # Python's ints
        outside = beyond(array, dtype)
        if outside is not None:
            raise DTypeError(f"'{function}' returned {outside}, which the announced {dtype.name} cannot hold")
    elif array.dtype.kind not in "biuf" or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise DTypeError(
            f"'{function}' returned {array.dtype}, which does not cast to the announced {dtype.name}",
            hint="announce what it returns, or cast there with .astype",
        )
    try:
        unify_shape(array.shape, shape)
    except ShapeError:
        raise ShapeError(
            f"'{function}' returned shape {array.shape}, it announced {format_shape(shape)}",
            hint="None in shapes leaves a size open",
        ) from None
    return np.array(array, dtype)


@located("py_function")
def py_function(
    fn: Callable[..., Any],
    inputs: Any,
    dtypes: Any,
    shapes: Any = None,
    name: str | None = None,
    gradient: Callable[..., Any] | None = None,
) -> Any:
    """Call a Python function on the values of tensors, each time the graph runs.

    ``fn`` gets one read-only array for each of ``inputs`` (a list, or one tensor). ``dtypes``: a dtype, and ``fn``
    returns one array and this a tensor; or a list of dtypes, for lists; the empty list, for effects only, gives the
    node. ``shapes``: a shape for one dtype, a list of shapes for a list; ``None`` leaves them open. Results are
    copied, and cast by NumPy's "same_kind" rule.

    It has no gradient unless ``gradient(node, *dys)`` builds one: a tensor or ``None`` for each input. ``fn`` is
    never saved with the graph. Raises ``RunError`` when it runs, with ``fn``'s exception as cause.

    >>> import flowbook as fb
    >>> x = fb.constant([1.0, 4.0])
    >>> y = fb.py_function(np.sort, [-x], "float32", shapes=x.shape, gradient=lambda node, dy: dy[::-1])
    >>> fb.Session().run(y)
    array([-4., -1.], dtype=float32)
    """
    if not callable(fn):
        raise ArgumentError(f"py_function calls a function, not {fn!r}")
    if gradient is not None and not callable(gradient):
        raise ArgumentError(f"gradient={gradient!r} is not a function")
    multiple = isinstance(dtypes, (list, tuple))
    tensors, graph = _tensors(inputs if isinstance(inputs, (list, tuple)) else [inputs])
    kinds = [as_dtype(each).name for each in (dtypes if multiple else [dtypes])]
    if shapes is not None:
        shapes = [as_shape(each) for each in (shapes if multiple else [shapes])]
        if len(shapes) != len(kinds):
            raise ArgumentError(f"{len(shapes)} shapes for {len(kinds)} dtypes")
    attrs = {
        "function": _keep(graph, fn),
        "dtypes": tuple(kinds),
        "shapes": None if shapes is None else tuple(shapes),
        "multiple": multiple,
        "gradient": None if gradient is None else _keep(graph, gradient),
    }
    node = apply(REGISTRY["py_function"], tensors, attrs, name)
    if not kinds:
        return node
    return list(node.outputs) if multiple else node.outputs[0]


@py_function_.gradient
def _(node, *dys):
    name = node.attrs["gradient"]
    if name is None:
        raise GradientError(
            f"py_function '{node.attrs['function']}' has no gradient",
            hint="give it one: gradient=g, where g(node, *dys) builds a tensor (or None) for each input",
        )
    return _own_gradients(node, name, node.inputs, _found(node, name)(node, *dys))


_public(REGISTRY["py_function"], py_function)

# ------------------------------------------------------------------------------------------------ custom_gradient


@structured_op(spec=lambda *tensors, count, function: tuple(tensors[:count]), cost=no_flops)
def custom_gradient_(ctx, *tensors, count, function):
    """The first ``count`` tensors, whose gradients with respect to the others a Python function builds."""
    return tensors[:count]


@custom_gradient_.gradient
def _(node, *dys):
    count, name = node.attrs["count"], node.attrs["function"]
    return [None] * count + _own_gradients(node, name, node.inputs[count:], _found(node, name)(*dys))


@located("custom_gradient")
def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that builds what ``f`` builds, with a gradient of your own; also a decorator.

    ``f(*xs)`` gets tensors and returns ``(y, grad_fn)``: ``y`` a tensor or a list of them, and ``grad_fn(*dys)``,
    which builds a gradient, or ``None``, for each x. What ``grad_fn`` builds is differentiated for higher orders.
    Tensors that ``f`` uses without getting them as arguments receive no gradient through it.

    >>> import flowbook as fb
    >>> @fb.custom_gradient
    ... def clipped_gradient(x):
    ...     return x * 1.0, lambda dy: fb.clip(dy, -1.0, 1.0)
    >>> x = fb.constant([1.0, 2.0])
    >>> dx, = fb.gradients(100.0 * clipped_gradient(x), [x])
    >>> fb.Session().run(dx)
    array([1., 1.], dtype=float32)
    """
    if not callable(f):
        raise ArgumentError(f"custom_gradient takes a function, not {f!r}")

    @located("custom_gradient")
    @functools.wraps(f)
    def build(*args: Any, name: str | None = None) -> Any:
        xs, graph = _tensors(args)
        result = f(*xs)
        if not isinstance(result, tuple) or len(result) != 2 or not callable(result[1]):
            raise ArgumentError(f"'{getattr(f, '__name__', f)}' has to return (y, grad_fn)", hint="a pair")
        y, grad_fn = result
        ys: Sequence[Any] = y if isinstance(y, (list, tuple)) else [y]
        ys, _ = _tensors(ys)
        attrs = {"count": len(ys), "function": _keep(graph, grad_fn)}
        outputs = apply(REGISTRY["custom_gradient"], [*ys, *xs], attrs, name).outputs
        if not isinstance(y, (list, tuple)):
            return outputs[0]
        return list(outputs) if isinstance(y, list) else tuple(outputs)

    return build


_public(REGISTRY["custom_gradient"], custom_gradient)

# ------------------------------------------------------------------------------------------------ looking


@structured_op(spec=same_as_input, cost=no_flops, stateful=True, effect=True)
def print_(ctx, x, *, message="", summarize=3):
    """x itself; when it runs, writes message, name, dtype, shape and values of x to ``sys.stdout``.

    ``summarize``: how many values to show at each end of an axis. Floats have 4 significant digits.

    >>> import flowbook as fb
    >>> x = fb.constant([1.0, 2.0, 3.14159], name="x_to_print")
    >>> _ = fb.Session().run(fb.print(x, message="here:"))
    here: x_to_print float32 (3,) [1 2 3.142]
    """
    value = ctx.host(x)
    node = ctx.step.node
    name = node.inputs[0].name if node is not None else ""
    text = np.array2string(
        value,
        max_line_width=100,
        threshold=0,
        edgeitems=summarize,
        formatter={"float_kind": lambda number: f"{number:.4g}"},
    )
    words = [message, name, repr(TensorSpec(value.shape, value.dtype))]
    sys.stdout.write(" ".join(filter(None, words)) + ("\n" if "\n" in text else " ") + text + "\n")
    return x


_STEP_BACK = "step back from here to find what made it"


@op(
    spec=same_as_input,
    cost=lambda i, o, a: float(i[0].size or 0),
    stateful=True,
    effect=True,
    samples=floats((3, 4), (), (0, 5)),
    oracle=lambda x: x,
)
def check_finite(xp, x, *, message=""):
    """x itself; raises ``RunError`` when it holds nan or infinity, saying how many, where the first is, and what
    range the other values have.

    >>> import flowbook as fb
    >>> fb.Session().run(fb.check_finite(fb.log(fb.constant([1.0, 0.0, -1.0])), message="log p"))
    Traceback (most recent call last):
    flowbook.errors.RunError: log p: 1 nan and 1 inf in 3 values, the first (-inf) at [1]; the others are from 0 to 0
      node: ...
    """
    good = xp.isfinite(x)
    if good.all():
        return x
    if x.ndim == 0:
        raise RunError((f"{message}: " if message else "") + f"the value is {float(x)}", hint=_STEP_BACK)
    first = int(xp.argmin(good))  # False is the least
    place = [int(each) for each in np.unravel_index(first, x.shape)]
    nans = int(xp.isnan(x).sum())
    infinities = int(x.size - good.sum()) - nans
    counts = " and ".join(f"{n} {kind}" for n, kind in ((nans, "nan"), (infinities, "inf")) if n)
    rest = x[good]
    among = f"; the others are from {float(rest.min()):.4g} to {float(rest.max()):.4g}" if rest.size else ""
    raise RunError(
        (f"{message}: " if message else "")
        + f"{counts} in {x.size} values, the first ({float(x.reshape(-1)[first]):.4g}) at {place}{among}",
        hint=_STEP_BACK,
    )


def _pass(node, dy):
    return dy


print_.gradient(_pass)
check_finite.gradient(_pass)
print = print_
