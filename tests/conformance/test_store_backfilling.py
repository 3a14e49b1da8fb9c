"""Backfills make their jobs, beside what the schedule does by itself; over both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from horae.domain.job import FINAL, Priority, State
from horae.domain.schedule import (
    Action,
    BackfillState,
    Misfire,
    Occurrence,
    Overlap,
    Verdict,
)
from horae.domain.template import Template
from horae.domain.timing import Timing
from horae.store import backfilling
from horae.store.base import HandlerInfo
from horae.store.base_schedules import Progressed
from horae.store.schedule_rows import timing_text
from horae.store.tables import backfills
from tests.support.factories import HANDLER
from tests.support.recurring import (
    EVERY_MINUTE,
    advance,
    at,
    brief,
    complete,
    finish,
    fire,
    history,
    jobs_of,
    ledger,
    reread,
    scheduled,
    see_backfill,
    start_backfill,
    written,
)
from tests.support.scene import NAMESPACE, Scene

# -------------------------------------------------------------------------------------------------------------- making


async def test_times_before_the_schedule_existed_get_their_jobs_oldest_first(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -180, 0, 2)
    (progressed,) = await advance(scene)
    assert progressed == Progressed(
        begun.id, made.id, NAMESPACE, made.definition.name, BackfillState.RUNNING, 2, 0, 4, {"default": 2}
    )
    jobs = await jobs_of(scene, made)
    assert [(job.fire_time, job.run_at, job.state) for job in jobs] == [
        (at(-180), at(0), State.PENDING),
        (at(-120), at(0), State.PENDING),
    ]
    assert await ledger(scene, made) == [
        Occurrence(made.id, job.fire_time, Verdict.BACKFILLED, at(0), job_id=job.id) for job in jobs if job.fire_time
    ]
    seen = await see_backfill(scene, begun)
    assert (seen.made, seen.running, seen.succeeded) == (2, 2, 0)


async def test_never_more_than_so_many_at_a_time(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -300, -60, 2)
    for done in range(5):
        await advance(scene)
        assert await advance(scene) == []
        jobs = await jobs_of(scene, made)
        unfinished = [job for job in jobs if job.state not in FINAL]
        assert (len(jobs), len(unfinished)) == (min(done + 2, 5), min(2, 5 - done))
        await finish(scene, unfinished[0].id)
        assert (await see_backfill(scene, begun)).succeeded == done + 1
    (last,) = await advance(scene)
    assert (last.state, last.queues) == (BackfillState.DONE, {})
    seen = await see_backfill(scene, begun)
    assert (seen.total, seen.made, seen.kept, seen.running, seen.succeeded) == (5, 5, 0, 0, 5)
    assert seen.finished_at == at(0)
    assert not await scene.stores.firing.backfilling()


async def test_it_tells_how_its_jobs_ended(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -240, -60)
    await advance(scene)
    jobs = [job.id for job in await jobs_of(scene, made)]
    await finish(scene, jobs[0])
    await finish(scene, jobs[1], state=State.FAILED)
    await scene.stores.jobs.cancel(NAMESPACE, [jobs[2]])
    await scene.stores.jobs.cancel(NAMESPACE, [jobs[3]])
    await scene.stores.jobs.delete(NAMESPACE, [jobs[3]])
    before = await see_backfill(scene, begun)
    await advance(scene)
    after = await see_backfill(scene, begun)
    assert (before.state, before.running, before.succeeded, before.failed) == (BackfillState.RUNNING, 0, 1, 3)
    assert (after.state, after.running, after.succeeded, after.failed) == (BackfillState.DONE, 0, 1, 3)


async def test_a_job_that_is_tried_again_is_not_over(scene: Scene) -> None:
    made = await scheduled(scene)
    await start_backfill(scene, made, -120, -60, 1)
    await advance(scene)
    await scene.start(*await scene.claim())
    assert await advance(scene) == []
    assert len(await jobs_of(scene, made)) == 1


async def test_jobs_are_made_from_the_template_and_the_defaults_of_the_moment(scene: Scene) -> None:
    made = await scheduled(scene, template=Template(HANDLER, '{"a": 1}', {"max_retries": 7}))
    await start_backfill(scene, made, -120, -60, 1)
    defaults = {"queue": "mail", "priority": "high", "max_retries": 1}
    await scene.stores.registry.remember([HandlerInfo(HANDLER, {}, defaults)])
    (progressed,) = await advance(scene)
    (job,) = await jobs_of(scene, made)
    assert (job.queue, job.priority, job.max_retries, job.payload) == ("mail", Priority.HIGH, 7, '{"a": 1}')
    assert progressed.queues == {"mail": 1}
    template = Template(HANDLER, '{"a": 2}', {"tags": ["late"]})
    changed = replace(made.definition, template=template)
    await scene.stores.schedules.change(NAMESPACE, made.id, made.version, changed, "ann")
    await scene.stores.jobs.cancel(NAMESPACE, [job.id])
    await advance(scene)
    assert [(job.payload, job.tags) for job in await jobs_of(scene, made)] == [
        ('{"a": 1}', ()),
        ('{"a": 2}', ("late",)),
    ]


async def test_its_fire_times_are_those_of_when_it_was_asked_for(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -180, -60)
    changed = replace(made.definition, timing=Timing(cron="30 0 * * *", timezone="Asia/Tokyo"))
    await scene.stores.schedules.change(NAMESPACE, made.id, made.version, changed, "ann")
    await complete(scene, begun)
    assert [job.fire_time for job in await jobs_of(scene, made)] == [at(-180), at(-120), at(-60)]


async def test_it_counts_neither_for_runs_nor_for_overlap(scene: Scene) -> None:
    made = await scheduled(scene, overlap=Overlap.SKIP, max_runs=5)
    await start_backfill(scene, made, -180, -60)
    await advance(scene)
    await scene.turn(60)
    await fire(scene)
    after = await reread(scene, made)
    assert (after.runs, after.version, after.last_fire_at) == (1, made.version, at(60))
    assert brief(await ledger(scene, made))[-1] == (60, "fired")


async def test_only_so_many_backfills_are_looked_at_and_none_is_left_out_for_ever(scene: Scene) -> None:
    begun = [await start_backfill(scene, await scheduled(scene, name=f"s{n}"), -60, -60) for n in range(3)]
    looked: set[str] = set()
    for _ in range(200):
        progressed = await scene.stores.firing.advance_backfills(1)
        assert len(progressed) <= 1
        looked |= {each.backfill_id for each in progressed}
        if len(looked) == 3:
            break
    assert looked == {each.id for each in begun}


async def test_without_any_nothing_is_running(scene: Scene) -> None:
    made = await scheduled(scene)
    assert not await scene.stores.firing.backfilling()
    assert await advance(scene) == []
    await start_backfill(scene, made, -60, 0)
    assert await scene.stores.firing.backfilling()


async def test_one_whose_fire_times_cannot_be_computed_any_more_is_cancelled(scene: Scene) -> None:
    made, other = await scheduled(scene), await scheduled(scene, name="other")
    begun = await start_backfill(scene, made, -60, 0)
    sound = await start_backfill(scene, other, -60, 0)
    scene.clock.turn(1)
    timing = timing_text(EVERY_MINUTE).replace('"UTC"', '"Atlantis/Capital"')
    await written(scene.stores, sa.update(backfills).where(backfills.c.id == begun.id).values(timing=timing))
    states = {each.backfill_id: each.state for each in await advance(scene)}
    assert states == {begun.id: BackfillState.CANCELLED, sound.id: BackfillState.RUNNING}
    change = (await history(scene, made))[-1]
    assert (change.action, change.author) == (Action.BACKFILL_CANCELLED, "scheduler")
    assert "Atlantis" in change.details["reason"]


# ----------------------------------------------------------------------------------------------- what is there already


async def test_a_time_that_has_its_job_is_kept(scene: Scene) -> None:
    made = await scheduled(scene)
    await scene.turn(150)
    await fire(scene)
    before = await ledger(scene, made)
    done = await complete(scene, await start_backfill(scene, made, 0, 600))
    assert (done.total, done.made, done.kept) == (3, 1, 2)
    assert (await ledger(scene, made))[1:] == before
    again = await complete(scene, await start_backfill(scene, made, 0, 600))
    assert (again.total, again.made, again.kept) == (3, 0, 3)
    assert len(await jobs_of(scene, made)) == 3


async def test_a_time_that_was_skipped_gets_its_job_and_says_what_it_was(scene: Scene) -> None:
    made = await scheduled(scene, misfire=Misfire.SKIP, misfire_grace_seconds=0)
    await scene.turn(150)
    await fire(scene)
    assert brief(await ledger(scene, made)) == [(60, "skipped misfire"), (120, "skipped misfire")]
    begun = await start_backfill(scene, made, 60, 120)
    await advance(scene)
    jobs = await jobs_of(scene, made)
    assert await ledger(scene, made) == [
        Occurrence(made.id, at(60 * n), Verdict.BACKFILLED, at(150), None, "was skipped: misfire", jobs[n - 1].id)
        for n in (1, 2)
    ]
    assert (await see_backfill(scene, begun)).made == 2


async def test_also_one_that_another_stands_for(scene: Scene) -> None:
    made = await scheduled(scene, misfire_grace_seconds=0)
    await scene.turn(200)
    await fire(scene)
    coalesced = [(60, "coalesced misfire"), (120, "coalesced misfire"), (180, "fired")]
    assert brief(await ledger(scene, made)) == coalesced
    done = await complete(scene, await start_backfill(scene, made, 0, 600))
    assert (done.made, done.kept) == (3, 1)
    lines = await ledger(scene, made)
    assert brief(lines) == [(0, "backfilled"), (60, "backfilled"), (120, "backfilled"), (180, "fired")]
    assert [line.detail for line in lines] == [None, "was coalesced: misfire", "was coalesced: misfire", None]
    assert [line.into for line in lines] == [None] * 4


async def test_also_one_that_lay_in_a_pause_or_overlapped(scene: Scene) -> None:
    made = await scheduled(scene, overlap=Overlap.SKIP)
    await scene.turn(60)
    await fire(scene)
    await scene.turn(60)
    await fire(scene)
    await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    await scene.turn(60)
    await fire(scene)
    assert brief(await ledger(scene, made)) == [(60, "fired"), (120, "skipped overlap"), (180, "skipped paused")]
    await start_backfill(scene, made, 60, 180)
    await advance(scene)
    assert [line.detail for line in await ledger(scene, made)] == [None, "was skipped: overlap", "was skipped: paused"]


async def test_more_kept_than_one_look_takes_in_are_passed_over_look_by_look(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await scheduled(scene)
    await complete(scene, await start_backfill(scene, made, -600, -60))
    monkeypatch.setattr(backfilling, "LOOK", 4)
    begun = await start_backfill(scene, made, -600, 0)
    steps = []
    for _ in range(3):
        await advance(scene)
        seen = await see_backfill(scene, begun)
        steps.append((seen.kept, seen.made))
    assert steps == [(4, 0), (8, 0), (10, 1)]


async def test_what_has_still_to_be_judged_is_judged_by_the_new_job(scene: Scene) -> None:
    made = await scheduled(scene, misfire=Misfire.SKIP, misfire_grace_seconds=0, must_succeed_within_seconds=600)
    await scene.turn(90)
    await fire(scene)
    await complete(scene, await start_backfill(scene, made, 60, 60))
    await scene.turn(600)
    assert await scene.stores.firing.note_absences(10) == []
    assert await scene.stores.firing.note_absences(10) is None
