"""Device names, and what is here.

``cpu:0 … cpu:N`` are separate memories of one machine, so that placement and copies can be seen and tested without a
GPU. CuPy is looked for only when somebody asks.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flowbook.errors import ArgumentError, DeviceError
from flowbook.graph.context import as_device


class Device(NamedTuple):
    """A device: its name, whether it can be used, and if not, why."""

    name: str
    usable: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {'usable' if self.usable else 'not usable'} ({self.reason})"


def devices() -> list[Device]:
    """What is here; and for what is not: why.

    >>> devices()[0]
    Device(name='cpu:0', usable=True, reason='NumPy')
    """
    return [Device("cpu:0", True, "NumPy"), Device("gpu:0", False, _why_no_gpu())]


def _why_no_gpu() -> str:
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed: pip install 'flowbook-graph[cuda13]'"
    return "running on a GPU is not built yet"


def as_device_list(names: Sequence[str] | None) -> tuple[str, ...]:
    """The devices of a session, checked; at least one, no name twice."""
    if names is None:
        return ("cpu:0",)
    if isinstance(names, str) or not isinstance(names, Iterable):
        names = [names]
    checked = tuple(dict.fromkeys(as_device(name) for name in names))
    if not checked:
        raise ArgumentError("a session needs at least one device", hint="devices=['cpu:0']")
    for name in checked:
        if not name.startswith("cpu:"):
            reason = _why_no_gpu() if name.startswith("gpu:") else "there is no such kind of device"
            raise DeviceError(f"{name} cannot be used: {reason}", hint="fb.devices() lists what is here")
    return checked
