"""Schedules as users make, list and read them, over both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from horae.domain.errors import InvalidInput, NameTaken, NotFound
from horae.domain.schedule import (
    Action,
    Definition,
    Misfire,
    Overlap,
    Schedule,
    ScheduleId,
    ScheduleState,
)
from horae.domain.template import Template
from horae.domain.timing import Fold, Gap, Timing
from horae.domain.zones import TZDATA
from horae.store.base_schedules import LedgerFilter, ScheduleFilter
from tests.support.clock import START
from tests.support.factories import job_id, schedule_id
from tests.support.scene import NAMESPACE, Scene
from tests.support.schedules import (
    DAILY,
    EVERY_MINUTE,
    at,
    change,
    create,
    end,
    history,
    page,
    reread,
)
from tests.support.waiting import together

FULL = Definition(
    name="Nightly report ",
    timing=Timing(
        cron="30 2 * * *",
        timezone="Europe/Berlin",
        start_at=datetime(2026, 3, 2, tzinfo=UTC),
        end_at=datetime(2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC),
        dst_gap=Gap.SKIP,
        dst_fold=Fold.BOTH,
    ),
    template=Template("report", '{"deep":{"a":[1,2.5,null]}}', {"queue": "mail", "tags": ["a", "b"]}),
    max_runs=100,
    jitter_seconds=30,
    misfire=Misfire.FIRE_ALL,
    misfire_grace_seconds=5,
    overlap=Overlap.REPLACE,
    must_succeed_within_seconds=3600,
    source="deploy.yaml",
)


# -------------------------------------------------------------------------------------------------------------- create


async def test_a_schedule_is_kept_as_it_was_asked_for(scene: Scene) -> None:
    id_ = schedule_id(scene.clock)
    made = await scene.stores.schedules.create(NAMESPACE, id_, FULL, "ann")
    assert made == Schedule(
        id=id_,
        namespace=NAMESPACE,
        version=1,
        state=ScheduleState.ACTIVE,
        definition=FULL,
        created_at=START,
        updated_at=START,
        next_fire_at=datetime(2026, 3, 2, 1, 30, tzinfo=UTC),
        last_fire_at=None,
        runs=0,
        tzdata=TZDATA,
    )
    assert await reread(scene, made) == made


async def test_the_creation_and_the_end_are_kept_with_all_fields(scene: Scene) -> None:
    made = await scene.stores.schedules.create(NAMESPACE, schedule_id(scene.clock), FULL, "ann")
    await scene.stores.schedules.delete(NAMESPACE, made.id, "bob")
    deleted, created = await history(scene, made)
    assert (created.action, deleted.action) == (Action.CREATED, Action.DELETED)
    assert created.details == deleted.details
    assert created.details["end_at"] == "2027-01-01T00:00:00.500000Z"
    assert created.details["job"] == {
        "handler": "report",
        "payload": {"deep": {"a": [1, 2.5, None]}},
        "queue": "mail",
        "tags": ["a", "b"],
    }


async def test_the_first_fire_time_lies_after_now(scene: Scene) -> None:
    assert (await create(scene, name="at the minute")).next_fire_at == at(60)
    scene.clock.turn(59.5)
    assert (await create(scene, name="just before")).next_fire_at == at(60)


async def test_an_interval_begins_at_the_second_of_its_creation(scene: Scene) -> None:
    scene.clock.turn(0.75)
    made = await create(scene, timing=Timing(interval_seconds=7))
    assert (made.definition.timing.start_at, made.next_fire_at) == (START, at(7))
    given = await create(scene, name="given", timing=Timing(interval_seconds=60, start_at=at(-90)))
    assert (given.definition.timing.start_at, given.next_fire_at) == (at(-90), at(30))


@pytest.mark.parametrize(
    ("timing", "field"),
    [
        (replace(EVERY_MINUTE, end_at=at(59)), "end_at"),
        (Timing(interval_seconds=60, start_at=at(-60), end_at=at(-1)), "end_at"),
        (replace(DAILY, start_at=datetime(9999, 12, 30, tzinfo=UTC)), "cron"),
        (Timing(cron="* * * *"), "cron"),
        (replace(DAILY, timezone="Mars/Olympus"), "timezone"),
    ],
)
async def test_one_that_would_never_fire_is_refused_and_names_the_field(
    scene: Scene, timing: Timing, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(scene, timing=timing)
    assert [error.field for error in caught.value.errors] == [field]
    assert await scene.stores.schedules.page(NAMESPACE, ScheduleFilter(), 10) == []


async def test_a_name_that_is_taken_tells_by_whom(scene: Scene) -> None:
    first = await create(scene)
    with pytest.raises(NameTaken) as caught:
        await create(scene)
    assert (caught.value.name, caught.value.id) == (first.definition.name, first.id)


async def test_names_differ_by_case_by_blanks_and_between_namespaces(scene: Scene) -> None:
    names = ["report", "Report", "report ", " report", "répört", "report\n"]
    for name in names:
        await create(scene, name=name)
        await create(scene, name=name, namespace="theirs")
        assert [s.definition.name for s in await page(scene, ScheduleFilter(name=name))] == [name]
    assert {s.definition.name for s in await page(scene)} == set(names)


async def test_of_many_with_one_name_at_once_one_is_made(scene: Scene) -> None:
    async def attempt() -> ScheduleId | NameTaken:
        try:
            return (await create(scene)).id
        except NameTaken as error:
            return error

    answers = await together(*(attempt() for _ in range(8)))
    (made,) = await page(scene)
    assert [answer for answer in answers if not isinstance(answer, NameTaken)] == [made.id]
    assert {answer.id for answer in answers if isinstance(answer, NameTaken)} == {made.id}


# --------------------------------------------------------------------------------------------------------------- lists


async def test_pages_follow_each_other_by_name_without_a_gap(scene: Scene) -> None:
    names = [f"s{number}" for number in range(23)]
    for name in names:
        await create(scene, name=name)
    found: list[str] = []
    while some := await page(scene, limit=5, after=found[-1] if found else None):
        found += [schedule.definition.name for schedule in some]
    assert found == sorted(names)


FILTERS: dict[str, tuple[ScheduleFilter, dict[str, Any]]] = {
    "name": (ScheduleFilter(name="wanted 1"), {}),
    "handler": (ScheduleFilter(handler="mail.send"), {"template": Template("mail.send")}),
    "source": (ScheduleFilter(source="a.yaml"), {"source": "a.yaml"}),
    "text": (ScheduleFilter(text="wan"), {}),
    "all": (
        ScheduleFilter(name="wanted 1", handler="x", source="y", text="w"),
        {"template": Template("x"), "source": "y"},
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_each_filter_finds_what_it_names_and_nothing_else(scene: Scene, name: str) -> None:
    where, fields = FILTERS[name]
    await create(scene, name="other", source="b.yaml")
    await create(scene, name="wanted 1", namespace="theirs", **fields)
    wanted = [await create(scene, name=f"wanted {n}", **fields) for n in (1, 2)]
    assert await page(scene, where) == (wanted[:1] if where.name else wanted)


async def test_each_state_can_be_listed(scene: Scene) -> None:
    active, paused = await create(scene, name="a"), await create(scene, name="b")
    paused = await scene.stores.schedules.pause(NAMESPACE, paused.id, "ann")
    ended = await end(scene, await create(scene, name="c"))
    one_by_one = [await page(scene, ScheduleFilter(states=frozenset({state}))) for state in ScheduleState]
    assert one_by_one == [[active], [paused], [ended]]
    assert await page(scene, ScheduleFilter(states=frozenset(ScheduleState))) == [active, paused, ended]


async def test_a_text_is_the_start_of_a_name_and_means_itself(scene: Scene) -> None:
    names = ["50% off", "50%", "500", "5", "a_b", "axb", "é", "é\U0010ffff!"]
    for name in names:
        await create(scene, name=name)
    found = {
        text: {s.definition.name for s in await page(scene, ScheduleFilter(text=text))} for text in ("50%", "a_", "é")
    }
    assert found == {"50%": {"50%", "50% off"}, "a_": {"a_b"}, "é": {"é", "é\U0010ffff!"}}


# ---------------------------------------------------------------------------------------------------------- namespaces

Act = Callable[[Scene, Schedule], Awaitable[object]]

ACTS: dict[str, Act] = {
    "change": change,
    "pause": lambda scene, s: scene.stores.schedules.pause(s.namespace, s.id, "eve"),
    "resume": lambda scene, s: scene.stores.schedules.resume(s.namespace, s.id, "eve"),
    "trigger": lambda scene, s: scene.stores.schedules.trigger(s.namespace, s.id, job_id(scene.clock), "eve"),
    "delete": lambda scene, s: scene.stores.schedules.delete(s.namespace, s.id, "eve"),
    "history": history,
    "occurrences": lambda scene, s: scene.stores.schedules.occurrences(s.namespace, LedgerFilter(s.id), 10),
}


@pytest.mark.parametrize("name", ACTS)
async def test_another_namespace_has_no_such_schedule(scene: Scene, name: str) -> None:
    made = await create(scene)
    foreign = replace(made, namespace="theirs", definition=replace(made.definition, max_runs=7))
    with pytest.raises(NotFound):
        await ACTS[name](scene, foreign)
    assert await scene.stores.schedules.get("theirs", made.id) is None
    assert await reread(scene, made) == made
    assert [each.action for each in await history(scene, made)] == [Action.CREATED]


@pytest.mark.parametrize("name", ACTS)
async def test_an_unknown_schedule_is_not_found(scene: Scene, name: str) -> None:
    unknown = replace(await create(scene), id=schedule_id(scene.clock))
    with pytest.raises(NotFound):
        await ACTS[name](scene, unknown)
