"""The client's schedules against the real api, with a real scheduler and worker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from horae.client import Client, Conflict, Invalid, NotFound, Schedule, Stale, SyncClient, new_job
from horae.runtime.clock import SystemClock

MISSING = "019ab000-0000-7000-8000-000000000001"


@pytest.fixture
async def real(url: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name of this test's own: all tests share one server."""
    return f"s-{uuid4().hex[:12]}"


async def nightly(client: Client, name: str) -> Schedule:
    return await client.create_schedule(name, new_job("echo", {"a": 1}), cron="0 3 * * *", timezone="Europe/Berlin")


async def ended(client: Client, schedule_id: str) -> Schedule:
    async with asyncio.timeout(20):
        while (schedule := await client.get_schedule(schedule_id)).state != "ENDED":
            await asyncio.sleep(0.1)
    return schedule


async def test_a_schedule_fires_to_its_end(real: Client, name: str) -> None:
    made = await real.create_schedule(
        name, new_job("echo", {"tick": 1}), interval_seconds=timedelta(seconds=1), max_runs=2
    )
    assert (made.state, made.runs, made.version) == ("ACTIVE", 0, 1)
    over = await ended(real, made.id)
    assert (over.runs, over.next_fire_at) == (2, None)
    assert over.ended_reason == "max_runs 2 was reached"
    jobs = [await real.wait(job.id, timeout=20) async for job in real.iterate(schedule_id=made.id)]
    assert [job.succeeded for job in jobs] == [True, True]
    lines = [line async for line in real.occurrences(made.id)]
    assert [(line.state, line.job_id, line.fire_time) for line in lines] == [
        ("fired", job.id, job.fire_time) for job in jobs
    ]
    assert lines[0].fire_time - lines[1].fire_time == timedelta(seconds=1)
    assert [entry.action async for entry in real.history(made.id)] == ["ended", "created"]


async def test_a_schedule_is_changed_paused_and_deleted(real: Client, name: str) -> None:
    made = await nightly(real, name)
    assert made.description == "At 03:00 every day, by the clock of Europe/Berlin."
    changed = await real.update_schedule(made.id, made.version, cron="30 4 * * *", max_runs=9)
    assert [fire.local_time.hour for fire in changed.before] == [3] * 5
    assert [(fire.local_time.hour, fire.local_time.minute) for fire in changed.after] == [(4, 30)] * 5
    with pytest.raises(Stale):
        await real.update_schedule(made.id, made.version, overlap="skip")
    assert (await real.update_schedule(made.id, changed.schedule.version, max_runs=None)).schedule.max_runs is None
    paused = await real.pause_schedule(made.id)
    assert (paused.state, paused.next_fire_at) == ("PAUSED", None)
    assert (await real.resume_schedule(made.id)).state == "ACTIVE"
    await real.delete_schedule(made.id)
    with pytest.raises(NotFound):
        await real.get_schedule(made.id)
    assert (await real.list_history(made.id, limit=1)).items[0].action == "deleted"


async def test_a_name_is_given_once(real: Client, name: str) -> None:
    made = await nightly(real, name)
    with pytest.raises(Conflict) as caught:
        await nightly(real, name)
    assert caught.value.problem.extra["id"] == made.id
    assert [one.id async for one in real.schedules(name=name)] == [made.id]


async def test_a_schedule_is_triggered(real: Client, name: str) -> None:
    made = await nightly(real, name)
    job = await real.trigger_schedule(made.id)
    assert (job.schedule_id, job.fire_time) == (made.id, None)
    assert (await real.wait(job.id, timeout=20)).result == {"a": 1}
    assert (await real.get_schedule(made.id)).runs == 0


async def test_previews_at_a_clock_change(real: Client, name: str) -> None:
    made = await nightly(real, name)
    begin = datetime(2027, 3, 27, 12, tzinfo=UTC)
    stored = await real.preview_schedule(made.id, count=2, begin=begin)
    offsets = [fire.local_time.utcoffset() for fire in stored.items]
    assert offsets == [timedelta(hours=2)] * 2
    seen = await real.preview(cron="30 2 * * *", timezone="Europe/Berlin", count=1, begin=begin)
    assert seen.items[0].note is not None
    assert seen.items[0].local_time.hour == 3
    skipping = await real.preview(cron="30 2 * * *", timezone="Europe/Berlin", dst_gap="skip", count=1, begin=begin)
    assert [(one.local_time.hour, one.local_time.minute) for one in skipping.dropped] == [(2, 30)]


async def test_a_past_range_is_backfilled(real: Client, name: str) -> None:
    made = await nightly(real, name)
    now = SystemClock().now()
    backfill = await real.backfill(made.id, now - timedelta(days=3), now, max_concurrent=3)
    async with asyncio.timeout(20):
        while backfill.is_running:
            await asyncio.sleep(0.1)
            backfill = await real.get_backfill(made.id, backfill.id)
    assert (backfill.state, backfill.total, backfill.succeeded, backfill.failed) == ("DONE", 3, 3, 0)
    assert [one.id async for one in real.backfills(made.id)] == [backfill.id]
    lines = [line async for line in real.occurrences(made.id, state=["backfilled", "fired"])]
    assert [line.state for line in lines] == ["backfilled"] * 3
    with pytest.raises(Conflict):
        await real.cancel_backfill(made.id, backfill.id)


async def test_what_is_wrong_is_named(real: Client, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await real.create_schedule(name, new_job("nope"), cron="0 0 30 2 *", timezone="Europe/Berlim")
    assert {error.field for error in caught.value.errors} >= {"cron", "timezone"}
    with pytest.raises(NotFound):
        await real.trigger_schedule(MISSING)


async def test_the_blocking_client_does_it_too(url: str, name: str) -> None:
    def use() -> list[str]:
        with SyncClient(url) as client:
            made = client.create_schedule(name, new_job("echo"), interval_seconds=3600)
            client.trigger_schedule(made.id)
            return [one.name for one in client.schedules(q=name)]

    assert await asyncio.to_thread(use) == [name]
