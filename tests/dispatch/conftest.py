"""A dispatcher over SQLite and the in-process broker; both fail when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from horae.broker.inprocess import InProcessBroker
from horae.dispatch.claim import Dispatcher
from horae.runtime.metrics import Metrics
from horae.store.sql import Stores
from tests.dispatch import fixtures
from tests.dispatch.faults import Faults
from tests.support.clock import ManualClock
from tests.support.factories import LEASE

broker = fixtures.broker
faults = fixtures.faults
logs = fixtures.logs
metrics = fixtures.metrics
stores = fixtures.stores


@pytest.fixture
async def dispatcher(
    stores: Stores, broker: InProcessBroker, clock: ManualClock, metrics: Metrics, faults: Faults
) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(faults.around(stores.dispatch), faults.around(broker.publisher), clock, metrics, LEASE)
    yield dispatcher
    await dispatcher.settle()
