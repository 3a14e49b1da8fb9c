"""Signals between processes by Redis pub/sub: one channel for each topic, one for the events of each namespace.

Everything local happens at once and without Redis; what is for other processes waits in a small buffer that the task
of `run` sends. That task belongs to one session: a new client each time, that ends with the first thing that goes
wrong. A session proves itself: it publishes to a channel of its own, and is over when it hears nothing for a while.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from redis.asyncio import Connection, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from horae.domain.errors import SettingsError
from horae.runtime.clock import Clock
from horae.runtime.duty import pause_after
from horae.signals.base import Event, Topic
from horae.signals.buffers import Channels, Codec, Outbox
from horae.signals.inprocess import WATCHER_LIMIT, InProcessSignals

log = structlog.get_logger(__name__)

PREFIX = "horae.v1"

MERGE_SECONDS = 0.001
"""after a message to Redis, what comes within this time goes out together"""

ANSWER_SECONDS = 2.0
"""to connect, and for the answer to a message"""

PROBE_SECONDS = 10.0
"""between two proofs that the subscription lives; half as much again without one ends the session"""

CLOSE_SECONDS = 1.0
"""to send what is left at the end"""

BUFFER_LIMIT = 5000
"""events that wait to be sent; beyond it the oldest are lost"""


class RedisSignals:
    """Hints and events for every process that uses the same Redis, database number and prefix."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        prefix: str = PREFIX,
        probe_seconds: float = PROBE_SECONDS,
        watcher_limit: int = WATCHER_LIMIT,
        buffer_limit: int = BUFFER_LIMIT,
    ) -> None:
        """Connects to nothing yet.

        Raises:
            SettingsError: the URL can't be read.
        """
        self._url = url
        self._clock = clock
        self._probe_seconds = probe_seconds
        self._local = InProcessSignals(watcher_limit=watcher_limit)
        self._reliable = False
        self._trouble = ""
        self._sender = secrets.token_hex(8).encode()
        # Channels don't belong to a database of the server: without its number in the name, two installations that
        # share a server would see each other's events.
        base = f"{prefix}.{_database(url)}"
        self._events = f"{base}.events."
        self._hints = {topic: f"{base}.hint.{topic.value}" for topic in Topic}
        self._topics = {channel: topic for topic, channel in self._hints.items()}
        self._probe = f"{base}.probe.{self._sender.decode()}"
        self._codec = Codec(self._sender)
        self._changed = asyncio.Event()
        self._outbox = Outbox(buffer_limit, self._changed)
        self._channels = Channels(self._changed)
        self._channels.keep(self._probe)

    # ------------------------------------------------------------------------------------------------ what roles use

    def hint(self, topic: Topic) -> None:
        """Wakes the listeners of this process before it returns, those of others soon."""
        self._local.hint(topic)
        self._outbox.hint(self._hints[topic])

    def listen(self, topic: Topic, wake: Callable[[], None]) -> None:
        """From now on `wake` is called at each hint, and whenever `reliable` changes, for hints may have been lost."""
        self._local.listen(topic, wake)
        self._channels.keep(self._hints[topic])

    def emit(self, event: Event) -> None:
        """Tells the watchers of this process before it returns, those of others soon. The data must be JSON."""
        self._local.emit(event)
        self._outbox.emit(event)

    @asynccontextmanager
    async def watch(self, namespace: str) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a namespace from now on; while Redis is down only those of this process."""
        channel = self._events + namespace
        async with self._local.watch(namespace) as events:
            with self._channels.want(channel):
                await self._subscribed(channel)
                yield events

    async def _subscribed(self, channel: str) -> None:
        if self._reliable:
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._channels.confirmed(channel)

    @property
    def reliable(self) -> bool:
        """Whether hints arrive right now, as far as is known."""
        return self._reliable

    async def run(self) -> None:
        """Keeps a session until cancelled; after an error the next one begins, ever more slowly."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await self._session()
            except* (RedisError, OSError) as errors:
                self._tell(str(errors.exceptions[0]))
            except* Exception:
                log.exception("signals.failed")
            finally:
                self._turn(reliable=False)
            _end_if_cancelled()
            lasted = self._clock.monotonic() - began
            failures = 1 if lasted > self._probe_seconds else failures + 1
            await asyncio.sleep(pause_after(failures))

    async def close(self) -> None:
        """Ends every watch and, in a moment's time at most, sends what is left. Call it when `run` has ended."""
        await self._local.close()
        with suppress(RedisError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS), _client(self._url) as redis:
                while self._outbox:
                    await self._flush(redis)

    # ---------------------------------------------------------------------------------------------------- a session

    async def _session(self) -> None:
        """Lasts until something fails."""
        self._channels.reset()
        async with _client(self._url) as redis, redis.pubsub() as pubsub:
            async with asyncio.timeout(ANSWER_SECONDS):
                await pubsub.connect()
            await asyncio.create_task(self._talk(redis, pubsub))

    async def _talk(self, redis: Redis, pubsub: PubSub) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._receive(pubsub))
            tasks.create_task(self._send(redis, pubsub))
            tasks.create_task(self._prove())

    async def _send(self, redis: Redis, pubsub: PubSub) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._subscribe(pubsub)
                await self._flush(redis)
            if self._outbox:
                self._changed.set()
            # The first of many went out at once; what comes now goes out together.
            await asyncio.sleep(MERGE_SECONDS)

    async def _subscribe(self, pubsub: PubSub) -> None:
        new, gone = self._channels.changes()
        if new:
            await pubsub.subscribe(*new)
        if gone:
            await pubsub.unsubscribe(*gone)

    async def _flush(self, redis: Redis) -> None:
        """Sends one batch, if there is anything to send."""
        hints, events = self._outbox.take()
        pipeline = redis.pipeline(transaction=False)
        for channel in hints:
            pipeline.publish(channel, self._sender)
        for namespace, message in self._codec.messages(events):
            pipeline.publish(self._events + namespace, message)
        try:
            await pipeline.execute()
        except BaseException:
            self._outbox.put_back(hints)
            raise

    async def _prove(self) -> None:
        while True:
            self._outbox.hint(self._probe)
            await asyncio.sleep(self._probe_seconds)

    async def _receive(self, pubsub: PubSub) -> None:
        patience = 1.5 * self._probe_seconds
        while True:
            message = await pubsub.get_message(timeout=patience)
            if message is None:
                raise ConnectionLost(f"Nothing heard from Redis for {patience:g} s")
            self._take_in(message["type"], message["channel"].decode(), message["data"])

    def _take_in(self, kind: str, channel: str, data: bytes) -> None:
        if kind == "subscribe":
            self._channels.confirm(channel)
            if self._channels.complete:
                self._turn(reliable=True)
        elif kind == "message" and (topic := self._topics.get(channel)):
            if data != self._sender:
                self._local.hint(topic)
        elif kind == "message" and channel.startswith(self._events):
            for event in self._codec.events(channel.removeprefix(self._events), data):
                self._local.emit(event)

    def _turn(self, *, reliable: bool) -> None:
        """At each change hints may have been lost, or may be lost from now on: whoever listens looks by itself."""
        if reliable == self._reliable:
            return
        self._reliable = reliable
        if reliable:
            self._trouble = ""
            log.info("signals.connected")
        for topic in Topic:
            self._local.hint(topic)

    def _tell(self, trouble: str) -> None:
        """Logs the trouble unless it is the same as at the last try."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("signals.lost", error=trouble)


def _end_if_cancelled() -> None:
    # Cancelled while one of its tasks fails, a TaskGroup below Python 3.13 forgets the cancellation and leaves its task
    # with a wrong count; from 3.13 on it cancels the clean-up behind it too. Hence `_talk` is a task of its own.
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


def _client(url: str) -> Redis:
    # The library keeps no timeout: below Python 3.12 its `wait_for` swallows a cancellation now and then. Nor does it
    # try anything again: `run` alone decides when to connect.
    return Redis.from_url(
        url,
        protocol=2,
        client_name="horae",
        socket_timeout=None,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _database(url: str) -> int:
    try:
        connection: Connection = _client(url).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        # The library's own message may hold a part of the password.
        raise SettingsError("HORAE_REDIS_URL must look like redis://[user:password@]host[:port][/number]") from None
    return int(connection.db)
