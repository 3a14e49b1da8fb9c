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
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import DeliveredMessage

from horae.broker import topology
from horae.broker.amqp import CLOSE_SECONDS, close, connect, losses_as
from horae.broker.rabbitmq_tap import OPEN_SECONDS, Subscription, Tap
from horae.domain.errors import BrokerUnavailable, PublishReturned
from horae.runtime.clock import Clock
from horae.runtime.duty import pause_after

log = structlog.get_logger(__name__)

IDLE_SECONDS = 30.0
"""after so long without a delivery a queue is consumed anew"""

STEADY_SECONDS = 10.0
"""a connection that was lost earlier was lost at once"""

QUICK_LOSSES = 8
"""so many connections that were lost at once count as one that couldn't be made"""

SILENT_PROBES = 3
"""confirmed probes of which none was seen make a connection silent: after 30 s"""

VAIN_CONNECTIONS = 3
"""so many in a row that were silent from their first probe on make the consumer give up"""


@dataclass(frozen=True, slots=True)
class Probes:
    """How a message gets to a queue of that very name in RabbitMQ, and how often, in seconds."""

    send: Callable[[str], Awaitable[None]]
    every: float = 10.0


class _Session:
    """One connection; `lost` is set as soon as it is to be given up."""

    def __init__(self, connection: AbstractConnection, queues: Sequence[str]) -> None:
        self.connection = connection
        self.lost = asyncio.Event()
        self.reason = ""
        self.seen = False
        self.silent = False
        self.taps: dict[str, Tap] = {}
        self.consumed: dict[str, bool] = {}
        """by queue, once it was tried"""
        self._awaited = frozenset(queues)
        self._keepers: list[asyncio.Task[None]] = []
        self._unseen = 0
        self._probe_queue = ""
        self._channel: AbstractChannel | None = None

    @property
    def connected(self) -> bool:
        """Whether every queue of the beginning was tried and, if there is any at all, one of them can deliver."""
        consuming = any(self.consumed.values()) or not self.consumed
        return consuming and self._awaited <= self.consumed.keys() and not self.lost.is_set()

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
        """Runs it as long as the connection lives; a fault of it ends the connection."""
        task = asyncio.create_task(keeper)
        self._keepers.append(task)
        task.add_done_callback(lambda _task: self.lose("a queue is kept no longer"))

    async def end(self) -> None:
        """Closes the connection. Raises what a keeper has raised."""
        for keeper in self._keepers:
            keeper.cancel()
        # Side by side: a keeper that is stuck in the connection comes free when that is closed.
        closing = asyncio.create_task(close(self.connection))
        await asyncio.wait([closing, *self._keepers], timeout=2 * CLOSE_SECONDS)
        for keeper in self._keepers:
            if keeper.done() and not keeper.cancelled():
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
    """Receives deliveries of some queues until it is stopped."""

    def __init__(
        self, url: str, clock: Clock, queues: Sequence[str], subscription: Subscription, probes: Probes
    ) -> None:
        self._url = url
        self._clock = clock
        self._queues = list(queues)
        self._subscription = subscription
        self._probes = probes
        self._session: _Session | None = None
        self._stopped = asyncio.Event()
        self._failures = 0
        self._losses = 0
        self._vain = 0

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive right now; a queue that can't be consumed doesn't count."""
        return self._session is not None and self._session.connected and not self._stopped.is_set()

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
                # Slowly at first: a message that aiormq can't parse ends every connection that it comes over until
                # RabbitMQ's delivery limit drops it.
                pause = pause_after(self._failures + self._losses // QUICK_LOSSES)
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
                began = self._clock.monotonic()
                for queue in self._queues:
                    session.keep(self._keep_open(session, queue))
                self._session = session
                await self._watch(session)
        except BrokerUnavailable as failure:
            self._failures += 1
            return str(failure)
        self._failures = 0
        self._losses = self._losses + 1 if self._clock.monotonic() - began < STEADY_SECONDS else 0
        self._vain = 0 if session.seen else self._vain + session.silent
        return session.reason

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Session]:
        session = _Session(await connect(self._url, "consumer"), self._queues)
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

    async def _keep_open(self, session: _Session, queue: str) -> None:
        failures = 0
        while not (session.lost.is_set() or self._stopped.is_set()):
            try:
                failures, reason = 0, await self._consume_queue(session, queue)
            except BrokerUnavailable as failure:
                failures, reason = failures + 1, str(failure)
            session.consumed[queue] = False
            if not await self._clock.wait(session.lost, pause_after(failures)):
                log.warning("broker.queue_lost", queue=queue, reason=reason)
        await session.lost.wait()

    async def _consume_queue(self, session: _Session, queue: str) -> str:
        """Consumes it until the broker ends that; answers why it did."""
        while True:
            tap = session.taps[queue] = Tap(queue, self._subscription)
            await tap.open(session.connection)
            if not session.consumed.get(queue):
                log.info("broker.consuming", queue=queue)
            session.consumed[queue] = True
            retired = False
            while not retired:
                if await self._clock.wait(tap.ended, IDLE_SECONDS):
                    return "the broker ended it"
                retired = await tap.retire()
