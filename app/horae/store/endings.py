"""How the end of an attempt is written: the job's row moves on, and the attempt gets a row of its own.

Shared by the worker that ended it (T8 to T11, T14) and the scheduler that found it lost (T13). The rows are locked by
the caller's transaction, so the statements need no token; state and source are guarded all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

import sqlalchemy as sa

from horae.domain.job import Failure, Outcome
from horae.domain.transitions import Move, Wake
from horae.store.database import Transaction
from horae.store.dialect import Id, Later, micros
from horae.store.moves import CARRIED_GRACE, moved
from horae.store.rows import failure_text
from horae.store.tables import attempts, jobs

T = TypeVar("T")

CASES = 100
"""values in one CASE: it is searched from its start for each row"""

CASE_TEXT = 1 << 20
"""characters in one CASE: in UTF-8 and quoted they stay below the 16 MB that a server takes in one statement"""

ENDING_COLUMNS = (
    jobs.c.id,
    jobs.c.token,
    jobs.c.namespace,
    jobs.c.queue,
    jobs.c.attempt,
    jobs.c.failures,
    jobs.c.losses,
    jobs.c.max_retries,
    jobs.c.backoff,
    jobs.c.retry_for_seconds,
    jobs.c.worker_id,
    jobs.c.started_at,
    jobs.c.first_started_at,
    jobs.c.cancel_requested,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """A locked RUNNING row and what becomes of it."""

    row: sa.Row[Any]
    move: Move
    outcome: Outcome
    error: Failure | None = None
    delay: float = 0.0
    carried: bool = False
    lost: bool = False

    @property
    def token(self) -> int:
        """The token after it."""
        return int(self.row.token) + (1 if self.move.rises else 0)


def varied(values: Mapping[str, Any], type_: sa.types.TypeEngine[Any]) -> Any:
    """One value for each id, as an expression: a plain value where all are equal."""
    distinct: set[Hashable] = set(values.values())
    if len(distinct) == 1:
        return sa.literal(distinct.pop(), type_)
    whens = [(sa.literal(id_, Id()), sa.literal(value, type_)) for id_, value in values.items()]
    return sa.case(*((jobs.c.id == id_, value) for id_, value in whens))


def cases(items: Sequence[T], text: Callable[[T], str | None]) -> Iterator[list[T]]:
    """The items in lists short enough for one CASE over their texts."""
    case: list[T] = []
    room = CASE_TEXT
    for item in items:
        length = len(text(item) or "")
        if case and (len(case) == CASES or length > room):
            yield case
            case, room = [], CASE_TEXT
        case.append(item)
        room -= length
    if case:
        yield case


async def write_endings(tx: Transaction, endings: Sequence[Ending]) -> None:
    """Moves the rows and inserts their attempts."""
    ordered = sorted(endings, key=_group)
    for _, group in groupby(ordered, key=_group):
        for case in cases(list(group), lambda ending: failure_text(ending.error)):
            await tx.execute(_moved(tx.now, case))
    moment = await tx.moment()
    await tx.execute(sa.insert(attempts), [_attempt(ending, moment) for ending in ordered])


def _group(ending: Ending) -> tuple[str, str, bool]:
    return (ending.move.row, ending.move.name, ending.lost)


def _moved(now: sa.ColumnElement[datetime], endings: Sequence[Ending]) -> sa.Update:
    move, lost = endings[0].move, endings[0].lost
    changes: dict[str, Any] = {
        "error": varied({e.row.id: failure_text(e.error) for e in endings}, jobs.c.error.type),
        "progress": None,
    }
    if lost:
        changes["losses"] = jobs.c.losses + 1
    if move.wake is not Wake.NEVER:
        changes |= _due(now, endings)
    return moved(move, [e.row.id for e in endings], now, **changes)


def _due(now: sa.ColumnElement[datetime], endings: Sequence[Ending]) -> dict[str, Any]:
    pauses = {e.row.id: micros(e.delay) for e in endings}
    wakes = {e.row.id: micros(e.delay) + (micros(CARRIED_GRACE) if e.carried else 0) for e in endings}
    return {
        "run_at": Later(now, varied(pauses, sa.BigInteger())),
        "wake_at": Later(now, varied(wakes, sa.BigInteger())),
    }


def _attempt(ending: Ending, moment: datetime) -> dict[str, Any]:
    row = ending.row
    return {
        "job_id": row.id,
        "attempt": row.attempt,
        "namespace": row.namespace,
        "outcome": ending.outcome,
        "token": row.token,
        "worker_id": row.worker_id,
        "started_at": row.started_at,
        "finished_at": moment,
        "error": failure_text(ending.error),
    }
