"""Deletes what is older than its retention, in small batches."""

from __future__ import annotations

import asyncio

import structlog

from horae.store.base import RescueStore, Retention

log = structlog.get_logger(__name__)

EVERY = 60.0
BATCH = 500


class Prune:
    """The duty that prunes."""

    name = "prune"

    def __init__(self, store: RescueStore, retention: Retention) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._retention = retention

    async def run_once(self) -> float:
        """One batch; another at once while there is more."""
        gone = await self._store.prune(self._retention, BATCH)
        if gone:
            log.info("prune", jobs=gone)
        return 0.05 if gone >= BATCH else EVERY
