"""Schedules as users see and change them.

Whoever changes a schedule locks its position first, as a fire does: so the definition and the position stay as they
were read until the transaction ends, and a change never tears a fire apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from horae.domain.errors import IllegalMove, NameTaken, NotFound, StaleVersion, StoreUnavailable
from horae.domain.firing import Pause, Position
from horae.domain.ids import IdMaker, JobId
from horae.domain.schedule import Action, BackfillState, Definition, Overlap, Schedule, ScheduleId, ScheduleState
from horae.domain.standing import anchored, beginning, resumed, standing
from horae.domain.zones import TZDATA
from horae.store.base_schedules import ScheduleFilter
from horae.store.changes import Done, write_changes
from horae.store.database import Database, Transaction, Work
from horae.store.dialect import is_duplicate
from horae.store.differences import differences, given_fields
from horae.store.firing import EARLIER, defaults_of, lock_position, settle, unfinished
from horae.store.schedule_rows import SCHEDULE_COLUMNS, definition_values, position_of, position_values, schedule_of
from horae.store.submissions import insert_jobs
from horae.store.tables import backfills, positions, schedules

R = TypeVar("R")

ROUNDS = 50
"""transactions in which a change fires what was due before it; each takes up to a thousand occurrences"""
RACES = 5
"""how often a change is tried again when another one with its name is faster"""


@dataclass(frozen=True, slots=True)
class _Held:
    """A schedule whose position this transaction has locked."""

    schedule: Schedule
    position: Position


class Schedules:
    """The part of `ScheduleStore` in SQL that is about schedules themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = IdMaker()

    async def create(self, namespace: str, id_: ScheduleId, definition: Definition, author: str) -> Schedule:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> Schedule:
            await _refuse_taken(tx, namespace, id_, definition.name)
            now = await tx.moment()
            await _insert(tx, namespace, id_, anchored(definition, now), now)
            made = (await _hold(tx, namespace, id_)).schedule
            await self._note(tx, made, Action.CREATED, author, given_fields(made.definition))
            return made

        return await self._named(work)

    async def get(self, namespace: str, id_: str) -> Schedule | None:
        """See `ScheduleStore`."""
        return await self._database.read(lambda tx: _get(tx, namespace, id_))

    async def page(self, namespace: str, where: ScheduleFilter, limit: int, after: str | None = None) -> list[Schedule]:
        """See `ScheduleStore`."""
        conditions = [schedules.c.namespace == namespace, *_narrowed(where)]
        if after is not None:
            conditions.append(schedules.c.name > after)
        statement = _whole().where(*conditions).order_by(schedules.c.name).limit(limit)
        rows = await self._database.read(lambda tx: tx.execute(statement))
        return [schedule_of(row) for row in rows]

    async def change(
        self, namespace: str, id_: str, version: int, definition: Definition, author: str
    ) -> tuple[Schedule, Schedule]:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> tuple[Schedule, Schedule] | None:
            before = (await _hold(tx, namespace, id_)).schedule
            if before.version != version:
                raise StaleVersion(id_, version, before.version, "schedule")
            after = anchored(definition, await tx.moment(), before.definition.timing)
            details = differences(before.definition, after)
            if not details:
                return before, before
            if await settle(tx, self._ids, id_):
                return None
            await _refuse_taken(tx, namespace, id_, after.name)
            held = await _hold(tx, namespace, id_)
            changed = await _redefine(tx, held, after)
            await self._note(tx, changed, Action.UPDATED, author, details)
            return held.schedule, changed

        for _ in range(ROUNDS):
            done = await self._named(work)
            if done is not None:
                return done
        raise StoreUnavailable("the schedule is still catching up with an outage; try again in a while")

    async def pause(self, namespace: str, id_: str, author: str) -> Schedule:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> Schedule:
            held = await _hold(tx, namespace, id_)
            _refuse_ended("pause", held.schedule)
            if held.schedule.state is ScheduleState.PAUSED:
                return held.schedule
            now = await tx.moment()
            values = {"state": ScheduleState.PAUSED, "paused_at": now, "paused_by": author}
            paused = replace(held.position, pauses=(*held.position.pauses, Pause(now)))
            after = await _write(tx, held, values, paused)
            await self._note(tx, after, Action.PAUSED, author)
            return after

        return await self._database.transact(work)

    async def resume(self, namespace: str, id_: str, author: str) -> Schedule:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> Schedule:
            held = await _hold(tx, namespace, id_)
            _refuse_ended("resume", held.schedule)
            if held.schedule.state is ScheduleState.ACTIVE:
                return held.schedule
            values = {"state": ScheduleState.ACTIVE, "paused_at": None, "paused_by": None}
            after = await _write(tx, held, values, resumed(held.position, await tx.moment()))
            await self._note(tx, after, Action.RESUMED, author)
            return after

        return await self._database.transact(work)

    async def trigger(self, namespace: str, id_: str, job_id: JobId, author: str) -> None:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> None:
            held = await _hold(tx, namespace, id_)
            template, now = held.schedule.definition.template, await tx.moment()
            defaults = (await defaults_of(tx, {template.handler})).get(template.handler, {})
            await insert_jobs(tx, [(namespace, template.job(job_id, defaults, id_, None, now))], now)
            await _write_position(tx, held.schedule.id, await _with_job(tx, held, job_id))
            await self._note(tx, held.schedule, Action.TRIGGERED, author, {"job_id": job_id})

        await self._database.transact(work)

    async def delete(self, namespace: str, id_: str, author: str) -> None:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> None:
            gone = (await _hold(tx, namespace, id_)).schedule
            running = (backfills.c.schedule_id == id_, backfills.c.state == BackfillState.RUNNING)
            ended = {"state": BackfillState.CANCELLED, "next_at": None, "finished_at": tx.now}
            await tx.execute(sa.update(backfills).where(*running).values(ended))
            await tx.execute(sa.delete(schedules).where(schedules.c.id == id_))
            await tx.execute(sa.delete(positions).where(positions.c.schedule_id == id_))
            await self._note(tx, gone, Action.DELETED, author, given_fields(gone.definition))

        await self._database.transact(work)

    async def _named(self, work: Work[R]) -> R:
        """A transaction that takes a name; again if another schedule got it between our look and our write."""
        for race in range(RACES):
            try:
                return await self._database.transact(work)
            except IntegrityError as error:
                if not is_duplicate(error) or race == RACES - 1:
                    raise
        raise AssertionError("unreachable")

    async def _note(
        self, tx: Transaction, schedule: Schedule, action: Action, author: str, details: Mapping[str, Any] | None = None
    ) -> None:
        name, version = schedule.definition.name, schedule.version
        done = Done(schedule.id, schedule.namespace, name, version, action, author, details or {})
        await write_changes(tx, self._ids, [done])


# ------------------------------------------------------------------------------------------------------------- reading


def _whole() -> sa.Select[Any]:
    # LEFT, though each has a position: so the server begins with the schedules, in the order of their index.
    joined = schedules.outerjoin(positions, positions.c.schedule_id == schedules.c.id)
    return sa.select(*SCHEDULE_COLUMNS).select_from(joined)


async def _get(tx: Transaction, namespace: str, id_: str) -> Schedule | None:
    mine = (schedules.c.id == id_, schedules.c.namespace == namespace)
    row = (await tx.execute(_whole().where(*mine))).first()
    return schedule_of(row) if row else None


async def _hold(tx: Transaction, namespace: str, id_: str) -> _Held:
    """Raises NotFound."""
    row = await lock_position(tx, id_)
    schedule = await _get(tx, namespace, id_) if row else None
    if row is None or schedule is None:
        raise NotFound("schedule", id_)
    return _Held(schedule, position_of(row))


def _narrowed(where: ScheduleFilter) -> list[sa.ColumnElement[bool]]:
    given = {schedules.c.name: where.name, schedules.c.handler: where.handler, schedules.c.source: where.source}
    conditions = [column == value for column, value in given.items() if value is not None]
    if where.states:
        conditions.append(schedules.c.state.in_(sorted(where.states)))
    if where.text:
        # As a range, which an index serves; no UTF-8 text holds the byte at its end.
        beyond = sa.literal(where.text.encode() + b"\xff", sa.LargeBinary())
        conditions += [schedules.c.name >= where.text, schedules.c.name < beyond]
    return conditions


async def _refuse_taken(tx: Transaction, namespace: str, id_: str, name: str) -> None:
    """Raises NameTaken."""
    holder = sa.select(schedules.c.id).where(schedules.c.namespace == namespace, schedules.c.name == name)
    found = (await tx.execute(holder)).scalar_one_or_none()
    if found is not None and found != id_:
        raise NameTaken(name, found)


def _refuse_ended(action: str, schedule: Schedule) -> None:
    """Raises IllegalMove."""
    if schedule.state is ScheduleState.ENDED:
        raise IllegalMove(action, schedule.id, schedule.state, "schedule")


# ------------------------------------------------------------------------------------------------------------- writing


async def _insert(tx: Transaction, namespace: str, id_: ScheduleId, definition: Definition, now: datetime) -> None:
    position = beginning(definition.timing, now)
    values = {
        "id": id_,
        "namespace": namespace,
        "version": 1,
        "state": ScheduleState.ACTIVE,
        "tzdata": TZDATA,
        "created_at": now,
        "updated_at": now,
        **definition_values(definition),
    }
    await tx.execute(sa.insert(schedules).values(values))
    await tx.execute(sa.insert(positions).values(position_values(id_, position)))


async def _redefine(tx: Transaction, held: _Held, definition: Definition) -> Schedule:
    """Writes the definition, and where the schedule stands by it. Nothing is due by the old one any more."""
    # How it was paused outlives its end: a change that brings it back brings it back paused.
    stands = standing(held.schedule, held.position, definition, await tx.moment())
    going = ScheduleState.ACTIVE if held.schedule.paused_at is None else ScheduleState.PAUSED
    values = {
        **definition_values(definition),
        "state": going if stands.ended is None else ScheduleState.ENDED,
        "ended_reason": stands.ended,
        "tzdata": stands.tzdata,
    }
    return await _write(tx, held, values, stands.position)


async def _write(tx: Transaction, held: _Held, values: Mapping[str, Any], position: Position) -> Schedule:
    """Writes a change by a user; the schedule after it."""
    before = held.schedule
    rising = {"version": before.version + 1, "updated_at": await tx.moment()}
    await tx.execute(sa.update(schedules).where(schedules.c.id == before.id).values({**values, **rising}))
    await _write_position(tx, before.id, position)
    return (await _hold(tx, before.namespace, before.id)).schedule


async def _write_position(tx: Transaction, id_: str, position: Position) -> None:
    mine = positions.c.schedule_id == id_
    await tx.execute(sa.update(positions).where(mine).values(position_values(id_, position)))


async def _with_job(tx: Transaction, held: _Held, job_id: JobId) -> Position:
    """The position that knows one more job, for the next fire to look at."""
    earlier: tuple[JobId, ...] = ()
    if held.position.earlier and held.schedule.definition.overlap is not Overlap.ALLOW:
        open_ = await unfinished(tx, held.position.earlier)
        earlier = tuple(id_ for id_ in held.position.earlier if id_ in open_)
    return replace(held.position, earlier=(*earlier, job_id)[-EARLIER:])
