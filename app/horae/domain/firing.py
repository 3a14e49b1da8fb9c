"""What becomes of each due occurrence of a schedule, and where the schedule stands afterwards. Pure.

Every fire time that has come gets one verdict. They are judged in their order, from the one that was claimed: nothing
depends on when or how often somebody looked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import assert_never

from horae.domain.ids import JobId
from horae.domain.job import State
from horae.domain.schedule import Definition, Misfire, Overlap, Reason, Verdict
from horae.domain.timing import Timing, fires_within

MISFIRE_CAP = 1000
"""jobs that `fire_all` makes at most for what one outage has missed"""

OWN_LINES = 1000
"""of equal outcomes in a row so many have a line each in the ledger; all further ones share one"""

NOTHING_LEFT = "no fire time is left within its bounds"

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Pause:
    """Fire times from `begin` on, and before `end` if it has ended, don't count."""

    begin: datetime
    end: datetime | None = None

    def covers(self, fire_time: datetime) -> bool:
        """Whether the fire time falls into it."""
        return self.begin <= fire_time and (self.end is None or fire_time < self.end)


@dataclass(frozen=True, slots=True)
class Streak:
    """How many outcomes in a row, up to the last one, were equal and had no job; `line` is the shared one's key."""

    verdict: Verdict
    reason: Reason
    count: int
    line: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a schedule stands: what its fires change, apart from what users say of it.

    `next_fire_at` is the first occurrence without a verdict: all up to `since` have one. `earlier` are jobs of it that
    weren't final when last looked at; `caught_up` counts the misfires that the present catch-up has fired, and `target`
    is the one that FIRE_ONCE fires at its end.
    """

    next_fire_at: datetime | None
    since: datetime
    last_fire_at: datetime | None = None
    runs: int = 0
    caught_up: int = 0
    target: datetime | None = None
    pauses: tuple[Pause, ...] = ()
    earlier: tuple[JobId, ...] = ()
    streak: Streak | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A verdict to be written. With `until` it stands for `count` equal ones; `extends`: such a line is there already
    under `fire_time`, and grows to `until` by `count`.
    """

    fire_time: datetime
    verdict: Verdict
    reason: Reason | None = None
    detail: str | None = None
    into: datetime | None = None
    until: datetime | None = None
    count: int = 1
    extends: bool = False


@dataclass(frozen=True, slots=True)
class Firing:
    """What to write: lines in the order of their fire times, a job for each FIRED one, and the new position.

    `replaced`: the earlier jobs shall be cancelled before. `ended` says why no further fire time comes. `more`: fire
    times that have come too are left for the next time.
    """

    lines: Sequence[Line]
    position: Position
    replaced: bool = False
    ended: str | None = None
    more: bool = False

    def without(self, known: Collection[datetime]) -> Firing:
        """The same but for fire times that have their verdict already, as after the clock was set back."""
        lines = [line for line in self.lines if line.extends or line.fire_time not in known]
        fired = [line for line in lines if line.verdict is Verdict.FIRED]
        gone = sum(line.verdict is Verdict.FIRED for line in self.lines) - len(fired)
        position = replace(self.position, runs=self.position.runs - gone)
        return replace(self, lines=lines, position=position, replaced=self.replaced and bool(fired))


def fire(
    definition: Definition, position: Position, earlier: tuple[JobId, State] | None, now: datetime, limit: int
) -> Firing:
    """Judges at most `limit` occurrences that have come by `now`. `earlier` is a job of it that isn't final.

    Raises:
        ValueError: the fire times can't be computed (an expression or a zone that this release doesn't know).
    """
    if position.next_fire_at is None:
        return Firing((), position)
    judge = _Judge(definition, position, earlier, now)
    upcoming = chain((position.next_fire_at,), definition.timing.fires(position.next_fire_at))
    for fire_time in upcoming:
        if fire_time > now or judge.judged == limit:
            return judge.result(fire_time)
        judge.judge(fire_time)
    return judge.result(None)


class _Judge:
    """Goes through the occurrences in their order and keeps what one verdict means for the next."""

    def __init__(
        self,
        definition: Definition,
        position: Position,
        earlier: tuple[JobId, State] | None,
        now: datetime,
    ) -> None:
        self.judged = 0
        self._fired_at = position.last_fire_at
        self._definition = definition
        self._position = position
        self._now = now
        self._lines: list[Line] = []
        self._since = position.since
        self._runs = position.runs
        self._caught_up = position.caught_up
        self._had_earlier = earlier is not None
        self._busy = None if earlier is None else f"job {earlier[0]} was {earlier[1]}"
        self._last_fired: int | None = None
        self._target = position.target

    def judge(self, fire_time: datetime) -> None:
        """Adds the verdict on the next occurrence."""
        self.judged += 1
        self._since = fire_time
        missed = (self._now - fire_time).total_seconds() > self._definition.misfire_grace_seconds
        if not missed:
            self._caught_up = 0
        line = self._not_meant(fire_time) or (self._misfire(fire_time) if missed else None)
        line = line or self._overlapping(fire_time)
        if line is None:
            self._fire(fire_time, missed)
        else:
            self._lines.append(line)

    def result(self, next_fire_at: datetime | None) -> Firing:
        """Everything judged so far; `next_fire_at` is the first that isn't."""
        more = next_fire_at is not None and next_fire_at <= self._now
        ended = None if more else self._end(next_fire_at)
        lines, streak = compacted(self._replaced(), self._position.streak)
        standing = next_fire_at if ended is None else None
        position = replace(
            self._position,
            next_fire_at=standing,
            since=self._since,
            last_fire_at=self._fired_at,
            runs=self._runs,
            caught_up=self._caught_up,
            target=self._target if more else None,
            pauses=tuple(p for p in self._position.pauses if p.end is None or standing is None or p.end > standing),
            streak=streak,
        )
        replaces = self._definition.overlap is Overlap.REPLACE and self._had_earlier and self._last_fired is not None
        return Firing(lines, position, replaces, ended, more)

    # ------------------------------------------------------------------------------------------------------- verdicts

    def _not_meant(self, fire_time: datetime) -> Line | None:
        """The verdict if the occurrence wasn't to fire, however punctual."""
        if any(pause.covers(fire_time) for pause in self._position.pauses):
            return Line(fire_time, Verdict.SKIPPED, Reason.PAUSED)
        if exhausted(self._definition, self._runs):
            return Line(fire_time, Verdict.SKIPPED, Reason.BOUND, used_up(self._definition))
        return None

    def _misfire(self, fire_time: datetime) -> Line | None:
        match self._definition.misfire:
            case Misfire.SKIP:
                return Line(fire_time, Verdict.SKIPPED, Reason.MISFIRE)
            case Misfire.FIRE_ONCE:
                if self._target is None or self._target < fire_time:
                    # Kept to its end: a target that moved on with the clock would leave lines that name no fire.
                    self._target = self._latest_misfire(fire_time)
                if fire_time == self._target:
                    return None
                return Line(fire_time, Verdict.COALESCED, Reason.MISFIRE, into=self._target)
            case Misfire.FIRE_ALL:
                if self._caught_up < MISFIRE_CAP:
                    return None
                return Line(fire_time, Verdict.COALESCED, Reason.MISFIRE, f"more than {MISFIRE_CAP} were missed")
        assert_never(self._definition.misfire)

    def _overlapping(self, fire_time: datetime) -> Line | None:
        if self._busy is None or self._definition.overlap is not Overlap.SKIP:
            return None
        return Line(fire_time, Verdict.SKIPPED, Reason.OVERLAP, self._busy)

    def _fire(self, fire_time: datetime, missed: bool) -> None:
        if self._definition.overlap is Overlap.REPLACE and self._last_fired is not None:
            # Both have come by now: the earlier one would be cancelled before it could start.
            before = self._lines[self._last_fired]
            self._lines[self._last_fired] = Line(before.fire_time, Verdict.COALESCED, Reason.OVERLAP)
        else:
            self._runs += 1
        self._last_fired = len(self._lines)
        self._fired_at = fire_time
        self._busy = f"the job of {fire_time:%Y-%m-%dT%H:%M:%SZ} was {State.PENDING}"
        self._caught_up += missed
        self._lines.append(Line(fire_time, Verdict.FIRED))

    def _replaced(self) -> list[Line]:
        """The lines; for those that were replaced the last one that fires stands."""
        replaced = (Verdict.COALESCED, Reason.OVERLAP)
        return [
            replace(line, into=self._fired_at) if (line.verdict, line.reason) == replaced else line
            for line in self._lines
        ]

    # --------------------------------------------------------------------------------------------------------- facts

    def _end(self, next_fire_at: datetime | None) -> str | None:
        if exhausted(self._definition, self._runs):
            return used_up(self._definition)
        return None if next_fire_at is not None else NOTHING_LEFT

    def _latest_misfire(self, first: datetime) -> datetime | None:
        until = self._now - timedelta(seconds=self._definition.misfire_grace_seconds) - _MOMENT
        while (latest := last_fire(self._definition.timing, first, until)) is not None:
            pause = next((pause for pause in self._position.pauses if pause.covers(latest)), None)
            if pause is None:
                return latest
            until = pause.begin - _MOMENT
        return None


def exhausted(definition: Definition, runs: int) -> bool:
    """Whether so many runs are all that it may have."""
    return definition.max_runs is not None and runs >= definition.max_runs


def used_up(definition: Definition) -> str:
    """Why a schedule has ended that is exhausted."""
    return f"max_runs {definition.max_runs} was reached"


def last_fire(timing: Timing, first: datetime, until: datetime) -> datetime | None:
    """The latest fire time from `first` to `until`, both inclusive: looked for backwards in ever longer spans."""
    span = timedelta(seconds=1)
    while until >= first:
        begin = max(first, until - span)
        latest = deque(fires_within(timing, begin, until), maxlen=1)
        if latest:
            return latest[0]
        if begin == first:
            return None
        span *= 8
    return None


def compacted(lines: Sequence[Line], streak: Streak | None) -> tuple[list[Line], Streak | None]:
    """The lines, those beyond OWN_LINES equal ones in a row as one, and the streak that they end in."""
    written: list[Line] = []
    for line in lines:
        streak = _longer(streak, line)
        if streak is None or streak.count <= OWN_LINES:
            written.append(line)
        elif streak.line is None:
            streak = replace(streak, line=line.fire_time)
            written.append(replace(line, until=line.fire_time))
        elif written and written[-1].fire_time == streak.line:
            written[-1] = replace(written[-1], until=line.fire_time, count=written[-1].count + 1, into=line.into)
        else:
            written.append(replace(line, fire_time=streak.line, until=line.fire_time, extends=True))
    return written, streak


def _longer(streak: Streak | None, line: Line) -> Streak | None:
    if line.verdict is Verdict.FIRED or line.reason is None:
        return None
    if streak is None or (streak.verdict, streak.reason) != (line.verdict, line.reason):
        return Streak(line.verdict, line.reason, 1)
    return replace(streak, count=streak.count + 1)
