"""The Python client of the REST API, asynchronous (`Client`) and blocking (`SyncClient`)."""

from __future__ import annotations

from horae.client.client import Client
from horae.client.errors import (
    BadAnswer,
    ClientError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    Invalid,
    NotFinished,
    NotFound,
    Problem,
    ProblemError,
    ServerFailed,
    Stale,
    TooManyRequests,
    Unauthorized,
)
from horae.client.model import (
    ActionProgress,
    Attempt,
    HandlerInfo,
    Job,
    JobError,
    Page,
    Progress,
    Queue,
    Stats,
    Worker,
    WorkerStats,
)
from horae.client.requests import JobBody, JobChanges, JobFields, JobFilter, chunks, new_job
from horae.client.retries import Retries
from horae.client.schedule_model import (
    Backfill,
    Dropped,
    Fire,
    HistoryEntry,
    Occurrence,
    Preview,
    Schedule,
    ScheduleUpdate,
)
from horae.client.schedule_requests import LedgerFilter, ScheduleChanges, ScheduleFields, ScheduleFilter
from horae.client.sync import SyncClient
from horae.domain.errors import FieldError
from horae.domain.job import Outcome, State
from horae.domain.retry import Backoff

__all__ = [
    "ActionProgress",
    "Attempt",
    "Backfill",
    "Backoff",
    "BadAnswer",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Dropped",
    "FieldError",
    "Fire",
    "Forbidden",
    "HandlerInfo",
    "HistoryEntry",
    "Invalid",
    "Job",
    "JobBody",
    "JobChanges",
    "JobError",
    "JobFields",
    "JobFilter",
    "LedgerFilter",
    "NotFinished",
    "NotFound",
    "Occurrence",
    "Outcome",
    "Page",
    "Preview",
    "Problem",
    "ProblemError",
    "Progress",
    "Queue",
    "Retries",
    "Schedule",
    "ScheduleChanges",
    "ScheduleFields",
    "ScheduleFilter",
    "ScheduleUpdate",
    "ServerFailed",
    "Stale",
    "State",
    "Stats",
    "SyncClient",
    "TooManyRequests",
    "Unauthorized",
    "Worker",
    "WorkerStats",
    "chunks",
    "new_job",
]
