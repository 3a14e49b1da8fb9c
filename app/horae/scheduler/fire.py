"""Fires schedules: sleeps until the next one is due or a hint comes, then makes the jobs of all that are."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

import structlog

from horae.domain.schedule import Reason, Verdict
from horae.runtime.metrics import Metrics
from horae.scheduler.looks import Look, safety_poll
from horae.signals.base import Event, Signals, Topic
from horae.store.base_schedules import Fired, FiringStore

log = structlog.get_logger(__name__)

BATCH = 250
"""schedules in one transaction: side by side, schedulers share what is due in the same second"""
SHORTEST_LOOK, LONGEST_LOOK = 0.02, 1.0
"""seconds until the next look when what is due is locked: doubling from the one to the other"""
ONE_BY_ONE = 50
"""of more fires at once watchers are told only the sum"""
LOUD = {Reason.MISFIRE: logging.WARNING, Reason.OVERLAP: logging.INFO}
"""what is told of fire times without a job; a pause and a bound are what somebody asked for"""


class Fire:
    """The duty that fires."""

    name = "fire"

    def __init__(self, store: FiringStore, signals: Signals, metrics: Metrics) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._signals = signals
        self._metrics = metrics
        self._look = Look(SHORTEST_LOOK, LONGEST_LOOK)

    async def run_once(self) -> float:
        """Fires one batch; another at once while schedules are due."""
        fired = await self._store.fire(BATCH)
        if fired:
            self._tell(fired)
            self._look.reset()
            return 0.0
        return self._pause(await self._store.next_fire())

    def _pause(self, next_fire: float | None) -> float:
        if next_fire is not None and next_fire <= 0:
            # Another scheduler has it; should that one die, its lock goes with it.
            return self._look.next()
        self._look.reset()
        safety = safety_poll(self._signals)
        return safety if next_fire is None else min(next_fire, safety)

    def _tell(self, fired: Sequence[Fired]) -> None:
        if any(each.jobs for each in fired):
            self._signals.hint(Topic.DUE)
        if any(each.replaced for each in fired):
            self._signals.hint(Topic.CANCEL)
        self._count(fired)
        self._emit(fired)
        for each in fired:
            _log(each)

    def _count(self, fired: Sequence[Fired]) -> None:
        verdicts: Counter[Verdict] = Counter()
        queues: Counter[str] = Counter()
        for each in fired:
            queues.update(each.queues)
            for (verdict, _), count in each.verdicts.items():
                verdicts[verdict] += count
        for verdict, count in verdicts.items():
            self._metrics.schedule_fired(verdict, count)
        for queue, count in queues.items():
            self._metrics.jobs_submitted(queue, count)

    def _emit(self, fired: Sequence[Fired]) -> None:
        for each in fired:
            if each.ended is not None:
                self._signals.emit(_event(each, "ended", reason=each.ended))
        told = [each for each in fired if each.verdicts]
        if len(told) <= ONE_BY_ONE:
            for each in told:
                self._signals.emit(_event(each, "fired", jobs=list(each.jobs[:ONE_BY_ONE]), outcomes=_outcomes(each)))
            return
        for namespace, count in Counter(each.namespace for each in told).items():
            self._signals.emit(Event("schedule", namespace, {"change": "fired", "count": count}))


def _event(fired: Fired, change: str, **data: object) -> Event:
    return Event("schedule", fired.namespace, {"id": fired.schedule_id, "name": fired.name, "change": change, **data})


def _outcomes(fired: Fired) -> dict[str, int]:
    outcomes: Counter[str] = Counter()
    for (verdict, _), count in fired.verdicts.items():
        outcomes[verdict.value] += count
    return dict(outcomes)


def _log(fired: Fired) -> None:
    facts = {"schedule_id": fired.schedule_id, "name": fired.name}
    for (verdict, reason), count in fired.verdicts.items():
        if reason in LOUD:
            log.log(LOUD[reason], "schedule.not_fired", **facts, outcome=verdict, reason=reason, count=count)
    if fired.broken:
        log.error("schedule.broken", **facts, why=fired.ended)
    elif fired.ended is not None:
        log.info("schedule.ended", **facts, why=fired.ended)
