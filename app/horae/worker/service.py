"""The worker: registers itself, takes deliveries until it is told to stop, then drains."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from horae.domain.ids import WorkerId
from horae.runtime.duty import Duty, Stop, run_duties
from horae.signals.base import Topic
from horae.store.base import EVERY_QUEUE
from horae.worker.executor import Executor
from horae.worker.intake import Intake
from horae.worker.lease import Lease
from horae.worker.ports import Ports
from horae.worker.rates import Rates
from horae.worker.recorder import Recorder
from horae.worker.runs import Runs
from horae.worker.slots import Slots
from horae.worker.subscriptions import Subscriptions
from horae.worker.table import Ask, Table
from horae.worker.watch import Watch

log = structlog.get_logger(__name__)

PREFETCH = 4
"""deliveries of a queue that may wait at the worker beside those it has acked"""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Lengths of time in seconds."""

    queues: tuple[str, ...]
    slots: int
    drain: float
    retry_window: int


class Worker:
    """One worker process."""

    def __init__(
        self, ports: Ports, lease: Lease, rates: Rates, recorder: Recorder, executor: Executor, settings: WorkerSettings
    ) -> None:
        self._ports = ports
        self._lease = lease
        self._settings = settings
        self._table = Table()
        self._runs = Runs(ports, self._table, Slots(settings.slots), recorder, executor)
        self._runs.riding.limit = settings.retry_window
        self._intake = Intake(ports, self._runs, lease, rates)
        self._watch = Watch(ports, self._runs, lease, rates)
        named = tuple(queue for queue in settings.queues if queue != EVERY_QUEUE)
        self._consumer = ports.broker.consumer(named, self._intake.receive, PREFETCH)
        lease.on_fence = self._fence
        lease.on_renewed = self._watch.compare
        ports.signals.listen(Topic.CANCEL, self._watch.wake.set)

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything that it does over and over."""
        duties: tuple[Duty, ...] = (self._lease, self._watch)
        if EVERY_QUEUE not in self._settings.queues:
            return duties
        return (*duties, Subscriptions(self._ports, self._consumer))

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive."""
        return self._consumer.connected

    async def run(self, stop: Stop, abort: Stop) -> bool:
        """Works until `stop`, then drains; `abort` cuts the drain short. False if the broker was given up."""
        duties_stop = Stop()
        duties = asyncio.create_task(run_duties(self.duties, self._ports.clock, duties_stop))
        consuming = asyncio.create_task(self._consume(stop))
        try:
            await stop.wait()
            await self._drain(abort)
        finally:
            consuming.cancel()
            duties_stop.set()
            await asyncio.wait({duties, consuming})
        await self._lease.end()
        return consuming.cancelled() or consuming.exception() is None

    async def _consume(self, stop: Stop) -> None:
        await self._lease.trusted()
        try:
            await self._consumer.run()
        except Exception:
            # A worker that lives and takes nothing would only keep others from being started.
            log.exception("worker.broker_given_up")
            stop.set()
            raise

    async def _drain(self, abort: Stop) -> None:
        """Takes nothing more, lets the runs end, and gives back what is left after the limit."""
        self._intake.closed = True
        self._runs.riding.limit = 0
        self._lease.draining = True
        self._lease.wake.set()
        log.info("worker.draining", running=len(self._table), limit=self._settings.drain)
        await self._consumer.stop()
        await self._until_empty(abort, self._settings.drain)
        if left := len(self._table):
            log.warning("worker.drain_limit", released=left)
        for entry in self._table:
            entry.end(Ask.RELEASE)
        await self._until_empty(None, self._lease.seconds)
        self._ports.signals.hint(Topic.DUE)

    async def _until_empty(self, abort: Stop | None, limit: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._table.empty, abort) if event is not None]
        await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _fence(self, old: WorkerId) -> None:
        for entry in self._table.of(old):
            if entry.running:
                entry.end(Ask.RELEASE)
