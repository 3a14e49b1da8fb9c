"""A worker over SQLite and the in-process broker, its ports failing when a test says so."""

from __future__ import annotations

import pytest

from horae.broker.inprocess import InProcessBroker
from horae.handlers import Registry
from horae.runtime.metrics import Metrics
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from horae.worker.ports import Ports
from tests.dispatch import fixtures
from tests.dispatch.faults import Faults
from tests.support.clock import ManualClock

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
def registry() -> Registry:
    """Handlers of this test alone."""
    return Registry()
