"""`Session`: runs a graph and keeps its variables' values.

A run takes a snapshot of the variables it needs, executes the plan on the caller's thread, and commits all writes in
one step at the end; whatever goes wrong before leaves every variable as it was. Runs that write exclude one another;
runs that only read go on beside them.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from flowbook.compile.compiler import compile_plan
from flowbook.compile.plan import Plan
from flowbook.devices.device import as_device_list
from flowbook.errors import ArgumentError, FeedError, SessionError
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor, Variable
from flowbook.graph.types import TensorSpec
from flowbook.native import CPUS, library, tell_once
from flowbook.runtime.context import Run
from flowbook.runtime.engine import direct
from flowbook.runtime.executor import Observer, execute
from flowbook.runtime.feeding import Element, as_feed, bind_names, feed_specs, flatten, prepare, resolve
from flowbook.runtime.memory import Memory, memory_of
from flowbook.runtime.variables import VariableStore, owned
from flowbook.runtime.watch import WATCHES

if TYPE_CHECKING:
    from flowbook.runtime.stepper import Stepper
    from flowbook.runtime.timeline import Timeline
    from flowbook.runtime.trace import Trace

PLAN_CACHE = 64


class Session:
    """Runs parts of a graph; variables keep their values from run to run and initialise themselves on first use.

    ``graph``: default, the current default graph. ``devices``: names such as ``["cpu:0", "cpu:1"]``; default, what
    is here. ``threads``: how many may work on a run, the caller's among them; default, one for each CPU. All sessions
    share one pool. Without the native library a run uses the caller's thread only.
    Usable as a context manager; a closed session refuses to run.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder(("batch",), name="x")
    ...     w = fb.Variable(3.0, name="w")
    ...     with fb.Session() as session:
    ...         session.run({"double": x * 2, "scaled": x * w}, feeds={x: [1.0, 2.0]})
    {'double': array([2., 4.], dtype=float32), 'scaled': array([3., 6.], dtype=float32)}
    """

    def __init__(
        self, graph: Graph | None = None, devices: Sequence[str] | None = None, threads: int | None = None
    ) -> None:
        if graph is not None and not isinstance(graph, Graph):
            raise ArgumentError(f"{graph!r} is not a Graph")
        if threads is not None and (type(threads) is not int or threads < 1):
            raise ArgumentError(f"threads is {threads!r}, it has to be a positive int, or None")
        tell_once()
        self.graph = graph if graph is not None else get_default_graph()
        self.devices = as_device_list(devices)
        self.threads = threads
        self.variables = VariableStore()
        self.trace: Trace | None = None
        self.notes: list[str] = []  # what was not as the graph asks for: devices that are not here
        self.closed = False
        self.runs = 0  # the run counter: all runs so far, failed ones too
        self._counter = itertools.count(1)
        self._plans: OrderedDict[Any, Plan] = OrderedDict()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up plans and values; running afterwards raises ``SessionError``."""
        self.closed = True
        self._plans.clear()
        self.variables = VariableStore()

    def __repr__(self) -> str:
        return f"<Session of {len(self.graph)} nodes on {', '.join(self.devices)}{', closed' * self.closed}>"

    # -------------------------------------------------------------------------------------------- running

    def run(self, fetches: Any, feeds: Mapping[Any, Any] | None = None, *, trace: bool = False) -> Any:
        """Compute ``fetches`` and return their values in the same structure.

        ``fetches``: a tensor, a node, a name, or lists, tuples and dicts of them. A tensor gives an ndarray (0-d for
        scalars) that nobody else will change; a node without outputs gives ``None``. ``feeds``: a dict of tensor (or
        name) to array; any tensor can be fed; arrays are cast ``same_kind``. ``trace=True`` watches every node, and
        ``session.trace`` tells afterwards.

        All or nothing: an exception or Ctrl-C leaves every variable as it was. Raises ``FetchError``, ``FeedError``,
        ``ShapeError`` before anything runs, ``RunError`` from a kernel, each with node, cell, line and shapes.
        """
        elements, rebuild = flatten(self.graph, fetches)
        arrays = prepare(self.graph, feeds)
        if trace:
            from flowbook.runtime.trace import Recorder

            plan = self.plan(elements, arrays, observed=True)
            recorder = Recorder(plan, self.graph)
            try:
                return rebuild(self._execute(elements, arrays, plan, recorder))
            finally:
                self.trace = recorder.trace()
                watch = WATCHES.get(self.graph)
                if watch is not None:
                    watch.traced(self.trace)
        return rebuild(self._execute(elements, arrays, self.plan(elements, arrays)))

    def make_callable(self, fetches: Any, feed_list: Sequence[Any] = ()) -> Callable[..., Any]:
        """A function of the arrays for ``feed_list``, in order, that runs ``fetches``: the fast path for many runs.

        >>> import flowbook as fb
        >>> with fb.Graph().as_default():
        ...     x = fb.placeholder((), name="x")
        ...     double = fb.Session().make_callable(x * 2, [x])
        >>> float(double(21.0))
        42.0
        """
        elements, rebuild = flatten(self.graph, fetches)
        tensors = [resolve(self.graph, each) for each in _listed(feed_list)]
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise FeedError(f"'{tensor.name}' has no output to feed")
        if len(set(tensors)) != len(tensors):
            raise FeedError("feed_list names a tensor twice")
        compiled: list[tuple[Plan, Any, int]] = []  # one at most, replaced as a whole: threads may call
        fast: Any = None

        def call(*values: Any) -> Any:
            if len(values) != len(tensors):
                names = ", ".join(each.name for each in tensors)
                raise FeedError(f"{len(values)} values for {len(tensors)} feeds ({names})")
            arrays = {tensor: as_feed(tensor, value) for tensor, value in zip(tensors, values, strict=True)}  # type: ignore[arg-type]
            shapes = [array.shape for array in arrays.values()]
            plan, known, version = compiled[0] if compiled else (None, None, None)
            if plan is None or shapes != known or version != self.graph.version:
                bind_names(arrays)  # type: ignore[arg-type]
                plan = self.plan(elements, arrays)  # type: ignore[arg-type]
                compiled[:] = [(plan, shapes, self.graph.version)]
                if fast is not None:
                    engine = direct(plan)
                    if engine is not None:
                        fast.offer(engine.native, self.graph.version)
            return rebuild(self._execute(elements, arrays, plan))  # type: ignore[arg-type]

        if library is None:
            return call
        one = None if isinstance(fetches, (Tensor, Node, str)) else rebuild
        watched: dict[Any, Any] = WATCHES.data  # type: ignore[attr-defined]
        fast = library.Callable(call, self, self.graph, watched, one, self.threads or CPUS)
        return fast  # type: ignore[no-any-return]

    def plan(self, elements: Sequence[Element], arrays: Mapping[Tensor, Any], *, observed: bool = False) -> Plan:
        """The plan for resolved fetches and feeds; cached by fetches, fed tensors and shapes."""
        if self.closed:
            raise SessionError("this session is closed", hint="make a new fb.Session()")
        key = (tuple(elements), tuple((tensor, array.shape) for tensor, array in arrays.items()), observed)
        plan = self._plans.get(key)
        if plan is not None and plan.valid:
            self._plans.move_to_end(key)
            return plan
        plan = compile_plan(elements, feed_specs(arrays), self.devices, observed=observed)
        self._plans[key] = plan
        self.notes.extend(note for note in plan.notes if note not in self.notes)
        while len(self._plans) > PLAN_CACHE:
            self._plans.popitem(last=False)
        return plan

    def memory(self, fetches: Any, feeds: Mapping[Any, Any] | None = None) -> Memory | None:
        """What a run of ``fetches`` allocates at its peak, and which nodes of which cells hold it; nothing runs.

        ``None`` where the native executor is missing, or the plan has no step for it; `trace` measures then.

        >>> import flowbook as fb
        >>> with fb.Graph().as_default():
        ...     x = fb.placeholder((100, 100), name="x")
        ...     y = fb.sum(fb.matmul(x, x, name="square"), name="y")
        ...     memory = fb.Session().memory(y, {x: [[0.0] * 100] * 100})
        >>> memory is None or (memory.peak, [(each.node, each.bytes) for each in memory.alive])
        (40004, [('square', 40000), ('y', 4)])
        """
        elements, _ = flatten(self.graph, fetches)
        return memory_of(self.plan(elements, prepare(self.graph, feeds)))

    def timeline(self) -> Timeline:
        """A `Timeline` to run under (``with``): which step ran when, and on which thread, at full speed."""
        from flowbook.runtime.timeline import Timeline

        return Timeline()

    def seek(self, runs: int) -> None:
        """Let the run counter stand at ``runs``: the next run draws the random numbers of run ``runs + 1``."""
        self.runs = runs
        self._counter = itertools.count(runs + 1)

    def next_run(self, graph: Graph | None = None, *, observed: bool = False) -> Run:
        """A new run, with the next value of the run counter. ``observed``: bodies run as observed Plans too."""
        counter = next(self._counter)
        self.runs = max(self.runs, counter)
        return Run(graph or self.graph, counter, self.devices, observed=observed, threads=self.threads or 0)

    def _execute(
        self, elements: Sequence[Element], arrays: Mapping[Tensor, Any], plan: Plan, observer: Observer | None = None
    ) -> list[Any]:
        if self.closed:
            raise SessionError("this session is closed", hint="make a new fb.Session()")
        run = self.next_run(observed=plan.observed)
        watch = WATCHES.get(self.graph) if observer is None else None  # asked once: a view may close at any moment
        watched = None
        try:
            if watch is not None:
                watched = watch.begin(lambda: self.plan(elements, arrays, observed=True), run.counter)
                if watched is not None:
                    plan, run.observed = watched.plan, True
            with self.variables.writing if plan.writes else nullcontext():
                values, initial = self.begin(plan, arrays)
                updates = execute(plan, values, run, observer or watched)
                late = set() if updates is None else {*updates.variables}
                borrowed = {id(array) for array in arrays.values()}
                writes = {
                    variable: owned(values[slot], borrowed) for variable, slot in plan.writes if variable not in late
                }
                results = self.results(plan, values, (*arrays.values(), *writes.values()))
                if writes or initial or updates:
                    values.clear()  # so that nobody has the old values
                    self.variables.commit(writes, initial, updates)
        finally:
            if watched is not None:
                try:
                    watched.ended()
                except BaseException:  # Ctrl-C just now: the run is over all the same
                    watched.ended()
                    raise
        return results

    def begin(self, plan: Plan, arrays: Mapping[Tensor, Any]) -> tuple[list[Any], dict[Tensor, Any]]:
        """Slot values at the start of a run, and the initial values of variables used for the first time."""
        values = list(plan.initial)
        for tensor, slot in plan.feeds:
            values[slot] = arrays[tensor]
        initial: dict[Tensor, Any] = {}
        if plan.states:
            stored = self.variables.snapshot(variable for variable, _ in plan.states)
            missing = [variable for variable, found in stored.items() if found is None]
            if missing:
                initial = self.initial_values(missing)  # type: ignore[arg-type]
            for variable, slot in plan.states:
                found = stored[variable]
                values[slot] = initial[variable] if found is None else found.value
        return values, initial

    def results(self, plan: Plan, values: list[Any], held: Iterable[Any]) -> list[Any]:
        """The fetched values: arrays that share no memory with feeds, constants, variables or one another."""
        taken = {id(array) for array in held}
        taken.update(id(values[slot]) for _, slot in plan.states)
        taken.update(id(value) for value in plan.initial if value is not None)
        fetched: list[Any] = []
        for slot in plan.fetches:
            if slot is None:
                fetched.append(None)
                continue
            value = values[slot]
            if type(value) is not np.ndarray or value.base is not None or id(value) in taken:
                value = np.array(value)
            taken.add(id(value))
            fetched.append(value)
        return fetched

    # -------------------------------------------------------------------------------------------- variables

    def initial_values(self, variables: Sequence[Variable]) -> dict[Tensor, Any]:
        """What the initializers of ``variables`` give; nothing is stored.

        Initializers run with run counter 0, so a variable's first value depends on the seed and its name only.
        """
        values: dict[Tensor, Any] = {}
        computed = []
        for variable in variables:
            record = variable.node.current
            loaded = self.graph.initial.get(variable.name)
            if loaded is not None and TensorSpec(loaded.shape, loaded.dtype) == variable.spec:
                values[variable] = np.array(loaded)
            elif record.inputs:
                computed.append(variable)
            else:
                values[variable] = np.array(record.attrs["value"])
        if computed:
            sources = [each.node.current.inputs[0] for each in computed]
            try:
                plan = self.plan(sources, {})  # type: ignore[arg-type]
            except FeedError as error:
                error.hint = "a variable's initial value cannot depend on a placeholder"
                raise
            slots, _ = self.begin(plan, {})
            execute(plan, slots, Run(self.graph, 0, self.devices, threads=self.threads or 0))
            for variable, slot in zip(computed, plan.fetches, strict=True):
                assert slot is not None
                value = np.array(slots[slot])
                spec = variable.spec
                if value.shape != spec.shape or value.dtype != spec.dtype:
                    raise SessionError(
                        f"the initial value of '{variable.name}' is {value.dtype} {value.shape}, not {spec}"
                    )
                values[variable] = value
        return values

    def initialize(self, variables: Sequence[Any] | None = None) -> None:
        """Give ``variables`` (default: all of the graph) their initial values again."""
        chosen = self._variables(variables)
        self.variables.commit(self.initial_values(chosen))

    def _variables(self, variables: Sequence[Any] | None) -> list[Variable]:
        if variables is None:
            return self.graph.variables
        known = {each.name: each for each in self.graph.variables}  # an op of another cell may have the name, too
        listed = [known.get(each, each) if isinstance(each, str) else each for each in _listed(variables)]
        found = [resolve(self.graph, each) for each in listed]
        for each in found:
            if not isinstance(each, Variable):
                raise ArgumentError(f"'{each.name}' is not a Variable")
        return found  # type: ignore[return-value]

    # -------------------------------------------------------------------------------------------- stepping, files

    def debug(self, fetches: Any, feeds: Mapping[Any, Any] | None = None) -> Stepper:
        """A `Stepper` at the beginning of the run that computes ``fetches``."""
        from flowbook.runtime.stepper import Stepper

        return Stepper(self, fetches, feeds)

    def save(self, path: Any) -> None:
        """Write the variables' values to one checkpoint file, atomically."""
        from flowbook.runtime.checkpoint import save

        save(self, path)

    def restore(self, path: Any, *, strict: bool = True) -> None:
        """Read a checkpoint; all variables change, or (with a ``FileError``) none.

        The file has to hold exactly the variables of the graph; ``strict=False`` restores those that are in both.
        """
        from flowbook.runtime.checkpoint import restore

        restore(self, path, strict=strict)


def _listed(elements: Any) -> Sequence[Any]:
    """A list of tensors and names; one of them alone is a list too."""
    return elements if isinstance(elements, (list, tuple)) else [elements]
