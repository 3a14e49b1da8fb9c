"""MySQL: no call scans or sorts the jobs, whichever statements it is made of.

The statements are those that the calls really send, over a database with tens of thousands of jobs.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from horae.domain.ids import WorkerId
from horae.domain.job import Failure, Lane, Outcome, Priority, Reference, State
from horae.domain.transitions import FAIL, SUCCEED
from horae.runtime.clock import SystemClock
from horae.store import base, base_schedules, filters
from horae.store.base import Edit, Finish, HandlerInfo, JobFilter, RequestKey, Retention
from horae.store.sql import Stores, open_stores
from horae.store.tables import jobs
from tests.support.databases import mysql_database
from tests.support.factories import HANDLER, job_id, new_job, new_worker
from tests.support.filling import COUNTS, HANDLERS, Day, fill
from tests.support.filling_schedules import COUNT as SCHEDULES
from tests.support.plans import Statement, Step, built_anew, recorded
from tests.support.schedule_calls import CALLS as SCHEDULE_CALLS

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

ALL = sum(COUNTS.values())
CLOCK = SystemClock()
SPACE = "space"


@dataclass(frozen=True)
class Busy:
    """Stores over a database in the middle of a busy day."""

    stores: Stores
    day: Day

    async def some(self, state: State, count: int, *where: sa.ColumnElement[bool]) -> list[sa.Row[Any]]:
        """Jobs in that state."""
        wanted = sa.select(jobs.c.id, jobs.c.token, jobs.c.worker_id, jobs.c.namespace).where(jobs.c.state == state)
        async with self.stores.database.engine.connect() as connection:
            return [*(await connection.execute(wanted.where(*where).limit(count)))]

    async def references(self, state: State, count: int, *where: sa.ColumnElement[bool]) -> list[Reference]:
        """References to jobs in that state."""
        return [Reference(row.id, row.token) for row in await self.some(state, count, *where)]

    @property
    def worker(self) -> WorkerId:
        """A live worker."""
        return WorkerId(self.day.workers[0])

    def mine(self) -> sa.ColumnElement[bool]:
        """What runs on it."""
        return jobs.c.worker_id == self.worker


@pytest.fixture(scope="module")
async def busy(mysql_server: str) -> AsyncIterator[Busy]:
    """By the server's own clock, as in production: the statements are the same."""
    with mysql_database(mysql_server) as url:
        stores = open_stores(url, CLOCK)
        await stores.schema.migrate()
        yield Busy(stores, await fill(stores))
        await stores.close()


# ------------------------------------------------------------------------------------------------------------- calls

Call = Callable[[Busy], Awaitable[object]]

PAGES: dict[str, JobFilter] = {
    "all": JobFilter(),
    "one state": JobFilter(states=frozenset({State.FAILED})),
    "rare state": JobFilter(states=frozenset({State.RUNNING})),
    "two states": JobFilter(states=frozenset({State.FAILED, State.RUNNING})),
    "open states": JobFilter(states=frozenset({State.PENDING, State.QUEUED, State.RUNNING, State.RETRYING})),
    "queue": JobFilter(queue="mail"),
    "handler": JobFilter(handler="http"),
    "rare handler": JobFilter(handler="rare.handler"),
    "unknown handler": JobFilter(handler="unknown"),
    "state and queue": JobFilter(states=frozenset({State.FAILED}), queue="mail"),
    "state and handler": JobFilter(states=frozenset({State.FAILED}), handler="http"),
    "tag": JobFilter(tag="red"),
    "rare tag": JobFilter(tag="rare"),
    "unknown tag": JobFilter(tag="unknown"),
    "tag and state": JobFilter(tag="red", states=frozenset({State.FAILED})),
    "tag and two states": JobFilter(tag="red", states=frozenset({State.FAILED, State.RUNNING})),
    "schedule": JobFilter(schedule_id="0190a8a0-0000-7000-8000-000000000000"),
    "created after": JobFilter(created_after=CLOCK.now() - timedelta(minutes=10)),
    "created before": JobFilter(created_before=CLOCK.now() - timedelta(hours=3)),
    "text: id": JobFilter(text="0190a8a0-0000-7000-8000-000000000000"),
    "text: handler": JobFilter(text="mail."),
    "text: rare handler": JobFilter(text="rare."),
    "text: tag": JobFilter(text="rare"),
    "text: error": JobFilter(text="broken valueerror"),
    "text: nothing": JobFilter(text="nowhere"),
    "text and two states": JobFilter(text="broken", states=frozenset({State.FAILED, State.RUNNING})),
}


def page(name: str, *, late: bool) -> Call:
    async def call(busy: Busy) -> object:
        before = job_id(CLOCK) if late else None
        return await busy.stores.jobs.page(SPACE, PAGES[name], 50, before)

    return call


def counted(name: str) -> Call:
    return lambda busy: busy.stores.jobs.count(SPACE, PAGES[name])


def lane(busy: Busy) -> Lane:
    return Lane(SPACE, "mail", Priority.NORMAL)


async def submit(busy: Busy) -> object:
    keyed = [new_job(CLOCK, idempotency_key=f"new{n}", request_hash=b"1" * 32, tags=("red",)) for n in range(20)]
    known = new_job(CLOCK, idempotency_key="key4000", request_hash=b"1" * 32)
    await busy.stores.jobs.submit("default", [*keyed, known], RequestKey("whole", b"1" * 32))
    return await busy.stores.jobs.submit("default", [new_job(CLOCK, idempotency_key="key10", request_hash=b"1" * 32)])


async def on_ids(busy: Busy, state: State, act: Callable[[str, list[str]], Awaitable[object]]) -> object:
    rows = await busy.some(state, 20, jobs.c.namespace == SPACE)
    return await act(SPACE, [row.id for row in rows])


async def one(busy: Busy, act: Callable[[str, str], Awaitable[object]]) -> object:
    return await act(SPACE, (await busy.some(State.FAILED, 1, jobs.c.namespace == SPACE))[0].id)


async def edit(busy: Busy) -> object:
    row = (await busy.some(State.PENDING, 1))[0]
    return await busy.stores.jobs.edit(row.namespace, row.id, row.token, Edit({"tags": ("blue",), "queue": "mail"}))


async def start(busy: Busy) -> object:
    references = await busy.references(State.QUEUED, 100)
    stale = [Reference(reference.id, reference.token + 7) for reference in await busy.references(State.RUNNING, 5)]
    return await busy.stores.worker.start(busy.worker, references + stale, HANDLERS, 15.0)


async def finish(busy: Busy) -> object:
    references = await busy.references(State.RUNNING, 30, busy.mine())
    ends = [
        Finish(reference, SUCCEED, Outcome.SUCCESS, result="1" if n % 2 else None)
        if n % 3
        else Finish(reference, FAIL, Outcome.FAILED, error=Failure("E", str(n)), delay=float(n), carried=True)
        for n, reference in enumerate(references)
    ]
    return await busy.stores.worker.finish(busy.worker, ends)


async def give_back(busy: Busy) -> object:
    return await busy.stores.worker.give_back(await busy.references(State.QUEUED, 20), 5.0)


async def take_back(busy: Busy) -> object:
    return await busy.stores.dispatch.take_back(await busy.references(State.QUEUED, 20))


async def progress(busy: Busy) -> object:
    reference = (await busy.references(State.RUNNING, 1, busy.mine()))[0]
    return await busy.stores.worker.progress(busy.worker, reference, {"value": 1})


async def lose(busy: Busy) -> object:
    """One worker is dead, and some runs of another are past their time."""
    await busy.stores.registry.retire(WorkerId(busy.day.workers[-1]))
    return await busy.stores.rescue.rescue_attempts(50)


def about_schedules(name: str) -> Call:
    return lambda busy: SCHEDULE_CALLS[name](busy.stores, busy.day.timetable)


CALLS: dict[str, Call] = {
    "jobs.submit": submit,
    "jobs.get": lambda busy: one(busy, busy.stores.jobs.get),
    "jobs.attempts": lambda busy: one(busy, busy.stores.jobs.attempts),
    **{f"jobs.page: {name}": page(name, late=False) for name in PAGES},
    **{f"jobs.page: {name}, later": page(name, late=True) for name in PAGES},
    **{f"jobs.count: {name}": counted(name) for name in PAGES},
    "jobs.counts": lambda busy: busy.stores.jobs.counts(SPACE),
    "jobs.edit": edit,
    "jobs.cancel": lambda busy: on_ids(busy, State.PENDING, busy.stores.jobs.cancel),
    "jobs.cancel: running": lambda busy: on_ids(busy, State.RUNNING, busy.stores.jobs.cancel),
    "jobs.retry": lambda busy: on_ids(busy, State.FAILED, busy.stores.jobs.retry),
    "jobs.delete": lambda busy: on_ids(busy, State.CANCELLED, busy.stores.jobs.delete),
    "queues.queues": lambda busy: busy.stores.queues.queues(SPACE),
    "queues.pause": lambda busy: busy.stores.queues.pause(SPACE, "paused", "ann"),
    "queues.resume": lambda busy: busy.stores.queues.resume(SPACE, "paused"),
    "registry.register": lambda busy: busy.stores.registry.register(new_worker(CLOCK), 15.0),
    "registry.renew": lambda busy: busy.stores.registry.renew(busy.worker, 3600.0, {}, draining=False),
    "registry.retire": lambda busy: busy.stores.registry.retire(WorkerId(job_id(CLOCK))),
    "registry.remember": lambda busy: busy.stores.registry.remember([HandlerInfo(HANDLER, {"a": 1}, {})]),
    "registry.workers": lambda busy: busy.stores.registry.workers(),
    "registry.handlers": lambda busy: busy.stores.registry.handlers(),
    "dispatch.survey": lambda busy: busy.stores.dispatch.survey(),
    "dispatch.depths": lambda busy: busy.stores.dispatch.depths(),
    "dispatch.claim": lambda busy: busy.stores.dispatch.claim(lane(busy), 50, 15.0),
    "dispatch.claim: nothing": lambda busy: busy.stores.dispatch.claim(Lane("x", "x", Priority.LOW), 50, 15.0),
    "dispatch.take_back": take_back,
    "rescue.rescue_handovers": lambda busy: busy.stores.rescue.rescue_handovers(50),
    "rescue.rescue_attempts": lose,
    "rescue.rescue_attempts: late": lambda busy: busy.stores.rescue.rescue_attempts(50),
    "rescue.expire": lambda busy: busy.stores.rescue.expire(50),
    "rescue.prune": lambda busy: busy.stores.rescue.prune(Retention(timedelta(hours=6), timedelta(hours=6)), 50),
    "rescue.prune: nothing": lambda busy: busy.stores.rescue.prune(Retention(timedelta(days=6), None), 50),
    "rescue.next_rescue": lambda busy: busy.stores.rescue.next_rescue(),
    "worker.start": start,
    "worker.give_back": give_back,
    "worker.finish": finish,
    "worker.progress": progress,
    "worker.cancel_requests": lambda busy: busy.stores.worker.cancel_requests(busy.worker),
    "worker.running": lambda busy: busy.stores.worker.running(busy.worker),
    "worker.waiting_queues": lambda busy: busy.stores.worker.waiting_queues(),
    **{name: about_schedules(name) for name in SCHEDULE_CALLS},
}

COUNTING = ("jobs.count", "queues.queues", "dispatch.depths")
"""calls that count jobs: they read an entry of an index for each, and nothing makes that less"""

SEARCHING = "jobs.page: text"
"""calls that look for the start of a name: in whichever order the server likes best"""

SKIPPING = "jobs.page: created before"
"""calls that pass over all that is newer than a moment: an id's time is its maker's clock's, so it gives no bound"""

REACHING = tuple(name for name in SCHEDULE_CALLS if "namespace" in name and ("since" in name or "between" in name))
"""calls that look for the lines that reach into a range: some reads for each schedule and verdict"""

FEW = 2500
"""rows and index entries: some for each job that the call is about, for each lane, for each hand-over and run"""


def test_every_method_of_every_store_is_called() -> None:
    known = {**vars(base), **vars(base_schedules)}
    protocols = {name: each for name, each in known.items() if name.endswith("Store") and inspect.isclass(each)}
    methods = {
        f"{field}.{method}"
        for field, annotation in Stores.__annotations__.items()
        for method in vars(protocols.get(annotation, object))
        if annotation in protocols and not method.startswith("_")
    }
    assert {name.partition(":")[0] for name in CALLS} == methods


@pytest.mark.parametrize("name", CALLS)
async def test_it_reads_little_and_sorts_nothing(busy: Busy, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "ERRORS_SEARCHED", 200)
    with recorded(busy.stores) as statements, built_anew(busy.stores) as anew:
        await CALLS[name](busy)
    assert statements
    assert anew == []
    touched = sum(statement.touched for statement in statements)
    if name.startswith(COUNTING):
        assert touched <= 3 * ALL
        return
    if name.startswith(SEARCHING):
        assert touched <= 2 * FEW
        return
    most = 3 * 3 * SCHEDULES if name in REACHING else FEW
    assert name.startswith(SKIPPING) or touched <= most, [
        (statement.touched, statement.text) for statement in statements
    ]
    assert await faults_of(busy, statements) == []


async def faults_of(busy: Busy, statements: list[Statement]) -> list[tuple[str, Step, str]]:
    async with busy.stores.database.engine.connect() as connection:
        plans = [(statement, await statement.plan(connection)) for statement in statements]
    return [(step.fault, step, statement.text) for statement, plan in plans for step in plan if step.fault]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("SELECT id FROM jobs WHERE state = 'PENDING' ORDER BY created_at LIMIT 1", "it sorts"),
        ("SELECT id FROM jobs WHERE created_at > '2026-01-01'", "it scans a table"),
        ("SELECT count(*) FROM jobs", "it scans an index"),
        ("UPDATE jobs SET token = 1 WHERE handler = 'http'", "it scans"),
    ],
)
async def test_a_bad_statement_would_be_found(busy: Busy, statement: str, fault: str) -> None:
    found = await faults_of(busy, [Statement(statement, (), 0)])
    assert [each[0] for each in found][:1] == [fault] or found[0][0].startswith(fault)
