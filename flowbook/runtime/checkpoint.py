"""Checkpoints: the values of a graph's variables, optimizer slots included, in one file.

A file is written whole or not at all, and read whole or not at all: `restore` changes every variable in one step, or
raises `FileError` and changes none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowbook.errors import FileError, SessionError
from flowbook.graph import container
from flowbook.graph.graph import Graph
from flowbook.graph.node import Tensor
from flowbook.graph.types import TensorSpec

if TYPE_CHECKING:
    from flowbook.runtime.session import Session

Path = str | os.PathLike[str]


def save(session: Session, path: Path) -> None:
    """Write the values of all variables, as they are at one moment, to the file ``path``.

    Variables that no run has used yet get their initial values first. Raises ``FileError`` when the file cannot be
    written; what was there before is still there then.

    >>> import flowbook as fb, pathlib, tempfile
    >>> with fb.Graph().as_default():
    ...     w = fb.Variable([1.0, 2.0], name="w")
    ...     session = fb.Session()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.ckpt")
    ...     save(session, path)
    ...     _ = session.run(fb.assign(w, [7.0, 8.0]))
    ...     restore(session, path)
    >>> session.run(w)
    array([1., 2.], dtype=float32)
    """
    container.write(path, "checkpoint", {}, {variable.name: value for variable, value in values(session).items()})


def values(session: Session) -> dict[Tensor, Any]:
    """The value of every variable of the session's graph, all of one moment; unused ones are initialised."""
    if session.closed:
        raise SessionError("this session is closed", hint="make a new fb.Session()")
    variables = session.graph.variables
    missing = [each for each, found in session.variables.snapshot(variables).items() if found is None]
    if missing:
        session.variables.commit({}, session.initial_values(missing))  # type: ignore[arg-type]
    return {each: found.value for each, found in session.variables.snapshot(variables).items() if found is not None}


def restore(session: Session, path: Path, *, strict: bool = True) -> None:
    """Give the variables the values in the file ``path``, all in one step.

    The file has to hold exactly the variables of the graph, each with its shape and dtype; otherwise ``FileError``
    lists all that differ. ``strict=False`` restores those that are in both, and still insists on shapes and dtypes.
    """
    if session.closed:
        raise SessionError("this session is closed", hint="make a new fb.Session()")
    _, arrays = container.read(path, "checkpoint")
    writes = match(session.graph, arrays, os.fsdecode(path), strict=strict)
    with session.variables.writing:  # not in the middle of a run that writes
        session.variables.commit(writes)


def match(graph: Graph, arrays: Mapping[str, Any], path: str, *, strict: bool = True) -> dict[Tensor, Any]:
    """The array for each variable of the graph; ``FileError`` with all differences when they do not fit."""
    variables = {variable.name: variable for variable in graph.variables}
    missing = [name for name in variables if name not in arrays]
    extra = [name for name in arrays if name not in variables]
    differences, hint = [], None
    for name, variable in variables.items():
        if name in arrays and (found := TensorSpec(arrays[name].shape, arrays[name].dtype)) != variable.spec:
            differences.append(f"{_names([name])} is {found} in the file and {variable.spec} in the graph")
    if differences:
        hint = "restore into a graph that is built like the one that was saved"
    if strict and missing:
        differences.append(f"not in the file: {_names(missing)}")
    if strict and extra:
        differences.append(f"not in the graph: {_names(extra)}")
    if differences:
        hint = hint or "session.restore(path, strict=False) restores what is in both"
        rows = "".join(f"\n  {row}" for row in differences)
        raise FileError(f"{path} does not fit the variables of this graph:{rows}", hint=hint)
    return {variable: arrays[name] for name, variable in variables.items() if name in arrays}


def _names(names: list[str]) -> str:
    shown = ", ".join(repr(name if len(name) <= 60 else f"{name[:57]}...") for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
