"""Databases for tests: a fresh file for each test, or a MySQL database of this run, emptied before each."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool, QueuePool

from horae.runtime.clock import Clock
from horae.store.database import Sqlite
from horae.store.sql import Stores, open_stores
from horae.store.tables import metadata


@asynccontextmanager
async def opened(url: str, clock: Clock) -> AsyncIterator[Stores]:
    """The stores of an address, with the clock in place of the database's own; no connection may leak."""
    stores = open_stores(url, clock, fixed_clock=True)
    try:
        yield stores
        assert checked_out(stores) == 0, "a connection was not given back to its pool"
    finally:
        await stores.close()


def engines(stores: Stores) -> list[AsyncEngine]:
    """Every engine of the stores."""
    database = stores.database
    return [database.engine, database._readers] if isinstance(database, Sqlite) else [database.engine]


def checked_out(stores: Stores) -> int:
    """How many connections are out of their pools."""
    pools = [engine.sync_engine.pool for engine in engines(stores)]
    return sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))


async def sqlite_template(folder: Path, clock: Clock) -> Path:
    """A migrated SQLite file, to be copied: migrating takes as long as many a test."""
    file = folder / "template.db"
    async with opened(f"sqlite:///{file}", clock) as stores:
        await stores.schema.migrate()
    return file


def sqlite_copy(template: Path, folder: Path) -> str:
    """The address of a fresh copy of the template."""
    return f"sqlite:///{shutil.copyfile(template, folder / 'horae.db')}"


@contextmanager
def mysql_database(server: str) -> Iterator[str]:
    """The address of a new and empty database on the server; it is dropped at the end."""
    name = f"horae_test_{secrets.token_hex(6)}"
    with mysql_connection(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with mysql_connection(server) as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")


@contextmanager
def mysql_connection(url: str) -> Iterator[sa.Connection]:
    """A connection of its own, in autocommit mode, outside everything under test."""
    address = make_url(url).set(drivername="mysql+pymysql")
    engine = sa.create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


async def empty(stores: Stores) -> None:
    """Deletes every row."""
    async with stores.database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(sa.delete(table))
