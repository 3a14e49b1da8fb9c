"""The same journey on the embedded default: every role in one process, on an SQLite file of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from horae.client import Backoff, State
from horae.domain.job import Outcome
from tests.e2e.support.installation import Addresses, Installation, once
from tests.support.waiting import eventually


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Installation]:
    async with Installation.at(tmp_path, Addresses(f"sqlite:///{tmp_path / 'horae.db'}")) as made:
        await made.serve("all")
        yield made


async def test_the_whole_journey_in_one_process(site: Installation) -> None:
    await site.submit(5_000, "noop")
    await site.become({State.SUCCESS: 5_000}, 30)
    backoff = Backoff(kind="fixed", base_seconds=1, jitter=0)
    failing = await site.client.submit("fail", {"times": 2}, backoff=backoff)
    sleeping = await site.client.submit("sleep", {"seconds": 60})
    delayed = await site.client.submit("noop", delay=2)
    await eventually(lambda: site.states(id=sleeping.id) == {State.RUNNING: 1})
    await site.client.cancel(sleeping.id)
    await site.become({State.CANCELLED: 1}, 2, id=sleeping.id)
    failing = await site.client.wait(failing.id, 10)
    assert (failing.state, failing.attempt) == (State.SUCCESS, 3)
    delayed = await site.client.wait(delayed.id, 10)
    assert delayed.started_at
    assert 0 <= (delayed.started_at - delayed.run_at).total_seconds() < 1
    await site.become({State.SUCCESS: 5_002, State.CANCELLED: 1}, 5)


async def test_what_a_killed_process_held_is_taken_up_at_its_next_start(site: Installation) -> None:
    (process,) = site.roles
    running = await site.submit(50, "witness", {"seconds": 60, "again": 0}, timeout=300)
    waiting = await site.submit(100, "witness", queue="elsewhere", delay=3)
    carried = Backoff(kind="fixed", base_seconds=4, jitter=0)
    await site.submit(5, "fail", {"times": 1}, backoff=carried)
    await site.become({State.RUNNING: 50, State.PENDING: 100, State.RETRYING: 5}, 5)
    await process.kill()
    await process.start()
    await process.ready()
    await site.become({State.SUCCESS: 155}, 10)
    assert site.outcomes() == {Outcome.LOST: 50, Outcome.FAILED: 5}
    assert site.runs(running, "end") == once(running)
    assert site.runs(waiting) == once(waiting)


async def test_a_second_process_on_the_file_is_told_who_holds_it(site: Installation) -> None:
    (process,) = site.roles
    second = await site.launch("all")
    assert await second.ended() == 2
    told = second.log.read_text().strip()
    assert f"in use by process {process.pid}" in told
    assert "\n" not in told
    assert process.alive
