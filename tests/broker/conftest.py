"""RabbitMQ for tests that look below the interface: a virtual host that nobody else uses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from horae.broker.rabbitmq import RabbitBroker
from horae.runtime.clock import SystemClock
from tests.support.brokers import RabbitControl


@pytest.fixture(scope="session")
async def vhost() -> AsyncIterator[str]:
    """The address of a virtual host with the topology declared."""
    async with RabbitControl.of_this_run().vhost() as url:
        await RabbitBroker(url, SystemClock()).check()
        yield url


@pytest.fixture
async def rabbit(vhost: str) -> AsyncIterator[RabbitBroker]:
    """A broker on the virtual host."""
    broker = RabbitBroker(vhost, SystemClock())
    yield broker
    await broker.close()
