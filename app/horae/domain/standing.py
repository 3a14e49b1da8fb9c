"""Where a schedule stands once its user has made, changed or resumed it. Pure.

What its fires make of it is in `firing`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from horae.domain.cron import CronError
from horae.domain.errors import InvalidInput
from horae.domain.firing import NOTHING_LEFT, Position, exhausted, used_up
from horae.domain.schedule import Definition, Schedule, ScheduleState
from horae.domain.timing import Timing
from horae.domain.zones import TZDATA, UnknownZone


def anchored(definition: Definition, now: datetime, before: Timing | None = None) -> Definition:
    """With the `start_at` that an interval has when none is given: the one that it had before, else now."""
    timing = definition.timing
    if timing.interval_seconds is None or timing.start_at is not None:
        return definition
    kept = before.start_at if before is not None and before.interval_seconds is not None else None
    return replace(definition, timing=replace(timing, start_at=kept or now.replace(microsecond=0)))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a schedule stands, by which time zone data, and why it has ended if it has."""

    position: Position
    tzdata: str
    ended: str | None = None


def standing(before: Schedule, position: Position, definition: Definition, now: datetime) -> Standing:
    """Where a schedule stands once it is changed.

    Fire times are counted anew from now where the timing is another, and where it had ended.

    Raises:
        InvalidInput: the fire times can't be computed.
    """
    if exhausted(definition, position.runs):
        return Standing(replace(position, next_fire_at=None), before.tzdata, used_up(definition))
    if before.state is not ScheduleState.ENDED and definition.timing == before.definition.timing:
        return Standing(position, before.tzdata)
    # Not before what has its verdict, even if the clock was set back.
    since = max(now, position.since)
    upcoming = first_fire(definition.timing, since)
    ended = None if upcoming is not None else NOTHING_LEFT
    return Standing(replace(position, next_fire_at=upcoming, since=since), TZDATA, ended)


def resumed(position: Position, now: datetime) -> Position:
    """With the open pause ended; pauses that hold none of the fire times to come are over and done with."""
    closed = (replace(pause, end=pause.end or now) for pause in position.pauses)
    upcoming = position.next_fire_at
    return replace(position, pauses=tuple(p for p in closed if upcoming is None or (p.end or now) > upcoming))


def beginning(timing: Timing, now: datetime) -> Position:
    """Where a new schedule stands.

    Raises:
        InvalidInput: there is no fire time after now, or it can't be computed.
    """
    first = first_fire(timing, now)
    if first is None:
        raise InvalidInput.of(*_why_never(timing))
    return Position(next_fire_at=first, since=now)


def first_fire(timing: Timing, now: datetime) -> datetime | None:
    """The first fire time after now, or None.

    Raises:
        InvalidInput: it can't be computed.
    """
    try:
        return timing.next(now)
    except UnknownZone as error:
        raise InvalidInput.of("timezone", str(error)) from error
    except CronError as error:
        raise InvalidInput.of("cron", str(error)) from error


def _why_never(timing: Timing) -> tuple[str, str]:
    if timing.end_at is not None:
        return "end_at", "leaves no fire time after now"
    return "start_at" if timing.cron is None else "cron", "has no fire time left"
