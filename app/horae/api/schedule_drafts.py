"""From what clients send about a schedule to its definition: checked, and with the domain's defaults. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from horae.api.catalogue import Catalogue
from horae.api.drafts import judged_payload
from horae.api.fields import parse_time
from horae.api.models import TemplateIn
from horae.api.schedule_models import PreviewIn, ScheduleIn, SchedulePatch, ScheduleSettings
from horae.api.validation import NOT_KNOWN, field_errors
from horae.domain.errors import FieldError, InvalidInput
from horae.domain.schedule import Definition, Misfire, Overlap
from horae.domain.template import Template
from horae.domain.timing import Fold, Gap, Timing

S = TypeVar("S", ScheduleIn, SchedulePatch, PreviewIn)

_JOB = "job."
_READ: Mapping[str, Callable[[Any], Any]] = {"dst_gap": Gap, "dst_fold": Fold, "misfire": Misfire, "overlap": Overlap}
_TIMING = frozenset(field.name for field in fields(Timing))
_OTHERS = frozenset(field.name for field in fields(Definition)) - {"timing", "template"}
_NO_PLACE: Mapping[str, str] = {
    **dict.fromkeys(TemplateIn.model_fields, f"{NOT_KNOWN}: it belongs in job"),
    "run_at": f"{NOT_KNOWN}: cron or interval_seconds says when, start_at and end_at bound it",
    "delay_seconds": f"{NOT_KNOWN}: a schedule begins at start_at",
    "job.run_at": "can't be given: each job starts at its fire time",
    "job.delay_seconds": "can't be given: each job starts at its fire time, later only by jitter_seconds",
    "job.idempotency_key": "can't be given: no fire time ever makes two jobs, and each fire makes a new one",
}


def new_definition(item: object, keys: int, catalogue: Catalogue) -> Definition:
    """The definition of a new schedule. `keys` is how many the item holds in all.

    Raises:
        InvalidInput: names every wrong field.
    """
    asked, payload = _asked(ScheduleIn, item, keys, catalogue)
    timing, template = Timing(**_given(asked, _TIMING)), _template(asked.job, payload)
    definition = Definition(timing=timing, template=template, **_given(asked, _OTHERS))
    _check(definition.timing, definition.jitter_seconds, template, asked.model_fields_set)
    return definition


def changed_definition(current: Definition, item: object, keys: int, catalogue: Catalogue) -> Definition:
    """The definition after a PATCH: what it doesn't name stays, but cron and interval_seconds replace one another.

    Raises:
        InvalidInput: names every wrong field.
    """
    asked, payload = _asked(SchedulePatch, item, keys, catalogue)
    given = asked.model_fields_set
    if not given:
        raise InvalidInput.of("body", "holds nothing to change")
    timing = replace(current.timing, **_replaced_rhythm(given), **_given(asked, _TIMING))
    template = current.template if asked.job is None else _template(asked.job, payload)
    definition = replace(current, timing=timing, template=template, **_given(asked, _OTHERS))
    _check(timing, definition.jitter_seconds, template, given)
    return definition


def previewed(item: object, keys: int, catalogue: Catalogue, now: datetime) -> tuple[PreviewIn, Timing]:
    """What is to be previewed; an interval without its beginning counts from `now`, as if it were created then.

    Raises:
        InvalidInput: names every wrong field.
    """
    asked, payload = _asked(PreviewIn, item, keys, catalogue)
    timing = Timing(**_given(asked, _TIMING))
    template = None if asked.job is None else _template(asked.job, payload)
    _check(timing, asked.jitter_seconds or 0, template, asked.model_fields_set)
    if timing.interval_seconds is not None and timing.start_at is None:
        timing = replace(timing, start_at=now.replace(microsecond=0))
    return asked, timing


def _given(asked: ScheduleSettings, names: frozenset[str]) -> dict[str, Any]:
    return {name: _read(name, getattr(asked, name)) for name in asked.model_fields_set & names}


def _read(name: str, value: Any) -> Any:
    read = _READ.get(name)
    return read(value) if read else value


def _replaced_rhythm(given: Collection[str]) -> dict[str, Any]:
    if "cron" in given:
        return {"interval_seconds": None}
    return {"cron": None} if "interval_seconds" in given else {}


def _template(job: TemplateIn, payload: str) -> Template:
    """Only what was given is kept: what is left out is filled in at each fire."""
    settings = job.model_dump(mode="json", exclude_unset=True, exclude={"handler", "payload"})
    return Template(job.handler, payload, settings)


# --------------------------------------------------------------------------------------------------- what is wrong


def _asked(model: type[S], item: object, keys: int, catalogue: Catalogue) -> tuple[S, str]:
    """The request as its model, and its job's payload as it is kept; raises InvalidInput for what any field shows."""
    asked, errors = _judged(model, item)
    payload = b"{}"
    if isinstance(item, dict):
        errors += _rhythm_errors(item, needed=model is not SchedulePatch)
        payload, more = _judged_job(item.get("job"), keys, catalogue, errors)
        errors += more
    if asked is None or errors:
        raise InvalidInput(errors)
    return asked, payload.decode()


def _judged(model: type[S], item: object) -> tuple[S | None, list[FieldError]]:
    try:
        return model.model_validate(item), []
    except ValidationError as error:
        return None, [_explained(each) for each in field_errors(error)]


def _explained(error: FieldError) -> FieldError:
    message = _NO_PLACE.get(error.field) if error.message == NOT_KNOWN else None
    return FieldError(error.field, message or error.message)


def _rhythm_errors(item: Mapping[str, Any], needed: bool) -> Iterator[FieldError]:
    if "cron" in item and "interval_seconds" in item:
        yield FieldError("interval_seconds", "can't be given together with cron: one of them says when it fires")
    if needed and "cron" not in item and "interval_seconds" not in item:
        yield FieldError("cron", "is required, or interval_seconds in its place")


def _judged_job(
    job: object, keys: int, catalogue: Catalogue, errors: list[FieldError]
) -> tuple[bytes, list[FieldError]]:
    if not isinstance(job, dict):
        return b"{}", []
    wrong = {error.field.removeprefix(_JOB) for error in errors if error.field.startswith(_JOB)}
    payload, more = judged_payload(job, keys, catalogue, wrong)
    return payload, [FieldError(_JOB + error.field, error.message) for error in more]


def _check(timing: Timing, jitter_seconds: int, template: Template | None, given: Collection[str]) -> None:
    """Raises InvalidInput for fields that don't go together; of two it names the one that was given."""
    conflicts = [*_bound_conflicts(timing, given), *_interval_conflicts(timing, jitter_seconds, given)]
    if template is not None:
        conflicts += _expiry_conflicts(timing, template, given)
    if conflicts:
        raise InvalidInput(conflicts)


def _bound_conflicts(timing: Timing, given: Collection[str]) -> Iterator[FieldError]:
    start, end = timing.start_at, timing.end_at
    if start is None or end is None or start <= end:
        return
    if "end_at" in given:
        yield FieldError("end_at", f"should not be earlier than start_at, {_said(start)}")
    else:
        yield FieldError("start_at", f"should not be later than end_at, {_said(end)}")


def _interval_conflicts(timing: Timing, jitter_seconds: int, given: Collection[str]) -> Iterator[FieldError]:
    interval = timing.interval_seconds
    if interval is None:
        return
    if "start_at" in given and timing.start_at is None:
        yield FieldError("start_at", "can't be taken away: the interval counts from it")
    if jitter_seconds <= interval:
        return
    if "jitter_seconds" in given:
        yield FieldError("jitter_seconds", f"should not be longer than interval_seconds, {interval}")
    else:
        yield FieldError("interval_seconds", f"should not be shorter than jitter_seconds, {jitter_seconds}")


def _expiry_conflicts(timing: Timing, template: Template, given: Collection[str]) -> Iterator[FieldError]:
    expires_at = template.settings.get("expires_at")
    if expires_at is None or timing.start_at is None or parse_time(expires_at) > timing.start_at:
        return
    if "job" in given:
        yield FieldError("job.expires_at", "should be later than start_at: no job could ever start")
    else:
        yield FieldError("start_at", "should be earlier than job.expires_at: no job could ever start")


def _said(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
