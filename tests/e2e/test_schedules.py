"""Schedules as whole processes see them: thousands due in one second, killed schedulers, outages, real handlers."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from horae.client import State
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


@pytest.mark.parametrize("killed", [False, True], ids=["all live", "one is killed in the middle"])
async def test_thousands_due_in_one_second_fire_once_each(site: Installation, killed: bool) -> None:
    roles = await site.serve_all(*["scheduler"] * SCHEDULERS, "worker")
    first = CLOCK.now().replace(microsecond=0) + timedelta(seconds=10)
    with site.connection() as connection:
        ids = plant(connection, MANY, first, template=Template("witness"))
    print("PLANTED", (first-CLOCK.now()).total_seconds())
    if killed:
        await eventually(lambda: fired(site) > 0, 15)
        await roles[0].kill()
    await site.become({State.SUCCESS: MANY}, 60)
    found = site.rows(sa.select(jobs.c.id, jobs.c.schedule_id, jobs.c.fire_time, jobs.c.started_at, jobs.c.created_at))
    for q in ("created_at", "started_at"):
        late = sorted((getattr(r, q) - r.fire_time).total_seconds() for r in found)
        print("LATE", q, late[len(late) // 2], late[int(len(late) * 0.99)], late[-1])
    assert Counter(row.schedule_id for row in found) == Counter(ids)
    assert {row.fire_time for row in found} == {first}
    assert site.runs([row.id for row in found]) == once([row.id for row in found])
    ledger = site.rows(sa.select(occurrences.c.schedule_id, occurrences.c.verdict, occurrences.c.job_id))
    assert {(row.schedule_id, row.job_id) for row in ledger} == {(row.schedule_id, row.id) for row in found}
    assert {row.verdict for row in ledger} == {Verdict.FIRED}
    assert not [entry for role in roles for entry in role.events("duty.failed") + role.events("schedule.conflict")]


@pytest.fixture
async def api(site: Installation) -> Installation:
    await site.serve("api")
    return site


async def test_an_outage_of_all_schedulers_ends_as_each_policy_says(api: Installation) -> None:
    made = {
        misfire: await api.client.create_schedule(
            misfire, handler="noop", cron="* * * * * *", misfire=misfire.value, misfire_grace_seconds=1
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
