"""T2: due schedules make their jobs, once each, whoever looks and however often; over both databases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.job import Job, Priority, State
from horae.domain.schedule import (
    Action,
    Misfire,
    Occurrence,
    Overlap,
    Reason,
    Schedule,
    ScheduleState,
    Verdict,
)
from horae.domain.template import Template
from horae.domain.timing import Timing, jitter
from horae.domain.transitions import SUCCEED
from horae.domain.zones import TZDATA
from horae.store import firing
from horae.store.base import HandlerInfo, JobFilter
from horae.store.base_schedules import Fired, LedgerFilter
from horae.store.database import MySql, Transaction
from horae.store.firing import LINES_EACH
from horae.store.tables import jobs, occurrences, schedules
from tests.support.clock import START
from tests.support.factories import new_definition, schedule_id
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import together

EVERY_SECOND = Timing(interval_seconds=1, start_at=START)
EVERY_MINUTE = Timing(cron="* * * * *")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


async def scheduled(scene: Scene, namespace: str = NAMESPACE, **fields: Any) -> Schedule:
    definition = new_definition(**{"timing": EVERY_MINUTE, **fields})
    return await scene.stores.schedules.create(namespace, schedule_id(scene.clock), definition, "ann")


async def fire(scene: Scene, limit: int = 100) -> list[Fired]:
    """Until nothing is due."""
    fired: list[Fired] = []
    while some := await scene.stores.firing.fire(limit):
        fired += some
    return fired


async def ledger(scene: Scene, schedule: Schedule) -> list[Occurrence]:
    """All lines, oldest first."""
    found = await scene.stores.schedules.occurrences(NAMESPACE, LedgerFilter(schedule_id=schedule.id), 5000)
    return found[::-1]


async def jobs_of(scene: Scene, schedule: Schedule) -> list[Job]:
    """In the order of their fire times."""
    found = await scene.stores.jobs.page(schedule.namespace, JobFilter(schedule_id=schedule.id), 5000)
    return sorted(found, key=lambda job: (job.fire_time is None, job.fire_time))


async def reread(scene: Scene, schedule: Schedule) -> Schedule:
    found = await scene.stores.schedules.get(schedule.namespace, schedule.id)
    assert found is not None
    return found


def runs(lines: Sequence[Occurrence]) -> list[tuple[str, int]]:
    """Verdicts with their reasons, equal ones in a row counted."""
    found: list[tuple[str, int]] = []
    for line in lines:
        name = line.verdict if line.reason is None else f"{line.verdict} {line.reason}"
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + line.count)
        else:
            found.append((name, line.count))
    return found


# ----------------------------------------------------------------------------------------------------------- one fire


async def test_a_due_schedule_makes_a_job_a_line_and_moves_on(scene: Scene) -> None:
    made = await scheduled(scene)
    assert made.next_fire_at == at(60)
    scene.clock.turn(60.5)
    (fired,) = await fire(scene)
    (job,) = await jobs_of(scene, made)
    assert (job.state, job.fire_time, job.run_at, job.schedule_id) == (State.PENDING, at(60), at(60), made.id)
    assert await ledger(scene, made) == [
        Occurrence(made.id, at(60), Verdict.FIRED, recorded_at=at(60.5), job_id=job.id)
    ]
    after = await reread(scene, made)
    assert (after.next_fire_at, after.last_fire_at, after.runs, after.version) == (at(120), at(60), 1, made.version)
    assert fired == Fired(
        made.id, NAMESPACE, made.definition.name, [job.id], {"default": 1}, {(Verdict.FIRED, None): 1}, late=0.5
    )


async def test_nothing_fires_before_its_time(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(59.999)
    assert await scene.stores.firing.fire(100) == []
    assert await ledger(scene, made) == []


async def test_until_the_next_fire_are_so_many_seconds(scene: Scene) -> None:
    assert await scene.stores.firing.next_fire() is None
    await scheduled(scene)
    scene.clock.turn(12.5)
    assert await scene.stores.firing.next_fire() == pytest.approx(47.5)
    scene.clock.turn(50)
    assert await scene.stores.firing.next_fire() == pytest.approx(-2.5)


async def test_the_job_is_made_from_the_template_then_the_handlers_defaults(scene: Scene) -> None:
    defaults = {"queue": "mail", "priority": "high", "max_retries": 9, "backoff": {"kind": "fixed"}}
    await scene.stores.registry.remember([HandlerInfo("mail.send", {}, defaults)])
    settings = {"priority": "low", "tags": ["b", "a"], "timeout_seconds": 7.5}
    made = await scheduled(scene, template=Template("mail.send", '{"to":"x"}', settings))
    scene.clock.turn(60)
    await fire(scene)
    (job,) = await jobs_of(scene, made)
    assert (job.handler, job.payload, job.queue, job.priority) == ("mail.send", '{"to":"x"}', "mail", Priority.LOW)
    assert (job.max_retries, job.backoff.kind, job.timeout_seconds, job.tags) == (9, "fixed", 7.5, ("b", "a"))
    assert await scene.ids(JobFilter(tag="a")) == [job.id]


async def test_a_handlers_new_default_holds_from_the_next_fire_on(scene: Scene) -> None:
    made = await scheduled(scene, template=Template("mail.send"))
    for retries in (1, 2):
        await scene.stores.registry.remember([HandlerInfo("mail.send", {}, {"max_retries": retries})])
        scene.clock.turn(60)
        await fire(scene)
    assert [job.max_retries for job in await jobs_of(scene, made)] == [1, 2]


async def test_jitter_shifts_the_start_and_not_the_fire_time(scene: Scene) -> None:
    made = await scheduled(scene, jitter_seconds=3600)
    scene.clock.turn(180)
    await fire(scene)
    for job in await jobs_of(scene, made):
        assert job.fire_time is not None
        assert job.run_at == job.fire_time + jitter(made.id, job.fire_time, 3600)
        assert job.wake_at == job.run_at


async def test_the_next_fire_time_follows_from_the_claimed_one_not_from_now(scene: Scene) -> None:
    made = await scheduled(scene, timing=Timing(interval_seconds=7, start_at=START))
    scene.clock.turn(7 * 5 + 3)
    await fire(scene)
    assert [job.fire_time for job in await jobs_of(scene, made)] == [at(7 * k) for k in range(1, 6)]
    assert (await reread(scene, made)).next_fire_at == at(42)


# ----------------------------------------------------------------------------------------------------------- policies

OUTAGE = {
    Misfire.SKIP: [("skipped misfire", 539), ("fired", 61)],
    Misfire.FIRE_ONCE: [("coalesced misfire", 538), ("fired", 62)],
    Misfire.FIRE_ALL: [("fired", 600)],
}


@pytest.mark.parametrize("misfire", Misfire)
async def test_ten_minutes_without_a_scheduler_end_as_the_policy_says(scene: Scene, misfire: Misfire) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, misfire=misfire)
    scene.clock.turn(600)
    await fire(scene)
    lines = await ledger(scene, made)
    assert runs(lines) == OUTAGE[misfire]
    assert [line.fire_time for line in lines] == [at(second) for second in range(1, 601)]
    fired = [line for line in lines if line.verdict is Verdict.FIRED]
    assert [(job.id, job.fire_time) for job in await jobs_of(scene, made)] == [
        (line.job_id, line.fire_time) for line in fired
    ]


async def test_coalesced_occurrences_name_the_job_that_stands_for_them(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(600)
    await fire(scene)
    lines = await ledger(scene, made)
    standing = next(line for line in lines if line.verdict is Verdict.FIRED)
    for line in lines[:7]:
        assert (line.verdict, line.into, line.job_id) == (Verdict.COALESCED, standing.fire_time, standing.job_id)


async def test_an_outage_of_hours_is_caught_up_with_in_steps_and_shares_one_line(scene: Scene) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, misfire=Misfire.FIRE_ALL)
    scene.clock.turn(10_000)
    rounds = 0
    while await scene.stores.firing.fire(100):
        rounds += 1
    assert rounds == 10_000 // LINES_EACH
    lines = await ledger(scene, made)
    assert runs(lines) == [("fired", 1000), ("coalesced misfire", 8939), ("fired", 61)]
    shared = [line for line in lines if line.until]
    assert [(line.fire_time, line.until, line.count) for line in shared] == [(at(2001), at(9939), 7939)]
    assert len(await jobs_of(scene, made)) == 1061


async def test_coalesced_occurrences_name_a_fire_however_long_the_catch_up_takes(scene: Scene) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, must_succeed_within_seconds=86_400)
    scene.clock.turn(3600)
    for _ in range(6):
        await scene.stores.firing.fire(100)
        scene.clock.turn(2)
    lines = await ledger(scene, made)
    fired = {line.fire_time: line.job_id for line in lines if line.verdict is Verdict.FIRED}
    assert {line.into for line in lines if line.verdict is Verdict.COALESCED} <= set(fired)
    assert {line.fire_time for line in lines} >= {at(second) for second in range(1, 1001)}


async def test_what_the_jobs_carry_bounds_a_transaction(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "PAYLOADS", 1000)
    heavy = Template("noop", '{"text":"' + 89 * "x" + '"}')
    made = [await scheduled(scene, name=f"s{number}", timing=EVERY_SECOND, template=heavy) for number in range(3)]
    scene.clock.turn(30)
    fired = await scene.stores.firing.fire(100)
    assert sorted(len(each.jobs) for each in fired) == [1, 1, 10]
    await fire(scene)
    assert [len(await jobs_of(scene, each)) for each in made] == [30, 30, 30]


async def test_newer_time_zone_data_is_to_be_adopted_again(scene: Scene) -> None:
    made = await scheduled(scene)
    await write(scene, sa.update(schedules).values(tzdata="2099z"))
    scene.clock.turn(60)
    await fire(scene)
    assert (await reread(scene, made)).tzdata == TZDATA


async def test_a_line_that_is_there_already_is_no_run_and_replaces_nothing(scene: Scene) -> None:
    made = await scheduled(scene, overlap=Overlap.REPLACE)
    scene.clock.turn(60)
    await fire(scene)
    known = {"schedule_id": made.id, "fire_time": at(120), "missed": False, "namespace": NAMESPACE}
    written = {**known, "verdict": Verdict.BACKFILLED, "count": 1, "recorded_at": at(0)}
    await write(scene, sa.insert(occurrences).values(written))
    scene.clock.turn(60)
    await fire(scene)
    (job,) = await jobs_of(scene, made)
    assert (job.state, (await reread(scene, made)).runs) == (State.PENDING, 1)


async def test_earlier_jobs_are_looked_up_without_waiting_for_others(scene: Scene) -> None:
    """On MySQL a scan would wait for the lock of a job that has nothing to do with it."""
    made = [await scheduled(scene, name=f"s{number}", overlap=Overlap.REPLACE) for number in range(40)]
    scene.clock.turn(60)
    await fire(scene)
    other = await scene.submit()
    scene.clock.turn(60)

    async def hold(tx: Transaction) -> list[Fired]:
        await tx.execute(sa.select(jobs).where(jobs.c.id == other).with_for_update())
        async with asyncio.timeout(4):
            return await fire(scene)

    if isinstance(scene.stores.database, MySql):
        fired = await scene.stores.database.transact(hold)
        assert sum(len(each.jobs) for each in fired) == len(made)


async def test_a_pause_is_written_down_and_fires_nothing(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(150)
    await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    scene.clock.turn(60)
    await fire(scene)
    assert runs(await ledger(scene, made)) == [("coalesced misfire", 1), ("fired", 1), ("skipped paused", 1)]
    scene.clock.turn(120)
    await scene.stores.schedules.resume(NAMESPACE, made.id, "bob")
    scene.clock.turn(60)
    await fire(scene)
    assert runs(await ledger(scene, made))[-2:] == [("skipped paused", 3), ("fired", 1)]
    assert (await reread(scene, made)).state is ScheduleState.ACTIVE


async def test_a_pause_that_no_scheduler_saw_counts_all_the_same(scene: Scene) -> None:
    made = await scheduled(scene, misfire_grace_seconds=3600)
    scene.clock.turn(90)
    await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    scene.clock.turn(120)
    await scene.stores.schedules.resume(NAMESPACE, made.id, "ann")
    scene.clock.turn(90)
    await fire(scene)
    assert runs(await ledger(scene, made)) == [("fired", 1), ("skipped paused", 2), ("fired", 2)]


async def test_overlap_skip_waits_for_the_earlier_job_to_end(scene: Scene) -> None:
    made = await scheduled(scene, overlap=Overlap.SKIP)
    scene.clock.turn(60)
    await fire(scene)
    (first,) = await jobs_of(scene, made)
    scene.clock.turn(60)
    await fire(scene)
    (skipped,) = (await ledger(scene, made))[1:]
    assert (skipped.verdict, skipped.reason, skipped.job_id) == (Verdict.SKIPPED, Reason.OVERLAP, first.id)
    assert skipped.detail == f"job {first.id} was PENDING"
    await scene.stores.jobs.cancel(NAMESPACE, [first.id])
    scene.clock.turn(60)
    await fire(scene)
    assert runs(await ledger(scene, made)) == [("fired", 1), ("skipped overlap", 1), ("fired", 1)]


async def test_overlap_replace_cancels_what_waits_and_asks_what_runs(scene: Scene) -> None:
    made = await scheduled(scene, overlap=Overlap.REPLACE)
    scene.clock.turn(60)
    await fire(scene)
    scene.clock.turn(60)
    (fired,) = await fire(scene)
    first, second = await jobs_of(scene, made)
    assert (first.state, second.state, fired.replaced) == (State.CANCELLED, State.PENDING, [first.id])
    scene.worker = await scene.new_worker()
    await scene.start(*await scene.claim())
    scene.clock.turn(60)
    await fire(scene)
    first, second, third = await jobs_of(scene, made)
    assert (second.state, second.cancel_requested, third.state) == (State.RUNNING, True, State.PENDING)


async def test_a_triggered_job_counts_as_an_earlier_one(scene: Scene) -> None:
    made = await scheduled(scene, overlap=Overlap.SKIP)
    job = JobId(schedule_id(scene.clock))
    await scene.stores.schedules.trigger(NAMESPACE, made.id, job, "ann")
    scene.clock.turn(60)
    await fire(scene)
    assert [(line.verdict, line.job_id) for line in await ledger(scene, made)] == [(Verdict.SKIPPED, job)]


async def test_overlap_allow_lets_them_run_side_by_side(scene: Scene) -> None:
    made = await scheduled(scene)
    for _ in range(3):
        scene.clock.turn(60)
        await fire(scene)
    assert [job.state for job in await jobs_of(scene, made)] == [State.PENDING] * 3


# ------------------------------------------------------------------------------------------------------------- bounds


async def test_after_its_last_run_it_ends_and_says_why(scene: Scene) -> None:
    made = await scheduled(scene, max_runs=2)
    scene.clock.turn(125)
    (fired,) = await fire(scene)
    after = await reread(scene, made)
    assert (after.state, after.next_fire_at, after.runs) == (ScheduleState.ENDED, None, 2)
    assert after.ended_reason == fired.ended == "max_runs 2 was reached"
    change = (await scene.stores.schedules.history(NAMESPACE, made.id, 1))[0]
    assert (change.action, change.author, change.details) == (Action.ENDED, "scheduler", {"reason": fired.ended})


async def test_after_its_end_it_ends(scene: Scene) -> None:
    made = await scheduled(scene, timing=replace(EVERY_MINUTE, end_at=at(120)))
    scene.clock.turn(600)
    await fire(scene)
    after = await reread(scene, made)
    assert (after.state, after.ended_reason) == (ScheduleState.ENDED, "no fire time is left within its bounds")
    assert sum(line.count for line in await ledger(scene, made)) == 2


# ------------------------------------------------------------------------------------------------- many, side by side


async def test_they_are_claimed_in_the_order_of_their_fire_times(scene: Scene) -> None:
    timings = {name: Timing(interval_seconds=seconds, start_at=START) for name, seconds in (("b", 50), ("a", 40))}
    late, early = [await scheduled(scene, name=name, timing=timing) for name, timing in timings.items()]
    scene.clock.turn(55)
    assert [(await scene.stores.firing.fire(1))[0].schedule_id for _ in range(2)] == [early.id, late.id]


async def test_schedulers_side_by_side_fire_each_occurrence_once(scene: Scene) -> None:
    made = [await scheduled(scene, name=f"s{number}") for number in range(60)]
    for _ in range(3):
        scene.clock.turn(60)
        await together(*(fire(scene, 7) for _ in range(3)))
    for schedule in made:
        assert runs(await ledger(scene, schedule)) == [("fired", 3)]
        assert len(await jobs_of(scene, schedule)) == 3


async def test_a_schedule_that_is_far_behind_does_not_keep_others_waiting(scene: Scene) -> None:
    behind = await scheduled(scene, name="behind", timing=EVERY_SECOND, misfire=Misfire.SKIP)
    scene.clock.turn(100_000)
    punctual = await scheduled(scene, name="punctual")
    scene.clock.turn(60)
    fired = await scene.stores.firing.fire(100)
    assert {each.schedule_id for each in fired} == {behind.id, punctual.id}
    assert runs(await ledger(scene, punctual)) == [("fired", 1)]


async def write(scene: Scene, statement: sa.Executable) -> None:
    await scene.stores.database.transact(lambda tx: tx.execute(statement))


async def test_a_schedule_that_can_not_be_computed_ends_alone(scene: Scene) -> None:
    broken, healthy = await scheduled(scene, name="broken"), await scheduled(scene, name="healthy")
    nowhere = sa.update(schedules).where(schedules.c.id == broken.id).values(timezone="Mars/Olympus")
    await write(scene, nowhere)
    scene.clock.turn(60)
    told = {each.schedule_id: each for each in await fire(scene)}
    assert told[broken.id].broken
    assert not told[healthy.id].broken
    after = await reread(scene, broken)
    assert after.state is ScheduleState.ENDED
    assert "Mars/Olympus" in (after.ended_reason or "")
    assert runs(await ledger(scene, healthy)) == [("fired", 1)]


async def test_a_line_that_is_there_already_is_kept_and_the_others_of_the_batch_fire(scene: Scene) -> None:
    known, other = await scheduled(scene, name="known"), await scheduled(scene, name="other")
    line = {
        "schedule_id": known.id,
        "fire_time": at(60),
        "missed": False,
        "namespace": NAMESPACE,
        "verdict": Verdict.BACKFILLED,
        "count": 1,
        "recorded_at": at(0),
    }
    await write(scene, sa.insert(occurrences).values(line))
    scene.clock.turn(120)
    await fire(scene)
    assert runs(await ledger(scene, known)) == [("backfilled", 1), ("fired", 1)]
    assert [job.fire_time for job in await jobs_of(scene, known)] == [at(120)]
    assert runs(await ledger(scene, other)) == [("fired", 2)]


async def test_fires_stay_in_their_namespace(scene: Scene) -> None:
    made = await scheduled(scene, namespace="theirs")
    scene.clock.turn(60)
    await fire(scene)
    assert [job.namespace for job in await jobs_of(scene, made)] == ["theirs"]
    assert await scene.ids() == []


async def test_what_was_fired_runs_like_any_job(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(60)
    await fire(scene)
    scene.worker = await scene.new_worker()
    (run,) = (await scene.start(*await scene.claim())).started
    assert (run.schedule_id, run.fire_time) == (made.id, at(60))
    await scene.finish(run.reference, SUCCEED)
    assert Counter(job.state for job in await jobs_of(scene, made)) == {State.SUCCESS: 1}
