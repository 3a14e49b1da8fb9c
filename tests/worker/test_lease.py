"""The lease: renewed in time, trusted only while it is fresh, and fenced when it can't be any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from horae.domain.errors import OutcomeUnknown, StoreUnavailable
from horae.domain.ids import WorkerId
from horae.signals.base import Topic
from horae.signals.inprocess import InProcessSignals
from horae.store.base import WorkerInfo
from horae.store.sql import Stores
from horae.worker.lease import AGAIN, TRUST, Identity, Lease
from horae.worker.ports import Ports
from tests.dispatch.faults import Faults
from tests.support.clock import ManualClock
from tests.support.factories import LEASE, new_worker, worker_id
from tests.support.signals import Listener
from tests.support.waiting import eventually

AWAY = StoreUnavailable("away")
LIMIT = LEASE * TRUST


class Journal:
    """What the lease tells the worker."""

    def __init__(self, lease: Lease) -> None:
        self.fenced: list[WorkerId] = []
        self.compared: list[WorkerId] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        lease.on_fence = self.fenced.append
        lease.on_renewed = self._compare

    async def _compare(self, worker: WorkerId) -> None:
        self.compared.append(worker)
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)


RATES = {"mail": 12.5}


def rates() -> Mapping[str, float]:
    return RATES


@pytest.fixture
def lease(ports: Ports, clock: ManualClock) -> Lease:
    return Lease(ports, Identity(new_worker(clock), lambda: worker_id(clock)), LEASE, rates)


@pytest.fixture
def journal(lease: Lease) -> Journal:
    return Journal(lease)


@pytest.fixture
async def first(lease: Lease, journal: Journal) -> WorkerId:
    """The id of a lease that has been registered."""
    assert await lease.run_once() == LEASE / 3
    return lease.worker_id


async def row(stores: Stores, worker: WorkerId) -> WorkerInfo:
    return next(each for each in await stores.registry.workers() if each.id == worker)


async def is_trusted(lease: Lease) -> bool:
    """Whether somebody who asks now gets an answer at once."""
    asking = asyncio.create_task(lease.trusted())
    for _ in range(5):
        await asyncio.sleep(0)
    asking.cancel()
    return asking.done()


# ------------------------------------------------------------------------------------------------------------- renewal


async def test_it_registers_and_wakes_the_schedulers(lease: Lease, stores: Stores, signals: InProcessSignals) -> None:
    schedulers = Listener(signals, Topic.DUE)
    assert not await is_trusted(lease)
    await lease.run_once()
    assert await is_trusted(lease)
    assert (await row(stores, lease.worker_id)).state == "ALIVE"
    assert schedulers.woken == 1


async def test_every_third_of_the_lease_it_is_renewed_with_its_rates(
    lease: Lease, journal: Journal, first: WorkerId, stores: Stores, clock: ManualClock
) -> None:
    for _ in range(6):
        clock.turn(LEASE / 3)
        assert await lease.run_once() == LEASE / 3
        assert await is_trusted(lease)
    renewed = await row(stores, first)
    assert (renewed.state, renewed.rates) == ("ALIVE", RATES)
    assert (renewed.expires_at - clock.now()).total_seconds() == LEASE
    assert journal.compared == [first] * 7
    assert journal.fenced == []


async def test_it_tells_when_the_worker_drains(lease: Lease, first: WorkerId, stores: Stores) -> None:
    lease.draining = True
    await lease.run_once()
    assert (await row(stores, first)).state == "DRAINING"


async def test_at_its_end_whatever_is_left_may_be_rescued_at_once(
    lease: Lease, first: WorkerId, stores: Stores, faults: Faults
) -> None:
    await lease.end()
    assert (await row(stores, first)).state == "DEAD"
    await lease.end()
    assert faults.count("retire") == 1


async def test_an_end_without_an_answer_is_an_end(lease: Lease, first: WorkerId, faults: Faults) -> None:
    faults.refuse("retire", AWAY)
    await lease.end()
    assert not await is_trusted(lease)


@pytest.mark.parametrize("error", [AWAY, OutcomeUnknown("no answer")], ids=repr)
async def test_an_unanswered_registration_is_tried_again_under_another_id(
    lease: Lease, journal: Journal, faults: Faults, stores: Stores, error: Exception
) -> None:
    faults.lose("register", error)
    before = lease.worker_id
    assert await lease.run_once() == AGAIN
    assert not await is_trusted(lease)
    assert await lease.run_once() == LEASE / 3
    assert lease.worker_id != before
    assert journal.compared == [lease.worker_id]
    assert journal.fenced == []


# --------------------------------------------------------------------------------------------------------------- fence


async def test_a_row_that_is_dead_fences_the_worker(
    lease: Lease, journal: Journal, first: WorkerId, stores: Stores
) -> None:
    await stores.registry.retire(first)
    assert await lease.run_once() == LEASE / 3
    assert journal.fenced == [first]
    assert lease.worker_id != first
    assert (await row(stores, lease.worker_id)).state == "ALIVE"
    assert await is_trusted(lease)


@pytest.mark.parametrize("error", [AWAY, OSError("a bug in a driver")], ids=repr)
async def test_an_unanswered_renewal_is_tried_again_soon_and_trusted_for_two_thirds_of_the_lease(
    lease: Lease, journal: Journal, first: WorkerId, faults: Faults, clock: ManualClock, error: Exception
) -> None:
    faults.refuse("renew", *[error] * 100)
    clock.turn(LIMIT - 0.001)
    assert await lease.run_once() == AGAIN
    assert await is_trusted(lease)
    assert journal.fenced == []
    clock.turn(0.001)
    assert not await is_trusted(lease)
    await lease.run_once()
    assert journal.fenced == [first]
    assert lease.worker_id != first


async def test_a_renewal_is_trusted_from_its_sending_not_from_its_answer(
    lease: Lease, journal: Journal, first: WorkerId, faults: Faults, clock: ManualClock
) -> None:
    held = faults.hold("renew")
    renewing = asyncio.create_task(lease.run_once())
    await held.made.wait()
    clock.turn(LIMIT)
    held.release()
    assert await renewing == AGAIN
    assert not await is_trusted(lease)
    assert journal.fenced == []


async def test_a_renewal_that_is_never_answered_is_not_waited_for_longer_than_the_lease_is_trusted(
    lease: Lease, journal: Journal, first: WorkerId, faults: Faults, clock: ManualClock
) -> None:
    held = faults.hold("renew")
    clock.turn(LIMIT - 0.01)
    renewing = asyncio.create_task(lease.run_once())
    await held.made.wait()
    clock.turn(0.01)
    async with asyncio.timeout(5):
        await renewing
    assert journal.fenced == [first]
    held.release()


async def test_after_an_outage_that_the_row_survived_it_still_takes_a_new_id(
    lease: Lease, journal: Journal, first: WorkerId, faults: Faults, clock: ManualClock, stores: Stores
) -> None:
    faults.refuse("renew", AWAY)
    clock.turn(LIMIT)
    await lease.run_once()
    assert journal.fenced == [first]
    assert (await row(stores, first)).state == "ALIVE"
    assert lease.worker_id != first


async def test_a_fenced_worker_is_trusted_again_only_under_its_new_row(
    lease: Lease, journal: Journal, first: WorkerId, faults: Faults, clock: ManualClock
) -> None:
    asking = None
    clock.turn(LEASE)
    faults.refuse("renew", AWAY)
    faults.refuse("register", AWAY, AWAY)
    asking = asyncio.create_task(lease.trusted())
    for _ in range(2):
        assert await lease.run_once() == AGAIN
        assert not asking.done()
    await lease.run_once()
    assert await asking == lease.worker_id != first


# --------------------------------------------------------------------------------------------------------------- trust


async def test_after_a_pause_everything_is_held_back_until_it_is_renewed_and_compared(
    lease: Lease, journal: Journal, first: WorkerId, clock: ManualClock, faults: Faults
) -> None:
    """The row is alive still: the pause was shorter than the lease, but longer than it is trusted."""
    journal.gate.clear()
    clock.turn(LIMIT)
    asking = asyncio.create_task(lease.trusted())
    await eventually(lease.wake.is_set)
    renewing = asyncio.create_task(lease.run_once())
    await eventually(lambda: len(journal.compared) == 2)
    assert not asking.done()
    assert not await is_trusted(lease)
    journal.gate.set()
    await renewing
    assert await asking == first
    assert journal.fenced == []


async def test_an_ordinary_renewal_holds_nobody_back(
    lease: Lease, journal: Journal, first: WorkerId, clock: ManualClock
) -> None:
    journal.gate.clear()
    clock.turn(LEASE / 3)
    renewing = asyncio.create_task(lease.run_once())
    await eventually(lambda: len(journal.compared) == 2)
    assert await is_trusted(lease)
    journal.gate.set()
    await renewing


@pytest.mark.parametrize("error", [AWAY, ValueError("a bug")], ids=repr)
async def test_a_comparison_that_fails_is_made_again_before_anything_is_trusted(
    lease: Lease, journal: Journal, first: WorkerId, clock: ManualClock, error: Exception
) -> None:
    clock.turn(LIMIT)
    journal.errors.append(error)
    assert await lease.run_once() == AGAIN
    assert not await is_trusted(lease)
    assert await lease.run_once() == LEASE / 3
    assert await is_trusted(lease)
    assert journal.fenced == []


async def test_a_comparison_that_hangs_does_not_keep_the_lease_from_being_renewed(
    lease: Lease, journal: Journal, first: WorkerId, faults: Faults, clock: ManualClock
) -> None:
    journal.gate.clear()
    hold = faults.hold("renew")
    clock.turn(LIMIT - 0.01)
    renewing = asyncio.create_task(lease.run_once())
    await hold.made.wait()
    clock.turn(LIMIT - 0.02)
    hold.release()
    async with asyncio.timeout(5):
        assert await renewing == AGAIN
    assert len(journal.compared) == 2


async def test_who_learns_that_the_row_is_dead_waits_for_a_new_one(
    lease: Lease, journal: Journal, first: WorkerId, stores: Stores
) -> None:
    await stores.registry.retire(first)
    waiting = asyncio.create_task(lease.distrust(first))
    await eventually(lease.wake.is_set)
    assert not await is_trusted(lease)
    await lease.run_once()
    await waiting
    assert journal.fenced == [first]


async def test_news_of_an_older_rows_death_disturbs_nobody(
    lease: Lease, journal: Journal, first: WorkerId, stores: Stores
) -> None:
    await stores.registry.retire(first)
    await lease.run_once()
    await lease.distrust(first)
    assert await is_trusted(lease)
    assert journal.fenced == [first]
