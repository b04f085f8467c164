"""The TypeScript of the protocol, from `protocol.py`: ``python -m flowbook.notebook.protocol_types --write``.

It also has what a view has to know of the ops to read a trace without a kernel. With ``--check`` it says whether the
committed file is that.
"""

from __future__ import annotations

import argparse
import textwrap
import types
import typing
from pathlib import Path
from typing import Any, Literal, NotRequired, get_args, get_origin, is_typeddict

from flowbook.graph.opdef import REGISTRY
from flowbook.notebook import protocol

TARGET = Path(__file__).parents[2] / "extension" / "src" / "protocol.ts"
PLAIN = {int: "number", float: "number", str: "string", bool: "boolean", type(None): "null"}


def typescript() -> str:
    """The text of ``extension/src/protocol.ts``."""
    parts = [
        "// Made from flowbook/notebook/protocol.py by `python -m flowbook.notebook.protocol_types --write`.",
        f"export const PROTOCOL = {protocol.PROTOCOL};",
        f"export const STATES = [{', '.join(map(_quoted, protocol.STATES))}] as const;",
        "/** The ops that write a variable. */\n"
        f"export const WRITES: readonly string[] = [{', '.join(map(_quoted, _writes()))}];",
    ]
    parts += [_interface(each) for each in vars(protocol).values() if is_typeddict(each)]
    parts += [f"export type {name} =\n  | {_union(name)};" for name in ("ToView", "ToKernel", "ToPanel", "FromPanel")]
    return "\n\n".join(parts) + "\n"


def _writes() -> list[str]:
    return sorted(name for name, each in REGISTRY.items() if each.writes)


def _union(name: str) -> str:
    return "\n  | ".join(each.__name__ for each in getattr(protocol, name))


def _interface(declared: Any) -> str:
    lines = textwrap.dedent(declared.__doc__ or "").strip().replace("``", "`").splitlines()
    doc = "\n".join(f" * {line.strip()}".rstrip() for line in lines)
    members = []
    for name, hint in typing.get_type_hints(declared, vars(protocol), include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        members.append(f"  {name}{'?' if optional else ''}: {_type(get_args(hint)[0] if optional else hint)};")
    return "\n".join([f"/**\n{doc}\n */", f"export interface {declared.__name__} {{", *members, "}"])


def _type(hint: Any) -> str:
    if hint in PLAIN:
        return PLAIN[hint]
    if is_typeddict(hint):
        return str(hint.__name__)
    origin, inside = get_origin(hint), get_args(hint)
    if hasattr(hint, "__metadata__"):  # Annotated: an array
        return str(hint.__metadata__[0])
    if origin is Literal:
        return " | ".join(map(_quoted, inside))
    if origin is types.UnionType or origin is typing.Union:
        return " | ".join(map(_type, inside))
    if origin is list:
        inner = _type(inside[0])
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if origin is dict:
        return f"Record<{_type(inside[0])}, {_type(inside[1])}>"
    raise TypeError(f"{hint!r} has no TypeScript yet")


def _quoted(text: str) -> str:
    return f'"{text}"'


def main() -> int:
    parser = argparse.ArgumentParser(description="TypeScript types of the protocol")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the file")
    mode.add_argument("--check", action="store_true", help="fail when the file is not up to date")
    if parser.parse_args().write:
        TARGET.write_text(typescript(), encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") != typescript():
        print(f"{TARGET} is not up to date: python -m flowbook.notebook.protocol_types --write")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
