"""Occurrences of which nothing has succeeded by the time that was promised."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from horae.domain.absence import shortfall
from horae.domain.ids import JobId
from horae.domain.job import State
from horae.domain.schedule import Reason, Verdict
from horae.store.base_schedules import Absence
from horae.store.database import Database, Transaction
from horae.store.dialect import rewritten
from horae.store.lines import BY_KEY, KEYS, LINES, LineKey, key_of, lines_at
from horae.store.moves import chunks
from horae.store.tables import jobs, occurrences, schedules


class Absences:
    """The part of `FiringStore` in SQL that looks for what should have succeeded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_absences(self, limit: int) -> list[Absence] | None:
        """See `FiringStore`."""
        return await self._database.transact(lambda tx: _note(tx, limit))

    async def next_absence(self) -> float | None:
        """See `FiringStore`."""
        return await self._database.read(lambda tx: tx.until(occurrences.c.must_succeed_by))


@dataclass(frozen=True, slots=True)
class _Missed:
    row: sa.Row[Any]
    name: str
    job_id: JobId | None
    detail: str


async def _note(tx: Transaction, limit: int) -> list[Absence] | None:
    overdue = (
        LINES.with_hint(occurrences, "FORCE INDEX (occurrences_absence)", "mysql")
        .where(occurrences.c.must_succeed_by <= tx.now)
        .order_by(occurrences.c.must_succeed_by)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.execute(overdue)).all()
    if not rows:
        return None
    names = await _names(tx, {row.schedule_id for row in rows})
    # Of a schedule that was deleted nobody expects anything any more.
    missed = await _missed(tx, [row for row in rows if row.schedule_id in names], names)
    await _write(tx, rows, missed)
    return [Absence(m.row.schedule_id, m.row.namespace, m.name, m.row.fire_time, m.detail) for m in missed]


async def _names(tx: Transaction, ids: Collection[str]) -> Mapping[str, str]:
    named = sa.select(schedules.c.id, schedules.c.name).with_hint(schedules, BY_KEY, "mysql")
    return {row.id: row.name for row in await tx.execute(named.where(schedules.c.id.in_(sorted(ids))))}


async def _missed(tx: Transaction, rows: Sequence[sa.Row[Any]], names: Mapping[str, str]) -> list[_Missed]:
    deciding = await _deciding(tx, rows)
    seen = await _seen(tx, {job_id for job_id in deciding.values() if job_id})
    missed = []
    for row in rows:
        job_id = deciding[key_of(row)]
        if job_id and job_id not in seen and row.verdict != Verdict.FIRED:
            # Another fire's job, pruned since: that fire's own line has told.
            continue
        detail = shortfall(job_id, seen.get(job_id) if job_id else None, row.must_succeed_by)
        if detail is not None:
            missed.append(_Missed(row, names[row.schedule_id], job_id, detail))
    return missed


async def _deciding(tx: Transaction, rows: Sequence[sa.Row[Any]]) -> dict[LineKey, JobId | None]:
    """The job that counts for each line: its own or the one that it names, else that of the line it has gone into."""
    known = {key_of(row): row for row in rows}
    deciding: dict[LineKey, JobId | None] = {}
    follow = {key: key for key in known}
    while follow:
        await _read_lines(tx, known, follow.values())
        onward: dict[LineKey, LineKey] = {}
        for key, place in follow.items():
            line = known.get(place)
            # A coalesced line may have gone into one that has itself gone into a later one, and so on.
            if line is not None and line.job_id is None and line.into_fire is not None:
                onward[key] = (line.schedule_id, line.into_fire)
            else:
                deciding[key] = None if line is None else line.job_id
        follow = onward
    return deciding


async def _read_lines(tx: Transaction, known: dict[LineKey, sa.Row[Any]], wanted: Collection[LineKey]) -> None:
    unknown = sorted({key for key in wanted if key not in known})
    for chunk in chunks(unknown, KEYS):
        known |= {key_of(row): row for row in await tx.execute(LINES.where(lines_at(chunk)))}


async def _seen(tx: Transaction, ids: Collection[JobId]) -> dict[JobId, tuple[State, datetime | None]]:
    seen: dict[JobId, tuple[State, datetime | None]] = {}
    for chunk in chunks(sorted(ids)):
        states = sa.select(jobs.c.id, jobs.c.state, jobs.c.finished_at).with_hint(jobs, BY_KEY, "mysql")
        # Locked: a success that was in time may be waiting for its commit.
        for row in await tx.execute(states.where(jobs.c.id.in_(chunk)).with_for_update(read=True)):
            seen[row.id] = (State(row.state), row.finished_at)
    return seen


async def _write(tx: Transaction, judged: Sequence[sa.Row[Any]], missed: Sequence[_Missed]) -> None:
    now = await tx.moment()
    for chunk in chunks([key_of(row) for row in judged], KEYS):
        await tx.execute(sa.update(occurrences).where(lines_at(chunk)).values(must_succeed_by=None))
    for part in chunks([_line(each, now) for each in missed]):
        # A shared line that has grown since it was judged is judged again.
        await tx.execute(rewritten(occurrences, tx.dialect), part)


def _line(missed: _Missed, now: datetime) -> dict[str, Any]:
    row = missed.row
    return {
        "schedule_id": row.schedule_id,
        "fire_time": row.fire_time,
        "missed": True,
        "namespace": row.namespace,
        "verdict": Verdict.MISSED,
        "reason": Reason.NO_SUCCESS,
        "detail": missed.detail,
        "job_id": missed.job_id,
        "into_fire": None,
        "until": row.until,
        "count": row.stands_for,
        "recorded_at": now,
        "must_succeed_by": None,
    }
