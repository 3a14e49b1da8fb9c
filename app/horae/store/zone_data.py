"""New time zone data: next fire times computed by older data are computed again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from horae.domain.firing import NOTHING_LEFT
from horae.domain.ids import IdMaker
from horae.domain.schedule import Action
from horae.domain.wording import moment
from horae.domain.zones import TZDATA
from horae.store.base_schedules import Moved
from horae.store.changes import Done, write_changes
from horae.store.database import Database, Transaction
from horae.store.firing import end_schedules
from horae.store.lines import BY_KEY
from horae.store.schedule_rows import definition_of
from horae.store.tables import positions, schedules


class ZoneData:
    """The part of `FiringStore` in SQL that follows the time zone data.

    `tzdata` is the version that this process has. It orders as text; rows of newer data belong to a newer release.
    """

    tzdata = TZDATA

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = IdMaker()

    async def adopt_zone_data(self, limit: int) -> list[Moved] | None:
        """See `FiringStore`."""
        return await self._database.transact(lambda tx: _adopt(tx, self._ids, self.tzdata, limit))


@dataclass(frozen=True, slots=True)
class _Shift:
    row: sa.Row[Any]
    before: datetime
    after: datetime | None


async def _adopt(tx: Transaction, ids: IdMaker, tzdata: str, limit: int) -> list[Moved] | None:
    older = schedules.c.tzdata < tzdata
    wanted = sa.select(schedules.c.id).where(older).order_by(schedules.c.tzdata).limit(limit)
    found = list((await tx.execute(wanted)).scalars())
    if not found:
        return None
    mine = sa.select(positions).with_hint(positions, BY_KEY, "mysql").where(positions.c.schedule_id.in_(found))
    places = {row.schedule_id: row for row in await tx.execute(mine.with_for_update(skip_locked=True))}
    # Read again, now that nobody changes them.
    again = sa.select(schedules).with_hint(schedules, BY_KEY, "mysql").where(schedules.c.id.in_(list(places)), older)
    rows = (await tx.execute(again)).all()
    shifts = [shift for row in rows if (shift := _shift(row, places[row.id]))]
    adopted = sa.update(schedules).with_hint(BY_KEY, dialect_name="mysql")
    await tx.execute(adopted.where(schedules.c.id.in_([row.id for row in rows])).values(tzdata=tzdata))
    for shift in shifts:
        await _write(tx, shift)
    await write_changes(tx, ids, [_moved(shift, tzdata) for shift in shifts])
    await end_schedules(tx, ids, [(shift.row, NOTHING_LEFT) for shift in shifts if shift.after is None])
    return [Moved(s.row.id, s.row.namespace, s.row.name, s.before, s.after) for s in shifts]


def _shift(row: sa.Row[Any], place: sa.Row[Any]) -> _Shift | None:
    """What the present data makes of the next fire time, if that is another one."""
    before = place.next_fire_at
    if before is None:
        return None
    try:
        after = definition_of(row).timing.next(place.since)
    except ValueError:
        # When it comes due its fire ends it, and says why.
        return None
    return None if after == before else _Shift(row, before, after)


async def _write(tx: Transaction, shift: _Shift) -> None:
    place = sa.update(positions).where(positions.c.schedule_id == shift.row.id)
    await tx.execute(place.values(next_fire_at=shift.after))


def _moved(shift: _Shift, tzdata: str) -> Done:
    row = shift.row
    after = None if shift.after is None else moment(shift.after)
    details = {"before": moment(shift.before), "after": after, "tzdata": [row.tzdata, tzdata]}
    return Done(row.id, row.namespace, row.name, row.version, Action.MOVED, details=details)
