"""Connections and whole transactions: what a statement needs around it, once for each database.

A transaction is one call of a function, so that it can be done again as a whole: after a deadlock (1213) or a lock that
didn't come (1205, which rolls back the statement only), and never after COMMIT was sent. An answer to COMMIT that is
lost, late or cancelled leaves the outcome unknown.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy import event
from sqlalchemy.engine import URL, CursorResult, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from horae.domain.errors import OutcomeUnknown, SettingsError, StoreUnavailable
from horae.runtime.clock import Clock
from horae.store.connections import connect, place
from horae.store.dialect import Moment, Utc, is_lost, refuses_all, wants_redo

log = structlog.get_logger(__name__)

R = TypeVar("R")

TRIES = 6
PATIENCE = 20.0
"""seconds for the statements of one transaction, and again for its COMMIT"""


class Transaction:
    """Statements on one connection; `now` is the database's clock, or the hand-turned one of a test."""

    def __init__(self, connection: AsyncConnection, now: sa.ColumnElement[datetime]) -> None:
        self._connection = connection
        self._moment: datetime | None = None
        self.now = now
        self.dialect = connection.dialect.name

    async def execute(
        self, statement: sa.Executable, parameters: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Runs one statement; its rows are fetched."""
        return await self._connection.execute(statement, parameters)

    async def moment(self) -> datetime:
        """What `now` was when it was first asked for in this transaction."""
        if self._moment is None:
            self._moment = (await self.execute(sa.select(self.now))).scalar_one()
        return self._moment

    async def until(self, column: sa.ColumnElement[datetime]) -> float | None:
        """Seconds until the earliest value of an indexed column, negative if it is past; None if there is none."""
        first = sa.select(sa.func.min(column).label("first"), self.now.label("now"))
        row = (await self.execute(first)).one()
        return None if row.first is None else float((row.first - row.now).total_seconds())


Work = Callable[[Transaction], Awaitable[R]]


class Database(Protocol):
    """One of the two databases."""

    @property
    def engine(self) -> AsyncEngine:
        """For migrations."""
        ...

    async def transact(self, work: Work[R]) -> R:
        """Runs the work in one transaction, again as a whole if the database asks for it.

        Raises:
            StoreUnavailable: nothing was written.
            OutcomeUnknown: COMMIT was sent and not answered.
        """
        ...

    async def read(self, work: Work[R]) -> R:
        """Runs statements that write nothing, each seeing what is committed when it runs."""
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


def open_database(url: str, clock: Clock, fixed_clock: bool = False) -> Database:
    """The database of a `mysql://` or `sqlite:///` address.

    With `fixed_clock` MySQL too takes its time from `clock`, as tests do that turn it by hand.

    Raises:
        SettingsError: the address doesn't parse.
    """
    try:
        address = make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError("HORAE_DATABASE_URL must be sqlite:///PATH or mysql://user:password@host:3306/db") from None
    if address.get_backend_name() == "sqlite":
        return Sqlite(address, clock)
    return MySql(address, clock if fixed_clock else None)


class MySql:
    """MySQL or MariaDB through aiomysql.

    Connections are in autocommit mode; a transaction says BEGIN and COMMIT itself, so that a read costs one round trip.
    """

    def __init__(self, address: URL, clock: Clock | None) -> None:
        self._clock = clock
        self.engine = create_async_engine(
            "mysql+aiomysql://",
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            skip_autocommit_rollback=True,
            pool_reset_on_return=None,
            pool_recycle=300,
            pool_size=10,
            max_overflow=10,
            pool_timeout=PATIENCE,
            connect_args={**place(address), "async_creator_fn": connect},
        )

    async def transact(self, work: Work[R]) -> R:
        """See `Database`."""
        for tries in range(TRIES):
            try:
                return await self._once(work)
            except DBAPIError as error:
                if is_lost(error) or refuses_all(error) or (wants_redo(error) and tries == TRIES - 1):
                    raise StoreUnavailable(reason(error)) from error
                if not wants_redo(error):
                    raise
            except (TimeoutError, OSError, sa.exc.TimeoutError) as error:
                raise StoreUnavailable(reason(error)) from error
            await asyncio.sleep(random.uniform(0, 0.01 * 2**tries))
        raise AssertionError("unreachable")

    async def _once(self, work: Work[R]) -> R:
        async with self._begun() as connection:
            async with _abandoned(connection), asyncio.timeout(PATIENCE):
                result = await work(Transaction(connection, self._now()))
            await self._commit(connection)
            return result

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[AsyncConnection]:
        """A connection with an open transaction. BEGIN shows whether a pooled connection is still alive."""
        async with self._connected() as connection:
            try:
                await _say(connection, "BEGIN")
            except DBAPIError as error:
                if not is_lost(error):
                    raise
            else:
                yield connection
                return
        # Nothing had been sent yet: one other connection may be tried without any risk.
        async with self._connected() as connection:
            await _say(connection, "BEGIN")
            yield connection

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the pool; a new pool asks the server about itself first, hence the bound."""
        connection = self.engine.connect()
        async with asyncio.timeout(PATIENCE):
            await connection.start()
        try:
            yield connection
        finally:
            await connection.close()

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.exec_driver_sql("COMMIT")
        except BaseException as error:
            await connection.invalidate()
            if isinstance(error, Exception) and not (isinstance(error, DBAPIError) and wants_redo(error)):
                raise OutcomeUnknown(reason(error)) from error
            raise

    async def read(self, work: Work[R]) -> R:
        """See `Database`. A read does no harm twice: a stale pooled connection is replaced once."""
        for last in (False, True):
            try:
                async with (
                    self._connected() as connection,
                    _abandoned(connection, rollback=False),
                    asyncio.timeout(PATIENCE),
                ):
                    return await work(Transaction(connection, self._now()))
            except DBAPIError as error:
                if not is_lost(error):
                    raise
                if last:
                    raise StoreUnavailable(reason(error)) from error
            except (TimeoutError, OSError, sa.exc.TimeoutError) as error:
                raise StoreUnavailable(reason(error)) from error
        raise AssertionError("unreachable")

    def _now(self) -> sa.ColumnElement[datetime]:
        # A bare parameter would be text to the server.
        return Utc() if self._clock is None else sa.cast(self._clock.now(), Moment())

    async def close(self) -> None:
        """Closes all connections."""
        await self.engine.dispose()


class Sqlite:
    """SQLite in WAL mode: one writer, separate readers."""

    def __init__(self, address: URL, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()
        self.engine = self._open(address, pool_size=1)
        self._readers = self._open(address, pool_size=4, query_only=True)

    @staticmethod
    def _open(address: URL, pool_size: int, query_only: bool = False) -> AsyncEngine:
        engine = create_async_engine(
            address.set(drivername="sqlite+aiosqlite"),
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            skip_autocommit_rollback=True,
            pool_reset_on_return=None,
            poolclass=sa.AsyncAdaptedQueuePool,
            pool_size=pool_size,
            max_overflow=0,
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite(query_only))
        return engine

    async def transact(self, work: Work[R]) -> R:
        """See `Database`. Shielded: a statement goes on in SQLite's thread whatever becomes of the caller."""
        try:
            return await asyncio.shield(asyncio.ensure_future(self._once(work)))
        except DBAPIError as error:
            if not refuses_all(error):
                raise
            raise StoreUnavailable(reason(error)) from error

    async def _once(self, work: Work[R]) -> R:
        async with self._turn, self.engine.connect() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                result = await work(Transaction(connection, self._now()))
                await connection.exec_driver_sql("COMMIT")
            except BaseException:
                # A full disk ends the transaction by itself.
                with suppress(DBAPIError):
                    await connection.exec_driver_sql("ROLLBACK")
                raise
            return result

    async def read(self, work: Work[R]) -> R:
        """See `Database`."""
        async with self._readers.connect() as connection:
            return await work(Transaction(connection, self._now()))

    def _now(self) -> sa.ColumnElement[datetime]:
        return sa.literal(self._clock.now(), Moment())

    async def close(self) -> None:
        """Closes all connections."""
        await self.engine.dispose()
        await self._readers.dispose()


@asynccontextmanager
async def _abandoned(connection: AsyncConnection, rollback: bool = True) -> AsyncIterator[None]:
    """Leaves no connection behind in the middle of something: rolls back where it can, drops it where it can't."""
    try:
        yield
    except Exception as error:
        if is_lost(error):
            await connection.invalidate()
        elif rollback:
            await _roll_back(connection)
        raise
    except BaseException:
        # Cancelled: an answer may still be under way on this connection.
        await connection.invalidate()
        raise


async def _roll_back(connection: AsyncConnection) -> None:
    try:
        await _say(connection, "ROLLBACK")
    except (DBAPIError, OSError, TimeoutError) as error:
        log.debug("store.rollback_failed", error=reason(error))
        await connection.invalidate()


async def _say(connection: AsyncConnection, word: str) -> None:
    async with asyncio.timeout(PATIENCE):
        await connection.exec_driver_sql(word)


def reason(error: BaseException) -> str:
    """One line without the statement and its values, which may hold users' data."""
    origin = getattr(error, "orig", None) or error
    return f"the database doesn't answer: {type(origin).__name__}: {origin}".rstrip(": ")


def _prepare_sqlite(query_only: bool) -> Callable[[Any, Any], None]:
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
            cursor.execute(f"PRAGMA {pragma}")
        if query_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    return prepare
