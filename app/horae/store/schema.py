"""The schema's version: brought up to date by any number of processes at once, and checked by each at its start."""

from __future__ import annotations

from importlib import resources

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from horae.domain.errors import SchemaBehind, StoreUnavailable
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
        try:
            async with self._engine.connect() as connection:
                if not await connection.run_sync(lambda c: sa.inspect(c).has_table("alembic_version")):
                    return None
                return (await connection.exec_driver_sql("SELECT version_num FROM alembic_version")).scalar()
        except (DBAPIError, OSError) as error:
            if is_lost(error):
                raise StoreUnavailable(f"the database doesn't answer: {error.__cause__ or error}") from error
            raise

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
        async with self._engine.connect() as connection:
            is_mysql = connection.dialect.name == "mysql"
            if is_mysql:
                await connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (LOCK, PATIENCE))
            before = await self.version() if is_mysql else await connection.run_sync(_version)
            try:
                await connection.run_sync(_upgrade)
            finally:
                if is_mysql:
                    await connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (LOCK,))
            return before, latest()


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
