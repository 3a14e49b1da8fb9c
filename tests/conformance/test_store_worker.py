"""The worker's way from deliveries to outcomes (T5 to T10, T14, T19), over both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from horae.domain.job import FINAL, Failure, Outcome, Priority, Reference, State
from horae.domain.retry import Backoff
from horae.domain.transitions import CANCEL_RUNNING, FAIL, FAIL_FOR_GOOD, RELEASE, RETRY_ASKED, SUCCEED, Move
from horae.store.base import Finish, Finished, Run, Starts
from tests.support.clock import START
from tests.support.factories import LEASE, job_id
from tests.support.scene import BROKEN, HANDLERS, Scene, with_token

MEGABYTE = 1 << 20

# ------------------------------------------------------------------------------------------------------------ start


async def test_a_start_brings_all_that_the_run_needs(scene: Scene) -> None:
    new = scene.new(
        payload='{"to": "Zoë"}',
        queue="mail",
        priority=Priority.HIGH,
        run_at=START - timedelta(seconds=2),
        max_retries=4,
        backoff=Backoff("fixed", 9.0),
        timeout_seconds=1.5,
        retry_for_seconds=60.0,
        idempotency_key="k",
        request_hash=b"1" * 32,
    )
    await scene.stores.jobs.submit("space", [new])
    lane_of_it = ("space", "mail", Priority.HIGH)
    references = await scene.stores.dispatch.claim(lane(*lane_of_it), 1, LEASE)
    scene.clock.turn(0.5)
    starts = await scene.start(*references)
    run = Run(
        id=new.id,
        token=1,
        namespace="space",
        queue="mail",
        priority=Priority.HIGH,
        handler=new.handler,
        payload=new.payload,
        attempt=1,
        failures=0,
        losses=0,
        max_retries=4,
        backoff=new.backoff,
        timeout_seconds=1.5,
        retry_for_seconds=60.0,
        idempotency_key="k",
        schedule_id=None,
        fire_time=None,
        late=2.5,
        elapsed=0.0,
    )
    assert starts == Starts([run], [])
    job = await scene.job(new.id, "space")
    assert (job.started_at, job.first_started_at, job.worker_id) == (scene.clock.now(), scene.clock.now(), scene.worker)


def lane(namespace: str, queue: str, priority: Priority):  # type: ignore[no-untyped-def]
    from horae.domain.job import Lane

    return Lane(namespace, queue, priority)
