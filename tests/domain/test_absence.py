"""What counts as a success in time, and how its absence is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from horae.domain.absence import shortfall
from horae.domain.ids import JobId
from horae.domain.job import State

BY = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = JobId("018f0000-0000-7000-8000-000000000000")
MOMENT = timedelta(microseconds=1)


def test_a_success_counts_up_to_the_very_moment() -> None:
    assert shortfall(JOB, (State.SUCCESS, BY), BY) is None
    assert shortfall(JOB, (State.SUCCESS, BY + MOMENT), BY) == (
        f"job {JOB} succeeded only at 2026-03-01T12:00:00.000001Z"
    )


@pytest.mark.parametrize("state", [state for state in State if state is not State.SUCCESS])
def test_any_other_state_is_named(state: State) -> None:
    assert shortfall(JOB, (state, BY - MOMENT), BY) == f"job {JOB} was {state}"


def test_a_job_that_is_gone_and_none_at_all_are_told_apart() -> None:
    assert shortfall(JOB, None, BY) == f"job {JOB} is gone: whether it succeeded isn't known"
    assert shortfall(None, None, BY) == "no job was made for it"
