from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from horae.client import Client, Retries
from tests.client.canned import Canned, canned_api

QUICK = Retries(attempts=4, base_seconds=0.001, max_seconds=0.01)


@pytest.fixture
async def canned() -> AsyncIterator[Canned]:
    async with canned_api() as api:
        yield api


@pytest.fixture
async def client(canned: Canned) -> AsyncIterator[Client]:
    async with Client(canned.url, token="t0ken", retries=QUICK, timeout=5) as made:
        yield made
