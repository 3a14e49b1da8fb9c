"""What is to be done that the server has what a file wants. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from horae.cli.schedules.applying.wanted import Entry, Wanted
from horae.client import Backoff, Schedule
from horae.domain.schedule import Definition
from horae.domain.timing import Timing

TIMING = tuple(part.name for part in fields(Timing))
"""the fields that decide when it fires"""

_OWN = tuple(part.name for part in fields(Definition) if part.name not in ("timing", "template"))
FIELDS = (*TIMING, *_OWN, "job")
"""all fields that a file may say, by which schedules are compared"""

DEFAULTS = {
    part.name: str(part.default) if isinstance(part.default, StrEnum) else part.default
    for part in (*fields(Timing), *fields(Definition))
    if part.default is not MISSING
}
"""what holds of a field that the file leaves out"""

_MOMENTS = ("start_at", "end_at")
_RHYTHMS = ("cron", "interval_seconds")


class Action(StrEnum):
    """What is to be done about one schedule."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    """it is as the file wants it"""
    DELETE = "delete"
    """it came from this file, which doesn't hold it any more"""
    STRAY = "stray"
    """the same, but nobody asked to delete such ones"""
    REFUSE = "refuse"
    """it has an entry's name, but was made by hand or comes from another source"""


@dataclass(frozen=True, slots=True)
class Step:
    """One schedule: what is to be done, to which stored one, for which entry; `changes` are {field: (old, new)}."""

    action: Action
    name: str
    entry: Entry | None = None
    stored: Schedule | None = None
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.action in (Action.CREATE, Action.UPDATE, Action.DELETE)

    @property
    def moves(self) -> bool:
        """Whether it fires at other times than before."""
        return any(name in TIMING for name in self.changes)

    def patch(self) -> dict[str, Any]:
        """The changes as `update_schedule` takes them: a new rhythm takes the old one's place by itself."""
        return {name: new for name, (_, new) in self.changes.items() if new is not None or name not in _RHYTHMS}


def steps(wanted: Wanted, stored: Sequence[Schedule], *, prune: bool, adopt: bool) -> list[Step]:
    """A step for each entry in the file's order, then one for each schedule of its source that it doesn't hold.

    `prune`: those are to be deleted. `adopt`: schedules of other sources, or of none, are taken over.
    """
    by_name = {schedule.name: schedule for schedule in stored}
    names = {entry.name for entry in wanted.entries}
    gone = [one for one in stored if one.source == wanted.source and one.name not in names]
    action = Action.DELETE if prune else Action.STRAY
    return [
        *(step(entry, by_name.get(entry.name), adopt=adopt) for entry in wanted.entries),
        *(Step(action, one.name, stored=one) for one in gone),
    ]


def step(entry: Entry, stored: Schedule | None, *, adopt: bool) -> Step:
    """What is to be done for one entry, given the schedule that has its name."""
    if stored is None:
        return Step(Action.CREATE, entry.name, entry)
    if stored.source != entry.fields["source"] and not adopt:
        return Step(Action.REFUSE, entry.name, entry, stored)
    changes = differences(entry.fields, stored)
    return Step(Action.UPDATE if changes else Action.KEEP, entry.name, entry, stored, changes)


def differences(said: Mapping[str, Any], stored: Schedule) -> dict[str, tuple[Any, Any]]:
    """Each field that isn't as the file wants it: as it is, and as it should be.

    What the file doesn't say should be as by default, but the beginning that an interval has is left alone. Fields
    that no schedule has differ too, so that the api gets to refuse them.
    """
    kept = {"start_at"} if "interval_seconds" in said and "start_at" not in said else set()
    pairs = {name: (getattr(stored, name), said.get(name, DEFAULTS.get(name))) for name in FIELDS if name not in kept}
    unknown = {name: (None, value) for name, value in said.items() if name not in FIELDS}
    return {name: pair for name, pair in {**pairs, **unknown}.items() if _differ(name, *pair)}


def _differ(name: str, old: Any, new: Any) -> bool:
    return bool(canonical(name, old) != canonical(name, new))


def definition(step: Step) -> dict[str, Any]:
    """All that is said of the schedule once the step is done, as `preview` takes it."""
    if step.stored is None:
        return dict(step.entry.fields) if step.entry else {}
    said = {name: getattr(step.stored, name) for name in FIELDS}
    said |= {name: new for name, (_, new) in step.changes.items()}
    return {name: value for name, value in said.items() if value is not None}


def canonical(name: str, value: Any) -> Any:
    """The same for all ways to say the same."""
    match name, value:
        case "job", Mapping():
            return _canonical_job(value)
        case "cron", str():
            return value.split()
        case _ if name in _MOMENTS:
            return _moment(value)
        case _:
            return value


def _canonical_job(job: Mapping[str, Any]) -> dict[str, Any]:
    return {"payload": {}, **{name: _canonical_setting(name, value) for name, value in job.items()}}


def _canonical_setting(name: str, value: Any) -> Any:
    match name, value:
        case "tags", list() | tuple():
            return sorted(map(str, value))
        case "backoff", Mapping():
            return {**asdict(Backoff()), **value}
        case "expires_at", _:
            return _moment(value)
        case _:
            return value


def _moment(value: Any) -> Any:
    """An aware time in UTC; what isn't one stays as it is, to be refused."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return found.astimezone(UTC) if isinstance(found, datetime) and found.tzinfo else value


def told(changes: Mapping[str, tuple[Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """The changes field by field, those within the job one by one."""
    for name, (old, new) in changes.items():
        if name == "job" and isinstance(old, Mapping) and isinstance(new, Mapping):
            before, after = _canonical_job(old), _canonical_job(new)
            for part in sorted({*before, *after}):
                if before.get(part) != after.get(part):
                    yield f"job.{part}", old.get(part), new.get(part)
        else:
            yield name, old, new
