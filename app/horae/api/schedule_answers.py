"""What clients read of schedules; see `answers` for what holds of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import Field

from horae.api.answers import Count, Moment, Read
from horae.api.fields import LeftOut, Name, PriorityName, Uuid
from horae.api.schedule_models import (
    FoldWord,
    GapWord,
    MisfireWord,
    OverlapWord,
    ReasonName,
    ScheduleStateName,
    VerdictName,
)
from horae.domain.describe import describe
from horae.domain.preview import Dropped, Fire, Preview
from horae.domain.retry import Kind
from horae.domain.schedule import Action, Backfill, BackfillState, Change, Occurrence, Schedule
from horae.domain.template import Template
from horae.domain.timing import Timing


class BackoffGiven(Read):
    """The pause before the next attempt, as far as it was given."""

    kind: LeftOut[Kind] = None
    base_seconds: LeftOut[float] = None
    factor: LeftOut[float] = None
    max_seconds: LeftOut[float] = None
    jitter: LeftOut[float] = None


class TemplateOut(Read):
    """What jobs are made from: only the settings that were given. The handler's defaults fill in the others."""

    handler: Name
    payload: dict[str, Any]
    queue: LeftOut[Name] = None
    priority: LeftOut[PriorityName] = None
    max_retries: LeftOut[Count] = None
    backoff: LeftOut[BackoffGiven] = None
    timeout_seconds: LeftOut[float] = None
    tags: LeftOut[list[Name]] = None
    expires_at: LeftOut[Moment] = None
    retry_for_seconds: LeftOut[float] = None


class ScheduleOut(Read):
    """A schedule."""

    id: Uuid
    namespace: Name
    name: str
    version: Count = Field(description="rises with each change; the schedule's ETag")
    state: ScheduleStateName
    cron: str | None
    interval_seconds: Count | None
    timezone: str
    start_at: Moment | None
    end_at: Moment | None
    dst_gap: GapWord
    dst_fold: FoldWord
    max_runs: Count | None
    jitter_seconds: Count
    misfire: MisfireWord
    misfire_grace_seconds: Count
    overlap: OverlapWord
    must_succeed_within_seconds: Count | None
    source: str | None
    job: TemplateOut
    next_fire_at: Moment | None = Field(description="null unless it is ACTIVE")
    last_fire_at: Moment | None
    runs: Count = Field(description="how often it fired; what was triggered or filled in later doesn't count")
    paused_at: Moment | None
    paused_by: str | None
    ended_reason: str | None
    tzdata: str = Field(description="version of the time zone data that next_fire_at was computed with")
    description: str = Field(description="in a sentence, when it fires")
    created_at: Moment
    updated_at: Moment


class SchedulesOut(Read):
    """A page of schedules, by name."""

    items: list[ScheduleOut]
    next_cursor: str | None


class FireOut(Read):
    """A fire time to come; `note` says what a clock change makes of it."""

    fire_time: Moment
    local_time: str = Field(description="as the zone's clock shows it then")
    note: str | None


class DroppedOut(Read):
    """A wall time that doesn't exist and doesn't fire."""

    local_time: str
    note: str


class PreviewOut(Read):
    """What a schedule will do; at most 100 dropped times are named."""

    items: list[FireOut]
    dropped: list[DroppedOut]
    description: str
    warnings: list[str]


class NextFiresOut(Read):
    """The next five fire times, before and after a change."""

    before: list[FireOut]
    after: list[FireOut]


class ChangedScheduleOut(ScheduleOut):
    """A schedule that was changed, and what that means for its next fire times."""

    next_fires: NextFiresOut


class OccurrenceOut(Read):
    """A line of the ledger. A shared one stands for `count` equal ones with the fire times `from` to `to`."""

    schedule_id: Uuid
    fire_time: Moment
    state: VerdictName
    reason: ReasonName | None
    detail: str | None
    job_id: Uuid | None
    into: Moment | None = Field(description="the fire time that stands for a coalesced one")
    until: Moment | None = Field(description="of a shared line")
    from_: Moment | None = Field(alias="from", description="of a shared line")
    to: Moment | None = Field(description="of a shared line")
    count: Count
    recorded_at: Moment


class OccurrencesOut(Read):
    """A page of the ledger, newest fire time first."""

    items: list[OccurrenceOut]
    next_cursor: str | None


class ChangeOut(Read):
    """What was done to a schedule; `details` of an update are {field: [before, after]}."""

    id: Uuid
    at: Moment
    author: str
    action: Action
    version: Count
    name: str
    details: dict[str, Any]


class HistoryOut(Read):
    """A page of a schedule's history, newest first."""

    items: list[ChangeOut]
    next_cursor: str | None


class BackfillOut(Read):
    """Jobs for a past range: of `total` occurrences `made` have one from here, `kept` had one before."""

    id: Uuid
    schedule_id: Uuid
    from_: Moment = Field(alias="from")
    to: Moment
    max_concurrent: Count
    state: BackfillState
    total: Count
    made: Count
    kept: Count
    running: Count
    succeeded: Count
    failed: Count = Field(description="those cancelled among them")
    author: str
    created_at: Moment
    finished_at: Moment | None


class BackfillsOut(Read):
    """A page of a schedule's backfills, newest first."""

    items: list[BackfillOut]
    next_cursor: str | None


def schedule_answer(schedule: Schedule) -> dict[str, Any]:
    """`ScheduleOut`."""
    definition = schedule.definition
    return {
        "id": schedule.id,
        "namespace": schedule.namespace,
        "name": definition.name,
        "version": schedule.version,
        "state": schedule.state,
        **timing_answer(definition.timing),
        "max_runs": definition.max_runs,
        "jitter_seconds": definition.jitter_seconds,
        "misfire": definition.misfire,
        "misfire_grace_seconds": definition.misfire_grace_seconds,
        "overlap": definition.overlap,
        "must_succeed_within_seconds": definition.must_succeed_within_seconds,
        "source": definition.source,
        "job": template_answer(definition.template),
        "next_fire_at": schedule.next_fire_at,
        "last_fire_at": schedule.last_fire_at,
        "runs": schedule.runs,
        "paused_at": schedule.paused_at,
        "paused_by": schedule.paused_by,
        "ended_reason": schedule.ended_reason,
        "tzdata": schedule.tzdata,
        "description": described(definition.timing),
        "created_at": schedule.created_at,
        "updated_at": schedule.updated_at,
    }


def timing_answer(timing: Timing) -> dict[str, Any]:
    """The part of `ScheduleOut` that says when it fires."""
    return {
        "cron": timing.cron,
        "interval_seconds": timing.interval_seconds,
        "timezone": timing.timezone,
        "start_at": timing.start_at,
        "end_at": timing.end_at,
        "dst_gap": timing.dst_gap,
        "dst_fold": timing.dst_fold,
    }


def template_answer(template: Template) -> dict[str, Any]:
    """`TemplateOut`."""
    return {"handler": template.handler, "payload": orjson.Fragment(template.payload), **template.settings}


def described(timing: Timing) -> str:
    """When it fires, in a sentence; another release may have stored what this one can't read."""
    try:
        return describe(timing)
    except ValueError as error:
        return f"Can't be computed: {error}."


def changed_answer(schedule: Schedule, before: Iterable[Fire], after: Iterable[Fire]) -> dict[str, Any]:
    """`ChangedScheduleOut`."""
    next_fires = {"before": [fire_answer(fire) for fire in before], "after": [fire_answer(fire) for fire in after]}
    return {**schedule_answer(schedule), "next_fires": next_fires}


def fire_answer(fire: Fire) -> dict[str, Any]:
    """`FireOut`."""
    return {"fire_time": fire.fire_time, "local_time": fire.local_time, "note": fire.note}


def preview_answer(preview: Preview) -> dict[str, Any]:
    """`PreviewOut`."""
    return {
        "items": [fire_answer(fire) for fire in preview.items],
        "dropped": [_dropped_answer(dropped) for dropped in preview.dropped],
        "description": preview.description,
        "warnings": preview.warnings,
    }


def _dropped_answer(dropped: Dropped) -> dict[str, str]:
    return {"local_time": dropped.local_time, "note": dropped.note}


def occurrence_answer(line: Occurrence) -> dict[str, Any]:
    """`OccurrenceOut`."""
    return {
        "schedule_id": line.schedule_id,
        "fire_time": line.fire_time,
        "state": line.verdict,
        "reason": line.reason,
        "detail": line.detail,
        "job_id": line.job_id,
        "into": line.into,
        "until": line.until,
        "from": None if line.until is None else line.fire_time,
        "to": line.until,
        "count": line.count,
        "recorded_at": line.recorded_at,
    }


def change_answer(change: Change) -> dict[str, Any]:
    """`ChangeOut`."""
    return {
        "id": change.id,
        "at": change.at,
        "author": change.author,
        "action": change.action,
        "version": change.version,
        "name": change.name,
        "details": dict(change.details),
    }


def backfill_answer(backfill: Backfill) -> dict[str, Any]:
    """`BackfillOut`."""
    return {
        "id": backfill.id,
        "schedule_id": backfill.schedule_id,
        "from": backfill.begin,
        "to": backfill.end,
        "max_concurrent": backfill.max_concurrent,
        "state": backfill.state,
        "total": backfill.total,
        "made": backfill.made,
        "kept": backfill.kept,
        "running": backfill.running,
        "succeeded": backfill.succeeded,
        "failed": backfill.failed,
        "author": backfill.author,
        "created_at": backfill.created_at,
        "finished_at": backfill.finished_at,
    }
