"""What became of each fire time: written by the real firing, read through the api."""

from __future__ import annotations

from typing import Any

import pytest

from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, Json, fields_of, get
from tests.api.asking_schedules import LEDGER, NOBODY, SCHEDULES, act, change, create
from tests.api.test_list import INJECTIONS
from tests.support.clock import ManualClock

HOUR = 3600


async def fire(stores: Stores, clock: ManualClock, seconds: float) -> None:
    """Lets time pass, and then everything that is due fire."""
    clock.turn(seconds)
    while await stores.firing.fire(100):
        pass


async def lines(client: Client, path: str = LEDGER, **query: Any) -> list[Json]:
    """Lines of the ledger."""
    items: list[Json] = (await get(client, path, params=query))["items"]
    return items


def told(found: list[Json], *names: str) -> list[tuple[Any, ...]]:
    """These members of each line."""
    return [tuple(line[name] for name in names) for line in found]


@pytest.fixture
async def mixed(client: Client, stores: Stores, clock: ManualClock) -> dict[str, Json]:
    """Three schedules with all kinds of outcomes; the clock ends at 18:00."""
    skips = await create(client, name="skips", misfire="skip")
    once = await create(client, name="once")
    pausing = await create(client, name="pausing", overlap="skip")
    await fire(stores, clock, HOUR)
    await act(client, pausing, "pause")
    await fire(stores, clock, HOUR)
    await act(client, pausing, "resume")
    await fire(stores, clock, HOUR)
    await fire(stores, clock, 3 * HOUR)
    return {"skips": skips, "once": once, "pausing": pausing}


async def test_each_fire_time_has_its_line_with_its_reason(client: Client, mixed: dict[str, Json]) -> None:
    found = await lines(client, f"{SCHEDULES}/{mixed['skips']['id']}/occurrences")
    assert told(found, "fire_time", "state", "reason") == [
        ("2026-03-01T18:00:00Z", "fired", None),
        ("2026-03-01T17:00:00Z", "skipped", "misfire"),
        ("2026-03-01T16:00:00Z", "skipped", "misfire"),
        ("2026-03-01T15:00:00Z", "fired", None),
        ("2026-03-01T14:00:00Z", "fired", None),
        ("2026-03-01T13:00:00Z", "fired", None),
    ]
    assert found[0]["schedule_id"] == mixed["skips"]["id"]
    job = await get(client, f"{JOBS}/{found[0]['job_id']}")
    assert (job["schedule_id"], job["fire_time"]) == (mixed["skips"]["id"], "2026-03-01T18:00:00Z")
    assert found[1] == {
        "schedule_id": mixed["skips"]["id"], "fire_time": "2026-03-01T17:00:00Z", "state": "skipped",
        "reason": "misfire", "detail": None, "job_id": None, "into": None, "until": None, "from": None, "to": None,
        "count": 1, "recorded_at": "2026-03-01T18:00:00Z",
    }  # fmt: skip


async def test_filters_narrow(client: Client, mixed: dict[str, Json]) -> None:
    path = f"{SCHEDULES}/{mixed['once']['id']}/occurrences"
    coalesced = await lines(client, path, state="coalesced")
    assert told(coalesced, "fire_time", "into") == [("2026-03-01T16:00:00Z", "2026-03-01T17:00:00Z")]
    between = {"from": "2026-03-01T14:00:00Z", "to": "2026-03-01T16:00:00Z"}
    assert told(await lines(client, path, **between), "fire_time") == [
        ("2026-03-01T15:00:00Z",),
        ("2026-03-01T14:00:00Z",),
    ]
    pausing = f"{SCHEDULES}/{mixed['pausing']['id']}/occurrences"
    assert told(await lines(client, pausing, reason="paused"), "fire_time") == [("2026-03-01T14:00:00Z",)]
    assert {line["reason"] for line in await lines(client, pausing, state="skipped,coalesced")} >= {"paused", "overlap"}
    assert await lines(client, pausing, reason="paused", state="fired") == []


async def test_all_that_should_have_run_and_did_not_is_one_request(client: Client, mixed: dict[str, Json]) -> None:
    query: Json = {
        "state": ["skipped", "coalesced", "missed"],
        "from": "2026-03-01T00:00:00Z",
        "to": "2026-04-01T00:00:00Z",
    }
    found = await lines(client, **query)
    assert {line["schedule_id"] for line in found} == {schedule["id"] for schedule in mixed.values()}
    assert all(line["reason"] and line["state"] != "fired" for line in found)
    times = [line["fire_time"] for line in found]
    assert times == sorted(times, reverse=True)
    mine = await lines(client, schedule_id=mixed["skips"]["id"], **query)
    assert mine == [line for line in found if line["schedule_id"] == mixed["skips"]["id"]]


@pytest.mark.parametrize("limit", [1, 2, 5, 18])
async def test_the_ledger_is_paged_without_gaps(client: Client, mixed: dict[str, Json], limit: int) -> None:
    whole = await lines(client, limit=200)
    seen: list[Json] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        page = await get(client, LEDGER, params=query)
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(whole) == 18
    assert seen == whole


async def test_a_cursor_is_good_for_its_list_only(client: Client, mixed: dict[str, Json]) -> None:
    cursor = (await get(client, LEDGER, params={"limit": 1}))["next_cursor"]
    own = f"{SCHEDULES}/{mixed['once']['id']}/occurrences"
    for path, more in ((own, {}), (LEDGER, {"state": "fired"}), (LEDGER, {"from": "2026-03-01T00:00:00Z"})):
        assert set(fields_of(await get(client, path, 422, params={"cursor": cursor, **more}))) == {"cursor"}


async def test_a_shared_line_tells_its_span(client: Client, stores: Stores, clock: ManualClock) -> None:
    made = await create(client, cron=None, interval_seconds=1, misfire="skip", misfire_grace_seconds=0)
    await fire(stores, clock, 1200)
    found = await lines(client, f"{SCHEDULES}/{made['id']}/occurrences", limit=3)
    assert (found[0]["state"], found[0]["fire_time"]) == ("fired", "2026-03-01T12:20:00Z")
    assert (found[1]["from"], found[1]["to"], found[1]["count"]) == (
        "2026-03-01T12:16:41Z", "2026-03-01T12:19:59Z", 199
    )  # fmt: skip
    assert (found[1]["fire_time"], found[1]["until"]) == (found[1]["from"], found[1]["to"])
    assert (found[2]["from"], found[2]["count"]) == (None, 1)


async def test_the_ledger_outlives_its_schedule(client: Client, mixed: dict[str, Json]) -> None:
    path = f"{SCHEDULES}/{mixed['once']['id']}"
    before = await lines(client, f"{path}/occurrences")
    assert (await client.delete(path)).status == 204
    assert await lines(client, f"{path}/occurrences") == before
    assert await lines(client, schedule_id=mixed["once"]["id"]) == before


async def test_a_schedule_that_never_was_has_no_ledger(client: Client) -> None:
    await get(client, LEDGER, 404, params={"schedule_id": NOBODY})
    assert await lines(client) == []


async def test_a_change_fires_what_was_due_by_the_old_definition(client: Client, clock: ManualClock) -> None:
    made = await create(client)
    clock.turn(HOUR)
    changed = await change(client, made, cron="30 * * * *")
    assert (changed["runs"], changed["next_fire_at"]) == (1, "2026-03-01T13:30:00Z")
    assert told(await lines(client), "fire_time", "state") == [("2026-03-01T13:00:00Z", "fired")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=FIRED", "state.0"),
        ("state=failed", "state.0"),
        ("state=", "state.0"),
        ("state=fired,", "state.1"),
        ("state=fired&state=x", "state.1"),
        ("reason=late", "reason"),
        ("reason=", "reason"),
        ("reason=misfire,overlap", "reason"),
        ("reason=misfire&reason=overlap", "reason"),
        ("from=yesterday", "from"),
        ("from=1767225600", "from"),
        ("from=2026-01-31T09:30:00", "from"),
        ("to=2026-01-31", "to"),
        ("to=", "to"),
        ("from=2026-02-01T00:00:00Z&to=2026-02-01T00:00:00Z", "to"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
        ("begin=2026-02-01T00:00:00Z", "begin"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("job_id=7", "job_id"),
        ("verdict=fired", "verdict"),
        ("sort=fire_time", "sort"),
        ("namespace=other", "namespace"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(client: Client, query: str, field: str) -> None:
    made = await create(client)
    for path in (LEDGER, f"{SCHEDULES}/{made['id']}/occurrences"):
        assert field in fields_of(await get(client, f"{path}?{query}", 422))


async def test_the_schedule_is_named_once(client: Client) -> None:
    made = await create(client)
    assert set(fields_of(await get(client, f"{LEDGER}?schedule_id=7", 422))) == {"schedule_id"}
    own = f"{SCHEDULES}/{made['id']}/occurrences?schedule_id={made['id']}"
    assert set(fields_of(await get(client, own, 422))) == {"schedule_id"}


@pytest.mark.parametrize("path", [SCHEDULES, LEDGER])
async def test_no_parameter_reaches_the_statement(client: Client, mixed: dict[str, Json], path: str) -> None:
    parameters = {SCHEDULES: ["q", "name", "handler", "source", "state", "cursor", "limit"]}
    known = parameters.get(path, ["state", "reason", "from", "to", "schedule_id", "cursor", "limit"])
    for parameter in known:
        for text in INJECTIONS:
            response = await client.get(path, params={parameter: text})
            assert response.status == 422 or (await response.json())["items"] == [], (parameter, text)
    assert len(await lines(client)) == 18
