from __future__ import annotations

import inspect

import pytest
from aiohttp import web

from horae.api.problems import KINDS, RequestRefused, problem_body, problem_of
from horae.domain import errors
from horae.domain.errors import (
    BrokerUnavailable,
    CountDiffers,
    FieldError,
    HoraeError,
    IllegalMove,
    InvalidInput,
    KeyConflict,
    NameTaken,
    NotFound,
    OutcomeUnknown,
    PublishReturned,
    PublishUnknown,
    Refused,
    SchemaBehind,
    SettingsError,
    StaleVersion,
    StoreUnavailable,
    Unavailable,
)

SECRET = "mysql://user:secret@db"

TABLE: list[tuple[HoraeError, str, int]] = [
    (InvalidInput.of("queue", "is wrong"), "invalid-input", 422),
    (NotFound("job", "7"), "not-found", 404),
    (IllegalMove("retry", "7", "PENDING"), "illegal-move", 409),
    (KeyConflict("k"), "key-conflict", 409),
    (NameTaken("nightly", "7"), "name-taken", 409),
    (StaleVersion("7", 1, 2), "stale-version", 412),
    (CountDiffers(None, 5), "count-differs", 409),
    (Refused("no"), "malformed-request", 400),
    (StoreUnavailable(SECRET), "unavailable", 503),
    (OutcomeUnknown(SECRET), "outcome-unknown", 503),
    (Unavailable(SECRET), "unavailable", 503),
    (BrokerUnavailable(SECRET), "unavailable", 503),
    (PublishReturned(SECRET), "unavailable", 503),
    (PublishUnknown(SECRET), "unavailable", 503),
    (SchemaBehind(None, "2"), "schema-behind", 503),
    (SettingsError(SECRET), "internal", 500),
    (HoraeError(SECRET), "internal", 500),
]


@pytest.mark.parametrize(("error", "slug", "status"), TABLE, ids=lambda value: type(value).__name__)
def test_each_error_has_its_answer(error: HoraeError, slug: str, status: int) -> None:
    problem = problem_of(error)
    assert (problem.kind.slug, problem.kind.status) == (slug, status)
    assert ("Retry-After" in problem.headers) == (status == 503)
    assert "secret" not in str(problem_body(problem, "r"))


def test_no_error_of_the_tree_is_forgotten() -> None:
    tree = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HoraeError)}
    assert {type(error) for error, _, _ in TABLE} == tree


def test_what_is_known_of_the_refusal_is_told() -> None:
    assert problem_of(IllegalMove("retry", "7", "PENDING")).extra == {"state": "PENDING"}
    assert problem_of(IllegalMove("pause", "7", "ENDED", "schedule")).detail == "can't pause schedule 7: it is ENDED"
    taken = problem_of(NameTaken("nightly", "7"))
    assert (taken.extra, taken.errors[0].field) == ({"id": "7"}, "name")
    assert problem_of(CountDiffers(3, 5)).extra == {"count": 5}
    assert problem_of(StaleVersion("7", 1, 2)).headers == {"ETag": '"2"'}
    assert problem_of(KeyConflict("k", 4)).errors[0].field == "jobs.4.idempotency_key"


def test_the_detail_sums_up_the_errors() -> None:
    errors_ = [FieldError("queue", "is wrong"), FieldError("tags", "is wrong"), FieldError("x", "is wrong")]
    assert problem_of(InvalidInput(errors_)).detail == "queue: is wrong; and 2 more"


def test_aiohttps_own_refusals_keep_their_headers() -> None:
    problem = problem_of(web.HTTPMethodNotAllowed("PUT", ["GET", "POST"]))
    assert (problem.kind.status, problem.headers) == (405, {"Allow": "GET,POST"})
    assert problem_of(web.HTTPExpectationFailed()).kind.status == 417


def test_a_fault_tells_nothing() -> None:
    assert "secret" not in str(problem_body(problem_of(RuntimeError("secret")), "r"))


def test_the_members_are_those_of_rfc_9457() -> None:
    kind = KINDS[0]
    body = problem_body(problem_of(RequestRefused(kind, "is not JSON", "body")), "r-1")
    assert body == {
        "type": "urn:horae:problem:malformed-request",
        "title": "The request can't be read",
        "status": 400,
        "detail": "is not JSON",
        "instance": "r-1",
        "errors": [{"field": "body", "message": "is not JSON"}],
    }


def test_each_kind_has_a_name_of_its_own() -> None:
    assert len({kind.urn for kind in KINDS}) == len(KINDS)
