"""The scheduler: its duties, side by side, until it is told to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from horae.dispatch.claim import Dispatcher
from horae.runtime.duty import Duty, Stop, run_duties
from horae.scheduler.absence import Absences
from horae.scheduler.backfill import Backfills
from horae.scheduler.depths import Depths
from horae.scheduler.feed import Feed
from horae.scheduler.fire import Fire
from horae.scheduler.ports import Ports
from horae.scheduler.prune import Prune, PruneLedger
from horae.scheduler.rescue import Rescue
from horae.scheduler.zone_data import ZoneData
from horae.signals.base import Topic
from horae.store.base import Retention


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Lengths of time in seconds."""

    lease: float
    dispatch_lease: float
    retention: Retention
    retention_ledger: timedelta | None


class Scheduler:
    """One scheduler of any number."""

    def __init__(self, ports: Ports, settings: SchedulerSettings) -> None:
        self._clock = ports.clock
        self._dispatcher = Dispatcher(
            ports.dispatch, ports.publisher, ports.clock, ports.metrics, settings.dispatch_lease
        )
        self.feed = Feed(ports.dispatch, self._dispatcher, ports.signals)
        self.fire = Fire(ports.firing, ports.signals, ports.metrics)
        self.rescue = Rescue(ports, settings.lease)
        self.absence = Absences(ports.firing, ports.signals, ports.metrics)
        self.backfill = Backfills(ports.firing, ports.signals, ports.metrics)
        self.zone_data = ZoneData(ports.firing, ports.signals)
        self.prune = Prune(ports.rescue, settings.retention)
        self.prune_ledger = PruneLedger(ports.firing, settings.retention_ledger)
        self.depths = Depths(ports.dispatch, ports.metrics)
        ports.signals.listen(Topic.DUE, self.feed.wake.set)
        ports.signals.listen(Topic.ROOM, self.feed.wake.set)
        ports.signals.listen(Topic.SCHEDULES, self.fire.wake.set)
        ports.signals.listen(Topic.SCHEDULES, self.backfill.wake.set)

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything that it does over and over."""
        recurring = (self.fire, self.absence, self.backfill, self.zone_data)
        return (*recurring, self.feed, self.rescue, self.prune, self.prune_ledger, self.depths)

    async def run(self, stop: Stop) -> None:
        """Until it is stopped: then what is claimed is still published."""
        await run_duties(self.duties, self._clock, stop)
        await self._dispatcher.settle()
