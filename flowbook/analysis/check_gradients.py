"""Is a gradient right? Analytic derivatives against finite differences.

Floats are fed as float64 wherever they enter (feeds, variables, constants), so a float32 graph is checked in float64
as well. What a graph casts to float32 itself stays float32, and the check then allows for its rounding.

Source of step and error bounds: Nocedal and Wright, "Numerical Optimization", 2nd ed. 2006, section 8.1 (central
differences: the best step is about the cube root of the unit roundoff).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flowbook.compile.compiler import compile_plan
from flowbook.compile.plan import Plan
from flowbook.errors import ArgumentError, FlowError, GradientError
from flowbook.gradients import gradients
from flowbook.graph.node import Tensor, live
from flowbook.graph.node import Variable as VariableHandle
from flowbook.graph.order import ancestors
from flowbook.graph.scratch import scratch
from flowbook.graph.types import TensorSpec
from flowbook.ops.state import placeholder
from flowbook.runtime.executor import execute
from flowbook.runtime.feeding import prepare
from flowbook.runtime.session import Session

_TOLERANCE = {"float64": (1e-6, 1e-9), "float32": (1e-2, 1e-4), "float16": (1e-1, 1e-2)}  # relative, absolute
_LOOKED_AT = 100  # elements that are tried one by one to say where a gradient is wrong


class Row(NamedTuple):
    """How well one x did: the largest difference over all directions, what was allowed there, and the largest
    difference as a part of the larger of the two derivatives."""

    name: str
    checks: int
    error: float
    allowed: float
    relative: float


class GradientCheck(NamedTuple):
    """The result of `check_gradients`: one row for each x. It is true; a wrong gradient raises instead."""

    rows: tuple[Row, ...]
    precision: str

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        worst = max(row.error for row in self.rows)
        return f"<GradientCheck: {len(self.rows)} correct in {self.precision}, largest error {worst:.1g}>"

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = [f"{row.name:{width}}  {row.checks:6}  {row.error:8.1e}  {row.allowed:8.1e}" for row in self.rows]
        return "\n".join([f"{'x':{width}}  checks     error   allowed   ({self.precision})", *lines])


def check_gradients(
    ys: Tensor | Sequence[Tensor],
    xs: Tensor | Sequence[Tensor],
    feeds: Mapping[Any, Any] | None = None,
    *,
    session: Session | None = None,
    directions: int = 3,
    elementwise: bool = False,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
) -> GradientCheck:
    """Compare ``gradients(ys, xs)`` with central finite differences at the point that ``feeds`` says.

    ``xs``: any float tensors: placeholders, variables, intermediate results. Variables have their values of
    ``session``, else their initial ones. Along each of ``directions`` random directions in each x, a random weighted
    sum of all ``ys`` is differentiated both ways; with ``elementwise`` along each element of x, too. Random ops draw
    the same numbers throughout. ``rtol`` and ``atol`` default to what the precision of the graph allows.

    The graph is left as it was. Raises ``GradientError`` naming the worst direction and element where they disagree.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((2, 3), name="x")
    ...     bool(fb.check_gradients(fb.tanh(x) * 2.0, x, {x: np.ones((2, 3))}))
    True
    """
    y_list = [live(y) for y in _tensors(ys, "ys")]
    x_list = [live(x) for x in _tensors(xs, "xs")]
    graph = y_list[0].graph
    session = session or Session(graph)
    with scratch(graph, "check_gradients"), graph.as_default():
        rng = np.random.default_rng(seed)
        point = _Point(session, y_list, x_list, feeds, rng)
        limits = _TOLERANCE[point.precision]
        tolerance = limits[0] if rtol is None else rtol, limits[1] if atol is None else atol
        rows = []
        for index, x in enumerate(x_list):
            probes = [_direction(rng, point.at[x].shape) for _ in range(directions)]
            if elementwise:
                probes.extend(_elements(point.at[x].shape, range(point.at[x].size)))
            rows.append(_check(point, index, probes, tolerance))
    return GradientCheck(tuple(rows), point.precision)


def _check(point: _Point, index: int, probes: list[Any], tolerance: tuple[float, float]) -> Row:
    """All probes of one x, or ``GradientError`` for the worst."""
    x = point.xs[index]
    worst, worst_excess, worst_allowed, relative = 0.0, -np.inf, tolerance[1], 0.0
    for probe in probes:
        analytic, numeric, allowed = point.compare(index, probe, tolerance)
        error = abs(analytic - numeric)
        if not error <= allowed:
            raise _failure(point, index, analytic, numeric, allowed, tolerance)
        if error:
            relative = max(relative, error / max(abs(analytic), abs(numeric)))
        if error - allowed > worst_excess:
            worst, worst_excess, worst_allowed = error, error - allowed, allowed
    return Row(x.name, len(probes), worst, worst_allowed, relative)


def _failure(
    point: _Point,
    index: int,
    analytic: float,
    numeric: float,
    allowed: float,
    tolerance: tuple[float, float],
) -> FlowError:
    """What to say of a gradient that is wrong along a probe: also which element is wrong most."""
    x, shape = point.xs[index], point.at[point.xs[index]].shape
    names = ", ".join(f"'{y.name}'" for y in point.ys)
    size = point.at[x].size
    places = np.unique(np.linspace(0, size - 1, min(size, _LOOKED_AT)).astype(int))
    found = [(*point.compare(index, probe, tolerance), place) for probe, place in zip(_elements(shape, places), places)]
    a, n, _, place = max(found, key=lambda each: np.nan_to_num(abs(each[0] - each[1]), nan=np.inf))
    where = "[" + ", ".join(str(int(each)) for each in np.unravel_index(place, shape)) + "]" if shape else ""
    return x.node.locate(
        GradientError(
            f"the gradient of {names} with respect to '{x.name}' is wrong: {analytic:.6g} along a direction where"
            f" finite differences give {numeric:.6g} (in {point.precision}, {allowed:.1g} apart is allowed);"
            f" worst element: {x.name}{where}, {a:.6g} against {n:.6g}",
            hint="look at the gradient rules between them; at a kink (relu at 0, ties of max) try another point",
        )
    )


class _Point:
    """The functions at one point: plans for ys and for the gradients, and the values they are fed."""

    def __init__(
        self,
        session: Session,
        ys: list[Tensor],
        xs: list[Tensor],
        feeds: Mapping[Any, Any] | None,
        rng: np.random.Generator,
    ) -> None:
        self.ys, self.xs = ys, xs
        weights = [placeholder(y.shape, y.dtype) for y in ys]
        dxs: list[Any] = gradients(ys, xs, weights, unconnected="zeros")
        given = prepare(session.graph, feeds)
        given.update(_entering(session, [*ys, *dxs], given))
        self.run = session.next_run()
        try:
            self._settle(given, weights, dxs, rng, np.dtype("float64"))
        except FlowError:  # something in the graph takes its declared dtypes only
            self._settle(given, weights, dxs, rng, None)

    def _settle(
        self, given: dict[Tensor, Any], weights: list[Tensor], dxs: list[Any], rng: np.random.Generator, dtype: Any
    ) -> None:
        """Compute all that stays the same: values, weights of the ys, gradients; floats as ``dtype`` where given."""
        self.fed = {
            each: array.astype(dtype or array.dtype) if array.dtype.kind == "f" else array
            for each, array in given.items()
        }
        results = self._evaluate(self._plan(self.ys), self.fed)
        self.weights = [rng.uniform(0.5, 1.5, np.shape(y)) * rng.choice([-1.0, 1.0], np.shape(y)) for y in results]
        self.at = dict(zip(self.xs, self._evaluate(self._plan(self.xs), self.fed), strict=True))
        for weight, y, array in zip(weights, self.ys, self.weights, strict=True):
            self.fed[weight] = array.astype(dtype or y.dtype)
        backward = self._plan(dxs)
        self.analytic = [np.asarray(each, np.float64) for each in self._evaluate(backward, self.fed)]
        # An x in the middle of the graph is fed where it is varied, and computed where another one is.
        self.forward = {x: self._plan(self.ys, x) for x in self.xs}
        self.precision = min((_precision(plan) for plan in (backward, *self.forward.values())), key=_digits)

    def _plan(self, fetches: Sequence[Tensor], *varied: Tensor) -> Plan:
        arrays = {**self.fed, **{x: self.at[x] for x in varied}}
        return compile_plan(fetches, {each: TensorSpec(array.shape, array.dtype) for each, array in arrays.items()})

    def _evaluate(self, plan: Plan, arrays: Mapping[Tensor, Any]) -> list[Any]:
        slots = list(plan.initial)
        for tensor, slot in plan.feeds:
            slots[slot] = arrays[tensor]
        execute(plan, slots, self.run)
        return [np.asarray(slots[slot]) for slot in plan.fetches if slot is not None]

    def compare(self, index: int, probe: Any, tolerance: tuple[float, float]) -> tuple[float, float, float]:
        """The derivative along ``probe`` by the gradient, by finite differences, and how far they may be apart."""
        x = self.xs[index]
        value = self.at[x]
        eps = float(np.finfo(self.precision).eps)
        scale = float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))) if value.size else 1.0
        step = eps ** (1 / 3) * max(1.0, scale)
        above, size = self._weighed(x, value + (step * probe).astype(value.dtype))
        below, _ = self._weighed(x, value - (step * probe).astype(value.dtype))
        numeric = (above - below) / (2 * step)
        analytic = float(np.sum(self.analytic[index] * probe))
        rounding = 4 * eps * size / step  # of the difference of two values of that size
        return analytic, numeric, tolerance[1] + tolerance[0] * abs(numeric) + rounding

    def _weighed(self, x: Tensor, shifted: Any) -> tuple[float, float]:
        """The weighted sum of all ys, and the sum of the absolute values that went into it."""
        results = self._evaluate(self.forward[x], {**self.fed, x: shifted})
        terms = [y.astype(np.float64) * weight for y, weight in zip(results, self.weights, strict=True)]
        return sum(float(each.sum()) for each in terms), sum(float(np.abs(each).sum()) for each in terms)


def _entering(session: Session, ends: Sequence[Tensor], given: Mapping[Tensor, Any]) -> dict[Tensor, Any]:
    """The values of all variables and float constants that the ends read."""
    values: dict[Tensor, Any] = {}
    for node in ancestors([each.node for each in ends], stop=lambda node: node.current.op.source):
        tensor = node.tensors[0] if node.tensors else None
        if tensor is None or tensor in given:
            continue
        if isinstance(tensor, VariableHandle):
            values[tensor] = session.run(tensor)
        elif node.op == "constant" and tensor.dtype.kind == "f":
            values[tensor] = node.attrs["value"]
    return values


def _precision(plan: Plan) -> str:
    """The lowest float dtype that anything depending on the feeds is computed in."""
    depends = {slot for _, slot in plan.feeds}
    for step in plan.steps:
        if not depends.isdisjoint(slot for slot in step.inputs if slot is not None):
            depends.update(step.outputs)
    specs = [plan.specs[slot] for slot in depends]
    found = {spec.dtype.name for spec in specs if spec is not None and spec.dtype.kind == "f"}
    return min(found, key=_digits, default="float64")


def _digits(dtype: str) -> int:
    return int(np.finfo(dtype).precision)


def _direction(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """A random direction of length 1."""
    direction = rng.standard_normal(shape)
    return direction / max(float(np.sqrt(np.sum(direction**2))), 1e-300)


def _elements(shape: tuple[int, ...], places: Any) -> Iterator[Any]:
    for place in places:
        probe = np.zeros(int(np.prod(shape)))
        probe[place] = 1.0
        yield probe.reshape(shape)


def _tensors(values: Any, what: str) -> list[Tensor]:
    found = list(values) if isinstance(values, (list, tuple)) else [values]
    for each in found:
        if not isinstance(each, Tensor):
            raise ArgumentError(f"{what} holds {each!r}, which is not a tensor")
        if each.dtype.kind != "f":
            raise GradientError(f"'{each.name}' is {each.dtype.name}; only floats have gradients", node=each.node.name)
    if not found:
        raise ArgumentError(f"{what} is empty")
    return found
