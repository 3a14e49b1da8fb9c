"""Schedules as whole processes see them: thousands due in one second, killed schedulers, outages, real handlers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from horae.client import State, new_job
from horae.domain.schedule import Misfire, Verdict
from horae.domain.template import Template
from horae.runtime.clock import SystemClock
from horae.store.tables import jobs, occurrences
from tests.e2e.support.installation import Installation, once
from tests.support.planting import plant
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

CLOCK = SystemClock()
MANY = 5_000
SCHEDULERS = 3


def lines(site: Installation, schedule_id: str) -> list[Any]:
    """The ledger of a schedule, oldest first, read past the product."""
    wanted = sa.select(occurrences).where(occurrences.c.schedule_id == schedule_id)
    return site.rows(wanted.order_by(occurrences.c.fire_time, occurrences.c.missed))


def fired(site: Installation) -> int:
    return int(site.rows(sa.select(sa.func.count()).select_from(occurrences))[0][0])


@pytest.fixture(autouse=True)
async def quiet(site: Installation) -> AsyncIterator[None]:
    """Nothing that happens here is an error to any role."""
    yield
    assert [error for role in site.roles for error in role.errors()] == []


@pytest.mark.parametrize("killed", [False, True], ids=["all live", "one is killed in the middle"])
async def test_thousands_due_in_one_second_fire_once_each(site: Installation, killed: bool) -> None:
    roles = await site.serve_all(*["scheduler"] * SCHEDULERS, "worker")
    first = CLOCK.now().replace(microsecond=0) + timedelta(seconds=6)
    with site.connection() as connection:
        ids = plant(connection, MANY, first, template=Template("witness"))
    if killed:
        await eventually(lambda: fired(site) > 0, 15)
        await roles[0].kill()
    await site.become({State.SUCCESS: MANY}, 60)
    found = site.rows(sa.select(jobs.c.id, jobs.c.schedule_id, jobs.c.fire_time))
    assert Counter(row.schedule_id for row in found) == Counter(ids)
    assert {row.fire_time for row in found} == {first}
    assert site.runs([row.id for row in found]) == once([row.id for row in found])
    ledger = site.rows(sa.select(occurrences.c.schedule_id, occurrences.c.verdict, occurrences.c.job_id))
    assert {(row.schedule_id, row.job_id) for row in ledger} == {(row.schedule_id, row.id) for row in found}
    assert {row.verdict for row in ledger} == {Verdict.FIRED}
    assert not [entry for role in roles for entry in role.events("schedule.conflict")]


@pytest.fixture
async def api(site: Installation) -> Installation:
    await site.serve("api")
    return site


async def test_an_outage_of_all_schedulers_ends_as_each_policy_says(api: Installation) -> None:
    made = {
        misfire: await api.client.create_schedule(
            misfire, new_job("noop"), cron="* * * * * *", misfire=misfire.value, misfire_grace_seconds=1
        )
        for misfire in Misfire
    }
    scheduler = await api.serve("scheduler")
    await eventually(lambda: all(len(lines(api, each.id)) >= 2 for each in made.values()), 15)
    await scheduler.kill()
    down = CLOCK.now()
    await asyncio.sleep(8)
    await scheduler.start()
    up = CLOCK.now() + timedelta(seconds=1)
    await eventually(lambda: all(_until(api, each.id) > up + timedelta(seconds=5) for each in made.values()), 30)
    for misfire, schedule in made.items():
        ledger = lines(api, schedule.id)
        assert_without_holes(ledger)
        outage = [line for line in ledger if down + timedelta(seconds=1) < line.fire_time < up - timedelta(seconds=3)]
        assert len(outage) >= 4
        allowed = {
            Misfire.SKIP: {Verdict.SKIPPED},
            Misfire.FIRE_ONCE: {Verdict.COALESCED},
            Misfire.FIRE_ALL: {Verdict.FIRED},
        }
        assert {Verdict(line.verdict) for line in outage} == allowed[misfire], misfire
        assert_each_fire_has_its_job(api, schedule.id, ledger)


def _until(site: Installation, schedule_id: str) -> datetime:
    found: datetime = lines(site, schedule_id)[-1].fire_time
    return found


def assert_without_holes(ledger: list[Any]) -> None:
    """One line for each second."""
    first = ledger[0].fire_time
    assert [line.fire_time for line in ledger] == [first + timedelta(seconds=number) for number in range(len(ledger))]


def assert_each_fire_has_its_job(site: Installation, schedule_id: str, ledger: list[Any]) -> None:
    found = site.rows(sa.select(jobs.c.id, jobs.c.fire_time).where(jobs.c.schedule_id == schedule_id))
    told = {(line.job_id, line.fire_time) for line in ledger if line.verdict == Verdict.FIRED}
    assert told <= {(row.id, row.fire_time) for row in found}
    assert max(Counter(row.fire_time for row in found).values()) == 1


# ------------------------------------------------------------------------------------------------------- real handlers


@pytest.fixture
async def whole(api: Installation) -> Installation:
    await api.serve_all("scheduler", "worker")
    await eventually(lambda: _known(api, "witness"))
    return api


async def _known(site: Installation, handler: str) -> bool:
    return handler in {each.name for each in await site.client.handlers()}


async def test_an_occurrence_is_skipped_while_the_job_before_it_runs(whole: Installation) -> None:
    job = new_job("witness", {"seconds": 2.5})
    made = await whole.client.create_schedule("slow", job, cron="* * * * * *", overlap="skip")
    await eventually(lambda: _fired_lines(whole, made.id) >= 3, 30)
    ledger = lines(whole, made.id)
    assert_without_holes(ledger)
    assert {(line.verdict, line.reason) for line in ledger} == {("fired", None), ("skipped", "overlap")}
    taken = [(row.started_at, row.finished_at) for row in _jobs(whole, made.id) if row.started_at]
    assert all(end is not None and end <= begin for (_, end), (begin, _) in pairwise(taken))


async def test_the_job_before_it_is_cancelled_by_its_replacement(whole: Installation) -> None:
    job = new_job("witness", {"seconds": 60})
    made = await whole.client.create_schedule("latest", job, interval_seconds=3, overlap="replace")
    await eventually(lambda: _fired_lines(whole, made.id) >= 3, 30)
    await whole.client.pause_schedule(made.id)
    await eventually(lambda: [row.state for row in _jobs(whole, made.id)[:2]] == [State.CANCELLED] * 2, 10)
    await eventually(lambda: _jobs(whole, made.id)[-1].state == State.RUNNING, 10)
    cancelled = _jobs(whole, made.id)[0]
    assert cancelled.started_at is not None


async def test_what_has_not_succeeded_in_time_is_missed(whole: Installation) -> None:
    failing = new_job("fail", {"times": 9}, max_retries=0)
    made = await whole.client.create_schedule(
        "watched", failing, cron="* * * * * *", max_runs=2, must_succeed_within_seconds=1
    )
    await eventually(lambda: sum(line.missed for line in lines(whole, made.id)) == 2, 30)
    fires = [line for line in lines(whole, made.id) if line.verdict == Verdict.FIRED]
    missed = [line for line in lines(whole, made.id) if line.missed]
    assert [line.fire_time for line in missed] == [line.fire_time for line in fires]
    assert {line.reason for line in missed} == {"no_success"}
    assert all("FAILED" in line.detail for line in missed)


async def test_a_past_day_is_made_up_for(whole: Installation) -> None:
    made = await whole.client.create_schedule("hourly", new_job("witness"), cron="0 * * * *")
    now = CLOCK.now().replace(minute=0, second=0, microsecond=0)
    begin, end = now - timedelta(hours=24), now - timedelta(hours=1)
    backfill = await whole.client.backfill(made.id, begin, end, max_concurrent=4)
    assert backfill.total == 24
    await eventually(lambda: _done(whole, made.id, backfill.id), 60)
    after = await whole.client.get_backfill(made.id, backfill.id)
    assert (after.made, after.kept, after.succeeded, after.failed, after.running) == (24, 0, 24, 0, 0)
    found = _jobs(whole, made.id)
    assert [row.fire_time for row in found] == [begin + timedelta(hours=number) for number in range(24)]
    assert whole.runs([row.id for row in found]) == once([row.id for row in found])


async def _done(site: Installation, schedule_id: str, backfill_id: str) -> bool:
    return (await site.client.get_backfill(schedule_id, backfill_id)).state == "DONE"


def _fired_lines(site: Installation, schedule_id: str) -> int:
    return sum(line.verdict == Verdict.FIRED for line in lines(site, schedule_id))


def _jobs(site: Installation, schedule_id: str) -> list[Any]:
    """In the order of their fire times."""
    return site.rows(sa.select(jobs).where(jobs.c.schedule_id == schedule_id).order_by(jobs.c.fire_time))
