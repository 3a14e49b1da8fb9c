"""The scheduler: its duties, side by side, until it is told to stop."""

from __future__ import annotations

from dataclasses import dataclass

from horae.broker.base import Publisher
from horae.dispatch.claim import Dispatcher
from horae.runtime.clock import Clock
from horae.runtime.duty import Duty, Stop, run_duties
from horae.scheduler.feed import Feed
from horae.scheduler.prune import Prune
from horae.scheduler.rescue import Rescue
from horae.signals.base import Signals, Topic
from horae.store.base import DispatchStore, RescueStore, Retention


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Lengths of time in seconds."""

    lease: float
    dispatch_lease: float
    retention: Retention


class Scheduler:
    """One scheduler of any number."""

    def __init__(
        self,
        dispatch: DispatchStore,
        rescue: RescueStore,
        publisher: Publisher,
        signals: Signals,
        clock: Clock,
        settings: SchedulerSettings,
    ) -> None:
        self._clock = clock
        self._dispatcher = Dispatcher(dispatch, publisher, clock, settings.dispatch_lease)
        self.feed = Feed(dispatch, self._dispatcher, signals)
        self.rescue = Rescue(rescue, signals, clock, settings.lease)
        self.prune = Prune(rescue, settings.retention)
        signals.listen(Topic.DUE, self.feed.wake.set)
        signals.listen(Topic.ROOM, self.feed.wake.set)

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything that it does over and over."""
        return (self.feed, self.rescue, self.prune)

    async def run(self, stop: Stop) -> None:
        """Until it is stopped: then what is claimed is still published."""
        await run_duties(self.duties, self._clock, stop)
        await self._dispatcher.settle()
