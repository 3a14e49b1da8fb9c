"""A broker inside one process, on its event loop: deliveries go from hand to hand, and end with the process."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from horae.broker import delays
from horae.broker.base import Receive
from horae.broker.message import MAX_REFERENCES
from horae.domain.errors import BrokerUnavailable
from horae.domain.job import Reference
from horae.runtime.clock import Clock


class _Message(NamedTuple):
    """What waits in a queue; `serial` is its place, which it keeps when it comes back."""

    serial: int
    queue: str
    references: tuple[Reference, ...]


class InProcessDelivery:
    """A message in the hands of a consumer."""

    __slots__ = ("_consumer", "_message")

    def __init__(self, message: _Message, consumer: InProcessConsumer) -> None:
        self._message = message
        self._consumer = consumer

    @property
    def queue(self) -> str:
        """The queue that it came through."""
        return self._message.queue

    @property
    def references(self) -> Sequence[Reference]:
        """The jobs, at least one."""
        return self._message.references

    async def ack(self) -> None:
        """Ends it, unless its consumer is gone: then somebody else gets it, or has it already."""
        self._consumer.settle(self._message)


class _Queue:
    """Messages in their order, and the consumers that take turns."""

    def __init__(self) -> None:
        self._waiting: list[_Message] = []
        self._consumers: deque[InProcessConsumer] = deque()
        self._handing_over: asyncio.Handle | None = None

    def put(self, message: _Message) -> None:
        heapq.heappush(self._waiting, message)
        self.pump()

    def join(self, consumer: InProcessConsumer) -> None:
        self._consumers.append(consumer)
        self.pump()

    def leave(self, consumer: InProcessConsumer) -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    def pump(self) -> None:
        """Hands over what can be taken, as soon as whoever called us has come to wait for something."""
        if self._handing_over is None:
            self._handing_over = asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = None
        while self._waiting and (consumer := self._next_free(self._waiting[0].queue)):
            consumer.take(heapq.heappop(self._waiting))

    def _next_free(self, name: str) -> InProcessConsumer | None:
        for _ in self._consumers:
            self._consumers.rotate(-1)
            if self._consumers[-1].has_room(name):
                return self._consumers[-1]
        return None


class InProcessConsumer:
    """Receives deliveries of some queues until it is stopped."""

    def __init__(self, queues: defaultdict[str, _Queue], names: Sequence[str], receive: Receive, prefetch: int) -> None:
        self._all = queues
        self._queues = {name: queues[name] for name in names}
        self._receive = receive
        self._prefetch = prefetch
        self._unacked: dict[str, dict[int, _Message]] = {name: {} for name in names}
        self._consuming = False
        self._stopped = False

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive right now."""
        return self._consuming

    async def run(self) -> None:
        """Consumes until cancelled; then what is unacked goes to others."""
        try:
            if not self._stopped:
                self._consuming = True
                for queue in self._queues.values():
                    queue.join(self)
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()
            for name, messages in self._unacked.items():
                while messages:
                    self._queues[name].put(messages.popitem()[1])

    async def add(self, queue: str) -> None:
        """Consumes one more queue."""
        if queue in self._queues:
            return
        self._queues[queue] = self._all[queue]
        self._unacked[queue] = {}
        if self._consuming:
            self._queues[queue].join(self)

    async def stop(self) -> None:
        """Ends consuming; earlier deliveries can be acked until `run` is cancelled."""
        self._stopped, self._consuming = True, False
        for queue in self._queues.values():
            queue.leave(self)

    def has_room(self, queue: str) -> bool:
        """Whether it may be given one more of this queue."""
        return len(self._unacked[queue]) < self._prefetch

    def take(self, message: _Message) -> None:
        """Hands it over; it stays ours until it is settled."""
        self._unacked[message.queue][message.serial] = message
        self._receive(InProcessDelivery(message, self))

    def settle(self, message: _Message) -> None:
        """Ends it, if it is still ours."""
        if self._unacked[message.queue].pop(message.serial, None):
            self._queues[message.queue].pump()


class InProcessPublisher:
    """Puts references into queues, at once or when the injected clock has come to their time."""

    def __init__(self, clock: Clock, queues: defaultdict[str, _Queue]) -> None:
        self._clock = clock
        self._queues = queues
        self._serials = count()
        self._later: list[tuple[float, _Message]] = []
        self._earlier = asyncio.Event()
        self._waiter: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def longest_delay(self) -> float:
        """Seconds, as with RabbitMQ."""
        return delays.LONGEST_DELAY

    async def publish(self, queue: str, references: Sequence[Reference]) -> None:
        """One delivery. It is kept until somebody consumes the queue."""
        self._put(self._message(queue, references))

    async def publish_later(self, queue: str, reference: Reference, delay: float) -> None:
        """One reference after `delay` seconds, rounded up as with RabbitMQ."""
        seconds = delays.whole_seconds(delay)
        message = self._message(queue, [reference])
        if seconds == 0:
            self._put(message)
        else:
            heapq.heappush(self._later, (self._clock.monotonic() + seconds, message))
            self._earlier.set()
            self._waiter = self._waiter or asyncio.create_task(self._put_when_due(), name="delayed deliveries")

    async def close(self) -> None:
        """What still waits is lost."""
        self._closed = True
        if self._waiter is not None:
            self._waiter.cancel()
            await asyncio.gather(self._waiter, return_exceptions=True)

    def _message(self, queue: str, references: Sequence[Reference]) -> _Message:
        if self._closed:
            raise BrokerUnavailable("the broker is closed")
        if not 1 <= len(references) <= MAX_REFERENCES:
            raise ValueError(f"a delivery carries 1 to {MAX_REFERENCES} references, not {len(references)}")
        return _Message(next(self._serials), queue, tuple(references))

    def _put(self, message: _Message) -> None:
        self._queues[message.queue].put(message)

    async def _put_when_due(self) -> None:
        while self._later:
            due, message = self._later[0]
            pause = due - self._clock.monotonic()
            if pause > 0:
                self._earlier.clear()
                await self._clock.wait(self._earlier, pause)
            else:
                heapq.heappop(self._later)
                self._put(message)
        self._waiter = None


class InProcessBroker:
    """Queues, publisher and consumers of one process."""

    def __init__(self, clock: Clock) -> None:
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        self._publisher = InProcessPublisher(clock, self._queues)

    @property
    def publisher(self) -> InProcessPublisher:
        """For sending."""
        return self._publisher

    def consumer(self, queues: Sequence[str], receive: Receive, prefetch: int) -> InProcessConsumer:
        """A consumer of these queues that holds at most `prefetch` unacked deliveries of each."""
        return InProcessConsumer(self._queues, queues, receive, prefetch)

    async def check(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """Ends the delays."""
        await self._publisher.close()
