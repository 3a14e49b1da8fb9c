"""One English sentence that says when a schedule fires.

It is made of the values that the expression stands for, not of the way it is written, so it can't say anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import time
from itertools import pairwise, product

from horae.domain.cron import Cron, parse_cron
from horae.domain.cron_days import days_in
from horae.domain.cron_items import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    Field,
    Item,
    LastOfWeekday,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
)
from horae.domain.timing import Timing
from horae.domain.wording import MONTH_NAMES, NTH, WEEKDAY_NAMES, duration, listed, moment, ordinal, runs

_LISTED_TIMES = 6
_SHORTEST_MONTH = 28


def describe(timing: Timing) -> str:
    """The sentence. Raises CronError."""
    if timing.interval_seconds is not None:
        return f"{_interval(timing.interval_seconds)}{_since(timing, 'counted from')}{_until(timing)}."
    when = _cron(parse_cron(timing.cron or ""))
    return f"{when}, by the clock of {timing.timezone}{_since(timing, 'not before')}{_until(timing)}."


def _interval(seconds: int) -> str:
    every = duration(seconds)
    return f"Every {every.removeprefix('1 ') if every.count(' ') == 1 else every}"


def _since(timing: Timing, words: str) -> str:
    return f", {words} {moment(timing.start_at)}" if timing.start_at else ""


def _until(timing: Timing) -> str:
    return f", not after {moment(timing.end_at)}" if timing.end_at else ""


def _cron(cron: Cron) -> str:
    times, days = _times(cron), which_days(cron)
    if not days and not times.startswith("Every"):
        days = "every day"
    months = "" if len(cron.months) == MONTH.period else f", in {_ranges(cron.months, MONTH, _month)}"
    return f"{times} {days}".rstrip() + months


# --------------------------------------------------------------------------------------------------------- time of day


def _times(cron: Cron) -> str:
    if len(cron.hours) * len(cron.minutes) * len(cron.seconds) <= _LISTED_TIMES:
        spec = "minutes" if cron.seconds == (0,) else "seconds"
        each = product(cron.hours, cron.minutes, cron.seconds)
        return f"At {listed([time(*parts).isoformat(spec) for parts in each])}"
    return _even(cron) or _nested(cron)


def _even(cron: Cron) -> str:
    """`Every 15 minutes`, where that is the whole truth; otherwise empty."""
    if len(cron.hours) < HOUR.period:
        return ""
    if cron.seconds == (0,):
        return _evenly(cron.minutes, MINUTE)
    return _evenly(cron.seconds, SECOND) if len(cron.minutes) == MINUTE.period else ""


def _evenly(values: Sequence[int], where: Field) -> str:
    step = where.period // len(values)
    if values != tuple(range(0, where.period, step)):
        return ""
    if step == where.period:
        return "Every hour"
    return f"Every {where.name}" if step == 1 else f"Every {step} {where.name}s"


def _nested(cron: Cron) -> str:
    """`Second 5 of every 7th minute from 0 to 56 of hours 9 to 17`."""
    parts = [] if cron.seconds == (0,) else [_some(cron.seconds, SECOND)]
    parts += [_some(cron.minutes, MINUTE), _some(cron.hours, HOUR)]
    text = " of ".join(parts)
    return text.capitalize() if text.startswith("every") else f"At {text}"


def _some(values: Sequence[int], where: Field) -> str:
    if len(values) == where.period:
        return f"every {where.name}"
    if step := _step(values):
        return f"every {ordinal(step)} {where.name} from {values[0]} to {values[-1]}"
    return f"{where.name}{'s' * (len(values) > 1)} {_ranges(values, where, str)}"


def _step(values: Sequence[int]) -> int:
    """The equal distance of more than two values, unless they are neighbours; otherwise 0."""
    steps = {after - before for before, after in pairwise(values)}
    return steps.pop() if len(values) > 2 and len(steps) == 1 and steps != {1} else 0


def _ranges(values: Sequence[int], where: Field, name: Callable[[int], str]) -> str:
    return listed(_words(values, where, name))


def _words(values: Sequence[int], where: Field, name: Callable[[int], str]) -> list[str]:
    """`a to b` for more than two neighbours."""
    found: list[str] = []
    for first, last in runs(values, where.low, where.period, cyclic=where is not DAY):
        length = (last - first) % where.period + 1
        found += [f"{name(first)} to {name(last)}"] if length > 2 else map(name, dict.fromkeys((first, last)))
    return found


# ---------------------------------------------------------------------------------------------------------------- days


def which_days(cron: Cron) -> str:
    """Which days of the months named; empty for every day."""
    rule = cron.days
    any_day = len(days_in(rule.month_days)) == DAY.period
    any_weekday = len(rule.weekdays) == WEEKDAY.period
    if (any_day and any_weekday) or (rule.either and (any_day or any_weekday)):
        return ""
    if any_day:
        return f"on {_weekdays(cron, 'every ')}"
    if any_weekday:
        return f"on {_month_days(cron)}"
    if rule.either:
        return f"on {_month_days(cron)} and also on {_weekdays(cron, 'every ')}"
    return f"on {_month_days(cron)}, if that day is {_weekdays(cron, 'a ', 'or')}"


def _month_days(cron: Cron) -> str:
    days = days_in(cron.days.month_days)
    if step := _step(days):
        words = [f"every {ordinal(step)} day from {days[0]} to {days[-1]}"]
    else:
        words = [f"day{'s' * (len(days) > 1)} {_ranges(days, DAY, str)}"] if days else []
    return f"{listed([*words, *dict.fromkeys(map(_special_day, cron.days.special_days))])} of the month"


def _special_day(item: Item) -> str:
    match item:
        case NearestWorkday(day):
            where = "" if day <= _SHORTEST_MONTH else f" (in months that have a day {day})"
            return f"the Monday-to-Friday day nearest to day {day}{where}"
        case LastWorkday():
            return "the last Monday-to-Friday day"
        case _:
            return "the last day"


def _weekdays(cron: Cron, one: str, link: str = "and") -> str:
    plain, special = cron.days.weekdays, [_special_weekday(item) for item in cron.days.special_weekdays]
    words = _words(plain, WEEKDAY, WEEKDAY_NAMES.__getitem__)
    if len(plain) == 1 or link == "or":
        words = [f"{one}{WEEKDAY_NAMES[weekday]}" for weekday in plain]
    return listed([*words, *dict.fromkeys(special)], link) + (" of the month" if special else "")


def _special_weekday(item: Item) -> str:
    match item:
        case NthWeekday(weekday, nth):
            return f"the {NTH[nth - 1]} {WEEKDAY_NAMES[weekday]}"
        case LastOfWeekday(weekday):
            return f"the last {WEEKDAY_NAMES[weekday]}"
    return ""


def _month(number: int) -> str:
    return MONTH_NAMES[number - 1]
