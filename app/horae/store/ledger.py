"""What became of the fire times of schedules, and what was done to schedules.

A list is newest first, and only equalities on the beginning of an index let MySQL read it in that order. So the ledger
is read one verdict at a time, and what they give is merged here. Left to itself MySQL may read a verdict from its
newest line on, though the page begins a year before: forced to an index, it begins where the page does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from horae.domain.errors import NotFound
from horae.domain.schedule import Action, Change, Occurrence, Reason, Verdict
from horae.store.base_schedules import LedgerFilter, LedgerKey
from horae.store.database import Database, Transaction
from horae.store.tables import changes, occurrences, schedules

_VERDICTS: Mapping[Reason | None, Sequence[Verdict]] = {
    None: tuple(Verdict),
    Reason.MISFIRE: (Verdict.SKIPPED, Verdict.COALESCED),
    Reason.OVERLAP: (Verdict.SKIPPED, Verdict.COALESCED),
    Reason.PAUSED: (Verdict.SKIPPED,),
    Reason.BOUND: (Verdict.SKIPPED,),
    Reason.NO_SUCCESS: (Verdict.MISSED,),
}
"""which verdicts may have the reason: the others needn't be searched for it in vain"""

_SHARING = frozenset({Verdict.SKIPPED, Verdict.COALESCED, Verdict.MISSED})
"""verdicts of which one line may stand for many"""

Conditions = list[sa.ColumnElement[bool]]


class Ledger:
    """The part of `ScheduleStore` in SQL that only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def occurrences(
        self, namespace: str, where: LedgerFilter, limit: int, before: LedgerKey | None = None
    ) -> list[Occurrence]:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> list[Occurrence]:
            if where.schedule_id is not None:
                await refuse_unknown(tx, namespace, where.schedule_id)
            found = await _newest(tx, list(_within(namespace, where, limit, before)), limit)
            if where.begin is not None and len(found) < limit:
                # All that begins earlier comes after all that doesn't.
                found += await _newest(tx, list(_reaching(namespace, where, limit, before)), limit - len(found))
            return found

        return await self._database.read(work)

    async def history(self, namespace: str, id_: str, limit: int, before: str | None = None) -> list[Change]:
        """See `ScheduleStore`."""

        async def work(tx: Transaction) -> list[Change]:
            await refuse_unknown(tx, namespace, id_)
            older = [changes.c.id < before] if before is not None else []
            mine = sa.select(changes).where(changes.c.schedule_id == id_, *older)
            rows = await tx.execute(mine.order_by(changes.c.id.desc()).limit(limit))
            return [_change_of(row) for row in rows]

        return await self._database.read(work)


async def refuse_unknown(tx: Transaction, namespace: str, id_: str) -> None:
    """Raises NotFound. Of a schedule that is deleted its history is left, of an old one perhaps only itself."""
    for table, key in ((schedules, schedules.c.id), (changes, changes.c.schedule_id)):
        known = sa.select(table.c.namespace).where(key == id_).limit(1)
        if (await tx.execute(known)).scalar_one_or_none() == namespace:
            return
    raise NotFound("schedule", id_)


async def _newest(tx: Transaction, alternatives: Sequence[sa.Select[Any]], limit: int) -> list[Occurrence]:
    """The newest lines of those that the statements find."""
    if not alternatives:
        return []
    rows = await tx.execute(sa.union_all(*(sa.select(each.subquery()) for each in alternatives)))
    return sorted(map(_occurrence_of, rows.mappings()), key=_place, reverse=True)[:limit]


def _place(line: Occurrence) -> tuple[Any, ...]:
    return line.fire_time, line.schedule_id, line.verdict is not Verdict.MISSED


def _within(namespace: str, where: LedgerFilter, limit: int, before: LedgerKey | None) -> Iterator[sa.Select[Any]]:
    """The newest lines of each verdict whose fire time lies in the range."""
    index = "occurrences_page" if where.schedule_id is None else "occurrences_verdict"
    lines = sa.select(occurrences).with_hint(occurrences, f"FORCE INDEX ({index})", "mysql")
    since = [] if where.begin is None else [occurrences.c.fire_time >= where.begin]
    for verdict in _asked(where):
        conditions = [occurrences.c.verdict == verdict, *since, *_common(namespace, where, verdict, before)]
        yield lines.where(*conditions).order_by(*_order(where)).limit(limit)


def _reaching(namespace: str, where: LedgerFilter, limit: int, before: LedgerKey | None) -> Iterator[sa.Select[Any]]:
    """The lines of each verdict that begin before the range and end in it.

    Equal outcomes in a row share a line: a schedule has no line with the same verdict between the beginning of one and
    its end. So only the newest before the range may reach into it.
    """
    for verdict in _asked(where):
        if verdict in _SHARING:
            last = _last_before(where, verdict)
            mine = (occurrences.c.schedule_id == last.c.schedule_id, occurrences.c.fire_time == last.c.fire_time)
            same = occurrences.c.missed == sa.literal(verdict is Verdict.MISSED)
            lines = sa.select(occurrences).select_from(last.join(occurrences, sa.and_(*mine, same)))
            conditions = [occurrences.c.until >= where.begin, *_common(namespace, where, verdict, before)]
            in_turn = lines.prefix_with("STRAIGHT_JOIN", dialect="mysql").where(*conditions)
            yield in_turn.order_by(*_order(where)).limit(limit)


def _last_before(where: LedgerFilter, verdict: Verdict) -> sa.Subquery:
    """The last fire time with the verdict before the range, of the schedule or of each one.

    Of each one: the server leaps from schedule to schedule in the index, however many lines each of them has.
    """
    line = occurrences.alias("line")
    last = sa.select(line.c.schedule_id, sa.func.max(line.c.fire_time).label("fire_time"))
    last = last.where(line.c.verdict == verdict, line.c.fire_time < where.begin)
    if where.schedule_id is not None:
        last = last.where(line.c.schedule_id == where.schedule_id)
    # Else MariaDB sorts the groups, which come in order.
    return last.group_by(line.c.schedule_id).order_by(sa.null()).subquery("last")


def _asked(where: LedgerFilter) -> list[Verdict]:
    return [verdict for verdict in _VERDICTS[where.reason] if not where.verdicts or verdict in where.verdicts]


def _common(namespace: str, where: LedgerFilter, verdict: Verdict, before: LedgerKey | None) -> Conditions:
    conditions = [occurrences.c.namespace == namespace]
    if where.schedule_id is not None:
        conditions.append(occurrences.c.schedule_id == where.schedule_id)
    if where.reason is not None:
        conditions.append(occurrences.c.reason == where.reason)
    if where.end is not None:
        conditions.append(occurrences.c.fire_time < where.end)
    if before is not None:
        conditions.append(_behind(before, verdict))
    return conditions


def _behind(key: LedgerKey, verdict: Verdict) -> sa.ColumnElement[bool]:
    """Whether a line comes after that one in the list."""
    own = occurrences.c.schedule_id
    last = verdict is Verdict.MISSED and not key.missed
    same = own <= key.schedule_id if last else own < key.schedule_id
    return sa.or_(
        occurrences.c.fire_time < key.fire_time,
        sa.and_(occurrences.c.fire_time == key.fire_time, same),
    )


def _order(where: LedgerFilter) -> Sequence[sa.ColumnElement[Any]]:
    newest = occurrences.c.fire_time.desc()
    return (newest,) if where.schedule_id is not None else (newest, occurrences.c.schedule_id.desc())


def _occurrence_of(row: sa.RowMapping) -> Occurrence:
    return Occurrence(
        schedule_id=row["schedule_id"],
        fire_time=row["fire_time"],
        verdict=Verdict(row["verdict"]),
        recorded_at=row["recorded_at"],
        reason=None if row["reason"] is None else Reason(row["reason"]),
        detail=row["detail"],
        job_id=row["job_id"],
        into=row["into_fire"],
        until=row["until"],
        count=row["count"],
    )


def _change_of(row: sa.Row[Any]) -> Change:
    return Change(
        id=row.id,
        schedule_id=row.schedule_id,
        name=row.name,
        at=row.at,
        author=row.author,
        action=Action(row.action),
        version=row.version,
        details=orjson.loads(row.details),
    )
