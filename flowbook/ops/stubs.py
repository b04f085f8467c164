"""The typed stub of the package, ``flowbook/__init__.pyi``, written from the declarations.

``python -m flowbook.ops.stubs --write`` writes it; ``--check`` shows what a run of ``--write`` would change, and
fails when that is anything. Types of attributes come from annotations of the kernel where it has some, else from the
table of names below, else from the default.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from flowbook.errors import ArgumentError
from flowbook.graph.graph import Graph
from flowbook.graph.opdef import REGISTRY, OpDef, Sample

PACKAGE = "flowbook"
STUB = Path(__file__).parents[1] / "__init__.pyi"
WIDTH = 120

# What an attribute of a name takes, in the three cases: it is required, its default is None, its default is something.
_ATTRIBUTES = {
    "axis": ("int | Sequence[int]", "int | Sequence[int] | None", "int"),
    "axes": ("Sequence[int]", "Sequence[int] | None", "Sequence[int]"),
    "shape": ("_ShapeLike", "_ShapeLike", "_ShapeLike"),
    "dtype": ("DTypeLike", "DTypeLike | None", "DTypeLike"),
    "depth": ("int", "int | None", "int"),
    "window": ("int | tuple[int, int]", "int | tuple[int, int] | None", "int | tuple[int, int]"),
    "strides": ("int | tuple[int, int]", "int | tuple[int, int] | None", "int | tuple[int, int]"),
    "dilations": ("int | tuple[int, int]", "int | tuple[int, int] | None", "int | tuple[int, int]"),
    "indices_or_sections": ("int | Sequence[int]", "int | Sequence[int] | None", "int | Sequence[int]"),
    "pad_width": ("int | Sequence[Any]", "int | Sequence[Any] | None", "int | Sequence[Any]"),
    "correction": ("float", "float | None", "float"),
    "seed": ("int", "int | None", "int"),
    "name": ("str", "str | None", "str"),
}

_HEAD = """\
# Written by `python -m flowbook.ops.stubs --write` from the declarations of the operators; do not edit.
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

"""

_ALIASES = """
_TensorLike: TypeAlias = Tensor | NDArray[Any] | np.number[Any] | np.bool | float | list[Any] | tuple[Any, ...]
_ShapeLike: TypeAlias = Sequence[int | str | None] | int | str | None
"""


def package() -> ModuleType:
    """The package itself, which is there because this module is part of it."""
    return sys.modules[PACKAGE]


def stub() -> str:
    """The text of the stub."""
    exports = "".join(f"{line}\n" for line in _exports())
    operators = "".join(f"\n{_function(name, builder)}" for name, builder in _builders())
    return f"{_HEAD}{exports}{_ALIASES}\n__version__: str\n{operators}"


def _public() -> dict[str, Any]:
    return {name: value for name, value in vars(package()).items() if not name.startswith("_")}


def _exports() -> list[str]:
    """Re-exports of what is written by hand: modules, classes, functions."""
    lines = [f"from {PACKAGE} import {name} as {name}" for name in _modules()]
    found = {
        name: value.__module__
        for name, value in _public().items()
        if inspect.isclass(value) or (inspect.isfunction(value) and not hasattr(value, "opdef"))
    }
    for name, target in getattr(package(), "_LAZY", {}).items():
        module, _, member = target.partition(":")
        if member:
            found[name] = module
    for name, module in sorted(found.items(), key=lambda item: (item[1], item[0])):
        if module.startswith(f"{PACKAGE}."):
            lines.append(f"from {module} import {name} as {name}")
    return lines


def _modules() -> list[str]:
    """Modules that `__init__.py` imports by name, or when they are first used."""
    tree = ast.parse(Path(str(package().__file__)).read_text(encoding="utf-8"))
    names = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE
        for alias in node.names
        if isinstance(getattr(package(), alias.name), ModuleType)
    ]
    lazy = [name for name, target in getattr(package(), "_LAZY", {}).items() if ":" not in target]
    return sorted({*names, *lazy})


def _builders() -> Iterator[tuple[str, Any]]:
    """The operators, and the functions of `__init__.py` itself."""
    for name, value in sorted(_public().items()):
        if inspect.isfunction(value) and (hasattr(value, "opdef") or value.__module__ == PACKAGE):
            yield name, value


# ------------------------------------------------------------------------------------------------ one function


def _function(name: str, builder: Callable[..., Any]) -> str:
    signature = inspect.signature(builder)
    op: OpDef | None = getattr(builder, "opdef", None)
    parameters, star = [], False
    for each in signature.parameters.values():
        if each.kind == inspect.Parameter.KEYWORD_ONLY and not star:
            parameters.append("*")
            star = True
        default = "" if each.default is each.empty else f" = {_default(each.default)}"
        parameters.append(f"{each.name}: {_type(op, each)}{default}")
    head = f"def {name}({', '.join(parameters)}) -> {_result(op, signature)}:"
    if len(head) > WIDTH:
        head = f"def {name}(\n    {', '.join(parameters)}\n) -> {_result(op, signature)}:"
    if max(map(len, head.splitlines())) > WIDTH:
        rows = "".join(f"    {each},\n" for each in parameters)
        head = f"def {name}(\n{rows}) -> {_result(op, signature)}:"
    lines = (inspect.getdoc(builder) or "").split("\n\n")[0].splitlines()
    doc = "\n    ".join(lines)
    quote = 'r"""' if "\\" in doc else '"""'
    return f'{head}\n    {quote}{doc}"""\n'


def _default(value: Any) -> str:
    return repr(value).replace("'", '"') if isinstance(value, str) else repr(value)


def _type(op: OpDef | None, parameter: inspect.Parameter) -> str:
    """The type of a parameter; ``ArgumentError`` when nothing says it."""
    name, default = parameter.name, parameter.default
    if parameter.annotation is not parameter.empty:
        return str(parameter.annotation)
    if op is not None:
        if name == op.variadic:
            return "Sequence[_TensorLike]"
        if name in [each.name for each in op.tensors]:
            return "_TensorLike | None" if default is None else "_TensorLike"
    if name in _ATTRIBUTES:
        return _ATTRIBUTES[name][0 if default is parameter.empty else 1 if default is None else 2]
    if type(default) in (bool, int, float, str):
        return type(default).__name__
    owner = op.name if op is not None else "the function"
    raise ArgumentError(f"nothing says what type '{name}' of {owner} has", hint="annotate it in the kernel")


def _result(op: OpDef | None, signature: inspect.Signature) -> str:
    if signature.return_annotation is not signature.empty:
        return str(signature.return_annotation)
    if op is None:
        return "None"
    samples: list[Sample] = list(op.samples()) if op.samples and not op.structured else []
    for sample in samples[:1]:
        with Graph().as_default():
            operands = [_placeholder(each) for each in sample.inputs]
            built = op.builder(*([operands] if op.variadic else operands), **sample.attrs)
            return "tuple[Tensor, ...]" if isinstance(built, tuple) else "Tensor"
    return "Tensor"


def _placeholder(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return REGISTRY["placeholder"].builder(value.shape, value.dtype.name)


# ------------------------------------------------------------------------------------------------ the file


def difference() -> str:
    """What ``--write`` would change, as a diff; empty when the file is current."""
    old = STUB.read_text(encoding="utf-8") if STUB.exists() else ""
    names = STUB.name, f"{STUB.name} (from the declarations)"
    return "".join(difflib.unified_diff(old.splitlines(True), stub().splitlines(True), *names))


def main(arguments: Sequence[str]) -> int:
    """``--write`` or ``--check``; 1 when the file is out of date or the option unknown."""
    if list(arguments) == ["--write"]:
        STUB.write_text(stub(), encoding="utf-8")
        return 0
    if list(arguments) == ["--check"]:
        changes = difference()
        if changes:
            print(f"{changes}\n{STUB.name} is out of date: python -m flowbook.ops.stubs --write", file=sys.stderr)
        return int(bool(changes))
    print("usage: python -m flowbook.ops.stubs --write | --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
