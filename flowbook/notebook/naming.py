"""Names assigned in a cell name nodes: ``h = fb.relu(x)`` makes the node ``h``.

The cell's syntax tree is changed before it runs: each assigned value passes through a hook, which renames a node that
was made in this cell and still has an automatic name (``relu_1``, or ``gradients/w``, where `gradients` put the
gradient of ``w``) and returns the handle to bind. So an alias keeps
the first name, a name given by ``name=`` stays, and what a name is bound to again is called ``h_1``. Bodies of
functions and classes are left alone: what is assigned there are somebody's local variables.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from flowbook.graph.node import Node, Tensor
from flowbook.graph.transaction import Transaction

HOOK = "__flowbook_name__"  # what the changed tree calls; it stands in the namespace while the cell runs


def add_hooks(tree: ast.Module) -> ast.Module:
    """The tree of a cell with a hook at each assignment.

    >>> print(ast.unparse(add_hooks(ast.parse("a = f()\\nb, c = g()"))))
    a = __flowbook_name__(f(), 'a')
    b, c = g()
    b = __flowbook_name__(b, 'b')
    c = __flowbook_name__(c, 'c')
    """
    return ast.fix_missing_locations(_Hooks().visit(tree))  # type: ignore[no-any-return]


class Namer:
    """The hook: called with a value and the name it is assigned to, returns what to bind."""

    def __init__(self, draft: Transaction) -> None:
        self.draft = draft

    def __call__(self, value: Any, name: str) -> Any:
        node = value.node if isinstance(value, Tensor) else value
        if not isinstance(node, Node) or node.owner is not self.draft.owner or node.record is None:
            return value
        if not self._is_unnamed(node) or not name.strip("_"):
            return value
        self.draft.journal.unnamed.discard(node)
        return self.draft.graph.rename(value, name)

    def _is_unnamed(self, node: Node) -> bool:
        """Whether nobody gave the node its name: it was counted (``op_k``), or a derivation named its result."""
        derivation = node.current.derivation
        if derivation is not None and node in derivation.outputs:
            return node.name.startswith(derivation.context.scope)
        return node in self.draft.journal.unnamed


def _hook(value: ast.expr, name: str) -> ast.expr:
    call = ast.Call(ast.Name(HOOK, ast.Load()), [value, ast.Constant(name)], [])
    return ast.copy_location(call, value)


def _names(target: ast.expr) -> Iterator[ast.Name]:
    if isinstance(target, ast.Name):
        yield target
    elif isinstance(target, (ast.Tuple, ast.List)):
        for each in target.elts:
            yield from _names(each)


def _renamings(*targets: ast.expr) -> list[ast.stmt]:
    """Statements ``name = hook(name, 'name')`` for each name in the targets."""
    found: list[ast.stmt] = []
    for target in targets:
        for name in _names(target):
            value = ast.copy_location(ast.Name(name.id, ast.Load()), name)
            statement = ast.Assign([ast.Name(name.id, ast.Store())], _hook(value, name.id))
            found.append(ast.copy_location(statement, name))
    return found


class _Hooks(ast.NodeTransformer):
    def _leave(self, node: Any) -> Any:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _leave

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        if all(isinstance(target, ast.Name) for target in node.targets):
            node.value = _hook(node.value, next(_names(node.targets[0])).id)
            return node
        return [node, *_renamings(*node.targets)]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        if node.value is not None and isinstance(node.target, ast.Name):
            node.value = _hook(node.value, node.target.id)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        self.generic_visit(node)
        return [node, *_renamings(node.target)]

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        self.generic_visit(node)
        node.value = _hook(node.value, node.target.id)
        return node

    def visit_For(self, node: ast.For) -> Any:
        self.generic_visit(node)
        node.body[:0] = _renamings(node.target)
        return node

    def visit_With(self, node: ast.With) -> Any:
        self.generic_visit(node)
        targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
        node.body[:0] = _renamings(*targets)
        return node
