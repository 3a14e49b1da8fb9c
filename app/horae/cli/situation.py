"""What is to be said of a job at a moment, in a few words: pure."""

from __future__ import annotations

import math
from datetime import datetime
from typing import assert_never

from horae.cli.text import as_json, length, line
from horae.client import Job, State

_LONGEST = 200


def starts(job: Job) -> str:
    """How often it was started, of how often it may be at least: `2 of 4`."""
    return f"{job.attempt} of {max(job.max_retries + 1, job.attempt)}"


def situation(job: Job, now: datetime) -> str:
    """Why it is where it is: what it waits for, what its handler said last, how it ended."""
    match job.state:
        case State.PENDING:
            said = _waiting(job, now)
        case State.QUEUED:
            said = "on its way to a worker"
        case State.RUNNING:
            said = _running(job)
        case State.RETRYING:
            said = ", after ".join(part for part in (f"again {_due(job, now)}", _failure(job)) if part)
        case State.SUCCESS:
            said = short(job.result)
        case State.FAILED:
            said = _failure(job)
        case State.CANCELLED:
            said = ""
        case _:
            assert_never(job.state)
    return said


def short(value: object) -> str:
    """JSON on one line, cut where it is long; nothing for None."""
    if value is None:
        return ""
    text = as_json(value, indent=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _waiting(job: Job, now: datetime) -> str:
    return f"starts {_due(job, now)}" if job.run_at > now else "waits for a worker"


def _due(job: Job, now: datetime) -> str:
    seconds = (job.run_at - now).total_seconds()
    return f"in {length(math.ceil(seconds))}" if seconds > 0 else "now"


def _running(job: Job) -> str:
    if job.cancel_requested:
        return "asked to stop"
    return line(job.progress.message or "") if job.progress else ""


def _failure(job: Job) -> str:
    return f"{line(job.error.type)}: {line(job.error.message)}" if job.error else ""
