"""T2: schedules that are due make their jobs.

One transaction holds the jobs, their lines in the ledger and the new positions. The claim's row locks are kept to its
end, and whoever changes a schedule takes the same lock first: so `next_fire_at` and the definition are as they were
read, and of two schedulers only one sees a position due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError

from horae.domain.firing import Firing, Line, Position, fire
from horae.domain.ids import IdMaker, JobId
from horae.domain.job import FINAL, NewJob, State
from horae.domain.schedule import Action, Definition, Overlap, Reason, ScheduleState, Verdict
from horae.domain.timing import jitter
from horae.domain.zones import TZDATA
from horae.runtime.clock import unix_ms
from horae.store.base_schedules import Fired
from horae.store.cancelling import cancel_locked
from horae.store.changes import Done, write_changes
from horae.store.database import Database, Transaction
from horae.store.dialect import is_duplicate, rewritten
from horae.store.lines import BY_KEY, KEYS, lines_at
from horae.store.moves import chunks, state_in
from horae.store.schedule_rows import definition_of, position_of, position_values
from horae.store.submissions import INSERT, insert_jobs
from horae.store.tables import handlers, jobs, occurrences, positions, schedules

log = structlog.get_logger(__name__)

LINES = 5000
"""occurrences judged in one transaction, each schedule at least one"""
LINES_EACH = 1000
"""of them of one schedule: one that is far behind doesn't keep the others waiting"""
PAYLOADS = 8 << 20
"""bytes of payload in one transaction, but for one job of each schedule: it must fit into the patience for it"""
EARLIER = 20
"""unfinished jobs that are remembered for each schedule"""

UNUSED = frozenset({"state", "paused_at", "paused_by", "ended_reason", "created_at", "updated_at"})
NEEDED = tuple(column for column in schedules.c if column.name not in UNUSED)
"""of a schedule that fires; thousands may do so at once"""


class Fires:
    """The firing part of `FiringStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = IdMaker()

    async def fire(self, limit: int) -> list[Fired]:
        """See `FiringStore`."""
        try:
            return await self._fire(limit, careful=False)
        except IntegrityError as error:
            if not is_duplicate(error):
                raise
        log.warning("schedule.conflict", why="the ledger has a line already; firing one by one")
        return await self._one_by_one(limit)

    async def _one_by_one(self, limit: int) -> list[Fired]:
        done: list[Fired] = []
        for _ in range(limit):
            fired = await self._fire(1, careful=True)
            if not fired:
                break
            done += fired
        return done

    async def _fire(self, limit: int, careful: bool) -> list[Fired]:
        async def work(tx: Transaction) -> list[Fired]:
            now = await tx.moment()
            due = sa.select(positions).with_hint(positions, "FORCE INDEX (positions_due)", "mysql")
            due = due.where(positions.c.next_fire_at <= now)
            in_order = due.order_by(positions.c.next_fire_at, positions.c.schedule_id).limit(limit)
            claimed = (await tx.execute(in_order.with_for_update(skip_locked=True))).all()
            return await fire_claimed(tx, self._ids, claimed, careful) if claimed else []

        return await self._database.transact(work)

    async def next_fire(self) -> float | None:
        """See `FiringStore`."""
        return await self._database.read(lambda tx: tx.until(positions.c.next_fire_at))


async def lock_position(tx: Transaction, schedule_id: str, skip: bool = False) -> sa.Row[Any] | None:
    """The position of the schedule, ours until the end: whoever fires, changes or backfills it takes this lock first.

    None if it was deleted; with `skip` also if somebody else has it.
    """
    mine = sa.select(positions).where(positions.c.schedule_id == schedule_id)
    return (await tx.execute(mine.with_for_update(skip_locked=skip))).first()


async def settle(tx: Transaction, ids: IdMaker, schedule_id: str) -> bool:
    """Locks the position of a schedule and fires what is due; whether more of it is left for another transaction."""
    row = await lock_position(tx, schedule_id)
    now = await tx.moment()
    if row is None or row.next_fire_at is None or row.next_fire_at > now:
        return False
    await fire_claimed(tx, ids, [row], careful=True)
    after = await lock_position(tx, schedule_id)
    return after is not None and after.next_fire_at is not None and after.next_fire_at <= now


async def defaults_of(tx: Transaction, names: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
    """What workers registered as the defaults of these handlers, in the form that clients use."""
    wanted = sa.select(handlers.c.name, handlers.c.defaults).where(handlers.c.name.in_(sorted(names)))
    return {row.name: orjson.loads(row.defaults) for row in await tx.execute(wanted)}


# ----------------------------------------------------------------------------------------------------- one transaction


@dataclass(slots=True)
class _Due:
    """A claimed schedule and what becomes of it."""

    row: sa.Row[Any]
    position: Position
    definition: Definition | None = None
    firing: Firing | None = None
    broken: str | None = None
    open: Sequence[sa.Row[Any]] = ()
    """earlier jobs that aren't final"""

    @property
    def lines(self) -> Sequence[Line]:
        return self.firing.lines if self.firing else ()


async def fire_claimed(tx: Transaction, ids: IdMaker, claimed: Sequence[sa.Row[Any]], careful: bool) -> list[Fired]:
    """Fires schedules whose positions this transaction has locked.

    `careful`: occurrences that have a line already, which is a conflict otherwise, keep the one they have.
    """
    now = await tx.moment()
    dues = await _read(tx, claimed)
    await _look_at_earlier(tx, dues)
    _judge(dues, now)
    if careful:
        await _leave_known(tx, dues)
    await _cancel_replaced(tx, dues)
    made = await _make_jobs(tx, ids, dues, now)
    await _write_lines(tx, dues, made, now)
    await _write_positions(tx, dues, made)
    await _write_ends(tx, ids, dues)
    return [_fired(due, made, now) for due in dues]


async def _read(tx: Transaction, claimed: Sequence[sa.Row[Any]]) -> list[_Due]:
    wanted = sa.select(*NEEDED).where(schedules.c.id.in_([row.schedule_id for row in claimed]))
    rows = {row.id: row for row in await tx.execute(wanted)}
    return [_Due(rows[row.schedule_id], position_of(row)) for row in claimed]


async def _look_at_earlier(tx: Transaction, dues: Sequence[_Due]) -> None:
    """Which jobs of earlier fires aren't final. Locked where they may be cancelled: nothing starts them meanwhile."""
    for overlap in (Overlap.SKIP, Overlap.REPLACE):
        asking = [due for due in dues if due.row.overlap == overlap and due.position.earlier]
        if not asking:
            continue
        wanted = sorted({id_ for due in asking for id_ in due.position.earlier})
        open_ = await unfinished(tx, wanted, lock=overlap is Overlap.REPLACE)
        for due in asking:
            due.open = [open_[id_] for id_ in due.position.earlier if id_ in open_]


async def unfinished(tx: Transaction, ids: Sequence[JobId], *, lock: bool = False) -> dict[str, sa.Row[Any]]:
    """Those of these jobs that aren't final, each with its state; with `lock` they stay so until the end."""
    found: dict[str, sa.Row[Any]] = {}
    for chunk in chunks(ids):
        # By their key: a scan of some other index would lock, and wait for, jobs of everybody.
        statement = (
            sa.select(jobs.c.id, jobs.c.state)
            .with_hint(jobs, BY_KEY, "mysql")
            .where(jobs.c.id.in_(chunk), state_in([state for state in State if state not in FINAL]))
        )
        found |= {row.id: row for row in await tx.execute(statement.with_for_update() if lock else statement)}
    return found


def _judge(dues: Sequence[_Due], now: datetime) -> None:
    room, payloads = LINES, PAYLOADS
    for due in dues:
        earlier = (JobId(due.open[-1].id), State(due.open[-1].state)) if due.open else None
        try:
            due.definition = definition_of(due.row)
            most = max(1, min(room, LINES_EACH, payloads // max(1, len(due.row.payload))))
            due.firing = fire(due.definition, due.position, earlier, now, most)
        except Exception as error:
            # Whatever it is: left as it stands it would be claimed first, for ever, and take its whole batch along.
            log.exception("schedule.broken", schedule_id=due.row.id, name=due.row.name)
            due.broken = f"its fire times can't be computed: {error}"
        room -= len(due.lines)
        payloads -= len(due.row.payload) * sum(line.verdict is Verdict.FIRED for line in due.lines)


async def _leave_known(tx: Transaction, dues: Sequence[_Due]) -> None:
    for due in dues:
        times = [line.fire_time for line in due.lines if not line.extends]
        known: set[datetime] = set()
        for chunk in chunks(times, KEYS):
            wanted = sa.select(occurrences.c.fire_time).where(lines_at((due.row.id, time) for time in chunk))
            known |= set((await tx.execute(wanted)).scalars())
        if known and due.firing:
            due.firing = due.firing.without(known)


async def _cancel_replaced(tx: Transaction, dues: Sequence[_Due]) -> None:
    rows = [row for due in dues if due.firing and due.firing.replaced for row in due.open]
    if rows:
        await cancel_locked(tx, rows)


Made = Mapping[tuple[str, datetime], NewJob]


async def _make_jobs(tx: Transaction, ids: IdMaker, dues: Sequence[_Due], now: datetime) -> Made:
    defaults = await defaults_of(tx, {due.row.handler for due in dues})
    made: dict[tuple[str, datetime], NewJob] = {}
    new: list[tuple[str, NewJob]] = []
    for due, line in _fires(dues):
        definition, id_ = due.definition, JobId(ids.next(unix_ms(now)))
        assert definition is not None  # noqa: S101 - there are no lines without
        run_at = line.fire_time + jitter(due.row.id, line.fire_time, definition.jitter_seconds)
        given = defaults.get(due.row.handler, {})
        job = definition.template.job(id_, given, due.row.id, line.fire_time, run_at)
        made[due.row.id, line.fire_time] = job
        new.append((due.row.namespace, job))
    await insert_jobs(tx, new, now)
    return made


def _fires(dues: Iterable[_Due]) -> Iterable[tuple[_Due, Line]]:
    return ((due, line) for due in dues for line in due.lines if line.verdict is Verdict.FIRED)


async def _write_lines(tx: Transaction, dues: Sequence[_Due], made: Made, now: datetime) -> None:
    rows = [row for due in dues for row in _rows(due, made, now) if not row.pop("extends")]
    for chunk in chunks(rows, INSERT):
        await tx.execute(sa.insert(occurrences), chunk)
    for due in dues:
        for line in due.lines:
            if line.extends:
                await _extend(tx, due, line)


def _rows(due: _Due, made: Made, now: datetime) -> Iterable[dict[str, Any]]:
    busy = due.open[-1].id if due.open else None
    for line in due.lines:
        job = made.get((due.row.id, line.into or line.fire_time))
        if line.verdict is Verdict.FIRED and job:
            busy = job.id
        yield {
            "schedule_id": due.row.id,
            "fire_time": line.fire_time,
            "missed": False,
            "namespace": due.row.namespace,
            "verdict": line.verdict,
            "reason": line.reason,
            "detail": line.detail,
            "job_id": busy if line.reason is Reason.OVERLAP and line.into is None else (job.id if job else None),
            "into_fire": line.into,
            "until": line.until,
            "count": line.count,
            "recorded_at": now,
            "must_succeed_by": _must_succeed_by(due, line),
            "extends": line.extends,
        }


def _must_succeed_by(due: _Due, line: Line) -> datetime | None:
    """Nothing was expected of a fire time inside a pause or beyond the last run."""
    seconds = due.row.must_succeed_within_seconds
    if seconds is None or line.reason in (Reason.PAUSED, Reason.BOUND):
        return None
    moment: datetime = (line.until or line.fire_time) + timedelta(seconds=seconds)
    return moment


async def _extend(tx: Transaction, due: _Due, line: Line) -> None:
    shared = lines_at([(due.row.id, line.fire_time)])
    values = {
        "until": line.until,
        "count": occurrences.c.count + line.count,
        "into_fire": line.into,
        "must_succeed_by": _must_succeed_by(due, line),
    }
    await tx.execute(sa.update(occurrences).where(shared).values(values))


async def _write_positions(tx: Transaction, dues: Sequence[_Due], made: Made) -> None:
    rows = [position_values(due.row.id, _new_position(due, made)) for due in dues]
    await tx.execute(rewritten(positions, tx.dialect), rows)


def _new_position(due: _Due, made: Made) -> Position:
    if due.firing is None:
        return replace(due.position, next_fire_at=None)
    own = [made[due.row.id, line.fire_time].id for line in due.lines if line.verdict is Verdict.FIRED]
    if due.row.overlap == Overlap.ALLOW:
        # Nobody asks for them; the newest one, should the policy change.
        return replace(due.firing.position, earlier=tuple(own[-1:]) or due.position.earlier)
    unfinished = (JobId(row.id) for row in due.open)
    return replace(due.firing.position, earlier=(*unfinished, *own)[-EARLIER:])


async def _write_ends(tx: Transaction, ids: IdMaker, dues: Sequence[_Due]) -> None:
    await end_schedules(tx, ids, [(due.row, reason) for due in dues if (reason := _end(due))])
    # What is due next was computed by this process's data: newer data shall be adopted once more.
    newer = [due.row.id for due in dues if due.row.tzdata > TZDATA]
    if newer:
        await tx.execute(sa.update(schedules).where(schedules.c.id.in_(newer)).values(tzdata=TZDATA))


async def end_schedules(tx: Transaction, ids: IdMaker, ended: Sequence[tuple[sa.Row[Any], str]]) -> None:
    """No fire time of these schedules comes any more, and why; their positions are locked."""
    for row, reason in ended:
        values = {"state": ScheduleState.ENDED, "ended_reason": reason[:1000], "updated_at": tx.now}
        await tx.execute(sa.update(schedules).where(schedules.c.id == row.id).values(values))
    done = [
        Done(row.id, row.namespace, row.name, row.version, Action.ENDED, details={"reason": reason})
        for row, reason in ended
    ]
    await write_changes(tx, ids, done)


def _end(due: _Due) -> str | None:
    return due.broken or (due.firing.ended if due.firing else None)


def _fired(due: _Due, made: Made, now: datetime) -> Fired:
    new = [made[due.row.id, line.fire_time] for line in due.lines if line.verdict is Verdict.FIRED]
    verdicts: Counter[tuple[Verdict, Reason | None]] = Counter()
    for line in due.lines:
        verdicts[line.verdict, line.reason] += line.count
    return Fired(
        schedule_id=due.row.id,
        namespace=due.row.namespace,
        name=due.row.name,
        jobs=[job.id for job in new],
        queues=Counter(job.queue for job in new),
        verdicts=verdicts,
        late=None if not new or new[-1].fire_time is None else (now - new[-1].fire_time).total_seconds(),
        replaced=[row.id for row in due.open] if due.firing and due.firing.replaced else (),
        ended=_end(due),
        broken=due.broken is not None,
    )
