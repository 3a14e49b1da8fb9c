"""Rows of schedules to records and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from horae.domain.firing import Pause, Position, Streak
from horae.domain.ids import JobId
from horae.domain.schedule import (
    Definition,
    Misfire,
    Overlap,
    Reason,
    Schedule,
    ScheduleState,
    Verdict,
)
from horae.domain.template import Template
from horae.domain.timing import Fold, Gap, Timing
from horae.store.rows import dumps
from horae.store.tables import positions, schedules

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SCHEDULE_COLUMNS = (*schedules.c, positions.c.next_fire_at, positions.c.last_fire_at, positions.c.runs)
"""what `schedule_of` needs, of schedules joined with positions"""


def definition_values(definition: Definition) -> dict[str, Any]:
    """What users say of a schedule, as kept in `schedules`."""
    timing, template = definition.timing, definition.template
    return {
        "name": definition.name,
        "cron": timing.cron,
        "interval_seconds": timing.interval_seconds,
        "timezone": timing.timezone,
        "start_at": timing.start_at,
        "end_at": timing.end_at,
        "dst_gap": timing.dst_gap.value,
        "dst_fold": timing.dst_fold.value,
        "max_runs": definition.max_runs,
        "jitter_seconds": definition.jitter_seconds,
        "misfire": definition.misfire.value,
        "misfire_grace_seconds": definition.misfire_grace_seconds,
        "overlap": definition.overlap.value,
        "must_succeed_within_seconds": definition.must_succeed_within_seconds,
        "source": definition.source,
        "handler": template.handler,
        "payload": template.payload,
        "settings": dumps(template.settings),
    }


def definition_of(row: sa.Row[Any]) -> Definition:
    """What users said of it.

    Raises:
        ValueError: another release wrote a word that this one doesn't know.
    """
    return Definition(
        name=row.name,
        timing=Timing(
            cron=row.cron,
            interval_seconds=row.interval_seconds,
            timezone=row.timezone,
            start_at=row.start_at,
            end_at=row.end_at,
            dst_gap=Gap(row.dst_gap),
            dst_fold=Fold(row.dst_fold),
        ),
        template=Template(row.handler, row.payload, orjson.loads(row.settings)),
        max_runs=row.max_runs,
        jitter_seconds=row.jitter_seconds,
        misfire=Misfire(row.misfire),
        misfire_grace_seconds=row.misfire_grace_seconds,
        overlap=Overlap(row.overlap),
        must_succeed_within_seconds=row.must_succeed_within_seconds,
        source=row.source,
    )


def schedule_of(row: sa.Row[Any]) -> Schedule:
    """A whole schedule."""
    state = ScheduleState(row.state)
    return Schedule(
        id=row.id,
        namespace=row.namespace,
        version=row.version,
        state=state,
        definition=definition_of(row),
        created_at=row.created_at,
        updated_at=row.updated_at,
        next_fire_at=row.next_fire_at if state is ScheduleState.ACTIVE else None,
        last_fire_at=row.last_fire_at,
        runs=row.runs,
        tzdata=row.tzdata,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        ended_reason=row.ended_reason,
    )


def position_values(id_: str, position: Position) -> dict[str, Any]:
    """Where a schedule stands, as kept in `schedule_positions`."""
    return {
        "schedule_id": id_,
        "next_fire_at": position.next_fire_at,
        "since": position.since,
        "last_fire_at": position.last_fire_at,
        "runs": position.runs,
        "caught_up": position.caught_up,
        "target": position.target,
        "pauses": dumps([[_number(pause.begin), _number(pause.end)] for pause in position.pauses]),
        "earlier": dumps(position.earlier),
        "streak": _streak_text(position.streak),
    }


def position_of(row: sa.Row[Any]) -> Position:
    """Where a schedule stands."""
    return Position(
        next_fire_at=row.next_fire_at,
        since=row.since,
        last_fire_at=row.last_fire_at,
        runs=row.runs,
        caught_up=row.caught_up,
        target=row.target,
        pauses=tuple(Pause(_moment(begin), _end(end)) for begin, end in orjson.loads(row.pauses)),
        earlier=tuple(JobId(id_) for id_ in orjson.loads(row.earlier)),
        streak=_streak_of(row.streak),
    )


def timing_text(timing: Timing) -> str:
    """When a schedule fires, as a backfill keeps it: a later change of the schedule doesn't touch it."""
    return dumps(
        {
            "cron": timing.cron,
            "interval_seconds": timing.interval_seconds,
            "timezone": timing.timezone,
            "start_at": _number(timing.start_at),
            "end_at": _number(timing.end_at),
            "dst_gap": timing.dst_gap,
            "dst_fold": timing.dst_fold,
        }
    )


def timing_of(text: str) -> Timing:
    """When a schedule fires, as it was kept."""
    kept: Mapping[str, Any] = orjson.loads(text)
    bounds = {name: _end(kept[name]) for name in ("start_at", "end_at")}
    return Timing(**{**kept, **bounds, "dst_gap": Gap(kept["dst_gap"]), "dst_fold": Fold(kept["dst_fold"])})


def _streak_text(streak: Streak | None) -> str:
    return "" if streak is None else dumps([streak.verdict, streak.reason, streak.count, _number(streak.line)])


def _streak_of(text: str) -> Streak | None:
    if not text:
        return None
    verdict, reason, count, line = orjson.loads(text)
    return Streak(Verdict(verdict), Reason(reason), count, _end(line))


def _number(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _moment(number: int) -> datetime:
    return _EPOCH + number * _MICROSECOND


def _end(number: int | None) -> datetime | None:
    return None if number is None else _moment(number)
