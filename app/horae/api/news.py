"""What the others are told once something has been committed: hints to the roles, events to whoever watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from horae.api.context import ApiDeps
from horae.domain.job import NewJob, State
from horae.signals.base import Event, Topic

ONE_BY_ONE = 50
"""of more jobs at once only the sum is told"""


def tell_submitted(deps: ApiDeps, namespace: str, jobs: Sequence[NewJob]) -> None:
    """New jobs."""
    deps.signals.hint(Topic.DUE)
    tell_jobs(deps, namespace, [job.id for job in jobs], State.PENDING)
    for queue, count in Counter(job.queue for job in jobs).items():
        deps.metrics.jobs_submitted(queue, count)


def tell_jobs(deps: ApiDeps, namespace: str, ids: Collection[str], state: State | None) -> None:
    """Jobs that were moved; `state` None means that they are gone."""
    told = None if state is None else state.value
    if len(ids) > ONE_BY_ONE:
        deps.signals.emit(Event("job", namespace, {"count": len(ids), "state": told}))
        return
    for id_ in ids:
        deps.signals.emit(Event("job", namespace, {"id": id_, "state": told}))


def tell_schedule(deps: ApiDeps, namespace: str, id_: str, name: str, change: str, **more: Any) -> None:
    """Something was done to a schedule; `more` are further members of the event."""
    deps.signals.emit(Event("schedule", namespace, {"id": id_, "name": name, "change": change, **more}))


def tell_queue(deps: ApiDeps, namespace: str, name: str, paused: bool) -> None:
    """A queue that was paused or resumed."""
    if not paused:
        deps.signals.hint(Topic.DUE)
    deps.signals.emit(Event("queue", namespace, {"name": name, "paused": paused}))
