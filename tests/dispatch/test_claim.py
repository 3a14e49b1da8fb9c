"""From a claim to a delivery, and back when the broker doesn't take it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from horae.broker.inprocess import InProcessBroker
from horae.dispatch.claim import AGAIN, LARGEST_CLAIM, REST, Dispatcher
from horae.dispatch.window import Portion
from horae.domain.errors import BrokerUnavailable, PublishReturned, PublishUnknown, StoreUnavailable
from horae.domain.ids import JobId
from horae.domain.job import Job, Priority, Reference, State
from horae.store.base import Capacity
from tests.dispatch.faults import Faults, Logs
from tests.dispatch.lanes import lane, worker
from tests.support.brokers import Inbox, consuming
from tests.support.clock import ManualClock
from tests.support.factories import LEASE
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import eventually

LANE = lane(NAMESPACE)
WORKERS = [worker(free=100)]
UNKNOWN = PublishUnknown("no confirm")


async def submit(scene: Scene, count: int) -> list[JobId]:
    submitted = await scene.stores.jobs.submit(NAMESPACE, [scene.new() for _ in range(count)])
    return submitted.ids


async def dispatch(dispatcher: Dispatcher, count: int, workers: list[Capacity] | None = None) -> int:
    return await dispatcher.dispatch(Portion((LANE,), count), workers or WORKERS)


async def claimed(scene: Scene, dispatcher: Dispatcher) -> JobId:
    """One job that was claimed and handed on."""
    [job_id] = await submit(scene, 1)
    assert await dispatch(dispatcher, 1) == 1
    return job_id


async def states(scene: Scene) -> dict[State, int]:
    counts = await scene.stores.jobs.counts(NAMESPACE)
    return {state: count for state, count in counts.items() if count}


def standing(job: Job) -> tuple[State, int]:
    return job.state, job.token


# ------------------------------------------------------------------------------------------------------------- as it is


async def test_what_is_claimed_arrives_with_the_tokens_of_the_claim(
    scene: Scene, dispatcher: Dispatcher, broker: InProcessBroker
) -> None:
    ids, inbox = await submit(scene, 5), Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox):
        assert await dispatch(dispatcher, 10) == 5
        await dispatcher.settle()
        await eventually(lambda: len(inbox.references) == 5)
    assert inbox.references == [Reference(job_id, 1) for job_id in ids]
    assert [len(delivery.references) for delivery in inbox.deliveries] == [2, 2, 1]
    assert await states(scene) == {State.QUEUED: 5}


async def test_the_claim_is_committed_before_its_delivery_is_published(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    held = faults.hold("publish")
    job = await scene.job(await claimed(scene, dispatcher))
    await held.made.wait()
    assert standing(job) == (State.QUEUED, 1)
    assert job.wake_at == scene.at(LEASE)
    held.release()


async def test_a_portion_goes_on_to_its_next_lane_and_stops_at_its_count(scene: Scene, dispatcher: Dispatcher) -> None:
    first = [await scene.submit(priority=Priority.HIGH) for _ in range(2)]
    second = [await scene.submit() for _ in range(3)]
    portion = Portion((lane(NAMESPACE, Priority.CRITICAL), lane(NAMESPACE, Priority.HIGH), LANE), 4)
    assert await dispatcher.dispatch(portion, WORKERS) == 4
    left = [job_id for job_id in [*first, *second] if (await scene.job(job_id)).state is State.PENDING]
    assert left == second[2:]


async def test_a_large_portion_is_claimed_in_several_statements(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    await submit(scene, LARGEST_CLAIM + 3)
    assert await dispatch(dispatcher, LARGEST_CLAIM + 3) == LARGEST_CLAIM + 3
    assert faults.count("claim") == 2


# ---------------------------------------------------------------------------------------------- certainly not published


@pytest.mark.parametrize("error", [PublishReturned("no such queue"), BrokerUnavailable("away")], ids=repr)
async def test_a_refused_delivery_is_taken_back_for_a_second(
    scene: Scene, dispatcher: Dispatcher, faults: Faults, error: Exception
) -> None:
    faults.refuse("publish", error)
    job_id = await claimed(scene, dispatcher)
    await dispatcher.settle()
    job = await scene.job(job_id)
    assert standing(job) == (State.PENDING, 2)
    assert job.wake_at == scene.at(1)


async def test_after_a_refusal_nothing_is_claimed_for_a_while(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    faults.refuse("publish", BrokerUnavailable("away"))
    assert dispatcher.resting("default") == 0
    await claimed(scene, dispatcher)
    await dispatcher.settle()
    await submit(scene, 1)
    assert dispatcher.resting("default") == REST
    assert await dispatch(dispatcher, 10) == 0
    assert faults.count("claim") == 1
    assert dispatcher.resting("mail") == 0
    scene.clock.turn(REST)
    assert dispatcher.resting("default") == 0
    assert await dispatch(dispatcher, 10) == 2


async def test_every_delivery_of_a_refused_portion_is_taken_back(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    await submit(scene, 23)
    faults.refuse("publish", *[BrokerUnavailable("away")] * 5)
    assert await dispatch(dispatcher, 23, [worker(free=5)]) == 23
    await dispatcher.settle()
    assert await states(scene) == {State.PENDING: 23}


async def test_what_can_not_be_taken_back_is_left_to_its_lease(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    faults.refuse("publish", BrokerUnavailable("away"))
    faults.refuse("take_back", StoreUnavailable("away too"))
    job_id = await claimed(scene, dispatcher)
    await dispatcher.settle()
    assert standing(await scene.job(job_id)) == (State.QUEUED, 1)
    scene.clock.turn(LEASE)
    assert await scene.stores.rescue.rescue_handovers(10) == 1


# --------------------------------------------------------------------------------------------------- perhaps published


async def test_without_a_confirm_the_same_tokens_are_published_again(
    scene: Scene, dispatcher: Dispatcher, broker: InProcessBroker, faults: Faults
) -> None:
    faults.lose("publish", UNKNOWN, UNKNOWN)
    inbox = Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox):
        job_id = await claimed(scene, dispatcher)
        for _ in range(2):
            await scene.clock.asleep()
            assert scene.clock.waiting == [AGAIN]
            assert dispatcher.resting("default") == REST
            scene.clock.turn(AGAIN)
        await inbox.holds(3)
    assert inbox.references == [Reference(job_id, 1)] * 3
    assert standing(await scene.job(job_id)) == (State.QUEUED, 1)


async def test_without_any_confirm_it_is_published_until_its_lease_is_over_and_then_left_to_it(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    faults.refuse("publish", *[UNKNOWN] * 1000)
    job_id = await claimed(scene, dispatcher)
    await scene.clock.asleep()
    while scene.clock.waiting:
        scene.clock.turn(AGAIN)
        before = faults.count("publish")
        await eventually(lambda before=before: faults.count("publish") > before)  # type: ignore[misc]
    assert faults.count("publish") == LEASE / AGAIN
    job = await scene.job(job_id)
    assert standing(job) == (State.QUEUED, 1)
    assert job.wake_at is not None
    assert job.wake_at - scene.clock.now() == timedelta(seconds=AGAIN)


async def test_what_is_refused_at_the_second_try_is_taken_back(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    faults.refuse("publish", UNKNOWN, PublishReturned("no such queue"))
    job_id = await claimed(scene, dispatcher)
    await scene.clock.asleep()
    scene.clock.turn(AGAIN)
    await eventually(lambda: faults.count("take_back") == 1)
    await dispatcher.settle()
    assert standing(await scene.job(job_id)) == (State.PENDING, 2)


async def test_taking_back_does_no_harm_to_a_job_that_has_started_meanwhile(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    faults.refuse("publish", UNKNOWN, PublishReturned("gone by now"))
    job_id = await claimed(scene, dispatcher)
    await scene.clock.asleep()
    assert (await scene.start(Reference(job_id, 1))).started
    scene.clock.turn(AGAIN)
    await eventually(lambda: faults.count("take_back") == 1)
    await dispatcher.settle()
    assert standing(await scene.job(job_id)) == (State.RUNNING, 1)


# ------------------------------------------------------------------------------------------------------------------ end


async def test_at_the_end_what_is_under_way_is_awaited_and_nothing_tried_twice(
    scene: Scene, dispatcher: Dispatcher, faults: Faults
) -> None:
    held = faults.hold("publish")
    faults.refuse("publish", UNKNOWN)
    await submit(scene, 2)
    await dispatch(dispatcher, 2, [worker(free=1)])
    await scene.clock.asleep()
    settling = asyncio.create_task(dispatcher.settle())
    await eventually(lambda: not scene.clock.waiting)
    assert not settling.done()
    held.release()
    await settling
    assert faults.count("publish") == 2


async def test_an_error_that_nobody_foresaw_ends_one_delivery_only(
    scene: Scene, dispatcher: Dispatcher, faults: Faults, logs: Logs
) -> None:
    count = 65
    faults.refuse("publish", *[RuntimeError("a bug")] * count)
    await submit(scene, count + 1)
    assert await dispatch(dispatcher, count + 1, [worker(free=1)]) == count + 1
    await dispatcher.settle()
    assert faults.count("publish") == count + 1
    assert [line["event"] for line in logs] == ["dispatch.failed"] * count


async def test_another_scheduler_gets_what_this_one_left_and_nothing_twice(
    scene: Scene, broker: InProcessBroker, dispatcher: Dispatcher, clock: ManualClock
) -> None:
    await submit(scene, 20)
    inbox = Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox):
        got = await asyncio.gather(*[dispatch(dispatcher, 8) for _ in range(4)])
        await dispatcher.settle()
        await eventually(lambda: len(inbox.references) == 20)
    assert sum(got) == 20
    assert len(set(inbox.references)) == 20
