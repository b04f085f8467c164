"""Where does a nan or an infinity come from? The first node that made one from finite values, and the rule it broke.

The run is done once more with all of its values (`nan_replay.py`). From a fetched element that is not finite the
search goes back along the elements that it was computed from (`nan_sources.py`), as long as they are not finite; what
was computed from finite elements only is an origin. `nan_rules.py` says which rule was broken there, and
`nan_gradients.py` what it has to do with the forward graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from flowbook.analysis.nan_gradients import SAFE, Place, forwards, gradient_hint, gradient_of, inputs_of, trap
from flowbook.analysis.nan_replay import Recording, replay
from flowbook.analysis.nan_report import NanOrigin, Operand
from flowbook.analysis.nan_rules import Broken, Case, broken_rule
from flowbook.analysis.nan_sources import region, sources
from flowbook.errors import ArgumentError, FetchError, SessionError
from flowbook.graph.node import Node, Tensor
from flowbook.runtime.feeding import flatten
from flowbook.runtime.session import Session
from flowbook.runtime.trace import Trace

_GIVEN = {
    "feed": "look where the fed array was made: np.isfinite(array).all()",
    "constant": "the number was written so; a mask of -1e9 instead of -inf does not make nan",
    "variable": "an earlier run wrote it: trace the run that did, and pass trace=session.trace; or initialize it again",
}


def nan_origin(
    fetches: Any,
    feeds: Mapping[Any, Any] | None = None,
    session: Session | None = None,
    *,
    trace: Trace | None = None,
    run: int | None = None,
) -> NanOrigin | None:
    """The first node that made a value that is not finite from finite ones, on the way to ``fetches``, or to what
    they write into variables; ``None`` when all of these are finite.

    ``fetches``, ``feeds``: as in ``session.run``; any shapes and dtypes. ``session``: whose variables; default, a new
    one, with initial values. ``run``: the run counter whose random numbers to draw; default, that of the session's
    last run. ``trace``: ask about this recorded run (``session.run(..., trace=True)``): feeds, the variables' values
    before it, random numbers and results of host functions are then those it kept. Of a trace from a file, which has
    samples of large values, and of one that was given more than 64 MB, ``feeds`` is needed for large ones. Without a
    trace, variables have their present values, and host functions are called again.

    Nothing is changed: no variable, no run counter, no graph. When a node of the run raises (`check_finite`), the
    origin of what it was given is looked for. Raises what ``run`` raises when there is nothing else to say, and
    ``SessionError`` when the trace is not one of these fetches or kept too little.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((2,), name="x")
    ...     loss = fb.sum(fb.log(x, name="l"), name="loss")
    >>> origin = fb.nan_origin(loss, {x: [1.0, 0.0]})
    >>> origin.node.name, origin.element, origin.kind, origin.rule, origin.inputs
    ('l', (1,), 'inf', 'log of 0', (x[1] = 0,))
    >>> fb.nan_origin(loss, {x: [1.0, 2.0]}) is None
    True
    """
    return next(nan_origins(fetches, feeds, session, trace=trace, run=run), None)


def nan_origins(
    fetches: Any,
    feeds: Mapping[Any, Any] | None = None,
    session: Session | None = None,
    *,
    trace: Trace | None = None,
    run: int | None = None,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Iterator[NanOrigin]:
    """What `nan_origin` finds for each of the fetches that is not finite, in order, with one replay for all. ``wanted``
    is asked with the name of each, before it is looked for."""
    if session is None:
        session = Session(_graph_of(fetches))
    if session.closed:
        raise SessionError("this session is closed", hint="make a new fb.Session()")
    if trace is not None and not isinstance(trace, Trace):
        raise ArgumentError(f"trace is {trace!r}, it has to be a Trace", hint="trace=session.trace")
    if run is not None and (type(run) is not int or run < 0):
        raise ArgumentError(f"run is {run!r}, it has to be the number of a run", hint="1 for the first run")
    elements, _ = flatten(session.graph, fetches)
    recording, error = replay(session, elements, feeds, trace, session.runs or 1 if run is None else run)
    starts = _starts(recording)
    for start in starts:
        if wanted(_name(start)):
            with np.errstate(all="ignore"):
                found = _explain(start)
            yield found
    if not starts and error is not None and trace is None:
        raise error


def _graph_of(fetches: Any) -> Any:
    """The graph of the first tensor or node in a fetch structure; ``None`` (the default one) for names only."""
    if isinstance(fetches, (Tensor, Node)):
        return fetches.graph
    if isinstance(fetches, (Mapping, list, tuple)):
        parts = fetches.values() if isinstance(fetches, Mapping) else fetches
        return next((found for found in map(_graph_of, parts) if found is not None), None)
    if isinstance(fetches, str):
        return None
    raise FetchError(f"{fetches!r} ({type(fetches).__name__}) is not something to fetch", hint="a tensor or a name")


def _starts(recording: Recording) -> list[Place]:
    """The first element that is not finite, nan before inf, of each fetch, of each variable's new value, or of what
    the failing step was given."""
    slots = [(recording, slot) for slot in (*recording.plan.fetches, *(slot for _, slot in recording.plan.writes))]
    inner, step = recording, recording.stopped
    while step is not None:
        slots.extend((inner, slot) for slot in step.inputs)
        if step.index not in inner.children:
            break
        inner = inner.children[step.index]
        step = inner.stopped
    places = []
    for holder, slot in slots:
        value = holder.array(slot)
        if slot is None or value is None or value.dtype.kind != "f" or np.isfinite(value).all():
            continue
        bad = np.isnan(value) if np.isnan(value).any() else ~np.isfinite(value)
        places.append(Place(holder, slot, int(np.flatnonzero(bad)[0])))
    return places


def _explain(start: Place) -> NanOrigin:
    """Search backwards, breadth first, each value once: so the path to each origin is a shortest one."""
    nearer: dict[tuple[Recording, int], Place | None] = {start[:2]: None}
    waiting, origins = deque([start]), []
    while waiting:
        place = waiting.popleft()
        causes = inputs_of(place, lambda option: not option.finite)
        if np.isnan(place.value) and any(np.isnan(each.value) for each in causes):
            causes = [each for each in causes if np.isnan(each.value)]
        if not causes:
            origins.append(place)
        for each in causes:
            if each[:2] not in nearer:
                nearer[each[:2]] = place
                waiting.append(each)
    first = min(origins, key=_order)
    path = [first]
    while (following := nearer[path[-1][:2]]) is not None:
        path.append(following)
    return _report(path)


def _index(place: Place) -> int:
    return place.recording.table.maker.get(place.slot, -1)


def _order(place: Place) -> tuple[int, ...]:
    """When in the run it was made; what was given comes first."""
    return (*place.recording.order, _index(place))


def _report(path: list[Place]) -> NanOrigin:
    first, end = path[0], path[-1]
    step = first.recording.maker(first.slot)
    node = _node_of(first)
    tensor = next((t for t, slot in first.recording.table.slots.items() if slot == first.slot), None)
    broken, inputs = _broken(first)
    caught = trap(path)
    kind = "nan" if np.isnan(first.value) else "inf"
    turned = next((each for each in path if np.isnan(each.value)), None) if kind == "inf" else None
    became = None if turned is None else (_name(turned), _broken(turned)[0].rule)
    chain = forwards(node)
    return NanOrigin(
        node=node,
        name=_name(first),
        op=step.op.name if step is not None else _given(first),
        output=step.outputs.index(first.slot) if step is not None else tensor.index if tensor is not None else 0,
        element=_coordinates(first),
        kind=kind,
        value=first.value,
        rule=broken.rule,
        inputs=inputs,
        gradient=gradient_of(first),
        trap=None if caught is None else (caught[0].name, caught[1]),
        became=became,
        origin=None if node is None else node.origin,
        forward=chain[-1].origin if len(chain) > 1 else None,
        path=tuple(dict.fromkeys(map(_name, path))),
        fetch=(_name(end), _coordinates(end), "nan" if np.isnan(end.value) else "inf"),
        hint=SAFE if caught is not None else gradient_hint(first) or broken.hint,
    )


def _node_of(place: Place) -> Node | None:
    step = place.recording.maker(place.slot)
    if step is not None:
        return step.node
    return next((t.node for t, slot in place.recording.table.slots.items() if slot == place.slot), None)


def _name(place: Place) -> str:
    return place.recording.table.names[place.slot]


def _coordinates(place: Place) -> tuple[int, ...]:
    return tuple(int(each) for each in np.unravel_index(place.element, place.recording.array(place.slot).shape))


def _given(place: Place) -> str:
    """What kind of value it is that no step computes."""
    recording = place.recording
    if place.slot in {slot for _, slot in recording.plan.feeds}:
        return "feed"
    return "variable" if any(slot == place.slot for _, slot in recording.plan.states) else "constant"


def _broken(place: Place) -> tuple[Broken, tuple[Operand, ...]]:
    """The rule that was broken at an element, and what it was computed from."""
    recording = place.recording
    step = recording.maker(place.slot)
    kind = "nan" if np.isnan(place.value) else "inf"
    if step is None:
        given = _given(place)
        article = {"feed": "the feed", "constant": "the constant", "variable": "the value of the variable"}[given]
        return Broken(f"{kind} in {article}", _GIVEN[given]), ()
    operands = [recording.array(slot) for slot in step.inputs]
    results = [recording.array(slot) for slot in step.outputs]
    output = step.outputs.index(place.slot)
    used = sources(step, operands, results, output, place.element)
    used += [None] * (len(operands) - len(used))
    chosen = [
        None if operand is None or indices is None else operand.reshape(-1)[indices]
        for operand, indices in zip(operands, used, strict=True)
    ]
    shown = []
    written = False
    for slot, operand, indices, values in zip(step.inputs, operands, used, chosen, strict=True):
        if values is None or operand is None:
            continue
        name = recording.table.names.get(slot) if slot is not None else None
        written = written or (name is None and values.dtype.kind == "f" and not np.isfinite(values).all())
        label = (name or "number") + (region(indices, operand.shape) if values.size else "")
        shown.append(Operand(label, values.reshape(-1)))
    if written:
        large = "-1e9" if place.value < 0 else "1e9"
        rule = Broken(f"{kind} written in the expression", f"a large finite number instead, such as {large}")
    else:
        value = results[output].reshape(-1)[place.element]
        rule = broken_rule(Case(step.op.name, step.attrs or {}, tuple(chosen), value))
    return rule, tuple(shown)
