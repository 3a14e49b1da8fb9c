"""What of the ledger and the history goes after its time, over both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from horae.domain.firing import OWN_LINES
from horae.domain.schedule import Action, BackfillState, Misfire, Verdict
from horae.store.tables import occurrences
from tests.support.recurring import (
    EVERY_SECOND,
    at,
    brief,
    complete,
    fire,
    history,
    ledger,
    reread,
    scheduled,
    start_backfill,
    written,
)
from tests.support.scene import NAMESPACE, Scene

AGE = timedelta(seconds=1000)


async def prune(scene: Scene, age: timedelta | None = AGE, limit: int = 100) -> int:
    return await scene.stores.firing.prune_ledger(age, limit)


async def test_lines_and_changes_go_after_their_retention(scene: Scene) -> None:
    made = await scheduled(scene)
    await scene.turn(120)
    await fire(scene)
    scene.clock.turn(880)
    assert await prune(scene) == 0
    scene.clock.turn(0.001)
    assert await prune(scene) == 1
    assert await history(scene, made) == []
    scene.clock.turn(120)
    await prune(scene)
    assert await ledger(scene, made) == []
    assert (await reread(scene, made)).runs == 2


async def test_younger_ones_stay(scene: Scene) -> None:
    made = await scheduled(scene)
    for _ in range(20):
        scene.clock.turn(60)
        await fire(scene)
    before = await ledger(scene, made)
    await prune(scene)
    assert await ledger(scene, made) == [line for line in before if line.fire_time >= at(200)]


async def test_what_was_judged_late_stays_as_long_from_then(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(600)
    await fire(scene)
    scene.clock.turn(1000)
    await prune(scene)
    assert len(await ledger(scene, made)) == 10
    scene.clock.turn(0.001)
    await prune(scene)
    assert await ledger(scene, made) == []


async def test_nothing_goes_that_is_kept_for_ever(scene: Scene) -> None:
    made = await scheduled(scene)
    scene.clock.turn(60)
    await fire(scene)
    scene.clock.turn(10**8)
    assert await prune(scene, None) == 0
    assert [change.action for change in await history(scene, made)] == [Action.CREATED]


async def test_a_few_at_a_time(scene: Scene) -> None:
    made = await scheduled(scene, misfire=Misfire.FIRE_ALL)
    await scheduled(scene, "space", name="other", misfire=Misfire.SKIP, misfire_grace_seconds=0)
    scene.clock.turn(300.5)
    await fire(scene)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "ann")
    scene.clock.turn(5000)
    assert [await prune(scene, limit=4) for _ in range(5)] == [4, 4, 4, 1, 0]


async def test_a_line_that_was_backfilled_lately_stays(scene: Scene) -> None:
    made = await scheduled(scene)
    await scene.turn(30)
    done = await complete(scene, await start_backfill(scene, made, -6000, -5940))
    assert done.made == 2
    await prune(scene)
    assert brief(await ledger(scene, made)) == [(-6000, "backfilled"), (-5940, "backfilled")]
    scene.clock.turn(1000.001)
    await prune(scene)
    assert await ledger(scene, made) == []


async def test_a_shared_line_goes_by_its_end(scene: Scene) -> None:
    made = await scheduled(scene, timing=EVERY_SECOND, misfire=Misfire.SKIP, misfire_grace_seconds=0)
    scene.clock.turn(OWN_LINES + 10.5)
    await fire(scene)
    await written(scene.stores, sa.update(occurrences).values(recorded_at=at(0)))
    scene.clock.turn(999)
    await prune(scene, limit=5000)
    (shared,) = await ledger(scene, made)
    assert (shared.fire_time, shared.until) == (at(1001), at(1010))
    scene.clock.turn(0.6)
    await prune(scene)
    assert await ledger(scene, made) == []


async def test_what_has_still_to_be_judged_stays_until_it_is(scene: Scene) -> None:
    made = await scheduled(scene, must_succeed_within_seconds=5000)
    scene.clock.turn(60)
    await fire(scene)
    scene.clock.turn(4000)
    await prune(scene)
    assert brief(await ledger(scene, made)) == [(60, "fired")]
    scene.clock.turn(1000)
    assert await scene.stores.firing.note_absences(10)
    await prune(scene)
    assert {line.verdict for line in await ledger(scene, made)} == {Verdict.MISSED}


@pytest.mark.parametrize("missed", [False, True])
async def test_missed_lines_go_like_the_others_and_each_by_itself(scene: Scene, missed: bool) -> None:
    made = await scheduled(scene, must_succeed_within_seconds=30)
    scene.clock.turn(90)
    await fire(scene)
    await scene.stores.firing.note_absences(10)
    young = sa.update(occurrences).where(occurrences.c.missed == sa.literal(missed))
    await written(scene.stores, young.values(recorded_at=at(5000)))
    scene.clock.turn(2000)
    await prune(scene)
    assert [line.verdict is Verdict.MISSED for line in await ledger(scene, made)] == [missed]


async def test_backfills_that_ended_long_ago_go_too(scene: Scene) -> None:
    made = await scheduled(scene)
    done = await complete(scene, await start_backfill(scene, made, -60, -60))
    cancelled = await start_backfill(scene, made, -60, 0)
    await scene.stores.schedules.cancel_backfill(NAMESPACE, made.id, cancelled.id, "ann")
    running = await start_backfill(scene, made, -60, 0)
    states = [BackfillState.RUNNING, BackfillState.CANCELLED, BackfillState.DONE]
    listed = scene.stores.schedules.backfills
    scene.clock.turn(1000)
    await prune(scene)
    assert [each.state for each in await listed(NAMESPACE, made.id, 10)] == states
    scene.clock.turn(0.001)
    await prune(scene)
    assert [each.id for each in await listed(NAMESPACE, made.id, 10)] == [running.id]
    assert await scene.stores.schedules.get_backfill(NAMESPACE, made.id, done.id) is None
