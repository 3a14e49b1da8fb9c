"""The answer to a COMMIT is lost, at every move of a job: applied or not, nothing is stuck, and nothing is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest

from horae.client import Client, State
from tests.e2e.support.installation import Addresses, Installation, once
from tests.e2e.support.servers import fresh
from tests.support.proxy import Cut, MySqlProxy
from tests.support.waiting import eventually

pytestmark = pytest.mark.service

LEASE = 3.0
CUTS = 20
MOVES = {
    "submit": "INSERT INTO jobs ",
    "claim": "UPDATE jobs SET state='QUEUED'",
    "start": "UPDATE jobs SET state='RUNNING'",
    "finish": "UPDATE jobs SET state='SUCCESS'",
}
AT_ONCE = {"submit": 10}
"""requests at the same time: a client that was cut off comes again after a second"""
FATES = {"applied": Cut.UNANSWERED, "rolled-back": Cut.UNSENT}
CASES = [(f"{move}-{fate}", move, fate) for move in MOVES for fate in FATES]


@pytest.fixture(scope="module")
async def addresses(mysql_server: str, broker: str) -> AsyncIterator[Addresses]:
    """One database for all tests of this module."""
    async with fresh(mysql_server, broker) as made:
        yield made


@pytest.fixture(scope="module")
async def proxy(addresses: Addresses) -> AsyncIterator[MySqlProxy]:
    async with MySqlProxy.before(addresses.database) as made:
        yield made


@pytest.fixture(scope="module")
async def behind(
    tmp_path_factory: pytest.TempPathFactory, addresses: Addresses, proxy: MySqlProxy
) -> AsyncIterator[Installation]:
    """An installation whose processes reach the database through the proxy."""
    through = replace(addresses, database=proxy.url)
    queues = ",".join(queue for queue, *_ in CASES)
    async with Installation.at(tmp_path_factory.mktemp("behind"), addresses) as made:
        await made.serve_all("api,scheduler", "worker", addresses=through, dispatch_lease_seconds=LEASE, queues=queues)
        yield made


@pytest.mark.parametrize(("queue", "move", "fate"), CASES, ids=[queue for queue, *_ in CASES])
async def test_a_lost_answer_does_no_harm(
    behind: Installation, proxy: MySqlProxy, queue: str, move: str, fate: str
) -> None:
    for _ in range(CUTS):
        proxy.plan("COMMIT", FATES[fate], after=MOVES[move])
        # In between one passes: whoever fails time after time comes again ever more slowly.
        proxy.plan("COMMIT", None, after=MOVES[move])
    ids: list[str] = []
    while planned := proxy.planned:
        ids += await submitted(behind.client, queue, range(len(ids), len(ids) + AT_ONCE.get(move, 1)))
        await eventually(lambda planned=planned: proxy.planned < planned)  # type: ignore[misc]
    await behind.become({State.SUCCESS: len(ids)}, LEASE + 10, queue=queue)
    assert set(behind.column("id", queue=queue)) == set(ids)
    assert set(behind.column("attempt", queue=queue)) == {1}
    assert behind.outcomes(queue=queue) == {}
    assert behind.runs(ids) == behind.runs(ids, "end") == once(ids)


async def submitted(client: Client, queue: str, numbers: Iterable[int]) -> list[str]:
    """A job for each number, by requests of their own at the same time, repeated until they are answered."""
    requests = (client.submit("witness", queue=queue, idempotency_key=f"{queue}-{number}") for number in numbers)
    return [job.id for job in await asyncio.gather(*requests)]
