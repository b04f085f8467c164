"""Placement: a device for every instruction, and copies where a value changes memory.

Soft: a device that was asked for but is not here is replaced by the first one, and the plan's notes say so. A node
without a request runs where its forward node runs (backward nodes), where its variable lives (writes), or on the
first device. Feeds, constants and fetches are in the host's memory, which is that of the first ``cpu`` device.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowbook.compile.program import Instruction, Program
from flowbook.graph.opdef import REGISTRY


def place(program: Program, devices: Sequence[str]) -> list[str]:
    """Set ``device`` of each instruction, insert ``copy`` instructions, and return notes on replaced devices."""
    if len(devices) == 1:
        return _on_one(program, devices[0])
    default, notes = devices[0], []
    host = next((name for name in devices if name.startswith("cpu:")), default)
    asked: dict[str, str] = {}

    def usable(name: str | None) -> str | None:
        if name is None or name in devices:
            return name
        if name not in asked:
            asked[name] = default
            notes.append(_note(name, default))
        return default

    home: dict[int, str] = dict.fromkeys(program.constants, host)
    home.update({value: host for _, value in program.feeds})
    for value, variable in program.states.items():
        home[value] = usable(variable.node.device) or default
    placed: list[Instruction] = []
    chosen: dict[object, str] = {}
    copies: dict[tuple[int, str], int] = {}

    def moved(value: int, target: str) -> int:
        if home[value] == target or program.specs[value] is None:
            return value
        if (value, target) not in copies:
            copies[value, target] = copy = program.value(program.specs[value])
            home[copy] = target
            name = f"copy/{source_name(program, value)}/{home[value]}-{target}"
            attrs = {"source": home[value], "target": target}
            placed.append(Instruction(REGISTRY["copy"], (value,), (copy,), attrs, None, name, target))
        return copies[value, target]

    for each in program.instructions:
        forward = each.node.record.forward if each.node is not None and each.node.record is not None else None
        written = [each.inputs[source] for source, _ in each.attrs.get("writes", each.op.writes)]
        if written and written[0] is not None:
            device = home[written[0]]
        else:
            device = usable(each.device) or chosen.get(forward) or default
        if each.node is not None:
            chosen[each.node] = device
        each.device = device
        each.inputs = tuple(None if value is None else moved(value, device) for value in each.inputs)
        for value in each.outputs:
            home[value] = device
        placed.append(each)
    program.fetches = [None if value is None else moved(value, host) for value in program.fetches]
    program.instructions = placed
    return notes


def _on_one(program: Program, device: str) -> list[str]:
    """Where there is one device, everything is on it."""
    asked = [variable.node.device for variable in program.states.values()]
    for each in program.instructions:
        if each.device is not None:
            written = [each.inputs[source] for source, _ in each.attrs.get("writes", each.op.writes)]
            if not written or written[0] is None:
                asked.append(each.device)
        each.device = device
    return [_note(name, device) for name in dict.fromkeys(asked) if name is not None and name != device]


def _note(asked: str, device: str) -> str:
    return f"{asked} is not in this session; its nodes run on {device}"


def source_name(program: Program, value: int) -> str:
    """What a value is called: the node that makes it, the variable, or the feed."""
    if value in program.states:
        return program.states[value].name
    for tensor, number in program.feeds:
        if number == value:
            return tensor.name
    for each in program.instructions:
        if value in each.outputs:
            index = each.outputs.index(value)
            return each.name if index == 0 else f"{each.name}:{index}"
    return f"constant_{value}"
