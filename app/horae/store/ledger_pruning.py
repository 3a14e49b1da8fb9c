"""What of the ledger and the history is older than its retention goes, a few rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from horae.domain.schedule import BackfillState
from horae.store.database import Database, Transaction
from horae.store.dialect import Later, micros
from horae.store.lines import KEYS, key_of, lines_at
from horae.store.moves import chunks
from horae.store.tables import backfills, changes, occurrences


class LedgerPruning:
    """The pruning part of `FiringStore` in SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prune_ledger(self, age: timedelta | None, limit: int) -> int:
        """See `FiringStore`. Backfills that ended so long ago go too."""
        if age is None:
            return 0
        gone = 0
        for group in await self._database.read(partial(_old_groups, age=age)):
            if gone < limit:
                gone += await self._database.transact(partial(_prune_lines, group=group, age=age, limit=limit - gone))
        for prune in (_prune_changes, _prune_backfills):
            if gone < limit:
                gone += await self._database.transact(partial(prune, age=age, limit=limit - gone))
        return gone


def _before(tx: Transaction, age: timedelta) -> Later:
    return Later(tx.now, -micros(age.total_seconds()))


async def _old_groups(tx: Transaction, age: timedelta) -> Sequence[sa.Row[Any]]:
    """The namespaces and verdicts that have lines so old: one look into the index for each."""
    # DISTINCT over the index's beginning leaps from one value to the next.
    each = sa.select(occurrences.c.namespace, occurrences.c.verdict).distinct().subquery("groups")
    inner = occurrences.alias("oldest")
    oldest = (
        sa.select(inner.c.fire_time)
        .where(inner.c.namespace == each.c.namespace, inner.c.verdict == each.c.verdict)
        .order_by(inner.c.fire_time)
        .limit(1)
        .scalar_subquery()
    )
    return (await tx.execute(sa.select(each).where(oldest < _before(tx, age)))).all()


async def _prune_lines(tx: Transaction, group: sa.Row[Any], age: timedelta, limit: int) -> int:
    before = _before(tx, age)
    old = (
        sa.select(occurrences.c.schedule_id, occurrences.c.fire_time, occurrences.c.missed)
        .with_hint(occurrences, "FORCE INDEX (occurrences_page)", "mysql")
        .where(
            occurrences.c.namespace == group.namespace,
            occurrences.c.verdict == group.verdict,
            occurrences.c.fire_time < before,
            # Backfilled lately, still growing, or not judged yet.
            occurrences.c.recorded_at < before,
            sa.func.coalesce(occurrences.c.until, occurrences.c.fire_time) < before,
            occurrences.c.must_succeed_by.is_(None),
        )
        .order_by(occurrences.c.fire_time, occurrences.c.schedule_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.execute(old)).all()
    for missed in (False, True):
        for chunk in chunks([key_of(row) for row in rows if row.missed == missed], KEYS):
            await tx.execute(sa.delete(occurrences).where(lines_at(chunk, missed)))
    return len(rows)


async def _prune_changes(tx: Transaction, age: timedelta, limit: int) -> int:
    old = sa.select(changes.c.id).where(changes.c.at < _before(tx, age)).order_by(changes.c.at).limit(limit)
    ids = list((await tx.execute(old.with_for_update(skip_locked=True))).scalars())
    for chunk in chunks(ids):
        await tx.execute(sa.delete(changes).where(changes.c.id.in_(chunk)))
    return len(ids)


async def _prune_backfills(tx: Transaction, age: timedelta, limit: int) -> int:
    ids: list[str] = []
    for state in (BackfillState.DONE, BackfillState.CANCELLED):
        ended = (backfills.c.state == state, backfills.c.finished_at < _before(tx, age))
        old = sa.select(backfills.c.id).where(*ended).order_by(backfills.c.id).limit(limit - len(ids))
        ids += (await tx.execute(old.with_for_update(skip_locked=True))).scalars()
    for chunk in chunks(ids):
        await tx.execute(sa.delete(backfills).where(backfills.c.id.in_(chunk)))
    return len(ids)
