"""What a user passes to ``run``, checked: names to tensors, arrays to the right dtype, named dimensions to sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import numpy as np

from flowbook.errors import FeedError, FetchError, FlowError
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.types import TensorSpec, beyond, format_shape

Element = Tensor | Node


def resolve(graph: Graph, what: Any) -> Element:
    """A tensor or node for a tensor, a node (its first output, when it has one) or a name."""
    if isinstance(what, str):
        return graph.element(what)
    if isinstance(what, Tensor):
        node = what.node
        while node.moved is not None:
            node = node.moved
        found: Element = node.tensors[what.index]
    elif isinstance(what, Node):
        node = what
        while node.moved is not None:
            node = node.moved
        outputs = node.outputs
        found = outputs[0] if outputs else node
    else:
        raise FetchError(
            f"{what!r} ({type(what).__name__}) is not something to fetch",
            hint="a tensor, a node, a name, or a list, tuple or dict of them",
        )
    if node.graph is not graph:
        raise FetchError(f"'{node.name}' belongs to another graph than this session", hint="fb.Session(tensor.graph)")
    node.current  # noqa: B018 - raises when the node is gone
    return found


def flatten(graph: Graph, fetches: Any) -> tuple[list[Element], Callable[[list[Any]], Any]]:
    """The elements of a fetch structure, and the function that puts results back into it."""
    elements: list[Element] = []

    def walk(part: Any) -> Callable[[list[Any]], Any]:
        if isinstance(part, Mapping):
            items = {key: walk(each) for key, each in part.items()}
            if type(part) is dict or not isinstance(part, dict):
                return lambda values: {key: each(values) for key, each in items.items()}
            template = copy(part)  # a defaultdict keeps its factory

            def refill(values: list[Any]) -> Any:
                filled = copy(template)
                for key, each in items.items():
                    filled[key] = each(values)
                return filled

            return refill
        if isinstance(part, (list, tuple)):
            parts = [walk(each) for each in part]
            if hasattr(part, "_fields"):
                named = type(part)
                return lambda values: named(*[each(values) for each in parts])
            make = type(part)
            return lambda values: make([each(values) for each in parts])
        place = len(elements)
        elements.append(resolve(graph, part))
        return lambda values: values[place]

    return elements, walk(fetches)


def as_feed(tensor: Tensor, value: Any) -> Any:
    """The array for one feed: cast ``same_kind``, checked against the tensor's shape."""
    try:
        return as_value(f"the feed of '{tensor.name}'", tensor.spec, value)
    except FeedError as error:
        raise _made_at(error, tensor.node) from None


def _made_at(error: FlowError, node: Node) -> FlowError:
    """The error, with where the fed node was made; what that node reads itself does not matter."""
    origin = node.origin
    if origin is None:
        return error.locate(node=node.name, op=node.op)
    return error.locate(node=node.name, op=node.op, cell=origin.cell, line=origin.line, code=origin.code)


def as_value(what: str, spec: TensorSpec, value: Any) -> Any:
    """An array that fits ``spec``, cast ``same_kind``; not copied when it fits. ``what`` begins the error messages."""
    if isinstance(value, Tensor):
        raise FeedError(f"{what} is a tensor, not a value", hint="run it first: session.run(tensor)")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise FeedError(f"{what} is not an array: {error}") from None
    except FlowError:
        raise FeedError(f"{what} holds tensors", hint="feed arrays") from None
    if array.dtype != spec.dtype:
        if array.size == 0 and not hasattr(value, "dtype"):
            array = array.astype(spec.dtype)  # [] has no dtype of its own
        elif not hasattr(value, "dtype") and array.dtype.kind in "iu" and spec.dtype.kind in "iu":  # Python's ints
            outside = beyond(array, spec.dtype)
            if outside is not None:
                raise FeedError(f"{what} holds {outside}, which {spec.dtype.name} cannot hold")
            array = array.astype(spec.dtype)
        elif array.dtype.kind not in "biufc":
            kind = "None" if value is None else array.dtype
            raise FeedError(f"{what} is {kind}, it has to be {spec.dtype.name}", hint="numbers or bools")
        elif array.dtype.kind == "c" or not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise FeedError(
                f"{what} is {array.dtype}, it has to be {spec.dtype.name}",
                hint=f"array.astype({spec.dtype.name!r}), if losing what does not fit is meant",
            )
        else:
            with np.errstate(over="ignore"):  # what is too large becomes infinity, as in a run
                array = array.astype(spec.dtype)
    shape = spec.shape
    if shape is not None and (
        len(shape) != array.ndim
        or any(isinstance(dim, int) and dim != size for dim, size in zip(shape, array.shape, strict=True))
    ):
        raise FeedError(f"{what} has shape {format_shape(array.shape)}, it has to be {format_shape(shape)}")
    return array


def bind_names(feeds: Mapping[Tensor, Any]) -> dict[str, int]:
    """The size of each named dimension; ``FeedError`` when two feeds disagree."""
    sizes: dict[str, tuple[int, Tensor]] = {}
    for tensor, array in feeds.items():
        for dim, size in zip(tensor.spec.shape or (), array.shape, strict=False):
            if isinstance(dim, str):
                known, first = sizes.setdefault(dim, (size, tensor))
                if known != size:
                    where = f"'{first.name}'" if first is not tensor else "another axis"
                    error = FeedError(
                        f"dimension '{dim}' is {size} in the feed of '{tensor.name}' and {known} in {where}",
                        hint=f"all feeds with a '{dim}' dimension need one size of it",
                    )
                    raise _made_at(error, tensor.node)
    return {name: size for name, (size, _) in sizes.items()}


def prepare(graph: Graph, feeds: Mapping[Any, Any] | None) -> dict[Tensor, Any]:
    """Feeds by tensor, as arrays, with named dimensions checked."""
    if not feeds:
        return {}
    if not isinstance(feeds, Mapping):
        raise FeedError(f"feeds is a {type(feeds).__name__}, it has to be a dict of tensor: array")
    arrays: dict[Tensor, Any] = {}
    for what, value in feeds.items():
        try:
            tensor = resolve(graph, what)
        except FetchError as error:
            raise FeedError(error.message, hint=error.hint) from None
        if not isinstance(tensor, Tensor):
            raise FeedError(f"'{tensor.name}' has no output to feed")
        if tensor in arrays:
            raise FeedError(f"'{tensor.name}' is fed twice")
        arrays[tensor] = as_feed(tensor, value)
    bind_names(arrays)
    return arrays


def feed_specs(arrays: Mapping[Tensor, Any]) -> dict[Tensor, TensorSpec]:
    """The concrete specs of a run's feeds."""
    return {tensor: TensorSpec(array.shape, array.dtype) for tensor, array in arrays.items()}
