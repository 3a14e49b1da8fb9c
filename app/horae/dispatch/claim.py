"""Claim, then publish: the claim commits first, so that a publish may be lost, doubled or late without harm.

A delivery that certainly didn't arrive is taken back (T4). One whose confirm is missing may have arrived: it is
published again with the same tokens while its lease lasts, and after that T12 finds the jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from horae.broker.base import Publisher
from horae.dispatch.window import Portion, delivery_size
from horae.domain.errors import BrokerUnavailable, PublishReturned, PublishUnknown, Unavailable
from horae.domain.job import Lane, Reference
from horae.runtime.clock import Clock
from horae.runtime.metrics import Metrics
from horae.store.base import Capacity, DispatchStore

log = structlog.get_logger(__name__)

LARGEST_CLAIM = 500
AGAIN = 0.5
"""seconds between two tries of a publish without a confirm"""
REST = 1.0
"""seconds without a claim for a queue after the broker has refused a delivery of it, or not confirmed one"""


class Dispatcher:
    """Claims portions and publishes them in the background, so that a sick queue holds up no other.

    What is under way at once is bounded by the window: no more jobs are QUEUED.
    """

    def __init__(
        self, store: DispatchStore, publisher: Publisher, clock: Clock, metrics: Metrics, lease: float
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._lease = lease
        self._publishing: set[asyncio.Task[None]] = set()
        self._rest_until: dict[str, float] = {}
        self._ending = asyncio.Event()

    def resting(self, queue: str) -> float:
        """Seconds for which nothing of the queue should be claimed, because its last delivery didn't get through."""
        return max(0.0, self._rest_until.get(queue, 0.0) - self._clock.monotonic())

    async def dispatch(self, portion: Portion, workers: Sequence[Capacity]) -> int:
        """Claims the portion and hands it on to be published; answers how many jobs it got."""
        claimed = 0
        for lane in portion.lanes:
            while claimed < portion.count and not self.resting(portion.queue):
                wanted = min(portion.count - claimed, LARGEST_CLAIM)
                references = await self._claim(lane, wanted)
                claimed += len(references)
                self._hand_on(portion.queue, references, workers)
                if len(references) < wanted:
                    break
        return claimed

    async def _claim(self, lane: Lane, limit: int) -> list[Reference]:
        began = self._clock.monotonic()
        references = await self._store.claim(lane, limit, self._lease)
        self._metrics.claimed(self._clock.monotonic() - began)
        return references

    def _hand_on(self, queue: str, references: Sequence[Reference], workers: Sequence[Capacity]) -> None:
        until = self._clock.monotonic() + self._lease
        size = delivery_size(len(references), workers, queue)
        for start in range(0, len(references), size):
            task = asyncio.create_task(self._publish(queue, references[start : start + size], until))
            self._publishing.add(task)
            task.add_done_callback(self._published)

    def _published(self, task: asyncio.Task[None]) -> None:
        self._publishing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # T12 finds the jobs.
            log.error("dispatch.failed", error=repr(error), exc_info=error)

    async def _publish(self, queue: str, references: Sequence[Reference], until: float) -> None:
        """Until it is confirmed, refused, or the lease is over."""
        while True:
            try:
                await self._publisher.publish(queue, references)
                return
            except PublishUnknown as error:
                log.warning("dispatch.unconfirmed", queue=queue, jobs=len(references), error=str(error))
                self._rest(queue)
                if self._clock.monotonic() + AGAIN >= until or await self._clock.wait(self._ending, AGAIN):
                    return
            except BrokerUnavailable as error:
                level = log.error if isinstance(error, PublishReturned) else log.warning
                level("dispatch.refused", queue=queue, jobs=len(references), error=str(error))
                self._rest(queue)
                await self._take_back(references)
                return

    def _rest(self, queue: str) -> None:
        self._rest_until[queue] = self._clock.monotonic() + REST

    async def _take_back(self, references: Sequence[Reference]) -> None:
        try:
            await self._store.take_back(references)
        except Unavailable as error:
            log.warning("dispatch.not_taken_back", jobs=len(references), error=str(error))

    async def settle(self) -> None:
        """Waits until everything claimed is published, taken back or left to its lease; nothing is tried twice now."""
        self._ending.set()
        while self._publishing:
            await asyncio.wait(self._publishing)
