"""The stores together, over one database."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from horae.domain.job import State
from horae.domain.transitions import RESCUE_HANDOVER
from horae.runtime.clock import Clock
from horae.store.absences import Absences
from horae.store.backfilling import Backfilling
from horae.store.backfills import Backfills
from horae.store.base import DispatchStore, JobStore, QueueStore, RegistryStore, RescueStore, WorkerStore
from horae.store.base_schedules import FiringStore, ScheduleStore
from horae.store.claims import Claims
from horae.store.database import Database, Transaction, open_database
from horae.store.endings import ENDING_COLUMNS, write_endings
from horae.store.finishes import Finishing
from horae.store.firing import Fires
from horae.store.jobs import Jobs
from horae.store.ledger import Ledger
from horae.store.ledger_pruning import LedgerPruning
from horae.store.moves import chunks, moved
from horae.store.registry import Queues, Registry
from horae.store.rescues import Rescues, judge_lost
from horae.store.schedules import Schedules
from horae.store.schema import Schema
from horae.store.starts import Starting
from horae.store.tables import jobs
from horae.store.zone_data import ZoneData


class Work(Starting, Finishing):
    """`WorkerStore` in SQL."""


class Recurring(Schedules, Ledger, Backfills):
    """`ScheduleStore` in SQL."""


class Clockwork(Fires, Absences, Backfilling, ZoneData, LedgerPruning):
    """`FiringStore` in SQL."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What the roles ask, and the schema below it."""

    database: Database
    schema: Schema
    jobs: JobStore
    queues: QueueStore
    registry: RegistryStore
    dispatch: DispatchStore
    rescue: RescueStore
    worker: WorkerStore
    schedules: ScheduleStore
    firing: FiringStore

    async def close(self) -> None:
        """Closes all connections."""
        await self.database.close()


def open_stores(url: str, clock: Clock, fixed_clock: bool = False) -> Stores:
    """The stores of a `sqlite:///PATH` or `mysql://…` address; connects at first use."""
    database = open_database(url, clock, fixed_clock)
    return Stores(
        database=database,
        schema=Schema(database.engine),
        jobs=Jobs(database),
        queues=Queues(database),
        registry=Registry(database),
        dispatch=Claims(database),
        rescue=Rescues(database),
        worker=Work(database),
        schedules=Recurring(database),
        firing=Clockwork(database),
    )


async def recover(database: Database) -> int:
    """Takes up what an embedded process left behind: nobody else can hold any of it (T12, T13).

    Answers how many jobs were QUEUED, RUNNING, or carried by a delay message that died with the process.
    """
    return await database.transact(_recover)


async def _recover(tx: Transaction) -> int:
    queued = list((await tx.execute(sa.select(jobs.c.id).where(jobs.c.state == State.QUEUED))).scalars())
    for chunk in chunks(queued):
        await tx.execute(moved(RESCUE_HANDOVER, chunk, tx.now))
    carried = (
        sa.update(jobs)
        .where(jobs.c.state == State.RETRYING, jobs.c.wake_at > jobs.c.run_at)
        .values(wake_at=jobs.c.run_at, token=jobs.c.token + 1)
    )
    count = (await tx.execute(carried)).rowcount
    running = (await tx.execute(sa.select(*ENDING_COLUMNS).where(jobs.c.state == State.RUNNING))).all()
    if running:
        await write_endings(tx, [judge_lost(row, 0.0) for row in running])
    return len(queued) + count + len(running)
