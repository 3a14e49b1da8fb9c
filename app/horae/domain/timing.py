"""When a schedule fires: the way from wall times to instants, at clock changes too.

A zone's time line is walked segment by segment. Within one, wall times and instants map one to one; at its ends lie the
wall times that don't exist (a gap) and those that exist twice (a fold), and `Rules` say what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import count, takewhile
from zoneinfo import ZoneInfo

from horae.domain.cron import Cron, parse_cron
from horae.domain.zones import FIRST, LAST, Segment, segment_at, zone

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_RULES_LAST_CHANGE = 2100
_CALENDAR_YEARS = 400


class Gap(StrEnum):
    """What becomes of a wall time that doesn't exist. `auto`: fire_after for fixed expressions, skip for others."""

    AUTO = "auto"
    FIRE_AFTER = "fire_after"
    SKIP = "skip"


class Fold(StrEnum):
    """At which of its instants a wall time fires that exists twice. `auto`: first for fixed ones, both for others."""

    AUTO = "auto"
    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Rules:
    """Both policies, decided for one expression."""

    gap: Gap
    fold: Fold

    def opens(self, segment: Segment) -> datetime:
        """The first wall time of the segment that may fire."""
        start = segment.wall(segment.start)
        return max(start, segment.second_pass[1]) if segment.second_pass and self.fold is Fold.FIRST else start

    def closes(self, segment: Segment) -> datetime:
        """Wall times of the segment fire before this one."""
        end = segment.wall(segment.end)
        return min(end, segment.first_pass[0]) if segment.first_pass and self.fold is Fold.SECOND else end

    def moves(self, cron: Cron, segment: Segment) -> bool:
        """Whether wall times in the gap before the segment fire at its first instant."""
        return self.gap is Gap.FIRE_AFTER and segment.gap is not None and cron.any_within(*segment.gap)


@dataclass(frozen=True, slots=True)
class Timing:
    """What a schedule says of time: a cron expression, or an interval with its `start_at`. Bounds are inclusive."""

    cron: str | None = None
    interval_seconds: int | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    dst_gap: Gap = Gap.AUTO
    dst_fold: Fold = Fold.AUTO

    def next(self, after: datetime) -> datetime | None:
        """The first fire time strictly after an aware instant, in UTC; None when there is no other before 9999-12-29.

        Raises CronError, UnknownZone.
        """
        return next(self.fires(after), None)

    def fires(self, after: datetime) -> Iterator[datetime]:
        """The fire times strictly after an aware instant, in UTC: those that `next` gives, one by one."""
        since = self.earliest(after)
        end = LAST if self.end_at is None else naive_utc(self.end_at)
        found = (
            self._cron_fires(max(since, FIRST), end) if self.interval_seconds is None else self._interval_fires(since)
        )
        for at in found:
            if at > end:
                return
            yield at.replace(tzinfo=UTC)

    def earliest(self, after: datetime) -> datetime:
        """The first instant, in naive UTC, that is later than an aware one and not before `start_at`."""
        # An interval goes by its start_at to the microsecond, a clock only shows whole seconds.
        since = _second_after(after) if self.interval_seconds is None else min(naive_utc(after), LAST) + _MICROSECOND
        return since if self.start_at is None else max(since, naive_utc(self.start_at))

    def rules(self) -> Rules:
        """The policies that hold for the expression. Raises CronError."""
        fixed = parse_cron(self.cron or "").fixed
        gap = Gap.FIRE_AFTER if fixed else Gap.SKIP
        fold = Fold.FIRST if fixed else Fold.BOTH
        return Rules(
            gap=gap if self.dst_gap is Gap.AUTO else self.dst_gap,
            fold=fold if self.dst_fold is Fold.AUTO else self.dst_fold,
        )

    def _interval_fires(self, since: datetime) -> Iterator[datetime]:
        if self.start_at is None:
            raise ValueError("an interval needs start_at")
        start, step = naive_utc(self.start_at), timedelta(seconds=self.interval_seconds or 0)
        for k in count(max(-((start - since) // step), 0)):
            if (LAST - start) // step < k:
                return
            yield start + k * step

    def _cron_fires(self, since: datetime, end: datetime) -> Iterator[datetime]:
        cron, rules, place = parse_cron(self.cron or ""), self.rules(), zone(self.timezone)
        horizon = _horizon(since)
        for segment in matching_segments(cron, place, since):
            if segment.start > min(horizon, end):
                return
            at = None
            for at in _in_segment(cron, rules, segment, since):
                yield at
            if at is not None:
                horizon = _horizon(at)


def matching_segments(cron: Cron, place: ZoneInfo, since: datetime) -> Iterator[Segment]:
    """The segment that holds an instant, and those behind it which show a match or begin with a gap that holds one."""
    while since < LAST:
        segment = segment_at(place, since)
        yield segment
        since = _resume(cron, segment.end)


def _in_segment(cron: Cron, rules: Rules, segment: Segment, since: datetime) -> Iterator[datetime]:
    opens, closes = rules.opens(segment), rules.closes(segment)
    if since <= segment.start and rules.moves(cron, segment):
        yield segment.start
        opens += _SECOND
    for wall in cron.walls(max(opens, segment.wall(since))):
        if wall >= closes:
            return
        yield wall - segment.offset


def _resume(cron: Cron, end: datetime) -> datetime:
    """The instant to go on from behind a segment: over all that certainly doesn't fire.

    Every instant from `end` on shows a wall time later than end - 1 day, since no offset reaches 24 hours; for the same
    reason none before (the first match from there) - 1 day shows that match or a later one.
    """
    upcoming = next(cron.walls(end - _DAY), None)
    return LAST if upcoming is None else max(end, upcoming - _DAY)


def _horizon(since: datetime) -> datetime:
    """Nothing by then: nothing ever. Zones follow fixed rules from 2100 on, and the calendar repeats in 400 years."""
    year = max(since.year, _RULES_LAST_CHANGE) + _CALENDAR_YEARS + 1
    return datetime(year, 1, 1) if year < LAST.year else LAST


def naive_utc(instant: datetime) -> datetime:
    """An aware instant as those of segments are."""
    return instant.astimezone(UTC).replace(tzinfo=None)


def _second_after(instant: datetime) -> datetime:
    """The first whole second strictly after."""
    plain = naive_utc(instant).replace(microsecond=0)
    return plain + _SECOND if plain < LAST else LAST


def fires_within(timing: Timing, begin: datetime, end: datetime) -> Iterator[datetime]:
    """The fire times from `begin` to `end`, both inclusive. Raises ValueError if they can't be computed."""
    return takewhile(lambda fire_time: fire_time <= end, timing.fires(begin - _MICROSECOND))


def jitter(schedule_id: str, fire_time: datetime, jitter_seconds: int) -> timedelta:
    """How much later than its fire time a job starts: whole seconds from 0, below `jitter_seconds`; 0 when that is 0.

    The same schedule and fire time give the same on every machine.
    """
    if jitter_seconds <= 0:
        return timedelta(0)
    digest = blake2b(f"{schedule_id} {naive_utc(fire_time).isoformat()}".encode(), digest_size=8).digest()
    return timedelta(seconds=int.from_bytes(digest) % jitter_seconds)
