"""Occurrences of which nothing had succeeded in time, over both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from horae.domain.firing import OWN_LINES
from horae.domain.job import State
from horae.domain.schedule import Misfire, Occurrence, Overlap, Reason, Schedule, Verdict
from horae.domain.timing import Timing
from horae.domain.wording import moment
from horae.store.base import Retention
from horae.store.base_schedules import Absence
from horae.store.tables import occurrences
from tests.support.recurring import EVERY_SECOND, at, brief, finish, fire, jobs_of, ledger, scheduled, written
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import together

WITHIN = 30
"""seconds that each job has; the first fire time is at 60"""


async def judge(scene: Scene) -> list[Absence]:
    """Until nothing is due to be judged."""
    absences: list[Absence] = []
    while (some := await scene.stores.firing.note_absences(100)) is not None:
        absences += some
    return absences


async def fired(scene: Scene, **fields: Any) -> Schedule:
    """A schedule that has fired once."""
    made = await scheduled(scene, must_succeed_within_seconds=WITHIN, **fields)
    await scene.turn(60)
    await fire(scene)
    return made


async def missed(scene: Scene, schedule: Schedule) -> list[Occurrence]:
    return [line for line in await ledger(scene, schedule) if line.verdict is Verdict.MISSED]


# ----------------------------------------------------------------------------------------------------------- one job


async def test_a_job_that_succeeds_in_time_is_nothing_to_speak_of(scene: Scene) -> None:
    made = await fired(scene)
    await finish(scene, *(job.id for job in await jobs_of(scene, made)))
    await scene.turn(WITHIN)
    assert await scene.stores.firing.note_absences(100) == []
    assert await scene.stores.firing.note_absences(100) is None
    assert brief(await ledger(scene, made)) == [(60, "fired")]


@pytest.mark.parametrize("late", [0, 0.001])
async def test_in_time_is_up_to_the_very_moment(scene: Scene, late: float) -> None:
    made = await fired(scene)
    (job,) = await jobs_of(scene, made)
    await scene.turn(WITHIN + late)
    await finish(scene, job.id)
    absences = await judge(scene)
    details = [f"job {job.id} succeeded only at {moment(at(60 + WITHIN + late))}"] if late else []
    assert [absence.detail for absence in absences] == details


async def test_nothing_is_judged_before_its_time(scene: Scene) -> None:
    await fired(scene)
    await scene.turn(WITHIN - 0.001)
    assert await scene.stores.firing.note_absences(100) is None


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RUNNING, State.FAILED, State.CANCELLED])
async def test_what_has_not_succeeded_is_missed(scene: Scene, state: State) -> None:
    made = await fired(scene)
    (job,) = await jobs_of(scene, made)
    match state:
        case State.QUEUED:
            await scene.claim()
        case State.RUNNING:
            await scene.start(*await scene.claim())
        case State.FAILED:
            await finish(scene, job.id, state=State.FAILED)
        case State.CANCELLED:
            await scene.stores.jobs.cancel(NAMESPACE, [job.id])
    scene.clock.turn(WITHIN)
    detail = f"job {job.id} was {state}"
    assert await judge(scene) == [Absence(made.id, NAMESPACE, made.definition.name, at(60), detail)]
    assert await missed(scene, made) == [
        Occurrence(made.id, at(60), Verdict.MISSED, at(60 + WITHIN), Reason.NO_SUCCESS, detail, job.id)
    ]


async def test_a_line_beside_tells_it_and_the_occurrence_keeps_its_own(scene: Scene) -> None:
    made = await fired(scene)
    await scene.turn(WITHIN)
    await judge(scene)
    assert sorted(brief(await ledger(scene, made))) == [(60, "fired"), (60, "missed no_success")]


async def test_it_is_said_once(scene: Scene) -> None:
    await fired(scene)
    await scene.turn(WITHIN)
    assert len(await judge(scene)) == 1
    await scene.turn(WITHIN)
    assert await judge(scene) == []


async def test_a_job_that_is_gone_is_not_known_to_have_succeeded(scene: Scene) -> None:
    made = await fired(scene)
    (job,) = await jobs_of(scene, made)
    await finish(scene, job.id, state=State.FAILED)
    await scene.turn(WITHIN)
    await scene.stores.rescue.prune(Retention(None, timedelta(0)), 10)
    (absence,) = await judge(scene)
    assert absence.detail == f"job {job.id} is gone: whether it succeeded isn't known"


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_success_that_is_deleted_before_its_time_is_over_has_come(scene: Scene, by_hand: bool) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, must_succeed_within_seconds=WITHIN, misfire_grace_seconds=0)
    await scene.turn(3.5)
    await fire(scene)
    (job,) = await jobs_of(scene, made)
    await finish(scene, job.id)
    await scene.turn(1)
    if by_hand:
        assert await scene.stores.jobs.delete(NAMESPACE, [job.id]) == {job.id}
    else:
        assert await scene.stores.rescue.prune(Retention(timedelta(0), None), 10) == 1
    await scene.turn(WITHIN)
    assert await judge(scene) == []
    assert brief(await ledger(scene, made)) == [(1, "coalesced misfire"), (2, "coalesced misfire"), (3, "fired")]


async def test_of_a_schedule_that_was_deleted_nobody_expects_anything(scene: Scene) -> None:
    made = await fired(scene)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "ann")
    await scene.turn(WITHIN)
    assert await scene.stores.firing.note_absences(100) == []
    assert await scene.stores.firing.note_absences(100) is None
    assert await missed(scene, made) == []


async def test_without_a_promise_nothing_is_judged(scene: Scene) -> None:
    await scheduled(scene)
    await scene.turn(120)
    await fire(scene)
    assert await scene.stores.firing.next_absence() is None
    assert await scene.stores.firing.note_absences(100) is None


# ------------------------------------------------------------------------------------------------- other people's jobs


async def outage(scene: Scene, **fields: Any) -> Schedule:
    """Every minute, not looked at until the fifth."""
    made = await scheduled(scene, must_succeed_within_seconds=600, misfire_grace_seconds=0, **fields)
    await scene.turn(300.5)
    await fire(scene)
    return made


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILED])
async def test_a_coalesced_occurrence_counts_as_the_one_that_stands_for_it(scene: Scene, state: State) -> None:
    made = await outage(scene)
    (job,) = await jobs_of(scene, made)
    await finish(scene, job.id, state=state)
    await scene.turn(660)
    absences = {absence.fire_time: absence.detail for absence in await judge(scene)}
    times = [at(60 * n) for n in range(1, 6)]
    assert absences == ({} if state is State.SUCCESS else dict.fromkeys(times, f"job {job.id} was FAILED"))


async def test_also_when_that_one_was_made_by_another_look(scene: Scene) -> None:
    made = await outage(scene)
    (job,) = await jobs_of(scene, made)
    await finish(scene, job.id)
    lines = occurrences.c.verdict == Verdict.COALESCED
    await written(scene.stores, sa.update(occurrences).where(lines).values(job_id=None))
    await scene.turn(660)
    assert await judge(scene) == []
    assert brief(await missed(scene, made)) == []


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILED])
async def test_replaced_by_replaced_by_replaced_the_last_one_counts(scene: Scene, state: State) -> None:
    made = await outage(scene, overlap=Overlap.REPLACE, misfire=Misfire.FIRE_ALL)
    assert [name for _, name in brief(await ledger(scene, made))] == ["coalesced overlap"] * 4 + ["fired"]
    (job,) = await jobs_of(scene, made)
    await finish(scene, job.id, state=state)
    await scene.turn(660)
    while (some := await scene.stores.firing.note_absences(2)) is not None:
        assert [absence.detail for absence in some] == (
            [] if state is State.SUCCESS else [f"job {job.id} was FAILED"] * len(some)
        )
    assert len(await missed(scene, made)) == (0 if state is State.SUCCESS else 5)


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILED])
async def test_an_occurrence_that_overlapped_counts_as_the_job_that_was_in_its_way(scene: Scene, state: State) -> None:
    made = await fired(scene, overlap=Overlap.SKIP)
    (job,) = await jobs_of(scene, made)
    await scene.turn(60)
    await fire(scene)
    await finish(scene, job.id, state=state)
    await scene.turn(WITHIN)
    absences = {absence.fire_time: absence.detail for absence in await judge(scene)}
    assert absences[at(60)] == f"job {job.id} " + (
        f"succeeded only at {moment(at(120))}" if state is State.SUCCESS else "was FAILED"
    )
    assert absences.get(at(120)) == (None if state is State.SUCCESS else f"job {job.id} was FAILED")


async def test_what_made_no_job_is_missed(scene: Scene) -> None:
    made = await outage(scene, misfire=Misfire.SKIP)
    await scene.turn(660)
    absences = await judge(scene)
    assert [absence.fire_time for absence in absences] == [at(60 * n) for n in range(1, 6)]
    assert {absence.detail for absence in absences} == {"no job was made for it"}
    assert {line.job_id for line in await missed(scene, made)} == {None}


async def test_of_what_lies_in_a_pause_nothing_is_expected(scene: Scene) -> None:
    made = await scheduled(scene, must_succeed_within_seconds=WITHIN)
    await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    await scene.turn(120)
    await fire(scene)
    assert await scene.stores.firing.next_absence() is None


# ------------------------------------------------------------------------------------------------------- shared lines


async def skipping(scene: Scene) -> Schedule:
    """Every second, of which 1010 have gone by: the last ten share a line."""
    promise: dict[str, Any] = {"must_succeed_within_seconds": 2000, "misfire": Misfire.SKIP, "misfire_grace_seconds": 0}
    made = await scheduled(scene, timing=EVERY_SECOND, **promise)
    scene.clock.turn(OWN_LINES + 10.5)
    await fire(scene)
    return made


async def test_a_shared_line_is_judged_once_by_its_end(scene: Scene) -> None:
    made = await skipping(scene)
    scene.clock.turn(1990.5)
    assert len(await judge(scene)) == OWN_LINES
    scene.clock.turn(8.999)
    assert await judge(scene) == []
    scene.clock.turn(0.001)
    assert [absence.fire_time for absence in await judge(scene)] == [at(1001)]
    last = (await missed(scene, made))[-1]
    assert (last.fire_time, last.until, last.count) == (at(1001), at(1010), 10)


async def test_one_that_has_grown_is_judged_again_and_keeps_one_line(scene: Scene) -> None:
    made = await skipping(scene)
    scene.clock.turn(2000.5)
    await judge(scene)
    await fire(scene)
    scene.clock.turn(2000)
    await judge(scene)
    (last,) = [line for line in await missed(scene, made) if line.until is not None]
    assert (last.fire_time, last.until, last.count) == (at(1001), at(3010), 2010)
    assert len(await missed(scene, made)) == OWN_LINES + 2


# -------------------------------------------------------------------------------------------------------------- looks


async def test_until_the_next_one_are_so_many_seconds(scene: Scene) -> None:
    firing = scene.stores.firing
    assert await firing.next_absence() is None
    await fired(scene)
    assert await firing.next_absence() == pytest.approx(WITHIN)
    await scene.turn(WITHIN + 2)
    assert await firing.next_absence() == pytest.approx(-2)
    await judge(scene)
    assert await firing.next_absence() is None


async def test_the_earliest_are_judged_first_and_at_most_so_many(scene: Scene) -> None:
    await outage(scene, misfire=Misfire.SKIP)
    await scene.turn(660)
    looks = [await scene.stores.firing.note_absences(2) for _ in range(4)]
    times = [[absence.fire_time for absence in look] if look is not None else None for look in looks]
    assert times == [[at(60), at(120)], [at(180), at(240)], [at(300)], None]


async def test_two_schedulers_share_what_is_to_be_judged(scene: Scene) -> None:
    for number in range(4):
        await outage_at(scene, f"s{number}")
    await scene.turn(660)
    looks = await together(*(scene.stores.firing.note_absences(5) for _ in range(6)))
    while (more := await scene.stores.firing.note_absences(5)) is not None:
        looks.append(more)
    told = [(absence.name, absence.fire_time) for look in looks for absence in look or ()]
    assert len(told) == len(set(told)) == 20


async def outage_at(scene: Scene, name: str) -> Schedule:
    """Five minutes of which nothing came, written at once."""
    begin = scene.clock.now() - timedelta(seconds=300)
    timing = Timing(interval_seconds=60, start_at=begin)
    made = await scheduled(scene, name=name, timing=timing)
    lines = [
        {
            "schedule_id": made.id,
            "fire_time": begin + timedelta(seconds=60 * number),
            "missed": False,
            "namespace": NAMESPACE,
            "verdict": Verdict.SKIPPED,
            "reason": Reason.MISFIRE,
            "count": 1,
            "recorded_at": scene.clock.now(),
            "must_succeed_by": begin + timedelta(seconds=600),
        }
        for number in range(5)
    ]
    await written(scene.stores, sa.insert(occurrences).values(lines))
    return made


async def test_namespaces_keep_their_own(scene: Scene) -> None:
    made = await scheduled(scene, "space", must_succeed_within_seconds=WITHIN)
    await scene.turn(60)
    await fire(scene)
    await scene.turn(WITHIN)
    (absence,) = await judge(scene)
    assert (absence.namespace, absence.schedule_id) == ("space", made.id)
    assert [line.verdict for line in await ledger(scene, made)].count(Verdict.MISSED) == 1
