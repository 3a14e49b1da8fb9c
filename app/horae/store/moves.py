"""A move of the table as an UPDATE: its guard in WHERE, what it changes in SET. Nothing else updates a job's state."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.job import FINAL, Reference, State
from horae.domain.transitions import Move, Wake
from horae.store.dialect import Later, micros
from horae.store.tables import jobs

CHUNK = 500
"""rows in one statement"""

SOON = 1.0
"""seconds until a delivery that the broker refused is claimed again"""

CARRIED_GRACE = 5.0
"""seconds after which a delay message counts as lost"""

Values = Mapping[str, Any]
T = TypeVar("T")


def moved(move: Move, ids: Collection[str], now: sa.ColumnElement[datetime], **values: Any) -> sa.Update:
    """The UPDATE of these jobs by the move; `values` are further columns, and `wake_at` where the move leaves it open.

    The caller adds the token where it holds one; without it the rows must be locked by the same transaction.
    """
    changes: dict[str, Any] = dict(values)
    if move.target is not None:
        changes["state"] = move.target
    if move.rises:
        changes["token"] = jobs.c.token + 1
    if move.starts:
        changes["attempt"] = jobs.c.attempt + 1
    if move.counts:
        changes["failures"] = jobs.c.failures + 1
    if move.target in FINAL:
        changes.setdefault("finished_at", now)
    if "wake_at" not in changes and move.wake is not Wake.KEEP:
        changes["wake_at"] = _wake(move.wake, now, changes)
    return sa.update(jobs).where(jobs.c.id.in_(ids), state_in(move.sources)).values(changes)


def state_in(states: Collection[State]) -> sa.ColumnElement[bool]:
    """The guard on the state, in a form that no index serves.

    MariaDB would rather scan the few rows of a state than look up the ids, and lock every one of them on its way:
    claims, starts and finishes would wait for each other.
    """
    return sa.func.coalesce(jobs.c.state, sa.null()).in_(sorted(states))


def _wake(wake: Wake, now: sa.ColumnElement[datetime], changes: Values) -> Any:
    if wake is Wake.NEVER:
        return None
    if wake is Wake.SOON:
        return Later(now, micros(SOON))
    if wake is Wake.RUN_AT:
        # Not the column where run_at changes too: MySQL would read the new value here, SQLite the old one.
        return changes.get("run_at", jobs.c.run_at)
    raise ValueError(f"the caller must say wake_at for {wake}")


def by_token(references: Iterable[Reference]) -> list[tuple[int, list[JobId]]]:
    """References grouped by token: nearly always one, so that the guard is an equality and a primary-key list."""
    ordered = sorted(references, key=lambda reference: reference.token)
    return [(token, [r.id for r in group]) for token, group in groupby(ordered, key=lambda reference: reference.token)]


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterable[Sequence[T]]:
    """The items in lists of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
