"""Finds what JSON parsers let pass: nesting without end, a key given twice, integers beyond 64 bits. Pure.

`Census` is quick and says only that something is wrong; `first_fault` is thorough and says where. A parsed value
shows neither a doubled key nor an integer that became a float; the text and the census together do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from horae.domain.errors import FieldError

MAX_DEPTH = 20
"""levels of objects and arrays in a payload"""

_LEAST, _BEYOND = -(2**63), 2**63
_DIGITS_OF_64_BITS = 19
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')
_INTEGER = re.compile(rb"-?\d+")
_LONG_NUMBER = re.compile(rb"\d{19}")
_SLICE = 256 * 1024
_STEPS_TO_A_FIELD = {"jobs": 3, "job": 2}
"""by the first step: `jobs.0.payload` of a bulk, `job.payload` of a schedule"""


@dataclass(slots=True)
class Census:
    """Counts what is in parsed JSON, value by value. `levels` is how deep each may be nested."""

    levels: int
    keys: int = 0
    colons: int = 0
    """inside strings"""
    too_deep: bool = False
    wide: bool = False
    """a number that may be an integer beyond 64 bits"""

    def add(self, value: object) -> int:
        """Counts one more value; answers how many keys it holds in all."""
        before, level = self.keys, [value]
        for _ in range(self.levels):
            if not level:
                break
            level = self._descend(level)
        self.too_deep |= bool(level)
        return self.keys - before

    def _descend(self, level: list[object]) -> list[object]:
        deeper: list[object] = []
        for node in level:
            if type(node) is dict:
                self.keys += len(node)
                for key in node:
                    self.colons += key.count(":")
                self._look(node.values(), deeper)
            elif type(node) is list:
                self._look(node, deeper)
            else:
                self._look((node,), deeper)
        return deeper

    def _look(self, values: Iterable[Any], deeper: list[object]) -> None:
        for value in values:
            kind = type(value)
            if kind is str:
                self.colons += value.count(":")
            elif kind is dict or kind is list:
                deeper.append(value)
            elif (kind is int and not _LEAST <= value < _BEYOND) or (kind is float and not _LEAST < value < _BEYOND):
                # The least integer of 64 bits as a float may have been one less.
                self.wide = True

    def agrees_with(self, text: bytes) -> bool:
        """Whether the text surely holds nothing that the values don't show."""
        return not self.too_deep and self._has_all_colons(text) and not (self.wide and _has_long_number(text))

    def _has_all_colons(self, text: bytes) -> bool:
        """Each key has its colon; a doubled key makes one too many. In a string a colon may be written as an escape."""
        escapes = text.count(b"\\u003a") + text.count(b"\\u003A") if b"\\" in text else 0
        return text.count(b":") + escapes == self.keys + self.colons


def _has_long_number(text: bytes) -> bool:
    """Whether there may be an integer beyond 64 bits. In slices: a search keeps all other threads waiting."""
    starts = range(0, len(text), _SLICE)
    return any(_LONG_NUMBER.search(text, start, start + _SLICE + _DIGITS_OF_64_BITS) for start in starts)


@dataclass(slots=True)
class _Place:
    """An open object or array; `step` is the key or the index at which it stands."""

    is_object: bool
    step: str | int
    seen: set[str] = field(default_factory=set)
    wants_key: bool = True


def first_fault(text: bytes, levels: int) -> FieldError | None:
    """The first thing wrong with JSON that may be nested so many levels deep; it needn't be well-formed to its end."""
    open_places: list[_Place] = []
    for token in _tokens(text):
        message = _step(open_places, token, levels)
        if message:
            return FieldError(_path(open_places), message)
    return None


def _tokens(text: bytes) -> Iterator[bytes]:
    return (match[0] for match in _TOKEN.finditer(text))


def _step(places: list[_Place], token: bytes, levels: int) -> str | None:
    """Goes one token on; a message if it is at fault."""
    top = places[-1] if places else None
    match token[:1]:
        case b"{" | b"[":
            places.append(_Place(token == b"{", "" if token == b"{" else 0))
            return f"is nested deeper than {MAX_DEPTH} levels" if len(places) > levels else None
        case b"}" | b"]":
            del places[-1:]
        case b",":
            _next(top)
        case b":":
            return None
        case b'"':
            return _key(top, token)
        case _:
            return _number(token)
    return None


def _next(top: _Place | None) -> None:
    if top is None:
        return
    top.wants_key = True
    if isinstance(top.step, int):
        top.step += 1


def _key(top: _Place | None, token: bytes) -> str | None:
    if top is None or not top.is_object or not top.wants_key:
        return None
    key = _text(token)
    top.step, top.wants_key = key, False
    if key in top.seen:
        return "is given twice"
    top.seen.add(key)
    return None


def _text(token: bytes) -> str:
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError:
        return token.decode(errors="replace")


def _number(token: bytes) -> str | None:
    if not _INTEGER.fullmatch(token):
        return None
    # Its length first: thousands of digits are not worth a conversion, and Python refuses them.
    if len(token.lstrip(b"-")) > _DIGITS_OF_64_BITS or not _LEAST <= int(token) < _BEYOND:
        return "is an integer beyond 64 bits"
    return None


def _path(places: list[_Place]) -> str:
    """Where the fault is. What lies too deep is named by the field that holds it: its whole path has no end."""
    steps = [str(place.step) for place in places if place.step != ""]
    if not steps or not places[0].is_object:
        return "body"
    if len(places) > MAX_DEPTH:
        steps = steps[: _STEPS_TO_A_FIELD.get(steps[0], 1)]
    return ".".join(steps)
