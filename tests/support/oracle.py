"""A second reading of the rules of time, literal and slow, that shares no line with the product's.

The zone's clock is looked at in every minute (or second) of a window. A cron expression is read field by field, and
each wall time of the window is asked whether it matches. Then gaps and folds are settled, one wall time after another.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

MINUTE, SECOND, DAY = timedelta(minutes=1), timedelta(seconds=1), timedelta(days=1)
BOUNDS = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


# ---------------------------------------------------------------------------------------------------------- expressions


class Reading:
    """An expression that is known to be valid."""

    def __init__(self, text: str) -> None:
        words = MACROS.get(text.strip().lower(), text.lower()).split()
        self.seconds = len(words) == 6
        second, minute, hour, self.day, month, self.weekday = words if self.seconds else ["0", *words]
        self.fixed = minute[0] != "*" and hour[0] != "*"
        self.times = {"second": values("second", second), "minute": values("minute", minute)}
        self.times |= {"hour": values("hour", hour), "month": values("month", month)}
        self.days: dict[date, bool] = {}

    def matches(self, wall: datetime) -> bool:
        return (
            wall.minute in self.times["minute"]
            and wall.hour in self.times["hour"]
            and wall.second in self.times["second"]
            and wall.month in self.times["month"]
            and self._day_matches(wall.date())
        )

    def _day_matches(self, day: date) -> bool:
        if day not in self.days:
            by_day = any(day_item(item, day) for item in self.day.split(","))
            by_weekday = any(weekday_item(item, day) for item in self.weekday.split(","))
            starred = self.day[0] in "*?" or self.weekday[0] in "*?"
            self.days[day] = (by_day and by_weekday) if starred else (by_day or by_weekday)
        return self.days[day]


def values(field: str, text: str) -> set[int]:
    return {value for item in text.split(",") for value in plain(field, item)}


def plain(field: str, item: str) -> list[int]:
    """The values of `*`, `?`, `a`, `a-b`, `a-b/n`, `*/n`, `a/n`."""
    low, high = BOUNDS[field]
    body, _, step = item.partition("/")
    first, _, last = body.partition("-")
    if body in {"*", "?"}:
        run = list(range(low, high + 1))
    elif last:
        run = walk(field, number(field, first), number(field, last))
    else:
        run = list(range(number(field, first), high + 1 if step else number(field, first) + 1))
    return [value % 7 if field == "weekday" else value for value in run[:: int(step or 1)]]


def walk(field: str, first: int, last: int) -> list[int]:
    """From the first value to the last one, around the clock's or the calendar's end if need be."""
    low, high = BOUNDS[field]
    if first <= last:
        return list(range(first, last + 1))
    if field == "weekday":
        first, high = first % 7, 6
        if first <= last:
            return list(range(first, last + 1))
    return [*range(first, high + 1), *range(low, last + 1)]


def number(field: str, text: str) -> int:
    if text.isdigit():
        return int(text)
    return MONTHS.index(text) + 1 if field == "month" else WEEKDAYS.index(text)


def day_item(item: str, day: date) -> bool:
    last = (day.replace(day=28) + 4 * DAY).replace(day=1) - DAY
    working = [n for n in range(1, last.day + 1) if day.replace(day=n).isoweekday() <= 5]
    if item == "l":
        return day == last
    if item == "lw":
        return day.day == working[-1]
    if item.endswith("w"):
        wanted = int(item[:-1])
        return wanted <= last.day and day.day == min(working, key=lambda n: abs(n - wanted))
    return day.day in plain("day", item)


def weekday_item(item: str, day: date) -> bool:
    weekday = day.isoweekday() % 7
    if "#" in item:
        wanted, nth = item.split("#")
        return weekday == number("weekday", wanted) % 7 and (day.day - 1) // 7 + 1 == int(nth)
    if found := re.fullmatch(r"(\w+)l|l(\w+)", item):
        return weekday == number("weekday", found[1] or found[2]) % 7 and (day + 7 * DAY).month != day.month
    return weekday in plain("weekday", item)


# --------------------------------------------------------------------------------------------------------------- clocks


@dataclass(frozen=True)
class Window:
    """What a zone's clock shows at every step from `begin` on and before `end`, instants in naive UTC."""

    zone: ZoneInfo
    begin: datetime
    end: datetime
    step: timedelta = MINUTE

    @cached_property
    def readings(self) -> list[tuple[datetime, datetime]]:
        steps = (self.end - self.begin) // self.step
        instants = [self.begin + n * self.step for n in range(steps)]
        return [(at, shown(self.zone, at)) for at in instants]

    @cached_property
    def showing(self) -> dict[datetime, list[datetime]]:
        """The instants of each wall time that the clock shows."""
        found: dict[datetime, list[datetime]] = {}
        for at, wall in self.readings:
            found.setdefault(wall, []).append(at)
        return found

    @cached_property
    def passed_over(self) -> dict[datetime, datetime]:
        """The wall times that the clock doesn't show, each with the first instant after its gap."""
        low, high = min(self.showing), max(self.showing)
        every = [low + n * self.step for n in range((high - low) // self.step)]
        return {wall: next(at for at, w in self.readings if w > wall) for wall in every if wall not in self.showing}


@dataclass(frozen=True)
class Matches:
    """The matching wall times of a window: their only instant, both of them, or the first one after their gap."""

    fixed: bool
    once: list[datetime]
    twice: list[tuple[datetime, datetime]]
    never: list[datetime]

    def fires(self, gap: str, fold: str) -> list[datetime]:
        if gap == "auto":
            gap = "fire_after" if self.fixed else "skip"
        if fold == "auto":
            fold = "first" if self.fixed else "both"
        found = set(self.once)
        if gap == "fire_after":
            found.update(self.never)
        for first, second in self.twice:
            found.update({"first": [first], "second": [second], "both": [first, second]}[fold])
        return sorted(found)


def matches(reading: Reading, window: Window) -> Matches:
    found = [instants for wall, instants in window.showing.items() if reading.matches(wall)]
    return Matches(
        fixed=reading.fixed,
        once=[instants[0] for instants in found if len(instants) == 1],
        twice=[(instants[0], instants[1]) for instants in found if len(instants) == 2],
        never=[after for wall, after in window.passed_over.items() if reading.matches(wall)],
    )


def fires(text: str, window: Window, gap: str = "auto", fold: str = "auto") -> list[datetime]:
    """The fire times within the window, in naive UTC."""
    return matches(Reading(text), window).fires(gap, fold)


def following(fires: list[datetime], at: datetime) -> datetime | None:
    """The first of the rising fire times that is strictly after."""
    place = bisect_right(fires, at)
    return fires[place] if place < len(fires) else None


# ---------------------------------------------------------------------------------------------------------- transitions


@dataclass(frozen=True)
class Transition:
    """The instant from which another offset holds, in naive UTC."""

    at: datetime
    before: timedelta
    after: timedelta


def shown(zone: ZoneInfo, instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)


def transitions(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[Transition]:
    """Looks at the clock every day, then closer where its offset changes. No zone changes twice within six days."""
    at = begin
    while at < end:
        before = shown(zone, at) - at
        for step in (DAY, 60 * MINUTE, MINUTE, SECOND):
            while at < end and shown(zone, at + step) - (at + step) == before:
                at += step
        at += SECOND
        if at < end:
            yield Transition(at, before, shown(zone, at) - at)
