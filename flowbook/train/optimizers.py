"""The optimizers. The formulas are those of the papers named; where TensorFlow 1 and PyTorch differ, each class says
whose form it has."""

from __future__ import annotations

from flowbook.graph.node import Tensor, Variable
from flowbook.ops.elementwise import astype, sqrt
from flowbook.ops.state import assign, assign_add, assign_sub
from flowbook.train.checks import fraction, not_negative
from flowbook.train.optimizer import Optimizer, State


class SGD(Optimizer):
    r"""Stochastic gradient descent, :math:`w \leftarrow w - \eta\, g`.

    Source: Robbins and Monro, "A stochastic approximation method", 1951.
    """

    def update(self, variable: Variable, gradient: Tensor, rate: float | Tensor, state: State) -> Tensor:
        """``w -= rate * g``."""
        return assign_sub(variable, gradient * rate)  # type: ignore[no-any-return]


class Momentum(Optimizer):
    r"""Gradient descent with momentum, :math:`m \leftarrow \mu m + g,\; w \leftarrow w - \eta\, m`; with ``nesterov``
    :math:`w \leftarrow w - \eta (g + \mu m)`. The form of TensorFlow 1 and PyTorch (slot ``m``).

    Sources: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Sutskever et al., "On
    the importance of initialization and momentum in deep learning", 2013, for Nesterov's.
    """

    def __init__(self, learning_rate: float | Tensor, momentum: float = 0.9, nesterov: bool = False) -> None:
        super().__init__(learning_rate)
        self.momentum = fraction("momentum", momentum)
        self.nesterov = bool(nesterov)

    def update(self, variable: Variable, gradient: Tensor, rate: float | Tensor, state: State) -> Tensor:
        """``m = mu * m + g``, then ``w -= rate * m``."""
        slot = state.slot(variable, "m")
        m = assign(slot, slot * self.momentum + gradient)
        change = gradient + m * self.momentum if self.nesterov else m
        return assign_sub(variable, change * rate)  # type: ignore[no-any-return]


class Adam(Optimizer):
    r"""Adam: :math:`m \leftarrow \beta_1 m + (1-\beta_1) g,\; v \leftarrow \beta_2 v + (1-\beta_2) g^2,\;
    w \leftarrow w - \eta \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t} \frac{m}{\sqrt v + \epsilon}`.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015 (arXiv:1412.6980), in the efficient order
    of the end of section 2. TensorFlow has this form too; PyTorch adds :math:`\epsilon` after the correction of v.
    Slots ``m`` and ``v``, and one ``step`` for all variables. The correction is computed in float64.
    """

    def __init__(
        self,
        learning_rate: float | Tensor = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate)
        self.beta1 = fraction("beta1", beta1)
        self.beta2 = fraction("beta2", beta2)
        self.epsilon = not_negative("epsilon", epsilon)

    def rate(self, state: State) -> float | Tensor:
        """The learning rate times the correction of step t."""
        t = astype(assign_add(state.counter("step"), 1), "float64")
        return self.learning_rate * sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t)  # type: ignore[no-any-return]

    def update(self, variable: Variable, gradient: Tensor, rate: float | Tensor, state: State) -> Tensor:
        """Moments, then ``w -= rate * m / (sqrt(v) + epsilon)``."""
        first, second = state.slot(variable, "m"), state.slot(variable, "v")
        m = assign(first, first * self.beta1 + gradient * (1.0 - self.beta1))
        v = assign(second, second * self.beta2 + gradient * gradient * (1.0 - self.beta2))
        return assign_sub(variable, m * rate / (sqrt(v) + self.epsilon))  # type: ignore[no-any-return]


class RMSProp(Optimizer):
    r"""RMSProp: :math:`v \leftarrow \rho v + (1-\rho) g^2,\; w \leftarrow w - \eta \frac{g}{\sqrt v + \epsilon}`; with
    ``momentum`` the quotient is accumulated first, :math:`m \leftarrow \mu m + g / (\sqrt v + \epsilon)`.

    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop", Coursera, 2012. PyTorch's form, with v starting at 0;
    TensorFlow 1 starts it at 1 and has :math:`\sqrt{v + \epsilon}`. Slots ``v`` and, with momentum, ``m``.
    """

    def __init__(
        self,
        learning_rate: float | Tensor = 1e-3,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate)
        self.decay = fraction("decay", decay)
        self.momentum = fraction("momentum", momentum)
        self.epsilon = not_negative("epsilon", epsilon)

    def update(self, variable: Variable, gradient: Tensor, rate: float | Tensor, state: State) -> Tensor:
        """``v`` from ``g**2``, then ``w -= rate * g / (sqrt(v) + epsilon)``."""
        slot = state.slot(variable, "v")
        v = assign(slot, slot * self.decay + gradient * gradient * (1.0 - self.decay))
        change = gradient / (sqrt(v) + self.epsilon)
        if self.momentum:
            past = state.slot(variable, "m")
            change = assign(past, past * self.momentum + change)
        return assign_sub(variable, change * rate)  # type: ignore[no-any-return]


class Adagrad(Optimizer):
    r"""Adagrad: :math:`v \leftarrow v + g^2,\; w \leftarrow w - \eta \frac{g}{\sqrt v + \epsilon}`.

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning", 2011. PyTorch's form;
    TensorFlow 1 has no :math:`\epsilon` and starts v at 0.1, which ``initial=0.1, epsilon=0`` gives. Slot ``v``.
    """

    def __init__(self, learning_rate: float | Tensor = 1e-2, initial: float = 0.0, epsilon: float = 1e-10) -> None:
        super().__init__(learning_rate)
        self.initial = not_negative("initial", initial)
        self.epsilon = not_negative("epsilon", epsilon)

    def update(self, variable: Variable, gradient: Tensor, rate: float | Tensor, state: State) -> Tensor:
        """``v += g**2``, then ``w -= rate * g / (sqrt(v) + epsilon)``."""
        v = assign_add(state.slot(variable, "v", self.initial), gradient * gradient)
        return assign_sub(variable, gradient * rate / (sqrt(v) + self.epsilon))  # type: ignore[no-any-return]
