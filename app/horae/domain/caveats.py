"""Warnings: what a schedule does that its author may not expect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from horae.domain.clock_changes import fold_effect, gap_effect, missing, repeated, they
from horae.domain.cron import Cron, parse_cron
from horae.domain.cron_days import days_in
from horae.domain.cron_items import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Every, Field, Item, Span
from horae.domain.describe import which_days
from horae.domain.timing import Fold, Gap, Timing, naive_utc
from horae.domain.wording import listed, moment, number
from horae.domain.zones import FIRST, LAST

_FORESIGHT = timedelta(days=731)
_HOUR, _NO_TIME = timedelta(hours=1), timedelta(0)


def warnings(timing: Timing, now: datetime) -> list[str]:
    """One sentence each, for a schedule as it is looked at `now`, which is aware. Raises CronError, UnknownZone."""
    found = list(_endings(timing, now))
    if timing.interval_seconds is not None:
        return found
    cron = parse_cron(timing.cron or "")
    found += [text for where, items in zip(_SIX, cron.items, strict=True) for text in _steps(cron, where, items)]
    return [*found, *_either(cron), *_seemingly_wild(timing, cron), *_gaps(timing, now), *_folds(timing, now)]


def _endings(timing: Timing, now: datetime) -> Iterator[str]:
    if timing.next(now) is not None:
        return
    if timing.end_at and timing.end_at <= now:
        yield f"It never fires again: its end_at, {moment(timing.end_at)}, is past."
    elif timing.end_at:
        yield f"It never fires: there is no fire time up to its end_at, {moment(timing.end_at)}."
    else:
        yield "It never fires: the clock passes over each of its wall times, and dst_gap = skip drops those."


# --------------------------------------------------------------------------------------------------------------- fields

_SIX = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)
_LATER = {"month": "month", "day-of-week": "day"}


def _steps(cron: Cron, where: Field, items: tuple[Item, ...]) -> Iterator[str]:
    for item in dict.fromkeys(items):
        if isinstance(item, Span) and not item.open:
            continue
        if isinstance(item, Every | Span) and item.step > 1:
            yield from _step(cron, where, item)


def _step(cron: Cron, where: Field, item: Every | Span) -> Iterator[str]:
    written, first, high = _written(where, item)
    last = first + (high - first) // item.step * item.step
    restart = first + where.period - last
    if first == last:
        yield f"{written} is {where.name} {first} alone: the step leads beyond the field's {high}."
    elif not _goes_round(cron, where):
        return
    elif where is DAY:
        yield f"{written} starts anew each month: after day {last} or the last one before it comes day {first}."
    elif restart != item.step:
        unit = _LATER.get(where.name, where.name)
        after = f"after {last % 7 if where is WEEKDAY else last} comes {first % 7 if where is WEEKDAY else first}"
        yield f"{written} is uneven: {after}, {number(restart, unit)} later instead of {item.step}."


def _written(where: Field, item: Every | Span) -> tuple[str, int, int]:
    """The item as text, its first value, and the highest one that it may reach."""
    begin = "*" if isinstance(item, Every) else str(item.first)
    first = where.low if isinstance(item, Every) else item.first
    high = where.high if isinstance(item, Span) else where.low + where.period - 1
    return f"{begin}/{item.step} in the {where.name} field", first, high


def _goes_round(cron: Cron, where: Field) -> bool:
    """Whether the field's values come to their end and begin again within the next larger unit."""
    if where is SECOND:
        return _neighbours(cron.minutes, MINUTE)
    if where is MINUTE:
        return _neighbours(cron.hours, HOUR)
    if where is DAY:
        return _neighbours(cron.months, MONTH)
    return where is not HOUR or len(days_in(cron.days.mask(0, DAY.high))) == DAY.high


def _neighbours(values: tuple[int, ...], where: Field) -> bool:
    return any(after - before == 1 for before, after in pairwise((*values, values[0] + where.period)))


def _either(cron: Cron) -> Iterator[str]:
    if cron.days.either and (days := which_days(cron)):
        yield f"It fires {days}: one of both is enough, a day need not be both."


def _seemingly_wild(timing: Timing, cron: Cron) -> Iterator[str]:
    decided = timing.dst_gap is not Gap.AUTO and timing.dst_fold is not Fold.AUTO
    if decided or not cron.fixed:
        return
    full = [w.name for w, v in ((MINUTE, cron.minutes), (HOUR, cron.hours)) if len(v) == w.period]
    if full:
        yield (
            f"The {listed(full)} field{'s hold' if len(full) > 1 else ' holds'} every value without beginning with *:"
            " so its times count as fixed, and fire once after a gap and only the first time in a repeated hour;"
            " write * to follow the clock."
        )


# -------------------------------------------------------------------------------------------------------- clock changes


def _gaps(timing: Timing, now: datetime) -> Iterator[str]:
    days: dict[tuple[str, str], list[str]] = {}
    rules, cron = timing.rules(), parse_cron(timing.cron or "")
    for change in missing(timing, *_foreseen(timing, now)):
        if rules.gap is Gap.SKIP and _keeps_its_rhythm(cron, change.shift):
            continue
        text = they(change.walls, "doesn't exist", "don't exist"), gap_effect(rules, change)
        days.setdefault(text, []).append(f"{change.walls[0]:%Y-%m-%d}")
    for (what, effect), dates in days.items():
        yield f"{what} on {listed(dates)}, when the clock goes forward: {effect} (dst_gap = {rules.gap})."


def _folds(timing: Timing, now: datetime) -> Iterator[str]:
    days: dict[str, list[str]] = {}
    rules, cron = timing.rules(), parse_cron(timing.cron or "")
    for change in repeated(timing, *_foreseen(timing, now)):
        if rules.fold is Fold.BOTH and _keeps_its_rhythm(cron, change.shift):
            continue
        days.setdefault(they(change.walls, "comes", "come"), []).append(f"{change.walls[0]:%Y-%m-%d}")
    for what, dates in days.items():
        effect = f"{fold_effect(rules)} (dst_fold = {rules.fold})"
        yield f"{what} twice on {listed(dates)}, when the clock goes back: {effect}."


def _keeps_its_rhythm(cron: Cron, shift: timedelta) -> bool:
    """Whether one who sits beside the machine sees no difference: what fires in every hour goes on every hour."""
    return len(cron.hours) == HOUR.period and (shift % _HOUR == _NO_TIME or len(cron.minutes) == MINUTE.period)


def _foreseen(timing: Timing, now: datetime) -> tuple[datetime, datetime]:
    begin = max(naive_utc(now), naive_utc(timing.start_at) if timing.start_at else FIRST, FIRST)
    end = begin + _FORESIGHT if begin < LAST - _FORESIGHT else LAST
    return begin, min(end, naive_utc(timing.end_at)) if timing.end_at else end
