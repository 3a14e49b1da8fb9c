"""Follows the time zone data: a new version moves the next fire times of the schedules that it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from horae.domain.wording import moment
from horae.signals.base import Event, Signals, Topic
from horae.store.base_schedules import FiringStore, Moved

log = structlog.get_logger(__name__)

BATCH = 100
EVERY = 3600.0
SOON = 0.05
"""seconds until the next batch: fires go before"""


class ZoneData:
    """The duty that adopts new time zone data."""

    name = "zone_data"

    def __init__(self, store: FiringStore, signals: Signals) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._signals = signals

    async def run_once(self) -> float:
        """One batch; another soon until none is left by older data."""
        moved = await self._store.adopt_zone_data(BATCH)
        if moved is None:
            return EVERY
        self._tell(moved)
        return SOON

    def _tell(self, moved: Sequence[Moved]) -> None:
        for each in moved:
            after = None if each.after is None else moment(each.after)
            facts = {"name": each.name, "before": moment(each.before), "after": after}
            log.warning("schedule.moved", schedule_id=each.schedule_id, **facts)
            change = "ended" if after is None else "updated"
            data = {"id": each.schedule_id, "change": change, **facts, "reason": "new time zone data"}
            self._signals.emit(Event("schedule", each.namespace, data))
        if moved:
            self._signals.hint(Topic.SCHEDULES)
