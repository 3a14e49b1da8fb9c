"""Where a schedule stands after its user has made, changed or resumed it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from horae.domain.errors import InvalidInput
from horae.domain.firing import NOTHING_LEFT, Pause, Position
from horae.domain.schedule import Definition, Schedule, ScheduleId, ScheduleState
from horae.domain.standing import Standing, anchored, beginning, first_fire, resumed, standing
from horae.domain.template import Template
from horae.domain.timing import Timing
from horae.domain.zones import TZDATA

NOW = datetime(2026, 3, 1, 12, 0, 30, 250_000, tzinfo=UTC)
HOURLY = Timing(cron="0 * * * *")
DEFINITION = Definition("s", HOURLY, Template("noop"))
POSITION = Position(next_fire_at=datetime(2026, 3, 1, 13, tzinfo=UTC), since=NOW - timedelta(days=1), runs=3)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def schedule(state: ScheduleState) -> Schedule:
    return Schedule(
        id=ScheduleId("s"),
        namespace="default",
        version=1,
        state=state,
        definition=DEFINITION,
        created_at=NOW,
        updated_at=NOW,
        next_fire_at=None,
        last_fire_at=None,
        runs=3,
        tzdata="2001a",
    )


def interval(start_at: datetime | None) -> Timing:
    return Timing(interval_seconds=10, start_at=start_at)


@pytest.mark.parametrize(
    ("timing", "before", "start_at"),
    [
        (HOURLY, None, None),
        (HOURLY, interval(after(-5)), None),
        (interval(None), None, NOW.replace(microsecond=0)),
        (interval(None), replace(HOURLY, start_at=after(-5)), NOW.replace(microsecond=0)),
        (interval(None), interval(after(-5)), after(-5)),
        (interval(after(-9)), interval(after(-5)), after(-9)),
    ],
)
def test_only_an_interval_needs_an_anchor_and_keeps_the_one_it_has(
    timing: Timing, before: Timing | None, start_at: datetime | None
) -> None:
    assert anchored(replace(DEFINITION, timing=timing), NOW, before).timing.start_at == start_at


MINUTELY = Timing(cron="* * * * *")
OVER = replace(HOURLY, end_at=NOW)
STANDS = Standing(POSITION, "2001a")
ANEW = Standing(replace(POSITION, since=NOW), TZDATA)
ENDED = replace(ANEW, position=replace(ANEW.position, next_fire_at=None), ended=NOTHING_LEFT)
REACHED = Standing(replace(POSITION, next_fire_at=None), "2001a", "max_runs 3 was reached")


@pytest.mark.parametrize(
    ("state", "definition", "wanted"),
    [
        (ScheduleState.ACTIVE, replace(DEFINITION, name="other", max_runs=4), STANDS),
        (ScheduleState.PAUSED, replace(DEFINITION, jitter_seconds=5), STANDS),
        (ScheduleState.ENDED, replace(DEFINITION, max_runs=4), ANEW),
        (ScheduleState.ACTIVE, replace(DEFINITION, timing=replace(HOURLY, timezone="Europe/Berlin")), ANEW),
        (
            ScheduleState.PAUSED,
            replace(DEFINITION, timing=MINUTELY),
            replace(ANEW, position=replace(ANEW.position, next_fire_at=datetime(2026, 3, 1, 12, 1, tzinfo=UTC))),
        ),
        (ScheduleState.ACTIVE, replace(DEFINITION, timing=OVER), ENDED),
        (ScheduleState.ENDED, replace(DEFINITION, timing=OVER), ENDED),
        (ScheduleState.ACTIVE, replace(DEFINITION, max_runs=3), REACHED),
        (ScheduleState.ENDED, replace(DEFINITION, max_runs=3, timing=MINUTELY), REACHED),
    ],
)
def test_where_a_changed_schedule_stands(state: ScheduleState, definition: Definition, wanted: Standing) -> None:
    assert standing(schedule(state), POSITION, definition, NOW) == wanted


@pytest.mark.parametrize(
    ("pauses", "left"),
    [
        ((Pause(after(-60)),), ()),
        ((Pause(after(-60), after(-50)), Pause(after(-40))), ()),
        ((), ()),
    ],
)
def test_pauses_without_a_fire_time_to_come_are_forgotten(pauses: tuple[Pause, ...], left: tuple[Pause, ...]) -> None:
    assert resumed(replace(POSITION, pauses=pauses), NOW).pauses == left


def test_a_pause_whose_fire_times_are_still_to_be_judged_is_kept_with_its_end() -> None:
    late = replace(POSITION, next_fire_at=after(-45), pauses=(Pause(after(-60), after(-50)), Pause(after(-40))))
    assert resumed(late, NOW).pauses == (Pause(after(-40), NOW),)


def test_a_new_schedule_begins_with_its_first_fire_time_after_now() -> None:
    assert beginning(HOURLY, NOW) == Position(next_fire_at=POSITION.next_fire_at, since=NOW)
    assert first_fire(OVER, NOW) is None


@pytest.mark.parametrize(
    ("timing", "field"),
    [
        (OVER, "end_at"),
        (replace(HOURLY, start_at=datetime(9999, 12, 30, tzinfo=UTC)), "cron"),
        (Timing(interval_seconds=2_000_000_000, start_at=datetime(9999, 12, 31, tzinfo=UTC)), "start_at"),
        (Timing(cron="61 * * * *"), "cron"),
        (replace(HOURLY, timezone="Mars/Olympus"), "timezone"),
    ],
)
def test_one_that_never_fires_is_refused_by_the_field_to_blame(timing: Timing, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        beginning(timing, NOW)
    assert [error.field for error in caught.value.errors] == [field]
