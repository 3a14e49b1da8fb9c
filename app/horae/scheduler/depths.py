"""Tells the metrics how deep the queues are."""

from __future__ import annotations

import asyncio

from horae.runtime.metrics import Metrics
from horae.store.base import DispatchStore

EVERY = 15.0


class Depths:
    """The duty that counts what waits, for `horae_queue_depth`."""

    name = "depths"

    def __init__(self, store: DispatchStore, metrics: Metrics) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._metrics = metrics

    async def run_once(self) -> float:
        """One statement over the claim's index."""
        self._metrics.queue_depths(await self._store.depths())
        return EVERY
