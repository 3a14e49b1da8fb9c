"""Consuming from RabbitMQ: deliveries are handed over as they come, across lost connections and silent ones.

A consumer holds one connection at a time and rebuilds it when it is lost or silent. Each queue has a channel of its own
on it, tried again by itself: a queue that is sick, deleted or declared otherwise holds up no other.

Silence is found by probes: messages to a queue of the consumer's own, confirmed by the broker over the publisher's
connection, that don't arrive. They must not be published over this one: under an alarm RabbitMQ stops reading from
whoever publishes, and the acks would stand still.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
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
"""for what a connection or a queue needs before its first delivery"""

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


Take = Callable[["_Tap", DeliveredMessage], Awaitable[None]]


class _Tap:
    """One queue over one connection, from the opening of its channel to its end."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.tried = False
        self.ended = asyncio.Event()
        self.quiet = asyncio.Event()
        """set when the broker knows that nothing shall come any more"""
        self._opening = asyncio.Lock()
        # Never closed while the connection lives: an ack that follows the end of its channel ends the connection.
        self._channel: AbstractChannel | None = None
        self._tag: str | None = None

    @property
    def consuming(self) -> bool:
        return self._tag is not None and not self.ended.is_set()

    async def open(self, connection: AbstractConnection, prefetch: int, take: Take) -> None:
        try:
            with losses_as(BrokerUnavailable, f"can't consume queue {self.queue!r}"):
                async with self._opening, asyncio.timeout(OPEN_SECONDS):
                    channel = self._channel = await connection.channel(publisher_confirms=False)
                    await topology.declare_work_queue(channel, self.queue)
                    await channel.set_qos(prefetch_count=prefetch)
                    await self._consume(channel, take)
        finally:
            self.tried = True

    async def _consume(self, channel: AbstractChannel, take: Take) -> None:
        frames = await channel.get_underlay_channel()
        frames.on_consumer_cancel_callbacks.add(lambda _frame: self.ended.set())
        channel.close_callbacks.add(lambda _channel, _error: self.ended.set())
        answer = await frames.basic_consume(topology.work_queue(self.queue), partial(take, self))
        self._tag = answer.consumer_tag

    async def stop(self) -> None:
        try:
            async with self._opening:
                if self._channel is not None and self._tag is not None:
                    frames = await self._channel.get_underlay_channel()
                    with losses_as(BrokerUnavailable, "stop"):
                        await frames.basic_cancel(self._tag, timeout=SETTLE_SECONDS)
        except BrokerUnavailable as loss:
            log.debug("broker.stopped_badly", queue=self.queue, error=str(loss))
        finally:
            self.quiet.set()


class _Session:
    """One connection; `lost` is set as soon as it is to be given up."""

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.lost = asyncio.Event()
        self.reason = ""
        self.seen = False
        self.silent = False
        self.taps: dict[str, _Tap] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._unseen = 0
        self._probe_queue = ""
        self._channel: AbstractChannel | None = None

    def connected(self, queues: Sequence[str]) -> bool:
        """Whether every queue was tried and, if there are any, one of them can deliver."""
        taps = [self.taps.get(queue) for queue in queues]
        consuming = not taps or any(tap is not None and tap.consuming for tap in taps)
        return consuming and all(tap is not None and tap.tried for tap in taps) and not self.lost.is_set()

    async def begin(self) -> None:
        """Declares what the queues need, and consumes probes."""
        with losses_as(BrokerUnavailable, "can't consume"):
            async with asyncio.timeout(OPEN_SECONDS):
                channel = self._channel = await self.connection.channel(publisher_confirms=False)
                channel.close_callbacks.add(lambda _channel, error: self.lose(f"the connection was lost ({error})"))
                await topology.declare_delivery(channel)
                self._probe_queue = (await channel.declare_queue(exclusive=True)).name
                frames = await channel.get_underlay_channel()
                await frames.basic_consume(self._probe_queue, self._see_probe, no_ack=True)

    def keep(self, keeper: Coroutine[Any, Any, None]) -> None:
        """Runs it as long as the connection lives."""
        task = asyncio.create_task(keeper)
        self._keepers.append(task)
        task.add_done_callback(lambda task: None if task.cancelled() or not task.exception() else self.lose("a fault"))

    async def end(self) -> None:
        """Closes the connection. Raises what a keeper has raised."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.wait([*self._keepers, asyncio.create_task(close(self.connection))])
        for keeper in self._keepers:
            if not keeper.cancelled():
                keeper.result()

    def lose(self, reason: str) -> None:
        if not self.lost.is_set():
            self.reason = reason
            self.lost.set()

    async def probe(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Sends one more, unless enough were sent and not seen."""
        if self._unseen >= SILENT_PROBES:
            self.silent = True
            self.lose(f"silent: none of {SILENT_PROBES} probes was seen")
            return
        try:
            await send(self._probe_queue)
            self._unseen += 1
        except PublishReturned:
            self.lose("the broker has given the connection up")
        except BrokerUnavailable as failure:
            # Says nothing about this connection.
            log.debug("broker.probe_not_sent", error=str(failure))

    async def _see_probe(self, _message: DeliveredMessage) -> None:
        self.seen = True
        self._unseen = 0


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
        self._failures = 0
        self._vain = 0
        self._malformed = 0

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive right now; a queue that can't be consumed doesn't count."""
        return self._session is not None and self._session.connected(self._queues) and not self._stopped.is_set()

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
        """Consumes one more queue, as soon as there is a connection."""
        if queue not in self._queues:
            self._queues.append(queue)
            if self._session is not None:
                self._session.keep(self._keep_open(self._session, queue))

    async def stop(self) -> None:
        """Ends consuming; earlier deliveries can be acked until `run` is cancelled or the connection is lost."""
        self._stopped.set()
        if self._session is not None:
            await asyncio.gather(*(tap.stop() for tap in self._session.taps.values()))

    async def _consume_once(self) -> str:
        """Serves one connection until it is lost; answers why it was."""
        try:
            async with self._connection() as session:
                for queue in self._queues:
                    session.keep(self._keep_open(session, queue))
                self._session = session
                await self._watch(session)
        except BrokerUnavailable as failure:
            self._failures += 1
            return str(failure)
        self._judge(session)
        return session.reason

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Session]:
        session = _Session(await connect(self._url, "consumer"))
        try:
            await session.begin()
            yield session
        finally:
            self._session = None
            await session.end()

    async def _watch(self, session: _Session) -> None:
        while not session.lost.is_set():
            await session.probe(self._probes.send)
            await self._clock.wait(session.lost, self._probes.every)

    def _judge(self, session: _Session) -> None:
        if session.seen:
            self._failures = self._vain = 0
        else:
            # No slower than this: a message whose frames aiormq can't parse ends every connection that it comes over,
            # until RabbitMQ's delivery limit drops it.
            self._failures = min(self._failures + 1, 2)
            self._vain += session.silent

    async def _keep_open(self, session: _Session, queue: str) -> None:
        failures = 0
        while not self._stopped.is_set():
            tap = session.taps[queue] = _Tap(queue)
            try:
                await tap.open(session.connection, self._wanted.prefetch, self._take)
                log.info("broker.consuming", queue=queue)
                await tap.ended.wait()
                failures, reason = 0, "the broker ended it"
            except BrokerUnavailable as failure:
                failures, reason = failures + 1, str(failure)
            if not await self._clock.wait(session.lost, pause_after(failures)):
                log.warning("broker.queue_lost", queue=queue, reason=reason)

    async def _take(self, tap: _Tap, message: DeliveredMessage) -> None:
        """Called for each message, in a task that dies with the channel."""
        if self._stopped.is_set():
            # Before the broker knows of our end it would give the message straight back to us.
            await tap.quiet.wait()
            await _requeued(message)
            return
        try:
            references = decode(message.body)
        except MalformedDelivery as fault:
            self._tell_of_malformed(tap.queue, fault)
            await _acked(message)
        else:
            self._wanted.receive(RabbitDelivery(tap.queue, references, message))

    def _tell_of_malformed(self, queue: str, fault: MalformedDelivery) -> None:
        self._malformed += 1
        self._count_malformed(queue)
        # The 1st, 2nd, 4th, 8th: whoever sends them shall not fill the disk.
        if self._malformed.bit_count() == 1:
            log.warning("broker.malformed", queue=queue, reason=str(fault), count=self._malformed)
