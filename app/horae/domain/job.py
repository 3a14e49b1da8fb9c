"""A job, its states, its attempts: the nouns that every floor above speaks in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from horae.domain.ids import JobId, WorkerId
from horae.domain.retry import Backoff

MAX_LOSSES = 10
"""A job whose worker vanished this often ends FAILED."""

ISOLATE_FROM_LOSSES = 2
"""From this many losses on a job runs in a process of its own, whatever its handler says."""

MAX_STARTS = 1000
"""A handler may ask for another try by `Retry` until the job was started this often."""


class State(StrEnum):
    """Where a job is in its life."""

    PENDING = "PENDING"
    """waits for its time or for a claim"""
    QUEUED = "QUEUED"
    """claimed by a scheduler and given to the broker"""
    RUNNING = "RUNNING"
    """started by a worker"""
    RETRYING = "RETRYING"
    """waits out the backoff after a failed attempt"""
    SUCCESS = "SUCCESS"
    """final: the handler returned"""
    FAILED = "FAILED"
    """final: no retry left, or discarded, or expired"""
    CANCELLED = "CANCELLED"
    """final: cancelled by a user"""


FINAL = frozenset({State.SUCCESS, State.FAILED, State.CANCELLED})
WAITING = frozenset({State.PENDING, State.QUEUED, State.RETRYING})


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    """its worker vanished"""
    RELEASED = "released"
    """given back by a drain or by a worker that fenced itself"""
    RETRIED = "retried"
    """the handler asked for another try"""


class Priority(IntEnum):
    """Lower numbers are claimed first."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def label(self) -> str:
        """The name that clients use."""
        return self.name.lower()

    @classmethod
    def parse(cls, label: str) -> Priority:
        """The priority of that name."""
        return cls[label.upper()]


class Reference(NamedTuple):
    """What a delivery carries of a job: whoever holds an old token is refused."""

    id: JobId
    token: int


class Lane(NamedTuple):
    """Jobs of one namespace, queue and priority are claimed in the order of their wake_at."""

    namespace: str
    queue: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in an attempt, as kept and shown."""

    type: str
    message: str
    traceback: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """The JSON object that clients read."""
        return {"type": self.type, "message": self.message, "traceback": self.traceback}


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as submitted, every default filled in.

    `run_at` None means now by the database's clock, plus `delay_seconds`. `payload` is JSON text.
    """

    id: JobId
    handler: str
    payload: str = "{}"
    queue: str = "default"
    priority: Priority = Priority.NORMAL
    run_at: datetime | None = None
    delay_seconds: float = 0.0
    max_retries: int = 3
    backoff: Backoff = field(default_factory=Backoff)
    timeout_seconds: float = 300.0
    tags: tuple[str, ...] = ()
    expires_at: datetime | None = None
    retry_for_seconds: float | None = None
    idempotency_key: str | None = None
    request_hash: bytes = b""
    """of the job as asked for: the same key with another hash is a conflict"""
    schedule_id: str | None = None
    fire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored. `token` is what clients see as `version`; `result` and `payload` are JSON text."""

    id: JobId
    namespace: str
    handler: str
    payload: str
    queue: str
    priority: Priority
    state: State
    token: int
    attempt: int
    failures: int
    losses: int
    round: int
    run_at: datetime
    wake_at: datetime | None
    max_retries: int
    backoff: Backoff
    timeout_seconds: float
    tags: tuple[str, ...]
    expires_at: datetime | None
    retry_for_seconds: float | None
    idempotency_key: str | None
    cancel_requested: bool
    created_at: datetime
    first_started_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker_id: WorkerId | None
    result: str | None
    error: Failure | None
    progress: dict[str, Any] | None
    schedule_id: str | None = None
    fire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended start of a job."""

    attempt: int
    outcome: Outcome
    worker_id: WorkerId | None
    started_at: datetime
    finished_at: datetime
    error: Failure | None
