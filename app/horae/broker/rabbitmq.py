"""RabbitMQ as a broker: a connection to publish, one for each consumer, and the topology that both declare."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

import structlog
from aio_pika.abc import AbstractConnection

from horae.broker.amqp import close, connect, losses_as
from horae.broker.base import Receive
from horae.broker.message import MalformedDelivery
from horae.broker.rabbitmq_consumer import Probes, RabbitConsumer
from horae.broker.rabbitmq_publisher import RabbitPublisher
from horae.broker.rabbitmq_tap import Subscription
from horae.broker.topology import declare_delivery, declare_levels
from horae.domain.errors import BrokerUnavailable
from horae.runtime.clock import Clock

log = structlog.get_logger(__name__)

CHECK_SECONDS = 30.0
"""RabbitMQ may take a second for each queue that is new"""

OLDEST_VERSION = (3, 10)
"""the first whose quorum queues know lifetimes and dead-letter at least once"""


class RabbitBroker:
    """RabbitMQ at `url` (amqp:// or amqps://). Nothing is connected before it is used."""

    def __init__(self, url: str, clock: Clock, count_malformed: Callable[[str], None] = lambda _queue: None) -> None:
        """`count_malformed` is called with the queue's name for each message that nobody of ours can have sent."""
        self._url = url
        self._clock = clock
        self._count_malformed = count_malformed
        self._malformed = 0
        self._publisher = RabbitPublisher(url, clock)

    @property
    def publisher(self) -> RabbitPublisher:
        """For sending."""
        return self._publisher

    def consumer(self, queues: Sequence[str], receive: Receive, prefetch: int) -> RabbitConsumer:
        """A consumer of these queues that holds at most `prefetch` unacked deliveries of each."""
        subscription = Subscription(receive, prefetch, self._tell_of_malformed)
        return RabbitConsumer(self._url, self._clock, queues, subscription, Probes(self._publisher.probe))

    async def check(self) -> None:
        """Connects, asks for the version, and declares everything but the queues of jobs.

        Raises:
            BrokerUnavailable: with the reason.
        """
        connection = await connect(self._url, "check")
        try:
            _refuse_old(connection)
            with losses_as(BrokerUnavailable, "can't declare the delay levels"):
                async with asyncio.timeout(CHECK_SECONDS), connection.channel() as channel:
                    await declare_delivery(channel)
                    await declare_levels(channel)
        finally:
            await close(connection)

    async def close(self) -> None:
        """Ends publishing. Consumers end with their `run`."""
        await self._publisher.close()

    def _tell_of_malformed(self, queue: str, fault: MalformedDelivery) -> None:
        self._malformed += 1
        self._count_malformed(queue)
        # The 1st, 2nd, 4th, 8th: whoever sends them shall not fill the disk.
        if self._malformed.bit_count() == 1:
            log.warning("broker.malformed", queue=queue, reason=str(fault), count=self._malformed)


def _refuse_old(connection: AbstractConnection) -> None:
    properties = connection.transport.connection.server_properties if connection.transport else {}
    version = str(properties.get("version", ""))
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_VERSION:
        raise BrokerUnavailable(f"RabbitMQ {version} is too old: {'.'.join(map(str, OLDEST_VERSION))} is needed")
