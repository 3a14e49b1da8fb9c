"""What callers say, as the JSON and the query that the api reads: pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypedDict, Unpack

from horae.domain.job import State
from horae.domain.retry import Backoff

Seconds = float | timedelta
"""A length of time; a bare number counts seconds."""

Query = dict[str, str | list[str]]

JobBody = Mapping[str, Any]
"""A job as `POST /jobs` takes it; `new_job` makes one."""


class JobFields(TypedDict, total=False):
    """What may be said of a job beside its handler and payload. What isn't said is left to the handler's defaults."""

    queue: str | None
    priority: str | None
    """critical, high, normal or low"""
    run_at: datetime | None
    """not before; with a time zone"""
    delay: Seconds | None
    """not before so long after now; not together with run_at"""
    max_retries: int | None
    backoff: Backoff | Mapping[str, Any] | None
    timeout: Seconds | None
    """for each attempt"""
    tags: Iterable[str] | None
    expires_at: datetime | None
    """FAILED if it hasn't started by then"""
    retry_for: Seconds | None
    """no attempt starts later than this after the first"""
    idempotency_key: str | None


class JobChanges(TypedDict, total=False):
    """What may be changed of a PENDING job; None takes away `expires_at` or `retry_for`."""

    payload: Mapping[str, Any]
    queue: str
    priority: str
    run_at: datetime
    delay: Seconds
    max_retries: int
    backoff: Backoff | Mapping[str, Any]
    timeout: Seconds
    tags: Iterable[str]
    expires_at: datetime | None
    retry_for: Seconds | None


class JobFilter(TypedDict, total=False):
    """What a list of jobs is narrowed to; None is no bound."""

    state: str | Iterable[str] | None
    """one state, or several"""
    queue: str | None
    handler: str | None
    tag: str | None
    schedule_id: str | None
    created_after: datetime | None
    created_before: datetime | None
    q: str | None
    """a job id, the start of a handler's name, a tag, or words of an error"""


_RENAMED = {"delay": "delay_seconds", "timeout": "timeout_seconds", "retry_for": "retry_for_seconds"}


def new_job(handler: str, payload: Mapping[str, Any] | None = None, **fields: Unpack[JobFields]) -> dict[str, Any]:
    """A job for `submit_many`, from the same arguments as `submit`.

    Raises:
        ValueError: a time without a time zone.
    """
    said = {name: value for name, value in fields.items() if value is not None}
    return {"handler": handler, "payload": dict(payload or {}), **_members(said)}


def chunks(jobs: Iterable[JobBody], size: int = 1000) -> Iterator[list[JobBody]]:
    """Groups of at most `size` jobs, in order, for one `submit_many` each."""
    rest = iter(jobs)
    while part := list(islice(rest, size)):
        yield part


def changes(said: JobChanges) -> dict[str, Any]:
    """The body of a PATCH."""
    return _members(said)


def _members(said: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): plain(name, value) for name, value in said.items()}


def plain(name: str, value: Any) -> Any:
    """What a caller said, as JSON.

    Raises:
        ValueError: a time without a time zone.
    """
    match value:
        case datetime():
            return moment(name, value)
        case timedelta():
            return value.total_seconds()
        case Backoff():
            return dataclasses.asdict(value)
        case Mapping() | str() | int() | float() | None:
            return value
        case _:
            return list(value)


def query(where: Mapping[str, Any]) -> Query:
    """A filter as query parameters; several states are given several times."""
    found = {name: value for name, value in where.items() if value is not None}
    return {name: _parameter(name, value) for name, value in found.items()}


def action_body(action: str, where: JobFilter, expected_count: int | None, cursor: str | None) -> dict[str, Any]:
    """The body of `POST /jobs/actions`."""
    said = {"expected_count": expected_count, "cursor": cursor}
    return {
        "action": action,
        "filter": query(where),
        **{name: value for name, value in said.items() if value is not None},
    }


def _parameter(name: str, value: Any) -> str | list[str]:
    match value:
        case State() | str():
            return str(value)
        case datetime():
            return moment(name, value)
        case _:
            return [str(one) for one in value]


def moment(name: str, value: datetime) -> str:
    """RFC 3339 in UTC.

    Raises:
        ValueError: it has no time zone.
    """
    if value.tzinfo is None:
        raise ValueError(f"{name} needs a time zone, such as datetime.now(UTC)")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
