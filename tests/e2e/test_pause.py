"""A paused queue holds its backlog, whatever was on its way; resumed, all of it runs, once."""

from __future__ import annotations

import pytest

from horae.client import State
from tests.e2e.support.installation import Installation, once
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

COUNT = 1_000


async def test_a_paused_backlog_waits_and_then_runs(shared: Installation, queue: str) -> None:
    elsewhere = f"{queue}-elsewhere"
    await shared.serve("worker", queues=f"{queue},{elsewhere}", concurrency=10)
    ids = await shared.submit(COUNT, "witness", {"seconds": 0.02}, queue=queue)
    await eventually(lambda: shared.states(queue=queue).get(State.SUCCESS, 0) > COUNT // 10)
    await shared.client.pause(queue)
    await eventually(lambda: shared.states(queue=queue).keys() == {State.PENDING, State.SUCCESS})
    held = shared.states(queue=queue)
    for _ in range(10):
        # Each is a round of the scheduler, which has looked at the paused lane too.
        job = await shared.client.submit("noop", queue=elsewhere)
        assert (await shared.client.wait(job.id, 10)).succeeded
    assert shared.states(queue=queue) == held
    await shared.client.resume(queue)
    await shared.become({State.SUCCESS: COUNT}, 20, queue=queue)
    assert shared.runs(ids) == once(ids)
