from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from horae.client import Backoff, State, chunks, new_job
from horae.client.requests import action_body, changes, query

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_job_says_only_what_was_said() -> None:
    assert new_job("echo") == {"handler": "echo", "payload": {}}
    assert new_job("echo", {"a": 1}, queue=None) == {"handler": "echo", "payload": {"a": 1}}


def test_a_job_in_the_words_of_the_api() -> None:
    job = new_job(
        "echo",
        queue="mail",
        priority="high",
        run_at=NOON.astimezone(timezone(timedelta(hours=2))),
        max_retries=0,
        backoff=Backoff(kind="fixed", base_seconds=5),
        timeout=timedelta(minutes=1),
        tags=("x", "y"),
        expires_at=NOON + timedelta(microseconds=5),
        retry_for=1.5,
        idempotency_key="k",
    )
    assert job == {
        "handler": "echo",
        "payload": {},
        "queue": "mail",
        "priority": "high",
        "run_at": "2026-03-01T12:00:00Z",
        "max_retries": 0,
        "backoff": {"kind": "fixed", "base_seconds": 5, "factor": 2.0, "max_seconds": 3600.0, "jitter": 0.1},
        "timeout_seconds": 60.0,
        "tags": ["x", "y"],
        "expires_at": "2026-03-01T12:00:00.000005Z",
        "retry_for_seconds": 1.5,
        "idempotency_key": "k",
    }
    assert new_job("echo", delay=2) == {"handler": "echo", "payload": {}, "delay_seconds": 2}


def test_a_backoff_may_be_said_in_part() -> None:
    assert new_job("echo", backoff={"kind": "linear"})["backoff"] == {"kind": "linear"}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="run_at needs a time zone"):
        new_job("echo", run_at=NOON.replace(tzinfo=None))


def test_a_change_may_take_away() -> None:
    assert changes({"expires_at": None, "delay": timedelta(seconds=3)}) == {"expires_at": None, "delay_seconds": 3.0}


def test_a_filter_as_query_and_as_body() -> None:
    where = {"state": (State.FAILED, "CANCELLED"), "queue": "mail", "created_after": NOON, "tag": None}
    expected = {"state": ["FAILED", "CANCELLED"], "queue": "mail", "created_after": "2026-03-01T12:00:00Z"}
    assert query(where) == expected
    assert query({"state": State.FAILED}) == {"state": "FAILED"}
    assert action_body("retry", {"queue": "mail"}, 3, None) == {
        "action": "retry",
        "filter": {"queue": "mail"},
        "expected_count": 3,
    }
    assert action_body("retry", {}, None, "c") == {"action": "retry", "filter": {}, "cursor": "c"}


def test_chunks_keep_the_order_and_lose_nothing() -> None:
    jobs = [new_job("echo", {"n": n}) for n in range(7)]
    parts = list(chunks(jobs, size=3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert [job for part in parts for job in part] == jobs
    assert list(chunks([])) == []
