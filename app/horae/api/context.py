"""What the routes work with, and on whose behalf: handed over once, when the application is built."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiohttp import web

from horae.api.catalogue import Catalogue
from horae.api.waiting import Waiters
from horae.domain.ids import IdMaker, JobId
from horae.runtime.clock import Clock, unix_ms
from horae.runtime.health import Readiness
from horae.runtime.metrics import Metrics
from horae.signals.base import Signals
from horae.store.base import HandlerInfo, JobStore, QueueStore, RegistryStore
from horae.store.base_schedules import ScheduleStore


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """What the api is given. `handlers` are known without any worker: the built-in ones and those loaded here."""

    jobs: JobStore
    queues: QueueStore
    registry: RegistryStore
    schedules: ScheduleStore
    signals: Signals
    clock: Clock
    metrics: Metrics
    readiness: Readiness
    handlers: Sequence[HandlerInfo] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What a route works with."""

    deps: ApiDeps
    catalogue: Catalogue
    waiters: Waiters
    ids: IdMaker = field(default_factory=IdMaker)
    computing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """held while fire times are computed in a thread: two at once would only take the interpreter from one another"""

    def new_id(self) -> JobId:
        """The id of a job that is submitted now."""
        return JobId(self.next_id())

    def next_id(self) -> str:
        """The id of anything that is made now."""
        return self.ids.next(unix_ms(self.deps.clock.now()))


CONTEXT = web.AppKey("context", Context)
REQUEST_ID = web.RequestKey("request_id", str)


def context_of(request: web.Request) -> Context:
    """What this request works with."""
    return request.app[CONTEXT]


def namespace_of(_request: web.Request) -> str:
    """The namespace that bounds everything this request sees and does."""
    return "default"


def author_of(_request: web.Request) -> str:
    """Who asks, as kept beside what they did."""
    return "local"
