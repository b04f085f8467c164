"""Tab completion: in ``%flow`` and ``%%flow`` lines subcommands, options, what can be fetched, devices and graphs; in
Python the names of dtypes and devices inside quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from flowbook.devices.device import devices
from flowbook.graph.context import get_default_graph
from flowbook.graph.graph import Graph
from flowbook.graph.node import Node, Tensor
from flowbook.graph.types import SUPPORTED
from flowbook.notebook.options import Command

MAGICS = ("%flow", "%%flow")
MATCHER = "flowbook"
_ASSIGNED = re.compile(r"^\s*[\w, ]+=\s*(%flow\s.*)$")  # x = %flow run loss
_DTYPE = re.compile(r"""(?:dtype\s*=\s*|(?:placeholder|cast|constant|astype|Variable)\(.*)["'](\w*)$""")
_DEVICE = re.compile(r"""\bdevice\(\s*["']([\w:]*)$""")


def complete(
    line: str, word: str, cell: Command, commands: Mapping[str, Command], names: Mapping[str, Any]
) -> list[str]:
    """What ``word``, the last one of ``line``, may become. ``names``: the user's.

    >>> from flowbook.notebook.options import Option
    >>> commands = {"run": Command("%flow run", "", (Option("feed", "x=EXPR", ""),), (1, None))}
    >>> complete("%flow r", "r", commands["run"], commands, {}), complete("%flow run --", "--", None, commands, {})
    (['run'], ['--feed'])
    """
    done = line[: len(line) - len(word)].split()
    if not done:
        return []
    if done[0] == "%%flow":
        found = _after(done[1:], cell, names, ())
    elif len(done) == 1:
        found = list(commands)
    elif done[1] == "help":
        found = list(commands) if len(done) == 2 else []
    elif done[1] in commands:
        found = _after(done[2:], commands[done[1]], names, _wanted(done[1], names))
    else:
        found = []
    return sorted({each for each in found if each.startswith(word)})


def _after(done: list[str], command: Command, names: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    last = done[-1] if done else ""
    if last == "--device":
        return [each.name for each in devices()]
    if last == "--graph":
        return [name for name, value in names.items() if isinstance(value, Graph) and not name.startswith("_")]
    options = {f"--{each.name}": each for each in command.options}
    if last in options and options[last].value and not options[last].rest:
        return []
    given = {each for each in done if each in options}
    if last == "--feed":
        return [f"{name}=" for name in _placeholders(names)]
    feeding = next((each for each in reversed(done) if each in options), "") == "--feed"
    plain = [f"{name}=" for name in _placeholders(names)] if feeding else [*wanted]
    return [*plain, *(name for name in options if name not in given)]


def _wanted(command: str, names: Mapping[str, Any]) -> list[str]:
    """What a subcommand takes: the user's tensors and the names of nodes; variables, patterns, cells."""
    graph = get_default_graph()
    if command == "reset":
        return [each.name for each in graph.variables]
    if command == "view":
        return [owner.name for owner in graph.owners if owner.name and owner.nodes]
    if command == "auto":
        return ["on", "off"]
    if command in ("break", "watch"):
        return [*dict.fromkeys([*(node.name for node in graph.nodes), *(f"op:{node.op}" for node in graph.nodes)])]
    if command not in ("run", "debug", "grad", "why", "profile", "export"):
        return []
    own = [name for name, value in names.items() if isinstance(value, (Tensor, Node)) and not name.startswith("_")]
    return own + [node.name for node in graph.nodes]


def _placeholders(names: Mapping[str, Any]) -> list[str]:
    """Placeholders by the user's names, and by their own."""
    own = [name for name, value in names.items() if isinstance(value, Tensor) and not name.startswith("_")]
    doors = {node for node in get_default_graph().nodes if node.op == "placeholder"}
    return [name for name in own if names[name].node in doors] + [node.name for node in doors]


def complete_python(line: str, word: str, cell: Command, commands: Mapping[str, Command], names: Any) -> list[str]:
    """What ``word``, the end of a line of Python, may become: where a dtype or a device is written, or a magic's line
    whose value is assigned.

    >>> complete_python('x = fb.placeholder((2,), "flo', "flo", None, {}, {})
    ['float16', 'float32', 'float64']
    """
    assigned = _ASSIGNED.search(line)
    if assigned:
        return complete(assigned[1], word, cell, commands, names)
    for pattern, known in ((_DEVICE, [each.name for each in devices()]), (_DTYPE, list(SUPPORTED))):
        found = pattern.search(line)
        if found:
            return sorted(each for each in known if each.startswith(found[1]))
    return []


def install(shell: Any, cell: Command, commands: Mapping[str, Command]) -> None:
    """Complete the magics' lines in this shell; a second time replaces the first."""

    def completer(shell: Any, event: Any) -> list[str]:
        lines = event.line.splitlines() or [""]
        return complete(lines[0], event.symbol, cell, commands, shell.user_ns)

    @context_matcher(identifier=MATCHER)  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> dict[str, Any]:
        line = context.text_until_cursor
        word = re.search(r"[\w:./-]*$", line)
        assert word is not None
        found = complete_python(line, word[0], cell, commands, shell.user_ns)
        completions = [SimpleCompletion(text=each, type="flowbook") for each in found]
        return {"completions": completions, "matched_fragment": word[0], "suppress": bool(found)}

    uninstall(shell)
    for magic in MAGICS:
        shell.set_hook("complete_command", completer, str_key=magic)
    shell.Completer.custom_matchers.append(matcher)


def uninstall(shell: Any) -> None:
    """Stop completing; IPython itself has no way to take a hook back."""
    dispatcher = shell.strdispatchers.get("complete_command")
    for magic in MAGICS:
        if dispatcher is not None:
            dispatcher.strs.pop(magic, None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if getattr(each, "matcher_identifier", None) != MATCHER]
