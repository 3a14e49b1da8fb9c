"""The blocking face of the client: the same code, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from horae.client.client import Client
from horae.client.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncClient, P], T]:
    """The method of `Client` with the same arguments, which answers instead of being awaited."""

    @wraps(method)
    def call(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._client, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[Client, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[SyncClient, P], Iterator[T]]:
    """The method of `Client` with the same arguments, for a plain `for`."""

    @wraps(method)
    def each(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        source = method(self._client, *args, **kwargs)
        while (found := self._run(_next(source))) is not None:
            yield found[0]

    return each


async def _next(source: AsyncGenerator[T, None]) -> tuple[T] | None:
    async for value in source:
        return (value,)
    return None


class SyncClient:
    """`Client` for code that isn't asynchronous: the same methods, arguments, answers and errors.

    Use it in a `with`, or `close()` it at the end. Threads may share one. A callback given to a method is called in
    the client's own thread.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout: float = 30.0, retries: Retries | None = None
    ) -> None:
        self._client = Client(url, token, timeout=timeout, retries=retries)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="horae-client", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the api is, without a password."""
        return self._client.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every connection and the thread; the client can't be used any more."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    submit = _blocking(Client.submit)
    submit_many = _blocking(Client.submit_many)
    get = _blocking(Client.get)
    wait = _blocking(Client.wait)
    watch = _iterating(Client.watch)
    attempts = _blocking(Client.attempts)
    edit = _blocking(Client.edit)
    cancel = _blocking(Client.cancel)
    retry = _blocking(Client.retry)
    list = _blocking(Client.list)
    iterate = _iterating(Client.iterate)
    count = _blocking(Client.count)
    cancel_all = _blocking(Client.cancel_all)
    retry_all = _blocking(Client.retry_all)
    delete_all = _blocking(Client.delete_all)
    queues = _blocking(Client.queues)
    pause = _blocking(Client.pause)
    resume = _blocking(Client.resume)
    workers = _blocking(Client.workers)
    handlers = _blocking(Client.handlers)
    stats = _blocking(Client.stats)

    create_schedule = _blocking(Client.create_schedule)
    get_schedule = _blocking(Client.get_schedule)
    update_schedule = _blocking(Client.update_schedule)
    delete_schedule = _blocking(Client.delete_schedule)
    pause_schedule = _blocking(Client.pause_schedule)
    resume_schedule = _blocking(Client.resume_schedule)
    trigger_schedule = _blocking(Client.trigger_schedule)
    preview_schedule = _blocking(Client.preview_schedule)
    preview = _blocking(Client.preview)
    list_schedules = _blocking(Client.list_schedules)
    schedules = _iterating(Client.schedules)
    list_occurrences = _blocking(Client.list_occurrences)
    occurrences = _iterating(Client.occurrences)
    list_history = _blocking(Client.list_history)
    history = _iterating(Client.history)
    backfill = _blocking(Client.backfill)
    list_backfills = _blocking(Client.list_backfills)
    backfills = _iterating(Client.backfills)
    get_backfill = _blocking(Client.get_backfill)
    cancel_backfill = _blocking(Client.cancel_backfill)

    async def _end(self) -> None:
        await self._client.close()
        await self._loop.shutdown_asyncgens()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C arrives here, in the caller's thread: the request must not go on without its caller.
            future.cancel()
            raise
