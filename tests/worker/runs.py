"""Started jobs as the database tells of them, for tests that need no database."""

from __future__ import annotations

from typing import Any

from horae.domain.ids import WorkerId
from horae.domain.job import Priority
from horae.domain.retry import Backoff
from horae.store.base import Run
from tests.support.brokers import reference

WORKER = WorkerId("01926f2e-0000-7000-8000-00000000000a")
OTHER = WorkerId("01926f2e-0000-7000-8000-00000000000b")
EXACT = Backoff(jitter=0.0)


def new_run(handler: str = "noop", **fields: Any) -> Run:
    """The first attempt of a job of its own."""
    plain: dict[str, Any] = {
        "id": reference().id,
        "token": 1,
        "namespace": "default",
        "queue": "default",
        "priority": Priority.NORMAL,
        "handler": handler,
        "payload": "{}",
        "attempt": 1,
        "failures": 0,
        "losses": 0,
        "max_retries": 3,
        "backoff": EXACT,
        "timeout_seconds": 30.0,
        "retry_for_seconds": None,
        "idempotency_key": None,
        "schedule_id": None,
        "fire_time": None,
        "late": 0.0,
        "elapsed": 0.0,
    }
    return Run(**{**plain, **fields})
