"""What each statement of a call really costs: its plan as MySQL explains it, and the rows that it touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from horae.store.sql import Stores

SMALL = frozenset({"workers", "pauses", "handlers"})
"""tables of a few dozen rows, however many jobs there are"""

READS = "SHOW SESSION STATUS LIKE 'Handler_read%'"


@dataclass(frozen=True)
class Step:
    """One table of a plan."""

    table: str
    access: str
    key: str | None
    extra: str

    @property
    def fault(self) -> str | None:
        """What is wrong with it, if anything is."""
        # A derived table is as large as what was read for it: that is counted.
        if self.table in SMALL or self.table.startswith("<"):
            return None
        if "filesort" in self.extra:
            return "it sorts"
        if self.access == "ALL":
            return "it scans a table"
        # The loose scan leaps from one value of the index's beginning to the next.
        if self.access == "index" and "group-by" not in self.extra:
            return "it scans an index"
        return "it merges indexes" if self.access == "index_merge" else None


@dataclass(frozen=True)
class Statement:
    """A statement as it was sent, and how many rows and index entries it touched."""

    text: str
    parameters: Any
    touched: int

    async def plan(self, connection: AsyncConnection) -> list[Step]:
        """How the server would run it again."""
        if not self.text.startswith(("SELECT", "UPDATE", "DELETE")):
            return []
        explained = await connection.exec_driver_sql(f"EXPLAIN {self.text}", self.parameters)
        return [
            Step(row["table"], row["type"], row["key"], row["Extra"] or "")
            for row in explained.mappings()
            if row["table"] is not None
        ]


@contextmanager
def recorded(stores: Stores) -> Iterator[list[Statement]]:
    """Collects every statement that goes over the connections of these stores."""
    engine = stores.database.engine.sync_engine
    found: list[Statement] = []
    before: list[int] = []

    def ahead(connection: sa.Connection, *_: Any) -> None:
        before.append(_touched(connection))

    def behind(connection: sa.Connection, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        found.append(Statement(text, parameters, _touched(connection) - before.pop()))

    event.listen(engine, "before_cursor_execute", ahead)
    event.listen(engine, "after_cursor_execute", behind)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", ahead)
        event.remove(engine, "after_cursor_execute", behind)


@contextmanager
def built_anew(stores: Stores) -> Iterator[list[str]]:
    """Collects the statements that are compiled at each of their calls, because something in them has no cache key."""
    engine = stores.database.engine.sync_engine
    found: list[str] = []

    def ahead(_connection: sa.Connection, statement: Any, *_: Any) -> None:
        if isinstance(statement, sa.ClauseElement) and statement._generate_cache_key() is None:
            found.append(str(statement))

    event.listen(engine, "before_execute", ahead)
    try:
        yield found
    finally:
        event.remove(engine, "before_execute", ahead)


def _touched(connection: sa.Connection) -> int:
    cursor = connection.connection.cursor()
    cursor.execute(READS)
    counted = sum(int(value) for _, value in cursor.fetchall())
    cursor.close()
    return counted
