"""Whatever is wrong with what is said about a schedule, the answer is a problem that names the field, and all stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa
from aiohttp.test_utils import TestClient, TestServer
from jsonschema_rs import ValidationError

from horae.api.application import build_app
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from horae.store.tables import metadata
from tests.api.asking import Client, Json, answer_of, fields_of
from tests.api.asking_schedules import SCHEDULES, create
from tests.api.conftest import deps_over
from tests.api.contract import DOCUMENT, validator
from tests.api.malformed_schedules import MODELS, TABLE, BadSchedule
from tests.support.clock import ManualClock
from tests.support.databases import opened, sqlite_copy


@pytest.fixture(scope="module")
async def table_stores(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    """One database for the whole table: nothing in it may ever change."""
    async with opened(sqlite_copy(migrated_file, tmp_path_factory.mktemp("schedules")), ManualClock()) as stores:
        yield stores


@pytest.fixture(scope="module")
async def table_client(table_stores: Stores) -> AsyncIterator[Client]:
    """One client for the whole table."""
    app = build_app(deps_over(table_stores, InProcessSignals(), ManualClock()))
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture(scope="module")
async def there(table_client: Client) -> Json:
    """The one schedule that there is."""
    return await create(table_client, name="there")


@pytest.fixture(scope="module")
async def before(table_stores: Stores, there: Json) -> Mapping[str, list[tuple[object, ...]]]:
    """What is in the database and stays there."""
    return await contents(table_stores)


async def contents(stores: Stores) -> Mapping[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    async with stores.database.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in await connection.execute(sa.select(table))]
            for table in metadata.sorted_tables
        }


def test_the_table_is_long_and_without_repetition() -> None:
    assert len(TABLE) >= 500
    assert len({(bad.where, bad.raw) for bad in TABLE}) == len(TABLE)
    assert len({bad.name for bad in TABLE}) >= len(TABLE) * 0.95


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name[:60])
async def test_it_is_refused_by_name(
    table_client: Client,
    table_stores: Stores,
    there: Json,
    before: Mapping[str, list[tuple[object, ...]]],
    bad: BadSchedule,
) -> None:
    method, path = {
        "create": ("POST", SCHEDULES),
        "change": ("PATCH", f"{SCHEDULES}/{there['id']}"),
        "preview": ("POST", f"{SCHEDULES}/preview"),
        "backfill": ("POST", f"{SCHEDULES}/{there['id']}/backfill"),
    }[bad.where]
    headers = {"Content-Type": "application/json", "If-Match": '"1"'}
    response = await table_client.request(method, path, data=BytesIO(bad.raw), headers=headers)
    problem = await answer_of(response, bad.status)
    assert response.content_type == "application/problem+json"
    assert bad.field in fields_of(problem)
    assert all(len(error["message"]) < 1000 for error in problem["errors"])
    assert "Traceback" not in str(problem)
    assert await contents(table_stores) == before


@pytest.mark.parametrize("bad", [bad for bad in TABLE if bad.said], ids=lambda bad: bad.name[:60])
def test_the_document_refuses_what_the_api_refuses(bad: BadSchedule) -> None:
    """Where a schema can say it at all, it does: clients that are made from it find their mistakes at home."""
    with pytest.raises(ValidationError):
        validator(MODELS[bad.where]).validate(orjson.loads(bad.raw))


@pytest.mark.parametrize("model", sorted(set(MODELS.values())))
def test_the_document_takes_its_own_examples(model: str) -> None:
    for example in DOCUMENT["components"]["schemas"][model].get("examples", [{"name": "x"}]):
        validator(model).validate(example)
