"""Deletes what is older than its retention, in small batches."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from horae.store.base import RescueStore, Retention
from horae.store.base_schedules import FiringStore

log = structlog.get_logger(__name__)

EVERY = 60.0
BATCH = 500
AGAIN = 0.05
"""seconds until the next batch when there is more"""


class Prune:
    """The duty that prunes jobs."""

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
        return AGAIN if gone >= BATCH else EVERY


class PruneLedger:
    """The duty that prunes the ledger and the history of schedules; `retention` None keeps them for ever."""

    name = "prune_ledger"

    def __init__(self, store: FiringStore, retention: timedelta | None) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._retention = retention

    async def run_once(self) -> float:
        """One batch; another at once while there is more."""
        gone = await self._store.prune_ledger(self._retention, BATCH)
        if gone:
            log.info("prune.ledger", rows=gone)
        return AGAIN if gone >= BATCH else EVERY
