"""Every reference of a delivery is started, given back or dropped; then the delivery is acked, and not before."""

from __future__ import annotations

import asyncio

from horae.domain.errors import StoreUnavailable
from horae.domain.job import Outcome, State
from horae.domain.transitions import RELEASE
from horae.runtime.metrics import Metrics
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import Finish
from horae.worker.intake import FOREIGN_PAUSE
from tests.dispatch.faults import Faults, Logs
from tests.dispatch.fixtures import counted
from tests.support.factories import LEASE
from tests.support.scene import Scene, with_token
from tests.support.signals import Listener
from tests.support.waiting import eventually
from tests.worker.shop import GATED, SLOTS, Shop

# -------------------------------------------------------------------------------------------------------------- started


async def test_a_delivery_is_acked_as_soon_as_its_jobs_have_started(scene: Scene, shop: Shop) -> None:
    references = [await scene.queued(handler=GATED) for _ in range(3)]
    await shop.take(*references)
    assert {await shop.state(each) for each in references} == {State.RUNNING}
    assert shop.slots.free == SLOTS - 3


async def test_it_is_not_acked_before_their_start_is_known(scene: Scene, shop: Shop, faults: Faults) -> None:
    held = faults.hold("start")
    parcel = shop.receive(await scene.queued())
    await held.made.wait()
    await asyncio.sleep(0)
    assert not parcel.acked.is_set()
    held.release()
    await parcel.acked.wait()


async def test_starts_are_counted_for_the_window(scene: Scene, shop: Shop) -> None:
    await shop.take(*[await scene.queued() for _ in range(3)], with_token(await scene.queued(), 1))
    scene.clock.turn(1)
    assert shop.rates.current() == {"default": 3.0}


# -------------------------------------------------------------------------------------------------------------- dropped


async def test_what_runs_already_is_dropped(scene: Scene, shop: Shop, metrics: Metrics) -> None:
    reference = await shop.begin()
    await shop.take(reference)
    assert counted(metrics, "deliveries_dropped_total", reason="running") == 1
    assert shop.handlers.called == [reference.id]
    assert await shop.state(reference) is State.RUNNING


async def test_of_two_deliveries_of_the_same_moment_one_is_dropped(scene: Scene, shop: Shop) -> None:
    reference = await scene.queued()
    first, second = shop.receive(reference), shop.receive(reference)
    await first.acked.wait()
    await second.acked.wait()
    await shop.idle()
    assert shop.handlers.called == [reference.id]


async def test_what_is_somebody_elses_by_now_is_dropped(scene: Scene, shop: Shop, metrics: Metrics) -> None:
    run = await scene.run()
    taken_back = await scene.queued()
    await scene.stores.dispatch.take_back([taken_back])
    await shop.take(run.reference, taken_back)
    assert counted(metrics, "deliveries_dropped_total", reason="stale") == 2
    assert (await scene.job(run.id)).worker_id == scene.worker
    assert shop.handlers.called == []


async def test_one_that_the_database_fails_on_is_left_to_its_lease(
    scene: Scene, shop: Shop, faults: Faults, logs: Logs
) -> None:
    reference = await scene.queued()
    faults.refuse("start", ValueError("a row of nonsense"))
    await shop.take(reference)
    await shop.idle()
    assert await shop.state(reference) is State.QUEUED


# ----------------------------------------------------------------------------------------------------------- given back


async def test_what_may_not_start_now_is_given_back(scene: Scene, shop: Shop, signals: InProcessSignals) -> None:
    paused, expired = await scene.queued(), await scene.queued(queue="mail", expires_at=scene.at(1))
    schedulers = Listener(signals, Topic.DUE)
    await shop.pause_queue()
    scene.clock.turn(2)
    await shop.take(paused, expired)
    for reference in (paused, expired):
        job = await shop.job(reference)
        assert (job.state, job.token, job.wake_at, job.attempt) == (State.PENDING, 2, job.run_at, 0)
    assert schedulers.woken == 1


async def test_a_job_whose_handler_is_missing_here_is_given_back_for_a_while(scene: Scene, shop: Shop) -> None:
    reference = await scene.queued(handler="elsewhere")
    await shop.take(reference)
    job = await shop.job(reference)
    assert (job.state, job.wake_at, job.attempt) == (State.PENDING, scene.at(FOREIGN_PAUSE), 0)


async def test_what_finds_no_slot_in_time_is_given_back(scene: Scene, shop: Shop) -> None:
    for _ in range(SLOTS):
        await shop.begin()
    reference = await scene.queued()
    await shop.take(reference)
    assert await shop.state(reference) is State.PENDING


async def test_what_waits_for_a_slot_starts_when_one_is_free(scene: Scene, shop: Shop) -> None:
    for _ in range(SLOTS):
        await shop.begin()
    references = [await scene.queued() for _ in range(3)]
    parcel = shop.receive(*references)
    await asyncio.sleep(0)
    assert not parcel.acked.is_set()
    shop.handlers.gate.set()
    await parcel.acked.wait()
    await shop.idle()
    assert {await shop.state(each) for each in references} == {State.SUCCESS}


async def test_of_a_delivery_larger_than_the_free_slots_the_rest_is_given_back(scene: Scene, shop: Shop) -> None:
    references = [await scene.queued(handler=GATED) for _ in range(SLOTS + 2)]
    await shop.take(*references)
    states = [await shop.state(each) for each in references]
    assert states == [State.RUNNING] * SLOTS + [State.PENDING] * 2


async def test_once_closed_everything_is_given_back(scene: Scene, shop: Shop) -> None:
    shop.intake.closed = True
    reference = await scene.queued()
    await shop.take(reference)
    assert await shop.state(reference) is State.PENDING
    assert shop.slots.free == SLOTS


async def test_giving_back_waits_for_the_database(scene: Scene, shop: Shop, faults: Faults) -> None:
    faults.refuse("give_back", StoreUnavailable("away"), StoreUnavailable("away"))
    reference = await scene.queued(handler="elsewhere")
    await shop.take(reference)
    assert await shop.state(reference) is State.PENDING


async def test_what_can_not_be_given_back_is_left_to_its_lease(
    scene: Scene, shop: Shop, faults: Faults, logs: Logs
) -> None:
    faults.refuse("give_back", ValueError("a bug"))
    reference = await scene.queued(handler="elsewhere")
    await shop.take(reference)
    await shop.idle()
    assert await shop.state(reference) is State.QUEUED


# -------------------------------------------------------------------------------------------------------- a dead worker


async def test_while_the_lease_is_not_trusted_nothing_is_started(scene: Scene, shop: Shop) -> None:
    scene.clock.turn(LEASE)
    reference = await scene.queued()
    parcel = shop.receive(reference)
    await eventually(shop.lease.wake.is_set)
    assert not parcel.acked.is_set()
    assert len(shop.table) == 0
    await shop.lease.run_once()
    await parcel.acked.wait()
    assert (await shop.job(reference)).worker_id == shop.lease.worker_id


async def test_what_a_dead_row_refuses_is_held_until_the_worker_has_a_new_one(scene: Scene, shop: Shop) -> None:
    reference, old = await scene.queued(), shop.lease.worker_id
    await scene.kill(old)
    parcel = shop.receive(reference)
    await eventually(shop.lease.wake.is_set)
    assert not parcel.acked.is_set()
    assert await shop.state(reference) is State.QUEUED
    await shop.lease.run_once()
    await parcel.acked.wait()
    assert shop.lease.worker_id != old
    assert await shop.state(reference) is State.PENDING


async def test_a_start_that_is_answered_a_lease_later_is_not_run(scene: Scene, shop: Shop, faults: Faults) -> None:
    reference = await scene.queued()
    held = faults.hold("start")
    parcel = shop.receive(reference)
    await held.made.wait()
    scene.clock.turn(LEASE + 0.001)
    held.release()
    await parcel.acked.wait()
    await shop.idle()
    assert shop.handlers.called == []
    assert await shop.state(reference) is State.PENDING
    assert await shop.outcomes(reference) == ["released"]


async def test_a_start_that_is_answered_after_the_worker_fenced_itself_is_not_run(
    scene: Scene, shop: Shop, faults: Faults
) -> None:
    reference, old = await scene.queued(), shop.lease.worker_id
    held = faults.hold("start")
    parcel = shop.receive(reference)
    await held.made.wait()
    await scene.kill(old)
    await shop.lease.run_once()
    held.release()
    await parcel.acked.wait()
    await shop.idle()
    assert shop.handlers.called == []
    assert await shop.outcomes(reference) == ["released"]


async def test_a_start_whose_answer_was_lost_is_run_once(scene: Scene, shop: Shop, faults: Faults) -> None:
    reference = await scene.queued()
    faults.lose("start", StoreUnavailable("no answer"))
    await shop.take(reference)
    await shop.idle()
    assert shop.handlers.called == [reference.id]
    assert await shop.outcomes(reference) == ["success"]


async def test_a_job_that_was_rescued_before_its_start_was_answered_ends_nothing(
    scene: Scene, shop: Shop, faults: Faults, metrics: Metrics
) -> None:
    reference, mine = await scene.queued(), shop.lease.worker_id
    held = faults.hold("start")
    parcel = shop.receive(reference)
    await held.made.wait()
    await scene.stores.worker.finish(mine, [Finish(reference, RELEASE, Outcome.RELEASED)])
    held.release()
    await parcel.acked.wait()
    await shop.idle()
    assert counted(metrics, "stale_writes_total") == 1
    assert await shop.outcomes(reference) == ["released"]
