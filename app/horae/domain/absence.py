"""Whether what was expected of an occurrence has come in time. Pure."""

from __future__ import annotations

from datetime import datetime

from horae.domain.ids import JobId
from horae.domain.job import State
from horae.domain.wording import moment


def shortfall(job_id: JobId | None, seen: tuple[State, datetime | None] | None, by: datetime) -> str | None:
    """Why nothing had succeeded by then, in words; None if it had.

    `job_id` is the job that counts for the occurrence, `seen` its state and when it finished, None if it is gone.
    """
    if job_id is None:
        return "no job was made for it"
    if seen is None:
        return f"job {job_id} is gone: whether it succeeded isn't known"
    state, finished_at = seen
    if state is not State.SUCCESS or finished_at is None:
        return f"job {job_id} was {state}"
    return None if finished_at <= by else f"job {job_id} succeeded only at {moment(finished_at)}"
