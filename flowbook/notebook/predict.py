"""Predict, then look: a shape, a value or a gradient that stays hidden until the learner has made a guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from flowbook.errors import ArgumentError
from flowbook.gradients import gradients
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor, live
from flowbook.graph.scratch import scratch
from flowbook.graph.types import format_shape
from flowbook.notebook.commands import session
from flowbook.notebook.hints import Unreadable, close, read_numbers, read_shape, shape_hint, value_hint
from flowbook.notebook.values import Text, format_value
from flowbook.runtime.feeding import prepare

TRIES = 3
KINDS = ("shape", "value", "gradient")
_asked: WeakKeyDictionary[Graph, dict[Any, _Question]] = WeakKeyDictionary()


class Prediction(Text):
    """What `predict` answers: a text, and whether the guess is ``right`` (``None``: there is none yet)."""

    def __init__(self, text: str, right: bool | None = None) -> None:
        super().__init__(text)
        self.right = right


def predict(
    what: Tensor | Node | str | None = None,
    kind: str = "value",
    guess: Any = ...,
    *,
    feeds: Mapping[Any, Any] | None = None,
    of: Tensor | str | None = None,
    counts: bool = True,
    graph: Graph | None = None,
) -> Prediction:
    """Compare a guess with the ``"shape"``, the ``"value"`` or the ``"gradient"`` of a tensor, and say what is wrong.

    A gradient is that ``of`` a single number with respect to ``what``, at ``feeds``. Numbers need to be right to about
    two digits. The third wrong guess shows the answer, and so does ``"?"``; the same guess again is no new try. Without
    a guess (or with ``...``) it says what to do. Called without anything it tells the score; questions asked with
    ``counts=False`` are not in it. Nothing changes in the graph or in its variables, and live views show nothing of it.

    Raises ``ArgumentError`` for a question that makes no sense, and what running raises; for a guess, nothing.

    >>> import flowbook as fb
    >>> with fb.Graph().as_default():
    ...     x = fb.placeholder((), name="x")
    ...     y = fb.multiply(x, fb.square(x), name="y")
    ...     fb.notebook.predict(x, "gradient", 4, of=y, feeds={x: 2.0})
    ...     fb.notebook.predict(x, "gradient", 12, of=y, feeds={x: 2.0})
    ...     fb.notebook.predict()
    d y / d x: not yet (try 1 of 3): that is the share of one path, and there are 2: add them up
    d y / d x: right at try 2: 12   (0 of 1 at the first try)
    score: 0 of 1 at the first try; 1 later
    """
    if what is None:
        return Prediction(f"score: {_score(graph if graph is not None else get_default_graph())}")
    tensor = _tensor(what, graph)
    graph = tensor.graph
    if kind not in KINDS:
        raise ArgumentError(f"predict: there is no kind {kind!r}", hint=", ".join(KINDS))
    if (kind == "gradient") != (of is not None):
        raise ArgumentError("predict: of= is for gradients, and they need it", hint='predict(x, "gradient", of=y)')
    y = None if of is None else _tensor(of, graph)
    if y is not None and y.shape != ():
        raise ArgumentError(f"predict: '{y.name}' is no single number, but {y.spec!r}", hint="of=fb.sum(...)")
    fed = [(each.name, array.shape, array.tobytes()) for each, array in prepare(graph, feeds).items()]
    key = _key(tensor), kind, None if y is None else _key(y), tuple(fed), counts
    questions = _asked.setdefault(graph, {})
    answer, shares = _answer(tensor, kind, y, feeds)
    if key not in questions or not questions[key].answers(answer):
        questions[key] = _Question(tensor, kind, y, answer, counts)
    found = questions[key].hear(guess, shares)
    if not (found.right and counts):
        return found
    gap = "\n  " if "\n" in found.text else "   "
    return Prediction(f"{found.text}{gap}({_score(graph).partition(';')[0]})", True)


class _Question:
    def __init__(self, tensor: Tensor, kind: str, y: Tensor | None, answer: Any, counts: bool) -> None:
        self.kind, self.answer, self.counts = kind, answer, counts
        self.title = f"{kind} of {tensor.name}" if y is None else f"d {y.name} / d {tensor.name}"
        self.tries: list[Any] = []  # the guesses, all different
        self.right = self.shown = False

    def answers(self, answer: Any) -> bool:
        """Whether the answer is still this one: else the graph has changed, and the question is a new one."""
        if self.kind == "shape":
            return bool(self.answer == answer)
        return bool(np.array_equal(self.answer, answer, equal_nan=answer.dtype.kind == "f"))

    @property
    def first(self) -> bool:
        return self.right and len(self.tries) == 1

    def hear(self, guess: Any, shares: list[Any]) -> Prediction:
        """Answer a guess. Whatever it is, it raises nothing."""
        try:
            if guess is ...:
                return self._say('your turn: type your guess in the place of ... ("?" shows the answer)')
            if isinstance(guess, str) and guess.strip() == "?":
                self.shown = self.shown or not self.right
                return self._say(f"it is{self._text()}")
            read = read_shape(guess) if self.kind == "shape" else read_numbers(guess)
        except Unreadable as slip:
            return self._say(f"that cannot be compared: {slip}", False)
        except Exception:  # of a guess that is no number, but has methods of its own
            return self._say("that cannot be compared: type a number, a list of numbers, or a shape", False)
        right = read == self.answer if self.kind == "shape" else close(read, self.answer)
        text = repr(read) if isinstance(read, tuple) else repr(read.tolist())
        if not self.right and not self.shown and text not in self.tries:
            self.tries.append(text)
            self.right = right
        if right:
            return self._say(self._praise(), True)
        if isinstance(read, tuple):
            hint = shape_hint(read, self.answer)
        else:
            hint = value_hint(read, self.answer, shares, self.kind == "gradient")
        self.shown = self.shown or (not self.right and len(self.tries) >= TRIES)
        if self.shown:
            return self._say(f"not yet: {hint}. It is{self._text()}", False)
        count = "" if self.right else f" (try {len(self.tries)} of {TRIES})"
        return self._say(f"not yet{count}: {hint}", False)

    def _praise(self) -> str:
        when = "" if self.shown else " at the first try" if self.first else f" at try {len(self.tries)}"
        return f"right{when}:{self._text()}"

    def _text(self) -> str:
        """The answer, after a space; of several lines, on lines of its own."""
        found = format_shape(self.answer) if self.kind == "shape" else format_value(self.answer)
        return "\n  " + found.replace("\n", "\n  ") if "\n" in found else f" {found}"

    def _say(self, text: str, right: bool | None = None) -> Prediction:
        return Prediction(f"{self.title}: {text}", right)


def _score(graph: Graph) -> str:
    """How many were right at the first try, of those that are done; then the others."""
    asked = [each for each in _asked.get(graph, {}).values() if each.counts]
    first, right, shown = (sum(getattr(each, name) for each in asked) for name in ("first", "right", "shown"))
    others = {"later": right - first, "shown": shown, "open": len(asked) - right - shown}
    text = ", ".join(f"{count} {name}" for name, count in others.items() if count)
    return f"{first} of {right + shown} at the first try" + (f"; {text}" if text else "")


def _key(tensor: Tensor) -> tuple[str, str]:
    return tensor.node.owner.name, tensor.name


def _tensor(what: Any, graph: Graph | None) -> Tensor:
    if isinstance(what, str):
        what = (graph if graph is not None else get_default_graph()).element(what)
    if isinstance(what, Node) and what.outputs:
        what = what.outputs[0]
    if not isinstance(what, Tensor):
        raise ArgumentError(f"predict: {what!r} is not a tensor", hint="a tensor, or the name of one")
    return live(what)


def _answer(tensor: Tensor, kind: str, y: Tensor | None, feeds: Mapping[Any, Any] | None) -> tuple[Any, list[Any]]:
    """What is asked for, and of a gradient that is a sum, the shares along each path."""
    if kind == "shape" and feeds is None:
        if tensor.shape is None:
            raise ArgumentError(f"predict: the shape of '{tensor.name}' depends on what is fed", hint="feeds={...}")
        return tensor.shape, []
    with scratch(tensor.graph, "predict"), tensor.graph.as_default():
        found = tensor if y is None else gradients(y, [tensor], unconnected="zeros")[0]
        assert found is not None
        parts = [] if y is None else _parts(found, tensor.node)
        # Stepped, and back again: nothing is written, and views that watch runs do not give the answer away.
        with session(tensor.graph).debug([found, *parts], feeds) as run:
            answer, *shares = run.finish()
            while run.back() is not None:
                pass
    return (np.shape(answer), []) if kind == "shape" else (answer, shares)


def _parts(gradient: Tensor, node: Node) -> list[Tensor]:
    """The tensors that are added up to a gradient with respect to an output of ``node``."""
    maker = gradient.node
    if maker.forward is node and maker.op in ("add", "identity"):
        return [part for each in maker.input_tensors for part in _parts(each, node)]
    return [gradient]
