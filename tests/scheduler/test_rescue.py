"""What dead holders left is taken up; and who merely sat out an outage isn't robbed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from horae.domain.errors import StoreUnavailable
from horae.domain.ids import JobId
from horae.domain.job import Outcome, State
from horae.runtime.metrics import Metrics
from horae.scheduler.ports import Ports
from horae.scheduler.rescue import BATCH, LOOK, SOON, Rescue
from horae.scheduler.service import Scheduler
from horae.signals.base import Topic
from tests.dispatch.faults import Faults
from tests.dispatch.fixtures import counted
from tests.support.clock import ManualClock
from tests.support.factories import LEASE
from tests.support.scene import NAMESPACE, Scene
from tests.support.signals import Listener

AWAY = StoreUnavailable("away")

Leave = Callable[[Scene], Awaitable[JobId]]
"""Leaves a job behind that somebody has to take up."""


@pytest.fixture
def rescue(scheduler: Scheduler) -> Rescue:
    return scheduler.rescue


async def look(rescue: Rescue, clock: ManualClock, seconds: float) -> None:
    """Lets time pass while the duty looks as often as it wants to."""
    while seconds > 0:
        step = min(seconds, LOOK)
        clock.turn(step)
        seconds -= step
        while not await rescue.run_once():
            pass


async def attempt(scene: Scene, job_id: JobId) -> tuple[Outcome, int]:
    """How the latest attempt of a job ended, and how many it had."""
    sight = await scene.see(job_id)
    return sight.attempts[-1].outcome, len(sight.attempts)


# --------------------------------------------------------------------------------------------------------------- sleep


async def test_with_nothing_to_wait_for_it_looks_every_two_seconds(scene: Scene, rescue: Rescue) -> None:
    await scene.submit()
    assert await rescue.run_once() == LOOK


@pytest.mark.parametrize(
    ("fields", "pause"), [({"expires_in": 0.7}, 0.7), ({"expires_in": 60.0}, LOOK)], ids=["soon", "late"]
)
async def test_it_sleeps_until_the_next_deadline(
    scene: Scene, rescue: Rescue, fields: dict[str, float], pause: float
) -> None:
    await scene.submit(expires_at=scene.at(fields["expires_in"]))
    assert await rescue.run_once() == pytest.approx(pause)


async def test_when_another_scheduler_is_at_it_it_looks_again_soon(
    scene: Scene, rescue: Rescue, faults: Faults
) -> None:
    await scene.submit(expires_at=scene.at(-1))
    faults.answer("expire", 0)
    assert await rescue.run_once() == SOON


# -------------------------------------------------------------------------------------------------------- what it does


async def hand_over(scene: Scene) -> JobId:
    return (await scene.queued()).id


async def lose(scene: Scene) -> JobId:
    job_id = (await scene.run(timeout_seconds=3600)).id
    await scene.kill()
    return job_id


async def lose_cancelled(scene: Scene) -> JobId:
    job_id = await lose(scene)
    await scene.stores.jobs.cancel(NAMESPACE, [job_id])
    return job_id


async def outlast(scene: Scene) -> JobId:
    return (await scene.run(timeout_seconds=1)).id


async def outlast_for_good(scene: Scene) -> JobId:
    return (await scene.run(timeout_seconds=1, max_retries=0)).id


async def expire(scene: Scene) -> JobId:
    return await scene.submit(expires_at=scene.at(1))


@pytest.mark.parametrize(
    ("left", "state", "kind"),
    [
        (hand_over, State.PENDING, "handover"),
        (lose, State.RETRYING, "lost"),
        (lose_cancelled, State.CANCELLED, "cancelled"),
        (outlast, State.RETRYING, "timed_out"),
        (outlast_for_good, State.FAILED, "timed_out"),
        (expire, State.FAILED, "expired"),
    ],
)
async def test_what_was_left_behind_is_taken_up_counted_and_hinted(
    scene: Scene, scheduler: Scheduler, scheduler_ports: Ports, left: Leave, state: State, kind: str
) -> None:
    listener = Listener(scheduler_ports.signals, Topic.DUE)
    job_id = await left(scene)
    await keep_alive_for(scene, scheduler.rescue, 3 * LEASE)
    assert (await scene.job(job_id)).state is state
    assert counted(scheduler_ports.metrics, "rescued_total", kind=kind) == 1
    assert listener.woken == 1


async def keep_alive_for(scene: Scene, rescue: Rescue, seconds: float) -> None:
    """Lets time pass with the scene's worker renewing, if it lives, and the duty looking."""
    while seconds > 0:
        scene.clock.turn(LOOK)
        seconds -= LOOK
        await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=False)
        while not await rescue.run_once():
            pass


async def test_what_is_in_time_is_left_alone(scene: Scene, rescue: Rescue) -> None:
    run = await scene.run(timeout_seconds=60)
    waiting = await scene.submit(expires_at=scene.at(60))
    queued = await scene.queued(queue="mail")
    await keep_alive_for(scene, rescue, LEASE - LOOK)
    states = [(await scene.job(job_id)).state for job_id in (run.id, waiting, queued.id)]
    assert states == [State.RUNNING, State.PENDING, State.QUEUED]


async def test_a_worker_counts_as_dead_one_lease_after_its_last_renewal(scene: Scene, rescue: Rescue) -> None:
    run = await scene.run()
    await look(rescue, scene.clock, LEASE - 0.5)
    assert (await scene.job(run.id)).state is State.RUNNING
    await look(rescue, scene.clock, 0.5)
    assert (await scene.job(run.id)).state is State.RETRYING
    assert await attempt(scene, run.id) == (Outcome.LOST, 1)


async def test_more_than_a_batch_is_taken_up_without_a_pause(scene: Scene, rescue: Rescue) -> None:
    await scene.stores.jobs.submit(NAMESPACE, [scene.new(expires_at=scene.at(-1)) for _ in range(BATCH + 1)])
    assert [await rescue.run_once() for _ in range(3)] == [0.0, 0.0, LOOK]
    assert (await scene.stores.jobs.counts(NAMESPACE))[State.FAILED] == BATCH + 1


async def test_schedulers_side_by_side_take_up_each_job_once(
    scene: Scene, scheduler_ports: Ports, metrics: Metrics
) -> None:
    references = [await scene.queued() for _ in range(20)]
    await scene.start(*references)
    await scene.kill()
    duties = [Rescue(scheduler_ports, LEASE) for _ in range(3)]
    await asyncio.gather(*[duty.run_once() for duty in duties])
    assert {await attempt(scene, reference.id) for reference in references} == {(Outcome.LOST, 1)}
    assert counted(metrics, "rescued_total", kind="lost") == 20


# ------------------------------------------------------------------------------------------------------------ patience


@pytest.mark.parametrize("method", ["next_rescue", "expire", "rescue_handovers", "rescue_attempts"])
async def test_after_an_outage_attempts_rest_for_a_lease_and_hand_overs_don_t(
    scene: Scene, rescue: Rescue, faults: Faults, method: str
) -> None:
    handed = await scene.queued(queue="mail")
    run = await scene.run()
    await look(rescue, scene.clock, LEASE - LOOK)
    await scene.kill()
    faults.refuse(method, AWAY)
    with pytest.raises(StoreUnavailable):
        await rescue.run_once()
    await look(rescue, scene.clock, LEASE - 0.1)
    assert (await scene.job(handed.id)).state is State.PENDING
    assert (await scene.job(run.id)).state is State.RUNNING
    await look(rescue, scene.clock, 0.2)
    assert (await scene.job(run.id)).state is State.RETRYING


async def test_while_attempts_rest_it_looks_again_soon(scene: Scene, rescue: Rescue, faults: Faults) -> None:
    await lose(scene)
    faults.refuse("next_rescue", AWAY)
    with pytest.raises(StoreUnavailable):
        await rescue.run_once()
    assert await rescue.run_once() == SOON


async def test_every_failed_statement_prolongs_the_rest(scene: Scene, rescue: Rescue, faults: Faults) -> None:
    run = await scene.run()
    await scene.kill()
    for _ in range(3):
        faults.refuse("next_rescue", AWAY)
        with pytest.raises(StoreUnavailable):
            await rescue.run_once()
        await look(rescue, scene.clock, LEASE - 0.1)
    assert (await scene.job(run.id)).state is State.RUNNING


async def test_a_worker_that_sat_out_the_same_outage_gives_back_first(
    scene: Scene, rescue: Rescue, faults: Faults
) -> None:
    run = await scene.run()
    faults.refuse("next_rescue", *[AWAY] * 5)
    for _ in range(5):
        scene.clock.turn(5)
        with pytest.raises(StoreUnavailable):
            await rescue.run_once()
    assert await rescue.run_once() == SOON
    assert not await scene.stores.registry.renew(scene.worker, LEASE, {}, draining=False)
    assert (await scene.job(run.id)).state is State.RUNNING


async def test_a_scheduler_that_stood_still_lets_the_workers_beside_it_renew_first(
    scene: Scene, rescue: Rescue
) -> None:
    """A long pause of the machine, or a blocked loop in the process of all roles: no worker could renew either."""
    run = await scene.run()
    await look(rescue, scene.clock, LOOK)
    scene.clock.turn(LEASE)
    assert await rescue.run_once() == SOON
    assert (await scene.job(run.id)).state is State.RUNNING
    await look(rescue, scene.clock, LEASE / 3)
    assert (await scene.job(run.id)).state is State.RETRYING
