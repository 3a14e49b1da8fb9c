"""What the client answers about schedules; see `model` for what holds of all answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from horae.client.model import as_, build, moment, strings


def _each(kind: type[Any]) -> dict[str, Any]:
    return as_(lambda content: tuple(build(kind, item) for item in content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as it was when it was read: ACTIVE, PAUSED or ENDED.

    `job` holds `handler`, `payload` and only those settings that were given; `next_fire_at` is None unless it is
    ACTIVE; `runs` counts fires, not triggers and backfills. `version` rises with each change, not with its fires.
    `description` says in English when it fires; `tzdata` is the zones' data that `next_fire_at` was computed by.
    """

    id: str
    name: str
    state: str
    version: int
    job: Mapping[str, Any]
    cron: str | None = None
    interval_seconds: int | None = None
    timezone: str = "UTC"
    start_at: datetime | None = field(default=None, metadata=moment)
    end_at: datetime | None = field(default=None, metadata=moment)
    max_runs: int | None = None
    jitter_seconds: int = 0
    misfire: str = "fire_once"
    misfire_grace_seconds: int = 60
    overlap: str = "allow"
    must_succeed_within_seconds: int | None = None
    dst_gap: str = "auto"
    dst_fold: str = "auto"
    source: str | None = None
    namespace: str = "default"
    next_fire_at: datetime | None = field(default=None, metadata=moment)
    last_fire_at: datetime | None = field(default=None, metadata=moment)
    runs: int = 0
    paused_at: datetime | None = field(default=None, metadata=moment)
    paused_by: str | None = None
    ended_reason: str | None = None
    description: str = ""
    tzdata: str = ""
    created_at: datetime = field(metadata=moment)
    updated_at: datetime = field(metadata=moment)

    @property
    def handler(self) -> str:
        """The handler of the jobs that it makes."""
        return str(self.job.get("handler", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """A fire time, and what the zone's clock shows then; `note` tells where a clock change moved or doubled it."""

    fire_time: datetime = field(metadata=moment)
    local_time: datetime = field(metadata=moment)
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A wall time that a clock change keeps from firing."""

    local_time: datetime = field(metadata=moment)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The next fire times, the wall times among them that don't fire, and in English what they follow from."""

    items: tuple[Fire, ...] = field(metadata=_each(Fire))
    dropped: tuple[Dropped, ...] = field(default=(), metadata=_each(Dropped))
    description: str = ""
    warnings: tuple[str, ...] = field(default=(), metadata=strings)


@dataclass(frozen=True, slots=True)
class ScheduleUpdate:
    """A schedule after a change, and its next fires (up to five) as they were and as they are now."""

    schedule: Schedule
    before: tuple[Fire, ...] = ()
    after: tuple[Fire, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A line of the ledger: fired, skipped, coalesced, backfilled or missed. `detail` says in words what `reason`
    (misfire, overlap, paused, bound, no_success) leaves open.

    One with `until` stands for `count` equal ones from `fire_time` to then; `into` is the fire time that stands for a
    coalesced one.
    """

    schedule_id: str
    fire_time: datetime = field(metadata=moment)
    state: str
    reason: str | None = None
    detail: str | None = None
    job_id: str | None = None
    into: datetime | None = field(default=None, metadata=moment)
    until: datetime | None = field(default=None, metadata=moment)
    count: int = 1
    recorded_at: datetime = field(metadata=moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """What was done to a schedule, by whom and when; the `details` of an update are {field: [before, after]}."""

    id: str
    at: datetime = field(metadata=moment)
    author: str
    action: str
    version: int
    name: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Jobs for a past range of a schedule, both ends inclusive: RUNNING, DONE or CANCELLED.

    Of `total` occurrences `made` have a job from it and `kept` had one before; `succeeded` and `failed` (with those
    cancelled) tell how its jobs ended.
    """

    id: str
    schedule_id: str
    begin: datetime = field(metadata={**moment, "name": "from"})
    end: datetime = field(metadata={**moment, "name": "to"})
    max_concurrent: int
    state: str
    total: int
    made: int = 0
    kept: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    author: str = ""
    created_at: datetime = field(metadata=moment)
    finished_at: datetime | None = field(default=None, metadata=moment)

    @property
    def is_running(self) -> bool:
        """Whether more is to come of it."""
        return self.state == "RUNNING"
