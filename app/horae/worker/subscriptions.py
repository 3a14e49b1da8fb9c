"""A worker of every queue: it consumes each from when the first job of it is due."""

from __future__ import annotations

import asyncio

from horae.broker.base import Consumer
from horae.signals.base import Topic
from horae.worker.ports import Ports

LOOK = 1.0


class Subscriptions:
    """The duty that looks for new queues."""

    name = "subscriptions"

    def __init__(self, ports: Ports, consumer: Consumer) -> None:
        self.wake = asyncio.Event()
        self._store = ports.store
        self._consumer = consumer
        self._known: set[str] = set()
        ports.signals.listen(Topic.DUE, self.wake.set)

    async def run_once(self) -> float:
        """One statement; a queue is never given up again."""
        for queue in await self._store.waiting_queues():
            if queue not in self._known:
                await self._consumer.add(queue)
                self._known.add(queue)
        return LOOK
