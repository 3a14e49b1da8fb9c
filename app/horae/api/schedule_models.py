"""What clients may send about schedules, each field with its bounds; see `models` for what holds of all of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from horae.api.fields import DAY, LONGEST_DELAY, Key, LeftOut, Name, Text, Time, Uuid, whole, whole_number, words
from horae.api.models import Cursor, Limit, Sent, TemplateIn
from horae.api.paging import DEFAULT_LIMIT
from horae.domain.cron import MAX_CHARACTERS, parse_cron
from horae.domain.ids import is_id
from horae.domain.schedule import Reason, ScheduleState, Verdict
from horae.domain.zones import LONGEST_NAME, zone
from horae.store.base_schedules import LedgerFilter, ScheduleFilter

LONGEST_JITTER = DAY
LONGEST_SPAN = 365 * DAY
MOST_RUNS = 1_000_000_000
MOST_PREVIEWED = 1000
DEFAULT_PREVIEWED = 10
MOST_CONCURRENT = 100


def _cron(text: str) -> str:
    parse_cron(text)
    return text


def _zone(name: str) -> str:
    zone(name)
    return name


def _trimmed(name: str) -> str:
    if name != name.strip():
        raise ValueError("should not begin or end with white space")
    if is_id(name):
        raise ValueError("should not look like an id: commands take either")
    return name


CronText = Annotated[
    str,
    AfterValidator(_cron),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS, "examples": ["30 2 * * *", "0 9 * * MON-FRI"]}
    ),
]
ZoneName = Annotated[
    str,
    AfterValidator(_zone),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "examples": ["UTC", "Europe/Berlin"]}),
]
Label = Annotated[Key, AfterValidator(_trimmed)]
Interval = Annotated[int, Field(ge=1, le=LONGEST_DELAY), BeforeValidator(whole)]
Jitter = Annotated[int, Field(ge=0, le=LONGEST_JITTER), BeforeValidator(whole)]
Grace = Annotated[int, Field(ge=0, le=LONGEST_SPAN), BeforeValidator(whole)]
Span = Annotated[int, Field(ge=1, le=LONGEST_SPAN), BeforeValidator(whole)]
Runs = Annotated[int, Field(ge=1, le=MOST_RUNS), BeforeValidator(whole)]
Concurrency = Annotated[int, Field(ge=1, le=MOST_CONCURRENT), BeforeValidator(whole)]
MisfireWord = Literal["skip", "fire_once", "fire_all"]
OverlapWord = Literal["allow", "skip", "replace"]
GapWord = Literal["auto", "fire_after", "skip"]
FoldWord = Literal["auto", "first", "second", "both"]
ScheduleStateName = Literal["ACTIVE", "PAUSED", "ENDED"]
VerdictName = Literal["fired", "skipped", "coalesced", "backfilled", "missed"]
ReasonName = Literal["misfire", "overlap", "paused", "bound", "no_success"]
ScheduleStates = Annotated[list[ScheduleStateName], Field(min_length=1, max_length=20), BeforeValidator(words)]
Verdicts = Annotated[list[VerdictName], Field(min_length=1, max_length=20), BeforeValidator(words)]


class ScheduleSettings(Sent):
    """All that may be said of a schedule but its name and its job."""

    cron: LeftOut[CronText] = Field(
        None,
        description="minute hour day-of-month month day-of-week, or six fields with the second in front; "
        "excludes interval_seconds",
    )
    interval_seconds: LeftOut[Interval] = Field(
        None, description="fires at start_at and every so many seconds after it; excludes cron"
    )
    timezone: LeftOut[ZoneName] = Field(None, description='IANA name of the zone whose wall time counts; else "UTC"')
    start_at: LeftOut[Time] = Field(
        None, description="no fire time before it; an interval counts from it, or else from its creation"
    )
    end_at: LeftOut[Time] = Field(None, description="no fire time after it")
    dst_gap: LeftOut[GapWord] = Field(
        None, description='what becomes of a wall time that a clock change leaves out; else "auto"'
    )
    dst_fold: LeftOut[FoldWord] = Field(
        None, description='at which of its instants a wall time fires that a clock change repeats; else "auto"'
    )
    max_runs: LeftOut[Runs] = Field(None, description="it ends after so many fires; else it never does by that")
    jitter_seconds: LeftOut[Jitter] = Field(
        None, description="each job starts later than its fire time by less than this, always the same; else 0"
    )
    misfire: LeftOut[MisfireWord] = Field(
        None,
        description="fire times found due later than the grace: skip makes no job, fire_once one for the latest, "
        'fire_all one each, at most 1,000; else "fire_once"',
    )
    misfire_grace_seconds: LeftOut[Grace] = Field(None, description="as much later is still punctual; else 60")
    overlap: LeftOut[OverlapWord] = Field(
        None,
        description="while an earlier job isn't final: allow makes one more, skip none, replace cancels the earlier "
        'one first; else "allow"',
    )
    must_succeed_within_seconds: LeftOut[Span] = Field(
        None, description="no SUCCESS so many seconds after a fire time is an alarm; else nothing is expected"
    )
    source: LeftOut[Key] = Field(None, description="the file that it is applied from")


_ONE_RHYTHM: dict[str, Any] = {"oneOf": [{"required": ["cron"]}, {"required": ["interval_seconds"]}]}
_EXAMPLE: dict[str, Any] = {
    "name": "nightly report",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "overlap": "skip",
    "job": {"handler": "echo", "payload": {"report": "sales"}, "max_retries": 5},
}


class ScheduleIn(ScheduleSettings):
    """A schedule: exactly one of `cron` and `interval_seconds` says when it fires, `job` what it makes."""

    model_config = ConfigDict(json_schema_extra={**_ONE_RHYTHM, "examples": [_EXAMPLE]})

    name: Label = Field(description="unique in the namespace")
    job: TemplateIn


class SchedulePatch(ScheduleSettings):
    """Changes of a schedule. Where null is named it takes away what was there; `job` replaces the whole template."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["cron", "interval_seconds"]}, "minProperties": 1})

    name: LeftOut[Label] = Field(None, description="unique in the namespace")
    cron: LeftOut[CronText] = Field(None, description="takes the place of interval_seconds too")
    interval_seconds: LeftOut[Interval] = Field(None, description="takes the place of cron too")
    start_at: Time | None = Field(None, description="null only with cron: an interval counts from it")
    end_at: Time | None = None
    max_runs: Runs | None = None
    must_succeed_within_seconds: Span | None = None
    source: Key | None = None
    job: LeftOut[TemplateIn] = None


PreviewCount = Annotated[int, Field(ge=1, le=MOST_PREVIEWED), BeforeValidator(whole)]
_COUNT = "so many fire times"
_FROM = "fire times at or after this; else after now"


class PreviewIn(ScheduleSettings):
    """A schedule that isn't stored, and how much of it to show."""

    model_config = ConfigDict(
        json_schema_extra={**_ONE_RHYTHM, "examples": [{"cron": "30 2 * * *", "timezone": "Europe/Berlin", "count": 3}]}
    )

    name: LeftOut[Label] = None
    job: LeftOut[TemplateIn] = None
    begin: LeftOut[Time] = Field(None, alias="from", description=_FROM)
    count: PreviewCount = Field(DEFAULT_PREVIEWED, description=_COUNT)


class PreviewQuery(Sent):
    """How much of a schedule's future to show."""

    begin: LeftOut[Time] = Field(None, alias="from", description=_FROM)
    count: Annotated[int, Field(ge=1, le=MOST_PREVIEWED), BeforeValidator(whole_number)] = Field(
        DEFAULT_PREVIEWED, description=_COUNT
    )


class BackfillIn(Sent):
    """A past range to make jobs for; both ends count."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T23:59:59Z"}]}
    )

    begin: Time = Field(alias="from")
    end: Time = Field(alias="to")
    max_concurrent: Concurrency = Field(1, description="at most so many of its jobs at a time, the oldest first")


class ScheduleQuery(Sent):
    """Which schedules: those that every given parameter allows, and which part of their list."""

    state: LeftOut[ScheduleStates] = Field(None, description="one or more states, repeated or with commas")
    name: LeftOut[Label] = Field(None, description="this very name")
    handler: LeftOut[Name] = None
    source: LeftOut[Key] = Field(None, description="applied from this file")
    q: LeftOut[Text] = Field(None, description="the start of a name")
    limit: Limit = DEFAULT_LIMIT
    cursor: LeftOut[Cursor] = Field(None, description="next_cursor of the page before")

    def as_filter(self) -> ScheduleFilter:
        """The words of the store."""
        return ScheduleFilter(
            states=frozenset(ScheduleState(name) for name in self.state or ()),
            name=self.name,
            handler=self.handler,
            source=self.source,
            text=self.q,
        )


class OccurrenceQuery(Sent):
    """Which lines of a schedule's ledger, and which part of their list."""

    state: LeftOut[Verdicts] = Field(None, description="one or more, repeated or with commas")
    reason: LeftOut[ReasonName] = None
    begin: LeftOut[Time] = Field(None, alias="from", description="fire times at or after this")
    end: LeftOut[Time] = Field(None, alias="to", description="fire times before this")
    limit: Limit = DEFAULT_LIMIT
    cursor: LeftOut[Cursor] = Field(None, description="next_cursor of the page before")

    def as_filter(self, schedule_id: str | None) -> LedgerFilter:
        """The words of the store."""
        return LedgerFilter(
            schedule_id=schedule_id,
            verdicts=frozenset(Verdict(name) for name in self.state or ()),
            reason=None if self.reason is None else Reason(self.reason),
            begin=self.begin,
            end=self.end,
        )


class LedgerQuery(OccurrenceQuery):
    """Which lines of the namespace's ledger, and which part of their list."""

    schedule_id: LeftOut[Uuid] = None
