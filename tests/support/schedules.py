"""Schedules in a scene: made, changed, fired and read again in one word each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.schedule import Change, Occurrence, Schedule
from horae.domain.timing import Timing
from horae.store.base_schedules import LedgerFilter, ScheduleFilter
from horae.store.tables import positions
from tests.support.clock import START
from tests.support.factories import job_id, new_definition, schedule_id
from tests.support.scene import NAMESPACE, Scene

EVERY_MINUTE = Timing(cron="* * * * *")
DAILY = Timing(cron="0 3 * * *")
ANY = ScheduleFilter()


def at(seconds: float) -> datetime:
    """So many seconds from the beginning of the test."""
    return START + timedelta(seconds=seconds)


async def create(scene: Scene, namespace: str = NAMESPACE, **fields: Any) -> Schedule:
    """A new schedule of Ann's: every minute, unless the test says otherwise."""
    return await scene.stores.schedules.create(namespace, schedule_id(scene.clock), new_definition(**fields), "ann")


async def change(scene: Scene, schedule: Schedule, author: str = "bob", **fields: Any) -> tuple[Schedule, Schedule]:
    """The schedule before and after the fields of its definition are replaced."""
    new = replace(schedule.definition, **fields)
    return await scene.stores.schedules.change(schedule.namespace, schedule.id, schedule.version, new, author)


async def end(scene: Scene, schedule: Schedule) -> Schedule:
    """Ends it by a change."""
    over = replace(schedule.definition.timing, end_at=scene.clock.now())
    return (await change(scene, schedule, timing=over))[1]


async def trigger(scene: Scene, schedule: Schedule) -> JobId:
    """The job that it makes now."""
    new = job_id(scene.clock)
    await scene.stores.schedules.trigger(schedule.namespace, schedule.id, new, "bob")
    return new


async def fire(scene: Scene) -> None:
    """Fires until nothing is due."""
    while await scene.stores.firing.fire(100):
        continue


async def reread(scene: Scene, schedule: Schedule) -> Schedule:
    """The schedule as it is now."""
    found = await scene.stores.schedules.get(schedule.namespace, schedule.id)
    assert found is not None
    return found


async def page(scene: Scene, where: ScheduleFilter = ANY, limit: int = 50, after: str | None = None) -> list[Schedule]:
    """The schedules that the filter finds, as listed."""
    return await scene.stores.schedules.page(NAMESPACE, where, limit, after)


async def history(scene: Scene, schedule: Schedule) -> list[Change]:
    """What was done to it, newest first."""
    return await scene.stores.schedules.history(schedule.namespace, schedule.id, 100)


async def ledger(scene: Scene, schedule: Schedule) -> list[Occurrence]:
    """All its lines, newest first."""
    return await scene.stores.schedules.occurrences(schedule.namespace, LedgerFilter(schedule.id), 5000)


async def execute(scene: Scene, statement: sa.Executable) -> sa.CursorResult[Any]:
    """Runs a statement that no store has."""
    return await scene.stores.database.transact(lambda tx: tx.execute(statement))


async def position(scene: Scene, schedule: Schedule) -> sa.Row[Any]:
    """Its row among the positions."""
    return (await execute(scene, sa.select(positions).where(positions.c.schedule_id == schedule.id))).one()
