"""Whatever is wrong with a submission, the answer is a problem that names the field, and nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from horae.api.application import build_app
from horae.runtime.clock import SystemClock
from horae.signals.inprocess import InProcessSignals
from horae.store.base import JobFilter
from horae.store.sql import Stores
from tests.api.asking import JOBS, Client, answer_of, fields_of, submit
from tests.api.conftest import deps_over
from tests.api.malformed import TABLE, Bad
from tests.support.databases import opened, sqlite_copy


@pytest.fixture(scope="module")
async def table_stores(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    """One database for the whole table: nothing may ever be in it."""
    async with opened(sqlite_copy(migrated_file, tmp_path_factory.mktemp("malformed")), SystemClock()) as stores:
        yield stores


@pytest.fixture(scope="module")
async def table_client(table_stores: Stores) -> AsyncIterator[Client]:
    """One client for the whole table."""
    app = build_app(deps_over(table_stores, InProcessSignals()))
    async with TestClient(TestServer(app)) as client:
        yield client


def test_the_table_is_long_and_without_repetition() -> None:
    assert len(TABLE) >= 300
    assert len({(bad.raw, bad.content_type, bad.bulk) for bad in TABLE}) == len(TABLE)


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
async def test_a_malformed_submission_is_refused(table_client: Client, table_stores: Stores, bad: Bad) -> None:
    headers = {"Content-Type": bad.content_type} if bad.content_type else {}
    skip = [] if bad.content_type else ["Content-Type"]
    path = f"{JOBS}/bulk" if bad.bulk else JOBS
    response = await table_client.post(path, data=BytesIO(bad.raw), headers=headers, skip_auto_headers=skip)
    problem = await answer_of(response, bad.status)
    assert response.content_type == "application/problem+json"
    assert bad.field in fields_of(problem)
    assert problem["status"] == bad.status
    assert problem["instance"] == response.headers["X-Request-Id"]
    assert "Traceback" not in str(problem)
    assert await table_stores.jobs.count("default", JobFilter()) == 0


async def test_the_same_app_takes_what_is_right(client: Client) -> None:
    await submit(client)
