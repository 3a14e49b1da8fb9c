"""The client against answers that the api gives only on a bad day; test_api.py has the good days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from horae.client import (
    BadAnswer,
    Client,
    ClientError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    Job,
    NotFinished,
    NotFound,
    Outcome,
    ProblemError,
    Retries,
    ServerFailed,
    Stale,
    State,
    TooManyRequests,
    Unauthorized,
)
from horae.client.model import read
from horae.client.transport import _retry_after
from tests.client.canned import JOB, Answer, Canned, job, problem
from tests.support.clock import ManualClock

ID = JOB["id"]
A_JOB = read(Job, JOB)
CUT = Answer(cut=True)


async def test_a_job_is_read_with_its_types(canned: Canned, client: Client) -> None:
    canned.will_say(
        job(
            state="FAILED",
            started_at="2026-03-01T12:00:01Z",
            finished_at="2026-03-01T12:00:03.5Z",
            error={"type": "ValueError", "message": "no", "traceback": None},
            progress={"value": 0.5, "message": "half"},
            a_member_of_tomorrow=1,
        )
    )
    got = await client.get(ID)
    assert got.state is State.FAILED
    assert got.is_final
    assert not got.succeeded
    assert got.created_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert got.took == timedelta(seconds=2.5)
    assert got.backoff.base_seconds == 2.0
    assert got.tags == ("a", "b")
    assert got.error is not None
    assert (got.error.type, got.error.message) == ("ValueError", "no")
    assert got.progress is not None
    assert got.progress.value == 0.5


async def test_the_token_and_the_path_are_sent(canned: Canned, client: Client) -> None:
    canned.will_say(job())
    await client.get("a/../b")
    asked = canned.asked[0]
    assert asked.path == "/api/v1/jobs/a%2F..%2Fb"
    assert asked.headers["Authorization"] == "Bearer t0ken"


async def test_url_and_token_come_from_the_environment(canned: Canned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORAE_URL", f"{canned.url}/behind/a/proxy/")
    monkeypatch.setenv("HORAE_TOKEN", "from-env")
    canned.will_say(job())
    async with Client() as client:
        await client.get(ID)
    assert canned.asked[0].path == f"/behind/a/proxy/api/v1/jobs/{ID}"
    assert canned.asked[0].headers["Authorization"] == "Bearer from-env"


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host", "http://", "/path"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL such as"):
        Client(url)


def test_a_password_in_the_url_is_never_told() -> None:
    assert Client("https://me:secret@host:1/x").url == "https://host:1/x"
    with pytest.raises(ValueError, match="token") as caught:
        Client("https://me:secret@host", token="t")
    assert "secret" not in str(caught.value)


async def test_a_submission_without_a_key_gets_one_and_keeps_it(canned: Canned, client: Client) -> None:
    canned.will_say(CUT, problem(503), job())
    await client.submit("echo", {"a": 1}, tags=["x"])
    keys = [asked.body.pop("idempotency_key") for asked in canned.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 32
    assert canned.asked[2].body == {"handler": "echo", "payload": {"a": 1}, "tags": ["x"]}


async def test_two_submissions_get_two_keys(canned: Canned, client: Client) -> None:
    canned.will_say(job())
    await client.submit("echo")
    await client.submit("echo")
    first, second = (asked.body["idempotency_key"] for asked in canned.asked)
    assert first != second


async def test_a_key_of_the_caller_is_left_alone(canned: Canned, client: Client) -> None:
    canned.will_say(job(), {"ids": ["1"]})
    await client.submit("echo", idempotency_key="mine")
    await client.submit_many([], idempotency_key="bulk")
    assert canned.asked[0].body["idempotency_key"] == "mine"
    assert canned.asked[1].headers["Idempotency-Key"] == "bulk"


async def test_a_bulk_is_repeated_under_one_key(canned: Canned, client: Client) -> None:
    canned.will_say(CUT, {"ids": ["1", "2"]})
    assert await client.submit_many([{"handler": "a"}, {"handler": "b"}]) == ("1", "2")
    first, second = (asked.headers["Idempotency-Key"] for asked in canned.asked)
    assert first == second


@pytest.mark.parametrize("failure", [CUT, problem(502), problem(503), problem(504), problem(429)], ids=str)
async def test_a_read_is_repeated(canned: Canned, client: Client, failure: Answer) -> None:
    canned.will_say(failure, failure, job())
    assert (await client.get(ID)).id == ID
    assert len(canned.asked) == 3


async def test_a_read_is_not_repeated_for_ever(canned: Canned, client: Client) -> None:
    canned.will_say(problem(503))
    with pytest.raises(ServerFailed):
        await client.get(ID)
    assert len(canned.asked) == 4


async def test_a_lost_connection_says_what_to_check(canned: Canned, client: Client) -> None:
    canned.will_say(CUT)
    with pytest.raises(ConnectionFailed, match="HORAE_URL") as caught:
        await client.get(ID)
    assert caught.value.sent
    assert canned.url in str(caught.value)


async def test_a_silent_server_is_given_up(canned: Canned) -> None:
    canned.will_say(Answer(silent=True))
    async with Client(canned.url, timeout=0.05, retries=Retries(attempts=2, base_seconds=0)) as client:
        with pytest.raises(ConnectionFailed, match="timed out"):
            await client.get(ID)
    assert len(canned.asked) == 2


@pytest.mark.parametrize("failure", [CUT, problem(503)], ids=str)
async def test_what_could_be_done_twice_is_not_repeated(canned: Canned, client: Client, failure: Answer) -> None:
    canned.will_say(failure)
    with pytest.raises(ClientError):
        await client.retry(ID)
    with pytest.raises(ClientError):
        await client.edit(A_JOB, queue="mail")
    with pytest.raises(ClientError):
        await client.cancel_all(expected_count=3)
    assert len(canned.asked) == 3


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", retries=Retries(attempts=2, base_seconds=0)) as client:
        with pytest.raises(ConnectionFailed, match="connection refused") as caught:
            await client.retry(ID)
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, ProblemError),
        (409, Conflict),
        (412, Stale),
        (413, Invalid),
        (422, Invalid),
        (428, Stale),
        (429, TooManyRequests),
        (500, ServerFailed),
        (503, ServerFailed),
    ],
)
async def test_each_refusal_has_its_class(canned: Canned, status: int, kind: type[ProblemError]) -> None:
    canned.will_say(problem(status, "Title", detail="why", instance="req-1", more=7))
    async with Client(canned.url, retries=Retries(attempts=1)) as client:
        with pytest.raises(ProblemError) as caught:
            await client.get(ID)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.title, error.detail, error.request_id) == (status, "Title", "why", "req-1")
    assert error.problem.extra == {"more": 7}
    assert str(error) == f"{status} Title: why"


async def test_every_wrong_field_is_named(canned: Canned, client: Client) -> None:
    errors = [{"field": "queue", "message": "is not a name"}, {"field": "payload.a", "message": "is missing"}]
    canned.will_say(problem(422, "Some fields are wrong", detail="queue: …", errors=errors))
    with pytest.raises(Invalid) as caught:
        await client.submit("echo")
    assert [(error.field, error.message) for error in caught.value.errors] == [
        ("queue", "is not a name"),
        ("payload.a", "is missing"),
    ]
    assert str(caught.value) == "422 Some fields are wrong; queue: is not a name; payload.a: is missing"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>hello</html>", headers={"Content-Type": "text/html"}),
        Answer({"surprise": 1}),
        Answer([1, 2]),
        Answer(job(state="UNHEARD-OF")),
        Answer(job(created_at="yesterday")),
        Answer(None, status=302, headers={"Location": "https://login.example"}),
    ],
    ids=["html", "object", "list", "state", "time", "redirect"],
)
async def test_another_server_is_recognised(canned: Canned, client: Client, answer: Answer) -> None:
    canned.will_say(answer)
    with pytest.raises(BadAnswer, match="HORAE_URL"):
        await client.get(ID)
    assert len(canned.asked) == 1


async def test_a_refusal_that_is_no_problem_document(canned: Canned, client: Client) -> None:
    canned.will_say(Answer(b"<h1>Forbidden</h1>", status=403, headers={"X-Request-Id": "proxy-7"}))
    with pytest.raises(Forbidden) as caught:
        await client.get(ID)
    assert caught.value.title == "Forbidden"
    assert caught.value.request_id == "proxy-7"


async def test_waiting_asks_again_until_the_job_is_final(canned: Canned) -> None:
    clock = ManualClock()
    async with Client(canned.url, clock=clock) as client:
        canned.will_say(job(state="RUNNING"), job(state="RUNNING"), job(state="SUCCESS", result=7))
        done = await client.wait(ID)
    assert done.result == 7
    assert [asked.query["wait"] for asked in canned.asked] == [["50.000"]] * 3


async def test_waiting_ends_in_time(canned: Canned) -> None:
    async with Client(canned.url) as client:
        canned.will_say(job(state="RUNNING"))
        with pytest.raises(NotFinished, match="is RUNNING after 0 s") as caught:
            await client.wait(ID, timeout=0)
    assert isinstance(caught.value, TimeoutError)
    assert canned.asked[0].query["wait"] == ["0.000"]


async def test_watching_tells_each_change_once(canned: Canned, client: Client) -> None:
    running = job(state="RUNNING", attempt=1)
    canned.will_say(
        job(),
        job(),
        running,
        running,
        {**running, "progress": {"value": 0.5, "message": None}},
        job(state="SUCCESS", attempt=1),
    )
    seen = [(one.state, one.progress and one.progress.value) async for one in client.watch(ID, every=0.001)]
    assert seen == [(State.PENDING, None), (State.RUNNING, None), (State.RUNNING, 0.5), (State.SUCCESS, None)]


async def test_pages_are_followed(canned: Canned, client: Client) -> None:
    canned.will_say(
        {"items": [job(id="3"), job(id="2")], "next_cursor": "c1"}, {"items": [job(id="1")], "next_cursor": None}
    )
    assert [one.id async for one in client.iterate(state=["FAILED", "CANCELLED"], queue="mail")] == ["3", "2", "1"]
    first, second = canned.asked
    assert first.query == {"state": ["FAILED", "CANCELLED"], "queue": ["mail"], "limit": ["200"]}
    assert second.query == {**first.query, "cursor": ["c1"]}


async def test_an_edit_names_the_version_it_saw(canned: Canned, client: Client) -> None:
    canned.will_say(job(version=4, queue="mail"))
    changed = await client.edit(A_JOB, queue="mail", expires_at=None)
    assert changed.version == 4
    assert canned.asked[0].method == "PATCH"
    assert canned.asked[0].headers["If-Match"] == '"3"'
    assert canned.asked[0].body == {"queue": "mail", "expires_at": None}


async def test_an_action_is_driven_to_its_end(canned: Canned, client: Client) -> None:
    told: list[tuple[int, int, int]] = []
    canned.will_say(
        problem(409, count=1500),
        {"matched": 1000, "done": 990, "refused": 10, "next_cursor": "c1"},
        CUT,
        {"matched": 500, "done": 500, "refused": 0, "next_cursor": None},
    )
    total = await client.cancel_all(
        queue="mail", progress=lambda now: told.append((now.matched, now.done, now.refused))
    )
    assert (total.matched, total.done, total.refused) == (1500, 1490, 10)
    assert told == [(1500, 990, 10), (1500, 1490, 10)]
    counting, first, lost, last = (asked.body for asked in canned.asked)
    assert counting == {"action": "cancel", "filter": {"queue": "mail"}}
    assert first == {**counting, "expected_count": 1500}
    assert lost == last == {**first, "cursor": "c1"}


async def test_an_action_on_another_number_of_jobs_does_nothing(canned: Canned, client: Client) -> None:
    canned.will_say(problem(409, "The filter finds another number of jobs", count=4))
    with pytest.raises(Conflict):
        await client.delete_all(expected_count=3, state="FAILED")
    assert len(canned.asked) == 1


async def test_attempts_queues_workers_handlers_and_stats(canned: Canned, client: Client) -> None:
    moment = "2026-03-01T12:00:00Z"
    canned.will_say(
        {"items": [{"attempt": 1, "outcome": "lost", "started_at": moment, "finished_at": moment}]},
        {"items": [{"name": "mail", "paused": True, "depth": {"PENDING": 2}, "oldest_due_at": moment}]},
        {"items": [{"id": "w", "name": "host:1", "state": "ALIVE", "queues": ["mail"], "rates": {"mail": 1.5}}]},
        {"items": [{"name": "echo", "schema": {}, "defaults": {"queue": "mail"}}]},
        {"jobs": {"FAILED": 3}},
    )
    assert (await client.attempts(ID))[0].outcome is Outcome.LOST
    queue = (await client.queues())[0]
    assert (queue.paused, queue.depth) == (True, {State.PENDING: 2})
    assert (await client.workers())[0].queues == ("mail",)
    assert (await client.handlers())[0].defaults == {"queue": "mail"}
    assert (await client.stats()).jobs == {State.FAILED: 3}


async def test_a_closed_client_opens_again(canned: Canned, client: Client) -> None:
    canned.will_say(job())
    await client.get(ID)
    await client.close()
    assert (await client.get(ID)).id == ID


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert _retry_after(header, datetime(2026, 3, 1, 12, tzinfo=UTC)) == seconds


async def test_retry_after_is_obeyed(canned: Canned) -> None:
    canned.will_say(Answer({"title": "later"}, status=503, headers={"Retry-After": "0"}), job())
    async with Client(canned.url, retries=Retries(base_seconds=0)) as client:
        assert (await client.get(ID)).id == ID
    canned.will_say(Answer({"title": "later"}, status=503, headers={"Retry-After": "3600"}))
    async with Client(canned.url) as client:
        with pytest.raises(ServerFailed) as caught:
            await client.get(ID)
    assert caught.value.problem.retry_after == 3600
    assert len(canned.asked) == 3
