"""Moves backfills on: looks often while any is running, and else only now and then whether one has been asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from horae.domain.schedule import BackfillState, Verdict
from horae.runtime.metrics import Metrics
from horae.scheduler.looks import Look, safety_poll
from horae.signals.base import Event, Signals, Topic
from horae.store.base_schedules import FiringStore, Progressed

log = structlog.get_logger(__name__)

BATCH = 50
"""backfills looked at in one round, each in a transaction of its own"""
SHORTEST_LOOK, LONGEST_LOOK = 0.2, 1.0
"""seconds between two looks at those that run: doubling from the one to the other while their jobs take their time"""


class Backfills:
    """The duty that makes the jobs of backfills."""

    name = "backfill"

    def __init__(self, store: FiringStore, signals: Signals, metrics: Metrics) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._signals = signals
        self._metrics = metrics
        self._look = Look(SHORTEST_LOOK, LONGEST_LOOK)

    async def run_once(self) -> float:
        """Moves those on that have room for more jobs."""
        if not await self._store.backfilling():
            self._look.reset()
            return safety_poll(self._signals)
        progressed = await self._store.advance_backfills(BATCH)
        self._tell(progressed)
        if progressed:
            self._look.reset()
        return self._look.next()

    def _tell(self, progressed: Sequence[Progressed]) -> None:
        if any(each.queues for each in progressed):
            self._signals.hint(Topic.DUE)
        for each in progressed:
            self._count(each)
            self._signals.emit(_event(each))
            if each.state is not BackfillState.RUNNING:
                facts = {"schedule_id": each.schedule_id, "name": each.name, "made": each.made, "kept": each.kept}
                log.info("backfill.ended", backfill_id=each.backfill_id, state=each.state, **facts)

    def _count(self, progressed: Progressed) -> None:
        for queue, count in progressed.queues.items():
            self._metrics.jobs_submitted(queue, count)
            self._metrics.schedule_fired(Verdict.BACKFILLED, count)


def _event(progressed: Progressed) -> Event:
    data = {
        "id": progressed.schedule_id,
        "name": progressed.name,
        "change": "backfill",
        "backfill_id": progressed.backfill_id,
        "state": progressed.state,
        "made": progressed.made,
        "kept": progressed.kept,
        "total": progressed.total,
    }
    return Event("schedule", progressed.namespace, data)
