"""The fields of a cron expression and what may stand in them: the grammar, and the reason for each refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = {name: number for number, name in enumerate(_MONTHS, 1)}
WEEKDAYS = {name: number for number, name in enumerate(_WEEKDAYS)}


class CronError(ValueError):
    """The expression is refused; the text is one sentence that says what is wrong and what may stand there."""


@dataclass(frozen=True, slots=True)
class Field:
    """One of the six fields. `period` is how many values it has: day-of-week's 7 is another name for 0."""

    name: str
    low: int
    high: int
    period: int
    names: Mapping[str, int] = field(default_factory=dict, hash=False)
    special: str = ""
    days: bool = False

    @property
    def allowed(self) -> str:
        """What may stand here, for the end of a reason."""
        names = f", {next(iter(self.names)).upper()} to {list(self.names)[-1].upper()}" if self.names else ""
        return f"{self.low} to {self.high}{names}, *, a-b, a-b/n, */n, a/n{self.special} and lists of these with commas"


SECOND = Field("second", 0, 59, 60)
MINUTE = Field("minute", 0, 59, 60)
HOUR = Field("hour", 0, 23, 24)
DAY = Field("day-of-month", 1, 31, 31, special=", ?, L, LW, 15W", days=True)
MONTH = Field("month", 1, 12, 12, MONTHS)
WEEKDAY = Field("day-of-week", 0, 7, 7, WEEKDAYS, special=", ?, 5#3, 5L", days=True)


@dataclass(frozen=True, slots=True)
class Every:
    """`*`, `*/n` and `?`."""

    step: int = 1


@dataclass(frozen=True, slots=True)
class Span:
    """`a`, `a-b`, `a-b/n` and `a/n`, as written: `first` may be greater than `last`."""

    first: int
    last: int
    step: int = 1
    open: bool = False
    """Whether the end is the field's own: `a/n`."""


@dataclass(frozen=True, slots=True)
class LastDay:
    """`L`."""


@dataclass(frozen=True, slots=True)
class LastWorkday:
    """`LW`."""


@dataclass(frozen=True, slots=True)
class NearestWorkday:
    """`15W`."""

    day: int


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`5#3`; `weekday` counts from Sunday = 0, `nth` from 1 to 5."""

    weekday: int
    nth: int


@dataclass(frozen=True, slots=True)
class LastOfWeekday:
    """`5L` and `L5`."""

    weekday: int


Plain = Every | Span
Item = Plain | LastDay | LastWorkday | NearestWorkday | NthWeekday | LastOfWeekday

_VALUE = r"\d+|[a-z]{3}"
_PLAIN = re.compile(rf"(?:(?P<star>\*)|(?P<first>{_VALUE})(?:-(?P<last>{_VALUE}))?)(?:/(?P<step>\d+))?")
_NEAREST = re.compile(r"(\d+)w")
_NTH = re.compile(rf"({_VALUE})#(\d+)")
_LAST_OF = re.compile(rf"({_VALUE})l|l({_VALUE})")


def items_of(where: Field, text: str) -> tuple[Item, ...]:
    """The items of one field in lower case. Raises CronError."""
    if where.days and text == "?":
        return (Every(),)
    return tuple(_item(where, item) for item in text.split(","))


def _item(where: Field, text: str) -> Item:
    if plain := _PLAIN.fullmatch(text):
        return _plain(where, plain)
    if where is DAY and (special := _special_day(text)):
        return special
    if where is WEEKDAY and (special := _special_weekday(text)):
        return special
    raise refusal(where, text, _why(where, text))


def _plain(where: Field, found: re.Match[str]) -> Plain:
    step = int(found["step"] or 1)
    if step == 0:
        raise refusal(where, found[0], "a step is a whole number from 1")
    if found["star"]:
        return Every(step)
    first = _number(where, found["first"])
    if found["last"]:
        return Span(first, _number(where, found["last"]), step)
    open_end = found["step"] is not None
    return Span(first, where.high if open_end else first, step, open_end)


def _number(where: Field, text: str) -> int:
    number = int(text) if text.isdigit() else where.names.get(text)
    if number is None:
        raise refusal(where, text, "no such name")
    if not where.low <= number <= where.high:
        raise refusal(where, text, "out of range")
    return number


def _special_day(text: str) -> Item | None:
    if text == "l":
        return LastDay()
    if text == "lw":
        return LastWorkday()
    if found := _NEAREST.fullmatch(text):
        return NearestWorkday(_number(DAY, found[1]))
    return None


def _special_weekday(text: str) -> Item | None:
    if found := _NTH.fullmatch(text):
        nth = int(found[2])
        if not 1 <= nth <= 5:
            raise refusal(WEEKDAY, text, "the number after # is from 1 to 5")
        return NthWeekday(_number(WEEKDAY, found[1]) % 7, nth)
    if found := _LAST_OF.fullmatch(text):
        return LastOfWeekday(_number(WEEKDAY, found[1] or found[2]) % 7)
    return None


_WHYS = (
    (re.compile(r""), "nothing stands there"),
    (re.compile(r".*\?.*"), "? stands alone, in the day fields only"),
    (
        re.compile(r"[hr](\(.*\))?(/.*)?"),
        "values by hash (H) or by chance (R) are not supported, jitter_seconds spreads",
    ),
    (re.compile(r".*/"), "the step is empty"),
    (re.compile(r".*-"), "the range has no end"),
    (re.compile(r"-.*"), "there are no negative numbers"),
    (re.compile(r"l-.*"), "an offset before the last day is not supported"),
    (re.compile(r".*[lw#].*"), "not a form that this field knows"),
)


def _why(where: Field, text: str) -> str:
    if where is WEEKDAY and text == "l":
        return "L needs its day here, as in 5L"
    return next((why for pattern, why in _WHYS if pattern.fullmatch(text)), "not understood")


def refusal(where: Field, item: str, why: str) -> CronError:
    """The error for one item of a field."""
    return CronError(f"{where.name} field, {item.upper()!r}: {why}; allowed are {where.allowed}")
