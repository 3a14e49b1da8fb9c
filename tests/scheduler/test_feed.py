"""The feed: when it looks, what it claims, and for how long it sleeps."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from horae.broker.inprocess import InProcessBroker
from horae.dispatch.claim import REST
from horae.domain.errors import BrokerUnavailable, StoreUnavailable
from horae.domain.ids import JobId, WorkerId
from horae.domain.job import Job, Priority, Reference, State
from horae.domain.transitions import SUCCEED
from horae.scheduler.feed import LONGEST_LOOK, SHORTEST_LOOK, Feed
from horae.scheduler.looks import SAFETY_POLL
from horae.scheduler.service import Scheduler
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from tests.dispatch.faults import Faults
from tests.support.brokers import Inbox, consuming
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import eventually


@pytest.fixture
def feed(scheduler: Scheduler) -> Feed:
    return scheduler.feed


async def submit(scene: Scene, count: int, namespace: str = NAMESPACE, **fields: object) -> list[JobId]:
    submitted = await scene.stores.jobs.submit(namespace, [scene.new(**fields) for _ in range(count)])
    return submitted.ids


async def fill(feed: Feed) -> float:
    """Rounds until one claims nothing; how long that one wants to sleep."""
    while not (pause := await feed.run_once()):
        pass
    return pause


async def queued(scene: Scene, namespace: str = NAMESPACE) -> int:
    return (await scene.stores.jobs.counts(namespace))[State.QUEUED]


async def replace_worker(scene: Scene, slots: int) -> WorkerId:
    """A single live worker with so many slots."""
    await scene.kill()
    scene.worker = await scene.new_worker(slots=slots)
    return scene.worker


# --------------------------------------------------------------------------------------------------------------- sleep


async def test_with_nothing_to_do_it_sleeps_until_its_safety_poll(scene: Scene, feed: Feed) -> None:
    assert await feed.run_once() == SAFETY_POLL


async def test_when_hints_may_be_lost_it_looks_five_times_as_often(
    scene: Scene, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessSignals, "reliable", property(lambda _: False))
    assert await feed.run_once() == SAFETY_POLL / 5


@pytest.mark.parametrize(("delay", "pause"), [(0.3, 0.3), (4.9, 4.9), (30, SAFETY_POLL)])
async def test_it_sleeps_until_the_next_job_is_due_and_then_claims_it(
    scene: Scene, feed: Feed, delay: float, pause: float
) -> None:
    await submit(scene, 1, delay_seconds=delay)
    assert await feed.run_once() == pytest.approx(pause)
    assert await queued(scene) == 0
    await scene.turn(delay)
    assert await fill(feed) == SAFETY_POLL
    assert await queued(scene) == 1


async def test_the_earliest_of_all_lanes_ends_the_sleep(scene: Scene, feed: Feed) -> None:
    await submit(scene, 1, delay_seconds=4, namespace="b")
    await submit(scene, 1, delay_seconds=3, priority=Priority.LOW)
    await submit(scene, 1, delay_seconds=2, queue="mail", namespace="c")
    assert await feed.run_once() == pytest.approx(2)


async def test_a_retry_that_waits_in_its_row_ends_the_sleep_too(scene: Scene, feed: Feed) -> None:
    job_id = (await scene.reach(State.RETRYING)).id
    await fill(feed)
    assert (await scene.job(job_id)).state is State.QUEUED


async def test_a_paused_lane_is_neither_claimed_nor_waited_for(scene: Scene, feed: Feed) -> None:
    await submit(scene, 1)
    await submit(scene, 1, delay_seconds=2)
    await scene.stores.queues.pause(NAMESPACE, "default", "me")
    assert await feed.run_once() == SAFETY_POLL
    await scene.turn(2)
    assert await feed.run_once() == SAFETY_POLL
    await scene.stores.queues.resume(NAMESPACE, "default")
    await fill(feed)
    assert await queued(scene) == 2


async def test_without_a_live_worker_nothing_is_claimed_until_one_comes(scene: Scene, feed: Feed) -> None:
    await scene.kill()
    await submit(scene, 3)
    assert await feed.run_once() == SAFETY_POLL
    assert await queued(scene) == 0
    await scene.new_worker()
    await fill(feed)
    assert await queued(scene) == 3


@pytest.mark.parametrize("topic", [Topic.DUE, Topic.ROOM])
async def test_hints_wake_it(feed: Feed, signals: InProcessSignals, topic: Topic) -> None:
    signals.hint(topic)
    assert feed.wake.is_set()


# ------------------------------------------------------------------------------------------------------- a full window


async def test_no_more_is_queued_than_the_window_holds(scene: Scene, feed: Feed) -> None:
    await submit(scene, 30)
    await fill(feed)
    assert await queued(scene) == 10


async def test_a_full_window_is_looked_at_again_ever_more_slowly(scene: Scene, feed: Feed) -> None:
    await submit(scene, 30)
    pauses = [await fill(feed)] + [await feed.run_once() for _ in range(7)]
    assert pauses == pytest.approx([SHORTEST_LOOK * 2**number for number in range(6)] + [LONGEST_LOOK] * 2)


async def test_after_a_claim_the_looks_begin_anew(scene: Scene, feed: Feed, broker: InProcessBroker) -> None:
    await submit(scene, 30)
    inbox = Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox):
        assert await fill(feed) == SHORTEST_LOOK
        assert await feed.run_once() == 2 * SHORTEST_LOOK
        await eventually(lambda: len(inbox.references) == 10)
        await scene.start(*inbox.references)
        for reference in inbox.references:
            await scene.finish(reference, SUCCEED)
        assert await fill(feed) == SHORTEST_LOOK


async def test_after_an_empty_look_they_begin_anew_too(scene: Scene, feed: Feed) -> None:
    ids = await submit(scene, 30)
    pauses = [await fill(feed), await feed.run_once()]
    await scene.stores.jobs.cancel(NAMESPACE, ids[10:])
    assert await feed.run_once() == SAFETY_POLL
    await submit(scene, 1)
    assert [*pauses, await feed.run_once()] == [SHORTEST_LOOK, 2 * SHORTEST_LOOK, SHORTEST_LOOK]


async def test_a_job_that_comes_due_ends_the_looks_of_a_full_window_early(scene: Scene, feed: Feed) -> None:
    await submit(scene, 30)
    await submit(scene, 1, delay_seconds=0.01, namespace="b")
    assert await fill(feed) == pytest.approx(0.01)


async def test_a_due_job_that_is_locked_for_the_moment_is_looked_for_again_soon(
    scene: Scene, feed: Feed, faults: Faults
) -> None:
    await submit(scene, 1)
    faults.answer("claim", [], [], [], [])
    assert await feed.run_once() == SHORTEST_LOOK
    assert await feed.run_once() == 2 * SHORTEST_LOOK
    assert await fill(feed) == SAFETY_POLL
    assert await queued(scene) == 1


# ------------------------------------------------------------------------------------------------------- a broker away


async def taken_back(scene: Scene) -> None:
    async def pending() -> bool:
        return (await scene.stores.jobs.counts(NAMESPACE))[State.PENDING] == 1

    await eventually(pending)


async def test_while_the_broker_is_away_nothing_is_claimed(scene: Scene, feed: Feed, faults: Faults) -> None:
    faults.refuse("publish", BrokerUnavailable("away"))
    await submit(scene, 1)
    assert await feed.run_once() == 0.0
    await taken_back(scene)
    claims = faults.count("claim")
    assert await feed.run_once() == REST
    await submit(scene, 1)
    assert await feed.run_once() == REST
    assert faults.count("claim") == claims
    scene.clock.turn(REST)
    await fill(feed)
    assert await queued(scene) == 2


async def test_a_refusal_in_the_middle_of_a_round_doesn_t_make_it_sleep_for_long(
    scene: Scene, feed: Feed, faults: Faults
) -> None:
    await submit(scene, 1)
    publish = faults.hold("publish", BrokerUnavailable("away"))
    assert await feed.run_once() == 0.0
    await submit(scene, 1)
    survey = faults.hold("survey")
    looking = asyncio.create_task(feed.run_once())
    await survey.made.wait()
    claims = faults.count("claim")
    publish.release()
    await eventually(lambda: faults.count("take_back") == 1)
    survey.release()
    assert await looking == REST
    assert faults.count("claim") == claims


async def test_a_database_that_fails_in_the_middle_costs_nothing_that_was_claimed(
    scene: Scene, feed: Feed, faults: Faults, broker: InProcessBroker
) -> None:
    await submit(scene, 1, namespace="a")
    await submit(scene, 1, namespace="b")
    inbox = Inbox(acks=True)
    faults.hold("claim").release()
    faults.refuse("claim", StoreUnavailable("away"))
    async with consuming(broker, "default", inbox=inbox):
        with pytest.raises(StoreUnavailable):
            await feed.run_once()
        await inbox.holds(1)
        await fill(feed)
        await inbox.holds(2)
    assert len(set(inbox.references)) == 2


# ------------------------------------------------------------------------------------------------------------ fairness


async def served(scene: Scene, feed: Feed, inbox: Inbox, count: int) -> list[Job]:
    """Runs the jobs of a worker with one slot one after the other, the feed looking twice for each."""
    jobs = []
    for number in range(1, count + 1):
        assert await feed.run_once() == 0.0
        assert await feed.run_once() > 0.0
        await inbox.holds(number)
        reference = Reference(*inbox.references[-1])
        run = (await scene.start(reference)).started[0]
        jobs.append(await scene.job(run.id, run.namespace))
        await scene.finish(reference, SUCCEED)
    return jobs


async def test_a_window_of_one_serves_namespaces_in_turn_and_each_eighth_time_the_oldest(
    scene: Scene, feed: Feed, broker: InProcessBroker
) -> None:
    await replace_worker(scene, slots=1)
    await submit(scene, 2, namespace="a", priority=Priority.LOW)
    scene.clock.turn(1)
    for namespace in ("a", "b"):
        await submit(scene, 20, namespace=namespace, priority=Priority.CRITICAL)
    inbox = Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox):
        jobs = await served(scene, feed, inbox, 16)
    assert Counter(job.namespace for job in jobs if job.priority is Priority.CRITICAL) == {"a": 7, "b": 7}
    assert [place for place, job in enumerate(jobs, 1) if job.priority is Priority.LOW] == [8, 16]


async def test_each_queue_has_turns_of_its_own(scene: Scene, feed: Feed, broker: InProcessBroker) -> None:
    await scene.kill()
    for queue in ("default", "mail"):
        await scene.new_worker(slots=1, queues=(queue,))
        for namespace in ("a", "b"):
            await submit(scene, 9, namespace=namespace, queue=queue)
    inbox = Inbox(acks=True)
    got: dict[str, list[str]] = {"default": [], "mail": []}
    async with consuming(broker, "default", "mail", inbox=inbox):
        for number in range(1, 8):
            await fill(feed)
            await inbox.holds(2 * number)
            for delivery in inbox.deliveries[-2:]:
                run = (await scene.start(*delivery.references, worker=await spare_worker(scene))).started[0]
                got[run.queue].append(run.namespace)
    assert got == {"default": list("abababa"), "mail": list("abababa")}


async def spare_worker(scene: Scene) -> WorkerId:
    """Takes a job off the window without filling a slot of those that the window counts."""
    return await scene.new_worker(slots=0, queues=("none",))
