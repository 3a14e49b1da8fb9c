"""Which days of a month a cron expression matches. Weekdays count from Sunday = 0; a mask has bit d set for day d."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from horae.domain.cron_items import Item, LastDay, LastOfWeekday, LastWorkday, NearestWorkday, NthWeekday

_SUNDAY, _SATURDAY = 0, 6


@dataclass(frozen=True, slots=True)
class DayRule:
    """Both day fields. `either`: a day matches when one of them does, otherwise when both do."""

    month_days: int
    """The mask of the plain days of month."""
    weekdays: tuple[int, ...]
    special_days: tuple[Item, ...]
    special_weekdays: tuple[Item, ...]
    either: bool

    def mask(self, first: int, length: int) -> int:
        """The matching days of a month that begins on weekday `first` and has `length` days."""
        days = self.month_days & _whole(length)
        for item in self.special_days:
            days |= _bit(_special_day(item, first, length))
        weekdays = 0
        for weekday in self.weekdays:
            weekdays |= _column(weekday, first, length)
        for item in self.special_weekdays:
            weekdays |= _bit(_special_weekday(item, first, length))
        return days | weekdays if self.either else days & weekdays


def day_rule(
    month_days: Iterable[int],
    weekdays: Sequence[int],
    day_items: Iterable[Item],
    weekday_items: Iterable[Item],
    *,
    either: bool,
) -> DayRule:
    """The rule for the plain values of both fields and the special ones among their items."""
    return DayRule(
        month_days=sum(1 << day for day in month_days),
        weekdays=tuple(weekdays),
        special_days=tuple(i for i in day_items if isinstance(i, LastDay | LastWorkday | NearestWorkday)),
        special_weekdays=tuple(i for i in weekday_items if isinstance(i, NthWeekday | LastOfWeekday)),
        either=either,
    )


@lru_cache(maxsize=4096)
def days_in(mask: int) -> tuple[int, ...]:
    """The days of a mask, rising."""
    return tuple(day for day in range(1, 32) if mask >> day & 1)


def _whole(length: int) -> int:
    return (1 << length + 1) - 2


def _bit(day: int) -> int:
    """Day 0 is none."""
    return 1 << day & ~1


@cache
def _column(weekday: int, first: int, length: int) -> int:
    """The days that are this weekday."""
    return sum(1 << day for day in range(1 + (weekday - first) % 7, length + 1, 7))


def _special_day(item: Item, first: int, length: int) -> int:
    match item:
        case LastDay():
            return length
        case LastWorkday():
            return _nearest_workday(length, first, length)
        case NearestWorkday(day):
            return _nearest_workday(day, first, length) if day <= length else 0
    return 0


def _nearest_workday(day: int, first: int, length: int) -> int:
    """The Monday to Friday nearest to `day` within the month."""
    weekday = (first + day - 1) % 7
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def _special_weekday(item: Item, first: int, length: int) -> int:
    match item:
        case NthWeekday(weekday, nth):
            day = 1 + (weekday - first) % 7 + 7 * (nth - 1)
            return day if day <= length else 0
        case LastOfWeekday(weekday):
            return length - (first + length - 1 - weekday) % 7
    return 0
