"""What the database wants of a worker's runs: cancel requests, and a comparison that robs nobody."""

from __future__ import annotations

import asyncio

from horae.domain.job import Outcome, Reference, State
from horae.domain.transitions import RELEASE, SUCCEED
from horae.runtime.metrics import Metrics
from horae.store.base import Finish
from horae.worker.watch import LOOK
from tests.dispatch.faults import Faults
from tests.dispatch.fixtures import counted
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import eventually
from tests.worker.shop import GATED, SLOTS, Shop


async def cancel(scene: Scene, *references: Reference) -> None:
    await scene.stores.jobs.cancel(NAMESPACE, [reference.id for reference in references])


async def compare(shop: Shop) -> None:
    await shop.watch.compare(shop.lease.worker_id)


async def start_unknown(scene: Scene, shop: Shop) -> Reference:
    """A job that runs under the worker's id, and that the worker knows nothing of."""
    reference = await scene.queued()
    await scene.start(reference, worker=shop.lease.worker_id)
    return reference


async def release(scene: Scene, shop: Shop, reference: Reference) -> None:
    """As a rescuer would: the row is somebody else's from now on."""
    await scene.stores.worker.finish(shop.lease.worker_id, [Finish(reference, RELEASE, Outcome.RELEASED)])


# -------------------------------------------------------------------------------------------------------------- cancel


async def test_a_job_that_a_user_cancels_is_ended(scene: Scene, shop: Shop) -> None:
    mine, other = await shop.begin(), await shop.begin()
    await cancel(scene, mine)
    assert await shop.watch.run_once() == LOOK
    await eventually(lambda: shop.table.get(mine) is None)
    assert await shop.outcomes(mine) == ["cancelled"]
    assert await shop.state(mine) is State.CANCELLED
    assert shop.runs_now(other)


async def test_a_handler_that_cleans_up_is_not_cancelled_each_second(scene: Scene, shop: Shop) -> None:
    reference = await shop.begin("stubborn")
    await cancel(scene, reference)
    entry = shop.table.get(reference)
    assert entry is not None
    await shop.watch.run_once()
    interrupts: list[None] = []
    entry.interrupt = lambda: interrupts.append(None)
    await shop.watch.run_once()
    assert not interrupts


async def test_a_job_that_ended_first_is_not_cancelled_any_more(scene: Scene, shop: Shop) -> None:
    reference = await shop.begin()
    await cancel(scene, reference)
    shop.handlers.gate.set()
    await shop.idle()
    await shop.watch.run_once()
    assert await shop.state(reference) is State.SUCCESS


async def test_a_cancel_that_came_before_the_handler_began_comes_with_the_next_look(
    scene: Scene, shop: Shop, faults: Faults
) -> None:
    reference = await scene.queued(handler=GATED)
    held = faults.hold("start")
    parcel = shop.receive(reference)
    await held.made.wait()
    await cancel(scene, reference)
    await shop.watch.run_once()
    held.release()
    await parcel.acked.wait()
    await shop.watch.run_once()
    await shop.idle()
    assert await shop.state(reference) is State.CANCELLED


async def test_while_nothing_runs_the_database_is_not_asked(shop: Shop, faults: Faults) -> None:
    await shop.watch.run_once()
    assert faults.count("cancel_requests") == 0


async def test_it_tells_how_many_slots_are_taken(shop: Shop, metrics: Metrics) -> None:
    await shop.begin()
    await shop.watch.run_once()
    assert counted(metrics, "worker_slots", state="running") == 1
    assert counted(metrics, "worker_slots", state="free") == SLOTS - 1


async def test_a_changed_rate_is_told_with_a_renewal_at_once(scene: Scene, shop: Shop) -> None:
    shop.rates.started("default", 100)
    scene.clock.turn(1)
    await shop.watch.run_once()
    assert shop.lease.wake.is_set()


# ------------------------------------------------------------------------------------------------------------- compare


async def test_a_row_that_nobody_runs_is_given_back(scene: Scene, shop: Shop) -> None:
    stray, mine = await start_unknown(scene, shop), await shop.begin()
    elsewhere = await scene.run()
    await compare(shop)
    assert await shop.state(stray) is State.PENDING
    assert await shop.outcomes(stray) == ["released"]
    assert await shop.state(mine) is State.RUNNING
    assert (await scene.job(elsewhere.id)).state is State.RUNNING


async def test_a_run_that_lost_its_row_is_ended_and_writes_nothing(scene: Scene, shop: Shop, faults: Faults) -> None:
    lost, mine = await shop.begin(), await shop.begin()
    await release(scene, shop, lost)
    await compare(shop)
    await eventually(lambda: shop.table.get(lost) is None)
    assert shop.handlers.ended == [lost.id]
    assert await shop.outcomes(lost) == ["released"]
    assert faults.count("finish") == 0
    assert shop.runs_now(mine)


async def test_a_run_whose_job_was_started_here_once_more_is_ended_alone(scene: Scene, shop: Shop) -> None:
    lost = await shop.begin()
    await release(scene, shop, lost)
    [again] = await scene.claim()
    await shop.take(again)
    await eventually(lambda: shop.runs_now(again))
    await compare(shop)
    await eventually(lambda: shop.table.get(lost) is None)
    assert shop.runs_now(again)
    assert await shop.state(again) is State.RUNNING


async def test_a_handler_that_goes_on_without_its_row_is_interrupted_at_each_comparison(
    scene: Scene, shop: Shop
) -> None:
    lost = await shop.begin("stubborn")
    entry = shop.table.get(lost)
    assert entry is not None
    interrupts: list[None] = []
    entry.interrupt = lambda: interrupts.append(None)
    await release(scene, shop, lost)
    for _ in range(3):
        await compare(shop)
    assert len(interrupts) == 3


async def test_a_start_under_way_is_no_stray(scene: Scene, shop: Shop, faults: Faults) -> None:
    reference = await scene.queued(handler=GATED)
    held = faults.hold("start")
    parcel = shop.receive(reference)
    await held.made.wait()
    await compare(shop)
    held.release()
    await parcel.acked.wait()
    assert await shop.state(reference) is State.RUNNING
    await eventually(lambda: shop.runs_now(reference))


async def test_an_end_under_way_is_no_stray(scene: Scene, shop: Shop, faults: Faults) -> None:
    reference = await shop.begin()
    held = faults.hold("running")
    comparing = asyncio.create_task(compare(shop))
    await held.made.wait()
    shop.handlers.gate.set()
    await shop.idle()
    held.release()
    await comparing
    assert await shop.outcomes(reference) == ["success"]


async def test_an_end_whose_answer_is_awaited_is_not_lost(scene: Scene, shop: Shop, faults: Faults) -> None:
    reference = await shop.begin()
    held = faults.hold("finish")
    shop.handlers.gate.set()
    await held.made.wait()
    await compare(shop)
    held.release()
    await shop.idle()
    assert await shop.outcomes(reference) == ["success"]


async def test_a_run_that_begins_during_the_comparison_is_not_lost(scene: Scene, shop: Shop, faults: Faults) -> None:
    held = faults.hold("running")
    comparing = asyncio.create_task(compare(shop))
    await held.made.wait()
    reference = await shop.begin()
    held.release()
    await comparing
    assert shop.runs_now(reference)


async def test_runs_of_an_older_id_are_not_compared_with_the_new_ones_rows(scene: Scene, shop: Shop) -> None:
    reference = await shop.begin()
    entry = shop.table.get(reference)
    await shop.watch.compare(await scene.new_worker())
    assert entry is not None
    assert entry.ask is None


async def test_a_stray_that_has_moved_on_meanwhile_stays_as_it_is(scene: Scene, shop: Shop, faults: Faults) -> None:
    stray = await start_unknown(scene, shop)
    held = faults.hold("running")
    comparing = asyncio.create_task(compare(shop))
    await held.made.wait()
    await scene.finish(stray, SUCCEED, worker=shop.lease.worker_id)
    held.release()
    await comparing
    assert await shop.outcomes(stray) == ["success"]
