"""The composition root: the only module that knows concrete classes. Settings -> resources -> roles.

Resources close in the opposite order, by one exit stack, whatever happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog

from horae import __version__
from horae.api.context import ApiDeps
from horae.api.service import Api
from horae.broker.base import Broker
from horae.broker.inprocess import InProcessBroker
from horae.broker.rabbitmq import RabbitBroker
from horae.domain.errors import HoraeError, SchemaBehind, StoreUnavailable
from horae.domain.ids import IdMaker, WorkerId
from horae.domain.zones import TZDATA
from horae.handlers import Registry
from horae.handlers.loader import load
from horae.runtime.clock import Clock, SystemClock, unix_ms
from horae.runtime.config import Settings
from horae.runtime.duty import Stop
from horae.runtime.health import Readiness, health_server
from horae.runtime.metrics import Metrics
from horae.runtime.watchdog import Watchdog
from horae.scheduler.ports import Ports as SchedulerPorts
from horae.scheduler.service import Scheduler, SchedulerSettings
from horae.signals.base import Signals, Topic
from horae.signals.inprocess import InProcessSignals
from horae.signals.redis import RedisSignals
from horae.store.base import EVERY_QUEUE, NewWorker, Retention
from horae.store.embedded import owned
from horae.store.heartbeat import heartbeat
from horae.store.sql import Stores, open_stores, recover
from horae.worker.executor import Executor
from horae.worker.isolation import Isolation
from horae.worker.lease import Identity, Lease
from horae.worker.ports import Ports as WorkerPorts
from horae.worker.rates import Rates
from horae.worker.recorder import Recorder
from horae.worker.service import Worker, WorkerSettings

log = structlog.get_logger(__name__)

REDIS_PATIENCE = 5.0
SCHEMA_LOOK = 2.0
"""seconds between two looks whether somebody has migrated the database"""


@dataclass(frozen=True, slots=True)
class Resources:
    """What the roles share in one process."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    readiness: Readiness
    stores: Stores
    broker: Broker
    signals: Signals
    handlers: Registry


async def serve(settings: Settings, ready: Callable[[str | None], None] = lambda _url: None) -> int:
    """Runs the roles until SIGTERM or SIGINT, then drains; the exit code.

    `ready` is called once everything is up, with the api's address if there is one.
    """
    stop, abort = Stop(), Stop()
    _obey_signals(stop, abort)
    async with AsyncExitStack() as stack:
        resources = await open_resources(settings, stack)
        await _run_roles(resources, stop, abort, ready, stack)
    return 1 if abort.is_set() else 0


def _obey_signals(stop: Stop, abort: Stop) -> None:
    def asked() -> None:
        (abort if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)


# ------------------------------------------------------------------------------------------------------- resources


async def open_resources(settings: Settings, stack: AsyncExitStack) -> Resources:
    """Everything that the roles need, closed by the stack. Servers that are away are waited for later on."""
    clock, metrics = SystemClock(), Metrics()
    url = settings.database_url.get_secret_value()
    if settings.embedded:
        stack.enter_context(owned(url))
    stores = open_stores(url, clock)
    stack.push_async_callback(stores.close)
    broker = _broker(settings, clock, metrics)
    stack.push_async_callback(broker.close)
    signals = _signals(settings, clock)
    stack.push_async_callback(signals.close)
    registry = load(settings.handlers, settings.http_allow)
    stack.push_async_callback(registry.close)
    return Resources(settings, clock, metrics, Readiness(settings.roles), stores, broker, signals, registry)


def _broker(settings: Settings, clock: Clock, metrics: Metrics) -> Broker:
    if settings.embedded:
        return InProcessBroker(clock)
    url = settings.broker_url.get_secret_value()
    return RabbitBroker(url, clock, lambda _queue: metrics.deliveries_dropped("malformed"))


def _signals(settings: Settings, clock: Clock) -> Signals:
    url = settings.redis_url.get_secret_value()
    return RedisSignals(url, clock) if url else InProcessSignals()


# ----------------------------------------------------------------------------------------------------------- roles


async def _run_roles(
    resources: Resources, stop: Stop, abort: Stop, ready: Callable[[str | None], None], stack: AsyncExitStack
) -> None:
    """Brings the schema up or waits for it, then runs each role in a task of its own until it has stopped."""
    schema = _SchemaGate(resources)
    resources.readiness.require("schema", schema.missing)
    if resources.settings.embedded:
        # Before the api listens: its first request may come at once.
        await schema.take_over()
    address, health_port = await _listen(resources, stack)
    listening = asyncio.create_task(resources.signals.run())
    stack.callback(listening.cancel)
    if not await schema.passed(stop):
        return
    roles = _roles(resources, health_port, stop, abort)
    ready(address)
    async with asyncio.TaskGroup() as group:
        for role in roles:
            group.create_task(role())
        await stop.wait()
        resources.readiness.drop("draining")
        log.info("serve.stopping")


async def _listen(resources: Resources, stack: AsyncExitStack) -> tuple[str | None, int | None]:
    """The api's address, or the health port of the other roles."""
    settings = resources.settings
    if "api" in settings.roles:
        api = Api(_api_deps(resources), settings.host, settings.port, drain_seconds=settings.drain_seconds)
        await api.start()
        stack.push_async_callback(api.stop)
        return api.url, api.port
    port = await stack.enter_async_context(
        health_server(resources.readiness, resources.metrics, settings.host, settings.health_port)
    )
    return None, port


def _api_deps(resources: Resources) -> ApiDeps:
    return ApiDeps(
        jobs=resources.stores.jobs,
        queues=resources.stores.queues,
        schedules=resources.stores.schedules,
        registry=resources.stores.registry,
        signals=resources.signals,
        clock=resources.clock,
        metrics=resources.metrics,
        readiness=resources.readiness,
        handlers=resources.handlers.infos(),
    )


class _SchemaGate:
    """Whether the database has this code's schema. SQLite is migrated here; MySQL waits for `horae migrate`."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._reason: str | None = "not checked yet"

    def missing(self) -> str | None:
        """Why not, for `/readyz`."""
        return self._reason

    async def passed(self, stop: Stop) -> bool:
        """Waits for the schema; False if the process is stopped before."""
        while not stop.is_set():
            if await self._fits():
                return True
            await self._resources.clock.wait(stop, SCHEMA_LOOK)
        return False

    async def take_over(self) -> None:
        """Migrates the file that this process owns, and takes up what an earlier process left."""
        await self._resources.stores.schema.migrate()
        if left := await recover(self._resources.stores.database):
            log.warning("serve.recovered", jobs=left, why="an earlier process ended while it had them")

    async def _fits(self) -> bool:
        before = self._reason
        try:
            await self._resources.stores.schema.check()
        except (SchemaBehind, StoreUnavailable) as error:
            self._reason = str(error)
            if self._reason != before:
                log.warning("serve.waiting", why=self._reason)
            return False
        self._reason = None
        return True


def _roles(
    resources: Resources, health_port: int | None, stop: Stop, abort: Stop
) -> list[Callable[[], Coroutine[Any, Any, None]]]:
    roles: list[Callable[[], Coroutine[Any, Any, None]]] = []
    if "scheduler" in resources.settings.roles:
        scheduler = _scheduler(resources)
        roles.append(lambda: scheduler.run(stop))
    if "worker" in resources.settings.roles:
        roles.append(lambda: _work(resources, health_port, stop, abort))
    return roles


def _scheduler(resources: Resources) -> Scheduler:
    settings, stores = resources.settings, resources.stores
    ports = SchedulerPorts(
        stores.dispatch,
        stores.rescue,
        stores.firing,
        resources.broker.publisher,
        resources.signals,
        resources.clock,
        resources.metrics,
    )
    limits = SchedulerSettings(
        settings.lease_seconds,
        settings.dispatch_lease_seconds,
        Retention(settings.retention_success, settings.retention_failed),
        settings.retention_ledger,
    )
    return Scheduler(ports, limits)


async def _work(resources: Resources, health_port: int | None, stop: Stop, abort: Stop) -> None:
    worker, lease = _worker(resources, health_port)
    watchdog = _watchdog(resources, lease)
    watchdog.start()
    resources.readiness.require("broker", lambda: None if worker.connected else "no connection to the broker")
    try:
        if not await worker.run(stop, abort):
            abort.set()
    finally:
        watchdog.stop()


def _worker(resources: Resources, health_port: int | None) -> tuple[Worker, Lease]:
    settings, stores = resources.settings, resources.stores
    queues = _queues(settings, resources.handlers)
    ports = WorkerPorts(
        stores.worker, stores.registry, resources.broker, resources.signals, resources.clock, resources.metrics
    )
    rates = Rates(resources.clock)
    lease = Lease(ports, _identity(resources, queues, health_port), settings.lease_seconds, rates.tell)
    recorder = Recorder(stores.worker, resources.handlers.names(), settings.lease_seconds)
    executor = Executor(resources.handlers, Isolation(settings.handlers, settings.http_allow))
    limits = WorkerSettings(queues, settings.concurrency, settings.drain_seconds, settings.retry_window)
    return Worker(ports, lease, rates, recorder, executor, limits), lease


def _identity(resources: Resources, queues: tuple[str, ...], health_port: int | None) -> Identity:
    ids = IdMaker()

    def new_id() -> WorkerId:
        return WorkerId(ids.next(unix_ms(resources.clock.now())))

    worker = NewWorker(
        id=new_id(),
        name=f"{socket.gethostname()}:{os.getpid()}",
        queues=queues,
        slots=resources.settings.concurrency,
        version=__version__,
        handlers=resources.handlers.infos(),
        health_port=health_port,
    )
    return Identity(worker, new_id)


def _queues(settings: Settings, handlers: Registry) -> tuple[str, ...]:
    if settings.queues:
        return settings.queues
    return (EVERY_QUEUE,) if "all" in settings.role else handlers.queues()


def _watchdog(resources: Resources, lease: Lease) -> Watchdog:
    settings = resources.settings
    if settings.embedded:
        # The scheduler is blocked too, and rests before it judges any worker.
        return Watchdog(resources.clock, blocked_seconds=settings.blocked_seconds)
    beat = heartbeat(settings.database_url.get_secret_value(), settings.lease_seconds, lambda: lease.worker_id)
    return Watchdog(
        resources.clock,
        keep_alive=beat,
        every=settings.lease_seconds / 3,
        blocked_seconds=settings.blocked_seconds,
    )


# -------------------------------------------------------------------------------------------------------- commands


async def migrate(settings: Settings) -> tuple[str | None, str]:
    """Brings the schema up to date; answers the revision before and after."""
    async with AsyncExitStack() as stack:
        url = settings.database_url.get_secret_value()
        if settings.embedded:
            stack.enter_context(owned(url))
        stores = open_stores(url, SystemClock())
        stack.push_async_callback(stores.close)
        return await stores.schema.migrate()


async def schema_is_current(settings: Settings) -> str | None:
    """None if the schema is up to date, else why not."""
    stores = open_stores(settings.database_url.get_secret_value(), SystemClock())
    try:
        await stores.schema.check()
    except SchemaBehind as error:
        return str(error)
    finally:
        await stores.close()
    return None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` looked at; `problem` is None when it is well."""

    subject: str
    detail: str
    problem: str | None = None


async def check(settings: Settings) -> list[Finding]:
    """Connects to everything that is configured and says what it found."""
    async with AsyncExitStack() as stack:
        resources = await open_resources(settings, stack)
        looks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("database", lambda: _look_at_database(resources)),
            ("broker", lambda: _look_at_broker(resources)),
            ("zones", _look_at_zones),
        ]
        if settings.redis_url.get_secret_value():
            looks.append(("redis", lambda: _look_at_signals(resources)))
        return [await _finding(subject, look) for subject, look in looks]


async def _finding(subject: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(subject, await look())
    except HoraeError as error:
        return Finding(subject, "", str(error))


async def _look_at_database(resources: Resources) -> str:
    await resources.stores.schema.check()
    moment = await resources.stores.database.read(lambda tx: tx.moment())
    drift = (resources.clock.now() - moment).total_seconds()
    return f"schema is current; its clock differs by {abs(drift):.3f} s"


async def _look_at_zones() -> str:
    return f"time zone data of release {TZDATA}"


async def _look_at_broker(resources: Resources) -> str:
    await resources.broker.check()
    return "topology declared" if not resources.settings.embedded else "in this process"


async def _look_at_signals(resources: Resources) -> str:
    changed = asyncio.Event()
    resources.signals.listen(Topic.DUE, changed.set)
    listening = asyncio.create_task(resources.signals.run())
    reached = resources.signals.reliable or await resources.clock.wait(changed, REDIS_PATIENCE)
    listening.cancel()
    return "hints arrive" if reached else "no answer: everything works without it, but wake-ups are slower"
