"""The moving averages of batch_norm: a step of training moves those that its gradients went through.

Running a loss changes nothing, as a run of it may be an evaluation; what says that a run trains is the node that an
optimizer returns. So the writes are built with that node, and are found again when its derivation is built again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flowbook.errors import GradientError
from flowbook.graph import context
from flowbook.graph.body import Body
from flowbook.graph.node import Node, Tensor
from flowbook.graph.node import Variable as VariableHandle
from flowbook.graph.opdef import REGISTRY
from flowbook.graph.order import program_order
from flowbook.ops.elementwise import where
from flowbook.ops.state import assign_sub

_BACKWARD = REGISTRY["batch_norm_grad"]


def move_averages(gradients: Iterable[Tensor]) -> list[Tensor]:
    """The writes of the moving averages of every batch_norm that trains and that ``gradients`` went through.

    A layer that was used twice is moved twice, in program order. ``GradientError`` for one in a branch of a ``cond``.
    """
    writes: dict[Tensor, Tensor] = {}  # variable -> its last write
    made = []
    prefix = context.current().scope
    for node in sorted(_differentiated(gradients), key=program_order):
        moving_mean, moving_variance = node.inputs[1:3]
        training = node.inputs[5:]
        for variable, value in zip((moving_mean, moving_variance), node.outputs[1:], strict=True):
            if not isinstance(variable, VariableHandle):
                continue
            before = (writes[variable].node,) if variable in writes else ()
            controls = (*context.current().controls, *before)
            with context.override(scope=f"{prefix}{variable.name}/", controls=controls):
                step = (variable - value) * (1 - node.attrs["momentum"])
                if training:
                    step = where(training[0], step, 0.0)
                writes[variable] = write = assign_sub(variable, step)
            made.append(write)
    return made


def _differentiated(gradients: Iterable[Tensor]) -> set[Node]:
    """The batch_norm nodes that gradients were propagated through.

    From a backward node the walk goes on to backward nodes only: the values of forward nodes that it uses may come from
    other gradients, as when a network is trained on inputs that its gradients made.
    """
    stack = [each.node for each in gradients]
    seen = set(stack)
    found = set()
    while stack:
        node = stack.pop()
        record = node.current
        if record.op is _BACKWARD:
            found.add(node.input_tensors[4].node)  # whose mean it uses
        elif record.op.enter is not None:
            _refuse_bodies(node)
        backward = record.forward is not None
        for each in record.inputs:
            if isinstance(each, Tensor) and each.node not in seen:
                if backward and each.node.current.forward is None:
                    continue
                seen.add(each.node)
                stack.append(each.node)
    return {node for node in found if node.opdef is REGISTRY["batch_norm"]}


def _refuse_bodies(node: Node) -> None:
    for body in _bodies(node):
        if any(each.opdef is _BACKWARD for each in body.nodes):
            branched = node.forward or node
            raise GradientError(
                f"a branch of '{branched.name}' trains a batch_norm, whose moving averages are kept outside of it",
                node=branched.name,
                hint="build the batch_norm outside of fb.cond; its training= may be a bool tensor",
            )


def _bodies(node: Node) -> Iterator[Body]:
    """The bodies of a node, and those inside them."""
    for value in node.attrs.values():
        if isinstance(value, Body):
            yield value
            for inner in value.nodes:
                yield from _bodies(inner)
