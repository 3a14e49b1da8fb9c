"""Lists of jobs and what they are narrowed to, over both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from horae.domain.ids import JobId
from horae.domain.job import Failure, State
from horae.store.base import JobFilter
from tests.support.clock import START
from tests.support.factories import job_id
from tests.support.scene import BROKEN, Scene

# ------------------------------------------------------------------------------------------------------------ lists


async def test_a_page_is_newest_first(scene: Scene) -> None:
    made = [await scene.submit() for _ in range(3)]
    assert await scene.ids() == made[::-1]


async def test_pages_follow_each_other_without_a_gap_though_all_were_made_at_once(scene: Scene) -> None:
    made = (await scene.stores.jobs.submit("default", [scene.new() for _ in range(23)])).ids
    found: list[JobId] = []
    while page := await scene.ids(limit=5, before=found[-1] if found else None):
        found += page
    assert found == made[::-1]


async def test_a_page_goes_on_though_its_last_job_is_gone_and_new_ones_came(scene: Scene) -> None:
    made = [await scene.submit() for _ in range(4)]
    first = await scene.ids(limit=2)
    await scene.stores.jobs.cancel("default", first)
    await scene.stores.jobs.delete("default", first)
    await scene.submit()
    assert await scene.ids(limit=2, before=first[-1]) == made[1::-1]


FILTERS: dict[str, tuple[JobFilter, dict[str, Any]]] = {
    "states": (JobFilter(states=frozenset({State.PENDING})), {}),
    "queue": (JobFilter(queue="mail"), {"queue": "mail"}),
    "handler": (JobFilter(handler="mail.send"), {"handler": "mail.send"}),
    "tag": (JobFilter(tag="red"), {"tags": ("blue", "red")}),
    "created_after": (JobFilter(created_after=START + timedelta(seconds=100)), {}),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_each_filter_finds_what_it_names_and_nothing_else(scene: Scene, name: str) -> None:
    where, fields = FILTERS[name]
    await scene.reach(State.CANCELLED)
    scene.clock.turn(100)
    wanted = [await scene.submit(**fields) for _ in range(3)]
    assert await scene.ids(where) == wanted[::-1]
    assert await scene.ids(where, limit=1, before=wanted[1]) == [wanted[0]]
    assert await scene.stores.jobs.count("default", where) == 3


async def test_bounds_of_creation_are_after_or_at_and_before(scene: Scene) -> None:
    made = []
    for _ in range(3):
        made.append(await scene.submit())
        scene.clock.turn(1)
    where = JobFilter(created_after=START, created_before=START + timedelta(seconds=2))
    assert await scene.ids(where) == made[1::-1]


async def test_jobs_of_several_states_are_listed_in_one_order(scene: Scene) -> None:
    order = (State.FAILED, State.RUNNING, State.SUCCESS, State.RUNNING, State.FAILED, State.CANCELLED)
    made = [(await scene.reach(state)).id for state in order]
    where = JobFilter(states=frozenset({State.FAILED, State.RUNNING}))
    wanted = [made[4], made[3], made[1], made[0]]
    assert await scene.ids(where) == wanted
    assert await scene.ids(where, limit=2) == wanted[:2]
    assert await scene.ids(where, limit=2, before=wanted[1]) == wanted[2:]
    assert await scene.stores.jobs.count("default", where) == 4


@pytest.mark.parametrize("bound", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
async def test_bounds_of_creation_may_lie_anywhere(scene: Scene, bound: datetime) -> None:
    made = await scene.submit()
    assert await scene.ids(JobFilter(created_after=bound)) == ([made] if bound < START else [])
    assert await scene.ids(JobFilter(created_before=bound)) == ([made] if bound > START else [])


async def test_filters_are_joined_by_and(scene: Scene) -> None:
    wanted = await scene.submit(queue="mail", handler="mail.send", tags=("red",))
    await scene.submit(queue="mail", handler="mail.send")
    await scene.submit(queue="mail", tags=("red",))
    where = JobFilter(states=frozenset({State.PENDING, State.FAILED}), queue="mail", handler="mail.send", tag="red")
    assert await scene.ids(where) == [wanted]


async def test_a_filter_by_schedule_finds_no_job_that_has_none(scene: Scene) -> None:
    await scene.submit()
    assert await scene.ids(JobFilter(schedule_id=job_id(scene.clock))) == []


@pytest.mark.parametrize("state", list(State))
async def test_each_state_can_be_listed(scene: Scene, state: State) -> None:
    made = {each: (await scene.reach(each, queue=each.lower())).id for each in State}
    assert await scene.ids(JobFilter(states=frozenset({state}))) == [made[state]]


# ----------------------------------------------------------------------------------------------------------- search


def text(words: str) -> JobFilter:
    return JobFilter(text=words)


async def test_text_finds_a_job_by_its_id(scene: Scene) -> None:
    wanted = await scene.submit()
    await scene.submit()
    assert await scene.ids(text(wanted)) == [wanted]


async def test_text_finds_the_start_of_a_handlers_name(scene: Scene) -> None:
    wanted = await scene.submit(handler="mail.send")
    await scene.submit(handler="send.mail")
    assert await scene.ids(text("mail.")) == [wanted]


async def test_text_finds_a_tag_as_a_whole(scene: Scene) -> None:
    wanted = await scene.submit(tags=("red",))
    await scene.submit(tags=("redder",))
    assert await scene.ids(text("red")) == [wanted]


async def test_text_finds_words_of_an_error_in_any_order_and_case(scene: Scene) -> None:
    wanted = await scene.failed(Failure("ConnectionError", "Host UNREACHABLE: db7", "at line 3"))
    await scene.failed(Failure("ConnectionError", "host refused"))
    assert await scene.ids(text("unreachable HOST")) == [wanted]
    assert await scene.ids(text("connectionerror db7 line")) == [wanted]


@pytest.mark.parametrize("words", ["message", "traceback", "null", "%", "_", '"'])
async def test_text_finds_only_what_the_error_says(scene: Scene, words: str) -> None:
    await scene.failed(Failure("ValueError", "broken"))
    assert await scene.ids(text(words)) == []


@pytest.mark.parametrize("words", ['say "no"', "100%", "a_b", "C:\\temp", "Zoë"])
async def test_text_finds_words_with_signs_in_them(scene: Scene, words: str) -> None:
    wanted = await scene.failed(Failure("ValueError", f"it was {words}."))
    await scene.failed(Failure("ValueError", "it was 1000 acb C:temp say no"))
    assert await scene.ids(text(words)) == [wanted]


async def test_a_job_that_a_text_finds_in_three_ways_is_found_once(scene: Scene) -> None:
    wanted = await scene.failed(Failure("E", "red alert"), tags=("red",))
    by_name = await scene.submit(handler="red.alert")
    assert await scene.ids(text("red")) == [by_name, wanted]
    assert await scene.stores.jobs.count("default", text("red")) == 2


async def test_text_is_joined_with_the_other_filters(scene: Scene) -> None:
    wanted = await scene.failed(BROKEN, queue="mail")
    await scene.failed(BROKEN)
    where = JobFilter(queue="mail", text="broken")
    assert await scene.ids(where) == [wanted]
    assert await scene.stores.jobs.count("default", where) == 1


async def test_text_goes_on_with_the_next_page(scene: Scene) -> None:
    made = [await scene.failed(BROKEN) for _ in range(3)]
    assert await scene.ids(text("broken"), limit=2) == made[:0:-1]
    assert await scene.ids(text("broken"), limit=2, before=made[1]) == made[:1]
