"""Publishing to RabbitMQ: every message is confirmed, returned, or of unknown fate, and never waited for for long.

One connection for all, made when it is first needed and replaced when it is lost. It only publishes: under a memory or
disk alarm RabbitMQ stops reading from whoever publishes, and with it acks would stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import DeliveryError
from aiormq import spec
from aiormq.abc import AbstractChannel as Frames

from horae.broker import delays, topology
from horae.broker.amqp import close, connect, losses_as
from horae.broker.message import encode
from horae.domain.errors import BrokerUnavailable, PublishReturned, PublishUnknown
from horae.domain.job import Reference
from horae.runtime.clock import Clock

PUBLISH_SECONDS = 5.0
"""for everything: connection, declarations, and the confirm"""

FAILURE_SECONDS = 1.0
"""for so long after a failed attempt to connect nobody tries again"""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a message goes in, and what has to be declared before."""

    exchange: str
    key: str
    queue: str | None = None
    delayed: bool = False


class _Link:
    """A connection, its confirming channel, and what was declared over it."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel, frames: Frames) -> None:
        self.connection = connection
        self.doubtful = False
        # aio-pika's channel must outlive our use of the frames below it, which are the quicker way to publish.
        self._channel = channel
        self._frames = frames
        self._queues: set[str] = set()
        self._levels = False

    @property
    def lost(self) -> bool:
        return self._frames.is_closed

    @property
    def usable(self) -> bool:
        return not (self.doubtful or self.lost)

    def reaches(self, route: _Route) -> bool:
        """Whether everything that the route needs is declared."""
        return (route.queue is None or route.queue in self._queues) and (self._levels or not route.delayed)

    def forget(self, route: _Route) -> None:
        """Something of the route was deleted."""
        self._queues.discard(route.queue or "")
        self._levels = self._levels and not route.delayed

    async def declare(self, route: _Route) -> None:
        """On a channel of its own, since a refusal closes it."""
        with losses_as(BrokerUnavailable, f"can't declare what queue {route.queue!r} needs"):
            async with self.connection.channel(publisher_confirms=False) as channel:
                await topology.declare_delivery(channel)
                if route.queue is not None:
                    await topology.declare_work_queue(channel, route.queue)
                    self._queues.add(route.queue)
                if route.delayed:
                    await topology.declare_levels(channel)
                    self._levels = True

    async def unblocked(self) -> None:
        """Waits while an alarm of the broker forbids publishing."""
        if self.connection.transport is not None:
            await self.connection.transport.ready()

    async def publish(self, route: _Route, body: bytes) -> None:
        with losses_as(PublishUnknown, f"no confirm from {route.key}"):
            try:
                await self._frames.basic_publish(
                    body,
                    exchange=route.exchange,
                    routing_key=route.key,
                    # New for each message: with the headers of a delivery RabbitMQ would take a retry for a cycle.
                    properties=spec.Basic.Properties(content_type="application/json", delivery_mode=2),
                    mandatory=True,
                )
            except DeliveryError as refusal:
                self.forget(route)
                raise PublishReturned(str(refusal)) from refusal


class RabbitPublisher:
    """Sends references over a connection of its own."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._link: _Link | None = None
        self._preparing = asyncio.Lock()
        self._resting_until = float("-inf")
        self._last_failure = ""
        self._closed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def longest_delay(self) -> float:
        """Seconds; a longer backoff waits in its row."""
        return delays.LONGEST_DELAY

    async def publish(self, queue: str, references: Sequence[Reference]) -> None:
        """One delivery, confirmed. Through the default exchange, which returns what it can't route."""
        await self._send(_Route("", topology.work_queue(queue), queue), encode(references))

    async def publish_later(self, queue: str, reference: Reference, delay: float) -> None:
        """One reference through the delay levels, `delay` rounded up to whole seconds."""
        seconds = delays.whole_seconds(delay)
        if seconds == 0:
            await self.publish(queue, [reference])
        else:
            level = delays.level_name(delays.first_level(seconds))
            route = _Route(level, delays.routing_key(seconds, queue), queue, delayed=True)
            await self._send(route, encode([reference]))

    async def probe(self, queue: str) -> None:
        """One empty message to a queue of that very name in RabbitMQ. Raises as `publish`."""
        await self._send(_Route("", queue), b"")

    async def close(self) -> None:
        """Ends the connection for good; publishes that are under way become unknown."""
        self._closed.set()
        async with self._preparing:
            self._drop()
        await asyncio.gather(*self._closing)

    async def _send(self, route: _Route, body: bytes) -> None:
        link: _Link | None = None
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                link = await self._link_for(route)
                await link.publish(route, body)
        except TimeoutError:
            if link is None:
                raise BrokerUnavailable(f"RabbitMQ takes nothing for {PUBLISH_SECONDS:g} s") from None
            link.doubtful = True
            raise PublishUnknown(f"no confirm from {route.key} within {PUBLISH_SECONDS:g} s") from None

    async def _link_for(self, route: _Route) -> _Link:
        link = self._link
        if link is None or not link.usable or not link.reaches(route):
            async with self._preparing:
                link = await self._usable_link()
                if not link.reaches(route):
                    await link.declare(route)
        await link.unblocked()
        return link

    async def _usable_link(self) -> _Link:
        if self._link is not None and self._link.doubtful and not self._link.lost:
            # Blocked by an alarm it is as good as any other; silent without one it is dead.
            await self._link.unblocked()
        if self._link is None or not self._link.usable:
            self._drop()
            self._link = await self._new_link()
        return self._link

    async def _new_link(self) -> _Link:
        if self._closed.is_set():
            raise BrokerUnavailable("the publisher is closed")
        if self._clock.monotonic() < self._resting_until:
            raise BrokerUnavailable(self._last_failure)
        try:
            return await self._open_link()
        except BrokerUnavailable as failure:
            self._resting_until = self._clock.monotonic() + FAILURE_SECONDS
            self._last_failure = str(failure)
            raise

    async def _open_link(self) -> _Link:
        connection = await connect(self._url, "publisher")
        try:
            with losses_as(BrokerUnavailable, "can't open a channel"):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                return _Link(connection, channel, await channel.get_underlay_channel())
        except BaseException:
            self._close_later(connection, 0.0)
            raise

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            # It may be a single queue that is sick: whatever else is under way on the link gets its time.
            self._close_later(link.connection, PUBLISH_SECONDS if link.doubtful else 0.0)

    def _close_later(self, connection: AbstractConnection, pause: float) -> None:
        async def close_it() -> None:
            await self._clock.wait(self._closed, pause)
            await close(connection)

        closing = asyncio.create_task(close_it(), name="close a publisher's connection")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
