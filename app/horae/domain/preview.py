"""What a schedule will do: its next fire times, what clock changes make of them, and what else is worth knowing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice

from horae.domain.caveats import warnings
from horae.domain.clock_changes import MAX_WALLS, Missing, fold_effect, gap_effect, missing, they
from horae.domain.describe import describe
from horae.domain.timing import Gap, Timing, naive_utc
from horae.domain.wording import clock
from horae.domain.zones import FIRST, LAST, segment_at, zone

_BEYOND = timedelta(days=731)


@dataclass(frozen=True, slots=True)
class Fire:
    """One fire time: in UTC, as the zone's clock shows it (RFC 3339), and what a clock change did to it."""

    fire_time: datetime
    local_time: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A wall time that doesn't exist and doesn't fire, with the offset that held before the gap."""

    local_time: str
    note: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Up to 100 dropped ones are named: until the last of `items`, or for two years when there are fewer than asked."""

    items: list[Fire]
    dropped: list[Dropped]
    description: str
    warnings: list[str]


def preview(timing: Timing, after: datetime, count: int) -> Preview:
    """The next `count` fire times strictly after an aware instant. Raises CronError, UnknownZone."""
    fires = list(islice(timing.fires(after), count))
    gaps = _dropping(timing, after, fires[-1] if len(fires) == count else None)
    return Preview(
        items=_items(timing, fires, gaps),
        dropped=list(islice(_dropped(gaps), MAX_WALLS)),
        description=describe(timing),
        warnings=warnings(timing, after),
    )


def _items(timing: Timing, fires: list[datetime], gaps: list[Missing]) -> list[Fire]:
    place, waiting, found = zone(timing.timezone), list(reversed(gaps)), []
    for at in fires:
        notes = [] if timing.interval_seconds is not None else list(_notes(timing, at))
        while waiting and waiting[-1].at <= naive_utc(at):
            change = waiting.pop()
            notes.append(f"{they(change.walls, 'was', 'were')} dropped on {change.walls[0]:%Y-%m-%d}: {_NO_SUCH_TIME}")
        found.append(Fire(at, at.astimezone(place).isoformat(), "; ".join(notes) or None))
    return found


_NO_SUCH_TIME = "the clock goes forward over it"


def _notes(timing: Timing, at: datetime) -> Iterator[str]:
    """What a clock change did to a fire time that exists."""
    instant, rules = naive_utc(at), timing.rules()
    segment = segment_at(zone(timing.timezone), instant)
    if segment.start == instant and segment.gap and rules.gap is Gap.FIRE_AFTER:
        for change in missing(timing, instant, instant):
            yield f"{they(change.walls, 'does', 'do')}n't exist: {gap_effect(rules, change)}"
    wall = segment.wall(instant)
    if segment.first_pass and segment.first_pass[0] <= wall:
        yield f"{clock(wall)} comes twice, this is the first time: {fold_effect(rules)}"
    if segment.second_pass and wall < segment.second_pass[1]:
        yield f"{clock(wall)} comes twice, this is the second time: {fold_effect(rules)}"


def _dropping(timing: Timing, after: datetime, last: datetime | None) -> list[Missing]:
    if timing.interval_seconds is not None or timing.rules().gap is not Gap.SKIP:
        return []
    since = max(timing.earliest(after), FIRST)
    until = min(since, LAST - _BEYOND) + _BEYOND if last is None else naive_utc(last)
    if timing.end_at:
        until = min(until, naive_utc(timing.end_at))
    return list(islice(missing(timing, since, until), MAX_WALLS))


def _dropped(gaps: list[Missing]) -> Iterator[Dropped]:
    for change in gaps:
        for wall in change.walls:
            local = wall.replace(tzinfo=timezone(change.before)).isoformat()
            yield Dropped(local, f"{clock(wall)} doesn't exist: {_NO_SUCH_TIME} (dst_gap = skip)")
