"""Rows to records and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from horae.domain.ids import JobId
from horae.domain.job import Attempt, Failure, Job, NewJob, Outcome, Priority, State
from horae.domain.retry import Backoff
from horae.store.base import Run
from horae.store.dialect import micros
from horae.store.tables import jobs

MICRO = 1_000_000
DEFAULT_BACKOFF = Backoff()


def dumps(value: Any) -> str:
    """JSON text."""
    return orjson.dumps(value).decode()


def backoff_text(backoff: Backoff) -> str:
    """A backoff as kept; the default one as nothing, since most jobs have it."""
    if backoff == DEFAULT_BACKOFF:
        return ""
    return dumps([backoff.kind, backoff.base_seconds, backoff.factor, backoff.max_seconds, backoff.jitter])


def backoff_of(text: str) -> Backoff:
    """A backoff as it was kept."""
    return Backoff(*orjson.loads(text)) if text else DEFAULT_BACKOFF


def failure_text(failure: Failure | None) -> str | None:
    """A failure as kept: without names, which a search for words would find in each."""
    if failure is None:
        return None
    return dumps([part for part in (failure.type, failure.message, failure.traceback) if part is not None])


def failure_of(text: str | None) -> Failure | None:
    """A failure as it was kept."""
    return None if text is None else Failure(*orjson.loads(text))


def job_values(namespace: str, job: NewJob, now: datetime, run_at: datetime) -> dict[str, Any]:
    """T1: the row of a new job."""
    return {
        "id": job.id,
        "namespace": namespace,
        "queue": job.queue,
        "priority": int(job.priority),
        "state": State.PENDING,
        "token": 0,
        "attempt": 0,
        "failures": 0,
        "losses": 0,
        "round": 0,
        "run_at": run_at,
        "wake_at": run_at,
        "cancel_requested": False,
        "created_at": now,
        "expires_at": job.expires_at,
        "handler": job.handler,
        "max_retries": job.max_retries,
        "backoff": backoff_text(job.backoff),
        "timeout_us": micros(job.timeout_seconds),
        "retry_for_seconds": job.retry_for_seconds,
        "idempotency_key": job.idempotency_key,
        "schedule_id": job.schedule_id,
        "fire_time": job.fire_time,
        "tags": dumps(job.tags) if job.tags else "",
        "payload": job.payload,
    }


def job_of(row: sa.Row[Any]) -> Job:
    """A whole job."""
    return Job(
        id=row.id,
        namespace=row.namespace,
        handler=row.handler,
        payload=row.payload,
        queue=row.queue,
        priority=Priority(row.priority),
        state=State(row.state),
        token=row.token,
        attempt=row.attempt,
        failures=row.failures,
        losses=row.losses,
        round=row.round,
        run_at=row.run_at,
        wake_at=row.wake_at,
        max_retries=row.max_retries,
        backoff=backoff_of(row.backoff),
        timeout_seconds=row.timeout_us / MICRO,
        tags=tuple(orjson.loads(row.tags)) if row.tags else (),
        expires_at=row.expires_at,
        retry_for_seconds=row.retry_for_seconds,
        idempotency_key=row.idempotency_key,
        cancel_requested=bool(row.cancel_requested),
        created_at=row.created_at,
        first_started_at=row.first_started_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        worker_id=row.worker_id,
        result=row.result,
        error=failure_of(row.error),
        progress=None if row.progress is None else orjson.loads(row.progress),
        schedule_id=row.schedule_id,
        fire_time=row.fire_time,
    )


RUN_COLUMNS = (
    jobs.c.id,
    jobs.c.token,
    jobs.c.state,
    jobs.c.worker_id,
    jobs.c.namespace,
    jobs.c.queue,
    jobs.c.priority,
    jobs.c.handler,
    jobs.c.payload,
    jobs.c.attempt,
    jobs.c.failures,
    jobs.c.losses,
    jobs.c.max_retries,
    jobs.c.backoff,
    jobs.c.timeout_us,
    jobs.c.retry_for_seconds,
    jobs.c.idempotency_key,
    jobs.c.schedule_id,
    jobs.c.fire_time,
    jobs.c.run_at,
    jobs.c.started_at,
    jobs.c.first_started_at,
)


def run_of(row: sa.Row[Any]) -> Run:
    """A job that has just been started."""
    return Run(
        id=row.id,
        token=row.token,
        namespace=row.namespace,
        queue=row.queue,
        priority=Priority(row.priority),
        handler=row.handler,
        payload=row.payload,
        attempt=row.attempt,
        failures=row.failures,
        losses=row.losses,
        max_retries=row.max_retries,
        backoff=backoff_of(row.backoff),
        timeout_seconds=row.timeout_us / MICRO,
        retry_for_seconds=row.retry_for_seconds,
        idempotency_key=row.idempotency_key,
        schedule_id=row.schedule_id,
        fire_time=row.fire_time,
        late=(row.started_at - row.run_at).total_seconds(),
        elapsed=(row.started_at - row.first_started_at).total_seconds(),
    )


def attempt_of(row: sa.Row[Any]) -> Attempt:
    """An ended attempt."""
    return Attempt(
        attempt=row.attempt,
        outcome=Outcome(row.outcome),
        worker_id=row.worker_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=failure_of(row.error),
    )


def last_attempt_of(job: Job) -> Attempt | None:
    """The successful attempt, which has no row of its own: the job's row tells all of it."""
    if job.state is not State.SUCCESS or job.started_at is None or job.finished_at is None:
        return None
    return Attempt(job.attempt, Outcome.SUCCESS, job.worker_id, job.started_at, job.finished_at, None)


def ids_bytes(ids: list[JobId]) -> bytes:
    """Ids one after another, 16 bytes each."""
    return b"".join(bytes.fromhex(id_.replace("-", "")) for id_ in ids)


Record = Mapping[str, Any]
