"""What a handler is told of its job, and what it can say while it runs.

An `async def` handler gets a `JobContext`. A `def` handler runs in a thread and gets a `ThreadJobContext`: the same,
but `progress` and `wait_cancelled` block instead of being awaited. Neither knows the store: the worker hands in a
`Reporter` and calls `ask_to_cancel`.
"""

from __future__ import annotations

import asyncio
import math
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Protocol

import structlog

from horae.store.base import Run

LONGEST_MESSAGE = 1000
"""characters of a progress message; the rest is cut off"""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of a run before its handler starts: plain values, so that they can cross to another process."""

    job_id: str
    attempt: int
    token: int
    handler: str
    queue: str
    namespace: str
    schedule_id: str | None = None
    fire_time: datetime | None = None

    @classmethod
    def of(cls, run: Run) -> JobFacts:
        """The facts of a started job."""
        return cls(
            job_id=run.id,
            attempt=run.attempt,
            token=run.token,
            handler=run.handler,
            queue=run.queue,
            namespace=run.namespace,
            schedule_id=run.schedule_id,
            fire_time=run.fire_time,
        )


class Reporter(Protocol):
    """Where progress goes. Called in the event loop; may drop a report, must not fail because of one."""

    async def progress(self, value: float, message: str) -> None:
        """How far the job has come: 0 to 1, and a word about it."""
        ...


class Context(ABC):
    """What both kinds of context have."""

    def __init__(self, facts: JobFacts, reporter: Reporter) -> None:
        self.job_id = facts.job_id
        self.attempt = facts.attempt
        """number of this start, from 1; retries by hand go on counting"""
        self.token = facts.token
        """rises with each hand-over: an outside system can refuse a writer that holds an older one"""
        self.handler = facts.handler
        self.queue = facts.queue
        self.namespace = facts.namespace
        self.schedule_id = facts.schedule_id
        self.fire_time = facts.fire_time
        """the moment that the schedule meant; None for a job that no schedule made, or one triggered by hand"""
        self._reporter = reporter

    @property
    def idempotency_key(self) -> str:
        """The same at every attempt: pass it to outside systems so that a second attempt has no second effect."""
        return self.job_id if self.fire_time is None else f"{self.job_id}:{as_text(self.fire_time)}"

    @cached_property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger that names the job in each line."""
        logger: structlog.stdlib.BoundLogger = structlog.get_logger("horae.job")
        return logger.bind(job_id=self.job_id, handler=self.handler, attempt=self.attempt)

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Whether the handler was asked to end: the job is cancelled or timed out, or the worker shuts down."""

    @abstractmethod
    def ask_to_cancel(self) -> None:
        """Called by the worker, in the event loop."""


class JobContext(Context):
    """The context of an `async def` handler. Its task is cancelled too, so most handlers need not look at it."""

    def __init__(self, facts: JobFacts, reporter: Reporter) -> None:
        super().__init__(facts, reporter)
        self._asked = asyncio.Event()

    async def progress(self, value: float, message: str = "") -> None:
        """Tells how far the job has come, for everyone who watches it; `value` is between 0 and 1.

        Raises:
            ValueError: it isn't.
        """
        await self._reporter.progress(_share(value), _short(message))

    @property
    def cancelled(self) -> bool:
        """Whether the handler was asked to end: the job is cancelled or timed out, or the worker shuts down."""
        return self._asked.is_set()

    async def wait_cancelled(self) -> None:
        """Returns when the handler is asked to end."""
        await self._asked.wait()

    def ask_to_cancel(self) -> None:
        """Called by the worker, in the event loop."""
        self._asked.set()


class ThreadJobContext(Context):
    """The context of a `def` handler. A thread can't be cancelled from outside: look at `cancelled` now and then."""

    def __init__(self, facts: JobFacts, reporter: Reporter, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(facts, reporter)
        self._loop = loop
        self._asked = threading.Event()

    def progress(self, value: float, message: str = "") -> None:
        """Tells how far the job has come, for everyone who watches it; `value` is between 0 and 1. Blocks.

        Raises:
            ValueError: it isn't.
            RuntimeError: called in the event loop's own thread, or the worker has ended.
        """
        _refuse_in_loop()
        report = self._reporter.progress(_share(value), _short(message))
        try:
            told = asyncio.run_coroutine_threadsafe(report, self._loop)
        except RuntimeError:
            report.close()
            raise
        told.result()

    @property
    def cancelled(self) -> bool:
        """Whether the handler was asked to end: the job is cancelled or timed out, or the worker shuts down."""
        return self._asked.is_set()

    def wait_cancelled(self, seconds: float | None = None) -> bool:
        """Blocks until the handler is asked to end, at most so many seconds; whether it was asked."""
        return self._asked.wait(seconds)

    def ask_to_cancel(self) -> None:
        """Called by the worker, in any thread."""
        self._asked.set()


def as_text(moment: datetime) -> str:
    """RFC 3339 in UTC with `Z`; microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _share(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"progress({value!r}): the value must be between 0 and 1")
    return float(value)


def _short(message: str) -> str:
    # A lone surrogate can't be stored as JSON: one such message would spoil a whole batch of writes.
    return str(message)[:LONGEST_MESSAGE].encode("utf-8", "replace").decode("utf-8")


def _refuse_in_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("this progress() blocks: it is for `def` handlers, which run in a thread of their own")
