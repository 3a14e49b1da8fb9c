"""The application over real stores and in-process signals, asked through real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from horae.api.application import build_app
from horae.api.context import ApiDeps
from horae.handlers.loader import built_in
from horae.runtime.clock import Clock, SystemClock
from horae.runtime.health import Readiness
from horae.runtime.metrics import Metrics
from horae.signals.base import Signals
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores
from tests.api.asking import Client
from tests.support.clock import ManualClock
from tests.support.scene import Scene


@pytest.fixture
async def signals() -> AsyncIterator[InProcessSignals]:
    """Signals of this test's own."""
    signals = InProcessSignals()
    yield signals
    await signals.close()


def deps_over(stores: Stores, signals: Signals, clock: Clock | None = None) -> ApiDeps:
    """What the application is given; only the stores' clock stands still, unless the application is given one too."""
    return ApiDeps(
        jobs=stores.jobs,
        queues=stores.queues,
        registry=stores.registry,
        schedules=stores.schedules,
        signals=signals,
        clock=clock or SystemClock(),
        metrics=Metrics(),
        readiness=Readiness(["api"]),
        handlers=built_in().infos(),
    )


@pytest.fixture
def deps(stores: Stores, signals: InProcessSignals) -> ApiDeps:
    """What the application under test is given."""
    return deps_over(stores, signals)


@pytest.fixture
async def client(deps: ApiDeps) -> AsyncIterator[Client]:
    """A client of the application."""
    async with TestClient(TestServer(build_app(deps))) as client:
        yield client


@pytest.fixture
async def scene(stores: Stores, clock: ManualClock) -> Scene:
    """Jobs in whatever state a test wants, over the same stores."""
    return await Scene.set(stores, clock)
