"""One attempt at a time, of handlers that a test writes down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from horae.handlers import Registry
from horae.handlers.registry import define
from horae.worker.executor import Attempt, Executor
from horae.worker.isolation import Isolation
from horae.worker.judge import Broke, Ended
from horae.worker.table import Ask, Entry
from tests.handlers.contexts import Reports
from tests.support.waiting import eventually
from tests.worker.runs import WORKER, new_run

HANDLER = "work"
LONG = 60.0


@dataclass
class Trial:
    """An attempt, and what can be seen of it from outside."""

    entry: Entry
    task: asyncio.Task[Ended]
    released: list[None]
    reports: Reports = field(default_factory=Reports)

    def end(self, ask: Ask) -> None:
        self.entry.end(ask)

    @property
    def slot_is_free(self) -> bool:
        assert len(self.released) <= 1
        return bool(self.released)


class Bench:
    """An executor with one handler."""

    def __init__(self, isolation: Isolation | None = None) -> None:
        self._registry = Registry()
        self._executor = Executor(self._registry, isolation or Isolation([]))

    def handle(self, function: Callable[..., Any], *, isolate: bool = False) -> Bench:
        """The function is the handler from now on."""
        self._registry.add(define(HANDLER, function, isolate=isolate))
        return self

    def begin(self, ask: Ask | None = None, limit: float = LONG, **fields: Any) -> Trial:
        """An attempt that goes on by itself, with so many seconds left; `ask` comes before it begins."""
        run = new_run(**{"handler": HANDLER, **fields})
        entry, released, reports = Entry(run.reference, WORKER, running=True), list[None](), Reports()
        if ask is not None:
            entry.end(ask)
        attempt = Attempt(run, entry, reports, limit)
        task = asyncio.create_task(self._executor.execute(attempt, lambda: released.append(None)))
        return Trial(entry, task, released, reports)

    async def ended(self, ask: Ask | None = None, limit: float = LONG, **fields: Any) -> Ended:
        """How an attempt ends, with its slot free."""
        trial = self.begin(ask, limit, **fields)
        ended = await trial.task
        await eventually(lambda: trial.slot_is_free)
        return ended


async def end_of(function: Callable[..., Any], ask: Ask | None = None, limit: float = LONG, **fields: Any) -> Ended:
    """How an attempt of this handler ends."""
    return await Bench().handle(function).ended(ask, limit, **fields)


async def failure_of(function: Callable[..., Any], **fields: Any) -> Broke:
    """How an attempt of this handler fails."""
    ended = await end_of(function, **fields)
    assert isinstance(ended, Broke)
    return ended


def as_async(act: Callable[[], Any]) -> Callable[..., Any]:
    """An `async def` handler that does it."""

    async def handler(_ctx: Any) -> Any:
        return act()

    return handler


def as_thread(act: Callable[[], Any]) -> Callable[..., Any]:
    """A `def` handler that does it."""

    def handler(_ctx: Any) -> Any:
        return act()

    return handler


class Gate:
    """Holds a `def` handler up until it is opened; it sees the context that it was called with."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.context: Any = None
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    def wait(self, ctx: Any) -> None:
        self.context = ctx
        self.entered.set()
        self._open.wait(LONG)

    async def is_entered(self) -> None:
        await eventually(self.entered.is_set)
