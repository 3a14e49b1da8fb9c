"""The client against the real api, with a real scheduler and worker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from horae.client import (
    Backoff,
    Client,
    Conflict,
    Invalid,
    NotFinished,
    NotFound,
    Outcome,
    Stale,
    State,
    SyncClient,
    chunks,
    new_job,
)

MISSING = "019ab000-0000-7000-8000-000000000001"
LATER = 3600


@pytest.fixture
async def real(url: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        yield client


@pytest.fixture
def tag() -> str:
    """A tag of this test's own: all tests share one server."""
    return f"t-{uuid4().hex[:12]}"


async def test_a_job_from_submit_to_its_result(real: Client) -> None:
    submitted = await real.submit("echo", {"hello": ["wörld", 1, None]}, tags=["b", "a"])
    done = await real.wait(submitted.id, timeout=20)
    assert done.succeeded
    assert done.result == {"hello": ["wörld", 1, None]}
    assert done.tags == submitted.tags
    assert done.took is not None
    assert done.took < timedelta(seconds=20)
    attempts = await real.attempts(submitted.id)
    assert [(one.attempt, one.outcome) for one in attempts] == [(1, Outcome.SUCCESS)]
    assert (await real.get(submitted.id)).version == done.version


async def test_a_job_with_everything_said(real: Client, tag: str) -> None:
    job = await real.submit(
        "noop",
        queue="mail",
        priority="low",
        delay=timedelta(hours=1),
        max_retries=7,
        backoff=Backoff(kind="linear", base_seconds=2, max_seconds=9, jitter=0),
        timeout=12.5,
        tags=[tag],
        retry_for=timedelta(minutes=1),
        idempotency_key=tag,
    )
    assert (job.queue, job.priority, job.max_retries, job.timeout_seconds) == ("mail", "low", 7, 12.5)
    assert job.backoff == Backoff(kind="linear", base_seconds=2, factor=2.0, max_seconds=9, jitter=0)
    assert (job.retry_for_seconds, job.idempotency_key) == (60, tag)
    assert (job.run_at - job.created_at).total_seconds() == pytest.approx(LATER, abs=1)
    assert job.state is State.PENDING


async def test_watching_a_job_that_fails_and_then_succeeds(real: Client) -> None:
    steady = Backoff(kind="fixed", base_seconds=1, jitter=0)
    job = await real.submit("fail", {"times": 1, "message": "not yet"}, backoff=steady)
    seen = [one async for one in real.watch(job.id, every=0.1)]
    states = [one.state for one in seen]
    assert State.RETRYING in states
    assert states[-1] is State.SUCCESS
    error = next(one.error for one in seen if one.state is State.RETRYING)
    assert error is not None
    assert "not yet" in error.message
    outcomes = [one.outcome for one in await real.attempts(job.id)]
    assert outcomes == [Outcome.FAILED, Outcome.SUCCESS]


async def test_a_wait_that_is_too_short(real: Client) -> None:
    job = await real.submit("noop", delay=LATER)
    with pytest.raises(NotFinished, match="is PENDING"):
        await real.wait(job.id, timeout=0.2)


async def test_the_same_key_is_the_same_job_and_another_body_a_conflict(real: Client, tag: str) -> None:
    first = await real.submit("noop", {"n": 1}, idempotency_key=tag)
    again = await real.submit("noop", {"n": 1}, idempotency_key=tag)
    assert again.id == first.id
    with pytest.raises(Conflict, match="idempotency key"):
        await real.submit("noop", {"n": 2}, idempotency_key=tag)


async def test_everything_wrong_is_named(real: Client) -> None:
    with pytest.raises(Invalid) as caught:
        await real.submit("sleep", {"seconds": "long"}, queue="No Queue", max_retries=-1)
    assert {error.field for error in caught.value.errors} >= {"queue", "max_retries"}
    with pytest.raises(Invalid, match="did you mean echo"):
        await real.submit("echoo")
    with pytest.raises(NotFound, match=MISSING):
        await real.get(MISSING)


async def test_many_at_once_all_or_none(real: Client, tag: str) -> None:
    jobs = [new_job("echo", {"n": n}, tags=[tag]) for n in range(25)]
    ids = [job_id for part in chunks(jobs, size=10) for job_id in await real.submit_many(part)]
    assert len(set(ids)) == 25
    done = await asyncio.gather(*(real.wait(job_id, timeout=30) for job_id in ids))
    assert [job.result for job in done] == [{"n": n} for n in range(25)]
    with pytest.raises(Invalid, match=r"jobs\.1\."):
        await real.submit_many([new_job("noop", tags=[f"{tag}-x"]), new_job("no-such-handler")])
    assert await real.count(tag=f"{tag}-x") == 0


async def test_lists_are_filtered_and_paged(real: Client, tag: str) -> None:
    ids = await real.submit_many([new_job("noop", delay=LATER, tags=[tag]) for _ in range(5)])
    first = await real.list(tag=tag, limit=3)
    rest = await real.list(tag=tag, limit=3, cursor=first.next_cursor)
    assert [job.id for job in first.items + rest.items] == list(reversed(ids))
    assert rest.next_cursor is None
    assert [job.id async for job in real.iterate(tag=tag, state=["PENDING", State.QUEUED])] == list(reversed(ids))
    assert [job.id async for job in real.iterate(tag=tag, state=State.FAILED)] == []
    assert [job.id async for job in real.iterate(q=ids[0])] == [ids[0]]
    assert await real.count(tag=tag) == 5


async def test_an_edit_and_a_stale_one(real: Client) -> None:
    job = await real.submit("noop", delay=LATER, expires_at=None)
    changed = await real.edit(job, queue="mail", payload={"n": 2}, delay=2 * LATER, timeout=5)
    assert (changed.queue, changed.payload, changed.timeout_seconds) == ("mail", {"n": 2}, 5)
    assert changed.version > job.version
    with pytest.raises(Stale):
        await real.edit(job, queue="default")
    await real.cancel(job.id)
    with pytest.raises(Conflict):
        await real.edit(await real.get(job.id), queue="default")


async def test_cancel_and_retry_of_one(real: Client) -> None:
    waiting = await real.submit("echo", {"n": 1}, delay=LATER)
    assert (await real.cancel(waiting.id)).state is State.CANCELLED
    assert (await real.cancel(waiting.id)).state is State.CANCELLED
    assert (await real.retry(waiting.id)).state is State.PENDING
    assert (await real.wait(waiting.id, timeout=20)).succeeded
    with pytest.raises(Conflict, match="SUCCESS"):
        await real.cancel(waiting.id)


async def test_cancel_of_a_running_one(real: Client) -> None:
    running = await real.submit("sleep", {"seconds": 60})
    async for job in real.watch(running.id, every=0.05):
        if job.state is State.RUNNING and not job.cancel_requested:
            await real.cancel(job.id)
    assert (await real.get(running.id)).state is State.CANCELLED


async def test_actions_on_all_that_a_filter_finds(real: Client, tag: str) -> None:
    told: list[int] = []
    await real.submit_many([new_job("noop", delay=LATER, tags=[tag]) for _ in range(7)])
    with pytest.raises(Conflict):
        await real.cancel_all(expected_count=6, tag=tag)
    cancelled = await real.cancel_all(tag=tag, progress=lambda now: told.append(now.done))
    assert (cancelled.matched, cancelled.done, cancelled.refused) == (7, 7, 0)
    assert told[-1] == 7
    retried = await real.retry_all(expected_count=7, tag=tag, state=State.CANCELLED)
    assert retried.done == 7
    for job in (await real.list(tag=tag)).items:
        await real.wait(job.id, timeout=30)
    deleted = await real.delete_all(tag=tag)
    assert deleted.done == 7
    assert await real.count(tag=tag) == 0


async def test_a_paused_queue_starts_nothing(real: Client, tag: str) -> None:
    await real.pause(tag)
    job = await real.submit("noop", queue=tag)
    with pytest.raises(NotFinished, match="is PENDING"):
        await real.wait(job.id, timeout=0.5)
    queue = next(queue for queue in await real.queues() if queue.name == tag)
    assert queue.paused
    assert queue.depth[State.PENDING] == 1
    assert queue.oldest_due_at is not None
    await real.resume(tag)
    assert (await real.wait(job.id, timeout=20)).succeeded


async def test_workers_handlers_and_stats(real: Client) -> None:
    worker = next(worker for worker in await real.workers() if worker.state == "ALIVE")
    assert worker.slots == 100
    assert "demo.report" in worker.handlers
    handlers = {handler.name: handler for handler in await real.handlers()}
    assert {"echo", "fail", "http", "noop", "sleep", "demo.primes"} <= handlers.keys()
    assert handlers["demo.primes"].defaults["priority"] == "high"
    stats = await real.stats()
    assert set(stats.jobs) == set(State)
    assert stats.workers.slots == 100


async def test_the_blocking_client_does_the_same(url: str, tag: str) -> None:
    def use() -> list[str]:
        with SyncClient(url) as client:
            ids = client.submit_many([new_job("echo", {"n": n}, tags=[tag]) for n in range(3)])
            results = [str(client.wait(job_id, timeout=30).result) for job_id in ids]
            assert [job.id for job in client.iterate(tag=tag)] == list(reversed(ids))
            assert [job.state for job in client.watch(ids[0])] == ["SUCCESS"]
            return results

    assert await asyncio.to_thread(use) == ["{'n': 0}", "{'n': 1}", "{'n': 2}"]
