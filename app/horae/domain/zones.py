"""Time zones: the data of the tzdata package alone, cut into segments of one UTC offset each.

Wall times and instants inside are naive; instants are in UTC.
"""

from __future__ import annotations

import zoneinfo
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

# The system's files, which zoneinfo would prefer, may be older or newer than the version that is kept with a schedule.
zoneinfo.reset_tzpath(to=())

TZDATA: str = tzdata.IANA_VERSION
"""The version of the zones' data, such as 2026a."""

LONGEST_NAME = 64
FIRST, LAST = datetime(1, 1, 5), datetime(9999, 12, 29)
"""The instants between which segments are known; no wall time of theirs is beyond what a datetime holds."""

# No zone has two transitions within 6 days of one another: a test reads that from the data. No shift is longer than two
# days, so what a transition makes of the wall times of a year's first and last days is seen from outside the year.
_STEP = timedelta(days=6)
_MARGIN = timedelta(days=2)
_SECOND = timedelta(seconds=1)
_NO_TIME = timedelta(0)


class UnknownZone(ValueError):
    """No zone has this name; the text says so and names a similar one."""


Walls = tuple[datetime, datetime]
"""Wall times from the first one on and before the second one."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a zone's time line with one offset, within one year of UTC."""

    start: datetime
    end: datetime
    offset: timedelta
    gap: Walls | None
    """What the clock passed over at `start`."""
    second_pass: Walls | None
    """What the clock shows for the second time since the last transition."""
    first_pass: Walls | None
    """What the clock will show again after the next transition."""

    def wall(self, instant: datetime) -> datetime:
        """What the clock shows at an instant of this segment."""
        return instant + self.offset


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name, in its very case. Raises UnknownZone."""
    if name not in zone_names():
        raise UnknownZone(f"there is no time zone {name[:LONGEST_NAME]!r}{_similar(name)}")
    return ZoneInfo(name)


def segment_at(place: ZoneInfo, instant: datetime) -> Segment:
    """The segment that holds an instant from FIRST on and before LAST."""
    segments = _segments(place, instant.year)
    return segments[bisect_right(segments, instant, key=_start) - 1]


def segments_from(place: ZoneInfo, instant: datetime) -> Iterator[Segment]:
    """The segments from the one that holds `instant`, up to LAST."""
    while instant < LAST:
        segment = segment_at(place, instant)
        yield segment
        instant = segment.end


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every name that `zone` takes."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def _similar(name: str) -> str:
    if len(name) > LONGEST_NAME:
        return ""
    # Places only: who means CEST is not helped by EST.
    places = [full for full in sorted(zone_names()) if "/" in full or full == "UTC"]
    known = {spelling: full for full in places for spelling in (full.lower(), full.lower().split("/")[-1])}
    near = get_close_matches(name.lower().replace(" ", "_"), known, n=1)
    return f"; did you mean {known[near[0]]}?" if near else "; zones are named like Europe/Berlin"


def _start(segment: Segment) -> datetime:
    return segment.start


@lru_cache(maxsize=8192)
def _segments(place: ZoneInfo, year: int) -> tuple[Segment, ...]:
    first, last = _bounds(year)
    begin, end = first - _MARGIN, last + _MARGIN
    cuts = [begin, *_transitions(place, begin, end), end]
    offsets = [_offset(place, cut) for cut in cuts[:-1]]
    around = [offsets[0], *offsets, offsets[-1]]
    pieces = zip(cuts, cuts[1:], around, offsets, around[2:], strict=False)
    return tuple(
        Segment(
            start=max(start, first),
            end=min(stop, last),
            offset=offset,
            gap=_walls(start, before, offset) if start >= first else None,
            second_pass=_walls(start, offset, before),
            first_pass=_walls(stop, after, offset),
        )
        for start, stop, before, offset, after in pieces
        if start < last and stop > first
    )


def _bounds(year: int) -> tuple[datetime, datetime]:
    """The year's first instant and the next year's, as far as segments are known."""
    return max(datetime(year, 1, 1), FIRST), datetime(year + 1, 1, 1) if year < MAXYEAR else LAST


def _walls(instant: datetime, low: timedelta, high: timedelta) -> Walls | None:
    return (instant + low, instant + high) if low < high else None


def _transitions(place: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    low = begin
    while low < end:
        high = min(low + _STEP, end)
        if _offset(place, low) != _offset(place, high):
            yield _change(place, low, high)
        low = high


def _change(place: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first whole second of the new offset, which rules at `high` and not yet at `low`."""
    old = _offset(place, low)
    while high - low > _SECOND:
        middle = low + (high - low) // _SECOND // 2 * _SECOND
        low, high = (middle, high) if _offset(place, middle) == old else (low, middle)
    return high


def _offset(place: ZoneInfo, instant: datetime) -> timedelta:
    return instant.replace(tzinfo=UTC).astimezone(place).utcoffset() or _NO_TIME
