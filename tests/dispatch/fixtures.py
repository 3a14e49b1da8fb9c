"""What the tests of dispatch, scheduler and worker are set up with; their conftest files import it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from horae.broker.inprocess import InProcessBroker
from horae.runtime.metrics import Metrics
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from tests.dispatch.faults import Faults, Logs
from tests.support.clock import ManualClock


@pytest.fixture
def stores(sqlite_stores: Stores) -> Stores:
    """What a scene plays in: its statements have their own tests over each database."""
    return sqlite_stores


@pytest.fixture
async def broker(clock: ManualClock) -> AsyncIterator[InProcessBroker]:
    broker = InProcessBroker(clock)
    yield broker
    await broker.close()


@pytest.fixture
def signals() -> InProcessSignals:
    return InProcessSignals()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def faults() -> Faults:
    """What goes wrong at the ports that a test's role is given."""
    return Faults()


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as lines:
        yield lines


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """What a counter or gauge says; 0 before its first word."""
    return metrics.registry.get_sample_value(f"horae_{name}", labels) or 0.0
