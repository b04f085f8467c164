"""Every error a user of flowbook can cause, and the one text form they share.

An error says what happened, on which node, from which cell and line, with the actual shapes, and the likely fix.
Each class also inherits the built-in exception that a Python programmer would expect (``ShapeError`` is a
``ValueError``), so ``except ValueError`` keeps working.

>>> from flowbook.errors import ShapeError
>>> error = ShapeError("inner dimensions differ: 3 and 4", hint="transpose the second operand")
>>> error.node = "layer1/matmul"; error.op = "matmul"; error.cell = "model"; error.line = 3
>>> error.inputs = ["x float32 (2, 3)", "w float32 (4, 5)"]
>>> print(error)
inner dimensions differ: 3 and 4
  node:   layer1/matmul (matmul)
  where:  model, line 3
  inputs: x float32 (2, 3)
          w float32 (4, 5)
  hint:   transpose the second operand
"""

from __future__ import annotations

from collections.abc import Sequence


class FlowError(Exception):
    """The base of every error a user can cause.

    Parameters are the message and the facts that are known where it is raised; those who catch it on its way up
    (the graph builder, a driver) fill in what is still missing with :meth:`locate`.

    Attributes: ``message``, ``hint``, ``node`` and ``op`` (names), ``cell``, ``line``, ``code`` (the source line),
    ``inputs`` (one text per input: name, dtype, shape).
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        node: str | None = None,
        op: str | None = None,
        cell: str | None = None,
        line: int | None = None,
        code: str | None = None,
        inputs: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node = node
        self.op = op
        self.cell = cell
        self.line = line
        self.code = code
        self.inputs = list(inputs)

    def locate(
        self,
        *,
        node: str | None = None,
        op: str | None = None,
        cell: str | None = None,
        line: int | None = None,
        code: str | None = None,
        inputs: Sequence[str] = (),
    ) -> FlowError:
        """Fill in what is not known yet; what an inner level already said is kept. Returns the error itself."""
        if self.node is None and node is not None:
            self.node, self.op = node, op
        if self.op is None:
            self.op = op
        if self.line is None and line is not None:
            self.cell, self.line, self.code = cell, line, code
        if not self.inputs:
            self.inputs = list(inputs)
        return self

    def __str__(self) -> str:
        rows = [self.message]
        if self.node is not None:
            rows.append(f"  node:   {self.node}" + (f" ({self.op})" if self.op else ""))
        elif self.op is not None:
            rows.append(f"  op:     {self.op}")
        if self.line is not None:
            where = f"{self.cell}, line {self.line}"
            rows.append(f"  where:  {where}" + (f":  {self.code}" if self.code else ""))
        rows.extend(
            ("  inputs: " if position == 0 else "          ") + text for position, text in enumerate(self.inputs)
        )
        if self.hint:
            rows.append(f"  hint:   {self.hint}")
        return "\n".join(rows)


class ShapeError(FlowError, ValueError):
    """Shapes or ranks that do not fit together."""


class DTypeError(FlowError, TypeError):
    """A dtype an operation cannot take, or a cast that would lose what the numbers mean."""


class ArgumentError(FlowError, TypeError):
    """A wrong call: missing, unknown or badly typed arguments."""


class GraphError(FlowError, ValueError):
    """A graph that cannot be: a cycle, a name used twice, a handle whose node is gone, tensors of two graphs."""


class GradientError(FlowError, ValueError):
    """A derivative that does not exist, or that nobody declared."""


class FeedError(FlowError, ValueError):
    """A feed that is missing, unknown, or of the wrong shape or dtype."""


class FetchError(FlowError, LookupError):
    """A fetch that names nothing, or several things."""


class RunError(FlowError, RuntimeError):
    """An operation raised while it ran; the original exception is ``__cause__``."""


class DeviceError(FlowError, RuntimeError):
    """A device that is not here, with the reason."""


class SessionError(FlowError, RuntimeError):
    """A session, stepper or trace asked for something it cannot do now."""


class FileError(FlowError, ValueError):
    """A file that is missing, damaged, foreign, or of another kind."""
