"""The worker's table: every reference from before its start is sent until its finish is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from horae.domain.ids import WorkerId
from horae.domain.job import Reference
from horae.handlers.context import Context


class Ask(Enum):
    """Why a run was asked to end before its handler was done."""

    TIMEOUT = "its time is over"
    CANCEL = "a user cancelled the job"
    RELEASE = "the worker drains or has fenced itself: the job goes back"
    DROP = "the row isn't this worker's any more: nothing may be written"


PATIENT = frozenset({Ask.TIMEOUT, Ask.CANCEL})
"""asks that leave a handler the time that it needs to clean up"""


@dataclass(slots=True, eq=False)
class Entry:
    """One reference that this worker holds, under the worker id that it had when it took it."""

    reference: Reference
    worker_id: WorkerId
    running: bool = False
    """its start is known and its handler hasn't ended"""
    context: Context | None = None
    ask: Ask | None = None
    interrupt: Callable[[], object] | None = None
    """cancels the handler's task; None while there is none to cancel"""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, ask: Ask) -> None:
        """Asks the run to end; the first reason counts, but a lost row overrides any.

        A handler that goes on all the same is interrupted again when it can't be waited for any more.
        """
        again = self.ended.is_set()
        if self.ask is None or ask is Ask.DROP:
            self.ask = ask
        if again and ask in PATIENT:
            return
        self.ended.set()
        if self.context is not None:
            self.context.ask_to_cancel()
        if self.interrupt is not None:
            self.interrupt()

    def time_out(self) -> None:
        """Its time is over."""
        self.end(Ask.TIMEOUT)


class Table:
    """The entries, by reference."""

    def __init__(self) -> None:
        self._entries: dict[Reference, Entry] = {}
        self._leaving: set[Reference] | None = None
        self.empty = asyncio.Event()
        self.empty.set()

    def enter(self, reference: Reference, worker_id: WorkerId) -> Entry | None:
        """A new entry, or None if the reference is here already."""
        if reference in self._entries:
            return None
        entry = self._entries[reference] = Entry(reference, worker_id)
        self.empty.clear()
        return entry

    def leave(self, entry: Entry) -> None:
        """Its finish is known, or it was given back or dropped."""
        del self._entries[entry.reference]
        if self._leaving is not None:
            self._leaving.add(entry.reference)
        if not self._entries:
            self.empty.set()

    @contextmanager
    def remembered(self) -> Iterator[Callable[[Reference], bool]]:
        """Tells of a reference whether it was in the table at any time meanwhile."""
        left = self._leaving = set()
        try:
            yield lambda reference: reference in self._entries or reference in left
        finally:
            self._leaving = None

    def get(self, reference: Reference) -> Entry | None:
        """The entry, or None."""
        return self._entries.get(reference)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, worker_id: WorkerId) -> Iterable[Entry]:
        """The entries under that id."""
        return [entry for entry in self if entry.worker_id == worker_id]
