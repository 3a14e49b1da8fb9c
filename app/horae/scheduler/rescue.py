"""Takes up what a dead holder left: hand-overs that nobody started, attempts whose worker vanished, expired jobs."""

from __future__ import annotations

import asyncio

import structlog

from horae.domain.errors import Unavailable
from horae.scheduler.ports import Ports
from horae.signals.base import Topic

log = structlog.get_logger(__name__)

LOOK = 2.0
"""seconds between two looks for dead workers and passed deadlines"""
SOON = 0.5
"""seconds until the next look when another scheduler is at what is overdue, or its rescue has to rest"""
BATCH = 200


class Rescue:
    """The duty that rescues."""

    name = "rescue"

    def __init__(self, ports: Ports, lease: float) -> None:
        self.wake = asyncio.Event()
        self._store = ports.rescue
        self._signals = ports.signals
        self._clock = ports.clock
        self._metrics = ports.metrics
        self._lease = lease
        self._attempts_rest_until = float("-inf")
        self._last_look = ports.clock.monotonic()

    async def run_once(self) -> float:
        """Rescues what is overdue now."""
        self._notice_a_pause()
        try:
            wait = await self._store.next_rescue()
            if wait is not None and wait <= 0:
                return 0.0 if await self._rescue() else SOON
        except Unavailable:
            # Workers that sat out the same outage give their jobs back first, or they would run twice.
            self._rest(self._lease)
            raise
        return LOOK if wait is None else min(wait, LOOK)

    def _notice_a_pause(self) -> None:
        """Whoever was stopped or blocked for long was so, perhaps, with the workers beside it: they renew first."""
        now = self._clock.monotonic()
        if now - self._last_look > LOOK + self._lease / 3:
            self._rest(self._lease / 3)
        self._last_look = now

    def _rest(self, seconds: float) -> None:
        self._attempts_rest_until = self._clock.monotonic() + seconds

    async def _rescue(self) -> int:
        moved = await self._expired() + await self._handovers()
        if self._clock.monotonic() >= self._attempts_rest_until:
            moved += await self._attempts()
        if moved:
            self._signals.hint(Topic.DUE)
        return moved

    async def _expired(self) -> int:
        count = await self._store.expire(BATCH)
        if count:
            log.info("rescue.expired", jobs=count)
            self._metrics.jobs_expired(count)
        return count

    async def _handovers(self) -> int:
        count = await self._store.rescue_handovers(BATCH)
        if count:
            log.warning("rescue.handovers", jobs=count)
            self._metrics.handovers_rescued(count)
        return count

    async def _attempts(self) -> int:
        rescued = await self._store.rescue_attempts(BATCH)
        self._metrics.attempts_rescued(rescued)
        for outcome, count in rescued.items():
            log.warning("rescue.attempts", outcome=outcome, jobs=count)
        return sum(rescued.values())
