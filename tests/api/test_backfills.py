"""Backfills as users start, watch and cancel them; the scheduler's side makes the jobs."""

from __future__ import annotations

from typing import Any

import pytest

from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, Json, answer_of, fields_of, get, post, problem_of
from tests.api.asking_schedules import NOBODY, SCHEDULES, create, history
from tests.support.clock import ManualClock
from tests.support.signals import Listener, first

SPAN = {"from": "2026-02-28T20:00:00Z", "to": "2026-03-01T00:30:00Z"}


async def start(client: Client, made: Json, status: int = 201, **fields: Any) -> Json:
    """Starts one."""
    return await post(client, f"{SCHEDULES}/{made['id']}/backfill", SPAN | fields, status)


def of(made: Json, backfill: Json | None = None) -> str:
    """The address of the backfills, or of one."""
    return f"{SCHEDULES}/{made['id']}/backfills" + (f"/{backfill['id']}" if backfill else "")


async def test_a_backfill_is_started_and_read(client: Client) -> None:
    made = await create(client)
    response = await client.post(f"{SCHEDULES}/{made['id']}/backfill", json={**SPAN, "max_concurrent": 2})
    backfill = await answer_of(response, 201)
    assert response.headers["Location"] == of(made, backfill)
    assert await get(client, response.headers["Location"]) == backfill
    assert backfill == {
        "id": backfill["id"], "schedule_id": made["id"], **SPAN, "max_concurrent": 2, "state": "RUNNING", "total": 5,
        "made": 0, "kept": 0, "running": 0, "succeeded": 0, "failed": 0, "author": "local",
        "created_at": "2026-03-01T12:00:00Z", "finished_at": None,
    }  # fmt: skip


async def test_its_progress_is_seen(client: Client, stores: Stores) -> None:
    made = await create(client)
    backfill = await start(client, made, max_concurrent=3)
    await stores.firing.advance_backfills(10)
    now = await get(client, of(made, backfill))
    assert (now["made"], now["running"], now["kept"]) == (3, 3, 0)
    jobs = (await get(client, JOBS, params={"schedule_id": made["id"]}))["items"]
    assert sorted(job["fire_time"] for job in jobs) == [
        "2026-02-28T20:00:00Z", "2026-02-28T21:00:00Z", "2026-02-28T22:00:00Z"
    ]  # fmt: skip
    lines = (await get(client, f"{SCHEDULES}/{made['id']}/occurrences", params={"state": "backfilled"}))["items"]
    assert {line["job_id"] for line in lines} == {job["id"] for job in jobs}


async def test_a_cancel_ends_it_and_its_jobs_and_may_be_repeated(client: Client, stores: Stores) -> None:
    made = await create(client)
    backfill = await start(client, made)
    await stores.firing.advance_backfills(10)
    cancelled = await post(client, f"{of(made, backfill)}/cancel")
    assert (cancelled["state"], cancelled["finished_at"]) == ("CANCELLED", "2026-03-01T12:00:00Z")
    assert await post(client, f"{of(made, backfill)}/cancel") == cancelled
    jobs = (await get(client, JOBS, params={"schedule_id": made["id"]}))["items"]
    assert [job["state"] for job in jobs] == ["CANCELLED"]
    assert [each["action"] for each in await history(client, made)] == [
        "backfill_cancelled", "backfill_started", "created"
    ]  # fmt: skip


async def test_what_is_done_is_not_cancelled(client: Client, stores: Stores, clock: ManualClock) -> None:
    made = await create(client)
    clock.turn(3600)
    await stores.firing.fire(10)
    once: Json = {"from": "2026-03-01T13:00:00Z", "to": "2026-03-01T13:00:00Z"}
    backfill = await start(client, made, **once)
    await stores.firing.advance_backfills(10)
    done = await get(client, of(made, backfill))
    assert (done["state"], done["kept"], done["made"]) == ("DONE", 1, 0)
    problem = await post(client, f"{of(made, backfill)}/cancel", status=409)
    assert (problem_of(problem), problem["state"]) == ("illegal-move", "DONE")
    assert problem["detail"] == f"can't cancel backfill {backfill['id']}: it is DONE"


async def test_backfills_are_paged_newest_first(client: Client) -> None:
    made = await create(client)
    ids = [(await start(client, made))["id"] for _ in range(3)]
    page = await get(client, of(made), params={"limit": 2})
    rest = await get(client, of(made), params={"limit": 2, "cursor": page["next_cursor"]})
    assert [each["id"] for each in page["items"] + rest["items"]] == ids[::-1]
    assert rest["next_cursor"] is None
    assert set(fields_of(await get(client, of(made), 422, params={"cursor": "x"}))) == {"cursor"}
    assert set(fields_of(await get(client, of(made), 422, params={"state": "DONE"}))) == {"state"}


async def test_a_backfill_is_that_of_its_schedule(client: Client) -> None:
    made, other = await create(client), await create(client, name="other")
    backfill = await start(client, made)
    await get(client, of(other, backfill), 404)
    await post(client, f"{of(other, backfill)}/cancel", status=404)
    for id_ in (NOBODY, "7"):
        assert problem_of(await get(client, f"{of(made)}/{id_}", 404)) == "not-found"
        assert problem_of(await post(client, f"{of(made)}/{id_}/cancel", status=404)) == "not-found"
    assert (await get(client, of(made, backfill)))["state"] == "RUNNING"


@pytest.mark.parametrize(
    ("span", "field"),
    [
        ({"from": "2026-02-28T20:00:01Z", "to": "2026-02-28T20:59:59Z"}, "from"),
        ({"from": "2026-03-01T13:00:00Z", "to": "2026-03-05T00:00:00Z"}, "from"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "to"),
        ({"from": "2026-02-28T20:00:00Z", "to": "2026-02-28T19:00:00Z"}, "to"),
    ],
)
async def test_a_range_without_fire_times_or_with_too_many_is_refused(client: Client, span: Json, field: str) -> None:
    made = await create(client)
    assert set(fields_of(await start(client, made, 422, **span))) == {field}
    assert (await get(client, of(made)))["items"] == []


async def test_whoever_watches_sees_it_and_schedulers_get_a_hint(client: Client, signals: InProcessSignals) -> None:
    made = await create(client)
    look, cancel = Listener(signals, Topic.SCHEDULES), Listener(signals, Topic.CANCEL)
    async with signals.watch("default") as events:
        backfill = await start(client, made)
        about = {"id": made["id"], "name": "nightly", "change": "backfill", "backfill_id": backfill["id"]}
        assert (await first(events)).data == {**about, "state": "RUNNING"}
        assert (look.woken, cancel.woken) == (1, 0)
        await post(client, f"{of(made, backfill)}/cancel")
        assert (await first(events)).data == {**about, "state": "CANCELLED"}
        assert (look.woken, cancel.woken) == (1, 1)
