"""An attempt in a process of its own: what comes back, how it is ended, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from horae.domain.job import ISOLATE_FROM_LOSSES, Outcome
from horae.handlers import Discard, JobContext, Registry, Retry
from horae.handlers.registry import define
from horae.store.base import Run
from horae.worker.executor import Attempt, Executor
from horae.worker.isolation import ChildFailed, Isolation, ProcessDied
from horae.worker.judge import Broke, Cancelled, Ended, Returned
from horae.worker.table import Ask, Entry
from tests.handlers.contexts import Reports
from tests.support.waiting import eventually
from tests.worker.runs import WORKER, new_run

HANDLERS = Path(__file__).with_name("isolated.py")
ISOLATION = Isolation([str(HANDLERS)])
SOON = 30.0
"""seconds for a process to start and end on a busy machine"""


async def run_alone(
    name: str, reports: Reports | None = None, fields: dict[str, Any] | None = None, **payload: Any
) -> Any:
    run = new_run(f"own.{name}", payload=orjson.dumps(payload).decode(), **(fields or {}))
    async with asyncio.timeout(SOON):
        return await ISOLATION.run(run, reports or Reports())


@asynccontextmanager
async def running(name: str, **payload: Any) -> AsyncIterator[tuple[asyncio.Task[Any], list[int]]]:
    """An attempt that has told the ids of its processes."""
    reports = Reports()
    task = asyncio.create_task(run_alone(name, reports, **payload))
    await eventually(lambda: bool(reports.seen), SOON)
    yield task, [int(pid) for pid in reports.seen[0][1].split()]
    task.cancel()
    await asyncio.wait({task})


def gone(pid: int) -> bool:
    """Whether the process has ended, buried or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# ---------------------------------------------------------------------------------------------------------- what comes


async def test_a_handler_gets_its_payload_and_the_facts_of_its_run() -> None:
    fire_time = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    fields = {"attempt": 3, "token": 9, "fire_time": fire_time}
    answer = await run_alone("facts", fields=fields, text="ä", large="x" * 60_000)
    assert (answer["attempt"], answer["token"]) == (3, 9)
    assert answer["key"] == f"{answer['job_id']}:2026-03-29T01:30:00Z"
    assert answer["payload"] == {"text": "ä", "large": "x" * 60_000}
    assert answer["pid"] != os.getpid()


async def test_progress_comes_while_it_runs_also_from_a_thread() -> None:
    reports = Reports()
    assert await run_alone("thread", reports, steps=4) != os.getpid()
    assert reports.seen == [(number / 4, f"step {number}") for number in range(4)]


async def test_what_it_raises_comes_back() -> None:
    with pytest.raises(Retry, match="not yet") as asked:
        await run_alone("raises", what="retry")
    assert asked.value.delay == 7.5
    with pytest.raises(Discard, match="no such user"):
        await run_alone("raises", what="discard")
    with pytest.raises(ChildFailed) as caught:
        await run_alone("raises", what="error")
    failure = caught.value.failure
    assert (failure.type, failure.message) == ("ValueError", "broken")
    assert "in raises" in (failure.traceback or "")


async def test_what_it_prints_does_not_get_into_its_answer() -> None:
    assert await run_alone("prints") == "printed"


async def test_what_it_leaves_running_does_not_keep_its_answer_back() -> None:
    assert await run_alone("leftovers") == "left True"


# ---------------------------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    ("how", "fate"),
    [("exit", "ended with exit code 3"), ("SIGKILL", "was killed by SIGKILL"), ("SIGSEGV", "was killed by SIGSEGV")],
)
async def test_its_death_is_told_with_its_cause(how: str, fate: str) -> None:
    with pytest.raises(ProcessDied, match=fate):
        await run_alone("dies", how=how)


async def test_its_death_is_noticed_though_a_program_in_the_background_lives_on() -> None:
    with pytest.raises(ProcessDied, match="exit code 3"):
        await run_alone("background")


async def test_handlers_that_can_not_be_loaded_are_a_death() -> None:
    with pytest.raises(ProcessDied, match="exit code 1"):
        await Isolation(["no_such_module"]).run(new_run(), Reports())


async def test_cancelled_it_is_killed_with_all_that_it_has_started() -> None:
    before = open_files()
    async with running("waits") as (task, pids):
        assert not any(gone(pid) for pid in pids)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await eventually(lambda: all(gone(pid) for pid in pids))
        await eventually(lambda: open_files() <= before)


@pytest.mark.parametrize("dies", [False, True])
async def test_a_process_that_escapes_its_session_keeps_nobody_waiting(dies: bool) -> None:
    before = open_files()
    async with running("leaves", dies=dies) as (task, [pid]):
        try:
            async with asyncio.timeout(SOON):
                await asyncio.wait({task})
            assert isinstance(task.exception(), ProcessDied) if dies else task.result() == "done"
            await eventually(lambda: open_files() <= before)
        finally:
            os.kill(pid, signal.SIGKILL)


async def test_it_ends_when_its_worker_is_killed() -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.worker.lonely", str(HANDLERS), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    async with asyncio.timeout(SOON):
        pids = [int(pid) for pid in (await worker.stdout.readline()).split()]
    assert not any(gone(pid) for pid in pids)
    worker.kill()
    await worker.wait()
    await eventually(lambda: all(gone(pid) for pid in pids))


# ---------------------------------------------------------------------------------------------------------- in a worker


async def unreachable(_ctx: JobContext, **_payload: Any) -> None:
    raise AssertionError("called in the worker's own process")


@asynccontextmanager
async def executing(run: Run, limit: float = SOON) -> AsyncIterator[tuple[asyncio.Task[Ended], Entry, Reports]]:
    entry, reports = Entry(run.reference, WORKER, running=True), Reports()
    registry = Registry()
    registry.add(define(run.handler, unreachable))
    executor = Executor(registry, ISOLATION)
    task = asyncio.create_task(executor.execute(Attempt(run, entry, reports, limit), lambda: None))
    yield task, entry, reports
    with suppress(asyncio.CancelledError):
        await task


async def test_a_job_that_was_lost_twice_runs_in_a_process_whatever_its_handler_says() -> None:
    run = new_run("own.facts", losses=ISOLATE_FROM_LOSSES)
    async with executing(run) as (task, _, _):
        ended = await task
    assert isinstance(ended, Returned)
    assert orjson.loads(ended.result or "")["pid"] != os.getpid()


async def test_the_death_of_its_process_is_a_loss_that_counts() -> None:
    run = new_run("own.dies", losses=ISOLATE_FROM_LOSSES, payload='{"how":"SIGKILL"}')
    async with executing(run) as (task, _, _):
        ended = await task
    assert isinstance(ended, Broke)
    assert (ended.outcome, ended.final, ended.failure.type) == (Outcome.LOST, False, "lost")


@pytest.mark.parametrize("limit", [SOON, 0.1])
async def test_it_is_killed_when_its_time_is_over_or_a_user_cancels(limit: float) -> None:
    async with executing(new_run("own.waits", losses=ISOLATE_FROM_LOSSES), limit) as (task, entry, reports):
        if limit == SOON:
            await eventually(lambda: bool(reports.seen), SOON)
            entry.end(Ask.CANCEL)
        ended = await task
    assert isinstance(ended, Cancelled if limit == SOON else Broke)
    for _, pids in reports.seen:
        await eventually(lambda pids=pids: all(gone(int(pid)) for pid in pids.split()))  # type: ignore[misc]
