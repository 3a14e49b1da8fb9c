"""Lines of the ledger by their keys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from horae.store.tables import occurrences

LineKey = tuple[str, datetime]
"""schedule and fire time"""

LINES = sa.select(occurrences, occurrences.c.count.label("stands_for"))
"""whole lines; a row, being a tuple, has a `count` of its own"""

BY_KEY = "FORCE INDEX (PRIMARY)"
"""for many keys of a small table, which MySQL would rather scan: locking, or waiting for, rows of others on its way"""

KEYS = 200
"""keys in one statement"""


def key_of(row: sa.Row[Any]) -> LineKey:
    """The key of a line."""
    return row.schedule_id, row.fire_time


def lines_at(keys: Iterable[LineKey], missed: bool = False) -> sa.ColumnElement[bool]:
    """The lines of these occurrences, or those that say that they are missed.

    Spelt out schedule by schedule: MariaDB finds no range of the primary key for a list of pairs.
    """
    times: defaultdict[str, list[datetime]] = defaultdict(list)
    for schedule_id, fire_time in keys:
        times[schedule_id].append(fire_time)
    each = (
        sa.and_(
            occurrences.c.schedule_id == schedule_id,
            occurrences.c.fire_time.in_(its),
            occurrences.c.missed == sa.literal(missed),
        )
        for schedule_id, its in times.items()
    )
    return sa.or_(sa.false(), *each)
