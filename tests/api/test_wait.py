from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from horae.api.context import CONTEXT, ApiDeps
from horae.api.waiting import Waiters
from horae.domain.job import State
from horae.domain.transitions import SUCCEED
from horae.signals.base import Event
from horae.signals.inprocess import InProcessSignals
from tests.api.asking import JOBS, Client, Json, fields_of, get, post, submit
from tests.support.scene import Scene
from tests.support.waiting import eventually


def waiters(client: Client) -> Waiters:
    app = client.app
    assert app is not None
    return app[CONTEXT].waiters


@asynccontextmanager
async def waiting(client: Client, id_: str, seconds: str = "30") -> AsyncIterator[asyncio.Task[Json]]:
    """A request that waits for the job."""
    task = asyncio.create_task(get(client, f"{JOBS}/{id_}", params={"wait": seconds}))
    await eventually(lambda: waiters(client)._count == 1)
    yield task
    async with asyncio.timeout(10):
        await task


async def test_a_final_job_is_answered_at_once(client: Client, scene: Scene) -> None:
    reference = await scene.reach(State.SUCCESS)
    assert (await get(client, f"{JOBS}/{reference.id}?wait=60"))["result"] == {"a": 1}


async def test_the_answer_comes_when_the_job_ends(client: Client, scene: Scene) -> None:
    run = await scene.run()
    async with waiting(client, run.id) as task:
        await scene.finish(run.reference, SUCCEED, result="7")
        assert (await task)["result"] == 7


async def test_an_event_of_the_end_saves_the_pause(
    client: Client, scene: Scene, signals: InProcessSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("horae.api.waiting.FIRST_LOOK", 25.0)
    run = await scene.run()
    async with waiting(client, run.id) as task:
        await eventually(lambda: bool(signals._watchers))
        await scene.finish(run.reference, SUCCEED, result="7")
        signals.emit(Event("job", "default", {"id": run.id, "state": "SUCCESS"}))
        async with asyncio.timeout(5):
            assert (await task)["result"] == 7


async def test_the_time_is_bounded(client: Client) -> None:
    job = await submit(client)
    async with asyncio.timeout(5):
        assert (await get(client, f"{JOBS}/{job['id']}?wait=0.2"))["state"] == "PENDING"
        assert (await get(client, f"{JOBS}/{job['id']}?wait=0"))["state"] == "PENDING"


async def test_a_cancel_by_somebody_else_ends_the_wait(client: Client) -> None:
    job = await submit(client)
    async with waiting(client, job["id"]) as task:
        await post(client, f"{JOBS}/{job['id']}/cancel")
        assert (await task)["state"] == "CANCELLED"


async def test_a_job_that_vanishes_ends_the_wait(client: Client, scene: Scene) -> None:
    job = await submit(client)
    task = asyncio.create_task(client.get(f"{JOBS}/{job['id']}?wait=30"))
    await eventually(lambda: waiters(client)._count == 1)
    await scene.stores.jobs.cancel("default", [job["id"]])
    await scene.stores.jobs.delete("default", [job["id"]])
    async with asyncio.timeout(10):
        assert (await task).status == 404


async def test_nobody_waits_once_the_client_has_left(client: Client) -> None:
    job = await submit(client)
    task = asyncio.create_task(client.get(f"{JOBS}/{job['id']}?wait=60"))
    await eventually(lambda: waiters(client)._count == 1)
    task.cancel()
    await eventually(lambda: waiters(client)._count == 0)


async def test_a_hundred_waiters_share_one_watch(client: Client, deps: ApiDeps, signals: InProcessSignals) -> None:
    job = await submit(client)
    tasks = [asyncio.create_task(get(client, f"{JOBS}/{job['id']}?wait=30")) for _ in range(90)]
    await eventually(lambda: waiters(client)._count == len(tasks))
    await eventually(lambda: bool(signals._watchers))
    assert len(signals._watchers["default"]) == 1
    await post(client, f"{JOBS}/{job['id']}/cancel")
    answers = await asyncio.gather(*tasks)
    assert {answer["state"] for answer in answers} == {"CANCELLED"}
    await eventually(lambda: not signals._watchers)


async def test_those_who_wait_are_answered_when_the_api_stops(client: Client) -> None:
    job = await submit(client)
    async with waiting(client, job["id"], "60") as task:
        waiters(client).stop()
        async with asyncio.timeout(5):
            assert (await task)["state"] == "PENDING"


@pytest.mark.parametrize("wait", ["-1", "61", "x", "", "1e2", "-0.1", ".5", "5.", "NaN", "inf", "5&wait=6"])
async def test_a_wrong_time_to_wait_is_refused(client: Client, wait: str) -> None:
    job = await submit(client)
    assert set(fields_of(await get(client, f"{JOBS}/{job['id']}?wait={wait}", 422))) == {"wait"}


def test_the_more_wait_the_more_rarely_each_looks() -> None:
    many = Waiters(InProcessSignals())
    assert many.longest_pause == 1.0
    many._count = 1000
    assert many.longest_pause == 5.0
