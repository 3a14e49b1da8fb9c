"""The application over real stores and in-process signals, asked through real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from horae.api.application import build_app
from horae.api.context import ApiDeps
from horae.handlers.loader import load
from horae.runtime.clock import SystemClock
from horae.runtime.health import Readiness
from horae.runtime.metrics import Metrics
from horae.signals.inprocess import InProcessSignals
from horae.store.sql import Stores

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def signals() -> AsyncIterator[InProcessSignals]:
    """Signals of this test's own."""
    signals = InProcessSignals()
    yield signals
    await signals.close()


@pytest.fixture
def deps(stores: Stores, signals: InProcessSignals) -> ApiDeps:
    """What the application is given; only the stores' clock stands still."""
    return ApiDeps(
        jobs=stores.jobs,
        queues=stores.queues,
        registry=stores.registry,
        signals=signals,
        clock=SystemClock(),
        metrics=Metrics(),
        readiness=Readiness(["api"]),
        handlers=load(()).infos(),
    )


@pytest.fixture
async def client(deps: ApiDeps) -> AsyncIterator[Client]:
    """A client of the application."""
    async with TestClient(TestServer(build_app(deps))) as client:
        yield client
