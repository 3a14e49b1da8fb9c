"""Looks at fire times to come. A sparse expression takes a while, so it is done in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from horae.api.context import Context
from horae.api.schedule_answers import described
from horae.domain.cron import CronError
from horae.domain.preview import Fire, Preview, preview
from horae.domain.schedule import Schedule, ScheduleState
from horae.domain.timing import Timing
from horae.domain.zones import UnknownZone

NEXT_FIRES = 5
"""shown before and after a change"""

_MOMENT = timedelta(microseconds=1)


async def foreseen(
    context: Context, timing: Timing, begin: datetime | None, count: int, runs_left: int | None = None
) -> Preview:
    """At most `count` fire times at or after `begin`, or else after now.

    From now on there are no more of them than `runs_left`; from later on nobody knows how many.
    """
    after = context.deps.clock.now() if begin is None else begin - _MOMENT
    async with context.computing:
        found = await asyncio.to_thread(_preview, timing, after, count)
    most = None if begin is not None else runs_left
    return replace(found, items=found.items[:most])


async def next_fires(context: Context, schedule: Schedule) -> list[Fire]:
    """The next five of a stored schedule, that which is due first."""
    left = runs_left(schedule)
    count = NEXT_FIRES if left is None else min(left, NEXT_FIRES)
    if count == 0:
        return []
    return (await foreseen(context, schedule.definition.timing, schedule.next_fire_at, count)).items


def runs_left(schedule: Schedule) -> int | None:
    """How often it may still fire; None without bound."""
    if schedule.state is ScheduleState.ENDED:
        return 0
    most = schedule.definition.max_runs
    return None if most is None else max(most - schedule.runs, 0)


def jitter_warnings(jitter_seconds: int, fires: Sequence[Fire]) -> Iterator[str]:
    """Jitter that changes the order of jobs."""
    shortest = min((later.fire_time - fire.fire_time for fire, later in pairwise(fires)), default=timedelta.max)
    if jitter_seconds > shortest.total_seconds():
        yield (
            f"jitter_seconds is {jitter_seconds}, but there are only {shortest.total_seconds():g} seconds between two "
            "fire times: their jobs may start in another order."
        )


def _preview(timing: Timing, after: datetime, count: int) -> Preview:
    try:
        return preview(timing, after, count)
    except (CronError, UnknownZone):
        # Stored by another release.
        return Preview([], [], described(timing), [])
