"""What clients may send, each field with its bounds. Unknown fields and nulls are refused; what is left out takes the
handler's default, or else the global one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
)
from pydantic_core import core_schema

from horae.api.fields import (
    Count,
    Delay,
    Key,
    LeftOut,
    Name,
    Pause,
    PriorityName,
    Retries,
    States,
    Tags,
    Text,
    Time,
    Timeout,
    Uuid,
    decimal_number,
    whole_number,
)
from horae.api.paging import DEFAULT_LIMIT, MAX_LIMIT
from horae.domain.job import State
from horae.domain.retry import Backoff, Kind
from horae.store.base import JobFilter

BULK_JOBS = 10_000
LONGEST_WAIT = 60

DESCRIBED_BY = "described_by"
"""in the metadata of a schema that takes anything: the model to be shown in its place"""


class Sent(BaseModel):
    """Anything that clients send."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class BackoffIn(Sent):
    """The pause before the next attempt: kind(n) x (1 +- jitter) after the n-th failure, at most `max_seconds`."""

    kind: Kind = Field(
        "exponential", description="exponential: base x factor^(n-1); linear: base x n; fixed: base each time"
    )
    base_seconds: Pause = 1.0
    factor: float = Field(2.0, ge=1, le=1000)
    max_seconds: Pause = 3600.0
    jitter: float = Field(0.1, ge=0, le=1)

    def as_backoff(self) -> Backoff:
        """The noun of the domain."""
        return Backoff(self.kind, self.base_seconds, self.factor, self.max_seconds, self.jitter)


class TemplateSettings(Sent):
    """What may be said of any job, also of those that a schedule makes."""

    queue: LeftOut[Name] = Field(None, description='else the handler\'s, else "default"')
    priority: LeftOut[PriorityName] = Field(None, description='else the handler\'s, else "normal"')
    max_retries: LeftOut[Retries] = Field(None, description="failures after the first; else the handler's, else 3")
    backoff: LeftOut[BackoffIn] = Field(None, description="else the handler's, else the default of each part")
    timeout_seconds: LeftOut[Timeout] = Field(None, description="for each attempt; else the handler's, else 300")
    tags: LeftOut[Tags] = Field(None, description="to find the job by")


class JobSettings(TemplateSettings):
    """What may be said of a job both when it is submitted and later."""

    run_at: LeftOut[Time] = Field(None, description="not before; now if neither this nor delay_seconds is given")
    delay_seconds: LeftOut[Delay] = Field(None, description="not before so many seconds from now; excludes run_at")


class TemplateIn(TemplateSettings):
    """What jobs are made from. A handler's defaults fill in what is left out, at each fire time anew."""

    handler: Name = Field(description="the name of a handler that is built in or that a worker has registered")
    payload: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of the handler, checked against its schema; "
        "at most 64 KiB as JSON, 20 levels and 1,000 keys",
    )
    expires_at: LeftOut[Time] = Field(None, description="FAILED if it hasn't started by then")
    retry_for_seconds: LeftOut[Delay] = Field(None, description="no retry starts later than this after the first start")


_ONE_TIME: dict[str, Any] = {"not": {"required": ["run_at", "delay_seconds"]}}


class JobIn(TemplateIn, JobSettings):
    """A job to be run once, now or later."""

    model_config = ConfigDict(
        json_schema_extra={**_ONE_TIME, "examples": [{"handler": "echo", "payload": {"greeting": "hi"}}]}
    )

    idempotency_key: LeftOut[Key] = Field(None, description="as the header Idempotency-Key")


class JobPatch(JobSettings):
    """Changes of a job that is PENDING; null takes away what it had."""

    model_config = ConfigDict(json_schema_extra={**_ONE_TIME, "minProperties": 1})

    payload: LeftOut[dict[str, Any]] = Field(None, description="replaces the whole payload")
    expires_at: Time | None = None
    retry_for_seconds: Delay | None = None


class _CheckedLater:
    """Takes a job of a list as it is; the document describes it as the model that it should be."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.any_schema(metadata={DESCRIBED_BY: JobIn})


class BulkIn(Sent):
    """Many jobs, all or none of them. The jobs themselves are checked one by one, so that others get their turn."""

    jobs: list[Annotated[Any, _CheckedLater()]] = Field(min_length=1, max_length=BULK_JOBS)


class JobWhere(Sent):
    """Which jobs: those that every given field allows."""

    state: LeftOut[States] = Field(None, description="one or more states, repeated or with commas")
    queue: LeftOut[Name] = None
    handler: LeftOut[Name] = None
    tag: LeftOut[Name] = None
    schedule_id: LeftOut[Uuid] = None
    created_after: LeftOut[Time] = Field(None, description="at or after this time")
    created_before: LeftOut[Time] = Field(None, description="before this time")
    q: LeftOut[Text] = Field(
        None,
        description="a job id, the start of a handler's name, a tag, or words of the error among the newest 10,000 "
        "jobs that the other filters leave",
    )

    def as_filter(self) -> JobFilter:
        """The words of the store."""
        return JobFilter(
            states=frozenset(State(name) for name in self.state or ()),
            queue=self.queue,
            handler=self.handler,
            tag=self.tag,
            schedule_id=self.schedule_id,
            created_after=self.created_after,
            created_before=self.created_before,
            text=self.q,
        )


class ActionIn(Sent):
    """What to do with every job that the filter finds."""

    action: Literal["cancel", "retry", "delete"] = Field(description="delete takes final jobs only")
    filter: JobWhere
    expected_count: LeftOut[Count] = Field(
        None, description="how many jobs the filter should find; needed in the first call, checked only there"
    )
    cursor: LeftOut[str] = Field(None, description="from the answer of the call before; left out in the first")


Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(whole_number)]
Cursor = Annotated[str, Field(min_length=1, max_length=512)]


class ListQuery(Sent):
    """Which part of a list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: LeftOut[Cursor] = Field(None, description="next_cursor of the page before")


class JobQuery(JobWhere):
    """Which jobs, and which part of their list."""

    limit: Limit = DEFAULT_LIMIT
    cursor: LeftOut[Cursor] = Field(None, description="next_cursor of the page before")


class WaitQuery(Sent):
    """How long to wait for the end of a job."""

    wait: LeftOut[Annotated[float, Field(ge=0, le=LONGEST_WAIT), BeforeValidator(decimal_number)]] = Field(
        None, description="answer when the job is final, or after so many seconds"
    )
