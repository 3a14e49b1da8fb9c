"""The worker's lease: its row is renewed every third of it, and when that fails the worker fences itself.

Fenced, it starts nothing more under its id, ends its runs and gives them back, and takes a new id. Whether the lease
can still be trusted is judged by the monotonic clock, counted from the sending of the last renewal that was answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from horae.domain.errors import Unavailable
from horae.domain.ids import WorkerId
from horae.signals.base import Topic
from horae.store.base import NewWorker
from horae.worker.ports import Ports

log = structlog.get_logger(__name__)

TRUST = 2 / 3
"""the part of the lease for which an unanswered renewal is waited for"""
AGAIN = 0.5
"""seconds between two tries"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the worker is: its row, and how it gets another id when it had to fence itself."""

    worker: NewWorker
    new_id: Callable[[], WorkerId]


class Lease:
    """The duty that renews.

    `on_fence` is called with the old id when the lease can't be trusted any more, `on_renewed` after each renewal.
    """

    name = "lease"

    def __init__(
        self, ports: Ports, identity: Identity, seconds: float, rates: Callable[[], Mapping[str, float]]
    ) -> None:
        self.wake = asyncio.Event()
        self.seconds = seconds
        self.draining = False
        self.on_renewed: Callable[[WorkerId], Awaitable[None]] | None = None
        self.on_fence: Callable[[WorkerId], None] | None = None
        self._registry = ports.registry
        self._signals = ports.signals
        self._clock = ports.clock
        self._worker = identity.worker
        self._new_id = identity.new_id
        self._rates = rates
        self._answered = float("-inf")
        self._registered = False
        self._trusted = asyncio.Event()

    @property
    def worker_id(self) -> WorkerId:
        """The present id."""
        return self._worker.id

    async def trusted(self) -> WorkerId:
        """Waits until the lease can be trusted; answers the id that it is for.

        After a blocked event loop or a stopped process this holds everything back until the row has been renewed and
        compared.
        """
        while not (self._trusted.is_set() and self._fresh()):
            self._trusted.clear()
            self.wake.set()
            await self._trusted.wait()
        return self._worker.id

    async def distrust(self, worker_id: WorkerId) -> None:
        """The database has said that the row of this id is dead: waits until that is mended."""
        if worker_id == self._worker.id:
            self._answered = float("-inf")
        await self.trusted()

    def _fresh(self) -> bool:
        return self._registered and self._clock.monotonic() < self._limit

    @property
    def _limit(self) -> float:
        """Until when, by the monotonic clock, the last answer is trusted."""
        return self._answered + self.seconds * TRUST

    async def run_once(self) -> float:
        """Renews the row, or makes a new one; then compares."""
        if not self._fresh():
            # Blocked, stopped, or long without an answer: a renewal alone doesn't make it trusted again.
            self._trusted.clear()
        if self._registered and not await self._renewed():
            if self._fresh():
                return AGAIN
            self._fence()
        if not self._registered and not await self._register():
            return AGAIN
        if not self._fresh() or not await self._compared():
            return AGAIN
        self._trusted.set()
        return self.seconds / 3

    async def _renewed(self) -> bool:
        """Whether the row lives on. Unanswered, the lease is as fresh as it was; after a no it isn't any more."""
        sent = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._patience()):
                alive = await self._registry.renew(self._worker.id, self.seconds, self._rates(), self.draining)
        except Exception as error:  # noqa: BLE001 - whatever it was, the row wasn't renewed
            self._warn("worker.not_renewed", error)
            return False
        self._answered = sent if alive else float("-inf")
        return alive

    async def _compared(self) -> bool:
        """Whether what the database says of this worker's runs could be read; nothing starts before."""
        if self.on_renewed is None:
            return True
        try:
            async with asyncio.timeout(self._patience()):
                await self.on_renewed(self._worker.id)
        except Exception as error:  # noqa: BLE001 - the next renewal must come in time all the same
            self._warn("worker.not_compared", error)
            return False
        return True

    def _patience(self) -> float:
        """Seconds that may be waited for an answer before the worker has to fence itself."""
        return max(self._limit - self._clock.monotonic(), AGAIN)

    def _fence(self) -> None:
        old = self._worker.id
        log.error("worker.fenced", worker_id=old, why="the lease ended without a renewal; its jobs go back")
        self._registered = False
        self._trusted.clear()
        self._worker = replace(self._worker, id=self._new_id())
        if self.on_fence is not None:
            self.on_fence(old)

    async def _register(self) -> bool:
        sent = self._clock.monotonic()
        try:
            await self._registry.register(self._worker, self.seconds)
        except Unavailable as error:
            self._warn("worker.not_registered", error)
            # Its outcome may be unknown: another id keeps the insert from meeting itself.
            self._worker = replace(self._worker, id=self._new_id())
            return False
        self._answered = sent
        self._registered = True
        log.info("worker.registered", worker_id=self._worker.id, queues=self._worker.queues, slots=self._worker.slots)
        self._signals.hint(Topic.DUE)
        return True

    async def end(self) -> None:
        """Ends the lease: whatever is left under it may be rescued at once."""
        if not self._registered:
            return
        self._registered = False
        try:
            await self._registry.retire(self._worker.id)
        except Unavailable as error:
            self._warn("worker.not_retired", error)

    def _warn(self, event: str, error: Exception) -> None:
        foreseen = isinstance(error, Unavailable | TimeoutError)
        reason = str(error) or "no answer in time"
        log.warning(event, worker_id=self._worker.id, error=reason, exc_info=None if foreseen else error)
