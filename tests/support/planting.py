"""Schedules by the thousand, written past the product: as it would have left them itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from horae.domain.firing import Position
from horae.domain.ids import IdMaker
from horae.domain.schedule import Definition, ScheduleState
from horae.domain.timing import Timing
from horae.domain.zones import TZDATA
from horae.runtime.clock import unix_ms
from horae.store.moves import chunks
from horae.store.schedule_rows import definition_values, position_values
from horae.store.tables import positions, schedules
from tests.support.factories import new_definition

_ids = IdMaker()
DAY = 86_400


def plant(connection: sa.Connection, count: int, first: datetime, **fields: Any) -> list[str]:
    """So many daily schedules whose first fire time is the same; their ids."""
    timing = Timing(interval_seconds=DAY, start_at=first)
    made = [_row(new_definition(name=f"planted {number}", timing=timing, **fields), first) for number in range(count)]
    ids = [row["id"] for row in made]
    standing = [position_values(id_, Position(first, since=first - timedelta(seconds=1))) for id_ in ids]
    _insert(connection, schedules, made)
    _insert(connection, positions, standing)
    return ids


def _row(definition: Definition, first: datetime) -> dict[str, Any]:
    return {
        "id": _ids.next(unix_ms(first)),
        "namespace": "default",
        "version": 1,
        "state": ScheduleState.ACTIVE,
        "tzdata": TZDATA,
        "created_at": first,
        "updated_at": first,
        **definition_values(definition),
    }


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    with connection.begin():
        for chunk in chunks(rows, 1000):
            connection.execute(sa.insert(table), list(chunk))
