"""The embedded default: one process, one file, one writer."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from horae.domain.errors import SettingsError, StoreUnavailable
from horae.domain.job import FINAL, Outcome, Reference, State
from horae.domain.transitions import FAIL
from horae.store.database import Transaction
from horae.store.embedded import owned
from horae.store.sql import Stores, recover
from horae.store.tables import jobs
from tests.support.clock import ManualClock
from tests.support.databases import checked_out
from tests.support.factories import new_job
from tests.support.scene import Scene, Sight
from tests.support.waiting import eventually, together


@pytest.fixture
async def here(sqlite_stores: Stores, clock: ManualClock) -> Scene:
    """A scene over SQLite."""
    return await Scene.set(sqlite_stores, clock)


# ----------------------------------------------------------------------------------------------------------- recovery


async def recovered(scene: Scene, job_id: str) -> Sight:
    """What has become of the job after the process was started anew."""
    assert await recover(scene.stores.database) == 1
    assert await recover(scene.stores.database) == 0, "the second look found something again"
    return await scene.see(job_id)


async def test_what_was_handed_over_is_due_again(here: Scene) -> None:
    reference = await here.queued()
    job = (await recovered(here, reference.id)).job
    assert job is not None
    assert (job.state, job.token, job.wake_at, job.attempt) == (State.PENDING, reference.token + 1, job.run_at, 0)


async def test_what_ran_is_lost_and_tried_again(here: Scene) -> None:
    run = await here.run()
    job, attempts = (sight := await recovered(here, run.id)).job, sight.attempts
    assert job is not None
    assert (job.state, job.losses, job.failures, job.token) == (State.RETRYING, 1, 0, run.token + 1)
    assert [attempt.outcome for attempt in attempts] == [Outcome.LOST]


async def test_what_ran_and_was_asked_to_cancel_is_cancelled(here: Scene) -> None:
    run = await here.run()
    await here.stores.jobs.cancel("default", [run.id])
    job = (await recovered(here, run.id)).job
    assert job is not None
    assert job.state is State.CANCELLED


async def test_a_retry_whose_message_died_is_carried_by_its_row(here: Scene) -> None:
    run = await here.run()
    finished = await here.finish(run.reference, FAIL, delay=30.0, carried=True)
    job = (await recovered(here, run.id)).job
    assert job is not None
    assert (job.state, job.wake_at, job.token) == (State.RETRYING, here.at(30), finished.token + 1)
    here.clock.turn(30)
    assert await here.claim() == [Reference(run.id, finished.token + 2)]


async def test_everything_else_stays_as_it_is(here: Scene) -> None:
    states = [State.PENDING, State.RETRYING, *sorted(FINAL)]
    made = [await here.reach(state, queue=state.lower()) for state in states]
    before = [await here.see(reference.id) for reference in made]
    assert await recover(here.stores.database) == 0
    assert [await here.see(reference.id) for reference in made] == before


async def test_thousands_are_recovered(here: Scene) -> None:
    await here.stores.jobs.submit("default", [here.new() for _ in range(3000)])
    await here.start(*await here.claim(1500))
    await here.claim(1000)
    assert await recover(here.stores.database) == 2500
    counts = await here.stores.jobs.counts("default")
    assert (counts[State.PENDING], counts[State.RETRYING]) == (1500, 1500)


# ---------------------------------------------------------------------------------------------------------- ownership


def hold(url: str, held: multiprocessing.synchronize.Event) -> None:
    """What a process does that serves, until it is killed."""
    with owned(url):
        held.set()
        multiprocessing.Event().wait()


def test_a_second_process_is_told_who_holds_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'deep' / 'er' / 'horae.db'}"
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    holder = spawn.Process(target=hold, args=(url, held))
    holder.start()
    try:
        assert held.wait(30)
        with pytest.raises(SettingsError, match=f"process {holder.pid}"), owned(url):
            pytest.fail("two processes own one file")
    finally:
        holder.kill()
        holder.join()
    with owned(url):
        """A killed process holds nothing."""


def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path / 'file' / 'horae.db'}"
    with pytest.raises(SettingsError, match="HORAE_DATABASE_URL"), owned(url):
        pytest.fail("there is no such folder")


# ------------------------------------------------------------------------------------------------------------- SQLite


@asynccontextmanager
async def writing(stores: Stores) -> AsyncIterator[None]:
    """A transaction of ours that is open, and has written."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def work(tx: Transaction) -> None:
        await tx.execute(sa.update(jobs).values(failures=7))
        begun.set()
        await release.wait()

    writer = asyncio.create_task(stores.database.transact(work))
    try:
        await begun.wait()
        yield
    finally:
        release.set()
        await writer


async def pragma(tx: Transaction, name: str) -> object:
    return (await tx.execute(sa.text(f"PRAGMA {name}"))).scalar()


async def test_the_file_is_durable_and_its_readers_can_not_write(sqlite_stores: Stores) -> None:
    database = sqlite_stores.database
    assert await database.transact(lambda tx: pragma(tx, "journal_mode")) == "wal"
    assert await database.transact(lambda tx: pragma(tx, "synchronous")) == 2
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        await database.read(lambda tx: tx.execute(sa.update(jobs).values(failures=1)))


async def test_readers_see_what_is_committed_and_wait_for_nobody(here: Scene) -> None:
    job = await here.submit()
    async with writing(here.stores), asyncio.timeout(3):
        assert (await here.job(job)).failures == 0
    assert (await here.job(job)).failures == 7


async def test_writers_take_turns(here: Scene) -> None:
    await together(*(here.submit() for _ in range(100)))
    assert (await here.stores.jobs.counts("default"))[State.PENDING] == 100


async def test_a_cancelled_caller_leaves_a_whole_write_and_no_open_transaction(here: Scene) -> None:
    for turns in range(40):
        new = [here.new(tags=("red",)) for _ in range(3)]
        task = asyncio.create_task(here.stores.jobs.submit("default", new))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: checked_out(here.stores) == 0)
    assert (await here.stores.jobs.counts("default"))[State.PENDING] % 3 == 0
    await here.submit()


async def test_an_error_in_the_middle_writes_nothing(here: Scene) -> None:
    job = await here.submit()

    async def work(tx: Transaction) -> None:
        await tx.execute(sa.update(jobs).values(failures=7))
        raise ValueError("not the database's fault")

    with pytest.raises(ValueError, match="fault"):
        await here.stores.database.transact(work)
    assert (await here.job(job)).failures == 0


async def test_a_full_disk_is_unavailable_and_writes_nothing(here: Scene) -> None:
    job = await here.submit()

    async def limit(tx: Transaction, pages: str) -> object:
        return await pragma(tx, f"max_page_count = {pages}")

    await here.stores.database.transact(lambda tx: limit(tx, "1"))
    with pytest.raises(StoreUnavailable):
        await here.stores.jobs.submit("default", [new_job(here.clock, payload='"' + "x" * 60_000 + '"')])
    assert (await here.stores.jobs.counts("default"))[State.PENDING] == 1
    await here.stores.database.transact(lambda tx: limit(tx, "100000"))
    await here.submit()
    assert (await here.job(job)).state is State.PENDING


async def test_a_file_that_somebody_else_writes_is_unavailable_for_so_long(here: Scene, sqlite_stores: Stores) -> None:
    await sqlite_stores.database.transact(lambda tx: pragma(tx, "busy_timeout = 50"))
    other = sa.create_engine(here.stores.database.engine.url.set(drivername="sqlite"), poolclass=sa.NullPool)
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await here.submit()
        connection.exec_driver_sql("ROLLBACK")
    await here.submit()
