"""Handlers that harm the process that they run in: they pay for it themselves, and their neighbours don't."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from horae.client import Backoff, State
from horae.domain.job import Outcome
from tests.e2e.support.installation import Installation, once
from tests.e2e.support.roles import Role

pytestmark = pytest.mark.service

LEASE = 3.0
QUICK = Backoff(kind="fixed", base_seconds=0.1, jitter=0)


async def test_an_isolated_handler_that_kills_its_process_fails_alone(shared: Installation, queue: str) -> None:
    worker = await shared.serve("worker", queues=queue)
    neighbours = await shared.submit(10, "witness", {"seconds": 3}, queue=queue)
    poison = await shared.client.submit("isolated-poison", queue=queue, max_retries=1, backoff=QUICK)
    poison = await shared.client.wait(poison.id, 20)
    assert (poison.state, poison.attempt, poison.failures) == (State.FAILED, 2, 2)
    assert poison.error
    assert poison.error.type == "lost"
    assert "SIGKILL" in poison.error.message
    assert [each.outcome for each in await shared.client.attempts(poison.id)] == [Outcome.LOST] * 2
    await shared.become({State.SUCCESS: 10, State.FAILED: 1}, 10, queue=queue)
    assert shared.runs(neighbours) == once(neighbours)
    assert worker.alive


async def test_a_poison_job_is_found_and_its_neighbours_succeed(shared: Installation, queue: str) -> None:
    worker = await shared.serve("worker", queues=queue, lease_seconds=LEASE)
    async with supervised(worker):
        neighbours = await shared.submit(10, "witness", {"seconds": 1}, queue=queue, backoff=QUICK)
        poison = await shared.client.submit("poison", queue=queue, max_retries=1, backoff=QUICK)
        poison = await shared.client.wait(poison.id, 50)
        await shared.become({State.SUCCESS: 10, State.FAILED: 1}, 20, queue=queue)
    # Twice it took its worker along, then it ran in a process of its own and counted.
    assert (poison.state, poison.attempt, poison.failures) == (State.FAILED, 4, 2)
    assert [each.outcome for each in await shared.client.attempts(poison.id)] == [Outcome.LOST] * 4
    assert shared.runs(neighbours, "end") == once(neighbours)


async def test_a_handler_that_blocks_the_loop_past_the_lease_is_not_run_twice(shared: Installation, queue: str) -> None:
    workers = await shared.serve_all("worker", "worker", queues=queue, lease_seconds=LEASE)
    ids = await shared.submit(1, "blocking", {"seconds": 3 * LEASE}, queue=queue)
    await shared.become({State.SUCCESS: 1}, 3 * LEASE + 5, queue=queue)
    assert shared.runs(ids) == once(ids)
    assert shared.outcomes(queue=queue) == {}
    assert any(worker.events("loop.blocked") for worker in workers)
    assert not any(worker.events("worker.fenced") for worker in workers)


@asynccontextmanager
async def supervised(role: Role) -> AsyncIterator[None]:
    """Starts it again whenever it has ended, as a supervisor does."""

    async def supervise() -> None:
        while True:
            await role.ended(60)
            await role.start()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervise())
        yield
        task.cancel()
