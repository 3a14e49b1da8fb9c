"""What goes after its time (T17), over both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from horae.domain.job import FINAL, State
from horae.store.base import RequestKey, Retention
from horae.store.sql import Stores
from tests.support.clock import ManualClock
from tests.support.factories import LEASE, new_job
from tests.support.scene import Scene

NEVER = Retention(None, None)

AGES: list[tuple[State, Retention]] = [
    (State.SUCCESS, Retention(timedelta(seconds=100), None)),
    (State.CANCELLED, Retention(timedelta(seconds=100), None)),
    (State.FAILED, Retention(None, timedelta(seconds=100))),
]


@pytest.mark.parametrize(("state", "retention"), AGES)
async def test_a_final_job_goes_after_its_retention(scene: Scene, state: State, retention: Retention) -> None:
    made = {each: (await scene.reach(each, queue=each.lower(), tags=("red",))).id for each in State}
    scene.clock.turn(100)
    assert await scene.stores.rescue.prune(retention, 10) == 0
    scene.clock.turn(0.001)
    await scene.stores.rescue.prune(retention, 10)
    gone = {state, State.CANCELLED, State.SUCCESS} if retention.success else {state}
    for each, id_ in made.items():
        assert (await scene.stores.jobs.get("default", id_) is None) is (each in gone)


async def test_nothing_is_pruned_that_is_kept_for_ever(scene: Scene) -> None:
    for state in sorted(FINAL):
        await scene.reach(state)
    scene.clock.turn(10**8)
    assert await scene.stores.rescue.prune(NEVER, 10) == 0


async def test_jobs_are_pruned_a_few_at_a_time_the_oldest_first(scene: Scene) -> None:
    made = []
    for _ in range(3):
        for state in (State.SUCCESS, State.FAILED):
            made.append((await scene.reach(state)).id)
            scene.clock.turn(1)
    retention = Retention(timedelta(0), timedelta(0))
    assert [await scene.stores.rescue.prune(retention, 4) for _ in range(3)] == [4, 2, 0]


async def test_pruned_jobs_leave_nothing_behind(scene: Scene) -> None:
    gone = await scene.reach(State.FAILED, tags=("red",))
    scene.clock.turn(1)
    await scene.stores.rescue.prune(Retention(timedelta(0), timedelta(0)), 10)
    assert await left(scene.stores, "attempts", "tags", "jobs") == [0, 0, 0]
    assert await scene.stores.jobs.attempts("default", gone.id) == []


async def left(stores: Stores, *tables: str) -> list[int]:
    async with stores.database.engine.connect() as connection:
        return [(await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]


async def test_forgotten_keys_are_pruned_and_others_are_not(stores: Stores, clock: ManualClock) -> None:
    await stores.jobs.submit("default", [new_job(clock, idempotency_key="old")], RequestKey("older", b"1" * 32))
    clock.turn(12 * 3600)
    young = new_job(clock, idempotency_key="young", request_hash=b"1" * 32)
    await stores.jobs.submit("default", [young])
    clock.turn(12 * 3600)
    await stores.rescue.prune(NEVER, 10)
    assert await left(stores, "idempotency_keys") == [1]
    assert (await stores.jobs.submit("default", [young])).fresh == [False]


async def test_keys_are_pruned_a_few_at_a_time(stores: Stores, clock: ManualClock) -> None:
    new = [new_job(clock, idempotency_key=f"k{n}") for n in range(5)]
    await stores.jobs.submit("default", new)
    clock.turn(24 * 3600)
    rests = []
    for _ in range(3):
        await stores.rescue.prune(NEVER, 2)
        rests += await left(stores, "idempotency_keys")
    assert rests == [3, 1, 0]


async def test_long_dead_workers_are_pruned_but_not_those_that_a_running_job_names(scene: Scene) -> None:
    await scene.run()
    for lease in (LEASE, LEASE + 1):
        await scene.new_worker(lease=lease)
    scene.clock.turn(LEASE + 3600)
    await scene.stores.rescue.prune(NEVER, 10)
    assert await left(scene.stores, "workers") == [3]
    scene.clock.turn(0.001)
    await scene.stores.rescue.prune(NEVER, 10)
    assert await left(scene.stores, "workers") == [2]
    scene.clock.turn(1)
    await scene.stores.rescue.prune(NEVER, 10)
    assert await left(scene.stores, "workers") == [1]
    assert [info.id for info in await scene.stores.registry.workers()] == []
    assert not await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=False)
