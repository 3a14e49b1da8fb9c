"""All that differs between MySQL (and MariaDB) and SQLite: types, arithmetic on times, and what an error means.

Times are DATETIME(6) in UTC on MySQL and whole microseconds since the epoch on SQLite, which has no type for them.
RETURNING is not used anywhere: MariaDB has it, MySQL hasn't.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

DEADLOCK, LOCK_WAIT, RECORD_CHANGED, DUPLICATE = 1213, 1205, 1020, 1062
_REDO = frozenset({DEADLOCK, LOCK_WAIT, RECORD_CHANGED})

_LOST = frozenset({0, 1040, 1044, 1045, 1049, 1053, 1152, 1158, 1159, 1160, 1161, 1698, 1927})
"""A server that shuts down, ends the connection, has too many or lets us not in; 2000 to 2999 are the client's own."""

_FULL = frozenset({1021, 1114, 1290, 1836, 3100})
"""A server whose disk is full, that is read-only, or that refuses to write for its replicas' sake."""

_SQLITE_FULL = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY")


def micros(seconds: float) -> int:
    """Seconds as whole microseconds, rounded up: nothing is ever due early."""
    return -int(-seconds * 1_000_000 // 1)


class Id(sa.types.TypeDecorator[str]):
    """A UUID: 16 bytes in the database, its canonical form outside."""

    impl = sa.LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """BINARY(16), or a blob on SQLite."""
        return dialect.type_descriptor(mysql.BINARY(16) if dialect.name == "mysql" else sa.LargeBinary(16))

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> bytes | None:
        """From text to bytes."""
        return None if value is None else bytes.fromhex(value.replace("-", ""))

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> str | None:
        """From bytes to text."""
        return None if value is None else text_of_id(value)


def text_of_id(value: bytes) -> str:
    """The canonical form of 16 bytes."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def bytes_of_id(value: str) -> bytes:
    """The 16 bytes of a UUID."""
    return UUID(value).bytes


class Moment(sa.types.TypeDecorator[datetime]):
    """An instant, to the microsecond; aware and in UTC outside."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """DATETIME(6), or an integer on SQLite."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name == "mysql" else sa.BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | int | None:
        """To what the database keeps."""
        if value is None:
            return None
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "mysql" else _since_epoch(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        """From what the database keeps."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC)
        return _EPOCH + timedelta(microseconds=value)


def _since_epoch(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


class Key(sa.types.TypeDecorator[str]):
    """Free text under a unique key, as its UTF-8 bytes: every collation would take 'a' for 'a '."""

    impl = sa.LargeBinary(255)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """VARBINARY(255), or a blob on SQLite."""
        return dialect.type_descriptor(mysql.VARBINARY(255) if dialect.name == "mysql" else sa.LargeBinary(255))

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> bytes | None:
        """From text to bytes."""
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> str | None:
        """From bytes to text."""
        return None if value is None else value.decode()


class Utc(ColumnElement[datetime]):
    """The database server's own clock."""

    inherit_cache = True
    type = Moment()
    # Without it no statement that holds one would be kept compiled.
    _traverse_internals = []  # noqa: RUF012 - the base class declares it so


@compiles(Utc, "mysql")
def _utc_on_mysql(_element: Utc, _compiler: SQLCompiler, **_: Any) -> str:
    # Not NOW(): it follows the connection's time zone.
    return "UTC_TIMESTAMP(6)"


class Later(ColumnElement[datetime]):
    """A moment plus so many microseconds, either of them a column or a value."""

    inherit_cache = True
    type = Moment()
    _traverse_internals = [  # noqa: RUF012 - the base class declares it so
        ("moment", sa.sql.visitors.InternalTraversal.dp_clauseelement),
        ("delta", sa.sql.visitors.InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, moment: ColumnElement[Any], delta: ColumnElement[Any] | int) -> None:
        self.moment = moment
        self.delta = delta if isinstance(delta, ColumnElement) else sa.literal(delta, sa.BigInteger)


@compiles(Later, "mysql")
def _later_on_mysql(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    moment, delta = compiler.process(element.moment, **options), compiler.process(element.delta, **options)
    return f"({moment} + INTERVAL {delta} MICROSECOND)"


@compiles(Later, "sqlite")
def _later_on_sqlite(element: Later, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.moment, **options)} + {compiler.process(element.delta, **options)})"


def rewritten(table: sa.Table, dialect: str) -> sa.Insert:
    """An INSERT that takes the place of the rows with the same primary key: many rows in one statement."""
    if dialect == "mysql":
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update({c.name: insert.inserted[c.name] for c in table.c if not c.primary_key})
    upsert = sqlite.insert(table)
    changed = {c.name: upsert.excluded[c.name] for c in table.c if not c.primary_key}
    return upsert.on_conflict_do_update(index_elements=[*table.primary_key], set_=changed)


def error_number(error: DBAPIError) -> int | None:
    """The server's number of an error, where it has one."""
    arguments = error.orig.args if error.orig else ()
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def wants_redo(error: DBAPIError) -> bool:
    """Whether the whole transaction should be tried again."""
    return error_number(error) in _REDO


def is_duplicate(error: DBAPIError) -> bool:
    """Whether a unique key was violated."""
    return error_number(error) == DUPLICATE or "UNIQUE constraint failed" in str(error.orig)


def refuses_all(error: DBAPIError) -> bool:
    """Whether the database takes no writes at present, whatever they are: nothing is wrong with this one."""
    sqlite: str = getattr(error.orig, "sqlite_errorname", "")
    return error_number(error) in _FULL or sqlite.startswith(_SQLITE_FULL)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone or could not be had, so that the statement's fate is unknown."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        number = error_number(error)
        return number is not None and (number in _LOST or 2000 <= number < 3000)
    return isinstance(error, OSError | EOFError | TimeoutError)
