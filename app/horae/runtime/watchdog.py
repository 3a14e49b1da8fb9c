"""A thread that notices when the event loop is blocked, tells by what, and keeps the process alive for a while."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable

import structlog

from horae.runtime.clock import Clock

log = structlog.get_logger(__name__)

EXIT_STUCK = 70
"""the exit status of a process whose loop stayed blocked"""

GRACE_SECONDS = 0.1

STOP_SECONDS = 1.0
"""that `stop` waits for the thread"""

STACK_DEPTH = 50
"""innermost frames that are logged"""


def exit_at_once() -> None:
    """Ends the process without waiting for anything: what blocks the loop would block its end too."""
    os._exit(EXIT_STUCK)


class Watchdog:
    """Asks the loop for a sign of life, every half `threshold`.

    Unanswered for `threshold` seconds the loop is blocked: the stack of its thread is logged, once, and `keep_alive` is
    called every `every` seconds, in the watchdog's thread, until the loop answers. After `blocked_seconds` of this
    `on_stuck` is called. `keep_alive` may block, but for seconds only: while it lasts nothing else is noticed.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        keep_alive: Callable[[], None] = lambda: None,
        every: float = 5.0,
        blocked_seconds: float = 60.0,
        on_stuck: Callable[[], None] = exit_at_once,
        threshold: float = 1.0,
    ) -> None:
        self._clock = clock
        self._keep_alive = keep_alive
        self._every = every
        self._blocked_seconds = blocked_seconds
        self._on_stuck = on_stuck
        self._threshold = threshold
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watches the running loop, from within it."""
        watched = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=watched, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; may be called twice, or without a start. A `keep_alive` under way is left to itself."""
        self._stopping.set()
        self._answered.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._stopping.wait(self._threshold / 2):
            asked = self._clock.monotonic()
            if not self._ask(loop):
                return
            if not self._answers_within(self._threshold) and not self._sit_out(asked, thread):
                log.critical("loop.stuck", seconds=self._since(asked))
                self._on_stuck()
                return

    def _ask(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether there is still something to watch."""
        self._answered.clear()
        # After the clear: `stop` sets first this, then the answer, so neither can be missed.
        if self._stopping.is_set():
            return False
        try:
            loop.call_soon_threadsafe(self._answered.set)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _answers_within(self, seconds: float) -> bool:
        # The second wait is for a process that was paused as a whole: the loop had no chance to answer in time.
        return self._answered.wait(seconds) or self._answered.wait(GRACE_SECONDS)

    def _sit_out(self, asked: float, thread: int) -> bool:
        """Keeps the process alive until the loop answers; False if it didn't for `blocked_seconds`."""
        log.error("loop.blocked", seconds=self._since(asked), stack=_stack(thread))
        while (left := self._blocked_seconds - self._since(asked)) > 0:
            self._try_keep_alive()
            if self._answers_within(min(self._every, left)):
                log.warning("loop.free", seconds=self._since(asked))
                return True
        return self._answers_within(self._threshold)

    def _try_keep_alive(self) -> None:
        try:
            self._keep_alive()
        except Exception:
            log.exception("loop.keep_alive_failed")

    def _since(self, asked: float) -> float:
        return round(self._clock.monotonic() - asked, 3)


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way to another thread's stack
    return "".join(traceback.format_stack(frame, -STACK_DEPTH)) if frame else ""
