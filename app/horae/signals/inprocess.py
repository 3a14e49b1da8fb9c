"""Signals within one process: all that the embedded default needs, and the local half of the Redis ones."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from horae.signals.base import Event, Topic

log = structlog.get_logger(__name__)

WATCHER_LIMIT = 1000
"""events that wait for one watcher; beyond it the oldest are lost"""


class Watcher(AsyncIterator[Event]):
    """The events that wait for one watcher."""

    def __init__(self, limit: int) -> None:
        self._events: deque[Event] = deque(maxlen=limit)
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, event: Event) -> None:
        """Adds an event; if the queue is full its oldest is lost."""
        self._events.append(event)
        self._changed.set()

    def end(self) -> None:
        """No more events will come: the iteration ends once those at hand are read."""
        self._ended = True
        self._changed.set()

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()


class InProcessSignals:
    """Hints and events for this process alone. They always arrive."""

    def __init__(self, *, watcher_limit: int = WATCHER_LIMIT) -> None:
        self._limit = watcher_limit
        self._listeners: dict[Topic, list[Callable[[], None]]] = {topic: [] for topic in Topic}
        self._watchers: dict[str, list[Watcher]] = {}
        self._closed = False

    def hint(self, topic: Topic) -> None:
        """Wakes the listeners before it returns."""
        for wake in self._listeners[topic]:
            try:
                wake()
            except Exception:
                log.exception("signals.listener_failed", topic=topic.value)

    def listen(self, topic: Topic, wake: Callable[[], None]) -> None:
        """From now on `wake` is called at each hint, in the event loop."""
        self._listeners[topic].append(wake)

    def emit(self, event: Event) -> None:
        """Hands the event to every watcher of its namespace."""
        for watcher in self._watchers.get(event.namespace, ()):
            watcher.put(event)

    @asynccontextmanager
    async def watch(self, namespace: str) -> AsyncIterator[AsyncIterator[Event]]:
        """The events of a namespace from now on; slow watchers lose the oldest. Ends when the signals are closed."""
        with self._watcher(namespace) as watcher:
            yield watcher

    @contextmanager
    def _watcher(self, namespace: str) -> Iterator[Watcher]:
        watcher = Watcher(self._limit)
        if self._closed:
            watcher.end()
        self._watchers.setdefault(namespace, []).append(watcher)
        try:
            yield watcher
        finally:
            self._forget(namespace, watcher)

    def _forget(self, namespace: str, watcher: Watcher) -> None:
        left = [other for other in self._watchers[namespace] if other is not watcher]
        if left:
            self._watchers[namespace] = left
        else:
            del self._watchers[namespace]

    @property
    def reliable(self) -> bool:
        """Always: there is nothing between sender and listener."""
        return True

    async def run(self) -> None:
        """There is no connection to keep: waits until cancelled."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()
