"""The scheduler as a whole: its duties side by side, from a start to a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from horae.broker.inprocess import InProcessBroker
from horae.domain.errors import BrokerUnavailable, StoreUnavailable
from horae.domain.job import State
from horae.runtime.duty import Stop
from horae.runtime.metrics import Metrics
from horae.scheduler.service import Scheduler
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from tests.dispatch.faults import Faults
from tests.dispatch.fixtures import counted
from tests.support.brokers import Inbox, consuming
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import PATIENCE, eventually

DUTIES = 9


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[asyncio.Task[None]]:
    """Runs it until the end of the block, which it must come to by itself."""
    stop = Stop()
    task = asyncio.create_task(scheduler.run(stop))
    try:
        yield task
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await task


async def test_a_job_is_published_at_its_time_and_one_for_now_at_its_hint(
    scene: Scene, scheduler: Scheduler, broker: InProcessBroker, signals: InProcessSignals
) -> None:
    inbox = Inbox(acks=True)
    later = await scene.submit(delay_seconds=3)
    async with consuming(broker, "default", inbox=inbox), running(scheduler):
        await scene.clock.asleep(DUTIES)
        at_once = await scene.submit()
        signals.hint(Topic.DUE)
        await inbox.holds(1)
        await scene.clock.asleep(DUTIES)
        scene.clock.turn(3)
        await inbox.holds(2)
    assert [reference.id for reference in inbox.references] == [at_once, later]


async def test_it_stops_at_once_however_long_its_duties_sleep(scene: Scene, scheduler: Scheduler) -> None:
    async with running(scheduler) as task:
        await scene.clock.asleep(DUTIES)
    assert task.done()


async def test_before_it_ends_what_is_claimed_is_published(
    scene: Scene, scheduler: Scheduler, broker: InProcessBroker, faults: Faults
) -> None:
    await scene.submit()
    held = faults.hold("publish", BrokerUnavailable("away"))
    async with running(scheduler) as task:
        await held.made.wait()
        asyncio.get_running_loop().call_later(0.01, held.release)
    assert task.done()
    assert (await scene.stores.jobs.counts(NAMESPACE))[State.PENDING] == 1


async def test_a_duty_that_fails_is_tried_again_and_disturbs_no_other(
    scene: Scene, scheduler: Scheduler, broker: InProcessBroker, faults: Faults
) -> None:
    faults.refuse("prune", StoreUnavailable("away"))
    faults.refuse("depths", RuntimeError("a bug"))
    faults.refuse("survey", StoreUnavailable("away"))
    job_id = await scene.submit()
    inbox = Inbox(acks=True)
    async with consuming(broker, "default", inbox=inbox), running(scheduler):
        await scene.clock.asleep(DUTIES)
        scene.clock.turn(1)
        await inbox.holds(1)
        await eventually(lambda: faults.count("prune") == 2 and faults.count("depths") == 2)
    assert inbox.references[0].id == job_id


async def test_the_depths_of_all_queues_are_told(scene: Scene, scheduler: Scheduler, metrics: Metrics) -> None:
    await scene.submit()
    await scene.submit(namespace="b")
    await scene.queued(queue="mail")
    await scheduler.depths.run_once()
    assert counted(metrics, "queue_depth", queue="default", state="PENDING") == 2
    assert counted(metrics, "queue_depth", queue="mail", state="QUEUED") == 1
