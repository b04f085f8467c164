"""Why values of a recorded run are not finite, as stories that a view walks through without a kernel.

What `nan_origin` finds is told from the node that was asked about back to the cause; the way is told node by node, so a
story answers for every node on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from flowbook.analysis.nan_origin import nan_origins
from flowbook.analysis.nan_report import NanOrigin
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.opdef import find_op
from flowbook.notebook.protocol import Chapter, Story
from flowbook.runtime.frame import Frame
from flowbook.runtime.session import Session
from flowbook.runtime.stepper import Stepper
from flowbook.runtime.trace import Trace

MOST = 32  # stories of one recording; nodes that no story is about are not asked about


def stories(trace: Trace, graph: Graph, session: Session | None = None, made: Set[str] = frozenset()) -> list[Story]:
    """Stories about the nodes of a trace whose values are not finite, the latest first; a node that is on the way of
    one story gets none of its own. ``session``: the one that ran it, for large variables. ``made``: names of nodes
    whose values the reader has set.

    The run is done once more for it (`nan_replay`). Where that cannot be, as the graph is another one by now, or would
    call a host function again, there are none: what only keeps a run does not fail for it, and has no effects.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default() as graph:
    ...     x = fb.placeholder((), name="x")
    ...     session = fb.Session()
    ...     _ = session.run(fb.exp(fb.log(x, name="l"), name="y"), {x: -1.0}, trace=True)
    >>> (found,) = stories(session.trace, graph)
    >>> [session.trace.nodes[each["node"]].name for each in found["chapters"]]
    ['y', 'l']
    """
    bad = [place for place in trace.data.values if not _finite(trace, place)]
    if not bad or _calls_again(trace):
        return []
    try:
        return _found(trace, graph, session or Session(graph), bad, made)
    except Exception:  # whatever is wrong with the replay: the recording is still good
        return []


def _finite(trace: Trace, place: tuple[int, int]) -> bool:
    measured = trace.data.values[place].statistics
    return not (measured.nans or measured.infs)


def _calls_again(trace: Trace) -> bool:
    """Whether a replay would call what a user wrote, or print: nodes that act, and whose results are not all kept."""
    for index, info in enumerate(trace.nodes):
        op = find_op(info.op)
        if info.kind == "step" and op is not None and op.effect and op.enter is None:
            kept = [trace.data.values.get((index, output)) for output in range(len(info.outputs))]
            if not kept or any(each is None or not each.whole for each in kept):
                return True
    return False


def _found(trace: Trace, graph: Graph, session: Session, bad: list[tuple[int, int]], made: Set[str]) -> list[Story]:
    nodes = {(node.owner.name, node.name): node for node in graph.nodes}
    asked: list[Tensor | Node] = []
    for index, output in sorted(bad, reverse=True):
        info = trace.nodes[index]
        if info.parent < 0 and (info.owner or "", info.name) in nodes:
            asked.append(nodes[info.owner or "", info.name].tensors[output])
    asked.extend(_writers(trace, nodes))
    numbers = {info.name: place for place, info in reversed(list(enumerate(trace.nodes)))}
    found: list[Story] = []
    told: set[int] = set()

    def wanted(name: str) -> bool:
        return numbers.get(_node_name(name)) not in (None, *told)

    for origin in nan_origins(asked, None, session, trace=trace, wanted=wanted):
        story = told_story(numbers[_node_name(origin.fetch[0])], origin, numbers, made)
        told.update(each["node"] for each in story["chapters"])
        found.append(story)
        if len(found) == MOST:
            break
    return found


def _writers(trace: Trace, nodes: Mapping[tuple[str, str], Node]) -> Iterator[Node]:
    """What wrote variables in that run: what reads them afterwards is the same again only with these."""
    for index, info in enumerate(trace.nodes):
        node = nodes.get((info.owner or "", info.name))
        if info.parent < 0 and node is not None and node.opdef.writes and (index, 0) in trace.data.values:
            yield node


def told_story(node: int, origin: NanOrigin, numbers: Mapping[str, int], made: Set[str]) -> Story:
    """What was found, from ``node`` back to the cause. ``numbers``: nodes by name."""
    names = [each for each in reversed(origin.path) if _node_name(each) in numbers]
    chapters = [Chapter(node=numbers[_node_name(name)], text=_chapter(name, origin, made)) for name in names]
    text = (
        f"{origin.kind} in '{origin.fetch[0]}': you set '{origin.name}' to it" if origin.name in made else repr(origin)
    )
    return Story(type="story", node=node, text=text, chapters=chapters)


def _node_name(tensor: str) -> str:
    return tensor.partition(":")[0]


def _chapter(name: str, origin: NanOrigin, made: Set[str]) -> str:
    if name == origin.name and name in made:
        return f"Here it begins: you set this value, and there is {origin.kind} in it. Undo takes it back."
    if name == origin.name:
        inputs = f"; from {', '.join(map(repr, origin.inputs))}" if origin.inputs else ""
        hint = f"\nHint: {origin.hint}" if origin.hint else ""
        return f"Here it begins: {origin.rule}{inputs}{hint}"
    if origin.became is not None and name == origin.became[0]:
        return f"The infinity becomes nan here: {origin.became[1]}"
    if name == origin.fetch[0]:
        return f"This is {origin.fetch[2]}. Where does it come from?"
    return "It comes through here."


def set_in(stepper: Stepper) -> frozenset[str]:
    """Names of the nodes whose values somebody has set in a run that is stepped."""
    waiting: list[Frame] = list(stepper._walk.frames)
    found: set[str] = set()
    while waiting:
        frame = waiting.pop()
        found.update(_node_name(frame.table.names[slot]) for slot in frame.pins if slot in frame.table.names)
        waiting.extend(frame.children.values())
    return frozenset(found)
