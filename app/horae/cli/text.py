"""Data as text for a terminal: nothing that users or handlers wrote may steer it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import orjson

# Control characters, and those that turn the direction of writing; tabs and line ends may stay.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LINE = re.compile(r"[\n\t]+")
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def clean(text: str) -> str:
    """The text with every character that steers a terminal spelled out, such as x1b behind a backslash."""
    return _STEERING.sub(lambda found: _spelled(found[0]), text)


def line(text: str) -> str:
    """The same on one line."""
    return _LINE.sub(" ", clean(text)).strip()


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def as_json(value: Any, *, indent: bool = True) -> str:
    """JSON of what the client answers: times in UTC with Z, steering characters escaped."""
    options = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    # Below 0x20 JSON escapes by itself.
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(value, option=options).decode())


def length(seconds: float) -> str:
    """A length of time in its two largest units: `350ms`, `1.5s`, `12s`, `3m 5s`, `2d 4h`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    left, parts = round(seconds), []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def distance(moment: datetime | None, now: datetime) -> str:
    """How far a moment is from now: `5s ago`, `in 3m 5s`, `now`; empty for None."""
    if moment is None:
        return ""
    seconds = round((moment - now).total_seconds())
    if seconds == 0:
        return "now"
    return f"in {length(seconds)}" if seconds > 0 else f"{length(-seconds)} ago"
