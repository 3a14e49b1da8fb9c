"""Intake: every reference of a delivery is started, given back or dropped; then the delivery is acked."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from horae.broker.base import Delivery
from horae.domain.ids import WorkerId
from horae.signals.base import Topic
from horae.store.base import Run
from horae.worker.lease import Lease
from horae.worker.ports import Ports
from horae.worker.rates import Rates
from horae.worker.recorder import NotStarted, insist
from horae.worker.runs import Runs
from horae.worker.table import Ask, Entry
from horae.worker.tasks import Tasks

log = structlog.get_logger(__name__)

PATIENCE = 0.2
"""seconds that a delivered job waits for a slot before it is given back"""
FOREIGN_PAUSE = 5.0
"""seconds until a job is claimed again whose handler this worker hasn't"""


class Intake:
    """What the worker does with a delivery."""

    def __init__(self, ports: Ports, runs: Runs, lease: Lease, rates: Rates) -> None:
        self._ports = ports
        self._runs = runs
        self._table = runs.table
        self._slots = runs.slots
        self._recorder = runs.recorder
        self._lease = lease
        self._rates = rates
        self._tasks = Tasks()
        self.closed = False
        """whether everything that comes is given back"""

    def receive(self, delivery: Delivery) -> None:
        """Takes a delivery over from the broker."""
        self._tasks.spawn(self._take(delivery))

    async def _take(self, delivery: Delivery) -> None:
        worker_id = await self._lease.trusted()
        entries = [entry for r in delivery.references if (entry := self._table.enter(r, worker_id)) is not None]
        self._dropped("running", len(delivery.references) - len(entries))
        until = self._ports.clock.monotonic() + PATIENCE
        while entries:
            taken = await self._slots.take(len(entries), max(0.0, until - self._ports.clock.monotonic()))
            if not taken or self.closed:
                self._slots.give_back(taken)
                await self._give_back(entries)
                break
            await self._start(worker_id, delivery.queue, entries[:taken])
            entries = entries[taken:]
        await delivery.ack()

    async def _start(self, worker_id: WorkerId, queue: str, entries: Sequence[Entry]) -> None:
        """T5, and what becomes of those that it refuses."""
        sent = self._ports.clock.monotonic()
        answers = await self._recorder.start(worker_id, [entry.reference for entry in entries])
        pairs = list(zip(entries, answers, strict=True))
        started = [(entry, answer) for entry, answer in pairs if isinstance(answer, Run)]
        self._slots.give_back(len(entries) - len(started))
        self._rates.started(queue, len(started))
        for entry, run in started:
            self._begin(entry, run, sent)
        await self._settle([(entry, answer) for entry, answer in pairs if isinstance(answer, NotStarted)])

    def _begin(self, entry: Entry, run: Run, sent: float) -> None:
        entry.running = True
        if self._ports.clock.monotonic() - sent > self._lease.seconds or entry.worker_id != self._lease.worker_id:
            # Answered so late that the lease may have ended in between: it goes back unrun.
            entry.end(Ask.RELEASE)
        self._runs.tasks.spawn(self._runs.run(entry, run, sent))

    async def _settle(self, refusals: Sequence[tuple[Entry, NotStarted]]) -> None:
        def those(why: NotStarted) -> list[Entry]:
            return [entry for entry, answer in refusals if answer is why]

        stale = those(NotStarted.STALE)
        self._dropped("stale", len(stale))
        for entry in [*stale, *those(NotStarted.BROKEN)]:
            self._table.leave(entry)
        if dead := those(NotStarted.DEAD):
            # Held until this worker has fenced itself and has a living row again.
            await self._lease.distrust(dead[0].worker_id)
            await self._give_back(dead)
        await self._give_back(those(NotStarted.REFUSED))
        await self._give_back(those(NotStarted.FOREIGN), FOREIGN_PAUSE)

    async def _give_back(self, entries: Sequence[Entry], delay: float = 0.0) -> None:
        """T6."""
        if not entries:
            return
        references = [entry.reference for entry in entries]
        try:
            await insist(lambda: self._ports.store.give_back(references, delay))
        except Exception:
            # T12 finds them.
            log.exception("worker.not_given_back", jobs=len(entries))
        for entry in entries:
            self._table.leave(entry)
        self._ports.signals.hint(Topic.DUE)

    def _dropped(self, reason: str, count: int) -> None:
        if count:
            self._ports.metrics.deliveries_dropped(reason, count)
