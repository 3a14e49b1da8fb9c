"""What becomes of due occurrences: each gets exactly one verdict, whenever and however often somebody looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.firing import MISFIRE_CAP, OWN_LINES, Firing, Line, Pause, Position, fire, last_fire
from horae.domain.ids import JobId
from horae.domain.job import State
from horae.domain.schedule import Definition, Misfire, Overlap, Reason, Verdict
from horae.domain.template import Template
from horae.domain.timing import Timing

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDLY = Timing(interval_seconds=1, start_at=START)
MINUTELY = Timing(cron="* * * * *")
RUNNING = (JobId("018f0000-0000-7000-8000-000000000000"), State.RUNNING)
ALL = 10**6


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def definition(timing: Timing = SECONDLY, **fields: object) -> Definition:
    return replace(Definition("s", timing, Template("noop")), **fields)  # type: ignore[arg-type]


def position(seconds: float = 1, **fields: object) -> Position:
    return replace(Position(at(seconds), since=at(seconds - 1)), **fields)  # type: ignore[arg-type]


def verdicts(firing: Firing) -> list[tuple[Verdict, Reason | None, int]]:
    """Runs of equal verdicts, with how many occurrences each covers."""
    found: list[tuple[Verdict, Reason | None, int]] = []
    for line in firing.lines:
        if found and found[-1][:2] == (line.verdict, line.reason):
            found[-1] = (line.verdict, line.reason, found[-1][2] + line.count)
        else:
            found.append((line.verdict, line.reason, line.count))
    return found


FIRED = (Verdict.FIRED, None)
MISSED = (Verdict.SKIPPED, Reason.MISFIRE)
COALESCED = (Verdict.COALESCED, Reason.MISFIRE)
PAUSED = (Verdict.SKIPPED, Reason.PAUSED)
OVERLAPS = (Verdict.SKIPPED, Reason.OVERLAP)


# ---------------------------------------------------------------------------------------------------------- punctual


def test_nothing_is_due_before_its_time() -> None:
    due = position()
    assert fire(definition(), due, None, at(0.999), ALL) == Firing([], due)


def test_a_due_occurrence_fires_and_the_next_follows_from_it() -> None:
    firing = fire(definition(), position(), None, at(1.4), ALL)
    assert firing.lines == [Line(at(1), Verdict.FIRED)]
    assert firing.position == Position(at(2), since=at(1), last_fire_at=at(1), runs=1)
    assert (firing.ended, firing.more, firing.replaced) == (None, False, False)


def test_late_within_the_grace_each_fires() -> None:
    assert verdicts(fire(definition(), position(), None, at(61), ALL)) == [(*FIRED, 61)]


def test_a_schedule_that_has_ended_stays_as_it_is() -> None:
    ended = replace(position(), next_fire_at=None)
    assert fire(definition(), ended, None, at(1000), ALL) == Firing((), ended)


# ----------------------------------------------------------------------------------------------------------- misfires

OUTAGES = {
    Misfire.SKIP: [(*MISSED, 539), (*FIRED, 61)],
    Misfire.FIRE_ONCE: [(*COALESCED, 538), (*FIRED, 62)],
    Misfire.FIRE_ALL: [(*FIRED, 600)],
}


@pytest.mark.parametrize("misfire", Misfire)
def test_ten_minutes_of_outage_end_as_the_policy_says(misfire: Misfire) -> None:
    firing = fire(definition(misfire=misfire), position(), None, at(600), ALL)
    assert verdicts(firing) == OUTAGES[misfire]
    assert firing.position.next_fire_at == at(601)


def test_the_one_fire_is_that_of_the_latest_missed_time_and_the_others_name_it() -> None:
    firing = fire(definition(MINUTELY), position(60), None, at(600.5), ALL)
    coalesced = [line for line in firing.lines if line.verdict is Verdict.COALESCED]
    assert [line.fire_time for line in firing.lines if line.verdict is Verdict.FIRED] == [at(540), at(600)]
    assert {line.into for line in coalesced} == {at(540)}
    assert len(coalesced) == 8


@pytest.mark.parametrize("grace", [0, 1, 59.999])
def test_exactly_as_late_as_the_grace_allows_is_not_missed(grace: float) -> None:
    asked = definition(misfire=Misfire.SKIP, misfire_grace_seconds=grace)
    assert verdicts(fire(asked, position(), None, at(1 + grace), 1)) == [(*FIRED, 1)]
    assert verdicts(fire(asked, position(), None, at(1.001 + grace), 1)) == [(*MISSED, 1)]


def test_fire_all_stops_at_its_cap_however_the_catch_up_is_cut() -> None:
    asked, place, seen = definition(misfire=Misfire.FIRE_ALL), position(), Counter[object]()
    more = True
    while more:
        firing = fire(asked, place, None, at(2500), 300)
        seen.update({line[:2]: line[2] for line in verdicts(firing)})
        place, more = firing.position, firing.more
    assert seen == {FIRED: MISFIRE_CAP + 61, COALESCED: 2500 - MISFIRE_CAP - 61}


def test_the_next_outage_has_a_cap_of_its_own() -> None:
    asked = definition(misfire=Misfire.FIRE_ALL)
    first = fire(asked, position(), None, at(2000), ALL)
    assert first.position.caught_up == 0
    second = fire(asked, first.position, None, at(4000), ALL)
    assert verdicts(second)[0] == (*FIRED, MISFIRE_CAP)


def test_one_fire_for_an_outage_whose_catch_up_is_cut() -> None:
    asked, place, lines, more = definition(), position(), list[Line](), True
    while more:
        firing = fire(asked, place, None, at(10_000), 700)
        lines += firing.lines
        place, more = firing.position, firing.more
    assert [line.fire_time for line in lines if line.verdict is Verdict.FIRED][:2] == [at(9939), at(9940)]


# ------------------------------------------------------------------------------------------------------------- pauses


def test_fire_times_inside_a_pause_never_count() -> None:
    paused = position(pauses=(Pause(at(3), at(6)),))
    firing = fire(definition(), paused, None, at(8), ALL)
    assert verdicts(firing) == [(*FIRED, 2), (*PAUSED, 3), (*FIRED, 3)]
    assert firing.position.pauses == ()


def test_a_pause_that_goes_on_is_kept() -> None:
    going_on = (Pause(at(3)),)
    firing = fire(definition(), position(pauses=going_on), None, at(8), ALL)
    assert verdicts(firing) == [(*FIRED, 2), (*PAUSED, 6)]
    assert firing.position.pauses == going_on


def test_the_latest_missed_time_is_looked_for_before_a_pause() -> None:
    paused = position(pauses=(Pause(at(30)),))
    firing = fire(definition(), paused, None, at(600), ALL)
    assert [line.fire_time for line in firing.lines if line.verdict is Verdict.FIRED] == [at(29)]


def test_an_outage_with_a_pause_in_it_misfires_only_around_it() -> None:
    paused = position(pauses=(Pause(at(100), at(500)),))
    firing = fire(definition(misfire=Misfire.SKIP), paused, None, at(600), ALL)
    assert verdicts(firing) == [(*MISSED, 99), (*PAUSED, 400), (*MISSED, 40), (*FIRED, 61)]


# ------------------------------------------------------------------------------------------------------------ overlap


def test_overlap_skip_names_the_job_that_runs() -> None:
    (line,) = fire(definition(overlap=Overlap.SKIP), position(), RUNNING, at(1), ALL).lines
    assert (line.verdict, line.reason, line.detail) == (*OVERLAPS, f"job {RUNNING[0]} was RUNNING")


def test_of_several_at_once_overlap_skip_fires_the_first() -> None:
    firing = fire(definition(overlap=Overlap.SKIP), position(), None, at(5), ALL)
    assert verdicts(firing) == [(*FIRED, 1), (*OVERLAPS, 4)]
    assert "12:00:01" in (firing.lines[1].detail or "")


def test_overlap_replace_cancels_what_runs() -> None:
    firing = fire(definition(overlap=Overlap.REPLACE), position(), RUNNING, at(1), ALL)
    assert firing.replaced
    assert verdicts(firing) == [(*FIRED, 1)]


def test_of_several_at_once_overlap_replace_fires_the_last() -> None:
    firing = fire(definition(overlap=Overlap.REPLACE, max_runs=1), position(), RUNNING, at(5), ALL)
    assert firing.replaced
    assert [line.verdict for line in firing.lines] == [*[Verdict.FIRED], *[Verdict.SKIPPED] * 4]
    unlimited = fire(definition(overlap=Overlap.REPLACE), position(), RUNNING, at(5), ALL)
    assert [line.into for line in unlimited.lines] == [at(5), at(5), at(5), at(5), None]
    assert unlimited.position.runs == 1


def test_an_earlier_job_is_not_cancelled_for_an_occurrence_that_does_not_fire() -> None:
    paused = position(pauses=(Pause(at(0)),))
    assert not fire(definition(overlap=Overlap.REPLACE), paused, RUNNING, at(5), ALL).replaced


def test_overlap_allow_looks_at_nothing() -> None:
    assert verdicts(fire(definition(), position(), RUNNING, at(3), ALL)) == [(*FIRED, 3)]


# ------------------------------------------------------------------------------------------------------------- bounds


def test_after_max_runs_it_ends_and_what_has_come_meanwhile_is_out_of_bounds() -> None:
    firing = fire(definition(max_runs=3), position(), None, at(5), ALL)
    assert verdicts(firing) == [(*FIRED, 3), (Verdict.SKIPPED, Reason.BOUND, 2)]
    assert firing.ended == "max_runs 3 was reached"
    assert firing.position.next_fire_at is None


def test_the_last_run_on_time_leaves_nothing_to_skip() -> None:
    firing = fire(definition(max_runs=3), position(3, runs=2), None, at(3), ALL)
    assert verdicts(firing) == [(*FIRED, 1)]
    assert firing.ended is not None


def test_after_end_at_it_ends() -> None:
    firing = fire(definition(replace(SECONDLY, end_at=at(3))), position(), None, at(5), ALL)
    assert verdicts(firing) == [(*FIRED, 3)]
    assert (firing.ended, firing.position.next_fire_at) == ("no fire time is left within its bounds", None)


def test_it_does_not_end_while_something_is_left_to_judge() -> None:
    firing = fire(definition(max_runs=1), position(), None, at(5), 2)
    assert (firing.ended, firing.more, firing.position.next_fire_at) == (None, True, at(3))


# ------------------------------------------------------------------------------------------------------- shared lines


def test_beyond_so_many_equal_ones_in_a_row_one_line_stands_for_the_rest() -> None:
    firing = fire(definition(misfire=Misfire.SKIP), position(), None, at(5060), ALL)
    own, shared = firing.lines[:OWN_LINES], firing.lines[OWN_LINES]
    assert all(line.until is None for line in own)
    assert (shared.fire_time, shared.until, shared.count) == (at(OWN_LINES + 1), at(4999), 4999 - OWN_LINES)
    assert verdicts(firing) == [(*MISSED, 4999), (*FIRED, 61)]


def test_the_next_look_goes_on_with_the_shared_line() -> None:
    going_on = position(pauses=(Pause(at(0)),))
    first = fire(definition(), going_on, None, at(1500), ALL)
    second = fire(definition(), first.position, None, at(1502), ALL)
    assert second.lines == [Line(at(1001), *PAUSED, until=at(1502), count=2, extends=True)]
    third = fire(definition(), second.position, None, at(1503), ALL)
    assert third.lines == [Line(at(1001), *PAUSED, until=at(1503), count=1, extends=True)]


def test_a_fire_ends_the_row() -> None:
    paused = position(pauses=(Pause(at(0), at(1500)),))
    first = fire(definition(), paused, None, at(1500), ALL)
    assert first.position.streak is None
    assert first.lines[-1] == Line(at(1500), Verdict.FIRED)


# ------------------------------------------------------------------------------------------------------ at any moments

POLICIES = st.builds(
    definition,
    timing=st.sampled_from((SECONDLY, MINUTELY, replace(SECONDLY, interval_seconds=7, end_at=at(2000)))),
    misfire=st.sampled_from(Misfire),
    misfire_grace_seconds=st.sampled_from((0, 1, 60, 300)),
    overlap=st.sampled_from(Overlap),
    max_runs=st.none() | st.integers(1, 50),
)
LOOKS = st.lists(st.tuples(st.integers(0, 3000), st.booleans(), st.integers(1, 500)), min_size=1, max_size=12)
PAUSES = st.lists(st.integers(0, 3000), max_size=4, unique=True).map(
    lambda cuts: tuple(Pause(at(a), at(b)) for a, b in pairwise(sorted(cuts)))[::2]
)


@given(POLICIES, PAUSES, LOOKS)
def test_each_planned_occurrence_has_one_verdict_in_its_order(
    asked: Definition, pauses: tuple[Pause, ...], looks: list[tuple[int, bool, int]]
) -> None:
    first = asked.timing.next(at(0))
    place, ledger, shared = (
        Position(first, since=at(0), pauses=pauses),
        dict[datetime, Line](),
        dict[datetime, datetime](),
    )
    now = at(0)
    for seconds, busy, limit in sorted(looks):
        now, ended = at(seconds), place.next_fire_at is None
        firing = fire(asked, place, RUNNING if busy else None, now, limit)
        assert not (ended and firing.lines)
        _enter(ledger, shared, firing.lines, asked)
        place = firing.position
        assert place.since <= now
    planned = _planned(asked, place.since)
    assert sorted(ledger) == planned
    for fire_time, line in ledger.items():
        assert (line.reason is Reason.PAUSED) == any(pause.covers(fire_time) for pause in pauses)
    fired = [line for line in ledger.values() if line.verdict is Verdict.FIRED]
    assert len(fired) == place.runs
    assert asked.max_runs is None or place.runs <= asked.max_runs
    assert place.next_fire_at is None or place.next_fire_at == asked.timing.next(place.since)


def _planned(asked: Definition, until: datetime) -> list[datetime]:
    found = []
    for fire_time in asked.timing.fires(at(0)):
        if fire_time > until:
            break
        found.append(fire_time)
    return found


def _enter(
    ledger: dict[datetime, Line], shared: dict[datetime, datetime], lines: Iterable[Line], asked: Definition
) -> None:
    for line in lines:
        begin = shared[line.fire_time] + timedelta(microseconds=1) if line.extends else line.fire_time
        covered = [begin] if line.until is None else [each for each in _planned(asked, line.until) if each >= begin]
        assert len(covered) == line.count
        for fire_time in covered:
            assert fire_time not in ledger
            ledger[fire_time] = line
        if line.until is not None:
            shared[line.fire_time] = line.until


@given(st.integers(1, 500), st.integers(1, 500))
def test_the_last_fire_is_that_of_the_whole_walk(first: int, until: int) -> None:
    for timing in (SECONDLY, MINUTELY, Timing(cron="0 0 1 * *")):
        walk = [each for each in _planned(definition(timing), at(until)) if each >= at(first)]
        assert last_fire(timing, at(first), at(until)) == (walk[-1] if walk else None)
