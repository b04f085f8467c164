"""Optimizers: from a loss to the node that trains.

``minimize`` builds the gradients and, for each variable, the few nodes of its update; running the node it returns is
one step of training. It is a recorded derivation: when a cell that the loss depends on is edited, gradients and
updates are built again under the same names. What an optimizer remembers of a variable (a *slot*) is itself a
Variable, named after it: ``adam/layer1/w/m``. So slots keep their values when a cell is run again, travel in
checkpoints, and can be looked at like anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError, GradientError
from flowbook.gradients import gradients
from flowbook.graph import context
from flowbook.graph.derive import derive
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor, live
from flowbook.graph.node import Variable as VariableHandle
from flowbook.graph.order import ancestors
from flowbook.graph.scopes import variable_scope
from flowbook.graph.types import DType
from flowbook.ops.elementwise import astype
from flowbook.ops.state import Variable, assign_add, group
from flowbook.train.averages import move_averages
from flowbook.train.checks import as_pair, as_rate, as_step, as_variables, check_loss

Pair = tuple[Tensor | None, VariableHandle]


class State:
    """The variables one optimizer keeps for one ``minimize``, and its learning rate in each dtype."""

    def __init__(self, scope: str, rate: float | Tensor) -> None:
        self.scope = scope
        self.base = rate
        self._rates: dict[DType, Tensor] = {}

    def slot(self, variable: Tensor, kind: str, initial: float = 0.0) -> Any:
        """A Variable ``kind`` like ``variable``, in a scope of its name."""
        with context.override(scope=f"{self.scope}{variable.name}/"):
            return Variable(initial, variable.dtype, shape=variable.shape, trainable=False, name=kind)

    def counter(self, kind: str) -> Any:
        """An int64 scalar that starts at 0, shared by all variables."""
        with context.override(scope=self.scope):
            return Variable(np.int64(0), trainable=False, name=kind)

    def rate(self, dtype: DType) -> float | Tensor:
        """The learning rate as an operand for variables of ``dtype``: cast once, however many there are."""
        if not isinstance(self.base, Tensor) or self.base.dtype == dtype:
            return self.base
        if dtype not in self._rates:
            self._rates[dtype] = astype(self.base, dtype)
        return self._rates[dtype]


class Optimizer:
    """What all optimizers share. A new one overrides `update`, and `rate` when its learning rate needs more.

    ``learning_rate``: a positive number, or a float scalar tensor (a schedule, a placeholder, a Variable).
    """

    def __init__(self, learning_rate: float | Tensor) -> None:
        self.learning_rate = as_rate(learning_rate)

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value.name if isinstance(value, Tensor) else value}" for name, value in vars(self).items()
        )
        return f"{type(self).__name__}({settings})"

    def update(self, variable: VariableHandle, gradient: Tensor, rate: float | Tensor, state: State) -> Tensor:
        """Build the update of one variable and return its write. ``gradient`` has the variable's dtype."""
        raise NotImplementedError

    def rate(self, state: State) -> float | Tensor:
        """The learning rate that `update` gets, built once for all variables."""
        return self.learning_rate

    # -------------------------------------------------------------------------------------------- using

    def minimize(
        self,
        loss: Tensor,
        var_list: Sequence[Tensor] | None = None,
        name: str | None = None,
        *,
        global_step: Tensor | None = None,
    ) -> Node:
        """The node that does one step of training; fetching it gives ``None``.

        ``loss``: a float scalar. ``var_list``: the variables to change; default, all trainable ones that the loss
        depends on. Those without a gradient are skipped. ``global_step``: an integer Variable to count up.
        Every gradient is computed from the values before the step. Each call has slots of its own. The step moves the
        averages of every `batch_norm` that trains and lies between the loss and a variable that is changed.

        Raises ``ShapeError`` or ``DTypeError`` for a loss that is not a float scalar, ``GradientError`` when no
        variable has a gradient, or when such a `batch_norm` is in a branch of `cond`.

        >>> import flowbook as fb
        >>> with fb.Graph().as_default():
        ...     w = fb.Variable(5.0, name="w")
        ...     train = fb.train.SGD(0.25).minimize(fb.square(w - 1.0))
        ...     session = fb.Session()
        >>> [(session.run(train), float(session.run(w))) for _ in range(3)]
        [(None, 3.0), (None, 2.0), (None, 1.5)]
        """
        check_loss(loss)
        chosen, step = as_variables(var_list), as_step(global_step)
        place = self._place(loss.graph, name)

        def build() -> list[Node]:
            pairs = gradient_pairs(live(loss), chosen)
            return [self._apply(pairs, place, step)]

        return derive(loss.graph, "minimize", build, self._roots([loss, *(chosen or ())], step))[0]

    def compute_gradients(self, loss: Tensor, var_list: Sequence[Tensor] | None = None) -> list[Pair]:
        """Pairs (gradient, variable), the first half of `minimize`; ``None`` for a variable without gradient.

        >>> import flowbook as fb
        >>> with fb.Graph().as_default():
        ...     w = fb.Variable([1.0, 2.0], name="w")
        ...     ((dw, variable),) = fb.train.SGD(0.1).compute_gradients(fb.sum(w * w))
        ...     fb.Session().run(dw), variable.name
        (array([2., 4.], dtype=float32), 'w')
        """
        check_loss(loss)
        return gradient_pairs(loss, as_variables(var_list))

    def apply_gradients(
        self,
        pairs: Iterable[tuple[Tensor | None, Tensor]],
        name: str | None = None,
        *,
        global_step: Tensor | None = None,
    ) -> Node:
        """The node that updates each variable with its gradient, the second half of `minimize`.

        ``pairs``: (gradient, variable), such as `compute_gradients` gives, perhaps clipped; a ``None`` is skipped. As
        in `minimize`, the averages of every `batch_norm` that the gradients went through are moved.

        >>> import flowbook as fb
        >>> with fb.Graph().as_default():
        ...     w = fb.Variable([1.0, 2.0], name="w")
        ...     train = fb.train.SGD(0.5).apply_gradients([(fb.constant([2.0, 0.0]), w)])
        ...     session = fb.Session()
        ...     session.run(train)
        ...     session.run(w)
        array([0., 2.], dtype=float32)
        """
        if isinstance(pairs, Tensor) or not isinstance(pairs, Iterable):
            raise ArgumentError(f"pairs is {pairs!r}, it has to be a list of pairs (gradient, variable)")
        given = [as_pair(pair) for pair in pairs]
        usable = [(gradient, variable) for gradient, variable in given if gradient is not None]
        if not usable:
            raise GradientError("no variable has a gradient", hint="pairs is empty, or all gradients in it are None")
        graph = usable[0][1].graph
        step, place = as_step(global_step), self._place(graph, name)

        def build() -> list[Node]:
            return [self._apply([(live(dy), live(x)) for dy, x in usable], place, step)]  # type: ignore[misc]

        roots = self._roots([each for pair in usable for each in pair], step)
        return derive(graph, "apply_gradients", build, roots)[0]

    # -------------------------------------------------------------------------------------------- building

    def _place(self, graph: Graph, name: str | None) -> tuple[str, str, str | None]:
        """Where slots go and where the node goes: settled once, so that deriving again finds them."""
        return variable_scope(graph, type(self).__name__.lower()), context.current().scope, name

    def _roots(self, tensors: Sequence[Tensor], step: Tensor | None) -> list[Node]:
        found = [*tensors, self.learning_rate, step]
        return [each.node for each in found if isinstance(each, Tensor)]

    def _apply(self, pairs: Sequence[Pair], place: tuple[str, str, str | None], step: Tensor | None) -> Node:
        scope, outer, name = place
        prefix = context.current().scope
        state = State(scope, 0.0)
        state.base = self.rate(state)
        writes = []
        for gradient, variable in pairs:
            if gradient is None:
                continue
            with context.override(scope=f"{prefix}{variable.name}/"):
                if gradient.dtype != variable.dtype:
                    gradient = astype(gradient, variable.dtype)
                writes.append(self.update(variable, gradient, state.rate(variable.dtype), state))
        writes += move_averages(each for each, _ in pairs if each is not None)
        if step is not None:
            writes.append(assign_add(live(step), 1))
        with context.override(scope=prefix if name is None else outer):
            return group(*writes, name=name)


def gradient_pairs(loss: Tensor, var_list: Sequence[VariableHandle] | None) -> list[Pair]:
    """The gradient of each variable; ``GradientError`` when none has one."""
    check_loss(loss)
    variables = _trainable(loss) if var_list is None else [live(each) for each in var_list]
    found: list[Any] = []
    if variables:
        found = gradients(loss, variables, unconnected="none")
    if all(each is None for each in found):
        names = ", ".join(f"'{each.name}'" for each in variables)
        raise GradientError(
            f"'{loss.name}' depends on no trainable variable"
            if var_list is None
            else f"'{loss.name}' depends on none of {names} through differentiable nodes",
            node=loss.node.name,
            hint="is a fb.stop_gradient, an integer or a comparison between them?" if variables else None,
        )
    return list(zip(found, variables, strict=True))  # type: ignore[arg-type]


def _trainable(loss: Tensor) -> list[Tensor]:
    """The trainable float variables a loss depends on, in program order."""
    nodes = ancestors([loss.node], stop=lambda node: node.current.op.source)
    found = [node for node in nodes if isinstance(node.tensors[0], VariableHandle) and node.attrs["trainable"]]
    return [node.tensors[0] for node in sorted(found, key=lambda node: node.order) if node.tensors[0].dtype.kind == "f"]
