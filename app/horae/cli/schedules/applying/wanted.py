"""What a file of schedules says: its entries, each with the place where it says so. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from horae.client.requests import moment

_DEEPEST = 40
Lines = Mapping[str, int]
"""line numbers by place, such as `schedules.3.job.payload`"""


class BadFile(Exception):
    """It can't be read as a file of schedules; the message names the place."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands in a file."""

    file: str
    path: str
    lines: Lines = field(default_factory=dict)

    def of(self, member: str = "") -> str:
        """`FILE:LINE` of the entry's member, or of the nearest part around it; the file alone if no line is known."""
        at = ".".join(part for part in (self.path, member) if part)
        while at not in self.lines and at:
            at = at.rpartition(".")[0]
        return f"{self.file}:{self.lines[at]}" if at in self.lines else self.file


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule as the file wants it: `fields` as the api takes them, the name and the source included."""

    name: str
    fields: Mapping[str, Any]
    place: Place

    def problem(self, member: str, message: str) -> str:
        """One line that says where what is wrong."""
        at = f", {member}" if member else ""
        return f"{self.place.of(member)}: schedule {self.name!r}{at}: {message}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A whole file."""

    source: str
    entries: tuple[Entry, ...]


def wanted(content: Any, lines: Lines, file: str, source: str | None) -> Wanted:
    """The file's content, checked as far as that needs no server; `source` serves if it names none itself.

    Raises:
        BadFile: it hasn't the form {source, schedules: [{name, …}]}, or two entries have one name.
    """
    top = Place(file, "", lines)
    if not isinstance(content, Mapping):
        raise BadFile(f"{top.of()}: should hold `schedules:` with a list below it")
    for key in content:
        if key not in ("source", "schedules"):
            raise BadFile(f"{top.of(str(key))}: {key!r} is not known; it holds source and schedules")
    listed = content.get("schedules")
    if not isinstance(listed, list | tuple):
        raise BadFile(f"{top.of('schedules')}: schedules should be a list of schedules")
    said = _source(content.get("source", source), top)
    entries = tuple(_entry(each, Place(file, f"schedules.{n}", lines), said) for n, each in enumerate(listed))
    _check_names(entries)
    return Wanted(said, entries)


def _source(said: Any, top: Place) -> str:
    if not isinstance(said, str) or not said:
        raise BadFile(f"{top.of('source')}: source should be a name, to know its schedules by")
    return said


def _entry(content: Any, place: Place, source: str) -> Entry:
    if not isinstance(content, Mapping):
        raise BadFile(f"{place.of()}: a schedule should be a mapping: name, cron, job and others")
    name = content.get("name")
    if not isinstance(name, str) or not name:
        raise BadFile(f"{place.of('name')}: a schedule needs a name, as text")
    if "source" in content:
        raise BadFile(f"{place.of('source')}: schedule {name!r}: source is said once, for the whole file")
    if not isinstance(content.get("job"), Mapping):
        raise BadFile(f"{place.of('job')}: schedule {name!r}: needs a job, with a handler")
    members = {key: plain(value, _refusal(place, name, key)) for key, value in _members(content, place, name)}
    return Entry(name, {**members, "source": source}, place)


def _members(content: Mapping[Any, Any], place: Place, name: str) -> Iterator[tuple[str, Any]]:
    """What it says; null says nothing."""
    for key, value in content.items():
        if not isinstance(key, str):
            raise BadFile(f"{place.of()}: schedule {name!r}: {key!r} is not a name of a field")
        if value is not None:
            yield key, value


def _check_names(entries: tuple[Entry, ...]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        if entry.name in seen:
            raise BadFile(entry.problem("name", f"is taken: {seen[entry.name].place.of('name')} has it already"))
        seen[entry.name] = entry


# ----------------------------------------------------------------------------------------------------------- to JSON

Refusal = Callable[[str, str], BadFile]
"""the error for a place within a field, and a message"""


def _refusal(place: Place, name: str, key: str) -> Refusal:
    def refuse(within: str, message: str) -> BadFile:
        at = ".".join(part for part in (key, within) if part)
        return BadFile(f"{place.of(at)}: schedule {name!r}, {at}: {message}")

    return refuse


def plain(value: Any, refuse: Refusal, at: str = "", depth: int = 0) -> Any:
    """The value as JSON has it: times in UTC, lengths of time in seconds.

    Raises:
        BadFile: JSON can't hold it.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime():
            return _moment(value, refuse, at)
        case date():
            raise refuse(at, f"is the date {value}: quote it, or give a time such as {value}T08:00:00Z")
        case timedelta():
            return value.total_seconds()
        case Mapping() | list() | tuple():
            if depth == _DEEPEST:
                raise refuse("", "is nested too deeply")
            return _nested(value, refuse, at, depth + 1)
        case _:
            raise refuse(at, f"JSON can't hold such a value ({type(value).__name__})")


def _nested(value: Any, refuse: Refusal, at: str, depth: int) -> Any:
    def inner(name: object) -> str:
        return f"{at}.{name}" if at else str(name)

    if not isinstance(value, Mapping):
        return [plain(one, refuse, inner(n), depth) for n, one in enumerate(value)]
    for key in value:
        if not isinstance(key, str):
            raise refuse(at, f"the key {key!r} should be text: quote it")
    return {key: plain(one, refuse, inner(key), depth) for key, one in value.items()}


def _moment(value: datetime, refuse: Refusal, at: str) -> str:
    try:
        return moment("the time", value)
    except ValueError:
        raise refuse(at, f"{value} needs a time zone, such as {value.isoformat()}Z") from None
