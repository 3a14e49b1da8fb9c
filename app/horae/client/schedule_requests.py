"""What callers say of schedules, under the names that the api has for it: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from horae.client.requests import JobBody, Query, Seconds, moment, plain, query


class ScheduleFields(TypedDict, total=False):
    """What may be said of a schedule beside its name and job: one of `cron` and `interval_seconds`, the rest at will.

    None is the same as nothing said.
    """

    cron: str | None
    """minute hour day-of-month month day-of-week, or six fields with the second in front"""
    interval_seconds: Seconds | None
    """from start_at on, or from its creation"""
    timezone: str | None
    """whose wall time the expression means: an IANA name, else UTC"""
    start_at: datetime | None
    end_at: datetime | None
    max_runs: int | None
    jitter_seconds: Seconds | None
    misfire: str | None
    """skip, fire_once or fire_all"""
    misfire_grace_seconds: Seconds | None
    overlap: str | None
    """allow, skip or replace"""
    must_succeed_within_seconds: Seconds | None
    dst_gap: str | None
    """auto, fire_after or skip"""
    dst_fold: str | None
    """auto, first, second or both"""
    source: str | None
    """the file that it is applied from"""


class ScheduleChanges(ScheduleFields, total=False):
    """What may be changed of a schedule. None takes away `start_at` (of a cron schedule), `end_at`, `max_runs`,
    `must_succeed_within_seconds` or `source`.
    """

    name: str
    job: JobBody
    """replaces the whole template; `new_job` makes one"""


class ScheduleFilter(TypedDict, total=False):
    """What a list of schedules is narrowed to; None is no bound."""

    state: str | Iterable[str] | None
    """ACTIVE, PAUSED, ENDED, or several of them"""
    name: str | None
    handler: str | None
    source: str | None
    q: str | None
    """the start of a name"""


class LedgerFilter(TypedDict, total=False):
    """What the ledger is narrowed to: `begin` <= fire time < `end`; None is no bound."""

    state: str | Iterable[str] | None
    """fired, skipped, coalesced, backfilled, missed, or several of them"""
    reason: str | None
    """misfire, overlap, paused, bound or no_success"""
    begin: datetime | None
    end: datetime | None


def schedule_body(said: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `POST /schedules`, without what is None."""
    return {name: plain(name, value) for name, value in said.items() if value is not None}


def schedule_changes(said: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a PATCH, with what is None."""
    return {name: plain(name, value) for name, value in said.items()}


def preview_body(said: Mapping[str, Any], count: int, begin: datetime | None) -> dict[str, Any]:
    """The body of `POST /schedules/preview`."""
    return {**schedule_body(said), "count": count, **span(begin)}


def preview_query(count: int, begin: datetime | None) -> Query:
    """The query of `GET /schedules/{id}/preview`."""
    return {"count": str(count), **span(begin)}


def ledger_query(where: LedgerFilter) -> Query:
    """The query of the lists of occurrences."""
    renamed = {"begin": "from", "end": "to"}
    return query({renamed.get(name, name): value for name, value in where.items()})


def span(begin: datetime | None, end: datetime | None = None) -> dict[str, str]:
    """A range of time as the api names its ends.

    Raises:
        ValueError: an end has no time zone.
    """
    ends = {"from": begin, "to": end}
    return {name: moment(name, value) for name, value in ends.items() if value is not None}
