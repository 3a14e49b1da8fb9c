"""The main job through three processes: submitted over HTTP, claimed, delivered, run, retried, finished."""

from __future__ import annotations

import aio_pika
import pytest

from horae.broker.delays import LEVELS, level_name
from horae.client import Backoff, Job, State
from tests.e2e.support.installation import Installation
from tests.support.brokers import raw_channel
from tests.support.waiting import eventually

pytestmark = pytest.mark.service


def late(job: Job) -> float:
    """Seconds from when it was due to its start."""
    assert job.started_at
    return (job.started_at - job.run_at).total_seconds()


async def delayed(channel: aio_pika.abc.AbstractChannel) -> int:
    """How many messages the delay queues hold, by passive declares."""
    queues = [await channel.declare_queue(level_name(level), passive=True) for level in range(LEVELS)]
    return sum(queue.declaration_result.message_count or 0 for queue in queues)


async def test_ten_thousand_jobs_by_one_request_succeed(site: Installation) -> None:
    await site.serve_all("api", "scheduler", "worker")
    await site.submit(10_000, "noop")
    await site.become({State.SUCCESS: 10_000}, 45)
    assert set(site.column("attempt")) == {1}


async def test_a_retry_rides_the_delay_queues(shared: Installation, queue: str) -> None:
    await shared.serve("worker", queues=queue)
    backoff = Backoff(kind="fixed", base_seconds=2, jitter=0)
    async with raw_channel(shared.addresses.broker) as channel:
        job = await shared.client.submit("fail", {"times": 2}, queue=queue, backoff=backoff)
        await eventually(lambda: shared.states(id=job.id) == {State.RETRYING: 1})

        async def one_waits() -> bool:
            return await delayed(channel) == 1

        await eventually(one_waits, 1.5)
        job = await shared.client.wait(job.id, 15)
        assert await delayed(channel) == 0
    assert (job.state, job.attempt, job.failures) == (State.SUCCESS, 3, 2)
    first, second, third = await shared.client.attempts(job.id)
    for earlier, later in ((first, second), (second, third)):
        assert 2 <= (later.started_at - earlier.finished_at).total_seconds() < 3


async def test_a_running_job_is_cancelled_within_two_seconds(shared: Installation, queue: str) -> None:
    await shared.serve("worker", queues=queue)
    job = await shared.client.submit("sleep", {"seconds": 60}, queue=queue)
    await eventually(lambda: shared.states(id=job.id) == {State.RUNNING: 1})
    await shared.client.cancel(job.id)
    await shared.become({State.CANCELLED: 1}, 2, id=job.id)


async def test_a_delayed_job_starts_on_time(shared: Installation, queue: str) -> None:
    await shared.serve("worker", queues=queue)
    delays = (1.7, 2.0, 2.3)
    submitted = [await shared.client.submit("noop", queue=queue, delay=seconds) for seconds in delays]
    for seconds, job in zip(delays, submitted, strict=True):
        assert (job.run_at - job.created_at).total_seconds() == pytest.approx(seconds)
        assert 0 <= late(await shared.client.wait(job.id, 10)) < 1
