"""T1: new jobs and the idempotency keys that make their submission repeatable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from horae.domain.errors import KeyConflict
from horae.domain.ids import JobId
from horae.domain.job import NewJob
from horae.store.base import RequestKey, Submitted
from horae.store.database import Database, Transaction
from horae.store.dialect import is_duplicate, text_of_id
from horae.store.moves import chunks
from horae.store.rows import ids_bytes, job_values
from horae.store.tables import jobs, keys, tags

KEEP_KEYS = timedelta(hours=24)
RACES = 5
"""how often a submission is tried again when another one with its key is faster"""
INSERT = 1000
"""rows handed to the driver at once; it packs them into statements of at most 1 MB"""


@dataclass(frozen=True, slots=True)
class _Known:
    request_hash: bytes
    ids: list[JobId]


class Submissions:
    """The submitting part of `JobStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def submit(self, namespace: str, new: Sequence[NewJob], request: RequestKey | None = None) -> Submitted:
        """See `JobStore`."""
        for race in range(RACES):
            try:
                return await self._database.transact(lambda tx: _submit(tx, namespace, new, request))
            except IntegrityError as error:
                # Another submission took the key between our look and our insert: now we shall find it.
                if not is_duplicate(error) or race == RACES - 1:
                    raise
        raise AssertionError("unreachable")


async def _submit(tx: Transaction, namespace: str, new: Sequence[NewJob], request: RequestKey | None) -> Submitted:
    now = await tx.moment()
    wanted = [job.idempotency_key for job in new if job.idempotency_key] + ([request.key] if request else [])
    known = await _known(tx, namespace, wanted, now)
    if request and request.key in known:
        return _repeated(request, known[request.key])
    if request:
        # No single job: a job of this request that has its key, too, is a conflict.
        known[request.key] = _Known(request.request_hash, [])
    submitted, fresh = _sort(new, known)
    await _insert_keys(tx, namespace, fresh, now)
    if request:
        await _insert_key(tx, namespace, request.key, request.request_hash, submitted.ids, now)
    await insert_jobs(tx, [(namespace, job) for job in fresh], now)
    return submitted


def _repeated(request: RequestKey, known: _Known) -> Submitted:
    if known.request_hash != request.request_hash:
        raise KeyConflict(request.key)
    return Submitted(known.ids, [False] * len(known.ids))


def _sort(new: Sequence[NewJob], known: Mapping[str, _Known]) -> tuple[Submitted, list[NewJob]]:
    """Tells the jobs that are new from those whose key is known, also from an earlier place in the same request."""
    seen = dict(known)
    submitted, fresh = Submitted([], []), []
    for index, job in enumerate(new):
        first = _first_with_its_key(job, seen, index if len(new) > 1 else None)
        submitted.ids.append(first or job.id)
        submitted.fresh.append(first is None)
        if first is None:
            fresh.append(job)
    return submitted, fresh


def _first_with_its_key(job: NewJob, seen: dict[str, _Known], index: int | None) -> JobId | None:
    """The job that has the key already; else the key is this job's from now on."""
    key = job.idempotency_key
    if key is None:
        return None
    if key not in seen:
        seen[key] = _Known(job.request_hash, [job.id])
        return None
    if seen[key].request_hash != job.request_hash or len(seen[key].ids) != 1:
        raise KeyConflict(key, index)
    return seen[key].ids[0]


async def _known(tx: Transaction, namespace: str, wanted: Sequence[str], now: datetime) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for chunk in chunks(wanted):
        where = (keys.c.namespace == namespace, keys.c.key.in_(chunk))
        rows = (await tx.execute(sa.select(keys).where(*where))).all()
        known |= {row.key: _Known(row.request_hash, _ids(row.job_ids)) for row in rows if row.expires_at > now}
        expired = [row.key for row in rows if row.expires_at <= now]
        if expired:
            old = (keys.c.namespace == namespace, keys.c.key.in_(expired), keys.c.expires_at <= now)
            await tx.execute(sa.delete(keys).where(*old))
    return known


def _ids(packed: bytes) -> list[JobId]:
    return [JobId(text_of_id(packed[start : start + 16])) for start in range(0, len(packed), 16)]


async def _insert_keys(tx: Transaction, namespace: str, fresh: Sequence[NewJob], now: datetime) -> None:
    rows = [
        _key_row(namespace, job.idempotency_key, job.request_hash, [job.id], now)
        for job in fresh
        if job.idempotency_key is not None
    ]
    # In one order everywhere, or two requests with the same keys would deadlock.
    rows.sort(key=lambda row: row["key"])
    for chunk in chunks(rows, INSERT):
        await tx.execute(sa.insert(keys), chunk)


async def _insert_key(
    tx: Transaction, namespace: str, key: str, request_hash: bytes, ids: list[JobId], now: datetime
) -> None:
    await tx.execute(sa.insert(keys), [_key_row(namespace, key, request_hash, ids, now)])


def _key_row(namespace: str, key: str, request_hash: bytes, ids: list[JobId], now: datetime) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "key": key,
        "request_hash": request_hash,
        "job_ids": ids_bytes(ids),
        "expires_at": now + KEEP_KEYS,
    }


async def insert_jobs(tx: Transaction, new: Sequence[tuple[str, NewJob]], now: datetime) -> None:
    """T1 and T2: the rows of new jobs, each in its namespace, and their tags."""
    for part in chunks(new, INSERT):
        rows = [job_values(namespace, job, now, _run_at(job, now)) for namespace, job in part]
        await tx.execute(sa.insert(jobs), rows)
    labels = [(namespace, tag, job.id) for namespace, job in new for tag in dict.fromkeys(job.tags)]
    tagged = [{"namespace": namespace, "tag": tag, "job_id": id_} for namespace, tag, id_ in labels]
    for chunk in chunks(tagged, INSERT):
        await tx.execute(sa.insert(tags), chunk)


def _run_at(job: NewJob, now: datetime) -> datetime:
    return job.run_at if job.run_at is not None else now + timedelta(seconds=job.delay_seconds)
