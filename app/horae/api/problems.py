"""Errors become answers here and nowhere else: RFC 9457 problems, `application/problem+json`.

`type` is a stable URN that clients may compare, `instance` the id of the request as the log knows it, and `errors`
names every wrong field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from horae.domain.errors import (
    CountDiffers,
    FieldError,
    HoraeError,
    IllegalMove,
    InvalidInput,
    KeyConflict,
    NameTaken,
    NotFound,
    OutcomeUnknown,
    Refused,
    SchemaBehind,
    StaleVersion,
    Unavailable,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its place in the URN, its status and its title."""

    slug: str
    status: int
    title: str

    @property
    def urn(self) -> str:
        """The `type` of the answer."""
        return f"urn:horae:problem:{self.slug}"


MALFORMED = Kind("malformed-request", 400, "The request can't be read")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "This address doesn't know the method")
TOO_SLOW = Kind("too-slow", 408, "The body didn't arrive in time")
ILLEGAL_MOVE = Kind("illegal-move", 409, "Its state doesn't allow it")
KEY_CONFLICT = Kind("key-conflict", 409, "The idempotency key was used for another request")
NAME_TAKEN = Kind("name-taken", 409, "Another schedule has the name")
COUNT_DIFFERS = Kind("count-differs", 409, "The filter finds another number of jobs")
STALE_VERSION = Kind("stale-version", 412, "It was changed since it was read")
TOO_LARGE = Kind("too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA = Kind("unsupported-media-type", 415, "The body has the wrong type")
INVALID = Kind("invalid-input", 422, "Some fields are wrong")
IF_MATCH_REQUIRED = Kind("if-match-required", 428, "The version to change is missing")
INTERNAL = Kind("internal", 500, "Something is wrong here")
UNAVAILABLE = Kind("unavailable", 503, "A server that is needed doesn't answer")
OUTCOME_UNKNOWN = Kind("outcome-unknown", 503, "It is not known whether the request was carried out")
NOT_READY = Kind("not-ready", 503, "This process can't serve yet")
SCHEMA_BEHIND = Kind("schema-behind", 503, "The database is not ready for this version")
OVERLOADED = Kind("overloaded", 503, "There are too many connections")

KINDS = (
    MALFORMED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_SLOW,
    ILLEGAL_MOVE,
    KEY_CONFLICT,
    NAME_TAKEN,
    COUNT_DIFFERS,
    STALE_VERSION,
    TOO_LARGE,
    UNSUPPORTED_MEDIA,
    INVALID,
    IF_MATCH_REQUIRED,
    INTERNAL,
    UNAVAILABLE,
    OUTCOME_UNKNOWN,
    NOT_READY,
    SCHEMA_BEHIND,
    OVERLOADED,
)


class RequestRefused(Refused):
    """The request itself is refused, before anything is asked of the store."""

    def __init__(self, kind: Kind, detail: str, where: str | None = None) -> None:
        self.kind, self.detail = kind, detail
        self.errors = [] if where is None else [FieldError(where, detail)]
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer to be written: `extra` are further members of the JSON object."""

    kind: Kind
    detail: str
    errors: Sequence[FieldError] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def problem_of(error: BaseException) -> Problem:
    """The problem that an error is to the client. What it doesn't need to know stays in the log."""
    match error:
        case RequestRefused():
            return Problem(error.kind, error.detail, error.errors)
        case Refused():
            return _refusal(error)
        case web.HTTPException():
            return _of_aiohttp(error)
        case HoraeError():
            return _outage(error)
        case _:
            return Problem(INTERNAL, "This is a fault of the server; its log tells more under the id of the request.")


def not_ready() -> Problem:
    """What an unexpected error is to the client while the process lacks what it needs, such as the schema."""
    later = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(NOT_READY, "Try again later; /readyz says what is missing.", headers=later)


def _refusal(error: Refused) -> Problem:
    match error:
        case InvalidInput():
            return Problem(INVALID, _summary(error.errors), error.errors)
        case NotFound():
            return Problem(NOT_FOUND, str(error))
        case IllegalMove():
            return Problem(ILLEGAL_MOVE, str(error), extra={"state": error.state})
        case KeyConflict():
            return Problem(KEY_CONFLICT, str(error), [FieldError(_place(error), "was used for another request")])
        case NameTaken():
            taken = FieldError("name", f"is the name of schedule {error.id} already")
            return Problem(NAME_TAKEN, str(error), [taken], extra={"id": error.id})
        case StaleVersion():
            return Problem(STALE_VERSION, str(error), headers={"ETag": etag(error.current)})
        case CountDiffers():
            detail = f"The filter finds {error.actual} jobs: to go on, repeat it with that as expected_count."
            return Problem(COUNT_DIFFERS, detail, extra={"count": error.actual})
        case _:
            return Problem(MALFORMED, str(error))


def _summary(errors: Sequence[FieldError]) -> str:
    first = f"{errors[0].field}: {errors[0].message}" if errors else ""
    return first if len(errors) < 2 else f"{first}; and {len(errors) - 1} more"


def _place(error: KeyConflict) -> str:
    return "idempotency_key" if error.index is None else f"jobs.{error.index}.idempotency_key"


def _outage(error: HoraeError) -> Problem:
    later = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    match error:
        case OutcomeUnknown():
            return Problem(
                OUTCOME_UNKNOWN,
                "The database was asked and its answer got lost: the request may have been carried out. "
                "Repeat it; a submission with the same Idempotency-Key is never carried out twice.",
                headers=later,
            )
        case SchemaBehind():
            return Problem(SCHEMA_BEHIND, str(error), headers=later)
        case Unavailable():
            return Problem(UNAVAILABLE, "It should be back soon: try again later.", headers=later)
        case _:
            return Problem(INTERNAL, "This is a fault of the server; its log tells more under the id of the request.")


_AIOHTTP_KINDS = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE}


def _of_aiohttp(error: web.HTTPException) -> Problem:
    allowed = error.headers.get("Allow")
    known = _AIOHTTP_KINDS.get(error.status)
    kind = known or Kind(f"http-{error.status}", error.status, error.reason)
    detail = {404: "There is nothing at this address.", 405: f"It knows {allowed}."}.get(error.status, error.reason)
    return Problem(kind, detail, headers={"Allow": allowed} if allowed else {})


def etag(version: int) -> str:
    """The ETag of a job or schedule of that version."""
    return f'"{version}"'


def problem_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The JSON object of the answer."""
    return {
        "type": problem.kind.urn,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": request_id,
        **({"errors": [{"field": e.field, "message": e.message} for e in problem.errors]} if problem.errors else {}),
        **problem.extra,
    }


def problem_response(problem: Problem, request_id: str) -> web.Response:
    """The answer."""
    body = orjson.dumps(problem_body(problem, request_id))
    return web.Response(body=body, status=problem.kind.status, content_type=MEDIA_TYPE, headers=problem.headers)
