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


async def run_duty(duty: Duty, clock: Clock) -> None:
    """Runs the duty until cancelled. An error is logged and the duty tried again, ever more slowly."""
    failures = 0
    while True:
        # Cleared before the work: a wake-up that comes in the middle of it leads to another round.
        duty.wake.clear()
        try:
            pause = await duty.run_once()
            failures = 0
        except Unavailable as error:
            failures += 1
            pause = pause_after(failures)
            log.warning("duty.unavailable", duty=duty.name, error=str(error), again_in=round(pause, 2))
        except Exception:
            failures += 1
            pause = pause_after(failures)
            log.exception("duty.failed", duty=duty.name, again_in=round(pause, 2))
        if failures:
            # Whatever wakes it, a failing duty keeps its pause, or a stream of hints would make it spin.
            await asyncio.sleep(pause)
        else:
            await clock.wait(duty.wake, pause)


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row, with jitter."""
    return min(0.1 * 2.0 ** min(failures, 10), LONGEST_PAUSE) * random.uniform(0.5, 1.0)


async def run_duties(duties: Iterable[Duty], clock: Clock) -> None:
    """Runs all of them until cancelled."""
    async with asyncio.TaskGroup() as group:
        for duty in duties:
            group.create_task(run_duty(duty, clock), name=duty.name)
