"""Backfills and the ledger's shared lines; backfills beside each other and beside live fires. Over both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from horae.domain.errors import StoreUnavailable
from horae.domain.firing import OWN_LINES
from horae.domain.job import FINAL, WAITING
from horae.domain.schedule import (
    BackfillState,
    Misfire,
    Reason,
    Schedule,
    Verdict,
)
from horae.domain.timing import Timing
from horae.store import backfilling
from tests.support.recurring import (
    EVERY_SECOND,
    advance,
    at,
    brief,
    complete,
    finish,
    fire,
    jobs_of,
    ledger,
    scheduled,
    see_backfill,
    start_backfill,
)
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import together

# -------------------------------------------------------------------------------------------------------- shared lines


async def sharing(scene: Scene, **fields: Any) -> Schedule:
    """Every second, of which 1010 were skipped: 1001 to 1010 share a line."""
    skips = {"misfire": Misfire.SKIP, "misfire_grace_seconds": 0}
    made = await scheduled(scene, **{"timing": EVERY_SECOND, **skips, **fields})
    await scene.turn(OWN_LINES + 10.5)
    await fire(scene)
    return made


async def tail(scene: Scene, schedule: Schedule) -> list[tuple[float, str, int]]:
    """The lines from 1000 on, with what each stands for."""
    lines = [line for line in await ledger(scene, schedule) if line.fire_time >= at(1000)]
    return [(second, name, line.count) for (second, name), line in zip(brief(lines), lines, strict=True)]


OWN = (1000, "skipped misfire", 1)


@pytest.mark.parametrize(
    ("begin", "end", "left"),
    [
        (1005, 1005, [(1001, "skipped misfire", 9), (1005, "backfilled", 1)]),
        (1001, 1001, [(1001, "backfilled", 1), (1002, "skipped misfire", 9)]),
        (1010, 1010, [(1001, "skipped misfire", 9), (1010, "backfilled", 1)]),
        (1001, 1003, [*((n, "backfilled", 1) for n in (1001, 1002, 1003)), (1004, "skipped misfire", 7)]),
        (1001, 1010, [(n, "backfilled", 1) for n in range(1001, 1011)]),
    ],
    ids=["within", "first", "last", "begin", "all"],
)
async def test_a_time_that_shares_a_line_is_taken_out_of_it(
    scene: Scene, begin: float, end: float, left: list[tuple[float, str, int]]
) -> None:
    made = await sharing(scene)
    await complete(scene, await start_backfill(scene, made, begin, end))
    assert await tail(scene, made) == [OWN, *left]
    details = {line.detail for line in await ledger(scene, made) if line.verdict is Verdict.BACKFILLED}
    assert details == {"was skipped: misfire"}


async def test_one_after_another_a_shared_line_moves_past_those_that_have_left_it(scene: Scene) -> None:
    made = await sharing(scene)
    await complete(scene, await start_backfill(scene, made, 1002, 1003))
    await complete(scene, await start_backfill(scene, made, 1001, 1001))
    assert (await tail(scene, made))[-1] == (1004, "skipped misfire", 7)
    done = await complete(scene, await start_backfill(scene, made, 1001, 1010, 2))
    assert (done.made, done.kept) == (7, 3)
    assert await tail(scene, made) == [OWN, *((n, "backfilled", 1) for n in range(1001, 1011))]


@pytest.mark.parametrize(("end", "first", "count"), [(1004, 1005, 16), (1010, 1011, 10), (1000, 1001, 20)])
async def test_the_schedule_goes_on_with_the_shared_line_wherever_it_is_now(
    scene: Scene, end: float, first: float, count: int
) -> None:
    made = await sharing(scene)
    await complete(scene, await start_backfill(scene, made, 1000, end))
    scene.clock.turn(10)
    await fire(scene)
    last = (await ledger(scene, made))[-1]
    assert (last.fire_time, last.until, last.count, last.reason) == (at(first), at(1020), count, Reason.MISFIRE)


async def test_every_planned_occurrence_stays_in_the_ledger_once(scene: Scene) -> None:
    made = await sharing(scene)
    for begin, end in ((1007, 1008), (998, 1002), (1000, 1004)):
        await complete(scene, await start_backfill(scene, made, begin, end))
    assert sum(line.count for line in await ledger(scene, made)) == 1010
    assert len(await jobs_of(scene, made)) == 9


async def test_a_time_of_another_timing_is_not_taken_out_of_a_line_that_it_was_never_in(scene: Scene) -> None:
    made = await sharing(scene)
    changed = replace(made.definition, timing=Timing(interval_seconds=5, start_at=at(3)))
    await scene.stores.schedules.change(NAMESPACE, made.id, made.version, changed, "ann")
    await complete(scene, await start_backfill(scene, made, 1002, 1004))
    assert await tail(scene, made) == [OWN, (1001, "skipped misfire", 10), (1003, "backfilled", 1)]


# --------------------------------------------------------------------------------------------------------------- races


async def test_two_schedulers_make_no_job_twice(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 4)
    for _ in range(3):
        await together(*(advance(scene) for _ in range(6)))
        jobs = await jobs_of(scene, made)
        assert len([job for job in jobs if job.state not in FINAL]) <= 4
        await finish(scene, *(job.id for job in jobs if job.state in WAITING))
    await advance(scene)
    done = await see_backfill(scene, begun)
    times = [job.fire_time for job in await jobs_of(scene, made)]
    assert times == [at(-60 * n) for n in range(10, 0, -1)]
    assert (done.state, done.made, done.succeeded) == (BackfillState.DONE, 10, 10)


async def test_two_backfills_of_one_range_make_each_job_once(scene: Scene) -> None:
    made = await scheduled(scene)
    begun = [await start_backfill(scene, made, -600, -60, 3) for _ in range(2)]
    for _ in range(12):
        await together(*(advance(scene) for _ in range(3)))
        await finish(scene, *(job.id for job in await jobs_of(scene, made) if job.state in WAITING))
    seen = [await see_backfill(scene, each) for each in begun]
    assert {each.state for each in seen} == {BackfillState.DONE}
    assert sum(each.made for each in seen) == sum(each.kept for each in seen) == 10
    assert len({job.fire_time for job in await jobs_of(scene, made)}) == len(await jobs_of(scene, made)) == 10


async def test_a_backfill_and_live_fires_never_meet(scene: Scene) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, misfire_grace_seconds=600)
    for step in range(6):
        scene.clock.turn(5.5)
        await start_backfill(scene, made, 0, 10_000, 3) if step else None
        await together(*(act for _ in range(3) for act in (advance(scene), fire(scene))))
        # Whoever finds the schedule locked leaves it for the next time.
        await fire(scene)
    now = scene.clock.now()
    times = [job.fire_time for job in await jobs_of(scene, made)]
    assert times == [at(n) for n in range(int((now - at(0)).total_seconds()) + 1)]
    assert sum(line.count for line in await ledger(scene, made)) == len(times)


async def test_what_breaks_off_in_the_middle_leaves_nothing_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await scheduled(scene)
    begun = await start_backfill(scene, made, -600, -60, 4)

    async def broken(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(backfilling, "write_backfilled", broken)
        with pytest.raises(StoreUnavailable):
            await advance(scene)
    assert await jobs_of(scene, made) == []
    assert await see_backfill(scene, begun) == begun
    assert (await complete(scene, begun)).made == 10
