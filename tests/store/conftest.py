"""A scene whose connections to MySQL go through a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from horae.store.sql import Stores
from tests.support.clock import ManualClock
from tests.support.databases import opened
from tests.support.proxy import MySqlProxy
from tests.support.scene import Scene


@pytest.fixture
async def proxy(migrated_mysql: str) -> AsyncIterator[MySqlProxy]:
    """A proxy before the run's MySQL database."""
    async with MySqlProxy.before(migrated_mysql) as made:
        yield made


@pytest.fixture
async def far(mysql_stores: Stores, proxy: MySqlProxy, clock: ManualClock) -> AsyncIterator[Scene]:
    """Stores over MySQL whose connections go through the proxy; `mysql_stores` sees the same database directly."""
    async with opened(proxy.url, clock) as stores:
        yield await Scene.set(stores, clock)
