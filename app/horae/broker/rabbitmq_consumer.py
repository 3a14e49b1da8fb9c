"""Consuming from RabbitMQ: deliveries are handed over as they come, across lost connections and silent ones.

A consumer holds one connection at a time and rebuilds it whenever it can't deliver any more: lost, cancelled by the
broker, its queue deleted, or silent. Silence is found by probes: messages to a queue of the consumer's own, confirmed
by the broker over the publisher's connection, that don't arrive. They must not be published over this one: under an
alarm RabbitMQ stops reading from whoever publishes, and the acks would stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as Frames
from aiormq.abc import DeliveredMessage

from horae.broker import topology
from horae.broker.amqp import close, connect, losses_as
from horae.broker.base import Receive
from horae.broker.message import MalformedDelivery, decode
from horae.domain.errors import BrokerUnavailable, PublishReturned
from horae.domain.job import Reference
from horae.runtime.clock import Clock
from horae.runtime.duty import pause_after

log = structlog.get_logger(__name__)

OPEN_SECONDS = 10.0
"""for the declarations and the start of a connection"""

SETTLE_SECONDS = 5.0
"""for one ack to be written; it waits only when the connection is stuck"""

SILENT_PROBES = 3
"""confirmed probes of which none was seen make a connection silent: after 30 s"""

VAIN_CONNECTIONS = 3
"""so many in a row that were silent from their first probe on make the consumer give up"""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants what: at most `prefetch` unacked deliveries of each queue."""

    queues: Sequence[str]
    receive: Receive
    prefetch: int


@dataclass(frozen=True, slots=True)
class Probes:
    """How a message gets to a queue of that very name in RabbitMQ, and how often, in seconds."""

    send: Callable[[str], Awaitable[None]]
    every: float = 10.0


class RabbitDelivery:
    """One message of a connection; its ack goes there or nowhere."""

    __slots__ = ("_message", "queue", "references")

    def __init__(self, queue: str, references: Sequence[Reference], message: DeliveredMessage) -> None:
        self.queue = queue
        self.references = references
        self._message = message

    async def ack(self) -> None:
        """Best effort: over a lost connection the broker delivers it again, as stale."""
        await _acked(self._message)


async def _acked(message: DeliveredMessage) -> None:
    await _settled(message.channel.basic_ack(_tag(message), wait=False))


async def _requeued(message: DeliveredMessage) -> None:
    await _settled(message.channel.basic_nack(_tag(message), requeue=True, wait=False))


def _tag(message: DeliveredMessage) -> int:
    return message.delivery_tag or 0


async def _settled(frame: Awaitable[None]) -> None:
    try:
        with losses_as(BrokerUnavailable, "ack"):
            async with asyncio.timeout(SETTLE_SECONDS):
                await frame
    except BrokerUnavailable as loss:
        log.debug("broker.ack_lost", error=str(loss))


class _Session:
    """One connection from its first delivery to its last; `lost` is set as soon as it can't deliver any more."""

    def __init__(self, channel: AbstractChannel, frames: Frames) -> None:
        self.frames = frames
        self.lost = asyncio.Event()
        self.reason = ""
        self.quiet = asyncio.Event()
        """set when the broker knows that nothing shall come any more"""
        self.begun = False
        self.tags: list[str] = []
        self.probe_queue = ""
        self.seen = False
        self.silent = False
        self._unseen = 0
        # Nobody else holds aio-pika's channel, and without it the frames below go.
        self.channel = channel
        channel.close_callbacks.add(lambda _channel, error: self.lose(f"the connection was lost ({error})"))
        frames.on_consumer_cancel_callbacks.add(lambda frame: self.lose(f"the broker cancelled {frame.consumer_tag}"))

    def lose(self, reason: str) -> None:
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()

    @property
    def consuming(self) -> bool:
        return self.begun and not self.lost.is_set()

    async def see_probe(self, _message: DeliveredMessage) -> None:
        self.seen = True
        self._unseen = 0

    async def probe(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Sends one more, unless enough were sent and not seen."""
        if self._unseen >= SILENT_PROBES:
            self.silent = True
            self.lose(f"silent: none of {SILENT_PROBES} probes was seen")
            return
        try:
            await send(self.probe_queue)
            self._unseen += 1
        except PublishReturned:
            self.lose("the broker has given the connection up")
        except BrokerUnavailable as failure:
            # Says nothing about this connection.
            log.debug("broker.probe_not_sent", error=str(failure))

    async def end_consuming(self) -> None:
        try:
            with losses_as(BrokerUnavailable, "stop"):
                for tag in self.tags:
                    await self.frames.basic_cancel(tag, timeout=SETTLE_SECONDS)
        except BrokerUnavailable as loss:
            self.lose(str(loss))
        finally:
            self.quiet.set()


class RabbitConsumer:
    """Receives deliveries of some queues until it is stopped; `count_malformed` is told the queue of each bad one."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        subscription: Subscription,
        probes: Probes,
        count_malformed: Callable[[str], None],
    ) -> None:
        self._url = url
        self._clock = clock
        self._wanted = subscription
        self._queues = list(subscription.queues)
        self._probes = probes
        self._count_malformed = count_malformed
        self._session: _Session | None = None
        self._stopped = asyncio.Event()
        self._consuming = asyncio.Lock()
        self._failures = 0
        self._vain = 0
        self._malformed = 0

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive right now."""
        session = self._session
        return session is not None and session.consuming and not self._stopped.is_set()

    async def run(self) -> None:
        """Consumes until stopped or cancelled.

        Raises:
            BrokerUnavailable: connections are made and stay silent, again and again.
        """
        while not self._stopped.is_set():
            reason = await self._consume_once()
            if self._vain >= VAIN_CONNECTIONS:
                raise BrokerUnavailable(f"made {VAIN_CONNECTIONS} connections in vain: {reason}")
            if not self._stopped.is_set():
                pause = pause_after(self._failures)
                log.warning("broker.lost", queues=self._queues, reason=reason, again_in=round(pause, 2))
                await self._clock.wait(self._stopped, pause)

    async def add(self, queue: str) -> None:
        """Consumes one more queue, over this connection and all later ones."""
        if queue in self._queues:
            return
        self._queues.append(queue)
        async with self._consuming:
            session = self._session
            if session is None or not session.consuming or self._stopped.is_set():
                return
            try:
                with losses_as(BrokerUnavailable, f"can't consume {queue}"):
                    async with asyncio.timeout(OPEN_SECONDS):
                        await self._consume(session, queue)
            except BrokerUnavailable as loss:
                session.lose(str(loss))

    async def stop(self) -> None:
        """Ends consuming; earlier deliveries can be acked until `run` is cancelled or the connection is lost."""
        self._stopped.set()
        async with self._consuming:
            if self._session is not None:
                await self._session.end_consuming()

    async def _consume_once(self) -> str:
        """Serves one connection until it is lost; answers why it was."""
        try:
            async with self._connection() as session:
                log.info("broker.consuming", queues=self._queues)
                while not session.lost.is_set():
                    await session.probe(self._probes.send)
                    await self._clock.wait(session.lost, self._probes.every)
        except BrokerUnavailable as failure:
            self._failures += 1
            return str(failure)
        self._judge(session)
        return session.reason

    def _judge(self, session: _Session) -> None:
        if session.seen:
            self._failures = self._vain = 0
        else:
            # No slower than this: a message whose frames aiormq can't parse ends every connection that it comes over,
            # until RabbitMQ's delivery limit drops it.
            self._failures = min(self._failures + 1, 2)
            self._vain += session.silent

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Session]:
        connection = await connect(self._url, "consumer")
        try:
            with losses_as(BrokerUnavailable, "can't consume"):
                async with asyncio.timeout(OPEN_SECONDS):
                    channel = await connection.channel(publisher_confirms=False)
                    self._session = _Session(channel, await channel.get_underlay_channel())
                    await self._begin(channel, self._session)
            yield self._session
        finally:
            self._session = None
            await close(connection)

    async def _begin(self, channel: AbstractChannel, session: _Session) -> None:
        probe_queue = await channel.declare_queue(exclusive=True)
        session.probe_queue = probe_queue.name
        await session.frames.basic_consume(probe_queue.name, session.see_probe, no_ack=True)
        await topology.declare_delivery(channel)
        await channel.set_qos(prefetch_count=self._wanted.prefetch)
        async with self._consuming:
            if not self._stopped.is_set():
                for queue in self._queues:
                    await self._consume(session, queue)
            session.begun = True

    async def _consume(self, session: _Session, queue: str) -> None:
        await topology.declare_work_queue(session.channel, queue)
        answer = await session.frames.basic_consume(topology.work_queue(queue), partial(self._take, session, queue))
        session.tags.append(answer.consumer_tag or "")

    async def _take(self, session: _Session, queue: str, message: DeliveredMessage) -> None:
        """Called for each message, in a task that dies with the channel."""
        if self._stopped.is_set():
            # Before the broker knows of our end it would give the message straight back to us.
            await session.quiet.wait()
            await _requeued(message)
            return
        try:
            references = decode(message.body)
        except MalformedDelivery as fault:
            self._tell_of_malformed(queue, fault)
            await _acked(message)
        else:
            self._wanted.receive(RabbitDelivery(queue, references, message))

    def _tell_of_malformed(self, queue: str, fault: MalformedDelivery) -> None:
        self._malformed += 1
        self._count_malformed(queue)
        # The 1st, 2nd, 4th, 8th: whoever sends them shall not fill the disk.
        if self._malformed.bit_count() == 1:
            log.warning("broker.malformed", queue=queue, reason=str(fault), count=self._malformed)
