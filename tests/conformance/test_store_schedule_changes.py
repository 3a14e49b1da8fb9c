"""Changes of schedules: what they leave, what they move, and beside what else they may happen; over both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from horae.domain.errors import InvalidInput, NameTaken, StaleVersion
from horae.domain.schedule import (
    Action,
    Misfire,
    Overlap,
    Schedule,
    ScheduleState,
    Verdict,
)
from horae.domain.template import Template
from horae.domain.timing import Timing
from horae.domain.zones import TZDATA
from horae.store.base import JobFilter
from horae.store.firing import LINES_EACH
from horae.store.tables import schedules
from tests.support.clock import START
from tests.support.scene import NAMESPACE, Scene
from tests.support.schedules import (
    DAILY,
    EVERY_MINUTE,
    at,
    change,
    create,
    end,
    execute,
    fire,
    history,
    ledger,
    page,
    position,
    reread,
)
from tests.support.waiting import together

# -------------------------------------------------------------------------------------------------------------- change

CHANGES: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "name": ({"name": "other"}, {"name": ["s", "other"]}),
    "cron": ({"timing": DAILY}, {"cron": ["* * * * *", "0 3 * * *"]}),
    "zone": ({"timing": replace(EVERY_MINUTE, timezone="Europe/Berlin")}, {"timezone": ["UTC", "Europe/Berlin"]}),
    "bound": ({"timing": replace(EVERY_MINUTE, end_at=at(3600))}, {"end_at": [None, "2026-03-01T13:00:00Z"]}),
    "policies": (
        {"misfire": Misfire.SKIP, "overlap": Overlap.SKIP},
        {"misfire": ["fire_once", "skip"], "overlap": ["allow", "skip"]},
    ),
    "job": (
        {"template": Template("noop", '{"a":1}', {"queue": "mail"})},
        {"job": [{"handler": "noop", "payload": {}}, {"handler": "noop", "payload": {"a": 1}, "queue": "mail"}]},
    ),
    "interval": (
        {"timing": Timing(interval_seconds=90)},
        {"cron": ["* * * * *", None], "interval_seconds": [None, 90], "start_at": [None, "2026-03-01T12:00:10Z"]},
    ),
    "source": ({"source": "a.yaml", "max_runs": 5}, {"source": [None, "a.yaml"], "max_runs": [None, 5]}),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_written_and_kept_with_its_author(scene: Scene, name: str) -> None:
    fields, details = CHANGES[name]
    made = await create(scene)
    scene.clock.turn(10.5)
    before, after = await change(scene, made, **fields)
    assert before == made
    assert (after.version, after.updated_at, after.created_at) == (2, at(10.5), START)
    assert {**details} == {name: [before_, after_] for name, (before_, after_) in (await latest(scene, made)).items()}
    assert await reread(scene, made) == after
    assert replace(made.definition, **fields) == (
        after.definition if name != "interval" else replace(after.definition, timing=fields["timing"])
    )


async def latest(scene: Scene, schedule: Schedule) -> Any:
    newest, first = await history(scene, schedule)
    assert (newest.action, newest.author, newest.version, newest.at) == (Action.UPDATED, "bob", 2, scene.clock.now())
    assert (first.action, first.author, first.version) == (Action.CREATED, "ann", 1)
    return newest.details


@pytest.mark.parametrize(
    "template",
    [
        Template("noop", '{"b":2,"a":1}', {"tags": ["x"], "queue": "q"}),
        Template("noop", '{ "a": 1, "b": 2 }', {"queue": "q", "tags": ("x",)}),
    ],
)
async def test_a_change_that_makes_no_difference_writes_nothing(scene: Scene, template: Template) -> None:
    made = await create(scene, template=Template("noop", '{"a":1,"b":2}', {"queue": "q", "tags": ["x"]}))
    scene.clock.turn(90)
    assert await change(scene, made, template=template) == (made, made)
    assert await reread(scene, made) == made
    assert len(await history(scene, made)) == 1


@pytest.mark.parametrize("value", ["true", "1.0", '"1"', "null"])
async def test_values_that_python_takes_for_equal_are_a_difference(scene: Scene, value: str) -> None:
    made = await create(scene, template=Template("noop", '{"a":1}'))
    _, after = await change(scene, made, template=Template("noop", f'{{"a":{value}}}'))
    assert after.definition.template.payload == f'{{"a":{value}}}'


async def test_a_stale_version_is_refused(scene: Scene) -> None:
    made = await create(scene)
    await change(scene, made, max_runs=5)
    with pytest.raises(StaleVersion) as caught:
        await change(scene, made, max_runs=6)
    assert (caught.value.given, caught.value.current, caught.value.kind) == (1, 2, "schedule")
    assert (await reread(scene, made)).definition.max_runs == 5


async def test_a_name_that_is_taken_refuses_the_change(scene: Scene) -> None:
    holder, made = await create(scene, name="holder"), await create(scene, name="made")
    await create(scene, name="free", namespace="theirs")
    with pytest.raises(NameTaken) as caught:
        await change(scene, made, name="holder")
    assert caught.value.id == holder.id
    assert await reread(scene, made) == made
    _, after = await change(scene, made, name="free")
    assert after.definition.name == "free"


async def test_what_was_due_is_fired_by_the_old_definition(scene: Scene) -> None:
    made = await create(scene, template=Template("noop", '{"old":1}'))
    scene.clock.turn(65)
    before, after = await change(
        scene, made, timing=Timing(cron="*/10 * * * *"), template=Template("noop", '{"new":1}')
    )
    assert (before.runs, before.last_fire_at, before.next_fire_at) == (1, at(60), at(120))
    assert (after.runs, after.last_fire_at, after.next_fire_at) == (1, at(60), at(600))
    scene.clock.turn(600)
    await fire(scene)
    fired = await scene.stores.jobs.page(NAMESPACE, JobFilter(schedule_id=made.id), 10)
    assert [(job.payload, job.fire_time) for job in fired] == [('{"new":1}', at(600)), ('{"old":1}', at(60))]


async def test_far_behind_all_of_it_is_judged_before_the_change(scene: Scene) -> None:
    made = await create(scene, timing=Timing(interval_seconds=1), misfire=Misfire.SKIP)
    total = 2 * LINES_EACH + 500
    scene.clock.turn(total)
    before, after = await change(scene, made, timing=DAILY)
    lines = await ledger(scene, made)
    assert sum(line.count for line in lines) == total
    assert (before.runs, before.next_fire_at) == (61, at(total + 1))
    assert after.next_fire_at == datetime(2026, 3, 2, 3, tzinfo=UTC)


async def test_what_ends_while_it_is_settled_is_changed_all_the_same(scene: Scene) -> None:
    made = await create(scene, max_runs=1)
    scene.clock.turn(65)
    before, after = await change(scene, made, max_runs=2)
    assert (before.state, before.runs) == (ScheduleState.ENDED, 1)
    assert (after.state, after.ended_reason, after.next_fire_at) == (ScheduleState.ACTIVE, None, at(120))


async def test_where_the_timing_stays_the_position_stays(scene: Scene) -> None:
    made = await create(scene, timing=Timing(interval_seconds=100))
    scene.clock.turn(30)
    _, after = await change(scene, made, jitter_seconds=5)
    assert after.next_fire_at == at(100)
    _, after = await change(scene, after, timing=Timing(interval_seconds=100))
    assert after.definition.timing.start_at == START, "left out, an interval's beginning is what it was"


async def test_where_the_timing_changes_fire_times_count_from_now(scene: Scene) -> None:
    made = await create(scene, timing=DAILY)
    await execute(scene, sa.update(schedules).values(tzdata="1999a"))
    scene.clock.turn(30)
    _, after = await change(scene, made, jitter_seconds=5)
    assert (after.next_fire_at, after.tzdata) == (made.next_fire_at, "1999a")
    _, after = await change(scene, after, timing=EVERY_MINUTE)
    assert (after.next_fire_at, after.tzdata) == (at(60), TZDATA)
    assert (await position(scene, made)).since == at(30)


# ----------------------------------------------------------------------------------------------------------- its bounds


async def test_a_change_that_leaves_no_fire_time_ends_it(scene: Scene) -> None:
    ended = await end(scene, await create(scene))
    assert (ended.state, ended.next_fire_at) == (ScheduleState.ENDED, None)
    assert ended.ended_reason == "no fire time is left within its bounds"
    scene.clock.turn(600)
    assert await scene.stores.firing.fire(10) == []


async def test_an_ended_schedule_comes_back_by_a_change(scene: Scene) -> None:
    ended = await end(scene, await create(scene))
    scene.clock.turn(600)
    _, still = await change(scene, ended, max_runs=5)
    assert (still.state, still.version) == (ScheduleState.ENDED, 3)
    _, back = await change(scene, still, timing=EVERY_MINUTE)
    assert (back.state, back.ended_reason, back.next_fire_at) == (ScheduleState.ACTIVE, None, at(660))
    scene.clock.turn(60)
    await fire(scene)
    lines = await ledger(scene, back)
    assert [line.fire_time for line in lines] == [at(660)]


async def test_fewer_runs_than_there_were_end_it_and_more_bring_it_back(scene: Scene) -> None:
    made = await create(scene)
    scene.clock.turn(60)
    await fire(scene)
    _, ended = await change(scene, made, max_runs=1)
    assert (ended.state, ended.ended_reason) == (ScheduleState.ENDED, "max_runs 1 was reached")
    _, back = await change(scene, ended, max_runs=2)
    assert (back.state, back.next_fire_at) == (ScheduleState.ACTIVE, at(120))


async def test_a_paused_schedule_stays_paused_through_changes_and_its_end(scene: Scene) -> None:
    made = await create(scene)
    paused = await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    _, changed = await change(scene, paused, timing=DAILY)
    assert (changed.state, changed.next_fire_at, changed.paused_by) == (ScheduleState.PAUSED, None, "ann")
    _, back = await change(scene, await end(scene, changed), timing=EVERY_MINUTE)
    assert (back.state, back.paused_at, back.paused_by) == (ScheduleState.PAUSED, START, "ann")
    resumed = await scene.stores.schedules.resume(NAMESPACE, made.id, "ann")
    assert (resumed.state, resumed.next_fire_at) == (ScheduleState.ACTIVE, at(60))


async def test_a_schedule_that_could_not_be_computed_is_mended_by_a_change(scene: Scene) -> None:
    made = await create(scene)
    await execute(scene, sa.update(schedules).values(timezone="Mars/Olympus"))
    scene.clock.turn(60)
    await fire(scene)
    broken = await reread(scene, made)
    assert broken.state is ScheduleState.ENDED
    with pytest.raises(InvalidInput):
        await change(scene, broken, max_runs=5)
    _, mended = await change(scene, broken, timing=EVERY_MINUTE)
    assert (mended.state, mended.next_fire_at) == (ScheduleState.ACTIVE, at(120))


# ------------------------------------------------------------------------------------------------------ side by side


async def test_of_two_changes_of_one_version_one_wins(scene: Scene) -> None:
    made = await create(scene)

    async def attempt(runs: int) -> int | None:
        try:
            return (await change(scene, made, max_runs=runs))[1].definition.max_runs
        except StaleVersion:
            return None

    answers = await together(*(attempt(runs) for runs in range(10, 16)))
    (winner,) = [runs for runs in answers if runs is not None]
    after = await reread(scene, made)
    assert (after.definition.max_runs, after.version) == (winner, 2)
    assert [each.action for each in await history(scene, made)] == [Action.UPDATED, Action.CREATED]


async def test_changes_and_fires_side_by_side_leave_one_line_and_one_job_for_each_time(scene: Scene) -> None:
    """Each change carries its number in the payload; a fire takes a whole definition, never half of one."""
    made = await create(scene, timing=Timing(interval_seconds=1, start_at=START), template=numbered(0))

    async def edit(number: int) -> None:
        while True:
            current = await reread(scene, made)
            try:
                await change(scene, current, template=numbered(number), source=f"{number}")
            except StaleVersion:
                continue
            return

    for turn in range(10):
        scene.clock.turn(3)
        await together(*(edit(4 * turn + n) for n in range(1, 5)), fire(scene), fire(scene))
    lines = await ledger(scene, made)
    assert [line.fire_time for line in lines] == [at(30 - second) for second in range(30)]
    jobs = await scene.stores.jobs.page(NAMESPACE, JobFilter(schedule_id=made.id), 100)
    assert {line.job_id for line in lines if line.verdict is Verdict.FIRED} == {job.id for job in jobs}
    assert all(orjson.loads(job.payload)["number"] == len(job.tags) for job in jobs)
    after = await reread(scene, made)
    assert (after.version, after.runs) == (41, 30)


def numbered(number: int) -> Template:
    return Template("noop", f'{{"number":{number}}}', {"tags": [f"t{n}" for n in range(number)]})


async def test_a_schedule_may_be_deleted_while_it_fires(scene: Scene) -> None:
    made = [await create(scene, name=f"s{number}") for number in range(20)]
    scene.clock.turn(60)
    deletions = (scene.stores.schedules.delete(NAMESPACE, each.id, "ann") for each in made)
    await together(fire(scene), *deletions, fire(scene))
    assert await page(scene) == []
    for each in made:
        lines = await ledger(scene, each)
        jobs = await scene.stores.jobs.page(NAMESPACE, JobFilter(schedule_id=each.id), 10)
        assert [line.job_id for line in lines] == [job.id for job in jobs]
