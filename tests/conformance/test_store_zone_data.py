"""Schedules that older time zone data has computed are computed anew, over both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from horae.domain.schedule import Action, Schedule, ScheduleState
from horae.domain.timing import Timing
from horae.domain.zones import TZDATA
from horae.store.base_schedules import Moved
from horae.store.tables import positions, schedules
from horae.store.zone_data import ZoneData
from tests.support.recurring import at, fire, history, jobs_of, reread, scheduled, written
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import together

DAILY = Timing(cron="0 15 * * *", timezone="Europe/Berlin")
"""its first fire time is at 7200 by the present data"""
OLDER, NEWER = "2024b", "2999a"


async def kept(scene: Scene, tzdata: str = OLDER, next_fire: float | None = None, **fields: Any) -> Schedule:
    """A schedule as other data left it a second ago: it believes in another next fire time, if one is given."""
    made = await scheduled(scene, **{"timing": DAILY, **fields})
    await written(scene.stores, sa.update(schedules).where(schedules.c.id == made.id).values(tzdata=tzdata))
    if next_fire is not None:
        place = sa.update(positions).where(positions.c.schedule_id == made.id)
        await written(scene.stores, place.values(next_fire_at=at(next_fire)))
    scene.clock.turn(1)
    return await reread(scene, made)


async def adopt(scene: Scene) -> list[Moved]:
    """Until none is left."""
    moved: list[Moved] = []
    while (some := await scene.stores.firing.adopt_zone_data(100)) is not None:
        moved += some
    return moved


async def test_a_next_fire_time_that_moves_is_reported_and_kept(scene: Scene) -> None:
    made = await kept(scene, next_fire=10_800)
    assert await adopt(scene) == [Moved(made.id, NAMESPACE, made.definition.name, at(10_800), at(7_200))]
    after = await reread(scene, made)
    assert after == replace(made, next_fire_at=at(7_200), tzdata=TZDATA)
    change = (await history(scene, made))[-1]
    assert (change.action, change.author, change.version) == (Action.MOVED, "scheduler", made.version)
    assert change.details == {
        "before": "2026-03-01T15:00:00Z",
        "after": "2026-03-01T14:00:00Z",
        "tzdata": [OLDER, TZDATA],
    }
    scene.clock.turn(7_200)
    await fire(scene)
    assert [job.fire_time for job in await jobs_of(scene, made)] == [at(7_200)]


@pytest.mark.parametrize("timing", [DAILY, Timing(interval_seconds=60, start_at=at(-30))])
async def test_one_that_stays_is_not_worth_a_word(scene: Scene, timing: Timing) -> None:
    made = await kept(scene, timing=timing)
    assert await adopt(scene) == []
    assert await reread(scene, made) == replace(made, tzdata=TZDATA)
    assert [change.action for change in await history(scene, made)] == [Action.CREATED]


async def test_it_is_done_once(scene: Scene) -> None:
    await kept(scene, next_fire=10_800)
    assert len(await adopt(scene)) == 1
    assert await scene.stores.firing.adopt_zone_data(100) is None


async def test_what_was_computed_by_newer_data_is_left_to_it(scene: Scene) -> None:
    made = await kept(scene, NEWER, next_fire=10_800)
    assert await scene.stores.firing.adopt_zone_data(100) is None
    assert await reread(scene, made) == made


@pytest.mark.parametrize(("older", "newer"), [("2025b", "2025c"), ("2025c", "2026a"), ("2019c", "2020a")])
async def test_versions_are_in_the_order_of_their_year_and_letter(scene: Scene, older: str, newer: str) -> None:
    made = await kept(scene, older)
    store = ZoneData(scene.stores.database)
    for tzdata, found in ((older, None), (newer, []), (older, None)):
        store.tzdata = tzdata
        assert await store.adopt_zone_data(10) == found
    assert (await reread(scene, made)).tzdata == newer


async def test_what_has_come_by_the_new_data_fires_late(scene: Scene) -> None:
    made = await kept(scene, next_fire=10_800, misfire_grace_seconds=3600)
    scene.clock.turn(7_500)
    await adopt(scene)
    await fire(scene)
    assert [job.fire_time for job in await jobs_of(scene, made)] == [at(7_200)]


async def test_nothing_that_was_judged_comes_again(scene: Scene) -> None:
    made = await kept(scene, TZDATA)
    scene.clock.turn(7_200)
    await fire(scene)
    await written(scene.stores, sa.update(schedules).values(tzdata=OLDER))
    assert await adopt(scene) == []
    assert (await reread(scene, made)).next_fire_at == at(7_200 + 86_400)


async def test_a_paused_one_moves_too(scene: Scene) -> None:
    made = await kept(scene, next_fire=10_800)
    await scene.stores.schedules.pause(NAMESPACE, made.id, "ann")
    assert [moved.after for moved in await adopt(scene)] == [at(7_200)]
    resumed = await scene.stores.schedules.resume(NAMESPACE, made.id, "ann")
    assert resumed.next_fire_at == at(7_200)


async def test_one_that_has_ended_stays_so(scene: Scene) -> None:
    made = await scheduled(scene, max_runs=1)
    scene.clock.turn(60)
    await fire(scene)
    await written(scene.stores, sa.update(schedules).values(tzdata=OLDER))
    assert await adopt(scene) == []
    after = await reread(scene, made)
    assert (after.state, after.tzdata, after.next_fire_at) == (ScheduleState.ENDED, TZDATA, None)


async def test_one_that_has_no_fire_time_left_ends(scene: Scene) -> None:
    made = await kept(scene, timing=replace(DAILY, end_at=at(9_000)), next_fire=8_000)
    scene.clock.turn(8_000)
    place = sa.update(positions).where(positions.c.schedule_id == made.id)
    await written(scene.stores, place.values(since=at(7_900)))
    (moved,) = await adopt(scene)
    assert (moved.before, moved.after) == (at(8_000), None)
    after = await reread(scene, made)
    assert (after.state, after.ended_reason) == (ScheduleState.ENDED, "no fire time is left within its bounds")
    assert [change.action for change in await history(scene, made)][1:] == [Action.MOVED, Action.ENDED]


async def test_one_that_cannot_be_computed_is_left_to_its_fire(scene: Scene) -> None:
    made = await kept(scene, next_fire=10_800)
    sound = await kept(scene, next_fire=10_800, name="other")
    broken = sa.update(schedules).where(schedules.c.id == made.id).values(timezone="Atlantis/Capital")
    await written(scene.stores, broken)
    assert [moved.schedule_id for moved in await adopt(scene)] == [sound.id]
    scene.clock.turn(10_800)
    await fire(scene)
    assert (await reread(scene, made)).state is ScheduleState.ENDED


async def test_schedulers_share_the_work_and_report_each_move_once(scene: Scene) -> None:
    made = [await kept(scene, next_fire=10_800, name=f"s{n}") for n in range(12)]
    looks = await together(*(scene.stores.firing.adopt_zone_data(4) for _ in range(5)))
    moved = [each.schedule_id for look in looks for each in look or ()] + [m.schedule_id for m in await adopt(scene)]
    assert sorted(moved) == sorted(each.id for each in made)
    assert {(await reread(scene, each)).tzdata for each in made} == {TZDATA}
