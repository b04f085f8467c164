"""Reverse accumulation: the nodes of a derivative.

Each node between xs and ys is visited once, last first; its op's rule builds the nodes of its share of the chain
rule. What every rule would otherwise have to do is done here: summing over fan-outs, undoing broadcasting, casting
back, and remembering for each backward node the forward node it came from.

Source of the algorithm: Griewank and Walther, "Evaluating Derivatives", 2nd ed. 2008, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flowbook.errors import FlowError, GradientError
from flowbook.graph import context
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import REGISTRY, gradient_rule
from flowbook.graph.order import name_order, topological
from flowbook.graph.types import (
    TensorSpec,
    UnknownRankError,
    broadcast_shapes,
    format_shape,
    same_shape,
    unify_shape,
)


def backpropagate(
    ys: list[Tensor], xs: list[Tensor], grad_ys: list[Any] | None, unconnected: str
) -> list[Tensor | None]:
    """The body of `gradients`, without recording a derivation."""
    between = _between(ys, xs)
    _refuse_stale(between)
    sums = _Sums()
    for index, y in enumerate(ys):
        if y.dtype.kind != "f":
            raise GradientError(f"'{y.name}' is {y.dtype.name}; only floats have gradients", node=y.node.name)
        start = None if grad_ys is None else grad_ys[index]
        if y.node in between:
            sums.add(y, _start(y, start))
    outer = context.current()
    prefix = outer.scope
    for node in reversed(topological(between, key=name_order)):  # so names do not depend on where cells stand
        record = node.record
        if record is None or record.op.source:
            continue
        dys = [sums.of(each) for each in node.tensors[: len(record.specs)]]
        if any(dy is not None for dy in dys):
            _visit(node, dys, sums, between, outer)
    results: list[Tensor | None] = []
    for x in xs:
        total = sums.of(x)
        if total is None and unconnected == "raise":
            raise GradientError(
                f"no y depends on '{x.name}' through differentiable nodes",
                node=x.node.name,
                hint="leave it out of xs, or pass unconnected='zeros' or 'none'",
            )
        if total is None and unconnected == "zeros":
            with context.override(forward=x.node):
                total = _build("zeros_like", x)
        if total is not None:
            with context.override(scope=prefix, forward=total.node.forward or x.node):
                total = _build("identity", total, name=x.name.replace(":", "_"))
        results.append(total)
    return results


def by_recomputation(node: Node, compute: Callable[..., Any], dys: Iterable[Tensor]) -> list[Tensor | None]:
    """A gradient rule for a node that ``compute(*inputs, **attrs)`` builds of simpler ones: for derivatives of higher
    order, which are rare."""
    # The operands go through `identity`, so that only their direct use counts.
    operands = [_build("identity", each) for each in node.input_tensors]
    floats = [each for each in operands if each.dtype.kind == "f"]
    found = backpropagate(list(compute(*operands, **node.attrs)), floats, list(dys), "zeros")
    share = dict(zip(floats, found, strict=True))
    return [share.get(each) for each in operands]


def _between(ys: list[Tensor], xs: list[Tensor]) -> set[Node]:
    """The nodes on a path from an x to a y, both included."""
    targets = {x.node for x in xs}
    stack, seen = [y.node for y in ys], {y.node for y in ys}
    consumers: dict[Node, list[Node]] = {}
    while stack:
        node = stack.pop()
        record = node.current
        if record.op.source:
            continue
        for each in record.inputs:
            if isinstance(each, Tensor) and each.spec.dtype.kind == "f":
                producer = each.node
                if producer in seen:
                    consumers.setdefault(producer, []).append(node)
                else:
                    consumers[producer] = [node]
                    seen.add(producer)
                    stack.append(producer)
    found = targets & seen
    stack = list(found)
    while stack:
        for consumer in consumers.get(stack.pop(), ()):
            if consumer not in found:
                found.add(consumer)
                stack.append(consumer)
    return found


def _refuse_stale(nodes: set[Node]) -> None:
    """A stale node's shapes are not those of its operands any more, so its rule would build nonsense."""
    stale = [node for node in nodes if node.current.stale]
    if stale:
        node = min(stale, key=name_order)
        raise GradientError(
            f"cannot differentiate through '{node.name}' of {node.owner.label}, which is stale: {node.stale}",
            node=node.name,
            hint=f"run {node.owner.label} again first",
        )


class _Sums:
    """The gradient collected for each tensor so far; contributions are added up when it is asked for."""

    def __init__(self) -> None:
        self.parts: dict[Tensor, list[Tensor]] = {}

    def add(self, tensor: Tensor, part: Tensor) -> None:
        parts = self.parts.get(tensor)
        if parts is None:
            self.parts[tensor] = [part]
        else:
            parts.append(part)

    def of(self, tensor: Tensor) -> Tensor | None:
        parts = self.parts.get(tensor)
        if not parts:
            return None
        if len(parts) > 1:
            total = parts[0]
            with context.override(forward=tensor.node):
                for part in parts[1:]:
                    total = total + part
            parts[:] = [total]
        return parts[0]


def _start(y: Tensor, value: Any) -> Tensor:
    with context.override(forward=y.node):
        if value is None:
            if y.spec.known:
                import numpy as np

                return _build("constant", np.ones(y.shape, y.dtype))
            return _build("ones_like", y)
        if not isinstance(value, Tensor):
            value = _build("constant", value, y.dtype)
        try:
            unify_shape(broadcast_shapes(value.shape, y.shape), y.shape)
            fits = True
        except FlowError:
            fits = False
        if not fits:
            raise GradientError(
                f"grad_ys has shape {format_shape(value.shape)}, '{y.name}' has {format_shape(y.shape)}",
                node=y.node.name,
            )
        if value.dtype != y.dtype:
            value = _build("astype", value, y.dtype)
        return value if same_shape(value.shape, y.shape) else value * _build("ones_like", y)  # type: ignore[no-any-return]


def _visit(node: Node, dys: list[Tensor | None], sums: _Sums, between: set[Node], outer: context.BuildContext) -> None:
    graph, prefix, device, _, _, derivation, origin = outer
    inside = context.BuildContext(graph, f"{prefix}{node.name}/", device, (), node, derivation, origin)
    token = context.enter(inside)
    try:
        _contribute(node, dys, sums, between)
    except UnknownRankError:
        message = f"the gradient of {node.op} needs to know the rank of its operands"
        raise node.locate(
            GradientError(message, hint="sizes may be None, as in fb.placeholder((None, None))")
        ) from None
    except FlowError as error:
        raise node.locate(error) from error.__cause__
    finally:
        context.leave(token)


def _contribute(node: Node, dys: list[Tensor | None], sums: _Sums, between: set[Node]) -> None:
    """Apply the rule of one node and add what it gives to the sums of its operands."""
    record = node.record or node.current
    for each in record.inputs:
        if isinstance(each, Tensor) and each.node in between:
            break
    else:
        return  # an x, and no other x above it: the op need not have a gradient
    rule = gradient_rule(record.op)
    if len(dys) > 1 and record.op.enter is None:  # control flow takes None: zeros like its outputs would run it
        dys = [
            _build("zeros_like", out) if dy is None and out.dtype.kind == "f" else dy
            for dy, out in zip(dys, node.outputs, strict=True)
        ]
    parts = rule(node, *dys)
    if not isinstance(parts, (tuple, list)):
        parts = (parts,)
    if len(parts) != len(record.inputs):
        raise GradientError(f"the gradient rule of {record.op.name} gave {len(parts)} for {len(record.inputs)} inputs")
    for operand, part in zip(record.inputs, parts, strict=True):
        if part is None or not isinstance(operand, Tensor) or operand.node not in between:
            continue
        spec = operand.spec
        if spec.dtype.kind != "f":
            continue
        if not isinstance(part, Tensor):
            part = part()
        if part is not None:
            sums.add(operand, _like(part, operand, spec, record.op.broadcasts))


def _like(part: Tensor, operand: Tensor, spec: TensorSpec, broadcasts: bool) -> Tensor:
    """A contribution in the shape and dtype of the operand: the one place that undoes broadcasting and promotion."""
    shape, dtype = part.spec
    if dtype != spec.dtype:
        part = _build("astype", part, dtype=spec.dtype.name)
    if broadcasts and not same_shape(shape, spec.shape):
        part = _build("unbroadcast", part, operand)
    return part


def _build(op: str, /, *operands: Any, **attrs: Any) -> Tensor:
    builder: Callable[..., Tensor] = REGISTRY[op].builder
    return builder(*operands, **attrs)
