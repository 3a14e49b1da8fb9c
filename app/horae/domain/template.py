"""What a schedule makes jobs from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from horae.domain.ids import JobId
from horae.domain.job import NewJob, Priority
from horae.domain.retry import Backoff, Kind


@dataclass(frozen=True, slots=True)
class Template:
    """A job as it was asked for: `payload` is JSON text, `settings` holds only what was given, as clients write it.

    What is left out is filled in anew at each fire, so that a handler's new defaults hold from then on.
    """

    handler: str
    payload: str = "{}"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def job(
        self, id_: JobId, defaults: Mapping[str, Any], schedule_id: str, fire_time: datetime | None, run_at: datetime
    ) -> NewJob:
        """The job of a fire; `fire_time` is None for one that was triggered by hand.

        `defaults` are the handler's, in the same form as `settings`, and yield to them.
        """
        return NewJob(
            id=id_,
            handler=self.handler,
            payload=self.payload,
            run_at=run_at,
            schedule_id=schedule_id,
            fire_time=fire_time,
            **{**understood(defaults), **understood(self.settings)},
        )


def _priority(value: Any) -> Priority:
    return Priority.parse(value)


def _backoff(value: Any) -> Backoff:
    backoff = Backoff(**value)
    if backoff.kind not in get_args(Kind):
        raise ValueError(f"{backoff.kind!r} is not a kind of backoff")
    return backoff


def _moment(value: Any) -> datetime:
    return datetime.fromisoformat(value)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "queue": str,
    "priority": _priority,
    "max_retries": int,
    "backoff": _backoff,
    "timeout_seconds": float,
    "tags": tuple,
    "expires_at": _moment,
    "retry_for_seconds": float,
}


def understood(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as `NewJob` holds them. Other versions wrote them: what isn't understood is left out."""
    found: dict[str, Any] = {}
    for name, read in _READ.items():
        if settings.get(name) is None:
            continue
        try:
            found[name] = read(settings[name])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            continue
    return found
