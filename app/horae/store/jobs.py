"""Jobs as users see and move them: T11, T15, T16, T17 by hand, and reading."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.errors import IllegalMove, NotFound, StaleVersion
from horae.domain.job import FINAL, Attempt, Job, State
from horae.domain.transitions import EDIT, RETRY_BY_HAND
from horae.store.base import Edit, JobFilter
from horae.store.cancelling import cancel_locked
from horae.store.database import Database, Transaction
from horae.store.dialect import micros
from horae.store.filters import BEYOND, found, newest
from horae.store.moves import moved
from horae.store.rescues import delete_jobs
from horae.store.rows import attempt_of, backoff_text, dumps, job_of, last_attempt_of
from horae.store.submissions import Submissions
from horae.store.tables import attempts, jobs, tags


class Jobs(Submissions):
    """`JobStore` in SQL."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    async def get(self, namespace: str, job_id: str) -> Job | None:
        """See `JobStore`."""
        return await self._database.read(lambda tx: _get(tx, namespace, job_id))

    async def page(self, namespace: str, where: JobFilter, limit: int, before: str | None = None) -> list[Job]:
        """See `JobStore`."""
        ids = newest(namespace, where, limit, before or BEYOND)
        statement = sa.select(jobs).join(ids, ids.c.id == jobs.c.id).order_by(jobs.c.id.desc())
        rows = await self._database.read(lambda tx: tx.execute(statement))
        return [job_of(row) for row in rows]

    async def count(self, namespace: str, where: JobFilter) -> int:
        """See `JobStore`."""
        statement = sa.select(sa.func.count()).select_from(found(namespace, where))
        rows = await self._database.read(lambda tx: tx.execute(statement))
        return int(rows.scalar_one())

    async def attempts(self, namespace: str, job_id: str) -> list[Attempt]:
        """See `JobStore`."""

        async def work(tx: Transaction) -> list[Attempt]:
            mine = (attempts.c.job_id == job_id, attempts.c.namespace == namespace)
            rows = await tx.execute(sa.select(attempts).where(*mine).order_by(attempts.c.attempt))
            job = await _get(tx, namespace, job_id)
            last = last_attempt_of(job) if job else None
            return [attempt_of(row) for row in rows] + ([last] if last else [])

        return await self._database.read(work)

    async def edit(self, namespace: str, job_id: str, version: int, edit: Edit) -> Job:
        """See `JobStore`."""

        async def work(tx: Transaction) -> Job:
            job = await _get(tx, namespace, job_id, lock=True)
            if job is None:
                raise NotFound("job", job_id)
            if job.token != version:
                raise StaleVersion(job_id, version, job.token)
            if job.state not in EDIT.sources:
                raise IllegalMove("edit", job_id, job.state)
            await _edit(tx, namespace, job, edit)
            changed = await _get(tx, namespace, job_id)
            assert changed is not None  # noqa: S101 - locked by this transaction
            return changed

        return await self._database.transact(work)

    async def cancel(self, namespace: str, job_ids: Collection[str]) -> frozenset[str]:
        """See `JobStore`."""
        asked = {row.id: row.round for row in await self._database.read(lambda tx: _states(tx, namespace, job_ids))}

        async def work(tx: Transaction) -> frozenset[str]:
            # Applied late, a request must not hit the round that a retry by hand has begun meanwhile.
            rows = [row for row in await _locked(tx, namespace, job_ids) if row.round == asked.get(row.id)]
            cancelled = await cancel_locked(tx, rows)
            return frozenset(cancelled + [row.id for row in rows if row.state == State.CANCELLED])

        return await self._database.transact(work)

    async def retry(self, namespace: str, job_ids: Collection[str]) -> frozenset[str]:
        """See `JobStore`."""

        async def work(tx: Transaction) -> frozenset[str]:
            rows = await _locked(tx, namespace, job_ids)
            ids = [row.id for row in rows if row.state in RETRY_BY_HAND.sources]
            if ids:
                await tx.execute(moved(RETRY_BY_HAND, ids, tx.now, run_at=tx.now, **_fresh_round()))
            return frozenset(ids)

        return await self._database.transact(work)

    async def delete(self, namespace: str, job_ids: Collection[str]) -> frozenset[str]:
        """See `JobStore`."""

        async def work(tx: Transaction) -> frozenset[str]:
            rows = await _locked(tx, namespace, job_ids)
            ids = [row.id for row in rows if row.state in FINAL]
            await delete_jobs(tx, ids)
            return frozenset(ids)

        return await self._database.transact(work)

    async def counts(self, namespace: str) -> Mapping[State, int]:
        """See `JobStore`."""
        statement = (
            sa.select(jobs.c.state, sa.func.count().label("total"))
            .where(jobs.c.namespace == namespace)
            .group_by(jobs.c.state)
        )
        rows = await self._database.read(lambda tx: tx.execute(statement))
        totals = {State(row.state): int(row.total) for row in rows}
        return {state: totals.get(state, 0) for state in State}


async def _get(tx: Transaction, namespace: str, job_id: str, lock: bool = False) -> Job | None:
    statement = sa.select(jobs).where(jobs.c.id == job_id, jobs.c.namespace == namespace)
    row = (await tx.execute(statement.with_for_update() if lock else statement)).first()
    return job_of(row) if row else None


async def _locked(tx: Transaction, namespace: str, job_ids: Collection[str]) -> Sequence[sa.Row[Any]]:
    """The rows as they are now, and stay until the end of the transaction."""
    return (await tx.execute(_by_ids(namespace, job_ids).with_for_update())).all() if job_ids else []


async def _states(tx: Transaction, namespace: str, job_ids: Collection[str]) -> Sequence[sa.Row[Any]]:
    return (await tx.execute(_by_ids(namespace, job_ids))).all() if job_ids else []


def _by_ids(namespace: str, job_ids: Collection[str]) -> sa.Select[Any]:
    columns = (jobs.c.id, jobs.c.state, jobs.c.round)
    return sa.select(*columns).where(jobs.c.id.in_(job_ids), jobs.c.namespace == namespace)


def _fresh_round() -> dict[str, Any]:
    """T15: nothing of the earlier round is left but the count of starts."""
    times = ("expires_at", "first_started_at", "started_at", "finished_at")
    return {
        "round": jobs.c.round + 1,
        "failures": 0,
        "losses": 0,
        "cancel_requested": False,
        **dict.fromkeys((*times, "worker_id", "result", "error", "progress")),
    }


async def _edit(tx: Transaction, namespace: str, job: Job, edit: Edit) -> None:
    changes = dict(edit.changes)
    if "tags" in changes:
        await _retag(tx, namespace, job.id, changes["tags"])
    if "delay_seconds" in changes:
        changes["run_at"] = await tx.moment() + timedelta(seconds=changes.pop("delay_seconds"))
    values = {column: value for name, given in changes.items() for column, value in _column(name, given)}
    await tx.execute(moved(EDIT, [job.id], tx.now, **values).where(jobs.c.token == job.token))


def _column(name: str, value: Any) -> list[tuple[str, Any]]:
    match name:
        case "timeout_seconds":
            return [("timeout_us", micros(value))]
        case "backoff":
            return [("backoff", backoff_text(value))]
        case "tags":
            return [("tags", dumps(value) if value else "")]
        case "priority":
            return [("priority", int(value))]
    return [(name, value)]


async def _retag(tx: Transaction, namespace: str, job_id: str, new: Sequence[str]) -> None:
    await tx.execute(sa.delete(tags).where(tags.c.job_id == job_id))
    if new:
        rows = [{"namespace": namespace, "tag": tag, "job_id": job_id} for tag in dict.fromkeys(new)]
        await tx.execute(sa.insert(tags), rows)
