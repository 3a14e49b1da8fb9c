"""Backfills as users see them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa

from horae.domain.backfill import judged_until
from horae.domain.errors import IllegalMove, InvalidInput, NotFound
from horae.domain.ids import IdMaker, JobId
from horae.domain.job import FINAL, State
from horae.domain.schedule import Action, Backfill, BackfillState, ScheduleId
from horae.domain.timing import Timing, fires_within
from horae.domain.wording import moment
from horae.store.base_schedules import BACKFILL_CAP, NewBackfill
from horae.store.cancelling import cancel_locked
from horae.store.changes import Done, write_changes
from horae.store.database import Database, Transaction
from horae.store.filters import BEYOND
from horae.store.firing import lock_position
from horae.store.ledger import refuse_unknown
from horae.store.moves import chunks
from horae.store.rows import dumps
from horae.store.schedule_rows import definition_of, position_of, timing_text
from horae.store.tables import backfills, jobs, schedules


class Backfills:
    """The part of `ScheduleStore` in SQL that is about backfills."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = IdMaker()

    async def backfill(self, namespace: str, id_: str, new: NewBackfill, author: str) -> Backfill:
        """See `ScheduleStore`."""
        return await self._database.transact(
            partial(_start, ids=self._ids, namespace=namespace, id_=id_, new=new, author=author)
        )

    async def backfills(self, namespace: str, id_: str, limit: int, before: str | None = None) -> list[Backfill]:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> list[Backfill]:
            await refuse_unknown(tx, namespace, id_)
            mine = _mine(namespace, id_).where(backfills.c.id < (before or BEYOND))
            rows = (await tx.execute(mine.order_by(backfills.c.id.desc()).limit(limit))).all()
            return await _records(tx, rows)

        return await self._database.read(work)

    async def get_backfill(self, namespace: str, id_: str, backfill_id: str) -> Backfill | None:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> Backfill | None:
            rows = (await tx.execute(_mine(namespace, id_).where(backfills.c.id == backfill_id))).all()
            return next(iter(await _records(tx, rows)), None)

        return await self._database.read(work)

    async def cancel_backfill(self, namespace: str, id_: str, backfill_id: str, author: str) -> Backfill:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> Backfill:
            await lock_position(tx, id_)
            mine = _mine(namespace, id_).where(backfills.c.id == backfill_id)
            row = (await tx.execute(mine.with_for_update())).first()
            if row is None:
                raise NotFound("backfill", backfill_id)
            if row.state == BackfillState.DONE:
                raise IllegalMove("cancel", backfill_id, row.state, "backfill")
            if row.state == BackfillState.RUNNING:
                await cancel_locked_backfill(tx, self._ids, row, author)
            return (await _records(tx, (await tx.execute(mine)).all()))[0]

        return await self._database.transact(work)


# --------------------------------------------------------------------------------------------------------------- start


async def _start(tx: Transaction, *, ids: IdMaker, namespace: str, id_: str, new: NewBackfill, author: str) -> Backfill:
    place = await lock_position(tx, id_)
    found = sa.select(schedules).where(schedules.c.id == id_, schedules.c.namespace == namespace)
    schedule = (await tx.execute(found)).first()
    if schedule is None or place is None:
        raise NotFound("schedule", id_)
    now = await tx.moment()
    values = await _values(schedule, new, min(new.end, judged_until(position_of(place), now)))
    await tx.execute(sa.insert(backfills).values(**values, author=author, created_at=now))
    await write_changes(tx, ids, [_done(schedule, Action.BACKFILL_STARTED, author, _details(values))])
    started = (await tx.execute(_mine(namespace, id_).where(backfills.c.id == new.id))).all()
    return (await _records(tx, started))[0]


async def _values(row: sa.Row[Any], new: NewBackfill, end: datetime) -> dict[str, Any]:
    try:
        timing = definition_of(row).timing
        # In a thread: thousands of fire times take tens of milliseconds.
        first, total = await asyncio.to_thread(_counted, timing, new.begin, end)
    except ValueError as error:
        raise InvalidInput.of("from", f"its fire times can't be computed: {error}") from error
    if first is None:
        raise InvalidInput.of("from", "the schedule has no past fire time in this range")
    if total > BACKFILL_CAP:
        raise InvalidInput.of("to", f"the range holds more than {BACKFILL_CAP} fire times")
    return {
        "id": new.id,
        "schedule_id": row.id,
        "namespace": row.namespace,
        "state": BackfillState.RUNNING,
        "begin_at": new.begin,
        "end_at": end,
        "timing": timing_text(timing),
        "max_concurrent": new.max_concurrent,
        "next_at": first,
        "total": total,
        **dict.fromkeys(("made", "kept", "succeeded", "failed"), 0),
        "running": "[]",
    }


def _counted(timing: Timing, begin: datetime, end: datetime) -> tuple[datetime | None, int]:
    """The first fire time of the range and how many there are, at most one more than may be."""
    times = list(islice(fires_within(timing, begin, end), BACKFILL_CAP + 1))
    return (times[0] if times else None), len(times)


def _details(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "backfill_id": values["id"],
        "from": moment(values["begin_at"]),
        "to": moment(values["end_at"]),
        "max_concurrent": values["max_concurrent"],
        "total": values["total"],
    }


def _done(schedule: sa.Row[Any], action: Action, author: str, details: Mapping[str, Any]) -> Done:
    return Done(schedule.id, schedule.namespace, schedule.name, schedule.version, action, author, details)


# ---------------------------------------------------------------------------------------------------------- for others


async def cancel_locked_backfill(
    tx: Transaction, ids: IdMaker, row: sa.Row[Any], author: str, why: str | None = None
) -> None:
    """No further job, T11 for those that it has made. The row and the schedule's position are locked by the caller."""
    running = orjson.loads(row.running)
    if running:
        unfinished = sa.select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(running)).with_for_update()
        await cancel_locked(tx, (await tx.execute(unfinished)).all())
    # Those that are asked to end stay in `running`: how they ended is read from their rows.
    values = {**(await standing(tx, row)), "state": BackfillState.CANCELLED, "next_at": None, "finished_at": tx.now}
    await tx.execute(sa.update(backfills).where(backfills.c.id == row.id).values(values))
    schedule = (await tx.execute(sa.select(schedules).where(schedules.c.id == row.schedule_id))).first()
    if schedule is not None:
        details = {"backfill_id": row.id} | ({} if why is None else {"reason": why})
        await write_changes(tx, ids, [_done(schedule, Action.BACKFILL_CANCELLED, author, details)])


async def standing(tx: Transaction, row: sa.Row[Any]) -> dict[str, Any]:
    """The columns that tell how its jobs are, as they are now."""
    running: list[JobId] = orjson.loads(row.running)
    open_, succeeded, failed = _sorted(running, await _states(tx, running))
    return {
        "running": dumps(open_),
        "succeeded": row.succeeded + succeeded,
        "failed": row.failed + failed,
    }


# --------------------------------------------------------------------------------------------------------------- rows


def _mine(namespace: str, schedule_id: str) -> sa.Select[Any]:
    return sa.select(backfills).where(backfills.c.schedule_id == schedule_id, backfills.c.namespace == namespace)


async def _states(tx: Transaction, ids: Iterable[str]) -> dict[str, State]:
    states: dict[str, State] = {}
    for chunk in chunks(sorted(ids)):
        rows = await tx.execute(sa.select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(chunk)))
        states |= {row.id: State(row.state) for row in rows}
    return states


def _sorted(running: Sequence[JobId], states: Mapping[str, State]) -> tuple[list[JobId], int, int]:
    """Which of them aren't final, and how many succeeded and failed; what is gone isn't known to have succeeded."""
    open_ = [id_ for id_ in running if id_ in states and states[id_] not in FINAL]
    succeeded = sum(states.get(id_) is State.SUCCESS for id_ in running)
    return open_, succeeded, len(running) - len(open_) - succeeded


async def _records(tx: Transaction, rows: Sequence[sa.Row[Any]]) -> list[Backfill]:
    running: list[list[JobId]] = [orjson.loads(row.running) for row in rows]
    states = await _states(tx, {id_ for ids in running for id_ in ids})
    return [_record(row, *_sorted(ids, states)) for row, ids in zip(rows, running, strict=True)]


def _record(row: sa.Row[Any], open_: Sequence[JobId], succeeded: int, failed: int) -> Backfill:
    return Backfill(
        id=row.id,
        schedule_id=ScheduleId(row.schedule_id),
        begin=row.begin_at,
        end=row.end_at,
        max_concurrent=row.max_concurrent,
        state=BackfillState(row.state),
        total=row.total,
        made=row.made,
        kept=row.kept,
        running=len(open_),
        succeeded=row.succeeded + succeeded,
        failed=row.failed + failed,
        author=row.author,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
