"""The schema on both databases: migrated by many at once, cut off in the middle, behind and ahead of the code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from horae.domain.errors import SchemaBehind, StoreUnavailable
from horae.domain.job import State
from horae.store import schema
from horae.store.schema import LOCK, latest
from horae.store.sql import Stores
from horae.store.tables import metadata
from tests.support.clock import ManualClock
from tests.support.databases import mysql_connection, opened
from tests.support.proxy import Cut, MySqlProxy
from tests.support.scene import Scene

MIGRATE = """
import asyncio, sys
from horae.runtime.clock import SystemClock
from horae.store.sql import open_stores

async def main():
    stores = open_stores(sys.argv[1], SystemClock())
    print(*await stores.schema.migrate())
    await stores.schema.check()
    await stores.close()

asyncio.run(main())
"""


async def differences(stores: Stores) -> list[Any]:
    """What is otherwise in the database than in `tables.py`."""
    async with stores.database.engine.connect() as connection:
        return await connection.run_sync(_differences)


def _differences(connection: sa.Connection) -> list[Any]:
    options = {"compare_type": True, "target_metadata": metadata}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def execute(stores: Stores, *statements: str) -> None:
    async with stores.database.engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.service)])
async def empty_stores(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Stores]:
    """Stores over a database without tables."""
    url = f"sqlite:///{tmp_path / 'new.db'}" if request.param == "sqlite" else request.getfixturevalue("empty_mysql")
    async with opened(url, clock) as stores:
        yield stores


async def test_an_empty_database_has_no_version_and_is_behind(empty_stores: Stores) -> None:
    assert await empty_stores.schema.version() is None
    with pytest.raises(SchemaBehind) as caught:
        await empty_stores.schema.check()
    assert (caught.value.found, caught.value.needed) == (None, latest())


async def test_migrating_brings_the_schema_of_the_tables(empty_stores: Stores) -> None:
    assert await empty_stores.schema.migrate() == (None, latest())
    await empty_stores.schema.check()
    assert await empty_stores.schema.version() == latest()
    assert await differences(empty_stores) == []


async def test_migrating_again_changes_nothing(empty_stores: Stores) -> None:
    await empty_stores.schema.migrate()
    assert await empty_stores.schema.migrate() == (latest(), latest())
    assert await differences(empty_stores) == []


async def test_a_difference_would_be_found(empty_stores: Stores) -> None:
    await empty_stores.schema.migrate()
    on = " ON jobs" if empty_stores.database.engine.dialect.name == "mysql" else ""
    await execute(empty_stores, f"DROP INDEX jobs_claim{on}", "ALTER TABLE jobs ADD COLUMN extra INTEGER")
    assert {difference[0] for difference in await differences(empty_stores)} == {"add_index", "remove_column"}


async def test_a_migration_without_its_last_steps_is_finished(empty_stores: Stores) -> None:
    await empty_stores.schema.migrate()
    on = " ON jobs" if empty_stores.database.engine.dialect.name == "mysql" else ""
    await execute(empty_stores, "DELETE FROM alembic_version", "DROP TABLE handlers", f"DROP INDEX jobs_prune{on}")
    assert await empty_stores.schema.migrate() == (None, latest())
    assert await differences(empty_stores) == []


async def test_an_older_schema_is_behind(empty_stores: Stores) -> None:
    await empty_stores.schema.migrate()
    await execute(empty_stores, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaBehind):
        await empty_stores.schema.check()


async def test_a_newer_schema_is_fine_and_left_alone(empty_stores: Stores) -> None:
    await empty_stores.schema.migrate()
    await execute(empty_stores, "UPDATE alembic_version SET version_num = '9999'")
    await empty_stores.schema.check()
    assert await empty_stores.schema.migrate() == ("9999", "9999")


async def test_a_filled_database_of_the_first_release_is_brought_up_to_date(
    empty_stores: Stores, clock: ManualClock
) -> None:
    await upgrade(empty_stores, "0001")
    assert await empty_stores.schema.version() == "0001"
    with pytest.raises(SchemaBehind):
        await empty_stores.schema.check()
    scene = await Scene.set(empty_stores, clock)
    seen = {job: await scene.see(job) for job in [(await scene.reach(state, tags=("red",))).id for state in State]}
    assert await empty_stores.schema.migrate() == ("0001", latest())
    assert await differences(empty_stores) == []
    assert {job: await scene.see(job) for job in seen} == seen


async def upgrade(stores: Stores, revision: str) -> None:
    """Brings the database to a revision that isn't the newest."""

    def run(connection: sa.Connection) -> None:
        settings = schema.config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)

    async with stores.database.engine.connect() as connection:
        await connection.run_sync(run)


async def test_a_second_revision_without_its_last_steps_is_finished(empty_stores: Stores) -> None:
    await empty_stores.schema.migrate()
    on = " ON occurrences" if empty_stores.database.engine.dialect.name == "mysql" else ""
    cut = (
        "UPDATE alembic_version SET version_num = '0001'",
        "DROP TABLE backfills",
        f"DROP INDEX occurrences_page{on}",
    )
    await execute(empty_stores, *cut)
    assert await empty_stores.schema.migrate() == ("0001", latest())
    assert await differences(empty_stores) == []


# ---------------------------------------------------------------------------------------------------------- on MySQL


async def migrate_in_a_process(url: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MIGRATE, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, (out + err).decode().strip()


@pytest.mark.service
async def test_eight_processes_may_migrate_at_once(empty_mysql: str, clock: ManualClock) -> None:
    answers = await asyncio.gather(*(migrate_in_a_process(empty_mysql) for _ in range(8)))
    others = (0, f"{latest()} {latest()}")
    assert sorted(answers) == sorted([(0, f"None {latest()}"), *[others] * 7])
    async with opened(empty_mysql, clock) as stores:
        assert await differences(stores) == []


@pytest.mark.service
@pytest.mark.parametrize("cut", [Cut.UNSENT, Cut.UNANSWERED], ids=lambda cut: cut.name)
async def test_a_migration_that_is_cut_off_at_any_step_goes_on_from_there(
    empty_mysql: str, clock: ManualClock, cut: Cut
) -> None:
    """Each round does one step more than the last, and is cut at the next."""
    async with MySqlProxy.before(empty_mysql) as proxy, opened(proxy.url, clock) as stores:
        rounds = 0
        while await stores.schema.version() != latest():
            if cut is Cut.UNANSWERED or rounds < 3:
                proxy.plan("CREATE", cut)
            try:
                await stores.schema.migrate()
            except StoreUnavailable:
                rounds += 1
        assert rounds > (len(metadata.tables) if cut is Cut.UNANSWERED else 2)
        assert await differences(stores) == []


@pytest.mark.service
async def test_a_migration_leaves_no_lock_behind(empty_mysql: str, clock: ManualClock) -> None:
    async with opened(empty_mysql, clock) as stores:
        await stores.schema.migrate()
        with mysql_connection(empty_mysql) as other:
            assert other.exec_driver_sql("SELECT IS_FREE_LOCK(%s)", (LOCK,)).scalar() == 1


@pytest.mark.service
async def test_a_migration_does_not_go_on_beside_another(
    empty_mysql: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "PATIENCE", 0.2)
    with mysql_connection(empty_mysql) as other:
        assert other.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (LOCK,)).scalar() == 1
        async with opened(empty_mysql, clock) as stores:
            with pytest.raises(StoreUnavailable, match="another process"):
                await stores.schema.migrate()
            assert await stores.schema.version() is None
