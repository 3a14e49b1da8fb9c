"""The grammar of cron expressions, and a reason for everything that isn't in it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.domain.cron import MAX_CHARACTERS, CronError, parse_cron
from horae.domain.cron_items import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Field
from tests.support.expressions import TELLING
from tests.support.oracle import BOUNDS, Reading, values

NEW_YEAR = datetime(2026, 1, 1)
FIELDS = [SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY]
ORACLES = dict(zip((each.name for each in FIELDS), BOUNDS, strict=True))


def days(text: str, year: int, month: int) -> list[int]:
    """The matching days of a month."""
    walls = parse_cron(text).walls(datetime(year, month, 1))
    return [wall.day for wall in islice(walls, 31) if (wall.year, wall.month) == (year, month)]


def in_field(where: Field, item: str) -> str:
    """An expression of six fields with an item in one of them."""
    return " ".join(item if each is where else "*" for each in FIELDS)


def values_of(where: Field, item: str) -> set[int]:
    cron = parse_cron(in_field(where, item))
    found = [cron.seconds, cron.minutes, cron.hours, (), cron.months, cron.days.weekdays]
    if where is DAY:
        return {day for day in range(1, 32) if cron.days.month_days >> day & 1}
    return set(found[FIELDS.index(where)])


@pytest.mark.parametrize("where", FIELDS, ids=lambda where: where.name)
def test_every_range_with_every_step_is_what_the_rules_say(where: Field) -> None:
    numbers = range(where.low, where.high + 1)
    ranges = [f"{first}-{last}" for first in numbers[::3] for last in numbers[::2]]
    for body in ["*", *map(str, numbers), *ranges]:
        for step in ["", "/1", "/2", "/3", "/7", "/30", "/100"]:
            assert values_of(where, body + step) == values(ORACLES[where.name], body + step), body + step


@pytest.mark.parametrize(
    ("field", "item", "meant"),
    [
        (HOUR, "22-2", {22, 23, 0, 1, 2}),
        (HOUR, "22-2/3", {22, 1}),
        (HOUR, "5-5", {5}),
        (HOUR, "5-5/2", {5}),
        (HOUR, "007", {7}),
        (HOUR, "20/100", {20}),
        (HOUR, "23/1", {23}),
        (MINUTE, "59/15", {59}),
        (MINUTE, "1,*/30,50-51", {0, 1, 30, 50, 51}),
        (MINUTE, "5,*", set(range(60))),
        (DAY, "30-2", {30, 31, 1, 2}),
        (MONTH, "nov-FEB", {11, 12, 1, 2}),
        (MONTH, "Jan/5", {1, 6, 11}),
        (WEEKDAY, "7", {0}),
        (WEEKDAY, "0-7", set(range(7))),
        (WEEKDAY, "7-0", {0}),
        (WEEKDAY, "7-2", {0, 1, 2}),
        (WEEKDAY, "5-7", {5, 6, 0}),
        (WEEKDAY, "1/2", {1, 3, 5, 0}),
        (WEEKDAY, "FRI-mon", {5, 6, 0, 1}),
        (WEEKDAY, "sat-SUN/2", {6}),
        (WEEKDAY, "5-1/2", {5, 0}),
    ],
)
def test_items(field: Field, item: str, meant: set[int]) -> None:
    assert values_of(field, item) == meant


@pytest.mark.parametrize(
    ("text", "year", "month", "found"),
    [
        ("0 0 L * *", 2028, 2, [29]),
        ("0 0 l * *", 2026, 2, [28]),
        ("0 0 LW * *", 2026, 1, [30]),
        ("0 0 LW * *", 2026, 5, [29]),
        ("0 0 LW * *", 2026, 8, [31]),
        ("0 0 15W * *", 2026, 8, [14]),
        ("0 0 15w * *", 2026, 2, [16]),
        ("0 0 15W * *", 2026, 4, [15]),
        ("0 0 1W * *", 2026, 8, [3]),
        ("0 0 1W * *", 2026, 3, [2]),
        ("0 0 31W * *", 2026, 5, [29]),
        ("0 0 31W * *", 2026, 4, []),
        ("0 0 28W * *", 2027, 2, [26]),
        ("0 0 * * 5#3", 2026, 5, [15]),
        ("0 0 * * fri#3", 2026, 5, [15]),
        ("0 0 * * 7#1", 2026, 5, [3]),
        ("0 0 * * 5#5", 2026, 5, [29]),
        ("0 0 * * 5#5", 2026, 6, []),
        ("0 0 * * 5L", 2026, 5, [29]),
        ("0 0 * * L5", 2026, 5, [29]),
        ("0 0 * * FRIL", 2026, 6, [26]),
        ("0 0 * * Lfri", 2026, 6, [26]),
        ("0 0 * * 0L", 2026, 5, [31]),
        ("0 0 1,L,15W * *", 2026, 8, [1, 14, 31]),
        ("0 0 * * 1#1,5L,3", 2026, 5, [4, 6, 13, 20, 27, 29]),
    ],
)
def test_special_days(text: str, year: int, month: int, found: list[int]) -> None:
    assert days(text, year, month) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0 0 13 * 5", [2, 9, 13, 16, 23, 30]),
        ("0 0 13 * *", [13]),
        ("0 0 * * 5", [2, 9, 16, 23, 30]),
        ("0 0 13 * ?", [13]),
        ("0 0 ? * 5", [2, 9, 16, 23, 30]),
        ("0 0 */2 * 5", [9, 23]),
        ("0 0 13 * */2", [13]),
        ("0 0 */6 * */5", [25]),
        ("0 0 *,13 * 5", [2, 9, 16, 23, 30]),
        ("0 0 13,* * 5", list(range(1, 32))),
        ("0 0 1-31 * 5", list(range(1, 32))),
        ("0 0 L * 5", [2, 9, 16, 23, 30, 31]),
        ("0 0 */2 * 5L", []),
        ("0 0 */15 * 5#3,6#5", [16, 31]),
    ],
)
def test_days_match_either_field_unless_one_begins_with_a_star(text: str, found: list[int]) -> None:
    assert days(text, 2026, 1) == found


@pytest.mark.parametrize(
    ("macro", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        (" @HOURLY\t", "0 * * * *"),
    ],
)
def test_macros(macro: str, same: str) -> None:
    assert list(islice(parse_cron(macro).walls(NEW_YEAR), 5)) == list(islice(parse_cron(same).walls(NEW_YEAR), 5))
    assert parse_cron(macro).fixed is parse_cron(same).fixed


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("30 2 * * *", True),
        ("*/15 2 * * *", False),
        ("0 */2 * * *", False),
        ("0-59 0-23 * * *", True),
        ("5,* 2 * * *", True),
        ("*,5 2 * * *", False),
        ("* 30 2 * * *", True),
        ("0 * 2 * * *", False),
        ("0 0 2 * * *", True),
    ],
)
def test_fixed_looks_at_the_first_character_of_minute_and_hour(text: str, fixed: bool) -> None:
    assert parse_cron(text).fixed is fixed


def test_spaces_and_tabs_separate_fields() -> None:
    assert parse_cron("\t30  2\t*\t * * ").minutes == (30,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the expression is empty"),
        (" \t", "the expression is empty"),
        ("* * * *", "has 4 fields"),
        ("*", "has 1 field:"),
        ("0 0 * * * * 2026", "has 7 fields"),
        ("0 0 1 1 * ".ljust(MAX_CHARACTERS + 1), "257 characters: at most 256"),
        ("0\n0 * * *", r"'\n': fields are separated by spaces or tabs"),
        ("0 0 * * *\r", r"'\r'"),
        ("0 0\u00a0* * *", r"'\xa0'"),
        ("٣ 0 * * *", "'٣'"),
        ("0 0 * ſun *", "'ſ'"),
        ("@reboot", "@reboot has no time"),
        ("@every 5m", "'@every 5m' is no known macro"),
        ("@daily *", "is no known macro"),
        ("H * * * *", "minute field, 'H': values by hash"),
        ("H(0-9)/5 * * * *", "by hash"),
        ("R 2 * * *", "by chance"),
        ("0 r * * *", "hour field, 'R'"),
        ("60 * * * *", "minute field, '60': out of range; allowed are 0 to 59"),
        ("0 24 * * *", "hour field, '24': out of range; allowed are 0 to 23"),
        ("0 0 0 * *", "day-of-month field, '0': out of range; allowed are 1 to 31"),
        ("0 0 32 * *", "out of range"),
        ("0 0 1-32 * *", "'32': out of range"),
        ("0 0 * 0 *", "month field, '0': out of range; allowed are 1 to 12, JAN to DEC"),
        ("0 0 * 13/2 *", "'13': out of range"),
        ("0 0 * * 8", "day-of-week field, '8': out of range; allowed are 0 to 7, SUN to SAT"),
        ("60 * * * * *", "second field"),
        ("0 0 32W * *", "'32': out of range"),
        ("0 0 0W * *", "'0': out of range"),
        ("0 0 * * 8L", "'8': out of range"),
        ("0 0 * * 5#0", "the number after # is from 1 to 5"),
        ("0 0 * * 5#6", "the number after # is from 1 to 5"),
        ("0 0 * * 8#1", "'8': out of range"),
        ("*/0 * * * *", "'*/0': a step is a whole number from 1"),
        ("5-9/0 * * * *", "a step is a whole number from 1"),
        ("*/ * * * *", "'*/': the step is empty"),
        ("5/ * * * *", "the step is empty"),
        ("5- * * * *", "the range has no end"),
        ("-5 * * * *", "no negative numbers"),
        ("*/-5 * * * *", "not understood"),
        ("*/1.5 * * * *", "not understood"),
        ("*5 * * * *", "not understood"),
        ("*-5 * * * *", "not understood"),
        ("** * * * *", "not understood"),
        ("1-5-9 * * * *", "not understood"),
        ("1/2/3 * * * *", "not understood"),
        ("+5 * * * *", "not understood"),
        ("~ * * * *", "not understood"),
        (", * * * *", "'': nothing stands there"),
        ("1,,2 * * * *", "'': nothing stands there"),
        ("1, * * * *", "'': nothing stands there"),
        ("? * * * *", "? stands alone, in the day fields only"),
        ("0 0 1,? * *", "? stands alone"),
        ("0 0 ?/2 * *", "? stands alone"),
        ("0 0 * ? *", "? stands alone"),
        ("0 0 * FEV *", "'FEV': no such name"),
        ("0 0 * MON *", "no such name"),
        ("0 0 * * JUL", "no such name"),
        ("0 JAN * * *", "no such name"),
        ("0 0 MON * *", "no such name"),
        ("0 0 * JANUARY *", "not understood"),
        ("0 0 L-3 * *", "an offset before the last day is not supported"),
        ("0 0 1-L * *", "not a form that this field knows"),
        ("0 0 W * *", "not a form"),
        ("0 0 W15 * *", "not a form"),
        ("0 0 WL * *", "not a form"),
        ("0 0 1-5W * *", "not a form"),
        ("0 0 5L * *", "not a form"),
        ("0 0 5#3 * *", "not a form"),
        ("L 0 * * *", "not a form"),
        ("0 0 * L *", "not a form"),
        ("0 0 * * L", "L needs its day here, as in 5L"),
        ("0 0 * * 1,L", "L needs its day here"),
        ("0 0 * * LW", "not a form"),
        ("0 0 * * 15W", "not a form"),
        ("0 0 * * 1-5#2", "not a form"),
        ("0 0 * * 5#3L", "not a form"),
        ("0 0 * * L5L", "not a form"),
        ("0 0 * * 5#", "not a form"),
        ("0 0 30 2 *", "the expression never fires"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        ("0 0 30W 2 *", "never fires"),
        ("0 0 */40 2 */8#5", "not a form"),
        ("0 0 2-31/40 * */1#1", "not a form"),
        ("0 0 */40 * 1#2", "never fires"),
        ("0 0 */28 2 3#4", "never fires"),
    ],
)
def test_everything_else_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(CronError) as refused:
        parse_cron(text)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["0 0 29 2 *", "0 0 29 2 1#5", "0 0 */28 2 3#5", "0 0 30 2 1", "0 0 31 2,3 *", "0 0 29W 2 *", "0 0 */30 1 6#5"],
)
def test_what_fires_in_some_year_is_taken(text: str) -> None:
    assert next(parse_cron(text).walls(datetime(2026, 1, 1))).year < 2426


def test_length_counts_every_character() -> None:
    assert parse_cron("0 0 1 1 *".ljust(MAX_CHARACTERS)).months == (1,)


@given(st.lists(st.text(st.sampled_from("0123456789*/-,?LWlw#@SUNMONjan\n"), max_size=6), min_size=5).map(" ".join))
def test_any_text_is_taken_or_refused(text: str) -> None:
    with suppress(CronError):
        assert next(parse_cron(text).walls(NEW_YEAR)) >= NEW_YEAR


@pytest.mark.parametrize("text", TELLING)
def test_walls_are_those_that_match_in_order(text: str) -> None:
    reading, start = Reading(text), datetime(2026, 2, 27, 21, 13, 7)
    step = timedelta(seconds=1) if reading.seconds else timedelta(minutes=1)
    since = start if reading.seconds else start.replace(second=0) + step
    every = (since + n * step for n in range(5000))
    end = since + 5000 * step
    found = [wall for wall in islice(parse_cron(text).walls(start), 5001) if wall < end]
    assert found == [wall for wall in every if reading.matches(wall)]


@given(st.sampled_from(TELLING), st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))
def test_after_is_the_next_wall_strictly_later(text: str, wall: datetime) -> None:
    cron = parse_cron(text)
    after = cron.after(wall)
    assert after is not None
    assert after > wall
    assert Reading(text).matches(after)
    assert next(cron.walls(after)) == after
    assert next(cron.walls(wall)) in {wall, after}


def test_the_calendar_ends() -> None:
    assert parse_cron("0 0 29 2 *").after(datetime(9996, 2, 29)) is None
    assert list(parse_cron("0 0 * * *").walls(datetime(9999, 12, 30, 1))) == [datetime(9999, 12, 31)]
