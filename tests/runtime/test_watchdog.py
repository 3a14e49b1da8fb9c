"""The watchdog of a loop in a thread of its own, which is really blocked."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from structlog.testing import CapturedCall, CapturingLogger

from horae.runtime import watchdog as module
from horae.runtime.clock import SystemClock
from horae.runtime.watchdog import Watchdog

PATIENCE = 10.0


class Loop:
    """An event loop in its own thread, that can be blocked."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._free = threading.Event()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Runs it in the loop and waits for its end."""
        done = threading.Event()

        def whole() -> None:
            function()
            done.set()

        self.loop.call_soon_threadsafe(whole)
        assert done.wait(PATIENCE)

    def block(self) -> None:
        self._free.clear()
        self.loop.call_soon_threadsafe(self.a_handler_that_blocks)

    def a_handler_that_blocks(self) -> None:
        assert self._free.wait(PATIENCE)

    def free(self) -> None:
        self._free.set()

    def end(self) -> None:
        self._free.set()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


class Counter:
    """Counts calls; others may wait for a number of them."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self._error = error
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self.calls += 1
            self._changed.notify_all()
        if self._error:
            raise self._error

    def reaches(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.calls >= count, PATIENCE)


@contextmanager
def watched(**options: Any) -> Iterator[Loop]:
    """A loop under watch, with thresholds of milliseconds."""
    loop = Loop()
    watchdog = Watchdog(SystemClock(), **{"threshold": 0.1, "every": 0.05, **options})
    try:
        loop.call(watchdog.start)
        yield loop
        loop.free()
        loop.call(watchdog.stop)
        assert watchdog._thread
        assert not watchdog._thread.is_alive()
    finally:
        loop.end()


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[CapturedCall]:
    """What the watchdog logs, however logging is set up."""
    log = CapturingLogger()
    monkeypatch.setattr(module, "log", log)
    return log.calls


def names(entries: list[CapturedCall]) -> list[str]:
    return [entry.args[0] for entry in entries]


def until(true: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(true() or pause.wait(0.01) for _ in range(int(PATIENCE / 0.01)))


def test_a_loop_that_answers_is_left_alone(entries: list[CapturedCall]) -> None:
    keep_alive, on_stuck = Counter(), Counter()
    with (
        watched(keep_alive=keep_alive, on_stuck=on_stuck, blocked_seconds=0.2) as loop,
        patch.object(loop.loop, "call_soon_threadsafe", wraps=loop.loop.call_soon_threadsafe) as asked,
    ):
        assert until(lambda: asked.call_count >= 5)
    assert entries == []
    assert keep_alive.calls == on_stuck.calls == 0


def test_a_short_block_is_nothing_to_tell(entries: list[CapturedCall]) -> None:
    keep_alive = Counter()
    with watched(keep_alive=keep_alive, threshold=2.0) as loop:
        with patch.object(loop.loop, "call_soon_threadsafe", wraps=loop.loop.call_soon_threadsafe) as asked:
            loop.block()
            assert until(lambda: asked.call_count >= 2)
        threading.Event().wait(0.5)
        loop.free()
    assert entries == []
    assert keep_alive.calls == 0


def test_a_block_is_told_once_with_the_stack_and_outlived(entries: list[CapturedCall]) -> None:
    keep_alive, on_stuck = Counter(), Counter()
    with watched(keep_alive=keep_alive, on_stuck=on_stuck, blocked_seconds=60) as loop:
        loop.block()
        assert keep_alive.reaches(5)
        loop.free()
        assert until(lambda: "loop.free" in names(entries))
    assert names(entries) == ["loop.blocked", "loop.free"]
    assert "a_handler_that_blocks" in entries[0].kwargs["stack"]
    assert entries[0].kwargs["seconds"] >= 0.1
    assert on_stuck.calls == 0


def test_a_second_block_is_told_again(entries: list[CapturedCall]) -> None:
    keep_alive = Counter()
    with watched(keep_alive=keep_alive, blocked_seconds=60) as loop:
        for count in (2, 4):
            loop.block()
            assert until(lambda: len(entries) == count - 1)  # noqa: B023 - asked before the count changes
            loop.free()
            assert until(lambda: len(entries) == count)  # noqa: B023 - as above
    assert names(entries) == ["loop.blocked", "loop.free"] * 2


def test_a_block_that_does_not_end_is_given_up(entries: list[CapturedCall]) -> None:
    keep_alive, on_stuck = Counter(), Counter()
    with watched(keep_alive=keep_alive, on_stuck=on_stuck, blocked_seconds=0.4) as loop:
        loop.block()
        assert on_stuck.reaches(1)
        kept = keep_alive.calls
    assert names(entries) == ["loop.blocked", "loop.stuck"]
    assert entries[1].method_name == "critical"
    assert entries[1].kwargs["seconds"] >= 0.4
    assert kept >= 1
    assert keep_alive.calls == kept
    assert on_stuck.calls == 1


def test_a_keep_alive_that_fails_is_told_and_tried_again(entries: list[CapturedCall]) -> None:
    keep_alive, on_stuck = Counter(OSError("no database")), Counter()
    with watched(keep_alive=keep_alive, on_stuck=on_stuck, blocked_seconds=60) as loop:
        loop.block()
        assert keep_alive.reaches(3)
        loop.free()
        assert until(lambda: "loop.free" in names(entries))
    assert names(entries).count("loop.keep_alive_failed") == keep_alive.calls


def test_a_loop_that_was_closed_ends_the_thread() -> None:
    loop = Loop()
    watchdog = Watchdog(SystemClock(), threshold=0.02)
    loop.call(watchdog.start)
    loop.end()
    assert watchdog._thread
    watchdog._thread.join(PATIENCE)
    assert not watchdog._thread.is_alive()


def test_stop_needs_no_start_and_may_come_twice() -> None:
    watchdog = Watchdog(SystemClock())
    watchdog.stop()
    watchdog.stop()


PROGRAM = """
import asyncio, time
from horae.runtime.clock import SystemClock
from horae.runtime.logs import configure_logs
from horae.runtime.watchdog import Watchdog

async def main():
    Watchdog(SystemClock(), threshold=0.1, every=0.05, blocked_seconds=0.3).start()
    await asyncio.sleep(0.01)
    time.sleep(30)

configure_logs("json", "info")
asyncio.run(main())
"""


async def test_a_process_that_stays_stuck_ends_itself_and_says_where() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        _, told = await process.communicate()
    assert process.returncode == 70
    assert b"loop.stuck" in told
    assert b"time.sleep(30)" in told or b"in main" in told
