"""A job's settings from the form that clients use to the nouns of the domain. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from horae.api.models import BackoffIn, JobSettings
from horae.domain.errors import FieldError
from horae.domain.job import Priority

_READ: Mapping[str, Callable[[Any], Any]] = {
    "priority": Priority.parse,
    "backoff": BackoffIn.as_backoff,
    "tags": tuple,
}
_NAMES = frozenset(JobSettings.model_fields)


def given_settings(asked: JobSettings) -> dict[str, Any]:
    """The settings that were given, as `NewJob` and `Job` hold them."""
    return {name: _read(name, getattr(asked, name)) for name in asked.model_fields_set & _NAMES}


def _read(name: str, value: Any) -> Any:
    read = _READ.get(name)
    return read(value) if read else value


def time_conflicts(asked: JobSettings, expires_at: Any = None) -> Iterator[FieldError]:
    """Times that exclude one another."""
    if asked.run_at is None:
        return
    if asked.delay_seconds is not None:
        yield FieldError("delay_seconds", "can't be given together with run_at")
    if expires_at is not None and expires_at <= asked.run_at:
        yield FieldError("expires_at", "should be later than run_at: the job could never start")
