"""Node, Tensor and the record behind them.

A `Record` is what a node *is* at one moment: immutable. A `Node` is the one handle of a key (cell, name); it points at
the current record, and transactions replace the record, never change it. A `Tensor` is output `index` of a node.
Because inputs refer to handles, an edit of one cell reaches every consumer, and old handles are never stranded.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

import numpy as np

from flowbook.errors import ArgumentError, FlowError, GraphError
from flowbook.graph.types import DType, Scalar, Shape, TensorSpec, format_shape

if TYPE_CHECKING:
    from flowbook.graph.graph import Graph, Owner
    from flowbook.graph.opdef import OpDef

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Origin(NamedTuple):
    """Where a node was written: the cell (or file) and the line in it."""

    cell: str
    line: int
    file: str

    @property
    def code(self) -> str:
        """The text of that line, while its source can still be found; else an empty string."""
        return linecache.getline(self.file, self.line).strip()

    def __repr__(self) -> str:
        return f"{self.cell}:{self.line}"


class Record(NamedTuple):
    """What a node is: immutable, replaced as a whole."""

    op: OpDef
    inputs: tuple[Tensor | Scalar | None, ...]
    attrs: Mapping[str, Any]
    specs: tuple[TensorSpec, ...]
    seq: int  # creation order inside the owner
    origin: Origin | None
    device: str | None
    controls: tuple[Node, ...]
    forward: Node | None  # the node whose gradient rule made this one
    derivation: Any  # the Derivation that made it, or None
    stale: str | None = None  # why the node cannot run any more
    built: tuple[TensorSpec | None, ...] | None = None  # the inputs' specs when it was made, where they differ now


class Node:
    """One operation of a graph: op, inputs, attributes, outputs; found by its key (cell, name).

    >>> import flowbook as fb
    >>> x = fb.placeholder(("batch", 3), name="x")
    >>> y = fb.tanh(x, name="y")
    >>> y.node
    <Node 'y': tanh float32 (batch, 3)>
    >>> y.node.op, y.node.inputs == (x,), y.node.forward
    ('tanh', True, None)
    """

    __slots__ = ("__weakref__", "graph", "moved", "name", "owner", "record", "tensors")

    def __init__(self, graph: Graph, owner: Owner, name: str) -> None:
        self.graph = graph
        self.owner = owner
        self.name = name
        self.record: Record | None = None
        self.tensors: tuple[Tensor, ...] = ()
        self.moved: Node | None = None  # without a record: the handle an assignment merged this one into

    def hold(self, record: Record | None) -> None:
        """Become ``record``: the handle gets as many tensors as it needs, the first of the right class."""
        self.record = record
        if record is None:
            return
        self.moved = None
        count = len(record.specs)
        if not count:
            return
        wanted = Variable if record.op.name == "variable" else Tensor
        if not self.tensors:
            self.tensors = (wanted(self, 0),)
        elif type(self.tensors[0]) is not wanted:
            self.tensors[0].__class__ = wanted
        if len(self.tensors) < count:
            self.tensors += tuple([Tensor(self, index) for index in range(len(self.tensors), count)])

    @property
    def current(self) -> Record:
        """The record, or ``GraphError`` naming the cell that had it."""
        record = self.record
        if record is None:
            if self.moved is not None:
                return self.live.current
            hint = "run that cell again, or use the tensor it defines now"
            if self.graph._transaction is not None and self.owner is self.graph._owner:
                hint = "this cell is being run again: define it above the line that uses it"
            raise GraphError(f"'{self.name}' is gone: {self.owner.label} no longer defines it", hint=hint)
        return record

    @property
    def live(self) -> Node:
        """The handle that holds the record now: this one, or the one an assignment merged it into."""
        node = self
        while node.moved is not None:
            node = node.moved
        return node

    @property
    def key(self) -> tuple[str, str]:
        """(cell, name); the name includes its scopes."""
        return self.owner.name, self.name

    @property
    def op(self) -> str:
        """Name of the operation."""
        return self.current.op.name

    @property
    def opdef(self) -> OpDef:
        """The declaration of the operation."""
        return self.current.op

    @property
    def inputs(self) -> tuple[Tensor | Scalar | None, ...]:
        """The operands: tensors, weak scalars, ``None`` for an optional one left out."""
        return (self.record or self.current).inputs

    @property
    def input_tensors(self) -> tuple[Tensor, ...]:
        """The operands that are tensors."""
        return tuple(each for each in self.current.inputs if isinstance(each, Tensor))

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The attributes: plain values."""
        return self.current.attrs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors this node produces."""
        return self.tensors[: len((self.record or self.current).specs)]

    @property
    def device(self) -> str | None:
        """The device asked for, or ``None``."""
        return self.current.device

    @property
    def control_inputs(self) -> tuple[Node, ...]:
        """Nodes that have to finish before this one starts."""
        return self.current.controls

    @property
    def forward(self) -> Node | None:
        """For a backward node the forward node whose gradient it belongs to, else ``None``."""
        return self.current.forward

    @property
    def cell(self) -> str:
        """The cell that owns the node (empty for a script)."""
        return self.owner.name

    @property
    def origin(self) -> Origin | None:
        """Cell and line that made the node."""
        return self.current.origin

    @property
    def stale(self) -> str | None:
        """Why the node cannot run any more, or ``None``."""
        return self.current.stale

    @property
    def scope(self) -> str:
        """The name scopes around the node."""
        return self.name.rpartition("/")[0]

    @property
    def order(self) -> tuple[int, int]:
        """Sort key of program order: position of the cell, then creation."""
        return self.owner.position, self.current.seq

    def locate(self, error: FlowError) -> FlowError:
        """Fill node, cell, line and inputs into an error."""
        record = self.record
        if record is None:
            return error.locate(node=self.name)
        origin = record.origin
        return error.locate(
            node=self.name,
            op=record.op.name,
            cell=origin and origin.cell,
            line=origin and origin.line,
            code=origin and origin.code,
            inputs=[describe(each) for each in record.inputs if each is not None],
        )

    def __copy__(self) -> Self:  # there is one handle of a key
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        if self.record is None and self.moved is None:
            return f"<Node '{self.name}': gone>"
        record = self.current
        specs = ", ".join(map(repr, record.specs)) or "no output"
        return f"<Node '{self.name}': {record.op.name} {specs}>"


class Tensor:
    """An edge of the graph: output ``index`` of ``node``. It has no value; a session gives it one.

    Operators and NumPy functions on tensors build nodes; ``==`` builds ``equal``, the hash is identity.

    >>> import flowbook as fb
    >>> x = fb.placeholder((2, 3), name="x2")
    >>> x * 2.0 + 1.0                                                               # doctest: +ELLIPSIS
    <Tensor 'add_...': add float32 (2, 3)>
    """

    __slots__ = ("index", "node")
    __array_priority__ = 1000

    def __init__(self, node: Node, index: int) -> None:
        self.node = node
        self.index = index

    @property
    def spec(self) -> TensorSpec:
        """Shape and dtype together."""
        try:
            return self.node.record.specs[self.index]  # type: ignore[union-attr]
        except (AttributeError, IndexError):
            return self._slow_spec()

    def _slow_spec(self) -> TensorSpec:
        specs = self.node.current.specs
        if self.index >= len(specs):
            count = "1 output" if len(specs) == 1 else f"{len(specs)} outputs"
            raise GraphError(
                f"'{self.name}' is gone: '{self.node.name}' of {self.node.owner.label} has {count} now",
                hint="use the tensors it has now",
            )
        return specs[self.index]

    @property
    def shape(self) -> Shape | None:
        """Tuple of dimensions: int, name, or ``None`` for unknown; ``None`` when the rank is unknown."""
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        """The ``numpy.dtype``; compares equal to its name."""
        return self.spec.dtype

    @property
    def ndim(self) -> int | None:
        """The rank, or ``None`` when unknown."""
        shape = self.spec.shape
        return None if shape is None else len(shape)

    @property
    def name(self) -> str:
        """Name of the node; outputs after the first end in ``:index``."""
        return self.node.name if self.index == 0 else f"{self.node.name}:{self.index}"

    @property
    def graph(self) -> Graph:
        """The graph that holds the node."""
        return self.node.graph

    @property
    def device(self) -> str | None:
        """The device asked for, or ``None``."""
        return self.node.device

    def __copy__(self) -> Self:  # there is one handle of a key
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        record = self.node.live.record
        if record is None or self.index >= len(record.specs):
            return f"<{type(self).__name__} '{self.name}': gone>"
        return f"<{type(self).__name__} '{self.name}': {self.node.op} {self.spec}>"

    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise ArgumentError(
            f"the truth of tensor '{self.name}' is not known while the graph is built",
            hint="use fb.cond or fb.where, or run it: session.run(tensor)",
        )

    def __iter__(self) -> Iterator[Tensor]:
        raise ArgumentError(
            f"tensor '{self.name}' cannot be iterated while the graph is built",
            hint="take parts with t[i] or fb.split",
        )

    def __contains__(self, value: Any) -> NoReturn:  # else Python would hide what `__iter__` says
        raise ArgumentError(
            f"what tensor '{self.name}' contains is not known while the graph is built",
            hint="fb.any(t == value) builds a node",
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise ArgumentError(
            f"tensor '{self.name}' has no value to turn into an array",
            hint="session.run(tensor) gives one; fb.<function> or np.<function> on the tensor builds a node",
        )

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise ArgumentError(
            f"tensor '{self.name}' cannot be changed in place",
            hint="build a new one with fb.where or fb.concat; a Variable changes by fb.assign",
        )

    def _no_number(self) -> NoReturn:
        raise ArgumentError(
            f"tensor '{self.name}' is not a number while the graph is built", hint="session.run(tensor) gives one"
        )

    def __float__(self) -> float:
        self._no_number()

    def __int__(self) -> int:
        self._no_number()

    def __index__(self) -> int:
        self._no_number()

    def __len__(self) -> int:
        shape = self.spec.shape
        if not shape or not isinstance(shape[0], int):
            raise ArgumentError(f"tensor '{self.name}' {format_shape(shape)} has no known length", hint="see .shape")
        return shape[0]

    if TYPE_CHECKING:  # the op registry puts these on (see graph/opdef.py)

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...


class Variable(Tensor):
    """A tensor whose value a session keeps between runs. Build one with ``fb.Variable(init)``."""

    __slots__ = ()

    @property
    def trainable(self) -> bool:
        """Whether optimizers change it."""
        return bool(self.node.attrs["trainable"])


def live(tensor: Tensor) -> Tensor:
    """The handle that holds the tensor now, when an assignment merged its node into the one of an earlier run."""
    return tensor.node.live.tensors[tensor.index]


def describe(operand: Tensor | Scalar | None) -> str:
    """An operand as error messages show it."""
    if isinstance(operand, Tensor):
        try:
            return f"{operand.name} {operand.spec}"
        except GraphError:
            return f"{operand.name} (gone)"
    return f"{operand!r} ({type(operand).__name__})"


def call_site(owner: Owner, inner: int = 1) -> Origin:
    """The innermost line outside flowbook that led here; inside a cell, the line of that cell.

    ``inner``: how many functions up to look first, where those below are surely flowbook's: Python is slow to say more
    of a function that runs.
    """
    frame = sys._getframe(inner)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    file = frame.f_code.co_filename
    if owner.file is not None and file != owner.file:
        outer = frame.f_back  # a helper defined elsewhere: point at the line of the cell that called it
        while outer is not None:
            if outer.f_code.co_filename == owner.file:
                return _origin(owner.name, outer.f_lineno, owner.file)
            outer = outer.f_back
    return _origin(owner.name if file == owner.file else None, frame.f_lineno, file)


@lru_cache(maxsize=1024)
def _origin(cell: str | None, line: int, file: str) -> Origin:
    """One object for all nodes of a line. Without a cell the file's name is in its place."""
    if cell is None:
        cell = file if file.startswith("<") else os.path.basename(file)
    return Origin(cell, line, file)


def as_plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it stands for; everything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value
