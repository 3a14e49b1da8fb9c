"""A clock that a test turns by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.support.waiting import eventually

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class ManualClock:
    """Time stands still until it is turned; whoever waits until then is woken by the turn."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._timers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def turn(self, seconds: float) -> None:
        """Lets so many seconds pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        for deadline, timer in self._timers:
            if deadline <= self._monotonic:
                timer.set()

    def jump(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as an administrator does; no time passes."""
        self._now += timedelta(seconds=seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Waits for the event or for the turn that brings the seconds to an end; whether the event came."""
        timer = asyncio.Event()
        if seconds <= 0:
            timer.set()
        entry = (self._monotonic + seconds, timer)
        self._timers.append(entry)
        waits = [asyncio.ensure_future(either.wait()) for either in (event, timer)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._timers.remove(entry)
            for wait in waits:
                wait.cancel()
        return event.is_set()

    @property
    def waiting(self) -> list[float]:
        """For how many seconds each of those who wait will go on to, the first to end first."""
        return sorted(deadline - self._monotonic for deadline, timer in self._timers if not timer.is_set())

    async def asleep(self, count: int = 1) -> None:
        """Returns when so many wait for time to pass: what they had to do before is done."""
        await eventually(lambda: len(self.waiting) >= count)
