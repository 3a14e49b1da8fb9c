from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from horae.cli.demo.server import serving
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


@pytest.fixture(scope="session")
async def url(unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[str]:
    """The address of a real api, with a scheduler and a worker behind it, on the embedded default."""
    async with serving("127.0.0.1", first_port=unused_tcp_port_factory()) as server:
        yield server.url
