"""Cron expressions: which wall times one matches. What becomes of them at clock changes is in `timing`.

croniter checks and expands the plain items (`*`, `a`, `a-b`, `a-b/n`, `a/n`). Ours are `L LW 15W 5#3 5L`, the rule how
the two day fields go together, and the rewriting of what croniter reads otherwise than the rules say.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, date, datetime, timedelta
from functools import lru_cache

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from horae.domain.cron_days import DayRule, day_rule, days_in
from horae.domain.cron_items import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    CronError,
    Every,
    Field,
    Item,
    Plain,
    Span,
    items_of,
)

__all__ = ["MAX_CHARACTERS", "Cron", "CronError", "parse_cron"]

MAX_CHARACTERS = 256

_SIX = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SECOND = timedelta(seconds=1)
# A month's days fall in one of 28 ways: its first weekday, and its length.
_LENGTHS = {month: (28, 29) if month == 2 else (monthrange(2001, month)[1],) for month in range(1, 13)}


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression; the values of each field rise. Made by `parse_cron`."""

    text: str
    fixed: bool
    """Whether neither the minute nor the hour field begins with `*`."""
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    days: DayRule
    items: tuple[tuple[Item, ...], ...]
    """What stands in each field: second, minute, hour, day-of-month, month, day-of-week."""

    def walls(self, start: datetime) -> Iterator[datetime]:
        """Every matching naive wall time from `start` on, rising, to the end of year 9999."""
        first = start if start.microsecond == 0 else start.replace(microsecond=0) + _SECOND
        for midnight in self._midnights(first.date()):
            for time in self._times(first - midnight):
                yield midnight + time

    def after(self, wall: datetime) -> datetime | None:
        """The smallest matching naive wall time after `wall`; None beyond year 9999."""
        return next((at for at in self.walls(wall) if at > wall), None)

    def any_within(self, start: datetime, end: datetime) -> bool:
        """Whether a wall time from `start` on and before `end` matches."""
        first = next(self.walls(start), None)
        return first is not None and first < end

    def _midnights(self, first: date) -> Iterator[datetime]:
        begin = (first.year, first.month)
        for year, month in self._months_from(begin):
            weekday, length = monthrange(year, month)
            for day in days_in(self.days.mask((weekday + 1) % 7, length)):
                if day >= first.day or (year, month) > begin:
                    yield datetime(year, month, day)

    def _months_from(self, begin: tuple[int, int]) -> Iterator[tuple[int, int]]:
        for year in range(begin[0], MAXYEAR + 1):
            for month in self.months:
                if (year, month) >= begin:
                    yield year, month

    def _times(self, since: timedelta) -> Iterator[timedelta]:
        """The matching times of day from `since` on, which may be negative."""
        begin = max(int(since.total_seconds()), 0)
        for at in self._minutes_from(begin // 60):
            for second in self.seconds:
                if at + second >= begin:
                    yield timedelta(seconds=at + second)

    def _minutes_from(self, begin: int) -> Iterator[int]:
        """The second of the day at which each matching minute begins, from minute `begin` of the day on."""
        for hour in self.hours[bisect_left(self.hours, begin // 60) :]:
            for minute in self.minutes:
                if hour * 60 + minute >= begin:
                    yield (hour * 60 + minute) * 60


@lru_cache(maxsize=8192)
def parse_cron(text: str) -> Cron:
    """Raises CronError, also for an expression that matches no date at all."""
    fields = _fields(text)
    items = tuple(items_of(where, written) for where, written in zip(_SIX, fields, strict=True))
    seconds, minutes, hours, month_days, months, weekdays = _expand(items)
    cron = Cron(
        text=text,
        fixed=not fields[1].startswith("*") and not fields[2].startswith("*"),
        seconds=seconds,
        minutes=minutes,
        hours=hours,
        months=months,
        days=day_rule(month_days, weekdays, items[3], items[5], either=not _starred(fields[3], fields[5])),
        items=items,
    )
    _check_fires(cron)
    return cron


def _starred(*fields: str) -> bool:
    return any(field.startswith(("*", "?")) for field in fields)


def _fields(text: str) -> list[str]:
    """The six fields, in lower case."""
    _check_characters(text)
    written = text.lower().strip(" \t")
    if written.startswith("@"):
        written = _macro(written)
    fields = written.replace("\t", " ").split()
    if len(fields) not in {5, 6}:
        raise CronError(
            f"the expression has {len(fields)} field{'s' * (len(fields) != 1)}: it takes five (minute hour day-of-month"
            " month day-of-week), or six with the second in front"
        )
    return fields if len(fields) == 6 else ["0", *fields]


def _check_characters(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise CronError(f"the expression has {len(text)} characters: at most {MAX_CHARACTERS} are allowed")
    if not text.strip(" \t"):
        raise CronError("the expression is empty: it takes five fields, or six with the second in front")
    if strange := next((c for c in text if not "!" <= c <= "~" and c not in " \t"), None):
        raise CronError(f"the expression holds {strange!r}: fields are separated by spaces or tabs, written in ASCII")


def _macro(written: str) -> str:
    if written == "@reboot":
        raise CronError("@reboot has no time to fire at: the service has no boot of its own")
    if written not in _MACROS:
        raise CronError(f"{written!r} is no known macro; allowed are {', '.join(_MACROS)}")
    return _MACROS[written]


def _check_fires(cron: Cron) -> None:
    shapes = {(weekday, length) for month in cron.months for weekday in range(7) for length in _LENGTHS[month]}
    if not any(cron.days.mask(*shape) for shape in shapes):
        raise CronError("the expression never fires: no month that it names has such a day")


# ------------------------------------------------------------------------------------------------------------ croniter


def _expand(items: Sequence[Sequence[Item]]) -> list[tuple[int, ...]]:
    """The values of the plain items of each field."""
    plain = [[item for item in each if isinstance(item, Every | Span)] for each in items]
    canonical = [_canonical(where, each) if each else "*" for where, each in zip(_SIX, plain, strict=True)]
    try:
        expanded, _ = croniter.expand(" ".join(canonical), second_at_beginning=True)
    except CroniterError as error:
        raise CronError(f"the expression isn't understood: {error}") from error
    by_field = [expanded[-1], *expanded[:-1]]
    return [_values(where, found) if each else () for where, found, each in zip(_SIX, by_field, plain, strict=True)]


def _values(where: Field, found: Sequence[int | str]) -> tuple[int, ...]:
    if "*" in found:
        return tuple(range(where.low, where.low + where.period))
    return tuple(sorted(int(value) for value in found))


def _canonical(where: Field, items: Sequence[Plain]) -> str:
    if Every() in items:
        return "*"
    return ",".join(part for item in items for part in _parts(where, item))


def _parts(where: Field, item: Plain) -> Iterator[str]:
    """The item in forms that croniter reads as we do: no wraps, no equal ends, no 7."""
    high = where.low + where.period - 1
    if isinstance(item, Every):
        yield from _rising(where.low, high, item.step)
        return
    first, last = _ends(where, item)
    if first <= last:
        yield from _rising(first, last, item.step)
        return
    yield from _rising(first, high, item.step)
    # The step counts on through the wrap: 22-2/3 is 22 and 1.
    resumed = first + ((high - first) // item.step + 1) * item.step - where.period
    if resumed <= last:
        yield from _rising(resumed, last, item.step)


def _ends(where: Field, item: Span) -> tuple[int, int]:
    """The ends, with day-of-week's 7 as 0: a range up to 7 wraps from Saturday to Sunday."""
    if where is not WEEKDAY:
        return item.first, item.last
    if (item.first, item.last) == (0, 7):
        return 0, 6
    return item.first % 7, item.last % 7


def _rising(first: int, last: int, step: int) -> Iterator[str]:
    yield f"{first}-{last}/{step}" if first < last else f"{first}"
