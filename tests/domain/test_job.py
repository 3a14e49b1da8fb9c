"""The nouns."""

from __future__ import annotations

import pytest

from horae.domain.ids import JobId
from horae.domain.job import FINAL, WAITING, Failure, NewJob, Outcome, Priority, Reference, State
from horae.domain.retry import Backoff


def test_every_state_is_waiting_running_or_final_and_only_one_of_them() -> None:
    parts = [WAITING, {State.RUNNING}, FINAL]
    assert sorted(state for part in parts for state in part) == sorted(State)


def test_states_and_outcomes_are_written_as_clients_read_them() -> None:
    assert [str(state) for state in State] == [
        "PENDING",
        "QUEUED",
        "RUNNING",
        "RETRYING",
        "SUCCESS",
        "FAILED",
        "CANCELLED",
    ]
    assert [str(outcome) for outcome in Outcome] == [
        "success",
        "failed",
        "timed_out",
        "cancelled",
        "lost",
        "released",
        "retried",
    ]


@pytest.mark.parametrize("priority", Priority)
def test_a_priority_is_read_back_from_its_label(priority: Priority) -> None:
    assert Priority.parse(priority.label) is priority


def test_critical_comes_first() -> None:
    assert [priority.label for priority in sorted(Priority)] == ["critical", "high", "normal", "low"]


@pytest.mark.parametrize("label", ["", "urgent", "normal ", "2"])
def test_any_other_label_is_no_priority(label: str) -> None:
    with pytest.raises(KeyError):
        Priority.parse(label)


def test_a_failure_is_told_whole() -> None:
    assert Failure("E", "m").as_dict() == {"type": "E", "message": "m", "traceback": None}


def test_references_are_equal_by_id_and_token() -> None:
    reference = Reference(JobId("a"), 1)
    assert reference == (JobId("a"), 1)
    assert reference != Reference(JobId("a"), 2)


def test_a_new_job_has_the_defaults_that_are_promised() -> None:
    job = NewJob(JobId("a"), "noop")
    assert (job.payload, job.queue, job.priority, job.max_retries) == ("{}", "default", Priority.NORMAL, 3)
    assert (job.backoff, job.timeout_seconds) == (Backoff("exponential", 1.0, 2.0, 3600.0, 0.1), 300.0)
    assert (job.run_at, job.delay_seconds, job.tags, job.expires_at, job.retry_for_seconds) == (None, 0, (), None, None)
