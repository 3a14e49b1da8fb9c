"""Schedules one by one, over the real stores."""

from __future__ import annotations

from typing import Any

import pytest

from horae.api.context import ApiDeps
from horae.domain.zones import TZDATA
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import HandlerInfo
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, Json, answer_of, fields_of, get, post, problem_of
from tests.api.asking_schedules import NOBODY, SCHEDULES, a_schedule, act, change, create, history, show
from tests.api.conftest import deps_over
from tests.api.contract import check
from tests.support.clock import ManualClock
from tests.support.signals import Listener, first


@pytest.fixture
def deps(stores: Stores, signals: InProcessSignals, clock: ManualClock) -> ApiDeps:
    """Fire times to come are told by the clock that the stores go by."""
    return deps_over(stores, signals, clock)


WHOLE: Json = {
    "name": "nightly report · Ä",
    "cron": "30 2 * * MON-FRI",
    "timezone": "Europe/Berlin",
    "start_at": "2026-04-01T00:00:00Z",
    "end_at": "2027-04-01T00:00:00Z",
    "dst_gap": "skip",
    "dst_fold": "second",
    "max_runs": 100,
    "jitter_seconds": 30,
    "misfire": "fire_all",
    "misfire_grace_seconds": 5,
    "overlap": "replace",
    "must_succeed_within_seconds": 3600,
    "source": "deploy/schedules.yaml",
}
JOB: Json = {
    "handler": "echo",
    "payload": {"deep": [{"ä": None}]},
    "queue": "mail",
    "priority": "low",
    "max_retries": 0,
    "backoff": {"kind": "fixed"},
    "timeout_seconds": 5.5,
    "tags": ["b", "a"],
    "expires_at": "2027-01-01T00:00:00Z",
    "retry_for_seconds": 60,
}


async def test_a_schedule_is_read_as_it_was_written(client: Client) -> None:
    response = await client.post(SCHEDULES, json={**WHOLE, "job": JOB})
    made = await answer_of(response, 201)
    assert {name: made[name] for name in WHOLE} == WHOLE
    assert made["job"] == JOB
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == f"{SCHEDULES}/{made['id']}"
    assert await get(client, response.headers["Location"]) == made


async def test_what_is_left_out_takes_its_default(client: Client) -> None:
    made = await create(client)
    defaults: Json = {
        "namespace": "default", "version": 1, "state": "ACTIVE", "interval_seconds": None, "timezone": "UTC",
        "start_at": None, "end_at": None, "dst_gap": "auto", "dst_fold": "auto", "max_runs": None,
        "jitter_seconds": 0, "misfire": "fire_once", "misfire_grace_seconds": 60, "overlap": "allow",
        "must_succeed_within_seconds": None, "source": None, "job": {"handler": "echo", "payload": {}},
        "last_fire_at": None, "runs": 0, "paused_at": None, "paused_by": None, "ended_reason": None, "tzdata": TZDATA,
        "next_fire_at": "2026-03-01T13:00:00Z", "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }  # fmt: skip
    assert {name: made[name] for name in defaults} == defaults
    assert made["description"].endswith("by the clock of UTC.")


async def test_an_interval_counts_from_its_creation(client: Client, clock: ManualClock) -> None:
    clock.turn(0.75)
    made = await create(client, interval_seconds=90)
    assert (made["cron"], made["interval_seconds"]) == (None, 90)
    assert (made["start_at"], made["next_fire_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:01:30Z")


async def test_a_whole_number_may_be_written_as_a_float(client: Client) -> None:
    assert (await create(client, interval_seconds=90.0, max_runs=3.0))["interval_seconds"] == 90


async def test_only_the_given_parts_of_a_template_are_shown_and_none_is_filled_in(
    client: Client, stores: Stores
) -> None:
    await stores.registry.remember([HandlerInfo("mail.send", {}, {"queue": "mail", "max_retries": 7})])
    made = await create(client, job={"handler": "mail.send", "max_retries": 1})
    assert made["job"] == {"handler": "mail.send", "payload": {}, "max_retries": 1}


async def test_a_name_is_taken_once(client: Client, stores: Stores) -> None:
    made = await create(client)
    problem = await create(client, cron="@daily", status=409)
    assert (problem_of(problem), problem["id"]) == ("name-taken", made["id"])
    assert made["id"] in fields_of(problem)["name"]
    await create(client, name="Nightly")
    other = await create(client, name="weekly")
    refused = await change(client, other, name="nightly", status=409)
    assert (problem_of(refused), refused["id"]) == ("name-taken", made["id"])


async def test_one_that_would_never_fire_is_refused(client: Client) -> None:
    assert set(fields_of(await create(client, end_at="2026-03-01T12:59:59Z", status=422))) == {"end_at"}
    problem = await create(client, cron="0 0 30 2 *", status=422)
    assert "never fires" in fields_of(problem)["cron"]
    assert (await get(client, SCHEDULES))["items"] == []


async def test_every_wrong_field_is_named_at_once(client: Client) -> None:
    wrong: Json = {
        "name": " a", "cron": "0 25 * * *", "timezone": "Europe/Berln", "misfire": "later", "overlap": None,
        "jitter_seconds": 86_401, "queue": "x", "colour": "red",
        "job": {"handler": "sleep", "payload": {"seconds": "1", "x": 1}, "run_at": "x", "queue": "A"},
    }  # fmt: skip
    errors = fields_of(await post(client, SCHEDULES, wrong, 422))
    assert set(errors) == {
        "name", "cron", "timezone", "misfire", "overlap", "jitter_seconds", "queue", "colour", "job.run_at",
        "job.queue", "job.payload.seconds", "job.payload.x",
    }  # fmt: skip
    assert errors["cron"].startswith("hour field, '25': out of range; allowed are 0 to 23")
    assert errors["timezone"].endswith("did you mean Europe/Berlin?")
    assert errors["misfire"] == "should be 'skip', 'fire_once' or 'fire_all'"
    assert errors["queue"] == "is not known here: it belongs in job"
    assert errors["job.run_at"] == "can't be given: each job starts at its fire time"


async def test_a_payload_may_be_as_deep_as_that_of_a_job(client: Client) -> None:
    deepest: Json = {}
    for _ in range(19):
        deepest = {"a": deepest}
    made = await create(client, job={"handler": "echo", "payload": deepest})
    assert made["job"]["payload"] == deepest
    problem = await create(client, name="deeper", job={"handler": "echo", "payload": {"a": deepest}}, status=422)
    assert fields_of(problem) == {"job.payload": "is nested deeper than 20 levels"}


async def test_an_unknown_handler_is_named_with_what_is_near(client: Client) -> None:
    problem = await create(client, job={"handler": "ecko"}, status=422)
    assert fields_of(problem) == {"job.handler": "'ecko' is not a known handler: did you mean echo?"}


# ---------------------------------------------------------------------------------------------------------- not there


@pytest.mark.parametrize("id_", [NOBODY, "7", NOBODY.upper(), "%00", "..%2fetc"])
async def test_what_is_not_there_is_404(client: Client, id_: str) -> None:
    path, match = f"{SCHEDULES}/{id_}", {"If-Match": '"1"'}
    asked = [("get", path), ("delete", path), *(("get", f"{path}/{what}") for what in ("preview", "history"))]
    asked += [("post", f"{path}/{what}") for what in ("pause", "resume", "trigger", f"backfills/{NOBODY}/cancel")]
    asked += [("get", f"{path}/{what}") for what in ("occurrences", "backfills", f"backfills/{NOBODY}")]
    for method, each in asked:
        assert problem_of(await answer_of(await client.request(method, each), 404)) == "not-found", each
    response = await client.patch(path, json={"name": "x"}, headers=match)
    assert problem_of(await answer_of(response, 404)) == "not-found"
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    assert problem_of(await post(client, f"{path}/backfill", span, 404)) == "not-found"


async def test_what_belongs_to_others_is_404_and_stays_as_it_is(client: Client, stores: Stores) -> None:
    made = await create(client)
    definition = (await stores.schedules.get("default", made["id"])).definition  # type: ignore[union-attr]
    foreign = await stores.schedules.create("other", NOBODY, definition, "them")  # type: ignore[arg-type]
    path = f"{SCHEDULES}/{foreign.id}"
    for action in ("pause", "resume", "trigger"):
        await post(client, f"{path}/{action}", status=404)
    await answer_of(await client.delete(path), 404)
    await answer_of(await client.patch(path, json={"name": "mine"}, headers={"If-Match": '"1"'}), 404)
    for part in ("", "/preview", "/occurrences", "/history", "/backfills"):
        await get(client, f"{path}{part}", 404)
    assert await stores.schedules.get("other", foreign.id) == foreign
    assert [item["id"] for item in (await get(client, SCHEDULES))["items"]] == [made["id"]]


async def test_a_fixed_address_is_no_schedule(client: Client) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        response = await client.request(method, f"{SCHEDULES}/preview")
        assert (response.status, response.headers["Allow"]) == (405, "POST")


# ------------------------------------------------------------------------------------------------------------- lists


async def names(client: Client, **query: Any) -> list[str]:
    return [item["name"] for item in (await get(client, SCHEDULES, params=query))["items"]]


async def test_schedules_are_listed_by_name_in_pages(client: Client) -> None:
    for name in ("b", "a", "B", "ä", "a b", "a" * 255):
        await create(client, name=name)
    page = await get(client, SCHEDULES, params={"limit": 4})
    rest = await get(client, SCHEDULES, params={"limit": 4, "cursor": page["next_cursor"]})
    assert [item["name"] for item in page["items"] + rest["items"]] == ["B", "a", "a b", "a" * 255, "b", "ä"]
    assert rest["next_cursor"] is None
    problem = await get(client, SCHEDULES, 422, params={"cursor": page["next_cursor"], "q": "a"})
    assert set(fields_of(problem)) == {"cursor"}


async def test_filters_narrow(client: Client) -> None:
    await create(client, name="mail.hourly", source="a.yaml")
    await act(client, await create(client, name="mail.daily", job={"handler": "noop"}), "pause")
    await create(client, name="report", source="b.yaml")
    assert await names(client, q="mail.") == ["mail.daily", "mail.hourly"]
    assert await names(client, q="ail") == []
    assert await names(client, name="mail.hourly") == ["mail.hourly"]
    assert await names(client, name="mail.") == []
    assert await names(client, state="PAUSED") == await names(client, handler="noop") == ["mail.daily"]
    assert await names(client, state="ACTIVE,ENDED") == ["mail.hourly", "report"]
    assert await names(client, state=["ACTIVE", "PAUSED"], q="mail.", source="a.yaml") == ["mail.hourly"]
    assert await names(client, source="b.yaml") == ["report"]


# ------------------------------------------------------------------------------------------------------------ changing


async def test_only_what_is_given_changes(client: Client) -> None:
    made = await create(client, **WHOLE, job=JOB)
    changes: Json = {
        "name": "other", "cron": "@daily", "timezone": "UTC", "start_at": "2026-05-01T00:00:00Z",
        "end_at": "2028-01-01T00:00:00Z", "dst_gap": "auto", "dst_fold": "both", "max_runs": 5, "jitter_seconds": 0,
        "misfire": "skip", "misfire_grace_seconds": 0, "overlap": "skip", "must_succeed_within_seconds": 1,
        "source": "b.yaml", "job": {"handler": "noop", "payload": {}},
    }  # fmt: skip
    for name, value in changes.items():
        changed = await change(client, made, **{name: value})
        del changed["next_fires"]
        computed = {"version", "description", "next_fire_at"}
        assert {each: changed[each] for each in changed if changed[each] != made[each]}.keys() - computed == {name}
        assert (changed[name], changed["version"]) == (value, made["version"] + 1)
        assert await show(client, made) == changed
        made = changed


async def test_null_takes_away_what_may_be_missing(client: Client) -> None:
    taken = ("start_at", "end_at", "max_runs", "must_succeed_within_seconds", "source")
    nothing: Json = dict.fromkeys(taken)
    made = await create(client, **WHOLE, job=JOB)
    changed = await change(client, made, **nothing)
    assert [changed[name] for name in taken] == [None] * len(taken)


async def test_cron_and_interval_take_one_anothers_place(client: Client) -> None:
    made = await create(client)
    by_interval = await change(client, made, interval_seconds=600)
    assert (by_interval["cron"], by_interval["interval_seconds"]) == (None, 600)
    assert by_interval["start_at"] == "2026-03-01T12:00:00Z"
    assert set(fields_of(await change(client, by_interval, start_at=None, status=422))) == {"start_at"}
    by_cron = await change(client, by_interval, cron="@daily", start_at=None)
    assert (by_cron["cron"], by_cron["interval_seconds"], by_cron["start_at"]) == ("@daily", None, None)


async def test_fields_that_do_not_go_together_are_named_by_the_one_that_was_given(client: Client) -> None:
    made = await create(
        client, cron=None, interval_seconds=600, jitter_seconds=600, start_at="2026-04-01T00:00:00Z",
        end_at="2026-05-01T00:00:00Z", job={"handler": "echo", "expires_at": "2026-04-15T00:00:00Z"},
    )  # fmt: skip
    wrong: list[tuple[Json, str]] = [
        ({"end_at": "2026-03-31T23:59:59Z"}, "end_at"),
        ({"start_at": "2026-05-01T00:00:01Z"}, "start_at"),
        ({"start_at": "2026-04-15T00:00:00Z"}, "start_at"),
        ({"interval_seconds": 599}, "interval_seconds"),
        ({"jitter_seconds": 601}, "jitter_seconds"),
        ({"job": {"handler": "echo", "expires_at": "2026-04-01T00:00:00Z"}}, "job.expires_at"),
    ]
    for fields, named in wrong:
        assert set(fields_of(await change(client, made, status=422, **fields))) == {named}
    assert await show(client, made) == made


async def test_a_change_tells_the_next_fires_before_and_after(client: Client) -> None:
    made = await create(client, cron="30 2 * * *", timezone="Europe/Berlin", start_at="2026-03-27T00:00:00Z")
    changed = await change(client, made, cron="0 5 * * *", max_runs=2)
    before, after = changed["next_fires"]["before"], changed["next_fires"]["after"]
    assert [fire["fire_time"] for fire in before] == [
        "2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z",
        "2026-03-31T00:30:00Z",
    ]  # fmt: skip
    assert [fire["local_time"] for fire in before[1:3]] == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"]
    assert "02:30" in before[2]["note"]
    assert [fire["fire_time"] for fire in after] == ["2026-03-27T04:00:00Z", "2026-03-28T04:00:00Z"]
    assert changed["next_fire_at"] == after[0]["fire_time"]


async def test_a_change_without_difference_writes_nothing(client: Client, signals: InProcessSignals) -> None:
    made = await create(client, **WHOLE, job=JOB)
    look, due = Listener(signals, Topic.SCHEDULES), Listener(signals, Topic.DUE)
    same = await change(client, made, **WHOLE, job=JOB)
    assert same.pop("next_fires")["before"]
    assert (same, look.woken, due.woken) == (made, 0, 0)
    assert len(await history(client, made)) == 1


async def test_a_change_needs_the_version_that_was_read(client: Client) -> None:
    made = await create(client)
    assert problem_of(await change(client, made, version=None, status=428, max_runs=1)) == "if-match-required"
    changed = await change(client, made, max_runs=1)
    response = await client.patch(f"{SCHEDULES}/{made['id']}", json={"max_runs": 2}, headers={"If-Match": '"1"'})
    assert problem_of(await answer_of(response, 412)) == "stale-version"
    assert response.headers["ETag"] == '"2"'
    for given in ("x", "*", 'W/"2"', '"2", "3"', "99999999999"):
        assert problem_of(await change(client, made, version=given, status=412, max_runs=2)) == "stale-version"
    del changed["next_fires"]
    assert await show(client, made) == changed
    await change(client, made, version=2, max_runs=2)


async def test_a_pause_is_a_change_and_a_fire_is_none(client: Client, stores: Stores, clock: ManualClock) -> None:
    made = await create(client)
    clock.turn(3600)
    await stores.firing.fire(10)
    fired = await show(client, made)
    assert (fired["version"], fired["runs"], fired["last_fire_at"]) == (1, 1, "2026-03-01T13:00:00Z")
    assert (await act(client, made, "pause"))["version"] == 2
    assert problem_of(await change(client, made, status=412, max_runs=9)) == "stale-version"


async def test_an_ended_schedule_is_brought_back_by_a_change(
    client: Client, stores: Stores, clock: ManualClock
) -> None:
    made = await create(client, max_runs=1)
    clock.turn(3600)
    await stores.firing.fire(10)
    ended = await show(client, made)
    assert (ended["state"], ended["next_fire_at"], ended["ended_reason"]) == ("ENDED", None, "max_runs 1 was reached")
    for action in ("pause", "resume"):
        problem = await act(client, made, action, 409)
        assert (problem_of(problem), problem["state"]) == ("illegal-move", "ENDED")
        assert problem["detail"] == f"can't {action} schedule {made['id']}: it is ENDED"
    changed = await change(client, ended, max_runs=3)
    assert (changed["state"], changed["next_fire_at"]) == ("ACTIVE", "2026-03-01T14:00:00Z")
    fires = changed["next_fires"]
    assert fires["before"] == []
    assert [fire["fire_time"] for fire in fires["after"]] == ["2026-03-01T14:00:00Z", "2026-03-01T15:00:00Z"]


# ------------------------------------------------------------------------------------------- pause, trigger, delete


async def test_a_pause_may_be_repeated_and_ends(client: Client, clock: ManualClock) -> None:
    made = await create(client)
    paused = await act(client, made, "pause")
    assert (paused["state"], paused["next_fire_at"], paused["paused_by"]) == ("PAUSED", None, "local")
    assert paused["paused_at"] == "2026-03-01T12:00:00Z"
    clock.turn(5)
    assert await act(client, made, "pause") == paused
    resumed = await act(client, made, "resume")
    assert (resumed["state"], resumed["next_fire_at"]) == ("ACTIVE", "2026-03-01T13:00:00Z")
    assert (resumed["paused_at"], resumed["paused_by"], resumed["version"]) == (None, None, 3)
    assert await act(client, made, "resume") == resumed


async def test_a_paused_schedule_shows_its_next_fires_too(client: Client) -> None:
    made = await create(client)
    paused = await act(client, made, "pause")
    changed = await change(client, paused, cron="30 * * * *")
    assert changed["state"] == "PAUSED"
    assert changed["next_fires"]["before"][0]["fire_time"] == "2026-03-01T13:00:00Z"
    assert changed["next_fires"]["after"][0]["fire_time"] == "2026-03-01T12:30:00Z"


@pytest.mark.parametrize("state", ["ACTIVE", "PAUSED"])
async def test_a_trigger_makes_a_job_in_every_state(client: Client, state: str) -> None:
    made = await create(client, job={"handler": "echo", "payload": {"a": 1}, "queue": "mail", "tags": ["t"]})
    if state == "PAUSED":
        await act(client, made, "pause")
    response = await client.post(f"{SCHEDULES}/{made['id']}/trigger")
    job = await answer_of(response, 201)
    assert response.headers["Location"] == f"{JOBS}/{job['id']}"
    assert await get(client, response.headers["Location"]) == job
    assert (job["schedule_id"], job["fire_time"], job["run_at"]) == (made["id"], None, "2026-03-01T12:00:00Z")
    assert (job["payload"], job["queue"], job["tags"], job["max_retries"]) == ({"a": 1}, "mail", ["t"], 3)
    found = await get(client, JOBS, params={"schedule_id": made["id"]})
    assert [each["id"] for each in found["items"]] == [job["id"]]
    after = await show(client, made)
    assert (after["runs"], after["state"]) == (0, state)


async def test_what_is_deleted_is_gone_but_for_its_history(client: Client) -> None:
    made = await create(client)
    await act(client, made, "trigger", 201)
    response = await client.delete(f"{SCHEDULES}/{made['id']}")
    assert (await response.read(), response.status) == (b"", 204)
    check(response, None)
    await show(client, made, 404)
    await answer_of(await client.delete(f"{SCHEDULES}/{made['id']}"), 404)
    assert [each["action"] for each in await history(client, made)] == ["deleted", "triggered", "created"]
    assert len((await get(client, JOBS, params={"schedule_id": made["id"]}))["items"]) == 1
    assert (await create(client))["id"] != made["id"]


async def test_actions_take_no_body(client: Client) -> None:
    made = await create(client)
    for action in ("pause", "resume", "trigger"):
        problem = await post(client, f"{SCHEDULES}/{made['id']}/{action}", {"force": True}, 422)
        assert set(fields_of(problem)) == {"body"}
    assert await show(client, made) == made


# -------------------------------------------------------------------------------------------------- history and events


async def test_the_history_tells_who_did_what_and_when(client: Client, clock: ManualClock) -> None:
    made = await create(client)
    clock.turn(60)
    await change(client, made, cron="@daily", max_runs=5)
    await act(client, made, "pause")
    job = await act(client, made, "trigger", 201)
    found = await history(client, made)
    assert [each["action"] for each in found] == ["triggered", "paused", "updated", "created"]
    assert {each["author"] for each in found} == {"local"}
    assert [each["version"] for each in found] == [3, 3, 2, 1]
    assert (found[3]["at"], found[2]["at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z")
    assert found[2]["details"] == {"cron": ["0 * * * *", "@daily"], "max_runs": [None, 5]}
    assert found[0]["details"] == {"job_id": job["id"]}


async def test_the_history_is_paged(client: Client) -> None:
    made = await create(client)
    for version in range(1, 4):
        await change(client, made, version=version, max_runs=version)
    path = f"{SCHEDULES}/{made['id']}/history"
    page = await get(client, path, params={"limit": 3})
    rest = await get(client, path, params={"limit": 3, "cursor": page["next_cursor"]})
    assert [each["version"] for each in page["items"] + rest["items"]] == [4, 3, 2, 1]
    assert rest["next_cursor"] is None
    other = await create(client, name="other")
    foreign = f"{SCHEDULES}/{other['id']}/history"
    assert set(fields_of(await get(client, foreign, 422, params={"cursor": page["next_cursor"]}))) == {"cursor"}


async def test_whoever_watches_sees_each_change_and_schedulers_get_a_hint(
    client: Client, signals: InProcessSignals
) -> None:
    look, due = Listener(signals, Topic.SCHEDULES), Listener(signals, Topic.DUE)
    async with signals.watch("default") as events:

        async def told() -> Json:
            event = await first(events)
            assert event.kind == "schedule"
            return dict(event.data)

        made = await create(client)
        about = {"id": made["id"], "name": "nightly"}
        assert await told() == {**about, "change": "created"}
        await change(client, made, max_runs=5)
        assert await told() == {**about, "change": "updated"}
        await act(client, made, "pause")
        assert await told() == {**about, "change": "paused"}
        assert (look.woken, due.woken) == (2, 1)
        await act(client, made, "resume")
        assert await told() == {**about, "change": "resumed"}
        job = await act(client, made, "trigger", 201)
        assert (await first(events)).data == {"id": job["id"], "state": "PENDING"}
        assert await told() == {**about, "change": "triggered", "job_id": job["id"]}
        assert (look.woken, due.woken) == (3, 2)
        await client.delete(f"{SCHEDULES}/{made['id']}")
        assert await told() == {**about, "change": "deleted"}


async def test_what_was_refused_is_told_to_nobody(client: Client, signals: InProcessSignals) -> None:
    made = await create(client)
    look, due = Listener(signals, Topic.SCHEDULES), Listener(signals, Topic.DUE)
    async with signals.watch("default") as events:
        await create(client, status=409)
        await change(client, made, version=7, status=412, max_runs=1)
        await change(client, made, status=422, max_runs=0)
        await post(client, f"{SCHEDULES}/{NOBODY}/trigger", status=404)
        await act(client, made, "pause")
        assert (await first(events)).data["change"] == "paused"
    assert (look.woken, due.woken) == (0, 0)


def test_a_schedule_is_sent_as_this_file_thinks() -> None:
    assert "cron" not in a_schedule(interval_seconds=5)
