"""What stands between the roles and a Redis session: the channels wanted, what waits to be sent, and events as JSON.

No I/O here. Channels and outbox set the event `changed` whenever there is something for the session to do.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import orjson
import structlog

from horae.signals.base import Event

log = structlog.get_logger(__name__)

MESSAGE_LIMIT = 200
"""events in one message"""


class Channels:
    """The channels that are wanted, and those that the server has confirmed."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._wanted: Counter[str] = Counter()
        self._asked: set[str] = set()
        self._confirmed: set[str] = set()
        self._news = asyncio.Event()

    @contextmanager
    def want(self, channel: str) -> Iterator[None]:
        """The channel is wanted meanwhile, by whoever else too."""
        self.keep(channel)
        try:
            yield
        finally:
            self._wanted[channel] -= 1
            if not self._wanted[channel]:
                del self._wanted[channel]
            self._changed.set()

    def keep(self, channel: str) -> None:
        """The channel is wanted for ever."""
        self._wanted[channel] += 1
        self._changed.set()

    def reset(self) -> None:
        """A new connection is subscribed to nothing."""
        self._asked = set()
        self._confirmed = set()
        self._changed.set()

    def changes(self) -> tuple[set[str], set[str]]:
        """What to subscribe to and what to unsubscribe from; it counts as asked from now on."""
        wanted = set(self._wanted)
        new, gone = wanted - self._asked, self._asked - wanted
        self._asked = wanted
        self._confirmed -= gone
        return new, gone

    def confirm(self, channel: str) -> None:
        """The server has subscribed us."""
        self._confirmed.add(channel)
        self._news.set()

    @property
    def complete(self) -> bool:
        """Whether everything that is wanted is confirmed."""
        return self._wanted.keys() <= self._confirmed

    async def confirmed(self, channel: str) -> None:
        """Waits until the server has subscribed us to the channel."""
        while channel not in self._confirmed:
            self._news.clear()
            await self._news.wait()


class Outbox:
    """What other processes shall hear. Hints are a set, events a queue that loses its oldest: it can't grow."""

    def __init__(self, limit: int, changed: asyncio.Event) -> None:
        self._changed = changed
        self._hints: set[str] = set()
        self._events: deque[Event] = deque(maxlen=limit)

    def __bool__(self) -> bool:
        return bool(self._hints or self._events)

    def hint(self, channel: str) -> None:
        """Adds a channel to be hinted."""
        self._hints.add(channel)
        self._changed.set()

    def emit(self, event: Event) -> None:
        """Adds an event; if the queue is full its oldest is lost."""
        self._events.append(event)
        self._changed.set()

    def put_back(self, hints: Iterable[str]) -> None:
        """These hints may not have arrived; a second time does no harm."""
        self._hints.update(hints)

    def take(self) -> tuple[set[str], list[Event]]:
        """All hints, and as many events as one message may hold."""
        hints, self._hints = self._hints, set()
        return hints, [self._events.popleft() for _ in range(min(len(self._events), MESSAGE_LIMIT))]


class Codec:
    """Events as messages. Each names its sender, whose echo is dropped, and the namespace, so that a stray is known."""

    def __init__(self, sender: bytes) -> None:
        self._head = b'["%b",' % sender

    def messages(self, events: Iterable[Event]) -> Iterator[tuple[str, bytes]]:
        """Namespaces with the message for each. An event that isn't JSON is logged and left out."""
        by_namespace: dict[str, list[bytes]] = {}
        for event in events:
            if packed := _pack(event):
                by_namespace.setdefault(event.namespace, []).append(packed)
        for namespace, batch in by_namespace.items():
            yield namespace, b"%b%b,[%b]]" % (self._head, orjson.dumps(namespace), b",".join(batch))

    def events(self, namespace: str, message: bytes) -> list[Event]:
        """The events of another process for this namespace; nothing from a message that isn't such."""
        if message.startswith(self._head):
            return []
        try:
            _, stated, batch = orjson.loads(message)
            return [Event(str(kind), stated, dict(data)) for kind, data in batch if stated == namespace]
        except (ValueError, TypeError):
            log.warning("signals.unreadable_event", size=len(message))
            return []


def _pack(event: Event) -> bytes:
    try:
        return orjson.dumps([event.kind, dict(event.data)])
    except (ValueError, TypeError):
        log.exception("signals.unsendable_event", kind=event.kind)
        return b""
