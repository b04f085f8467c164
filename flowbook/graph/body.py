"""Bodies: the sub-graphs that control-flow ops hold.

A body is a graph of its own. Tensors of the surrounding graph that are used inside become *captures*: sources of the
body whose value the control-flow node hands in. So a body has no hidden inputs, and can be drawn, stepped,
differentiated and saved like any graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from flowbook.graph import context
from flowbook.graph.graph import Graph, Owner
from flowbook.graph.node import Node, Tensor, Variable, live
from flowbook.graph.opdef import REGISTRY, apply, as_tensor
from flowbook.graph.order import topological


class Body(Graph):
    """A graph inside a graph: ``inputs`` are its captures, ``outputs`` the tensors (or nodes) it computes."""

    def __init__(self, parent: Graph, scope: str) -> None:
        super().__init__(parent.seed)
        self.parent = parent
        self.scope = scope  # the name prefix of everything inside: "cond_1/true/"
        self.functions = parent.functions
        outer = parent.building
        self._owner = Owner(outer.name, 0)
        self._owner.file = outer.file
        self._owners = {outer.name: self._owner}
        self.captured: dict[Tensor, Tensor] = {}  # tensor of the parent -> capture
        self.twins: WeakKeyDictionary[Node, Node] = WeakKeyDictionary()  # node of a body this is a copy of -> ours
        self.outputs: tuple[Tensor | Node, ...] = ()
        self.cache: dict[Any, Any] = {}  # plans; drivers keep them here, so that they go when the body goes

    @property
    def building(self) -> Owner:
        """A body belongs to whoever builds the graph around it."""
        return self._owner

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The captures, in the order in which they were first used."""
        return tuple(self.captured.values())

    @property
    def misfit(self) -> Tensor | None:
        """A tensor outside that is not any more what its capture was made for, or ``None``."""
        for outer, inner in self.captured.items():
            if inner.spec != outer.spec or is_variable(inner) != is_variable(outer):
                return outer
        return None

    def capture(self, tensor: Tensor, name: str | None = None) -> Tensor:
        """The source that stands for a tensor of a surrounding graph; ``name``: default, that of the tensor.

        A function that builds a gradient may still use tensors of the body that this one was copied from: their
        twins here.
        """
        twin = self.twins.get(tensor.node)
        if twin is not None:
            return twin.tensors[tensor.index]
        if tensor.graph is not self.parent:
            tensor = self.parent.capture(tensor)
        tensor = live(tensor)
        found = self.captured.get(tensor)
        if found is None:
            attrs = {"variable": is_variable(tensor), "shape": tensor.shape, "dtype": tensor.dtype.name}
            # a scope of its own, and no control dependencies: it is there when the body begins
            inside = {"graph": self, "scope": f"{self.scope}captured/"}
            with context.override(**inside, controls=(), forward=None, derivation=None):
                name = name or tensor.name.rpartition("/")[2].replace(":", "_")
                found = apply(REGISTRY["capture"], (), attrs, name, (tensor.spec,)).tensors[0]
            self.captured[tensor] = found
        return found

    def add_function(self, function: Callable[..., Any], name: str) -> str:
        """Callables belong to the outermost graph."""
        return self.parent.add_function(function, name)

    def trace(self, build: Callable[[], Any]) -> Any:
        """Run ``build`` with this body as the default graph; what it returns is the caller's to interpret."""
        origin = context.current().origin
        with self.as_default(), context.override(scope=self.scope, origin=origin):
            return build()

    def adopt(self, value: Any) -> Tensor:
        """Anything a branch may return, as a tensor of this body."""
        tensor = as_tensor(value)
        return tensor if tensor.graph is self else self.capture(tensor)

    def copy(self, parent: Graph, inputs: Sequence[Tensor]) -> tuple[Body, dict[Tensor, Tensor]]:
        """The same body again, capturing ``inputs`` instead of its own; and where each tensor went.

        Specs are inferred from those of ``inputs``; raises what inference raises.
        """
        twin = Body(parent, self.scope)
        moved: dict[Tensor, Tensor] = {}
        nodes: dict[Node, Node] = {}
        for mine, theirs in zip(self.inputs, inputs, strict=True):
            moved[mine] = twin.capture(theirs, mine.name.rpartition("/")[2])
            nodes[mine.node] = moved[mine].node
        for node in topological(self.nodes):
            record = node.current
            if node in nodes:
                continue
            operands = tuple(moved[each] if isinstance(each, Tensor) else each for each in record.inputs)
            attrs = copy_bodies(twin, record.attrs, operands)
            specs = record.op.infer([each.spec if isinstance(each, Tensor) else each for each in operands], attrs)
            ctx = context.BuildContext(
                twin,
                "",
                record.device,
                tuple(nodes[each] for each in record.controls),
                nodes.get(record.forward) if record.forward is not None else None,
                None,
                record.origin,
            )
            nodes[node] = new = twin.add(record.op, operands, attrs, specs, node.name, ctx)
            moved.update(zip(node.tensors, new.tensors, strict=False))
        twin.twins.update((old, nodes[mine]) for old, mine in self.twins.items() if mine in nodes)
        twin.twins.update(nodes)
        twin.outputs = tuple(moved[each] if isinstance(each, Tensor) else nodes[each] for each in self.outputs)
        return twin, moved

    @property
    def hash(self) -> str:
        """Like ``Graph.hash``, with which tensors go in and out."""
        from hashlib import sha256

        ports = [each.name for each in (*self.inputs, *self.outputs)]
        return sha256(f"{super().hash} {len(self.captured)} {ports}".encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<Body '{self.scope.rstrip('/')}': {len(self)} nodes>"


def copy_bodies(graph: Graph, attrs: Mapping[str, Any], inputs: Sequence[Any]) -> Mapping[str, Any]:
    """The attributes of a control-flow node, with copies of its bodies for ``inputs``; other attributes as they are.

    The attribute ``x_inputs`` beside a body ``x_body`` says which inputs the body captures.
    """
    copies = {
        name: value.copy(graph, [inputs[place] for place in attrs[f"{name.removesuffix('_body')}_inputs"]])[0]
        for name, value in attrs.items()
        if isinstance(value, Body)
    }
    return {**attrs, **copies} if copies else attrs


def is_variable(tensor: Tensor) -> bool:
    """Whether a tensor is a Variable, or a capture of one."""
    return isinstance(tensor, Variable) or (tensor.node.op == "capture" and bool(tensor.node.attrs["variable"]))
