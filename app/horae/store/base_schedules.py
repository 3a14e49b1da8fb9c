"""What the roles ask of the database about schedules; see `base` for the rest and for what holds of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from horae.domain.ids import JobId
from horae.domain.schedule import (
    Backfill,
    BackfillId,
    BackfillState,
    Change,
    Definition,
    Occurrence,
    Reason,
    Schedule,
    ScheduleId,
    ScheduleState,
    Verdict,
)

# --------------------------------------------------------------------------------------------------------------- api


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """What a list of schedules is narrowed to; None means everything. `text` is the start of a name."""

    states: frozenset[ScheduleState] = frozenset()
    name: str | None = None
    handler: str | None = None
    source: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which lines of the ledger: `begin` <= fire time < `end`; a shared line counts if any of its times does."""

    schedule_id: str | None = None
    verdicts: frozenset[Verdict] = frozenset()
    reason: Reason | None = None
    begin: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """The place of a line in the list: newest fire time first, then by schedule; `missed` lines after the others."""

    fire_time: datetime
    schedule_id: str
    missed: bool


@dataclass(frozen=True, slots=True)
class NewBackfill:
    """A backfill as asked for; `end` is cut off where the schedule itself still has to judge."""

    id: BackfillId
    begin: datetime
    end: datetime
    max_concurrent: int


class ScheduleStore(Protocol):
    """Schedules as users see them. Each change is kept with its author, also beyond the end of the schedule."""

    async def create(self, namespace: str, id_: ScheduleId, definition: Definition, author: str) -> Schedule:
        """A new schedule; its first fire time lies after now.

        Raises:
            NameTaken: another schedule of the namespace has the name.
        """
        ...

    async def get(self, namespace: str, id_: str) -> Schedule | None:
        """The schedule, or None."""
        ...

    async def page(self, namespace: str, where: ScheduleFilter, limit: int, after: str | None = None) -> list[Schedule]:
        """Schedules by name, those behind the name `after`."""
        ...

    async def change(
        self, namespace: str, id_: str, version: int, definition: Definition, author: str
    ) -> tuple[Schedule, Schedule]:
        """The schedule before and after. What was due before is fired by the old definition first.

        Where the timing changes, the next fire time is the first after now. A change that makes no difference writes
        nothing. Raises NotFound, StaleVersion or NameTaken.
        """
        ...

    async def pause(self, namespace: str, id_: str, author: str) -> Schedule:
        """From now on fire times don't count. Pausing twice keeps the first author.

        Raises NotFound, or IllegalMove if it has ended.
        """
        ...

    async def resume(self, namespace: str, id_: str, author: str) -> Schedule:
        """Fire times count again from now on. Raises NotFound, or IllegalMove if it has ended."""
        ...

    async def trigger(self, namespace: str, id_: str, job_id: JobId, author: str) -> None:
        """A job now, whatever the state, bounds and overlap policy; it isn't counted in `runs`. Raises NotFound."""
        ...

    async def delete(self, namespace: str, id_: str, author: str) -> None:
        """Ends it and its backfills; its jobs, ledger and history stay. Raises NotFound."""
        ...

    async def occurrences(
        self, namespace: str, where: LedgerFilter, limit: int, before: LedgerKey | None = None
    ) -> list[Occurrence]:
        """Lines of the ledger, newest fire time first. Raises NotFound if the filter names a schedule never seen."""
        ...

    async def history(self, namespace: str, id_: str, limit: int, before: str | None = None) -> list[Change]:
        """What was done to the schedule, newest first, older than the change with the id `before`.

        Also after it was deleted. Raises NotFound.
        """
        ...

    async def backfill(self, namespace: str, id_: str, new: NewBackfill, author: str) -> Backfill:
        """Starts one. Raises NotFound, or InvalidInput if the range holds no fire time or more than BACKFILL_CAP."""
        ...

    async def backfills(self, namespace: str, id_: str, limit: int, before: str | None = None) -> list[Backfill]:
        """The backfills of a schedule, newest first, older than that with the id `before`. Raises NotFound."""
        ...

    async def get_backfill(self, namespace: str, id_: str, backfill_id: str) -> Backfill | None:
        """One of them, or None."""
        ...

    async def cancel_backfill(self, namespace: str, id_: str, backfill_id: str, author: str) -> Backfill:
        """No further job is made, those that aren't final are cancelled. Again while CANCELLED is fine.

        Raises NotFound, or IllegalMove if it is done.
        """
        ...


BACKFILL_CAP = 10_000
"""occurrences that one backfill may cover"""


# --------------------------------------------------------------------------------------------------------- scheduler


@dataclass(frozen=True, slots=True)
class Fired:
    """What one schedule did: `queues` counts its new jobs, `verdicts` the occurrences, `late` is of the last fire.

    `replaced` are the earlier jobs that were cancelled for it.
    `ended` says why no further fire time comes; `broken` that it can't be computed.
    """

    schedule_id: ScheduleId
    namespace: str
    name: str
    jobs: Sequence[JobId] = ()
    queues: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[tuple[Verdict, Reason | None], int] = field(default_factory=dict)
    late: float | None = None
    replaced: Sequence[JobId] = ()
    ended: str | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Absence:
    """Nothing had succeeded when it should have: a line of the ledger now says so."""

    schedule_id: ScheduleId
    namespace: str
    name: str
    fire_time: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """What one look at a backfill did: its new jobs by queue, and where it is now."""

    backfill_id: BackfillId
    schedule_id: ScheduleId
    namespace: str
    name: str
    state: BackfillState
    made: int
    kept: int
    total: int
    queues: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moved:
    """A schedule whose next fire time is another by the present time zone data."""

    schedule_id: ScheduleId
    namespace: str
    name: str
    before: datetime
    after: datetime | None


class FiringStore(Protocol):
    """The scheduler's side of schedules: row T2, and all that recurs. Any number of schedulers may call at once."""

    async def fire(self, limit: int) -> list[Fired]:
        """T2: claims at most `limit` due schedules by (next_fire_at, id), skipping what another scheduler has.

        One transaction writes the jobs, the ledger and the new positions; a batch that hits a conflict is redone one
        by one; a schedule that can't be computed is ended. An empty list means that nothing could be claimed.
        """
        ...

    async def next_fire(self) -> float | None:
        """Seconds until the next schedule is due (negative: so long ago), or None."""
        ...

    async def note_absences(self, limit: int) -> list[Absence] | None:
        """Judges at most `limit` occurrences whose `must_succeed_within_seconds` is over; None if there were none."""
        ...

    async def next_absence(self) -> float | None:
        """Seconds until the next one is to be judged, or None."""
        ...

    async def advance_backfills(self, limit: int) -> list[Progressed]:
        """Fills at most `limit` running backfills up to their `max_concurrent`; names those that moved."""
        ...

    async def backfilling(self) -> bool:
        """Whether any backfill is running."""
        ...

    async def adopt_zone_data(self, limit: int) -> list[Moved] | None:
        """Computes the next fire times anew for at most `limit` schedules kept by older time zone data.

        Names those that moved; None if there were none to look at.
        """
        ...

    async def prune_ledger(self, age: timedelta | None, limit: int) -> int:
        """Deletes lines and changes older than `age` (None: never), about `limit` at a time. Answers how many."""
        ...
