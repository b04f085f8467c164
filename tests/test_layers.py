"""Imports point down only.

Every folder and file of `flowbook/` stands on a floor. A module may import modules of
lower floors and of its own folder, there without circles. Imports inside functions may
break a circle within a folder, but must point down, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import flowbook

FLOORS = {
    "errors": 0,
    "graph": 1,
    "ops": 2,
    "gradients": 2,
    "random": 3,
    "devices": 3,
    "native": 3,
    "compile": 4,
    "runtime": 5,
    "analysis": 6,
    "nn": 6,
    "train": 6,
    "interchange": 6,
    "notebook": 7,
}
ROOT = Path(flowbook.__file__).parent


class Import(NamedTuple):
    line: int
    module: str  # dotted, an existing module of the package
    lazy: bool  # inside a function


def module_name(path: Path, root: Path) -> str:
    parts = [root.name, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, root: Path, modules: set[str]) -> Iterator[Import]:
    """The package's own modules that a file imports. What only type checkers see does not count."""
    package = module_name(path, root).split(".")
    if path.name != "__init__.py":
        package = package[:-1]

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from resolve(node.lineno, alias.name, [], lazy)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[: len(package) - node.level + 1]
                base = ".".join(above + ([node.module] if node.module else []))
            yield from resolve(node.lineno, base, [alias.name for alias in node.names], lazy)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.orelse:
                yield from visit(child, lazy)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside)

    def resolve(line: int, base: str, names: list[str], lazy: bool) -> Iterator[Import]:
        if base.split(".")[0] != root.name:
            return
        # `from package import name` means the module package.name where there is one.
        found = {f"{base}.{name}" if f"{base}.{name}" in modules else base for name in names} or {base}
        for module in sorted(found):
            yield Import(line, module, lazy)

    yield from visit(ast.parse(path.read_text(encoding="utf-8"), str(path)), lazy=False)


def room(module: str) -> str:
    """The folder or file directly under the package; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def violations(root: Path, floors: dict[str, int] = FLOORS) -> list[str]:
    paths = {module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    found: list[str] = []
    for name in sorted({room(module) for module in paths} - {""} - set(floors)):
        found.append(f"{root.name}/{name}: stands on no floor; add it to FLOORS")
    circles: dict[str, dict[str, set[str]]] = {}
    for module, path in paths.items():
        here = room(module)
        if here not in floors:
            continue  # the package itself may import anything
        for line, target, lazy in imports(path, root, set(paths)):
            there = room(target)
            where = f"{path.relative_to(root.parent)}:{line}: imports {target}"
            if there == here:
                if not lazy:
                    circles.setdefault(here, {}).setdefault(module, set()).add(target)
            elif there == "":
                found.append(f"{where}, the top of the house")
            elif floors.get(there, 0) >= floors[here]:
                found.append(f"{where}: {here} is on floor {floors[here]}, {there} on {floors[there]}")
    for folder, graph in circles.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(f"{root.name}/{folder}: a circle of imports: {' -> '.join(error.args[1])}")
    return found


def test_imports_point_down() -> None:
    assert not (found := violations(ROOT)), "\n".join(found)


def plant(folder: Path, files: dict[str, str]) -> Path:
    root = folder / "flowbook"
    for name, text in {"__init__.py": "", "graph/__init__.py": "", "ops/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_sound_package_passes(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from .ops import add\nfrom .notebook import magics",
        "errors.py": "import ast",
        "graph/node.py": "from ..errors import FlowError\nimport flowbook.errors",
        "ops/add.py": "from ..graph import node\nfrom flowbook.graph.node import N\nfrom . import table",
        "ops/table.py": "if TYPE_CHECKING:\n    from ..notebook import magics",
        "notebook/magics.py": "from ..ops.add import add\nimport flowbook.graph",
    }
    assert violations(plant(tmp_path, files)) == []


def test_planted_bugs_are_found(tmp_path: Path) -> None:
    upward = {
        "relative": "from ..ops import add",
        "of_a_name": "from .. import ops",
        "absolute": "import flowbook.ops.add",
        "from_absolute": "from flowbook.ops.add import add",
        "in_a_function": "def f():\n    from ..ops import add",
        "in_a_try": "try:\n    import flowbook.ops\nexcept ImportError:\n    pass",
        "in_a_class": "class A:\n    from ..ops import add",
        "in_an_else": "if TYPE_CHECKING:\n    pass\nelse:\n    from ..ops import add",
    }
    for name, text in upward.items():
        root = plant(tmp_path / name, {"graph/bad.py": text, "ops/add.py": ""})
        (found,) = violations(root)
        assert "graph/bad.py:" in found and "graph is on floor 1, ops on 2" in found, (name, found)


def test_the_same_floor_is_not_below(tmp_path: Path) -> None:
    root = plant(tmp_path, {"nn/layers.py": "from ..train import sgd", "train/sgd.py": ""})
    (found,) = violations(root)
    assert "nn is on floor 6, train on 6" in found


def test_the_top_is_out_of_reach(tmp_path: Path) -> None:
    root = plant(tmp_path, {"ops/bad.py": "import flowbook"})
    (found,) = violations(root)
    assert found.endswith("the top of the house")


def test_a_circle_in_a_folder_is_found(tmp_path: Path) -> None:
    files = {
        "graph/a.py": "from .b import x",
        "graph/b.py": "from . import c",
        "graph/c.py": "from flowbook.graph.a import y",
    }
    (found,) = violations(plant(tmp_path / "circle", files))
    assert "a circle of imports" in found
    files["graph/c.py"] = "def f():\n    from flowbook.graph.a import y"
    assert violations(plant(tmp_path / "lazy", files)) == []


def test_a_new_room_needs_a_floor(tmp_path: Path) -> None:
    (found,) = violations(plant(tmp_path, {"attic/box.py": ""}))
    assert found == "flowbook/attic: stands on no floor; add it to FLOORS"
