"""One queue of a consumer over one connection, on a channel of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractChannel as Frames
from aiormq.abc import DeliveredMessage

from horae.broker import topology
from horae.broker.amqp import losses_as
from horae.broker.base import Receive
from horae.broker.message import MalformedDelivery, decode
from horae.domain.errors import BrokerUnavailable
from horae.domain.job import Reference

log = structlog.get_logger(__name__)

OPEN_SECONDS = 10.0
"""for all that is needed before the first delivery"""

SETTLE_SECONDS = 5.0
"""for one ack to be written; it waits only when the connection is stuck"""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What becomes of messages: at most `prefetch` unacked ones of a queue; `drop` is told of each malformed one."""

    receive: Receive
    prefetch: int
    drop: Callable[[str, MalformedDelivery], None]


class RabbitDelivery:
    """One message of a connection; its ack goes there or nowhere."""

    __slots__ = ("_message", "_tap", "queue", "references")

    def __init__(self, tap: Tap, references: Sequence[Reference], message: DeliveredMessage) -> None:
        self.queue = tap.queue
        self.references = references
        self._tap = tap
        self._message: DeliveredMessage | None = message

    async def ack(self) -> None:
        """Best effort: over a lost connection the broker delivers it again, as stale."""
        # A second ack of the same tag would close the channel.
        message, self._message = self._message, None
        if message is not None:
            await _acked(message)
            self._tap.held -= 1


class Tap:
    """A queue from the opening of its channel to its end."""

    def __init__(self, queue: str, subscription: Subscription) -> None:
        self.queue = queue
        self.ended = asyncio.Event()
        self.held = 0
        self._subscription = subscription
        self._idle = False
        self._turn = asyncio.Lock()
        self._stopping = False
        self._quiet = asyncio.Event()
        # aio-pika's channel must outlive our use of the frames below it, which are the quicker way to consume.
        self._channel: AbstractChannel | None = None
        self._frames: Frames | None = None
        self._tag: str | None = None

    async def open(self, connection: AbstractConnection) -> None:
        """Declares the queue and consumes it.

        Raises:
            BrokerUnavailable: the broker refuses, or doesn't answer for this queue.
        """
        with losses_as(BrokerUnavailable, f"can't consume queue {self.queue!r}"):
            async with asyncio.timeout(OPEN_SECONDS), self._turn:
                self._channel = channel = await connection.channel(publisher_confirms=False)
                await topology.declare_work_queue(channel, self.queue)
                await channel.set_qos(prefetch_count=self._subscription.prefetch)
                self._frames = frames = await channel.get_underlay_channel()
                channel.close_callbacks.add(lambda _channel, _error: self.ended.set())
                frames.on_consumer_cancel_callbacks.add(lambda _frame: self.ended.set())
                self._tag = (await frames.basic_consume(topology.work_queue(self.queue), self._take)).consumer_tag
                if self._stopping:
                    await self._cancel()

    async def retire(self) -> bool:
        """Ends consuming if nothing has come since the last time and nothing is held; answers whether it did.

        RabbitMQ forgets a consumer, and tells nobody, when its queue is deleted and declared again within milliseconds:
        what it then delivers to the old channel is lost until that is closed.

        Raises:
            BrokerUnavailable: as `open`.
        """
        idle, self._idle = self._idle, True
        if not idle or self.held or self._stopping:
            return False
        with losses_as(BrokerUnavailable, f"can't go on consuming queue {self.queue!r}"):
            async with asyncio.timeout(OPEN_SECONDS), self._turn:
                await self._cancel()
                # An ack that follows the end of its channel would end the connection, and with it all that others hold.
                if self._channel is not None and not self.held:
                    await self._channel.close()
        return True

    async def stop(self) -> None:
        """Nothing more comes; what has come can still be acked."""
        self._stopping = True
        # Whoever is at it ends it by itself: a queue that doesn't answer must not hold up the end.
        if self._turn.locked():
            return
        try:
            with losses_as(BrokerUnavailable, "stop"):
                async with self._turn, asyncio.timeout(SETTLE_SECONDS):
                    await self._cancel()
        except BrokerUnavailable as loss:
            log.debug("broker.stopped_badly", queue=self.queue, error=str(loss))

    async def _cancel(self) -> None:
        tag, self._tag = self._tag, None
        if tag is not None and self._frames is not None:
            await self._frames.basic_cancel(tag)
        self._quiet.set()

    async def _take(self, message: DeliveredMessage) -> None:
        """Called for each message, in a task that dies with the channel."""
        self._idle = False
        self.held += 1
        if self._stopping:
            # Before the broker knows of our end it would give the message straight back to us.
            await self._quiet.wait()
            await _requeued(message)
        else:
            await self._hand_over(message)

    async def _hand_over(self, message: DeliveredMessage) -> None:
        try:
            references = decode(message.body)
        except MalformedDelivery as fault:
            self._subscription.drop(self.queue, fault)
            await _acked(message)
            self.held -= 1
        else:
            self._subscription.receive(RabbitDelivery(self, references, message))


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
