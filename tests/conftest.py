"""Clock and stores for every test. SQLite is the fast real database, never a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest

from horae.store.sql import Stores
from tests.support.clock import ManualClock
from tests.support.databases import empty, mysql_database, opened, sqlite_copy, sqlite_template
from tests.support.scene import Scene
from tests.support.services import address


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test turns it; the stores take their time from it."""
    return ManualClock()


@pytest.fixture(scope="session")
async def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to make copies of."""
    return await sqlite_template(tmp_path_factory.mktemp("sqlite"), ManualClock())


@pytest.fixture
async def sqlite_stores(migrated_file: Path, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Stores]:
    """Stores over an SQLite file of this test's own."""
    async with opened(sqlite_copy(migrated_file, tmp_path), clock) as stores:
        yield stores


@pytest.fixture(scope="session")
def mysql_server() -> str:
    """The address of the MySQL server, with a database that tests leave alone."""
    return address("HORAE_DATABASE_URL")


@pytest.fixture
def empty_mysql(mysql_server: str) -> Iterator[str]:
    """The address of a MySQL database of this test's own, without tables."""
    with mysql_database(mysql_server) as url:
        yield url


@pytest.fixture(scope="session")
async def migrated_mysql(mysql_server: str) -> AsyncIterator[str]:
    """The address of a migrated MySQL database of this run's own."""
    with mysql_database(mysql_server) as url:
        async with opened(url, ManualClock()) as stores:
            await stores.schema.migrate()
        yield url


@pytest.fixture
async def mysql_stores(migrated_mysql: str, clock: ManualClock) -> AsyncIterator[Stores]:
    """Stores over the run's MySQL database, emptied."""
    async with opened(migrated_mysql, clock) as stores:
        await empty(stores)
        yield stores


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.service)])
def stores(request: pytest.FixtureRequest) -> Stores:
    """The stores over each database in turn."""
    return cast("Stores", request.getfixturevalue(f"{request.param}_stores"))


@pytest.fixture
async def scene(stores: Stores, clock: ManualClock) -> Scene:
    """The stores with one live worker, and means to bring jobs to any state."""
    return await Scene.set(stores, clock)
