"""`horae schedule …` against answers made up for it: what it asks, prints, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.client.canned import FIRE, JOB, PREVIEW, SCHEDULE, Answer, Canned, job, problem, schedule

ID = SCHEDULE["id"]
ONE = {"items": [SCHEDULE], "next_cursor": None}
NONE: dict[str, Any] = {"items": [], "next_cursor": None}
PATH = f"/api/v1/schedules/{ID}"
BACKFILL = {
    "id": "019ab000-0000-7000-8000-00000000000b",
    "schedule_id": ID,
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-01-31T00:00:00Z",
    "max_concurrent": 1,
    "state": "RUNNING",
    "total": 31,
    "kept": 1,
    "created_at": "2026-03-01T12:00:00Z",
}


def line_of_ledger(**members: Any) -> dict[str, Any]:
    line = {"schedule_id": ID, "fire_time": "2026-03-01T02:00:00Z", "recorded_at": "2026-03-01T02:00:01Z"}
    return {**line, "state": "fired", "count": 1, **members}


# ------------------------------------------------------------------------------------------------------------ create


async def test_create_tells_in_words_when_it_fires(canned: Canned, run: Run) -> None:
    canned.will_say(Answer(SCHEDULE, 201), {**PREVIEW, "warnings": ["02:30 comes\x1b[2J twice"]})
    done = await run("schedule", "create", "nightly", "--cron", "0 3 * * *", "--handler", "echo", "-p", '{"a": 1}')
    assert done.exit_code == 0
    assert [text.rstrip() for text in done.stdout.splitlines()[:2]] == [f"nightly  {ID}", SCHEDULE["description"]]
    assert "Next fires (Europe/Berlin)" in done.stdout
    assert "Mon 2026-03-02 03:00:00 +0100" in done.stdout
    assert "Sun 2026-03-29 03:00:00 +0200" in done.stdout
    assert r"02:30 comes\x1b[2J twice" in done.stdout
    assert canned.asked[0].body == {
        "name": "nightly",
        "cron": "0 3 * * *",
        "job": {"handler": "echo", "payload": {"a": 1}},
    }
    assert (canned.asked[1].path, canned.asked[1].query) == (f"{PATH}/preview", {"count": ["5"]})


async def test_create_knows_every_field(canned: Canned, run: Run) -> None:
    canned.will_say(Answer(SCHEDULE, 201), PREVIEW)
    timing = "--interval 90m --start-at 2030-01-01T00:00:00Z --end-at 2031-01-01T00:00:00Z"
    rules = "--max-runs 3 --jitter 10 --misfire skip --misfire-grace 2m --overlap replace --must-succeed-within 1h"
    job = "--handler echo --queue mail --priority low --max-retries 0 --backoff fixed:2 --timeout 9 --tag a --tag b"
    words = f"{timing} {rules} {job} --retry-for 1d --dst-gap skip --dst-fold both --timezone Europe/Berlin --json"
    done = await run("schedule", "create", "x", *words.split())
    assert done.exit_code == 0
    assert json.loads(done.stdout)["schedule"]["id"] == ID
    assert len(json.loads(done.stdout)["preview"]["items"]) == 2
    assert canned.asked[0].body == {
        "name": "x",
        "interval_seconds": 5400,
        "timezone": "Europe/Berlin",
        "start_at": "2030-01-01T00:00:00Z",
        "end_at": "2031-01-01T00:00:00Z",
        "max_runs": 3,
        "jitter_seconds": 10,
        "misfire": "skip",
        "misfire_grace_seconds": 120,
        "overlap": "replace",
        "must_succeed_within_seconds": 3600,
        "dst_gap": "skip",
        "dst_fold": "both",
        "job": {
            "handler": "echo",
            "queue": "mail",
            "priority": "low",
            "max_retries": 0,
            "backoff": {"kind": "fixed", "base_seconds": 2.0},
            "timeout_seconds": 9,
            "tags": ["a", "b"],
            "retry_for_seconds": 86400,
        },
    }


@pytest.mark.parametrize(
    "words",
    [
        ["create", "x", "--handler", "echo"],
        ["create", "x", "--handler", "echo", "--cron", "* * * * *", "--interval", "5"],
        ["create", "x", "--cron", "* * * * *"],
        ["create", "--handler", "echo", "--interval", "5"],
        ["create", "x", "--handler", "echo", "--interval", "soon"],
        ["create", "x", "--handler", "echo", "--interval", "inf"],
        ["update", "x"],
        ["update", "x", "--cron", "* * * * *", "--interval", "5"],
        ["update", "x", "--max-runs", "5", "--clear", "max-runs"],
        ["preview"],
        ["preview", "x", "--cron", "* * * * *"],
        ["preview", "--cron", "* * * * *", "--count", "0"],
        ["occurrences", "--state", "lost"],
        ["backfill", "start", "x", "--from", "7d"],
        ["backfill", "start", "x", "--from", "7d", "--to", "1d", "--max-concurrent", "0"],
        ["pause"],
        ["apply"],
    ],
    ids=" ".join,
)
async def test_wrong_usage_is_2(canned: Canned, run: Run, words: list[str]) -> None:
    assert (await run("schedule", *words)).exit_code == 2
    assert canned.asked == []


async def test_a_refusal_lists_the_fields_and_is_1(canned: Canned, run: Run) -> None:
    canned.will_say(problem(422, "Some fields are wrong", errors=[{"field": "cron", "message": "it never fires"}]))
    done = await run("schedule", "create", "x", "--cron", "0 0 30 2 *", "--handler", "echo")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["Some fields are wrong (422)", "  cron: it never fires"]


async def test_no_connection_is_3(run: Run, unused_tcp_port: int) -> None:
    done = await run("schedule", "list", HORAE_URL=f"http://127.0.0.1:{unused_tcp_port}")
    assert done.exit_code == 3


# ------------------------------------------------------------------------------------------------------ a name or id


async def test_a_name_is_looked_up(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, schedule(state="PAUSED", next_fire_at=None))
    done = await run("schedule", "pause", "nightly")
    assert done.stdout == "nightly  PAUSED\n"
    assert [(asked.method, asked.path) for asked in canned.asked] == [
        ("GET", "/api/v1/schedules"),
        ("POST", f"{PATH}/pause"),
    ]
    assert canned.asked[0].query == {"name": ["nightly"], "limit": ["1"]}


async def test_an_id_is_taken_as_one(canned: Canned, run: Run) -> None:
    canned.will_say(SCHEDULE)
    done = await run("schedule", "resume", ID)
    assert done.stdout == "nightly  ACTIVE, next fire Mon 2026-03-02 03:00:00 +0100\n"
    assert [asked.path for asked in canned.asked] == [PATH, f"{PATH}/resume"]


async def test_a_name_may_look_like_an_id(canned: Canned, run: Run) -> None:
    canned.will_say(problem(404, "no"), ONE, PREVIEW)
    other = "019ab000-0000-7000-8000-0000000000ff"
    assert (await run("schedule", "show", other)).exit_code == 0
    assert canned.asked[1].query["name"] == [other]


async def test_a_name_that_nothing_has_is_1_and_changes_nothing(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, NONE)
    done = await run("schedule", "pause", "nightly", "nope\x1b[2J")
    assert (done.exit_code, done.stdout) == (1, "")
    assert r"there is no schedule 'nope\x1b[2J'" in done.stderr
    assert "horae schedule list" in done.stderr
    assert [asked.method for asked in canned.asked] == ["GET", "GET"]


# -------------------------------------------------------------------------------------------------------- list, show


async def test_list_asks_for_what_was_said(canned: Canned, run: Run) -> None:
    every_hour = schedule(name="hourly", cron=None, interval_seconds=3600, max_runs=20, state="PAUSED")
    canned.will_say({"items": [SCHEDULE, every_hour], "next_cursor": "c"})
    words = "--state active --state PAUSED --handler echo --source reports --search n --limit 2"
    done = await run("schedule", "list", *words.split())
    assert done.exit_code == 0
    for text in ("nightly", "0 3 * * *", "Mon 2026-03-02 03:00:00 +0100", "hourly", "every 1h", "17/20", "PAUSED"):
        assert text in done.stdout
    assert "The first 2; there are more" in done.stderr
    assert canned.asked[0].query == {
        "state": ["ACTIVE", "PAUSED"],
        "handler": ["echo"],
        "source": ["reports"],
        "q": ["n"],
        "limit": ["2"],
    }


async def test_an_empty_list_says_what_to_do(canned: Canned, run: Run) -> None:
    canned.will_say(NONE)
    done = await run("schedule", "list")
    assert (done.stdout, done.stderr) == ("", "There is no schedule yet: see horae schedule create --help.\n")
    assert (await run("schedule", "list", "--search", "x")).stderr == "No schedule is found.\n"
    assert json.loads((await run("schedule", "list", "--json")).stdout) == NONE


async def test_show_has_words_rules_job_and_fires(canned: Canned, run: Run) -> None:
    told = schedule(
        state="ENDED",
        ended_reason="max_runs 17 was reached",
        max_runs=17,
        must_succeed_within_seconds=3600,
        jitter_seconds=90,
        source="reports",
        job={"handler": "echo", "payload": {"[red]": "\x1b[2J"}, "queue": "mail", "tags": ["a"]},
        next_fire_at=None,
    )
    canned.will_say({"items": [told]}, {**PREVIEW, "items": [], "warnings": ["It has ended: max_runs 17 was reached."]})
    done = await run("schedule", "show", "nightly")
    assert done.exit_code == 0
    for text in (
        f"nightly  {ID}",
        "ENDED  max_runs 17 was reached",
        "0 3 * * *  Europe/Berlin",
        SCHEDULE["description"],
        "misfire fire_once after 1m, overlap allow, dst gap auto, fold auto, ",
        "jitter below 1m 30s, must succeed within 1h",
        'echo, queue mail, tags ["a"]',
        "17 of 17",
        '"[red]": "\\u001b[2J"',
        "none: no fire time is left within its bounds",
        "Sun 2026-03-01 03:00:00 +0100",
    ):
        assert text in done.stdout
    assert "\x1b" not in done.stdout


async def test_a_zone_of_tomorrow_is_shown_in_utc(canned: Canned, run: Run) -> None:
    canned.will_say({"items": [schedule(timezone="Mars/Olympus")]})
    assert "Mon 2026-03-02 02:00:00 +0000" in (await run("schedule", "list")).stdout


# ------------------------------------------------------------------------------------------------------------ update


async def test_update_prints_the_fires_before_and_after(canned: Canned, run: Run) -> None:
    later = {**FIRE, "fire_time": "2026-03-02T03:00:00Z", "local_time": "2026-03-02T04:00:00+01:00"}
    changed = schedule(version=5, cron="0 4 * * *", next_fires={"before": [FIRE], "after": [later, later]})
    canned.will_say(ONE, changed, {**PREVIEW, "warnings": ["02:30 comes twice"]})
    words = ["--cron", "0 4 * * *", "--clear", "end-at", "--rename", "later"]
    done = await run("schedule", "update", "nightly", *words)
    assert "cron  0 3 * * * → 0 4 * * *" in done.stdout
    assert done.stdout.rstrip().endswith("02:30 comes twice")
    fires = done.stdout[done.stdout.index("before") : done.stdout.index("Warnings")]
    assert [text.split() for text in fires.splitlines()[1:3]] == [
        ["Mon", "2026-03-02", "03:00:00", "+0100", "Mon", "2026-03-02", "04:00:00", "+0100"],
        ["Mon", "2026-03-02", "04:00:00", "+0100"],
    ]
    assert canned.asked[1].method == "PATCH"
    assert canned.asked[1].headers["If-Match"] == '"4"'
    assert canned.asked[1].body == {"cron": "0 4 * * *", "end_at": None, "name": "later"}


async def test_update_leaves_the_rest_of_the_job(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, schedule(version=5), PREVIEW)
    done = await run("schedule", "update", "nightly", "--queue", "mail", "--json")
    assert json.loads(done.stdout)["schedule"]["version"] == 5
    assert canned.asked[1].body == {"job": {"handler": "echo", "payload": {"hello": "world"}, "queue": "mail"}}


async def test_update_takes_settings_of_the_job_away(canned: Canned, run: Run) -> None:
    stored = schedule(job={"handler": "echo", "payload": {}, "queue": "mail", "tags": ["a"]})
    canned.will_say({"items": [stored]}, schedule(version=5), PREVIEW)
    assert (await run("schedule", "update", "nightly", "--clear", "queue", "--clear", "tag")).exit_code == 0
    assert canned.asked[1].body == {"job": {"handler": "echo", "payload": {}}}
    refused = await run("schedule", "update", "nightly", "--clear", "queue", "--queue", "mail")
    assert "--queue and --clear queue don't go together" in refused.stderr


@pytest.mark.parametrize("option", ["--start-at", "--end-at"])
async def test_a_time_beside_a_zone_needs_its_offset(canned: Canned, run: Run, option: str) -> None:
    words = ["--cron", "0 4 * * *", "--handler", "noop", "--timezone", "Europe/Berlin", option, "2030-01-31T09:00"]
    done = await run("schedule", "create", "x", *words)
    assert done.exit_code == 2
    assert "lacks its offset from UTC" in done.stderr
    assert not canned.asked


async def test_jobs_of_a_schedule_are_listed_by_its_name(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, {"items": [job(schedule_id=ID)], "next_cursor": None})
    done = await run("job", "list", "--schedule", "nightly")
    assert done.exit_code == 0
    assert canned.asked[1].query["schedule_id"] == [ID]


async def test_an_update_that_came_too_late_is_1(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, problem(412, "The schedule was changed since it was read"))
    assert (await run("schedule", "update", "nightly", "--overlap", "skip")).exit_code == 1


# --------------------------------------------------------------------------------------------------- trigger, delete


async def test_trigger_prints_the_id_alone(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, Answer(job(schedule_id=ID), 201))
    done = await run("schedule", "trigger", "nightly")
    assert (done.exit_code, done.stdout) == (0, f"{JOB['id']}\n")
    assert canned.asked[1].path == f"{PATH}/trigger"


async def test_trigger_follows_the_job(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, Answer(job(), 201), job(), job(state="FAILED", attempt=1))
    done = await run("schedule", "trigger", "nightly", "--wait")
    assert done.exit_code == 1
    assert "FAILED" in done.stdout


@pytest.mark.parametrize("stdin", ["n\n", ""], ids=["no", "nobody"])
async def test_nothing_is_deleted_without_a_yes(canned: Canned, run: Run, stdin: str) -> None:
    canned.will_say(ONE)
    done = await run("schedule", "delete", "nightly", stdin=stdin)
    assert done.exit_code == 1
    assert "Delete 1 schedule (nightly)? [y/N]" in done.stderr
    assert [asked.method for asked in canned.asked] == ["GET"]


async def test_with_a_yes_it_is_deleted(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, Answer(b"", 204))
    assert (await run("schedule", "delete", "nightly", stdin="y\n")).stdout == "nightly  deleted\n"
    canned.will_say(ONE, problem(404))
    done = await run("schedule", "delete", "nightly", "--yes", "--json")
    assert json.loads(done.stdout) == {"deleted": [{"id": ID, "name": "nightly"}]}


# ----------------------------------------------------------------------------------------------------------- preview


async def test_preview_of_a_stored_one(canned: Canned, run: Run) -> None:
    dropped = [{"local_time": "2026-03-29T02:30:00+01:00", "note": "02:30 doesn't exist"}]
    canned.will_say(ONE, {**PREVIEW, "dropped": dropped})
    done = await run("schedule", "preview", "nightly", "--count", "2", "--from", "2026-03-01T00:00:00Z")
    assert done.exit_code == 0
    assert "Sun 2026-03-29 02:30:00 +0100  02:30 doesn't exist" in done.stdout
    assert canned.asked[1].query == {"count": ["2"], "from": ["2026-03-01T00:00:00Z"]}


async def test_preview_of_one_that_is_not_stored(canned: Canned, run: Run) -> None:
    canned.will_say(PREVIEW)
    done = await run("schedule", "preview", "--interval", "5", "--end-at", "2030-01-01T00:00:00Z", "--json")
    assert json.loads(done.stdout)["items"][0]["local_time"] == "2026-03-02T03:00:00+01:00"
    assert canned.asked[0].path == "/api/v1/schedules/preview"
    assert canned.asked[0].body == {"interval_seconds": 5, "end_at": "2030-01-01T00:00:00Z", "count": 10}


# --------------------------------------------------------------------------------------------------- ledger, history


async def test_the_ledger_says_what_became_of_each_fire_time(canned: Canned, run: Run) -> None:
    lines = [
        line_of_ledger(job_id=JOB["id"]),
        line_of_ledger(state="coalesced", reason="misfire", into="2026-03-01T05:00:00Z"),
        line_of_ledger(state="skipped", reason="overlap", detail="job 7 was RUNNING"),
        line_of_ledger(state="skipped", reason="paused", until="2026-03-02T02:00:00Z", count=1441),
        line_of_ledger(state="missed", reason="no_success", detail="its job is FAILED"),
    ]
    canned.will_say(ONE, {"items": lines, "next_cursor": "c"})
    words = "--state skipped --state missed --reason misfire --from 2026-03-01T00:00:00Z --to 2026-03-02T00:00:00Z"
    done = await run("schedule", "occurrences", "nightly", *words.split(), "--limit", "5")
    assert done.exit_code == 0
    for text in (
        JOB["id"],
        "misfire; stands in for it: Sun 2026-03-01 06:00:00 +0100",
        "overlap; job 7 was RUNNING",
        "paused; 1441 of them, until Mon 2026-03-02 03:00:00 +0100",
        "no success; its job is FAILED",
    ):
        assert text in done.stdout
    assert "there are more" in done.stderr
    assert canned.asked[1].path == f"{PATH}/occurrences"
    assert canned.asked[1].query == {
        "state": ["skipped", "missed"],
        "reason": ["misfire"],
        "from": ["2026-03-01T00:00:00Z"],
        "to": ["2026-03-02T00:00:00Z"],
        "limit": ["5"],
    }


async def test_the_ledger_of_all_names_the_schedules(canned: Canned, run: Run) -> None:
    gone = "019ab000-0000-7000-8000-0000000000ee"
    canned.will_say(ONE, {"items": [line_of_ledger(), line_of_ledger(schedule_id=gone)], "next_cursor": None})
    done = await run("schedule", "occurrences", "--from", "30d", "--all")
    rows = done.stdout.splitlines()[-2:]
    assert rows[0].split()[:3] == ["nightly", "Sun", "2026-03-01"]
    assert rows[1].split()[:5] == [gone, "Sun", "2026-03-01", "02:00:00", "+0000"]
    assert canned.asked[1].path == "/api/v1/occurrences"


async def test_ledger_and_history_outlive_the_schedule(canned: Canned, run: Run) -> None:
    entry = {"id": "1", "at": JOB["run_at"], "author": "me", "action": "deleted", "version": 2, "details": {}}
    canned.will_say(problem(404), NONE, {"items": [entry], "next_cursor": None})
    done = await run("schedule", "history", ID)
    assert done.exit_code == 0
    assert "deleted" in done.stdout
    assert canned.asked[2].path == f"{PATH}/history"


async def test_history_shows_what_was_changed(canned: Canned, run: Run) -> None:
    before, after = {"handler": "echo", "payload": {}}, {"handler": "echo", "payload": {}, "queue": "mail"}
    details = {"cron": ["0 3 * * *", "0 4 * * *"], "job": [before, after]}
    entry = {"id": "1", "at": JOB["run_at"], "author": "me", "action": "updated", "version": 2, "details": details}
    canned.will_say(ONE, {"items": [entry], "next_cursor": None})
    done = await run("schedule", "history", "nightly")
    assert "cron: 0 3 * * * → 0 4 * * *; job.queue: none → mail" in done.stdout
    canned.will_say(ONE, {"items": [entry], "next_cursor": None})
    assert json.loads((await run("schedule", "history", "nightly", "--json")).stdout)["items"][0]["details"] == details


# --------------------------------------------------------------------------------------------------------- backfills


async def test_a_backfill_is_started(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, Answer(BACKFILL, 201))
    words = "--from 2026-01-01T00:00:00Z --to 2026-01-31T00:00:00Z --max-concurrent 7"
    done = await run("schedule", "backfill", "start", "nightly", *words.split())
    assert (done.exit_code, done.stdout) == (0, f"{BACKFILL['id']}\n")
    assert canned.asked[1].body == {"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T00:00:00Z", "max_concurrent": 7}


@pytest.mark.parametrize(("ends", "code"), [({"succeeded": 30}, 0), ({"succeeded": 29, "failed": 1}, 1)], ids=str)
async def test_a_backfill_is_followed_to_its_end(canned: Canned, run: Run, ends: dict[str, int], code: int) -> None:
    canned.will_say(ONE, Answer(BACKFILL, 201), BACKFILL, Answer(cut=True), {**BACKFILL, "state": "DONE", **ends})
    done = await run("schedule", "backfill", "start", "nightly", "--from", "40d", "--to", "1d", "--wait")
    assert done.exit_code == code
    assert done.stdout.splitlines()[1].startswith("DONE  31 fire times, ")
    assert canned.asked[-1].path == f"{PATH}/backfills/{BACKFILL['id']}"


async def test_a_followed_backfill_as_json(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, Answer(BACKFILL, 201), {**BACKFILL, "state": "CANCELLED"})
    done = await run("schedule", "backfill", "start", "nightly", "--from", "40d", "--to", "1d", "--wait", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["state"], told["from"], told["to"]) == ("CANCELLED", BACKFILL["from"], BACKFILL["to"])


async def test_backfills_are_listed_and_cancelled(canned: Canned, run: Run) -> None:
    canned.will_say(ONE, {"items": [BACKFILL], "next_cursor": None})
    done = await run("schedule", "backfill", "list", "nightly")
    for text in (BACKFILL["id"], "RUNNING", "Thu 2026-01-01 01:00:00 +0100", "31 fire times, 1 had a job"):
        assert str(text) in done.stdout
    canned.will_say(ONE, NONE)
    assert (await run("schedule", "backfill", "list", "nightly")).stderr == "It was never backfilled.\n"
    canned.will_say(ONE, {**BACKFILL, "state": "CANCELLED"})
    done = await run("schedule", "backfill", "cancel", "nightly", str(BACKFILL["id"]))
    assert done.stdout == f"{BACKFILL['id']}  CANCELLED, 31 fire times, 1 had a job\n"
    assert canned.asked[-1].path == f"{PATH}/backfills/{BACKFILL['id']}/cancel"
