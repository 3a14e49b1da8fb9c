"""Which past fire times a backfill makes jobs for, and what that leaves of the ledger's shared lines. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from horae.domain.firing import Position
from horae.domain.schedule import Reason, Verdict
from horae.domain.timing import Timing, fires_within

HAS_JOB = frozenset({Verdict.FIRED, Verdict.BACKFILLED})
"""verdicts of fire times that a backfill leaves alone"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one look at a backfill's next fire times came to; `next_at` is the first that wasn't looked at."""

    times: Sequence[datetime]
    kept: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Shared:
    """A line of the ledger under `first` that stands for `count` fire times up to `until`."""

    first: datetime
    until: datetime
    count: int
    verdict: Verdict
    reason: Reason | None

    def covers(self, fire_time: datetime, timing: Timing) -> bool:
        """Whether it stands for this fire time of `timing`.

        It may have been written while the schedule had another one: then its two ends alone are certain.
        """
        ends = (self.first, self.until)
        if fire_time in ends:
            return True
        return self.first < fire_time < self.until and all(fires_at(timing, end) for end in ends)


def judged_until(position: Position, now: datetime) -> datetime:
    """Up to where a backfill may go: the schedule itself has still to judge what comes later.

    Not by `next_fire_at`: newer time zone data may see a fire time before it that is still to come.
    """
    return now if position.next_fire_at is None else position.since


def fires_at(timing: Timing, moment: datetime) -> bool:
    """Whether this moment is a fire time."""
    return next(fires_within(timing, moment, moment), None) is not None


def choose(times: Sequence[datetime], known: Collection[datetime], slots: int, beyond: datetime | None) -> Chosen:
    """The first `slots` fire times of `times` that have no job; `known` have one. `beyond` is the one behind them."""
    chosen: list[datetime] = []
    kept = 0
    for fire_time in times:
        if fire_time in known:
            kept += 1
        elif len(chosen) == slots:
            return Chosen(chosen, kept, fire_time)
        else:
            chosen.append(fire_time)
    return Chosen(chosen, kept, beyond)
