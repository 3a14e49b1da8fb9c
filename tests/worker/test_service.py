"""The worker as a whole, from its first renewal to the end of its drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from horae.broker.inprocess import InProcessBroker, InProcessConsumer
from horae.domain.errors import BrokerUnavailable, StoreUnavailable
from horae.domain.job import Reference, State
from horae.runtime.duty import Stop
from horae.signals.base import Topic
from horae.store.base import EVERY_QUEUE, WorkerInfo
from horae.worker.executor import Executor
from horae.worker.isolation import Isolation
from horae.worker.lease import Lease
from horae.worker.ports import Ports
from horae.worker.rates import Rates
from horae.worker.recorder import Recorder
from horae.worker.service import Worker, WorkerSettings
from tests.dispatch.faults import Faults, Logs
from tests.support.factories import LEASE
from tests.support.scene import NAMESPACE, Scene
from tests.support.waiting import PATIENCE, eventually
from tests.worker.shop import GATED, SLOTS, Handlers, identity

SETTINGS = WorkerSettings(("default",), SLOTS, drain=PATIENCE, retry_window=1000)
DUTIES = 2


class Employer:
    """Runs a worker, gives it jobs and looks after them."""

    def __init__(self, ports: Ports, scene: Scene, settings: WorkerSettings, lease: float) -> None:
        self.ports, self.scene, self.handlers = ports, scene, Handlers()
        rates = Rates(scene.clock)
        recorder = Recorder(ports.store, self.handlers.registry.names(), lease)
        executor = Executor(self.handlers.registry, Isolation([]))
        who = identity(scene.clock)
        self.lease = Lease(ports, replace(who, worker=replace(who.worker, queues=settings.queues)), lease, rates.tell)
        self.worker = Worker(ports, self.lease, rates, recorder, executor, settings)
        self.stop, self.abort = Stop(), Stop()
        self.task = asyncio.create_task(self.worker.run(self.stop, self.abort))

    async def ends(self) -> bool:
        """What it says when it is stopped."""
        self.stop.set()
        async with asyncio.timeout(PATIENCE):
            return await self.task

    async def publish(self, handler: str, queue: str = "default", **fields: Any) -> Reference:
        reference = await self.scene.queued(handler=handler, queue=queue, **fields)
        await self.ports.broker.publisher.publish(queue, [reference])
        return reference

    async def begin(self, handler: str = GATED) -> Reference:
        """A job whose handler runs."""
        reference = await self.publish(handler)
        await eventually(lambda: reference.id in self.handlers.called)
        return reference

    async def reaches(self, reference: Reference, state: State) -> None:
        async def there() -> bool:
            return (await self.scene.job(reference.id)).state is state

        await eventually(there)

    async def outcomes(self, reference: Reference) -> list[str]:
        return [attempt.outcome.value for attempt in (await self.scene.see(reference.id)).attempts]

    async def row(self) -> WorkerInfo:
        workers = await self.scene.stores.registry.workers()
        return next(each for each in workers if each.id == self.lease.worker_id)


@asynccontextmanager
async def employed(
    ports: Ports, scene: Scene, settings: WorkerSettings = SETTINGS, lease: float = LEASE
) -> AsyncIterator[Employer]:
    """A worker that is at work; at the end it stops."""
    employer = Employer(ports, scene, settings, lease)
    await eventually(lambda: employer.worker.connected)
    try:
        yield employer
    finally:
        employer.handlers.gate.set()
        employer.stop.set()
        await asyncio.wait({employer.task}, timeout=PATIENCE)
        await eventually(employer.worker._table.empty.is_set)


# ------------------------------------------------------------------------------------------------------------- at work


async def test_it_runs_what_is_delivered(ports: Ports, scene: Scene) -> None:
    async with employed(ports, scene) as employer:
        references = [await employer.publish("noop") for _ in range(10)]
        for reference in references:
            await employer.reaches(reference, State.SUCCESS)
        assert await employer.ends()


async def test_it_consumes_nothing_before_it_has_a_lease(ports: Ports, scene: Scene, faults: Faults) -> None:
    held = faults.hold("register")
    employer = Employer(ports, scene, SETTINGS, LEASE)
    await held.made.wait()
    assert not employer.worker.connected
    held.release()
    await eventually(lambda: employer.worker.connected)
    assert await employer.ends()


async def test_a_user_s_cancel_reaches_it_at_once_by_a_hint(ports: Ports, scene: Scene) -> None:
    async with employed(ports, scene) as employer:
        reference = await employer.begin()
        await scene.stores.jobs.cancel(NAMESPACE, [reference.id])
        ports.signals.hint(Topic.CANCEL)
        await employer.reaches(reference, State.CANCELLED)


async def test_a_worker_of_every_queue_consumes_each_from_when_it_holds_a_job(ports: Ports, scene: Scene) -> None:
    async with employed(ports, scene, replace(SETTINGS, queues=(EVERY_QUEUE,))) as employer:
        await scene.submit(queue="mail", handler="noop")
        ports.signals.hint(Topic.DUE)
        [reference] = await scene.claim(queue="mail")
        await ports.broker.publisher.publish("mail", [reference])
        await employer.reaches(reference, State.SUCCESS)
        assert (await employer.row()).queues == (EVERY_QUEUE,)


async def test_a_worker_that_lost_its_lease_gives_its_runs_back_and_goes_on_under_another_id(
    ports: Ports, scene: Scene
) -> None:
    async with employed(ports, scene) as employer:
        old, reference = employer.lease.worker_id, await employer.begin()
        await scene.kill(old)
        employer.lease.wake.set()
        await employer.reaches(reference, State.PENDING)
        assert await employer.outcomes(reference) == ["released"]
        assert employer.lease.worker_id != old
        after = await employer.publish("noop")
        await employer.reaches(after, State.SUCCESS)
        assert (await scene.job(after.id)).worker_id == employer.lease.worker_id


async def test_after_an_outage_longer_than_its_lease_it_gives_back_before_it_is_robbed(
    ports: Ports, scene: Scene, faults: Faults
) -> None:
    async with employed(ports, scene) as employer:
        reference = await employer.begin()
        faults.refuse("renew", *[StoreUnavailable("away")] * 1000)
        await scene.clock.asleep(DUTIES)
        scene.clock.turn(LEASE * 2 / 3)
        await employer.reaches(reference, State.PENDING)
        assert await employer.outcomes(reference) == ["released"]


# --------------------------------------------------------------------------------------------------------------- drain


async def test_stopped_it_takes_nothing_more_and_finishes_what_runs(ports: Ports, scene: Scene) -> None:
    async with employed(ports, scene) as employer:
        running = await employer.begin()
        employer.stop.set()
        await eventually(lambda: not employer.worker.connected)
        late = await employer.publish("noop")
        assert not employer.task.done()
        employer.handlers.gate.set()
        assert await employer.ends()
        assert await employer.outcomes(running) == ["success"]
        assert (await scene.job(late.id)).state is State.QUEUED


async def test_what_waits_for_a_slot_when_it_is_stopped_is_given_back(ports: Ports, scene: Scene) -> None:
    async with employed(ports, scene) as employer:
        for _ in range(SLOTS):
            await employer.begin()
        waiting = await employer.publish("noop")
        await eventually(lambda: employer.worker._table.get(waiting) is not None)
        employer.stop.set()
        await asyncio.sleep(0)
        employer.handlers.gate.set()
        assert await employer.ends()
        job = await scene.job(waiting.id)
        assert (job.state, job.attempt) == (State.PENDING, 0)


async def test_while_it_drains_its_row_says_so_and_afterwards_it_is_dead(ports: Ports, scene: Scene) -> None:
    async with employed(ports, scene) as employer:
        await employer.begin()
        employer.stop.set()

        async def draining() -> bool:
            return (await employer.row()).state == "DRAINING"

        await eventually(draining)
        employer.handlers.gate.set()
        await employer.ends()
        assert (await employer.row()).state == "DEAD"


@pytest.mark.parametrize("aborted", [False, True], ids=["limit", "second signal"])
async def test_what_the_drain_cuts_off_goes_back_without_a_failure(ports: Ports, scene: Scene, aborted: bool) -> None:
    settings = SETTINGS if aborted else replace(SETTINGS, drain=0.05)
    async with employed(ports, scene, settings) as employer:
        references = [await employer.begin() for _ in range(3)]
        employer.stop.set()
        if aborted:
            await eventually(lambda: not employer.worker.connected)
            employer.abort.set()
        assert await employer.ends()
        for reference in references:
            job = await scene.job(reference.id)
            assert (job.state, job.failures, job.wake_at) == (State.PENDING, 0, scene.clock.now())
            assert await employer.outcomes(reference) == ["released"]


async def test_a_drained_worker_leaves_retries_to_their_rows(ports: Ports, scene: Scene, faults: Faults) -> None:
    async with employed(ports, scene) as employer:
        reference = await employer.begin("gated")
        employer.stop.set()
        await eventually(lambda: not employer.worker.connected)
        entry = employer.worker._table.get(reference)
        assert entry is not None
        entry.time_out()
        assert await employer.ends()
        job = await scene.job(reference.id)
        assert (job.state, job.wake_at) == (State.RETRYING, job.run_at)
        assert faults.count("publish_later") == 0


async def test_a_handler_that_can_not_be_ended_holds_it_up_for_one_lease_at_most(ports: Ports, scene: Scene) -> None:
    settings = replace(SETTINGS, drain=0.0)
    async with employed(ports, scene, settings, lease=1.0) as employer:
        reference = await employer.begin("stubborn")
        began = asyncio.get_running_loop().time()
        assert await employer.ends()
        assert asyncio.get_running_loop().time() - began > 0.9
        assert (await employer.row()).state == "DEAD"
        assert (await scene.job(reference.id)).state is State.RUNNING


async def test_it_can_be_stopped_before_it_ever_had_a_lease(ports: Ports, scene: Scene, faults: Faults) -> None:
    faults.refuse("register", *[StoreUnavailable("away")] * 1000)
    employer = Employer(ports, scene, SETTINGS, LEASE)
    await scene.clock.asleep(DUTIES)
    assert await employer.ends()


@pytest.mark.parametrize("error", [BrokerUnavailable("in vain"), RuntimeError("a bug")], ids=repr)
async def test_a_worker_that_can_consume_no_more_drains_and_says_so(
    ports: Ports, scene: Scene, broker: InProcessBroker, logs: Logs, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    consume, lost = InProcessConsumer.run, asyncio.Event()

    async def lose(self: InProcessConsumer) -> None:
        consuming = asyncio.create_task(consume(self))
        await lost.wait()
        consuming.cancel()
        raise error

    monkeypatch.setattr(InProcessConsumer, "run", lose)
    async with employed(ports, scene) as employer:
        running = await employer.begin()
        lost.set()
        await eventually(employer.stop.is_set)
        employer.handlers.gate.set()
        assert not await employer.ends()
        assert await employer.outcomes(running) == ["success"]
