"""From running jobs to outcomes: T7 to T10, T11 of a running job, T14."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import JobId, WorkerId
from horae.domain.job import Outcome, Reference, State
from horae.domain.transitions import CANCEL_RUNNING, FAIL, RELEASE, RETRY_ASKED, SUCCEED, Wake
from horae.store.base import Finish, Finished
from horae.store.database import Database, Transaction
from horae.store.endings import ENDING_COLUMNS, Ending, cases, varied, write_endings
from horae.store.moves import by_token, moved
from horae.store.tables import jobs, pauses

YIELD_TO_CANCEL = (FAIL, RETRY_ASKED, RELEASE)
"""moves that end in CANCELLED instead when a cancel was asked for"""


class Finishing:
    """The second half of `WorkerStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def finish(self, worker_id: WorkerId, finishes: Sequence[Finish]) -> list[Finished]:
        """See `WorkerStore`."""

        async def work(tx: Transaction) -> list[Finished]:
            known = await _succeed(tx, worker_id, [f for f in finishes if f.move is SUCCEED])
            known |= await _end(tx, worker_id, [f for f in finishes if f.move is not SUCCEED])
            return [known.get(f.reference) or Finished(f.reference, None) for f in finishes]

        return await self._database.transact(work)


async def _succeed(tx: Transaction, worker_id: WorkerId, finishes: Sequence[Finish]) -> dict[Reference, Finished]:
    """T7. Most jobs return nothing, so that one statement serves them all; results are told apart by CASE."""
    empty = [f for f in finishes if f.result is None]
    done: list[Reference] = await _write_successes(tx, worker_id, empty, None)
    for case in cases([f for f in finishes if f.result is not None], lambda f: f.result):
        results = varied({f.reference.id: f.result for f in case}, jobs.c.result.type)
        done += await _write_successes(tx, worker_id, case, results)
    return {reference: Finished(reference, State.SUCCESS, reference.token) for reference in done}


async def _write_successes(
    tx: Transaction, worker_id: WorkerId, finishes: Sequence[Finish], result: Any
) -> list[Reference]:
    done: list[Reference] = []
    for token, ids in by_token(f.reference for f in finishes):
        statement = moved(SUCCEED, ids, tx.now, result=result, error=None)
        changed = await tx.execute(statement.where(jobs.c.token == token, jobs.c.worker_id == worker_id))
        done += await _applied(tx, worker_id, token, ids, changed.rowcount)
    return done


async def _applied(
    tx: Transaction, worker_id: WorkerId, token: int, ids: Sequence[JobId], changed: int
) -> Iterable[Reference]:
    """Which of them are SUCCESS by this worker's hand: all, unless some went elsewhere or were written before."""
    if changed == len(ids):
        return [Reference(id_, token) for id_ in ids]
    mine = sa.select(jobs.c.id).where(
        jobs.c.id.in_(ids), jobs.c.state == State.SUCCESS, jobs.c.token == token, jobs.c.worker_id == worker_id
    )
    return [Reference(row.id, token) for row in await tx.execute(mine)]


async def _end(tx: Transaction, worker_id: WorkerId, finishes: Sequence[Finish]) -> dict[Reference, Finished]:
    if not finishes:
        return {}
    locked = (
        sa.select(*ENDING_COLUMNS)
        .where(
            jobs.c.id.in_([f.reference.id for f in finishes]),
            jobs.c.state == State.RUNNING,
            jobs.c.worker_id == worker_id,
        )
        .with_for_update()
    )
    rows: Mapping[Any, sa.Row[Any]] = {Reference(row.id, row.token): row for row in await tx.execute(locked)}
    paused = await _paused(tx) if any(f.carried for f in finishes) else frozenset()
    endings = {f.reference: _ending(f, rows[f.reference], paused) for f in finishes if f.reference in rows}
    if endings:
        await write_endings(tx, list(endings.values()))
    return {
        reference: Finished(reference, ending.move.target, ending.token, ending.carried)
        for reference, ending in endings.items()
    }


async def _paused(tx: Transaction) -> frozenset[tuple[str, str]]:
    rows = await tx.execute(sa.select(pauses.c.namespace, pauses.c.queue))
    return frozenset((row.namespace, row.queue) for row in rows)


def _ending(finish: Finish, row: sa.Row[Any], paused: frozenset[tuple[str, str]]) -> Ending:
    if row.cancel_requested and finish.move in YIELD_TO_CANCEL:
        return Ending(row, CANCEL_RUNNING, Outcome.CANCELLED, finish.error)
    # A retry of a paused queue waits in its row: its message would only be refused.
    carried = finish.carried and finish.move.wake is Wake.CARRIED and (row.namespace, row.queue) not in paused
    return Ending(row, finish.move, finish.outcome, finish.error, finish.delay, carried)
