"""What clients read. The models describe it, the functions beside them make it, and a test holds both together.

Answers are plain dicts that orjson writes: checking our own output again with every request would cost time for
nothing. Payload and result are kept as JSON text and go out as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from horae.api.fields import Name, PriorityName, StateName, Uuid
from horae.domain.job import Attempt, Failure, Job, State
from horae.domain.retry import Backoff, Kind
from horae.store.base import HandlerInfo, QueueInfo, WorkerInfo

Moment = Annotated[datetime, WithJsonSchema({"type": "string", "format": "date-time"})]
Count = Annotated[int, Field(ge=0)]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer of JSON; times are written in UTC with `Z`."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


class Read(BaseModel):
    """Anything that clients read; every member is always there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorOut(Read):
    """What went wrong."""

    type: str
    message: str
    traceback: str | None


class ProgressOut(Read):
    """How far the handler says it has come."""

    value: float | None
    message: str | None


class BackoffOut(Read):
    """The pause before the next attempt."""

    kind: Kind
    base_seconds: float
    factor: float
    max_seconds: float
    jitter: float


class JobOut(Read):
    """A job."""

    id: Uuid
    namespace: Name
    handler: Name
    payload: dict[str, Any]
    queue: Name
    priority: PriorityName
    state: StateName
    version: Count = Field(description="rises with each hand-over; the job's ETag")
    attempt: Count = Field(description="how often it was started")
    failures: Count = Field(description="attempts that count against max_retries")
    run_at: Moment = Field(description="when the next start is due")
    max_retries: Count
    backoff: BackoffOut
    timeout_seconds: float
    tags: list[Name]
    expires_at: Moment | None
    retry_for_seconds: float | None
    idempotency_key: str | None
    cancel_requested: bool = Field(description="it runs and shall be cancelled")
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    worker_id: Uuid | None
    result: Any = Field(description="what the handler returned")
    error: ErrorOut | None = Field(description="of the last attempt that failed")
    progress: ProgressOut | None
    schedule_id: Uuid | None
    fire_time: Moment | None


class JobsOut(Read):
    """A page of jobs, newest first."""

    items: list[JobOut]
    next_cursor: str | None


class BulkOut(Read):
    """The ids of the jobs, in the order in which they were given."""

    ids: list[Uuid]


class AttemptOut(Read):
    """An ended start of a job."""

    attempt: Count
    outcome: Literal["success", "failed", "timed_out", "cancelled", "lost", "released", "retried"]
    worker_id: Uuid | None
    started_at: Moment
    finished_at: Moment
    error: ErrorOut | None


class AttemptsOut(Read):
    """Every ended attempt, oldest first."""

    items: list[AttemptOut]


class ActionOut(Read):
    """What one call did: it looked at `matched` jobs, moved `done` of them, and `refused` the others by their state."""

    matched: Count
    done: Count
    refused: Count
    next_cursor: str | None = Field(description="for the next call; null when the action is complete")


class QueueOut(Read):
    """A queue as seen from one namespace; `depth` counts its jobs that aren't final."""

    name: Name
    paused: bool
    paused_by: str | None
    paused_at: Moment | None
    depth: dict[StateName, Count]
    oldest_due_at: Moment | None


class QueuesOut(Read):
    """A page of queues, by name."""

    items: list[QueueOut]
    next_cursor: str | None


class WorkerOut(Read):
    """A worker process; `rates` are starts per second by queue."""

    id: Uuid
    name: str
    state: Literal["ALIVE", "DRAINING", "DEAD"]
    queues: list[Name | Literal["*"]] = Field(description="that it serves; `*` is every queue")
    slots: Count
    running: Count
    rates: dict[str, float]
    handlers: list[Name]
    version: str
    health_port: int | None
    started_at: Moment
    expires_at: Moment


class WorkersOut(Read):
    """A page of workers: live ones and, for an hour, dead ones."""

    items: list[WorkerOut]
    next_cursor: str | None


class HandlerOut(Read):
    """A handler that jobs may name: `schema` is its payload's JSON schema, `defaults` win over the global ones."""

    model_config = ConfigDict(protected_namespaces=())

    name: Name
    schema_: dict[str, Any] = Field(alias="schema")
    defaults: dict[str, Any]
    version: str
    description: str


class HandlersOut(Read):
    """A page of handlers, by name."""

    items: list[HandlerOut]
    next_cursor: str | None


class WorkerStats(Read):
    """The live workers together."""

    alive: Count
    draining: Count
    slots: Count
    free: Count


class StatsOut(Read):
    """The state of things at a glance: jobs by state, what waits where, and who serves it."""

    jobs: dict[StateName, Count]
    queues: list[QueueOut]
    workers: WorkerStats
    oldest_due_at: Moment | None


class FieldErrorOut(Read):
    """One wrong field: its path in the body, or the name of the query parameter or header."""

    field: str
    message: str


class ProblemOut(BaseModel):
    """RFC 9457. Some kinds have members of their own: `state` of an illegal move, `id` of a name that is taken, `count`
    of a filter's jobs.
    """

    type: str = Field(description="a URN for the kind of problem")
    title: str
    status: int
    detail: str
    instance: str = Field(description="the id of the request, as in the header X-Request-Id")
    errors: list[FieldErrorOut] = Field(default_factory=list, description="every wrong field, if any")
    state: StateName | Literal["ACTIVE", "PAUSED", "ENDED", "DONE"] | None = Field(
        default=None, description="of the job, schedule or backfill that refused"
    )
    id: Uuid | None = Field(default=None, description="of the schedule that has the name")
    count: Count | None = Field(default=None, description="how many jobs the filter really finds")


def job_answer(job: Job) -> dict[str, Any]:
    """`JobOut`."""
    return {
        "id": job.id,
        "namespace": job.namespace,
        "handler": job.handler,
        "payload": orjson.Fragment(job.payload),
        "queue": job.queue,
        "priority": job.priority.label,
        "state": job.state,
        "version": job.token,
        "attempt": job.attempt,
        "failures": job.failures,
        "run_at": job.run_at,
        "max_retries": job.max_retries,
        "backoff": backoff_answer(job.backoff),
        "timeout_seconds": job.timeout_seconds,
        "tags": job.tags,
        "expires_at": job.expires_at,
        "retry_for_seconds": job.retry_for_seconds,
        "idempotency_key": job.idempotency_key,
        "cancel_requested": job.cancel_requested,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "worker_id": job.worker_id,
        "result": None if job.result is None else orjson.Fragment(job.result),
        "error": _failure(job.error),
        "progress": _progress(job.progress),
        "schedule_id": job.schedule_id,
        "fire_time": job.fire_time,
    }


def backoff_answer(backoff: Backoff) -> dict[str, Any]:
    """`BackoffOut`."""
    return {
        "kind": backoff.kind,
        "base_seconds": backoff.base_seconds,
        "factor": backoff.factor,
        "max_seconds": backoff.max_seconds,
        "jitter": backoff.jitter,
    }


def _failure(failure: Failure | None) -> dict[str, str | None] | None:
    return None if failure is None else failure.as_dict()


def _progress(progress: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if progress is None else {"value": progress.get("value"), "message": progress.get("message")}


def attempt_answer(attempt: Attempt) -> dict[str, Any]:
    """`AttemptOut`."""
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "worker_id": attempt.worker_id,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "error": _failure(attempt.error),
    }


def queue_answer(queue: QueueInfo) -> dict[str, Any]:
    """`QueueOut`."""
    return {
        "name": queue.name,
        "paused": queue.paused,
        "paused_by": queue.paused_by,
        "paused_at": queue.paused_at,
        "depth": states_answer(queue.depth),
        "oldest_due_at": queue.oldest_due_at,
    }


def states_answer(counts: Mapping[State, int]) -> dict[str, int]:
    """Numbers of jobs by the names of their states."""
    return {state.value: count for state, count in counts.items()}


def worker_answer(worker: WorkerInfo) -> dict[str, Any]:
    """`WorkerOut`."""
    return {
        "id": worker.id,
        "name": worker.name,
        "state": worker.state,
        "queues": worker.queues,
        "slots": worker.slots,
        "running": worker.running,
        "rates": dict(worker.rates),
        "handlers": worker.handlers,
        "version": worker.version,
        "health_port": worker.health_port,
        "started_at": worker.started_at,
        "expires_at": worker.expires_at,
    }


def handler_answer(handler: HandlerInfo) -> dict[str, Any]:
    """`HandlerOut`."""
    return {
        "name": handler.name,
        "schema": dict(handler.schema),
        "defaults": dict(handler.defaults),
        "version": handler.version,
        "description": handler.description,
    }


def page_answer(items: Sequence[dict[str, Any]], next_cursor: str | None) -> dict[str, Any]:
    """A page of a list."""
    return {"items": items, "next_cursor": next_cursor}
