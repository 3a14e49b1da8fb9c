"""Writes starts and ends in batches: what gathers while one batch commits goes into the next.

An unavailable database is waited for; a lost answer is written again, which the guards make harmless. One record that
the database can't take doesn't keep its neighbours from being written.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TypeVar

import structlog

from horae.domain.errors import Unavailable
from horae.domain.ids import WorkerId
from horae.domain.job import Reference
from horae.runtime.batcher import Batcher
from horae.store.base import Finish, Finished, Run, Starts, WorkerStore

log = structlog.get_logger(__name__)

BATCH = 500
R = TypeVar("R")
T = TypeVar("T")


class NotStarted(Enum):
    """Why a reference wasn't started."""

    STALE = "it belongs to somebody else now"
    REFUSED = "its queue is paused or it has expired"
    BROKEN = "the database fails on it; T12 finds it"
    FOREIGN = "this worker doesn't have its handler"
    DEAD = "this worker's own row is dead"


@dataclass(frozen=True, slots=True)
class _Start:
    worker_id: WorkerId
    reference: Reference


@dataclass(frozen=True, slots=True)
class _End:
    worker_id: WorkerId
    finish: Finish


class Recorder:
    """Starts and ends of this worker's runs."""

    def __init__(self, store: WorkerStore, handlers: Collection[str], lease: float) -> None:
        self._store = store
        self._handlers = handlers
        self._lease = lease
        self._starts: Batcher[_Start, Run | NotStarted] = Batcher(self._write_starts, BATCH)
        self._ends: Batcher[_End, Finished | Exception] = Batcher(self._write_ends, BATCH)

    async def start(self, worker_id: WorkerId, references: Sequence[Reference]) -> list[Run | NotStarted]:
        """T5 for each of them, in their order."""
        return await self._starts.put_many([_Start(worker_id, reference) for reference in references])

    async def finish(self, worker_id: WorkerId, finish: Finish) -> Finished:
        """T7 to T11 or T14.

        Raises:
            Exception: the database can't take this one (no matter how often it is tried).
        """
        written = await self._ends.put(_End(worker_id, finish))
        if isinstance(written, Exception):
            raise written
        return written

    async def _write_starts(self, starts: list[_Start]) -> list[Run | NotStarted]:
        answers: dict[_Start, Run | NotStarted] = {}
        for worker_id, group in _by_worker(starts, lambda start: start.worker_id).items():
            written = await _apart(partial(self._start_group, worker_id), [start.reference for start in group])
            told = [NotStarted.BROKEN if isinstance(answer, Exception) else answer for answer in written]
            answers |= dict(zip(group, told, strict=True))
        return [answers[start] for start in starts]

    async def _start_group(self, worker_id: WorkerId, references: Sequence[Reference]) -> list[Run | NotStarted]:
        found = _answers(await self._store.start(worker_id, references, self._handlers, self._lease))
        return [found.get(reference, NotStarted.STALE) for reference in references]

    async def _write_ends(self, ends: list[_End]) -> list[Finished | Exception]:
        answers: dict[int, Finished | Exception] = {}
        for worker_id, group in _by_worker(ends, lambda end: end.worker_id).items():
            written = await _apart(partial(self._store.finish, worker_id), [end.finish for end in group])
            answers |= {id(end): answer for end, answer in zip(group, written, strict=True)}
        return [answers[id(end)] for end in ends]


def _by_worker(items: Sequence[T], key: Callable[[T], WorkerId]) -> dict[WorkerId, list[T]]:
    """Nearly always one group: a worker changes its id only when it had to fence itself."""
    groups: dict[WorkerId, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _answers(starts: Starts) -> dict[Reference, Run | NotStarted]:
    refused = NotStarted.REFUSED if starts.alive else NotStarted.DEAD
    answers: dict[Reference, Run | NotStarted] = dict.fromkeys(starts.refused, refused)
    answers |= dict.fromkeys(starts.foreign, NotStarted.FOREIGN)
    answers |= {run.reference: run for run in starts.started}
    return answers


async def _apart(write: Callable[[Sequence[T]], Awaitable[list[R]]], items: Sequence[T]) -> list[R | Exception]:
    """Writes them together or, where that fails, each for itself; an error stands in the place of one that can't be."""
    try:
        return list(await insist(lambda: write(items)))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one record, its neighbours are written
        if len(items) == 1:
            return [error]
        log.warning("worker.batch_split", jobs=len(items), error=type(error).__name__)
    return [answer for item in items for answer in await _apart(write, [item])]


async def insist(write: Callable[[], Awaitable[R]]) -> R:
    """Writes until the database answers; safe because a repeated write is refused or adopted by its guard."""
    pause = 0.05
    while True:
        try:
            return await write()
        except Unavailable as error:
            log.warning("worker.store_unavailable", error=str(error), again_in=round(pause, 2))
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, 2.0)
