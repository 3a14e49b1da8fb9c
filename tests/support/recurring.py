"""Schedules that fire when a test says so, and what is to be seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.job import WAITING, Job, Reference, State
from horae.domain.schedule import Backfill, BackfillId, BackfillState, Change, Occurrence, Schedule, Verdict
from horae.domain.timing import Timing
from horae.domain.transitions import FAIL_FOR_GOOD, SUCCEED
from horae.store.base import JobFilter
from horae.store.base_schedules import Fired, LedgerFilter, NewBackfill, Progressed
from horae.store.sql import Stores
from tests.support.clock import START
from tests.support.factories import job_id, new_definition, schedule_id
from tests.support.scene import BROKEN, NAMESPACE, Scene

EVERY_SECOND = Timing(interval_seconds=1, start_at=START)
EVERY_MINUTE = Timing(cron="* * * * *")
ALL = 20_000


def at(seconds: float) -> datetime:
    """So many seconds after a test's beginning."""
    return START + timedelta(seconds=seconds)


async def scheduled(scene: Scene, namespace: str = NAMESPACE, **fields: Any) -> Schedule:
    """A schedule, every minute unless told otherwise."""
    definition = new_definition(**{"timing": EVERY_MINUTE, **fields})
    return await scene.stores.schedules.create(namespace, schedule_id(scene.clock), definition, "ann")


async def fire(scene: Scene) -> list[Fired]:
    """Until nothing is due."""
    fired: list[Fired] = []
    while some := await scene.stores.firing.fire(100):
        fired += some
    return fired


async def reread(scene: Scene, schedule: Schedule) -> Schedule:
    """The schedule as it is now."""
    found = await scene.stores.schedules.get(schedule.namespace, schedule.id)
    assert found is not None
    return found


async def ledger(scene: Scene, schedule: Schedule) -> list[Occurrence]:
    """All lines, oldest first."""
    where = LedgerFilter(schedule_id=schedule.id)
    return (await scene.stores.schedules.occurrences(schedule.namespace, where, ALL))[::-1]


async def history(scene: Scene, schedule: Schedule) -> list[Change]:
    """Everything that was done to it, oldest first."""
    return (await scene.stores.schedules.history(schedule.namespace, schedule.id, ALL))[::-1]


async def jobs_of(scene: Scene, schedule: Schedule) -> list[Job]:
    """Its jobs in the order of their fire times."""
    found = await scene.stores.jobs.page(schedule.namespace, JobFilter(schedule_id=schedule.id), ALL)
    return sorted(found, key=lambda job: (job.fire_time is None, job.fire_time))


def brief(lines: Sequence[Occurrence]) -> list[tuple[float, str]]:
    """Each line's fire time in seconds since the beginning, and its verdict with the reason."""
    return [
        ((line.fire_time - START).total_seconds(), " ".join(filter(None, (line.verdict, line.reason))))
        for line in lines
    ]


async def finish(scene: Scene, *ids: JobId, state: State = State.SUCCESS) -> None:
    """Runs these jobs on the scene's worker to their end; whatever is due is claimed before."""
    move, error = (SUCCEED, None) if state is State.SUCCESS else (FAIL_FOR_GOOD, BROKEN)
    await scene.claim()
    queued = [Reference(id_, (await scene.job(id_)).token) for id_ in ids]
    runs = (await scene.start(*queued)).started
    assert len(runs) == len(ids)
    for run in runs:
        await scene.finish(run.reference, move, error=error)


async def written(stores: Stores, statement: sa.Executable) -> None:
    """Runs a statement below everything under test."""
    async with stores.database.engine.connect() as connection:
        await connection.execute(statement)


async def start_backfill(
    scene: Scene, schedule: Schedule, begin: float, end: float, concurrent: int = 100, author: str = "ann"
) -> Backfill:
    """A backfill from one second to another of the test."""
    new = NewBackfill(BackfillId(job_id(scene.clock)), at(begin), at(end), concurrent)
    return await scene.stores.schedules.backfill(schedule.namespace, schedule.id, new, author)


async def advance(scene: Scene) -> list[Progressed]:
    """One look at every backfill."""
    return await scene.stores.firing.advance_backfills(100)


async def see_backfill(scene: Scene, backfill: Backfill) -> Backfill:
    """Where it is now."""
    found = await scene.stores.schedules.get_backfill(NAMESPACE, backfill.schedule_id, backfill.id)
    assert found is not None
    return found


async def complete(scene: Scene, backfill: Backfill, rounds: int = 100) -> Backfill:
    """Lets every job of it succeed, round by round."""
    for _ in range(rounds):
        await advance(scene)
        if (await see_backfill(scene, backfill)).state is BackfillState.DONE:
            break
        waiting = [job.id for job in await made_by(scene, backfill) if job.state in WAITING]
        await finish(scene, *waiting)
    done = await see_backfill(scene, backfill)
    assert done.state is BackfillState.DONE
    return done


async def made_by(scene: Scene, backfill: Backfill) -> list[Job]:
    """The jobs whose lines say that they were backfilled."""
    schedule = await scene.stores.schedules.get(NAMESPACE, backfill.schedule_id)
    assert schedule is not None
    ids = {line.job_id for line in await ledger(scene, schedule) if line.verdict is Verdict.BACKFILLED}
    return [job for job in await jobs_of(scene, schedule) if job.id in ids]
