"""From due rows to deliveries: what the feed looks at, T3 and T4."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from horae.domain.job import FINAL, Lane, Priority, Reference, State
from horae.domain.transitions import CLAIM, TAKE_BACK
from horae.store.base import Capacity, DueLane, Survey
from horae.store.database import Database, Transaction
from horae.store.dialect import Later, micros
from horae.store.moves import by_token, moved
from horae.store.tables import jobs, pauses, workers


class Claims:
    """`DispatchStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def survey(self) -> Survey:
        """See `DispatchStore`."""
        return await self._database.read(_survey)

    async def claim(self, lane: Lane, limit: int, lease: float) -> list[Reference]:
        """See `DispatchStore`."""

        async def work(tx: Transaction) -> list[Reference]:
            scans = [due(lane, state, limit, tx.now) for state in sorted(CLAIM.sources)]
            found = [row for scan in scans for row in await tx.execute(scan)]
            found.sort(key=lambda row: (row.wake_at, row.id))
            taken = [Reference(row.id, row.token + 1) for row in found[:limit]]
            if taken:
                wake_at = Later(tx.now, micros(lease))
                await tx.execute(moved(CLAIM, [reference.id for reference in taken], tx.now, wake_at=wake_at))
            return taken

        return await self._database.transact(work)

    async def depths(self) -> Mapping[str, Mapping[State, int]]:
        """See `DispatchStore`."""
        return await self._database.read(depths)

    async def take_back(self, references: Sequence[Reference]) -> int:
        """See `DispatchStore`."""

        async def work(tx: Transaction) -> int:
            count = 0
            for token, ids in by_token(references):
                count += (await tx.execute(moved(TAKE_BACK, ids, tx.now).where(jobs.c.token == token))).rowcount
            return count

        return await self._database.transact(work)


def due(lane: Lane, state: State, limit: int, now: sa.ColumnElement[datetime]) -> sa.Select[Any]:
    """The due rows of a lane in one state, locked; what another scheduler holds is skipped.

    ORDER BY is the index's own: any other would lock the whole due set first.
    """
    paused = sa.exists().where(pauses.c.namespace == lane.namespace, pauses.c.queue == lane.queue)
    return (
        sa.select(jobs.c.id, jobs.c.token, jobs.c.wake_at)
        .with_hint(jobs, "FORCE INDEX (jobs_claim)", "mysql")
        .where(
            jobs.c.state == state,
            jobs.c.namespace == lane.namespace,
            jobs.c.queue == lane.queue,
            jobs.c.priority == int(lane.priority),
            jobs.c.wake_at <= now,
            ~paused,
        )
        .order_by(jobs.c.wake_at, jobs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def lanes_by_wake(states: Sequence[State], now: sa.ColumnElement[datetime]) -> sa.Select[Any]:
    """Every lane with jobs in these states, and when its earliest is due.

    DISTINCT over the index's prefix gets MySQL's loose index scan, and the earliest of a lane is one look into the
    index; MIN with GROUP BY reads all rows (2 ms against hundreds at a million rows).
    """
    each = all_lanes()
    inner = jobs.alias("earliest")
    wake_at = (
        sa.select(inner.c.wake_at)
        .where(
            inner.c.state == each.c.state,
            inner.c.namespace == each.c.namespace,
            inner.c.queue == each.c.queue,
            inner.c.priority == each.c.priority,
        )
        .order_by(inner.c.wake_at)
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(each, wake_at.label("wake_at"), now.label("now")).where(each.c.state.in_(states))


def all_lanes() -> sa.Subquery:
    """Every state, namespace, queue and priority that any job has."""
    return sa.select(jobs.c.state, jobs.c.namespace, jobs.c.queue, jobs.c.priority).distinct().subquery("lanes")


async def _survey(tx: Transaction) -> Survey:
    lanes = (await tx.execute(lanes_by_wake(sorted(CLAIM.sources), tx.now))).all()
    if not lanes:
        return Survey()
    paused = {(row.namespace, row.queue) for row in await tx.execute(sa.select(pauses.c.namespace, pauses.c.queue))}
    open_lanes = [row for row in lanes if (row.namespace, row.queue) not in paused and row.wake_at is not None]
    waits = [(row.wake_at - row.now).total_seconds() for row in open_lanes]
    return Survey(
        lanes=_due_lanes(open_lanes, waits),
        workers=await _capacities(tx),
        queued=await _queued(tx),
        next_due=min((wait for wait in waits if wait > 0), default=None),
    )


def _due_lanes(rows: Sequence[sa.Row[Any]], waits: Sequence[float]) -> list[DueLane]:
    """One entry a lane, though it may hold due jobs in two states."""
    waited: dict[Lane, float] = {}
    for row, wait in zip(rows, waits, strict=True):
        if wait <= 0:
            lane = Lane(row.namespace, row.queue, Priority(row.priority))
            waited[lane] = max(waited.get(lane, 0.0), -wait)
    return [DueLane(lane, seconds) for lane, seconds in waited.items()]


def running_by_worker() -> sa.Select[Any]:
    """How many jobs run under each worker id."""
    return (
        sa.select(jobs.c.worker_id, sa.func.count().label("total"))
        .where(jobs.c.state == State.RUNNING)
        .group_by(jobs.c.worker_id)
    )


async def _capacities(tx: Transaction) -> list[Capacity]:
    live = (
        await tx.execute(
            sa.select(workers.c.id, workers.c.queues, workers.c.slots, workers.c.rates).where(
                workers.c.expires_at > tx.now, workers.c.draining.is_(False)
            )
        )
    ).all()
    if not live:
        return []
    running = {row.worker_id: row.total for row in await tx.execute(running_by_worker())}
    return [
        Capacity(
            id=row.id,
            queues=frozenset(orjson.loads(row.queues)),
            slots=row.slots,
            free=max(0, row.slots - running.get(row.id, 0)),
            rates=orjson.loads(row.rates),
        )
        for row in live
    ]


async def _queued(tx: Transaction) -> dict[str, int]:
    rows = await tx.execute(
        sa.select(jobs.c.queue, sa.func.count().label("total"))
        .where(jobs.c.state == State.QUEUED)
        .group_by(jobs.c.namespace, jobs.c.queue)
    )
    queued: Counter[str] = Counter()
    for row in rows:
        queued[row.queue] += row.total
    return queued


async def depths(tx: Transaction, namespace: str | None = None) -> dict[str, defaultdict[State, int]]:
    """Jobs that are not final, by queue and state, of one namespace or of all."""
    # Grouped by just what varies along the index: MariaDB sorts if a constant is named as well.
    own = [] if namespace is None else [jobs.c.namespace == namespace]
    place = [jobs.c.queue] if own else [jobs.c.namespace, jobs.c.queue]
    statement = (
        sa.select(jobs.c.queue, jobs.c.state, sa.func.count().label("number"))
        .where(jobs.c.state.in_(sorted(set(State) - FINAL)), *own)
        .group_by(jobs.c.state, *place)
    )
    found: dict[str, defaultdict[State, int]] = {}
    for row in await tx.execute(statement):
        found.setdefault(row.queue, defaultdict(int))[State(row.state)] += row.number
    return found
