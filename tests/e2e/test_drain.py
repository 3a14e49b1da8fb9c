"""Workers that are told to stop, or are stopped: what they run ends once, here or elsewhere."""

from __future__ import annotations

import signal

import pytest

from horae.client import State
from horae.domain.job import Outcome
from tests.e2e.support.installation import Installation, once
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

LEASE = 3.0


async def test_a_drain_lets_short_jobs_end_and_gives_long_ones_to_others(shared: Installation, queue: str) -> None:
    leaving = await shared.serve("worker", queues=queue, drain_seconds=2)
    short = await shared.submit(20, "witness", {"seconds": 1.5}, queue=queue)
    long = await shared.submit(20, "witness", {"seconds": 60, "again": 0}, queue=queue)
    await shared.become({State.RUNNING: 40}, 5, queue=queue)
    await shared.serve("worker", queues=queue)
    assert await leaving.stop() == 0
    await shared.become({State.SUCCESS: 40}, 5, queue=queue)
    assert shared.outcomes(queue=queue) == {Outcome.RELEASED: 20}
    assert set(shared.column("failures", queue=queue)) == {0}
    assert shared.runs(short) == once(short)
    assert shared.runs(long, "end") == once(long)


async def test_a_second_signal_ends_the_drain(shared: Installation, queue: str) -> None:
    leaving = await shared.serve("worker", queues=queue, drain_seconds=60)
    ids = await shared.submit(5, "witness", {"seconds": 60, "again": 0}, queue=queue)
    await shared.become({State.RUNNING: 5}, 5, queue=queue)
    leaving.signal(signal.SIGTERM)
    await eventually(lambda: bool(leaving.events("worker.draining")))
    leaving.signal(signal.SIGTERM)
    assert await leaving.ended(5) == 1
    assert shared.states(queue=queue) == {State.PENDING: 5}
    assert shared.outcomes(queue=queue) == {Outcome.RELEASED: 5}
    await shared.serve("worker", queues=queue)
    await shared.become({State.SUCCESS: 5}, 5, queue=queue)
    assert shared.runs(ids, "end") == once(ids)


async def test_a_worker_that_was_paused_past_its_lease_fences_itself(shared: Installation, queue: str) -> None:
    paused = await shared.serve("worker", queues=queue, lease_seconds=LEASE)
    await shared.submit(10, "witness", {"seconds": 60, "again": 0}, queue=queue)
    await shared.become({State.RUNNING: 10}, 5, queue=queue)
    running = await shared.serve("worker", queues=queue, lease_seconds=LEASE)
    paused.signal(signal.SIGSTOP)
    await shared.become({State.SUCCESS: 10}, LEASE + 10, queue=queue)
    ended = endings(shared, queue)
    paused.signal(signal.SIGCONT)
    await eventually(lambda: len(paused.events("worker.registered")) == 2)
    assert paused.events("worker.fenced")
    await running.kill()
    late = await shared.client.submit("noop", queue=queue)
    assert (await shared.client.wait(late.id, 10)).succeeded
    assert endings(shared, queue) >= ended
    assert shared.outcomes(queue=queue) == {Outcome.LOST: 10}


def endings(site: Installation, queue: str) -> set[tuple[object, ...]]:
    """What the queue's jobs came to: any further move of one would show."""
    columns = ("id", "state", "token", "attempt", "worker_id", "finished_at")
    return set(zip(*(site.column(name, queue=queue) for name in columns), strict=True))
