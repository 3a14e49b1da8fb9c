"""A schedule, its occurrences and what was done to it: the nouns of everything that recurs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType

from horae.domain.ids import JobId
from horae.domain.template import Template
from horae.domain.timing import Timing

ScheduleId = NewType("ScheduleId", str)
BackfillId = NewType("BackfillId", str)


class ScheduleState(StrEnum):
    """Whether a schedule fires."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    """fire times go by and are written down as skipped, until it is resumed"""
    ENDED = "ENDED"
    """no fire time is left within its bounds, or it can't be computed; a change may bring it back"""


class Misfire(StrEnum):
    """What becomes of fire times that are found due more than the grace too late."""

    SKIP = "skip"
    FIRE_ONCE = "fire_once"
    """one job, for the latest of them"""
    FIRE_ALL = "fire_all"
    """a job for each, oldest first, at most MISFIRE_CAP in one catch-up"""


class Overlap(StrEnum):
    """What becomes of a fire time while an earlier job of the schedule isn't final."""

    ALLOW = "allow"
    SKIP = "skip"
    REPLACE = "replace"
    """the earlier job is cancelled first"""


class Verdict(StrEnum):
    """How an occurrence ended in the ledger."""

    FIRED = "fired"
    SKIPPED = "skipped"
    COALESCED = "coalesced"
    """another fire stands for it"""
    BACKFILLED = "backfilled"
    """its job was made later, on request"""
    MISSED = "missed"
    """a line beside that of the occurrence: nothing had succeeded by the time it should have"""


class Reason(StrEnum):
    """Why an occurrence has no job of its own, or one that is missed."""

    MISFIRE = "misfire"
    OVERLAP = "overlap"
    PAUSED = "paused"
    BOUND = "bound"
    """`max_runs` was reached by the fire before it"""
    NO_SUCCESS = "no_success"


class Action(StrEnum):
    """What was done to a schedule."""

    CREATED = "created"
    UPDATED = "updated"
    PAUSED = "paused"
    RESUMED = "resumed"
    TRIGGERED = "triggered"
    BACKFILL_STARTED = "backfill_started"
    BACKFILL_CANCELLED = "backfill_cancelled"
    DELETED = "deleted"
    ENDED = "ended"
    """by the scheduler: no fire time is left, or none can be computed"""
    MOVED = "moved"
    """by the scheduler: new time zone data moved its next fire time"""


@dataclass(frozen=True, slots=True)
class Definition:
    """All that users say of a schedule; lengths of time in seconds. `source` names the file that it is applied from."""

    name: str
    timing: Timing
    template: Template
    max_runs: int | None = None
    jitter_seconds: int = 0
    misfire: Misfire = Misfire.FIRE_ONCE
    misfire_grace_seconds: int = 60
    overlap: Overlap = Overlap.ALLOW
    must_succeed_within_seconds: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as stored. `version` rises with each change by a user, not with its fires.

    `next_fire_at` is None unless it is ACTIVE; `runs` counts fires, not triggers and backfills.
    """

    id: ScheduleId
    namespace: str
    version: int
    state: ScheduleState
    definition: Definition
    created_at: datetime
    updated_at: datetime
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    runs: int
    tzdata: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    ended_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A line of the ledger. One with `until` stands for `count` equal ones from `fire_time` to `until`.

    `into` is the fire time that stands for a coalesced one; `detail` says in words what the reason leaves open.
    """

    schedule_id: ScheduleId
    fire_time: datetime
    verdict: Verdict
    recorded_at: datetime
    reason: Reason | None = None
    detail: str | None = None
    job_id: JobId | None = None
    into: datetime | None = None
    until: datetime | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a schedule, by whom and when. `details` is JSON: for UPDATED, {field: [before, after]}."""

    id: str
    schedule_id: ScheduleId
    name: str
    at: datetime
    author: str
    action: Action
    version: int
    details: Mapping[str, Any]


class BackfillState(StrEnum):
    """Where a backfill is."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Backfill:
    """Jobs for a past range of a schedule, both ends inclusive, at most `max_concurrent` of them at a time.

    Of `total` occurrences `made` have a job from this backfill, `kept` had one before; `succeeded` and `failed` tell
    how its jobs ended (`failed` with those cancelled).
    """

    id: BackfillId
    schedule_id: ScheduleId
    begin: datetime
    end: datetime
    max_concurrent: int
    state: BackfillState
    total: int
    made: int
    kept: int
    running: int
    succeeded: int
    failed: int
    author: str
    created_at: datetime
    finished_at: datetime | None
