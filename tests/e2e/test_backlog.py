"""A long backlog: it waits in the database, and keeps neither an urgent job nor a new worker waiting."""

from __future__ import annotations

from datetime import datetime

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from horae.broker.topology import work_queue
from horae.client import State
from tests.e2e.support.installation import Installation
from tests.support.brokers import depth
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

COUNT = 5_000
SLOTS = 20
FLAT = 4 * 1024 * 1024
"""bytes by which the memory of a process may grow at any time"""


async def test_an_urgent_job_overtakes_a_backlog(shared: Installation, queue: str) -> None:
    await shared.serve("worker", queues=queue, concurrency=SLOTS)
    await shared.submit(COUNT, "sleep", {"seconds": 0.2}, queue=queue, priority="low")
    await eventually(lambda: shared.states(queue=queue).get(State.SUCCESS, 0) > 3 * SLOTS)
    for _ in range(3):
        urgent = await shared.client.submit("noop", queue=queue, priority="critical")
        started = (await shared.client.wait(urgent.id, 10)).started_at
        assert started
        assert (started - urgent.created_at).total_seconds() <= 2
    assert shared.states(queue=queue)[State.PENDING] > COUNT / 2


async def test_without_a_worker_a_backlog_stays_in_the_database_until_one_comes(site: Installation, queue: str) -> None:
    scheduler, *_ = await site.serve_all("scheduler", "api", "worker")
    await rounds_of(site, 1)
    await site.submit(COUNT, "noop", queue=queue)
    memory = scheduler.memory
    await rounds_of(site, 20)
    assert scheduler.memory - memory < FLAT
    assert site.states(queue=queue) == {State.PENDING: COUNT}
    assert set(site.column("token", queue=queue)) == {0}
    assert await published(site.addresses.broker, queue) == 0

    await site.serve("worker", queues=queue)
    await site.become({State.SUCCESS: COUNT}, 20, queue=queue)
    first: datetime = min(site.column("started_at", queue=queue))
    (worker,) = [worker for worker in await site.client.workers() if worker.queues == (queue,)]
    assert worker.started_at
    assert (first - worker.started_at).total_seconds() <= 1


async def rounds_of(site: Installation, count: int) -> None:
    """Jobs of a queue that is served, one after the other: for each the scheduler has looked at every lane."""
    for _ in range(count):
        job = await site.client.submit("noop")
        assert (await site.client.wait(job.id, 10)).succeeded


async def published(broker: str, queue: str) -> int:
    """How many messages its work queue holds; a queue that nobody has ever declared holds none."""
    try:
        return await depth(broker, work_queue(queue))
    except ChannelNotFoundEntity:
        return 0
