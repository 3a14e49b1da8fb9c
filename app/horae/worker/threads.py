"""`def` handlers, each in a thread of its own that never keeps the process from exiting."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

R = TypeVar("R")


def in_thread(call: Callable[[], R], name: str) -> asyncio.Future[R]:
    """Runs the call in a daemon thread; the future ends when the thread does, whatever the waiter does."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()
    context = contextvars.copy_context()

    def tell(setter: Callable[..., None], value: object) -> None:
        if not future.done():
            setter(value)

    def work() -> None:
        try:
            result = context.run(call)
        except BaseException as error:  # noqa: BLE001 - the waiter gets it
            _report(loop, tell, future.set_exception, _carried(error))
        else:
            _report(loop, tell, future.set_result, result)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


def _report(loop: asyncio.AbstractEventLoop, tell: Callable[..., None], setter: object, value: object) -> None:
    try:
        loop.call_soon_threadsafe(tell, setter, value)
    except RuntimeError:
        # The loop is closed: the worker has given the job back and is gone.
        return


def _carried(error: BaseException) -> Exception:
    """A future can't hold StopIteration, and SystemExit in a handler must not end the worker."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError(f"the handler raised {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
