"""What roles ask of a broker, and what every broker promises.

* A delivery carries 1..n references and goes to one consumer of its queue.
* An unacked delivery is delivered again when its consumer is gone.
* A consumer's callback only takes the delivery over; it must not wait for handlers, and must not raise.
* Delayed references arrive as one delivery each, not before their delay, on whatever queue they name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from horae.domain.job import Reference


class Delivery(Protocol):
    """One message. `ack` ends it and may be called after the connection is gone."""

    @property
    def queue(self) -> str:
        """The queue that it came through."""
        ...

    @property
    def references(self) -> Sequence[Reference]:
        """The jobs, at least one."""
        ...

    async def ack(self) -> None:
        """The database owns its jobs now. Best effort: a lost ack means a second, stale delivery."""
        ...


Receive = Callable[[Delivery], None]


class Publisher(Protocol):
    """Sends references."""

    async def publish(self, queue: str, references: Sequence[Reference]) -> None:
        """One delivery of 1 to 1,000 references to different jobs, confirmed by the broker within seconds.

        Raises:
            ValueError: no reference or too many.
            PublishReturned: the broker refused it or found no queue: certainly not delivered.
            PublishUnknown: no confirm in time, or the connection broke: it may arrive.
            BrokerUnavailable: not sent at all.
        """
        ...

    async def publish_later(self, queue: str, reference: Reference, delay: float) -> None:
        """One reference, to arrive after at least `delay` seconds (rounded up to whole seconds).

        Raises:
            ValueError: the delay is longer than `longest_delay`, or not a number.
            PublishReturned, PublishUnknown, BrokerUnavailable: as `publish`.
        """
        ...

    @property
    def longest_delay(self) -> float:
        """Seconds; a longer backoff waits in its row."""
        ...


class Consumer(Protocol):
    """Receives deliveries of some queues until it is stopped; reconnects by itself."""

    async def run(self) -> None:
        """Consumes until cancelled, across lost connections; what is unacked then is delivered to others.

        May return after `stop`, when there is no connection left over which anything could be acked.

        Raises:
            BrokerUnavailable: the connection was rebuilt several times in vain; the process should drain and exit.
        """
        ...

    async def add(self, queue: str) -> None:
        """Consumes one more queue from now on; nothing happens if it does already."""
        ...

    async def stop(self) -> None:
        """No delivery comes after this has returned. Earlier ones can still be acked while `run` goes on."""
        ...

    @property
    def connected(self) -> bool:
        """Whether deliveries can arrive right now."""
        ...


class Broker(Protocol):
    """A connection to the broker as a role uses it."""

    @property
    def publisher(self) -> Publisher:
        """For sending."""
        ...

    def consumer(self, queues: Sequence[str], receive: Receive, prefetch: int) -> Consumer:
        """A consumer of these queues that holds at most `prefetch` unacked deliveries of each."""
        ...

    async def check(self) -> None:
        """Connects and declares; raises BrokerUnavailable with the reason."""
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...
