"""Servers killed in the middle of the load, and started again: nothing is lost, and each job has one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from horae.client import Client, Retries, State
from tests.e2e.support.installation import Installation, once
from tests.e2e.support.servers import PrivateServers
from tests.support.waiting import eventually

pytestmark = [pytest.mark.service, pytest.mark.timeout(120)]

LEASE = 5.0
SETTLED = 3.0
"""seconds: a quorum queue that was declared less than two before it is killed RabbitMQ 3.10 can't start again"""
AGAIN = Retries(attempts=60, max_seconds=1.0)
"""for clients that outlast a restart"""


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[PrivateServers]:
    async with PrivateServers.up() as made:
        yield made


@pytest.fixture
async def site(servers: PrivateServers, tmp_path: Path) -> AsyncIterator[Installation]:
    async with Installation.at(tmp_path, await servers.addresses()) as made:
        await made.serve_all("api,scheduler", "worker", lease_seconds=LEASE, dispatch_lease_seconds=LEASE)
        yield made


class Load:
    """Jobs submitted one by one, each with a key, until told to stop."""

    def __init__(self, url: str) -> None:
        self.ids: list[str] = []
        self.enough = False
        self._url = url

    async def run(self) -> None:
        async with Client(self._url, retries=AGAIN) as client:
            while not self.enough:
                job = await client.submit("witness", {"seconds": 0.05}, idempotency_key=f"load-{len(self.ids)}")
                self.ids.append(job.id)

    async def flows(self, jobs: int) -> None:
        """Returns when so many more were taken."""
        wanted = len(self.ids) + jobs
        await eventually(lambda: len(self.ids) >= wanted, 60)


@pytest.mark.parametrize("name", ["redis", "mq", "db"])
async def test_a_server_killed_in_the_middle_of_the_load_costs_no_job(
    site: Installation, servers: PrivateServers, name: str
) -> None:
    load = Load(site.client.url)
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        await load.flows(30)
        if name == "mq":
            await asyncio.sleep(SETTLED)
        await servers("kill", name)
        if name != "db":
            await load.flows(30)
        await servers("start", name)
        await load.flows(30)
        load.enough = True
    await site.become({State.SUCCESS: len(load.ids)}, 2 * LEASE + 20)
    assert set(site.column("id")) == set(load.ids)
    assert site.outcomes() == {}
    assert site.runs(load.ids) == site.runs(load.ids, "end") == once(load.ids)


async def test_without_redis_jobs_run_all_the_same(site: Installation, servers: PrivateServers) -> None:
    await servers("kill", "redis")
    ids = await site.submit(200, "witness")
    await site.become({State.SUCCESS: 200}, 15)
    running = await site.client.submit("sleep", {"seconds": 60})
    await eventually(lambda: site.states(id=running.id) == {State.RUNNING: 1})
    await site.client.cancel(running.id)
    await site.become({State.CANCELLED: 1}, 3, id=running.id)
    assert site.runs(ids) == once(ids)
    await servers("start", "redis")
