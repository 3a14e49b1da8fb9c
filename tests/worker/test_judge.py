"""What becomes of an attempt: every way in which one can end, in every standing of its job."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.job import MAX_STARTS, Failure, Outcome
from horae.domain.transitions import CANCEL_RUNNING, FAIL, FAIL_FOR_GOOD, RELEASE, RETRY_ASKED, SUCCEED, Move
from horae.store.base import Finish
from horae.worker.judge import AskedAgain, Broke, Cancelled, Ended, Released, Returned, judge
from tests.worker.runs import new_run

ERROR = Failure("ValueError", "broken", "Traceback")
LATE = Failure("timed_out", "too late")
ASKED = Failure("Retry", "not yet")

FRESH: dict[str, Any] = {}
ONCE_FAILED = {"attempt": 2, "failures": 1}
EXHAUSTED = {"attempt": 4, "failures": 3}
NO_RETRIES = {"max_retries": 0}
WORN_OUT = {"attempt": MAX_STARTS}
IN_TIME = {"retry_for_seconds": 13.0, "elapsed": 2.0}
TOO_LATE = {"retry_for_seconds": 12.9, "elapsed": 2.0}
SECONDS = 10.0
MIDDLE = 0.5


def judged(ended: Ended, standing: dict[str, Any]) -> Finish:
    return judge(new_run(**standing), ended, SECONDS, MIDDLE)


@pytest.mark.parametrize(
    ("ended", "move", "outcome", "result"),
    [
        (Returned(), SUCCEED, Outcome.SUCCESS, None),
        (Returned('{"a":1}'), SUCCEED, Outcome.SUCCESS, '{"a":1}'),
        (Cancelled(), CANCEL_RUNNING, Outcome.CANCELLED, None),
        (Released(), RELEASE, Outcome.RELEASED, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("standing", [FRESH, ONCE_FAILED, EXHAUSTED, NO_RETRIES, WORN_OUT, TOO_LATE], ids=str)
def test_these_ends_don_t_look_at_the_standing(
    ended: Ended, standing: dict[str, Any], move: Move, outcome: Outcome, result: str | None
) -> None:
    run = new_run(**standing)
    assert judge(run, ended, SECONDS, MIDDLE) == Finish(run.reference, move, outcome, result)


@pytest.mark.parametrize(
    ("standing", "delay"),
    [
        pytest.param(FRESH, 1.0, id="fresh"),
        pytest.param(ONCE_FAILED, 2.0, id="once failed"),
        pytest.param(EXHAUSTED, None, id="exhausted"),
        pytest.param(NO_RETRIES, None, id="no retries"),
        pytest.param(WORN_OUT, 1.0, id="often started: only what the handler asks for is limited by it"),
        pytest.param(IN_TIME, 1.0, id="in time"),
        pytest.param(TOO_LATE, None, id="too late"),
    ],
)
@pytest.mark.parametrize(
    "ended",
    [Broke(ERROR), Broke(LATE, Outcome.TIMED_OUT), Broke(ERROR, Outcome.LOST)],
    ids=lambda ended: ended.outcome.value,
)
def test_a_failure_is_tried_again_while_retries_and_time_are_left(
    ended: Broke, standing: dict[str, Any], delay: float | None
) -> None:
    finish = judged(ended, standing)
    assert finish.move is (FAIL_FOR_GOOD if delay is None else FAIL)
    assert finish.outcome is ended.outcome
    assert finish.delay == (delay or 0.0)
    assert finish.error is not None
    assert finish.error.message.startswith(ended.failure.message)
    assert finish.error.traceback == ended.failure.traceback


@pytest.mark.parametrize("standing", [FRESH, EXHAUSTED, IN_TIME], ids=str)
def test_a_final_failure_is_not_tried_again(standing: dict[str, Any]) -> None:
    run = new_run(**standing)
    finish = judge(run, Broke(ERROR, final=True), SECONDS, MIDDLE)
    assert finish == Finish(run.reference, FAIL_FOR_GOOD, Outcome.FAILED, error=ERROR)


@pytest.mark.parametrize("standing", [FRESH, ONCE_FAILED, EXHAUSTED, NO_RETRIES, TOO_LATE], ids=str)
@pytest.mark.parametrize("delay", [0.0, 7.5, 86400.0])
def test_another_try_that_the_handler_asks_for_counts_as_no_failure(standing: dict[str, Any], delay: float) -> None:
    run = new_run(**standing)
    finish = judge(run, AskedAgain(delay, ASKED), SECONDS, MIDDLE)
    assert finish == Finish(run.reference, RETRY_ASKED, Outcome.RETRIED, error=ASKED, delay=delay)


def test_another_try_without_a_delay_waits_for_the_backoff() -> None:
    assert judged(AskedAgain(None, ASKED), ONCE_FAILED).delay == 2.0


def test_a_handler_can_not_ask_for_ever() -> None:
    finish = judged(AskedAgain(1.0, ASKED), WORN_OUT)
    assert (finish.move, finish.outcome) == (FAIL_FOR_GOOD, Outcome.FAILED)
    assert finish.error is not None
    assert "started 1000 times" in finish.error.message


@given(
    failures=st.integers(0, 100),
    max_retries=st.integers(0, 100),
    elapsed=st.floats(0, 1e6),
    seconds=st.floats(0, 1e5),
    limit=st.none() | st.floats(0, 1e6),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_no_retry_comes_too_many_or_too_late(
    failures: int, max_retries: int, elapsed: float, seconds: float, limit: float | None, chance: float
) -> None:
    run = new_run(failures=failures, max_retries=max_retries, elapsed=elapsed, retry_for_seconds=limit)
    finish = judge(run, Broke(ERROR), seconds, chance)
    if finish.move is FAIL:
        assert failures < max_retries
        assert limit is None or elapsed + seconds + finish.delay <= limit
    else:
        assert finish.move is FAIL_FOR_GOOD
        assert finish.delay == 0.0
