"""`def` handlers: an attempt ends on time, its slot when its thread does."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from horae.handlers import ThreadJobContext
from horae.worker.judge import Broke, Cancelled, Released, Returned
from horae.worker.table import Ask
from tests.support.waiting import eventually
from tests.worker.attempts import Bench, Gate, Trial, as_thread
from tests.worker.test_executor import ENDS, SHORT, TIMED_OUT

Complaints = list[dict[str, Any]]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def complaints() -> AsyncIterator[Complaints]:
    """What the event loop finds fault with."""
    loop, found = asyncio.get_running_loop(), Complaints()
    loop.set_exception_handler(lambda _loop, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


@pytest.fixture
async def trial(gate: Gate) -> Any:
    """An attempt whose thread waits at the gate."""
    with gate:
        trial = Bench().handle(gate.wait).begin()
        await gate.is_entered()
        yield trial
    await eventually(lambda: trial.slot_is_free)


@pytest.mark.parametrize(("ask", "end"), ENDS, ids=str)
async def test_it_ends_as_it_was_asked_and_keeps_its_slot_until_its_thread_ends(
    trial: Trial, gate: Gate, ask: Ask, end: Any
) -> None:
    assert not gate.context.cancelled
    trial.end(ask)
    assert await trial.task == end
    assert gate.context.cancelled
    assert not trial.slot_is_free


async def test_a_thread_that_outlives_its_timeout_keeps_its_slot() -> None:
    with Gate() as gate:
        trial = Bench().handle(gate.wait).begin(limit=SHORT)
        assert await trial.task == TIMED_OUT
        assert gate.context.cancelled
        assert not trial.slot_is_free
    await eventually(lambda: trial.slot_is_free)


async def test_a_thread_that_looks_whether_it_was_asked_to_end_ends() -> None:
    def obedient(ctx: ThreadJobContext) -> str:
        assert ctx.wait_cancelled(60)
        return "too late to be heard"

    obeying = Bench().handle(obedient).begin()
    await eventually(lambda: obeying.entry.context is not None)
    obeying.end(Ask.CANCEL)
    assert await obeying.task == Cancelled()
    await eventually(lambda: obeying.slot_is_free)


async def test_what_a_thread_says_after_its_attempt_has_ended_disturbs_nobody(complaints: Complaints) -> None:
    def late(ctx: ThreadJobContext) -> None:
        ctx.wait_cancelled(60)
        raise ValueError("nobody is there any more")

    trial = Bench().handle(late).begin(limit=SHORT)
    assert await trial.task == TIMED_OUT
    await eventually(lambda: trial.slot_is_free)
    gc.collect()
    assert complaints == []


async def test_a_slot_is_not_lost_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ended = await Bench().handle(as_thread(lambda: None)).ended()
    assert isinstance(ended, Broke)
    assert ended.failure.message == "can't start new thread"


async def test_progress_of_a_thread_reaches_the_reporter_of_the_run() -> None:
    def telling(ctx: ThreadJobContext) -> None:
        ctx.progress(0.25, "a quarter")

    trial = Bench().handle(telling).begin()
    assert await trial.task == Returned(None)
    assert trial.reports.seen == [(0.25, "a quarter")]


async def test_each_attempt_has_a_thread_of_its_own_and_none_blocks_the_loop() -> None:
    barrier = threading.Barrier(3)

    def meet() -> Callable[..., Any]:
        return as_thread(lambda: barrier.wait(10))

    bench = Bench().handle(meet())
    ended = await asyncio.gather(*[bench.ended() for _ in range(3)])
    assert sorted(ended, key=str) == [Returned("0"), Returned("1"), Returned("2")]


async def test_threads_never_keep_the_process_from_exiting(trial: Trial, gate: Gate) -> None:
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("job-"))
    trial.end(Ask.RELEASE)
    assert await trial.task == Released()
