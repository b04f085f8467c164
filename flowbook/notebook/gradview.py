"""``%flow grad``: a computation and its derivative side by side, one row for each forward node.

The backward nodes are built in a transaction that is discarded, so that looking leaves no trace in the graph; values
are computed before it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbook.errors import ArgumentError, GradientError
from flowbook.gradients import gradients
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.order import ancestors, topological
from flowbook.notebook.commands import session
from flowbook.notebook.values import format_value, table
from flowbook.notebook.view import CellView

DRAFT = "%flow grad"  # the cell that owns the backward nodes while they are there
PLUMBING = ("add", "constant", "identity")  # fan-in, the first 1, the results: of no op's rule in particular


def grad(y: Tensor, xs: Sequence[Tensor], feeds: Mapping[Any, Any] | None = None) -> GradView:
    """The derivative of ``y`` with respect to ``xs``, beside the forward nodes that it comes from.

    With ``feeds`` the values are shown, too: they are computed in the notebook's session. The graph is the same
    afterwards. Raises what ``fb.gradients`` and ``Session.run`` raise.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     y = fb.square(fb.sin(x, name="s"), name="y")
    ...     print(fb.notebook.grad(y, [x], {x: 0.5}))
    d y / d x
      forward  op           spec        value   gradient  built by its rule
      x        placeholder  float32 ()  0.5     0.8415
      s        sin          float32 ()  0.4794  0.9589    cos, multiply
      y        square       float32 ()  0.2298  1         multiply, multiply
    """
    for each in (y, *xs):
        if not isinstance(each, Tensor):
            raise ArgumentError(f"{each!r} is not a tensor")
    graph = y.graph
    path = [y] if any(x is y for x in xs) else _path(y, xs)
    with graph.as_default(), graph.transaction(DRAFT, discard=True):
        asked = [*dict.fromkeys([*xs, *path])]
        derivatives = dict(zip(asked, gradients(y, asked, unconnected="none"), strict=True))
        missing = [x.name for x in xs if derivatives[x] is None]
        if missing:
            raise GradientError(f"'{y.name}' does not depend on {', '.join(missing)} through differentiable nodes")
        rows = [tensor for tensor in path if derivatives[tensor] is not None]
        values: dict[str, Any] = {}
        if feeds is not None:
            wanted = {"value": rows, "gradient": [derivatives[tensor] for tensor in rows]}
            values = session(graph).run(wanted, feeds)
        return GradView(graph, y, xs, rows, values)


def _path(y: Tensor, xs: Sequence[Tensor]) -> list[Tensor]:
    """The float tensors from ``xs`` to ``y``, in order: the outputs of nodes that need one of xs and that y needs."""
    needed = ancestors([y.node])
    roots = {x.node for x in xs}
    between: list[Tensor] = []
    reached: set[Node] = set()
    for node in topological(needed):
        if node in roots or not reached.isdisjoint(each.node for each in node.input_tensors):
            reached.add(node)
            outputs = [y] if node is y.node else node.outputs
            between.extend(each for each in outputs if each.dtype.kind == "f")
    return between


class GradView:
    """What ``%flow grad`` shows: the table, and the picture of the backward nodes."""

    def __init__(
        self, graph: Graph, y: Tensor, xs: Sequence[Tensor], path: Sequence[Tensor], values: Mapping[str, Any]
    ) -> None:
        made = graph.owned(DRAFT)
        view = CellView(graph, DRAFT)
        self.svg, self.html = view.svg, view.html
        rows = []
        for index, tensor in enumerate(path):
            rule = sorted(node.op for node in made if node.forward is tensor.node and node.op not in PLUMBING)
            rows.append([tensor.name, tensor.node.op, repr(tensor.spec)])
            rows[-1] += [_short(values[kind][index]) for kind in values]
            rows[-1].append(", ".join(rule) if tensor.index == 0 else "")
        header = ["forward", "op", "spec", *values, "built by its rule"]
        title = f"d {y.name} / d {', '.join(x.name for x in xs)}"
        self.text = f"{title}\n{table(rows, header, indent='  ')}"

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return {"text/plain": self.text}


def _short(value: Any) -> str:
    return format_value(value).replace("\n", " ")
