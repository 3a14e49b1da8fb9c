"""From deliveries to running jobs, and back unstarted: T5, T6, T19, and what a worker asks about its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import WorkerId
from horae.domain.job import Reference, State
from horae.domain.transitions import CLAIM, GIVE_BACK, PROGRESS, START
from horae.store.base import Starts
from horae.store.claims import all_lanes
from horae.store.database import Database, Transaction
from horae.store.dialect import Later, micros
from horae.store.moves import by_token, moved
from horae.store.rows import RUN_COLUMNS, dumps, run_of
from horae.store.tables import jobs, pauses, workers


class Starting:
    """The first half of `WorkerStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(
        self, worker_id: WorkerId, references: Sequence[Reference], handlers: Collection[str], lease: float
    ) -> Starts:
        """See `WorkerStore`."""

        async def work(tx: Transaction) -> Starts:
            fresh = 0
            for token, ids in by_token(references):
                fresh += (await tx.execute(start(worker_id, token, ids, handlers, tx.now, lease))).rowcount
            rows = await tx.execute(sa.select(*RUN_COLUMNS).where(jobs.c.id.in_([r.id for r in references])))
            found = {row.id: row for row in rows}
            starts = _sort(worker_id, references, handlers, found)
            # All refused, or adopted only: it may be that this worker's own row is dead.
            alive = fresh > 0 or not (starts.refused or starts.started) or await _alive(tx, worker_id)
            return starts if alive else replace(starts, started=[], alive=False)

        return await self._database.transact(work)

    async def give_back(self, references: Sequence[Reference], delay: float = 0.0) -> int:
        """See `WorkerStore`."""

        async def work(tx: Transaction) -> int:
            wake_at: Any = Later(tx.now, micros(delay)) if delay else jobs.c.run_at
            count = 0
            for token, ids in by_token(references):
                statement = moved(GIVE_BACK, ids, tx.now, wake_at=wake_at).where(jobs.c.token == token)
                count += (await tx.execute(statement)).rowcount
            return count

        return await self._database.transact(work)

    async def progress(self, worker_id: WorkerId, reference: Reference, progress: Mapping[str, Any]) -> bool:
        """See `WorkerStore`."""

        async def work(tx: Transaction) -> bool:
            statement = moved(PROGRESS, [reference.id], tx.now, progress=dumps(progress))
            mine = (jobs.c.token == reference.token, jobs.c.worker_id == worker_id)
            return (await tx.execute(statement.where(*mine))).rowcount > 0

        return await self._database.transact(work)

    async def waiting_queues(self) -> list[str]:
        """See `WorkerStore`."""
        lanes = all_lanes()
        waiting = sa.select(lanes.c.queue).where(lanes.c.state.in_(sorted(CLAIM.sources)))
        rows = await self._database.read(lambda tx: tx.execute(waiting))
        return sorted(set(rows.scalars()))

    async def cancel_requests(self, worker_id: WorkerId) -> list[Reference]:
        """See `WorkerStore`."""
        return await self._references(worker_id, jobs.c.cancel_requested.is_(True))

    async def running(self, worker_id: WorkerId) -> list[Reference]:
        """See `WorkerStore`."""
        return await self._references(worker_id)

    async def _references(self, worker_id: WorkerId, *where: sa.ColumnElement[bool]) -> list[Reference]:
        async def work(tx: Transaction) -> list[Reference]:
            statement = sa.select(jobs.c.id, jobs.c.token).where(
                jobs.c.state == State.RUNNING, jobs.c.worker_id == worker_id, *where
            )
            return [Reference(row.id, row.token) for row in await tx.execute(statement)]

        return await self._database.read(work)


def start(
    worker_id: WorkerId,
    token: int,
    ids: Sequence[str],
    handlers: Collection[str],
    now: sa.ColumnElement[datetime],
    lease: float,
) -> sa.Update:
    """T5 for references of one token, with its whole guard in the statement."""
    alive = sa.exists().where(workers.c.id == worker_id, workers.c.expires_at > now)
    paused = sa.exists().where(pauses.c.namespace == jobs.c.namespace, pauses.c.queue == jobs.c.queue)
    changes = {
        "worker_id": worker_id,
        "started_at": now,
        "first_started_at": sa.func.coalesce(jobs.c.first_started_at, now),
        "progress": None,
        "wake_at": Later(now, jobs.c.timeout_us + micros(2 * lease)),
    }
    return moved(START, ids, now, **changes).where(
        jobs.c.token == token,
        jobs.c.handler.in_(sorted(handlers)),
        sa.or_(jobs.c.expires_at.is_(None), jobs.c.expires_at > now),
        ~paused,
        alive,
    )


def _sort(
    worker_id: WorkerId,
    references: Sequence[Reference],
    handlers: Collection[str],
    found: Mapping[str, sa.Row[Any]],
) -> Starts:
    starts = Starts([], [])
    for reference in references:
        row = found.get(reference.id)
        if row is None or row.token != reference.token:
            continue
        if row.state == State.RUNNING and row.worker_id == worker_id:
            starts.started.append(run_of(row))
        elif row.state in START.sources:
            (starts.refused if row.handler in handlers else starts.foreign).append(reference)
    return starts


async def _alive(tx: Transaction, worker_id: WorkerId) -> bool:
    statement = sa.select(workers.c.id).where(workers.c.id == worker_id, workers.c.expires_at > tx.now)
    return (await tx.execute(statement)).first() is not None
