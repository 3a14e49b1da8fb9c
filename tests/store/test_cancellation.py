"""MySQL: callers that are cancelled at any moment leave no connection, no lock and nothing half done."""

from __future__ import annotations

import asyncio
import random

import pytest
import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.job import State
from horae.store.database import Transaction
from horae.store.sql import Stores
from horae.store.tables import jobs
from tests.support.clock import ManualClock
from tests.support.databases import checked_out
from tests.support.factories import new_job
from tests.support.scene import Scene
from tests.support.waiting import eventually, together

pytestmark = pytest.mark.service


def touch(id_: JobId) -> sa.Update:
    return sa.update(jobs).where(jobs.c.id == id_).values(failures=jobs.c.failures + 1)


async def two_jobs(stores: Stores, clock: ManualClock) -> list[JobId]:
    return (await stores.jobs.submit("default", [new_job(clock), new_job(clock)])).ids


async def failures(stores: Stores, ids: list[JobId]) -> list[int]:
    found = [await stores.jobs.get("default", id_) for id_ in ids]
    return [job.failures for job in found if job is not None]


CANCELS = 2000


@pytest.mark.timeout(120)
async def test_thousands_of_cancelled_calls_leak_no_connection_and_mix_up_no_answers(
    mysql_stores: Stores, clock: ManualClock
) -> None:
    scene = await Scene.set(mysql_stores, clock)
    made = (await mysql_stores.jobs.submit("default", [scene.new() for _ in range(100)])).ids
    chance = random.Random(1)
    answered = 0

    async def read(id_: JobId) -> None:
        nonlocal answered
        job = await mysql_stores.jobs.get("default", id_)
        assert job is not None
        assert job.id == id_, "another call's answer"
        answered += 1

    async def write() -> None:
        nonlocal answered
        new = scene.new()
        assert (await mysql_stores.jobs.submit("default", [new])).ids == [new.id]
        answered += 1

    async def run() -> None:
        nonlocal answered
        starts = await scene.start(*await scene.claim(1))
        for started in starts.started:
            await scene.stores.worker.progress(scene.worker, started.reference, {"value": 1})
        answered += 1

    async def cancelled_soon() -> None:
        call = chance.choice([lambda: read(chance.choice(made)), write, run])
        task = asyncio.create_task(call())
        await asyncio.wait([task], timeout=chance.uniform(0, 0.02))
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome

    async def several() -> None:
        for _ in range(CANCELS // 20):
            await cancelled_soon()

    await together(*(several() for _ in range(20)))
    await eventually(lambda: checked_out(mysql_stores) == 0)
    assert 0 < answered < CANCELS, "the calls should be cut off at every stage"
    await every_row_makes_sense(mysql_stores)


async def every_row_makes_sense(stores: Stores) -> None:
    async with stores.database.engine.connect() as connection:
        rows = (await connection.execute(sa.select(jobs))).all()
    for row in rows:
        started = row.state == State.RUNNING
        assert (row.attempt, row.worker_id is not None) == ((1, True) if started else (0, False))
        assert row.token == (0 if row.state == State.PENDING else 1)


async def test_a_caller_that_is_cancelled_leaves_no_lock_behind(mysql_stores: Stores, clock: ManualClock) -> None:
    ids = await two_jobs(mysql_stores, clock)
    locked = asyncio.Event()

    async def work(tx: Transaction) -> None:
        await tx.execute(touch(ids[0]))
        locked.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(mysql_stores.database.transact(work))
    await locked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(3):
        assert await mysql_stores.jobs.cancel("default", ids) == set(ids)
    assert await failures(mysql_stores, ids) == [0, 0]
