"""The scheduler's way from due rows to deliveries (T3, T4), over both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from horae.domain.job import Lane, Priority, Reference, State
from horae.domain.transitions import FAIL
from horae.store.base import Capacity, DueLane, Survey
from horae.store.sql import Stores
from tests.support.clock import START, ManualClock
from tests.support.factories import LEASE, new_job
from tests.support.scene import Scene
from tests.support.waiting import together

LANE = Lane("default", "default", Priority.NORMAL)

# ------------------------------------------------------------------------------------------------------------ claim


async def test_a_claim_takes_the_oldest_first_and_raises_their_tokens(scene: Scene) -> None:
    late = await scene.submit(run_at=START - timedelta(seconds=1))
    early = await scene.submit(run_at=START - timedelta(seconds=2))
    tied = [await scene.submit(run_at=START) for _ in range(3)]
    assert await scene.claim(2) == [Reference(early, 1), Reference(late, 1)]
    assert await scene.claim(2) == [Reference(tied[0], 1), Reference(tied[1], 1)]
    assert await scene.claim(2) == [Reference(tied[2], 1)]
    assert await scene.claim(2) == []


async def test_a_claim_takes_what_is_due_now_and_nothing_later(scene: Scene) -> None:
    due = await scene.submit(run_at=START)
    await scene.submit(run_at=START + timedelta(microseconds=1))
    assert [reference.id for reference in await scene.claim()] == [due]


async def test_new_jobs_and_retries_are_claimed_in_one_order(scene: Scene) -> None:
    retrying = await scene.reach(State.RETRYING)
    scene.clock.turn(1)
    old = await scene.submit(run_at=START - timedelta(seconds=1))
    new = await scene.submit()
    assert [reference.id for reference in await scene.claim(2)] == [old, retrying.id]
    assert [reference.id for reference in await scene.claim(2)] == [new]


@pytest.mark.parametrize(
    "other",
    [
        Lane("other", "default", Priority.NORMAL),
        Lane("default", "other", Priority.NORMAL),
        Lane("default", "default", Priority.HIGH),
        Lane("default", "Default", Priority.NORMAL),
    ],
)
async def test_a_claim_keeps_to_its_lane(scene: Scene, other: Lane) -> None:
    job = await scene.submit()
    assert await scene.stores.dispatch.claim(other, 10, LEASE) == []
    assert [reference.id for reference in await scene.claim()] == [job]


async def test_a_carried_retry_is_claimed_only_once_its_message_counts_as_lost(scene: Scene) -> None:
    run = await scene.run()
    await scene.finish(run.reference, FAIL, delay=10.0, carried=True)
    scene.clock.turn(10 + 4.999)
    assert await scene.claim() == []
    scene.clock.turn(0.001)
    assert await scene.claim() == [Reference(run.id, run.token + 2)]


async def test_nothing_is_claimed_from_a_paused_queue(scene: Scene) -> None:
    await scene.submit()
    await scene.stores.queues.pause("default", "default", "ann")
    assert await scene.claim() == []
    await scene.stores.queues.resume("default", "default")
    assert len(await scene.claim()) == 1


async def test_a_pause_of_another_namespace_holds_nobody_up(scene: Scene) -> None:
    await scene.submit()
    await scene.stores.queues.pause("other", "default", "ann")
    assert len(await scene.claim()) == 1


@pytest.mark.parametrize("count", [5000])
async def test_claimers_at_once_share_all_jobs_and_take_none_twice(
    stores: Stores, clock: ManualClock, count: int
) -> None:
    made = (await stores.jobs.submit("default", [new_job(clock) for _ in range(count)])).ids
    shares = await together(*(claim_all(stores) for _ in range(3)))
    claimed = [reference for share in shares for reference in share]
    assert sorted(claimed) == sorted(Reference(id_, 1) for id_ in made)
    assert all(shares), "one claimer waited until the others had everything"


async def claim_all(stores: Stores) -> list[Reference]:
    taken: list[Reference] = []
    while (await stores.jobs.counts("default"))[State.PENDING]:
        taken += await stores.dispatch.claim(LANE, 100, LEASE)
    return taken


async def test_claims_starts_and_submits_at_once_lose_nothing(scene: Scene) -> None:
    stores, clock = scene.stores, scene.clock
    started: list[Reference] = []

    async def submit() -> None:
        for _ in range(20):
            await stores.jobs.submit("default", [new_job(clock) for _ in range(25)])

    async def work() -> None:
        while len(started) < 1000:
            starts = await scene.start(*await stores.dispatch.claim(LANE, 50, LEASE))
            started.extend(run.reference for run in starts.started)

    await together(submit(), submit(), work(), work())
    assert len(set(started)) == len(started) == 1000
    assert (await stores.jobs.counts("default"))[State.RUNNING] == 1000


async def test_take_back_answers_how_many_were_still_ours(scene: Scene) -> None:
    mine, cancelled = await scene.queued(), await scene.queued()
    await scene.stores.jobs.cancel("default", [cancelled.id])
    assert await scene.stores.dispatch.take_back([mine, cancelled]) == 1
    assert await scene.claim() == []
    scene.clock.turn(1)
    assert await scene.claim() == [Reference(mine.id, 3)]


# ----------------------------------------------------------------------------------------------------------- survey


async def survey(scene: Scene) -> Survey:
    return await scene.stores.dispatch.survey()


async def test_a_survey_of_nothing_is_empty(scene: Scene) -> None:
    found = await survey(scene)
    assert (found.lanes, found.queued, found.next_due) == ((), {}, None)


async def test_a_survey_tells_each_due_lane_and_how_long_it_has_waited(scene: Scene) -> None:
    await scene.submit()
    await scene.submit("space", queue="mail", priority=Priority.CRITICAL, run_at=START - timedelta(seconds=7))
    await scene.submit(queue="later", delay_seconds=60)
    scene.clock.turn(2.5)
    assert sorted((await survey(scene)).lanes, key=lambda due: due.waited) == [
        DueLane(LANE, 2.5),
        DueLane(Lane("space", "mail", Priority.CRITICAL), 9.5),
    ]


async def test_a_lane_with_new_jobs_and_retries_is_told_once(scene: Scene) -> None:
    await scene.reach(State.RETRYING)
    scene.clock.turn(3)
    await scene.submit()
    assert (await survey(scene)).lanes == [DueLane(LANE, 3.0)]


async def test_a_survey_leaves_out_paused_lanes_and_when_they_are_due(scene: Scene) -> None:
    await scene.submit(queue="mail")
    await scene.submit(queue="mail", priority=Priority.LOW, delay_seconds=5)
    await scene.stores.queues.pause("default", "mail", "ann")
    found = await survey(scene)
    assert (list(found.lanes), found.next_due) == ([], None)


async def test_a_survey_tells_when_the_next_job_is_due(scene: Scene) -> None:
    await scene.submit(delay_seconds=30)
    await scene.submit(queue="mail", delay_seconds=20)
    await scene.submit(queue="due")
    run = await scene.run(queue="retries")
    await scene.finish(run.reference, FAIL, delay=8.0, carried=True)
    assert (await survey(scene)).next_due == 13.0


async def test_a_survey_counts_what_is_queued_over_all_namespaces(scene: Scene) -> None:
    for namespace, queue in [("default", "a"), ("space", "a"), ("space", "b")]:
        await scene.submit(namespace, queue=queue)
        await scene.claim(queue=queue, namespace=namespace)
    await scene.submit()
    assert (await survey(scene)).queued == {"a": 2, "b": 1}


async def test_a_survey_tells_what_live_workers_offer(scene: Scene) -> None:
    other = await scene.new_worker(queues=("mail", "default"), slots=3)
    await scene.stores.registry.renew(other, LEASE, {"mail": 2.5}, draining=False)
    await scene.run(worker=other)
    await scene.submit()
    capacities = {capacity.id: capacity for capacity in (await survey(scene)).workers}
    assert capacities == {
        scene.worker: Capacity(scene.worker, frozenset({"default"}), 10, 10, {}),
        other: Capacity(other, frozenset({"mail", "default"}), 3, 2, {"mail": 2.5}),
    }


async def test_a_worker_that_runs_more_than_its_slots_offers_none(scene: Scene) -> None:
    small = await scene.new_worker(slots=1)
    for _ in range(2):
        await scene.run(worker=small)
    await scene.submit()
    assert {capacity.id: capacity.free for capacity in (await survey(scene)).workers}[small] == 0


async def drain(scene: Scene) -> None:
    await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=True)


async def die(scene: Scene) -> None:
    scene.clock.turn(LEASE)


async def retire(scene: Scene) -> None:
    await scene.kill()


@pytest.mark.parametrize("end", [drain, die, retire])
async def test_a_worker_that_drains_or_is_dead_offers_nothing(
    scene: Scene, end: Callable[[Scene], Awaitable[None]]
) -> None:
    await scene.submit()
    await end(scene)
    assert list((await survey(scene)).workers) == []
