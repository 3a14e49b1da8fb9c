from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator

import pytest

from horae.client import Client, NotFound, SyncClient
from tests.client.canned import JOB, Canned, job, problem
from tests.client.conftest import QUICK

ID = JOB["id"]


@pytest.fixture
def sync(canned: Canned) -> Iterator[SyncClient]:
    with SyncClient(canned.url, retries=QUICK) as client:
        yield client


def test_it_has_every_method_of_the_asynchronous_one() -> None:
    def public(kind: type) -> dict[str, inspect.Signature]:
        functions = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(function) for name, function in functions if not name.startswith("_")}

    blocking, asynchronous = public(SyncClient), public(Client)
    assert blocking.keys() == asynchronous.keys()
    del blocking["close"], asynchronous["close"]
    assert [str(one.parameters) for one in blocking.values()] == [str(one.parameters) for one in asynchronous.values()]


async def test_it_answers_and_iterates(canned: Canned, sync: SyncClient) -> None:
    canned.will_say(job(), {"items": [job(id="2"), job(id="1")], "next_cursor": None})

    def use() -> tuple[str, list[str]]:
        return sync.get(ID).id, [one.id for one in sync.iterate(queue="mail")]

    assert await asyncio.to_thread(use) == (ID, ["2", "1"])


async def test_an_iteration_may_be_left(canned: Canned, sync: SyncClient) -> None:
    canned.will_say({"items": [job(id="2"), job(id="1")], "next_cursor": "more"})
    assert await asyncio.to_thread(lambda: next(iter(sync.iterate())).id) == "2"
    assert len(canned.asked) == 1


async def test_its_errors_are_the_same(canned: Canned, sync: SyncClient) -> None:
    canned.will_say(problem(404, "There is no such thing"))
    with pytest.raises(NotFound):
        await asyncio.to_thread(sync.get, ID)


async def test_threads_may_share_it(canned: Canned, sync: SyncClient) -> None:
    canned.will_say(job())
    got = await asyncio.gather(*(asyncio.to_thread(sync.get, ID) for _ in range(8)))
    assert {one.id for one in got} == {ID}


def test_closing_ends_its_thread_and_using_it_then_is_an_error() -> None:
    client = SyncClient("http://127.0.0.1:1")
    client.close()
    client.close()
    assert not [thread for thread in threading.enumerate() if thread is client._thread]
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.get(ID)
