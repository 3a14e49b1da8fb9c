"""What the roles ask of the database, one small interface for each kind of caller.

The api's methods all take a namespace. Scheduler and worker go by lane, id and token. Times are the database's own;
lengths of time are seconds. Any method may raise `StoreUnavailable`; one that writes may raise `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from horae.domain.ids import JobId, WorkerId
from horae.domain.job import Attempt, Failure, Job, Lane, NewJob, Outcome, Priority, Reference, State
from horae.domain.retry import Backoff
from horae.domain.transitions import Move

# --------------------------------------------------------------------------------------------------------------- api


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The idempotency key of a whole bulk request, with the hash of its body."""

    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class Submitted:
    """The ids in the order asked for; `fresh[i]` is False where the key was known and the id is the first job's."""

    ids: list[JobId]
    fresh: list[bool]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a list of jobs is narrowed to; None means everything. `created_*` are bounds: after <= t < before."""

    states: frozenset[State] = frozenset()
    queue: str | None = None
    handler: str | None = None
    tag: str | None = None
    schedule_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None
    """a job id, the start of a handler's name, a tag, or words of the error among the newest 10,000 jobs"""


@dataclass(frozen=True, slots=True)
class Edit:
    """What PATCH changes: names of `Job` fields with their new values (`delay_seconds` counts from now)."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as seen from one namespace. `depth` counts jobs that are not final."""

    name: str
    paused: bool
    paused_by: str | None
    paused_at: datetime | None
    depth: Mapping[State, int]
    oldest_due_at: datetime | None


class JobStore(Protocol):
    """Jobs as users see them: rows T1, T11, T15, T16, T17 of the table, and reading."""

    async def submit(self, namespace: str, jobs: Sequence[NewJob], request: RequestKey | None = None) -> Submitted:
        """T1, all or nothing in one transaction.

        Raises:
            KeyConflict: a key (the request's, or a job's own) is known with another hash.
        """
        ...

    async def get(self, namespace: str, job_id: str) -> Job | None:
        """The job, or None."""
        ...

    async def page(self, namespace: str, where: JobFilter, limit: int, before: str | None = None) -> list[Job]:
        """Jobs, newest first, older than the job `before`."""
        ...

    async def count(self, namespace: str, where: JobFilter) -> int:
        """How many jobs the filter finds."""
        ...

    async def attempts(self, namespace: str, job_id: str) -> list[Attempt]:
        """Every ended attempt, oldest first, the successful one too."""
        ...

    async def edit(self, namespace: str, job_id: str, version: int, edit: Edit) -> Job:
        """T16. Raises NotFound, StaleVersion or IllegalMove."""
        ...

    async def cancel(self, namespace: str, job_ids: Collection[str]) -> frozenset[str]:
        """T11: cancels what waits, asks what runs. Answers the ids that are now cancelled or asked to be."""
        ...

    async def retry(self, namespace: str, job_ids: Collection[str]) -> frozenset[str]:
        """T15. Answers the ids that were moved."""
        ...

    async def delete(self, namespace: str, job_ids: Collection[str]) -> frozenset[str]:
        """T17 by hand: only final jobs go, with their attempts. Answers the ids that are gone."""
        ...

    async def counts(self, namespace: str) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        ...


class QueueStore(Protocol):
    """Queues as users see them."""

    async def queues(self, namespace: str) -> list[QueueInfo]:
        """Every queue that holds jobs, is paused or is served by a live worker, by name."""
        ...

    async def pause(self, namespace: str, queue: str, by: str) -> None:
        """No job of the queue starts until it is resumed. Pausing twice keeps the first author."""
        ...

    async def resume(self, namespace: str, queue: str) -> None:
        """Ends the pause, if there is one."""
        ...


# ---------------------------------------------------------------------------------------------------------- registry

EVERY_QUEUE = "*"
"""what a worker names that serves every queue"""


@dataclass(frozen=True, slots=True)
class HandlerInfo:
    """A handler as workers registered it: enough to check and complete a submission without its code.

    `schema` is the JSON schema of its payload; `defaults` may hold `queue, priority, max_retries, backoff,
    timeout_seconds` in the form that clients use.
    """

    name: str
    schema: Mapping[str, Any]
    defaults: Mapping[str, Any]
    version: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class NewWorker:
    """A worker process that reports for duty; `queues` are those that it serves."""

    id: WorkerId
    name: str
    queues: tuple[str, ...]
    slots: int
    version: str
    handlers: Sequence[HandlerInfo] = ()
    health_port: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker as listed; `state` is ALIVE, DRAINING or DEAD; `rates` are starts per second by queue."""

    id: WorkerId
    name: str
    queues: tuple[str, ...]
    slots: int
    running: int
    rates: Mapping[str, float]
    handlers: tuple[str, ...]
    version: str
    health_port: int | None
    state: str
    started_at: datetime
    expires_at: datetime


class RegistryStore(Protocol):
    """Workers and handlers; they belong to the installation, not to a namespace."""

    async def register(self, worker: NewWorker, lease: float) -> None:
        """A new worker row with its lease, and its handlers made known."""
        ...

    async def renew(self, worker_id: WorkerId, lease: float, rates: Mapping[str, float], draining: bool) -> bool:
        """Prolongs the lease; False if it had ended already: then the worker must fence itself."""
        ...

    async def retire(self, worker_id: WorkerId) -> None:
        """Ends the lease at once; whatever still runs under it will be rescued."""
        ...

    async def remember(self, handlers: Sequence[HandlerInfo]) -> None:
        """Makes handlers known, as a worker does that registers."""
        ...

    async def workers(self) -> list[WorkerInfo]:
        """Live ones and, for an hour, dead ones."""
        ...

    async def handlers(self) -> list[HandlerInfo]:
        """Every handler that was ever registered, by name."""
        ...


# --------------------------------------------------------------------------------------------------------- scheduler


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a live worker offers: `free` slots of `slots`, and starts per second by queue as it measured them."""

    id: WorkerId
    queues: frozenset[str]
    slots: int
    free: int
    rates: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DueLane:
    """A lane that isn't paused and holds a due job; `waited` is for how many seconds its oldest has been due."""

    lane: Lane
    waited: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What the feed needs to know before it claims. `next_due` is in seconds from now, None if nothing waits."""

    lanes: Sequence[DueLane] = ()
    workers: Sequence[Capacity] = ()
    queued: Mapping[str, int] = field(default_factory=dict)
    next_due: float | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long final jobs are kept; None means for ever."""

    success: timedelta | None
    failed: timedelta | None


class DispatchStore(Protocol):
    """The scheduler's way from due rows to deliveries: rows T3 and T4."""

    async def survey(self) -> Survey:
        """Due lanes, live workers, queued jobs, and when the next job is due."""
        ...

    async def claim(self, lane: Lane, limit: int, lease: float) -> list[Reference]:
        """T3, oldest first, skipping what another scheduler has locked. The tokens are the new ones."""
        ...

    async def depths(self) -> Mapping[str, Mapping[State, int]]:
        """How many jobs of each queue are in each state that isn't final, in all namespaces together."""
        ...

    async def take_back(self, references: Sequence[Reference]) -> int:
        """T4: the broker certainly doesn't have them. Answers how many were still ours."""
        ...


class RescueStore(Protocol):
    """What the scheduler mends: rows T12, T13, T17 and T18. Each call handles at most `limit` jobs."""

    async def rescue_handovers(self, limit: int) -> int:
        """T12. Answers how many."""
        ...

    async def rescue_attempts(self, limit: int) -> Mapping[Outcome, int]:
        """T13. Answers how many attempts of each outcome were written."""
        ...

    async def expire(self, limit: int) -> int:
        """T18. Answers how many."""
        ...

    async def prune(self, retention: Retention, limit: int) -> int:
        """T17, with expired keys and long-dead workers. Answers how many jobs went."""
        ...

    async def next_rescue(self) -> float | None:
        """Seconds until the earliest deadline of a hand-over, an attempt or an expiry; None if there is none.

        Zero or less: something is overdue, or a running job has no live worker.
        """
        ...


# ------------------------------------------------------------------------------------------------------------ worker


@dataclass(frozen=True, slots=True)
class Run:
    """A started job with all that its handler and its judge need. `payload` is JSON text.

    `late` is start minus run_at, in seconds; `elapsed` counts from the first start of the round.
    """

    id: JobId
    token: int
    namespace: str
    queue: str
    priority: Priority
    handler: str
    payload: str
    attempt: int
    failures: int
    losses: int
    max_retries: int
    backoff: Backoff
    timeout_seconds: float
    retry_for_seconds: float | None
    idempotency_key: str | None
    schedule_id: str | None
    fire_time: datetime | None
    late: float
    elapsed: float

    @property
    def reference(self) -> Reference:
        """Id and token."""
        return Reference(self.id, self.token)


@dataclass(frozen=True, slots=True)
class Starts:
    """The answer to a start. What is in none of the lists is stale: it belongs to somebody else now.

    `refused` are still ours but may not start (paused or expired): give them back. So are `foreign` ones, whose handler
    this worker hasn't. `alive` False means that the worker's own row is dead: nothing was started, hold everything
    until the worker has fenced itself.
    """

    started: list[Run]
    refused: list[Reference]
    foreign: list[Reference] = field(default_factory=list)
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an attempt, to be written by `move` (T7 to T10, T11 of a running job, T14).

    `delay` is the backoff in seconds; `carried` says that a delay message will bring the job back.
    `result` is JSON text.
    """

    reference: Reference
    move: Move
    outcome: Outcome
    result: str | None = None
    error: Failure | None = None
    delay: float = 0.0
    carried: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """What a finish came to: the state after it and the new token, or `state` None if it was refused as stale.

    `carried` says whether a delay message shall bring it back: no longer so if its queue has been paused meanwhile.
    """

    reference: Reference
    state: State | None
    token: int = 0
    carried: bool = False


class WorkerStore(Protocol):
    """The worker's way from deliveries to outcomes: rows T5 to T10, T14 and T19."""

    async def start(
        self, worker_id: WorkerId, references: Sequence[Reference], handlers: Collection[str], lease: float
    ) -> Starts:
        """T5, one transaction, for jobs of these handlers.

        A row already RUNNING under this id and token counts as started (adopted).
        """
        ...

    async def give_back(self, references: Sequence[Reference], delay: float = 0.0) -> int:
        """T6: unstarted; due again at run_at, or `delay` seconds from now if that is given."""
        ...

    async def finish(self, worker_id: WorkerId, finishes: Sequence[Finish]) -> list[Finished]:
        """T7 to T10, T11 and T14, one transaction.

        May be repeated after `OutcomeUnknown`: the second time what was applied is answered with its state again where
        that is certain, else with None.
        """
        ...

    async def progress(self, worker_id: WorkerId, reference: Reference, progress: Mapping[str, Any]) -> bool:
        """T19. False if the run isn't ours any more."""
        ...

    async def waiting_queues(self) -> list[str]:
        """The queues with jobs that wait for a claim, of all namespaces."""
        ...

    async def cancel_requests(self, worker_id: WorkerId) -> list[Reference]:
        """The running jobs of this worker that shall be cancelled."""
        ...

    async def running(self, worker_id: WorkerId) -> list[Reference]:
        """What the database says runs under this id."""
        ...
