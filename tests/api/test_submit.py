from __future__ import annotations

import asyncio
from typing import Any

import pytest

from horae.api.context import ApiDeps
from horae.domain.errors import OutcomeUnknown, StoreUnavailable
from horae.domain.ids import is_id
from horae.domain.job import State
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import HandlerInfo, JobFilter
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, answer_of, fields_of, get, post, problem_of, submit
from tests.support.signals import Listener, first
from tests.support.waiting import eventually

KEY = "Idempotency-Key"
EVERYTHING: dict[str, Any] = {
    "payload": {"text": "Grüße", "list": [1, 2.5, None, True], "nested": {"a": {}}},
    "queue": "mail",
    "priority": "critical",
    "run_at": "2030-01-31T09:30:00.250000Z",
    "max_retries": 0,
    "backoff": {"kind": "linear", "base_seconds": 2, "factor": 3, "max_seconds": 60, "jitter": 0},
    "timeout_seconds": 1.5,
    "idempotency_key": "order-17 ä",
    "tags": ["blue", "a.b-c_d"],
    "expires_at": "2031-01-31T09:30:00Z",
    "retry_for_seconds": 3600,
}


async def count(stores: Stores) -> int:
    return await stores.jobs.count("default", JobFilter())


async def test_a_job_is_answered_as_it_is_stored(client: Client) -> None:
    response = await client.post(JOBS, json={"handler": "echo", **EVERYTHING})
    job = await answer_of(response, 201)
    assert is_id(job["id"])
    assert response.headers["Location"] == f"{JOBS}/{job['id']}"
    assert response.headers["ETag"] == f'"{job["version"]}"'
    assert {name: job[name] for name in EVERYTHING} == EVERYTHING
    assert (job["state"], job["namespace"], job["attempt"], job["failures"]) == ("PENDING", "default", 0, 0)
    assert job == await get(client, response.headers["Location"])


async def test_a_delay_counts_from_now(client: Client) -> None:
    job = await submit(client, delay_seconds=90)
    assert (job["created_at"], job["run_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:01:30Z")


async def test_schedulers_get_a_hint_and_watchers_an_event(client: Client, signals: InProcessSignals) -> None:
    due = Listener(signals, Topic.DUE)
    async with signals.watch("default") as events:
        job = await submit(client)
        event = await first(events)
    assert due.woken == 1
    assert (event.kind, dict(event.data)) == ("job", {"id": job["id"], "state": State.PENDING})


async def test_submissions_are_counted_by_queue(client: Client, deps: ApiDeps) -> None:
    await submit(client, queue="mail")
    body, _ = await deps.metrics.render()
    assert b'horae_jobs_submitted_total{queue="mail"} 1.0' in body


async def test_the_same_key_and_body_give_the_first_job(
    client: Client, stores: Stores, signals: InProcessSignals
) -> None:
    body = {"handler": "echo", "payload": {"a": 1, "b": 2}}
    first_job = await post(client, JOBS, body, 201, headers={KEY: "k"})
    due = Listener(signals, Topic.DUE)
    again = await client.post(JOBS, json={"payload": {"b": 2, "a": 1}, "handler": "echo"}, headers={KEY: "k"})
    assert await answer_of(again, 200) == first_job
    assert again.headers["Location"] == f"{JOBS}/{first_job['id']}"
    assert await submit(client, payload={"a": 1, "b": 2}, idempotency_key="k", status=200) == first_job
    assert await count(stores) == 1
    assert due.woken == 0


async def test_the_same_key_with_another_body_conflicts(client: Client, stores: Stores) -> None:
    await submit(client, payload={"a": 1}, idempotency_key="k")
    problem = await submit(client, payload={"a": 2}, idempotency_key="k", status=409)
    assert problem_of(problem) == "key-conflict"
    assert set(fields_of(problem)) == {"idempotency_key"}
    assert await count(stores) == 1


@pytest.mark.parametrize("key", ["x" * 256, "ä" * 128, "a\tb"])
async def test_a_key_in_the_header_is_bounded(client: Client, key: str) -> None:
    problem = await post(client, JOBS, {"handler": "echo"}, 422, headers={KEY: key})
    assert set(fields_of(problem)) == {KEY}


async def test_two_keys_that_differ_are_refused(client: Client) -> None:
    problem = await post(client, JOBS, {"handler": "echo", "idempotency_key": "a"}, 422, headers={KEY: "b"})
    assert set(fields_of(problem)) == {"idempotency_key"}
    twice = await client.post(JOBS, json={"handler": "echo"}, headers=[(KEY, "a"), (KEY, "a")])
    assert set(fields_of(await answer_of(twice, 422))) == {KEY}


async def test_twenty_at_once_with_one_key_make_one_job(client: Client, stores: Stores) -> None:
    body = {"handler": "echo", "payload": {"n": 1}}
    answers = await asyncio.gather(*(client.post(JOBS, json=body, headers={KEY: "race"}) for _ in range(20)))
    jobs = [await response.json() for response in answers]
    assert sorted(response.status for response in answers) == [200] * 19 + [201]
    assert len({job["id"] for job in jobs}) == 1
    assert await count(stores) == 1


async def test_an_unknown_handler_is_refused_with_near_names(client: Client) -> None:
    problem = await submit(client, "slep", status=422)
    assert fields_of(problem) == {"handler": "'slep' is not a known handler: did you mean sleep?"}


async def test_a_payload_that_does_not_fit_is_refused_by_field(client: Client) -> None:
    problem = await submit(client, "sleep", payload={"seconds": "long", "loud": True}, status=422)
    assert set(fields_of(problem)) == {"payload.seconds", "payload.loud"}


async def test_a_handler_registered_a_moment_ago_is_known(client: Client, stores: Stores) -> None:
    await submit(client)
    info = HandlerInfo("mail.send", {"type": "object", "required": ["to"]}, {"queue": "mail", "max_retries": 9})
    await stores.registry.remember([info])

    async def known() -> bool:
        return set(fields_of(await submit(client, "mail.send", status=422))) == {"payload.to"}

    # The catalogue looks once a second at most: until then the name itself may be unknown.
    await eventually(known)
    job = await submit(client, "mail.send", payload={"to": "x"})
    assert (job["queue"], job["max_retries"]) == ("mail", 9)


async def test_a_lost_answer_of_the_store_is_told_as_such(client: Client, deps: ApiDeps, monkeypatch: Any) -> None:
    async def lost(*_: object) -> None:
        raise OutcomeUnknown("the answer to COMMIT was lost")

    monkeypatch.setattr(deps.jobs, "submit", lost)
    response = await client.post(JOBS, json={"handler": "echo"})
    problem = await answer_of(response, 503)
    assert problem_of(problem) == "outcome-unknown"
    assert response.headers["Retry-After"] == "1"
    assert "Idempotency-Key" in problem["detail"]


async def test_a_job_that_can_not_be_read_back_may_be_there(client: Client, deps: ApiDeps, monkeypatch: Any) -> None:
    async def down(*_: object) -> None:
        raise StoreUnavailable("mysql://user:secret@db is gone")

    monkeypatch.setattr(deps.jobs, "get", down)
    problem = await submit(client, status=503)
    assert problem_of(problem) == "outcome-unknown"


async def test_an_outage_is_told_without_its_details(client: Client, deps: ApiDeps, monkeypatch: Any) -> None:
    async def down(*_: object) -> None:
        raise StoreUnavailable("mysql://user:secret@db is gone")

    monkeypatch.setattr(deps.jobs, "submit", down)
    problem = await submit(client, status=503)
    assert problem_of(problem) == "unavailable"
    assert "secret" not in str(problem)
