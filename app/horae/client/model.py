"""What the client answers: frozen values, times aware and in UTC, without members that it has no name for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from horae.client.errors import BadAnswer
from horae.domain.job import FINAL, Outcome, State
from horae.domain.retry import Backoff

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
D = TypeVar("D", bound="DataclassInstance")


def as_(parse: Callable[[Any], Any]) -> dict[str, Callable[[Any], Any]]:
    """Metadata of a field whose JSON form isn't its value already."""
    return {"parse": parse}


def read(kind: type[D], content: Any, url: str = "the api") -> D:
    """A value of that kind from its JSON object.

    Raises:
        BadAnswer: it isn't such an object.
    """
    try:
        return build(kind, content)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadAnswer(url, f"not a {kind.__name__.lower()}: {error}") from error


def build(kind: type[D], content: Mapping[str, Any]) -> D:
    """The same for a value within another one: what is wrong is told as of the whole."""
    values = {}
    for item in fields(kind):
        name = item.metadata.get("name", item.name)
        if name in content:
            value = content[name]
            values[item.name] = item.metadata["parse"](value) if value is not None and item.metadata else value
    return kind(**values)


moment = as_(datetime.fromisoformat)
strings = as_(tuple)
_state = as_(State)
_counts = as_(lambda content: {State(name): int(count) for name, count in content.items()})


@dataclass(frozen=True, slots=True)
class JobError:
    """What went wrong in an attempt."""

    type: str
    message: str
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the handler says it has come: `value` between 0 and 1, or None."""

    value: float | None = None
    message: str | None = None


_error = as_(lambda content: build(JobError, content))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it was when it was read. `version` is its ETag: it changes with each hand-over, not with progress."""

    id: str
    handler: str
    state: State = field(metadata=_state)
    version: int
    attempt: int
    failures: int
    payload: Mapping[str, Any]
    queue: str
    priority: str
    run_at: datetime = field(metadata=moment)
    max_retries: int
    backoff: Backoff = field(metadata=as_(lambda content: build(Backoff, content)))
    timeout_seconds: float
    created_at: datetime = field(metadata=moment)
    namespace: str = "default"
    tags: tuple[str, ...] = field(default=(), metadata=strings)
    idempotency_key: str | None = None
    expires_at: datetime | None = field(default=None, metadata=moment)
    retry_for_seconds: float | None = None
    started_at: datetime | None = field(default=None, metadata=moment)
    finished_at: datetime | None = field(default=None, metadata=moment)
    result: Any = None
    error: JobError | None = field(default=None, metadata=_error)
    progress: Progress | None = field(default=None, metadata=as_(lambda content: build(Progress, content)))
    cancel_requested: bool = False
    worker_id: str | None = None
    schedule_id: str | None = None
    fire_time: datetime | None = field(default=None, metadata=moment)

    @property
    def is_final(self) -> bool:
        """Whether it is SUCCESS, FAILED or CANCELLED."""
        return self.state in FINAL

    @property
    def succeeded(self) -> bool:
        """Whether it is SUCCESS."""
        return self.state is State.SUCCESS

    @property
    def took(self) -> timedelta | None:
        """From the last start to the end; None unless both are known."""
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One ended start of a job."""

    attempt: int
    outcome: Outcome = field(metadata=as_(Outcome))
    started_at: datetime = field(metadata=moment)
    finished_at: datetime = field(metadata=moment)
    worker_id: str | None = None
    error: JobError | None = field(default=None, metadata=_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue as seen from one namespace; `depth` counts its jobs that aren't final, by state."""

    name: str
    paused: bool
    depth: Mapping[State, int] = field(default_factory=dict, metadata=_counts)
    oldest_due_at: datetime | None = field(default=None, metadata=moment)
    paused_by: str | None = None
    paused_at: datetime | None = field(default=None, metadata=moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process: ALIVE, DRAINING or, for an hour, DEAD; `rates` are starts per second by queue."""

    id: str
    name: str
    state: str
    queues: tuple[str, ...] = field(default=(), metadata=strings)
    slots: int = 0
    running: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    handlers: tuple[str, ...] = field(default=(), metadata=strings)
    version: str = ""
    health_port: int | None = None
    started_at: datetime | None = field(default=None, metadata=moment)
    expires_at: datetime | None = field(default=None, metadata=moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerInfo:
    """A handler that the api knows: `schema` is its payload's JSON schema, `defaults` what a job takes from it."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """The live workers together; `free` of their `slots` run nothing."""

    alive: int = 0
    draining: int = 0
    slots: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The state of things at a glance: this namespace's jobs by state, what waits where, and who serves it."""

    jobs: Mapping[State, int] = field(default_factory=dict, metadata=_counts)
    queues: tuple[Queue, ...] = field(
        default=(), metadata=as_(lambda content: tuple(build(Queue, queue) for queue in content))
    )
    workers: WorkerStats = field(default=WorkerStats(), metadata=as_(lambda content: build(WorkerStats, content)))
    oldest_due_at: datetime | None = field(default=None, metadata=moment)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, newest first; `next_cursor` leads to the next one, None to nothing more."""

    items: tuple[T, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ActionProgress:
    """How far an action over a filter has come: of `matched` jobs found at the start, how many were `done`, and how
    many `refused` because their state had changed or never allowed it.
    """

    matched: int
    done: int = 0
    refused: int = 0
