from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from click.testing import CliRunner, Result

from horae.cli.demo.server import serving
from horae.cli.main import cli
from tests.client.canned import Canned, canned_api

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def canned() -> AsyncIterator[Canned]:
    async with canned_api() as api:
        yield api


@pytest.fixture
def run(canned: Canned) -> Run:
    """Runs a command against the canned api, in a thread: it has an event loop of its own."""

    async def run(*words: str, stdin: str | None = None, **environment: str) -> Result:
        variables = {"HORAE_URL": canned.url, "HORAE_TOKEN": "", **environment}
        return await asyncio.to_thread(CliRunner().invoke, cli, words, input=stdin, env=variables)

    return run


@pytest.fixture(scope="session")
async def url(unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[str]:
    """The address of a real api, with a scheduler and a worker behind it, on the embedded default."""
    async with serving("127.0.0.1", first_port=unused_tcp_port_factory()) as server:
        yield server.url
