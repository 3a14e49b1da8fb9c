"""Notices what should have succeeded by now and hasn't: sleeps until the next such moment, then looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from horae.domain.wording import moment
from horae.runtime.metrics import Metrics
from horae.signals.base import Event, Signals
from horae.store.base_schedules import Absence, FiringStore

log = structlog.get_logger(__name__)

BATCH = 200
LONGEST_LOOK = 5.0
"""seconds between two looks: a fire may have brought an earlier moment"""
SOON = 0.5
"""seconds until the next look when another scheduler is at what is overdue"""


class Absences:
    """The duty that notices absences."""

    name = "absence"

    def __init__(self, store: FiringStore, signals: Signals, metrics: Metrics) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._signals = signals
        self._metrics = metrics

    async def run_once(self) -> float:
        """Judges one batch; another at once while more are due."""
        wait = await self._store.next_absence()
        if wait is None or wait > 0:
            return LONGEST_LOOK if wait is None else min(wait, LONGEST_LOOK)
        absences = await self._store.note_absences(BATCH)
        if absences is None:
            return SOON
        self._tell(absences)
        return 0.0

    def _tell(self, absences: Sequence[Absence]) -> None:
        for absence in absences:
            facts = {"name": absence.name, "fire_time": moment(absence.fire_time), "detail": absence.detail}
            log.warning("schedule.missed", schedule_id=absence.schedule_id, **facts)
            told = {"id": absence.schedule_id, "change": "missed", **facts}
            self._signals.emit(Event("schedule", absence.namespace, told))
            self._metrics.absence()
