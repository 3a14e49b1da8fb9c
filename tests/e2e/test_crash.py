"""Each role killed outright in the middle of its work: others take up what it held, and nothing is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from horae.client import Client, ClientError, Retries, State
from horae.domain.job import Outcome
from tests.e2e.support.installation import Installation, once
from tests.support.blackhole import BlackHole
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

LEASE = 3.0
SUBMITTERS, EACH = 8, 30


async def test_jobs_of_a_killed_worker_succeed_on_another(shared: Installation, queue: str) -> None:
    doomed = await shared.serve("worker", queues=queue, concurrency=50, lease_seconds=LEASE)
    ids = await shared.submit(50, "witness", {"seconds": 60, "again": 0}, queue=queue)
    await shared.become({State.RUNNING: 50}, 5, queue=queue)
    await shared.serve("worker", queues=queue, concurrency=50, lease_seconds=LEASE)
    await doomed.kill()
    await shared.become({State.SUCCESS: 50}, LEASE + 10, queue=queue)
    assert shared.outcomes(queue=queue) == {Outcome.LOST: 50}
    assert set(shared.column("failures", queue=queue)) == {0}
    assert shared.runs(ids, "end") == once(ids)


@pytest.fixture
async def hole(broker: str) -> AsyncIterator[BlackHole]:
    async with BlackHole.before(broker) as made:
        yield made


async def test_jobs_claimed_by_a_killed_scheduler_and_never_published_succeed(
    site: Installation, hole: BlackHole
) -> None:
    await site.serve_all("api", "worker")
    through_hole = replace(site.addresses, broker=hole.url)
    scheduler = await site.serve("scheduler", through_hole, dispatch_lease_seconds=LEASE)
    await site.submit(1, "witness")
    await site.become({State.SUCCESS: 1}, 10)
    hole.swallow()
    ids = await site.submit(20, "witness")
    await site.become({State.SUCCESS: 1, State.QUEUED: 20}, 10)
    await scheduler.kill()
    await scheduler.start()
    await site.become({State.SUCCESS: 21}, LEASE + 10)
    assert site.runs(ids) == once(ids)


class Submitter:
    """A client that repeats each request with its key until it is answered, as its user would by hand."""

    def __init__(self, url: str, number: int) -> None:
        self.keys = [f"{number}-{place}" for place in range(EACH)]
        self.ids: list[str] = []
        self.repeats = 0
        self._url = url

    async def run(self) -> None:
        async with Client(self._url, retries=Retries(attempts=1)) as client:
            for key in self.keys:
                self.ids.append(await self._insist(client, key))

    async def _insist(self, client: Client, key: str) -> str:
        while True:
            try:
                return (await client.submit("noop", idempotency_key=key)).id
            except ClientError:
                self.repeats += 1
                await asyncio.sleep(0.05)


async def test_a_submission_repeated_after_the_api_was_killed_makes_one_row(site: Installation) -> None:
    api = await site.serve("api")
    submitters = [Submitter(site.client.url, number) for number in range(SUBMITTERS)]
    async with asyncio.TaskGroup() as group:
        for submitter in submitters:
            group.create_task(submitter.run())
        for third in (1, 2):
            enough = third * SUBMITTERS * EACH // 3
            await eventually(lambda enough=enough: len(site.column("id")) >= enough)  # type: ignore[misc]
            await api.kill()
            await api.start()
    assert sum(submitter.repeats for submitter in submitters) >= 2 * SUBMITTERS
    answered = {key: id_ for s in submitters for key, id_ in zip(s.keys, s.ids, strict=True)}
    assert sorted(site.column("idempotency_key")) == sorted(answered)
    assert set(site.column("id")) == set(answered.values())
