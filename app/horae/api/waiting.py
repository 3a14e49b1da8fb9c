"""Requests that wait for a job to end: woken by its last event, and at the latest by their own looks.

However many wait, one watch for each namespace serves them all, and together they look no more than so often.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from horae.domain.job import FINAL, Job
from horae.runtime.clock import Clock
from horae.signals.base import Event, Signals

log = structlog.get_logger(__name__)

FIRST_LOOK = 0.05
LONGEST_PAUSE = 1.0
LOOKS_A_SECOND = 200
"""of all who wait, in the long run: the more they are, the longer each one's pause"""


@dataclass(slots=True)
class _Watch:
    """The waiters of one namespace, by job, and the task that wakes them."""

    waiters: dict[str, set[asyncio.Event]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Waiters:
    """Wakes whoever waits for a job when it ends."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._watches: dict[str, _Watch] = {}
        self._count = 0
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether nobody should go on waiting."""
        return self._stopping

    @property
    def longest_pause(self) -> float:
        """Seconds between two looks of one waiter."""
        return max(LONGEST_PAUSE, self._count / LOOKS_A_SECOND)

    def stop(self) -> None:
        """Wakes everyone: the api is about to end."""
        self._stopping = True
        for watch in self._watches.values():
            for events in watch.waiters.values():
                _set_all(events)

    @asynccontextmanager
    async def of(self, namespace: str, job_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the job ends, from now on; whoever waits clears it and looks."""
        event = asyncio.Event()
        watch = self._watches.setdefault(namespace, _Watch())
        watch.waiters.setdefault(job_id, set()).add(event)
        if watch.task is None:
            watch.task = asyncio.create_task(self._follow(namespace, watch), name=f"api-waiters-{namespace}")
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            self._leave(namespace, watch, job_id, event)

    def _leave(self, namespace: str, watch: _Watch, job_id: str, event: asyncio.Event) -> None:
        events = watch.waiters[job_id]
        events.discard(event)
        if not events:
            del watch.waiters[job_id]
        if not watch.waiters and watch.task is not None:
            watch.task.cancel()
            del self._watches[namespace]

    async def _follow(self, namespace: str, watch: _Watch) -> None:
        """Never fails: without events the waiters look by themselves."""
        try:
            async with self._signals.watch(namespace) as events:
                async for event in events:
                    if _is_end(event):
                        _set_all(watch.waiters.get(str(event.data.get("id")), ()))
        except Exception:
            log.exception("api.watch_failed", namespace=namespace)


def _is_end(event: Event) -> bool:
    return event.kind == "job" and event.data.get("state") in FINAL


def _set_all(events: Collection[asyncio.Event]) -> None:
    for event in events:
        event.set()


async def until_final(
    waiters: Waiters,
    clock: Clock,
    job: Job,
    read: Callable[[], Awaitable[Job]],
    gone: Callable[[], bool],
    seconds: float,
) -> Job:
    """The job at its final state, or after so many seconds, or when nobody is there to be answered."""
    until, pause = clock.monotonic() + seconds, FIRST_LOOK
    async with waiters.of(job.namespace, job.id) as ended:
        while job.state not in FINAL and not waiters.stopping and not gone():
            left = until - clock.monotonic()
            if left <= 0:
                break
            await clock.wait(ended, min(pause, left))
            # Cleared before the look: an end that comes in the middle of it leads to another one.
            ended.clear()
            job = await read()
            pause = min(pause * 2, waiters.longest_pause)
    return job
