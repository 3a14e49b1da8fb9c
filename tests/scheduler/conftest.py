"""A scheduler over SQLite and the in-process broker, its ports failing when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from horae.broker.inprocess import InProcessBroker
from horae.runtime.metrics import Metrics
from horae.scheduler.ports import Ports
from horae.scheduler.service import Scheduler, SchedulerSettings
from horae.signals.inprocess import InProcessSignals
from horae.store.base import Retention
from horae.store.sql import Stores
from tests.dispatch import fixtures
from tests.dispatch.faults import Faults
from tests.support.clock import ManualClock
from tests.support.factories import LEASE

broker = fixtures.broker
faults = fixtures.faults
logs = fixtures.logs
metrics = fixtures.metrics
signals = fixtures.signals
stores = fixtures.stores

RETENTION = Retention(success=timedelta(days=7), failed=timedelta(days=30))
SETTINGS = SchedulerSettings(LEASE, LEASE, RETENTION, retention_ledger=timedelta(days=90))


@pytest.fixture
def scheduler_ports(
    stores: Stores,
    broker: InProcessBroker,
    signals: InProcessSignals,
    clock: ManualClock,
    metrics: Metrics,
    faults: Faults,
) -> Ports:
    return Ports(
        dispatch=faults.around(stores.dispatch),
        rescue=faults.around(stores.rescue),
        firing=faults.around(stores.firing),
        publisher=faults.around(broker.publisher),
        signals=signals,
        clock=clock,
        metrics=metrics,
    )


@pytest.fixture
async def scheduler(scheduler_ports: Ports) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(scheduler_ports, SETTINGS)
    yield scheduler
    await scheduler._dispatcher.settle()
