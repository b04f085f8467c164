"""What one stepped run writes into a session's variables, and how it is taken back.

The values go into the session at the step that writes them. The log remembers the entry each write replaced (or that
there was none), so undoing restores value, version and absence exactly. Between two of its own writes somebody else
may write the same variable; then writing and undoing would lose that value, and both are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flowbook.errors import SessionError
from flowbook.graph.node import Tensor
from flowbook.runtime.variables import Slot, Stored, VariableStore, owned, slot_of

Entries = dict[Slot, Stored | None]


class WriteLog:
    """The writes of one run, by the index of the step that made them.

    ``current`` is what the run believes the session to hold: ``None`` for a variable without a value yet.
    """

    def __init__(self, store: VariableStore, current: Mapping[Tensor, Stored | None]) -> None:
        self.store = store
        self.slots = {variable: slot_of(variable) for variable in current}  # as they were when the run began
        self.variables = {slot: variable for variable, slot in self.slots.items()}
        self.current: Entries = {self.slots[variable]: stored for variable, stored in current.items()}
        self.replaced: dict[int, Entries] = {}

    def __contains__(self, step: int) -> bool:
        return step in self.replaced

    def write(self, step: int, values: Mapping[Tensor, Any], initial: Mapping[Tensor, Any] | None = None) -> None:
        """Put the values that a step wrote into the session, or refuse with ``SessionError``.

        ``initial``: first values to store with them, of variables that still have none.
        """
        new: dict[Slot, Any] = {}
        with self.store.lock:
            for variable, value in (initial or {}).items():
                slot = self.slots[variable]
                found = self.store.get_slot(slot)
                if found is None:
                    new[slot] = value
                elif same_bytes(found.value, value):
                    self.current[slot] = found  # another run initialised it meanwhile, to the same value
            new.update((self.slots[variable], owned(value, set())) for variable, value in values.items())
            self.check(new, "stepping on")
            if new:
                self.store.version += 1
                self._change(step, {slot: Stored(value, self.store.version) for slot, value in new.items()}, done=True)

    def undo(self, step: int) -> None:
        """Restore what the write of a step replaced, or refuse with ``SessionError``."""
        if step in self.replaced:
            with self.store.lock:
                self.check(self.replaced[step], "stepping back")
                self._change(step, self.replaced[step], done=False)

    def check(self, slots: Iterable[Slot], action: str) -> None:
        """``SessionError`` when somebody else has written one of these variables."""
        for slot in slots:
            variable = self.variables[slot]
            if self.store.get_slot(slot) is not self.current[slot]:
                raise SessionError(
                    f"another run wrote '{variable.name}' in between; {action} would lose its value",
                    hint="begin again with session.debug(fetches, feeds)",
                )

    def _change(self, step: int, entries: Entries, *, done: bool) -> None:
        """Put entries into the session and remember it; not half of it, when Ctrl-C comes in between."""
        before, replaced = {slot: self.current[slot] for slot in entries}, self.replaced.get(step)
        try:
            self.store.restore(entries)
            self.current.update(entries)
            self._remember(step, before if done else None)
        except BaseException:
            self.store.restore(before)
            self.current.update(before)
            self._remember(step, replaced)
            raise

    def _remember(self, step: int, replaced: Entries | None) -> None:
        if replaced is None:
            self.replaced.pop(step, None)
        else:
            self.replaced[step] = replaced


def same_bytes(a: Any, b: Any) -> bool:
    """Whether two arrays have the same dtype, shape and bytes (a NaN equals itself, -0.0 is not 0.0)."""
    if a is b:
        return True
    return a.dtype == b.dtype and a.shape == b.shape and bool(a.tobytes() == b.tobytes())
