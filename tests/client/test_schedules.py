"""What the client asks about schedules, and what it makes of the answers."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from horae.client import Client, Conflict, ConnectionFailed, Invalid, NotFound, Stale, new_job
from tests.client.canned import FIRE, JOB, PREVIEW, SCHEDULE, Answer, Canned, job, problem, schedule

ID = SCHEDULE["id"]
BACKFILL = {
    "id": "019ab000-0000-7000-8000-00000000000b",
    "schedule_id": ID,
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-01-31T00:00:00Z",
    "max_concurrent": 2,
    "state": "RUNNING",
    "total": 31,
    "made": 5,
    "kept": 1,
    "running": 2,
    "succeeded": 3,
    "failed": 0,
    "author": "me",
    "created_at": "2026-03-01T12:00:00Z",
    "finished_at": None,
}
OCCURRENCE = {
    "schedule_id": ID,
    "fire_time": "2026-03-01T02:00:00Z",
    "state": "coalesced",
    "reason": "misfire",
    "detail": None,
    "job_id": None,
    "into": "2026-03-01T05:00:00Z",
    "until": None,
    "count": 1,
    "recorded_at": "2026-03-01T05:00:01Z",
    "from": None,
    "to": None,
}
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------------ one schedule


async def test_a_schedule_is_read_with_its_types(canned: Canned, client: Client) -> None:
    canned.will_say(schedule(end_at="2030-01-01T00:00:00Z", a_member_of_tomorrow=1))
    got = await client.get_schedule(ID)
    assert (got.name, got.state, got.version, got.runs, got.handler) == ("nightly", "ACTIVE", 4, 17, "echo")
    assert got.next_fire_at == datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert got.end_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert got.job == {"handler": "echo", "payload": {"hello": "world"}}
    assert canned.asked[0].path == f"/api/v1/schedules/{ID}"


async def test_a_schedule_is_created_from_what_is_said(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(SCHEDULE, 201))
    await client.create_schedule(
        "nightly",
        new_job("echo", {"a": 1}, queue="mail", timeout=timedelta(minutes=1)),
        interval_seconds=timedelta(hours=1),
        start_at=datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        end_at=None,
        misfire="fire_all",
    )
    assert (canned.asked[0].method, canned.asked[0].path) == ("POST", "/api/v1/schedules")
    assert canned.asked[0].body == {
        "name": "nightly",
        "job": {"handler": "echo", "payload": {"a": 1}, "queue": "mail", "timeout_seconds": 60.0},
        "interval_seconds": 3600.0,
        "start_at": "2030-01-01T00:00:00Z",
        "misfire": "fire_all",
    }


async def test_a_time_without_a_zone_is_no_time(client: Client) -> None:
    with pytest.raises(ValueError, match="start_at needs a time zone"):
        await client.create_schedule("x", new_job("echo"), cron="* * * * *", start_at=datetime(2030, 1, 1))  # noqa: DTZ001


async def test_a_taken_name_tells_whose_it_is(canned: Canned, client: Client) -> None:
    canned.will_say(problem(409, "The name is taken", id=ID))
    with pytest.raises(Conflict) as caught:
        await client.create_schedule("nightly", new_job("echo"), cron="0 3 * * *")
    assert caught.value.problem.extra["id"] == ID


async def test_an_update_says_which_version_and_null_takes_away(canned: Canned, client: Client) -> None:
    after = {**FIRE, "fire_time": "2026-03-02T03:00:00Z", "local_time": "2026-03-02T04:00:00+01:00", "note": "moved"}
    canned.will_say(schedule(version=5, next_fires={"before": [FIRE], "after": [after, after]}))
    changed = await client.update_schedule(ID, 4, cron="0 4 * * *", end_at=None)
    assert canned.asked[0].method == "PATCH"
    assert canned.asked[0].headers["If-Match"] == '"4"'
    assert canned.asked[0].body == {"cron": "0 4 * * *", "end_at": None}
    assert changed.schedule.version == 5
    assert [fire.fire_time.hour for fire in changed.before] == [2]
    assert [(fire.local_time.hour, fire.note) for fire in changed.after] == [(4, "moved")] * 2
    assert changed.after[0].local_time.utcoffset() == timedelta(hours=1)


async def test_a_stale_version_is_told(canned: Canned, client: Client) -> None:
    canned.will_say(problem(412, "The schedule was changed since it was read"))
    with pytest.raises(Stale):
        await client.update_schedule(ID, 3, overlap="skip")


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_pausing_and_resuming_are_repeated(canned: Canned, client: Client, verb: str) -> None:
    canned.will_say(Answer(cut=True), schedule(state="PAUSED", paused_at="2026-03-01T00:00:00Z", paused_by="me"))
    got = await (client.pause_schedule(ID) if verb == "pause" else client.resume_schedule(ID))
    assert (got.state, got.paused_by) == ("PAUSED", "me")
    assert [asked.path for asked in canned.asked] == [f"/api/v1/schedules/{ID}/{verb}"] * 2


async def test_a_trigger_answers_the_job(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(job(schedule_id=ID), 201))
    assert (await client.trigger_schedule(ID)).schedule_id == ID
    assert canned.asked[0].path == f"/api/v1/schedules/{ID}/trigger"


async def test_a_schedule_is_deleted(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(b"", 204))
    await client.delete_schedule(ID)
    assert (canned.asked[0].method, canned.asked[0].path) == ("DELETE", f"/api/v1/schedules/{ID}")


async def test_what_would_be_done_twice_is_not_repeated(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(cut=True))
    for call in (
        client.create_schedule("x", new_job("echo"), cron="* * * * *"),
        client.update_schedule(ID, 1, overlap="skip"),
        client.trigger_schedule(ID),
        client.backfill(ID, BEGIN, END),
    ):
        canned.asked.clear()
        with pytest.raises(ConnectionFailed):
            await call
        assert len(canned.asked) == 1


# ----------------------------------------------------------------------------------------------------------- previews


async def test_a_stored_schedule_is_previewed(canned: Canned, client: Client) -> None:
    canned.will_say(
        {**PREVIEW, "dropped": [{"local_time": "2026-03-29T02:30:00+01:00", "note": "02:30 doesn't exist"}]}
    )
    seen = await client.preview_schedule(ID, count=2, begin=BEGIN)
    assert canned.asked[0].path == f"/api/v1/schedules/{ID}/preview"
    assert canned.asked[0].query == {"count": ["2"], "from": ["2026-01-01T00:00:00Z"]}
    assert [fire.local_time.isoformat() for fire in seen.items] == [
        "2026-03-02T03:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
    ]
    assert seen.dropped[0].note == "02:30 doesn't exist"
    assert seen.description == SCHEDULE["description"]


async def test_one_that_is_not_stored_is_previewed(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(cut=True), {**PREVIEW, "warnings": ["uneven"]})
    seen = await client.preview(cron="*/7 * * * *", timezone="UTC", count=3)
    assert seen.warnings == ("uneven",)
    assert canned.asked[1].path == "/api/v1/schedules/preview"
    assert canned.asked[1].body == {"cron": "*/7 * * * *", "timezone": "UTC", "count": 3}


async def test_what_is_wrong_is_named(canned: Canned, client: Client) -> None:
    canned.will_say(problem(422, errors=[{"field": "cron", "message": "never fires"}]))
    with pytest.raises(Invalid) as caught:
        await client.preview(cron="0 0 30 2 *")
    assert [(error.field, error.message) for error in caught.value.errors] == [("cron", "never fires")]


# -------------------------------------------------------------------------------------------------------------- lists


async def test_schedules_are_listed_page_by_page(canned: Canned, client: Client) -> None:
    first = {"items": [schedule(name="a")], "next_cursor": "c"}
    canned.will_say(first, {"items": [schedule(name="b")], "next_cursor": None})
    assert [one.name async for one in client.schedules(state=["ACTIVE", "PAUSED"], source="f", q=None)] == ["a", "b"]
    where = {"state": ["ACTIVE", "PAUSED"], "source": ["f"], "limit": ["200"]}
    assert [asked.query for asked in canned.asked] == [where, {**where, "cursor": ["c"]}]


async def test_a_ledger_is_read(canned: Canned, client: Client) -> None:
    canned.will_say({"items": [OCCURRENCE], "next_cursor": None})
    lines = [one async for one in client.occurrences(ID, state="coalesced", reason="misfire", begin=BEGIN, end=END)]
    assert [(one.state, one.reason, one.count) for one in lines] == [("coalesced", "misfire", 1)]
    assert lines[0].into == datetime(2026, 3, 1, 5, tzinfo=UTC)
    assert canned.asked[0].path == f"/api/v1/schedules/{ID}/occurrences"
    assert canned.asked[0].query == {
        "state": ["coalesced"],
        "reason": ["misfire"],
        "from": ["2026-01-01T00:00:00Z"],
        "to": ["2026-02-01T00:00:00Z"],
        "limit": ["200"],
    }


async def test_the_ledger_of_all_schedules(canned: Canned, client: Client) -> None:
    canned.will_say({"items": [OCCURRENCE], "next_cursor": "more"})
    page = await client.list_occurrences(limit=1)
    assert (page.items[0].schedule_id, page.next_cursor) == (ID, "more")
    assert canned.asked[0].path == "/api/v1/occurrences"


async def test_history_is_read(canned: Canned, client: Client) -> None:
    entry = {
        "id": "1",
        "at": JOB["run_at"],
        "author": "me",
        "action": "updated",
        "version": 2,
        "name": "nightly",
        "details": {"cron": ["0 3 * * *", "0 4 * * *"]},
    }
    canned.will_say({"items": [entry], "next_cursor": None})
    (one,) = [one async for one in client.history(ID)]
    assert (one.author, one.action, one.version) == ("me", "updated", 2)
    assert one.details == {"cron": ["0 3 * * *", "0 4 * * *"]}
    assert canned.asked[0].path == f"/api/v1/schedules/{ID}/history"


# ---------------------------------------------------------------------------------------------------------- backfills


async def test_a_backfill_from_start_to_cancel(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(BACKFILL, 201), BACKFILL, {"items": [BACKFILL]}, {**BACKFILL, "state": "CANCELLED"})
    made = await client.backfill(ID, BEGIN, END, max_concurrent=2)
    assert (made.begin, made.end) == (BEGIN, datetime(2026, 1, 31, tzinfo=UTC))
    assert made.is_running
    assert canned.asked[0].body == {
        "from": "2026-01-01T00:00:00Z",
        "to": "2026-02-01T00:00:00Z",
        "max_concurrent": 2,
    }
    assert await client.get_backfill(ID, made.id) == made
    assert [one async for one in client.backfills(ID)] == [made]
    assert not (await client.cancel_backfill(ID, made.id)).is_running
    assert [(asked.method, asked.path.removeprefix(f"/api/v1/schedules/{ID}/")) for asked in canned.asked] == [
        ("POST", "backfill"),
        ("GET", f"backfills/{made.id}"),
        ("GET", "backfills"),
        ("POST", f"backfills/{made.id}/cancel"),
    ]


async def test_what_is_not_there_is_not_found(canned: Canned, client: Client) -> None:
    canned.will_say(problem(404, "There is no such thing"))
    with pytest.raises(NotFound):
        await client.get_schedule("a/../b")
    assert canned.asked[0].path == "/api/v1/schedules/a%2F..%2Fb"


def test_the_client_leaves_the_zones_of_its_process_alone() -> None:
    """The scheduler's time zone data is of its own; whoever imports the client keeps what the machine has."""
    code = "import horae.client, sys; print({'tzdata', 'croniter', 'zoneinfo'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
