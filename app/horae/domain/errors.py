"""Every error that Horae raises on purpose. The api alone turns them into HTTP answers.

* HoraeError
  + Refused                 the request can't be granted; nothing was changed
    - InvalidInput          fields are wrong; names every one of them
    - NotFound
    - IllegalMove           the state of the job or schedule doesn't allow it
    - KeyConflict           the idempotency key was used with another body
    - NameTaken             another schedule has the name
    - StaleVersion          the job or schedule was changed since it was read
    - CountDiffers          a bulk action would touch another number of jobs than expected
  + Unavailable             a server doesn't answer; trying again later may help
    - StoreUnavailable
      · OutcomeUnknown      a write was sent and its answer lost: it may have been applied
    - BrokerUnavailable
      · PublishReturned     certain: the delivery reached no queue
      · PublishUnknown      the delivery may have arrived
  + SettingsError           a setting is wrong; the process can't start
  + SchemaBehind            the database needs `horae migrate`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HoraeError(Exception):
    """The root of all errors raised on purpose."""


class Refused(HoraeError):
    """The request can't be granted, and nothing was changed."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: where it is (a JSON pointer without the first slash, joined by dots) and what is wrong."""

    field: str
    message: str


class InvalidInput(Refused):
    """One or more fields are wrong."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors))

    @classmethod
    def of(cls, field: str, message: str) -> InvalidInput:
        """The error for a single wrong field."""
        return cls([FieldError(field, message)])


class NotFound(Refused):
    """No such thing in this namespace."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(f"no {kind} {name!r} in this namespace")


class IllegalMove(Refused):
    """The state of the job, schedule or backfill doesn't allow the action."""

    def __init__(self, action: str, id_: str, state: str, kind: str = "job") -> None:
        self.action, self.id, self.state, self.kind = action, id_, state, kind
        super().__init__(f"can't {action} {kind} {id_}: it is {state}")


class NameTaken(Refused):
    """Another schedule of the namespace has the name; `id` is that one's."""

    def __init__(self, name: str, id_: str) -> None:
        self.name, self.id = name, id_
        super().__init__(f"schedule {id_} has the name {name!r} already")


class KeyConflict(Refused):
    """The idempotency key is known, with another body. `index` is the place in a bulk request, or None."""

    def __init__(self, key: str, index: int | None = None) -> None:
        self.key, self.index = key, index
        place = "" if index is None else f" (jobs.{index})"
        super().__init__(f"idempotency key {key!r}{place} was used for another request within 24 hours")


class StaleVersion(Refused):
    """The job or schedule was changed since its ETag was read."""

    def __init__(self, id_: str, given: int, current: int, kind: str = "job") -> None:
        self.id, self.given, self.current, self.kind = id_, given, current, kind
        super().__init__(f"{kind} {id_} has version {current}, not {given}: read it again")


class CountDiffers(Refused):
    """A bulk action finds another number of jobs than the caller expects."""

    def __init__(self, expected: int | None, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"the filter finds {actual} jobs, expected_count is {expected}")


class Unavailable(HoraeError):
    """A server doesn't answer; trying again later may help."""


class StoreUnavailable(Unavailable):
    """The database doesn't answer; nothing was written."""


class OutcomeUnknown(StoreUnavailable):
    """The answer to a write was lost: it may have been applied or not."""


class BrokerUnavailable(Unavailable):
    """The broker doesn't answer or refused; nothing was published."""


class PublishReturned(BrokerUnavailable):
    """The broker gave the delivery back: it reached no queue."""


class PublishUnknown(BrokerUnavailable):
    """The broker didn't confirm in time: the delivery may have arrived."""


class SettingsError(HoraeError):
    """A setting is wrong. The message is one line that names it."""


class SchemaBehind(HoraeError):
    """The database's schema is older than the code needs."""

    def __init__(self, found: str | None, needed: str) -> None:
        self.found, self.needed = found, needed
        super().__init__(f"the schema is at {found or 'nothing'}, the code needs {needed}: run `horae migrate`")
