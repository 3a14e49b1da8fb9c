"""A worker over SQLite and the in-process broker, its ports failing when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from horae.broker.inprocess import InProcessBroker
from horae.runtime.metrics import Metrics
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from horae.worker.ports import Ports
from tests.dispatch import fixtures
from tests.dispatch.faults import Faults
from tests.support.clock import ManualClock
from tests.support.scene import Scene
from tests.worker.shop import Shop

broker = fixtures.broker
faults = fixtures.faults
logs = fixtures.logs
metrics = fixtures.metrics
signals = fixtures.signals
stores = fixtures.stores


@pytest.fixture
def ports(
    stores: Stores,
    broker: InProcessBroker,
    signals: InProcessSignals,
    clock: ManualClock,
    metrics: Metrics,
    faults: Faults,
) -> Ports:
    broker._publisher = faults.around(broker._publisher)
    return Ports(
        store=faults.around(stores.worker),
        registry=faults.around(stores.registry),
        broker=broker,
        signals=signals,
        clock=clock,
        metrics=metrics,
    )


@pytest.fixture
async def shop(ports: Ports, scene: Scene) -> AsyncIterator[Shop]:
    """The parts of a worker with a fresh lease. At its end nothing is left in it."""
    shop = Shop(ports, scene)
    await shop.lease.run_once()
    yield shop
    shop.handlers.gate.set()
    await shop.idle()
