"""Progress of one run: the latest word is written, at most a few times a second."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from horae.domain.ids import WorkerId
from horae.domain.job import Reference
from horae.signals.base import Event
from horae.worker.ports import Ports

log = structlog.get_logger(__name__)

PAUSE = 0.2
"""seconds between two writes for one run"""


class Progress:
    """The reporter of one run."""

    def __init__(self, ports: Ports, worker_id: WorkerId, reference: Reference, namespace: str) -> None:
        self._store = ports.store
        self._signals = ports.signals
        self._clock = ports.clock
        self._closing = asyncio.Event()
        self._worker_id = worker_id
        self._reference = reference
        self._namespace = namespace
        self._latest: dict[str, Any] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def progress(self, value: float, message: str) -> None:
        """Keeps the word for the next write; returns at once. After the run's end nobody hears it."""
        if self._closing.is_set():
            return
        self._latest = {"value": value, "message": message}
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._latest is not None:
            await self._write_latest(self._latest)
            await self._clock.wait(self._closing, PAUSE)

    async def _write_latest(self, latest: dict[str, Any]) -> None:
        self._latest = None
        try:
            written = await self._store.progress(self._worker_id, self._reference, latest)
        except Exception as error:  # noqa: BLE001 - a word that is lost must not keep the run's end from being written
            log.debug("worker.progress_lost", job_id=self._reference.id, error=repr(error))
            return
        if written:
            self._signals.emit(Event("job", self._namespace, {"id": self._reference.id, "progress": latest}))

    async def close(self) -> None:
        """The run has ended: its last word is written, and nothing after it."""
        self._closing.set()
        if self._writing is not None:
            await self._writing
