from __future__ import annotations

import asyncio
import gc
import json
import math
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import structlog

from horae.domain.ids import JobId
from horae.domain.job import Priority
from horae.domain.retry import Backoff
from horae.handlers.context import JobContext, JobFacts, ThreadJobContext, as_text
from horae.store.base import Run
from tests.handlers.contexts import FACTS, FIRE_TIME, Reports, context


def test_facts_of_a_run() -> None:
    run = Run(
        id=JobId("j"),
        token=3,
        namespace="acme",
        queue="mail",
        priority=Priority.NORMAL,
        handler="invoice.send",
        payload="{}",
        attempt=2,
        failures=1,
        losses=0,
        max_retries=3,
        backoff=Backoff(),
        timeout_seconds=30,
        retry_for_seconds=None,
        idempotency_key="the client's",
        schedule_id="s",
        fire_time=FIRE_TIME,
        late=0.0,
        elapsed=0.0,
    )
    facts = JobFacts.of(run)
    assert facts == JobFacts("j", 2, 3, "invoice.send", "mail", "acme", "s", FIRE_TIME)


async def test_a_context_tells_the_facts() -> None:
    ctx = JobContext(FACTS, Reports())
    assert {each.name: getattr(ctx, each.name) for each in fields(FACTS)} == asdict(FACTS)


async def test_the_idempotency_key_is_the_same_at_every_attempt() -> None:
    assert {context(attempt=n, token=n).idempotency_key for n in range(3)} == {FACTS.job_id}
    scheduled = {context(attempt=n, fire_time=FIRE_TIME).idempotency_key for n in range(3)}
    assert scheduled == {f"{FACTS.job_id}:2026-03-29T01:30:00Z"}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC), "2026-01-02T03:04:05.000060Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05Z"),
    ],
)
def test_times_as_text(moment: datetime, text: str) -> None:
    assert as_text(moment) == text


async def test_progress_is_reported() -> None:
    reports = Reports()
    ctx = context(reports)
    await ctx.progress(0)
    await ctx.progress(0.5, "rendered")
    await ctx.progress(1, "x" * 2000)
    assert reports.seen == [(0.0, ""), (0.5, "rendered"), (1.0, "x" * 1000)]


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
async def test_progress_lies_between_0_and_1(value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        await context().progress(value)


async def test_a_message_that_json_can_t_hold_is_mended() -> None:
    reports = Reports()
    await context(reports).progress(0.5, "a\ud800b")
    assert json.dumps(reports.seen[0][1]).encode() == b'"a?b"'


async def test_cancelled() -> None:
    ctx = context()
    seen = [ctx.cancelled]
    waiting = asyncio.create_task(ctx.wait_cancelled())
    ctx.ask_to_cancel()
    seen.append(ctx.cancelled)
    assert seen == [False, True]
    async with asyncio.timeout(5):
        await waiting


async def test_the_log_names_the_job() -> None:
    with structlog.testing.capture_logs() as lines:
        context(handler="invoice.send").log.info("rendered", pages=3)
    assert lines == [
        {
            "event": "rendered",
            "log_level": "info",
            "pages": 3,
            "job_id": FACTS.job_id,
            "handler": "invoice.send",
            "attempt": 2,
        }
    ]


def in_thread(reports: Reports) -> ThreadJobContext:
    return ThreadJobContext(FACTS, reports, asyncio.get_running_loop())


async def test_progress_from_a_thread_is_reported_before_it_returns() -> None:
    reports = Reports()
    ctx = in_thread(reports)

    def work() -> list[Any]:
        ctx.progress(0.5, "half")
        return list(reports.seen)

    assert await asyncio.to_thread(work) == [(0.5, "half")]


async def test_progress_of_a_thread_refuses_to_block_the_loop() -> None:
    with pytest.raises(RuntimeError, match="this progress\\(\\) blocks"):
        in_thread(Reports()).progress(0.5)


async def test_progress_after_the_worker_has_ended() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    ctx = ThreadJobContext(FACTS, Reports(), loop)
    with pytest.raises(RuntimeError, match="closed"):
        await asyncio.to_thread(ctx.progress, 0.5)
    gc.collect()  # a coroutine that was left behind would warn, which fails the test


async def test_a_thread_can_wait_for_its_cancellation() -> None:
    ctx = in_thread(Reports())
    assert await asyncio.to_thread(ctx.wait_cancelled, 0.001) is False
    waiting = asyncio.create_task(asyncio.to_thread(ctx.wait_cancelled, 5))
    ctx.ask_to_cancel()
    assert await waiting is True
    assert ctx.cancelled
