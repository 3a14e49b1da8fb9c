"""MySQL: deadlocks, lock timeouts, lost connections and cancelled callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from horae.domain.errors import OutcomeUnknown, StoreUnavailable
from horae.domain.ids import JobId
from horae.domain.job import Outcome, State
from horae.store import database
from horae.store.database import TRIES, Transaction
from horae.store.sql import Stores
from horae.store.tables import jobs
from tests.support.clock import ManualClock
from tests.support.databases import checked_out, mysql_connection
from tests.support.factories import LEASE, new_job
from tests.support.proxy import Cut, MySqlProxy
from tests.support.scene import Scene
from tests.support.waiting import eventually, together

pytestmark = pytest.mark.service


def touch(id_: JobId) -> sa.Update:
    return sa.update(jobs).where(jobs.c.id == id_).values(failures=jobs.c.failures + 1)


async def two_jobs(stores: Stores, clock: ManualClock) -> list[JobId]:
    return (await stores.jobs.submit("default", [new_job(clock), new_job(clock)])).ids


async def failures(stores: Stores, ids: list[JobId]) -> list[int]:
    found = [await stores.jobs.get("default", id_) for id_ in ids]
    return [job.failures for job in found if job is not None]


@asynccontextmanager
async def holding(stores: Stores, *statements: sa.Executable) -> AsyncIterator[None]:
    """A transaction of somebody else that has run these statements and commits at the end."""
    done, release = asyncio.Event(), asyncio.Event()

    async def work(tx: Transaction) -> None:
        for statement in statements:
            await tx.execute(statement)
        done.set()
        await release.wait()

    holder = asyncio.create_task(stores.database.transact(work))
    try:
        await done.wait()
        yield
    finally:
        release.set()
        await holder


# ------------------------------------------------------------------------------------------------------ done again


async def test_a_deadlock_is_done_again(mysql_stores: Stores, clock: ManualClock) -> None:
    ids = await two_jobs(mysql_stores, clock)
    both_hold_one = asyncio.Barrier(2)
    tries = 0

    def crossing(first: JobId, second: JobId) -> Callable[[Transaction], Awaitable[None]]:
        met = False

        async def work(tx: Transaction) -> None:
            nonlocal met, tries
            tries += 1
            await tx.execute(touch(first))
            if not met:
                met = True
                await both_hold_one.wait()
            await tx.execute(touch(second))

        return work

    await together(
        mysql_stores.database.transact(crossing(*ids)), mysql_stores.database.transact(crossing(*reversed(ids)))
    )
    assert tries > 2, "no deadlock came about"
    assert await failures(mysql_stores, ids) == [2, 2]


async def test_a_lock_that_does_not_come_is_waited_for_again(mysql_stores: Stores, clock: ManualClock) -> None:
    held, free = await two_jobs(mysql_stores, clock)
    second_try = asyncio.Event()
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            second_try.set()
        await tx.execute(sa.text("SET SESSION innodb_lock_wait_timeout = 1"))
        await tx.execute(touch(free))
        await tx.execute(touch(held))

    async with holding(mysql_stores, touch(held)):
        waiting = asyncio.create_task(mysql_stores.database.transact(work))
        await second_try.wait()
    await waiting
    assert tries == 2
    assert await failures(mysql_stores, [held, free]) == [2, 1]


async def test_endless_deadlocks_are_given_up_with_nothing_written(mysql_stores: Stores, clock: ManualClock) -> None:
    ids = await two_jobs(mysql_stores, clock)
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(touch(ids[0]))
        await tx.execute(sa.text("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock'"))

    with pytest.raises(StoreUnavailable):
        await mysql_stores.database.transact(work)
    assert tries == TRIES
    assert await failures(mysql_stores, ids) == [0, 0]


async def test_any_other_error_is_not_done_again(mysql_stores: Stores, clock: ManualClock) -> None:
    ids = await two_jobs(mysql_stores, clock)
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(touch(ids[0]))
        await tx.execute(sa.text("SELECT no_such_column FROM jobs"))

    with pytest.raises(DBAPIError):
        await mysql_stores.database.transact(work)
    assert tries == 1
    assert await failures(mysql_stores, ids) == [0, 0]


async def test_an_error_of_the_caller_rolls_back(mysql_stores: Stores, clock: ManualClock) -> None:
    ids = await two_jobs(mysql_stores, clock)

    async def work(tx: Transaction) -> None:
        await tx.execute(touch(ids[0]))
        raise ValueError("not the database's fault")

    with pytest.raises(ValueError, match="not the database's fault"):
        await mysql_stores.database.transact(work)
    assert await failures(mysql_stores, ids) == [0, 0]


# ---------------------------------------------------------------------------------------------------- lost connections


async def connection_id(tx: Transaction) -> int:
    return int((await tx.execute(sa.text("SELECT CONNECTION_ID()"))).scalar_one())


def kill(url: str, connection: int) -> None:
    with mysql_connection(url) as other:
        other.exec_driver_sql(f"KILL {connection}")


@pytest.mark.parametrize("call", ["read", "write"])
async def test_a_connection_that_died_in_the_pool_is_replaced(
    mysql_stores: Stores, migrated_mysql: str, clock: ManualClock, call: str
) -> None:
    for _ in range(10):
        kill(migrated_mysql, await mysql_stores.database.read(connection_id))
        if call == "read":
            await mysql_stores.jobs.counts("default")
        else:
            await mysql_stores.jobs.submit("default", [new_job(clock)])
    assert (await mysql_stores.jobs.counts("default"))[State.PENDING] == (10 if call == "write" else 0)


async def test_every_connection_of_the_pool_may_have_died(far: Scene, proxy: MySqlProxy) -> None:
    await together(*(far.submit() for _ in range(10)))
    proxy.sever()
    await together(*(far.submit() for _ in range(10)))
    proxy.sever()
    await together(*(far.stores.jobs.counts("default") for _ in range(10)))
    assert (await far.stores.jobs.counts("default"))[State.PENDING] == 20


async def test_a_connection_killed_in_a_transaction_has_written_nothing(
    mysql_stores: Stores, migrated_mysql: str, clock: ManualClock
) -> None:
    ids = await two_jobs(mysql_stores, clock)
    tries = 0

    async def work(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await tx.execute(touch(ids[0]))
        kill(migrated_mysql, await connection_id(tx))
        await tx.execute(touch(ids[1]))

    with pytest.raises(StoreUnavailable) as caught:
        await mysql_stores.database.transact(work)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert tries == 1
    assert await failures(mysql_stores, ids) == [0, 0]


@pytest.mark.parametrize("cut", [Cut.UNSENT, Cut.UNANSWERED], ids=lambda cut: cut.name)
@pytest.mark.parametrize("statement", ["INSERT INTO JOBS", "INSERT INTO TAGS", "SELECT CAST"])
async def test_a_connection_cut_before_its_commit_has_written_nothing(
    far: Scene, proxy: MySqlProxy, statement: str, cut: Cut
) -> None:
    proxy.plan(statement, cut)
    with pytest.raises(StoreUnavailable) as caught:
        await far.submit(tags=("red",))
    assert not isinstance(caught.value, OutcomeUnknown)
    assert proxy.planned == 0
    assert (await far.stores.jobs.counts("default"))[State.PENDING] == 0


async def test_a_read_that_is_cut_is_done_again(far: Scene, proxy: MySqlProxy) -> None:
    proxy.plan("SELECT", Cut.UNANSWERED)
    assert (await far.stores.jobs.counts("default"))[State.PENDING] == 0
    assert proxy.planned == 0


async def test_a_read_that_is_cut_twice_says_so(far: Scene, proxy: MySqlProxy) -> None:
    proxy.plan("SELECT", Cut.UNANSWERED, times=2)
    with pytest.raises(StoreUnavailable):
        await far.stores.jobs.counts("default")


@pytest.mark.parametrize("statement", ["BEGIN", "SELECT", "INSERT INTO JOBS"])
async def test_a_server_that_falls_silent_is_given_up(
    far: Scene, proxy: MySqlProxy, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    proxy.plan(statement, Cut.SILENT, times=2)
    with pytest.raises(StoreUnavailable) as caught:
        await far.submit()
    assert not isinstance(caught.value, OutcomeUnknown)
    assert checked_out(far.stores) == 0


async def test_a_read_of_a_silent_server_is_given_up(
    far: Scene, proxy: MySqlProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.3)
    proxy.plan("SELECT", Cut.SILENT, times=2)
    with pytest.raises(StoreUnavailable):
        await far.stores.jobs.counts("default")


async def test_a_server_that_is_away_is_unavailable_and_then_back(far: Scene, proxy: MySqlProxy) -> None:
    proxy.refusing = True
    proxy.sever()
    calls: list[Callable[[], Awaitable[object]]] = [
        far.submit,
        far.claim,
        far.new_worker,
        far.stores.dispatch.survey,
        far.stores.schema.check,
        far.stores.schema.version,
        far.stores.schema.migrate,
        lambda: far.stores.jobs.counts("default"),
        lambda: far.stores.rescue.rescue_attempts(1),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            await call()
    proxy.refusing = False
    for call in calls:
        await call()


async def test_too_many_calls_at_once_wait_for_a_connection(mysql_stores: Stores, clock: ManualClock) -> None:
    await together(*(mysql_stores.jobs.submit("default", [new_job(clock)]) for _ in range(100)))
    assert (await mysql_stores.jobs.counts("default"))[State.PENDING] == 100


async def test_a_wait_for_a_connection_has_an_end(mysql_stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = mysql_stores.database.engine.sync_engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.1)
    release = asyncio.Event()

    async def hold(_: Transaction) -> None:
        await release.wait()

    holders = [asyncio.create_task(mysql_stores.database.read(hold)) for _ in range(20)]
    await eventually(lambda: checked_out(mysql_stores) == 20)
    for call in (mysql_stores.database.read, mysql_stores.database.transact):
        with pytest.raises(StoreUnavailable):
            await call(hold)
    release.set()
    await asyncio.gather(*holders)


async def test_an_error_tells_nothing_of_what_was_written(far: Scene, proxy: MySqlProxy) -> None:
    proxy.plan("INSERT INTO JOBS", Cut.UNANSWERED)
    with pytest.raises(StoreUnavailable) as caught:
        await far.submit(payload='{"password": "hunter2"}')
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in str(error)
        error = error.__cause__


# ------------------------------------------------------------------------------------------------ what the lock is for


async def test_a_rescue_waits_for_a_renewal_that_has_begun(
    mysql_stores: Stores, migrated_mysql: str, clock: ManualClock
) -> None:
    """A renewal that stalls before its commit: judged by the old row, its worker would be dead."""
    scene = await Scene.set(mysql_stores, clock)
    run = await scene.run()
    async with holding(mysql_stores, sa.text("UPDATE workers SET expires_at = expires_at + INTERVAL 1 HOUR")):
        clock.turn(LEASE)
        rescue = asyncio.create_task(mysql_stores.rescue.rescue_attempts(10))
        await eventually(lambda: waits_for_lock(migrated_mysql), pause=VIEW_IS_RENEWED)
    assert dict(await rescue) == {}
    assert (await scene.job(run.id)).state is State.RUNNING


VIEW_IS_RENEWED = 0.2
"""seconds between two looks: InnoDB shows its locks of a while ago to whoever asks more often than every 0.1 s"""


def waits_for_lock(url: str) -> bool:
    with mysql_connection(url) as connection:
        waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        return bool(connection.exec_driver_sql(waiting).scalar_one())


async def test_a_claim_passes_over_what_another_has_locked(mysql_stores: Stores, clock: ManualClock) -> None:
    scene = await Scene.set(mysql_stores, clock)
    made = (await mysql_stores.jobs.submit("default", [scene.new() for _ in range(10)])).ids
    async with holding(mysql_stores, *(touch(id_) for id_ in made[:5])):
        assert [reference.id for reference in await scene.claim()] == made[5:]
    assert [reference.id for reference in await scene.claim()] == made[:5]


async def test_submissions_are_not_held_up_by_an_open_claim(mysql_stores: Stores, clock: ManualClock) -> None:
    scene = await Scene.set(mysql_stores, clock)
    await scene.submit()
    whole_state = sa.select(jobs.c.id).where(jobs.c.state == State.PENDING).with_for_update()
    async with holding(mysql_stores, whole_state), asyncio.timeout(3):
        await together(*(scene.submit() for _ in range(20)))


async def test_a_worker_is_lost_only_to_one_rescuer(mysql_stores: Stores, clock: ManualClock) -> None:
    scene = await Scene.set(mysql_stores, clock)
    await scene.run()
    await scene.kill()
    counts = await together(*(mysql_stores.rescue.rescue_attempts(10) for _ in range(10)))
    assert sum(each.get(Outcome.LOST, 0) for each in counts) == 1
