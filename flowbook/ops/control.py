"""Control flow as functions: ops that hold sub-graphs.

`cond` traces both branches once, each into a `Body`. What the branches use from outside becomes the node's inputs;
variables they write become extra outputs, so that state stays data flow. The gradient of a `cond` is a `cond` whose
branches compute the branch again and differentiate it; random numbers come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flowbook.errors import ArgumentError, DTypeError, ShapeError
from flowbook.graph import context
from flowbook.graph.backprop import backpropagate
from flowbook.graph.body import Body
from flowbook.graph.node import Node, Tensor, describe
from flowbook.graph.opdef import REGISTRY, apply, as_tensor, located, structured_op
from flowbook.graph.types import TensorSpec, as_dtype


def _capture_spec(*, variable, shape, dtype):
    return TensorSpec(shape, as_dtype(dtype))


@structured_op(spec=_capture_spec, source=True, hidden=True, nondifferentiable="it is a source")
def capture(ctx, *, variable, shape, dtype):
    """Inside a body: a value from outside."""


def _branch(inputs: Sequence[Any], attrs: Mapping[str, Any]) -> tuple[Body, list[Any]]:
    """The branch that the predicate chooses, and the values of its captures."""
    taken = "true" if bool(inputs[0]) else "false"
    return attrs[f"{taken}_body"], [inputs[place] for place in attrs[f"{taken}_inputs"]]


def _tensors(body: Body) -> list[Tensor]:
    """The outputs of a body that have a value; what only has effects comes after them."""
    return [each for each in body.outputs if isinstance(each, Tensor)]


def _merge(a: TensorSpec, b: TensorSpec) -> TensorSpec:
    """What is known of an output whichever branch is taken; dimensions that differ are unknown."""
    if a.shape is None or b.shape is None:
        return TensorSpec(None, a.dtype)
    return TensorSpec(tuple(x if x == y else None for x, y in zip(a.shape, b.shape, strict=True)), a.dtype)


def _cond_spec(pred, *captures, true_body, false_body, **attrs):
    if pred.dtype.kind != "b" or pred.shape not in ((), None):
        raise ArgumentError(f"the predicate of cond is {pred}, it has to be a bool scalar", hint="compare first: x > 0")
    pairs = zip(_tensors(true_body), _tensors(false_body), strict=True)
    return tuple(_merge(a.spec, b.spec) for a, b in pairs)


@structured_op(spec=_cond_spec, stateful=True, effect=True, enter=_branch)
def cond(ctx, pred, *captures, true_body, false_body, true_inputs, false_inputs, writes=(), recompute=False):
    """Run the branch that the predicate chooses."""
    attrs = dict(true_body=true_body, false_body=false_body, true_inputs=true_inputs, false_inputs=false_inputs)
    body, inputs = _branch((pred, *captures), attrs)
    outputs = ctx.call(body, inputs)
    kept = [value for value, each in zip(outputs, body.outputs, strict=True) if isinstance(each, Tensor)]
    return [value.copy() if isinstance(value, _array(ctx)) and value.base is not None else value for value in kept]


def _array(ctx):
    return ctx.xp.ndarray


@located("cond")
def build_cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any], *, name: str | None = None) -> Any:
    """One of two sub-graphs, chosen when it runs.

    ``pred``: a bool scalar tensor. ``true_fn`` and ``false_fn``: functions without arguments that return a tensor, a
    number, a node, or a list, tuple or dict of them, of one structure and with equal dtypes and ranks; they may use
    any tensor from outside, and write variables. Only the chosen branch runs, including its effects. Returns what
    the branches return. Differentiable with respect to everything the branches use.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     y = fb.cond(x > 0, lambda: x * 2.0, lambda: -x, name="y")
    ...     dy, = fb.gradients(y, [x])
    ...     session = fb.Session()
    >>> [float(v) for v in session.run([y, dy], {x: 3.0})], [float(v) for v in session.run([y, dy], {x: -3.0})]
    ([6.0, 2.0], [3.0, -1.0])
    """
    for function in (true_fn, false_fn):
        if not callable(function):
            raise ArgumentError(f"a branch of cond is {function!r}, it has to be a function", hint="lambda: x")
    pred = as_tensor(pred)
    outer = context.current()
    graph: Any = outer.graph or pred.graph
    if pred.graph is not graph:
        pred = graph.capture(pred)
    if pred.dtype.kind != "b" or pred.shape not in ((), None):
        raise ArgumentError(
            f"the predicate of cond is {pred.spec}, it has to be a bool scalar",
            hint="compare first: x > 0",
            inputs=[describe(pred)],
        )
    full = graph._free_name(graph.building, REGISTRY["cond"], name, outer.scope)
    bodies, shapes = [], []
    with context.override(graph=graph):
        for function, side in ((true_fn, "true"), (false_fn, "false")):
            body = Body(graph, f"{full}/{side}/")
            flat: list[Any] = []
            shapes.append(body.trace(partial(_run_branch, function, body, flat)))
            body.outputs = tuple(sorted(flat, key=lambda each: isinstance(each, Node)))  # tensors first
            bodies.append(body)
    _check_match(shapes, bodies)
    count = len(_tensors(bodies[0]))
    nodes = len(bodies[0].outputs) > count
    written = _add_effects(bodies)
    node = _node(graph, pred, bodies, written, count, full[len(outer.scope) :], False)
    if name is None:
        graph.leave_unnamed(node)
    done = node
    if nodes and node.outputs:
        with context.override(graph=graph, controls=(node,)):
            done = apply(REGISTRY["group"], (), {}, None, ())  # a branch's node has no value, so nor has this
    return _rebuild(shapes[0], iter(node.tensors[:count]), done)


def _node(
    graph: Any, pred: Tensor, bodies: list[Body], written: list[Tensor], count: int, name: str | None, recompute: bool
) -> Node:
    captured = list(dict.fromkeys(tensor for body in bodies for tensor in body.captured))
    place = {tensor: index for index, tensor in enumerate(captured, 1)}
    attrs = dict(
        true_body=bodies[0],
        false_body=bodies[1],
        true_inputs=tuple(place[tensor] for tensor in bodies[0].captured),
        false_inputs=tuple(place[tensor] for tensor in bodies[1].captured),
        writes=tuple((place[tensor], count + index) for index, tensor in enumerate(written)),
        recompute=recompute,
    )
    with context.override(graph=graph):
        return apply(REGISTRY["cond"], (pred, *captured), attrs, name)


def _run_branch(function: Callable[[], Any], body: Body, out: list[Any]) -> Any:
    return _flatten(function(), body, out)


def _flatten(result: Any, body: Body, out: list[Any]) -> Any:
    """The structure of a branch's result; its leaves go to ``out`` as tensors and nodes of the body."""
    if isinstance(result, Mapping):
        return {key: _flatten(value, body, out) for key, value in result.items()}
    if isinstance(result, (list, tuple)) and not _is_numbers(result):
        return _like(result, [_flatten(value, body, out) for value in result])
    if result is None:
        return None
    if not isinstance(result, Node):
        out.append(body.adopt(result))
        return "tensor"
    if result.graph is not body:
        raise ArgumentError(
            f"a branch of cond returns the node '{result.name}', which was built outside of it",
            hint="build it inside; what is outside would run whichever branch is taken",
        )
    out.append(result)
    return "node"


def _like(sequence: Any, parts: list[Any]) -> Any:
    """Parts in the type of a list, tuple or named tuple."""
    kind = type(sequence)
    return kind(*parts) if hasattr(sequence, "_fields") else kind(parts)


def _is_numbers(result: Any) -> bool:
    return bool(result) and all(isinstance(each, (bool, int, float)) for each in result)


def _rebuild(shape: Any, results: Any, node: Node) -> Any:
    if isinstance(shape, dict):
        return {key: _rebuild(value, results, node) for key, value in shape.items()}
    if isinstance(shape, (list, tuple)):
        return _like(shape, [_rebuild(value, results, node) for value in shape])
    return next(results) if shape == "tensor" else node


def _check_match(shapes: list[Any], bodies: list[Body]) -> None:
    if shapes[0] != shapes[1]:
        raise ArgumentError(
            f"the branches of cond return different structures: {shapes[0]} and {shapes[1]}",
            hint="both have to return the same number of tensors, in the same lists and dicts",
        )
    for a, b in zip(_tensors(bodies[0]), _tensors(bodies[1]), strict=True):
        if a.dtype != b.dtype:
            raise DTypeError(
                f"the branches of cond return {a.dtype.name} and {b.dtype.name}",
                hint="cast one with fb.astype",
                inputs=[f"true: {describe(a)}", f"false: {describe(b)}"],
            )
        if a.shape is not None and b.shape is not None and len(a.shape) != len(b.shape):
            raise ShapeError(
                "the branches of cond return different ranks",
                inputs=[f"true: {describe(a)}", f"false: {describe(b)}"],
                hint="reshape or broadcast one of them",
            )


def _add_effects(bodies: list[Body]) -> list[Tensor]:
    """Let effects run and written variables leave: adds outputs to the bodies, returns the outer variables."""
    written: list[Tensor] = []
    for body in bodies:
        outer = {capture: tensor for tensor, capture in body.captured.items()}
        for node in body.nodes:
            for source, _ in node.attrs.get("writes", node.opdef.writes):
                written.append(outer[node.inputs[source]])
    written = list(dict.fromkeys(written))
    for body in bodies:
        captures = [body.capture(tensor) for tensor in written]
        effects = [node for node in body.nodes if node.opdef.effect]
        finals = tuple(body.trace(partial(_final, body, each)) for each in captures)
        ends = [each for each in body.outputs if isinstance(each, Node)]
        if effects:
            ends.append(body.trace(partial(_after, effects)))
        body.outputs = (*_tensors(body), *finals, *ends)
    return written


def _final(body: Body, variable: Tensor) -> Tensor:
    """The value of a captured variable when the branch has finished."""
    writers = [
        node
        for node in body.nodes
        for source, _ in node.attrs.get("writes", node.opdef.writes)
        if node.inputs[source] is variable
    ]
    with context.override(controls=tuple(writers)):
        return apply(REGISTRY["identity"], (variable,), {}, f"final/{variable.node.name.rpartition('/')[2]}").tensors[0]


def _after(nodes: list[Node]) -> Node:
    with context.override(controls=tuple(nodes)):
        return apply(REGISTRY["group"], (), {}, "effects", ())


# ------------------------------------------------------------------------------------------------ gradient


def _gradient(node: Node, *dys: Tensor | None) -> list[Tensor | None]:
    captured = [each for each in node.inputs[1:] if isinstance(each, Tensor)]
    floats = [tensor for tensor in captured if tensor.dtype.kind == "f"]
    graph = node.graph
    bodies = []
    for side in ("true", "false"):
        body: Body = node.attrs[f"{side}_body"]
        places = node.attrs[f"{side}_inputs"]
        operands: list[Any] = [node.inputs[place] for place in places]
        twin, moved = body.copy(graph, operands)
        pairs = [(moved[y], dy) for y, dy in zip(_tensors(body), dys, strict=True) if dy is not None]

        def build(twin: Body = twin, pairs: Any = pairs) -> list[Any]:
            xs = [twin.capture(tensor) for tensor in floats]
            starts = [twin.capture(dy) for _, dy in pairs]
            with context.override(scope=f"{twin.scope}gradients/"):
                return backpropagate([y for y, _ in pairs], xs, starts, "zeros")

        twin.outputs = tuple(twin.trace(build))
        bodies.append(twin)
    pred = node.inputs[0]
    assert isinstance(pred, Tensor)
    backward = _node(graph, pred, bodies, [], len(floats), None, True)
    found: dict[Tensor, Tensor] = dict(zip(floats, backward.tensors, strict=False))
    return [None, *(found.get(tensor) for tensor in captured)]


REGISTRY["cond"].gradient = _gradient
REGISTRY["cond"].builder = build_cond
build_cond.__name__ = build_cond.__qualname__ = "cond"
build_cond.opdef = REGISTRY["cond"]  # type: ignore[attr-defined]
cond = build_cond
