"""Installations for whole processes: on real servers, one database and one virtual host a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from horae.runtime.clock import SystemClock
from tests.e2e.support.installation import Addresses, Installation
from tests.support.brokers import RabbitControl
from tests.support.databases import mysql_database, opened
from tests.support.services import address


@pytest.fixture(scope="session")
async def broker() -> AsyncIterator[str]:
    """A virtual host that only these tests use."""
    async with RabbitControl.of_this_run().vhost() as url:
        yield url


@pytest.fixture
async def database(mysql_server: str) -> AsyncIterator[str]:
    """A migrated MySQL database of this test's own, its time the server's."""
    with mysql_database(mysql_server) as url:
        async with opened(url, SystemClock()) as stores:
            await stores.schema.migrate()
        yield url


@pytest.fixture
def addresses(database: str, broker: str) -> Addresses:
    """Of real servers."""
    return Addresses(database, broker, address("HORAE_REDIS_URL"))


@pytest.fixture
async def site(tmp_path: Path, addresses: Addresses) -> AsyncIterator[Installation]:
    """An installation without processes yet."""
    async with Installation.at(tmp_path, addresses) as made:
        yield made
