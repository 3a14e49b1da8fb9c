from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from jsonschema_rs import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator

from horae.api.answers import JobOut
from horae.api.application import build_app, routes_of
from horae.api.context import ApiDeps
from horae.api.schedule_answers import ChangedScheduleOut, ScheduleOut
from tests.api.asking import Client, get
from tests.api.contract import DOCUMENT, Json, validator
from tests.api.malformed import TABLE, Bad


def test_the_document_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert DOCUMENT["openapi"].startswith("3.1")


async def test_it_is_served_as_it_is(client: Client) -> None:
    assert await get(client, "/openapi.json") == DOCUMENT


def test_router_and_document_agree(deps: ApiDeps) -> None:
    app = build_app(deps)
    routed = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    documented = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert {(method, path) for method, path in routed if method != "HEAD"} == documented
    assert {path for method, path in routed if method == "HEAD"} == {
        path for method, path in documented if method == "GET"
    }
    assert len(routes_of(deps)) == len(documented)


def operations() -> Iterator[tuple[str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_is_told_apart_and_described() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"].endswith(".") for _, operation in operations())


CONFLICTING = {f"post /api/v1/schedules{rest}" for rest in ("", "/{id}/pause", "/{id}/resume")}
CONFLICTING.add("post /api/v1/jobs")


@pytest.mark.parametrize(("name", "operation"), list(operations()))
def test_every_answer_that_can_occur_is_documented(name: str, operation: Json) -> None:
    answers = set(operation["responses"])
    method, path = name.split()
    expected = {"422", "500", "default"}
    if path.startswith("/api/"):
        expected |= {"503"}
    if method != "get":
        expected |= {"400", "408", "413", "415"}
    if "{id}" in path:
        expected |= {"404"}
    if method == "patch":
        expected |= {"409", "412", "428"}
    if path.endswith(("/cancel", "/retry", "/bulk", "/actions")) or name in CONFLICTING:
        expected |= {"409"}
    assert expected <= answers
    assert answers - expected <= {"200", "201", "204", "404", "503"}


def test_the_problems_of_outages_say_when_to_come_again() -> None:
    answer = DOCUMENT["paths"]["/api/v1/jobs"]["post"]["responses"]["503"]
    assert set(answer["headers"]) == {"X-Request-Id", "Retry-After"}
    assert "urn:horae:problem:outcome-unknown" in answer["description"]


def test_bounds_of_parameters_are_documented() -> None:
    parameters = {each["name"]: each for each in DOCUMENT["paths"]["/api/v1/jobs"]["get"]["parameters"]}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert parameters["state"]["schema"]["minItems"] == 1
    wait = DOCUMENT["paths"]["/api/v1/jobs/{id}"]["get"]["parameters"][1]
    assert (wait["name"], wait["schema"]["maximum"]) == ("wait", 60)


def test_models_allow_nothing_else() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    objects = {name for name, schema in schemas.items() if schema.get("type") == "object"}
    open_ones = {name for name in objects if schemas[name].get("additionalProperties") is not False}
    assert open_ones == {"ProblemOut"}
    for model in (JobOut, ScheduleOut, ChangedScheduleOut):
        assert set(model.model_fields) == set(schemas[model.__name__]["required"])


@pytest.mark.parametrize("bad", [bad for bad in TABLE if bad.said], ids=lambda bad: bad.name)
def test_the_document_refuses_what_the_api_refuses(bad: Bad) -> None:
    """Where a schema can say it at all, it does: clients that are made from it find their mistakes at home."""
    with pytest.raises(ValidationError):
        validator("JobIn").validate(orjson.loads(bad.raw))
