"""Installations of whole processes on real servers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from horae.broker.rabbitmq import RabbitBroker
from horae.runtime.clock import SystemClock
from tests.e2e.support.installation import Addresses, Installation
from tests.e2e.support.servers import fresh
from tests.support.brokers import RabbitControl


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The first process compiles for all of them, which start thrice as fast then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="session")
async def broker() -> AsyncIterator[str]:
    """A virtual host that only these tests use, with its delay levels."""
    async with RabbitControl.of_this_run().vhost() as url:
        await RabbitBroker(url, SystemClock()).check()
        yield url


@pytest.fixture
async def addresses(mysql_server: str, broker: str) -> AsyncIterator[Addresses]:
    """Real servers, with a migrated database of this test's own."""
    async with fresh(mysql_server, broker) as made:
        yield made


@pytest.fixture
async def site(tmp_path: Path, addresses: Addresses) -> AsyncIterator[Installation]:
    """An installation of this test's own, without processes yet."""
    async with Installation.at(tmp_path, addresses) as made:
        yield made


@pytest.fixture(scope="session")
async def long_running(
    tmp_path_factory: pytest.TempPathFactory, mysql_server: str, broker: str
) -> AsyncIterator[Installation]:
    """One whose api and scheduler run through many tests."""
    folder = tmp_path_factory.mktemp("long-running")
    async with fresh(mysql_server, broker) as addresses, Installation.at(folder, addresses) as made:
        await made.serve("api,scheduler", lease_seconds=3, dispatch_lease_seconds=3)
        yield made


@pytest.fixture
async def shared(long_running: Installation) -> AsyncIterator[Installation]:
    """The long-running installation. A test brings workers of its own, for a queue of its own."""
    there = set(long_running.roles)
    yield long_running
    await long_running.end([role for role in long_running.roles if role not in there])


@pytest.fixture
def queue() -> str:
    """A queue that no other test uses."""
    return f"queue-{secrets.token_hex(4)}"
