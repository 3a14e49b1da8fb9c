"""What a schedule will do, across clock changes too."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from horae.api import foresight
from horae.api.context import ApiDeps
from horae.domain.cron import CronError
from horae.domain.preview import preview
from horae.domain.timing import Timing
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from tests.api.asking import Client, Json, fields_of, get, post
from tests.api.asking_schedules import SCHEDULES, act, change, create
from tests.api.conftest import deps_over
from tests.support.clock import ManualClock

PREVIEW = f"{SCHEDULES}/preview"


@pytest.fixture
def stores(sqlite_stores: Stores) -> Stores:
    """What is tested here is the same over any database."""
    return sqlite_stores


@pytest.fixture
def deps(stores: Stores, signals: InProcessSignals, clock: ManualClock) -> ApiDeps:
    """Fire times to come are told by the clock that the stores go by."""
    return deps_over(stores, signals, clock)


async def ask(client: Client, begin: str | None = None, **fields: Any) -> Json:
    """A preview of what isn't stored."""
    return await post(client, PREVIEW, {**fields, **({"from": begin} if begin else {})})


def times(answer: Json) -> list[str]:
    """The fire times."""
    return [item["fire_time"] for item in answer["items"]]


# --------------------------------------------------------------------------------------------------------- not stored


async def test_ten_fire_times_after_now_unless_more_is_said(client: Client) -> None:
    answer = await ask(client, cron="0 * * * *")
    assert times(answer) == [f"2026-03-01T{hour:02}:00:00Z" for hour in range(13, 23)]
    assert (answer["dropped"], answer["warnings"]) == ([], [])
    assert answer["description"].endswith("by the clock of UTC.")
    assert (await get(client, SCHEDULES))["items"] == []


async def test_the_beginning_counts(client: Client) -> None:
    at = "2026-06-01T12:00:00+02:00"
    assert times(await ask(client, at, cron="0 * * * *", count=2)) == ["2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z"]
    assert times(await ask(client, "2026-06-01T10:00:00.5Z", cron="0 * * * *", count=1)) == ["2026-06-01T11:00:00Z"]
    assert times(await ask(client, "1999-12-31T23:59:59Z", cron="@yearly", count=1)) == ["2000-01-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        ("auto", ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("fire_after", ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("skip", ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]),
    ],
)
async def test_a_wall_time_that_does_not_exist(client: Client, gap: str, expected: list[str]) -> None:
    berlin = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst_gap": gap, "count": 3}
    answer = await ask(client, "2026-03-28T00:00:00Z", **berlin)
    assert times(answer) == expected
    assert [item["local_time"] for item in answer["dropped"]] == (
        ["2026-03-29T02:30:00+01:00"] if gap == "skip" else []
    )
    assert any("02:30" in warning for warning in answer["warnings"])
    assert any(item["note"] for item in answer["items"])


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        ("auto", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        ("first", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        ("second", ["2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]),
        ("both", ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
    ],
)
async def test_a_wall_time_that_comes_twice(client: Client, fold: str, expected: list[str]) -> None:
    berlin = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst_fold": fold, "count": 2}
    answer = await ask(client, "2026-10-25T00:00:00Z", **berlin)
    assert times(answer) == expected
    assert answer["items"][0]["note"]
    assert answer["items"][0]["local_time"].startswith("2026-10-25T02:30:00+0")


async def test_lord_howe_changes_by_half_an_hour(client: Client) -> None:
    answer = await ask(client, "2026-04-04T12:00:00Z", cron="0 */2 * * *", timezone="Australia/Lord_Howe", count=4)
    assert [item["local_time"] for item in answer["items"]] == [
        "2026-04-05T00:00:00+11:00", "2026-04-05T02:00:00+10:30", "2026-04-05T04:00:00+10:30",
        "2026-04-05T06:00:00+10:30",
    ]  # fmt: skip


async def test_an_interval_counts_from_its_start_or_as_if_it_were_created_now(
    client: Client, clock: ManualClock
) -> None:
    clock.turn(0.4)
    assert times(await ask(client, interval_seconds=60, count=2)) == ["2026-03-01T12:01:00Z", "2026-03-01T12:02:00Z"]
    started = await ask(client, interval_seconds=3600, start_at="2026-02-01T00:20:00Z", count=1)
    assert times(started) == ["2026-03-01T12:20:00Z"]


async def test_bounds_end_it(client: Client) -> None:
    bounded: Json = {"cron": "0 * * * *", "start_at": "2026-03-02T00:00:00Z", "end_at": "2026-03-02T02:00:00Z"}
    assert times(await ask(client, **bounded)) == [f"2026-03-02T0{hour}:00:00Z" for hour in range(3)]
    assert times(await ask(client, **bounded, max_runs=2)) == ["2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z"]
    past = await ask(client, "2026-03-02T02:00:01Z", **bounded)
    assert (past["items"], past["warnings"][0][:5]) == ([], "It ne")


async def test_a_thousand_at_most(client: Client) -> None:
    answer = await ask(client, cron="* * * * * *", timezone="America/New_York", count=1000)
    assert len(answer["items"]) == 1000
    assert set(fields_of(await post(client, PREVIEW, {"cron": "@daily", "count": 1001}, 422))) == {"count"}


async def test_the_fields_of_a_schedule_are_checked_here_too(client: Client) -> None:
    wrong: Json = {"cron": "61 * * * *", "timezone": "x", "name": "", "job": {"handler": "sleep"}, "from": "now"}
    errors = fields_of(await post(client, PREVIEW, wrong, 422))
    assert set(errors) == {"cron", "timezone", "name", "job.payload.seconds", "from"}
    assert set(fields_of(await post(client, PREVIEW, {}, 422))) == {"cron"}


async def test_jitter_that_changes_the_order_is_warned_of(client: Client) -> None:
    answer = await ask(client, cron="*/5 * * * *", jitter_seconds=301)
    assert "jitter_seconds is 301, but there are only 300 seconds" in answer["warnings"][-1]
    assert (await ask(client, cron="*/5 * * * *", jitter_seconds=300))["warnings"] == []


# ------------------------------------------------------------------------------------------------------------- stored


async def test_a_stored_schedule_is_previewed(client: Client, clock: ManualClock) -> None:
    path = f"{SCHEDULES}/{(await create(client, timezone='Europe/Berlin'))['id']}/preview"
    assert len((await get(client, path))["items"]) == 10
    answer = await get(client, path, params={"count": "2", "from": "2026-03-29T00:00:00Z"})
    assert [item["local_time"] for item in answer["items"]] == [
        "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"
    ]  # fmt: skip
    clock.turn(3600)
    assert times(await get(client, path, params={"count": 1})) == ["2026-03-01T14:00:00Z"]


async def test_no_more_fires_than_it_may_still_make(client: Client, stores: Stores, clock: ManualClock) -> None:
    made = await create(client, max_runs=3)
    path = f"{SCHEDULES}/{made['id']}/preview"
    clock.turn(3600)
    await stores.firing.fire(10)
    assert times(await get(client, path)) == ["2026-03-01T14:00:00Z", "2026-03-01T15:00:00Z"]
    clock.turn(7200)
    await stores.firing.fire(10)
    ended = await get(client, path)
    assert (ended["items"], ended["warnings"]) == ([], ["It has ended: max_runs 3 was reached."])
    assert (await get(client, path, params={"from": "2026-03-01T00:00:00Z"}))["items"] == []


async def test_a_pause_is_warned_of(client: Client) -> None:
    made = await create(client)
    await act(client, made, "pause")
    answer = await get(client, f"{SCHEDULES}/{made['id']}/preview")
    assert answer["warnings"] == ["It is paused: its fire times are skipped until it is resumed."]
    assert len(answer["items"]) == 10


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("count=0", "count"),
        ("count=1001", "count"),
        ("count=-1", "count"),
        ("count=1.5", "count"),
        ("count=ten", "count"),
        ("count=", "count"),
        ("count=1&count=2", "count"),
        ("from=now", "from"),
        ("from=", "from"),
        ("from=2026-03-29", "from"),
        ("from=2026-03-29T00:00:00", "from"),
        ("from=1969-12-31T23:59:59Z", "from"),
        ("from=3000-01-01T00:00:00Z", "from"),
        ("from=2026-03-29T00:00:00Z&from=2026-03-29T00:00:00Z", "from"),
        ("begin=2026-03-29T00:00:00Z", "begin"),
        ("to=2026-03-29T00:00:00Z", "to"),
        ("limit=5", "limit"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(client: Client, query: str, field: str) -> None:
    made = await create(client)
    assert field in fields_of(await get(client, f"{SCHEDULES}/{made['id']}/preview?{query}", 422))


# ------------------------------------------------------------------------------------------------------- computation


async def test_previews_are_computed_in_a_thread_one_at_a_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, threads = 0, 0, set[int]()

    def counted(timing: Timing, after: datetime, count: int) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threads.add(threading.get_ident())
        try:
            return preview(timing, after, count)
        finally:
            running -= 1

    monkeypatch.setattr(foresight, "preview", counted)
    await asyncio.gather(*(ask(client, cron="0 0 29 2 *", count=100) for _ in range(5)))
    assert most == 1
    assert threading.get_ident() not in threads


async def test_what_another_release_stored_and_this_one_cannot_compute(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create(client)

    def unknown(*_: object) -> Any:
        raise CronError("a form of the future")

    monkeypatch.setattr(foresight, "preview", unknown)
    answer = await get(client, f"{SCHEDULES}/{made['id']}/preview")
    assert (answer["items"], answer["dropped"]) == ([], [])
    assert (await change(client, made, max_runs=5))["next_fires"] == {"before": [], "after": []}
    monkeypatch.setattr("horae.api.schedule_answers.describe", unknown)
    described = (await get(client, SCHEDULES))["items"][0]["description"]
    assert described == "Can't be computed: a form of the future."


def test_the_order_of_jobs_is_kept_by_jitter_up_to_the_shortest_distance() -> None:
    fires = preview(Timing("0 0,1,3 * * *"), datetime(2026, 1, 1, tzinfo=UTC), 5).items
    assert [len(list(foresight.jitter_warnings(seconds, fires))) for seconds in (0, 3600, 3601)] == [0, 0, 1]
    assert list(foresight.jitter_warnings(86_400, fires[:1])) == []
