"""What clock changes do to a cron expression: which of its wall times don't exist, which exist twice, what follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from horae.domain.cron import Cron, parse_cron
from horae.domain.timing import Fold, Gap, Rules, Timing, matching_segments
from horae.domain.wording import clock, clocks
from horae.domain.zones import Segment, Walls, zone

MAX_WALLS = 100
"""So many wall times of one clock change are told at most."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Matching wall times that the clock passes over at the instant `at`; there is at least one."""

    at: datetime
    before: timedelta
    """The offset until then."""
    after: timedelta
    walls: tuple[datetime, ...]

    @property
    def shift(self) -> timedelta:
        """How far the clock goes forward."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Repeated:
    """Matching wall times that the clock shows before and after the instant `at`; there is at least one."""

    at: datetime
    shift: timedelta
    """How far the clock goes back."""
    walls: tuple[datetime, ...]


def missing(timing: Timing, since: datetime, until: datetime) -> Iterator[Missing]:
    """The gaps that hold a match, with their end from `since` on and not after `until`, both naive UTC."""
    cron = parse_cron(timing.cron or "")
    for segment in _segments(cron, timing, since, until):
        if segment.gap and since <= segment.start and (walls := _matches(cron, segment.gap)):
            yield Missing(segment.start, segment.gap[0] - segment.start, segment.offset, walls)


def repeated(timing: Timing, since: datetime, until: datetime) -> Iterator[Repeated]:
    """The folds that hold a match, with their transition from `since` on and not after `until`, both naive UTC."""
    cron = parse_cron(timing.cron or "")
    seen: set[Walls] = set()
    for segment in _segments(cron, timing, since, until):
        shown = segment.second_pass
        if shown and shown not in seen and since <= shown[0] - segment.offset:
            seen.add(shown)
            if walls := _matches(cron, shown):
                yield Repeated(shown[0] - segment.offset, shown[1] - shown[0], walls)


def _segments(cron: Cron, timing: Timing, since: datetime, until: datetime) -> Iterator[Segment]:
    for segment in matching_segments(cron, zone(timing.timezone), since):
        if segment.start > until:
            return
        yield segment


def _matches(cron: Cron, walls: Walls) -> tuple[datetime, ...]:
    found: list[datetime] = []
    for wall in cron.walls(walls[0]):
        if wall >= walls[1] or len(found) == MAX_WALLS:
            break
        found.append(wall)
    return tuple(found)


def gap_effect(rules: Rules, change: Missing) -> str:
    """What becomes of the missing wall times."""
    if rules.gap is Gap.SKIP:
        return "dropped"
    return f"moved to {clock(change.at + change.after)}, the first instant after the gap"


def fold_effect(rules: Rules) -> str:
    """When a wall time fires that comes twice."""
    match rules.fold:
        case Fold.FIRST:
            return "it fires the first time only"
        case Fold.SECOND:
            return "it fires the second time only"
        case _:
            return "it fires both times"


def they(walls: tuple[datetime, ...], one: str, many: str) -> str:
    """`02:30 doesn't exist`, `02:00 and 02:30 don't exist`."""
    many_times = f"{MAX_WALLS} or more times from {clock(walls[0])} on"
    return f"{many_times if len(walls) == MAX_WALLS else clocks(walls)} {one if len(walls) == 1 else many}"
