"""Wake-ups and live events: best effort, at most once.

INVARIANT: nothing may depend on a signal arriving. Sending never raises and never waits for a server; whoever listens
also looks by itself from time to time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Topic(StrEnum):
    """What a hint is about, and so who listens."""

    DUE = "due"
    """jobs may be due earlier than the schedulers think (submitted, given back, resumed, a worker came)"""
    SCHEDULES = "schedules"
    """a schedule may be due earlier than the schedulers think, or a backfill was asked for"""
    ROOM = "room"
    """a worker has finished a batch: there is room in the window"""
    CANCEL = "cancel"
    """a running job shall be cancelled; workers look"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that users may watch live: `kind` is job, schedule, queue or worker."""

    kind: str
    namespace: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Signals(Protocol):
    """Hints and events."""

    def hint(self, topic: Topic) -> None:
        """Wakes whoever listens to the topic, in any process. Hints within a few milliseconds may be merged."""
        ...

    def listen(self, topic: Topic, wake: Callable[[], None]) -> None:
        """From now on `wake` is called at each hint, also at those of this process, and when `reliable` changes.

        Called in the event loop.
        """
        ...

    def emit(self, event: Event) -> None:
        """Tells everyone who watches. The event's data must be JSON."""
        ...

    def watch(self, namespace: str) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The events of a namespace from now on, until closed; slow watchers lose the oldest."""
        ...

    @property
    def reliable(self) -> bool:
        """Whether hints arrive right now; without them the safety polls are quicker."""
        ...

    async def run(self) -> None:
        """Keeps the connection until cancelled."""
        ...

    async def close(self) -> None:
        """Ends every watch, and the connection. Call it when `run` has ended."""
        ...
