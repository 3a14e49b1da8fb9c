"""What the scheduler mends: T12, T13, T17, T18. Each scan is of one state, in the order of its index."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from horae.domain.ids import WorkerId
from horae.domain.job import MAX_LOSSES, Failure, Outcome, State
from horae.domain.retry import Again, Standing, after_failure
from horae.domain.transitions import (
    EXPIRE,
    RESCUE_CANCELLED,
    RESCUE_HANDOVER,
    RESCUE_LATE,
    RESCUE_LATE_FOR_GOOD,
    RESCUE_LOST,
    RESCUE_LOST_FOR_GOOD,
)
from horae.store.base import Retention
from horae.store.database import Database, Transaction
from horae.store.dialect import Later, micros
from horae.store.endings import ENDING_COLUMNS, Ending, write_endings
from horae.store.lines import KEYS, lines_at
from horae.store.moves import chunks, moved, state_in
from horae.store.rows import backoff_of, failure_text
from horae.store.tables import attempts, jobs, keys, occurrences, tags, workers

LOST = Failure("lost", "the worker that ran this attempt vanished")
LATE = Failure("timed_out", "the attempt ran past its timeout and its worker didn't end it")
EXPIRED = Failure("expired", "expires_at passed before the job was started")
KEEP_DEAD_WORKERS = timedelta(hours=1)

Judge = Callable[[sa.Row[Any], float], Ending]
Rescue = Callable[..., Awaitable[Counter[Outcome]]]


class Rescues:
    """`RescueStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rescue_handovers(self, limit: int) -> int:
        """See `RescueStore`."""

        async def work(tx: Transaction) -> int:
            overdue = (jobs.c.wake_at <= tx.now, jobs.c.wake_at)
            ids = await _locked_ids(tx, State.QUEUED, *overdue, limit)
            if ids:
                await tx.execute(moved(RESCUE_HANDOVER, ids, tx.now))
            return len(ids)

        return await self._database.transact(work)

    async def rescue_attempts(self, limit: int) -> Mapping[Outcome, int]:
        """See `RescueStore`."""
        dead = await self._database.read(_dead_workers)
        rescues: list[Rescue] = [*(partial(_rescue_of, worker_id=worker_id) for worker_id in dead), _rescue_late]
        rescued: Counter[Outcome] = Counter()
        for rescue in rescues:
            left = limit - rescued.total()
            if left > 0:
                rescued += await self._database.transact(partial(rescue, limit=left))
        return rescued

    async def expire(self, limit: int) -> int:
        """See `RescueStore`."""

        async def work(tx: Transaction) -> int:
            ids: list[str] = []
            for state in sorted(EXPIRE.sources):
                ids += await _locked_ids(tx, state, jobs.c.expires_at <= tx.now, jobs.c.expires_at, limit - len(ids))
            for chunk in chunks(ids):
                await tx.execute(moved(EXPIRE, chunk, tx.now, error=failure_text(EXPIRED)))
            return len(ids)

        return await self._database.transact(work)

    async def prune(self, retention: Retention, limit: int) -> int:
        """See `RescueStore`."""
        ages = {State.SUCCESS: retention.success, State.CANCELLED: retention.success, State.FAILED: retention.failed}
        gone = 0
        for state, age in ages.items():
            if age is not None and gone < limit:
                gone += await self._database.transact(partial(_prune, state=state, age=age, limit=limit - gone))
        await self._database.transact(lambda tx: _prune_rest(tx, limit))
        return gone

    async def next_rescue(self) -> float | None:
        """See `RescueStore`."""
        return await self._database.read(_next_rescue)


async def _locked_ids(
    tx: Transaction, state: State, condition: sa.ColumnElement[bool], order: sa.ColumnElement[Any], limit: int
) -> list[str]:
    statement = (
        sa.select(jobs.c.id)
        .where(jobs.c.state == state, condition)
        .order_by(order)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list((await tx.execute(statement)).scalars())


async def _dead_workers(tx: Transaction) -> list[WorkerId]:
    """Ids that RUNNING jobs name and that have no live row; judged again under a lock before anything is done."""
    return list((await tx.execute(_orphans(tx).distinct())).scalars())


def _orphans(tx: Transaction) -> sa.Select[tuple[str]]:
    return sa.select(jobs.c.worker_id).where(jobs.c.state == State.RUNNING, ~_lives(tx))


def _lives(tx: Transaction) -> sa.Exists:
    """Whether a job's worker has a live row."""
    return sa.exists().where(workers.c.id == jobs.c.worker_id, workers.c.expires_at > tx.now)


async def _rescue_of(tx: Transaction, worker_id: WorkerId, limit: int) -> Counter[Outcome]:
    """T13 for the jobs of a dead worker, its row locked so that no renewal can come between."""
    row = await tx.execute(sa.select(workers.c.expires_at).where(workers.c.id == worker_id).with_for_update())
    expires_at = row.scalar()
    if expires_at is not None and expires_at > await tx.moment():
        return Counter()
    return await _rescue(tx, jobs.c.worker_id == worker_id, limit, judge_lost)


async def _rescue_late(tx: Transaction, limit: int) -> Counter[Outcome]:
    """T13 for what runs past its wake_at though its worker lives."""
    return await _rescue(tx, sa.and_(jobs.c.wake_at <= tx.now, _lives(tx)), limit, judge_late)


async def _rescue(tx: Transaction, condition: sa.ColumnElement[bool], limit: int, judge: Judge) -> Counter[Outcome]:
    statement = (
        sa.select(*ENDING_COLUMNS)
        .where(jobs.c.state == State.RUNNING, condition)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows: Sequence[sa.Row[Any]] = (await tx.execute(statement)).all()
    now = await tx.moment()
    endings = [judge(row, (now - row.first_started_at).total_seconds()) for row in rows]
    if endings:
        await write_endings(tx, endings)
    return Counter(ending.outcome for ending in endings)


def judge_lost(row: sa.Row[Any], _elapsed: float) -> Ending:
    """What becomes of an attempt whose worker is gone."""
    if row.cancel_requested:
        return Ending(row, RESCUE_CANCELLED, Outcome.CANCELLED)
    losses = row.losses + 1
    if losses >= MAX_LOSSES:
        failure = Failure("lost", f"{LOST.message}; it was the {losses}th time")
        return Ending(row, RESCUE_LOST_FOR_GOOD, Outcome.LOST, failure, lost=True)
    delay = backoff_of(row.backoff).seconds(losses, random.random())
    return Ending(row, RESCUE_LOST, Outcome.LOST, LOST, delay, lost=True)


def judge_late(row: sa.Row[Any], elapsed: float) -> Ending:
    """What becomes of an attempt that nobody ended in time."""
    if row.cancel_requested:
        return Ending(row, RESCUE_CANCELLED, Outcome.CANCELLED)
    standing = Standing(
        row.attempt, row.failures, row.max_retries, backoff_of(row.backoff), elapsed, row.retry_for_seconds
    )
    decision = after_failure(standing, random.random())
    if isinstance(decision, Again):
        return Ending(row, RESCUE_LATE, Outcome.TIMED_OUT, LATE, decision.seconds)
    return Ending(row, RESCUE_LATE_FOR_GOOD, Outcome.TIMED_OUT, LATE)


async def _prune(tx: Transaction, state: State, age: timedelta, limit: int) -> int:
    """By primary key: a DELETE by a secondary index would lock ranges that inserts need."""
    before = Later(tx.now, -micros(age.total_seconds()))
    ids = await _locked_ids(tx, state, jobs.c.finished_at < before, jobs.c.finished_at, limit)
    await delete_jobs(tx, ids)
    return len(ids)


async def delete_jobs(tx: Transaction, ids: Sequence[str]) -> None:
    """Locked final jobs, with all that hangs on them."""
    for chunk in chunks(ids):
        await _vouch(tx, chunk)
        await tx.execute(sa.delete(attempts).where(attempts.c.job_id.in_(chunk)))
        await tx.execute(sa.delete(tags).where(tags.c.job_id.in_(chunk)))
        await tx.execute(sa.delete(jobs).where(jobs.c.id.in_(chunk)))


async def _vouch(tx: Transaction, ids: Sequence[str]) -> None:
    """What was expected of a fire time by some later moment has come: nobody could see that once its job is gone."""
    succeeded = sa.select(jobs.c.schedule_id, jobs.c.fire_time).where(
        jobs.c.id.in_(ids), state_in([State.SUCCESS]), jobs.c.fire_time.is_not(None)
    )
    lines = [(row.schedule_id, row.fire_time) for row in await tx.execute(succeeded)]
    for chunk in chunks(lines, KEYS):
        waiting = sa.update(occurrences).where(lines_at(chunk), occurrences.c.must_succeed_by >= tx.now)
        await tx.execute(waiting.values(must_succeed_by=None))


async def _prune_rest(tx: Transaction, limit: int) -> None:
    await _prune_keys(tx, limit)
    long_dead = workers.c.expires_at < Later(tx.now, -micros(KEEP_DEAD_WORKERS.total_seconds()))
    named = sa.exists().where(jobs.c.state == State.RUNNING, jobs.c.worker_id == workers.c.id)
    dead = list((await tx.execute(sa.select(workers.c.id).where(long_dead, ~named).limit(limit))).scalars())
    if dead:
        await tx.execute(sa.delete(workers).where(workers.c.id.in_(dead)))


async def _prune_keys(tx: Transaction, limit: int) -> None:
    expired = sa.select(keys.c.namespace, keys.c.key).where(keys.c.expires_at <= tx.now).limit(limit)
    for row in (await tx.execute(expired)).all():
        await tx.execute(
            sa.delete(keys).where(keys.c.namespace == row.namespace, keys.c.key == row.key, keys.c.expires_at <= tx.now)
        )


async def _next_rescue(tx: Transaction) -> float | None:
    """One statement: it runs every few seconds on each scheduler, mostly to learn that there is nothing to do."""
    bounds = [_earliest(State.QUEUED, jobs.c.wake_at), _earliest(State.RUNNING, jobs.c.wake_at)]
    bounds += [_earliest(state, jobs.c.expires_at) for state in sorted(EXPIRE.sources)]
    labelled = [bound.label(f"bound_{place}") for place, bound in enumerate(bounds)]
    row = (await tx.execute(sa.select(tx.now.label("now"), sa.exists(_orphans(tx)).label("orphans"), *labelled))).one()
    if row.orphans:
        return 0.0
    moments = [row[2 + place] for place in range(len(bounds))]
    return min(((moment - row.now).total_seconds() for moment in moments if moment is not None), default=None)


def _earliest(state: State, column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    # ORDER BY with LIMIT is one look into the index, past the rows without a deadline.
    index = "jobs_rescue" if column is jobs.c.wake_at else "jobs_expiry"
    statement = sa.select(column).where(jobs.c.state == state, column.is_not(None))
    hinted = statement.with_hint(jobs, f"FORCE INDEX ({index})", "mysql")
    return hinted.order_by(column).limit(1).scalar_subquery()
