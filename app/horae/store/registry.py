"""Workers and handlers, which belong to the installation; queues as a namespace sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from horae.domain.ids import WorkerId
from horae.domain.job import FINAL, State
from horae.domain.transitions import CLAIM
from horae.store.base import EVERY_QUEUE, HandlerInfo, NewWorker, QueueInfo, WorkerInfo
from horae.store.claims import depths, lanes_by_wake, running_by_worker
from horae.store.database import Database, Transaction
from horae.store.dialect import Later, is_duplicate, micros
from horae.store.rows import dumps
from horae.store.tables import handlers, pauses, workers

LIST_DEAD = timedelta(hours=1)


class Registry:
    """`RegistryStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, worker: NewWorker, lease: float) -> None:
        """See `RegistryStore`."""
        await self.remember(worker.handlers)

        async def work(tx: Transaction) -> None:
            expires_at = Later(tx.now, micros(lease))
            values = {**_worker_row(worker), "started_at": tx.now, "expires_at": expires_at}
            await tx.execute(sa.insert(workers).values(values))

        await self._database.transact(work)

    async def renew(self, worker_id: WorkerId, lease: float, rates: Mapping[str, float], draining: bool) -> bool:
        """See `RegistryStore`."""

        async def work(tx: Transaction) -> bool:
            statement = (
                sa.update(workers)
                .where(workers.c.id == worker_id, workers.c.expires_at > tx.now)
                .values(expires_at=Later(tx.now, micros(lease)), rates=dumps(dict(rates)), draining=draining)
            )
            return (await tx.execute(statement)).rowcount > 0

        return await self._database.transact(work)

    async def retire(self, worker_id: WorkerId) -> None:
        """See `RegistryStore`."""

        async def work(tx: Transaction) -> None:
            mine = (workers.c.id == worker_id, workers.c.expires_at > tx.now)
            await tx.execute(sa.update(workers).where(*mine).values(expires_at=tx.now, draining=True))

        await self._database.transact(work)

    async def remember(self, infos: Sequence[HandlerInfo]) -> None:
        """See `RegistryStore`. Only what is news is written: workers start often, handlers change rarely."""
        known = {info.name: info for info in await self.handlers()}
        for info in infos:
            if known.get(info.name) != info:
                await self._remember(info)

    async def _remember(self, info: HandlerInfo) -> None:
        async def work(tx: Transaction) -> None:
            values = {
                "schema": dumps(info.schema),
                "defaults": dumps(info.defaults),
                "version": info.version,
                "description": info.description,
                "updated_at": tx.now,
            }
            statement = sa.update(handlers).where(handlers.c.name == info.name).values(values)
            if (await tx.execute(statement)).rowcount == 0:
                await tx.execute(sa.insert(handlers).values({"name": info.name, **values}))

        try:
            await self._database.transact(work)
        except IntegrityError as error:
            # Another worker with the same handlers was faster: now the row is there to be updated.
            if not is_duplicate(error):
                raise
            await self._database.transact(work)

    async def workers(self) -> list[WorkerInfo]:
        """See `RegistryStore`."""

        async def work(tx: Transaction) -> list[WorkerInfo]:
            since = Later(tx.now, -micros(LIST_DEAD.total_seconds()))
            live = (workers.c.expires_at > tx.now).label("live")
            listed = sa.select(workers, live).where(workers.c.expires_at > since).order_by(workers.c.started_at)
            rows = (await tx.execute(listed)).all()
            running = {row.worker_id: row.total for row in await tx.execute(running_by_worker())}
            return [_worker_of(row, running.get(row.id, 0)) for row in rows]

        return await self._database.read(work)

    async def handlers(self) -> list[HandlerInfo]:
        """See `RegistryStore`."""
        rows = await self._database.read(lambda tx: tx.execute(sa.select(handlers).order_by(handlers.c.name)))
        return [
            HandlerInfo(row.name, orjson.loads(row.schema), orjson.loads(row.defaults), row.version, row.description)
            for row in rows
        ]


def _worker_row(worker: NewWorker) -> dict[str, Any]:
    return {
        "id": worker.id,
        "name": worker.name,
        "queues": dumps(worker.queues),
        "slots": worker.slots,
        "rates": "{}",
        "handlers": dumps([info.name for info in worker.handlers]),
        "version": worker.version,
        "health_port": worker.health_port,
        "draining": False,
    }


def _worker_of(row: sa.Row[Any], running: int) -> WorkerInfo:
    alive = "DRAINING" if row.draining else "ALIVE"
    return WorkerInfo(
        id=row.id,
        name=row.name,
        queues=tuple(orjson.loads(row.queues)),
        slots=row.slots,
        running=running,
        rates=orjson.loads(row.rates),
        handlers=tuple(orjson.loads(row.handlers)),
        version=row.version,
        health_port=row.health_port,
        state=alive if row.live else "DEAD",
        started_at=row.started_at,
        expires_at=row.expires_at,
    )


class Queues:
    """`QueueStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues(self, namespace: str) -> list[QueueInfo]:
        """See `QueueStore`."""
        return await self._database.read(lambda tx: _queues(tx, namespace))

    async def pause(self, namespace: str, queue: str, by: str) -> None:
        """See `QueueStore`."""

        async def work(tx: Transaction) -> None:
            mine = (pauses.c.namespace == namespace, pauses.c.queue == queue)
            if (await tx.execute(sa.select(pauses.c.queue).where(*mine))).first() is None:
                values = {"namespace": namespace, "queue": queue, "paused_by": by, "paused_at": tx.now}
                await tx.execute(sa.insert(pauses).values(values))

        try:
            await self._database.transact(work)
        except IntegrityError as error:
            # Somebody else has just paused it: that is what was asked for.
            if not is_duplicate(error):
                raise

    async def resume(self, namespace: str, queue: str) -> None:
        """See `QueueStore`."""

        async def work(tx: Transaction) -> None:
            await tx.execute(sa.delete(pauses).where(pauses.c.namespace == namespace, pauses.c.queue == queue))

        await self._database.transact(work)


async def _queues(tx: Transaction, namespace: str) -> list[QueueInfo]:
    depth = await depths(tx, namespace)
    paused = {row.queue: row for row in await tx.execute(sa.select(pauses).where(pauses.c.namespace == namespace))}
    served = await tx.execute(sa.select(workers.c.queues).where(workers.c.expires_at > tx.now))
    named = {queue for row in served for queue in orjson.loads(row.queues)} - {EVERY_QUEUE}
    names = named | set(depth) | set(paused)
    oldest = await _oldest_due(tx, namespace)
    return [
        QueueInfo(
            name=name,
            paused=name in paused,
            paused_by=paused[name].paused_by if name in paused else None,
            paused_at=paused[name].paused_at if name in paused else None,
            depth={state: depth[name][state] if name in depth else 0 for state in State if state not in FINAL},
            oldest_due_at=oldest.get(name),
        )
        for name in sorted(names)
    ]


async def _oldest_due(tx: Transaction, namespace: str) -> dict[str, datetime]:
    oldest: dict[str, datetime] = {}
    for row in await tx.execute(lanes_by_wake(sorted(CLAIM.sources), tx.now)):
        if row.namespace == namespace and row.wake_at is not None and row.wake_at <= row.now:
            oldest[row.queue] = min(row.wake_at, oldest.get(row.queue, row.wake_at))
    return oldest
