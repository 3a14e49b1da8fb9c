"""Schedules paused, resumed, triggered and deleted, over both databases."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from horae.domain.errors import IllegalMove, NotFound
from horae.domain.job import Priority, State
from horae.domain.schedule import (
    Action,
    BackfillState,
    Overlap,
    ScheduleState,
)
from horae.domain.template import Template
from horae.store.base import HandlerInfo, JobFilter
from horae.store.firing import EARLIER
from horae.store.tables import backfills, positions
from tests.support.clock import START
from tests.support.factories import schedule_id
from tests.support.scene import NAMESPACE, Scene
from tests.support.schedules import (
    at,
    create,
    end,
    execute,
    fire,
    history,
    ledger,
    page,
    position,
    reread,
    trigger,
)

# --------------------------------------------------------------------------------------------------- pause and resume


async def test_a_pause_has_its_time_and_author(scene: Scene) -> None:
    made = await create(scene)
    scene.clock.turn(10)
    paused = await scene.stores.schedules.pause(NAMESPACE, made.id, "bob")
    assert (paused.state, paused.paused_at, paused.paused_by) == (ScheduleState.PAUSED, at(10), "bob")
    assert (paused.next_fire_at, paused.version, paused.updated_at) == (None, 2, at(10))
    assert await reread(scene, made) == paused
    done = (await history(scene, made))[0]
    assert (done.action, done.author, done.version) == (Action.PAUSED, "bob", 2)


async def test_pausing_or_resuming_twice_changes_nothing(scene: Scene) -> None:
    made = await create(scene)
    assert await scene.stores.schedules.resume(NAMESPACE, made.id, "eve") == made
    paused = await scene.stores.schedules.pause(NAMESPACE, made.id, "bob")
    scene.clock.turn(10)
    assert await scene.stores.schedules.pause(NAMESPACE, made.id, "eve") == paused
    resumed = await scene.stores.schedules.resume(NAMESPACE, made.id, "cid")
    assert await scene.stores.schedules.resume(NAMESPACE, made.id, "eve") == resumed
    assert [(each.action, each.author, each.version) for each in await history(scene, made)] == [
        (Action.RESUMED, "cid", 3),
        (Action.PAUSED, "bob", 2),
        (Action.CREATED, "ann", 1),
    ]


async def test_a_resumed_schedule_goes_on_where_it_would_be(scene: Scene) -> None:
    made = await create(scene)
    await scene.stores.schedules.pause(NAMESPACE, made.id, "bob")
    scene.clock.turn(90)
    await fire(scene)
    scene.clock.turn(10)
    resumed = await scene.stores.schedules.resume(NAMESPACE, made.id, "bob")
    assert (resumed.state, resumed.next_fire_at, resumed.paused_at) == (ScheduleState.ACTIVE, at(120), None)
    assert (await position(scene, made)).pauses == "[]", "a pause that is over and judged leaves nothing behind"


@pytest.mark.parametrize("action", ["pause", "resume"])
async def test_an_ended_schedule_is_neither_paused_nor_resumed(scene: Scene, action: str) -> None:
    ended = await end(scene, await create(scene))
    with pytest.raises(IllegalMove) as caught:
        await getattr(scene.stores.schedules, action)(NAMESPACE, ended.id, "bob")
    assert (caught.value.action, caught.value.state, caught.value.kind) == (action, "ENDED", "schedule")
    assert await reread(scene, ended) == ended


# ------------------------------------------------------------------------------------------------------------- trigger


async def test_a_triggered_job_is_made_from_the_template_now(scene: Scene) -> None:
    await scene.stores.registry.remember([HandlerInfo("mail.send", {}, {"queue": "mail", "max_retries": 9})])
    template = Template("mail.send", '{"to":"x"}', {"max_retries": 1, "priority": "high", "tags": ["red"]})
    made = await create(scene, template=template, jitter_seconds=3600)
    scene.clock.turn(10)
    job = await scene.job(await trigger(scene, made))
    assert (job.handler, job.payload, job.schedule_id, job.fire_time) == ("mail.send", '{"to":"x"}', made.id, None)
    assert (job.queue, job.max_retries, job.priority, job.tags) == ("mail", 1, Priority.HIGH, ("red",))
    assert (job.state, job.run_at, job.created_at) == (State.PENDING, at(10), at(10))
    assert await reread(scene, made) == made
    done = (await history(scene, made))[0]
    assert (done.action, done.author, done.details) == (Action.TRIGGERED, "bob", {"job_id": job.id})


async def test_a_schedule_is_triggered_in_every_state(scene: Scene) -> None:
    made = await create(scene, max_runs=1)
    paused = await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    ended = await end(scene, paused)
    for schedule in (made, paused, ended):
        await scene.job(await trigger(scene, schedule))
    assert (await reread(scene, made)).runs == 0


@pytest.mark.parametrize(("overlap", "kept"), [(Overlap.ALLOW, 1), (Overlap.SKIP, EARLIER), (Overlap.REPLACE, EARLIER)])
async def test_what_is_remembered_of_triggered_jobs_is_bounded(scene: Scene, overlap: Overlap, kept: int) -> None:
    made = await create(scene, overlap=overlap)
    triggered = [await trigger(scene, made) for _ in range(EARLIER + 5)]
    assert orjson.loads((await position(scene, made)).earlier) == triggered[-kept:]


async def test_final_jobs_are_forgotten_before_unfinished_ones(scene: Scene) -> None:
    made = await create(scene, overlap=Overlap.SKIP)
    waiting = await trigger(scene, made)
    for _ in range(EARLIER + 5):
        done = await trigger(scene, made)
        await scene.stores.jobs.cancel(NAMESPACE, [done])
    last = await trigger(scene, made)
    assert orjson.loads((await position(scene, made)).earlier) == [waiting, last]


# -------------------------------------------------------------------------------------------------------------- delete


async def test_what_a_deleted_schedule_did_stays(scene: Scene) -> None:
    made = await create(scene)
    scene.clock.turn(60)
    await fire(scene)
    triggered = await trigger(scene, made)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "bob")
    assert await scene.stores.schedules.get(NAMESPACE, made.id) is None
    assert await page(scene) == []
    fired = await scene.ids(JobFilter(schedule_id=made.id))
    assert triggered in fired
    lines = await ledger(scene, made)
    assert [line.job_id for line in lines] == [id_ for id_ in fired if id_ != triggered]
    assert [each.action for each in await history(scene, made)] == [Action.DELETED, Action.TRIGGERED, Action.CREATED]
    scene.clock.turn(600)
    assert await scene.stores.firing.fire(10) == []
    assert (await execute(scene, sa.select(positions))).all() == []


async def test_a_deleted_schedules_name_is_free_again(scene: Scene) -> None:
    made = await create(scene)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "bob")
    again = await create(scene)
    assert again.definition.name == made.definition.name
    with pytest.raises(NotFound):
        await scene.stores.schedules.delete(NAMESPACE, made.id, "bob")


async def test_its_running_backfills_end_with_it(scene: Scene) -> None:
    gone, other = await create(scene, name="gone"), await create(scene, name="other")
    made = {
        (schedule.id, state): schedule_id(scene.clock)
        for schedule in (gone, other)
        for state in (BackfillState.RUNNING, BackfillState.DONE)
    }
    for (schedule, state), id_ in made.items():
        await execute(scene, sa.insert(backfills).values(backfill(id_, schedule, state)))
    await scene.stores.schedules.delete(NAMESPACE, gone.id, "bob")
    rows = {row.id: row for row in (await execute(scene, sa.select(backfills))).all()}
    assert rows[made[gone.id, BackfillState.RUNNING]].state == BackfillState.CANCELLED
    assert rows[made[gone.id, BackfillState.RUNNING]].finished_at == START
    assert rows[made[gone.id, BackfillState.DONE]].state == BackfillState.DONE
    assert rows[made[other.id, BackfillState.RUNNING]].state == BackfillState.RUNNING


def backfill(id_: str, schedule: str, state: BackfillState) -> dict[str, Any]:
    numbers = dict.fromkeys(("max_concurrent", "total", "made", "kept", "succeeded", "failed"), 1)
    times = {"begin_at": at(-60), "end_at": START, "created_at": START, "next_at": START}
    texts = {"timing": "{}", "running": "[]", "author": "ann", "namespace": NAMESPACE}
    return {"id": id_, "schedule_id": schedule, "state": state, **numbers, **times, **texts}
