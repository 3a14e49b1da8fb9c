"""Backfills move on: jobs for past fire times, each with its line in the ledger.

One transaction moves one backfill. It holds the lock of the schedule's position, as every fire does: of a fire time two
can't make a job, and nobody else changes the lines of this schedule meanwhile.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa
import structlog

from horae.domain.backfill import HAS_JOB, Chosen, choose
from horae.domain.ids import IdMaker, JobId
from horae.domain.job import NewJob
from horae.domain.schedule import BackfillState
from horae.domain.timing import Timing, fires_within
from horae.runtime.clock import unix_ms
from horae.store.backfill_lines import Backfilled, write_backfilled
from horae.store.backfills import cancel_locked_backfill, standing
from horae.store.base_schedules import Progressed
from horae.store.changes import SCHEDULER
from horae.store.database import Database, Transaction
from horae.store.firing import defaults_of, lock_position
from horae.store.lines import lines_at
from horae.store.rows import dumps
from horae.store.schedule_rows import definition_of, timing_of
from horae.store.submissions import insert_jobs
from horae.store.tables import backfills, occurrences, schedules

log = structlog.get_logger(__name__)

RUNNING = 1000
"""running backfills among which those to look at are drawn"""
LOOK = 500
"""fire times looked at in one transaction: most of them may have a job"""


class Backfilling:
    """The part of `FiringStore` in SQL that is about backfills."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = IdMaker()

    async def backfilling(self) -> bool:
        """See `FiringStore`."""
        running = sa.exists().where(backfills.c.state == BackfillState.RUNNING)
        return bool((await self._database.read(lambda tx: tx.execute(sa.select(running)))).scalar_one())

    async def advance_backfills(self, limit: int) -> list[Progressed]:
        """See `FiringStore`. Which ones is left to chance, so that none has to wait for the others to end."""
        running = (
            sa.select(backfills.c.id, backfills.c.schedule_id)
            .with_hint(backfills, "FORCE INDEX (backfills_running)", "mysql")
            .where(backfills.c.state == BackfillState.RUNNING)
            .order_by(backfills.c.id)
            .limit(RUNNING)
        )
        rows = (await self._database.read(lambda tx: tx.execute(running))).all()
        looks = [await self._look(row) for row in random.sample(rows, min(limit, len(rows)))]
        return [progressed for progressed in looks if progressed]

    async def _look(self, row: sa.Row[Any]) -> Progressed | None:
        try:
            return await self._database.transact(lambda tx: _advance(tx, self._ids, row.id, row.schedule_id))
        except ValueError as error:
            # It would be so at each look, for ever.
            why = f"its fire times can't be computed: {error}"
            log.error("backfill.broken", backfill_id=row.id, schedule_id=row.schedule_id, why=why)  # noqa: TRY400
            return await self._database.transact(lambda tx: _give_up(tx, self._ids, row.id, row.schedule_id, why))


@dataclass(frozen=True, slots=True)
class _Held:
    """A running backfill and its schedule. Both rows, and the schedule's position, are ours until the end."""

    row: sa.Row[Any]
    schedule: sa.Row[Any]
    place: sa.Row[Any]


async def _hold(tx: Transaction, backfill_id: str, schedule_id: str) -> _Held | None:
    """None if another scheduler is at this schedule, or the backfill doesn't run any more."""
    place = await lock_position(tx, schedule_id, skip=True)
    if place is None:
        return None
    mine = sa.select(backfills).where(backfills.c.id == backfill_id, backfills.c.state == BackfillState.RUNNING)
    row = (await tx.execute(mine.with_for_update())).first()
    schedule = (await tx.execute(sa.select(schedules).where(schedules.c.id == schedule_id))).first()
    return None if row is None or schedule is None else _Held(row, schedule, place)


async def _advance(tx: Transaction, ids: IdMaker, backfill_id: str, schedule_id: str) -> Progressed | None:
    held = await _hold(tx, backfill_id, schedule_id)
    if held is None:
        return None
    stand = await standing(tx, held.row)
    running: list[JobId] = orjson.loads(stand["running"])
    timing = timing_of(held.row.timing)
    chosen = await _choose(tx, held.row, timing, held.row.max_concurrent - len(running))
    made = await _make(tx, ids, held.schedule, chosen.times)
    await write_backfilled(tx, Backfilled(held.place, held.row.namespace, timing, made))
    running += [job.id for job in made.values()]
    values = stand | {"running": dumps(running)} | _progress(held.row, chosen)
    if chosen.next_at is None and not running:
        # New zone data may have changed how many there are.
        values |= {
            "state": BackfillState.DONE,
            "finished_at": await tx.moment(),
            "total": values["made"] + values["kept"],
        }
    return await _write(tx, held, values, Counter(job.queue for job in made.values()))


async def _choose(tx: Transaction, row: sa.Row[Any], timing: Timing, slots: int) -> Chosen:
    """The fire times that are to have a job now: there is room for so many."""
    if row.next_at is None or slots <= 0:
        return Chosen((), 0, row.next_at)
    times = list(islice(fires_within(timing, row.next_at, row.end_at), LOOK + 1))
    beyond = times.pop() if len(times) > LOOK else None
    keys = ((row.schedule_id, time) for time in times)
    busy = sa.select(occurrences.c.fire_time).where(lines_at(keys), occurrences.c.verdict.in_(sorted(HAS_JOB)))
    return choose(times, set((await tx.execute(busy)).scalars()), slots, beyond)


async def _make(
    tx: Transaction, ids: IdMaker, schedule: sa.Row[Any], times: Sequence[datetime]
) -> dict[datetime, NewJob]:
    if not times:
        return {}
    now = await tx.moment()
    template = definition_of(schedule).template
    defaults = (await defaults_of(tx, {template.handler})).get(template.handler, {})
    made = {time: template.job(JobId(ids.next(unix_ms(now))), defaults, schedule.id, time, now) for time in times}
    await insert_jobs(tx, [(schedule.namespace, job) for job in made.values()], now)
    return made


def _progress(row: sa.Row[Any], chosen: Chosen) -> dict[str, Any]:
    made, kept = row.made + len(chosen.times), row.kept + chosen.kept
    return {"made": made, "kept": kept, "next_at": chosen.next_at}


async def _write(
    tx: Transaction, held: _Held, values: Mapping[str, Any], queues: Mapping[str, int]
) -> Progressed | None:
    """None if nothing has changed."""
    if all(getattr(held.row, name) == value for name, value in values.items()):
        return None
    await tx.execute(sa.update(backfills).where(backfills.c.id == held.row.id).values(values))
    return _progressed(held, values, queues)


async def _give_up(tx: Transaction, ids: IdMaker, backfill_id: str, schedule_id: str, why: str) -> Progressed | None:
    held = await _hold(tx, backfill_id, schedule_id)
    if held is None:
        return None
    await cancel_locked_backfill(tx, ids, held.row, SCHEDULER, why)
    return _progressed(held, {"state": BackfillState.CANCELLED}, {})


def _progressed(held: _Held, values: Mapping[str, Any], queues: Mapping[str, int]) -> Progressed:
    row = held.row
    return Progressed(
        backfill_id=row.id,
        schedule_id=row.schedule_id,
        namespace=row.namespace,
        name=held.schedule.name,
        state=BackfillState(values.get("state", row.state)),
        made=values.get("made", row.made),
        kept=values.get("kept", row.kept),
        total=values.get("total", row.total),
        queues=queues,
    )
