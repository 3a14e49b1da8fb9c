"""What the database wants of this worker's runs: cancel requests each second, and a comparison at each renewal."""

from __future__ import annotations

import asyncio

import structlog

from horae.domain.ids import WorkerId
from horae.domain.job import Outcome
from horae.domain.transitions import RELEASE
from horae.signals.base import Topic
from horae.store.base import Finish
from horae.worker.lease import Lease
from horae.worker.ports import Ports
from horae.worker.rates import Rates
from horae.worker.runs import Runs
from horae.worker.table import Ask

log = structlog.get_logger(__name__)

LOOK = 1.0


class Watch:
    """The duty that looks for cancel requests."""

    name = "watch"

    def __init__(self, ports: Ports, runs: Runs, lease: Lease, rates: Rates) -> None:
        self.wake = asyncio.Event()
        self._store = ports.store
        self._signals = ports.signals
        self._metrics = ports.metrics
        self._table = runs.table
        self._slots = runs.slots
        self._lease = lease
        self._rates = rates

    async def run_once(self) -> float:
        """One statement, and none while nothing runs."""
        self._metrics.worker_slots(self._slots.total - self._slots.free, self._slots.free)
        if self._rates.changed():
            self._lease.wake.set()
        if len(self._table):
            for reference in await self._store.cancel_requests(self._lease.worker_id):
                entry = self._table.get(reference)
                if entry is not None and entry.running:
                    entry.end(Ask.CANCEL)
        return LOOK

    async def compare(self, worker_id: WorkerId) -> None:
        """Ends runs that lost their row, and gives back rows that no run belongs to."""
        believed = [entry for entry in self._table.of(worker_id) if entry.running]
        with self._table.remembered() as known:
            rows = set(await self._store.running(worker_id))
            # In the table before its start is sent, out of it when its finish is known: what isn't there, nobody runs.
            strays = [reference for reference in rows if not known(reference)]
        for entry in believed:
            if entry.running and entry.reference not in rows:
                log.warning("worker.run_lost", job_id=entry.reference.id, why="its row is not this worker's any more")
                entry.end(Ask.DROP)
        if strays:
            log.warning("worker.strays", jobs=len(strays))
            await self._store.finish(worker_id, [Finish(stray, RELEASE, Outcome.RELEASED) for stray in strays])
            self._signals.hint(Topic.DUE)
