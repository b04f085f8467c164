"""The variables' values of one session.

Values are arrays that nobody changes; a commit replaces them all in a single dictionary update, which neither an
exception nor Ctrl-C can cut in half. Where nobody else has an old value, the new one takes over its memory, in the same
call. A value is kept under (name, shape, dtype), so one whose definition went away stays parked,
and a definition that comes back finds it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from flowbook.graph.node import Tensor
from flowbook.runtime.engine import Updates


class Stored(NamedTuple):
    """A value and the number of the commit that wrote it."""

    value: Any
    version: int


Slot = tuple[str, Any, Any]


def slot_of(variable: Tensor) -> Slot:
    """Where a variable's value is kept."""
    spec = variable.spec
    return variable.node.name, spec.shape, spec.dtype


class VariableStore:
    """Values by (name, shape, dtype), each with the version that wrote it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.writing = threading.RLock()  # held for the length of a run that writes, so no update is lost
        self.version = 0
        self._values: dict[Slot, Stored] = {}

    def get(self, variable: Tensor) -> Stored | None:
        """The stored value, or ``None`` before the first use."""
        return self.get_slot(slot_of(variable))

    def get_slot(self, slot: Slot) -> Stored | None:
        """What is kept under (name, shape, dtype), or ``None``."""
        with self.lock:  # no commit is going on
            return self._values.get(slot)

    def snapshot(self, variables: Iterable[Tensor]) -> dict[Tensor, Stored | None]:
        """The values of several variables at one moment."""
        with self.lock:
            return {each: self._values.get(slot_of(each)) for each in variables}

    def commit(
        self,
        writes: Mapping[Any, Any],
        initial: Mapping[Tensor, Any] | None = None,
        updates: Updates | None = None,
    ) -> int:
        """Store new values in one step; ``initial`` ones only where there is none yet. ``updates``: values that are
        computed in that step, over the old ones where only the store has those. Returns the version."""
        with self.lock:
            version = self.version + 1
            new = {
                slot_of(each): Stored(value, version)
                for each, value in (initial or {}).items()
                if slot_of(each) not in self._values
            }
            new.update((slot_of(each), Stored(value, version)) for each, value in writes.items())
            self.version = version
            if updates is None:
                self._values.update(new)  # one C call: not interruptible
            else:
                slots = [slot_of(each) for each in updates.variables]
                arrays = updates.native.prepare(self._values, slots)
                new.update(zip(slots, [Stored(array, version) for array in arrays], strict=True))
                updates.native.finish(self._values, new)  # one C call, too
            return version

    def restore(self, slots: Mapping[Slot, Stored | None]) -> None:
        """Put earlier entries back (the stepper's undo); ``None`` forgets one."""
        with self.lock:
            merged = {key: value for key, value in {**self._values, **slots}.items() if value is not None}
            self._values = merged

    def forget(self, variables: Iterable[Tensor]) -> None:
        """Drop values, so that the next use initialises again."""
        self.restore({slot_of(each): None for each in variables})


def owned(value: Any, borrowed: set[int]) -> Any:
    """A value that nobody outside can change: itself when a kernel made it, a copy when it is fed or a view."""
    if not isinstance(value, np.ndarray):
        return np.array(value)
    if value.base is not None or id(value) in borrowed:
        return value.copy()
    return value
