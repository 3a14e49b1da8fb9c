"""When schedules fire: at every kind of clock change, within their bounds, and from any point in the same sequence."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.domain.cron import CronError, parse_cron
from horae.domain.timing import Fold, Gap, Timing, jitter
from horae.domain.zones import UnknownZone, segment_at, zone
from tests.support.comparing import differences, place
from tests.support.expressions import TELLING, expressions
from tests.support.libraries import library_differences
from tests.support.oracle import Reading

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Beirut", "Africa/Cairo"),
    *("Africa/Casablanca", "Europe/Dublin", "Antarctica/Troll", "Asia/Gaza", "America/St_Johns", "Pacific/Chatham"),
)

timings = st.builds(
    Timing,
    cron=st.sampled_from(TELLING),
    timezone=st.sampled_from([*ZONES, "UTC", "Pacific/Apia", "Pacific/Kwajalein"]),
    dst_gap=st.sampled_from(Gap),
    dst_fold=st.sampled_from(Fold),
)
moments = st.one_of(
    st.datetimes(datetime(2025, 1, 1), datetime(2029, 1, 1)),
    st.datetimes(datetime(1960, 1, 1), datetime(2150, 1, 1)),
).map(lambda moment: moment.replace(tzinfo=UTC))


def local(timing: Timing, since: str, until: str) -> list[str]:
    """The fire times between two moments, as the zone's clock shows them; with the date if that isn't `since`'s."""
    place = zone(timing.timezone)
    begin = datetime.fromisoformat(since).replace(tzinfo=place)
    end = datetime.fromisoformat(until).replace(tzinfo=place, fold=1)
    fires = takewhile(lambda at: at <= end, timing.fires(begin.astimezone(UTC) - timedelta(seconds=1)))
    return [at.astimezone(place).isoformat(timespec="minutes").removeprefix(f"{since[:10]}T") for at in fires]


# --------------------------------------------------------------------------------------------------------- the oracle


@pytest.mark.parametrize("name", ZONES)
def test_fires_as_the_oracle_around_every_transition(name: str) -> None:
    where = place(name, datetime(2026, 1, 1), datetime(2027, 1, 1))
    assert where.transitions
    # A part of them for each zone: all of them, for all zones, are for `scripts/proof time`.
    texts = expressions(len(TELLING) + 50, seed=ZONES.index(name))[ZONES.index(name) % 5 :: 5]
    assert [line for text in texts for line in differences(where, text)] == []


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("Pacific/Apia", datetime(2011, 12, 1), datetime(2012, 2, 1)),
        ("Pacific/Kwajalein", datetime(1993, 8, 1), datetime(1993, 9, 1)),
        ("America/St_Johns", datetime(1987, 1, 1), datetime(1993, 1, 1)),
        ("Asia/Pyongyang", datetime(2015, 1, 1), datetime(2019, 1, 1)),
        ("America/Caracas", datetime(2007, 1, 1), datetime(2017, 1, 1)),
        ("Asia/Hong_Kong", datetime(1976, 1, 1), datetime(1977, 1, 1)),
        ("Africa/Cairo", datetime(2010, 1, 1), datetime(2015, 1, 1)),
        ("Asia/Singapore", datetime(1970, 1, 1), datetime(1990, 1, 1)),
        ("Europe/London", datetime(1945, 1, 1), datetime(1948, 1, 1)),
    ],
)
def test_fires_as_the_oracle_at_changes_of_the_past(name: str, begin: datetime, end: datetime) -> None:
    where = place(name, begin, end)
    assert where.transitions
    texts = [text for text in TELLING if not Reading(text).seconds][begin.year % 5 :: 5]
    assert [line for text in texts for line in differences(where, text)] == []


def test_fires_as_croniter_and_cronsim_where_they_are_right() -> None:
    assert [line for text in expressions(len(TELLING) + 60, seed=3) for line in library_differences(text)] == []


# ------------------------------------------------------------------------------------------------- single clock changes


@pytest.mark.parametrize(
    ("text", "auto", "after", "skip"),
    [
        ("30 2 * * *", ["03:00+02:00"], ["03:00+02:00"], []),
        ("0,30 2 * * *", ["03:00+02:00"], ["03:00+02:00"], []),
        (
            "0,30 2,3 * * *",
            ["03:00+02:00", "03:30+02:00"],
            ["03:00+02:00", "03:30+02:00"],
            ["03:00+02:00", "03:30+02:00"],
        ),
        ("30 1 * * *", ["01:30+01:00"], ["01:30+01:00"], ["01:30+01:00"]),
        ("0 */2 * * *", ["04:00+02:00"], ["03:00+02:00", "04:00+02:00"], ["04:00+02:00"]),
        ("*/30 2 * * *", [], ["03:00+02:00"], []),
    ],
)
def test_berlin_goes_forward(text: str, auto: list[str], after: list[str], skip: list[str]) -> None:
    for gap, found in zip(Gap, (auto, after, skip), strict=True):
        for fold in Fold:
            timing = Timing(cron=text, timezone="Europe/Berlin", dst_gap=gap, dst_fold=fold)
            assert local(timing, "2026-03-29T01:00", "2026-03-29T04:00") == found


@pytest.mark.parametrize(
    ("text", "auto", "first", "second", "both"),
    [
        ("30 2 * * *", ["02:30+02:00"], ["02:30+02:00"], ["02:30+01:00"], ["02:30+02:00", "02:30+01:00"]),
        ("30 1 * * *", ["01:30+02:00"], ["01:30+02:00"], ["01:30+02:00"], ["01:30+02:00"]),
        ("30 3 * * *", ["03:30+01:00"], ["03:30+01:00"], ["03:30+01:00"], ["03:30+01:00"]),
        (
            "*/40 2 * * *",
            ["02:00+02:00", "02:40+02:00", "02:00+01:00", "02:40+01:00"],
            ["02:00+02:00", "02:40+02:00"],
            ["02:00+01:00", "02:40+01:00"],
            ["02:00+02:00", "02:40+02:00", "02:00+01:00", "02:40+01:00"],
        ),
    ],
)
def test_berlin_goes_back(text: str, auto: list[str], first: list[str], second: list[str], both: list[str]) -> None:
    for fold, found in zip(Fold, (auto, first, second, both), strict=True):
        for gap in Gap:
            timing = Timing(cron=text, timezone="Europe/Berlin", dst_gap=gap, dst_fold=fold)
            assert local(timing, "2026-10-25T01:00", "2026-10-25T04:00") == found


def test_lord_howe_shifts_by_half_an_hour() -> None:
    timing = Timing(cron="0 */2 * * *", timezone="Australia/Lord_Howe")
    assert local(timing, "2026-04-05T00:00", "2026-04-05T06:00") == [
        "00:00+11:00",
        "02:00+10:30",
        "04:00+10:30",
        "06:00+10:30",
    ]
    assert local(timing, "2026-10-04T00:00", "2026-10-04T06:00") == ["00:00+10:30", "04:00+11:00", "06:00+11:00"]
    moved = Timing(cron="15 2 * * *", timezone="Australia/Lord_Howe")
    assert local(moved, "2026-10-04T00:00", "2026-10-04T06:00") == ["02:30+11:00"]


def test_apia_skips_a_whole_day() -> None:
    noon = Timing(cron="0 12 * * *", timezone="Pacific/Apia")
    days = local(noon, "2011-12-29T00:00", "2012-01-02T00:00")
    assert days == ["12:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00", "2012-01-01T12:00+14:00"]
    assert local(Timing(cron="0 */12 * * *", timezone="Pacific/Apia"), "2011-12-29T01:00", "2011-12-31T12:00") == [
        "12:00-10:00",
        "2011-12-31T00:00+14:00",
        "2011-12-31T12:00+14:00",
    ]


@pytest.mark.parametrize(
    ("name", "day", "first"),
    [
        ("America/Santiago", "2026-09-06", "01:00-03:00"),
        ("Asia/Beirut", "2026-03-29", "01:00+03:00"),
        ("Africa/Cairo", "2026-04-24", "01:00+03:00"),
    ],
)
def test_a_midnight_that_does_not_exist_fires_after_the_gap(name: str, day: str, first: str) -> None:
    assert local(Timing(cron="@daily", timezone=name), f"{day}T01:00", f"{day}T23:00") == [first]
    assert local(Timing(cron="@daily", timezone=name, dst_gap=Gap.SKIP), f"{day}T01:00", f"{day}T23:00") == []
    assert local(Timing(cron="@hourly", timezone=name), f"{day}T01:00", f"{day}T02:00") == [first, f"02{first[2:]}"]


def test_st_johns_fell_back_over_midnight() -> None:
    timing = Timing(cron="30 */2 * * *", timezone="America/St_Johns")
    assert local(timing, "1992-10-24T22:00", "1992-10-25T02:30") == [
        "22:30-02:30",
        "1992-10-25T00:30-03:30",
        "1992-10-25T02:30-03:30",
    ]
    late = Timing(cron="30 23 * * *", timezone="America/St_Johns", dst_fold=Fold.BOTH)
    assert local(late, "1992-10-24T22:00", "1992-10-25T12:00") == ["23:30-02:30", "23:30-03:30"]


def test_dublins_and_casablancas_changes_have_the_other_sign_in_the_data_and_the_same_meaning() -> None:
    dublin = Timing(cron="30 1 * * *", timezone="Europe/Dublin")
    assert local(dublin, "2026-10-25T00:00", "2026-10-25T05:00") == ["01:30+01:00"]
    assert local(dublin, "2026-03-29T00:00", "2026-03-29T05:00") == ["02:00+01:00"]
    ramadan = Timing(cron="30 2 * * *", timezone="Africa/Casablanca")
    assert local(ramadan, "2026-02-15T00:00", "2026-02-15T05:00") == ["02:30+01:00"]
    assert local(ramadan, "2026-03-22T00:00", "2026-03-22T05:00") == ["03:00+01:00"]


def test_offsets_with_seconds() -> None:
    fires = Timing(cron="0 0 * * *", timezone="Europe/Berlin").fires(datetime(1890, 1, 1, tzinfo=UTC))
    assert next(fires) == datetime(1890, 1, 1, 23, 6, 32, tzinfo=UTC)


# -------------------------------------------------------------------------------------------------------- the sequence


@given(timings, moments)
def test_fires_is_next_again_and_again(timing: Timing, after: datetime) -> None:
    found = list(islice(timing.fires(after), 8))
    at: datetime | None = after
    for expected in found:
        assert at is not None
        at = timing.next(at)
        assert at == expected
    assert all(earlier < later for earlier, later in pairwise([after, *found]))


@given(timings, moments, st.data())
def test_next_from_any_point_in_between_is_the_same(timing: Timing, after: datetime, data: st.DataObject) -> None:
    first, second = (at for at in islice(timing.fires(after), 2))
    between = data.draw(st.integers(0, (second - first) // timedelta(microseconds=1) - 1))
    assert timing.next(first + timedelta(microseconds=between)) == second


@given(timings, moments)
def test_every_fire_shows_a_matching_wall_time_or_ends_a_gap(timing: Timing, after: datetime) -> None:
    place, reading = zone(timing.timezone), Reading(timing.cron or "")
    for at in islice(timing.fires(after), 20):
        assert at.tzinfo is UTC
        segment = segment_at(place, at.replace(tzinfo=None))
        moved = segment.gap is not None and segment.start == at.replace(tzinfo=None)
        assert moved or reading.matches(at.astimezone(place).replace(tzinfo=None))


@settings(max_examples=20)
@given(timings, moments, st.integers(0, 10**7))
def test_bounds_are_inclusive_and_change_nothing_else(timing: Timing, start: datetime, seconds: int) -> None:
    end = start + timedelta(seconds=seconds)
    everything = islice(timing.fires(start - timedelta(microseconds=1)), 50)
    bounded = Timing(timing.cron, None, timing.timezone, start, end, timing.dst_gap, timing.dst_fold)
    found = list(islice(bounded.fires(start - timedelta(days=400)), 50))
    assert found == [at for at in everything if at <= end]
    assert bounded.next(end) is None


def test_a_bound_that_is_a_fire_time_fires() -> None:
    first, last = datetime(2026, 5, 1, 3, tzinfo=UTC), datetime(2026, 5, 3, 3, tzinfo=UTC)
    timing = Timing(cron="0 3 * * *", start_at=first, end_at=last)
    assert list(timing.fires(NEW_YEAR)) == [first, first + timedelta(days=1), last]


def test_a_moment_of_another_offset_is_the_same_moment() -> None:
    timing = Timing(cron="0 3 * * *", end_at=datetime(2026, 1, 2, 8, tzinfo=timezone(timedelta(hours=5))))
    after = NEW_YEAR.astimezone(timezone(timedelta(hours=-8)))
    assert list(timing.fires(after)) == [datetime(2026, 1, 1, 3, tzinfo=UTC), datetime(2026, 1, 2, 3, tzinfo=UTC)]


def test_what_lies_in_gaps_alone_never_fires() -> None:
    timing = Timing(cron="*/30 2 * 3 SUNL", timezone="Europe/Berlin")
    assert timing.next(NEW_YEAR) is None
    assert Timing(cron=timing.cron, timezone="America/New_York").next(NEW_YEAR) == datetime(2026, 3, 29, 6, tzinfo=UTC)


def test_the_sequence_ends_with_the_calendar() -> None:
    timing = Timing(cron="0 0 29 2 *", timezone="Europe/Berlin")
    assert timing.next(datetime(9996, 3, 1, tzinfo=UTC)) is None
    assert timing.next(datetime.max.replace(tzinfo=UTC)) is None
    leap_days = list(timing.fires(NEW_YEAR))
    assert (leap_days[-1].year, len(leap_days)) == (9996, 1933)
    first = Timing(cron="0 0 * * *").next(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first.year == 1


@given(st.integers(1, 10**6), moments, st.integers(0, 10**8))
def test_intervals_count_from_their_start(seconds: int, start: datetime, later: int) -> None:
    timing = Timing(interval_seconds=seconds, start_at=start)
    after = start + timedelta(seconds=later)
    at = timing.next(after)
    assert at is not None
    assert (at - start) % timedelta(seconds=seconds) == timedelta(0)
    assert after < at <= after + timedelta(seconds=seconds)
    assert timing.next(start - timedelta(days=1)) == start
    assert list(islice(timing.fires(after), 2)) == [at, at + timedelta(seconds=seconds)]


def test_an_interval_keeps_the_fraction_of_its_start() -> None:
    start = NEW_YEAR + timedelta(microseconds=500_000)
    timing = Timing(interval_seconds=1, start_at=start)
    for before in (timedelta(seconds=9), timedelta(milliseconds=300), timedelta(microseconds=1)):
        assert timing.next(start - before) == start
    assert timing.next(start) == timing.next(start + timedelta(milliseconds=999)) == start + timedelta(seconds=1)
    assert timing.next(datetime.max.replace(tzinfo=UTC)) is None


def test_intervals_end_with_their_bound_and_with_the_calendar() -> None:
    timing = Timing(interval_seconds=60, start_at=NEW_YEAR, end_at=NEW_YEAR + timedelta(seconds=60))
    assert list(timing.fires(NEW_YEAR)) == [NEW_YEAR + timedelta(seconds=60)]
    assert Timing(interval_seconds=10**11, start_at=NEW_YEAR).next(datetime(9000, 1, 1, tzinfo=UTC)) is None


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(CronError):
        Timing(cron="61 * * * *").next(NEW_YEAR)
    with pytest.raises(UnknownZone):
        Timing(cron="* * * * *", timezone="Europe/Bonn").next(NEW_YEAR)


@pytest.mark.parametrize("text", ["0 3 * * *", "* * * * *", "59 23 * * *", "* * * * * *", "0 9 * * 1-5", "0 0 L * *"])
def test_next_is_fast(text: str) -> None:
    timing = Timing(cron=text, timezone="Europe/Berlin")
    timing.next(NEW_YEAR)
    began = time.process_time()
    for second in range(500):
        timing.next(NEW_YEAR + timedelta(seconds=second))
    assert time.process_time() - began < 500 * 200e-6


def test_parsing_thousands_of_expressions_is_fast() -> None:
    began = time.process_time()
    for number in range(500):
        parse_cron.__wrapped__(f"{number % 60} {number % 24} * * *")
    assert time.process_time() - began < 500 * 2e-3


# -------------------------------------------------------------------------------------------------------------- jitter


@given(st.text(), moments, st.integers(0, 86_400))
def test_jitter_is_whole_seconds_below_its_bound(schedule: str, at: datetime, seconds: int) -> None:
    found = jitter(schedule, at, seconds)
    assert timedelta(0) <= found < timedelta(seconds=max(seconds, 1))
    assert found % timedelta(seconds=1) == timedelta(0)
    assert jitter(schedule, at.astimezone(timezone(timedelta(hours=3))), seconds) == found


def test_jitter_is_the_same_on_every_machine_and_spreads() -> None:
    assert jitter("a", NEW_YEAR, 3600) == timedelta(seconds=725)
    assert jitter("b", NEW_YEAR, 3600) != timedelta(seconds=725)
    assert len({jitter("a", NEW_YEAR + timedelta(minutes=n), 60) for n in range(1000)}) == 60
