"""A duty: one long-running loop of a role. Its `run_once` does what is due and says how long it may sleep."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Protocol

import structlog

from horae.domain.errors import Unavailable
from horae.runtime.clock import Clock

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 5.0
"""seconds between two tries of a duty that keeps failing"""

Stop = asyncio.Event
"""Set when a role shall come to an end of its own accord."""


class Duty(Protocol):
    """What a role does over and over."""

    @property
    def name(self) -> str:
        """For logs and metrics."""
        ...

    @property
    def wake(self) -> asyncio.Event:
        """Set by whoever knows that there is something to do before the sleep ends."""
        ...

    async def run_once(self) -> float:
        """Does what is due now; returns the seconds until it wants to run again."""
        ...


async def run_duty(duty: Duty, clock: Clock, stop: Stop) -> None:
    """Runs the duty until `stop` is set, never cutting a round off in its middle.

    An error is logged and the duty tried again, ever more slowly.
    """
    failures = 0
    while not stop.is_set():
        # Cleared before the work: a wake-up that comes in the middle of it leads to another round.
        duty.wake.clear()
        pause, failed = await _round(duty, failures)
        failures = failures + 1 if failed else 0
        # Whatever wakes it, a failing duty keeps its pause, or a stream of hints would make it spin.
        await clock.wait(stop if failed else duty.wake, pause)


async def _round(duty: Duty, failures: int) -> tuple[float, bool]:
    try:
        return await duty.run_once(), False
    except Unavailable as error:
        pause = pause_after(failures)
        log.warning("duty.unavailable", duty=duty.name, error=str(error), again_in=round(pause, 2))
    except Exception:
        pause = pause_after(failures)
        log.exception("duty.failed", duty=duty.name, again_in=round(pause, 2))
    return pause, True


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row before the last one, with jitter."""
    return min(0.2 * 2.0 ** min(failures, 10), LONGEST_PAUSE) * random.uniform(0.5, 1.0)


async def run_duties(duties: Iterable[Duty], clock: Clock, stop: Stop) -> None:
    """Runs all of them until `stop` is set; a sleeping one is woken by it."""
    duties = tuple(duties)
    async with asyncio.TaskGroup() as group:
        for duty in duties:
            group.create_task(run_duty(duty, clock, stop), name=duty.name)
        await stop.wait()
        for duty in duties:
            duty.wake.set()
