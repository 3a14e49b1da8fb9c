"""Previews: fire times with what clock changes did to them, and warnings about what may surprise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from horae.domain.caveats import warnings
from horae.domain.clock_changes import Repeated, repeated
from horae.domain.preview import Preview, preview
from horae.domain.timing import Fold, Gap, Timing
from horae.domain.zones import zone

SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


def berlin(cron: str, gap: Gap = Gap.AUTO, fold: Fold = Fold.AUTO) -> Timing:
    return Timing(cron=cron, timezone="Europe/Berlin", dst_gap=gap, dst_fold=fold)


def shown(found: Preview) -> list[tuple[str, str | None]]:
    return [(fire.local_time, fire.note) for fire in found.items]


def test_a_moved_fire_says_so() -> None:
    found = preview(berlin("0,30 2 * * *"), SPRING, 2)
    assert shown(found) == [
        ("2026-03-29T03:00:00+02:00", "02:00 and 02:30 don't exist: moved to 03:00, the first instant after the gap"),
        ("2026-03-30T02:00:00+02:00", None),
    ]
    assert found.items[0].fire_time == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert found.dropped == []
    assert found.description == "At 02:00 and 02:30 every day, by the clock of Europe/Berlin."


def test_a_dropped_wall_time_is_listed_and_noted_on_the_next_fire() -> None:
    found = preview(berlin("30 2 * * *", gap=Gap.SKIP), SPRING, 2)
    assert shown(found) == [
        ("2026-03-30T02:30:00+02:00", "02:30 was dropped on 2026-03-29: the clock goes forward over it"),
        ("2026-03-31T02:30:00+02:00", None),
    ]
    (dropped,) = found.dropped
    assert dropped.local_time == "2026-03-29T02:30:00+01:00"
    assert dropped.note == "02:30 doesn't exist: the clock goes forward over it (dst_gap = skip)"


def test_a_fire_that_needed_no_move_says_nothing() -> None:
    found = preview(berlin("0 3 * * *"), SPRING, 1)
    assert shown(found) == [("2026-03-29T03:00:00+02:00", None)]


def test_both_passes_are_told_apart() -> None:
    found = preview(berlin("*/30 2,3 * * *"), AUTUMN, 5)
    assert shown(found) == [
        ("2026-10-25T02:00:00+02:00", "02:00 comes twice, this is the first time: it fires both times"),
        ("2026-10-25T02:30:00+02:00", "02:30 comes twice, this is the first time: it fires both times"),
        ("2026-10-25T02:00:00+01:00", "02:00 comes twice, this is the second time: it fires both times"),
        ("2026-10-25T02:30:00+01:00", "02:30 comes twice, this is the second time: it fires both times"),
        ("2026-10-25T03:00:00+01:00", None),
    ]


@pytest.mark.parametrize(
    ("fold", "local", "note"),
    [
        (Fold.AUTO, "2026-10-25T02:30:00+02:00", "this is the first time: it fires the first time only"),
        (Fold.FIRST, "2026-10-25T02:30:00+02:00", "this is the first time: it fires the first time only"),
        (Fold.SECOND, "2026-10-25T02:30:00+01:00", "this is the second time: it fires the second time only"),
    ],
)
def test_the_pass_that_does_not_fire_is_told(fold: Fold, local: str, note: str) -> None:
    assert shown(preview(berlin("30 2 * * *", fold=fold), AUTUMN, 1)) == [(local, f"02:30 comes twice, {note}")]


def test_dropped_ones_are_bounded() -> None:
    found = preview(berlin("* * 2 * * *"), SPRING, 1)
    assert len(found.dropped) == 100
    assert (
        found.items[0].note
        == "100 or more times from 02:00 on were dropped on 2026-03-29: the clock goes forward over it"
    )


def test_what_never_fires_shows_what_is_dropped() -> None:
    found = preview(berlin("*/30 2 * 3 SUNL"), SPRING, 10)
    assert found.items == []
    assert [each.local_time[:16] for each in found.dropped] == [
        *("2026-03-29T02:00", "2026-03-29T02:30", "2027-03-28T02:00", "2027-03-28T02:30", "2028-03-26T02:00"),
        "2028-03-26T02:30",
    ][: len(found.dropped)]
    assert (
        found.warnings[0]
        == "It never fires: the clock passes over each of its wall times, and dst_gap = skip drops those."
    )


def test_dropped_ones_end_with_the_bounds() -> None:
    timing = berlin("30 2 * * *", gap=Gap.SKIP)
    bounded = Timing(timing.cron, None, timing.timezone, None, datetime(2026, 3, 29, tzinfo=UTC), Gap.SKIP)
    assert preview(bounded, SPRING, 5).dropped == []
    begun = Timing(timing.cron, None, timing.timezone, datetime(2026, 3, 29, 1, 0, 1, tzinfo=UTC), None, Gap.SKIP)
    assert preview(begun, SPRING, 2).dropped == []
    assert preview(begun, SPRING, 2).items[0].note is None


def test_intervals_have_local_times_and_no_notes() -> None:
    timing = Timing(interval_seconds=1800, timezone="Europe/Berlin", start_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    found = preview(timing, AUTUMN, 3)
    assert shown(found) == [
        ("2026-10-25T02:30:00+02:00", None),
        ("2026-10-25T02:00:00+01:00", None),
        ("2026-10-25T02:30:00+01:00", None),
    ]
    assert (found.dropped, found.warnings) == ([], [])


def test_a_preview_is_the_sequence() -> None:
    timing, place = berlin("*/7 * * * *"), zone("Europe/Berlin")
    found = preview(timing, SPRING, 1000)
    at = SPRING
    for fire in found.items:
        following = timing.next(at)
        assert following == fire.fire_time
        assert datetime.fromisoformat(fire.local_time) == fire.fire_time
        assert fire.local_time == fire.fire_time.astimezone(place).isoformat()
        at = fire.fire_time
    assert len(found.items) == 1000


# ------------------------------------------------------------------------------------------------------------ warnings


def utc(cron: str) -> list[str]:
    return warnings(Timing(cron=cron), SPRING)


@pytest.mark.parametrize(
    ("cron", "warning"),
    [
        ("*/7 * * * *", "*/7 in the minute field is uneven: after 56 comes 0, 4 minutes later instead of 7."),
        ("5/25 * * * *", "5/25 in the minute field is uneven: after 55 comes 5, 10 minutes later instead of 25."),
        ("*/7 * * * * *", "*/7 in the second field is uneven: after 56 comes 0, 4 seconds later instead of 7."),
        ("0 */5 * * *", "*/5 in the hour field is uneven: after 20 comes 0, 4 hours later instead of 5."),
        (
            "0 0 */2 * *",
            "*/2 in the day-of-month field starts anew each month: after day 31 or the last one before it comes day 1.",
        ),
        ("0 0 1 */5 *", "*/5 in the month field is uneven: after 11 comes 1, 2 months later instead of 5."),
        ("0 0 * * 1/2", "1/2 in the day-of-week field is uneven: after 0 comes 1, 1 day later instead of 2."),
        ("*/90 * * * *", "*/90 in the minute field is minute 0 alone: the step leads beyond the field's 59."),
        ("0 0/24 * * *", "0/24 in the hour field is hour 0 alone: the step leads beyond the field's 23."),
        (
            "0 0 13 * 5",
            "It fires on day 13 of the month and also on every Friday: one of both is enough, a day need not be both.",
        ),
        (
            "0-59 0-23 * * *",
            (
                "The minute and hour fields hold every value without beginning with *: so its times count as fixed,"
                " and fire once after a gap and only the first time in a repeated hour; write * to follow the clock."
            ),
        ),
    ],
)
def test_one_warning(cron: str, warning: str) -> None:
    assert utc(cron) == [warning]


@pytest.mark.parametrize(
    "cron",
    [
        *(
            "*/15 * * * *",
            "*/7 9 * * *",
            "*/7 */2 * * *",
            "10-50/7 * * * *",
            "0 */5 * * 1",
            "0 */5 1 * *",
            "0 */6 * * *",
        ),
        *(
            "0 0 */2 1 *",
            "0 0 */2 */2 *",
            "0 0 1 */3 *",
            "0 0 13 * *",
            "0 0 */2 1 5",
            "0-30 0-12 * * *",
            "*/20 0 0 * * *",
        ),
        *("0 0 1-31 1 5", "30 2 * * *"),
    ],
)
def test_nothing_to_warn_of(cron: str) -> None:
    assert utc(cron) == []


def test_fixedness_matters_to_auto_alone() -> None:
    assert len(warnings(Timing(cron="0 0-23 * * *", dst_gap=Gap.SKIP), SPRING)) == 1
    assert warnings(Timing(cron="0 0-23 * * *", dst_gap=Gap.SKIP, dst_fold=Fold.BOTH), SPRING) == []


def test_clock_changes_of_the_next_two_years() -> None:
    assert warnings(berlin("30 2 * * *"), SPRING) == [
        (
            "02:30 doesn't exist on 2026-03-29, 2027-03-28 and 2028-03-26, when the clock goes forward: moved to"
            " 03:00, the first instant after the gap (dst_gap = fire_after)."
        ),
        (
            "02:30 comes twice on 2026-10-25 and 2027-10-31, when the clock goes back: it fires the first time only"
            " (dst_fold = first)."
        ),
    ]
    assert warnings(berlin("*/15 2 * * 6,0", Gap.SKIP, Fold.SECOND), AUTUMN) == [
        (
            "4 times from 02:00 to 02:45 don't exist on 2027-03-28 and 2028-03-26, when the clock goes forward:"
            " dropped (dst_gap = skip)."
        ),
        (
            "4 times from 02:00 to 02:45 come twice on 2026-10-25 and 2027-10-31, when the clock goes back: it fires"
            " the second time only (dst_fold = second)."
        ),
    ]
    assert warnings(berlin("30 2 * * 1-5"), SPRING) == []


@pytest.mark.parametrize("cron", ["* * * * *", "0 * * * *", "*/15 * * * SAT,SUN", "30 0 * * * *"])
def test_what_fires_every_hour_is_not_warned_of_hours_that_come_and_go(cron: str) -> None:
    assert warnings(berlin(cron), SPRING) == []
    assert len(warnings(berlin(cron, Gap.FIRE_AFTER, Fold.FIRST), SPRING)) == 2


@pytest.mark.parametrize(("cron", "told"), [("* * * * *", 0), ("0 * * * *", 1)])
def test_half_an_hour_shifts_what_fires_every_hour(cron: str, told: int) -> None:
    assert len(warnings(Timing(cron=cron, timezone="Australia/Lord_Howe"), SPRING)) == told


def test_a_fold_at_new_year_is_told_once() -> None:
    timing = Timing(cron="45 23 * * *", timezone="Asia/Jakarta")
    (change,) = repeated(timing, datetime(1963, 6, 1), datetime(1964, 6, 1))
    assert change == Repeated(datetime(1963, 12, 31, 16, 30), timedelta(minutes=30), (datetime(1963, 12, 31, 23, 45),))


def test_clock_changes_within_the_bounds_alone() -> None:
    timing = Timing(
        cron="30 2 * * *",
        timezone="Europe/Berlin",
        start_at=datetime(2026, 6, 1, tzinfo=UTC),
        end_at=datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert [text[:30] for text in warnings(timing, SPRING)] == ["02:30 comes twice on 2026-10-25"[:30]]


def test_never_again() -> None:
    past = Timing(cron="30 2 * * *", end_at=SPRING)
    assert warnings(past, SPRING) == ["It never fires again: its end_at, 2026-03-28T12:00:00Z, is past."]
    short = Timing(interval_seconds=60, start_at=SPRING + timedelta(hours=1), end_at=SPRING + timedelta(minutes=1))
    assert warnings(short, SPRING) == ["It never fires: there is no fire time up to its end_at, 2026-03-28T12:01:00Z."]
