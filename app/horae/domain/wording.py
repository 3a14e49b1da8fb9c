"""Numbers, names and times in English: what descriptions, warnings and notes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
NTH = ("first", "second", "third", "fourth", "fifth")

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_NAMED_TIMES = 3


def listed(words: Sequence[str], link: str = "and") -> str:
    """`a, b and c`."""
    return f" {link} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def number(count: int, noun: str) -> str:
    """`1 minute`, `4 minutes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def ordinal(count: int) -> str:
    """`2nd`, `11th`, `21st`."""
    ending = "th" if count % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


def duration(seconds: int) -> str:
    """`1 hour 30 minutes`."""
    parts = []
    for noun, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(number(count, noun))
    return " ".join(parts)


def moment(instant: datetime) -> str:
    """An aware instant as RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock(wall: datetime) -> str:
    """The time of day; with seconds only if there are any."""
    return f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"


def clocks(walls: Sequence[datetime]) -> str:
    """The times of day of rising wall times; of many the first and the last one."""
    times = list(dict.fromkeys(map(clock, walls)))
    return listed(times) if len(times) <= _NAMED_TIMES else f"{len(times)} times from {times[0]} to {times[-1]}"


def runs(values: Sequence[int], low: int, period: int, *, cyclic: bool = True) -> list[tuple[int, int]]:
    """The first and the last value of each run of neighbours; a cyclic one may go on from the highest to `low`."""
    found: list[tuple[int, int]] = []
    for value in values:
        if found and found[-1][1] == value - 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    if cyclic and len(found) > 1 and found[0][0] == low and found[-1][1] == low + period - 1:
        found = [*found[1:-1], (found[-1][0], found[0][1])]
    return found
