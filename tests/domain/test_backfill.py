"""Which fire times a backfill takes, and which of them share a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.backfill import Chosen, Shared, choose, fires_at, judged_until
from horae.domain.firing import Position
from horae.domain.schedule import Reason, Verdict
from horae.domain.timing import Timing, fires_within

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDLY = Timing(interval_seconds=1, start_at=START)
MINUTELY = Timing(cron="* * * * *")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@given(slots=st.integers(1, 12), known=st.sets(st.integers(0, 9)), more=st.booleans())
def test_each_time_is_taken_kept_or_left_and_none_out_of_its_turn(slots: int, known: set[int], more: bool) -> None:
    times = [at(n) for n in range(10)]
    beyond = at(10) if more else None
    chosen = choose(times, {at(n) for n in known}, slots, beyond)
    looked = [time for time in times if chosen.next_at is None or time < chosen.next_at]
    assert list(chosen.times) == [time for time in looked if time not in {at(n) for n in known}]
    assert chosen.kept == len(looked) - len(chosen.times)
    assert len(chosen.times) <= slots
    if len(looked) < len(times):
        assert len(chosen.times) == slots
        assert chosen.next_at == times[len(looked)]
    else:
        assert chosen.next_at == beyond


def test_what_is_kept_behind_the_last_one_taken_is_passed_over_at_once() -> None:
    assert choose([at(0), at(1), at(2)], {at(1)}, 1, None) == Chosen([at(0)], 1, at(2))
    assert choose([at(0), at(1)], {at(1)}, 1, None) == Chosen([at(0)], 1, None)


@pytest.mark.parametrize(
    ("begin", "end", "count"), [(0, 120, 3), (0.5, 119.5, 1), (0, 0, 1), (1, 59, 0), (60, 0, 0), (-60, -60, 1)]
)
def test_a_range_holds_its_ends(begin: float, end: float, count: int) -> None:
    assert len(list(fires_within(MINUTELY, at(begin), at(end)))) == count


def test_a_moment_is_a_fire_time_or_not() -> None:
    assert [fires_at(MINUTELY, at(seconds)) for seconds in (0, 0.5, 1, 60)] == [True, False, False, True]


def test_what_a_schedule_has_yet_to_judge_is_its_own() -> None:
    assert judged_until(Position(at(60), since=at(10)), at(30)) == at(10)
    assert judged_until(Position(None, since=at(10)), at(30)) == at(30)


@pytest.mark.parametrize(
    ("time", "timing", "covered"),
    [
        (0, SECONDLY, True),
        (30, SECONDLY, True),
        (60, SECONDLY, True),
        (-1, SECONDLY, False),
        (61, SECONDLY, False),
        (0, Timing(interval_seconds=7, start_at=START), True),
        (7, Timing(interval_seconds=7, start_at=START), False),
    ],
)
def test_a_shared_line_stands_for_the_times_between_its_ends(time: float, timing: Timing, covered: bool) -> None:
    shared = Shared(at(0), at(60), 61, Verdict.SKIPPED, Reason.MISFIRE)
    assert shared.covers(at(time), timing) is covered
