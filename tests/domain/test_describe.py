"""The English sentence says what the expression means, whatever the way it is written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from horae.domain.cron import parse_cron
from horae.domain.describe import describe, which_days
from horae.domain.timing import Timing
from tests.support.expressions import expressions

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("30 2 * * *", "At 02:30 every day"),
        ("15 30 2 * * *", "At 02:30:15 every day"),
        ("0 0,12 * * *", "At 00:00 and 12:00 every day"),
        ("0 */12 * * *", "At 00:00 and 12:00 every day"),
        ("0,30 1-3 * * *", "At 01:00, 01:30, 02:00, 02:30, 03:00 and 03:30 every day"),
        ("0 22-2 * * *", "At 00:00, 01:00, 02:00, 22:00 and 23:00 every day"),
        ("*/90 * * * *", "Every hour"),
        ("* * * * *", "Every minute"),
        ("* * * * * *", "Every second"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0,15,30,45 * * * *", "Every 15 minutes"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("5/15 * * * *", "Every 15th minute from 5 to 50 of every hour"),
        ("*/7 9-17 * * *", "Every 7th minute from 0 to 56 of hours 9 to 17"),
        ("0 */2 * * *", "At minute 0 of every 2nd hour from 0 to 22 every day"),
        ("50-10 3,5,22-1 * * *", "At minutes 50 to 10 of hours 3, 5 and 22 to 1 every day"),
        ("30 */20 * * * *", "At second 30 of every 20th minute from 0 to 40 of every hour every day"),
        ("0 0 * * 5", "At 00:00 on every Friday"),
        ("0 0 * * 6,7", "At 00:00 on Saturday and Sunday"),
        ("0 0 * * FRI-MON", "At 00:00 on Friday to Monday"),
        ("0 0 * * MON-FRI", "At 00:00 on Monday to Friday"),
        ("* * * * 1,3", "Every minute on Monday and Wednesday"),
        ("0 0 13 * *", "At 00:00 on day 13 of the month"),
        ("0 0 25-5 * *", "At 00:00 on days 1 to 5 and 25 to 31 of the month"),
        ("0 0 */2 * *", "At 00:00 on every 2nd day from 1 to 31 of the month"),
        ("0 0 L * *", "At 00:00 on the last day of the month"),
        ("0 0 LW * *", "At 00:00 on the last Monday-to-Friday day of the month"),
        ("0 0 1,15W * *", "At 00:00 on day 1 and the Monday-to-Friday day nearest to day 15 of the month"),
        (
            "0 0 31W * *",
            "At 00:00 on the Monday-to-Friday day nearest to day 31 (in months that have a day 31) of the month",
        ),
        ("0 0 * * 5#3", "At 00:00 on the third Friday of the month"),
        ("0 0 * * 1,L5", "At 00:00 on every Monday and the last Friday of the month"),
        ("0 0 13 * 5", "At 00:00 on day 13 of the month and also on every Friday"),
        ("0 0 */2 * 5", "At 00:00 on every 2nd day from 1 to 31 of the month, if that day is a Friday"),
        (
            "0 0 */30 * 1,5#3",
            "At 00:00 on days 1 and 31 of the month, if that day is a Monday or the third Friday of the month",
        ),
        ("0 0 1-31 * 5", "At 00:00 every day"),
        ("0 0 13,* * 5", "At 00:00 every day"),
        ("0 0 1 JAN *", "At 00:00 on day 1 of the month, in January"),
        ("0 0 1 10-3 *", "At 00:00 on day 1 of the month, in October to March"),
        ("0 0 * 2,4 *", "At 00:00 every day, in February and April"),
        ("* * * 2 *", "Every minute, in February"),
    ],
)
def test_cron(text: str, sentence: str) -> None:
    assert describe(Timing(cron=text, timezone="Europe/Berlin")) == f"{sentence}, by the clock of Europe/Berlin."


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (1, "Every second"),
        (60, "Every minute"),
        (90, "Every 1 minute 30 seconds"),
        (7200, "Every 2 hours"),
        (86_400, "Every day"),
        (90_061, "Every 1 day 1 hour 1 minute 1 second"),
    ],
)
def test_intervals(seconds: int, sentence: str) -> None:
    timing = Timing(interval_seconds=seconds, start_at=START)
    assert describe(timing) == f"{sentence}, counted from 2026-01-01T00:00:00Z."


def test_bounds() -> None:
    timing = Timing(cron="0 3 * * *", start_at=START, end_at=END)
    assert describe(timing) == (
        "At 03:00 every day, by the clock of UTC, not before 2026-01-01T00:00:00Z, not after 2026-12-31T23:00:00Z."
    )


def test_different_days_are_never_described_alike() -> None:
    meanings: dict[str, set[tuple[int, ...]]] = {}
    for text in expressions(400, seed=11):
        days = parse_cron(text).days
        masks = tuple(days.mask(first, length) for first in range(7) for length in (28, 29, 30, 31))
        meanings.setdefault(which_days(parse_cron(text)), set()).add(masks)
    assert len(meanings) > 100
    assert {words: masks for words, masks in meanings.items() if len(masks) > 1} == {}


def test_different_times_are_never_described_alike() -> None:
    meanings: dict[str, set[object]] = {}
    for text in expressions(600, seed=12):
        cron = parse_cron(" ".join([*text.split()[:-3], "* * *"]) if not text.startswith("@") else text)
        meaning = (cron.seconds, cron.minutes, cron.hours, cron.months, cron.days.month_days, cron.days.weekdays)
        meanings.setdefault(describe(Timing(cron=cron.text)), set()).add(meaning)
    assert len(meanings) > 300
    assert {words: found for words, found in meanings.items() if len(found) > 1} == {}
