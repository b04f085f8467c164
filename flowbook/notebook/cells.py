"""Running a cell: its Python, in the user's namespace, as one transaction of the graph.

All or nothing: a cell that fails leaves the graph and the user's bindings as they were. Nothing here knows IPython,
so scripts can do what the ``%%flow`` magic does: `run_cell`.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from types import CodeType, TracebackType
from typing import Any

from flowbook.errors import FlowError
from flowbook.graph import context
from flowbook.graph.graph import Graph
from flowbook.graph.transaction import Commit
from flowbook.notebook.naming import HOOK, Namer, add_hooks


def identity(source: str) -> str:
    """The identity of a cell that has neither a name nor a front end that tells cells apart: a hash of its source.

    >>> identity("h = 1") == identity("h = 1"), identity("h = 1") == identity("h = 2")
    (True, False)
    """
    return blake2b(source.strip().encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def run_cell(
    source: str,
    namespace: dict[str, Any],
    *,
    name: str | None = None,
    graph: Graph | None = None,
    device: str | None = None,
    scope: str | None = None,
    file: str | None = None,
    first_line: int = 1,
    was: str | None = None,
    maker: str | None = None,
) -> tuple[Commit, Any]:
    """Run ``source`` in ``namespace``; the nodes it makes belong to the cell ``name`` and replace its old ones.

    ``graph``: default, the current default graph. ``device`` and ``scope`` hold for the whole cell. ``file`` and
    ``first_line``: the file name Python knows the code by, and the line in it where ``source`` begins. ``was``: the
    name that the cell had before, if it had another. ``maker``: the front end's id of the cell.
    Returns the commit and the value of a last expression (else ``None``). Whatever the cell raises passes through,
    after the graph and the namespace are put back; a ``FlowError`` gets the cell and line where it came from.

    >>> import flowbook as fb
    >>> space = {"fb": fb}
    >>> commit, _ = run_cell("x = fb.placeholder((2,))\\ny = fb.tanh(x)", space, name="example", graph=fb.Graph())
    >>> commit, space["y"]
    (<Commit of example: 2 added>, <Tensor 'y': tanh float32 (2,)>)
    """
    graph = graph if graph is not None else context.get_default_graph()
    name = name if name is not None else identity(source)
    if file is None:
        file = f"<cell {name}>"
        lines = "\n" * (first_line - 1) + source
        linecache.cache[file] = (len(lines), None, lines.splitlines(keepends=True), file)
    body, last = compile_cell(source, file, first_line)
    try:
        with restored(namespace), ExitStack() as contexts:
            draft = contexts.enter_context(graph.transaction(name, file=file, was=was, maker=maker))
            contexts.enter_context(graph.as_default())
            if device is not None:
                contexts.enter_context(context.device(device))
            if scope is not None:
                contexts.enter_context(context.name_scope(scope))
            namespace[HOOK] = Namer(draft)
            try:
                exec(body, namespace)
                value = eval(last, namespace) if last is not None else None
            finally:
                namespace.pop(HOOK, None)
    except FlowError as error:
        locate(error, name, file)
        raise
    assert draft.commit is not None
    return draft.commit, value


def compile_cell(source: str, file: str, first_line: int = 1) -> tuple[CodeType, CodeType | None]:
    """The code of a cell, and that of its last expression when it ends in one whose value is to be shown."""
    tree = ast.parse("\n" * (first_line - 1) + source, file)
    last: ast.Expression | None = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    body = compile(add_hooks(tree), file, "exec")
    return body, None if last is None else compile(add_hooks(last), file, "eval")  # type: ignore[arg-type]


@contextmanager
def restored(namespace: dict[str, Any]) -> Iterator[None]:
    """Put the bindings of a namespace back when the block raises."""
    before = dict(namespace)
    try:
        yield
    except BaseException:
        for name in namespace.keys() - before.keys():
            del namespace[name]
        for name, value in before.items():
            if name not in namespace or namespace[name] is not value:
                namespace[name] = value
        raise


def inside(trace: TracebackType | None, file: str) -> TracebackType | None:
    """A traceback from its first frame in ``file`` on; ``None`` when it has none."""
    while trace is not None and trace.tb_frame.f_code.co_filename != file:
        trace = trace.tb_next
    return trace


def locate(error: FlowError, cell: str, file: str) -> None:
    """Tell an error that does not know better the line of the cell it came through."""
    trace, line = inside(error.__traceback__, file), None
    while trace is not None:
        line, trace = trace.tb_lineno, inside(trace.tb_next, file)
    if line is not None:
        error.locate(cell=cell, line=line, code=linecache.getline(file, line).strip() or None)
