"""Backfills as users ask for them, follow them and cancel them, over both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from horae.domain.errors import IllegalMove, InvalidInput, NotFound
from horae.domain.job import Reference, State
from horae.domain.schedule import (
    Action,
    Backfill,
    BackfillState,
    ScheduleId,
)
from horae.domain.timing import Timing
from horae.domain.transitions import SUCCEED
from horae.store.base_schedules import BACKFILL_CAP, Progressed
from tests.support.factories import job_id, schedule_id
from tests.support.recurring import (
    advance,
    at,
    complete,
    finish,
    fire,
    history,
    jobs_of,
    reread,
    scheduled,
    see_backfill,
    start_backfill,
    written,
)
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import together

HOUR = 3600.0


# --------------------------------------------------------------------------------------------------------------- start


async def test_a_new_backfill_covers_its_range_and_says_how_much_that_is(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 3)
    assert begun == Backfill(
        id=begun.id,
        schedule_id=made.id,
        begin=at(-600),
        end=at(-60),
        max_concurrent=3,
        state=BackfillState.RUNNING,
        total=10,
        made=0,
        kept=0,
        running=0,
        succeeded=0,
        failed=0,
        author="ann",
        created_at=at(0),
        finished_at=None,
    )
    assert await see_backfill(scene, begun) == begun
    assert await scene.stores.schedules.backfills(NAMESPACE, made.id, 10) == [begun]
    assert await jobs_of(scene, made) == []


async def test_the_history_tells_who_asked_for_it(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 3, "bob")
    change = (await history(scene, made))[-1]
    assert (change.action, change.author, change.version) == (Action.BACKFILL_STARTED, "bob", made.version)
    assert change.details == {
        "backfill_id": begun.id,
        "from": "2026-03-01T11:50:00Z",
        "to": "2026-03-01T11:59:00Z",
        "max_concurrent": 3,
        "total": 10,
    }
    assert await reread(scene, made) == made


async def test_a_range_may_be_a_single_fire_time(scene: Scene) -> None:
    made = await scheduled(scene)
    assert (await start_backfill(scene, made, -60, -60)).total == 1


@pytest.mark.parametrize(("begin", "end"), [(-59, -1), (60, 600), (1, 0)], ids=["between", "to come", "backwards"])
async def test_a_range_without_a_past_fire_time_is_refused(scene: Scene, begin: float, end: float) -> None:
    made = await scheduled(scene)
    with pytest.raises(InvalidInput) as caught:
        await start_backfill(scene, made, begin, end)
    assert [error.field for error in caught.value.errors] == ["from"]
    assert [change.action for change in await history(scene, made)] == [Action.CREATED]


async def test_a_range_with_too_many_fire_times_is_refused(scene: Scene) -> None:
    made = await scheduled(scene, timing=Timing(cron="* * * * * *"))
    assert (await start_backfill(scene, made, 1 - BACKFILL_CAP, 0)).total == BACKFILL_CAP
    with pytest.raises(InvalidInput) as caught:
        await start_backfill(scene, made, -BACKFILL_CAP, 0)
    assert [error.field for error in caught.value.errors] == ["to"]


async def test_what_the_schedule_has_yet_to_judge_is_left_to_it(scene: Scene) -> None:
    made = await scheduled(scene)
    await scene.turn(150)
    await fire(scene)
    await scene.turn(150)
    begun = await start_backfill(scene, made, -60, 600)
    assert (begun.end, begun.total) == (at(120), 4)


async def test_of_one_that_has_ended_all_that_is_past_can_be_made(scene: Scene) -> None:
    made = await scheduled(scene, max_runs=1)
    await scene.turn(60)
    await fire(scene)
    await scene.turn(150)
    begun = await start_backfill(scene, made, 60, 600)
    assert (begun.end, begun.total) == (at(210), 3)
    done = await complete(scene, begun)
    assert (done.made, done.kept) == (2, 1)


async def test_an_interval_has_no_fire_times_before_its_start(scene: Scene) -> None:
    made = await scheduled(scene, timing=Timing(interval_seconds=60, start_at=at(-120)))
    assert (await start_backfill(scene, made, -HOUR, HOUR)).total == 3


async def test_only_schedules_of_the_namespace_can_be_backfilled(scene: Scene) -> None:
    made = await scheduled(scene)
    with pytest.raises(NotFound):
        await start_backfill(scene, replace(made, namespace="other"), -600, 0)
    with pytest.raises(NotFound):
        await start_backfill(scene, replace(made, id=ScheduleId(schedule_id(scene.clock))), -600, 0)


async def test_fire_times_that_cannot_be_computed_are_an_error_of_the_request(scene: Scene) -> None:
    made = await scheduled(scene)
    await written(scene.stores, sa.text("UPDATE schedules SET timezone = 'Atlantis/Capital'"))
    with pytest.raises(InvalidInput, match="Atlantis"):
        await start_backfill(scene, made, -600, 0)


# ------------------------------------------------------------------------------------------------------------- reading


async def test_backfills_are_listed_newest_first_page_by_page(scene: Scene) -> None:
    made, other = await scheduled(scene), await scheduled(scene, name="other")
    begun = [await start_backfill(scene, made, -600, -60 * n) for n in range(3)]
    await start_backfill(scene, other, -600, 0)
    listed = scene.stores.schedules.backfills
    assert await listed(NAMESPACE, made.id, 2) == [begun[2], begun[1]]
    assert await listed(NAMESPACE, made.id, 2, begun[1].id) == [begun[0]]


async def test_backfills_outlive_their_schedule_and_stop_with_it(scene: Scene) -> None:
    made = await scheduled(scene)
    await start_backfill(scene, made, -600, 0, 2)
    await advance(scene)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "ann")
    assert await advance(scene) == []
    assert not await scene.stores.firing.backfilling()
    (left,) = await scene.stores.schedules.backfills(NAMESPACE, made.id, 10)
    assert (left.state, left.made, left.running) == (BackfillState.CANCELLED, 2, 2)


async def test_nothing_of_another_namespace_or_schedule_is_found(scene: Scene) -> None:
    made, other = await scheduled(scene), await scheduled(scene, name="other")
    begun = await start_backfill(scene, made, -600, 0)
    store = scene.stores.schedules
    assert await store.get_backfill("other", made.id, begun.id) is None
    assert await store.get_backfill(NAMESPACE, other.id, begun.id) is None
    assert await store.get_backfill(NAMESPACE, made.id, job_id(scene.clock)) is None
    for namespace, schedule in (("other", made.id), (NAMESPACE, schedule_id(scene.clock))):
        with pytest.raises(NotFound):
            await store.backfills(namespace, schedule, 10)
    for place in (("other", made.id, begun.id), (NAMESPACE, other.id, begun.id)):
        with pytest.raises(NotFound):
            await store.cancel_backfill(*place, "ann")


# -------------------------------------------------------------------------------------------------------------- cancel


async def cancel(scene: Scene, backfill: Backfill, author: str = "bob") -> Backfill:
    return await scene.stores.schedules.cancel_backfill(NAMESPACE, backfill.schedule_id, backfill.id, author)


async def test_a_cancel_in_the_middle_ends_its_jobs_and_makes_no_more(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 3)
    await advance(scene)
    done, running, waiting = [job.id for job in await jobs_of(scene, made)]
    await finish(scene, done)
    await scene.start(Reference(running, (await scene.job(running)).token))
    scene.clock.turn(1)
    cancelled = await cancel(scene, begun)
    assert (cancelled.state, cancelled.finished_at) == (BackfillState.CANCELLED, at(1))
    assert (cancelled.made, cancelled.running, cancelled.succeeded, cancelled.failed) == (3, 1, 1, 1)
    states = {job.id: (job.state, job.cancel_requested) for job in await jobs_of(scene, made)}
    assert states == {
        done: (State.SUCCESS, False),
        running: (State.RUNNING, True),
        waiting: (State.CANCELLED, False),
    }
    assert await advance(scene) == []
    assert not await scene.stores.firing.backfilling()


async def test_how_the_last_ones_ended_is_told_afterwards(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 1)
    await advance(scene)
    starts = await scene.start(*await scene.claim())
    await cancel(scene, begun)
    await scene.finish(starts.started[0].reference, SUCCEED)
    seen = await see_backfill(scene, begun)
    assert (seen.state, seen.running, seen.succeeded, seen.failed) == (BackfillState.CANCELLED, 0, 1, 0)


async def test_the_history_tells_who_cancelled_it_once(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60)
    first = await cancel(scene, begun)
    scene.clock.turn(1)
    assert await cancel(scene, begun, "eve") == first
    changes = [change for change in await history(scene, made) if change.action is Action.BACKFILL_CANCELLED]
    assert [(change.author, change.details) for change in changes] == [("bob", {"backfill_id": begun.id})]


async def test_what_is_done_cannot_be_cancelled(scene: Scene) -> None:
    made = await scheduled(scene)
    done = await complete(scene, await start_backfill(scene, made, -60, -60))
    with pytest.raises(IllegalMove) as caught:
        await cancel(scene, done)
    assert (caught.value.kind, caught.value.id, caught.value.state) == ("backfill", done.id, "DONE")


async def test_one_whose_schedule_is_gone_is_cancelled_already(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -60, -60)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "ann")
    assert (await cancel(scene, begun)).state is BackfillState.CANCELLED


async def test_a_cancel_and_looks_at_once_leave_no_job_running(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 2)
    await together(
        *(act for _ in range(4) for act in (advance(scene), advance(scene))), advance_and_cancel(scene, begun)
    )
    assert {job.state for job in await jobs_of(scene, made)} <= {State.CANCELLED}
    assert (await see_backfill(scene, begun)).state is BackfillState.CANCELLED


async def advance_and_cancel(scene: Scene, backfill: Backfill) -> list[Progressed]:
    await cancel(scene, backfill)
    return await advance(scene)
