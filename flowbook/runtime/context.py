"""What a structured op sees while it runs: randomness, host functions, sub-graphs.

`Run` is one run of a session; `ExecContext` is one step of it. Random numbers are a pure function of the graph's
seed, the node's key, the run counter and the loop iteration, so replaying a run, or one step of it, gives them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.compile.compiler import compile_plan
from flowbook.compile.plan import Plan
from flowbook.errors import RunError
from flowbook.graph.body import Body
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node
from flowbook.graph.types import TensorSpec
from flowbook.native import CPUS

if TYPE_CHECKING:
    from flowbook.compile.plan import Step


class Run:
    """One run: the graph, the run counter, and where in which loop it is."""

    __slots__ = ("counter", "devices", "graph", "observed", "path", "prefix", "threads")

    def __init__(
        self,
        graph: Graph,
        counter: int,
        devices: Sequence[str] = ("cpu:0",),
        prefix: tuple[str, ...] = (),
        path: tuple[int, ...] = (),
        observed: bool = False,
        threads: int = 0,
    ) -> None:
        self.graph = graph
        self.counter = counter
        self.devices = devices
        self.prefix = prefix  # the key of the control-flow node around the body that runs; of nested ones, all names
        self.path = path  # the iteration of each loop around it
        self.observed = observed  # bodies run as observed Plans too
        self.threads = threads or CPUS  # that may work on it

    def inner(self, body: Body, node: Node, iteration: int | None = None) -> Run:
        """The run of a body of ``node``. A backward node that computes its forward node's body again gets that one's
        prefix, and so the same random numbers."""
        while node.attrs.get("recompute") and node.forward is not None:
            node = node.forward
        path = self.path if iteration is None else (*self.path, iteration)
        return Run(body, self.counter, self.devices, self.key(node), path, self.observed, self.threads)

    def key(self, node: Node) -> tuple[str, ...]:
        """What tells a node of this run from all others: its key; in a body, its name after the control-flow node's.

        Not its cell there: that of a body which the backward pass computes again is the cell of `gradients`.
        """
        return (*self.prefix, node.name) if self.prefix else node.key


class ExecContext:
    """The first argument of a structured op's kernel."""

    __slots__ = ("execute", "run", "step")

    def __init__(self, run: Run, step: Step, execute: Callable[[Plan, list[Any], Run], list[Any]]) -> None:
        self.run = run
        self.step = step
        self.execute = execute  # the driver's way to run a sub-plan: (plan, inputs, run) -> outputs

    @property
    def xp(self) -> Any:
        """The array namespace of the step's device."""
        return np

    def philox(self, seed: int | None) -> np.random.Philox:
        """The counter-based generator of this node in this run and iteration.

        Key: the first 128 bits of BLAKE2b over the op's own ``seed``, or over the graph's seed and the node's key.
        Counter words, low to high: the block (NumPy counts up before it draws, so the first is 1), 0, the run counter,
        a hash of the iteration path (0 outside loops).
        Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Philox4x64-10).
        """
        run, node = self.run, self.step.node
        if seed is None:
            assert node is not None
            text = "\x1f".join((str(run.graph.seed), *run.key(node)))
        else:
            text = f"seed\x1f{seed}"
        key = np.frombuffer(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "<u8")
        path = 0
        if run.path:
            path = int.from_bytes(blake2b(repr(run.path).encode(), digest_size=8).digest(), "little")
        return np.random.Philox(key=key, counter=np.array([0, 0, run.counter, path], np.uint64))

    def function(self, name: str) -> Callable[..., Any]:
        """The Python callable a node refers to by name, or ``RunError`` (a loaded graph has none)."""
        found = self.run.graph.functions.get(name)
        if found is None:
            raise RunError(
                f"the Python function '{name}' is not here", hint=f"load_graph(path, functions={{{name!r}: f}})"
            )
        return found

    def call(self, body: Body, inputs: Sequence[Any]) -> list[Any]:
        """Run a body of this node and return its outputs."""
        assert self.step.node is not None
        plan = body_plan(body, inputs, self.run.devices, observed=self.run.observed)
        return self.execute(plan, list(inputs), self.run.inner(body, self.step.node))

    def host(self, value: Any) -> Any:
        """A value as a read-only NumPy array that shares its memory."""
        view = np.asarray(value).view()
        view.flags.writeable = False
        return view


BODY_PLANS = 16


def body_plan(body: Body, inputs: Sequence[Any], devices: Sequence[str], *, observed: bool = False) -> Plan:
    """The plan of a body for inputs of these shapes; kept in the body's cache."""
    specs = tuple(TensorSpec(np.shape(value), np.asarray(value).dtype) for value in inputs)
    key = (specs, tuple(devices), observed)
    plan: Plan | None = body.cache.get(key)
    if plan is None or not plan.valid:
        if len(body.cache) >= BODY_PLANS:
            body.cache.clear()
        feeds = dict(zip(body.inputs, specs, strict=True))
        body.cache[key] = plan = compile_plan(body.outputs, feeds, devices, observed=observed)
    return plan
