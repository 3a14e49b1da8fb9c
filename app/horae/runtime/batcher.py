"""Group commit: while one batch is being written the next one gathers. No timer: the first item of all starts at once.

put ──► waiting ──► written in batches of at most `limit`, oldest first ──► each `put` gets its own result
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Entry(NamedTuple, Generic[T, R]):
    item: T
    result: asyncio.Future[R]


class Batcher(Generic[T, R]):
    """Writes items together.

    `write` gets 1 to `limit` items and answers one result for each, in their order. At most `parallel` of them are
    under way at once; only with one do batches end in the order in which they began.
    """

    def __init__(self, write: Callable[[list[T]], Awaitable[Sequence[R]]], limit: int, *, parallel: int = 1) -> None:
        self._write = write
        self._limit = limit
        self._parallel = parallel
        self._waiting: deque[_Entry[T, R]] = deque()
        self._writers: set[asyncio.Task[None]] = set()
        self._active = 0
        self._closed = False

    async def put(self, item: T) -> R:
        """Writes the item with others and waits for its result. Cancelled, it is written all the same.

        Raises:
            RuntimeError: the batcher is closed.
            Exception: whatever the write of its batch raised.
        """
        return await self._add(item)

    async def put_many(self, items: Sequence[T]) -> list[R]:
        """As `put`, for items that may end up in one batch or in several; the first error is raised."""
        return await asyncio.gather(*[self._add(item) for item in items])

    async def close(self) -> None:
        """Takes nothing more, and waits until everything that was put is written."""
        self._closed = True
        while self._writers:
            await asyncio.wait(self._writers)

    def _add(self, item: T) -> asyncio.Future[R]:
        if self._closed:
            raise RuntimeError("the batcher is closed")
        entry: _Entry[T, R] = _Entry(item, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._active < self._parallel:
            self._start_writer()
        return entry.result

    def _start_writer(self) -> None:
        self._active += 1
        writer = asyncio.create_task(self._write_all())
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)

    async def _write_all(self) -> None:
        try:
            # Whoever is ready to run in this round of the loop still gets on board.
            await asyncio.sleep(0)
            while self._waiting:
                await self._write_batch([self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))])
        except BaseException as error:
            self._fail(self._waiting, error)
            self._waiting.clear()
            raise
        finally:
            # At once, not in a callback: an item put after the last look must find no writer, and start one.
            self._active -= 1

    async def _write_batch(self, batch: list[_Entry[T, R]]) -> None:
        try:
            results = await self._results_of(batch)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the batch
            self._fail(batch, error)
        except BaseException as error:
            self._fail(batch, error)
            raise
        else:
            for entry, result in zip(batch, results, strict=True):
                if not entry.result.done():
                    entry.result.set_result(result)

    async def _results_of(self, batch: list[_Entry[T, R]]) -> Sequence[R]:
        results = await self._write([entry.item for entry in batch])
        if len(results) != len(batch):
            raise RuntimeError(f"a write of {len(batch)} items answered {len(results)} results")
        return results

    @staticmethod
    def _fail(entries: Iterable[_Entry[T, R]], error: BaseException) -> None:
        # A cancellation of ours must not look like one of theirs.
        told = error if isinstance(error, Exception) else RuntimeError("the write was cancelled")
        for entry in entries:
            if not entry.result.done():
                entry.result.set_exception(told)
