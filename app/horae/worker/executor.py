"""One attempt, as a pipeline: validate -> call under timeout -> classify. What becomes of it is judged elsewhere."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from horae.domain.errors import InvalidInput
from horae.domain.job import ISOLATE_FROM_LOSSES, Failure, Outcome
from horae.handlers import Discard, Handler, JobContext, Registry, Retry
from horae.handlers.context import JobFacts, Reporter, ThreadJobContext
from horae.store.base import Run
from horae.worker.isolation import ChildFailed, Isolation, ProcessDied
from horae.worker.judge import AskedAgain, Broke, Cancelled, Ended, Released, Returned
from horae.worker.table import Ask, Entry
from horae.worker.threads import in_thread

LARGEST_RESULT = 256 * 1024
TRUNCATED = '{"truncated":true}'
LONGEST_MESSAGE, LONGEST_TRACEBACK = 4_000, 32_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """All that the steps need. `remaining` is how many seconds of its timeout are left."""

    run: Run
    entry: Entry
    reporter: Reporter
    remaining: float


class Slot:
    """The slot of one attempt, freed once: when the attempt ends, or later when its thread does."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._kept = False

    def keep_until(self, thread: asyncio.Future[Any]) -> None:
        """From now on only the end of the thread frees it."""
        self._kept = True
        thread.add_done_callback(self._ended)

    def _ended(self, thread: asyncio.Future[Any]) -> None:
        # Looked at, because an attempt that timed out or was cancelled doesn't do it any more.
        thread.exception()
        self._release()

    def leave(self) -> None:
        """The attempt has ended."""
        if not self._kept:
            self._release()


class Executor:
    """Runs attempts. `release` is called when the attempt no longer uses its slot."""

    def __init__(self, registry: Registry, isolation: Isolation) -> None:
        self._registry = registry
        self._isolation = isolation

    async def execute(self, attempt: Attempt, release: Callable[[], None]) -> Ended:
        """How the attempt ended. Never raises, and is never left with the handler of an `async def` still running.

        Once it was asked to end, the reason decides, whatever the handler returns or raises then: one that was cut off
        and returns early has not succeeded.
        """
        ended = await self._ended(attempt, Slot(release))
        return ended if attempt.entry.ask is None else classify_ask(attempt.entry.ask)

    async def _ended(self, attempt: Attempt, slot: Slot) -> Ended:
        try:
            if attempt.entry.ask is not None:
                raise asyncio.CancelledError  # noqa: TRY301 - asked to end before it began
            return classify_value(await self._call(attempt, slot))
        except BaseException as error:  # noqa: BLE001 - SystemExit in a handler must not end the worker
            return classify_error(error)
        finally:
            _forget_cancellation()
            slot.leave()

    async def _call(self, attempt: Attempt, slot: Slot) -> Any:
        handler = self._resolve(attempt.run)
        arguments = handler.validate(attempt.run.payload)
        if handler.isolate or attempt.run.losses >= ISOLATE_FROM_LOSSES:
            return await self._in_process(attempt)
        if handler.is_async:
            return await self._in_task(attempt, handler, arguments)
        return await self._in_thread(attempt, handler, arguments, slot)

    def _resolve(self, run: Run) -> Handler:
        handler = self._registry.get(run.handler)
        if handler is None:
            raise Discard(f"handler {run.handler!r} vanished from this worker")
        return handler

    async def _in_task(self, attempt: Attempt, handler: Handler, arguments: dict[str, Any]) -> Any:
        """In the run's own task: one task a job. A user, the timer or a drain end it by cancelling it."""
        context = attempt.entry.context = JobContext(JobFacts.of(attempt.run), attempt.reporter)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        timer = asyncio.get_running_loop().call_later(attempt.remaining, attempt.entry.time_out)
        attempt.entry.interrupt = task.cancel
        try:
            return await handler.function(context, **arguments)
        finally:
            attempt.entry.interrupt = None
            timer.cancel()

    async def _in_thread(self, attempt: Attempt, handler: Handler, arguments: dict[str, Any], slot: Slot) -> Any:
        """A thread can't be ended from outside: the attempt ends on time, its slot is taken until the thread does."""
        loop = asyncio.get_running_loop()
        context = attempt.entry.context = ThreadJobContext(JobFacts.of(attempt.run), attempt.reporter, loop)
        future = in_thread(lambda: handler.function(context, **arguments), f"job-{attempt.run.id}")
        slot.keep_until(future)
        return await _until_asked(future, attempt)

    async def _in_process(self, attempt: Attempt) -> Any:
        call = asyncio.ensure_future(self._isolation.run(attempt.run, attempt.reporter))
        try:
            return await _until_asked(call, attempt)
        finally:
            call.cancel()
            await asyncio.wait({call})


def _forget_cancellation() -> None:
    """The handler was cancelled, not the run: what records its end must not take the request for its own."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


async def _until_asked(work: asyncio.Future[Any], attempt: Attempt) -> Any:
    """The work's result, unless its time is over or its entry is asked to end first."""
    asked = asyncio.ensure_future(attempt.entry.ended.wait())
    try:
        done, _ = await asyncio.wait({work, asked}, timeout=attempt.remaining, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    if work in done:
        return work.result()
    if asked not in done:
        attempt.entry.time_out()
    raise asyncio.CancelledError


def classify_value(value: Any) -> Ended:
    """What a handler returned, as JSON text."""
    if value is None:
        return Returned()
    text = orjson.dumps(value)
    return Returned(text.decode() if len(text) <= LARGEST_RESULT else TRUNCATED)


def classify_ask(ask: Ask) -> Ended:
    """Why an attempt was ended before its handler was done."""
    match ask:
        case Ask.TIMEOUT:
            return Broke(Failure("timed_out", "the attempt ran past its timeout"), Outcome.TIMED_OUT)
        case Ask.CANCEL:
            return Cancelled()
        case Ask.RELEASE | Ask.DROP:
            return Released()
    assert_never(ask)


def classify_error(error: BaseException) -> Ended:
    """What a handler raised."""
    try:
        return _classify_error(error)
    except Exception as broken:  # noqa: BLE001 - users' errors run code of theirs when they are looked at
        return Broke(Failure(type(error).__name__, f"can't be described: {type(broken).__name__}"))


def _classify_error(error: BaseException) -> Ended:
    match error:
        case asyncio.CancelledError():
            return Broke(Failure("CancelledError", "something that the handler waited for was cancelled"))
        case Retry():
            return AskedAgain(error.delay, Failure("Retry", said(error)))
        case Discard():
            return Broke(Failure(type(error).__name__, said(error)), final=True)
        case InvalidInput():
            return Broke(Failure("invalid_payload", said(error)), final=True)
        case ChildFailed():
            return Broke(error.failure)
        case ProcessDied():
            return Broke(Failure("lost", said(error)), Outcome.LOST)
    return Broke(failure_of(error))


def failure_of(error: BaseException) -> Failure:
    """The error as kept on the job; the frames of the worker itself are left out."""
    lines = traceback.format_exception(type(error), error, _of_handler(error))
    return Failure(type(error).__name__, said(error), _storable("".join(lines))[-LONGEST_TRACEBACK:])


def said(error: BaseException) -> str:
    """The error's own words; some have none that can be had."""
    try:
        return _storable(str(error))[:LONGEST_MESSAGE]
    except Exception as broken:  # noqa: BLE001 - its __str__ is the user's
        return f"(no text: its __str__ raised {type(broken).__name__})"


def _of_handler(error: BaseException) -> Any:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("horae.worker."):
        frames = frames.tb_next
    return frames


def _storable(text: str) -> str:
    # A lone surrogate is no UTF-8: the write would fail, and with it a whole batch.
    return text.encode("utf-8", "replace").decode()
