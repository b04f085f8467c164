"""The compiled library of ``kernels/``, where it is there; without it the reference kernels do everything.

In the environment, ``FLOWBOOK_NATIVE=0`` leaves it out, ``FLOWBOOK_THREADS`` is how many threads sessions use that say
nothing else, ``FLOWBOOK_CPU`` chooses a variant of the kernels (``v4``, ``v3``, ``base``), and ``FLOWBOOK_LIBRARY``
names another folder to load it from (a build with sanitizers).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

library: Any = None  # the extension module, or ``None``
reason = ""  # why it is not there
_told = False

if os.environ.get("FLOWBOOK_NATIVE") == "0":
    reason, _told = "FLOWBOOK_NATIVE=0 leaves it out", True
else:
    if os.environ.get("FLOWBOOK_LIBRARY"):
        __path__.insert(0, os.environ["FLOWBOOK_LIBRARY"])
    try:
        library = import_module("flowbook.native._native")
    except ImportError as error:
        reason = str(error)

KERNELS: frozenset[str] = library.names() if library is not None else frozenset()
CPUS: int = library.cpus() if library is not None else 1  # that this process may use; so many threads by default


def tell_once() -> None:
    """Warn, the first time, when there is no library: everything works, and more slowly."""
    global _told
    if library is None and not _told:
        _told = True
        warnings.warn(
            f"flowbook runs on NumPy, which is slower: its native library is not here ({reason}). "
            "Install a C++ compiler and install flowbook again.",
            RuntimeWarning,
            stacklevel=3,
        )


_PER_FLOP = 0.3  # nanoseconds, on one core


def nanoseconds(op: Any, inputs: Sequence[Any], outputs: Sequence[Any], attrs: Any) -> dict[str, Any]:
    """The attributes of a call of an operator that a user wrote, with what the library goes by when it shares out work:
    the estimated time, where the operator says its cost."""
    flops = op.flops(inputs, outputs, attrs)
    return {**attrs, "flowbook:nanoseconds": flops * _PER_FLOP} if flops else dict(attrs)


def path() -> str:
    """The folder of the compiled library, for programs in other languages: ``libflowbook.so`` is in it.

    >>> os.path.basename(path())
    'native'
    """
    return os.path.dirname(os.path.abspath(__file__))
