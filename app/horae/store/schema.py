"""The schema's version: brought up to date by any number of processes at once, and checked by each at its start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import resources

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from horae.domain.errors import SchemaBehind, StoreUnavailable
from horae.store.database import reason
from horae.store.dialect import is_lost

log = structlog.get_logger(__name__)

LOCK = "horae.migrate"
PATIENCE = 120
"""seconds to wait while another process migrates"""


def latest() -> str:
    """The newest revision that this code knows; they are numbered."""
    versions = resources.files("horae.store.migrations") / "versions"
    return max(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())


class Schema:
    """The schema of one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def version(self) -> str | None:
        """The revision that the database is at; None for an empty one."""
        with _answering():
            async with self._engine.connect() as connection:
                return await connection.run_sync(_version)

    async def check(self) -> None:
        """Raises SchemaBehind if the database is older than the code; a newer one is fine."""
        found, needed = await self.version(), latest()
        if found is None or found < needed:
            raise SchemaBehind(found, needed)

    async def migrate(self) -> tuple[str | None, str]:
        """Brings the database to this code's revision; answers the one before and the one after.

        Alembic has no lock of its own: on MySQL a named lock of the server makes one process migrate while the others
        wait. An SQLite file has one process only.
        """
        with _answering():
            async with self._engine.connect() as connection, _alone(connection):
                before = await connection.run_sync(_version)
                # An older release's migration, run late, leaves a newer schema alone.
                if before is not None and before >= latest():
                    return before, before
                await connection.run_sync(_upgrade)
                return before, latest()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, OSError) as error:
        if not is_lost(error):
            raise
        raise StoreUnavailable(reason(error)) from error


@asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[None]:
    if connection.dialect.name != "mysql":
        yield
        return
    if (await connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (LOCK, PATIENCE))).scalar() != 1:
        raise StoreUnavailable(f"another process has been migrating for {PATIENCE} seconds")
    try:
        yield
    finally:
        # Ending the connection frees the lock, whatever state it is in; giving it back to the pool wouldn't.
        await connection.invalidate()


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


def config() -> Config:
    """Alembic's settings, without a file."""
    made = Config()
    made.set_main_option("script_location", str(resources.files("horae.store.migrations")).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def _upgrade(connection: sa.Connection) -> None:
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
