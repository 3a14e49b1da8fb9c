"""Lines of the ledger for fire times that are backfilled: also for those that had no line of their own.

Beyond so many equal outcomes in a row one line stands for all further ones. A time that is taken out of such a line has
a line of its own, and the shared one counts one less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from horae.domain.backfill import Shared
from horae.domain.job import NewJob
from horae.domain.schedule import Reason, Verdict
from horae.domain.timing import Timing, fires_within
from horae.store.database import Transaction
from horae.store.dialect import rewritten
from horae.store.lines import LINES, lines_at
from horae.store.schedule_rows import position_of, position_values
from horae.store.tables import occurrences, positions

SHARING = (Verdict.SKIPPED, Verdict.COALESCED)
"""verdicts of which lines may be shared"""
WINDOW = 500


@dataclass(frozen=True, slots=True)
class Backfilled:
    """The jobs made by one transaction, by fire time, and the schedule that they belong to, its position locked."""

    place: sa.Row[Any]
    namespace: str
    timing: Timing
    made: Mapping[datetime, NewJob]


async def write_backfilled(tx: Transaction, backfilled: Backfilled) -> None:
    """Writes a line for each job."""
    if not backfilled.made:
        return
    own, shared = await _lines_of(tx, backfilled)
    now = await tx.moment()
    for line in {line.first: line for line in shared.values()}.values():
        await _take_out(tx, backfilled, line, [time for time, its in shared.items() if its.first == line.first])
    rows = [_row(backfilled, time, own.get(time), shared.get(time), now) for time in backfilled.made]
    await tx.execute(rewritten(occurrences, tx.dialect), rows)


def _row(
    backfilled: Backfilled, fire_time: datetime, own: sa.Row[Any] | None, shared: Shared | None, now: datetime
) -> dict[str, Any]:
    before = own or shared
    return {
        "schedule_id": backfilled.place.schedule_id,
        "fire_time": fire_time,
        "missed": False,
        "namespace": backfilled.namespace,
        "verdict": Verdict.BACKFILLED,
        "reason": None,
        "detail": None if before is None else f"was {before.verdict}: {before.reason}",
        "job_id": backfilled.made[fire_time].id,
        "into_fire": None,
        "until": None,
        "count": 1,
        "recorded_at": now,
        "must_succeed_by": None if own is None else own.must_succeed_by,
    }


# ------------------------------------------------------------------------------------------------------ what is there


async def _lines_of(
    tx: Transaction, backfilled: Backfilled
) -> tuple[dict[datetime, sa.Row[Any]], dict[datetime, Shared]]:
    """The fire times that have a line of their own, and those that are in a shared one."""
    found = {row.fire_time: row for row in await _at(tx, backfilled.place.schedule_id, backfilled.made)}
    own = {time: row for time, row in found.items() if row.until is None}
    shared: dict[datetime, Shared] = {}
    last: Shared | None = None
    for time in backfilled.made:
        if time in own:
            continue
        if last is None or time > last.until:
            last = await _reaching(tx, backfilled.place.schedule_id, time)
        if last is not None and last.covers(time, backfilled.timing):
            shared[time] = last
    return own, shared


async def _at(tx: Transaction, schedule_id: str, times: Iterable[datetime]) -> Sequence[sa.Row[Any]]:
    keys = ((schedule_id, time) for time in times)
    return (await tx.execute(LINES.where(lines_at(keys)))).all()


async def _reaching(tx: Transaction, schedule_id: str, time: datetime) -> Shared | None:
    """The shared line that reaches to this time or beyond.

    It is the last one before of its verdict: equal outcomes in a row have lines of their own only ahead of it.
    """
    for verdict in SHARING:
        last = (
            LINES.with_hint(occurrences, "FORCE INDEX (occurrences_verdict)", "mysql")
            .where(
                occurrences.c.schedule_id == schedule_id,
                occurrences.c.verdict == verdict,
                occurrences.c.fire_time <= time,
            )
            .order_by(occurrences.c.fire_time.desc())
            .limit(1)
        )
        row = (await tx.execute(last)).first()
        if row is not None and row.until is not None and row.until >= time:
            reason = None if row.reason is None else Reason(row.reason)
            return Shared(row.fire_time, row.until, row.stands_for, verdict, reason)
    return None


# ----------------------------------------------------------------------------------------------------------- shared


async def _take_out(tx: Transaction, backfilled: Backfilled, line: Shared, times: Sequence[datetime]) -> None:
    """The shared line without these times: it goes, or counts less, and moves if its first time is among them."""
    left = line.count - len(times)
    first = line.first if line.first not in times else await _first_left(tx, backfilled, line)
    mine = lines_at([(backfilled.place.schedule_id, line.first)])
    if left <= 0 or first is None:
        await tx.execute(sa.delete(occurrences).where(mine))
        await _tell_streak(tx, backfilled.place, line.first, None)
        return
    await tx.execute(sa.update(occurrences).where(mine).values(fire_time=first, count=left))
    if first != line.first:
        await _tell_streak(tx, backfilled.place, line.first, first)


async def _first_left(tx: Transaction, backfilled: Backfilled, line: Shared) -> datetime | None:
    """The first time of the line that has none of its own, neither before nor now."""
    upcoming = fires_within(backfilled.timing, line.first, line.until)
    while window := list(islice(upcoming, WINDOW)):
        taken = {row.fire_time for row in await _at(tx, backfilled.place.schedule_id, window)} | set(backfilled.made)
        for time in window:
            if time not in taken:
                return time
    return None


async def _tell_streak(tx: Transaction, place: sa.Row[Any], before: datetime, after: datetime | None) -> None:
    """The next fire may have to extend the line: it must find it, or know that it is gone."""
    position = position_of(place)
    if position.streak is None or position.streak.line != before:
        return
    values = position_values(place.schedule_id, replace(position, streak=replace(position.streak, line=after)))
    mine = sa.update(positions).where(positions.c.schedule_id == place.schedule_id)
    await tx.execute(mine.values(streak=values["streak"]))
