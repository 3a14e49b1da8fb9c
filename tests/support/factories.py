"""New things with sensible fields, of which a test names only those that it is about."""

from __future__ import annotations

from typing import Any

from horae.domain.ids import IdMaker, JobId, WorkerId
from horae.domain.job import NewJob
from horae.domain.schedule import Definition, ScheduleId
from horae.domain.template import Template
from horae.domain.timing import Timing
from horae.runtime.clock import Clock, unix_ms
from horae.store.base import HandlerInfo, NewWorker

HANDLER = "noop"
LEASE = 15.0

_ids = IdMaker()


def job_id(clock: Clock) -> JobId:
    """A new id; later ones are greater."""
    return JobId(_ids.next(unix_ms(clock.now())))


def worker_id(clock: Clock) -> WorkerId:
    """A new id."""
    return WorkerId(_ids.next(unix_ms(clock.now())))


def new_job(clock: Clock, **fields: Any) -> NewJob:
    """A job as submitted."""
    return NewJob(**{"id": job_id(clock), "handler": HANDLER, **fields})


def new_worker(clock: Clock, **fields: Any) -> NewWorker:
    """A worker that reports for duty."""
    named = {"id": worker_id(clock), "name": "worker", "queues": ("default",), "slots": 10, "version": "1"}
    return NewWorker(**{**named, "handlers": [HandlerInfo(HANDLER, {}, {})], **fields})


def schedule_id(clock: Clock) -> ScheduleId:
    """A new id."""
    return ScheduleId(_ids.next(unix_ms(clock.now())))


def new_definition(**fields: Any) -> Definition:
    """A schedule as asked for: every minute, unless the test says otherwise."""
    return Definition(**{"name": "s", "timing": Timing(cron="* * * * *"), "template": Template(HANDLER), **fields})
