"""A worker taken apart: its lease, its intake, its runs and its watch, driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from horae.domain.job import Job, Reference, State
from horae.handlers import Discard, JobContext, Registry, Retry
from horae.worker.executor import Executor
from horae.worker.intake import Intake
from horae.worker.isolation import Isolation
from horae.worker.lease import Identity, Lease
from horae.worker.ports import Ports
from horae.worker.rates import Rates
from horae.worker.recorder import Recorder
from horae.worker.runs import Runs
from horae.worker.slots import Slots
from horae.worker.table import Table
from horae.worker.watch import Watch
from tests.support.clock import ManualClock
from tests.support.factories import LEASE, new_worker, worker_id
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import eventually

GATED = "gated"
SLOTS = 4


class Handlers:
    """What the jobs of a test do."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.called: list[str] = []
        self.ended: list[str] = []
        self.registry = Registry()
        for name in ("noop", GATED, "fail", "again", "discard", "stubborn"):
            self.registry.handler(name)(getattr(self, name))

    async def noop(self, ctx: JobContext) -> None:
        self.called.append(ctx.job_id)

    async def gated(self, ctx: JobContext) -> str:
        """Waits until the gate is open."""
        self.called.append(ctx.job_id)
        try:
            await self.gate.wait()
        finally:
            self.ended.append(ctx.job_id)
        return "through"

    async def fail(self, _ctx: JobContext) -> None:
        raise ValueError("broken")

    async def again(self, _ctx: JobContext, *, delay: float | None = None) -> None:
        raise Retry(delay)

    async def discard(self, _ctx: JobContext) -> None:
        raise Discard("no such user")

    async def stubborn(self, ctx: JobContext) -> None:
        """Goes on until the gate is open, whoever cancels it."""
        self.called.append(ctx.job_id)
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue


@dataclass
class Parcel:
    """A delivery."""

    references: Sequence[Reference]
    queue: str = "default"
    acked: asyncio.Event = field(default_factory=asyncio.Event)

    async def ack(self) -> None:
        assert not self.acked.is_set()
        self.acked.set()


class Shop:
    """The parts of a worker with four slots."""

    def __init__(self, ports: Ports, scene: Scene, slots: int = SLOTS) -> None:
        clock = scene.clock
        self.scene, self.signals = scene, ports.signals
        self.handlers = Handlers()
        self.rates = Rates(clock)
        self.lease = Lease(ports, identity(clock, slots), LEASE, self.rates.tell)
        recorder = Recorder(ports.store, self.handlers.registry.names(), LEASE)
        executor = Executor(self.handlers.registry, Isolation([]))
        self.table, self.slots = Table(), Slots(slots)
        self.runs = Runs(ports, self.table, self.slots, recorder, executor)
        self.runs.riding.limit = 1000
        self.intake = Intake(ports, self.runs, self.lease, self.rates)
        self.watch = Watch(ports, self.runs, self.lease, self.rates)
        self.lease.on_renewed = self.watch.compare

    def receive(self, *references: Reference) -> Parcel:
        """A delivery that is taken over."""
        parcel = Parcel(references)
        self.intake.receive(parcel)
        return parcel

    async def take(self, *references: Reference) -> None:
        """A delivery that is taken over and acked."""
        await self.receive(*references).acked.wait()

    async def begin(self, handler: str = GATED, **fields: Any) -> Reference:
        """A job of that handler that runs here."""
        reference = await self.scene.queued(handler=handler, **fields)
        await self.take(reference)
        await eventually(lambda: self.runs_now(reference))
        return reference

    def runs_now(self, reference: Reference) -> bool:
        """Whether its handler runs."""
        entry = self.table.get(reference)
        return entry is not None and entry.interrupt is not None

    async def idle(self) -> None:
        """Nothing is held any more, and no slot was lost or found."""
        await eventually(lambda: self.table.empty.is_set() and self.slots.free == self.slots.total)

    async def job(self, reference: Reference) -> Job:
        return await self.scene.job(reference.id)

    async def state(self, reference: Reference) -> State:
        return (await self.job(reference)).state

    async def outcomes(self, reference: Reference) -> list[str]:
        """How its attempts ended."""
        return [attempt.outcome.value for attempt in (await self.scene.see(reference.id)).attempts]

    async def pause_queue(self) -> None:
        await self.scene.stores.queues.pause(NAMESPACE, "default", "me")


def identity(clock: ManualClock, slots: int = SLOTS) -> Identity:
    """A worker of the default queue, as it reports for duty."""
    return Identity(new_worker(clock, slots=slots), lambda: worker_id(clock))
