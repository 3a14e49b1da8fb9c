"""How long a job waits, and when it is given up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.job import MAX_STARTS
from horae.domain.retry import Again, Backoff, Decision, GiveUp, Standing, after_failure, after_request

STEADY = Backoff("fixed", 5.0, jitter=0.0)

backoffs = st.builds(
    Backoff,
    kind=st.sampled_from(["exponential", "linear", "fixed"]),
    base_seconds=st.floats(0.001, 1e6),
    factor=st.floats(1, 100),
    max_seconds=st.floats(0.001, 1e6),
    jitter=st.floats(0, 1),
)
chances = st.floats(0, 1, exclude_max=True)
counts = st.integers(1, 1000)


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Backoff("exponential", 1.0, 2.0, 3600.0, 0.0), [1, 2, 4, 8, 16]),
        (Backoff("exponential", 0.5, 3.0, 3600.0, 0.0), [0.5, 1.5, 4.5, 13.5, 40.5]),
        (Backoff("exponential", 1.0, 2.0, 5.0, 0.0), [1, 2, 4, 5, 5]),
        (Backoff("exponential", 7.0, 1.0, 3600.0, 0.0), [7, 7, 7, 7, 7]),
        (Backoff("linear", 2.0, 9.0, 7.0, 0.0), [2, 4, 6, 7, 7]),
        (Backoff("fixed", 3.0, 9.0, 3600.0, 0.0), [3, 3, 3, 3, 3]),
        (Backoff("fixed", 30.0, 9.0, 10.0, 0.0), [10, 10, 10, 10, 10]),
    ],
)
def test_each_kind_waits_as_it_says(backoff: Backoff, waits: list[float]) -> None:
    assert [backoff.seconds(failures, 0.3) for failures in range(1, 6)] == waits


def test_the_default_doubles_from_a_second_to_an_hour() -> None:
    assert [round(Backoff().seconds(failures, 0.5)) for failures in (1, 2, 3, 12, 13, 100)] == [
        1,
        2,
        4,
        2048,
        3600,
        3600,
    ]


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 90.0), (0.5, 100.0), (0.75, 105.0), (0.999_999, 110.0)])
def test_jitter_spreads_both_ways(chance: float, wait: float) -> None:
    assert Backoff("fixed", 100.0).seconds(1, chance) == pytest.approx(wait, abs=0.01)


@given(backoffs, counts, chances)
def test_a_wait_is_finite_and_within_its_jitter(backoff: Backoff, failures: int, chance: float) -> None:
    wait = backoff.seconds(failures, chance)
    assert math.isfinite(wait)
    assert 0 <= wait <= backoff.max_seconds * (1 + backoff.jitter) * (1 + 1e-9)


@given(backoffs, counts, chances)
def test_a_later_failure_never_waits_less(backoff: Backoff, failures: int, chance: float) -> None:
    assert backoff.seconds(failures + 1, chance) >= backoff.seconds(failures, chance)


@given(backoffs, counts, chances, chances)
def test_without_jitter_chance_plays_no_part(backoff: Backoff, failures: int, one: float, other: float) -> None:
    steady = Backoff(backoff.kind, backoff.base_seconds, backoff.factor, backoff.max_seconds, 0.0)
    assert steady.seconds(failures, one) == steady.seconds(failures, other)


# ------------------------------------------------------------------------------------------------------- the decision


def standing(
    attempt: int = 1,
    failures: int = 0,
    max_retries: int = 3,
    elapsed: float = 0.0,
    retry_for: float | None = None,
) -> Standing:
    return Standing(attempt, failures, max_retries, STEADY, elapsed, retry_for)


@pytest.mark.parametrize(("failures", "goes_on"), [(0, True), (2, True), (3, False), (4, False)])
def test_with_three_retries_the_fourth_failure_is_the_last(failures: int, goes_on: bool) -> None:
    expected: Decision = Again(5.0, counted=True) if goes_on else GiveUp()
    assert after_failure(standing(failures=failures), 0.5) == expected


def test_without_retries_the_first_failure_is_the_last() -> None:
    assert after_failure(standing(max_retries=0), 0.5) == GiveUp()


@pytest.mark.parametrize(("elapsed", "goes_on"), [(0.0, True), (95.0, True), (95.001, False), (1000.0, False)])
def test_no_attempt_starts_later_than_the_round_allows(elapsed: float, goes_on: bool) -> None:
    decision = after_failure(standing(elapsed=elapsed, retry_for=100.0), 0.5)
    assert isinstance(decision, Again) is goes_on
    assert isinstance(decision, Again) or (decision.why is not None and "100" in decision.why)


def test_used_up_retries_are_the_reason_before_the_time_is() -> None:
    assert after_failure(standing(failures=3, elapsed=1000.0, retry_for=100.0), 0.5) == GiveUp()


@given(st.builds(standing, failures=st.integers(0, 100), max_retries=st.integers(0, 100)), chances)
def test_a_failure_is_always_counted_or_the_last(job: Standing, chance: float) -> None:
    decision = after_failure(job, chance)
    assert isinstance(decision, GiveUp) is (job.failures >= job.max_retries)
    assert isinstance(decision, GiveUp) or decision.counted


@pytest.mark.parametrize("seconds", [0.0, 2.5, 1e6])
def test_a_handler_may_ask_for_its_own_delay(seconds: float) -> None:
    assert after_request(standing(failures=3), seconds, 0.5, MAX_STARTS) == Again(seconds, counted=False)


def test_a_handler_that_names_no_delay_waits_as_after_the_next_failure() -> None:
    job = Standing(5, 2, 3, Backoff("linear", 10.0, jitter=0.0))
    assert after_request(job, None, 0.5, MAX_STARTS) == Again(30.0, counted=False)


def test_a_request_needs_no_retry_left_and_no_time() -> None:
    job = standing(failures=9, max_retries=0, elapsed=1000.0, retry_for=1.0)
    assert after_request(job, 1.0, 0.5, MAX_STARTS) == Again(1.0, counted=False)


@pytest.mark.parametrize(("attempt", "goes_on"), [(MAX_STARTS - 1, True), (MAX_STARTS, False)])
def test_a_handler_may_not_ask_for_ever(attempt: int, goes_on: bool) -> None:
    decision = after_request(standing(attempt=attempt), 1.0, 0.5, MAX_STARTS)
    assert isinstance(decision, Again) is goes_on
    assert isinstance(decision, Again) or (decision.why is not None and str(MAX_STARTS) in decision.why)
