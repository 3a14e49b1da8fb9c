"""Servers for installations: those of this run with a fresh database, or private ones that a test may kill."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from horae.runtime.clock import SystemClock
from tests.e2e.support.installation import Addresses
from tests.support.brokers import run
from tests.support.databases import mysql_database, opened
from tests.support.services import address

PROGRAM = Path(__file__).resolve().parents[3] / "scripts" / "services"


@asynccontextmanager
async def fresh(mysql_server: str, broker: str) -> AsyncIterator[Addresses]:
    """The servers of this run, with a migrated database that nobody else uses."""
    with mysql_database(mysql_server) as url:
        yield await migrated(Addresses(url, broker, address("HORAE_REDIS_URL")))


async def migrated(addresses: Addresses) -> Addresses:
    """The same, its database with the schema."""
    async with opened(addresses.database, SystemClock()) as stores:
        await stores.schema.migrate()
    return addresses


class PrivateServers:
    """An instance of `scripts/services` that one test may do anything to."""

    def __init__(self, home: str) -> None:
        self._environment = {**os.environ, "HORAE_SERVICES_HOME": home}

    @classmethod
    @asynccontextmanager
    async def up(cls) -> AsyncIterator[PrivateServers]:
        """Started, and gone at the end."""
        # Named so that scripts/test ends what a killed run has left.
        home = tempfile.mkdtemp(prefix=f"horae-test.{os.getpid()}.")
        made = cls(home)
        try:
            await made("up")
            yield made
        finally:
            await made("down")
            await asyncio.to_thread(shutil.rmtree, home)

    async def __call__(self, *command: str) -> str:
        return await run(sys.executable, str(PROGRAM), *command, environment=self._environment)

    async def addresses(self) -> Addresses:
        """Of all three, empty again."""
        await self("up")
        settings = dict(line.split("=", 1) for line in (await self("env")).splitlines())
        named = (settings[f"HORAE_{name}_URL"] for name in ("DATABASE", "BROKER", "REDIS"))
        return await migrated(Addresses(*named))
