"""The duty that follows the time zone data: when it looks, and whom it tells."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from horae.domain.schedule import ScheduleState
from horae.domain.timing import Timing
from horae.scheduler.service import Scheduler
from horae.scheduler.zone_data import BATCH, EVERY, SOON, ZoneData
from horae.signals.base import Event, Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.tables import positions, schedules
from tests.dispatch.faults import Logs
from tests.support.recurring import at, reread, scheduled, written
from tests.support.scene import NAMESPACE, Scene
from tests.support.signals import Listener, told


@pytest.fixture
def zone_data(scheduler: Scheduler) -> ZoneData:
    return scheduler.zone_data


async def outdate(scene: Scene, later: float = 0) -> None:
    """All schedules are now as older data left them, their next fire times so many seconds too late."""
    await written(scene.stores, sa.update(schedules).values(tzdata="2020a"))
    if later:
        await written(scene.stores, sa.update(positions).values(next_fire_at=at(60 + later)))


async def test_with_the_same_data_as_ever_it_asks_every_hour(scene: Scene, zone_data: ZoneData) -> None:
    await scheduled(scene)
    assert await zone_data.run_once() == EVERY


async def test_batch_after_batch_until_all_are_computed_by_its_own(scene: Scene, zone_data: ZoneData) -> None:
    made = [await scheduled(scene, name=f"s{number}") for number in range(BATCH + 1)]
    await outdate(scene)
    assert [await zone_data.run_once() for _ in range(3)] == [SOON, SOON, EVERY]
    assert {(await reread(scene, each)).tzdata for each in made} == {made[0].tzdata}


async def test_what_moves_is_told(scene: Scene, zone_data: ZoneData, signals: InProcessSignals, logs: Logs) -> None:
    made = await scheduled(scene)
    await outdate(scene, later=30)
    hinted = Listener(signals, Topic.SCHEDULES)
    async with told(signals, NAMESPACE) as events:
        await zone_data.run_once()
    facts = {"name": "s", "before": "2026-03-01T12:01:30Z", "after": "2026-03-01T12:01:00Z"}
    data = {"id": made.id, "change": "updated", **facts, "reason": "new time zone data"}
    assert events == [Event("schedule", NAMESPACE, data)]
    assert hinted.woken == 1
    assert [line["after"] for line in logs if line["event"] == "schedule.moved"] == ["2026-03-01T12:01:00Z"]


async def test_what_ends_by_it_is_told_too(scene: Scene, zone_data: ZoneData, signals: InProcessSignals) -> None:
    timing = Timing(cron="* * * * *", end_at=at(60) + timedelta(seconds=59))
    made = await scheduled(scene, timing=timing)
    await outdate(scene, later=30)
    await written(scene.stores, sa.update(positions).values(since=at(60)))
    async with told(signals, NAMESPACE) as events:
        await zone_data.run_once()
    assert [(event.data["change"], event.data["after"]) for event in events] == [("ended", None)]
    assert (await reread(scene, made)).state is ScheduleState.ENDED


async def test_what_stays_is_nothing_to_tell(scene: Scene, zone_data: ZoneData, signals: InProcessSignals) -> None:
    await scheduled(scene)
    await outdate(scene)
    hinted = Listener(signals, Topic.SCHEDULES)
    async with told(signals, NAMESPACE) as events:
        await zone_data.run_once()
    assert events == []
    assert hinted.woken == 0
