"""The ledger and the history of schedules, over both databases."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from horae.domain.errors import NotFound
from horae.domain.schedule import Action, Occurrence, Reason, ScheduleId, Verdict
from horae.store.base_schedules import LedgerFilter, LedgerKey
from horae.store.tables import changes, occurrences
from tests.support.clock import START
from tests.support.factories import schedule_id
from tests.support.scene import NAMESPACE, Scene
from tests.support.schedules import at, change, create, execute, fire, history, ledger

SECOND = timedelta(seconds=1)
SPAN = 60
"""seconds in which all lines of the made-up ledger lie"""

REASONS: dict[Verdict, tuple[Reason | None, ...]] = {
    Verdict.FIRED: (None,),
    Verdict.SKIPPED: (Reason.MISFIRE, Reason.OVERLAP, Reason.PAUSED, Reason.BOUND),
    Verdict.COALESCED: (Reason.MISFIRE, Reason.OVERLAP),
    Verdict.BACKFILLED: (None,),
    Verdict.MISSED: (Reason.NO_SUCCESS,),
}


async def write(scene: Scene, *lines: Occurrence, namespace: str = NAMESPACE) -> None:
    await execute(scene, sa.insert(occurrences).values([row_of(line, namespace) for line in lines]))


def row_of(line: Occurrence, namespace: str) -> dict[str, Any]:
    return {
        "schedule_id": line.schedule_id,
        "fire_time": line.fire_time,
        "missed": line.verdict is Verdict.MISSED,
        "namespace": namespace,
        "verdict": line.verdict,
        "reason": line.reason,
        "detail": line.detail,
        "job_id": line.job_id,
        "into_fire": line.into,
        "until": line.until,
        "count": line.count,
        "recorded_at": line.recorded_at,
    }


async def read(
    scene: Scene, limit: int = 100, before: LedgerKey | None = None, namespace: str = NAMESPACE, **where: Any
) -> list[Occurrence]:
    return await scene.stores.schedules.occurrences(namespace, LedgerFilter(**where), limit, before)


async def read_by_pages(scene: Scene, limit: int, where: LedgerFilter) -> list[Occurrence]:
    found: list[Occurrence] = []
    while some := await scene.stores.schedules.occurrences(
        NAMESPACE, where, limit, key_of(found[-1]) if found else None
    ):
        found += some
    return found


def key_of(line: Occurrence) -> LedgerKey:
    return LedgerKey(line.fire_time, line.schedule_id, line.verdict is Verdict.MISSED)


# --------------------------------------------------------------------------------------------------------------- lines


async def test_a_line_tells_all_that_was_written(scene: Scene) -> None:
    made = await create(scene)
    line = Occurrence(
        schedule_id=made.id,
        fire_time=at(-60),
        verdict=Verdict.COALESCED,
        recorded_at=at(-1.5),
        reason=Reason.MISFIRE,
        detail="more than 1000 were missed",
        job_id=None,
        into=at(-10),
        until=at(-20),
        count=7,
    )
    fired = Occurrence(made.id, at(-10), Verdict.FIRED, at(-1.5), job_id=scene.new().id)
    await write(scene, line, fired)
    assert await ledger(scene, made) == [fired, line]
    assert await read(scene) == [fired, line]


async def test_a_missed_line_stands_behind_that_of_its_fire_time(scene: Scene) -> None:
    made = await create(scene)
    fired = Occurrence(made.id, at(-60), Verdict.FIRED, START)
    missed = Occurrence(made.id, at(-60), Verdict.MISSED, START, Reason.NO_SUCCESS, "its job is FAILED")
    older = replace(fired, fire_time=at(-120))
    await write(scene, missed, fired, older)
    assert await ledger(scene, made) == [fired, missed, older]
    assert await read(scene, limit=1, before=key_of(fired)) == [missed]
    assert await read(scene, limit=1, before=key_of(missed)) == [older]


async def test_an_unknown_schedule_has_no_ledger(scene: Scene) -> None:
    with pytest.raises(NotFound):
        await read(scene, schedule_id=schedule_id(scene.clock))
    assert await read(scene) == []


async def test_each_namespace_has_its_own_ledger(scene: Scene) -> None:
    mine, theirs = await create(scene), await create(scene, namespace="theirs")
    scene.clock.turn(60)
    await fire(scene)
    assert {line.schedule_id for line in await read(scene)} == {mine.id}
    assert {line.schedule_id for line in await read(scene, begin=at(0))} == {mine.id}
    assert {line.schedule_id for line in await read(scene, namespace="theirs")} == {theirs.id}
    with pytest.raises(NotFound):
        await read(scene, schedule_id=theirs.id)


# ------------------------------------------------------------------------------------------------------------- ranges


async def test_a_range_holds_its_beginning_and_not_its_end(scene: Scene) -> None:
    made = await create(scene)
    await write(scene, *(Occurrence(made.id, at(second), Verdict.FIRED, START) for second in range(5)))
    found = await read(scene, schedule_id=made.id, begin=at(1), end=at(3))
    assert [line.fire_time for line in found] == [at(2), at(1)]


SHARED = [
    (None, None, True),
    (-10, 0, False),
    (-10, 1, True),
    (19, 40, True),
    (20, 40, True),
    (20.5, 40, False),
    (10, 12, True),
    (-10, 40, True),
]


@pytest.mark.parametrize(("begin", "end", "found"), SHARED)
@pytest.mark.parametrize("narrowed", [True, False], ids=["schedule", "namespace"])
async def test_a_shared_line_counts_wherever_one_of_its_times_may_lie(
    scene: Scene, begin: float | None, end: float | None, found: bool, narrowed: bool
) -> None:
    """Also where the schedule is gone, and where a backfill has put a line of its own in the middle."""
    made = await create(scene)
    shared = Occurrence(made.id, at(0), Verdict.SKIPPED, START, Reason.PAUSED, until=at(20), count=20)
    inside = Occurrence(made.id, at(5), Verdict.BACKFILLED, START)
    earlier = Occurrence(made.id, at(-100), Verdict.SKIPPED, START, Reason.PAUSED, until=at(-50), count=50)
    await write(scene, earlier, shared, inside)
    await scene.stores.schedules.delete(NAMESPACE, made.id, "ann")
    lines = await read(
        scene,
        schedule_id=made.id if narrowed else None,
        begin=None if begin is None else at(begin),
        end=None if end is None else at(end),
        reason=Reason.PAUSED,
    )
    assert (shared in lines) is found
    assert (earlier in lines) is (begin is None)


# ---------------------------------------------------------------------------------------------------- every combination


def made_up(schedules: list[ScheduleId], chance: random.Random) -> Iterator[Occurrence]:
    """Lines as fires and backfills leave them: none of a verdict inside a shared one of the same verdict."""
    for schedule in schedules:
        second = 0
        while second < SPAN:
            verdict = chance.choice([verdict for verdict in Verdict if verdict is not Verdict.MISSED])
            line = Occurrence(schedule, at(second), verdict, START, chance.choice(REASONS[verdict]))
            if verdict in (Verdict.SKIPPED, Verdict.COALESCED) and chance.random() < 0.4:
                length = chance.randrange(15)
                yield replace(line, until=at(second + length), count=length + 1)
                if length > 3 and chance.random() < 0.5:
                    yield Occurrence(schedule, at(second + 2), Verdict.BACKFILLED, START)
                second += length
            else:
                yield line
            if verdict is not Verdict.BACKFILLED and chance.random() < 0.3:
                yield Occurrence(schedule, line.fire_time, Verdict.MISSED, START, Reason.NO_SUCCESS)
            second += chance.randrange(1, 4)


def found_by(where: LedgerFilter, lines: list[Occurrence]) -> list[Occurrence]:
    """What the filter means, in plain words."""

    def meant(line: Occurrence) -> bool:
        return (
            where.schedule_id in (None, line.schedule_id)
            and (not where.verdicts or line.verdict in where.verdicts)
            and where.reason in (None, line.reason)
            and (where.begin is None or (line.until or line.fire_time) >= where.begin)
            and (where.end is None or line.fire_time < where.end)
        )

    place = sorted(filter(meant, lines), key=lambda line: line.verdict is Verdict.MISSED)
    return sorted(place, key=lambda line: (line.fire_time, line.schedule_id), reverse=True)


def every_filter(schedule: ScheduleId) -> Iterator[LedgerFilter]:
    verdicts: list[frozenset[Verdict]] = [frozenset(), *(frozenset({verdict}) for verdict in Verdict)]
    verdicts += [frozenset({Verdict.SKIPPED, Verdict.MISSED}), frozenset(Verdict)]
    ranges = [(None, None), (at(21), None), (None, at(33)), (at(21), at(33)), (at(30), at(31)), (at(-9), at(99))]
    for own, some, reason, (begin, end) in product((None, schedule), verdicts, (None, *Reason), ranges):
        yield LedgerFilter(own, some, reason, begin, end)


@pytest.mark.timeout(120)
async def test_every_filter_finds_what_it_means_page_by_page(scene: Scene) -> None:
    chance = random.Random(11)
    schedules = [(await create(scene, name=f"s{number}")).id for number in range(4)]
    foreign = (await create(scene, namespace="theirs")).id
    lines = list(made_up(schedules, chance))
    await write(scene, *lines)
    await write(scene, *made_up([foreign], chance), namespace="theirs")
    for where in every_filter(schedules[1]):
        wanted = found_by(where, lines)
        assert await scene.stores.schedules.occurrences(NAMESPACE, where, 200) == wanted, where
        if len(wanted) > 1 and chance.random() < 0.2:
            assert await read_by_pages(scene, chance.randrange(1, 8), where) == wanted, where


# ------------------------------------------------------------------------------------------------------------- history


async def test_history_is_newest_first_and_goes_on_page_by_page(scene: Scene) -> None:
    made = await create(scene)
    for runs in range(2, 13):
        scene.clock.turn(0.001 * (runs % 2))
        _, made = await change(scene, made, max_runs=runs)
    whole = await history(scene, made)
    assert [each.version for each in whole] == list(range(12, 0, -1))
    assert [each.details.get("max_runs") for each in whole[:2]] == [[11, 12], [10, 11]]
    found = await scene.stores.schedules.history(NAMESPACE, made.id, 5)
    while some := await scene.stores.schedules.history(NAMESPACE, made.id, 5, found[-1].id):
        found += some
    assert found == whole


async def test_history_keeps_the_name_of_its_time(scene: Scene) -> None:
    made = await create(scene, name="before")
    await change(scene, made, name="after")
    assert [(each.name, each.action) for each in await history(scene, made)] == [
        ("after", Action.UPDATED),
        ("before", Action.CREATED),
    ]


async def test_a_schedule_whose_history_was_pruned_is_known_all_the_same(scene: Scene) -> None:
    made = await create(scene)
    await execute(scene, sa.delete(changes))
    assert await history(scene, made) == []
    assert await ledger(scene, made) == []
